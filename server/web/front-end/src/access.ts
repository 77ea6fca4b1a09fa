// The way in: a link from the terminal becomes a cookie. Without one the book can be read, and the page says how to get in.

import { all, announce, h, one } from './dom';
import { Refused, call } from './net';

const root = document.documentElement;

/** Whether this browser may act; a link in the address is spent on the way. */
export async function enter(): Promise<boolean> {
  const link = /^#link=([0-9a-f]+)$/.exec(location.hash)?.[1];
  let spent = '';
  if (link) {
    history.replaceState(null, '', location.pathname + location.search);
    try {
      await call('POST', '/api/access', { link });
      return true;
    } catch (error) {
      spent = error instanceof Refused ? error.message : String(error);
    }
  }
  if (await acts()) return true;
  showReading(spent);
  return false;
}

/** Whether the server knows this browser; a server that does not answer has not changed its mind. */
export async function acts(): Promise<boolean> {
  return call<{ acts: boolean }>('GET', '/api/access').then(
    (answer) => answer.acts,
    () => true,
  );
}

function showReading(spent: string): void {
  root.dataset['reading'] = '';
  root.dataset['layout'] = 'read';
  for (const field of all<HTMLFieldSetElement>('form.ask fieldset')) field.disabled = true;
  const way = h('p', {}, 'Terminals, checks and your progress open with the link that ', h('code', {}, 'drydock serve'), ' printed. It works once; run ', h('code', {}, 'drydock serve'), ' again and it prints a fresh one for the server that runs.');
  const usual = `http://127.0.0.1:${location.port}${location.pathname}${location.hash}`;
  const other = location.hostname === '127.0.0.1' ? null : h('p', {}, 'Were you in already? Then you were at ', h('a', { href: usual }, `127.0.0.1:${location.port}`), '.');
  const says = spent && h('p', { class: 'spent' }, `${spent.charAt(0).toUpperCase()}${spent.slice(1)}.`);
  const notice = h('aside', { class: 'reading', 'aria-label': 'Reading only' }, h('h2', {}, 'You are reading along'), says || null, way, other);
  one('#lesson').prepend(notice);
  announce('You are reading along. Terminals and checks are closed.');
}
