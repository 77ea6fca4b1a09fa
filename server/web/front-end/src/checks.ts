// Checks where the sentence is: quiet lines that turn by themselves, why not, hints.

import { ago, all, announce, h, one } from './dom';
import { Refused, call, world } from './net';
import { light } from './picture';
import { sentence, value } from './words';
import type { Verdict } from './types';

type Shown = 'pass' | 'fail' | 'waiting' | 'todo' | 'error';

const chapter = document.documentElement.dataset['chapter'] ?? '';
const WORDS: Record<Shown, string> = { pass: 'Passed: ', fail: 'Not true yet: ', waiting: 'Waiting: ', todo: 'To do: ', error: 'Cannot be judged: ' };
/** Reasons that only say that the thing is not there yet: no news, no color. */
const QUIET = new Set(['not-tried', 'not-yet', 'absent']);

/** The cluster still shows another chapter, so nothing is judged here. */
const undecided = (): boolean => chapter !== '' && world.book.scene !== null && world.book.scene !== chapter;

/** `chapter 2`, as the contents count it. */
function thisChapter(): string {
  const number = document.querySelector(`[data-contents] li[data-chapter="${CSS.escape(chapter)}"] > a > .n`)?.textContent;
  return number ? `chapter ${number}` : 'this chapter';
}

/** What a check looks like, from its verdict and what was kept of it. */
export function shown(id: string): Shown {
  const verdict = world.verdicts.get(id);
  const kept = id in world.book.passed;
  if (undecided()) return kept || verdict?.verdict === 'pass' ? 'pass' : 'todo';
  if (!verdict) return kept ? 'pass' : 'todo';
  if (verdict.verdict === 'fail') return QUIET.has(verdict.reason ?? '') ? (kept ? 'pass' : 'todo') : 'fail';
  if (verdict.verdict === 'waiting') return kept ? 'pass' : 'waiting';
  return verdict.verdict;
}

function note(id: string, state: Shown, verdict: Verdict | undefined): Node | string {
  if (undecided() && state === 'todo') return `Choose above the terminal how ${thisChapter()} begins; nothing is judged before.`;
  if (verdict?.lost && !undecided() && !isDone(id)) return sentence(`Passed. ${lostSentence(verdict)}`);
  if (state === 'pass') {
    const when = ago(world.book.passed[id] ?? verdict?.since ?? '');
    return when ? `Passed ${when === 'now' ? 'just now' : when}` : 'Passed';
  }
  const why = verdict?.why[0];
  if (why) return sentence(why);
  const seen = verdict?.evidence[0];
  if (state === 'fail' && seen) return `${seen.object || seen.source}: saw ${value(seen.got)}, wanted ${value(seen.want)}`;
  return state === 'waiting' ? 'Watching for it' : '';
}

/** When it stopped being true, by what, and what is so now. */
function lostSentence({ since, why }: Verdict): string {
  const when = ago(since);
  const by = why[1] ? ` ${lowerFirst(why[1]).replace(/\.$/, '')}` : '';
  return `No longer true${by}${when ? ` (${when === 'now' ? 'just now' : when})` : ''}: ${lowerFirst(why[0] ?? 'something has changed it')}`;
}

/** The exercise it belongs to is done: what becomes of it later is no business of the reader's, unless asked for. */
function isDone(id: string): boolean {
  const section = document.getElementById(`check-${id}`)?.closest<HTMLElement>('section');
  if (!section) return false;
  const { passed, total } = tally(deciding(section));
  return total > 0 && passed === total;
}

function lowerFirst(text: string): string {
  return /^[A-Z][a-z]/.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text;
}

function paint(line: HTMLElement, fresh: boolean): void {
  const id = line.dataset['check'] ?? '';
  const verdict = world.verdicts.get(id);
  const before = line.dataset['state'];
  const state = shown(id);
  line.dataset['state'] = state;
  line.toggleAttribute('data-lost', verdict?.lost === true);
  one('[data-word]', line).textContent = WORDS[state];
  const says = note(id, state, verdict);
  const text = typeof says === 'string' ? says : (says.textContent ?? '');
  const above = line.previousElementSibling;
  // The same reason is given once for neighbors that wait for the same thing.
  const repeats = (state === 'waiting' || state === 'todo') && above instanceof HTMLElement && above.dataset['says'] === text;
  line.dataset['says'] = text;
  one('[data-note]', line).replaceChildren(repeats ? '' : says);
  const why = line.querySelector<HTMLButtonElement>('.why');
  const explained = verdict !== undefined && (state !== 'todo' || verdict.reason === 'absent') && (verdict.lost || verdict.evidence.length > 0 || verdict.why.length > 1 || verdict.look_at.length > 0);
  if (why) {
    why.hidden = !(explained && (state !== 'pass' || verdict.lost));
    why.textContent = verdict?.lost ? 'Changed since' : 'Why?';
  }
  if (why?.getAttribute('aria-expanded') === 'true') {
    if (why.hidden) close(line);
    else explain(line);
  }
  if (fresh && before !== state) {
    line.toggleAttribute('data-fresh', state === 'pass');
    if (state === 'pass') announce(`Passed: ${plain(line)}`);
    if (before === 'pass' && state === 'fail') announce(`No longer true: ${plain(line)}`);
  }
}

function plain(line: HTMLElement): string {
  return one('[data-say]', line).textContent ?? '';
}

function close(line: HTMLElement): void {
  line.querySelector('.why-panel')?.remove();
  line.querySelector('.why')?.setAttribute('aria-expanded', 'false');
}

/** Where was looked when it is not one object. */
const PLACES: Record<string, string> = {
  object: 'the cluster', list: 'the cluster', gone: 'the cluster', history: 'what has happened', saw: 'your commands', stream: 'connections', read: 'what was asked',
  container: 'the node', log: 'the log', http: 'the answer', exec: 'a command', file: 'the file', answer: 'your answer',
};

/** What there is when it is so, and when it is not. */
const THERE: Record<string, [string, string]> = {
  http: ['an answer', 'no answer'], answer: ['the right one', 'another one'], file: ['text like that', 'nothing like that'], log: ['a line like that', 'none like that'],
  saw: ['one that fits', 'none that fits'], stream: ['one that fits', 'none that fits'], read: ['one that fits', 'none that fits'], history: ['it happened', 'it has not happened'],
};
/** Whether something is there, in words; other values as they are. */
const there = (seen: unknown, source: string): string => (typeof seen === 'boolean' ? (THERE[source] ?? ['one', 'none'])[seen ? 0 : 1] : value(seen));

/** The evidence and the first sentence are free; where to look and what to change are asked for. */
function explain(line: HTMLElement): void {
  const verdict = world.verdicts.get(line.dataset['check'] ?? '');
  if (!verdict) return;
  const level = Number(line.dataset['spoil'] ?? '0');
  const panel = h('div', { class: 'why-panel' });
  const wrong = verdict.evidence.filter((seen) => JSON.stringify(seen.got) !== JSON.stringify(seen.want));
  for (const seen of (wrong.length ? wrong : verdict.evidence).slice(0, 3)) {
    const list = h('dl');
    const subject = [seen.object, seen.path].filter(Boolean).join(' ');
    const words = (what: unknown): string => (seen.path === '' ? there(what, seen.source) : value(what)) ?? '';
    list.append(h('dt', {}, 'looked at'), h('dd', {}, subject ? h('code', {}, subject) : (PLACES[seen.source] ?? seen.source)));
    list.append(h('dt', {}, 'saw'), h('dd', { class: 'saw' }, h('code', {}, words(seen.got))));
    list.append(h('dt', {}, 'wanted'), h('dd', { class: 'wanted' }, h('code', {}, words(seen.want))));
    panel.append(list);
  }
  const told = verdict.lost ? [lostSentence(verdict), 'It counts all the same: it was true when it was asked for.'] : verdict.why.slice(1, 1 + level);
  for (const text of told) panel.append(h('p', {}, sentence(text)));
  const row = h('p', { class: 'why-row' });
  for (const object of verdict.look_at.slice(0, 4)) {
    row.append(h('button', { type: 'button', class: 'object-link', onclick: () => light(object) }, object));
  }
  const more = verdict.lost ? 0 : verdict.why.length - 1 - level;
  if (more > 0) {
    const say = level === 0 ? 'Where do I look?' : 'What do I change?';
    const act = (): void => {
      line.dataset['spoil'] = String(level + 1);
      explain(line);
      line.querySelector<HTMLElement>('.why-panel button:last-child')?.focus();
    };
    row.append(h('button', { type: 'button', class: 'act', onclick: act }, say));
  }
  if (row.childElementCount) panel.append(row);
  const old = line.querySelector('.why-panel');
  if (old) old.replaceWith(panel);
  else one('.check-tools', line).after(panel);
}

export function toggleWhy(line: HTMLElement): void {
  const why = line.querySelector<HTMLButtonElement>('.why');
  if (!why || why.hidden) return;
  if (why.getAttribute('aria-expanded') === 'true') return close(line);
  why.setAttribute('aria-expanded', 'true');
  explain(line);
}

interface Hint {
  number: number;
  total: number;
  html: string;
}

async function fetchHint(line: HTMLElement, number?: number): Promise<void> {
  const hint = await call<Hint>('POST', '/api/hints', { chapter, check: line.dataset['check'], number });
  let list = line.querySelector('.hints');
  if (!list) {
    list = h('ol', { class: 'hints', 'aria-label': 'Hints' });
    line.append(list);
  }
  if (list.children.length >= hint.number) return;
  const item = h('li');
  // Made by the server from the lesson's own text.
  item.innerHTML = hint.html;
  list.append(item);
}

export async function nextHint(line: HTMLElement): Promise<void> {
  const button = line.querySelector<HTMLButtonElement>('.hint');
  const seen = line.querySelectorAll('.hints li').length;
  if (!button || button.hidden || line.dataset['state'] === 'pass' || seen >= Number(line.dataset['hints'])) return;
  try {
    await fetchHint(line, seen + 1);
  } catch (error) {
    announce(error instanceof Refused ? error.message : String(error));
    return;
  }
  announce(line.querySelector('.hints li:last-child')?.textContent ?? '');
  label(line);
}

function label(line: HTMLElement): void {
  const button = line.querySelector<HTMLButtonElement>('.hint');
  const total = Number(line.dataset['hints']);
  if (!button) return;
  const seen = line.querySelectorAll('.hints li').length;
  button.textContent = seen === 0 ? 'Hint' : `Hint ${seen + 1} of ${total}`;
  button.hidden = seen >= total;
}

async function seenHints(line: HTMLElement): Promise<void> {
  const seen = world.book.hints[line.dataset['check'] ?? ''] ?? 0;
  for (let number = line.querySelectorAll('.hints li').length + 1; number <= seen; number++) await fetchHint(line, number);
  if (seen === 0) line.querySelector('.hints')?.remove();
  label(line);
}

export async function judgeAgain(line: HTMLElement): Promise<void> {
  const id = line.dataset['check'] ?? '';
  try {
    const verdict = await call<Verdict>('POST', `/api/checks/${encodeURIComponent(id)}/now`);
    world.verdicts.set(id, verdict);
    paint(line, true);
    announce(`${one('[data-word]', line).textContent}${plain(line)}`);
  } catch (error) {
    announce(error instanceof Refused ? error.message : String(error));
  }
}

/** How many of these checks are passed. */
export function tally(ids: string[]): { passed: number; total: number } {
  return { passed: ids.filter((id) => shown(id) === 'pass').length, total: ids.length };
}

/** The checks of a section that count. */
export function counted(section: Element): string[] {
  return all('.check[data-optional="false"]', section).map((line) => line.dataset['check'] ?? '');
}

/** The checks that say whether a section is done: those that count, of a drill all. */
export function deciding(section: Element): string[] {
  const ids = counted(section);
  return ids.length ? ids : all('.check', section).map((line) => line.dataset['check'] ?? '');
}

export function startChecks(): void {
  const lines = all('.check');
  for (const line of lines) {
    const say = one('.say', line);
    const text = h('span', { 'data-say': true }, ...say.childNodes);
    say.replaceChildren(h('span', { class: 'polite', 'data-word': true }), text);
    line.tabIndex = -1;
    const tools = one('[data-check-tools]', line);
    tools.append(h('button', { type: 'button', class: 'act why', 'aria-expanded': 'false', hidden: true, onclick: () => toggleWhy(line) }, 'Why?'));
    if (Number(line.dataset['hints']) > 0) tools.append(h('button', { type: 'button', class: 'act hint', onclick: () => void nextHint(line) }, 'Hint'));
    paint(line, false);
  }
  world.on('verdict', ({ check, fresh }) => {
    for (const line of lines) if (check === undefined || line.dataset['check'] === check) paint(line, fresh);
  });
  world.on('progress', ({ fresh }) => {
    for (const line of lines) paint(line, false);
    if (!fresh) for (const line of lines) void seenHints(line);
    else for (const line of lines) if (!(line.dataset['check']! in world.book.hints)) void seenHints(line);
  });
  setInterval(() => {
    for (const line of lines) if (line.dataset['state'] === 'pass') paint(line, false);
  }, 10_000);
}
