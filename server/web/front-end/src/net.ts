// Talking to the server: requests, and one socket for everything that changes. The cookie goes along by itself.

import type { Book, Layout, Restored, ServerEvent, Status, Verdict, Visit } from './types';

const meta = (name: string): string => document.querySelector<HTMLMetaElement>(`meta[name="${name}"]`)?.content ?? '';
export const nonce = meta('drydock-nonce');

/** A refusal: its message says what, why and what next. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly body: { error?: string; program?: string | null; session?: string },
  ) {
    super(body.error ?? 'the server did not say why');
  }
}

async function send(method: string, path: string, body?: BodyInit, type?: string): Promise<Response> {
  const headers: Record<string, string> = type ? { 'content-type': type } : {};
  let response: Response;
  try {
    response = await fetch(path, { method, headers, body: body ?? null });
  } catch {
    throw new Refused(0, { error: 'Drydock does not answer. Is it still running in the terminal where you started it?' });
  }
  if (!response.ok) {
    const text = await response.text();
    try {
      throw new Refused(response.status, JSON.parse(text));
    } catch (error) {
      throw error instanceof Refused ? error : new Refused(response.status, { error: text });
    }
  }
  return response;
}

export async function call<T>(method: 'POST' | 'PUT' | 'GET' | 'DELETE', path: string, body?: unknown): Promise<T> {
  const response = await send(method, path, body === undefined ? undefined : JSON.stringify(body), body === undefined ? undefined : 'application/json');
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

export async function readFile(path: string): Promise<string> {
  return (await send('GET', `/api/files?path=${encodeURIComponent(path)}`)).text();
}

export async function writeFile(path: string, text: string): Promise<void> {
  await send('PUT', `/api/files?path=${encodeURIComponent(path)}`, text, 'application/octet-stream');
}

export function socket(path: string, query: Record<string, string | number> = {}): WebSocket {
  const url = new URL(path, location.href);
  url.protocol = 'ws:';
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, String(value));
  const made = new WebSocket(url);
  made.binaryType = 'arraybuffer';
  return made;
}

/** Pauses between attempts to connect: quick at first, never longer than five seconds, for ever. */
export function pauses(): { next: () => number; reset: () => void } {
  let pause = 250;
  return {
    next: () => {
      const now = pause;
      pause = Math.min(5000, pause * 1.5);
      return now;
    },
    reset: () => (pause = 250),
  };
}

type Change = 'verdict' | 'status' | 'progress' | 'online' | 'restored' | 'visit' | 'trouble';

/** Everything the server has told. Listeners are called after a change, with the checks that changed. */
class World {
  verdicts = new Map<string, Verdict>();
  status: Status = { phase: { name: 'starting' }, steps: [], nodes: [], objects: [], memory: null, subject: null };
  book: Book = { passed: {}, hints: {}, answers: {}, solutions: [], runs: [], begun: [], scene: null, scenes: [], place: null, layout: null };
  online: boolean | null = null;
  /** What was put back last. */
  restored: Restored | null = null;
  /** What a pane has loaded last. */
  visit: Visit | null = null;
  /** Why progress is not kept. */
  trouble: string | null = null;
  /** Whether anything has been heard at all. */
  known = false;
  /** Changes with every start of the server. */
  server = '';
  private listeners: [Change, (detail: { check?: string; fresh: boolean }) => void][] = [];

  on(change: Change, listener: (detail: { check?: string; fresh: boolean }) => void): void {
    this.listeners.push([change, listener]);
  }

  private tell(change: Change, detail: { check?: string; fresh: boolean } = { fresh: false }): void {
    for (const [wanted, listener] of this.listeners) if (wanted === change) listener(detail);
  }

  connect(): void {
    const pause = pauses();
    const open = (): void => {
      const events = socket('/ws/events');
      events.onmessage = ({ data }) => {
        pause.reset();
        this.receive(JSON.parse(data) as ServerEvent);
      };
      events.onclose = () => {
        this.setOnline(false);
        void this.allowed().then((stays) => (stays ? setTimeout(open, pause.next()) : location.reload()));
      };
    };
    open();
  }

  /** A browser that has lost its cookie is told by a page to read; a server that is away is only away. */
  allowed: () => Promise<boolean> = async () => true;

  private setOnline(online: boolean): void {
    if (this.online === online) return;
    this.online = online;
    this.tell('online');
  }

  private receive(event: ServerEvent): void {
    switch (event.type) {
      case 'hello':
        if (this.server && this.server !== event.server) return location.reload();
        this.server = event.server;
        this.known = true;
        this.trouble = null;
        this.tell('trouble');
        this.verdicts = new Map(event.verdicts.map((verdict) => [verdict.check, verdict]));
        this.status = event.status;
        this.book = event.progress;
        this.setOnline(true);
        this.tell('progress');
        this.tell('status');
        return this.tell('verdict');
      case 'verdict': {
        const before = this.verdicts.get(event.verdict.check);
        this.verdicts.set(event.verdict.check, event.verdict);
        return this.tell('verdict', { check: event.verdict.check, fresh: before?.verdict !== event.verdict.verdict });
      }
      case 'status':
        this.status = event.status;
        return this.tell('status', { fresh: true });
      case 'progress':
        // What was put back is not green until it is judged again.
        for (const check of Object.keys(this.book.passed)) if (!(check in event.progress.passed)) this.verdicts.delete(check);
        this.book = event.progress;
        return this.tell('progress', { fresh: true });
      case 'restored':
        this.restored = event.restored;
        return this.tell('restored', { fresh: true });
      case 'visit':
        this.visit = event.visit;
        return this.tell('visit', { fresh: true });
      case 'trouble':
        this.trouble = event.why;
        return this.tell('trouble', { fresh: true });
    }
  }

  private layoutTimer = 0;
  private ownLayout: Layout | null = null;

  /** How the page is arranged: kept on the server, so that another browser window finds it too. */
  get layout(): Layout {
    return this.ownLayout ?? (this.ownLayout = { ...((this.book.layout as Layout | null) ?? {}) });
  }

  arrange(change: Partial<Layout>): void {
    this.ownLayout = { ...this.layout, ...change };
    localStorage.setItem('drydock.layout', JSON.stringify(this.ownLayout));
    clearTimeout(this.layoutTimer);
    this.layoutTimer = window.setTimeout(() => {
      call('PUT', '/api/layout', this.ownLayout).catch(() => undefined);
    }, 300);
  }
}

export const world = new World();
world.book.layout = JSON.parse(localStorage.getItem('drydock.layout') ?? 'null') as Layout | null;
