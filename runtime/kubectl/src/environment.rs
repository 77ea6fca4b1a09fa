//! What the process was started with: variables, directory, home. Passed down, so that nothing else asks the system.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The surroundings of a command.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Variables.
    pub variables: BTreeMap<String, String>,
    /// Working directory.
    pub directory: PathBuf,
}

impl Environment {
    /// That of the process.
    pub fn process() -> Self {
        let variables = std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        Self { variables: variables.collect(), directory: std::env::current_dir().unwrap_or_default() }
    }

    /// A variable; empty ones count as unset.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The home directory.
    pub fn home(&self) -> PathBuf {
        PathBuf::from(self.get("HOME").unwrap_or_default())
    }

    /// `~/.kube`.
    pub fn kube_directory(&self) -> PathBuf {
        self.home().join(".kube")
    }

    /// A path as seen from the working directory.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.directory.join(path)
    }
}
