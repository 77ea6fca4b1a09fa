//! Shell marks: finds the commands a learner ran in the bytes a terminal printed.
//!
//! Our shell writes FinalTerm marks (`ESC ] 133 ; X ...`) around prompts and commands, as iTerm2, VS Code and kitty read them:
//! `A` prompt starts, `B` prompt ends, `C;cmdline=...;cwd=...` the command starts, `D;<exit>` it ended. The bytes between `C` and `D` are
//! what the command printed; escape sequences are dropped from them. The parser keeps its place across any split of the stream.

/// The most text kept of one command's output: its tail.
pub(crate) const MAX_OUTPUT: usize = 64 * 1024;

/// Something a mark told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The shell is at its prompt.
    Prompt,
    /// A command starts.
    Started {
        /// The line as typed.
        line: String,
        /// The directory it runs in.
        cwd: String,
    },
    /// It ended.
    Ended {
        /// Its exit code.
        exit: i32,
        /// What it printed, without escape sequences, at most the last [`MAX_OUTPUT`] bytes.
        output: String,
    },
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    Escape,
    Csi,
    /// Inside an operating system command; the flag says that its last byte was ESC.
    Osc(bool),
    /// One more byte belongs to the sequence (character sets).
    Skip,
}

/// Incremental parser of one terminal's output.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    state: State,
    osc: Vec<u8>,
    output: Option<Vec<u8>>,
}

impl Marks {
    /// Feed bytes; returns the marks completed by them, in order.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Mark> {
        let mut marks = Vec::new();
        for &byte in bytes {
            self.step(byte, &mut marks);
        }
        if let Some(output) = &mut self.output
            && output.len() > 2 * MAX_OUTPUT
        {
            output.drain(..output.len() - MAX_OUTPUT);
        }
        marks
    }

    /// The output so far of the command that runs.
    pub(crate) fn running_output(&self) -> Option<String> {
        self.output.as_deref().map(tail)
    }

    fn step(&mut self, byte: u8, marks: &mut Vec<Mark>) {
        self.state = match (self.state, byte) {
            (State::Text, 0x1b) => State::Escape,
            (State::Text, byte) => {
                if let Some(output) = &mut self.output {
                    write_cell(output, byte);
                }
                State::Text
            }
            (State::Escape, b']') => {
                self.osc.clear();
                State::Osc(false)
            }
            (State::Escape, b'[') => State::Csi,
            (State::Escape, b'(' | b')' | b'#' | b'%') => State::Skip,
            (State::Escape | State::Skip, _) => State::Text,
            (State::Csi, 0x40..=0x7e) => State::Text,
            (State::Csi, _) => State::Csi,
            (State::Osc(_), 0x07) | (State::Osc(true), b'\\') => {
                let osc = std::mem::take(&mut self.osc);
                marks.extend(self.command(&String::from_utf8_lossy(&osc)));
                State::Text
            }
            (State::Osc(_), 0x1b) => State::Osc(true),
            (State::Osc(_), byte) => {
                if self.osc.len() < 4 * MAX_OUTPUT {
                    self.osc.push(byte);
                }
                State::Osc(false)
            }
        };
    }

    fn command(&mut self, osc: &str) -> Option<Mark> {
        let mut parts = osc.strip_prefix("133;")?.split(';');
        match parts.next()? {
            "A" => Some(Mark::Prompt),
            "C" => {
                self.output = Some(Vec::new());
                let mut started = (String::new(), String::new());
                for part in parts {
                    match part.split_once('=') {
                        Some(("cmdline", value)) => started.0 = decode(value),
                        Some(("cwd", value)) => started.1 = decode(value),
                        _ => {}
                    }
                }
                Some(Mark::Started { line: started.0, cwd: started.1 })
            }
            "D" => {
                let output = self.output.take()?;
                let exit = parts.next().and_then(|code| code.parse().ok()).unwrap_or(0);
                Some(Mark::Ended { exit, output: tail(&output) })
            }
            _ => None,
        }
    }
}

/// Text as a reader would see it: carriage returns before newlines go, backspace takes a character back.
fn write_cell(output: &mut Vec<u8>, byte: u8) {
    match byte {
        b'\n' => {
            while output.last() == Some(&b'\r') {
                output.pop();
            }
            output.push(b'\n');
        }
        0x08 => {
            output.pop();
        }
        0x00..=0x06 | 0x0e..=0x1a | 0x07 => {}
        byte => output.push(byte),
    }
}

fn tail(output: &[u8]) -> String {
    let from = output.len().saturating_sub(MAX_OUTPUT);
    String::from_utf8_lossy(&output[from..]).into_owned()
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Split a command line into words as a shell would, quotes removed; enough to know the tool and its arguments.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some('"') | None, '\\') => {
                if let Some(next) = chars.next() {
                    word.get_or_insert_default().push(next);
                }
            }
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &[u8] = b"\x1b]133;A\x07$ \x1b]133;B\x07ls -l\r\n\x1b]133;C;cmdline=ls%20-l;cwd=%2Fhome%2Flearner\x07\x1b[1;34mch02\x1b[0m\r\nfiles\r\n\x1b]133;D;2\x1b\\\x1b]133;A\x07$ ";

    fn expected() -> Vec<Mark> {
        vec![
            Mark::Prompt,
            Mark::Started { line: "ls -l".into(), cwd: "/home/learner".into() },
            Mark::Ended { exit: 2, output: "ch02\nfiles\n".into() },
            Mark::Prompt,
        ]
    }

    #[test]
    fn marks_are_found_however_the_stream_is_split() {
        for size in 1..SESSION.len() {
            let mut marks = Marks::default();
            let found: Vec<Mark> = SESSION.chunks(size).flat_map(|chunk| marks.feed(chunk)).collect();
            assert_eq!(found, expected(), "split every {size} bytes");
        }
    }

    #[test]
    fn only_the_tail_of_a_flood_is_kept() {
        let mut marks = Marks::default();
        marks.feed(b"\x1b]133;C;cmdline=yes\x07");
        for _ in 0..50_000 {
            marks.feed(b"yes yes\r\n");
        }
        let found = marks.feed(b"last\r\n\x1b]133;D;0\x07");
        let [Mark::Ended { output, .. }] = &found[..] else { panic!("{found:?}") };
        assert!(output.len() <= MAX_OUTPUT && output.ends_with("yes yes\nlast\n"));
    }

    #[test]
    fn words_are_split_as_a_shell_would() {
        for (line, expected) in [
            ("kubectl get pods", vec!["kubectl", "get", "pods"]),
            ("kubectl get pod -o 'jsonpath={.metadata.name}'", vec!["kubectl", "get", "pod", "-o", "jsonpath={.metadata.name}"]),
            ("echo \"a b\" c\\ d ''", vec!["echo", "a b", "c d", ""]),
            ("", vec![]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
    }
}
