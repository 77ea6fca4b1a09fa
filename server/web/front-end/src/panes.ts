// How the page is divided: reading, both, or the machine alone. Remembered; by mouse and by keyboard.

import { announce, h, one } from './dom';
import { bench, focusBench } from './bench';
import { world } from './net';

export type Panes = 'split' | 'read' | 'bench';

const root = document.documentElement;
const stacked = matchMedia('(width < 900px)');
const single = matchMedia('(width < 620px)');
let lastInLesson: HTMLElement | null = null;
const watchers: (() => void)[] = [];

export function panes(): Panes {
  const wanted = root.dataset['layout'];
  return wanted === 'read' || wanted === 'bench' ? wanted : single.matches ? 'read' : 'split';
}

export function onPanes(watcher: () => void): void {
  watchers.push(watcher);
  single.addEventListener('change', watcher);
}

export function setPanes(wanted: Panes): void {
  root.dataset['layout'] = wanted;
  if (!single.matches) world.arrange({ panes: wanted });
  for (const watcher of watchers) watcher();
  if (wanted === 'bench') focusBench();
  announce({ split: 'Book and machine', read: 'Book only', bench: 'Machine only' }[wanted]);
}

/** Whether the machine is behind the book: on a phone, while the book is shown. */
export function behind(): boolean {
  return single.matches && panes() === 'read';
}

/** Make sure the machine can be seen. */
export function showBench(): void {
  if (panes() === 'read') setPanes(single.matches ? 'bench' : 'split');
}

export function focusLesson(): void {
  if (panes() === 'bench') setPanes(single.matches ? 'read' : 'split');
  (lastInLesson?.isConnected ? lastInLesson : one('#lesson')).focus({ preventScroll: lastInLesson !== null });
}

/** To the next part of the page: top bar, contents, lesson, machine, strip. */
export function focusRegion(way: 'next' | 'previous'): void {
  const regions: [Element | null, () => void][] = [
    [document.querySelector('.top'), () => one('.tools button').focus()],
    [document.querySelector('#lesson'), focusLesson],
    [bench, focusBench],
    [document.querySelector('.contents'), () => (document.querySelector<HTMLElement>('.contents [aria-current]') ?? one('.contents a')).focus()],
  ];
  const visible = regions.filter(([element]) => element instanceof HTMLElement && element.offsetParent !== null && getComputedStyle(element).visibility !== 'hidden');
  const at = visible.findIndex(([element]) => element?.contains(document.activeElement));
  const step = way === 'next' ? 1 : -1;
  const to = at < 0 ? (way === 'next' ? 1 : visible.length - 1) : (at + step + visible.length) % visible.length;
  visible[to]?.[1]();
}

interface Splitter {
  label: string;
  row: boolean | (() => boolean);
  /** Now, as a part of the whole from 0 to 1. */
  read: () => number;
  write: (part: number) => void;
  /** From where to where the divided things reach, in pixels. */
  span: () => [number, number];
  limits: () => [number, number];
  reset: () => void;
}

/** A line between two panes that can be dragged, or moved with the arrow keys; a double click puts it back. */
export function splitter(of: Splitter): HTMLElement {
  const isRow = (): boolean => (typeof of.row === 'function' ? of.row() : of.row);
  const line = h('div', { class: `split ${of.row === true ? 'row' : ''}`, role: 'separator', tabindex: 0, 'aria-label': of.label, 'aria-valuemin': 0, 'aria-valuemax': 100 });
  const tell = (): void => {
    line.setAttribute('aria-orientation', isRow() ? 'horizontal' : 'vertical');
    line.setAttribute('aria-valuenow', String(Math.round(of.read() * 100)));
  };
  const move = (part: number): void => {
    const [low, high] = of.limits();
    of.write(Math.min(high, Math.max(low, part)));
    tell();
  };
  line.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    line.setPointerCapture(event.pointerId);
    line.dataset['dragging'] = '';
    const follow = (moved: PointerEvent): void => {
      const [from, to] = of.span();
      move(((isRow() ? moved.clientY : moved.clientX) - from) / (to - from));
    };
    line.addEventListener('pointermove', follow);
    const end = (): void => {
      line.removeEventListener('pointermove', follow);
      delete line.dataset['dragging'];
    };
    line.addEventListener('pointerup', end, { once: true });
    line.addEventListener('pointercancel', end, { once: true });
  });
  line.addEventListener('keydown', (event) => {
    const step = event.shiftKey ? 0.1 : 0.02;
    const by = { ArrowLeft: -step, ArrowUp: -step, ArrowRight: step, ArrowDown: step }[event.key];
    const [low, high] = of.limits();
    if (by !== undefined) move(of.read() + by);
    else if (event.key === 'Home') move(low);
    else if (event.key === 'End') move(high);
    else if (event.key === 'Enter') of.reset();
    else return;
    event.preventDefault();
    tell();
  });
  line.addEventListener('dblclick', () => {
    of.reset();
    tell();
  });
  requestAnimationFrame(tell);
  return line;
}

/** The line between the book and the machine. */
export function startPanes(): HTMLElement {
  const lesson = one('#lesson');
  lesson.addEventListener('focusin', (event) => {
    if (event.target instanceof HTMLElement && event.target !== lesson) lastInLesson = event.target;
  });
  const set = (name: string, part: number): void => root.style.setProperty(name, `${part}fr`);
  const span = (): [number, number] => {
    const [a, b] = [lesson.getBoundingClientRect(), bench.getBoundingClientRect()];
    return stacked.matches ? [a.top, b.bottom] : [a.left, b.right];
  };
  const read = (): number => {
    const [from, to] = span();
    const box = lesson.getBoundingClientRect();
    return to > from ? (stacked.matches ? box.height : box.width) / (to - from) : 0.5;
  };
  const write = (part: number): void => {
    set(stacked.matches ? '--lesson-height' : '--lesson', part);
    set(stacked.matches ? '--bench-height' : '--bench-width', 1 - part);
    world.arrange(stacked.matches ? { height: part } : { lesson: part });
  };
  const limits = (): [number, number] => {
    const [from, to] = span();
    const least = (stacked.matches ? 140 : 320) / Math.max(1, to - from);
    return [Math.min(0.5, least), Math.max(0.5, 1 - least)];
  };
  return splitter({ label: 'Between the book and the machine', row: () => stacked.matches, read, write, span, limits, reset: () => write(stacked.matches ? 0.5 : 0.48) });
}
