// Whose scene the cluster shows. Another chapter is only read until the learner has it set up; what is left is kept for the way back.

import { h } from './dom';
import { Refused, call, world } from './net';
import { ask, toast } from './dialogs';

const chapter = document.documentElement.dataset['chapter'] ?? '';
const bar = h('div', { class: 'scene', role: 'status', hidden: true });
let shown = chapter;
let painted = '';

/** `chapter 2`, as the contents count it. */
function name(id: string): string {
  const number = document.querySelector(`[data-contents] li[data-chapter="${CSS.escape(id)}"] > a > .n`)?.textContent;
  return number ? `chapter ${number}` : 'another chapter';
}

/** The chapter was begun and left: there is something to go back to. */
const wasLeft = (): boolean => world.book.scenes.includes(chapter);
/** What the button does. */
const way = (): string => (wasLeft() ? `Go back to ${name(chapter)}` : `Set up ${name(chapter)}`);

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

async function turn(scene?: 'change' | 'keep'): Promise<void> {
  const [before, left] = [shown, wasLeft()];
  try {
    shown = (await call<{ scene: string }>('POST', '/api/open', { chapter, scene })).scene;
    if (scene === 'change' && before !== shown) toast(`${capital(name(shown))} is ${left ? 'as you left it' : 'set up'}; what you did in ${name(before)} is kept.`);
  } catch (error) {
    toast(error instanceof Refused ? error.message : String(error));
  }
  paint();
}

function paint(): void {
  bar.hidden = shown === chapter;
  if (bar.hidden) return bar.replaceChildren();
  const change = h('button', { type: 'button', class: 'button small main', onclick: () => void turn('change') }, way());
  const keep = h('button', { type: 'button', class: 'button small', onclick: () => void turn('keep') }, 'Use it as it is');
  bar.replaceChildren(h('p', {}, `The cluster is as you left it in ${name(shown)}.`), h('div', {}, keep, change));
}

/** Before something is run: in whose cluster? False when the learner would rather not. */
export function sceneSettled(): Promise<boolean> {
  if (shown === chapter) return Promise.resolve(true);
  return new Promise((resolve) => {
    let answer = false;
    const settle = (how: 'change' | 'keep') => (): void => {
      answer = true;
      void turn(how).then(() => resolve(shown === chapter));
    };
    const says = `It still holds what you did in ${name(shown)}. Cluster and files are kept: when you come back, they are as they are now. Terminals begin anew.`;
    const title = wasLeft() ? `Go back to ${name(chapter)}?` : `Set up the cluster for ${name(chapter)}?`;
    const dialog = ask(title, [h('p', {}, says)], [{ text: 'Cancel' }, { text: 'Use it as it is', act: settle('keep') }, { text: way(), main: true, act: settle('change') }]);
    dialog.addEventListener('close', () => setTimeout(() => answer || resolve(false)));
  });
}

export function startScene(): void {
  document.querySelector('.terms')?.append(bar);
  const room = (): void => document.documentElement.style.setProperty('--scene', bar.hidden ? '0px' : `${bar.offsetHeight + 12}px`);
  new ResizeObserver(room).observe(bar);
  if (chapter) void turn();
  world.on('progress', () => {
    // A terminal or another window may have turned to another chapter.
    const told = `${world.book.scene} ${way()}`;
    if (told === painted) return;
    painted = told;
    shown = world.book.scene ?? shown;
    paint();
  });
}
