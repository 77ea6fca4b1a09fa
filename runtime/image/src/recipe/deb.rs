//! Debian packages: an `ar` archive whose member `data.tar.*` holds the files.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, BufReader, Read, Write},
    path::{Component, Path},
};

use super::{MERGED, fits};
use crate::library::decompressed;

const AR: &[u8; 8] = b"!<arch>\n";
/// All files of a recipe's layer are as old as this: the first of January 2026.
const MTIME: u64 = 1_767_225_600;

/// The files of several packages, written as one tar.
pub(super) struct Tree<W: Write> {
    builder: tar::Builder<W>,
    leave_out: Vec<String>,
    expose: Vec<String>,
    /// Paths that were written: directories are written once, a later package's file is not written over.
    seen: BTreeSet<String>,
}

impl<W: Write> Tree<W> {
    pub(super) fn new(builder: tar::Builder<W>, leave_out: Vec<String>, expose: Vec<String>) -> Self {
        Self { builder, leave_out, expose, seen: BTreeSet::new() }
    }

    /// Makes `name` a link into `usr`.
    pub(super) fn merged(&mut self, name: &str) -> io::Result<()> {
        self.link(name, &format!("usr/{name}"))
    }

    /// Adds the files of a package.
    pub(super) fn add(&mut self, file: &Path) -> io::Result<()> {
        let data = data_member(BufReader::new(fs::File::open(file)?))?;
        let mut archive = tar::Archive::new(decompressed(BufReader::with_capacity(128 * 1024, data))?);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let Some(path) = placed(&entry.path()?) else { continue };
            if self.leave_out.iter().any(|pattern| covers(pattern, &path)) || !self.seen.insert(path.clone()) {
                continue;
            }
            let mut header = entry.header().clone();
            header.set_mtime(MTIME);
            match header.entry_type() {
                tar::EntryType::Link => {
                    let target = entry.link_name()?.and_then(|link| placed(&link)).ok_or_else(|| io::Error::other("a hard link without a target"))?;
                    header.set_size(0);
                    self.builder.append_link(&mut header, &path, target)?;
                }
                tar::EntryType::Symlink => {
                    let target = entry.link_name()?.ok_or_else(|| io::Error::other("a link without a target"))?.into_owned();
                    header.set_size(0);
                    self.builder.append_link(&mut header, &path, target)?;
                }
                tar::EntryType::Directory => self.builder.append_data(&mut header, format!("{path}/"), io::empty())?,
                tar::EntryType::Regular => self.builder.append_data(&mut header, &path, &mut entry)?,
                _ => continue,
            }
            let exposed = path.rsplit_once('/').filter(|(directory, _)| !entry.header().entry_type().is_dir() && self.expose.iter().any(|pattern| fits(pattern, directory)));
            if let Some((_, name)) = exposed {
                let name = format!("usr/local/bin/{name}");
                self.link(&name, &format!("/{path}"))?;
            }
        }
        Ok(())
    }

    fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        if self.seen.insert(path.to_owned()) {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_mode(0o777);
            header.set_mtime(MTIME);
            header.set_size(0);
            header.set_uid(0);
            header.set_gid(0);
            self.builder.append_link(&mut header, path, target)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<W> {
        self.builder.into_inner()
    }
}

/// True when the pattern names the path or a directory above it.
fn covers(pattern: &str, path: &str) -> bool {
    fits(pattern, path) || path.match_indices('/').any(|(at, _)| fits(pattern, &path[..at]))
}

/// Where a package's file goes: `./lib/x` is `usr/lib/x`. Nothing for the root, and for what climbs.
fn placed(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    let first = parts.first()?;
    if MERGED.contains(first) {
        if parts.len() == 1 {
            return None;
        }
        parts.insert(0, "usr");
    }
    Some(parts.join("/"))
}

/// The part of the archive that holds the files.
fn data_member<R: Read>(mut reader: R) -> io::Result<io::Take<R>> {
    let bad = |reason: &str| io::Error::new(io::ErrorKind::InvalidData, format!("not a Debian package: {reason}"));
    let mut magic = [0; 8];
    reader.read_exact(&mut magic)?;
    if magic != *AR {
        return Err(bad("it is no ar archive"));
    }
    loop {
        let mut header = [0; 60];
        reader.read_exact(&mut header).map_err(|_| bad("it has no data.tar"))?;
        let text = |range: std::ops::Range<usize>| String::from_utf8_lossy(&header[range]).trim().to_owned();
        let size: u64 = text(48..58).parse().map_err(|_| bad("a member has no size"))?;
        if text(0..16).starts_with("data.tar") {
            return Ok(reader.take(size));
        }
        io::copy(&mut reader.by_ref().take(size + size % 2), &mut io::sink())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package with these files.
    fn package(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            if let Some(target) = content.strip_prefix("-> ") {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, path, target).unwrap();
            } else {
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, path, content.as_bytes()).unwrap();
            }
        }
        let tar = builder.into_inner().unwrap();
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(&tar).unwrap();
        let data = encoder.finish().unwrap();
        let mut deb = AR.to_vec();
        for (name, content) in [("debian-binary", &b"2.0\n"[..]), ("control.tar", b"odd"), ("data.tar.xz", &data)] {
            deb.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, "100644", content.len()).as_bytes());
            deb.extend(content);
            deb.extend(std::iter::repeat_n(b'\n', content.len() % 2));
        }
        deb
    }

    #[test]
    fn files_of_packages_become_one_tree() {
        let directory = tempfile::tempdir().unwrap();
        let mut tree = Tree::new(tar::Builder::new(Vec::new()), vec!["usr/share/doc".to_owned(), "usr/lib/*/odd.so".to_owned()], vec!["usr/lib/db/*/bin".to_owned()]);
        tree.merged("lib").unwrap();
        let packages: [&[(&str, &str)]; 2] = [
            &[("./lib/x86/a.so", "a"), ("./usr/share/doc/a/copyright", "c"), ("./usr/lib/x86/odd.so", "o"), ("./usr/lib/x86/b.so", "-> a.so")],
            &[("./usr/lib/x86/a.so", "twice"), ("./usr/lib/db/15/bin/initdb", "i")],
        ];
        for (index, files) in packages.iter().enumerate() {
            let path = directory.path().join(format!("{index}.deb"));
            fs::write(&path, package(files)).unwrap();
            tree.add(&path).unwrap();
        }
        let tar = tree.finish().unwrap();
        let mut archive = tar::Archive::new(tar.as_slice());
        let paths: Vec<String> = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(paths, ["lib", "usr/lib/x86/a.so", "usr/lib/x86/b.so", "usr/lib/db/15/bin/initdb", "usr/local/bin/initdb"]);
    }

    #[test]
    fn other_files_are_no_packages() {
        for content in [&b"hello"[..], b"!<arch>\n", &package(&[])[..100]] {
            assert!(data_member(content).is_err());
        }
    }
}
