//! Progress on disk: a file for each chapter, whole at any moment.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::GraderError;
use crate::engine::Progress;
use crate::verdict::Verdict;

/// What is kept of a chapter.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    pub(super) progress: Progress,
    pub(super) verdicts: Vec<Verdict>,
}

/// Progress on disk.
pub(super) struct Keeper {
    directory: PathBuf,
}

impl Keeper {
    /// Below this directory, which is made.
    pub(super) fn new(directory: &Path) -> Result<Keeper, GraderError> {
        std::fs::create_dir_all(directory).map_err(|source| GraderError::Progress { path: directory.to_owned(), source })?;
        Ok(Keeper { directory: directory.to_owned() })
    }

    fn path(&self, chapter: &str) -> PathBuf {
        self.directory.join(format!("{chapter}.json"))
    }

    /// What is kept of a chapter; nothing when that cannot be read: the file is put aside.
    pub(super) fn read(&self, chapter: &str) -> Result<Kept, GraderError> {
        let path = self.path(chapter);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
            Err(source) => return Err(GraderError::Progress { path, source }),
        };
        match serde_json::from_slice(&bytes) {
            Ok(kept) => Ok(kept),
            Err(error) => {
                let aside = path.with_extension("json.unreadable");
                tracing::warn!(%error, aside = %aside.display(), "progress cannot be read; it was put aside");
                std::fs::rename(&path, &aside).map_err(|source| GraderError::Progress { path, source })?;
                Ok(Kept::default())
            }
        }
    }

    /// Write beside, sync, rename: there is always one whole file.
    pub(super) fn write(&self, chapter: &str, kept: &Kept) -> Result<(), GraderError> {
        let path = self.path(chapter);
        let beside = path.with_extension("json.new");
        let written = serde_json::to_vec_pretty(kept).map_err(io::Error::from).and_then(|bytes| {
            let mut file = std::fs::File::create(&beside)?;
            file.write_all(&bytes)?;
            file.sync_data()?;
            std::fs::rename(&beside, &path)
        });
        written.map_err(|source| GraderError::Progress { path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_file_is_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let keeper = Keeper::new(directory.path()).unwrap();
        keeper.write("ch02", &Kept::default()).unwrap();
        assert!(keeper.read("ch02").unwrap().verdicts.is_empty());
        std::fs::write(keeper.path("ch02"), "{\"progress\": 7").unwrap();
        assert!(keeper.read("ch02").unwrap().verdicts.is_empty());
        assert_eq!(std::fs::read_to_string(directory.path().join("ch02.json.unreadable")).unwrap(), "{\"progress\": 7");
        assert!(!keeper.path("ch02").exists());
    }
}
