// Keys. Single keys work only while nothing is being typed into, and can be switched off.

import { all, h } from './dom';
import { ask } from './dialogs';
import { openBack, undo } from './back';
import { askForFile, focusBench, newTerminal, terminalHasFocus } from './bench';
import { judgeAgain, nextHint, toggleWhy } from './checks';
import { goTo, nextOpen, toggleContents } from './contents';
import { focusLesson, focusRegion, setPanes, showBench } from './panes';
import { nextTheme } from './top';
import { openSearch } from './search';
import { togglePicture } from './picture';

interface Key {
  keys: string;
  says: string;
  act: () => void;
  group: 'Move' | 'Do' | 'Arrange';
}

const BLOCKS = '#lesson .command, #lesson .press, #lesson form.ask, #lesson .check, #lesson [data-lab-end] .button';

function blocks(): HTMLElement[] {
  return all(BLOCKS).filter((element) => element.offsetParent !== null);
}

/** What of a block takes the focus. */
function handle(block: HTMLElement): HTMLElement {
  if (block.matches('.command, .press')) return block.querySelector<HTMLElement>('.run') ?? block.querySelector<HTMLElement>('.act') ?? block;
  if (block.matches('form')) return block.querySelector<HTMLElement>('input:checked, input') ?? block;
  return block;
}

function step(by: 1 | -1): void {
  const list = blocks();
  let at = list.findIndex((block) => block.contains(document.activeElement));
  if (at < 0) {
    const top = document.querySelector('#lesson')?.getBoundingClientRect().top ?? 0;
    const first = list.findIndex((block) => block.getBoundingClientRect().top >= top);
    at = by > 0 ? (first < 0 ? list.length : first) - 1 : first < 0 ? list.length : first;
  }
  const block = list[Math.min(list.length - 1, Math.max(0, at + by))];
  if (!block) return;
  handle(block).focus({ preventScroll: true });
  block.scrollIntoView({ block: 'nearest' });
}

/** The check the keys are about: the one that has the focus, else the first of this exercise that is not passed. */
function check(): HTMLElement | null {
  const focused = document.activeElement?.closest<HTMLElement>('.check');
  if (focused) return focused;
  const section = document.activeElement?.closest('section') ?? nextOpen();
  return section?.querySelector<HTMLElement>('.check:not([data-state="pass"])') ?? null;
}

const withCheck = (does: (line: HTMLElement) => unknown) => (): void => {
  const line = check();
  if (!line) return;
  if (!line.contains(document.activeElement)) line.focus();
  void does(line);
};

const KEYS: Key[] = [
  { keys: 'j', says: 'Next command, question or check', act: () => step(1), group: 'Move' },
  { keys: 'k', says: 'The one before', act: () => step(-1), group: 'Move' },
  { keys: 'n', says: 'Next exercise that is not done', act: () => { const next = nextOpen(); if (next) goTo(next); }, group: 'Move' },
  { keys: 'g l', says: 'Go to the lab', act: () => { const lab = document.querySelector('section[data-section="lab"]'); if (lab) goTo(lab); }, group: 'Move' },
  { keys: 'g t', says: 'Go to the terminal', act: () => { showBench(); focusBench(); }, group: 'Move' },
  { keys: 'g c', says: 'Go to the contents', act: () => toggleContents(true), group: 'Move' },
  { keys: '/', says: 'Search', act: openSearch, group: 'Move' },
  { keys: 'w', says: 'Why is this check not green?', act: withCheck(toggleWhy), group: 'Do' },
  { keys: 'h', says: 'Hint', act: withCheck(nextHint), group: 'Do' },
  { keys: 'c', says: 'Check again now', act: withCheck(judgeAgain), group: 'Do' },
  { keys: 'u', says: 'Undo the last command', act: () => void undo(), group: 'Do' },
  { keys: 'r', says: 'Go back, or ahead', act: openBack, group: 'Do' },
  { keys: 'e', says: 'Open a file', act: askForFile, group: 'Do' },
  { keys: 't', says: 'New terminal', act: () => void newTerminal(), group: 'Do' },
  { keys: '1', says: 'Book only', act: () => setPanes('read'), group: 'Arrange' },
  { keys: '2', says: 'Book and machine', act: () => setPanes('split'), group: 'Arrange' },
  { keys: '3', says: 'Machine only', act: () => setPanes('bench'), group: 'Arrange' },
  { keys: 'v', says: 'Show or hide the cluster', act: () => void togglePicture(), group: 'Arrange' },
  { keys: 'd', says: 'Light, dark, as the system', act: nextTheme, group: 'Arrange' },
  { keys: '?', says: 'This help', act: () => help(), group: 'Arrange' },
];

/** Without a machine beside it: a browser that only reads, or the first page. */
const reading = (): boolean => ['reading', 'home'].some((name) => document.documentElement.dataset[name] !== undefined);
const needsMachine = (key: Key): boolean => key.group === 'Do' || ['g t', '1', '2', '3', 'v'].includes(key.keys);

const single = (): boolean => localStorage.getItem('drydock.keys') !== 'off';

function keyNames(keys: string): (Node | string)[] {
  return keys.split(' ').flatMap((key, index) => [index ? ' ' : '', h('kbd', {}, key)]);
}

export function help(): void {
  if (document.querySelector('dialog[open]')) return;
  const groups = (['Move', 'Do', 'Arrange'] as const).map((group) =>
    h('section', {}, h('h3', {}, group), h('dl', { class: 'keys' }, ...KEYS.filter((key) => key.group === group).flatMap((key) => [h('dt', {}, ...keyNames(key.keys)), h('dd', {}, key.says)]))),
  );
  const always = h(
    'section',
    {},
    h('h3', {}, 'Always, in the terminal too'),
    h('dl', { class: 'keys' }, h('dt', {}, h('kbd', {}, 'F6')), h('dd', {}, 'Next part of the page; with Shift the one before'), h('dt', {}, h('kbd', {}, 'Ctrl `')), h('dd', {}, 'Between the text and the terminal'), h('dt', {}, h('kbd', {}, 'Ctrl Shift F')), h('dd', {}, 'Find in the terminal'), h('dt', {}, h('kbd', {}, 'Ctrl C')), h('dd', {}, 'Copies if something is selected, else interrupts')),
  );
  const box = h('input', { type: 'checkbox', id: 'single-keys' });
  box.checked = single();
  box.addEventListener('change', () => localStorage.setItem('drydock.keys', box.checked ? 'on' : 'off'));
  const toggle = h('p', { class: 'toggle' }, box, h('label', { for: 'single-keys' }, 'Single keys work while nothing is being typed'));
  const dialog = ask('Keys', [h('div', { class: 'key-groups' }, ...groups, always), toggle], [{ text: 'Close', main: true }]);
  dialog.classList.add('wide');
}

function typing(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  const field = target.closest('input, textarea, select, [contenteditable]');
  return field !== null && !(field instanceof HTMLInputElement && (field.type === 'radio' || field.type === 'checkbox'));
}

export function startKeys(): void {
  let prefix = '';
  let timer = 0;
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    if (event.key === 'F6') {
      event.preventDefault();
      return focusRegion(event.shiftKey ? 'previous' : 'next');
    }
    if (event.ctrlKey && event.key === '`' && !reading()) {
      event.preventDefault();
      if (terminalHasFocus()) return focusLesson();
      showBench();
      return focusBench();
    }
    if (!single() || event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || document.querySelector('dialog[open]')) return;
    const name = prefix ? `${prefix} ${event.key}` : event.key;
    prefix = '';
    clearTimeout(timer);
    if (name === 'g') {
      prefix = 'g';
      timer = window.setTimeout(() => (prefix = ''), 1200);
      return;
    }
    const key = KEYS.find((one) => one.keys === name);
    if (!key || (needsMachine(key) && reading())) return;
    event.preventDefault();
    key.act();
  });
}
