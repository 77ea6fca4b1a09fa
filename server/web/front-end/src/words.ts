// Small texts made from data.

import { h } from './dom';

/** A sentence with `code` in backticks, as nodes. */
export function sentence(text: string): DocumentFragment {
  const out = document.createDocumentFragment();
  text.split('`').forEach((part, index) => out.append(index % 2 ? h('code', {}, part) : part));
  return out;
}

/** A value as a learner would write it. */
export function value(seen: unknown): string {
  if (seen === null || seen === undefined || seen === '') return 'nothing';
  if (typeof seen === 'string') return seen;
  if (Array.isArray(seen) && seen.every((item) => typeof item !== 'object')) return seen.length ? seen.join(', ') : 'none';
  return JSON.stringify(seen);
}

export function count(number: number, singular: string, plural = `${singular}s`): string {
  return `${number} ${number === 1 ? singular : plural}`;
}

export function bytes(number: number): string {
  const mega = number / 1024 / 1024;
  return mega < 1000 ? `${Math.round(mega)} MB` : `${(mega / 1024).toFixed(1)} GB`;
}

export function millis(number: number): string {
  return number < 1000 ? `${Math.round(number)} ms` : `${(number / 1000).toFixed(1)} s`;
}
