// Files of the workstation in a light editor. Loaded when the first file is opened.

import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { yaml } from '@codemirror/lang-yaml';
import { HighlightStyle, bracketMatching, indentUnit, syntaxHighlighting } from '@codemirror/language';
import { highlightSelectionMatches, search, searchKeymap } from '@codemirror/search';
import { EditorState } from '@codemirror/state';
import { EditorView, drawSelection, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';

import { announce, h, settled } from './dom';
import { Refused, nonce, readFile, world, writeFile } from './net';

const COLORS = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: 'var(--code-key)' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--code-text)' },
  { tag: tags.comment, color: 'var(--ink-3)', fontStyle: 'italic' },
  { tag: [tags.punctuation, tags.separator, tags.meta], color: 'var(--ink-3)' },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword], color: 'var(--progress)' },
]);

const LOOK = EditorView.theme({
  '&': { height: '100%', fontSize: '13px', backgroundColor: 'transparent', color: 'var(--ink)' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.6' },
  '.cm-content': { padding: '12px 0', caretColor: 'var(--progress)' },
  '.cm-cursor': { borderLeftColor: 'var(--progress)', borderLeftWidth: '2px' },
  '&.cm-focused': { outline: 'none' },
  '.cm-gutters': { backgroundColor: 'var(--term)', color: 'var(--ink-3)', border: 'none', paddingLeft: '8px' },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'color-mix(in srgb, var(--sunken) 70%, transparent)' },
  '.cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground': { backgroundColor: 'color-mix(in srgb, var(--progress) 24%, transparent)' },
  '.cm-panels': { backgroundColor: 'var(--surface)', color: 'var(--ink)', borderColor: 'var(--line)' },
  '.cm-panel input, .cm-panel button': { backgroundImage: 'none', background: 'var(--paper)', color: 'var(--ink)', border: '1px solid var(--line-strong)', borderRadius: '6px' },
});

export class Editor {
  readonly element = h('div', { class: 'editor' });
  private readonly says = h('span', { class: 'editor-says', role: 'status' });
  private readonly save: HTMLButtonElement;
  private view: EditorView | null = null;
  private saved = '';

  constructor(
    readonly path: string,
    private readonly onChange: (changed: boolean) => void,
  ) {
    this.save = h('button', { type: 'button', class: 'button small', title: 'Save (Ctrl+S)', onclick: () => void this.store() }, 'Save');
    this.element.append(h('div', { class: 'editor-bar' }, h('code', {}, `~/${path}`), this.says, this.save), h('div', { class: 'editor-text' }));
  }

  get changed(): boolean {
    return this.view !== null && this.view.state.doc.toString() !== this.saved;
  }

  async open(): Promise<void> {
    try {
      this.saved = await readFile(this.path);
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 404) {
        this.says.textContent = error instanceof Refused ? error.message : String(error);
        return;
      }
      this.says.textContent = 'New file';
    }
    const parent = this.element.querySelector('.editor-text') ?? this.element;
    const [head, top] = world.layout.cursors?.[this.path] ?? [0, 0];
    this.view = new EditorView({ parent, state: this.state(this.saved, Math.min(head, this.saved.length)) });
    const { scrollDOM } = this.view;
    requestAnimationFrame(() => (scrollDOM.scrollTop = top));
    scrollDOM.addEventListener('scroll', () => this.remember(), { passive: true });
    this.mark();
  }

  /** Where the reader was, for when the file is opened again. */
  private readonly remember = settled(400, (): void => {
    if (!this.view) return;
    world.arrange({ cursors: { ...world.layout.cursors, [this.path]: [this.view.state.selection.main.head, Math.round(this.view.scrollDOM.scrollTop)] } });
  });

  private state(doc: string, head: number): EditorState {
    const isYaml = /\.ya?ml$/.test(this.path);
    const store = { key: 'Mod-s', preventDefault: true, run: () => (void this.store(), true) };
    return EditorState.create({
      doc,
      selection: { anchor: head },
      extensions: [
        EditorView.cspNonce.of(nonce),
        EditorView.contentAttributes.of({ 'aria-label': `Editor, ${this.path}`, spellcheck: 'false' }),
        lineNumbers(),
        history(),
        drawSelection(),
        highlightActiveLine(),
        highlightActiveLineGutter(),
        bracketMatching(),
        highlightSelectionMatches(),
        search({ top: true }),
        indentUnit.of('  '),
        syntaxHighlighting(COLORS),
        ...(isYaml ? [yaml()] : []),
        keymap.of([store, indentWithTab, ...searchKeymap, ...historyKeymap, ...defaultKeymap]),
        LOOK,
        EditorView.updateListener.of((update) => {
          if (update.docChanged) this.mark();
          if (update.selectionSet) this.remember();
        }),
      ],
    });
  }

  private mark(): void {
    this.save.disabled = !this.changed;
    if (this.changed) this.says.textContent = 'Not saved';
    else if (this.says.textContent === 'Not saved') this.says.textContent = '';
    this.onChange(this.changed);
  }

  async store(): Promise<void> {
    if (!this.view) return;
    const text = this.view.state.doc.toString();
    try {
      await writeFile(this.path, text);
      this.saved = text;
      this.mark();
      this.says.textContent = 'Saved';
      announce(`Saved ${this.path}`);
    } catch (error) {
      this.says.textContent = error instanceof Refused ? error.message : String(error);
    }
  }

  /** A program in the terminal may have written it. What was typed here is never lost to that. */
  async refresh(): Promise<void> {
    if (!this.view || this.changed) return;
    const text = await readFile(this.path).catch(() => this.saved);
    if (text === this.saved || this.changed || !this.view) return;
    this.saved = text;
    this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: text } });
    this.says.textContent = 'Read again: it was changed in a terminal';
    this.mark();
  }

  focus(): void {
    this.view?.focus();
  }

  dispose(): void {
    this.view?.destroy();
    this.element.remove();
  }
}
