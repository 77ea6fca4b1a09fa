//! Two editors over one text: `nano`, which says what its keys do, and `vi`, for fingers that know it.

mod buffer;
mod nano;
mod screen;
mod vi;
mod vi_motion;

use crate::{
    complain,
    shell::{RawTerminal, raw_terminal},
    sys,
};
use buffer::Buffer;

/// A text to edit, and the terminal to do it on.
struct Session {
    buffer: Buffer,
    new: bool,
    _screen: Screen,
}

/// The alternate screen in raw mode; left when dropped.
struct Screen {
    _raw: RawTerminal,
}

impl Screen {
    fn enter() -> Option<Self> {
        let raw = raw_terminal()?;
        sys::best_effort(sys::write_all(1, b"\x1b[?1049h\x1b[?2004h\x1b[H\x1b[2J"));
        Some(Self { _raw: raw })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        sys::best_effort(sys::write_all(1, b"\x1b[?2004l\x1b[?1049l"));
    }
}

/// Opens what the command line names: `[+LINE] [FILE]`.
fn open(words: &[String]) -> Result<Session, i32> {
    let (mut path, mut line) = (None, None);
    for word in &words[1..] {
        if let Some(number) = word.strip_prefix('+') {
            line = Some(number.parse::<usize>().unwrap_or(usize::MAX));
        } else if !word.starts_with('-') || word.len() == 1 {
            path = path.or(Some(word.as_str()));
        }
    }
    if path.is_some_and(|path| std::path::Path::new(path).is_dir()) {
        complain(&words[0], format!("{}: is a directory", path.unwrap_or("")));
        return Err(1);
    }
    let (mut buffer, new) = Buffer::open(path).map_err(|error| {
        complain(&words[0], format!("{}: {}", path.unwrap_or(""), sys::reason(&error)));
        1
    })?;
    if let Some(line) = line {
        buffer.go(line.saturating_sub(1), 0);
    }
    if !sys::is_terminal(0) || !sys::is_terminal(1) {
        complain(&words[0], "needs a terminal; with kubectl exec, use -it");
        return Err(1);
    }
    let Some(screen) = Screen::enter() else {
        complain(&words[0], "this terminal cannot be edited on");
        return Err(1);
    };
    Ok(Session { buffer, new, _screen: screen })
}

/// `nano [+LINE] [FILE]`
pub(crate) fn nano(words: &[String]) -> i32 {
    match open(words) {
        Ok(session) => nano::Nano::new(session).run(),
        Err(status) => status,
    }
}

/// `vi [+LINE] [FILE]`
pub(crate) fn vi(words: &[String]) -> i32 {
    match open(words) {
        Ok(session) => vi::Vi::new(session).run(),
        Err(status) => status,
    }
}
