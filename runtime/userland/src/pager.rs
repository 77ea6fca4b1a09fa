//! less, more, clear and reset: what a person does with a full screen.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::AsRawFd as _,
};

use crate::{
    applets::Arguments,
    shell::{Key, char_width, key, raw_terminal},
    sys, text,
};

/// `clear`: also what has scrolled away.
pub(crate) fn clear(_: &[String]) -> i32 {
    i32::from(sys::write_all(1, b"\x1b[H\x1b[2J\x1b[3J").is_err())
}

/// `reset`: a terminal after a program left it in disorder.
pub(crate) fn reset(_: &[String]) -> i32 {
    use nix::sys::termios::{ControlFlags, InputFlags, LocalFlags, OutputFlags, SetArg, tcgetattr, tcsetattr};
    if let Ok(mut modes) = tcgetattr(sys::borrow(0)) {
        modes.input_flags |= InputFlags::ICRNL | InputFlags::IXON | InputFlags::BRKINT;
        modes.output_flags |= OutputFlags::OPOST | OutputFlags::ONLCR;
        modes.control_flags |= ControlFlags::CREAD;
        modes.local_flags |= LocalFlags::ICANON | LocalFlags::ISIG | LocalFlags::IEXTEN | LocalFlags::ECHO | LocalFlags::ECHOE | LocalFlags::ECHOK;
        sys::best_effort(tcsetattr(sys::borrow(0), SetArg::TCSANOW, &modes));
    }
    i32::from(sys::write_all(1, b"\x1bc\x1b[H\x1b[2J").is_err())
}

/// What is seen of a text.
struct Pager {
    rows: Vec<String>,
    top: usize,
    sought: String,
    message: String,
}

/// `less [FILE]...`: a text by pages; without a terminal, `cat`.
pub(crate) fn less(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "RSXFNimMEe", &[]) else { return 1 };
    if !sys::is_terminal(1) {
        return text::cat(&[&["cat".to_owned()], arguments.operands.as_slice()].concat());
    }
    if arguments.operands.is_empty() && sys::is_terminal(0) {
        crate::complain(&words[0], "missing file name");
        return 1;
    }
    let mut bytes = Vec::new();
    let status = text::each_input(words, &arguments.operands, |_, mut input| input.read_to_end(&mut bytes).map(drop));
    if status != 0 && bytes.is_empty() {
        return status;
    }
    if let Err(error) = keys_from_terminal() {
        crate::complain(&words[0], sys::reason(&error));
        return 1;
    }
    let text = String::from_utf8_lossy(&bytes);
    let (width, height) = sys::window_size(1);
    let rows: Vec<String> = text.lines().flat_map(|line| wrapped(line, width)).collect();
    if rows.len() < height {
        return i32::from(sys::write_all(1, &bytes).is_err());
    }
    let Some(raw) = raw_terminal() else { return 1 };
    sys::best_effort(sys::write_all(1, b"\x1b[?1049h"));
    let mut pager = Pager { rows, top: 0, sought: String::new(), message: String::new() };
    while pager.step() {}
    sys::best_effort(sys::write_all(1, b"\x1b[?1049l"));
    drop(raw);
    status
}

/// Standard input was the text; keys come from the terminal itself.
fn keys_from_terminal() -> io::Result<()> {
    if sys::is_terminal(0) {
        return Ok(());
    }
    sys::dup_onto(File::open("/dev/tty")?.as_raw_fd(), 0)
}

/// A line in rows of at most `width` columns; escape sequences take none.
fn wrapped(line: &str, width: usize) -> Vec<String> {
    let (mut rows, mut row, mut column) = (Vec::new(), String::new(), 0);
    let mut chars = line.chars();
    while let Some(next) = chars.next() {
        if next == '\u{1b}' {
            row.push(next);
            for next in chars.by_ref() {
                row.push(next);
                if next.is_ascii_alphabetic() {
                    break;
                }
            }
            continue;
        }
        let cells = if next == '\t' { 8 - column % 8 } else { char_width(next) };
        if column + cells > width {
            rows.push(std::mem::take(&mut row));
            column = 0;
        }
        column += cells;
        if next == '\t' { row.push_str(&" ".repeat(cells)) } else if !next.is_control() { row.push(next) }
    }
    rows.push(row);
    rows
}

impl Pager {
    fn page(&self) -> usize {
        sys::window_size(1).1.saturating_sub(1).max(1)
    }

    fn last_top(&self) -> usize {
        self.rows.len().saturating_sub(self.page())
    }

    fn draw(&self, foot: &str) {
        let mut out = String::from("\x1b[?25l\x1b[H");
        for row in self.top..self.top + self.page() {
            out.push_str("\x1b[K");
            match self.rows.get(row) {
                Some(text) if !self.sought.is_empty() => out.push_str(&text.replace(&self.sought, &format!("\x1b[7m{}\x1b[27m", self.sought))),
                Some(text) => out.push_str(text),
                None => out.push('~'),
            }
            out.push_str("\x1b[0m\r\n");
        }
        out.push_str(&format!("\x1b[K{foot}\x1b[?25h"));
        sys::best_effort(sys::write_all(1, out.as_bytes()));
    }

    /// Shows a page and takes a key; false when the reader has had enough.
    fn step(&mut self) -> bool {
        let place = if self.top >= self.last_top() { "(END)".to_owned() } else { format!("{}%", 100 * (self.top + self.page()) / self.rows.len()) };
        let foot = if self.message.is_empty() { format!("\x1b[7m{place}  space: on  b: back  /: find  q: leave\x1b[0m") } else { format!("\x1b[7m{}\x1b[0m", self.message) };
        self.draw(&foot);
        self.message.clear();
        let page = self.page();
        let top = match key() {
            None | Some(Key::Char('q' | 'Q') | Key::Control('c')) => return false,
            Some(Key::Char(' ' | 'f') | Key::PageDown | Key::Control('f' | 'v')) => self.top + page,
            Some(Key::Char('b') | Key::PageUp | Key::Control('b')) => self.top.saturating_sub(page),
            Some(Key::Char('d') | Key::Control('d')) => self.top + page / 2,
            Some(Key::Char('u') | Key::Control('u')) => self.top.saturating_sub(page / 2),
            Some(Key::Char('j' | 'e') | Key::Down | Key::Enter) => self.top + 1,
            Some(Key::Char('k' | 'y') | Key::Up) => self.top.saturating_sub(1),
            Some(Key::Char('g' | '<') | Key::Home) => 0,
            Some(Key::Char('G' | '>') | Key::End) => usize::MAX,
            Some(Key::Char('/')) => self.ask().map_or(self.top, |()| self.find(true)),
            Some(Key::Char('n')) => self.find(true),
            Some(Key::Char('N')) => self.find(false),
            Some(_) => self.top,
        };
        self.top = top.min(self.last_top());
        true
    }

    fn ask(&mut self) -> Option<()> {
        let mut wanted = String::new();
        loop {
            self.draw(&format!("/{wanted}"));
            match key()? {
                Key::Enter => break,
                Key::Char(next) => wanted.push(next),
                Key::Backspace if wanted.is_empty() => return None,
                Key::Backspace => drop(wanted.pop()),
                Key::Escape | Key::Control('c') => return None,
                _ => {}
            }
        }
        if !wanted.is_empty() {
            self.sought = wanted;
        }
        Some(())
    }

    fn find(&mut self, forward: bool) -> usize {
        let hit = |row: &usize| self.rows[*row].contains(&self.sought);
        let found = if forward { (self.top + 1..self.rows.len()).find(hit) } else { (0..self.top).rev().find(hit) };
        found.unwrap_or_else(|| {
            self.message = format!("\"{}\" not found", self.sought);
            self.top
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wrap_at_the_window() {
        let cases: [(&str, &[&str]); 5] = [
            ("abcdef", &["abcd", "ef"]),
            ("", &[""]),
            ("\x1b[31mabcd\x1b[0m", &["\x1b[31mabcd\x1b[0m"]),
            ("a日本", &["a日", "本"]),
            ("abcd", &["abcd"]),
        ];
        for (line, rows) in cases {
            assert_eq!(wrapped(line, 4), rows, "{line:?}");
        }
    }
}
