// The first page: where to go on, and how far each chapter is.

import { all, h } from './dom';
import { world } from './net';
import { tally } from './checks';

/** The way on: where the learner was, else the first chapter. */
function paintResume(): void {
  const row = document.querySelector('[data-resume]');
  const place = world.book.place;
  const [path = '', section] = place?.split('#') ?? [];
  const link = [...document.querySelectorAll<HTMLAnchorElement>('.track a')].find((one) => one.pathname === path);
  if (!row || !place || !link) return;
  const number = link.closest('li')?.querySelector('.n')?.textContent ?? '';
  const title = section ? document.querySelector(`[data-contents] a[href="${CSS.escape(path)}#${CSS.escape(section)}"] > span:nth-child(2)`)?.textContent : null;
  row.replaceChildren(h('a', { class: 'button main', href: place }, 'Continue'), h('span', { class: 'resume-where' }, `Chapter ${number}: ${title ?? link.textContent ?? ''}`));
}

function paintTrack(): void {
  for (const item of all('.track li[data-checks]')) {
    const { passed, total } = tally((item.dataset['checks'] ?? '').split(' ').filter(Boolean));
    const place = item.querySelector<HTMLElement>('[data-far]');
    if (!place || total === 0) continue;
    item.dataset['done'] = passed === total ? 'all' : passed > 0 ? 'some' : 'none';
    const bar = h('span', { class: 'progress-bar', 'aria-hidden': 'true' });
    bar.style.setProperty('--part', String(passed / total));
    place.replaceChildren(...(passed === 0 ? [] : [bar, passed === total ? 'Done' : `${passed} of ${total} checks`]));
  }
}

export function startHome(): void {
  const paint = (): void => {
    paintResume();
    paintTrack();
  };
  world.on('progress', paint);
  world.on('verdict', paint);
}
