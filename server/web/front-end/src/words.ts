// Small texts made from data.

import { h } from './dom';

const MARKS = [['`', 'code'], ['**', 'strong'], ['*', 'em']] as const;

/** What the mark at the beginning makes of the text up to its fellow. A star in code, or beside a space, is only one. */
function marked(text: string): { element: HTMLElement; length: number } | undefined {
  for (const [mark, tag] of MARKS) {
    if (!text.startsWith(mark)) continue;
    for (let end = text.indexOf(mark, mark.length + 1); end > 0; end = text.indexOf(mark, end + 1)) {
      const body = text.slice(mark.length, end);
      if (tag !== 'code' && (body !== body.trim() || body.split('`').length % 2 === 0 || body.endsWith('*'))) continue;
      return { element: h(tag, {}, tag === 'code' ? body : sentence(body)), length: end + mark.length };
    }
  }
  return undefined;
}

/** A sentence with `code`, **weight** and *stress*, as nodes; `page::inline` is the same on the server. */
export function sentence(text: string): DocumentFragment {
  const out = document.createDocumentFragment();
  let plain = '';
  for (let at = 0; at < text.length; ) {
    const found = text[at] === '`' || text[at] === '*' ? marked(text.slice(at)) : undefined;
    if (found) {
      out.append(plain, found.element);
      plain = '';
    } else plain += text[at];
    at += found?.length ?? 1;
  }
  out.append(plain);
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

/** Whether a line opens a shell, here or in a container: Ctrl+C ends what runs in one, and not the shell. */
export function opensShell(line: string): boolean {
  const shell = String.raw`(?:\S*/)?(?:ba|da|a|z)?sh(?:\s+-[il]+)*\s*$`;
  const here = new RegExp(String.raw`(?:^|[;&]\s*)${shell}`);
  const inside = new RegExp(String.raw`\b(?:kubectl|docker)\s(?:.*\s)?(?:exec|run|debug)\s(?:.*\s)?(?:-[a-z]*i[a-z]*|--stdin|--interactive)(?:=true)?\s(?:.*\s)?${shell}`);
  return here.test(line) || inside.test(line);
}
