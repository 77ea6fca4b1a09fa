//! The proxy's cache: a file for each key, named by the key's MD5 sum below as many directories as `levels` says.
//!
//! Several servers may share the directories: a file appears complete, by a rename, and is never changed.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, chown},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::config::Cache;
use crate::{digests, servers::{Body, Reply}, sys};

const FORMAT: &str = "drydock-cache 1";

/// A response that was kept.
pub(super) struct Entry {
    /// Until when it is fresh, in seconds since the epoch.
    pub(super) expires: i64,
    pub(super) reply: Reply,
}

/// Makes the cache's directory, but not the directories above it.
pub(super) fn prepare(cache: &Cache, user: Option<u32>) -> Result<(), String> {
    if !cache.path.is_dir() {
        make(&cache.path, user).map_err(|error| {
            let number = error.raw_os_error().unwrap_or(0);
            format!("mkdir() \"{}\" failed ({number}: {})", cache.path.display(), sys::reason(&error))
        })?;
    } else if user.is_some() {
        sys::best_effort(chown(&cache.path, user, None));
    }
    Ok(())
}

fn make(directory: &Path, user: Option<u32>) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        other => other?,
    }
    // With a single user id there is nobody to give it to.
    sys::best_effort(chown(directory, user, user));
    Ok(())
}

/// The file of a key, and the directories between it and the cache's own.
fn place(cache: &Cache, key: &str) -> (Vec<PathBuf>, PathBuf) {
    let sum = digests::hex(&digests::md5(key.as_bytes()));
    let mut directory = cache.path.clone();
    let mut directories = Vec::new();
    let mut end = sum.len();
    for level in &cache.levels {
        directory.push(&sum[end - level..end]);
        end -= level;
        directories.push(directory.clone());
    }
    (directories, directory.join(sum))
}

/// What is kept under a key, fresh or not.
pub(super) fn find(cache: &Cache, key: &str) -> Option<Entry> {
    let bytes = fs::read(place(cache, key).1).ok()?;
    let end = bytes.windows(2).position(|pair| pair == b"\n\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.lines();
    if lines.next()? != FORMAT || lines.next()?.strip_prefix("KEY: ")? != key {
        return None;
    }
    let expires = lines.next()?.strip_prefix("EXPIRES: ")?.parse().ok()?;
    let status = lines.next()?.strip_prefix("STATUS: ")?.to_owned();
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Some(Entry { expires, reply: Reply { status: status.into(), headers, body: Body::Bytes(bytes[end + 2..].to_vec()) } })
}

/// Keeps a response.
pub(super) fn keep(cache: &Cache, key: &str, entry: &Entry, user: Option<u32>) -> io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let (directories, path) = place(cache, key);
    for directory in &directories {
        make(directory, user)?;
    }
    let name = format!("{}.{}.{}", crate::environment::host_name(), std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
    let temporary = path.with_extension(name);
    let mut head = format!("{FORMAT}\nKEY: {key}\nEXPIRES: {}\nSTATUS: {}\n", entry.expires, entry.reply.status);
    for (name, value) in &entry.reply.headers {
        head.push_str(&format!("{name}: {}\n", value.replace('\n', " ")));
    }
    head.push('\n');
    let written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).and_then(|mut file| {
        file.write_all(head.as_bytes())?;
        file.write_all(entry.reply.body.bytes().unwrap_or_default())
    });
    sys::best_effort(chown(&temporary, user, user));
    let kept = written.and_then(|()| fs::rename(&temporary, &path));
    if kept.is_err() {
        sys::best_effort(fs::remove_file(&temporary));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_kept_below_levels_and_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache { path: directory.path().join("cache"), levels: vec![1, 2] };
        prepare(&cache, None).unwrap();
        assert!(find(&cache, "k").is_none());
        let entry = Entry { expires: 42, reply: Reply::new("200 OK", "text/html", "a\n\nb") };
        keep(&cache, "k", &entry, None).unwrap();
        let found = find(&cache, "k").unwrap();
        assert_eq!((found.expires, found.reply.header("content-type"), found.reply.body.bytes()), (42, Some("text/html"), Some(&b"a\n\nb"[..])));
        // md5("k") is 8ce4b16b22b58894aa86c421e8759df3.
        assert!(cache.path.join("3/df/8ce4b16b22b58894aa86c421e8759df3").is_file());
        let missing = Cache { path: directory.path().join("no/cache"), levels: vec![] };
        assert!(prepare(&missing, None).unwrap_err().ends_with("no/cache\" failed (2: No such file or directory)"));
    }
}
