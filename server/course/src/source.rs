//! Where course files come from.
//!
//! Paths are relative, with `/`, as `chapters/lunches/course.yaml`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Files by path.
pub trait Source {
    /// The bytes of a file; `NotFound` when there is none.
    ///
    /// # Errors
    /// What reading it said.
    fn read(&self, path: &str) -> io::Result<Cow<'_, [u8]>>;

    /// The paths of all files below a directory, in order; none when there is no such directory.
    ///
    /// # Errors
    /// What reading a directory said.
    fn list(&self, directory: &str) -> io::Result<Vec<String>>;
}

/// A directory that holds `chapters/` and `labs/`.
#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// Read below this directory.
    pub fn new(root: impl Into<PathBuf>) -> Directory {
        Directory { root: root.into() }
    }
}

impl Source for Directory {
    fn read(&self, path: &str) -> io::Result<Cow<'_, [u8]>> {
        if path.split('/').any(|part| part == "..") || path.starts_with('/') {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{path} is outside of the course")));
        }
        fs::read(self.root.join(path)).map(Cow::Owned)
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        walk(&self.root, Path::new(directory), &mut found)?;
        found.sort();
        Ok(found)
    }
}

fn walk(root: &Path, directory: &Path, found: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(root.join(directory)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let path = directory.join(entry.file_name());
        // Editors leave swap and backup files; they are no part of a course.
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            walk(root, &path, found)?;
        } else if let Some(path) = path.to_str() {
            found.push(path.to_owned());
        }
    }
    Ok(())
}

/// Files in memory: inside the program, or in a test.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    files: BTreeMap<String, Cow<'static, [u8]>>,
}

impl Memory {
    /// No files.
    pub fn new() -> Memory {
        Memory::default()
    }

    /// Add a file.
    pub fn insert(&mut self, path: impl Into<String>, bytes: impl Into<Cow<'static, [u8]>>) {
        self.files.insert(path.into(), bytes.into());
    }
}

#[derive(rust_embed::RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../chapters"]
struct Chapters;

#[derive(rust_embed::RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../labs"]
struct Labs;

/// The courses inside the program.
pub fn embedded() -> Memory {
    let mut files = Memory::new();
    let hidden = |path: &str| path.split('/').any(|part| part.starts_with('.') || part.ends_with('~'));
    for path in Chapters::iter().filter(|path| !hidden(path)) {
        if let Some(file) = Chapters::get(&path) {
            files.insert(format!("chapters/{path}"), file.data);
        }
    }
    for path in Labs::iter().filter(|path| !hidden(path)) {
        if let Some(file) = Labs::get(&path) {
            files.insert(format!("labs/{path}"), file.data);
        }
    }
    files
}

impl Source for Memory {
    fn read(&self, path: &str) -> io::Result<Cow<'_, [u8]>> {
        let bytes = self.files.get(path).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Cow::Borrowed(bytes.as_ref()))
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let prefix = format!("{}/", directory.trim_end_matches('/'));
        Ok(self.files.keys().filter(|path| path.starts_with(&prefix)).cloned().collect())
    }
}
