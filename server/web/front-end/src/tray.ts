// On a phone the machine is behind the book. What a block prints is told in a tray under the text, live, with how it ended;
// the text stays where it is, and the terminal is one tap away.

import { announce, h, icon, iconButton, one } from './dom';
import { isBusy, reveal, termOf } from './bench';
import { behind, onPanes } from './panes';
import type { Printed, Term } from './terminal';
import type { RunPhase } from './types';

/** What the tray is about. */
interface Told {
  /** `ch02/look`; empty for a key that was pressed. */
  id: string;
  session: string;
  figure: HTMLElement;
}

/** So many lines of a command are kept here; the terminal has all of them. */
const MOST = 120;
/** So much of what was printed is read out at the end. */
const READ_OUT = 300;

let told: Told | null = null;
/** The block that was run is kept in view until the reader scrolls. */
let keeping = false;
let frame = 0;

const line = h('code');
const fold = h('button', { type: 'button', class: 'tray-fold', 'aria-expanded': 'true', 'aria-controls': 'tray-body', onclick: () => unfold(fold.getAttribute('aria-expanded') !== 'true') }, icon('down'), line);
const state = h('span', { class: 'tray-state', role: 'status' });
const body = h('div', { class: 'tray-body', id: 'tray-body', role: 'group', 'aria-label': 'What it printed', tabindex: 0 });
const tray = h(
  'section',
  { class: 'tray', 'aria-label': 'Output', hidden: true },
  h('div', { class: 'tray-head' }, fold, state, h('button', { type: 'button', class: 'act', title: 'Go to the terminal', onclick: () => void (told && reveal(told.session, true)) }, icon('bench'), 'Terminal'), iconButton('close', 'Close the output', close)),
  body,
);

function unfold(open: boolean): void {
  fold.setAttribute('aria-expanded', String(open));
  body.hidden = !open;
  paint();
}

function close(): void {
  const { figure } = told ?? {};
  told = null;
  tray.hidden = true;
  figure?.querySelector<HTMLElement>('.run')?.focus({ preventScroll: true });
}

/** From here on the tray tells what this block prints, where the machine is not beside the book. */
export function follow(about: Told, title: string): void {
  if (!behind()) return;
  told = about;
  keeping = true;
  termOf(about.session)?.begin(isBusy(about.session));
  line.textContent = title;
  says('running', about.id ? 'running' : '');
  body.replaceChildren();
  tray.hidden = false;
  unfold(true);
}

function says(is: string, words: string): void {
  tray.dataset['state'] = is;
  state.textContent = words;
}

/** How far the block is. */
export function trayPhase(id: string, phase: RunPhase | null): void {
  if (told?.id !== id) return;
  if (!phase) return close();
  const words = told.figure.querySelector('.result')?.textContent ?? '';
  says(told.figure.dataset['run'] ?? '', words);
  paint();
  const term = termOf(told.session);
  if (phase.phase !== 'running') term?.rest(() => readOut(term, words));
}

function readOut(term: Term, words: string): void {
  const text = term.transcript(MOST).pieces.at(-1)?.lines.join('\n') ?? '';
  announce(`${words}. ${text.length > READ_OUT ? `… ${text.slice(-READ_OUT)}` : text}`);
  paint();
}

/** A terminal has printed something. */
export function printed(session: string): void {
  if (session !== told?.session || tray.hidden) return;
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(paint);
}

/** A table, or what is indented, is moved under the finger; a sentence goes on in the next line. */
const isTable = (text: string): boolean => / {3}|\t/.test(text);

function painted({ line: typed, lines }: Printed, alone: boolean): HTMLElement[] {
  const rows = lines.map((text) => h('span', { class: isTable(text) ? 'row' : null }, `${text}\n`));
  const before = alone || !typed ? [] : [h('p', {}, typed.split('\n')[0])];
  return [...before, ...(rows.length ? [h('pre', {}, ...rows)] : [])];
}

function paint(): void {
  if (!told || tray.hidden) return;
  const term = termOf(told.session);
  if (!term || body.hidden) return keepInView();
  const { pieces, screen } = term.transcript(MOST);
  const last = pieces.at(-1);
  if (last?.line) line.textContent = last.line.split('\n')[0] ?? '';
  const below = body.scrollHeight - body.scrollTop - body.clientHeight < 24;
  const shown = pieces.flatMap((piece) => painted(piece, pieces.length === 1));
  const silent = tray.dataset['state'] !== 'running' && !pieces.some(({ lines }) => lines.length > 0);
  const note = screen ? 'This program uses the whole terminal.' : silent ? 'It printed nothing.' : null;
  body.replaceChildren(...(screen ? [] : shown), ...(note ? [h('p', { class: 'note' }, note)] : []));
  if (below) body.scrollTop = body.scrollHeight;
  keepInView();
}

/** The tray takes its room from the text: what was run does not go under it. */
function keepInView(): void {
  if (keeping) told?.figure.scrollIntoView({ block: 'nearest' });
}

export function startTray(): void {
  one('[data-desk]').after(tray);
  for (const moved of ['wheel', 'touchmove', 'keydown'] as const) one('#lesson').addEventListener(moved, () => (keeping = false), { passive: true });
  onPanes(() => {
    if (!behind() && told) paint();
  });
}
