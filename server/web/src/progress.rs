//! What the learner has done, on disk: one JSON file, replaced by an atomic rename, so kill -9 loses nothing.
//!
//! 1. [`Progress::open`] reads the file; one that cannot be read is put aside, never overwritten.
//! 2. [`Progress::change`] edits the [`Book`] and writes it before it returns.
//! 3. Whoever shows progress follows [`Progress::follow`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use crate::verdicts::Answered;

/// Why progress cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    /// Read.
    #[error("read progress from {path}")]
    Read {
        /// The file.
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Write.
    #[error("write progress to {path}; is the disk full?")]
    Write {
        /// The file.
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// Everything that is remembered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Book {
    /// When each check was first passed, RFC 3339.
    pub passed: BTreeMap<String, String>,
    /// How many hints of each check were shown.
    pub hints: BTreeMap<String, usize>,
    /// Answers to questions.
    pub answers: BTreeMap<String, Given>,
    /// Sections whose solutions were shown.
    pub solutions: BTreeSet<String>,
    /// Blocks that were run, as `chapter/block`.
    pub runs: BTreeSet<String>,
    /// Exercises whose beginning is remembered by the cluster, as `chapter/section`.
    pub begun: BTreeSet<String>,
    /// The chapter whose scene the cluster shows.
    pub scene: Option<String>,
    /// Chapters that were left and are kept: the way to them is a way back.
    pub scenes: BTreeSet<String>,
    /// The chapter that is being left: its scene is kept, and what the cluster shows until the next one is set up is half of each.
    pub leaving: Option<String>,
    /// Where the learner was last, as `/ch02#section`.
    pub place: Option<String>,
    /// The exercise a terminal shows, as `chapter/section`.
    pub exercise: Option<String>,
    /// How the page is arranged; the page's own business.
    pub layout: Value,
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Given {
    /// What was answered.
    pub value: String,
    /// What became of it.
    #[serde(flatten)]
    pub answered: Answered,
}

/// The keeper of the file.
#[derive(Debug)]
pub struct Progress {
    path: PathBuf,
    writing: Mutex<()>,
    book: watch::Sender<Arc<Book>>,
    trouble: watch::Sender<Option<String>>,
}

impl Progress {
    /// Read `progress.json` of this directory.
    pub fn open(directory: &Path) -> Result<Progress, ProgressError> {
        let path = directory.join("progress.json");
        let read = |source| ProgressError::Read { path: path.clone(), source };
        fs::create_dir_all(directory).map_err(read)?;
        let book = match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(book) => book,
                Err(error) => {
                    let aside = path.with_extension("json.unreadable");
                    tracing::warn!(%error, aside = %aside.display(), "progress cannot be read; it was put aside");
                    fs::rename(&path, &aside).map_err(read)?;
                    Book::default()
                }
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Book::default(),
            Err(error) => return Err(read(error)),
        };
        Ok(Progress { path, writing: Mutex::default(), book: watch::channel(Arc::new(book)).0, trouble: watch::Sender::new(None) })
    }

    /// As it is now.
    #[must_use]
    pub fn book(&self) -> Arc<Book> {
        self.book.borrow().clone()
    }

    /// As it changes.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Arc<Book>> {
        self.book.subscribe()
    }

    /// Why the last change was not kept; `None` while all are.
    #[must_use]
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// Edit and write; nothing is written where nothing changed.
    pub fn change(&self, edit: impl FnOnce(&mut Book)) -> Result<(), ProgressError> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.book();
        let mut book = Book::clone(&old);
        edit(&mut book);
        if book == *old {
            return Ok(());
        }
        let written = self.write(&book).map_err(|source| ProgressError::Write { path: self.path.clone(), source });
        let lost = "What you do now is lost when Drydock ends; make room and it is kept again by itself.";
        self.trouble.send_replace(written.as_ref().err().map(|error| format!("{error} {lost}")));
        written?;
        self.book.send_replace(Arc::new(book));
        Ok(())
    }

    fn write(&self, book: &Book) -> std::io::Result<()> {
        let fresh = self.path.with_extension("json.new");
        let mut file = fs::File::create(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(book)?)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        match self.path.parent() {
            Some(directory) => fs::File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let progress = Progress::open(directory.path()).unwrap();
        progress.change(|book| drop(book.passed.insert("a".into(), "2026-01-01T00:00:00Z".into()))).unwrap();
        drop(progress);
        let book = Progress::open(directory.path()).unwrap().book();
        assert!(book.passed.contains_key("a"));
    }

    #[test]
    fn what_cannot_be_written_is_said_until_it_can() {
        let directory = tempfile::tempdir().unwrap();
        let progress = Progress::open(directory.path()).unwrap();
        let place = |name: &str| progress.change(|book| book.place = Some(name.into()));
        fs::create_dir(directory.path().join("progress.json.new")).unwrap();
        assert!(place("/ch01").is_err());
        assert!(progress.trouble().borrow().as_ref().is_some_and(|why| why.contains("is the disk full?")));
        assert_eq!(progress.book().place, None, "what is shown is what is kept");
        fs::remove_dir(directory.path().join("progress.json.new")).unwrap();
        place("/ch01").unwrap();
        assert_eq!(*progress.trouble().borrow(), None);
    }

    #[test]
    fn a_broken_file_is_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("progress.json"), "{ half").unwrap();
        let book = Progress::open(directory.path()).unwrap().book();
        assert_eq!(*book, Book::default());
        assert!(directory.path().join("progress.json.unreadable").exists());
    }
}
