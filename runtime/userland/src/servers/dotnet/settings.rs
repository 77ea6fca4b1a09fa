//! Settings as ASP.NET Core has them: a tree from JSON files and the environment, asked by paths such as `A:B:C`.
//!
//! Later sources win: the files in their order, then the environment, where `A__B` is `A:B`. Names know no case.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt as _, path::PathBuf};

use serde_json::Value;

/// Where settings come from.
pub(super) struct Sources {
    files: Vec<PathBuf>,
    variables: Vec<(String, String)>,
}

/// What tells that a file is not the one that was read: device, number, size and time.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// All settings at one moment.
pub(super) struct Settings {
    /// By lower-case path: the path as written, and the value.
    values: BTreeMap<String, (String, String)>,
    stamps: Vec<Stamp>,
}

/// A file is no JSON object.
#[derive(Debug)]
pub(super) struct BadFile {
    path: PathBuf,
    reason: String,
}

impl std::fmt::Display for BadFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        write!(f, "Failed to load configuration file '{}'. {}", path.display(), self.reason)
    }
}

impl Sources {
    pub(super) fn new(files: Vec<PathBuf>, variables: Vec<(String, String)>) -> Self {
        Self { files, variables }
    }

    /// Reads everything. A missing file has no settings.
    pub(super) fn read(&self) -> Result<Settings, BadFile> {
        let stamps = self.stamps();
        let mut values = BTreeMap::new();
        for path in &self.files {
            let Ok(text) = fs::read_to_string(path) else { continue };
            let bad = |reason: String| BadFile { path: path.clone(), reason };
            let tree: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| bad(error.to_string()))?;
            if !tree.is_object() {
                return Err(bad("Top-level JSON element must be an object.".to_owned()));
            }
            flatten("", &tree, &mut values);
        }
        for (name, value) in &self.variables {
            set(&mut values, &name.replace("__", ":"), value.clone());
        }
        Ok(Settings { values, stamps })
    }

    /// True when a file is not what it was when `settings` were read.
    pub(super) fn changed(&self, settings: &Settings) -> bool {
        settings.stamps != self.stamps()
    }

    fn stamps(&self) -> Vec<Stamp> {
        let stamp = |path: &PathBuf| {
            let meta = fs::metadata(path).ok()?;
            Some((meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
        };
        self.files.iter().map(stamp).collect()
    }
}

fn set(values: &mut BTreeMap<String, (String, String)>, path: &str, value: String) {
    values.insert(path.to_lowercase(), (path.to_owned(), value));
}

fn flatten(path: &str, value: &Value, values: &mut BTreeMap<String, (String, String)>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}:{name}") };
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| flatten(&below(name), value, values)),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, value)| flatten(&below(&index.to_string()), value, values)),
        Value::Bool(yes) => set(values, path, if *yes { "True" } else { "False" }.to_owned()),
        Value::String(text) => set(values, path, text.clone()),
        Value::Null => set(values, path, String::new()),
        Value::Number(number) => set(values, path, number.to_string()),
    }
}

impl Settings {
    /// The value at a path.
    pub(super) fn get(&self, path: &str) -> Option<&str> {
        self.values.get(&path.to_lowercase()).map(|(_, value)| value.as_str())
    }

    /// True when the value is `true` in any case.
    pub(super) fn is_on(&self, path: &str) -> bool {
        self.get(path).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The value as a whole number, 0 without one.
    pub(super) fn number(&self, path: &str) -> u64 {
        self.get(path).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// Paths and values that are not empty, in the order of their paths.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.values().map(|(path, value)| (path.as_str(), value.as_str())).filter(|(_, value)| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_sources_win_and_changes_are_seen() {
        let directory = tempfile::tempdir().unwrap();
        let [one, two] = ["one.json", "two.json"].map(|name| directory.path().join(name));
        fs::write(&one, r#"{"A": {"B": true, "C": [1, "x"]}, "Kept": "yes"}"#).unwrap();
        let variables = vec![("a__b".to_owned(), "env".to_owned()), ("PLAIN".to_owned(), String::new())];
        let sources = Sources::new(vec![one, two.clone()], variables);
        let settings = sources.read().unwrap();
        let cases = [("A:B", Some("env")), ("a:c:0", Some("1")), ("A:C:1", Some("x")), ("kept", Some("yes")), ("none", None)];
        for (path, wanted) in cases {
            assert_eq!(settings.get(path), wanted, "{path}");
        }
        assert_eq!(settings.all().map(|(path, _)| path).collect::<Vec<_>>(), ["a:b", "A:C:0", "A:C:1", "Kept"]);
        assert!(!sources.changed(&settings));
        fs::write(&two, r#"{"Kept": false}"#).unwrap();
        assert!(sources.changed(&settings));
        assert_eq!(sources.read().unwrap().get("Kept"), Some("False"));
        fs::write(&two, "[]").unwrap();
        assert!(sources.read().is_err());
    }
}
