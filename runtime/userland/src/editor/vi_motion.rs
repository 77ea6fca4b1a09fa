//! Where vi's motions and text objects lead.

use super::vi::Vi;
use crate::shell::Key;

/// Where a motion ends, and what an operator takes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Motion {
    pub(super) row: usize,
    pub(super) column: usize,
    /// An operator takes whole lines.
    pub(super) lines: bool,
    /// An operator takes the character at the end too.
    pub(super) inclusive: bool,
    /// Up and down remember the column they came from.
    pub(super) keeps_column: bool,
}

/// A search for a character in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seek {
    wanted: char,
    forward: bool,
    /// Stop one before.
    short: bool,
}

/// Classes of characters: words are runs of one class.
fn class(next: char, big: bool) -> u8 {
    if next.is_whitespace() {
        0
    } else if big || next.is_alphanumeric() || next == '_' {
        1
    } else {
        2
    }
}

impl Vi {
    /// The motion a key means; `None` when it means none, or leads nowhere.
    pub(super) fn motion(&mut self, key: Key, count: Option<usize>) -> Option<Motion> {
        let times = count.unwrap_or(1);
        let buffer = &mut self.session.buffer;
        let (row, column, length) = (buffer.row, buffer.column, buffer.length());
        let last = buffer.lines.len() - 1;
        let at = |row: usize, column: usize| Motion { row, column, lines: false, inclusive: false, keeps_column: false };
        let line = |row: usize, column: usize| Motion { lines: true, ..at(row, column) };
        match key {
            Key::Char('h') | Key::Left | Key::Backspace => Some(at(row, column.saturating_sub(times))),
            Key::Char('l' | ' ') | Key::Right => Some(at(row, (column + times).min(length))),
            Key::Char('j' | 'k') | Key::Up | Key::Down => {
                let down = matches!(key, Key::Char('j') | Key::Down);
                let step = isize::try_from(times).unwrap_or(1);
                buffer.vertical(if down { step } else { -step });
                let there = (buffer.row, buffer.column);
                (buffer.row, buffer.column) = (row, column);
                Some(Motion { keeps_column: true, ..line(there.0, there.1) })
            }
            Key::Enter | Key::Char('+') => Some(line((row + times).min(last), buffer.indent((row + times).min(last)))),
            Key::Char('-') => Some(line(row.saturating_sub(times), buffer.indent(row.saturating_sub(times)))),
            Key::Char('0') | Key::Home => Some(at(row, 0)),
            Key::Char('^' | '_') => Some(at(row, buffer.indent(row))),
            Key::Char('$') | Key::End => {
                let row = (row + times - 1).min(last);
                Some(Motion { inclusive: true, ..at(row, buffer.lines[row].len().saturating_sub(1)) })
            }
            Key::Char('G') => {
                let row = count.map_or(last, |count| count.saturating_sub(1).min(last));
                Some(line(row, buffer.indent(row)))
            }
            Key::Char('g') => match self.more()? {
                Key::Char('g') => {
                    let row = times.saturating_sub(1).min(last);
                    Some(line(row, self.session.buffer.indent(row)))
                }
                _ => None,
            },
            Key::Char('w' | 'W' | 'b' | 'B' | 'e' | 'E') => Some(self.word_motion(key, times)),
            Key::Char(letter @ ('f' | 'F' | 't' | 'T')) => {
                let Key::Char(wanted) = self.more()? else { return None };
                self.seek = Some(Seek { wanted, forward: matches!(letter, 'f' | 't'), short: matches!(letter, 't' | 'T') });
                self.seek_motion(false, times)
            }
            Key::Char(';') => self.seek_motion(false, times),
            Key::Char(',') => self.seek_motion(true, times),
            Key::Char('{' | '}') => {
                let blank = |row: &usize| self.session.buffer.lines[*row].is_empty();
                let row = if key == Key::Char('}') { (row + 1..=last).find(blank).unwrap_or(last) } else { (0..row).rev().find(blank).unwrap_or(0) };
                Some(at(row, 0))
            }
            Key::Char('%') => self.matching_bracket(),
            Key::Char('/' | '?') => {
                let wanted = self.ask(if key == Key::Char('/') { '/' } else { '?' })?;
                if !wanted.is_empty() {
                    self.sought = wanted;
                }
                self.forward = key == Key::Char('/');
                self.search_motion(true)
            }
            Key::Char('n') => self.search_motion(true),
            Key::Char('N') => self.search_motion(false),
            Key::Char('*') => {
                let line = buffer.line();
                let start = line[..column.min(length)].iter().rposition(|next| class(*next, false) != 1).map_or(0, |index| index + 1);
                let word: String = line[start..].iter().take_while(|next| class(**next, false) == 1).collect();
                self.sought = word;
                self.forward = true;
                self.search_motion(true)
            }
            _ => None,
        }
    }

    fn search_motion(&mut self, same: bool) -> Option<Motion> {
        let (row, column) = self.session.buffer.find(&self.sought, self.forward == same)?;
        Some(Motion { row, column, lines: false, inclusive: false, keeps_column: false })
    }

    fn seek_motion(&mut self, reverse: bool, times: usize) -> Option<Motion> {
        let seek = self.seek?;
        let buffer = &self.session.buffer;
        let line = buffer.line();
        let forward = seek.forward != reverse;
        let hits: Vec<usize> = (0..line.len()).filter(|index| line[*index] == seek.wanted).collect();
        let near = usize::from(seek.short);
        let hit = if forward {
            hits.into_iter().filter(|index| *index > buffer.column + near).nth(times - 1)? - near
        } else {
            hits.into_iter().rev().filter(|index| index + near < buffer.column).nth(times - 1)? + near
        };
        Some(Motion { row: buffer.row, column: hit, lines: false, inclusive: forward, keeps_column: false })
    }

    fn word_motion(&self, key: Key, times: usize) -> Motion {
        let big = matches!(key, Key::Char('W' | 'B' | 'E'));
        let forward = !matches!(key, Key::Char('b' | 'B'));
        let end = matches!(key, Key::Char('e' | 'E'));
        let buffer = &self.session.buffer;
        // The text as one run of classes: a line end is a blank.
        let mut places = Vec::new();
        let mut here = 0;
        for (row, line) in buffer.lines.iter().enumerate() {
            for column in 0..=line.len() {
                if (row, column) == (buffer.row, buffer.column.min(line.len())) {
                    here = places.len();
                }
                let empty_line = line.is_empty() && !end;
                let kind = if empty_line { 3 } else { line.get(column).map_or(0, |next| class(*next, big)) };
                places.push((row, column, kind));
            }
        }
        let kind = |at: usize| places[at].2;
        let stop = places.len() - 1;
        for _ in 0..times {
            if end {
                here = (here + 1).min(stop);
                while here < stop && kind(here) == 0 {
                    here += 1;
                }
                while here < stop && kind(here + 1) == kind(here) {
                    here += 1;
                }
            } else if forward {
                let start = kind(here);
                while here < stop && kind(here) == start && start != 0 {
                    here += 1;
                    if start == 3 {
                        break;
                    }
                }
                while here < stop && kind(here) == 0 {
                    here += 1;
                }
            } else {
                here = here.saturating_sub(1);
                while here > 0 && kind(here) == 0 {
                    here -= 1;
                }
                while here > 0 && kind(here - 1) == kind(here) {
                    here -= 1;
                }
            }
        }
        let (row, column, _) = places[here];
        Motion { row, column, lines: false, inclusive: end, keeps_column: false }
    }

    fn matching_bracket(&self) -> Option<Motion> {
        const PAIRS: [(char, char); 3] = [('(', ')'), ('[', ']'), ('{', '}')];
        let buffer = &self.session.buffer;
        let start = (buffer.column..buffer.length()).find(|index| PAIRS.iter().any(|(open, close)| [*open, *close].contains(&buffer.line()[*index])))?;
        let bracket = buffer.line()[start];
        let (open, close) = *PAIRS.iter().find(|(open, close)| [*open, *close].contains(&bracket))?;
        let forward = bracket == open;
        let mut places: Vec<(usize, usize, char)> = buffer
            .lines
            .iter()
            .enumerate()
            .flat_map(|(row, line)| line.iter().enumerate().map(move |(column, next)| (row, column, *next)))
            .filter(|(row, column, _)| if forward { (*row, *column) >= (buffer.row, start) } else { (*row, *column) <= (buffer.row, start) })
            .collect();
        if !forward {
            places.reverse();
        }
        let mut depth = 0_i32;
        for (row, column, next) in places {
            depth += i32::from(next == open) - i32::from(next == close);
            if depth == 0 && (next == open || next == close) {
                return Some(Motion { row, column, lines: false, inclusive: true, keeps_column: false });
            }
        }
        None
    }

    /// `iw`, `aw`, `i"`, `a(`...: both ends, the second one past the last character.
    pub(super) fn text_object(&self, around: bool, object: char) -> Option<((usize, usize), (usize, usize))> {
        let buffer = &self.session.buffer;
        let (row, line) = (buffer.row, buffer.line());
        let column = buffer.column.min(line.len().saturating_sub(1));
        let (start, end) = match object {
            'w' | 'W' => {
                let kind = class(*line.get(column)?, object == 'W');
                let same = |next: &char| class(*next, object == 'W') == kind;
                let start = line[..column].iter().rposition(|next| !same(next)).map_or(0, |index| index + 1);
                let mut end = line[column..].iter().position(|next| !same(next)).map_or(line.len(), |index| column + index);
                if around {
                    end += line[end..].iter().take_while(|next| next.is_whitespace()).count();
                }
                (start, end)
            }
            '"' | '\'' | '`' => {
                let quotes: Vec<usize> = (0..line.len()).filter(|index| line[*index] == object).collect();
                let pair = quotes.chunks_exact(2).find(|pair| pair[1] >= column)?;
                if around { (pair[0], pair[1] + 1) } else { (pair[0] + 1, pair[1]) }
            }
            '(' | ')' | '[' | ']' | '{' | '}' => {
                let (open, close) = match object {
                    '(' | ')' => ('(', ')'),
                    '[' | ']' => ('[', ']'),
                    _ => ('{', '}'),
                };
                let start = line[..=column].iter().rposition(|next| *next == open)?;
                let end = line[start..].iter().position(|next| *next == close)? + start;
                if around { (start, end + 1) } else { (start + 1, end) }
            }
            _ => return None,
        };
        Some(((row, start), (row, end)))
    }
}
