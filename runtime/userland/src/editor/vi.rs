//! vi: normal, insert, visual and command-line modes; counts, operators with motions, registers of one, `.` and undo.

use std::collections::VecDeque;

use super::{
    Session,
    screen::{Frame, View},
    vi_motion::{Motion, Seek},
};
use crate::{
    shell::{Key, key, key_waits, pasted},
    sys,
};

/// What keys mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Normal,
    Insert,
    /// Marking from a place; `true` marks whole lines.
    Visual { from: (usize, usize), lines: bool },
}

/// Text that was cut or copied.
#[derive(Default)]
struct Register {
    text: String,
    lines: bool,
}

/// The editor's state besides its text.
pub(super) struct Vi {
    pub(super) session: Session,
    view: View,
    mode: Mode,
    message: String,
    register: Register,
    /// Keys to take before those of the terminal: `.` replays.
    queue: VecDeque<Key>,
    /// The keys of the command at hand, and of the last one that changed the text.
    record: Vec<Key>,
    /// The second half of two keys that came as one: Esc and a letter typed fast are the same bytes as Alt and it.
    ahead: Option<Key>,
    last_change: Vec<Key>,
    replaying: bool,
    pub(super) sought: String,
    pub(super) forward: bool,
    /// The last `f`, `t`, `F` or `T`.
    pub(super) seek: Option<Seek>,
    done: Option<i32>,
}

impl Vi {
    pub(super) fn new(session: Session) -> Self {
        let name = session.buffer.path.clone().unwrap_or_else(|| "[No Name]".to_owned());
        let text = session.buffer.text();
        let message = if session.new {
            format!("\"{name}\" [New]   i: write   Esc :wq Enter: save and leave   Esc :q! Enter: leave")
        } else {
            format!("\"{name}\" {}L, {}B   i: write   Esc :wq Enter: save and leave", text.matches('\n').count(), text.len())
        };
        Self {
            session,
            view: View::default(),
            mode: Mode::Normal,
            message,
            register: Register::default(),
            queue: VecDeque::new(),
            record: Vec::new(),
            ahead: None,
            last_change: Vec::new(),
            replaying: false,
            sought: String::new(),
            forward: true,
            seek: None,
            done: None,
        }
    }

    /// Edits until the user leaves.
    pub(super) fn run(mut self) -> i32 {
        while self.done.is_none() {
            if self.queue.is_empty() {
                self.replaying = false;
                if self.ahead.is_none() && !key_waits(0) {
                    self.draw(None);
                }
            }
            let Some(key) = self.next() else { return 1 };
            match self.mode {
                Mode::Insert => self.insert(key),
                Mode::Normal => {
                    self.message.clear();
                    self.record.clear();
                    self.record.push(key);
                    self.normal(key);
                }
                Mode::Visual { from, lines } => self.visual(key, from, lines),
            }
            self.settle();
        }
        self.done.unwrap_or(0)
    }

    /// In normal mode the cursor stands on a character, not behind the last one.
    fn settle(&mut self) {
        let buffer = &mut self.session.buffer;
        if self.mode == Mode::Normal && buffer.column > 0 && buffer.column >= buffer.length() {
            // Not go(): up and down keep the column they had.
            buffer.column = buffer.length().saturating_sub(1);
        }
    }

    /// The next key: of a replay, or of the terminal.
    pub(super) fn next(&mut self) -> Option<Key> {
        if let Some(key) = self.queue.pop_front().or_else(|| self.ahead.take()) {
            return Some(key);
        }
        loop {
            match key()? {
                Key::Resize => self.draw(None),
                Key::Alt(next) => {
                    self.ahead = Some(Key::Char(next));
                    return Some(Key::Escape);
                }
                key => return Some(key),
            }
        }
    }

    /// A further key of a command.
    pub(super) fn more(&mut self) -> Option<Key> {
        let key = self.next()?;
        self.record.push(key);
        Some(key)
    }

    fn draw(&mut self, prompt: Option<&str>) {
        let (width, _) = sys::window_size(1);
        let buffer = &self.session.buffer;
        let place = format!("{},{}", buffer.row + 1, buffer.column + 1);
        let left = match (prompt, self.mode) {
            (Some(text), _) => text.to_owned(),
            (None, Mode::Insert) => "-- INSERT --".to_owned(),
            (None, Mode::Visual { lines: true, .. }) => "-- VISUAL LINE --".to_owned(),
            (None, Mode::Visual { .. }) => "-- VISUAL --".to_owned(),
            (None, Mode::Normal) => self.message.clone(),
        };
        let changed = if buffer.changed { "[+] " } else { "" };
        let room = width.saturating_sub(place.len() + changed.len() + 2);
        let left: String = left.chars().take(room).collect();
        let frame = Frame {
            head: None,
            prompt: prompt.map(|text| (0, text.chars().count())),
            marked: self.marked(),
            foot: vec![format!("{left:<room$} {changed}{place}")],
        };
        self.view.draw(buffer, &frame);
    }

    fn marked(&self) -> Option<((usize, usize), (usize, usize))> {
        let Mode::Visual { from, lines } = self.mode else { return None };
        let here = (self.session.buffer.row, self.session.buffer.column);
        let (first, last) = (from.min(here), from.max(here));
        if lines { Some(((first.0, 0), (last.0, usize::MAX))) } else { Some((first, (last.0, last.1 + 1))) }
    }

    fn insert(&mut self, key: Key) {
        if !self.replaying {
            self.last_change.push(key);
        }
        let buffer = &mut self.session.buffer;
        match key {
            Key::Escape | Key::Control('c') => {
                self.mode = Mode::Normal;
                buffer.go(buffer.row, buffer.column.saturating_sub(1));
            }
            Key::Char(next) => buffer.insert(next.encode_utf8(&mut [0; 4])),
            Key::Enter => buffer.new_line(),
            Key::Tab => buffer.tab(),
            Key::Backspace => buffer.backspace(),
            Key::Delete => buffer.delete(),
            Key::Paste => {
                let text = pasted();
                buffer.insert(&text);
                self.last_change.pop();
                self.last_change.extend(text.chars().map(|next| if next == '\n' { Key::Enter } else { Key::Char(next) }));
            }
            Key::Control('w') => {
                let start = buffer.line()[..buffer.column].iter().rposition(|next| next.is_whitespace()).map_or(0, |index| index + 1);
                let (row, end) = (buffer.row, buffer.column);
                buffer.delete_range((row, start.min(end.saturating_sub(1))), (row, end));
            }
            Key::Control('u') => {
                let (row, end) = (buffer.row, buffer.column);
                buffer.delete_range((row, 0), (row, end));
            }
            Key::Up => buffer.vertical(-1),
            Key::Down => buffer.vertical(1),
            Key::Left => buffer.left(),
            Key::Right => buffer.right(),
            Key::Home => buffer.go(buffer.row, 0),
            Key::End => buffer.go(buffer.row, usize::MAX),
            _ => {}
        }
    }

    /// Makes the command at hand the one that `.` repeats, and lets undo come back to here.
    fn change(&mut self) {
        self.session.buffer.checkpoint();
        if !self.replaying {
            self.last_change.clone_from(&self.record);
        }
    }

    fn start_insert(&mut self) {
        self.mode = Mode::Insert;
    }

    /// Reads a count that starts with `first`; gives it and the key behind it.
    fn count(&mut self, first: Key) -> Option<(Option<usize>, Key)> {
        let (mut count, mut key) = (None, first);
        while let Key::Char(digit @ '0'..='9') = key {
            if digit == '0' && count.is_none() {
                break;
            }
            count = Some(count.unwrap_or(0) * 10 + digit as usize - '0' as usize);
            key = self.more()?;
        }
        Some((count.map(|count| count.min(100_000)), key))
    }

    fn normal(&mut self, key: Key) {
        let Some((count, key)) = self.count(key) else { return };
        if let Some(motion) = self.motion(key, count) {
            if motion.keeps_column {
                self.session.buffer.row = motion.row;
                self.session.buffer.column = motion.column;
            } else {
                self.session.buffer.go(motion.row, motion.column);
            }
            return;
        }
        let page = isize::try_from(View::rows(&Frame { foot: vec![String::new()], ..Frame::default() })).unwrap_or(10);
        match key {
            Key::Char(':') => self.command_line(),
            Key::Char(operator @ ('d' | 'c' | 'y' | '>' | '<')) => self.operator(operator, count),
            Key::Char('.') => {
                let keys: Vec<Key> = self.last_change.clone();
                self.queue.extend(keys);
                self.replaying = !self.queue.is_empty();
            }
            Key::Char('u') if !self.session.buffer.undo() => self.message = "Already at oldest change".to_owned(),
            Key::Char('u') => {}
            Key::Control('r') if !self.session.buffer.redo() => self.message = "Already at newest change".to_owned(),
            Key::Char('v' | 'V') => {
                let from = (self.session.buffer.row, self.session.buffer.column);
                self.mode = Mode::Visual { from, lines: key == Key::Char('V') };
            }
            Key::Control('d') => self.session.buffer.vertical(page / 2),
            Key::Control('u') => self.session.buffer.vertical(-(page / 2)),
            Key::Control('f') | Key::PageDown => self.session.buffer.vertical(page - 2),
            Key::Control('b') | Key::PageUp => self.session.buffer.vertical(2 - page),
            Key::Char('Z') => match self.more() {
                Some(Key::Char('Z')) => self.write_and_leave(),
                Some(Key::Char('Q')) => self.done = Some(0),
                _ => {}
            },
            Key::Control('c') => self.message = "Type  :q!  and press Enter to leave without saving".to_owned(),
            Key::Control('g') => {
                let buffer = &self.session.buffer;
                self.message = format!("\"{}\" line {} of {}", buffer.path.as_deref().unwrap_or("[No Name]"), buffer.row + 1, buffer.lines.len());
            }
            Key::Paste => {
                self.session.buffer.checkpoint();
                self.session.buffer.insert(&pasted());
            }
            other => self.change_command(other, count.unwrap_or(1)),
        }
    }

    /// Commands of one key that change the text.
    fn change_command(&mut self, key: Key, count: usize) {
        let (row, column, length) = {
            let buffer = &self.session.buffer;
            (buffer.row, buffer.column, buffer.length())
        };
        let shorthand = match key {
            Key::Char('x') | Key::Delete => Some(('d', (row, column), (row, (column + count).min(length)))),
            Key::Char('X') => Some(('d', (row, column.saturating_sub(count)), (row, column))),
            Key::Char('D') => Some(('d', (row, column), (row, length))),
            Key::Char('C') => Some(('c', (row, column), (row, length))),
            Key::Char('s') => Some(('c', (row, column), (row, (column + count).min(length)))),
            _ => None,
        };
        if let Some((operator, from, to)) = shorthand {
            self.apply(operator, from, to, false);
            return;
        }
        match key {
            Key::Char('S') => self.apply('c', (row, 0), (row + count - 1, 0), true),
            Key::Char('Y') => self.apply('y', (row, 0), (row + count - 1, 0), true),
            Key::Char('i' | 'I' | 'a' | 'A' | 'o' | 'O') => {
                self.change();
                self.open_insert(key);
            }
            Key::Char('p' | 'P') => {
                self.change();
                self.put(key == Key::Char('p'), count);
            }
            Key::Char('J') => {
                self.change();
                for _ in 0..count.max(2) - 1 {
                    self.join();
                }
            }
            Key::Char('r') => {
                let Some(Key::Char(next)) = self.more() else { return };
                if column + count <= length {
                    self.change();
                    let buffer = &mut self.session.buffer;
                    buffer.lines[row][column..column + count].fill(next);
                    buffer.changed = true;
                    buffer.go(row, column + count - 1);
                }
            }
            Key::Char('~') => {
                self.change();
                let buffer = &mut self.session.buffer;
                for next in buffer.lines[row].iter_mut().skip(column).take(count) {
                    *next = if next.is_uppercase() { next.to_ascii_lowercase() } else { next.to_ascii_uppercase() };
                }
                buffer.changed = true;
                buffer.go(row, column + count);
            }
            _ => {}
        }
    }

    fn open_insert(&mut self, key: Key) {
        let buffer = &mut self.session.buffer;
        let row = buffer.row;
        match key {
            Key::Char('I') => buffer.go(row, buffer.indent(row)),
            Key::Char('a') => buffer.go(row, buffer.column + 1),
            Key::Char('A') => buffer.go(row, usize::MAX),
            Key::Char('o') => {
                buffer.go(row, usize::MAX);
                buffer.new_line();
            }
            Key::Char('O') => {
                let indent: String = buffer.line()[..buffer.indent(row)].iter().collect();
                buffer.go(row, 0);
                buffer.insert("\n");
                buffer.go(row, 0);
                buffer.insert(&indent);
            }
            _ => {}
        }
        self.start_insert();
    }

    fn put(&mut self, after: bool, count: usize) {
        let text = self.register.text.repeat(count);
        let buffer = &mut self.session.buffer;
        if text.is_empty() {
            return;
        }
        let row = buffer.row;
        if self.register.lines {
            let at = if after { row + 1 } else { row };
            let lines: Vec<Vec<char>> = text.trim_end_matches('\n').split('\n').map(|line| line.chars().collect()).collect();
            buffer.lines.splice(at..at, lines);
            buffer.changed = true;
            buffer.go(at, 0);
            buffer.go(at, buffer.indent(at));
        } else {
            let column = (buffer.column + usize::from(after)).min(buffer.length());
            buffer.go(row, column);
            buffer.insert(&text);
            buffer.go(buffer.row, buffer.column.saturating_sub(1));
        }
    }

    fn join(&mut self) {
        let buffer = &mut self.session.buffer;
        let row = buffer.row;
        if row + 1 >= buffer.lines.len() {
            return;
        }
        let next: Vec<char> = buffer.lines.remove(row + 1);
        let rest = &next[next.iter().take_while(|next| next.is_whitespace()).count()..];
        let end = buffer.lines[row].len();
        if end > 0 && !rest.is_empty() {
            buffer.lines[row].push(' ');
        }
        buffer.lines[row].extend(rest);
        buffer.changed = true;
        buffer.go(row, end);
    }

    /// `d`, `c`, `y`, `<`, `>` with a motion, or doubled for whole lines.
    fn operator(&mut self, operator: char, count: Option<usize>) {
        let Some(first) = self.more() else { return };
        let Some((second, mut key)) = self.count(first) else { return };
        let count = match (count, second) {
            (None, None) => None,
            (left, right) => Some(left.unwrap_or(1) * right.unwrap_or(1)),
        };
        let here = (self.session.buffer.row, self.session.buffer.column);
        if key == Key::Char(operator) {
            let last = here.0 + count.unwrap_or(1) - 1;
            return self.apply(operator, (here.0, 0), (last, 0), true);
        }
        if let Key::Char(kind @ ('i' | 'a')) = key {
            let Some(Key::Char(object)) = self.more() else { return };
            if let Some((from, to)) = self.text_object(kind == 'a', object) {
                self.apply(operator, from, to, false);
            }
            return;
        }
        if operator == 'c' && key == Key::Char('w') {
            // By long custom, `cw` leaves the blank behind the word.
            let on_blank = self.session.buffer.line().get(here.1).is_none_or(|next| next.is_whitespace());
            key = if on_blank { key } else { Key::Char('e') };
        }
        let Some(motion) = self.motion(key, count) else { return };
        self.apply_motion(operator, here, key, motion);
    }

    fn apply_motion(&mut self, operator: char, here: (usize, usize), key: Key, motion: Motion) {
        let there = (motion.row, motion.column);
        let (from, mut to) = (here.min(there), here.max(there));
        if motion.lines {
            return self.apply(operator, from, to, true);
        }
        if motion.inclusive {
            to.1 += 1;
        }
        // `dw` on the last word of a line stays in the line.
        if matches!(key, Key::Char('w' | 'W')) && to.0 > from.0 && to.1 <= self.session.buffer.indent(to.0) {
            to = (to.0 - 1, self.session.buffer.lines[to.0 - 1].len());
        }
        self.apply(operator, from, to, false);
    }

    /// Does what an operator does to a range; `lines`: to all of its lines.
    fn apply(&mut self, operator: char, from: (usize, usize), to: (usize, usize), lines: bool) {
        if operator != 'y' {
            self.change();
        }
        let buffer = &mut self.session.buffer;
        let last = to.0.min(buffer.lines.len() - 1);
        match operator {
            '>' | '<' => {
                for line in &mut buffer.lines[from.0..=last] {
                    if operator == '>' && !line.is_empty() {
                        line.splice(0..0, [' ', ' ']);
                    } else if operator == '<' {
                        let blanks = line.iter().take(2).take_while(|next| next.is_whitespace()).count();
                        line.drain(..blanks);
                    }
                }
                buffer.changed = true;
                buffer.go(from.0, buffer.indent(from.0));
            }
            'y' if lines => {
                let text = buffer.range((from.0, 0), (last, usize::MAX)) + "\n";
                self.message = if last - from.0 > 1 { format!("{} lines yanked", last - from.0 + 1) } else { String::new() };
                self.register = Register { text, lines: true };
            }
            'y' => {
                self.register = Register { text: buffer.range(from, to), lines: false };
                buffer.go(from.0, from.1);
            }
            'c' if lines => {
                let indent: String = buffer.lines[from.0][..buffer.indent(from.0)].iter().collect();
                let text = buffer.range((from.0, 0), (last, usize::MAX)) + "\n";
                self.register = Register { text, lines: true };
                buffer.delete_range((from.0, 0), (last, usize::MAX));
                buffer.insert(&indent);
                self.start_insert();
            }
            _ if lines => {
                let text = buffer.delete_lines(from.0, last);
                buffer.go(buffer.row, buffer.indent(buffer.row));
                if last - from.0 > 1 {
                    self.message = format!("{} fewer lines", last - from.0 + 1);
                }
                self.register = Register { text, lines: true };
            }
            _ => {
                self.register = Register { text: buffer.delete_range(from, to), lines: false };
                if operator == 'c' {
                    self.start_insert();
                }
            }
        }
    }

    fn visual(&mut self, key: Key, from: (usize, usize), lines: bool) {
        self.record.clear();
        self.record.push(key);
        let Some((count, key)) = self.count(key) else { return };
        if let Some(motion) = self.motion(key, count) {
            self.session.buffer.go(motion.row, motion.column);
            return;
        }
        let here = (self.session.buffer.row, self.session.buffer.column);
        let (first, last) = (from.min(here), from.max(here));
        match key {
            Key::Char(operator @ ('d' | 'c' | 'y' | '>' | '<' | 'x' | 's')) => {
                self.mode = Mode::Normal;
                let operator = match operator {
                    'x' => 'd',
                    's' => 'c',
                    other => other,
                };
                self.apply(operator, first, (last.0, last.1 + 1), lines);
            }
            Key::Char('v') if lines => self.mode = Mode::Visual { from, lines: false },
            Key::Char('V') if !lines => self.mode = Mode::Visual { from, lines: true },
            Key::Char('o') => {
                self.mode = Mode::Visual { from: here, lines };
                self.session.buffer.go(from.0, from.1);
            }
            Key::Escape | Key::Control('c') | Key::Char('v' | 'V') => self.mode = Mode::Normal,
            _ => {}
        }
    }

    /// Asks for a line in the foot; `None` when cancelled.
    pub(super) fn ask(&mut self, mark: char) -> Option<String> {
        let mut answer = String::new();
        loop {
            if self.queue.is_empty() && !key_waits(0) {
                self.draw(Some(&format!("{mark}{answer}")));
            }
            match self.more()? {
                Key::Enter => return Some(answer),
                Key::Char(next) => answer.push(next),
                Key::Paste => answer.push_str(&pasted().replace('\n', " ")),
                Key::Backspace if answer.is_empty() => return None,
                Key::Backspace => drop(answer.pop()),
                Key::Control('u') => answer.clear(),
                Key::Escape | Key::Control('c') => return None,
                _ => {}
            }
        }
    }

    fn command_line(&mut self) {
        let Some(text) = self.ask(':') else { return };
        let text = text.trim();
        let rows = self.session.buffer.lines.len();
        if let Ok(number) = text.parse::<usize>() {
            self.session.buffer.go(number.saturating_sub(1), 0);
            return;
        }
        let (name, rest) = text.split_once(' ').map_or((text, ""), |(name, rest)| (name, rest.trim()));
        match name {
            "" => {}
            "$" => self.session.buffer.go(rows, 0),
            "w" | "w!" | "write" => {
                self.write(rest);
            }
            "q" | "quit" if self.session.buffer.changed => {
                self.message = "No write since last change (:wq saves and leaves, :q! throws it away)".to_owned();
            }
            "q" | "quit" | "q!" | "quit!" | "qa" | "qa!" => self.done = Some(0),
            "cq" => self.done = Some(1),
            "wq" | "wq!" | "x" | "x!" | "xit" | "wqa" => self.write_and_leave(),
            "e" | "e!" | "edit!" => self.reload(name.ends_with('!')),
            "set" | "se" => match rest {
                "nu" | "number" => self.view.numbers = true,
                "nonu" | "nonumber" => self.view.numbers = false,
                "paste" | "nopaste" | "et" | "expandtab" => {}
                other => self.message = format!("Unknown option: {other}"),
            },
            "noh" | "nohlsearch" => {}
            "help" | "h" => self.message = "i write  Esc stop  dd cut line  p paste  u undo  /x find  :wq save and leave  :q! leave".to_owned(),
            _ if !self.substitute(text) => self.message = format!("Not an editor command: {text}"),
            _ => {}
        }
    }

    fn reload(&mut self, force: bool) {
        if self.session.buffer.changed && !force {
            self.message = "No write since last change (add ! to throw it away)".to_owned();
            return;
        }
        match super::Buffer::open(self.session.buffer.path.as_deref()) {
            Ok((buffer, _)) => self.session.buffer = buffer,
            Err(error) => self.message = sys::reason(&error),
        }
    }

    /// Saves; true when it was saved.
    fn write(&mut self, name: &str) -> bool {
        let path = if name.is_empty() { self.session.buffer.path.clone() } else { Some(name.to_owned()) };
        let Some(path) = path else {
            self.message = "No file name; try :w NAME".to_owned();
            return false;
        };
        match self.session.buffer.save(&path) {
            Ok(lines) => {
                self.message = format!("\"{path}\" {lines}L written");
                true
            }
            Err(error) => {
                self.message = format!("\"{path}\": {}", sys::reason(&error));
                false
            }
        }
    }

    fn write_and_leave(&mut self) {
        let unsaved = self.session.buffer.changed || self.session.new;
        if !unsaved || self.write("") {
            self.done = Some(0);
        }
    }

    /// `:s/from/to/g`, `:%s/from/to/g`, `:3,7s/from/to/`, and `:2,4d`.
    fn substitute(&mut self, text: &str) -> bool {
        let end = text.find(|next: char| !(next.is_ascii_digit() || ",.$%".contains(next))).unwrap_or(text.len());
        let (range, command) = text.split_at(end);
        let buffer = &self.session.buffer;
        let row_of = |text: &str| match text {
            "." | "" => Some(buffer.row),
            "$" => Some(buffer.lines.len() - 1),
            number => number.parse::<usize>().ok().map(|number| number.saturating_sub(1).min(buffer.lines.len() - 1)),
        };
        let rows = match range.split_once(',') {
            None if range == "%" => Some((0, buffer.lines.len() - 1)),
            None => row_of(range).map(|row| (row, row)),
            Some((first, last)) => row_of(first).zip(row_of(last)),
        };
        let Some((first, last)) = rows.filter(|(first, last)| first <= last) else { return false };
        if command == "d" {
            self.apply('d', (first, 0), (last, 0), true);
            return true;
        }
        let Some((pattern, rest)) = command.strip_prefix('s').and_then(split_delimited) else { return false };
        let (with, flags) = split_delimited(&format!("/{rest}")).unwrap_or((rest.clone(), String::new()));
        let regex = regex::RegexBuilder::new(&pattern).case_insensitive(flags.contains('i')).build();
        let Ok(regex) = regex else {
            self.message = format!("Not a pattern: {pattern}");
            return true;
        };
        let with = with.replace('$', "$$").replace("\\&", "\u{0}").replace('&', "${0}").replace('\u{0}', "&");
        let with = (1..10).fold(with, |with, number| with.replace(&format!("\\{number}"), &format!("${{{number}}}")));
        self.change();
        let mut count = 0;
        let buffer = &mut self.session.buffer;
        for row in first..=last {
            let line: String = buffer.lines[row].iter().collect();
            let limit = usize::from(!flags.contains('g'));
            let new = regex.replacen(&line, limit, with.as_str());
            if new != line {
                buffer.lines[row] = new.chars().collect();
                buffer.changed = true;
                buffer.row = row;
                count += 1;
            }
        }
        buffer.go(buffer.row, 0);
        self.message = if count == 0 { format!("Pattern not found: {pattern}") } else { format!("{count} lines changed") };
        true
    }
}

/// `/one/rest` to `one` and `rest`; the delimiter is whatever comes first, and a backslash protects it.
fn split_delimited(text: &str) -> Option<(String, String)> {
    let mut chars = text.chars();
    let delimiter = chars.next().filter(|next| !next.is_alphanumeric())?;
    let mut part = String::new();
    while let Some(next) = chars.next() {
        match next {
            '\\' => match chars.next() {
                Some(escaped) if escaped == delimiter => part.push(escaped),
                Some(escaped) => {
                    part.push('\\');
                    part.push(escaped);
                }
                None => part.push('\\'),
            },
            next if next == delimiter => return Some((part, chars.collect())),
            other => part.push(other),
        }
    }
    Some((part, String::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substitutions_are_taken_apart() {
        let cases = [("/a/b/g", "a", "b/g"), ("#a/b#c", "a/b", "c"), ("/a\\/b/c/", "a/b", "c/"), ("/a", "a", "")];
        for (text, part, rest) in cases {
            assert_eq!(split_delimited(text), Some((part.to_owned(), rest.to_owned())), "{text}");
        }
    }
}
