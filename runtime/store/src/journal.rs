//! The journal on disk: numbered segment files of records.
//!
//! 1. A segment starts with a header: magic, format version, its number.
//! 2. Transactions and pins are appended. A write that fails is cut off again, so that a full disk leaves whole records only.
//! 3. When a segment is large, an empty one follows it, and all before are replaced by one *base* (`checkpoint`): the pins, the state at
//!    the horizon, the history since. It is written aside, synced and renamed onto the last of those it replaces; then the others go.
//!    At every instant the files that are there, read in order, give the same store.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use thiserror::Error;

use crate::record::Record;

const MAGIC: &[u8; 8] = b"DRYDOCKJ";
/// The format this program writes.
pub(crate) const VERSION: u32 = 2;
const HEADER: usize = 20;

/// Why a journal cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file system refused.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("the journal in {0} is in use by another process")]
    InUse(PathBuf),
    /// It was written by a newer program.
    #[error("the journal segment {path} has format {found}; this program reads up to {VERSION}: start a newer drydock, or move the directory away")]
    Newer {
        /// The segment.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It is damaged elsewhere than at its end.
    #[error("the journal segment {path} is damaged at byte {offset}: move the directory away to start afresh")]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
}

/// What the journal needs of a file; tests put a small disk behind it.
pub(crate) trait Medium: Send {
    /// Writes all of `bytes` at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the file to `length`.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Medium for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.seek(SeekFrom::Start(length)).map(drop)
    }
}

/// The open journal: the segment that is being written.
pub(crate) struct Journal {
    directory: PathBuf,
    medium: Box<dyn Medium>,
    number: u64,
    length: u64,
    /// A failed write could not be cut off: what follows it would be lost, so nothing may follow.
    broken: bool,
    /// Held for its lock.
    _lock: File,
}

impl Journal {
    /// Opens the journal in `directory`, giving every record to `replay` in order.
    pub(crate) fn open(directory: &Path, mut replay: impl FnMut(Record) -> Option<()>) -> Result<Opened, OpenError> {
        fs::create_dir_all(directory).map_err(failed("create", directory))?;
        let lock = lock(directory)?;
        remove_leftovers(directory)?;
        let numbers = segment_numbers(directory)?;
        let mut open = None;
        let mut oldest = VERSION;
        for (index, number) in numbers.iter().enumerate() {
            let path = segment_path(directory, *number);
            let last = index + 1 == numbers.len();
            let bytes = Bytes::from(fs::read(&path).map_err(failed("read", &path))?);
            oldest = oldest.min(version(&path, &bytes)?);
            let whole = match read_segment(&path, &bytes, &mut replay)? {
                Read::Whole => bytes.len(),
                Read::Until(offset) if last => {
                    tracing::warn!(segment = %path.display(), offset, dropped = bytes.len() - offset, "the journal ended in the middle of a record; the torn record was dropped");
                    offset
                }
                Read::Until(offset) => return Err(OpenError::Corrupt { path, offset: offset as u64 }),
            };
            if last {
                open = Some((path, *number, whole as u64));
            }
        }
        let (path, number, length) = match open {
            // A header that never was complete: nothing was committed to this segment.
            Some((path, number, length)) if length < HEADER as u64 => {
                let header = header(number);
                fs::write(&path, header).map_err(failed("write", &path))?;
                (path, number, HEADER as u64)
            }
            Some(found) => found,
            None => (create_segment(directory, 1, &[])?, 1, HEADER as u64),
        };
        let mut file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed("open", &path))?;
        file.cut(length).map_err(failed("truncate", &path))?;
        let synced = file.try_clone().map_err(failed("open", &path))?;
        let journal = Self { directory: directory.to_owned(), medium: Box::new(file), number, length, broken: false, _lock: lock };
        Ok(Opened { journal, synced, oldest })
    }

    /// Appends encoded records; on failure nothing of them stays.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed and could not be taken back; restart to recover"));
        }
        match self.medium.append(bytes) {
            Ok(()) => {
                self.length += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                if let Err(cut) = self.medium.cut(self.length) {
                    tracing::error!(%cut, "cannot take back a failed write to the journal");
                    self.broken = true;
                }
                Err(error)
            }
        }
    }

    /// Length of the segment in bytes.
    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    /// Number of the segment that is being written.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Where it is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Starts the next segment; answers with its file, to be synced.
    pub(crate) fn rotate(&mut self) -> Result<File, OpenError> {
        let number = self.number + 1;
        let path = create_segment(&self.directory, number, &[])?;
        let mut file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed("open", &path))?;
        let length = file.seek(SeekFrom::End(0)).map_err(failed("open", &path))?;
        let synced = file.try_clone().map_err(failed("open", &path))?;
        self.medium = Box::new(file);
        self.number = number;
        self.length = length;
        self.broken = false;
        Ok(synced)
    }

    #[cfg(test)]
    pub(crate) fn replace_medium(&mut self, medium: Box<dyn Medium>) {
        self.medium = medium;
    }
}

/// A journal that was opened.
pub(crate) struct Opened {
    pub(crate) journal: Journal,
    /// The file that is being written, to be synced.
    pub(crate) synced: File,
    /// The oldest format found in it.
    pub(crate) oldest: u32,
}

/// Puts a base in the place of segment `number` and all before it.
pub(crate) fn replace_by_base(directory: &Path, number: u64, base: &[u8]) -> Result<(), OpenError> {
    create_segment(directory, number, base)?;
    for old in segment_numbers(directory)?.into_iter().filter(|old| *old < number) {
        let path = segment_path(directory, old);
        fs::remove_file(&path).map_err(failed("remove", &path))?;
    }
    Ok(())
}

/// Copies all segments to a directory beside them: what an older program wrote is kept as it was.
pub(crate) fn back_up(directory: &Path, format: u32) -> Result<(), OpenError> {
    let backup = directory.join(format!("format-{format}"));
    fs::create_dir_all(&backup).map_err(failed("create", &backup))?;
    for number in segment_numbers(directory)? {
        let copy = segment_path(&backup, number);
        fs::copy(segment_path(directory, number), &copy).map_err(failed("write", &copy))?;
    }
    Ok(())
}

enum Read {
    Whole,
    Until(usize),
}

/// The format of a segment; of one whose header is torn, ours.
fn version(path: &Path, bytes: &Bytes) -> Result<u32, OpenError> {
    if bytes.len() < HEADER {
        return Ok(VERSION);
    }
    let version = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    if &bytes[..8] != MAGIC || version == 0 {
        return Err(OpenError::Corrupt { path: path.to_owned(), offset: 0 });
    }
    if version > VERSION {
        return Err(OpenError::Newer { path: path.to_owned(), found: version });
    }
    Ok(version)
}

fn read_segment(path: &Path, bytes: &Bytes, replay: &mut impl FnMut(Record) -> Option<()>) -> Result<Read, OpenError> {
    if bytes.len() < HEADER {
        return Ok(Read::Until(0));
    }
    let mut rest = bytes.slice(HEADER..);
    while !rest.is_empty() {
        let offset = bytes.len() - rest.len();
        let Some((record, after)) = Record::decode(&rest) else {
            // A tear has nothing behind it. A whole record behind the broken one means that this one was whole once.
            let damaged = Record::skip(&rest).is_some_and(|behind| Record::decode(&behind).is_some());
            return if damaged { Err(OpenError::Corrupt { path: path.to_owned(), offset: offset as u64 }) } else { Ok(Read::Until(offset)) };
        };
        replay(record).ok_or_else(|| OpenError::Corrupt { path: path.to_owned(), offset: offset as u64 })?;
        rest = after;
    }
    Ok(Read::Whole)
}

fn header(number: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..].copy_from_slice(&number.to_le_bytes());
    header
}

/// Writes a segment aside and renames it into place: it is there whole or not at all.
fn create_segment(directory: &Path, number: u64, records: &[u8]) -> Result<PathBuf, OpenError> {
    let path = segment_path(directory, number);
    let aside = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = File::create(&aside)?;
        file.write_all(&header(number))?;
        file.write_all(records)?;
        file.sync_all()?;
        fs::rename(&aside, &path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(failed("write", &path))?;
    Ok(path)
}

fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:010}.journal"))
}

fn segment_numbers(directory: &Path) -> Result<Vec<u64>, OpenError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed("list", directory))? {
        let name = entry.map_err(failed("list", directory))?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_suffix(".journal")).and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn remove_leftovers(directory: &Path) -> Result<(), OpenError> {
    for entry in fs::read_dir(directory).map_err(failed("list", directory))? {
        let path = entry.map_err(failed("list", directory))?.path();
        if path.extension().is_some_and(|extension| extension == "new") {
            fs::remove_file(&path).map_err(failed("remove", &path))?;
        }
    }
    Ok(())
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(directory.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source)),
    }
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> OpenError + 'a {
    move |source| OpenError::Io { action, path: path.to_owned(), source }
}
