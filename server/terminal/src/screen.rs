//! What a terminal shows, kept on the server: `vt100` for the screen, marks and titles read on the way.
//!
//! 1. Output goes through [`Screen::process`], which returns what it meant besides pixels ([`Mark`]s, a title).
//! 2. [`Screen::repaint`] returns bytes that bring a reset terminal of the same size to the same state: scrollback, main
//!    screen, alternate screen if one is shown, modes, cursor.
//! 3. Output can stop in the middle of an escape sequence; the repaint ends with that beginning, so that live bytes fit.

use percent_encoding::percent_decode;

use crate::shell::Size;

/// Longest unfinished sequence that is kept for the next viewer.
const MAX_UNFINISHED: usize = 8 * 1024;

/// A shell mark or another fact read from the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// The prompt begins (`133;A`), with the shell's directory where it tells.
    PromptStart {
        /// The directory, empty where the shell did not say.
        directory: String,
    },
    /// The prompt is printed, the shell reads (`133;B`).
    PromptEnd,
    /// A command starts (`133;C`), with its line where the shell tells.
    CommandStart {
        /// The command line.
        line: String,
    },
    /// The command has ended (`133;D`).
    CommandEnd {
        /// Exit code.
        exit: Option<i32>,
    },
    /// Window title.
    Title(String),
}

#[derive(Default)]
struct Marks {
    seen: Vec<Mark>,
}

impl vt100::Callbacks for Marks {
    fn set_window_title(&mut self, _: &mut vt100::Screen, title: &[u8]) {
        self.seen.push(Mark::Title(String::from_utf8_lossy(title).into_owned()));
    }

    fn unhandled_osc(&mut self, _: &mut vt100::Screen, params: &[&[u8]]) {
        let [b"133", kind, rest @ ..] = params else { return };
        let said = |key: &[u8]| {
            let value = rest.iter().find_map(|p| p.strip_prefix(key)).unwrap_or_default();
            percent_decode(value).decode_utf8_lossy().into_owned()
        };
        let mark = match *kind {
            b"A" => Mark::PromptStart { directory: said(b"cwd=") },
            b"B" => Mark::PromptEnd,
            b"C" => Mark::CommandStart { line: said(b"cmdline=") },
            b"D" => {
                let exit = rest.first().and_then(|p| std::str::from_utf8(p).ok()).and_then(|p| p.parse().ok());
                Mark::CommandEnd { exit }
            }
            _ => return,
        };
        self.seen.push(mark);
    }
}

/// The screen of one session.
pub struct Screen {
    parser: vt100::Parser<Marks>,
    scrollback: usize,
    unfinished: Unfinished,
}

impl Screen {
    /// An empty screen that remembers so many lines above it.
    #[must_use]
    pub fn new(size: Size, scrollback: usize) -> Screen {
        let parser = vt100::Parser::new_with_callbacks(size.rows, size.cols, scrollback, Marks::default());
        Screen { parser, scrollback, unfinished: Unfinished::default() }
    }

    /// Take in output; what it said besides text comes back in order.
    pub fn process(&mut self, bytes: &[u8]) -> Vec<Mark> {
        self.parser.process(bytes);
        self.unfinished.follow(bytes);
        std::mem::take(&mut self.parser.callbacks_mut().seen)
    }

    /// Change the size. What does not fit above the cursor any more goes into the scrollback, as in the viewer's terminal.
    pub fn resize(&mut self, size: Size) {
        let screen = self.parser.screen();
        let ((rows, _), (row, column)) = (screen.size(), screen.cursor_position());
        let over = (row + 1).saturating_sub(size.rows);
        if over > 0 && !screen.alternate_screen() {
            let lines = "\n".repeat(usize::from(over));
            self.parser.process(format!("\x1b[{rows};1H{lines}\x1b[{};{}H", row - over + 1, column + 1).as_bytes());
        }
        self.parser.screen_mut().set_size(size.rows, size.cols);
    }

    /// Whether a program shows a screen of its own.
    #[must_use]
    pub fn is_alternate(&self) -> bool {
        self.parser.screen().alternate_screen()
    }

    /// Whether the program asked for pasted text to be bracketed.
    #[must_use]
    pub fn bracketed_paste(&self) -> bool {
        self.parser.screen().bracketed_paste()
    }

    /// The text of the screen, without scrollback.
    #[must_use]
    pub fn text(&self) -> String {
        self.parser.screen().contents()
    }

    /// Whether something is above the screen.
    #[must_use]
    pub fn has_scrolled(&self) -> bool {
        let mut copy = self.parser.screen().clone();
        copy.set_scrollback(usize::MAX);
        copy.scrollback() > 0
    }

    /// Bytes that paint the main screen on a reset terminal of the same size; what a program asked for beside it is left out.
    #[must_use]
    pub fn main_page(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 * 1024);
        if self.parser.screen().alternate_screen() {
            self.main_screen(&mut out);
        } else {
            paint_main(self.parser.screen().clone(), &mut out);
        }
        out
    }

    /// Bytes that paint this state on a reset terminal of the same size.
    #[must_use]
    pub fn repaint(&self) -> Vec<u8> {
        let screen = self.parser.screen();
        let mut out = Vec::with_capacity(16 * 1024);
        if screen.alternate_screen() {
            self.main_screen(&mut out);
            out.extend_from_slice(b"\x1b[?1049h");
            out.extend_from_slice(&screen.contents_formatted());
        } else {
            paint_main(screen.clone(), &mut out);
        }
        out.extend_from_slice(&screen.input_mode_formatted());
        out.extend_from_slice(&self.unfinished.bytes);
        out
    }

    /// The main screen while the alternate one is shown: leave it on a copy and look.
    fn main_screen(&self, out: &mut Vec<u8>) {
        let (rows, cols) = self.parser.screen().size();
        let mut copy = vt100::Parser::new(rows, cols, self.scrollback);
        *copy.screen_mut() = self.parser.screen().clone();
        copy.process(b"\x1b[?1049l\x1b[?47l");
        paint_main(copy.screen().clone(), out);
    }
}

/// Scrollback line by line, then the screen.
fn paint_main(mut screen: vt100::Screen, out: &mut Vec<u8>) {
    let (rows, cols) = screen.size();
    screen.set_scrollback(usize::MAX);
    let mut above = screen.scrollback();
    let mut push = if above > 0 { usize::from(rows) - 1 } else { 0 };
    while above > 0 {
        screen.set_scrollback(above);
        let window = above.min(usize::from(rows));
        for (index, line) in screen.rows_formatted(0, cols).take(window).enumerate() {
            let row = u16::try_from(index).unwrap_or(u16::MAX);
            out.extend_from_slice(&line);
            out.extend_from_slice(b"\x1b[m");
            if !screen.row_wrapped(row) {
                out.extend_from_slice(b"\r\n");
            } else if above == index + 1 {
                push += 1;
            }
        }
        above -= window;
    }
    screen.set_scrollback(0);
    // Push exactly the lines above out of the window; painting the screen clears the window itself.
    out.extend_from_slice("\r\n".repeat(push).as_bytes());
    out.extend_from_slice(&screen.contents_formatted());
}

/// The beginning of a sequence whose end has not arrived.
#[derive(Default)]
struct Unfinished {
    bytes: Vec<u8>,
    state: Place,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Ground,
    Character(u8),
    Escape,
    Intermediate,
    Control,
    Text,
    TextEscape,
}

impl Unfinished {
    fn follow(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let next = step(self.state, byte);
            if next == Place::Ground {
                self.bytes.clear();
            } else {
                let restarts = self.state == Place::Ground || (next == Place::Escape && self.state != Place::Text);
                if restarts {
                    self.bytes.clear();
                }
                if self.bytes.len() < MAX_UNFINISHED {
                    self.bytes.push(byte);
                }
            }
            self.state = next;
        }
    }
}

fn step(place: Place, byte: u8) -> Place {
    match (place, byte) {
        (Place::Text, 0x07) => Place::Ground,
        (Place::Text, 0x1b) => Place::TextEscape,
        (Place::Text, 0x18 | 0x1a) => Place::Ground,
        (Place::Text, _) => Place::Text,
        (Place::TextEscape, b'\\') => Place::Ground,
        (_, 0x1b) => Place::Escape,
        (Place::TextEscape | Place::Escape, b'[') => Place::Control,
        (Place::TextEscape | Place::Escape, b']' | b'P' | b'X' | b'^' | b'_') => Place::Text,
        (Place::TextEscape | Place::Escape | Place::Intermediate, 0x20..=0x2f) => Place::Intermediate,
        (Place::Control, 0x20..=0x3f) => Place::Control,
        (Place::Character(left), 0x80..=0xbf) if left > 1 => Place::Character(left - 1),
        (Place::Ground, 0xc2..=0xdf) => Place::Character(1),
        (Place::Ground, 0xe0..=0xef) => Place::Character(2),
        (Place::Ground, 0xf0..=0xf4) => Place::Character(3),
        _ => Place::Ground,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { cols: 20, rows: 4 };

    /// Feed `bytes`, repaint into a second screen, feed `more` to both: they must agree.
    fn agrees(bytes: &[u8], more: &[u8]) {
        let mut first = Screen::new(SIZE, 100);
        first.process(bytes);
        let mut second = Screen::new(SIZE, 100);
        second.process(&first.repaint());
        for screen in [&mut first, &mut second] {
            screen.process(more);
        }
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(first.text(), second.text(), "{shown}");
        assert_eq!(history(&first), history(&second), "scrollback of {shown}");
        let (a, b) = (first.parser.screen(), second.parser.screen());
        assert_eq!(a.cursor_position(), b.cursor_position(), "cursor of {shown}");
        assert_eq!(a.alternate_screen(), b.alternate_screen());
        assert_eq!(a.bracketed_paste(), b.bracketed_paste());
        assert_eq!(a.application_cursor(), b.application_cursor());
        assert_eq!(a.contents_formatted(), b.contents_formatted(), "colors of {shown}");
    }

    fn history(screen: &Screen) -> Vec<String> {
        let mut copy = screen.parser.screen().clone();
        copy.set_scrollback(usize::MAX);
        let total = copy.scrollback();
        (1..=total)
            .rev()
            .map(|above| {
                copy.set_scrollback(above);
                copy.rows(0, SIZE.cols).next().unwrap_or_default()
            })
            .collect()
    }

    #[test]
    fn a_new_viewer_sees_what_an_old_one_sees() {
        let lines: Vec<u8> = (0..30).flat_map(|n| format!("line {n}\r\n").into_bytes()).collect();
        let cases: [(&[u8], &[u8]); 9] = [
            (b"hello", b" world"),
            (b"\x1b[31mred\x1b[m plain\r\n$ ", b"ls\r\n"),
            (&lines, b"after\r\nmore\r\n"),
            (b"0123456789012345678901234567890123456789 wrapped\r\n1\r\n2\r\n3\r\n4\r\n", b"x"),
            (b"main\r\n\x1b[?1049h\x1b[2J\x1b[Hvi here", b"\x1b[?1049lback"),
            (b"\x1b[?2004h\x1b[?1h$ ", b"x"),
            (b"half \x1b[3", b"1mred"),
            (b"half \xe2\x9c", b"\x93 done"),
            (b"title \x1b]133;C;cmd", b"line=ls\x07after"),
        ];
        for (bytes, more) in cases {
            agrees(bytes, more);
        }
    }

    #[test]
    fn a_window_that_was_small_for_a_moment_loses_nothing() {
        let mut screen = Screen::new(Size { cols: 20, rows: 8 }, 100);
        screen.process(b"1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n$ ");
        screen.resize(SIZE);
        assert_eq!((screen.text().as_str(), history(&screen).join(",").as_str()), ("4\n5\n6\n$ ", "1,2,3"));
        screen.resize(Size { cols: 20, rows: 8 });
        screen.process(b"x");
        assert_eq!(screen.text().trim_end(), "4\n5\n6\n$ x");
    }

    #[test]
    fn marks_are_read() {
        let mut screen = Screen::new(SIZE, 10);
        let marks = screen.process(b"\x1b]133;D;1\x07\x1b]133;A\x07$ \x1b]133;B\x07\x1b]133;C;cmdline=vi%20a.txt;cwd=%2Fhome\x07\x1b]2;title\x07");
        let expected = [
            Mark::CommandEnd { exit: Some(1) },
            Mark::PromptStart { directory: String::new() },
            Mark::PromptEnd,
            Mark::CommandStart { line: "vi a.txt".into() },
            Mark::Title("title".into()),
        ];
        assert_eq!(marks, expected);
    }
}
