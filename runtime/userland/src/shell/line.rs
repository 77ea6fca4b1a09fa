//! The line editor: keys in, one command out.
//!
//! The terminal is raw only while a command is edited. After each key all of it is drawn again from the prompt's first
//! row, which is simple and fast enough for anything a person types. A command may have several lines: Enter ends it
//! only when the shell says that it is complete, and pasted text keeps its line ends until then.

use super::completion::Quoting;
use super::keys::{self, Key, Raw, char_width, columns, input_waits, key, pieces};
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

/// Rows of choices that are shown.
const LONGEST_LIST: usize = 60;

/// What stands before the second and later lines of a command.
const CONTINUATION: &str = "> ";

/// A line being edited.
pub(crate) struct Editor<'a> {
    prompt: &'a str,
    help: &'a Help<'a>,
    line: Vec<char>,
    cursor: usize,
    /// Rows between the first row that is drawn and the cursor's row.
    row: usize,
    /// Rows above the first one that is drawn: a command may be longer than the window is high.
    top: usize,
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
            top: 0,
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
                    self.finish("");
                    return Edited::Line(text);
                }
                Key::Paste => {
                    // A paste of whole lines is still to be confirmed by a person; its last line end says nothing.
                    let text = keys::pasted();
                    self.insert(text.trim_end_matches('\n'));
                }
                Key::Resize => self.row = self.place(self.cursor).0.saturating_sub(self.top).min(sys::window_size(0).1.saturating_sub(1)),
                Key::Control('c') => {
                    self.cursor = self.line.len();
                    self.finish("^C");
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
            Key::End | Key::Control('e') if self.row_end(self.cursor) > self.cursor => self.cursor = self.row_end(self.cursor),
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
        let history = self.help.history;
        let mut wanted = String::new();
        // The entry that is shown, and whether no older one will do.
        let (mut found, mut failed): (Option<usize>, bool) = (None, false);
        loop {
            self.show_search(&wanted, found.map_or("", |index| history[index].as_str()), failed);
            let older = |before: usize, wanted: &str| history[..before].iter().rposition(|line| !wanted.is_empty() && line.contains(wanted));
            let next = match key()? {
                Key::Char(next) => {
                    wanted.push(next);
                    older(found.map_or(history.len(), |index| index + 1), &wanted)
                }
                Key::Paste => {
                    wanted.push_str(keys::pasted().trim_end_matches('\n'));
                    older(found.map_or(history.len(), |index| index + 1), &wanted)
                }
                Key::Backspace => {
                    wanted.pop();
                    older(history.len(), &wanted)
                }
                Key::Control('r') => {
                    let mut next = older(found.unwrap_or(history.len()), &wanted);
                    while let Some(index) = next.filter(|index| found.is_some_and(|found| history[found] == history[*index])) {
                        next = older(index, &wanted);
                    }
                    next
                }
                Key::Resize => found,
                Key::Control('c' | 'g') | Key::Escape => return None,
                other => {
                    if let Some(index) = found {
                        self.line = history[index].chars().collect();
                        self.cursor = self.line.len();
                        self.entry = index;
                    }
                    if other == Key::Enter {
                        self.cursor = self.line.len();
                        self.finish("");
                        return Some(Edited::Line(self.line.iter().collect()));
                    }
                    self.edit(other);
                    return None;
                }
            };
            failed = next.is_none() && !wanted.is_empty();
            found = if wanted.is_empty() { None } else { next.or(found) };
        }
    }

    /// One row that says what is looked for and what was found.
    fn show_search(&mut self, wanted: &str, found: &str, failed: bool) {
        let before = format!("({}reverse-i-search)`{wanted}': ", if failed { "failed " } else { "" });
        let room = sys::window_size(0).0.saturating_sub(columns(&before) + 1);
        // What does not fit is left out, but not what was looked for.
        let at = found.find(wanted).unwrap_or(0);
        let from = if columns(&found[..at]) + columns(wanted) > room { at } else { 0 };
        let mut text: String = before + &found[from..];
        text = text.chars().map(|next| if next == '\n' { '\u{23ce}' } else { next }).map(plain).collect();
        self.erase();
        write(&cut(&text, sys::window_size(0).0.saturating_sub(1)));
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
        for row in candidates.chunks(across).take(LONGEST_LIST) {
            for candidate in row {
                let shown = cut(&candidate.shown.chars().map(plain).collect::<String>(), width.saturating_sub(1));
                let pad = if across > 1 { cell - columns(&shown) } else { 0 };
                text.push_str(&shown);
                text.push_str(&" ".repeat(pad));
            }
            text.push_str("\r\n");
        }
        if let Some(more) = candidates.len().checked_sub(across * LONGEST_LIST).filter(|more| *more > 0) {
            text.push_str(&format!("... and {more} more\r\n"));
        }
        let cursor = std::mem::replace(&mut self.cursor, self.line.len());
        self.draw();
        write(&text);
        self.cursor = cursor;
        self.row = 0;
    }

    /// Goes to the first row that is drawn and clears from there.
    fn erase(&mut self) {
        let up = if self.row > 0 { format!("\x1b[{}A", self.row) } else { String::new() };
        write(&format!("{up}\r\x1b[J"));
        self.row = 0;
    }

    /// Row and column of a character, counted from the prompt's first row.
    fn place(&self, index: usize) -> (usize, usize) {
        let (rows, column) = self.layout(&self.line[..index]);
        (rows.len() - 1, column)
    }

    /// The rows that show the prompt and a text, and the column the cursor is in after it.
    fn layout(&self, line: &[char]) -> (Vec<String>, usize) {
        let width = sys::window_size(0).0.max(2);
        let (mut rows, mut column) = (vec![String::new()], 0);
        for (piece, cells) in pieces(self.prompt) {
            if piece == "\n" || column + cells > width {
                rows.push(String::new());
                column = 0;
            }
            column += cells;
            if let Some(row) = rows.last_mut().filter(|_| piece != "\n") {
                row.push_str(piece);
            }
        }
        for next in line {
            if *next == '\n' {
                rows.push(CONTINUATION.to_owned());
                column = CONTINUATION.len();
                continue;
            }
            let cells = match next {
                '\t' => 4,
                next => char_width(plain(*next)),
            };
            if column + cells > width {
                rows.push(String::new());
                column = 0;
            }
            column += cells;
            if let Some(row) = rows.last_mut() {
                if *next == '\t' { row.push_str("    ") } else { row.push(plain(*next)) }
            }
        }
        // A full row leaves the cursor hanging at its end; a new row makes the arithmetic true.
        if column == width {
            rows.push(String::new());
            column = 0;
        }
        (rows, column)
    }

    /// Draws as much as the window holds, with the cursor in it.
    fn draw(&mut self) {
        let height = sys::window_size(0).1.max(1);
        let (rows, _) = self.layout(&self.line);
        let (cursor_row, column) = self.place(self.cursor);
        let lowest = rows.len().saturating_sub(height);
        self.top = self.top.clamp((cursor_row + 1).saturating_sub(height), cursor_row).min(lowest);
        let drawn = &rows[self.top..rows.len().min(self.top + height)];
        self.erase();
        self.row = cursor_row - self.top;
        let mut text = drawn.join("\r\n");
        let below = drawn.len() - 1 - self.row;
        if below > 0 {
            text.push_str(&format!("\x1b[{below}A"));
        }
        text.push('\r');
        if column > 0 {
            text.push_str(&format!("\x1b[{column}C"));
        }
        write(&text);
    }

    /// Draws all of it a last time, however long it is, and goes to the next row.
    fn finish(&mut self, mark: &str) {
        self.erase();
        let (rows, column) = self.layout(&self.line);
        // A full last row has put the cursor on a new one already.
        let next = if column > 0 || self.line.is_empty() || !mark.is_empty() { "\r\n" } else { "" };
        write(&format!("{}{mark}{next}", rows.join("\r\n")));
    }
}

/// A control character as its picture: a terminal would obey it.
fn plain(next: char) -> char {
    match u32::from(next) {
        code @ 0..=0x1f => char::from_u32(0x2400 + code).unwrap_or('?'),
        0x7f => '\u{2421}',
        0x80..=0x9f => '?',
        _ => next,
    }
}

/// The beginning of a text that has so many columns.
fn cut(text: &str, width: usize) -> String {
    let mut left = width;
    text.chars().take_while(|next| char_width(*next) <= left && { left -= char_width(*next); true }).collect()
}

fn write(text: &str) {
    sys::best_effort(sys::write_all(1, text.as_bytes()));
}
