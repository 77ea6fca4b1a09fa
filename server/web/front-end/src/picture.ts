// The cluster in a small picture: owners above, nodes with their Pods below. Things keep their places, arrive and leave quietly.

import { h, icon, one } from './dom';
import { world } from './net';
import { count } from './words';
import type { ClusterNode, ClusterObject } from './types';

const SVG = 'http://www.w3.org/2000/svg';
const owners = h('ul', { class: 'owners', 'aria-label': 'Owners and Services' });
const nodes = h('ul', { class: 'nodes', 'aria-label': 'Nodes and their Pods' });
const links = document.createElementNS(SVG, 'svg');
const waiting = h('li', { class: 'node', 'data-none': true, hidden: true }, h('p', {}, h('span', {}, 'No node yet'), h('span', { class: 'is' })), h('ul', { 'aria-label': 'Pods without a node' }));
const none = h('p', { class: 'none' }, 'Nothing here yet. What you create appears here as it happens.');
const drawn = new Map<string, HTMLElement>();
const homes = new Map<string, HTMLElement>();
const groups = new Map<string, HTMLElement>();

let onOpen: (pane: string) => void = () => undefined;

export const picture = h('section', { class: 'picture', 'aria-label': 'The cluster now', tabindex: 0 });

export function pictureShown(): boolean {
  return world.layout.pictureShown ?? (innerHeight > 640 && innerWidth >= 900);
}

export function togglePicture(shown = !pictureShown()): boolean {
  world.arrange({ pictureShown: shown });
  show();
  return shown;
}

function show(): void {
  document.documentElement.toggleAttribute('data-picture', pictureShown());
  requestAnimationFrame(drawLinks);
}

/** `Pod/hello`, `default/pod/hello`, `pod/hello`: the object a check speaks of. */
function find(subject: string): ClusterObject | undefined {
  const [kind, name] = subject.split('/').slice(-2);
  return world.status.objects.find((object) => object.name === name && object.kind.toLowerCase() === kind?.toLowerCase());
}

/** Point at an object, or say in the picture that there is none. */
export function light(subject: string): void {
  togglePicture(true);
  const object = find(subject);
  const box = object ? drawn.get(object.uid) : undefined;
  if (!box) {
    const [kind, name] = subject.split('/').slice(-2);
    none.textContent = `There is no ${kind} named ${name} now.`;
    none.hidden = false;
    none.scrollIntoView({ block: 'nearest' });
    return;
  }
  box.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  box.dataset['lit'] = '';
  setTimeout(() => delete box.dataset['lit'], 2600);
}

function makeBox(object: ClusterObject): HTMLElement {
  const box = h('li', { class: 'object', 'data-uid': object.uid, 'data-kind': object.kind }, h('span', { class: 'kind' }), h('span', { class: 'state' }), h('span', { class: 'name' }, h('span', { class: 'head' }), h('span', { class: 'tail' })));
  drawn.set(object.uid, box);
  return box;
}

function flag(element: HTMLElement, name: string, on: boolean): void {
  element.toggleAttribute(`data-${name}`, on);
}

function paintBox(object: ClusterObject): HTMLElement {
  const box = drawn.get(object.uid) ?? makeBox(object);
  one('.kind', box).textContent = object.kind;
  const name = one('.name', box);
  // The end of a long name tells it from its neighbors, so only the middle may go.
  const cut = object.name.length > 20 ? object.name.lastIndexOf('-') : -1;
  one('.head', name).textContent = cut > 0 ? object.name.slice(0, cut) : object.name;
  one('.tail', name).textContent = cut > 0 ? object.name.slice(cut) : '';
  name.title = [object.name, ...object.labels].join('\n');
  const empty = object.kind === 'Service' && object.trouble && object.selects.length === 0;
  const state = object.terminating ? 'Terminating' : empty ? 'selects nothing' : object.state;
  one('.state', box).textContent = object.restarts ? `${state} · ${count(object.restarts, 'restart')}` : state;
  const open = box.querySelector<HTMLElement>('.opens');
  const pane = object.panes?.[0];
  if (open && open.dataset['pane'] !== pane) open.remove();
  if (pane && open?.dataset['pane'] !== pane) {
    const label = `Open ${object.name} in the browser pane`;
    box.append(h('button', { type: 'button', class: 'opens', 'data-pane': pane, 'aria-label': label, title: label, onclick: () => onOpen(pane) }, icon('open')));
  }
  flag(box, 'ready', object.ready && !object.terminating && !empty);
  flag(box, 'trouble', object.trouble || empty);
  flag(box, 'leaving', object.terminating);
  return box;
}

function paintNode(node: ClusterNode): HTMLElement {
  let home = homes.get(node.name);
  if (!home) {
    home = h('li', { class: 'node' }, h('p', {}, h('span', {}, node.name), h('span', { class: 'is' })), h('ul', { 'aria-label': `Pods on ${node.name}` }));
    homes.set(node.name, home);
    waiting.before(home);
  }
  one('.is', home).textContent = `${node.ready ? 'Ready' : 'NotReady'}${node.cordoned ? ', cordoned' : ''}`;
  flag(home, 'cordoned', node.cordoned);
  flag(home, 'down', !node.ready);
  return home;
}

/** The object that nothing in the picture owns, above this one. */
function root(object: ClusterObject, objects: ClusterObject[]): ClusterObject {
  const owner = objects.find((other) => other.uid === object.owner);
  return owner && owner !== object ? root(owner, objects) : object;
}

/** What belongs together stands together, the owner first; groups stay in the order of their arrival. */
function groupOf(object: ClusterObject, objects: ClusterObject[]): HTMLElement {
  const { uid } = root(object, objects);
  let group = groups.get(uid);
  if (!group) {
    group = h('ul');
    groups.set(uid, group);
    owners.append(h('li', { class: 'group' }, group));
  }
  return group;
}

function dropEmptyGroups(): void {
  for (const [uid, group] of groups) {
    if (group.childElementCount > 0) continue;
    group.parentElement?.remove();
    groups.delete(uid);
  }
}

function place(box: HTMLElement, parent: Element, first = false): void {
  if (box.parentElement === parent) return;
  if (first) parent.prepend(box);
  else parent.append(box);
}

function paint(): void {
  const { objects, nodes: machines } = world.status;
  for (const node of machines) paintNode(node);
  for (const [name, home] of homes) {
    if (machines.some((node) => node.name === name)) continue;
    home.remove();
    homes.delete(name);
  }
  for (const object of objects) {
    const home = object.kind !== 'Pod' ? undefined : object.node ? homes.get(object.node) : waiting;
    if (home) place(paintBox(object), one('ul', home));
    else place(paintBox(object), groupOf(object, objects), root(object, objects) === object);
  }
  const unplaced = objects.filter((object) => object.kind === 'Pod' && !object.node).length;
  waiting.hidden = unplaced === 0;
  one('.is', waiting).textContent = unplaced ? 'waiting' : '';
  dropEmptyGroups();
  const known = new Set(objects.map((object) => object.uid));
  for (const [uid, box] of drawn) {
    if (known.has(uid)) continue;
    drawn.delete(uid);
    box.dataset['gone'] = '';
    setTimeout(() => {
      box.remove();
      dropEmptyGroups();
      drawLinks();
    }, 160);
  }
  none.hidden = objects.length > 0;
  if (objects.length === 0) none.textContent = 'Nothing here yet. What you create appears here as it happens.';
  requestAnimationFrame(drawLinks);
}

/** Lines from owners to what they own, and from Services to what they select. */
function drawLinks(): void {
  if (picture.offsetParent === null) return;
  // By layout, not by what is painted: something that arrives is smaller for a moment.
  const at = (box: HTMLElement): { x: number; top: number; bottom: number; left: number; right: number; y: number } => {
    let [left, top] = [0, 0];
    for (let part: HTMLElement | null = box; part && part !== picture; part = part.offsetParent as HTMLElement | null) {
      left += part.offsetLeft + (part === box ? 0 : part.clientLeft);
      top += part.offsetTop + (part === box ? 0 : part.clientTop);
    }
    const [width, height] = [box.offsetWidth, box.offsetHeight];
    return { left, right: left + width, x: left + width / 2, y: top + height / 2, top, bottom: top + height };
  };
  const paths: SVGPathElement[] = [];
  const join = (from: HTMLElement, to: HTMLElement, kind: string): void => {
    const [a, b] = [at(from), at(to)];
    const beside = Math.abs(a.y - b.y) < 8;
    const middle = (a.bottom + b.top) / 2;
    const line = beside
      ? `M${b.left > a.right ? a.right : a.left} ${a.y}L${b.left > a.right ? b.left : b.right} ${b.y}`
      : `M${a.x} ${a.bottom}C${a.x} ${middle} ${b.x} ${middle} ${b.x} ${b.top}`;
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('d', line);
    path.setAttribute('class', kind);
    paths.push(path);
  };
  for (const object of world.status.objects) {
    const box = drawn.get(object.uid);
    const owner = object.owner ? drawn.get(object.owner) : undefined;
    if (box && owner) join(owner, box, 'owns');
    for (const uid of object.selects) {
      const chosen = drawn.get(uid);
      if (box && chosen) join(box, chosen, 'select');
    }
  }
  // It must not be what makes the picture wide.
  links.setAttribute('width', '0');
  links.setAttribute('width', String(picture.scrollWidth - 4));
  links.setAttribute('height', String(Math.max(nodes.offsetTop + nodes.offsetHeight, 40)));
  links.replaceChildren(...paths);
}

export function startPicture(open: (pane: string) => void): void {
  onOpen = open;
  links.setAttribute('class', 'links');
  links.setAttribute('aria-hidden', 'true');
  nodes.append(waiting);
  picture.append(none, owners, nodes, links);
  world.on('status', paint);
  new ResizeObserver(() => drawLinks()).observe(picture);
  show();
}
