//! Text for a terminal: lines of a certain width, colors where they can be seen, and a lesson's HTML as text.
//!
//! The HTML is what our own Markdown renderer makes, so the reader here knows its tags and takes all others for their text.

/// Colors and weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// A heading.
    Bold,
    /// Beside the point.
    Dim,
    /// Something to type or a name.
    Code,
    /// Passed.
    Green,
    /// Not true.
    Red,
    /// Waits.
    Yellow,
}

/// A sheet that is written from top to bottom.
#[derive(Debug, Clone)]
pub(crate) struct Paper {
    columns: usize,
    color: bool,
    out: String,
}

impl Paper {
    /// An empty sheet.
    pub(crate) fn new(columns: usize, color: bool) -> Paper {
        Paper { columns: columns.clamp(20, 200), color, out: String::new() }
    }

    /// A sheet on which every paragraph is one line, without colors.
    pub(crate) fn endless() -> Paper {
        Paper { columns: usize::MAX, color: false, out: String::new() }
    }

    /// What was written.
    pub(crate) fn finish(self) -> String {
        self.out
    }

    /// Text in a color.
    pub(crate) fn ink(&self, ink: Ink, text: &str) -> String {
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Bold => "1",
            // Gray: what is faint loses its neighbors when a screen is drawn again.
            Ink::Dim => "90",
            Ink::Code => "36",
            Ink::Green => "32",
            Ink::Red => "31",
            Ink::Yellow => "33",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// A name or something to type: in color, else in backticks.
    fn code(&self, text: &str) -> String {
        if self.color { text.split(' ').map(|word| self.ink(Ink::Code, word)).collect::<Vec<_>>().join(" ") } else { format!("`{text}`") }
    }

    /// A sentence with `code` in backticks.
    pub(crate) fn inline(&self, text: &str) -> String {
        let parts = text.split('`').enumerate();
        parts.map(|(index, part)| if index % 2 == 1 { self.code(part) } else { part.to_owned() }).collect()
    }

    /// A line as it is.
    pub(crate) fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// One empty line, never two.
    pub(crate) fn gap(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    /// A paragraph: `first` stands before its first line, `rest` before the others.
    pub(crate) fn paragraph(&mut self, first: &str, rest: &str, text: &str) {
        let mut line = first.to_owned();
        let mut length = width(first);
        let mut empty = true;
        for word in text.split([' ', '\t', '\r']).filter(|word| !word.is_empty()) {
            for (index, word) in word.split('\n').enumerate() {
                let long = width(word);
                if index > 0 || (!empty && length + 1 + long > self.columns) {
                    self.line(line.trim_end());
                    line = rest.to_owned();
                    length = width(rest);
                    empty = true;
                }
                if !empty {
                    line.push(' ');
                    length += 1;
                }
                line.push_str(word);
                length += long;
                empty = empty && word.is_empty();
            }
        }
        self.line(line.trim_end());
    }

    /// Lines as they are, with something before each.
    pub(crate) fn verbatim(&mut self, before: &str, text: &str, ink: Option<Ink>) {
        for line in text.trim_end().lines() {
            let line = ink.map_or_else(|| line.to_owned(), |ink| self.ink(ink, line));
            self.line(format!("{before}{line}").trim_end());
        }
    }

    /// A lesson's HTML.
    pub(crate) fn html(&mut self, html: &str) {
        let mut reader = Reader { paper: self, text: String::new(), frames: Vec::new(), before: None, quoted: None, pre: false, cells: Vec::new(), rows: Vec::new(), open: Vec::new() };
        reader.read(html);
        reader.flush();
    }
}

/// Characters that are seen.
pub(crate) fn width(text: &str) -> usize {
    let mut hidden = false;
    let seen = text.chars().filter(|&c| {
        match (hidden, c) {
            (false, '\x1b') => hidden = true,
            (true, 'm') => {
                hidden = false;
                return false;
            }
            _ => {}
        }
        !hidden
    });
    seen.count()
}

/// What a line of the HTML stands in.
enum Frame {
    /// Something before every line.
    Quote,
    /// A list: the number of its next item, or points.
    List(Option<u32>),
    /// An item: how far its lines are moved in.
    Item(usize),
}

struct Reader<'a> {
    paper: &'a mut Paper,
    /// The paragraph that is being read.
    text: String,
    frames: Vec<Frame>,
    /// What stands before the first line of an item.
    before: Option<String>,
    /// In a quotation: whether it has begun.
    quoted: Option<bool>,
    pre: bool,
    cells: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Inline tags and where their text begins.
    open: Vec<(String, usize)>,
}

impl Reader<'_> {
    fn read(&mut self, html: &str) {
        let mut rest = html;
        while let Some(start) = rest.find('<') {
            self.words(&rest[..start]);
            let tail = &rest[start + 1..];
            if tail.starts_with("svg") {
                rest = tail.split_once("</svg>").map_or("", |(_, after)| after);
                continue;
            }
            let Some((tag, after)) = tail.split_once('>') else { break };
            let (closing, tag) = tag.strip_prefix('/').map_or((false, tag), |tag| (true, tag));
            let name = tag.split([' ', '/', '\n']).next().unwrap_or_default();
            if closing { self.close(name) } else { self.open(name, tag) }
            rest = after;
        }
        self.words(rest);
    }

    fn words(&mut self, text: &str) {
        let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'").replace("&nbsp;", "\u{a0}").replace("&amp;", "&");
        if self.pre {
            self.text.push_str(&text);
            return;
        }
        for part in text.split_inclusive(char::is_whitespace) {
            let word = part.trim_end();
            self.text.push_str(word);
            if word.len() < part.len() && !self.text.ends_with([' ', '\n']) {
                self.text.push(' ');
            }
        }
    }

    fn open(&mut self, name: &str, tag: &str) {
        match name {
            "p" | "h3" | "h4" | "h5" | "summary" | "figcaption" => {
                self.flush();
                match self.quoted {
                    Some(true) => self.paper.line("|"),
                    Some(false) => self.quoted = Some(true),
                    None if self.before.is_some() || name == "figcaption" => {}
                    None => self.paper.gap(),
                }
                self.open.push((name.to_owned(), 0));
            }
            "ul" | "ol" => {
                self.flush();
                if !self.frames.iter().any(|frame| matches!(frame, Frame::List(_))) {
                    self.paper.gap();
                }
                let start = tag.split("start=\"").nth(1).and_then(|rest| rest.split('"').next()).and_then(|number| number.parse().ok());
                self.frames.push(Frame::List((name == "ol").then(|| start.unwrap_or(1))));
            }
            "li" => {
                self.flush();
                let mark = match self.frames.last_mut() {
                    Some(Frame::List(Some(number))) => {
                        *number += 1;
                        format!("{}. ", *number - 1)
                    }
                    _ => "- ".to_owned(),
                };
                self.frames.push(Frame::Item(mark.len()));
                self.before = Some(mark);
            }
            "blockquote" => {
                self.flush();
                self.paper.gap();
                self.frames.push(Frame::Quote);
                self.quoted = Some(false);
            }
            "pre" => {
                self.flush();
                self.paper.gap();
                self.pre = true;
            }
            "br" => self.text.push('\n'),
            "tr" => self.cells.clear(),
            "th" | "td" | "code" | "em" | "strong" => self.open.push((name.to_owned(), self.text.len())),
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "p" | "summary" => self.flush(),
            "h3" | "h4" | "h5" => {
                self.text = self.paper.ink(Ink::Bold, self.text.trim());
                self.flush();
            }
            "figcaption" => {
                let text = format!("[Picture: {}]", self.text.trim());
                self.text.clear();
                let (first, rest) = self.margins();
                let text = text.split(' ').map(|word| self.paper.ink(Ink::Dim, word)).collect::<Vec<_>>().join(" ");
                self.paper.paragraph(&first, &rest, &text);
            }
            "ul" | "ol" => {
                self.flush();
                self.frames.pop();
            }
            "li" => {
                self.flush();
                self.before = None;
                self.frames.pop();
            }
            "blockquote" => {
                self.flush();
                self.frames.pop();
                self.quoted = None;
            }
            "pre" => {
                self.pre = false;
                let text = std::mem::take(&mut self.text);
                let (_, rest) = self.margins();
                self.paper.verbatim(&format!("{rest}    "), &text, None);
            }
            "code" | "em" | "strong" if !self.pre => {
                if let Some((_, from)) = self.open.pop().filter(|(open, from)| open == name && *from <= self.text.len()) {
                    let text = self.text.split_off(from);
                    let text = match name {
                        "code" => self.paper.code(&text),
                        "strong" => text.split(' ').map(|word| self.paper.ink(Ink::Bold, word)).collect::<Vec<_>>().join(" "),
                        _ => text,
                    };
                    self.text.push_str(&text);
                }
            }
            "code" | "em" | "strong" => drop(self.open.pop()),
            "th" | "td" => {
                let text = self.open.pop().map(|(_, from)| self.text.split_off(from.min(self.text.len()))).unwrap_or_default();
                self.cells.push(text.trim().to_owned());
            }
            "tr" => {
                self.text.clear();
                self.rows.push(std::mem::take(&mut self.cells));
            }
            "table" => self.table(),
            _ => {}
        }
    }

    /// What stands before the first line of a paragraph, and before its others.
    fn margins(&mut self) -> (String, String) {
        let mut rest = String::new();
        let items = self.frames.len();
        let mut first = String::new();
        for (index, frame) in self.frames.iter().enumerate() {
            let last = index + 1 == items;
            match frame {
                Frame::Quote => {
                    rest.push_str("| ");
                    first.push_str("| ");
                }
                Frame::List(_) => {}
                Frame::Item(wide) => {
                    rest.push_str(&" ".repeat(*wide));
                    match self.before.take().filter(|_| last) {
                        Some(mark) => first.push_str(&mark),
                        None => first.push_str(&" ".repeat(*wide)),
                    }
                }
            }
        }
        (first, rest)
    }

    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text);
        self.open.clear();
        if text.trim().is_empty() {
            return;
        }
        let (first, rest) = self.margins();
        self.paper.paragraph(&first, &rest, text.trim());
    }

    /// Columns side by side where they fit, else one after the other.
    fn table(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        let Some(head) = rows.first().cloned() else { return };
        let widths: Vec<usize> = (0..head.len()).map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0)).collect();
        self.paper.gap();
        if widths.iter().sum::<usize>() + 2 * widths.len() <= self.paper.columns {
            for (index, row) in rows.iter().enumerate() {
                let cells = row.iter().zip(&widths).map(|(cell, wide)| format!("{cell}{}", " ".repeat(wide.saturating_sub(width(cell)))));
                let line = cells.collect::<Vec<_>>().join("  ");
                let line = if index == 0 { self.paper.ink(Ink::Bold, line.trim_end()) } else { line.trim_end().to_owned() };
                self.paper.line(&line);
            }
            return;
        }
        for row in &rows[1..] {
            for (index, (name, cell)) in head.iter().zip(row).enumerate() {
                let first = if index == 0 { "- " } else { "  " };
                let text = if name.is_empty() { cell.clone() } else { format!("{name}: {cell}") };
                self.paper.paragraph(first, "    ", &text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(html: &str, columns: usize) -> String {
        let mut paper = Paper::new(columns, false);
        paper.html(html);
        paper.finish()
    }

    #[test]
    fn a_lesson_is_text() {
        let cases = [
            ("<p>Run <code>kubectl get pods</code> and\n<em>look</em> at it.</p>\n<p>Then &lt;this&gt;.</p>\n", "Run `kubectl get pods` and look at it.\n\nThen <this>.\n"),
            ("<p>one two three four five six seven</p>", "one two three four\nfive six seven\n"),
            ("<ul>\n<li>first of these</li>\n<li>second</li>\n</ul>\n", "- first of these\n- second\n"),
            ("<ol>\n<li><p>a b c d e f g h i j k l</p>\n</li>\n<li>b</li>\n</ol>", "1. a b c d e f g h i\n   j k l\n2. b\n"),
            ("<blockquote class=\"markdown-alert\">\n<p class=\"markdown-alert-title\">Note</p>\n<p>Mind this.</p>\n</blockquote>", "| Note\n|\n| Mind this.\n"),
            ("<pre><code class=\"language-text\">a\n  b &amp; c\n</code></pre>\n", "    a\n      b & c\n"),
            ("<table><thead><tr><th>A</th><th>Long</th></tr></thead><tbody>\n<tr><td><code>x</code></td><td>y</td></tr>\n</tbody></table>", "A    Long\n`x`  y\n"),
            ("<figure><svg><title>no</title><p>no</p></svg><figcaption>A Pod on a node</figcaption></figure>", "[Picture: A Pod on a\nnode]\n"),
        ];
        for (html, wanted) in cases {
            assert_eq!(set(html, 20.max(if html.contains("Run") { 60 } else { 20 })), wanted, "{html}");
        }
    }

    #[test]
    fn colors_take_no_room() {
        let mut paper = Paper::new(20, true);
        paper.html("<p><strong>aaaa</strong> <code>bbbb</code> cccc dddd eeee</p>");
        assert_eq!(paper.finish(), "\u{1b}[1maaaa\u{1b}[0m \u{1b}[36mbbbb\u{1b}[0m cccc dddd\neeee\n");
    }

    #[test]
    fn a_table_that_is_too_wide_goes_down_the_page() {
        let html = "<table><thead><tr><th>Name</th><th>What</th></tr></thead><tbody><tr><td>Service</td><td>an address that stays</td></tr></tbody></table>";
        assert_eq!(set(html, 24), "- Name: Service\n  What: an address that\n    stays\n");
    }
}
