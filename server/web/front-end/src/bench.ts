// The machine beside the book: tabs of terminals and files, the picture under them.

import { all, announce, h, icon, iconButton } from './dom';
import { call, world } from './net';
import { lookBack } from './back';
import { ask } from './dialogs';
import { behind, focusLesson, focusRegion, showBench } from './panes';
import { ran, typedByHand } from './lesson';
import { commandBegan, commandEnded } from './strip';
import { pictureShown, togglePicture } from './picture';
import { printed } from './tray';
import { millis } from './words';
import { Browser, placeOf } from './browser';
import type { Editor } from './editor';
import type { Term } from './terminal';
import type { Mode } from './types';

interface Tab {
  /** `main`, or `file:ch02/web.yaml`. */
  key: string;
  button: HTMLButtonElement;
  panel: HTMLElement;
  term?: Term;
  editor?: Editor;
  browser?: Browser;
  mode?: Mode;
}

const chapter = document.documentElement.dataset['chapter'] ?? '';
const tabs = new Map<string, Tab>();
const tablist = h('div', { class: 'tablist', role: 'tablist', 'aria-label': 'Terminals and files' });
const panels = h('div', { class: 'terms' });
const closeButton = iconButton('close', 'Close this tab', () => void closeTab(selected));
let selected = '';

export const bench = h('aside', { class: 'bench', 'aria-label': 'Workbench', 'data-region': true });

/** Keys a touch screen does not have. */
const KEYS: [string, string, string][] = [
  ['Esc', '\x1b', 'Escape'],
  ['Tab', '\t', 'Tab'],
  ['Ctrl', 'Ctrl', 'Control, for the next key'],
  ['\u2191', '\x1b[A', 'Up'],
  ['\u2193', '\x1b[B', 'Down'],
  ['\u2190', '\x1b[D', 'Left'],
  ['\u2192', '\x1b[C', 'Right'],
  ['|', '|', 'Pipe'],
  ['/', '/', 'Slash'],
  ['-', '-', 'Dash'],
];

const keybar = h(
  'div',
  { class: 'keybar', role: 'group', 'aria-label': 'Keys for the terminal' },
  ...KEYS.map(([name, sends, label]) => {
    const press = (): void => {
      const term = tabs.get(selected)?.term;
      term?.press(sends);
      if (sends === 'Ctrl') button.setAttribute('aria-pressed', String(term?.holdsControl === true));
    };
    const button: HTMLButtonElement = h('button', { type: 'button', class: 'tool', 'aria-label': label, 'aria-pressed': sends === 'Ctrl' ? 'false' : null, onclick: press }, name);
    return button;
  }),
);

/** The key of the one tab that is a browser. */
const WEB = 'web:';
const isFile = (key: string): boolean => key.startsWith('file:');
const title = (key: string): string => (key === WEB ? 'Browser' : isFile(key) ? (key.split('/').at(-1) ?? key).replace('file:', '') : key === 'main' ? 'Terminal' : key.replace(/^t(\d+)$/, 'Terminal $1'));

function makeTab(key: string): Tab {
  const old = tabs.get(key);
  if (old) return old;
  const id = `tab-${key.replace(/[^a-z0-9]+/gi, '-')}`;
  const button = h(
    'button',
    { type: 'button', class: 'tab', role: 'tab', id, 'aria-controls': `${id}-panel`, 'aria-selected': 'false', tabindex: -1, title: isFile(key) ? key.slice(5) : null, onclick: () => select(key, true) },
    key === WEB ? icon('globe') : isFile(key) ? icon('file') : h('span', { class: 'busy', 'aria-hidden': 'true' }),
    h('span', {}, title(key)),
    h('span', { class: 'polite', 'data-tab-state': true }),
  );
  const panel = h('div', { class: 'panel', role: 'tabpanel', id: `${id}-panel`, 'aria-labelledby': id, hidden: true });
  const tab: Tab = { key, button, panel };
  tabs.set(key, tab);
  tablist.append(button);
  panels.append(panel);
  remember();
  return tab;
}

function remember(): void {
  world.arrange({ benches: { ...world.layout.benches, [chapter]: { tabs: [...tabs.keys()], tab: selected } } });
}

/** Show a tab; what it needs is loaded now. */
export async function select(key: string, focus: boolean): Promise<Tab> {
  const tab = makeTab(key);
  selected = key;
  for (const other of tabs.values()) {
    const on = other === tab;
    other.button.setAttribute('aria-selected', String(on));
    other.button.tabIndex = on ? 0 : -1;
    other.panel.hidden = !on;
  }
  closeButton.hidden = key === 'main';
  tab.button.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  remember();
  if (key === WEB) fillBrowser(tab);
  else if (isFile(key)) await fillEditor(tab);
  else await fillTerminal(tab);
  tab.term?.fit();
  if (focus && selected === key) (tab.term ?? tab.editor ?? tab.browser)?.focus();
  return tab;
}

async function fillTerminal(tab: Tab): Promise<void> {
  if (tab.term) return;
  const { Term } = await import('./terminal');
  await document.fonts.load('13px "JetBrains Mono"').catch(() => undefined);
  if (tab.term) return;
  const term = new Term(tab.key, {
    mode: (mode) => showMode(tab, mode),
    run: (id, phase) => ran(id, phase),
    printed: () => printed(tab.key),
    released: () => keybar.querySelector('[aria-pressed]')?.setAttribute('aria-pressed', 'false'),
    page: (address) => void openPage(address),
    forwards: (port, now) => {
      const still = tab.mode?.mode === 'busy' && tab.mode.line.includes('port-forward');
      if (port && (now || still)) offer(tab.key, port);
    },
    leave: (way) => (way === 'back' ? focusLesson() : focusRegion(way)),
  });
  tab.term = term;
  tab.panel.append(term.element);
  term.open();
}

/** A port that is forwarded now is one click away, for as long as the forward lasts. */
const offered = h('button', { type: 'button', class: 'tool worded offered', hidden: true }, icon('globe'), h('span', {}));
let offeredBy = '';

function offer(session: string, port: string): void {
  offeredBy = session;
  offered.hidden = false;
  offered.title = `Open http://localhost:${port}/ in the browser pane`;
  offered.setAttribute('aria-label', `Open localhost:${port}`);
  offered.dataset['port'] = port;
  const words = offered.querySelector('span');
  if (words) words.textContent = `localhost:${port}`;
}

function fillBrowser(tab: Tab): void {
  if (tab.browser) return;
  tab.browser = new Browser();
  tab.panel.append(tab.browser.element);
  const place = world.layout.web ? placeOf(world.layout.web) : null;
  if (place) tab.browser.go(place);
}

/** Show a page of the cluster: `http://localhost:8080/`, `web.default:80`, or a pane's own name. */
export async function openPage(address: string): Promise<void> {
  const place = /^p\d+/.test(address) ? { pane: address, path: '/' } : placeOf(address);
  if (!place) return;
  world.arrange({ web: '' });
  showBench();
  const tab = await select(WEB, false);
  tab.browser?.go(place);
}

async function fillEditor(tab: Tab): Promise<void> {
  if (tab.editor) return tab.editor.refresh();
  const { Editor } = await import('./editor');
  if (tab.editor) return;
  const editor = new Editor(tab.key.slice(5), (changed) => tab.button.toggleAttribute('data-changed', changed));
  tab.editor = editor;
  tab.panel.append(editor.element);
  await editor.open();
}

function showMode(tab: Tab, mode: Mode): void {
  const before = tab.mode;
  tab.mode = mode;
  tab.button.dataset['mode'] = mode.mode;
  const says = mode.mode === 'busy' ? `, running ${mode.program}` : mode.mode === 'ended' ? ', ended' : '';
  const place = tab.button.querySelector('[data-tab-state]');
  if (place) place.textContent = says;
  if (mode.mode !== 'busy' && offeredBy === tab.key) offered.hidden = true;
  if (mode.mode === 'busy' && before?.mode === 'prompt') commandBegan(tab.key, mode.line || mode.program);
  if (mode.mode === 'prompt' && before?.mode === 'busy') {
    commandEnded(tab.key);
    typedByHand(before.line);
    void lookBack();
    for (const other of tabs.values()) if (other.editor && !other.panel.hidden) void other.editor.refresh();
  }
}

/** Have a terminal ready to be typed into: beside the book it is shown; behind it, its tray tells what comes. */
export async function prepare(session: string, focus: boolean): Promise<void> {
  if (behind()) await select(session, false);
  else await reveal(session, focus);
}

/** Show a terminal, in whatever arrangement shows the machine. */
export async function reveal(session: string, focus: boolean): Promise<void> {
  showBench();
  await select(session, focus);
}

export async function openFile(path: string): Promise<void> {
  showBench();
  await select(`file:${path}`, true);
}

type ModeName = Mode['mode'] | undefined;

/** Until a terminal has left these modes, or it is clear that it will not. */
function left(session: string, modes: ModeName[]): Promise<void> {
  const still = (): boolean => modes.includes(tabs.get(session)?.mode?.mode);
  if (!still()) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      clearInterval(look);
      clearTimeout(late);
      resolve();
    };
    const look = setInterval(() => still() || done(), 20);
    const late = setTimeout(done, 4000);
  });
}

/** Until a terminal that was opened a moment ago has its prompt. */
export const prompted = (session: string): Promise<void> => left(session, ['starting', 'unmarked', undefined]);

/** Until what was interrupted has ended: whether the shell is in front again. */
export async function released(session: string): Promise<boolean> {
  await left(session, ['busy']);
  return tabs.get(session)?.mode?.mode === 'prompt';
}

/** Whether a program is in front in a terminal. */
export const isBusy = (session: string): boolean => tabs.get(session)?.mode?.mode === 'busy';

/** The line that runs in a terminal; empty where nobody said. */
export function runningLine(session: string): string {
  const mode = tabs.get(session)?.mode;
  return mode?.mode === 'busy' ? mode.line : '';
}

export async function newTerminal(): Promise<string> {
  const taken = new Set([...tabs.keys(), ...(await call<string[]>('GET', '/api/terminals').catch(() => []))]);
  let number = 2;
  while (taken.has(`t${number}`)) number++;
  await reveal(`t${number}`, true);
  return `t${number}`;
}

async function closeTab(key: string): Promise<void> {
  const tab = tabs.get(key);
  if (!tab || key === 'main') return;
  const gone = (): void => {
    const keys = [...tabs.keys()];
    const neighbor = keys[keys.indexOf(key) - 1] ?? 'main';
    tab.term?.dispose();
    tab.editor?.dispose();
    tab.browser?.dispose();
    tab.button.remove();
    tab.panel.remove();
    tabs.delete(key);
    if (!isFile(key) && key !== WEB) call('DELETE', `/api/terminals/${key}`).catch(() => undefined);
    void select(neighbor, true);
  };
  if (tab.mode?.mode === 'busy') {
    const text = `${tab.mode.program} still runs in it and ends with it.`;
    ask('Close this terminal?', [h('p', {}, text)], [{ text: 'Keep it' }, { text: 'Close it', main: true, danger: true, act: gone }]);
  } else if (tab.editor?.changed) {
    const text = 'What you changed has not been saved.';
    ask('Close this file?', [h('p', {}, text)], [{ text: 'Keep it open' }, { text: 'Close without saving', main: true, danger: true, act: gone }]);
  } else gone();
}

/** What a section works on: the files it shows; of a lab, the directory that its text names. */
function placesOf(section: Element | null): string[] {
  if (!section) return [];
  const files = all('.listing[data-path]', section).map((figure) => figure.dataset['path'] ?? '');
  if (section.getAttribute('data-section') !== 'lab') return files;
  const said = all('p code, li code', section).map((code) => /^(?:cd )?~\/([\w.-]+(?:\/[\w.-]+)*)\/?$/.exec(code.textContent ?? '')?.[1]);
  const directory = said.find((path) => path?.includes('/'))?.replace(/\/[^/]*\.\w+$/, '');
  return directory ? [`${directory}/`, ...files] : files;
}

/** Which file? The ones the lesson names are offered, those of the section that is read first. */
export function askForFile(): void {
  const here = document.querySelector<HTMLAnchorElement>('[data-contents] .sections a[aria-current]')?.hash.slice(1);
  const section = here ? document.getElementById(decodeURIComponent(here)) : null;
  const named = [...placesOf(section), ...all('.listing[data-path]').map((figure) => figure.dataset['path'] ?? '')];
  const list = h('datalist', { id: 'files' }, ...[...new Set(named)].map((path) => h('option', { value: path })));
  const input = h('input', { class: 'field', type: 'text', id: 'which-file', list: 'files', 'aria-describedby': 'which-file-says', value: named[0] ?? '', spellcheck: 'false', autocomplete: 'off', autofocus: true });
  const act = (): void => {
    if (input.value.trim()) void openFile(input.value.trim().replace(/^~\//, ''));
  };
  const dialog = ask('Open a file', [h('label', { for: 'which-file' }, 'Path in your home directory'), input, list, h('p', { class: 'field-says', id: 'which-file-says' }, 'A name that is not there yet makes a new file.')], [{ text: 'Cancel' }, { text: 'Open', main: true, act }]);
  input.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault();
    dialog.close();
    act();
  });
  if (input.value.endsWith('/')) input.setSelectionRange(input.value.length, input.value.length);
  else input.select();
}

export function focusBench(): void {
  const tab = tabs.get(selected);
  (tab?.term ?? tab?.editor ?? tab?.browser ?? tab?.button)?.focus();
}

export function terminalHasFocus(): boolean {
  return [...tabs.values()].some((tab) => tab.term?.hasFocus);
}

function tabKeys(event: KeyboardEvent): void {
  const keys = [...tabs.keys()];
  const at = keys.indexOf(selected);
  const to = { ArrowRight: keys[(at + 1) % keys.length], ArrowLeft: keys[(at - 1 + keys.length) % keys.length], Home: keys[0], End: keys.at(-1) }[event.key];
  if (event.key === 'Delete') return void closeTab(selected);
  if (!to) return;
  event.preventDefault();
  void select(to, false).then((tab) => tab.button.focus());
}

/** While the machine is not there: what it is doing, or what is wrong and what to do. */
function paintBoot(boot: HTMLElement): void {
  const { phase, steps } = world.status;
  boot.hidden = phase.name === 'ready';
  if (boot.hidden) return boot.replaceChildren();
  if (phase.name === 'failed') {
    const again = h('button', { type: 'button', class: 'button', onclick: () => location.reload() }, 'Load again');
    const trouble = h('div', { class: 'trouble' }, h('h2', {}, phase.what), h('p', {}, phase.why), h('p', {}, h('strong', {}, 'Next: '), phase.next), again);
    return boot.replaceChildren(trouble);
  }
  if (phase.name === 'resetting') {
    if (boot.querySelector('[data-resetting]')) return;
    const slow = h('p', { hidden: true }, 'This takes longer than usual. It is given up after two minutes, with a word about what to do.');
    setTimeout(() => (slow.hidden = false), 20_000);
    return boot.replaceChildren(h('div', { 'data-resetting': true }, h('h2', {}, 'Putting things back'), slow));
  }
  const heading = h('h2', {}, 'Starting your cluster');
  const now = steps.findIndex((step) => !step.done);
  const list = steps.map((step, index) =>
    h('li', { 'data-state': step.done ? 'done' : index === now ? 'now' : 'later' }, h('span', { class: 'tick', 'aria-hidden': 'true' }), h('span', {}, step.label), h('span', { class: 'ms' }, step.millis === null ? '' : millis(step.millis))),
  );
  boot.replaceChildren(h('div', {}, heading, h('ol', {}, ...list)));
}

export function startBench(picture: HTMLElement, beside: HTMLElement, between: HTMLElement): void {
  const add = iconButton('plus', 'New terminal', () => void newTerminal());
  const edit = h('button', { type: 'button', class: 'tool worded', title: 'Open a file in the editor', onclick: askForFile }, icon('edit'), h('span', {}, 'Editor'));
  const web = h('button', { type: 'button', class: 'tool worded', title: 'Pages of your cluster', onclick: () => void select(WEB, true) }, icon('globe'), h('span', {}, 'Browser'));
  const cluster = h('button', { type: 'button', class: 'tool worded', 'aria-pressed': String(pictureShown()), title: 'Show the cluster', onclick: () => cluster.setAttribute('aria-pressed', String(togglePicture())) }, icon('graph'), h('span', {}, 'Cluster'));
  offered.addEventListener('click', () => void openPage(`http://localhost:${offered.dataset['port']}/`));
  const boot = h('div', { class: 'boot', role: 'status', hidden: true });
  tablist.addEventListener('keydown', tabKeys);
  bench.append(beside, h('div', { class: 'tabs' }, tablist, add, closeButton, h('div', { class: 'rest' }, offered, edit, web, cluster)), panels, keybar, between, picture);
  panels.append(boot);
  document.querySelector('[data-desk]')?.append(bench);
  let phase = '';
  world.on('status', () => {
    paintBoot(boot);
    const name = world.status.phase.name;
    bench.dataset['phase'] = name;
    if (phase && phase !== name && name === 'ready') announce('The cluster is ready');
    phase = name;
  });
  const { tabs: kept, tab } = world.layout.benches?.[chapter] ?? { tabs: [], tab: 'main' };
  const shown = tab || 'main';
  for (const key of new Set(['main', ...kept])) makeTab(key);
  void select(tabs.has(shown) ? shown : 'main', false);
}

export const termOf = (session: string): Term | undefined => tabs.get(session)?.term;

/** For the tests: what a terminal shows. */
export function terminalText(session: string): string | undefined {
  return termOf(session)?.text();
}
