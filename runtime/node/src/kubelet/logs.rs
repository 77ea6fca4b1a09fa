//! Container output: from the pipes node-init holds to the log files every tool expects, and back to readers.
//!
//! 1. [`pump`] reads a container's streams, cuts them into lines and appends them to `<n>.log` in the CRI format
//!    (`<time> stdout F text`); the same bytes go to whoever is attached.
//! 2. The file is rotated at 10 MiB, five are kept.
//! 3. [`ContainerIo`] is what others hold: standard input, the live output, and the news that the file grew.
//!
//! What is not read stays in the pipe, which node-init holds: a restarted kubelet goes on where the last one stopped.

// upstream: pkg/kubelet/logs/container_log_manager.go; CRI log format: pkg/kubelet/kuberuntime/logs/logs.go

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drydock_container::stdio::Stdio;
use jiff::Timestamp;
use tokio::sync::{Mutex, broadcast, watch};

use super::stream::Stream;

/// Longest line written in one piece; longer ones are marked as partial.
const MAX_LINE: usize = 16 * 1024;
const ROTATE_AT: u64 = 10 * 1024 * 1024;
const KEEP_FILES: usize = 5;
const MAX_UNSEEN: usize = 64 * 1024;

/// Which stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Standard output, or a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Source {
    /// As log lines spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Source::Stdout => "stdout",
            Source::Stderr => "stderr",
        }
    }
}

/// A piece of output and where it was written to.
type Chunk = (Source, Bytes);

/// A running container's streams, shared.
#[derive(Debug)]
pub(crate) struct ContainerIo {
    /// Standard input or the terminal, if there is one.
    pub(super) stdin: Mutex<Option<Arc<Stream>>>,
    /// Whether all three are one terminal.
    pub(super) tty: bool,
    /// Output as it comes.
    output: broadcast::Sender<Chunk>,
    /// The first output of a container that waits for somebody to attach; `None` once somebody did, or when there is too much of it.
    unseen: std::sync::Mutex<Option<Vec<Chunk>>>,
    /// Counts appended chunks; closed once all output is in the file.
    grown: watch::Sender<Progress>,
}

/// How far the log file is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Chunks appended.
    pub(crate) chunks: u64,
    /// No more will come.
    pub(crate) complete: bool,
}

impl ContainerIo {
    /// Attach: what was written before anybody did, and what is written from now on.
    pub(super) fn attach(&self) -> (Vec<Chunk>, broadcast::Receiver<Chunk>) {
        let mut unseen = self.unseen();
        (unseen.take().unwrap_or_default(), self.output.subscribe())
    }

    fn unseen(&self) -> std::sync::MutexGuard<'_, Option<Vec<Chunk>>> {
        self.unseen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn show(&self, source: Source, chunk: Bytes) {
        let mut unseen = self.unseen();
        if let Some(chunks) = unseen.as_mut() {
            chunks.push((source, chunk.clone()));
            if chunks.iter().map(|(_, chunk)| chunk.len()).sum::<usize>() > MAX_UNSEEN {
                *unseen = None;
            }
        }
        if self.output.send((source, chunk)).is_err() {
            tracing::trace!("nobody is attached");
        }
    }

    /// News of the log file.
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.grown.subscribe()
    }

    /// Wait until all output is in the file, but no longer than this.
    pub(crate) async fn drained(&self, limit: Duration) {
        let mut progress = self.progress();
        let complete = progress.wait_for(|progress| progress.complete);
        match tokio::time::timeout(limit, complete).await {
            Ok(_) => {}
            Err(_) => tracing::debug!("output still open after the container ended"),
        }
    }
}

/// Start reading a container's output into `path`. The task ends with the output; the streams are shared.
/// With `keep`, the first output is kept for whoever attaches first.
pub(crate) fn pump(stdio: Stdio, path: &Path, keep: bool) -> io::Result<Arc<ContainerIo>> {
    let (output, _) = broadcast::channel(256);
    let (tty, stdin, sources) = match stdio {
        Stdio::Terminal(master) => {
            let master = Arc::new(Stream::new(master)?);
            (true, Some(Arc::clone(&master)), vec![(Source::Stdout, master)])
        }
        Stdio::Pipes { stdin, stdout, stderr } => {
            let stdin = stdin.map(Stream::new).transpose()?.map(Arc::new);
            let stdout = (Source::Stdout, Arc::new(Stream::new(stdout)?));
            (false, stdin, vec![stdout, (Source::Stderr, Arc::new(Stream::new(stderr)?))])
        }
    };
    let unseen = std::sync::Mutex::new(keep.then(Vec::new));
    let io = Arc::new(ContainerIo { stdin: Mutex::new(stdin), tty, output, unseen, grown: watch::channel(Progress::default()).0 });
    let writer = Arc::new(std::sync::Mutex::new(LogFile::open(path)?));
    let shared = Arc::clone(&io);
    tokio::spawn(async move {
        let readers = sources.into_iter().map(|(source, stream)| read(source, stream, Arc::clone(&shared), Arc::clone(&writer)));
        futures::future::join_all(readers).await;
        shared.grown.send_modify(|progress| progress.complete = true);
    });
    Ok(io)
}

/// Waits for more before an unfinished line is written as it is, so that a prompt without newline is not held back for ever.
const PARTIAL_AFTER: Duration = Duration::from_millis(500);

async fn read(source: Source, stream: Arc<Stream>, io: Arc<ContainerIo>, writer: Arc<std::sync::Mutex<LogFile>>) {
    let mut buffer = vec![0; 32 * 1024];
    let mut lines = Lines::default();
    loop {
        let read = stream.read(&mut buffer);
        let count = if lines.is_empty() {
            read.await
        } else {
            match tokio::time::timeout(PARTIAL_AFTER, read).await {
                Ok(count) => count,
                Err(_) => {
                    append(&io, &writer, source, &lines.flush());
                    continue;
                }
            }
        };
        match count {
            Ok(0) => break,
            Ok(count) => {
                let chunk = Bytes::copy_from_slice(&buffer[..count]);
                append(&io, &writer, source, &lines.push(&chunk));
                io.show(source, chunk);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read a container's output");
                break;
            }
        }
    }
    append(&io, &writer, source, &lines.flush());
}

fn append(io: &ContainerIo, writer: &std::sync::Mutex<LogFile>, source: Source, lines: &[Line]) {
    if lines.is_empty() {
        return;
    }
    let mut file = writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Err(error) = file.append(source, lines, Timestamp::now()) {
        tracing::error!(path = %file.path.display(), %error, "cannot write a container's log");
    }
    drop(file);
    io.grown.send_modify(|progress| progress.chunks += 1);
}

/// A line, or a part of one.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    text: Vec<u8>,
    complete: bool,
}

/// Cuts a stream of bytes into lines.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            self.0.extend_from_slice(piece);
            while self.0.len() > MAX_LINE {
                let rest = self.0.split_off(MAX_LINE);
                lines.push(Line { text: std::mem::replace(&mut self.0, rest), complete: false });
            }
            if pieces.peek().is_some() {
                lines.push(Line { text: std::mem::take(&mut self.0), complete: true });
            }
        }
        lines
    }

    fn flush(&mut self) -> Vec<Line> {
        let text = std::mem::take(&mut self.0);
        if text.is_empty() { Vec::new() } else { vec![Line { text, complete: false }] }
    }
}

struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<LogFile> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let size = file.metadata()?.len();
        Ok(LogFile { path: path.to_owned(), file, size })
    }

    fn append(&mut self, source: Source, lines: &[Line], now: Timestamp) -> io::Result<()> {
        let mut text = Vec::new();
        let stamp = format!("{} {} ", nano(now), source.name());
        for line in lines {
            text.extend_from_slice(stamp.as_bytes());
            text.extend_from_slice(if line.complete { b"F " } else { b"P " });
            text.extend_from_slice(&line.text);
            text.push(b'\n');
        }
        self.file.write_all(&text)?;
        self.size += text.len() as u64;
        if self.size > ROTATE_AT { self.rotate(now) } else { Ok(()) }
    }

    fn rotate(&mut self, now: Timestamp) -> io::Result<()> {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{}", now.strftime("%Y%m%d-%H%M%S")));
        fs::rename(&self.path, PathBuf::from(name))?;
        let mut old = rotated(&self.path)?;
        while old.len() >= KEEP_FILES {
            fs::remove_file(old.remove(0))?;
        }
        *self = LogFile::open(&self.path)?;
        Ok(())
    }
}

/// Rotated predecessors of a log file, oldest first.
pub(crate) fn rotated(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(Vec::new()) };
    let prefix = format!("{}.", name.to_string_lossy());
    let mut files = Vec::new();
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// A time as CRI log lines carry it.
fn nano(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_lines_whatever_their_pieces() {
        let mut lines = Lines::default();
        let texts = |lines: Vec<Line>| {
            lines.into_iter().map(|line| (String::from_utf8(line.text).unwrap(), line.complete)).collect::<Vec<_>>()
        };
        assert_eq!(texts(lines.push(b"one\ntw")), [("one".to_owned(), true)]);
        assert_eq!(texts(lines.push(b"o\n\nthree")), [("two".to_owned(), true), (String::new(), true)]);
        assert_eq!(texts(lines.flush()), [("three".to_owned(), false)]);
        assert!(lines.flush().is_empty());
        let long = texts(lines.push(&[vec![b'x'; MAX_LINE + 1], vec![b'\n']].concat()));
        assert_eq!(long.iter().map(|(text, complete)| (text.len(), *complete)).collect::<Vec<_>>(), [(MAX_LINE, false), (1, true)]);
    }

    #[test]
    fn lines_are_written_in_the_format_of_cri() {
        let dir = std::env::temp_dir().join(format!("drydock-log-{}", std::process::id()));
        let path = dir.join("0.log");
        let mut file = LogFile::open(&path).unwrap();
        let now: Timestamp = "2026-01-02T03:04:05.000000006Z".parse().unwrap();
        file.append(Source::Stderr, &[Line { text: b"hello".to_vec(), complete: true }], now).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "2026-01-02T03:04:05.000000006Z stderr F hello\n");
        for second in 0..7 {
            file.rotate(now + Duration::from_secs(second)).unwrap();
        }
        assert_eq!(rotated(&path).unwrap().len(), KEEP_FILES - 1);
        fs::remove_dir_all(dir).unwrap();
    }
}
