//! The editor that says what its keys do, with nano's keys.

use super::{
    Session,
    screen::{Frame, View},
};
use crate::{
    shell::{Key, key, key_waits, pasted},
    sys,
};

const HELP: [[(&str, &str); 6]; 2] = [
    [("^O", "Write Out"), ("^W", "Where Is"), ("^K", "Cut Line"), ("^_", "Go To Line"), ("M-U", "Undo"), ("^A", "Home")],
    [("^X", "Exit"), ("^\\", "Replace"), ("^U", "Paste"), ("^C", "Location"), ("M-E", "Redo"), ("^E", "End")],
];

/// The editor's state besides its text.
pub(super) struct Nano {
    session: Session,
    view: View,
    message: String,
    cut: String,
    /// The last key cut a line, so that the next one adds to it.
    cutting: bool,
    /// The last key typed a character: one undo takes a whole word back.
    typing: bool,
    sought: String,
}

impl Nano {
    pub(super) fn new(session: Session) -> Self {
        let message = match (session.new, session.buffer.text().matches('\n').count()) {
            (true, _) => "[ New File ]".to_owned(),
            (false, 1) => "[ Read 1 line ]".to_owned(),
            (false, lines) => format!("[ Read {lines} lines ]"),
        };
        Self { session, view: View::default(), message, cut: String::new(), cutting: false, typing: false, sought: String::new() }
    }

    /// Edits until the user leaves.
    pub(super) fn run(mut self) -> i32 {
        loop {
            if !key_waits(0) {
                self.draw(None);
            }
            let Some(key) = key() else { return 1 };
            self.message.clear();
            let (cutting, typing) = (self.cutting, self.typing);
            (self.cutting, self.typing) = (false, false);
            match key {
                Key::Control('x') => {
                    if self.leave() {
                        return 0;
                    }
                }
                Key::Control('o' | 's') => drop(self.write_out(key == Key::Control('s'))),
                Key::Control('w') => self.search(),
                Key::Control('\\') => self.replace(),
                Key::Control('_') | Key::Alt('g') => self.go_to_line(),
                Key::Control('g') => self.message = "[ Type to write, arrows to move, ^O to save, ^X to leave ]".to_owned(),
                Key::Control('k') => {
                    self.session.buffer.checkpoint();
                    if !cutting {
                        self.cut.clear();
                    }
                    let row = self.session.buffer.row;
                    self.cut.push_str(&self.session.buffer.delete_lines(row, row));
                    self.cutting = true;
                }
                Key::Control('c') => self.location(),
                other => self.edit(other, typing),
            }
        }
    }

    fn edit(&mut self, key: Key, typing: bool) {
        let page = isize::try_from(View::rows(&self.frame(None))).unwrap_or(1).saturating_sub(2).max(1);
        let buffer = &mut self.session.buffer;
        match key {
            Key::Char(next) => {
                if !typing || next == ' ' {
                    buffer.checkpoint();
                }
                buffer.insert(next.encode_utf8(&mut [0; 4]));
                self.typing = true;
            }
            Key::Enter | Key::Tab | Key::Backspace | Key::Delete | Key::Control('d' | 'u') | Key::Paste => {
                buffer.checkpoint();
                match key {
                    Key::Enter => buffer.new_line(),
                    Key::Tab => buffer.tab(),
                    Key::Backspace => buffer.backspace(),
                    Key::Paste => buffer.insert(&pasted()),
                    Key::Control('u') => buffer.insert(&self.cut),
                    _ => buffer.delete(),
                }
            }
            Key::Alt('u') if !buffer.undo() => self.message = "[ Nothing to undo ]".to_owned(),
            Key::Alt('e') if !buffer.redo() => self.message = "[ Nothing to redo ]".to_owned(),
            Key::Alt('n' | '#') => self.view.numbers = !self.view.numbers,
            Key::Up | Key::Control('p') => buffer.vertical(-1),
            Key::Down | Key::Control('n') => buffer.vertical(1),
            Key::Left | Key::Control('b') => buffer.left(),
            Key::Right | Key::Control('f') => buffer.right(),
            Key::WordRight | Key::WordLeft => {
                let step = |buffer: &mut super::Buffer| if key == Key::WordRight { buffer.right() } else { buffer.left() };
                let inside = |buffer: &super::Buffer| buffer.line().get(buffer.column).is_some_and(|next| next.is_alphanumeric());
                let limit = buffer.length() + 1;
                for _ in 0..limit {
                    step(buffer);
                    if inside(buffer) && (buffer.column == 0 || !buffer.line()[buffer.column - 1].is_alphanumeric()) {
                        break;
                    }
                }
            }
            Key::Home | Key::Control('a') => buffer.go(buffer.row, 0),
            Key::End | Key::Control('e') => buffer.go(buffer.row, usize::MAX),
            Key::PageUp | Key::Control('y') => buffer.vertical(-page),
            Key::PageDown | Key::Control('v') => buffer.vertical(page),
            Key::Alt('\\' | '|') => buffer.go(0, 0),
            Key::Alt('/' | '?') => buffer.go(usize::MAX, 0),
            Key::Alt('w') => self.find_next(),
            _ => {}
        }
    }

    fn frame(&self, prompt: Option<(&str, &str)>) -> Frame {
        let (width, height) = sys::window_size(1);
        let name = self.session.buffer.path.as_deref().unwrap_or("New Buffer");
        let changed = if self.session.buffer.changed { "Modified" } else { "" };
        let side = width / 3;
        let head = format!("  nano{:side$}{name:<side$}{changed:>8}", "", side = side.saturating_sub(6));
        let mut foot = Vec::new();
        let mut place = None;
        if let Some((question, answer)) = prompt {
            let text = format!("{question}{answer}");
            place = Some((0, text.chars().count()));
            foot.push(format!("\x1b[7m{text:<width$}\x1b[0m"));
        } else {
            let message: String = self.message.chars().take(width).collect();
            let pad = width.saturating_sub(message.chars().count()) / 2;
            let shown = if message.is_empty() { String::new() } else { format!("\x1b[7m{message}\x1b[0m") };
            foot.push(format!("{}{shown}", " ".repeat(pad)));
        }
        if height > 8 {
            let cell = (width / 6).max(12);
            for row in HELP {
                let shown = row.iter().take(width / cell).map(|(keys, what)| {
                    let rest = cell.saturating_sub(keys.len() + 1);
                    let what: String = what.chars().take(rest).collect();
                    format!("\x1b[7m{keys}\x1b[0m {what:<rest$}")
                });
                foot.push(shown.collect());
            }
        }
        Frame { head: Some(head), foot, prompt: place, marked: None }
    }

    fn draw(&mut self, prompt: Option<(&str, &str)>) {
        let frame = self.frame(prompt);
        self.view.draw(&self.session.buffer, &frame);
    }

    /// Asks for a line of text in the foot; `None` when cancelled.
    fn ask(&mut self, question: &str, start: &str) -> Option<String> {
        let mut answer = start.to_owned();
        loop {
            if !key_waits(0) {
                self.draw(Some((question, &answer)));
            }
            match key()? {
                Key::Enter => return Some(answer),
                Key::Char(next) => answer.push(next),
                Key::Paste => answer.push_str(&pasted().replace('\n', " ")),
                Key::Backspace => drop(answer.pop()),
                Key::Control('u' | 'k') => answer.clear(),
                Key::Control('c' | 'x' | 'g') | Key::Escape => {
                    self.message = "[ Cancelled ]".to_owned();
                    return None;
                }
                _ => {}
            }
        }
    }

    /// Saves; true when it was saved. `quiet`: under its name, without asking.
    fn write_out(&mut self, quiet: bool) -> bool {
        let known = self.session.buffer.path.clone();
        let path = match known.clone().filter(|_| quiet) {
            Some(path) => path,
            None => match self.ask("File Name to Write: ", known.as_deref().unwrap_or("")) {
                Some(path) if !path.is_empty() => path,
                _ => return false,
            },
        };
        match self.session.buffer.save(&path) {
            Ok(1) => self.message = "[ Wrote 1 line ]".to_owned(),
            Ok(lines) => self.message = format!("[ Wrote {lines} lines ]"),
            Err(error) => {
                self.message = format!("[ Error writing {path}: {} ]", sys::reason(&error));
                return false;
            }
        }
        true
    }

    /// True when the editor may end.
    fn leave(&mut self) -> bool {
        if !self.session.buffer.changed {
            return true;
        }
        loop {
            self.draw(Some(("Save modified buffer?  Y Yes   N No   ^C Cancel ", "")));
            match key() {
                Some(Key::Char('y' | 'Y')) => return self.write_out(false),
                None | Some(Key::Char('n' | 'N')) => return true,
                Some(Key::Control('c' | 'g') | Key::Escape) => return false,
                Some(_) => {}
            }
        }
    }

    fn search(&mut self) {
        let question = if self.sought.is_empty() { "Search: ".to_owned() } else { format!("Search [{}]: ", self.sought) };
        if let Some(wanted) = self.ask(&question, "") {
            if !wanted.is_empty() {
                self.sought = wanted;
            }
            self.find_next();
        }
    }

    fn find_next(&mut self) {
        match self.session.buffer.find(&self.sought, true) {
            Some((row, column)) => self.session.buffer.go(row, column),
            None => self.message = format!("[ \"{}\" not found ]", self.sought),
        }
    }

    fn replace(&mut self) {
        let Some(from) = self.ask("Search (to replace): ", "").filter(|from| !from.is_empty()) else { return };
        let Some(to) = self.ask("Replace with: ", "") else { return };
        let buffer = &mut self.session.buffer;
        buffer.checkpoint();
        let mut count = 0;
        for line in &mut buffer.lines {
            let text: String = line.iter().collect();
            let found = text.matches(&from).count();
            if found > 0 {
                count += found;
                *line = text.replace(&from, &to).chars().collect();
            }
        }
        buffer.changed |= count > 0;
        buffer.go(buffer.row, buffer.column);
        self.message = format!("[ Replaced {count} occurrences; M-U takes them back ]");
    }

    fn go_to_line(&mut self) {
        if let Some(number) = self.ask("Enter line number: ", "").and_then(|text| text.trim().parse::<usize>().ok()) {
            self.session.buffer.go(number.saturating_sub(1), 0);
        }
    }

    fn location(&mut self) {
        let buffer = &self.session.buffer;
        let (line, lines) = (buffer.row + 1, buffer.lines.len());
        self.message = format!("[ line {line}/{lines} ({}%), col {}/{} ]", 100 * line / lines, buffer.column + 1, buffer.length() + 1);
    }
}
