//! `kubectl cp`: tar at both ends of an exec.
// upstream: kubectl/pkg/cmd/cp/{cp,filespec}.go

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use clap::{ArgMatches, Command};
use serde_json::Value;
use tokio_util::io::SyncIoBridge;

use crate::discovery::segment;
use crate::factory::Factory;
use crate::failure::{Failure, go_io};
use crate::flags::{Flags, number, switch, text};
use crate::pods;
use crate::remote::command::{Ends, Remote};
use crate::rest::Call;

const FORMAT: &str = "filespec must match the canonical format: [[namespace/]pod:]file/path";
const PIPE: usize = 256 * 1024;

/// Its flags.
pub fn command() -> Command {
    Command::new("cp").override_usage("kubectl cp <file-spec-src> <file-spec-dest> [options]").args([
        text("container", "", "Container name. If omitted, use the kubectl.kubernetes.io/default-container annotation for selecting the container to be attached or the first container in the pod will be chosen").short('c'),
        switch("no-preserve", "The copied file/directory's ownership and permissions will not be preserved in the container"),
        number("retries", "0", "Set number of retries to complete a copy operation from a container. Specify 0 to disable or any negative value for infinite retrying. The default is 0 (no retry)."),
    ])
}

/// A file here or in a Pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Spec {
    namespace: String,
    pod: String,
    file: String,
}

impl Spec {
    fn parse(word: &str) -> Result<Self, Failure> {
        let Some((pod, file)) = word.split_once(':') else { return Ok(Self { file: without_slash(word), ..Self::default() }) };
        let file = without_slash(&file.replace('\\', "/"));
        match pod.split('/').collect::<Vec<_>>().as_slice() {
            [""] => Err(Failure::new(FORMAT)),
            [pod] => Ok(Self { namespace: String::new(), pod: (*pod).to_owned(), file }),
            [namespace, pod] => Ok(Self { namespace: (*namespace).to_owned(), pod: (*pod).to_owned(), file }),
            _ => Err(Failure::new(FORMAT)),
        }
    }
}

fn without_slash(file: &str) -> String {
    if file == "/" { file.to_owned() } else { file.strip_suffix('/').unwrap_or(file).to_owned() }
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let (namespace, _) = factory.namespace()?;
    factory.rest().await?;
    let words = matches.arguments();
    let [from, to] = words.as_slice() else { return Err(Failure::new("source and destination are required")) };
    let (mut from, mut to) = (Spec::parse(from)?, Spec::parse(to)?);
    if !from.pod.is_empty() && !to.pod.is_empty() {
        return Err(Failure::new("one of src or dest must be a local file specification"));
    }
    if from.file.is_empty() || to.file.is_empty() {
        return Err(Failure::new("filepath can not be empty"));
    }
    let given = from.namespace.clone();
    for spec in [&mut from, &mut to] {
        if spec.namespace.is_empty() {
            spec.namespace.clone_from(&namespace);
        }
    }
    if !from.pod.is_empty() {
        return out_of_pod(factory, matches, &from, &to, given).await;
    }
    if !to.pod.is_empty() {
        return into_pod(factory, matches, &from, &to).await;
    }
    Err(Failure::new("one of src or dest must be a remote file specification"))
}

/// Where it is told which container is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nowhere,
    Errors,
    /// What tar says and what is said of containers go where tar's output would: stock kubectl has it so.
    Output,
}

/// An exec in the Pod of a spec.
async fn remote(factory: &Factory, matches: &ArgMatches, spec: &Spec, told: Told, words: &[&str]) -> Result<Remote, Failure> {
    let pod = factory.call(Call::get(format!("/api/v1/namespaces/{}/pods/{}", segment(&spec.namespace), segment(&spec.pod)))).await?;
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    if phase == "Succeeded" || phase == "Failed" {
        return Err(Failure::new(format!("cannot exec into a container in a completed pod; current phase is {phase}")));
    }
    Ok(Remote {
        verb: "exec",
        namespace: spec.namespace.clone(),
        pod: spec.pod.clone(),
        container: container(factory, matches, &pod, told)?,
        command: words.iter().map(|word| (*word).to_owned()).collect(),
        ..Remote::default()
    })
}

fn container(factory: &Factory, matches: &ArgMatches, pod: &Value, told: Told) -> Result<String, Failure> {
    let asked = matches.text("container");
    if !asked.is_empty() {
        return Ok(asked);
    }
    let (name, said) = pods::meant(pod, "")?;
    match (said, told) {
        (Some(said), Told::Errors) => factory.streams.warn(&said),
        (Some(said), Told::Output) => factory.streams.line(&said)?,
        _ => {}
    }
    Ok(name)
}

async fn into_pod(factory: &Factory, matches: &ArgMatches, from: &Spec, to: &Spec) -> Result<(), Failure> {
    let source = factory.env.path(&from.file);
    if fs::metadata(&source).is_err() {
        return Err(Failure::new(format!("{} doesn't exist in local filesystem", from.file)));
    }
    let test = remote(factory, matches, to, Told::Nowhere, &["test", "-d", &to.file]).await;
    let is_directory = match test {
        Ok(test) => test.connect(factory, silent()).await.is_ok(),
        Err(_) => false,
    };
    let mut target = clean(Path::new(&to.file));
    if is_directory {
        target.push(source.file_name().unwrap_or_default());
    }
    let parent = target.parent().map(|parent| parent.display().to_string()).unwrap_or_default();
    let parent = if parent.is_empty() { ".".to_owned() } else { parent };
    let mut words = vec!["tar"];
    if matches.on("no-preserve") {
        words.extend(["--no-same-permissions", "--no-same-owner"]);
    }
    words.extend(["-xmf", "-", "-C", &parent]);
    let mut untar = remote(factory, matches, to, Told::Errors, &words).await?;
    untar.stdin = true;
    let (writer, reader) = tokio::io::duplex(PIPE);
    let name = PathBuf::from(target.file_name().unwrap_or_default());
    let mut packing = tokio::task::spawn_blocking(move || {
        let mut archive = tar::Builder::new(SyncIoBridge::new(writer));
        archive.follow_symlinks(false);
        pack(&mut archive, &source, &name)?;
        archive.into_inner()?.shutdown()
    });
    let mut unpacking = std::pin::pin!(untar.connect(factory, Ends { input: Box::new(reader), ..Ends::process() }));
    let packed = tokio::select! {
        biased;
        packed = &mut packing => {
            // Why there is not more to unpack is told, and not that there is not. As upstream the other side tells of a last file cut short,
            // and why it takes no more.
            if !matches!(&packed, Ok(Err(error)) if !matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe)) {
                unpacking.await?;
            }
            packed
        }
        unpacked = &mut unpacking => {
            unpacked?;
            packing.await
        }
    };
    packed.map_err(|error| Failure::new(error.to_string()))?.map_err(|error| Failure::new(go_io(&error)))
}

fn silent() -> Ends<'static> {
    Ends { input: Box::new(tokio::io::empty()), output: Box::new(tokio::io::sink()), errors: Box::new(tokio::io::sink()) }
}

/// A file of which as much is read as was said: an archive cannot take back how long its files are.
struct Whole {
    file: fs::File,
    left: u64,
}

impl std::io::Read for Whole {
    // upstream: archive/tar ErrWriteTooLong, Writer.Flush
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)? as u64;
        match self.left.checked_sub(count) {
            None => Err(std::io::Error::other("archive/tar: write too long")),
            Some(left) if left > 0 && count == 0 => Err(std::io::Error::new(ErrorKind::UnexpectedEof, format!("archive/tar: missed writing {left} bytes"))),
            Some(left) => {
                self.left = left;
                Ok(count as usize)
            }
        }
    }
}

/// Files under their new names; directories only when they are empty.
fn pack(archive: &mut tar::Builder<impl std::io::Write>, source: &Path, name: &Path) -> std::io::Result<()> {
    let data = source.symlink_metadata()?;
    if !data.is_dir() && !data.is_symlink() {
        let mut header = tar::Header::new_gnu();
        header.set_metadata(&data);
        if data.is_file() {
            return archive.append_data(&mut header, name, Whole { file: opened(source)?, left: data.len() });
        }
        // A pipe or a device is made anew, not read: reading it need never end.
        header.set_size(0);
        return archive.append_data(&mut header, name, std::io::empty());
    }
    if !data.is_dir() {
        return archive.append_path_with_name(source, name);
    }
    let mut entries = fs::read_dir(source)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>()?;
    if entries.is_empty() {
        return archive.append_path_with_name(source, name);
    }
    entries.sort();
    let count = entries.len();
    entries.into_iter().enumerate().try_for_each(|(index, entry)| {
        let packed = pack(archive, &source.join(&entry), &name.join(&entry));
        // The next file finds out that this one was cut short.
        packed.map_err(|error| if index + 1 < count { std::io::Error::other(error.to_string()) } else { error })
    })
}

/// A file of this machine; what is wrong with it names it, since it may be one of many.
fn opened(path: &Path) -> std::io::Result<fs::File> {
    fs::File::open(path).map_err(|error| std::io::Error::new(error.kind(), format!("open {}: {}", path.display(), go_io(&error))))
}

/// `given` is the namespace as it was written, which is what a warning names.
async fn out_of_pod(factory: &Factory, matches: &ArgMatches, from: &Spec, to: &Spec, given: String) -> Result<(), Failure> {
    let tries = matches.number("retries");
    let (pieces, pipe) = pieces();
    let prefix = without_shortcuts(&clean(Path::new(from.file.trim_start_matches(['/', '\\']))));
    let (directory, shown) = (factory.env.directory.clone(), Spec { namespace: given, ..from.clone() });
    let target = to.file.clone();
    let (warned, mut warnings) = tokio::sync::mpsc::unbounded_channel::<String>();
    let mut unpacking = tokio::task::spawn_blocking(move || {
        let unpacker = Unpacker { directory, target: PathBuf::from(target), prefix, from: shown, warned };
        let mut pipe = pipe;
        unpacker.all(&mut pipe)?;
        // What tar says at its end, and whether it failed, is worth waiting for; not where all of it would come again.
        if tries == 0 {
            pipe.drain();
        }
        Ok(())
    });
    let feeding = feed(factory, matches, from, pieces, tries);
    tokio::pin!(feeding);
    let mut fed = false;
    loop {
        tokio::select! {
            biased;
            Some(warning) = warnings.recv() => factory.streams.warn(&warning),
            outcome = &mut feeding, if !fed => {
                outcome?;
                fed = true;
            }
            unpacked = &mut unpacking => {
                while let Ok(warning) = warnings.try_recv() {
                    factory.streams.warn(&warning);
                }
                return unpacked.map_err(|error| Failure::new(error.to_string()))?;
            }
        }
    }
}

/// Send the archive, and what is missing of it again, as often as is allowed.
async fn feed(factory: &Factory, matches: &ArgMatches, from: &Spec, mut pieces: Pieces, tries: i64) -> Result<(), Failure> {
    let mut tried = 0;
    loop {
        let start = if pieces.sent == 0 { 0 } else { pieces.sent + 1 };
        let script = format!("tar cf - {} | tail -c+{start}", from.file);
        let words = if tries == 0 { vec!["tar", "cf", "-", &from.file] } else { vec!["sh", "-c", &script] };
        let tar = remote(factory, matches, from, Told::Output, &words).await?;
        let (writer, reader) = tokio::io::duplex(PIPE);
        let ends = Ends { input: Box::new(tokio::io::empty()), output: Box::new(writer), errors: Box::new(tokio::io::stdout()) };
        let (ran, ()) = tokio::join!(tar.connect(factory, ends), pieces.send(reader));
        ran?;
        if !pieces.hungry().await {
            return Ok(());
        }
        if tries >= 0 && tried >= tries {
            return factory.streams.line(&format!("Dropping out copy after {tried} retries"));
        }
        tried += 1;
        factory.streams.line(&format!("Resuming copy at {} bytes, retry {tried}/{tries}", pieces.sent))?;
    }
}

/// The sending end of an archive that comes in several goes.
struct Pieces {
    sent: u64,
    out: tokio::sync::mpsc::Sender<Piece>,
    wants: tokio::sync::mpsc::UnboundedReceiver<()>,
}

/// Some bytes, or the end of a go.
enum Piece {
    Bytes(Vec<u8>),
    End,
}

/// The reading end.
struct Pipe {
    left: std::collections::VecDeque<u8>,
    pieces: tokio::sync::mpsc::Receiver<Piece>,
    wants: tokio::sync::mpsc::UnboundedSender<()>,
}

fn pieces() -> (Pieces, Pipe) {
    let (out, pieces) = tokio::sync::mpsc::channel(16);
    let (wanting, wants) = tokio::sync::mpsc::unbounded_channel();
    (Pieces { sent: 0, out, wants }, Pipe { left: std::collections::VecDeque::new(), pieces, wants: wanting })
}

impl Pieces {
    /// All that comes in one go. A reader that has what it needs ends it.
    async fn send(&mut self, mut reader: tokio::io::DuplexStream) {
        use tokio::io::AsyncReadExt as _;
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            self.sent += count as u64;
            if self.out.send(Piece::Bytes(buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
        // Whether anybody still listens is asked by the next line.
        drop(self.out.send(Piece::End).await);
    }

    /// Whether the reader came to the end of a go and wants more.
    async fn hungry(&mut self) -> bool {
        self.wants.recv().await.is_some()
    }
}

impl Pipe {
    /// All that still comes in this go, without asking for another.
    fn drain(&mut self) {
        while let Some(Piece::Bytes(_)) = self.pieces.blocking_recv() {}
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.left.is_empty() {
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.left.extend(bytes),
                // Nobody is there to hear it when the other end has given up, which the next line tells.
                Some(Piece::End) => drop(self.wants.send(())),
                None => return Ok(0),
            }
        }
        self.left.read(buffer)
    }
}

struct Unpacker {
    directory: PathBuf,
    target: PathBuf,
    prefix: String,
    from: Spec,
    warned: tokio::sync::mpsc::UnboundedSender<String>,
}

impl Unpacker {
    fn all(&self, reader: impl Read) -> Result<(), Failure> {
        let io = |error: std::io::Error| Failure::new(go_io(&error));
        let mut archive = tar::Archive::new(reader);
        let mut first_link = true;
        for entry in archive.entries().map_err(io)? {
            let mut entry = entry.map_err(io)?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let Some(rest) = name.strip_prefix(&self.prefix) else { return Err(Failure::new("tar contents corrupted")) };
            let shown = clean(&self.target.join(without_slash(rest).trim_start_matches('/')));
            if !shown.starts_with(clean(&self.target)) && clean(&self.target) != Path::new(".") || shown.starts_with("..") && !self.target.starts_with("..") {
                self.warn(format!("warning: file {:?} is outside target destination, skipping", shown.display().to_string()));
                continue;
            }
            let path = self.directory.join(&shown);
            make_directories(path.parent().unwrap_or(Path::new("/")), shown.parent().unwrap_or(Path::new("/")))?;
            let kind = entry.header().entry_type();
            if kind.is_dir() {
                make_directories(&path, &shown)?;
            } else if kind.is_symlink() {
                self.link(&shown, &entry.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned()).unwrap_or_default(), first_link);
                first_link = false;
            } else {
                let created = fs::File::create(&path).map_err(|error| Failure::new(format!("open {}: {}", shown.display(), go_io(&error))));
                let mut created = created?;
                std::io::copy(&mut entry, &mut created).map_err(|error| Failure::new(format!("write {}: {}", shown.display(), go_io(&error))))?;
            }
        }
        Ok(())
    }

    fn link(&self, path: &Path, target: &str, first: bool) {
        let mut text = format!("warning: skipping symlink: {:?} -> {target:?}", path.display().to_string());
        if first {
            let Spec { namespace, pod, file } = &self.from;
            text.push_str(&format!(" (consider using \"kubectl exec -n {namespace:?} {pod:?} -- tar cf - {file:?} | tar xf -\")"));
        }
        self.warn(text);
    }

    fn warn(&self, text: String) {
        // Nobody reads warnings of a command that has ended.
        drop(self.warned.send(text));
    }
}

/// A directory and those above it; what is in the way is named.
fn make_directories(path: &Path, shown: &Path) -> Result<(), Failure> {
    if path.exists() && !path.is_dir() {
        return Err(Failure::new(format!("mkdir {}: not a directory", shown.display())));
    }
    fs::create_dir_all(path).map_err(|error| Failure::new(format!("mkdir {}: {}", shown.display(), go_io(&error))))
}

/// Go's `filepath.Clean`.
fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(cleaned.components().next_back(), Some(Component::Normal(_))) => {
                cleaned.pop();
            }
            Component::ParentDir if cleaned.has_root() => {}
            other => cleaned.push(other),
        }
    }
    if cleaned.as_os_str().is_empty() { PathBuf::from(".") } else { cleaned }
}

/// A path that does not climb.
fn without_shortcuts(path: &Path) -> String {
    let text = path.display().to_string();
    let mut rest = text.as_str();
    while let Some(after) = rest.strip_prefix("../") {
        rest = after;
    }
    if matches!(rest, "." | "..") { String::new() } else { rest.strip_prefix('/').unwrap_or(rest).to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_its_length_while_it_is_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "12345").unwrap();
        for (left, wanted) in [(5, "12345"), (3, "archive/tar: write too long"), (0, "archive/tar: write too long"), (7, "archive/tar: missed writing 2 bytes")] {
            let mut text = String::new();
            let read = Whole { file: fs::File::open(&path).unwrap(), left }.read_to_string(&mut text);
            assert_eq!(read.map_or_else(|error| error.to_string(), |_| text), wanted, "{left}");
        }
        let missing = folder.path().join("missing");
        assert_eq!(opened(&missing).unwrap_err().to_string(), format!("open {}: no such file or directory", missing.display()));
    }

    #[test]
    fn specs_say_where_a_file_is() {
        let spec = |namespace: &str, pod: &str, file: &str| Spec { namespace: namespace.into(), pod: pod.into(), file: file.into() };
        for (word, wanted) in [
            ("a/b/", spec("", "", "a/b")),
            ("p:/x", spec("", "p", "/x")),
            ("n/p:x/", spec("n", "p", "x")),
            ("/", spec("", "", "/")),
        ] {
            assert_eq!(Spec::parse(word).unwrap(), wanted);
        }
        assert!(Spec::parse(":x").is_err());
        assert!(Spec::parse("a/b/c:x").is_err());
    }

    #[test]
    fn paths_are_cleaned() {
        for (path, wanted) in [("a/./b/../c", "a/c"), ("../../x", "../../x"), ("/../x", "/x"), ("", "."), ("a/..", ".")] {
            assert_eq!(clean(Path::new(path)), Path::new(wanted), "{path}");
        }
        assert_eq!(without_shortcuts(Path::new("../../etc")), "etc");
    }

    #[test]
    fn an_archive_is_unpacked_where_it_belongs() {
        let home = tempfile::tempdir().unwrap();
        let mut archive = tar::Builder::new(Vec::new());
        let mut add = |name: &str, kind: tar::EntryType, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_entry_type(kind);
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            if kind.is_symlink() {
                header.set_link_name("elsewhere").unwrap();
            }
            header.set_cksum();
            archive.append(&header, bytes).unwrap();
        };
        add("etc/a/one", tar::EntryType::Regular, b"1");
        add("etc/a/../../../../evil", tar::EntryType::Regular, b"2");
        add("etc/a/link", tar::EntryType::Symlink, b"");
        let bytes = archive.into_inner().unwrap();
        let (warned, mut warnings) = tokio::sync::mpsc::unbounded_channel();
        let from = Spec { namespace: "n".into(), pod: "p".into(), file: "/etc/a".into() };
        let unpacker = Unpacker { directory: home.path().into(), target: "copy".into(), prefix: "etc/a".into(), from, warned };
        unpacker.all(bytes.as_slice()).unwrap();
        assert_eq!(fs::read(home.path().join("copy/one")).unwrap(), b"1");
        assert_eq!(warnings.try_recv().unwrap(), "warning: file \"../../../evil\" is outside target destination, skipping");
        let link = warnings.try_recv().unwrap();
        assert_eq!(link, "warning: skipping symlink: \"copy/link\" -> \"elsewhere\" (consider using \"kubectl exec -n \"n\" \"p\" -- tar cf - \"/etc/a\" | tar xf -\")");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }
}
