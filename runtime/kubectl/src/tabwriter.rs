//! Columns as Go's `text/tabwriter` aligns them: a cell ends at a tab, and a column lives as long as consecutive lines have a cell there.
//!
//! Only what kubectl uses: spaces for padding, left-aligned cells, nothing discarded.

/// How wide columns are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns {
    /// The least width of a column, its padding included.
    pub minimum: usize,
    /// Spaces after the widest cell.
    pub padding: usize,
}

/// What `describe` uses.
pub const DESCRIPTION: Columns = Columns { minimum: 0, padding: 2 };
/// What tables use (`get`, `api-resources`, `events`).
pub const TABLE: Columns = Columns { minimum: 6, padding: 3 };

/// Align `text`, whose cells end with tabs. Text after the last tab of a line belongs to no column.
pub fn align(columns: Columns, text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut aligned = Aligned { columns, lines: &lines, widths: Vec::new(), out: String::with_capacity(text.len() * 2) };
    aligned.block(0, lines.len());
    aligned.out.pop();
    aligned.out
}

struct Aligned<'a> {
    columns: Columns,
    lines: &'a [Vec<&'a str>],
    /// The widths of the columns to the left of the block being written.
    widths: Vec<usize>,
    out: String,
}

impl Aligned<'_> {
    /// Write the lines `start..end`, whose columns left of `widths.len()` are known.
    fn block(&mut self, start: usize, end: usize) {
        let column = self.widths.len();
        let mut written = start;
        let mut at = start;
        while at < end {
            if !self.has_cell(at, column) {
                at += 1;
                continue;
            }
            self.write(written, at);
            let mut after = at;
            let mut width = self.columns.minimum;
            while after < end && self.has_cell(after, column) {
                width = width.max(length(self.lines[after][column]) + self.columns.padding);
                after += 1;
            }
            self.widths.push(width);
            self.block(at, after);
            self.widths.pop();
            written = after;
            at = after;
        }
        self.write(written, end);
    }

    fn has_cell(&self, line: usize, column: usize) -> bool {
        column + 1 < self.lines[line].len()
    }

    fn write(&mut self, start: usize, end: usize) {
        for cells in &self.lines[start..end] {
            for (column, cell) in cells.iter().enumerate() {
                self.out.push_str(cell);
                if column + 1 < cells.len()
                    && let Some(width) = self.widths.get(column)
                {
                    self.out.extend(std::iter::repeat_n(' ', width.saturating_sub(length(cell))));
                }
            }
            self.out.push('\n');
        }
    }
}

fn length(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_end_where_a_line_has_no_cell() {
        let cases = [
            ("", ""),
            ("no tabs\nat all\n", "no tabs\nat all\n"),
            ("Name:\tweb\nNamespace:\tdefault\n", "Name:       web\nNamespace:  default\n"),
            ("a:\tb\nheading\nlonger:\tc\n", "a:  b\nheading\nlonger:  c\n"),
            ("Labels:\ta=b\n\tc=d\n", "Labels:  a=b\n         c=d\n"),
            ("  A\tB\n  x\ty\n", "  A  B\n  x  y\n"),
            ("a\t\tb\n", "a    b\n"),
            ("Port:\thttp\t80/TCP\nTargetPort:\t80/TCP\n", "Port:        http  80/TCP\nTargetPort:  80/TCP\n"),
            ("\u{fc}ber\tx\nab\ty\n", "\u{fc}ber  x\nab    y\n"),
        ];
        for (text, wanted) in cases {
            assert_eq!(align(DESCRIPTION, text), wanted, "{text:?}");
        }
        assert_eq!(align(TABLE, "NAME\tAGE\nx\t5s\n"), "NAME   AGE\nx      5s\n");
    }
}
