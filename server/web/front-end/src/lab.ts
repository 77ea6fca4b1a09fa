// The end of a lab: what just happened, and other ways to do it.

import { all, h, one } from './dom';
import { Refused, call, world } from './net';
import { ask, toast } from './dialogs';
import { dressListing } from './lesson';
import { sentence } from './words';

const chapter = document.documentElement.dataset['chapter'] ?? '';

async function showSolutions(section: HTMLElement, place: HTMLElement, sure: boolean): Promise<void> {
  try {
    const { html } = await call<{ html: string }>('POST', '/api/solutions', { chapter, section: section.id, sure });
    const shown = h('div', { class: 'solutions' });
    // Made by the server from the lesson's own text.
    shown.innerHTML = html;
    for (const figure of all('.listing', shown)) dressListing(figure);
    place.replaceChildren(shown);
    shown.tabIndex = -1;
    if (!document.activeElement || document.activeElement === document.body) shown.focus({ preventScroll: true });
  } catch (error) {
    if (error instanceof Refused && error.status === 409) {
      ask('Look at a solution?', [h('p', {}, sentence('The checks have not all passed. The hints give less away, and trying is where the learning is.'))], [
        { text: 'Keep trying', main: true },
        { text: 'Show it', act: () => void showSolutions(section, place, true) },
      ]);
    } else toast(error instanceof Refused ? error.message : String(error));
  }
}

async function showDebrief(section: HTMLElement, place: HTMLElement): Promise<void> {
  const answer = await call<{ html: string | null }>('POST', '/api/debriefs', { chapter, section: section.id }).catch(() => null);
  if (!answer?.html || place.childElementCount > 0) return;
  const text = h('div', { class: 'debrief' }, h('h4', {}, 'What just happened'));
  // Made by the server from the lesson's own text.
  text.insertAdjacentHTML('beforeend', answer.html);
  place.append(text);
}

function dressLab(section: HTMLElement): void {
  const end = one('[data-lab-end]', section);
  const [debrief, solutions] = [h('div'), h('div')];
  const number = Number(section.dataset['solutions']);
  const button = h('button', { type: 'button', class: 'button', onclick: () => void showSolutions(section, solutions, false) });
  end.append(debrief, h('div', { class: 'row' }, number > 0 && button), solutions);
  const paint = (): void => {
    const done = section.dataset['done'] === 'true';
    const seen = world.book.solutions.includes(`${chapter}/${section.id}`);
    button.textContent = done ? `Compare with ${number === 1 ? 'a solution' : `${number} solutions`}` : 'Show a solution';
    button.hidden = solutions.childElementCount > 0;
    if (seen && solutions.childElementCount === 0) void showSolutions(section, solutions, false).then(() => (button.hidden = true));
    if (!seen && world.known) solutions.replaceChildren();
    if (done) void showDebrief(section, debrief);
    else debrief.replaceChildren();
  };
  paint();
  new MutationObserver(paint).observe(section, { attributes: true, attributeFilter: ['data-done'] });
  world.on('progress', paint);
}

export function startLabs(): void {
  for (const section of all('section[data-section="lab"]')) dressLab(section);
}
