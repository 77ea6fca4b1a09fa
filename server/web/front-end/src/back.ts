// The ways back, and ahead: undo, an exercise or a chapter from its beginning, time that passes at once.

import { all, announce, h, icon, one } from './dom';
import { Refused, call, world } from './net';
import { ask, confirmReset, toast } from './dialogs';
import { forgetStories, told } from './strip';
import { count, sentence } from './words';
import type { Changed, Restored } from './types';

const chapter = document.documentElement.dataset['chapter'] ?? '';
const undoButton = h('button', { type: 'button', class: 'strip-open', hidden: true, onclick: () => void undo() }, icon('undo'), h('span', {}, 'Undo'));

/** The command that the next undo takes back; nothing when there is none. */
let next: string | null = null;

async function attempt(act: () => Promise<unknown>): Promise<void> {
  try {
    await act();
  } catch (error) {
    toast(error instanceof Refused ? error.message : String(error));
  }
}

/** What an undo would take back may be another thing now. */
export async function lookBack(): Promise<void> {
  const found = await call<Restored | null>('GET', '/api/undo').catch(() => null);
  next = found && (found.line ?? 'the last change');
  undoButton.hidden = next === null;
  undoButton.title = next === null ? '' : `Take back: ${next} (u)`;
}

export async function undo(): Promise<void> {
  if (next === null) return announce('There is nothing to undo.');
  undoButton.disabled = true;
  await attempt(() => call('POST', '/api/undo'));
  undoButton.disabled = false;
}

const skip = (duration: string): void => void attempt(() => call('POST', '/api/skip', { duration }));

function resetExercise(section: HTMLElement): void {
  const title = section.querySelector('h2, h3, h4')?.textContent ?? 'this exercise';
  const act = (): void => void attempt(() => call('POST', '/api/reset', { scope: 'exercise', chapter, section: section.id }));
  const says = `Cluster, files and checks are as when “${title}” began. What came after it goes too.`;
  ask('Put this exercise back?', [h('p', {}, says)], [{ text: 'Keep everything' }, { text: 'Put it back', main: true, act }]);
}

/** The exercise the reader is in, if it can be put back. */
function current(): HTMLElement | undefined {
  const top = document.querySelector('#lesson')?.getBoundingClientRect().top ?? 0;
  const cards = all('#lesson section[data-section="exercise"], #lesson section[data-section="lab"]').filter((card) => world.book.begun.includes(`${chapter}/${card.id}`));
  return cards.find((card) => card.contains(document.activeElement)) ?? cards.find((card) => card.getBoundingClientRect().bottom > top + 120);
}

/** All the ways in one place. */
export function openBack(): void {
  if (document.querySelector('dialog[open]')) return;
  const row = (title: string, says: Node | string, ...buttons: HTMLElement[]): HTMLElement => h('div', { class: 'way' }, h('div', {}, h('h3', {}, title), h('p', {}, says)), h('div', { class: 'way-acts' }, ...buttons));
  let closes: HTMLDialogElement | undefined;
  const button = (text: string, act: () => void, more = ''): HTMLButtonElement => {
    const does = (): void => {
      closes?.close();
      act();
    };
    return h('button', { type: 'button', class: `button ${more}`, onclick: does }, text);
  };
  const line = h('span', {}, next === null ? 'No command has changed anything since the beginning.' : sentence(`Takes back what \`${next}\` changed.`));
  const undoIt = button('Undo', () => void undo());
  undoIt.disabled = next === null;
  const card = current();
  const { subject } = world.status;
  if (subject) {
    const says = `Fresh files, no checks passed. What is in ${subject} stays: it is not Drydock's own cluster, so it cannot be taken back or moved in time.`;
    const only = row('This chapter', says, button('Start again…', () => confirmReset(chapter, document.querySelector('#lesson h1')?.textContent ?? 'this chapter')));
    closes = ask('Go back', [h('div', { class: 'ways' }, only)], [{ text: 'Close', main: true }]);
    return;
  }
  const rows = [row('The last command', line, undoIt)];
  if (card) rows.push(row('This exercise', `“${card.querySelector('h2, h3, h4')?.textContent ?? ''}” as when it began.`, button('Put back…', () => resetExercise(card))));
  rows.push(row('This chapter', 'A fresh cluster, fresh files, no checks passed.', button('Start again…', () => confirmReset(chapter, document.querySelector('#lesson h1')?.textContent ?? 'this chapter'))));
  const ahead = [['1 min', '1m'], ['5 min', '5m'], ['1 h', '1h']].map(([text = '', duration = '']) => button(text, () => skip(duration)));
  rows.push(row('Let time pass', 'Ages, back-offs and time limits in the cluster jump ahead. Programs do not notice.', ...ahead));
  closes = ask('Go back, or ahead', [h('div', { class: 'ways' }, ...rows)], [{ text: 'Close', main: true }]);
}

/** `1 Pod changed back, 1 ReplicaSet and 2 Pods deleted`: every object counts, whoever made it. */
function counted(changes: Changed[]): string {
  const verbs = new Map<string, Map<string, number>>();
  for (const { verb, kind } of changes) {
    const kinds = verbs.get(verb) ?? new Map<string, number>();
    verbs.set(verb, kinds.set(kind, (kinds.get(kind) ?? 0) + 1));
  }
  const each = [...verbs].map(([verb, kinds]) => `${listed([...kinds].map(([kind, number]) => count(number, kind || 'object')))} ${verb}`);
  return each.join(', ');
}

const listed = (parts: string[]): string => (parts.length > 1 ? `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}` : parts.join());

/** Files, each once. */
function filed(files: Changed[], said: string): string {
  const paths = files.map((file) => file.what.replace('/home/learner/', '~/'));
  const rest = paths.slice(0, 3).filter((path) => !said.includes(path));
  if (rest.length === 0) return '';
  const more = paths.length > 3 ? ` and ${paths.length - 3} more` : '';
  return ` ${paths.length === 1 ? 'A file' : `${paths.length} files`} as before: ${rest.map((path) => `\`${path}\``).join(', ')}${more}.`;
}

/** What was taken back, in a sentence that stays long enough to be read; what could not be, too. */
function show(restored: Restored): void {
  // Whoever turns to a chapter says so; what that changes is no news.
  if (restored.action === 'scene') {
    forgetStories();
    return void lookBack();
  }
  const undone = restored.action === 'undo' && restored.changes.length > 0;
  const place = restored.action === 'restore' ? /^Back to "(.+?)":/.exec(restored.summary)?.[1] : undefined;
  const did = place !== undefined ? `“${place}” is as when it began${restored.changes.length > 0 ? `: ${counted(restored.changes)}` : ''}.` : undone ? `Undid ${restored.line ? `\`${restored.line}\`` : 'the last change'}: ${counted(restored.changes)}.` : restored.summary || 'Done.';
  // Whoever begins anew knows that everything goes.
  const text = restored.action === 'reset' ? `The chapter begins anew. ${restored.notes.join(' ')}`.trim() : `${did}${filed(restored.files, did)} ${restored.notes.join(' ')}`.trim();
  toast(text, sentence(text), 14_000);
  told(restored);
  void lookBack();
}

export function startBack(): void {
  document.querySelector('.strip')?.append(undoButton);
  for (const section of all('#lesson section[data-section="exercise"], #lesson section[data-section="lab"]')) {
    const button = h('button', { type: 'button', class: 'put-back', hidden: true, title: 'The cluster and files as when this exercise began', onclick: () => resetExercise(section) }, 'Put back');
    section.querySelector('.card-head')?.append(button);
  }
  world.on('progress', () => {
    for (const button of all('.put-back:not(.next-card)')) {
      const section = button.closest('section');
      const touched = section?.querySelector('[data-run]:not([data-run=""]), .check[data-state="pass"], .check[data-state="fail"]') !== null;
      button.hidden = !world.book.begun.includes(`${chapter}/${section?.id}`) || !touched;
    }
  });
  world.on('restored', () => world.restored && show(world.restored));
  world.on('status', ({ fresh }) => {
    if (!fresh) void lookBack();
  });
  one('.strip').toggleAttribute('data-back', true);
}
