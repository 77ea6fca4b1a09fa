// What can be done with the blocks of a lesson: run, copy, open, answer.

import { all, announce, h, icon, one } from './dom';
import type { Icon } from './dom';
import { Refused, call, world } from './net';
import { refusedRun, toast } from './dialogs';
import { openFile, prompted, reveal } from './bench';
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

/** Type a block into its terminal; `session` where the learner chose another. */
export async function run(figure: HTMLElement, byKeyboard: boolean, session?: string): Promise<void> {
  if (figure.dataset['run'] === 'running') return;
  const block = figure.dataset['command'] ?? '';
  const name = session ?? figure.dataset['session'] ?? 'main';
  mark(figure, { phase: 'running' });
  await reveal(name, !byKeyboard);
  await prompted(name);
  try {
    await call('POST', '/api/runs', { chapter, block, session });
  } catch (error) {
    mark(figure, null);
    if (error instanceof Refused && error.status === 409) return refusedRun(error, name, (other) => void run(figure, byKeyboard, other));
    toast(error instanceof Refused ? error.message : String(error));
  }
}

function mark(figure: HTMLElement, phase: RunPhase | null): void {
  const button = figure.querySelector<HTMLButtonElement>('.run');
  const result = figure.querySelector<HTMLElement>('.result');
  if (!button || !result) return;
  let state = '';
  let says = '';
  if (phase?.phase === 'running') [state, says] = ['running', 'running'];
  else if (phase?.phase === 'stopped') [state, says] = ['stopped', 'stopped'];
  else if (phase?.phase === 'finished' && phase.exit) [state, says] = ['failed', `exit ${phase.exit}`];
  else if (phase?.phase === 'finished') [state, says] = ['ok', 'done'];
  else if (world.book.runs.includes(`${chapter}/${figure.dataset['command']}`)) [state, says] = ['before', ''];
  figure.dataset['run'] = state;
  result.textContent = says;
  button.setAttribute('aria-disabled', String(state === 'running'));
}

/** A terminal tells how far a block is. */
export function ran(id: string, phase: RunPhase): void {
  const figure = document.querySelector<HTMLElement>(`.command[data-command="${CSS.escape(id)}"]`);
  if (!figure) return;
  mark(figure, phase);
  if (phase.phase === 'finished' && phase.exit) announce(`The command ended with exit code ${phase.exit}`);
}

function dressCommand(figure: HTMLElement): void {
  const bar = one('[data-bar]', figure);
  const typed = figure.dataset['typed'] === 'true';
  if (typed) one('.where', bar).textContent = 'type this';
  else {
    bar.append(h('span', { class: 'result', role: 'status' }));
    const button = act('run', 'Run', 'Run in the terminal', (event) => void run(figure, event.detail === 0), 'run');
    bar.append(button);
  }
  bar.append(copyButton(figure));
  mark(figure, null);
}

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
  const prediction = form.dataset['prediction'] === 'true';
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
        verdict(form, correct, prediction, html ? why : null);
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
    if (fresh && form.contains(document.activeElement)) return;
    if (field) field.value = given.value;
    for (const radio of all<HTMLInputElement>('input[type=radio]', form)) radio.checked = radio.value === given.value;
    verdict(form, given.correct, prediction, given.because ? sentence(given.because) : null);
    ready();
  });
}

function verdict(form: HTMLFormElement, correct: boolean | null, prediction: boolean, why: Node | null): void {
  const because = one('[data-because]', form);
  form.dataset['correct'] = String(correct);
  const word = correct === null ? 'Noted.' : correct ? (prediction ? 'You saw it coming.' : 'Right.') : prediction ? 'Not what happens.' : 'Not yet.';
  const rest = why ?? (correct === null ? 'Now run it and see.' : correct ? '' : 'Look again and try once more.');
  because.replaceChildren(h('b', {}, word), ' ', rest);
}

export function startLesson(): void {
  for (const figure of all('.command')) dressCommand(figure);
  for (const figure of all('.listing')) dressListing(figure);
  for (const form of all<HTMLFormElement>('form.ask')) dressAsk(form);
  world.on('progress', () => {
    for (const figure of all('.command')) if (!figure.dataset['run'] || figure.dataset['run'] === 'before') mark(figure, null);
  });
}
