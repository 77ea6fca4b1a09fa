// The contents: how far each section is, where the reader is, and the way back there after a reload.

import { all, announce, h, icon, one, settled } from './dom';
import { call, world } from './net';
import { counted, deciding, tally } from './checks';
import { count } from './words';

const chapter = document.documentElement.dataset['chapter'] ?? '';
const SECTIONS = '#lesson section[id]';

function paintContents(): void {
  for (const item of all('[data-contents] li[data-checks]')) {
    const ids = (item.dataset['checks'] ?? '').split(' ').filter(Boolean);
    const { passed, total } = tally(ids);
    item.dataset['done'] = total > 0 && passed === total ? 'all' : passed > 0 ? 'some' : 'none';
    const place = item.querySelector<HTMLElement>(':scope > a > [data-tally]');
    if (place) place.textContent = total ? `${passed}/${total}` : '';
    const says = item.querySelector<HTMLElement>(':scope > a > [data-says]');
    if (says) says.textContent = total === 0 ? '' : passed === total ? ', done' : `, ${passed} of ${total} checks passed`;
  }
}

function paintSections(first: boolean): void {
  for (const section of all('#lesson section[data-section="exercise"], #lesson section[data-section="lab"]')) {
    const place = section.querySelector<HTMLElement>('[data-card-state]');
    const { passed, total } = tally(deciding(section));
    if (!place || total === 0) continue;
    const done = passed === total;
    const was = section.dataset['done'] === 'true';
    section.dataset['done'] = String(done);
    place.toggleAttribute('data-done', done);
    place.textContent = done ? 'Done' : passed ? `${passed} of ${total}` : '';
    const next = section.querySelector<HTMLElement>('.next-card');
    if (next) next.hidden = !done || nextOpen(section) === undefined;
    if (done && !was && !first) celebrate(section);
  }
  const all_ = tally(all('#lesson .check[data-optional="false"]').map((line) => line.dataset['check'] ?? ''));
  const progress = one('[data-progress]');
  progress.style.setProperty('--part', String(all_.total ? all_.passed / all_.total : 0));
  one('[data-progress-text]').textContent = `${all_.passed} of ${all_.total}`;
  progress.title = `${all_.passed} of ${all_.total} checks of this chapter passed`;
  const finished = all_.total > 0 && all_.passed === all_.total;
  const root = document.documentElement;
  if (finished && !first && root.dataset['finished'] !== 'true') announce('You have finished this chapter.');
  const was = root.dataset['finished'];
  root.dataset['finished'] = String(finished);
  if (was !== String(finished)) paintEnd(finished, !first);
}

/** The last thing in a chapter that is done: what it took, and nothing more. */
function paintEnd(finished: boolean, fresh: boolean): void {
  const place = one('[data-chapter-end]');
  place.replaceChildren();
  if (!finished) return;
  const ids = all('#lesson .check[data-optional="false"]').map((line) => line.dataset['check'] ?? '');
  const hints = ids.reduce((sum, id) => sum + (world.book.hints[id] ?? 0), 0);
  const ship = one('.brand').querySelector('svg')?.cloneNode(true);
  const says = `${count(ids.length, 'check')} passed${hints ? `, with ${count(hints, 'hint')}` : ', without a hint'}. The cluster is still yours: keep trying things.`;
  place.append(h('aside', { class: 'finished', 'aria-label': 'Chapter finished', 'data-fresh': fresh }, ship, h('div', {}, h('h2', {}, 'Afloat'), h('p', {}, says))));
}

/** An exercise is done: the ship in the corner floats for a moment, and the card says so. Once, and quietly. */
function celebrate(section: HTMLElement): void {
  section.dataset['fresh'] = '';
  const brand = one('.brand');
  delete brand.dataset['afloat'];
  requestAnimationFrame(() => (brand.dataset['afloat'] = ''));
  const next = nextOpen(section);
  announce(next ? `Done. Next: ${next.querySelector('h2, h3, h4')?.textContent ?? ''}` : 'Done.');
}

/** The first exercise after this one, or anywhere, that is not done. */
export function nextOpen(after?: Element): HTMLElement | undefined {
  const cards = all('#lesson section[data-section="exercise"], #lesson section[data-section="lab"]');
  const open = (card: HTMLElement): boolean => card.dataset['done'] !== 'true' && counted(card).length > 0;
  const from = after ? cards.indexOf(after as HTMLElement) + 1 : 0;
  return cards.slice(from).find(open) ?? cards.find(open);
}

export function goTo(section: Element): void {
  section.scrollIntoView({ block: 'start' });
  const heading = section.querySelector<HTMLElement>('h1, h2, h3, h4');
  heading?.focus({ preventScroll: true });
  history.replaceState(null, '', `#${section.id}`);
}

/** Which section the reader is in: the last one whose top has passed the upper third. */
function follow(lesson: HTMLElement): void {
  const sections = all(SECTIONS).filter((section) => section.querySelector('h2, h3, h4'));
  const crumb = one('[data-crumb]');
  let current = '';
  const keep = settled(600, (id: string) => {
    if (document.documentElement.dataset['reading'] !== undefined) return;
    call('PUT', '/api/place', { place: `/${chapter}${id ? `#${id}` : ''}` }).catch(() => undefined);
    world.arrange({ scroll: { ...world.layout.scroll, [chapter]: Math.round(lesson.scrollTop) } });
  });
  const look = (): void => {
    const line = lesson.getBoundingClientRect().top + lesson.clientHeight / 3;
    const atEnd = lesson.scrollTop + lesson.clientHeight >= lesson.scrollHeight - 4;
    const passed = sections.filter((section) => section.getBoundingClientRect().top <= line);
    const here = atEnd && lesson.scrollTop > 0 ? sections.at(-1) : passed.at(-1);
    keep(here?.id ?? '');
    if (current === (here?.id ?? '')) return;
    current = here?.id ?? '';
    crumb.textContent = here?.querySelector('h2, h3, h4')?.textContent ?? '';
    for (const link of all<HTMLAnchorElement>('[data-contents] .sections a')) {
      const on = link.hash === `#${current}` && current !== '';
      if (on) link.setAttribute('aria-current', 'location');
      else link.removeAttribute('aria-current');
      if (on) link.scrollIntoView({ block: 'nearest' });
    }
  };
  let frame = 0;
  lesson.addEventListener('scroll', () => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(look);
  }, { passive: true });
  look();
}

/** A narrow window shows the contents only when asked to. */
export function toggleContents(open?: boolean): void {
  const contents = one('[data-contents]');
  const now = open ?? contents.dataset['open'] === undefined;
  contents.toggleAttribute('data-open', now);
  document.querySelector('[data-menu]')?.setAttribute('aria-expanded', String(now));
  if (now) (contents.querySelector<HTMLElement>('[aria-current]') ?? one('a', contents)).focus();
}

export function startContents(): void {
  const lesson = one('#lesson');
  const contents = one('[data-contents]');
  for (const link of all('li[data-checks] > a', contents)) link.append(h('span', { class: 'polite', 'data-says': true }));
  one('.contents-title').append(h('span', { class: 'progress', 'data-progress': true }, h('span', { class: 'progress-bar', 'aria-hidden': 'true' }), h('span', { 'data-progress-text': true })));
  for (const card of all('#lesson section[data-section="exercise"], #lesson section[data-section="lab"]')) {
    const on = (): void => {
      const next = nextOpen(card);
      if (next) goTo(next);
    };
    card.querySelector('.card-head')?.append(h('button', { type: 'button', class: 'put-back next-card', hidden: true, title: 'The next exercise that is not done (n)', onclick: on }, 'Next'));
  }
  const menu = h('button', { type: 'button', class: 'tool rail-button', 'aria-label': 'Contents', 'aria-expanded': 'false', 'data-menu': true, onclick: () => toggleContents() }, icon('menu'));
  one('.top').prepend(menu);
  contents.addEventListener('click', (event) => {
    const link = (event.target as Element).closest('a');
    if (!link) return;
    contents.toggleAttribute('data-open', false);
    const section = link.pathname === location.pathname && link.hash ? document.getElementById(decodeURIComponent(link.hash.slice(1))) : null;
    if (!section) return;
    event.preventDefault();
    goTo(section);
  });
  contents.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || contents.dataset['open'] === undefined) return;
    toggleContents(false);
    menu.focus();
  });
  document.addEventListener('pointerdown', (event) => {
    if (contents.dataset['open'] !== undefined && !contents.contains(event.target as Node) && !menu.contains(event.target as Node)) toggleContents(false);
  });
  const kept = world.layout.scroll?.[chapter];
  if (kept && (!location.hash || performance.getEntriesByType('navigation').some((entry) => (entry as PerformanceNavigationTiming).type === 'reload'))) lesson.scrollTop = kept;
  else if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView({ block: 'start' });
  follow(lesson);
  let first = true;
  const paint = (): void => {
    if (!world.known) return;
    paintContents();
    paintSections(first);
    first = false;
  };
  world.on('verdict', paint);
  world.on('progress', paint);
}
