//! The text of a file, where one is in it, and what undoes a change.

use std::io;

/// A text of lines.
type Lines = Vec<Vec<char>>;

/// More steps than this are not remembered.
const STEPS: usize = 200;

/// A text with a cursor.
pub(super) struct Buffer {
    pub(super) lines: Lines,
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) path: Option<String>,
    /// The file has another content.
    pub(super) changed: bool,
    /// The column that up and down try to keep.
    wish: usize,
    undo: Vec<(Lines, usize, usize)>,
    redo: Vec<(Lines, usize, usize)>,
}

impl Buffer {
    /// Reads a file; one that does not exist is an empty text. The second value says whether it is new.
    pub(super) fn open(path: Option<&str>) -> io::Result<(Self, bool)> {
        let (text, new) = match path.map(std::fs::read) {
            None => (String::new(), true),
            Some(Ok(bytes)) => (
                String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a text file"))?,
                false,
            ),
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => (String::new(), true),
            Some(Err(error)) => return Err(error),
        };
        let mut lines: Lines = text.split('\n').map(|line| line.chars().collect()).collect();
        if lines.len() > 1 && text.ends_with('\n') {
            lines.pop();
        }
        let buffer = Self {
            lines,
            row: 0,
            column: 0,
            path: path.map(str::to_owned),
            changed: false,
            wish: 0,
            undo: Vec::new(),
            redo: Vec::new(),
        };
        Ok((buffer, new))
    }

    /// The text as a file has it.
    pub(super) fn text(&self) -> String {
        if self.lines.len() == 1 && self.lines[0].is_empty() {
            return String::new();
        }
        self.lines.iter().flat_map(|line| line.iter().copied().chain(['\n'])).collect()
    }

    /// Writes the file, in place: whoever waits for this very file finds it. Gives the number of lines.
    pub(super) fn save(&mut self, path: &str) -> io::Result<usize> {
        let text = self.text();
        std::fs::write(path, &text)?;
        self.path = Some(path.to_owned());
        self.changed = false;
        Ok(text.matches('\n').count())
    }

    pub(super) fn line(&self) -> &[char] {
        &self.lines[self.row]
    }

    pub(super) fn length(&self) -> usize {
        self.lines[self.row].len()
    }

    /// True for files where a tab key should not make a tab.
    pub(super) fn is_yaml(&self) -> bool {
        self.path.as_deref().is_some_and(|path| path.ends_with(".yaml") || path.ends_with(".yml"))
    }

    /// Remembers the text as it is now. Call it before a change.
    pub(super) fn checkpoint(&mut self) {
        if self.undo.last().is_some_and(|(lines, ..)| *lines == self.lines) {
            return;
        }
        if self.undo.len() == STEPS {
            self.undo.remove(0);
        }
        self.undo.push((self.lines.clone(), self.row, self.column));
        self.redo.clear();
    }

    /// Takes the last change back; false when there is none.
    pub(super) fn undo(&mut self) -> bool {
        let Some(before) = self.undo.pop() else { return false };
        if before.0 == self.lines {
            return self.undo();
        }
        let after = (std::mem::replace(&mut self.lines, before.0), self.row, self.column);
        self.redo.push(after);
        self.go(before.1, before.2);
        self.changed = true;
        true
    }

    /// Makes the change that was taken back; false when there is none.
    pub(super) fn redo(&mut self) -> bool {
        let Some(after) = self.redo.pop() else { return false };
        let before = (std::mem::replace(&mut self.lines, after.0), self.row, self.column);
        self.undo.push(before);
        self.go(after.1, after.2);
        self.changed = true;
        true
    }

    /// Puts the cursor somewhere that exists.
    pub(super) fn go(&mut self, row: usize, column: usize) {
        self.row = row.min(self.lines.len() - 1);
        self.column = column.min(self.length());
        self.wish = self.column;
    }

    /// Up or down by lines, keeping the column where a line is long enough.
    pub(super) fn vertical(&mut self, rows: isize) {
        let wish = self.wish.max(self.column);
        self.row = self.row.saturating_add_signed(rows).min(self.lines.len() - 1);
        self.column = wish.min(self.length());
        self.wish = wish;
    }

    pub(super) fn left(&mut self) {
        if self.column > 0 {
            self.go(self.row, self.column - 1);
        } else if self.row > 0 {
            self.go(self.row - 1, usize::MAX);
        }
    }

    pub(super) fn right(&mut self) {
        if self.column < self.length() {
            self.go(self.row, self.column + 1);
        } else if self.row + 1 < self.lines.len() {
            self.go(self.row + 1, 0);
        }
    }

    /// The first column of the line that is not blank.
    pub(super) fn indent(&self, row: usize) -> usize {
        self.lines[row].iter().take_while(|next| next.is_whitespace()).count()
    }

    /// Inserts text; line ends in it make lines.
    pub(super) fn insert(&mut self, text: &str) {
        for next in text.chars() {
            if next == '\n' {
                let rest = self.lines[self.row].split_off(self.column);
                self.lines.insert(self.row + 1, rest);
                self.row += 1;
                self.column = 0;
            } else {
                let column = self.column;
                self.lines[self.row].insert(column, next);
                self.column += 1;
            }
        }
        self.wish = self.column;
        self.changed = true;
    }

    /// A new line that starts where this one does.
    pub(super) fn new_line(&mut self) {
        let indent: String = self.lines[self.row][..self.indent(self.row).min(self.column)].iter().collect();
        self.insert("\n");
        self.insert(&indent);
    }

    /// What the tab key types here.
    pub(super) fn tab(&mut self) {
        if self.is_yaml() {
            let spaces = 2 - self.column % 2;
            self.insert(&" ".repeat(spaces));
        } else {
            self.insert("\t");
        }
    }

    /// Takes the character before the cursor away; in the indentation of YAML, a whole step.
    pub(super) fn backspace(&mut self) {
        if self.column > 0 {
            let step = self.is_yaml() && self.column >= 2 && self.column.is_multiple_of(2) && self.indent(self.row) >= self.column;
            let count = if step { 2 } else { 1 };
            self.delete_range((self.row, self.column - count), (self.row, self.column));
        } else if self.row > 0 {
            let end = self.lines[self.row - 1].len();
            self.delete_range((self.row - 1, end), (self.row, 0));
        }
    }

    /// Takes the character under the cursor away.
    pub(super) fn delete(&mut self) {
        if self.column < self.length() {
            self.delete_range((self.row, self.column), (self.row, self.column + 1));
        } else if self.row + 1 < self.lines.len() {
            self.delete_range((self.row, self.column), (self.row + 1, 0));
        }
    }

    /// Takes what is between two places away and gives it; the cursor is where it was.
    pub(super) fn delete_range(&mut self, from: (usize, usize), to: (usize, usize)) -> String {
        let text = self.range(from, to);
        let end = to.1.min(self.lines[to.0].len());
        let tail = self.lines[to.0].split_off(end);
        self.lines[from.0].truncate(from.1);
        self.lines[from.0].extend(tail);
        if to.0 > from.0 {
            // The last line's head went with split_off and truncate; only the whole lines between remain.
            self.lines.drain(from.0 + 1..=to.0);
        }
        self.go(from.0, from.1);
        self.changed = true;
        text
    }

    /// What is between two places.
    pub(super) fn range(&self, from: (usize, usize), to: (usize, usize)) -> String {
        let mut text = String::new();
        for row in from.0..=to.0.min(self.lines.len() - 1) {
            let line = &self.lines[row];
            let start = if row == from.0 { from.1.min(line.len()) } else { 0 };
            let end = if row == to.0 { to.1.min(line.len()) } else { line.len() };
            text.extend(&line[start..end.max(start)]);
            if row != to.0 {
                text.push('\n');
            }
        }
        text
    }

    /// Takes whole lines away and gives them.
    pub(super) fn delete_lines(&mut self, from: usize, to: usize) -> String {
        let to = to.min(self.lines.len() - 1);
        let taken: Vec<Vec<char>> = self.lines.drain(from..=to).collect();
        if self.lines.is_empty() {
            self.lines.push(Vec::new());
        }
        let row = from.min(self.lines.len() - 1);
        self.go(row, 0);
        self.changed = true;
        taken.iter().flat_map(|line| line.iter().copied().chain(['\n'])).collect()
    }

    /// The next place with this text, around the end; ignoring case when the text is all small letters.
    pub(super) fn find(&self, wanted: &str, forward: bool) -> Option<(usize, usize)> {
        let fold = !wanted.chars().any(char::is_uppercase);
        let folded = |next: char| if fold { next.to_lowercase().next().unwrap_or(next) } else { next };
        let wanted: Vec<char> = wanted.chars().map(folded).collect();
        if wanted.is_empty() {
            return None;
        }
        let mut places = Vec::new();
        for (row, line) in self.lines.iter().enumerate() {
            let line: Vec<char> = line.iter().map(|next| folded(*next)).collect();
            places.extend(line.windows(wanted.len()).enumerate().filter(|(_, window)| *window == wanted).map(|(column, _)| (row, column)));
        }
        let here = (self.row, self.column);
        if forward {
            places.iter().find(|place| **place > here).or(places.first()).copied()
        } else {
            places.iter().rev().find(|place| **place < here).or(places.last()).copied()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(text: &str) -> Buffer {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.yaml");
        std::fs::write(&path, text).unwrap();
        Buffer::open(path.to_str()).unwrap().0
    }

    #[test]
    fn changes_are_made_and_taken_back() {
        let mut buffer = buffer("a:\n  b: 1\n  c: 2\n");
        buffer.go(1, usize::MAX);
        buffer.checkpoint();
        buffer.new_line();
        buffer.insert("x: y");
        assert_eq!(buffer.text(), "a:\n  b: 1\n  x: y\n  c: 2\n");
        assert!(buffer.undo() && !buffer.undo());
        assert_eq!(buffer.text(), "a:\n  b: 1\n  c: 2\n");
        assert!(buffer.redo());
        assert_eq!(buffer.delete_range((0, 1), (2, 2)), ":\n  b: 1\n  ");
        assert_eq!(buffer.text(), "ax: y\n  c: 2\n");
        assert_eq!(buffer.delete_lines(0, 9), "ax: y\n  c: 2\n");
        assert_eq!(buffer.text(), "");
    }

    #[test]
    fn search_goes_round_and_minds_capitals_only_when_given() {
        let mut buffer = buffer("Pod pod\nx\npod\n");
        assert_eq!(buffer.find("pod", true), Some((0, 4)));
        assert_eq!(buffer.find("Pod", true), Some((0, 0)));
        buffer.go(2, 0);
        assert_eq!(buffer.find("pod", true), Some((0, 0)));
        assert_eq!(buffer.find("pod", false), Some((0, 4)));
        assert_eq!(buffer.find("nothing", true), None);
    }

    #[test]
    fn indentation_of_yaml_goes_by_steps() {
        let mut buffer = buffer("    a");
        buffer.go(0, 4);
        buffer.backspace();
        assert_eq!(buffer.text(), "  a\n");
        buffer.go(0, 3);
        buffer.backspace();
        assert_eq!(buffer.text(), "  \n");
        buffer.tab();
        assert_eq!(buffer.text(), "    \n");
    }
}
