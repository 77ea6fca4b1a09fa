// Search, offline and as you type: chapters, sections, commands, checks and sentences. This page is searched here, where a hit is a place
// on it; the other chapters by the server.

import { all, h, icon, settled } from './dom';
import { goTo } from './contents';
import { call } from './net';

interface Place {
  kind: string;
  text: string;
  where: string;
  go: () => void;
  /** What it is on this page. */
  element?: HTMLElement;
}

/** A place in another chapter, as the server tells it. */
interface Hit {
  kind: string;
  text: string;
  chapter: string;
  number: string;
  section: string;
  title: string;
}

/** What was chosen on the page before, to be shown on this one. */
const CHOSEN = 'drydock.found';

let places: Place[] | null = null;

function sectionOf(element: Element): string {
  return element.closest('section')?.querySelector('h2, h3, h4')?.textContent ?? '';
}

function flash(element: HTMLElement): void {
  element.scrollIntoView({ block: 'center' });
  element.dataset['found'] = '';
  setTimeout(() => delete element.dataset['found'], 1600);
  if (element.tabIndex < 0 && !element.hasAttribute('tabindex')) element.tabIndex = -1;
  element.focus({ preventScroll: true });
}

function collect(): Place[] {
  const found: Place[] = [];
  for (const link of all<HTMLAnchorElement>('[data-contents] a')) {
    const section = link.pathname === location.pathname && link.hash ? document.getElementById(decodeURIComponent(link.hash.slice(1))) : null;
    const text = (link.querySelector('span:nth-child(2)') ?? link).textContent ?? '';
    const title = link.hash ? text : [...link.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.textContent).join('');
    const book = link.parentElement?.dataset['book'];
    const number = link.closest('[data-chapter]')?.querySelector('.n')?.textContent ?? '';
    const where = link.hash ? [link.pathname === location.pathname ? '' : `chapter ${number}`, book ? `book ${book}` : ''].filter(Boolean).join(', ') : '';
    found.push({ kind: link.hash ? 'section' : 'chapter', text: title, where, go: () => (section ? goTo(section) : location.assign(link.href)) });
  }
  const add = (kind: string, selector: string): void => {
    for (const element of all(selector)) {
      const text = element.querySelector<HTMLElement>('code[data-text]')?.dataset['text'] ?? element.querySelector('[data-say]')?.textContent ?? element.textContent ?? '';
      found.push({ kind, text: text.trim().replace(/\s+/g, ' '), where: sectionOf(element), go: () => flash(element), element });
    }
  };
  add('command', '#lesson .command');
  add('check', '#lesson .check');
  add('file', '#lesson .listing');
  add('text', '#lesson section > p:not(.card-head), #lesson section > :is(ul:not(.checks), ol) > li, #lesson section > blockquote, #lesson section tr, #lesson section figcaption');
  return found;
}

const ORDER = ['chapter', 'section', 'command', 'check', 'file', 'text'];

/** Better ones have lower numbers. */
function rank(place: Place, query: string): number {
  const first = query.trim().toLowerCase().split(/\s+/)[0] ?? '';
  return ORDER.indexOf(place.kind) * 10 + (place.text.toLowerCase().startsWith(first) ? 0 : 5);
}

function matches(query: string): Place[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const all_ = (places ??= collect());
  if (words.length === 0) return all_.filter((place) => place.kind === 'section').slice(0, 12);
  const hits = all_.filter((place) => words.every((word) => `${place.text} ${place.kind === 'section' ? place.where : ''}`.toLowerCase().includes(word)));
  return hits.sort((a, b) => rank(a, query) - rank(b, query)).slice(0, 14);
}

/** What the chapters say that are not open; the titles of their sections are in the contents of every page. */
async function elsewhere(query: string): Promise<Place[]> {
  const hits = await call<Hit[]>('GET', `/api/search?${new URLSearchParams({ words: query, except: location.pathname.slice(1) })}`);
  return hits.map((hit) => ({
    kind: hit.kind,
    text: hit.text,
    where: [`chapter ${hit.number}`, hit.title].filter(Boolean).join(', '),
    go: () => {
      sessionStorage.setItem(CHOSEN, JSON.stringify(hit));
      location.assign(`/${hit.chapter}#${hit.section}`);
    },
  }));
}

/** Show the place that was chosen on the page before; its section is in view already. */
export function startSearch(): void {
  const chosen = JSON.parse(sessionStorage.getItem(CHOSEN) ?? 'null') as Hit | null;
  sessionStorage.removeItem(CHOSEN);
  const section = chosen && location.pathname === `/${chosen.chapter}` && document.getElementById(chosen.section);
  if (!chosen || !section) return;
  // Marks are not text, and a paragraph may be part of a quotation here.
  const letters = (text: string): string => text.replace(/[^\p{L}\p{N}]/gu, '');
  const wanted = letters(chosen.text);
  const places = collect().filter((place) => place.kind === chosen.kind && place.element && section.contains(place.element));
  const same = places.find((place) => letters(place.text) === wanted);
  const around = places.find((place) => letters(place.text).includes(wanted) || (letters(place.text) !== '' && wanted.includes(letters(place.text))));
  (same ?? around)?.go();
}

/** The text around the first hit, the hits marked. */
function excerpt(text: string, query: string): DocumentFragment {
  const words = query.split(/\s+/).filter(Boolean).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const out = document.createDocumentFragment();
  const pattern = words.length ? new RegExp(`(${words.join('|')})`, 'i') : null;
  const first = pattern ? text.search(pattern) : 0;
  const from = first > 60 ? text.indexOf(' ', first - 40) : 0;
  const piece = `${from > 0 ? '…' : ''}${text.slice(from, from + 130)}${from + 130 < text.length ? '…' : ''}`;
  piece.split(pattern ?? /(?!)/).forEach((part, index) => out.append(index % 2 ? h('mark', {}, part) : part));
  return out;
}

export function openSearch(): void {
  if (document.querySelector('dialog[open]')) return;
  let hits: Place[] = [];
  let at = 0;
  const input = h('input', { type: 'search', role: 'combobox', 'aria-expanded': 'true', 'aria-controls': 'found', 'aria-autocomplete': 'list', 'aria-label': 'Search this book', placeholder: 'Search sections, commands, words', autocomplete: 'off', spellcheck: 'false' });
  const list = h('ul', { id: 'found', role: 'listbox', 'aria-label': 'Results' });
  const says = h('p', { class: 'polite', role: 'status' });
  const dialog = h('dialog', { class: 'search', 'aria-label': 'Search' }, h('div', { class: 'search-field' }, icon('search'), input), list, says);
  const choose = (place: Place | undefined): void => {
    if (!place) return;
    dialog.close();
    place.go();
  };
  const mark = (): void => {
    [...list.children].forEach((item, index) => item.setAttribute('aria-selected', String(index === at)));
    const item = list.children[at];
    item?.scrollIntoView({ block: 'nearest' });
    if (item) input.setAttribute('aria-activedescendant', item.id);
    else input.removeAttribute('aria-activedescendant');
  };
  const point = (index: number): void => {
    if (at === index) return;
    at = index;
    mark();
  };
  // New hits come below those that are there, so that nobody who has begun to choose chooses something else.
  const add = (found: Place[]): void => {
    const query = input.value;
    const items = found.map((hit, index) => {
      const place = hits.length + index;
      return h('li', { role: 'option', id: `hit-${place}`, 'data-kind': hit.kind, onclick: () => choose(hit), onpointermove: () => point(place) }, h('span', { class: 'hit' }, excerpt(hit.text, query)), h('span', { class: 'where' }, hit.where || hit.kind));
    });
    hits = [...hits, ...found];
    list.append(...items);
    input.setAttribute('aria-expanded', String(hits.length > 0));
    mark();
  };
  const finish = (problem = ''): void => {
    says.className = hits.length && !problem ? 'polite' : 'search-empty';
    says.textContent = problem || (hits.length ? `${hits.length} found` : 'Nothing found. Try fewer letters.');
  };
  let last = 0;
  const ask = settled(80, async (query: string, turn: number): Promise<void> => {
    let others: Place[] = [];
    let problem = '';
    try {
      others = await elsewhere(query);
    } catch (error) {
      problem = `The other chapters could not be searched. ${error instanceof Error ? error.message : ''}`;
    }
    // Somebody has typed on: this answer is old.
    if (turn !== last) return;
    add(others);
    finish(problem);
  });
  const paint = (): void => {
    last += 1;
    hits = [];
    at = 0;
    list.replaceChildren();
    says.className = 'polite';
    add(matches(input.value));
    if (input.value.trim()) ask(input.value, last);
    else finish();
  };
  input.addEventListener('input', paint);
  dialog.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowDown') at = Math.min(hits.length - 1, at + 1);
    else if (event.key === 'ArrowUp') at = Math.max(0, at - 1);
    else if (event.key === 'Enter') choose(hits[at]);
    else return;
    event.preventDefault();
    mark();
  });
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  paint();
  dialog.showModal();
  input.focus();
}
