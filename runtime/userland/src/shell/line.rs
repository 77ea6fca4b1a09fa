//! The line editor: keys in, one line out.
//!
//! The terminal is raw only while a line is edited. After each key the whole line is drawn again from the prompt's
//! first row, which is simple and fast enough for any line a person types.

use nix::sys::termios::{LocalFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::sys;

/// How editing a line ended.
pub(crate) enum Edited {
    Line(String),
    /// Ctrl-C.
    Cancelled,
    /// Ctrl-D on an empty line, or no terminal any more.
    End,
}

/// What Tab can put in the place of a word.
pub(crate) struct Completion {
    /// Where the word starts, in characters.
    pub(crate) start: usize,
    /// What the word may become.
    pub(crate) candidates: Vec<Candidate>,
}

/// One completion.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    /// The text that replaces the word.
    pub(crate) text: String,
    /// What the list of choices shows.
    pub(crate) shown: String,
    /// A blank follows: the word is complete.
    pub(crate) complete: bool,
}

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    Control(char),
    Alt(char),
    Up,
    Down,
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    PageUp,
    PageDown,
    Delete,
    Backspace,
    Enter,
    Tab,
    Escape,
    Other,
}

/// The terminal in raw mode; as it was when dropped.
pub(crate) struct Raw {
    saved: Termios,
}

impl Raw {
    /// Switches the terminal on `stdin` to raw mode, keeping output processing.
    pub(crate) fn enter() -> Option<Self> {
        let saved = tcgetattr(sys::borrow(0)).ok()?;
        let mut raw = saved.clone();
        let output = raw.output_flags;
        cfmakeraw(&mut raw);
        raw.output_flags = output;
        raw.local_flags.remove(LocalFlags::ISIG);
        tcsetattr(sys::borrow(0), SetArg::TCSADRAIN, &raw).ok()?;
        Some(Self { saved })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        drop(tcsetattr(sys::borrow(0), SetArg::TCSADRAIN, &self.saved));
    }
}

fn byte() -> Option<u8> {
    let mut one = [0];
    loop {
        match nix::unistd::read(sys::borrow(0), &mut one) {
            Ok(1) => return Some(one[0]),
            Err(nix::errno::Errno::EINTR) => {}
            _ => return None,
        }
    }
}

/// True when more input comes within a short while.
pub(crate) fn input_waits(milliseconds: u16) -> bool {
    use nix::poll::{PollFd, PollFlags, poll};
    let mut fds = [PollFd::new(sys::borrow(0), PollFlags::POLLIN)];
    poll(&mut fds, milliseconds).is_ok_and(|count| count > 0)
}

/// The next key; `None` when the terminal is gone.
pub(crate) fn key() -> Option<Key> {
    let first = byte()?;
    Some(match first {
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        127 | 8 => Key::Backspace,
        27 => escape_sequence(),
        1..=26 => Key::Control(char::from(first + b'a' - 1)),
        0..=31 => Key::Other,
        _ if first < 128 => Key::Char(char::from(first)),
        _ => {
            let length = if first >= 0xf0 { 4 } else if first >= 0xe0 { 3 } else { 2 };
            let mut bytes = vec![first];
            while bytes.len() < length {
                bytes.push(byte()?);
            }
            String::from_utf8_lossy(&bytes).chars().next().map_or(Key::Other, Key::Char)
        }
    })
}

fn escape_sequence() -> Key {
    if !input_waits(30) {
        return Key::Escape;
    }
    match byte() {
        Some(b'[' | b'O') => {
            let mut number = String::new();
            loop {
                match byte() {
                    Some(next @ (b'0'..=b'9' | b';')) => number.push(char::from(next)),
                    Some(last) => return named_key(&number, last),
                    None => return Key::Other,
                }
            }
        }
        Some(b'\r') => Key::Other,
        Some(127) => Key::Alt('\u{7f}'),
        Some(other) => Key::Alt(char::from(other)),
        None => Key::Escape,
    }
}

fn named_key(number: &str, last: u8) -> Key {
    let modified = number.contains(';');
    match (last, number) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', _) if modified => Key::WordRight,
        (b'D', _) if modified => Key::WordLeft,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', "1" | "7") => Key::Home,
        (b'F', _) | (b'~', "4" | "8") => Key::End,
        (b'~', "3") => Key::Delete,
        (b'~', "5") => Key::PageUp,
        (b'~', "6") => Key::PageDown,
        _ => Key::Other,
    }
}

/// Columns that a text takes, leaving out escape sequences.
pub(crate) fn columns(text: &str) -> usize {
    let mut count = 0;
    let mut chars = text.chars().peekable();
    while let Some(next) = chars.next() {
        match next {
            '\u{1b}' if chars.peek() == Some(&']') => {
                while chars.next().is_some_and(|next| next != '\u{7}') {}
            }
            '\u{1b}' => while chars.next().is_some_and(|next| !next.is_ascii_alphabetic()) {},
            '\u{0}'..='\u{1f}' => {}
            wide if ('\u{1100}'..='\u{115f}').contains(&wide) || ('\u{2e80}'..='\u{ffdc}').contains(&wide) || wide >= '\u{1f300}' => count += 2,
            _ => count += 1,
        }
    }
    count
}

/// A line being edited.
pub(crate) struct Editor<'a> {
    prompt: &'a str,
    history: &'a [String],
    complete: &'a dyn Fn(&str) -> Completion,
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
    pub(crate) fn read(prompt: &'a str, history: &'a [String], complete: &'a dyn Fn(&str) -> Completion) -> Edited {
        let Some(raw) = Raw::enter() else { return Edited::End };
        let mut editor = Editor {
            prompt,
            history,
            complete,
            line: Vec::new(),
            cursor: 0,
            row: 0,
            entry: history.len(),
            draft: Vec::new(),
            killed: Vec::new(),
        };
        let edited = editor.run();
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
                    self.cursor = self.line.len();
                    self.draw();
                    write("\r\n");
                    return Edited::Line(self.line.iter().collect());
                }
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
            Key::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.line.remove(self.cursor);
            }
            Key::Delete | Key::Control('d') if self.cursor < self.line.len() => drop(self.line.remove(self.cursor)),
            Key::Left | Key::Control('b') => self.cursor = self.cursor.saturating_sub(1),
            Key::Right | Key::Control('f') => self.cursor = (self.cursor + 1).min(self.line.len()),
            Key::WordLeft | Key::Alt('b') => self.cursor = self.word_start(),
            Key::WordRight | Key::Alt('f') => self.cursor = self.word_end(),
            Key::Home | Key::Control('a') => self.cursor = 0,
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
            Key::Down | Key::Control('n') if self.entry < self.history.len() => self.show_entry(self.entry + 1),
            Key::Alt('.') => {
                if let Some(word) = self.history.last().and_then(|line| line.split_whitespace().last()) {
                    let word: Vec<char> = word.chars().collect();
                    self.line.splice(self.cursor..self.cursor, word.iter().copied());
                    self.cursor += word.len();
                }
            }
            _ => {}
        }
    }

    fn show_entry(&mut self, entry: usize) {
        if self.entry == self.history.len() {
            self.draft.clone_from(&self.line);
        }
        self.entry = entry;
        self.line = self.history.get(entry).map_or_else(|| self.draft.clone(), |line| line.chars().collect());
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
        let mut from = self.history.len();
        loop {
            let found = self.history[..from].iter().rposition(|line| line.contains(&wanted)).filter(|_| !wanted.is_empty());
            let shown = found.map_or("", |index| self.history[index].as_str());
            self.erase();
            write(&format!("(reverse-i-search)`{wanted}': {shown}"));
            let width = sys::window_size(0).0;
            self.row = (columns(&wanted) + columns(shown) + 23).saturating_sub(1) / width;
            let key = key()?;
            match key {
                Key::Char(next) => {
                    wanted.push(next);
                    from = self.history.len();
                }
                Key::Backspace => {
                    wanted.pop();
                    from = self.history.len();
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
        let Completion { start, mut candidates } = (self.complete)(&before);
        candidates.sort();
        candidates.dedup();
        let Some(first) = candidates.first() else { return };
        let mut common: Vec<char> = first.text.chars().collect();
        for candidate in &candidates {
            let same = common.iter().zip(candidate.text.chars()).take_while(|(left, right)| **left == *right).count();
            common.truncate(same);
        }
        if candidates.len() == 1 && first.complete {
            common.push(' ');
        }
        let word: Vec<char> = self.line[start..self.cursor].to_vec();
        if common.len() > word.len() || candidates.len() == 1 {
            self.line.splice(start..self.cursor, common.iter().copied());
            self.cursor = start + common.len();
        } else if second {
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

    fn draw(&mut self) {
        let width = sys::window_size(0).0;
        let line: String = self.line.iter().collect();
        let before: String = self.line[..self.cursor].iter().collect();
        let last_row = self.prompt.rsplit('\n').next().unwrap_or("");
        let prompt_rows = self.prompt.matches('\n').count();
        let total = columns(last_row) + columns(&line);
        let place = columns(last_row) + columns(&before);
        let up = if self.row > 0 { format!("\x1b[{}A", self.row) } else { String::new() };
        let mut text = format!("{up}\r\x1b[J{}{line}", self.prompt.replace('\n', "\r\n"));
        // A full last row leaves the cursor hanging; a new row makes the arithmetic true.
        if total > 0 && total % width == 0 {
            text.push_str("\r\n");
        }
        let (end_row, cursor_row) = (total / width, place / width);
        if end_row > cursor_row {
            text.push_str(&format!("\x1b[{}A", end_row - cursor_row));
        }
        text.push('\r');
        if place % width > 0 {
            text.push_str(&format!("\x1b[{}C", place % width));
        }
        self.row = prompt_rows + cursor_row;
        write(&text);
    }
}

fn write(text: &str) {
    drop(sys::write_all(1, text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_leave_out_escape_sequences() {
        let cases = [("abc", 3), ("\x1b[32mab\x1b[0m", 2), ("\x1b]133;A\x07x", 1), ("日本", 4)];
        for (text, wanted) in cases {
            assert_eq!(columns(text), wanted, "{text:?}");
        }
    }
}
