//! Keys of a terminal in raw mode.

use nix::sys::{
    signal::Signal,
    termios::{LocalFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr},
};

use crate::sys::{self, Disposition};

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
    BackTab,
    Escape,
    /// Pasted text follows; [`pasted`] takes it.
    Paste,
    /// The window has another size.
    Resize,
    Other,
}

/// The terminal in raw mode; as it was when dropped.
pub(crate) struct Raw {
    saved: Termios,
}

impl Raw {
    /// Switches the terminal on standard input to raw mode, keeping output processing.
    pub(crate) fn enter() -> Option<Self> {
        let saved = tcgetattr(sys::borrow(0)).ok()?;
        let mut raw = saved.clone();
        let output = raw.output_flags;
        cfmakeraw(&mut raw);
        raw.output_flags = output;
        raw.local_flags.remove(LocalFlags::ISIG);
        tcsetattr(sys::borrow(0), SetArg::TCSADRAIN, &raw).ok()?;
        sys::on_signal(Signal::SIGWINCH, Disposition::Note);
        Some(Self { saved })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        sys::on_signal(Signal::SIGWINCH, Disposition::Default);
        sys::best_effort(tcsetattr(sys::borrow(0), SetArg::TCSADRAIN, &self.saved));
    }
}

/// A byte, or why there is none.
enum Input {
    Byte(u8),
    Resized,
    Gone,
}

fn input() -> Input {
    let mut one = [0];
    loop {
        if sys::take_signal(Signal::SIGWINCH) {
            return Input::Resized;
        }
        if sys::is_pending(Signal::SIGHUP) {
            return Input::Gone;
        }
        match nix::unistd::read(sys::borrow(0), &mut one) {
            Ok(1) => return Input::Byte(one[0]),
            Err(nix::errno::Errno::EINTR) => {}
            _ => return Input::Gone,
        }
    }
}

fn byte() -> Option<u8> {
    loop {
        match input() {
            Input::Byte(byte) => return Some(byte),
            // In the middle of a sequence; the next draw asks for the size anyway.
            Input::Resized => {}
            Input::Gone => return None,
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
    let first = match input() {
        Input::Byte(byte) => byte,
        Input::Resized => return Some(Key::Resize),
        Input::Gone => return None,
    };
    Some(match first {
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        127 | 8 => Key::Backspace,
        27 => escape_sequence(),
        1..=26 => Key::Control(char::from(first + b'a' - 1)),
        28..=31 => Key::Control(char::from(first + 64)),
        0 => Key::Other,
        _ if first < 128 => Key::Char(char::from(first)),
        _ => Key::Char(wide(first)?),
    })
}

/// The rest of a UTF-8 character.
fn wide(first: u8) -> Option<char> {
    let length = if first >= 0xf0 { 4 } else if first >= 0xe0 { 3 } else { 2 };
    let mut bytes = vec![first];
    while bytes.len() < length {
        bytes.push(byte()?);
    }
    String::from_utf8_lossy(&bytes).chars().next()
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
                    Some(next @ 0x20..=0x3f) => number.push(char::from(next)),
                    Some(last) => return named_key(&number, last),
                    None => return Key::Other,
                }
            }
        }
        Some(b'\r') => Key::Other,
        // Alt before a key that is a sequence itself.
        Some(27) => match escape_sequence() {
            Key::Left => Key::WordLeft,
            Key::Right => Key::WordRight,
            other => other,
        },
        Some(first @ 128..) => wide(first).map_or(Key::Other, Key::Alt),
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
        (b'Z', _) => Key::BackTab,
        (b'H', _) | (b'~', "1" | "7") => Key::Home,
        (b'F', _) | (b'~', "4" | "8") => Key::End,
        (b'~', "3") => Key::Delete,
        // With Ctrl or Alt: a word.
        (b'~', "3;5" | "3;3") => Key::Alt('d'),
        (b'~', "5") => Key::PageUp,
        (b'~', "6") => Key::PageDown,
        (b'~', "200") => Key::Paste,
        _ => Key::Other,
    }
}

/// The text of a bracketed paste, up to its end mark, with plain newlines and without control characters.
pub(crate) fn pasted() -> String {
    const END: &[u8] = b"\x1b[201~";
    let mut bytes = Vec::new();
    while !bytes.ends_with(END) {
        match byte() {
            Some(next) => bytes.push(next),
            None => return String::new(),
        }
    }
    bytes.truncate(bytes.len() - END.len());
    let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n").replace('\r', "\n");
    text.chars().filter(|next| !next.is_control() || matches!(next, '\n' | '\t')).collect()
}

/// Columns that a character takes.
pub(crate) fn char_width(next: char) -> usize {
    match next {
        '\u{0}'..='\u{1f}' | '\u{7f}' | '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// Columns that a text takes, leaving out escape sequences.
pub(crate) fn columns(text: &str) -> usize {
    pieces(text).map(|(_, width)| width).sum()
}

/// The characters and escape sequences of a text, each with the columns it takes.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let length = if first == '\u{1b}' { escape_length(rest) } else { first.len_utf8() };
        let (piece, after) = rest.split_at(length);
        rest = after;
        Some((piece, if first == '\u{1b}' { 0 } else { char_width(first) }))
    })
}

/// How long the escape sequence is that a text begins with.
fn escape_length(text: &str) -> usize {
    let ended = |from: usize, ends: &dyn Fn(char) -> bool| text[from..].find(ends).map_or(text.len(), |at| from + at + 1);
    match text.as_bytes().get(1) {
        // A title, or a mark: up to BEL or ESC \.
        Some(b']') => text.find("\x1b\\").map_or(text.len(), |at| at + 2).min(ended(2, &|next| next == '\u{7}')),
        Some(b'[') => ended(2, &|next| next.is_ascii_alphabetic()),
        _ => ended(1, &|next| next.is_ascii_alphabetic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_leave_out_escape_sequences() {
        let cases = [("abc", 3), ("\x1b[32mab\x1b[0m", 2), ("\x1b]133;A\x07x", 1), ("\x1b]0;t\x1b\\\x1b[1mx", 1), ("x\x1b[1", 1), ("日本", 4), ("e\u{301}", 1), ("😀", 2)];
        for (text, wanted) in cases {
            assert_eq!(columns(text), wanted, "{text:?}");
        }
    }
}
