// The line at the bottom: what the last command set in motion, as it was seen to happen.

import { h } from './dom';
import { Refused, call, world } from './net';
import { ask } from './dialogs';
import { count, millis, value } from './words';
import type { ClusterObject, Restored } from './types';

interface Seen {
  at: number;
  text: string;
  /** Of the object, where its changes can be asked for. */
  uid?: string;
}

/** One change of an object, as the server tells it. */
interface Version {
  time: string;
  created: boolean;
  gone: boolean;
  fields: { path: string; was: unknown; is: unknown }[];
  more: number;
}

interface Story {
  session: string;
  line: string;
  began: number;
  ended: number | null;
  seen: Seen[];
}

/** What happens this long after a command ended is still laid to it, while nothing else is run. */
const AFTERMATH = 20_000;
/** Terminals and events have sockets of their own: what a command did may be told this much before the command itself. */
const EARLY = 150;

const stories: Story[] = [];
const said = h('span', { class: 'said' });
const chain = h('ol', { 'aria-label': 'What it set in motion' });
const took = h('span', { class: 'took' });
const open = h('button', { type: 'button', class: 'strip-open', hidden: true, onclick: () => timeline() }, 'Timeline');
const silent = h('span', { class: 'silent' }, 'What your commands set in motion appears here.');

export const strip = h('footer', { class: 'strip', 'aria-label': 'Last command' }, silent, said, chain, took, open);

/** Commands that only look: what happens while they run was set in motion by the one before. */
const LOOKS = /^\s*(kubectl\s+(get|describe|logs?|wait|explain|top|version|rollout\s+(status|history)|api-resources|api-versions|config|cluster-info|events|diff|port-forward)\b|ls|cat|cd|pwd|echo|curl|grep|less|clear|vi|nano|sleep|docker\s+(container\s+)?(ls|ps|logs|inspect|images)\b)/;

/** Who makes whom: of what is seen at once, the maker is told first; readiness comes the other way, from the Pods up. */
const ORDER = ['Service', 'PersistentVolume', 'PersistentVolumeClaim', 'Deployment', 'DaemonSet', 'StatefulSet', 'ReplicationController', 'ReplicaSet', 'Pod'];
/** What is remembered over a reload, for as long as the server runs. */
const KEPT = 'drydock.strip';

let before: ClusterObject[] = [];
let cordoned = new Map<string, boolean>();
/** What was seen of late that belongs to no command so far. */
let strays: Seen[] = [];

export function commandBegan(session: string, line: string): void {
  if (LOOKS.test(line)) return;
  const began = Date.now();
  const before = stories.at(-1);
  const early = before?.ended === null ? [] : (before?.seen.filter(({ at }) => began - at < EARLY) ?? []);
  if (before) before.seen = before.seen.filter((seen) => !early.includes(seen));
  early.push(...strays.filter(({ at }) => began - at < EARLY));
  strays = [];
  stories.push({ session, line, began, ended: null, seen: early.map((seen) => ({ ...seen, at: began })) });
  if (stories.length > 40) stories.shift();
  paint();
}

export function commandEnded(session: string): void {
  const story = stories.findLast((one) => one.session === session);
  if (story) story.ended ??= Date.now();
}

/** Something was put back: its own story. */
export function told({ action, line, changes, millis: took }: Restored): void {
  const at = Date.now();
  const kind = (what: string): string => ORDER.find((known) => known.toLowerCase() === what.split('.')[0]) ?? what;
  const seen = changes.map(({ verb, what }) => ({ at: at + took, text: `${kind(what.split('/')[0] ?? '')} ${what.split('/').slice(1).join('/')} ${verb}` }));
  stories.push({ session: '', line: line ? `${action} ${line}` : action, began: at, ended: at + took, seen });
  paint();
  keep();
}

/** Another chapter's cluster: what was set in motion in the one before is not what is seen. */
export function forgetStories(): void {
  stories.length = 0;
  paint();
  keep();
}

function current(): Story | undefined {
  const story = stories.at(-1);
  if (!story) return undefined;
  const late = story.ended !== null && Date.now() - story.ended > AFTERMATH;
  return late ? undefined : story;
}

/** What is different between two pictures, in words and in the order it must have happened. */
function changes(old: ClusterObject[], now: ClusterObject[]): { text: string; uid: string }[] {
  const was = new Map(old.map((object) => [object.uid, object]));
  const [was0, is] = [new Set(was.keys()), new Set(now.map(({ uid }) => uid))];
  const out: [number, { text: string; uid: string }][] = [];
  const tell = (rank: number, { uid }: ClusterObject, text: string): number => out.push([rank, { text, uid }]);
  for (const object of now) {
    const earlier = was.get(object.uid);
    was.delete(object.uid);
    const name = `${object.kind} ${object.name}`;
    const rank = ORDER.indexOf(object.kind);
    if (!earlier) tell(rank, object, `${name} created`);
    if (object.terminating && !earlier?.terminating) tell(rank, object, `${name} terminating`);
    if (object.node && earlier?.node !== object.node) tell(10, object, `${name} on ${object.node}`);
    if (earlier && object.restarts > earlier.restarts) tell(20, object, `${name} restarted`);
    if (object.trouble && !earlier?.trouble) tell(20, object, `${name} ${object.kind === 'Service' ? 'selects nothing' : object.state}`);
    // A Pod that comes or goes says so itself; here is what a selector or a label has changed.
    const moved = [...object.selects.filter((uid) => was0.has(uid) && earlier && !earlier.selects.includes(uid)), ...(earlier?.selects ?? []).filter((uid) => is.has(uid) && !object.selects.includes(uid))];
    if (object.kind === 'Service' && moved.length > 0) tell(30, object, `${name} selects ${count(object.selects.length, 'Pod')}`);
    if (object.ready && !earlier?.ready) tell(40 - rank, object, `${name} ready`);
  }
  for (const object of was.values()) tell(50, object, `${object.kind} ${object.name} gone`);
  return out.sort(([a], [b]) => a - b).map(([, seen]) => seen);
}

/** The chain in a few words: neighbors of the same sort are counted together. */
function short(seen: Seen[]): string[] {
  const out: { key: string; kind: string; verb: string; number: number }[] = [];
  for (const { text } of seen) {
    const [kind = '', , ...rest] = text.split(' ');
    const verb = rest.join(' ');
    const last = out.find((item) => item.key === `${kind} ${verb}`);
    if (last) last.number += 1;
    else out.push({ key: `${kind} ${verb}`, kind, verb, number: 1 });
  }
  return out.map(({ kind, verb, number }) => `${number > 1 ? `${kind} ×${number}` : kind} ${verb}`);
}

function keep(): void {
  localStorage.setItem(KEPT, JSON.stringify({ server: world.server, stories }));
}

/** What this browser has seen before it loaded the page again. */
function remember(): void {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT) ?? '{}') as { server?: string; stories?: Story[] };
    if (kept.server === world.server && stories.length === 0) stories.push(...(kept.stories ?? []));
  } catch {
    localStorage.removeItem(KEPT);
  }
}

function paint(): void {
  const story = stories.findLast((one) => one.seen.length > 0);
  silent.hidden = story !== undefined;
  open.hidden = story === undefined;
  if (!story) {
    for (const part of [said, chain, took]) part.replaceChildren();
    return;
  }
  said.textContent = story.line;
  said.title = story.line;
  chain.replaceChildren(...short(story.seen).slice(-7).map((text) => h('li', {}, text)));
  const last = story.seen.at(-1);
  took.textContent = last ? millis(last.at - story.began) : '';
}

/** How a field is different, in the words of a diff. */
function differs({ path, was, is }: Version['fields'][number]): HTMLElement[] {
  const line = (sign: string, seen: unknown): HTMLElement => h('span', { class: sign === '+' ? 'new' : 'old' }, `${sign} ${path}: ${value(seen)}\n`);
  if (path === 'object') return [h('span', { class: 'old' }, '- the object itself\n')];
  return [was !== null && was !== undefined && line('-', was), is !== null && is !== undefined && line('+', is)].filter((one) => one !== false);
}

/** Something that happened to an object; open, it shows what was different then and until the next command. */
function diffed(story: Story, text: string, uid: string): HTMLElement {
  const details = h('details', {}, h('summary', {}, text));
  const next = stories[stories.indexOf(story) + 1]?.began ?? Number.POSITIVE_INFINITY;
  details.addEventListener('toggle', () => {
    if (!details.open || details.childElementCount > 1) return;
    const shown = h('pre', { class: 'diff', tabindex: 0 });
    details.append(shown);
    call<Version[]>('GET', `/api/changes/${encodeURIComponent(uid)}`)
      .then((versions) => {
        const of = versions.filter(({ time }) => Date.parse(time) >= story.began - EARLY && Date.parse(time) < next);
        for (const { time, fields, more } of of) {
          shown.append(h('span', { class: 'at' }, `${millis(Math.max(0, Date.parse(time) - story.began))}\n`), ...fields.flatMap(differs));
          if (more) shown.append(h('span', { class: 'at' }, `and ${count(more, 'more field')}\n`));
        }
        if (of.length === 0) shown.append('What was different then is not remembered any more.');
      })
      .catch((error: unknown) => shown.append(error instanceof Refused ? error.message : String(error)));
  });
  return details;
}

function timeline(): void {
  const told = stories.filter((story) => story.seen.length > 0).slice(-8).reverse();
  const parts = told.map((story) => {
    const items = story.seen.map((seen) => h('li', {}, h('span', { class: 'when' }, millis(seen.at - story.began)), seen.uid ? diffed(story, seen.text, seen.uid) : h('span', {}, seen.text)));
    return h('section', {}, h('h3', {}, h('code', {}, story.line)), h('ol', {}, ...items));
  });
  const intro = h('p', {}, `As it was seen to happen, for the last ${count(told.length, 'command')} that changed something. Open a line to see which fields of the object were different.`);
  ask('Timeline', [intro, h('div', { class: 'timeline', tabindex: 0 }, ...parts)], [{ text: 'Close', main: true }]);
}

export function startStrip(): void {
  document.querySelector('[data-desk]')?.after(strip);
  world.on('status', ({ fresh }) => {
    if (!fresh) {
      remember();
      paint();
    }
    const { objects: now, nodes } = world.status;
    const story = current();
    if (fresh) {
      const turned = nodes.filter((node) => cordoned.has(node.name) && cordoned.get(node.name) !== node.cordoned);
      const seen: Seen[] = [...turned.map(({ name, cordoned: is }) => ({ text: `Node ${name} ${is ? 'cordoned' : 'uncordoned'}` })), ...changes(before, now)].map((one) => ({ at: Date.now(), ...one }));
      if (story) {
        story.seen.push(...seen);
        paint();
        keep();
      } else {
        strays = [...strays.filter(({ at }) => Date.now() - at < EARLY), ...seen];
      }
    }
    before = now;
    cordoned = new Map(nodes.map((node) => [node.name, node.cordoned]));
  });
}
