// One terminal: xterm.js on a session that lives on the server. Loaded when the first terminal is shown.

import { FitAddon } from '@xterm/addon-fit';
import { SearchAddon } from '@xterm/addon-search';
import { Unicode11Addon } from '@xterm/addon-unicode11';
import { WebLinksAddon } from '@xterm/addon-web-links';
import { WebglAddon } from '@xterm/addon-webgl';
import { Terminal } from '@xterm/xterm';
import type { ILink, IMarker, ITheme } from '@xterm/xterm';

import { h, icon } from './dom';
import { nonce, pauses, socket } from './net';
import { isDark, onTheme } from './look';
import type { FromTerminal, Mode, RunPhase } from './types';

// The terminal makes style elements; the content security policy wants to know that they are ours.
const create = document.createElement.bind(document);
document.createElement = ((tag: string, options?: ElementCreationOptions) => {
  const element = create(tag, options);
  if (tag.toLowerCase() === 'style') element.nonce = nonce;
  return element;
}) as typeof document.createElement;

const LIGHT: ITheme = {
  background: '#fdfcfa', foreground: '#20241f', cursor: '#116a3a', cursorAccent: '#fdfcfa', selectionBackground: '#cfe0d4', overviewRulerBorder: '#fdfcfa', scrollbarSliderBackground: '#20241f1f', scrollbarSliderHoverBackground: '#20241f40', scrollbarSliderActiveBackground: '#20241f55',
  black: '#20241f', red: '#a5260d', green: '#116a3a', yellow: '#7a5200', blue: '#17528f', magenta: '#7d2f86', cyan: '#0d6470', white: '#656c65',
  brightBlack: '#656c65', brightRed: '#bf2e12', brightGreen: '#157a43', brightYellow: '#8a5d00', brightBlue: '#1b64c4', brightMagenta: '#93389d', brightCyan: '#0f7583', brightWhite: '#20241f',
};

const DARK: ITheme = {
  background: '#0c0f11', foreground: '#dfe2dc', cursor: '#63d197', cursorAccent: '#0c0f11', selectionBackground: '#2b4a3a', overviewRulerBorder: '#0c0f11', scrollbarSliderBackground: '#dfe2dc1f', scrollbarSliderHoverBackground: '#dfe2dc40', scrollbarSliderActiveBackground: '#dfe2dc55',
  black: '#1b1f22', red: '#ff8f73', green: '#63d197', yellow: '#e6c06e', blue: '#86b8f5', magenta: '#d3a0e6', cyan: '#6fcbd6', white: '#c4c9c3',
  brightBlack: '#8b938d', brightRed: '#ffab94', brightGreen: '#8be3b4', brightYellow: '#f2d595', brightBlue: '#a9cdf9', brightMagenta: '#e2bff0', brightCyan: '#97dde5', brightWhite: '#f2f4f0',
};

/** Bytes that are on the screen are told to the server in pieces of at least this much, and whenever nothing is left. */
const ACK = 16 * 1024;

/** What the browser pane shows. */
const LAB = /^https?:\/\/(localhost|127\.0\.0\.1)(:\d+)?(\/|$)/;
/** What kubectl says of a port-forward. */
const FORWARDS = /Forwarding from 127\.0\.0\.1:(\d+)/;

/** And of it and every connection through it. */
const HANDLES = /(?:Forwarding from 127\.0\.0\.1:|Handling connection for )(\d+)/;

/** What a mark says, decoded. */
function plain(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return encoded;
  }
}

export interface Listener {
  mode: (mode: Mode) => void;
  run: (id: string, phase: RunPhase) => void;
  /** Something new is on the screen. */
  printed: () => void;
  /** `Ctrl` of the key bar has been used. */
  released: () => void;
  /** An address of the lab was clicked. */
  page: (address: string) => void;
  /** A port that it says is forwarded: now, or on the screen as it was found. */
  forwards: (port: string | undefined, now: boolean) => void;
  /** Leave the terminal: forward or backward, or to where the learner came from. */
  leave: (way: 'next' | 'previous' | 'back') => void;
}

/** A command and what it printed, a line each however narrow the terminal is. */
export interface Printed {
  line: string;
  lines: string[];
}

/** Where on the screen a command's output is, from the marks of the shell. */
interface Piece {
  line: string;
  from: IMarker | undefined;
  /** Where it ended: on which row, and how far along that one, as it may have begun no new line. */
  to?: { row: IMarker | undefined; column: number };
}

export class Term {
  readonly element = h('div', { class: 'term' });
  private readonly note = h('div', { class: 'term-note', role: 'status', hidden: true });
  private readonly term: Terminal;
  private readonly fitter = new FitAddon();
  private readonly search = new SearchAddon();
  private readonly pause = pauses();
  private socket: WebSocket | null = null;
  private repaint = false;
  private pending = 0;
  private unread = 0;
  private closed = false;
  private noteTimer = 0;
  private finder: HTMLElement | null = null;

  constructor(
    readonly name: string,
    private readonly listener: Listener,
  ) {
    this.term = new Terminal({
      allowProposedApi: true,
      cursorBlink: false,
      cursorInactiveStyle: 'outline',
      fontFamily: getComputedStyle(document.documentElement).getPropertyValue('--mono'),
      fontSize: 13,
      lineHeight: 1.28,
      minimumContrastRatio: 4.5,
      overviewRuler: { width: 10 },
      scrollback: 10_000,
      theme: isDark() ? DARK : LIGHT,
    });
    this.term.loadAddon(this.fitter);
    this.term.loadAddon(this.search);
    this.term.loadAddon(new Unicode11Addon());
    this.term.unicode.activeVersion = '11';
    this.term.loadAddon(new WebLinksAddon((event, uri) => {
        if (LAB.test(uri)) this.listener.page(uri);
        else if (event.ctrlKey || event.metaKey) window.open(uri, '_blank', 'noopener');
      }));
    this.term.registerLinkProvider({ provideLinks: (row, give) => give(this.forwards(row)) });
    this.term.parser.registerOscHandler(133, (mark) => this.marked(mark));
    this.term.attachCustomKeyEventHandler((event) => this.key(event));
    const encoder = new TextEncoder();
    this.term.onData((data) => this.send(encoder.encode(this.held(data))));
    this.term.onBinary((data) => this.send(Uint8Array.from(data, (c) => c.charCodeAt(0))));
    onTheme(() => (this.term.options.theme = isDark() ? DARK : LIGHT));
  }

  /** Where a port-forward says its port, the page behind it is one click away. */
  private forwards(row: number): ILink[] | undefined {
    const text = this.term.buffer.active.getLine(row - 1)?.translateToString(true) ?? '';
    const found = HANDLES.exec(text);
    if (!found) return undefined;
    const range = { start: { x: found.index + 1, y: row }, end: { x: found.index + found[0].length, y: row } };
    return [{ range, text: found[0], activate: () => this.listener.page(`http://localhost:${found[1]}/`) }];
  }

  /** Into the page: measures, so the element must be in the document. */
  open(): void {
    this.element.append(this.note);
    this.term.open(this.element);
    this.term.textarea?.setAttribute('aria-label', `Terminal ${this.name}`);
    this.paintFast();
    this.fitter.fit();
    let frame = 0;
    new ResizeObserver(() => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => this.fit());
    }).observe(this.element);
    this.term.onResize(({ cols, rows }) => this.tell({ type: 'resize', cols, rows }));
    this.connect();
  }

  /** The graphics card draws, where there is one; if it goes away the page draws. */
  private paintFast(): void {
    try {
      const webgl = new WebglAddon();
      webgl.onContextLoss(() => webgl.dispose());
      this.term.loadAddon(webgl);
    } catch {
      this.element.dataset['plain'] = '';
    }
  }

  fit(): void {
    if (this.element.clientWidth > 40 && this.element.clientHeight > 40) this.fitter.fit();
  }

  focus(): void {
    this.term.focus();
  }

  private control = false;

  /** A key of the bar that stands for keys a touch screen does not have; `Ctrl` waits for the next one. */
  press(key: string): void {
    if (key === 'Ctrl') this.control = !this.control;
    else this.term.input(key);
    this.term.focus();
  }

  get holdsControl(): boolean {
    return this.control;
  }

  private held(data: string): string {
    if (!this.control || data.length !== 1) return data;
    this.control = false;
    this.listener.released();
    return String.fromCharCode(data.toUpperCase().charCodeAt(0) & 31);
  }

  get hasFocus(): boolean {
    return this.element.contains(document.activeElement);
  }

  /** Everything it shows, as text. */
  text(): string {
    const buffer = this.term.buffer.active;
    const lines: string[] = [];
    for (let row = 0; row < buffer.length; row++) lines.push(buffer.getLine(row)?.translateToString(true) ?? '');
    return lines.join('\n').trimEnd();
  }

  private pieces: Piece[] = [];
  private listening = false;

  /** From here on `transcript` tells the commands that start, and of a program that runs already what it prints from now on. */
  begin(runs: boolean): void {
    this.pieces = runs ? [{ line: '', from: this.term.registerMarker(0) }] : [];
    this.listening = true;
  }

  /** No command that starts from here on is told; what came before has been painted `then`. */
  rest(then: () => void): void {
    this.term.write('', () => {
      this.listening = false;
      then();
    });
  }

  /** A mark of the shell: a command starts, or it has ended. */
  private marked(mark: string): boolean {
    const last = this.pieces.at(-1);
    if (mark.startsWith('C') && this.listening) this.pieces.push({ line: plain(/;cmdline=([^;]*)/.exec(mark)?.[1] ?? ''), from: this.term.registerMarker(0) });
    else if (mark.startsWith('D') && last && !last.to) last.to = { row: this.term.registerMarker(0), column: this.term.buffer.active.cursorX };
    return true;
  }

  /** What was printed since `begin`, at most so many lines of each command; whether a program has the whole screen now. */
  transcript(most: number): { pieces: Printed[]; screen: boolean } {
    const screen = this.term.buffer.active.type === 'alternate';
    return { screen, pieces: this.pieces.map(({ line, from, to }) => ({ line, lines: this.lines(from, to, most) })) };
  }

  private lines(from: IMarker | undefined, to: Piece['to'], most: number): string[] {
    const buffer = this.term.buffer.normal;
    const last = to?.row && to.row.line >= 0 ? { row: to.row.line, column: to.column } : { row: buffer.baseY + buffer.cursorY, column: this.term.cols };
    const end = last.column > 0 ? last.row + 1 : last.row;
    const out: string[] = [];
    // Wide lines of a narrow screen are several rows: enough of them are looked at.
    for (let row = Math.max(from?.line ?? 0, end - 4 * most, 0); row < end; row++) {
      const text = buffer.getLine(row)?.translateToString(!buffer.getLine(row + 1)?.isWrapped, 0, row === last.row ? last.column : undefined) ?? '';
      if (buffer.getLine(row)?.isWrapped && out.length > 0) out.push(`${out.pop() ?? ''}${text}`);
      else out.push(text);
    }
    while (out.length > 0 && out.at(-1)?.trim() === '') out.pop();
    return out.slice(-most);
  }

  dispose(): void {
    this.closed = true;
    this.socket?.close();
    this.term.dispose();
    this.element.remove();
  }

  private connect(): void {
    const chapter = document.documentElement.dataset['chapter'] ?? '';
    const made = socket(`/ws/terminals/${this.name}`, { cols: this.term.cols, rows: this.term.rows, chapter });
    this.socket = made;
    made.onmessage = ({ data }) => {
      this.pause.reset();
      if (typeof data === 'string') this.told(JSON.parse(data) as FromTerminal);
      else this.output(new Uint8Array(data as ArrayBuffer));
    };
    made.onclose = () => {
      if (this.closed) return;
      // A terminal that is opened anew, as with another chapter, is back in a moment.
      setTimeout(() => !this.closed && this.socket?.readyState !== WebSocket.OPEN && this.say('Not connected. Trying again; what you type is not sent.', true), 800);
      this.listener.mode({ mode: 'starting', why: null });
      setTimeout(() => !this.closed && this.connect(), this.pause.next());
    };
  }

  private told(message: FromTerminal): void {
    switch (message.type) {
      case 'snapshot':
        this.repaint = true;
        this.say(null);
        return;
      case 'size':
        return this.term.resize(message.cols, message.rows);
      case 'state':
        return this.listener.mode(message);
      case 'run':
        return this.listener.run(message.id, message);
      case 'refused':
        return this.say(message.why);
      case 'title':
        return;
    }
  }

  private output(bytes: Uint8Array): void {
    if (this.repaint) {
      this.repaint = false;
      this.term.reset();
      // The screen is painted anew, without marks: what runs is told by all that is on it.
      const runs = this.pieces.at(-1);
      this.pieces = runs && !runs.to ? [{ ...runs, from: undefined }] : [];
      this.listener.forwards([...this.decoder.decode(bytes).matchAll(new RegExp(FORWARDS, 'g'))].at(-1)?.[1], false);
    } else if (bytes.length < 4096) this.listener.forwards(FORWARDS.exec(this.decoder.decode(bytes))?.[1], true);
    this.pending += 1;
    this.term.write(bytes, () => {
      this.pending -= 1;
      this.unread += bytes.length;
      this.listener.printed();
      if (this.unread < ACK && this.pending > 0) return;
      this.tell({ type: 'ack', bytes: this.unread });
      this.unread = 0;
    });
  }

  private tell(message: object): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  private send(bytes: Uint8Array): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(bytes as Uint8Array<ArrayBuffer>);
    else this.say('Not connected. Trying again; what you type is not sent.', true);
  }

  private readonly decoder = new TextDecoder();

  /** A sentence over the terminal; it leaves by itself unless it has to stay. */
  private say(text: string | null, stay = false): void {
    clearTimeout(this.noteTimer);
    this.note.hidden = text === null;
    this.note.textContent = text;
    if (text !== null && !stay) this.noteTimer = window.setTimeout(() => this.say(null), 6000);
  }

  private key(event: KeyboardEvent): boolean {
    if (event.type !== 'keydown') return true;
    const mine = (does: () => void): boolean => {
      event.preventDefault();
      event.stopPropagation();
      does();
      return false;
    };
    if (event.key === 'F6') return mine(() => this.listener.leave(event.shiftKey ? 'previous' : 'next'));
    if (event.ctrlKey && event.key === '`') return mine(() => this.listener.leave('back'));
    const selected = this.term.hasSelection();
    const copies = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'c' && selected && !event.altKey;
    if (copies || (event.ctrlKey && event.key === 'Insert' && selected)) return mine(() => this.copy());
    if (event.ctrlKey && event.shiftKey && event.key.toLowerCase() === 'c') return mine(() => this.say('Nothing is selected.'));
    // The browser pastes by itself when it gets the key; xterm reads the paste event.
    if ((event.ctrlKey && event.shiftKey && event.key.toLowerCase() === 'v') || (event.shiftKey && event.key === 'Insert')) return false;
    if (event.ctrlKey && event.shiftKey && event.key.toLowerCase() === 'f') return mine(() => this.find());
    return true;
  }

  private copy(): void {
    navigator.clipboard.writeText(this.term.getSelection()).then(
      () => this.say('Copied'),
      () => this.say('This browser does not let a page copy.'),
    );
    this.term.clearSelection();
  }

  /** Search what the terminal remembers. */
  find(): void {
    if (this.finder) {
      this.finder.querySelector('input')?.select();
      return;
    }
    const input = h('input', { type: 'search', 'aria-label': 'Find in this terminal', placeholder: 'Find', spellcheck: 'false' });
    const close = (): void => {
      this.search.clearDecorations();
      this.finder?.remove();
      this.finder = null;
      this.focus();
    };
    const next = (): boolean => this.search.findNext(input.value);
    const previous = (): boolean => this.search.findPrevious(input.value);
    input.addEventListener('input', () => this.search.findNext(input.value, { incremental: true }));
    input.addEventListener('keydown', (event) => {
      event.stopPropagation();
      if (event.key === 'Escape') close();
      if (event.key === 'Enter') (event.shiftKey ? previous : next)();
    });
    const button = (name: 'up' | 'down' | 'close', label: string, act: () => void): HTMLElement => h('button', { type: 'button', class: 'tool', 'aria-label': label, title: label, onclick: act }, icon(name));
    this.finder = h('div', { class: 'find', role: 'search' }, input, button('up', 'Previous', () => previous()), button('down', 'Next', () => next()), button('close', 'Close', close));
    this.element.append(this.finder);
    input.focus();
  }
}
