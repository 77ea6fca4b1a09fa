//! The line editor: keys in, one command out.
//!
//! The terminal is raw only while a command is edited. After each key all of it is drawn again from the prompt's first
//! row, which is simple and fast enough for anything a person types. A command may have several lines: Enter ends it
//! only when the shell says that it is complete, and pasted text keeps its line ends until then.

use super::completion::Quoting;
use super::keys::{self, Key, Raw, char_width, columns, input_waits, key};
use crate::sys;

/// How editing a line ended.
pub(crate) enum Edited {
    Line(String),
    /// Ctrl-C.
    Cancelled,
    /// Ctrl-D on an empty line, or no terminal any more.
    End,
}

/// What Tab can make of the word before the cursor.
pub(crate) struct Completion {
    /// What is there of it, without the quotes it is typed with.
    pub(crate) typed: String,
    /// The quotes it is typed in.
    pub(crate) quoting: Quoting,
    /// What the word may become.
    pub(crate) candidates: Vec<Candidate>,
}

/// One completion.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    /// The whole word, without quotes; it begins with what was typed.
    pub(crate) text: String,
    /// What the list of choices shows.
    pub(crate) shown: String,
    /// A blank follows: the word is complete.
    pub(crate) complete: bool,
}

/// What the editor asks its shell.
pub(crate) struct Help<'a> {
    /// Earlier commands, oldest first.
    pub(crate) history: &'a [String],
    /// What may become of the text before the cursor.
    pub(crate) complete: &'a dyn Fn(&str) -> Completion,
    /// True when a command needs more lines.
    pub(crate) unfinished: &'a dyn Fn(&str) -> bool,
}

/// What stands before the second and later lines of a command.
const CONTINUATION: &str = "> ";

/// A line being edited.
pub(crate) struct Editor<'a> {
    prompt: &'a str,
    help: &'a Help<'a>,
    line: Vec<char>,
    cursor: usize,
    /// Rows between the prompt's first row and the cursor's row, as last drawn.
    row: usize,
    /// The history entry shown; the history's length is the new line.
    entry: usize,
    draft: Vec<char>,
    killed: Vec<char>,
}

impl<'a> Editor<'a> {
    /// Edits one line after `prompt`.
    pub(crate) fn read(prompt: &'a str, help: &'a Help<'a>) -> Edited {
        let Some(raw) = Raw::enter() else { return Edited::End };
        let mut editor = Editor {
            prompt,
            help,
            line: Vec::new(),
            cursor: 0,
            row: 0,
            entry: help.history.len(),
            draft: Vec::new(),
            killed: Vec::new(),
        };
        write("\x1b[?2004h");
        let edited = editor.run();
        write("\x1b[?2004l");
        drop(raw);
        edited
    }

    fn run(&mut self) -> Edited {
        self.draw();
        let mut tabbed = false;
        loop {
            let Some(key) = key() else { return Edited::End };
            let second_tab = tabbed && key == Key::Tab;
            tabbed = key == Key::Tab;
            match key {
                Key::Enter => {
                    let text: String = self.line.iter().collect();
                    let unfinished = (self.help.unfinished)(&text);
                    self.cursor = self.line.len();
                    if unfinished {
                        self.insert("\n");
                        self.draw();
                        continue;
                    }
                    self.draw();
                    // A full last row has put the cursor on a new one already.
                    if self.line.is_empty() || self.place(self.cursor).1 > 0 {
                        write("\r\n");
                    }
                    return Edited::Line(text);
                }
                Key::Paste => {
                    // A paste of whole lines is still to be confirmed by a person; its last line end says nothing.
                    let text = keys::pasted();
                    self.insert(text.trim_end_matches('\n'));
                }
                Key::Resize => self.row = self.place(self.cursor).0,
                Key::Control('c') => {
                    self.cursor = self.line.len();
                    self.draw();
                    write("^C\r\n");
                    return Edited::Cancelled;
                }
                Key::Control('d') if self.line.is_empty() => {
                    write("\r\n");
                    return Edited::End;
                }
                Key::Control('r') => {
                    if let Some(edited) = self.search() {
                        return edited;
                    }
                }
                Key::Tab => self.tab(second_tab),
                other => self.edit(other),
            }
            if !input_waits(0) {
                self.draw();
            }
        }
    }

    fn edit(&mut self, key: Key) {
        match key {
            Key::Char(next) => {
                self.line.insert(self.cursor, next);
                self.cursor += 1;
            }
            Key::Up if self.line[..self.cursor].contains(&'\n') => self.line_up(),
            Key::Down if self.line[self.cursor..].contains(&'\n') => self.line_down(),
            Key::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.line.remove(self.cursor);
            }
            Key::Delete | Key::Control('d') if self.cursor < self.line.len() => drop(self.line.remove(self.cursor)),
            Key::Left | Key::Control('b') => self.cursor = self.cursor.saturating_sub(1),
            Key::Right | Key::Control('f') => self.cursor = (self.cursor + 1).min(self.line.len()),
            Key::WordLeft | Key::Alt('b') => self.cursor = self.word_start(),
            Key::WordRight | Key::Alt('f') => self.cursor = self.word_end(),
            Key::Home | Key::Control('a') => self.cursor = self.row_start(self.cursor),
            Key::End if self.row_end(self.cursor) > self.cursor => self.cursor = self.row_end(self.cursor),
            Key::End | Key::Control('e') => self.cursor = self.line.len(),
            Key::Control('k') => self.killed = self.line.split_off(self.cursor),
            Key::Control('u') => {
                self.killed = self.line.drain(..self.cursor).collect();
                self.cursor = 0;
            }
            Key::Control('w') | Key::Alt('\u{7f}') => {
                let start = if key == Key::Control('w') { self.blank_word_start() } else { self.word_start() };
                self.killed = self.line.drain(start..self.cursor).collect();
                self.cursor = start;
            }
            Key::Alt('d') => {
                let end = self.word_end();
                self.killed = self.line.drain(self.cursor..end).collect();
            }
            Key::Control('y') => {
                let killed = self.killed.clone();
                self.line.splice(self.cursor..self.cursor, killed.iter().copied());
                self.cursor += killed.len();
            }
            Key::Control('t') if self.cursor > 0 && self.line.len() > 1 => {
                let at = self.cursor.min(self.line.len() - 1);
                self.line.swap(at - 1, at);
                self.cursor = at + 1;
            }
            Key::Control('l') => {
                write("\x1b[H\x1b[2J");
                self.row = 0;
            }
            Key::Up | Key::Control('p') if self.entry > 0 => self.show_entry(self.entry - 1),
            Key::Down | Key::Control('n') if self.entry < self.help.history.len() => self.show_entry(self.entry + 1),
            Key::Alt('.') => {
                if let Some(word) = self.help.history.last().and_then(|line| line.split_whitespace().last()) {
                    let word: Vec<char> = word.chars().collect();
                    self.line.splice(self.cursor..self.cursor, word.iter().copied());
                    self.cursor += word.len();
                }
            }
            _ => {}
        }
    }

    fn insert(&mut self, text: &str) {
        let before = self.line.len();
        self.line.splice(self.cursor..self.cursor, text.chars());
        self.cursor += self.line.len() - before;
    }

    fn row_start(&self, at: usize) -> usize {
        self.line[..at].iter().rposition(|next| *next == '\n').map_or(0, |index| index + 1)
    }

    fn row_end(&self, at: usize) -> usize {
        self.line[at..].iter().position(|next| *next == '\n').map_or(self.line.len(), |index| at + index)
    }

    fn line_up(&mut self) {
        let start = self.row_start(self.cursor);
        let above = self.row_start(start - 1);
        self.cursor = (above + self.cursor - start).min(start - 1);
    }

    fn line_down(&mut self) {
        let start = self.row_start(self.cursor);
        let below = self.row_end(self.cursor) + 1;
        self.cursor = (below + self.cursor - start).min(self.row_end(below));
    }

    fn show_entry(&mut self, entry: usize) {
        if self.entry == self.help.history.len() {
            self.draft.clone_from(&self.line);
        }
        self.entry = entry;
        self.line = self.help.history.get(entry).map_or_else(|| self.draft.clone(), |line| line.chars().collect());
        self.cursor = self.line.len();
    }

    fn word_start(&self) -> usize {
        let mut at = self.cursor;
        while at > 0 && !self.line[at - 1].is_alphanumeric() {
            at -= 1;
        }
        while at > 0 && self.line[at - 1].is_alphanumeric() {
            at -= 1;
        }
        at
    }

    fn blank_word_start(&self) -> usize {
        let mut at = self.cursor;
        while at > 0 && self.line[at - 1].is_whitespace() {
            at -= 1;
        }
        while at > 0 && !self.line[at - 1].is_whitespace() {
            at -= 1;
        }
        at
    }

    fn word_end(&self) -> usize {
        let mut at = self.cursor;
        while at < self.line.len() && !self.line[at].is_alphanumeric() {
            at += 1;
        }
        while at < self.line.len() && self.line[at].is_alphanumeric() {
            at += 1;
        }
        at
    }

    /// Ctrl-R: looks back for a line with the typed text. `Some` when the line was accepted or cancelled.
    fn search(&mut self) -> Option<Edited> {
        let mut wanted = String::new();
        let mut from = self.help.history.len();
        loop {
            let found = self.help.history[..from].iter().rposition(|line| line.contains(&wanted)).filter(|_| !wanted.is_empty());
            let shown = found.map_or("", |index| self.help.history[index].as_str());
            self.erase();
            write(&format!("(reverse-i-search)`{wanted}': {shown}"));
            let width = sys::window_size(0).0;
            self.row = (columns(&wanted) + columns(shown) + 23).saturating_sub(1) / width;
            let key = key()?;
            match key {
                Key::Char(next) => {
                    wanted.push(next);
                    from = self.help.history.len();
                }
                Key::Backspace => {
                    wanted.pop();
                    from = self.help.history.len();
                }
                Key::Control('r') => from = found.unwrap_or(from),
                Key::Control('c' | 'g') | Key::Escape => return None,
                other => {
                    if let Some(index) = found {
                        self.line = shown.chars().collect();
                        self.cursor = self.line.len();
                        self.entry = index;
                    }
                    if other == Key::Enter {
                        self.draw();
                        write("\r\n");
                        return Some(Edited::Line(self.line.iter().collect()));
                    }
                    self.edit(other);
                    return None;
                }
            }
        }
    }

    fn tab(&mut self, second: bool) {
        let before: String = self.line[..self.cursor].iter().collect();
        let Completion { typed, quoting, mut candidates } = (self.help.complete)(&before);
        candidates.sort();
        candidates.dedup();
        let Some(first) = candidates.first() else { return };
        let mut common = first.text.len();
        for candidate in &candidates {
            let same = first.text.chars().zip(candidate.text.chars()).take_while(|(left, right)| left == right);
            common = common.min(same.map(|(next, _)| next.len_utf8()).sum());
        }
        let more = first.text[..common].strip_prefix(&typed).unwrap_or("");
        let mut inserted = quoting.protect(more, typed.is_empty());
        if candidates.len() == 1 && first.complete {
            if quoting == Quoting::Escaped && more.is_empty() {
                // The backslash has nothing to protect, and is not to protect the blank.
                self.cursor -= 1;
                self.line.remove(self.cursor);
            }
            inserted.push_str(quoting.end());
        }
        self.insert(&inserted);
        if inserted.is_empty() && candidates.len() > 1 && second {
            self.list(&candidates);
        }
    }

    fn list(&mut self, candidates: &[Candidate]) {
        let width = sys::window_size(0).0;
        let described = candidates.iter().any(|candidate| candidate.shown.contains("  "));
        let cell = candidates.iter().map(|candidate| columns(&candidate.shown) + 2).max().unwrap_or(1);
        let across = if described { 1 } else { (width / cell).max(1) };
        let mut text = String::from("\r\n");
        for row in candidates.chunks(across).take(60) {
            for candidate in row {
                let shown: String = candidate.shown.chars().take(width - 1).collect();
                let pad = if across > 1 { cell - columns(&shown) } else { 0 };
                text.push_str(&shown);
                text.push_str(&" ".repeat(pad));
            }
            text.push_str("\r\n");
        }
        let cursor = std::mem::replace(&mut self.cursor, self.line.len());
        self.draw();
        write(&text);
        self.cursor = cursor;
        self.row = 0;
    }

    /// Goes to the prompt's first row and clears from there.
    fn erase(&mut self) {
        let up = if self.row > 0 { format!("\x1b[{}A", self.row) } else { String::new() };
        write(&format!("{up}\r\x1b[J"));
        self.row = 0;
    }

    /// Row and column of a character, counted from the prompt's first row.
    fn place(&self, index: usize) -> (usize, usize) {
        let (_, row, column) = self.layout(&self.line[..index]);
        (row, column)
    }

    /// What a terminal is sent to show the prompt and a text, and where the cursor is then.
    fn layout(&self, line: &[char]) -> (String, usize, usize) {
        let width = sys::window_size(0).0.max(2);
        let last_row = self.prompt.rsplit('\n').next().unwrap_or("");
        let mut row = self.prompt.matches('\n').count() + columns(last_row) / width;
        let mut column = columns(last_row) % width;
        let mut shown = self.prompt.replace('\n', "\r\n");
        for next in line {
            if *next == '\n' {
                shown.push_str("\r\n");
                shown.push_str(CONTINUATION);
                (row, column) = (row + 1, CONTINUATION.len());
                continue;
            }
            let cells = if *next == '\t' { 4 } else { char_width(*next) };
            if column + cells > width {
                (row, column) = (row + 1, 0);
                shown.push_str("\r\n");
            }
            column += cells;
            if *next == '\t' { shown.push_str("    ") } else { shown.push(*next) }
        }
        // A full row leaves the cursor hanging at its end; a new row makes the arithmetic true.
        if column == width {
            shown.push_str("\r\n");
            (row, column) = (row + 1, 0);
        }
        (shown, row, column)
    }

    fn draw(&mut self) {
        let (shown, end_row, _) = self.layout(&self.line);
        let (cursor_row, column) = self.place(self.cursor);
        let up = if self.row > 0 { format!("\x1b[{}A", self.row) } else { String::new() };
        let mut text = format!("{up}\r\x1b[J{shown}");
        if end_row > cursor_row {
            text.push_str(&format!("\x1b[{}A", end_row - cursor_row));
        }
        text.push('\r');
        if column > 0 {
            text.push_str(&format!("\x1b[{column}C"));
        }
        self.row = cursor_row;
        write(&text);
    }
}

fn write(text: &str) {
    sys::best_effort(sys::write_all(1, text.as_bytes()));
}
