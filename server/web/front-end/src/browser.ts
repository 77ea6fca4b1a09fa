// The browser pane: pages of the learner's cluster in a frame of an origin of its own, with an address, the way back and the headers.
// The frame cannot be looked into, so the server tells what it has loaded.

import { h, icon, iconButton } from './dom';
import { world } from './net';
import type { Visit } from './types';

/** `p8080` for `localhost:8080`, `p80.web.default` for port 80 of the Service `web`. */
interface Place {
  pane: string;
  path: string;
}

const WORKSTATION = /^(?:https?:\/\/)?(?:localhost|127\.0\.0\.1)?(?::?(\d{1,5}))?(\/\S*)?$/;
const SERVICE = /^(?:https?:\/\/)?([a-z0-9-]+)\.([a-z0-9-]+)(?:\.svc(?:\.cluster\.local)?)?(?::(\d{1,5}))?(\/\S*)?$/;

/** What an address means here; nothing for one that is not in the lab. */
export function placeOf(address: string): Place | null {
  const own = WORKSTATION.exec(address.trim());
  if (own) return { pane: `p${own[1] ?? '80'}`, path: own[2] ?? '/' };
  const service = SERVICE.exec(address.trim());
  return service ? { pane: `p${service[3] ?? '80'}.${service[1]}.${service[2]}`, path: service[4] ?? '/' } : null;
}

/** The address a learner would use for it. */
function addressOf({ pane, path }: Place): string {
  const [port = '', ...service] = pane.slice(1).split('.');
  const name = service.length ? service.join('.') : 'localhost';
  return `http://${name}${port === '80' ? '' : `:${port}`}${path}`;
}

const urlOf = ({ pane, path }: Place): string => `http://${pane}.localhost:${location.port}${path}`;

export class Browser {
  readonly element = h('div', { class: 'browser' });
  private readonly address = h('input', { class: 'address', type: 'text', 'aria-label': 'Address', spellcheck: 'false', autocomplete: 'off', placeholder: 'localhost:8080, or web.default for a Service' });
  private readonly frame = h('iframe', { title: 'A page of your cluster', sandbox: 'allow-scripts allow-same-origin allow-forms allow-modals allow-popups allow-popups-to-escape-sandbox allow-downloads', hidden: true });
  private readonly headers = h('div', { class: 'headers', tabindex: 0, role: 'region', 'aria-label': 'Response headers', hidden: true });
  private readonly status = h('button', { type: 'button', class: 'status', 'aria-expanded': 'false', title: 'Response headers', hidden: true, onclick: () => this.toggleHeaders() });
  private readonly back = iconButton('undo', 'Back', () => this.goBack());
  private readonly tab = h('a', { class: 'tool', target: '_blank', rel: 'noopener', 'aria-label': 'Open in a tab of its own', title: 'Open in a tab of its own' }, icon('open'));
  private readonly empty = h('div', { class: 'browser-empty' }, h('p', {}, 'Pages of your cluster appear here: a port-forward, a Service, anything the laptop reaches at ', h('code', {}, 'localhost'), '.'));
  private past: Place[] = [];
  private here: Place | null = null;

  constructor() {
    const reload = iconButton('reset', 'Load again', () => this.here && this.load(this.here));
    const form = h('form', { class: 'browser-bar', onsubmit: (event: Event) => this.submit(event) }, this.back, reload, this.address, this.status, this.tab);
    this.element.append(form, this.headers, h('div', { class: 'browser-page' }, this.empty, this.frame));
    world.on('visit', () => world.visit && this.visited(world.visit));
    this.paint();
  }

  go(place: Place): void {
    if (this.here && addressOf(this.here) !== addressOf(place)) this.past.push(this.here);
    this.load(place);
  }

  focus(): void {
    this.address.focus();
  }

  dispose(): void {
    this.element.remove();
  }

  private load(place: Place): void {
    this.here = place;
    this.status.hidden = true;
    this.frame.hidden = false;
    this.empty.hidden = true;
    this.frame.src = urlOf(place);
    this.address.value = addressOf(place);
    this.paint();
  }

  private goBack(): void {
    const to = this.past.pop();
    if (to) this.load(to);
  }

  private submit(event: Event): void {
    event.preventDefault();
    const place = placeOf(this.address.value);
    this.address.setAttribute('aria-invalid', String(!place));
    if (place) this.go(place);
  }

  /** The frame has loaded something: by itself, by a link in it, or because it was told to. */
  private visited(visit: Visit): void {
    if (this.here?.pane !== visit.pane || this.frame.hidden) return;
    if (this.here.path !== visit.path) this.past.push(this.here);
    this.here = { pane: visit.pane, path: visit.path };
    this.status.hidden = false;
    this.status.textContent = String(visit.status);
    this.status.dataset['fine'] = String(visit.status < 400);
    const rows = visit.headers.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]);
    this.headers.replaceChildren(h('p', {}, `${visit.status} ${visit.reason}`), h('dl', {}, ...rows));
    this.paint();
  }

  private toggleHeaders(): void {
    this.headers.hidden = !this.headers.hidden;
    this.status.setAttribute('aria-expanded', String(!this.headers.hidden));
  }

  private paint(): void {
    this.back.disabled = this.past.length === 0;
    this.tab.hidden = this.here === null;
    if (!this.here) return;
    this.tab.href = urlOf(this.here);
    if (document.activeElement !== this.address) this.address.value = addressOf(this.here);
    this.address.removeAttribute('aria-invalid');
    world.arrange({ web: addressOf(this.here) });
  }
}
