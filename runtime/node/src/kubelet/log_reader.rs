//! Reading a container's log file: from where it is wanted to its end, and on as it grows, through rotations.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use tokio::sync::{mpsc, watch};

use super::logs::Progress;

/// News of a log that grows; `None` for one that does not any more.
pub(super) type Growth = Option<watch::Receiver<Progress>>;

/// An open log file.
pub(super) struct LogReader {
    path: PathBuf,
    file: File,
    rest: Vec<u8>,
}

impl LogReader {
    /// Open the file.
    pub(super) fn open(path: PathBuf) -> io::Result<LogReader> {
        let file = File::open(&path)?;
        Ok(LogReader { path, file, rest: Vec::new() })
    }

    /// Hand on whole lines, many at a time, in a task of its own. It ends with the log, or when the receiver is gone.
    pub(super) fn spawn(self, tail: Option<usize>, follow: bool, growth: Growth) -> mpsc::Receiver<io::Result<Vec<u8>>> {
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(self.run(sender, tail, follow, growth));
        receiver
    }

    async fn run(mut self, sender: mpsc::Sender<io::Result<Vec<u8>>>, tail: Option<usize>, follow: bool, mut growth: Growth) {
        let mut first = true;
        loop {
            // What is complete now has been read after the next read.
            let complete = growth.as_mut().is_none_or(|growth| growth.borrow_and_update().complete);
            let lines = match self.read(first, tail) {
                Ok(lines) => lines,
                Err(error) => {
                    drop(sender.send(Err(error)).await);
                    return;
                }
            };
            first = false;
            if !lines.is_empty() && sender.send(Ok(lines)).await.is_err() {
                return;
            }
            let Some(growth) = growth.as_mut().filter(|_| follow && !complete) else { return };
            tokio::select! {
                changed = growth.changed() => if changed.is_err() {
                    return;
                },
                () = sender.closed() => return,
            }
        }
    }

    /// Everything new that is a whole line.
    fn read(&mut self, first: bool, tail: Option<usize>) -> io::Result<Vec<u8>> {
        let mut bytes = std::mem::take(&mut self.rest);
        self.file.read_to_end(&mut bytes)?;
        if !first && self.rotated() {
            self.file = File::open(&self.path)?;
            self.file.read_to_end(&mut bytes)?;
        }
        if first && let Some(lines) = tail {
            bytes.drain(..tail_start(&bytes, lines));
        }
        let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.rest = bytes.split_off(complete);
        Ok(bytes)
    }

    fn rotated(&self) -> bool {
        let inode = |metadata: io::Result<std::fs::Metadata>| metadata.map(|metadata| metadata.ino()).ok();
        let now = inode(std::fs::metadata(&self.path));
        now.is_some() && now != inode(self.file.metadata())
    }
}

/// Where the last `lines` lines of a text begin.
fn tail_start(text: &[u8], lines: usize) -> usize {
    if lines == 0 {
        return text.len();
    }
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    ends.map(|(index, _)| index + 1).nth(lines - 1).unwrap_or(0)
}

/// One line of a log file, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LogLine<'a> {
    /// As written.
    pub(super) time: &'a str,
    /// `stdout` or `stderr`.
    pub(super) stream: &'a str,
    /// Whether its end was written too.
    pub(super) complete: bool,
    /// Without its end.
    pub(super) text: &'a [u8],
}

/// Take a line (without its end) apart; `None` if it is none of ours.
pub(super) fn parse_line(line: &[u8]) -> Option<LogLine<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let (time, stream, tag) = (parts.next()?, parts.next()?, parts.next()?);
    let text = parts.next().unwrap_or_default();
    Some(LogLine { time: std::str::from_utf8(time).ok()?, stream: std::str::from_utf8(stream).ok()?, complete: tag == b"F", text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_begins_where_its_first_line_does() {
        for (text, lines, expected) in
            [("a\nb\nc\n", 1, "c\n"), ("a\nb\nc\n", 2, "b\nc\n"), ("a\nb\nc\n", 9, "a\nb\nc\n"), ("a\nb", 1, "b"), ("", 3, ""), ("a\n", 0, "")]
        {
            assert_eq!(&text[tail_start(text.as_bytes(), lines)..], expected, "{text:?} {lines}");
        }
    }

    #[test]
    fn lines_are_taken_apart() {
        let line = parse_line(b"2026-01-01T00:00:00Z stdout P a b  c").unwrap();
        assert_eq!(line, LogLine { time: "2026-01-01T00:00:00Z", stream: "stdout", complete: false, text: b"a b  c" });
        assert_eq!(parse_line(b"2026-01-01T00:00:00Z stderr F").unwrap().text, b"");
        assert_eq!(parse_line(b"nonsense"), None);
    }

    #[tokio::test]
    async fn a_followed_log_ends_with_its_container() {
        let directory = std::env::temp_dir().join(format!("drydock-follow-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("0.log");
        std::fs::write(&path, "one\n").unwrap();
        let (grown, growth) = watch::channel(Progress::default());
        let mut lines = LogReader::open(path.clone()).unwrap().spawn(None, true, Some(growth));
        assert_eq!(lines.recv().await.unwrap().unwrap(), b"one\n");
        std::fs::rename(&path, directory.join("0.log.old")).unwrap();
        std::fs::write(&path, "two\n").unwrap();
        grown.send_replace(Progress { chunks: 1, complete: true });
        assert_eq!(lines.recv().await.unwrap().unwrap(), b"two\n");
        assert!(lines.recv().await.is_none());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
