// What can be done with the blocks of a lesson: run, copy, open, answer.

import { all, announce, h, icon, one } from './dom';
import type { Icon } from './dom';
import { Refused, call, world } from './net';
import { refusedRun, toast } from './dialogs';
import { openFile, openPage, prepare, prompted } from './bench';
import { sceneSettled } from './scene';
import { follow, trayPhase } from './tray';
import { sentence } from './words';
import type { Given, RunPhase } from './types';

const chapter = document.documentElement.dataset['chapter'] ?? '';

function act(name: Icon, text: string | null, label: string, does: (event: MouseEvent) => void, more = ''): HTMLButtonElement {
  return h('button', { type: 'button', class: `act ${text ? '' : 'icon'} ${more}`, 'aria-label': text ? null : label, title: label, onclick: does }, icon(name), text);
}

async function copy(text: string, button: HTMLButtonElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    return toast('This browser does not let a page copy. Select the text and press Ctrl+C.');
  }
  announce('Copied');
  button.replaceChildren(icon('check'));
  button.dataset['done'] = '';
  setTimeout(() => {
    button.replaceChildren(icon('copy'));
    delete button.dataset['done'];
  }, 1400);
}

function copyButton(figure: HTMLElement): HTMLButtonElement {
  const text = one('code[data-text]', figure).dataset['text'] ?? '';
  const button = act('copy', null, 'Copy', () => void copy(text, button));
  return button;
}

interface Way {
  byKeyboard: boolean;
  /** Another terminal than the block's. */
  session?: string | undefined;
  /** Commands at the beginning that are left out. */
  skip?: number;
}

/** Type a block into its terminal. */
export async function run(figure: HTMLElement, way: Way): Promise<void> {
  if (figure.dataset['run'] === 'running') return;
  if (!(await sceneSettled())) return;
  const block = figure.dataset['command'] ?? '';
  const name = way.session ?? figure.dataset['session'] ?? 'main';
  mark(figure, { phase: 'running' });
  await prepare(name, !way.byKeyboard);
  await prompted(name);
  const id = `${chapter}/${block}`;
  follow({ id, session: name, figure }, (one('code[data-text]', figure).dataset['text'] ?? '').split('\n').find((text) => text && !text.startsWith('#')) ?? '');
  try {
    await call('POST', '/api/runs', { chapter, block, session: way.session, skip: way.skip });
  } catch (error) {
    mark(figure, null);
    trayPhase(id, null);
    if (error instanceof Refused && error.status === 409) return refusedRun(error, name, (session) => void run(figure, { ...way, session }));
    toast(error instanceof Refused ? error.message : String(error));
  }
}

/** What became of blocks that were run, as their terminals tell, after a reload and a restart too. */
const outcomes = new Map<string, RunPhase>();

/** What of a block has come, in a word beside it; where it was halted, in a sentence below. */
function mark(figure: HTMLElement, phase: RunPhase | null): void {
  const button = figure.querySelector<HTMLButtonElement>('.run');
  const result = figure.querySelector<HTMLElement>('.result');
  if (!button || !result) return;
  const wanted = figure.dataset['exit'];
  const block = `${chapter}/${figure.dataset['command']}`;
  const known = world.book.runs.includes(block);
  if (!phase && known) phase = outcomes.get(block) ?? null;
  let state = '';
  let says = '';
  if (phase?.phase === 'running') [state, says] = ['running', 'running'];
  else if (phase?.phase === 'stopped') [state, says] = ['stopped', 'stopped'];
  else if (phase?.phase === 'halted') [state, says] = ['failed', `exit ${phase.exit}`];
  else if (phase?.phase === 'finished' && phase.exit && String(phase.exit) === wanted) [state, says] = ['ok', `exit ${phase.exit}, as it should`];
  else if (phase?.phase === 'finished' && phase.exit && wanted !== '') [state, says] = ['failed', `exit ${phase.exit}`];
  else if (phase?.phase === 'finished') [state, says] = ['ok', 'done'];
  else if (known) [state, says] = ['before', 'run already'];
  figure.dataset['run'] = state;
  result.textContent = says;
  button.setAttribute('aria-disabled', String(state === 'running'));
  figure.querySelector('.halted')?.remove();
  if (phase?.phase === 'halted') figure.append(halted(figure, phase));
  if (phase && phase.phase !== 'running') tellOutcomes();
}

/** A command failed, so those after it were not typed: which one, and the ways on. */
function halted(figure: HTMLElement, { exit, failed, of, command }: RunPhase & { phase: 'halted' }): HTMLElement {
  const left = of - failed - 1;
  const on = (text: string, skip: number): HTMLElement => act('run', text, text, (event) => void run(figure, { byKeyboard: event.detail === 0, skip }));
  const first = command.split('\n')[0] ?? '';
  const why = h('p', {}, 'Stopped at ', h('code', {}, first), ` with exit code ${exit}; the ${left === 1 ? 'line' : `${left} lines`} after it ${left === 1 ? 'was' : 'were'} not typed.`);
  return h('div', { class: 'halted', role: 'status' }, why, h('div', { class: 'halted-ways' }, on('Try this line again', failed), on(left === 1 ? 'Run the last line' : 'Run the rest', failed + 1)));
}

/** A terminal tells how far a block is. */
export function ran(id: string, phase: RunPhase): void {
  if (!id.startsWith(`${chapter}/`)) return;
  const figure = document.querySelector<HTMLElement>(`.command[data-command="${CSS.escape(id.slice(chapter.length + 1))}"]`);
  if (!figure) return;
  const ends = phase.phase !== 'running';
  if (ends) outcomes.set(id, phase);
  else outcomes.delete(id);
  // What is told of before: whether it still counts is in the book.
  if (ends && figure.dataset['run'] !== 'running') return mark(figure, null);
  mark(figure, phase);
  trayPhase(id, phase);
  if (phase.phase === 'finished' && phase.exit) announce(`The command ended with exit code ${phase.exit}`);
}

function dressCommand(figure: HTMLElement): void {
  const bar = one('[data-bar]', figure);
  const typed = figure.dataset['typed'] === 'true';
  if (typed) one('.where', bar).textContent = 'type this';
  else {
    bar.append(h('span', { class: 'result', role: 'status' }));
    const button = act('run', 'Run', 'Run in the terminal', (event) => void run(figure, { byKeyboard: event.detail === 0 }), 'run');
    bar.append(button);
  }
  const address = asked(figure);
  if (address) bar.append(act('globe', null, `Open ${address} in the browser pane`, () => void openPage(address), 'needs-machine'));
  bar.append(copyButton(figure));
  mark(figure, null);
}

/** `http://localhost:8080` in a sentence: a click shows the page. */
function dressAddress(code: HTMLElement): void {
  const address = code.textContent ?? '';
  if (!/^https?:\/\/(localhost|127\.0\.0\.1)(:\d+)?(\/\S*)?$/.test(address) || code.closest('pre, button, a, form')) return;
  const button = h('button', { type: 'button', class: 'page-link needs-machine', title: 'Open in the browser pane', onclick: () => void openPage(address) });
  code.replaceWith(button);
  button.append(code, icon('open'));
}

/** The address that a command asks. */
function asked(figure: HTMLElement): string | undefined {
  const text = one('code[data-text]', figure).dataset['text'] ?? '';
  return /^\s*(?:curl|wget)\b/m.test(text) ? /(?:https?:\/\/)?localhost(?::\d+)?(?:\/[^\s'"|;)]*)?/.exec(text)?.[0] : undefined;
}

/** A key to be pressed in a terminal: the button presses it there. */
function dressPress(figure: HTMLElement): void {
  const result = h('span', { class: 'result', role: 'status' });
  const keys = figure.dataset['keys'] ?? '';
  const press = async (byKeyboard: boolean): Promise<void> => {
    const name = figure.dataset['session'] ?? 'main';
    await prepare(name, !byKeyboard);
    follow({ id: '', session: name, figure }, keys);
    try {
      await call('POST', '/api/presses', { chapter, block: figure.dataset['press'] });
      result.textContent = 'pressed';
    } catch (error) {
      toast(error instanceof Refused ? sentenceCase(error.message) : String(error));
    }
  };
  one('[data-bar]', figure).append(result, act('key', 'Press', `Press ${keys} in the terminal`, (event) => void press(event.detail === 0), 'run'));
}

const sentenceCase = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

export function dressListing(figure: HTMLElement): void {
  const bar = one('[data-bar]', figure);
  const path = figure.dataset['path'];
  if (path) bar.append(act('edit', 'Edit', `Open ${path} in the editor`, () => void openFile(path)));
  bar.append(copyButton(figure));
}

interface Judged {
  correct: boolean | null;
  html: string | null;
}

function dressAsk(form: HTMLFormElement): void {
  const id = form.dataset['ask'] ?? '';
  const because = one('[data-because]', form);
  because.setAttribute('role', 'status');
  const submit = one<HTMLButtonElement>('button[type=submit]', form);
  const field = form.querySelector<HTMLInputElement>('input[type=text]');
  const ready = (): void => {
    submit.disabled = !new FormData(form).get('answer');
  };
  form.addEventListener('input', () => {
    delete form.dataset['correct'];
    because.replaceChildren();
    ready();
  });
  ready();
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const answer = String(new FormData(form).get('answer') ?? '');
    if (!answer) return;
    call<Judged>('POST', '/api/answers', { ask: id, value: answer })
      .then(({ correct, html }) => {
        const why = h('span');
        // Made by the server from the lesson's own text.
        if (html) why.innerHTML = html;
        verdict(form, correct, html ? why : null);
      })
      .catch((error: unknown) => {
        because.textContent = error instanceof Refused ? error.message : String(error);
      });
  });
  world.on('progress', ({ fresh }) => {
    const given: Given | undefined = world.book.answers[id];
    if (!given) {
      if (form.dataset['correct'] !== undefined) {
        form.reset();
        delete form.dataset['correct'];
        because.replaceChildren();
      }
      return ready();
    }
    if (fresh && form.contains(document.activeElement) && form.dataset['correct'] === undefined) return;
    if (field) field.value = given.value;
    for (const radio of all<HTMLInputElement>('input[type=radio]', form)) radio.checked = radio.value === given.value;
    verdict(form, given.correct, given.because ? sentence(given.because) : null);
    ready();
  });
}

/** The first thing to be done after a question, in its exercise. */
function followsOn(form: HTMLElement): HTMLElement | undefined {
  const after = (other: HTMLElement): boolean => (form.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING) !== 0;
  return all('.command, .press, .check', form.closest('section') ?? document).find(after);
}

/** A prediction is about what comes next: what becomes of it is told when that has happened. */
function isDue(form: HTMLElement): boolean {
  if (form.dataset['prediction'] !== 'true') return true;
  const next = followsOn(form);
  if (!next) return true;
  const block = next.dataset['command'] ?? next.dataset['press'];
  if (block !== undefined && world.book.runs.includes(`${chapter}/${block}`) && next.dataset['run'] !== 'running') return true;
  const after = all('.check', form.closest('section') ?? document).filter((line) => form.compareDocumentPosition(line) & Node.DOCUMENT_POSITION_FOLLOWING);
  return after.some((line) => (line.dataset['check'] ?? '') in world.book.passed);
}

function verdict(form: HTMLElement, correct: boolean | null, why: Node | null): void {
  const because = one('[data-because]', form);
  const prediction = form.dataset['prediction'] === 'true';
  if (!isDue(form)) {
    form.dataset['correct'] = 'later';
    // Its place is kept, so that nothing moves when it comes.
    const later = h('span', { class: 'later', 'aria-hidden': 'true' }, h('b', {}, 'Not what happens.'), ' ', why);
    return because.replaceChildren(later, h('span', { class: 'for-now' }, h('b', {}, 'Noted.'), ' Now run it and see.'));
  }
  form.dataset['correct'] = String(correct);
  const word = correct === null ? 'Noted.' : correct ? (prediction ? 'You saw it coming.' : 'Right.') : prediction ? 'Not what happens.' : 'Not yet.';
  const rest = why ?? (correct === null ? 'Now run it and see.' : correct || prediction ? '' : 'Look again and try once more.');
  because.replaceChildren(h('b', {}, word), ' ', rest);
}

/** A prediction whose moment has come. */
function tellOutcomes(): void {
  for (const form of all('form.ask[data-correct="later"]')) {
    const given = world.book.answers[form.dataset['ask'] ?? ''];
    if (given && isDue(form)) verdict(form, given.correct, given.because ? sentence(given.because) : null);
  }
}

/** A picture that is wider than the page is moved by the arrow keys as well as under the finger. */
const widths = new ResizeObserver((seen) => {
  for (const { target } of seen) {
    if (target.scrollWidth > target.clientWidth) target.setAttribute('tabindex', '0');
    else target.removeAttribute('tabindex');
  }
});

/** What was typed of late, for blocks of several lines. */
const typed: string[] = [];
const squeezed = (text: string): string => text.replace(/\s+/g, ' ').trim();

/** A line of a terminal that is a block of this lesson, or the last line of one, counts as that block. */
export function typedByHand(line: string): void {
  typed.push(squeezed(line.replace(/\\\n/g, ' ')));
  if (typed.length > 20) typed.shift();
  const isIt = (block: HTMLElement): boolean => {
    const lines = (block.querySelector<HTMLElement>('code[data-text]')?.dataset['text'] ?? '').replace(/\\\n/g, ' ').split('\n').map(squeezed).filter((line) => line !== '' && !line.startsWith('#'));
    return lines.length > 0 && (lines.join('\n') === typed.slice(-lines.length).join('\n') || lines.join(' ') === typed.at(-1));
  };
  const same = all('.command').filter(isIt);
  const open = same.filter((block) => !world.book.runs.includes(`${chapter}/${block.dataset['command']}`));
  // The same line stands in several places: what was run once is meant where the reader is.
  const figure = open.find((block) => world.book.begun.includes(`${chapter}/${block.closest('section')?.id}`)) ?? (open.length === same.length ? open[0] : undefined);
  const block = figure?.dataset['command'];
  if (block) call('POST', '/api/typed', { chapter, block }).catch(() => undefined);
}

export function startLesson(): void {
  for (const figure of all('.command')) dressCommand(figure);
  for (const code of all('#lesson :is(p, li, td) code')) dressAddress(code);
  for (const figure of all('.press')) dressPress(figure);
  for (const figure of all('#lesson figure:has(> svg)')) widths.observe(figure);
  for (const figure of all('.listing')) dressListing(figure);
  for (const form of all<HTMLFormElement>('form.ask')) dressAsk(form);
  world.on('progress', () => {
    for (const figure of all('.command')) {
      const [state, known] = [figure.dataset['run'], world.book.runs.includes(`${chapter}/${figure.dataset['command']}`)];
      // Put back: it has not been run.
      const forgotten = !known && state !== 'running' && state !== '';
      if (forgotten) outcomes.delete(`${chapter}/${figure.dataset['command']}`);
      if (forgotten || !state || state === 'before') mark(figure, null);
    }
    tellOutcomes();
  });
}
