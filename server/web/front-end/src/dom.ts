// Making elements, without a framework.

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | number | boolean | null | undefined | ((event: never) => void)>;

/** An element; `on...` attributes are listeners, `true` is an empty attribute, `false` and nothing are left out. */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value as (event: Event) => void);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== false));
  return element;
}

export function all<T extends HTMLElement = HTMLElement>(selector: string, root: ParentNode = document): T[] {
  return [...root.querySelectorAll<T>(selector)];
}

export function one<T extends HTMLElement = HTMLElement>(selector: string, root: ParentNode = document): T {
  const found = root.querySelector<T>(selector);
  if (!found) throw new Error(`the page has no ${selector}`);
  return found;
}

const SVG = 'http://www.w3.org/2000/svg';

const PATHS = {
  run: 'M8 5.5v13l10-6.500z',
  copy: 'M9 9h10v11H9z M6 15H5V4h10v2',
  check: 'M5 12.5l4.5 4.500L19 7.5',
  close: 'M6 6l12 12 M18 6L6 18',
  plus: 'M12 5v14 M5 12h14',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z M12 2.500v2 M12 19.500v2 M2.5 12h2 M19.5 12h2 M5.3 5.300l1.4 1.4 M17.3 17.300l1.4 1.4 M5.3 18.700l1.4-1.4 M17.3 6.700l1.4-1.4',
  moon: 'M19.5 14.500A8 8 0 0 1 9.5 4.500a8 8 0 1 0 10 10z',
  auto: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16z M12 4v16 M12 8.500l6 -1 M12 12h8 M12 15.500l6 1',
  search: 'M10.5 4.500a6 6 0 1 0 0 12 6 6 0 0 0 0-12z M15 15l5 5',
  help: 'M12 3.500a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z M9.7 9.500a2.4 2.4 0 1 1 3.5 2.200c-.8.4-1.2.9-1.2 1.8 M12 16.600v.1',
  undo: 'M9 7L4.5 11.500L9 16 M4.5 11.500h9a5 5 0 0 1 0 10h-3',
  reset: 'M5 12a7 7 0 1 1 2.3 5.2 M5 18v-4.500h4.5',
  read: 'M5 5h14v14H5z M8.5 9h7 M8.5 12h7 M8.5 15h4',
  split: 'M4 5h16v14H4z M12 5v14',
  bench: 'M4 5h16v14H4z M7.5 9.500l3 2.5-3 2.5 M12.5 15h4',
  menu: 'M4.5 7h15 M4.5 12h15 M4.5 17h15',
  graph: 'M9 4h6v5H9z M4 15h6v5H4z M14 15h6v5h-6z M12 9v3 M7 15v-3h10v3',
  edit: 'M5 19l1-4L16 5l3 3L9 18z M14 7l3 3',
  up: 'M7 14l5-5 5 5',
  down: 'M7 10l5 5 5-5',
  key: 'M4 7h16v11H4z M8 14.500h8 M8 10.500h.1 M12 10.500h.1 M16 10.500h.1',
  globe: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16z M4 12h16 M12 4c3 2.500 3 13.500 0 16 M12 4c-3 2.500-3 13.500 0 16',
  open: 'M13 5h6v6 M19 5l-8 8 M16 14v5H5V8h5',
  file: 'M7 3.500h7l4 4V20.500H7z M14 3.500v4h4',
} as const;

export type Icon = keyof typeof PATHS;

export function icon(name: Icon): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}

/** A button with a picture; its name is read out and shown as a tip. */
export function iconButton(name: Icon, label: string, act: () => void, key?: string): HTMLButtonElement {
  const tip = key ? `${label} (${key})` : label;
  return h('button', { class: 'tool', type: 'button', 'aria-label': label, title: tip, onclick: act }, icon(name));
}

/** Say something to a screen reader. */
export function announce(text: string): void {
  const place = one('[data-announce]');
  place.textContent = '';
  requestAnimationFrame(() => (place.textContent = text));
}

/** Call `act` once things have been quiet for `millis`. */
export function settled<T extends unknown[]>(millis: number, act: (...values: T) => void): (...values: T) => void {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = window.setTimeout(() => act(...values), millis);
  };
}

/** `2 s ago`, `14:03`: short words for a moment. */
export function ago(iso: string, now = Date.now()): string {
  const then = Date.parse(iso);
  if (Number.isNaN(then)) return '';
  const seconds = Math.max(0, (now - then) / 1000);
  if (seconds < 10) return 'now';
  if (seconds < 60) return `${Math.round(seconds / 5) * 5} s ago`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  const date = new Date(then);
  const clock = date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hour12: false });
  const today = new Date(now).toDateString() === date.toDateString();
  return today ? `at ${clock}` : `on ${date.toLocaleDateString([], { day: 'numeric', month: 'short' })}`;
}
