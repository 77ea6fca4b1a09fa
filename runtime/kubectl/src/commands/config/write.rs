//! Writing kubeconfig files: only what changed, each where it came from, and nobody else meanwhile.
// upstream: client-go/tools/clientcmd/config.go ModifyConfig, loader.go RelativizePaths

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use super::target;
use crate::config::types::canonical;
use crate::config::{LISTS, Loaded, Unread, read};
use crate::factory::Factory;
use crate::failure::{Failure, go_io};
use crate::print::yaml;

/// Files that only one program changes at a time, for as long as this lives.
struct Locks(Vec<PathBuf>);

impl Locks {
    fn take(factory: &Factory, loaded: &Loaded) -> Result<Self, Failure> {
        let mut paths: Vec<&Path> = loaded.files.iter().map(|file| file.path.as_path()).collect();
        paths.sort_unstable();
        let mut locks = Self(Vec::new());
        for path in paths {
            let shown = format!("{}.lock", path.display());
            let lock = factory.env.path(&shown);
            let made = directory(&lock).and_then(|()| fs::OpenOptions::new().write(true).create_new(true).mode(0o000).open(&lock));
            made.map_err(|error| Failure::new(format!("open {shown}: {}", go_io(&error))))?;
            locks.0.push(lock);
        }
        Ok(locks)
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        for lock in &self.0 {
            drop(fs::remove_file(lock));
        }
    }
}

fn directory(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// Says in an entry how files are found from a directory.
pub(super) type NameFiles = fn(&mut Value, &Path);

/// Write what is another thing than before.
pub(super) fn changes(factory: &Factory, loaded: &Loaded, (before, after): (&Value, &Value), name_files: NameFiles) -> Result<(), Failure> {
    let _locks = Locks::take(factory, loaded)?;
    if before["current-context"] != after["current-context"] {
        current_context(factory, loaded, &after["current-context"])?;
    }
    if canonical(before)["preferences"] != canonical(after)["preferences"] {
        preferences(factory, loaded, before, after)?;
    }
    for (list, field) in LISTS {
        let entries = |config: &Value| config[list].as_array().cloned().unwrap_or_default();
        let place = |entry: &Value| entry["origin"].as_str().map_or_else(|| Ok(target(loaded)?.path.clone()), |origin| Ok::<_, Failure>(PathBuf::from(origin)));
        let said = |entry: &Value| canonical(&json!({list: [entry]}))[list][0][field].clone();
        let (old, new) = (entries(before), entries(after));
        for entry in &new {
            if old.iter().find(|other| other["name"] == entry["name"]).is_some_and(|known| said(known) == said(entry)) {
                continue;
            }
            let path = place(entry)?;
            let mut entry = entry.clone();
            if list != "contexts" {
                name_files(&mut entry[field], factory.env.path(&path).parent().unwrap_or(Path::new("/")));
            }
            save(factory, &path, |file| {
                let mut kept: Vec<Value> = entries(file);
                kept.retain(|other| other["name"] != entry["name"]);
                kept.push(entry);
                file[list] = json!(kept);
            })?;
        }
        for entry in old.iter().filter(|entry| !new.iter().any(|other| other["name"] == entry["name"])) {
            save(factory, &place(entry)?, |file| {
                let mut kept = entries(file);
                kept.retain(|other| other["name"] != entry["name"]);
                file[list] = json!(kept);
            })?;
        }
    }
    Ok(())
}

/// The current context is written to the file new entries go to; it is taken away where it is said first.
fn current_context(factory: &Factory, loaded: &Loaded, name: &Value) -> Result<(), Failure> {
    let said = |value: &Value| value["current-context"].as_str().is_some_and(|name| !name.is_empty());
    let place = if loaded.explicit || *name != "" { Some(target(loaded)?) } else { loaded.files.iter().find(|file| said(&file.value)) };
    let place = place.ok_or_else(|| Failure::new("no config found to write context"))?;
    save(factory, &place.path, |file| file["current-context"] = name.clone())
}

fn preferences(factory: &Factory, loaded: &Loaded, before: &Value, after: &Value) -> Result<(), Failure> {
    let place = loaded.files.iter().find(|file| loaded.explicit || file.value["preferences"] == before["preferences"]);
    let place = place.ok_or_else(|| Failure::new("no config found to write preferences"))?;
    save(factory, &place.path, |file| file["preferences"] = after["preferences"].clone())
}

/// Change one file.
fn save(factory: &Factory, shown: &Path, change: impl FnOnce(&mut Value)) -> Result<(), Failure> {
    let mut value = match read(&factory.env, shown) {
        Err(Unread::Missing) => json!({}),
        other => other.map_err(|unread| Failure::new(unread.told(shown)))?,
    };
    change(&mut value);
    let path = factory.env.path(shown);
    let written = directory(&path).and_then(|()| {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(yaml::write(&canonical(&value)).as_bytes())
    });
    written.map_err(|error| Failure::new(format!("open {}: {}", shown.display(), go_io(&error))))
}

/// Files beside the kubeconfig, or below it, are named from there.
pub(super) fn relative(entry: &mut Value, base: &Path) {
    let program = entry["exec"]["command"].as_str().filter(|program| program.contains('/')).map(str::to_owned);
    if let Some(program) = program {
        entry["exec"]["command"] = json!(from(base, &program));
    }
    for field in ["certificate-authority", "client-certificate", "client-key", "tokenFile"] {
        if let Some(path) = entry[field].as_str().filter(|path| !path.is_empty()) {
            entry[field] = json!(from(base, path));
        }
    }
}

/// A path as it is named in a directory; one that does not lie there stays whole.
fn from(base: &Path, path: &str) -> String {
    let (base, path) = (cleaned(base), cleaned(&base.join(path)));
    match path.strip_prefix(&base) {
        Ok(rest) if rest.as_os_str().is_empty() => ".".to_owned(),
        Ok(rest) => rest.display().to_string(),
        Err(_) if base.parent() == Some(&path) => "..".to_owned(),
        Err(_) => path.display().to_string(),
    }
}

/// A path without `.` and `..`.
fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(clean.pop()),
            other => clean.push(other),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_from_where_the_kubeconfig_is() {
        let cases = [("ca.crt", "ca.crt"), ("/home/x/./pki/../ca.crt", "ca.crt"), ("/home/x", "."), ("/home", ".."), ("/home/y/ca.crt", "/home/y/ca.crt"), ("../y/z", "/home/y/z")];
        for (path, wanted) in cases {
            assert_eq!(from(Path::new("/home/x"), path), wanted, "{path}");
        }
    }
}
