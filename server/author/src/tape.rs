//! What a terminal printed, and where its shell's marks (OSC 133) stand in it.

/// A mark of the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// The shell waits.
    Prompt,
    /// A command begins.
    Start,
    /// It ended, with this code where the shell told.
    End(Option<i32>),
}

/// Bytes without the marks, and the marks with their places.
#[derive(Debug, Default)]
pub struct Tape {
    bytes: Vec<u8>,
    marks: Vec<(usize, Mark)>,
    /// The beginning of a sequence whose end has not come yet.
    pending: Vec<u8>,
}

const INTRODUCER: &[u8] = b"\x1b]133;";

impl Tape {
    /// Take in what was printed.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut input = std::mem::take(&mut self.pending);
        input.extend_from_slice(bytes);
        let mut rest = input.as_slice();
        while let Some(at) = rest.iter().position(|b| *b == 0x1b) {
            self.bytes.extend_from_slice(&rest[..at]);
            rest = &rest[at..];
            let same = rest.iter().zip(INTRODUCER).take_while(|(a, b)| a == b).count();
            if same == INTRODUCER.len() {
                let Some((end, after)) = sequence_end(rest) else {
                    self.pending = rest.to_vec();
                    return;
                };
                self.mark(&rest[INTRODUCER.len()..end]);
                rest = &rest[after..];
            } else if same == rest.len() {
                self.pending = rest.to_vec();
                return;
            } else {
                self.bytes.push(rest[0]);
                rest = &rest[1..];
            }
        }
        self.bytes.extend_from_slice(rest);
    }

    fn mark(&mut self, body: &[u8]) {
        let body = String::from_utf8_lossy(body);
        let mut parts = body.split(';');
        let mark = match parts.next() {
            Some("B") => Mark::Prompt,
            Some("C") => Mark::Start,
            Some("D") => Mark::End(parts.next().and_then(|code| code.parse().ok())),
            _ => return,
        };
        self.marks.push((self.bytes.len(), mark));
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was printed.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many marks there are.
    pub fn marks(&self) -> usize {
        self.marks.len()
    }

    /// The place of what comes next, among bytes and among marks.
    pub fn here(&self) -> (usize, usize) {
        (self.bytes.len(), self.marks.len())
    }

    /// Commands that began at or after a mark: what each printed so far, and how it ended if it did.
    pub fn commands_since(&self, mark: usize) -> Vec<(String, Option<Option<i32>>)> {
        let mut commands = Vec::new();
        let mut open = None;
        for (at, mark) in self.marks.iter().skip(mark) {
            match mark {
                Mark::Start => open = Some(*at),
                Mark::End(code) => {
                    if let Some(from) = open.take() {
                        commands.push((plain(&self.bytes[from..*at]), Some(*code)));
                    }
                }
                Mark::Prompt => {}
            }
        }
        if let Some(from) = open {
            commands.push((plain(&self.bytes[from..]), None));
        }
        commands
    }

    /// Whether a command ended at or after a mark.
    pub fn ended_since(&self, mark: usize) -> bool {
        self.marks.iter().skip(mark).any(|(_, mark)| matches!(mark, Mark::End(_)))
    }

    /// What was printed since a place, as a person sees it.
    pub fn since(&self, at: usize) -> String {
        plain(&self.bytes[at.min(self.bytes.len())..])
    }

    /// The line the cursor is in, as far as it was printed after the last line end.
    pub fn last_line(&self) -> String {
        let start = self.bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        plain(&self.bytes[start..])
    }
}

/// Where a sequence's text ends and where what follows it begins.
fn sequence_end(bytes: &[u8]) -> Option<(usize, usize)> {
    for (at, byte) in bytes.iter().enumerate().skip(2) {
        match byte {
            0x07 => return Some((at, at + 1)),
            0x1b if bytes.get(at + 1) == Some(&b'\\') => return Some((at, at + 2)),
            _ => {}
        }
    }
    None
}

/// Text without escape sequences; of a line that was written over, what was written last.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                Some('[') => {
                    while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
                }
                Some(']') => skip_string(&mut chars),
                Some('(' | ')') => drop(chars.next()),
                _ => {}
            },
            '\u{8}' => drop(out.pop()),
            '\n' | '\t' | '\r' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    let lines: Vec<&str> = out.split('\n').map(|line| line.trim_end_matches('\r')).map(|line| line.rsplit('\r').next().unwrap_or(line)).collect();
    lines.join("\n")
}

fn skip_string(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(c) = chars.next() {
        match c {
            '\u{7}' => return,
            '\u{1b}' => {
                chars.next_if_eq(&'\\');
                return;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &[u8] = b"\x1b]133;A\x07$ \x1b]133;B\x07ls\r\n\x1b]133;C;cmdline=ls;cwd=%2F\x07\x1b[1;34mch02\x1b[0m\r\n 10%\r 99%\r100%\r\n\x1b]133;D;2\x1b\\\x1b]133;A\x07$ \x1b]133;B\x07sleep\r\n\x1b]133;C\x07zz";

    #[test]
    fn commands_are_cut_out_however_the_bytes_arrive() {
        for size in 1..SESSION.len() {
            let mut tape = Tape::default();
            SESSION.chunks(size).for_each(|chunk| tape.feed(chunk));
            let expected = [("ch02\n100%\n".to_owned(), Some(Some(2))), ("zz".to_owned(), None)];
            assert_eq!(tape.commands_since(0), expected, "chunks of {size}");
            assert_eq!(tape.commands_since(3).len(), 1);
            assert!(tape.ended_since(2) && !tape.ended_since(3));
            assert_eq!(tape.last_line(), "zz");
        }
    }
}
