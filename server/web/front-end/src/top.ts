// The top bar: search, the state of the cluster, how the page is divided, light or dark, start again, help.

import { openBack } from './back';
import { announce, h, icon, iconButton, one } from './dom';
import { choice, choose, onTheme } from './look';
import { help } from './keys';
import { openSearch } from './search';
import { onPanes, panes, setPanes } from './panes';
import type { Panes } from './panes';
import { light, togglePicture } from './picture';
import { world } from './net';
import { bytes, count } from './words';

function statusChip(): HTMLElement {
  const text = h('span', { class: 'chip-text' });
  const more = h('span', { class: 'wide' });
  const chip = h('button', { type: 'button', class: 'chip', title: 'Show the cluster', onclick: () => togglePicture(true) }, h('span', { class: 'lamp', 'aria-hidden': 'true' }), text, more);
  const paint = (): void => {
    const { phase, nodes, objects, memory, steps, subject } = world.status;
    const ready = nodes.filter((node) => node.ready).length;
    const pods = objects.filter((object) => object.kind === 'Pod');
    const down = nodes.find((node) => !node.ready);
    let state = 'ready';
    let says = `${count(ready, 'node')} Ready`;
    const cordoned = nodes.filter((node) => node.cordoned).length;
    if (cordoned) says += nodes.length === 1 ? ', cordoned' : `, ${cordoned} cordoned`;
    if (subject) says = nodes.length ? `${subject}: ${says}` : subject;
    if (world.online === false) [state, says] = ['failed', 'Not connected'];
    else if (phase.name === 'failed') [state, says] = ['failed', phase.what];
    else if (phase.name === 'starting') [state, says] = ['starting', steps.find((step) => !step.done)?.label ?? 'Starting'];
    else if (phase.name === 'resetting') [state, says] = ['starting', 'Putting things back'];
    else if (down) [state, says] = ['failed', `${down.name} NotReady`];
    chip.dataset['state'] = state;
    text.textContent = says;
    more.textContent = state === 'ready' ? [count(pods.length, 'Pod'), memory && !subject ? bytes(memory) : ''].filter(Boolean).map((part) => ` · ${part}`).join('') : '';
    chip.onclick = down ? () => light(`node/${down.name}`) : null;
  };
  world.on('status', paint);
  world.on('online', paint);
  paint();
  return chip;
}

function paneButtons(): HTMLElement {
  const group = h('div', { class: 'seg', role: 'group', 'aria-label': 'What to show' });
  const kinds: [Panes, 'read' | 'split' | 'bench', string, string][] = [
    ['read', 'read', 'Book only', '1'],
    ['split', 'split', 'Book and machine', '2'],
    ['bench', 'bench', 'Machine only', '3'],
  ];
  const buttons = kinds.map(([kind, name, label, key]) => {
    const button = iconButton(name, label, () => setPanes(kind), key);
    button.dataset['panes'] = kind;
    return button;
  });
  const paint = (): void => {
    for (const button of buttons) button.setAttribute('aria-pressed', String(button.dataset['panes'] === panes()));
  };
  group.append(...buttons);
  onPanes(paint);
  paint();
  return group;
}

export function nextTheme(): void {
  const to = { auto: 'light', light: 'dark', dark: 'auto' } as const;
  choose(to[choice()]);
  announce({ auto: 'Colors follow the system', light: 'Light', dark: 'Dark' }[choice()]);
}

function themeButton(): HTMLElement {
  const button = iconButton('auto', '', nextTheme);
  const paint = (): void => {
    const now = choice();
    button.replaceChildren(icon({ auto: 'auto', light: 'sun', dark: 'moon' }[now] as 'auto' | 'sun' | 'moon'));
    const label = { auto: 'Colors: as the system', light: 'Colors: light', dark: 'Colors: dark' }[now];
    button.setAttribute('aria-label', label);
    button.title = `${label} (d)`;
  };
  onTheme(paint);
  paint();
  return button;
}

export function startTop(): void {
  const search = h('button', { type: 'button', class: 'search-button', 'aria-label': 'Search', 'aria-keyshortcuts': '/', onclick: () => openSearch() }, icon('search'), h('span', {}, 'Search'), h('kbd', { 'aria-hidden': 'true' }, '/'));
  const resetButton = iconButton('reset', 'Go back, or ahead', openBack, 'r');
  resetButton.classList.add('needs-machine');
  one('[data-tools]').append(
    search,
    statusChip(),
    paneButtons(),
    themeButton(),
    resetButton,
    iconButton('help', 'Keys and help', help, '?'),
  );
}
