//! Draws a text and the lines around it; a little color for YAML.

use super::buffer::Buffer;
use crate::{shell::char_width, sys};

/// What is seen of a text.
#[derive(Default)]
pub(super) struct View {
    top: usize,
    left: usize,
    /// Line numbers at the left.
    pub(super) numbers: bool,
}

/// Lines around the text, and what is marked in it.
#[derive(Default)]
pub(super) struct Frame {
    /// The bar above the text.
    pub(super) head: Option<String>,
    /// The lines below it, with their own escape sequences.
    pub(super) foot: Vec<String>,
    /// The cursor is in this line of the foot, at this column.
    pub(super) prompt: Option<(usize, usize)>,
    /// Places that are marked: first and one past the last.
    pub(super) marked: Option<((usize, usize), (usize, usize))>,
}

const TAB: usize = 8;

/// Column on the screen of a character in a line.
fn column_of(line: &[char], index: usize) -> usize {
    line[..index.min(line.len())].iter().fold(0, |column, next| column + cells(*next, column))
}

fn cells(next: char, column: usize) -> usize {
    if next == '\t' { TAB - column % TAB } else { char_width(next).max(usize::from(next.is_control())) }
}

impl View {
    /// Rows that the text has on the screen.
    pub(super) fn rows(frame: &Frame) -> usize {
        sys::window_size(1).1.saturating_sub(frame.foot.len() + usize::from(frame.head.is_some())).max(1)
    }

    /// Draws everything in one write.
    pub(super) fn draw(&mut self, buffer: &Buffer, frame: &Frame) {
        let (width, _) = sys::window_size(1);
        let rows = Self::rows(frame);
        let gutter = if self.numbers { buffer.lines.len().to_string().len().max(2) + 1 } else { 0 };
        let room = width.saturating_sub(gutter).max(1);
        let column = column_of(buffer.line(), buffer.column);
        self.scroll(buffer.row, column, rows, room);
        let mut out = String::from("\x1b[?25l\x1b[H");
        if let Some(head) = &frame.head {
            let head: String = head.chars().take(width).collect();
            out.push_str(&format!("\x1b[7m{head:<width$}\x1b[0m\r\n"));
        }
        for row in self.top..self.top + rows {
            out.push_str("\x1b[K");
            match buffer.lines.get(row) {
                Some(line) => {
                    if self.numbers {
                        out.push_str(&format!("\x1b[90m{:>1$} \x1b[0m", row + 1, gutter - 1));
                    }
                    out.push_str(&self.text(line, row, room, buffer.is_yaml(), frame));
                }
                None if frame.head.is_none() => out.push_str("\x1b[34m~\x1b[0m"),
                None => {}
            }
            out.push_str("\r\n");
        }
        for (index, line) in frame.foot.iter().enumerate() {
            out.push_str("\x1b[K");
            out.push_str(line);
            if index + 1 < frame.foot.len() {
                out.push_str("\r\n");
            }
        }
        let head = usize::from(frame.head.is_some());
        let (down, across) = match frame.prompt {
            Some((line, column)) => (head + rows + line, column),
            None => (head + buffer.row - self.top, gutter + column - self.left),
        };
        out.push_str(&format!("\x1b[{};{}H\x1b[?25h", down + 1, across.min(width.saturating_sub(1)) + 1));
        sys::best_effort(sys::write_all(1, out.as_bytes()));
    }

    fn scroll(&mut self, row: usize, column: usize, rows: usize, room: usize) {
        if row < self.top {
            self.top = if self.top - row > rows { row.saturating_sub(rows / 2) } else { row };
        } else if row >= self.top + rows {
            self.top = if row - self.top > 2 * rows { row.saturating_sub(rows / 2) } else { row + 1 - rows };
        }
        if column < self.left {
            self.left = column.saturating_sub(room / 3);
        } else if column >= self.left + room {
            self.left = column + 1 - room + room / 3;
        }
    }

    fn text(&self, line: &[char], row: usize, room: usize, yaml: bool, frame: &Frame) -> String {
        let colors = if yaml { yaml_colors(line) } else { vec![0; line.len()] };
        let (mut out, mut column, mut current) = (String::new(), 0, (0, false));
        for (index, next) in line.iter().enumerate() {
            let width = cells(*next, column);
            let marked = frame.marked.is_some_and(|(from, to)| (row, index) >= from && (row, index) < to);
            let style = (colors[index], marked);
            if column >= self.left && column + width <= self.left + room {
                if style != current {
                    out.push_str(&format!("\x1b[0{}{}m", if style.0 > 0 { format!(";{}", style.0) } else { String::new() }, if marked { ";7" } else { "" }));
                    current = style;
                }
                match next {
                    '\t' => out.push_str(&" ".repeat(width)),
                    control if control.is_control() => out.push('·'),
                    other => out.push(*other),
                }
            }
            column += width;
        }
        let whole = frame.marked.is_some_and(|(from, to)| (row, line.len()) >= from && (row, line.len()) < to);
        if whole && column < self.left + room {
            out.push_str("\x1b[0;7m ");
        }
        out.push_str("\x1b[0m");
        out
    }
}

/// Colors of one line of YAML: keys, strings, comments, and tabs that have no place in it.
fn yaml_colors(line: &[char]) -> Vec<u8> {
    const KEY: u8 = 36;
    const STRING: u8 = 32;
    const COMMENT: u8 = 90;
    const MARK: u8 = 33;
    const WRONG: u8 = 41;
    let mut colors = vec![0; line.len()];
    let mut start = 0;
    while let Some(next) = line.get(start) {
        match next {
            '\t' => colors[start] = WRONG,
            ' ' => {}
            '-' if line.get(start + 1).is_none_or(|after| *after == ' ') => colors[start] = MARK,
            _ => break,
        }
        start += 1;
    }
    let key = (start..line.len()).find(|index| line[*index] == ':' && line.get(index + 1).is_none_or(|after| *after == ' '));
    let mut quote: Option<char> = None;
    for index in start..line.len() {
        let next = line[index];
        let boundary = index == 0 || line[index - 1].is_whitespace();
        match quote {
            Some(open) => {
                colors[index] = STRING;
                if next == open {
                    quote = None;
                }
            }
            None if next == '#' && boundary => {
                colors[index..].fill(COMMENT);
                return colors;
            }
            None if matches!(next, '"' | '\'') && (boundary || matches!(line[index - 1], '[' | '{' | ',')) => {
                colors[index] = STRING;
                quote = Some(next);
            }
            None if key.is_some_and(|key| index < key) => colors[index] = KEY,
            None => {}
        }
    }
    if line == ['-', '-', '-'] {
        colors.fill(MARK);
    }
    colors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_gets_its_colors() {
        let line: Vec<char> = "- name: 'a' # b".chars().collect();
        let colors = yaml_colors(&line);
        let wanted = [33, 0, 36, 36, 36, 36, 0, 0, 32, 32, 32, 0, 90, 90, 90];
        assert_eq!(colors, wanted);
    }

    #[test]
    fn tabs_and_wide_characters_have_their_columns() {
        let line: Vec<char> = "\ta日b".chars().collect();
        assert_eq!([0, 1, 2, 3, 4].map(|index| column_of(&line, index)), [0, 8, 9, 11, 12]);
    }
}
