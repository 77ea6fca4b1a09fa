// Dialogs and short notes. A dialog gives the focus back to where it came from.

import { h } from './dom';
import { Refused, call, world } from './net';
import { newTerminal, released, reveal, runningLine } from './bench';
import { opensShell, sentence } from './words';

interface Choice {
  text: string;
  main?: boolean;
  danger?: boolean;
  /** Has the focus at first, instead of the main one. */
  focus?: boolean;
  act?: () => void;
}

/** A question with a few answers; Escape is always the last of them. */
export function ask(title: string, body: (Node | string)[], choices: Choice[]): HTMLDialogElement {
  const before = document.activeElement;
  const row = h('div', { class: 'row' });
  const dialog = h('dialog', { 'aria-labelledby': 'dialog-title' }, h('h2', { id: 'dialog-title' }, title), ...body, row);
  const first = choices.find((choice) => choice.focus) ?? choices.find((choice) => choice.main);
  for (const choice of choices) {
    const act = (): void => {
      dialog.close();
      choice.act?.();
    };
    row.append(h('button', { type: 'button', class: `button ${choice.main ? 'main' : ''} ${choice.danger ? 'danger' : ''}`, autofocus: choice === first, onclick: act }, choice.text));
  }
  dialog.addEventListener('close', () => {
    dialog.remove();
    if (before instanceof HTMLElement && document.activeElement === document.body) before.focus({ preventScroll: true });
  });
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** The block was not typed, because the shell does not wait at its prompt. */
export function refusedRun(refusal: Refused, session: string, again: (session?: string) => void): void {
  const program = refusal.body.program;
  if (!program) return toast(refusal.message);
  // A block for the program in front, while that is the shell.
  const inside = /^the shell \(this block is for (.+)\)$/.exec(program)?.[1];
  if (inside) {
    const says = 'This is typed into what `' + inside + '` opens, and the shell is in front. Run the command before it first. Nothing was typed.';
    ask(`${inside} is not in front`, [h('p', {}, sentence(says))], [{ text: 'Go to the terminal', act: () => void reveal(session, true) }, { text: 'Close', main: true }]);
    return;
  }
  const interrupt = (): void => {
    call('POST', `/api/terminals/${session}/interrupt`)
      .then(() => released(session))
      .then((free) => {
        if (free) return again(session);
        toast(`${program} goes on all the same; a shell in it ends with exit. Nothing was typed.`);
        return reveal(session, true);
      })
      .catch((error: unknown) => toast(error instanceof Refused ? error.message : String(error)));
  };
  const line = runningLine(session);
  const shell = opensShell(line);
  const leave = shell ? [h('p', {}, sentence('A shell is open in it: `' + line + '`. Ctrl+C does not end a shell; go to the terminal and type `exit`.'))] : [];
  ask(
    `${program} is using this terminal`,
    [h('p', {}, sentence('What you run would be typed into `' + program + '`, not into the shell. Nothing was typed.')), ...leave],
    [
      { text: 'Cancel' },
      { text: 'Go to the terminal', act: () => void reveal(session, true) },
      // These do not end by it.
      ...(shell || ['nano', 'vi', 'vim', 'less'].includes(program) ? [] : [{ text: `Interrupt ${program} and run`, act: interrupt }]),
      { text: 'Run in a new terminal', main: true, act: () => void newTerminal().then((name) => again(name)) },
    ],
  );
}

let note: HTMLElement | null = null;
let timer = 0;

/** A sentence that leaves by itself; `shown` is how it looks, when that is more than the text. */
export function toast(text: string, shown: Node | string = text, millis = 9000): void {
  note?.remove();
  clearTimeout(timer);
  const dismiss = (): void => note?.remove();
  note = h('div', { class: 'banner', role: 'status' }, h('span', {}, shown), h('button', { type: 'button', onclick: dismiss }, 'Close'));
  document.body.append(note);
  timer = window.setTimeout(dismiss, millis);
}

/** Put the chapter back, once the learner is sure. */
export function confirmReset(chapter: string, title: string): void {
  const body = [
    h('p', {}, `“${title}” begins anew: ${world.status.subject ? '' : 'cluster, '}files, terminals, checks and answers. Files of your own go too.`),
    h('p', {}, 'Your progress in other chapters stays.'),
  ];
  const act = (): void => {
    call('POST', '/api/reset', { scope: 'chapter', chapter }).catch((error: unknown) => toast(error instanceof Refused ? error.message : String(error)));
  };
  ask('Start this chapter again?', body, [{ text: 'Keep everything', focus: true }, { text: 'Start again', main: true, danger: true, act }]);
}

/** One line while the server cannot be reached. */
export function startOffline(): void {
  let banner: HTMLElement | null = null;
  world.on('online', () => {
    banner?.remove();
    banner = null;
    document.documentElement.toggleAttribute('data-offline', world.online === false);
    if (world.online !== false) return;
    const again = (): void => location.reload();
    banner = h('div', { class: 'banner', role: 'alert' }, h('span', {}, 'Drydock does not answer. Trying again; nothing you did is lost.'), h('button', { type: 'button', onclick: again }, 'Load again'));
    document.body.append(banner);
  });
}

/** One line for as long as something is wrong that is none of the page's: what is done cannot be kept, a cluster does not answer. */
export function startTrouble(): void {
  let line: HTMLElement | null = null;
  world.on('trouble', () => {
    line?.remove();
    line = null;
    if (world.trouble === null) return;
    const why = `${world.trouble.charAt(0).toUpperCase()}${world.trouble.slice(1).replace(/[.?]?$/, '.')}`;
    line = h('div', { class: 'banner trouble-banner', role: 'alert' }, h('span', {}, why));
    document.body.append(line);
  });
}
