//! The files an undo brings back: the learner's home, and what Pods and people left on the nodes' own disks.
//!
//! * A *tree* is a list of paths with what they are; contents are *blobs*, one for each version of each file. A file that has not changed
//!   since the tree before (same inode, size and times) keeps its blob, so that taking a tree costs a walk.
//! * Trees are taken by one thread, on demand, at every prompt. A [`Mark`] names the tree that is taken next; a mark stays good when
//!   nothing changed after it.
//! * Large files are not kept, and the tree says so: they stay as they are.
//! * Links are never followed, so nothing outside the roots is read or written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::words::{FileChange, Verb};

/// The largest file that is kept.
const MAX_FILE: u64 = 8 << 20;
/// What the contents of one root may take.
const MAX_ROOT: u64 = 64 << 20;
/// Paths of one root.
const MAX_PATHS: usize = 20_000;
/// Trees that are kept beside those of snapshots.
const MAX_TREES: usize = 256;

/// A moment in the life of the files.
pub(crate) type Mark = u64;

/// A directory whose files are kept.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    /// `workstation` or the node's name.
    pub(crate) name: String,
    /// Where it is for us.
    pub(crate) path: PathBuf,
    /// Where it is for those who work there.
    pub(crate) shown: PathBuf,
    /// Paths below it that are nobody's work.
    pub(crate) ignored: fn(&Path) -> bool,
}

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Node {
    kind: Kind,
    mode: u32,
    owner: (u32, u32),
    /// Inode, size, times: equal means unchanged.
    #[serde(default)]
    seen: (u64, u64, i64, i64),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Directory,
    Link(PathBuf),
    File(u64),
}

impl Node {
    /// Whether two are the same to whoever reads them.
    fn is(&self, other: &Node) -> bool {
        (&self.kind, self.mode, self.owner) == (&other.kind, other.mode, other.owner)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tree {
    roots: BTreeMap<String, Branch>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Branch {
    nodes: BTreeMap<PathBuf, Node>,
    /// What is not kept, with its size.
    skipped: BTreeMap<PathBuf, u64>,
}

impl Branch {
    fn is(&self, other: &Branch) -> bool {
        self.nodes.len() == other.nodes.len() && self.nodes.iter().zip(&other.nodes).all(|((a, one), (b, two))| a == b && one.is(two))
    }
}

/// Which tree each mark means.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Index {
    /// The first and the last mark that mean a tree, and the tree.
    trees: Vec<(Mark, Mark, u64)>,
    next_tree: u64,
    next_blob: u64,
}

impl Index {
    fn tree(&self, mark: Mark) -> Option<u64> {
        self.trees.iter().find(|(first, last, _)| (first..=last).contains(&&mark)).map(|(_, _, tree)| *tree)
    }
}

/// The kept files. Clones share them.
#[derive(Clone)]
pub(crate) struct Files {
    shared: Arc<Shared>,
}

struct Shared {
    directory: PathBuf,
    roots: Vec<Root>,
    state: Mutex<State>,
    asked: Mutex<(Mark, Sender<Mark>)>,
    taken: watch::Sender<Mark>,
    /// Marks of snapshots.
    pinned: Mutex<Vec<Mark>>,
}

struct State {
    index: Index,
    last: Tree,
    /// `last` is what a restore left, not the newest tree of the index.
    restored: bool,
}

/// What a restore of files did.
#[derive(Debug, Default)]
pub(super) struct Restored {
    pub(super) changes: Vec<FileChange>,
    pub(super) notes: Vec<String>,
}

impl Files {
    /// Open the kept files in `directory`.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub(crate) fn open(directory: &Path, roots: Vec<Root>) -> io::Result<Files> {
        fs::create_dir_all(directory.join("blobs"))?;
        fs::create_dir_all(directory.join("trees"))?;
        let index: Index = read_json(&directory.join("index.json")).unwrap_or_default();
        let last = index.trees.last().map_or(0, |(_, mark, _)| *mark);
        let tree = index.trees.last().and_then(|(_, _, tree)| read_json(&tree_path(directory, *tree))).unwrap_or_default();
        let (sender, work) = mpsc::channel::<Mark>();
        let state = Mutex::new(State { index, last: tree, restored: false });
        let shared = Arc::new(Shared { directory: directory.to_owned(), roots, state, asked: Mutex::new((last, sender)), taken: watch::Sender::new(last), pinned: Mutex::default() });
        let worker = Arc::downgrade(&shared);
        std::thread::Builder::new().name("undo-files".into()).spawn(move || {
            while let Ok(mark) = work.recv() {
                let mark = work.try_iter().last().unwrap_or(mark);
                let Some(shared) = worker.upgrade() else { return };
                if let Err(error) = shared.take(mark) {
                    tracing::warn!(%error, "the files cannot be kept for undo");
                }
                shared.taken.send_replace(mark);
            }
        })?;
        Ok(Files { shared })
    }

    /// Have a tree taken of now.
    pub(crate) fn take(&self) -> Mark {
        let mut asked = lock(&self.shared.asked);
        asked.0 += 1;
        if asked.1.send(asked.0).is_err() {
            tracing::debug!("nobody keeps files any more");
        }
        asked.0
    }

    /// The mark asked for last.
    pub(crate) fn mark(&self) -> Mark {
        lock(&self.shared.asked).0
    }

    /// Have a tree taken of now, and wait for it.
    pub(crate) async fn taken(&self) -> Mark {
        let mark = self.take();
        self.settled(mark).await;
        mark
    }

    /// Wait until the tree of a mark is taken.
    pub(crate) async fn settled(&self, mark: Mark) {
        let mut taken = self.shared.taken.subscribe();
        if taken.wait_for(|taken| *taken >= mark).await.is_err() {
            tracing::debug!("nobody keeps files any more");
        }
    }

    /// Whether the workstation's files differ between two marks; not when one of them is not known.
    pub(super) fn differ(&self, before: Mark, after: Mark) -> bool {
        let state = lock(&self.shared.state);
        let (Some(one), Some(two)) = (state.index.tree(before), state.index.tree(after)) else { return false };
        if one == two {
            return false;
        }
        let read = |tree| read_json::<Tree>(&tree_path(&self.shared.directory, tree)).and_then(|mut tree| tree.roots.remove(super::WORKSTATION));
        matches!((read(one), read(two)), (Some(one), Some(two)) if !one.is(&two))
    }

    /// Bring back the files of a mark, but for the root `except`. `busy` says which paths of a root are in use and stay, and by whom.
    pub(super) fn restore(&self, mark: Mark, except: Option<&str>, busy: &dyn Fn(&str, &Path) -> Option<String>) -> io::Result<Restored> {
        let mut state = lock(&self.shared.state);
        let Some(tree) = state.index.tree(mark).and_then(|tree| read_json::<Tree>(&tree_path(&self.shared.directory, tree))) else {
            return Ok(Restored { changes: Vec::new(), notes: vec!["The files of that moment are not kept any more; they stay as they are.".to_owned()] });
        };
        let mut restored = Restored::default();
        for root in self.shared.roots.iter().filter(|root| Some(&*root.name) != except) {
            let Some(wanted) = tree.roots.get(&root.name) else { continue };
            let mut present = self.shared.walk(root, &mut state)?;
            self.shared.restore_root(root, wanted, &mut present, busy, &mut restored)?;
            state.last.roots.insert(root.name.clone(), present);
            state.restored = true;
        }
        Ok(restored)
    }

    /// The trees of these marks are not let go, however many come after them.
    pub(crate) fn pin(&self, marks: Vec<Mark>) {
        *lock(&self.shared.pinned) = marks;
    }

    /// Let all trees go that are neither pinned nor among the newest.
    pub(crate) fn forget(&self, newest: usize) -> io::Result<()> {
        let pinned = lock(&self.shared.pinned).clone();
        self.shared.sweep(&mut lock(&self.shared.state), &pinned, newest)
    }
}

impl Shared {
    fn take(&self, mark: Mark) -> io::Result<()> {
        let mut state = lock(&self.state);
        let mut tree = Tree::default();
        for root in &self.roots {
            let branch = self.walk(root, &mut state)?;
            tree.roots.insert(root.name.clone(), branch);
        }
        let same = !std::mem::take(&mut state.restored) && tree.roots.len() == state.last.roots.len() && tree.roots.iter().all(|(name, branch)| state.last.roots.get(name).is_some_and(|last| branch.is(last)));
        state.last = tree;
        let first = state.index.trees.last().map_or(0, |(_, last, _)| last + 1);
        match state.index.trees.last_mut().filter(|_| same) {
            Some(last) => last.1 = mark,
            None => {
                state.index.next_tree += 1;
                let number = state.index.next_tree;
                write_json(&tree_path(&self.directory, number), &state.last)?;
                state.index.trees.push((first, mark, number));
            }
        }
        if state.index.trees.len() > MAX_TREES * 5 / 4 {
            let kept = lock(&self.pinned).clone();
            return self.sweep(&mut state, &kept, MAX_TREES);
        }
        write_json(&self.directory.join("index.json"), &state.index)
    }

    /// What is below a root now; contents that are new become blobs.
    fn walk(&self, root: &Root, state: &mut State) -> io::Result<Branch> {
        let last = state.last.roots.get(&root.name).cloned().unwrap_or_default();
        let mut branch = Branch::default();
        let mut room = MAX_ROOT;
        let mut directories = vec![PathBuf::new()];
        while let Some(directory) = directories.pop() {
            let entries = match fs::read_dir(root.path.join(&directory)) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                let path = directory.join(entry.file_name());
                // What vanishes meanwhile was never there.
                let (false, Ok(metadata)) = ((root.ignored)(&path), entry.path().symlink_metadata()) else { continue };
                if branch.nodes.len() >= MAX_PATHS {
                    branch.skipped.insert(path, metadata.len());
                    continue;
                }
                let kind = if metadata.is_dir() {
                    directories.push(path.clone());
                    Kind::Directory
                } else if metadata.is_symlink() {
                    let Ok(target) = fs::read_link(entry.path()) else { continue };
                    Kind::Link(target)
                } else if !metadata.is_file() {
                    continue;
                } else if metadata.len() > MAX_FILE.min(room) {
                    branch.skipped.insert(path, metadata.len());
                    continue;
                } else {
                    room -= metadata.len();
                    let Ok(blob) = self.blob(&entry.path(), &metadata, last.nodes.get(&path), state) else { continue };
                    Kind::File(blob)
                };
                branch.nodes.insert(path, node(kind, &metadata));
            }
        }
        Ok(branch)
    }

    /// The blob of a file: the one it had, if it is unchanged.
    fn blob(&self, path: &Path, metadata: &Metadata, last: Option<&Node>, state: &mut State) -> io::Result<u64> {
        let known = last.and_then(|node| match node.kind {
            Kind::File(blob) => Some((blob, node.seen)),
            _ => None,
        });
        if let Some((blob, seen)) = known
            && seen == self::seen(metadata)
        {
            return Ok(blob);
        }
        let contents = read_plain(path)?;
        if let Some((blob, _)) = known
            && fs::read(self.blob_path(blob)).is_ok_and(|old| old == contents)
        {
            return Ok(blob);
        }
        state.index.next_blob += 1;
        let blob = state.index.next_blob;
        fs::write(self.blob_path(blob), contents)?;
        Ok(blob)
    }

    fn restore_root(
        &self,
        root: &Root,
        wanted: &Branch,
        present: &mut Branch,
        busy: &dyn Fn(&str, &Path) -> Option<String>,
        restored: &mut Restored,
    ) -> io::Result<()> {
        let shown = |path: &Path| root.shown.join(path).display().to_string();
        let mut users = BTreeSet::new();
        let mut in_use = |path: &Path| busy(&root.name, &root.shown.join(path)).map(|user| users.insert(user)).is_some();
        let tell = |verb, path: &Path| FileChange { verb, place: root.name.clone(), path: shown(path) };
        // What was not there then goes, whatever its size: only contents can be too large to be kept.
        let known = |path: &PathBuf| wanted.nodes.contains_key(path) || wanted.skipped.contains_key(path) || wanted.nodes.len() >= MAX_PATHS;
        let new: Vec<PathBuf> = present.skipped.keys().filter(|path| !known(path)).cloned().collect();
        for path in new {
            let is_file = root.path.join(&path).symlink_metadata().is_ok_and(|metadata| metadata.is_file());
            if is_file && !in_use(&path) {
                fs::remove_file(root.path.join(&path))?;
                present.skipped.remove(&path);
                restored.changes.push(tell(Verb::Deleted, &path));
            }
        }
        // The deepest first, so that directories are empty when it is their turn.
        let gone: Vec<PathBuf> = present.nodes.keys().rev().filter(|path| !wanted.nodes.contains_key(*path) && !wanted.skipped.contains_key(*path)).cloned().collect();
        for path in gone {
            if in_use(&path) {
                continue;
            }
            let Some(node) = present.nodes.remove(&path) else { continue };
            let removed = if node.kind == Kind::Directory { fs::remove_dir(root.path.join(&path)) } else { fs::remove_file(root.path.join(&path)) };
            match removed {
                Ok(()) if node.kind != Kind::Directory => restored.changes.push(tell(Verb::Deleted, &path)),
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                removed => removed?,
            }
        }
        for (path, node) in &wanted.nodes {
            let old = present.nodes.get(path);
            if old.is_some_and(|old| old.is(node)) || in_use(path) {
                continue;
            }
            let metadata = self.make(&root.path.join(path), node, old)?;
            if node.kind != Kind::Directory {
                restored.changes.push(tell(if old.is_some() { Verb::ChangedBack } else { Verb::Restored }, path));
            }
            present.nodes.insert(path.clone(), self::node(node.kind.clone(), &metadata));
        }
        for user in users {
            restored.notes.push(format!("{}: {user}: the files in it stay as they are.", root.name));
        }
        for (path, size) in present.skipped.iter().filter(|(path, size)| wanted.skipped.get(*path).is_some_and(|old| old != *size)) {
            restored.notes.push(format!("{}: {} ({} MB) is too large to be taken back; it stays as it is.", root.name, shown(path), size >> 20));
        }
        Ok(())
    }

    /// Make a path what it was.
    fn make(&self, path: &Path, node: &Node, old: Option<&Node>) -> io::Result<Metadata> {
        if let Some(old) = old
            && (old.kind == Kind::Directory) != (node.kind == Kind::Directory)
        {
            if old.kind == Kind::Directory { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
        match &node.kind {
            Kind::Directory => match fs::create_dir(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            },
            Kind::Link(target) => {
                match fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
                symlink(target, path)?;
            }
            Kind::File(blob) => {
                let aside = path.with_file_name(format!(".undo-{blob}"));
                fs::copy(self.blob_path(*blob), &aside)?;
                fs::rename(&aside, path)?;
            }
        }
        let metadata = path.symlink_metadata()?;
        if (metadata.uid(), metadata.gid()) != node.owner {
            lchown(path, Some(node.owner.0), Some(node.owner.1))?;
        }
        if !metadata.is_symlink() {
            fs::set_permissions(path, fs::Permissions::from_mode(node.mode))?;
        }
        path.symlink_metadata()
    }

    fn sweep(&self, state: &mut State, marks: &[Mark], newest: usize) -> io::Result<()> {
        let mut kept: BTreeSet<u64> = marks.iter().filter_map(|mark| state.index.tree(*mark)).collect();
        kept.extend(state.index.trees.iter().rev().take(newest).map(|(_, _, tree)| *tree));
        state.index.trees.retain(|(_, _, tree)| kept.contains(tree));
        write_json(&self.directory.join("index.json"), &state.index)?;
        let mut blobs = blobs(&state.last);
        for tree in kept.iter().filter_map(|tree| read_json::<Tree>(&tree_path(&self.directory, *tree))) {
            blobs.extend(self::blobs(&tree));
        }
        remove_others(&self.directory.join("trees"), &kept)?;
        remove_others(&self.directory.join("blobs"), &blobs)
    }

    fn blob_path(&self, blob: u64) -> PathBuf {
        self.directory.join("blobs").join(blob.to_string())
    }
}

fn blobs(tree: &Tree) -> BTreeSet<u64> {
    let nodes = tree.roots.values().flat_map(|branch| branch.nodes.values());
    nodes.filter_map(|node| if let Kind::File(blob) = node.kind { Some(blob) } else { None }).collect()
}

fn remove_others(directory: &Path, kept: &BTreeSet<u64>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if number.is_none_or(|number| !kept.contains(&number)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn seen(metadata: &Metadata) -> (u64, u64, i64, i64) {
    let nanos = |seconds: i64, nanos: i64| seconds.wrapping_mul(1_000_000_000).wrapping_add(nanos);
    (metadata.ino(), metadata.len(), nanos(metadata.mtime(), metadata.mtime_nsec()), nanos(metadata.ctime(), metadata.ctime_nsec()))
}

fn node(kind: Kind, metadata: &Metadata) -> Node {
    // A link has no permissions of its own, and a directory's times tell nothing that its entries do not.
    let mode = if metadata.is_symlink() { 0 } else { metadata.mode() & 0o7777 };
    let seen = if metadata.is_file() { seen(metadata) } else { (0, 0, 0, 0) };
    Node { kind, mode, owner: (metadata.uid(), metadata.gid()), seen }
}

/// The contents of a plain file, and of nothing a link leads to.
fn read_plain(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let mut contents = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut contents)?;
    Ok(contents)
}

fn tree_path(directory: &Path, tree: u64) -> PathBuf {
    directory.join("trees").join(tree.to_string())
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Whole or not at all, also at kill -9.
fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let aside = path.with_extension("new");
    fs::write(&aside, serde_json::to_vec(value)?)?;
    fs::rename(&aside, path)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic leaves half-done is a tree that is not in the index, or an index that is not written: the next walk mends both.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Home {
        _directory: tempfile::TempDir,
        kept: PathBuf,
        home: PathBuf,
    }

    impl Home {
        fn new() -> Home {
            let directory = tempfile::tempdir().unwrap();
            let (kept, home) = (directory.path().join("kept"), directory.path().join("home"));
            fs::create_dir(&home).unwrap();
            Home { _directory: directory, kept, home }
        }

        fn open(&self) -> Files {
            let ignored = |path: &Path| path.starts_with(".kube/cache");
            Files::open(&self.kept, vec![Root { name: "workstation".into(), path: self.home.clone(), shown: "/home/learner".into(), ignored }]).unwrap()
        }

        fn write(&self, path: &str, contents: &str) {
            let path = self.home.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }

        fn contents(&self) -> BTreeMap<String, String> {
            let output = std::process::Command::new("sh").current_dir(&self.home).args(["-c", "find . -type f -exec sh -c 'echo \"$1=$(cat \"$1\")\"' _ {} \\;"]).output().unwrap();
            String::from_utf8(output.stdout).unwrap().lines().filter_map(|line| line.split_once('=')).map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
        }
    }

    fn idle(_: &str, _: &Path) -> Option<String> {
        None
    }

    fn told(restored: &Restored) -> Vec<(&'static str, &str)> {
        restored.changes.iter().map(|change| (change.verb.word(), change.path.as_str())).collect()
    }

    #[tokio::test]
    async fn files_come_back_as_they_were_also_after_a_restart() {
        let home = Home::new();
        let files = home.open();
        home.write("ch02/pod.yaml", "one");
        home.write("notes", "mine");
        home.write(".kube/config", "clusters");
        symlink("notes", home.home.join("link")).unwrap();
        fs::set_permissions(home.home.join("notes"), fs::Permissions::from_mode(0o600)).unwrap();
        let first = files.taken().await;
        assert!(!files.differ(first, files.taken().await), "nothing changed");
        let before = home.contents();
        home.write(".kube/cache/x", "nobody's work");
        assert!(!files.differ(first, files.taken().await), "what is ignored is no change");
        home.write("ch02/pod.yaml", "two");
        home.write("new/deep/file", "new");
        fs::remove_file(home.home.join("notes")).unwrap();
        fs::remove_file(home.home.join("link")).unwrap();
        fs::create_dir(home.home.join("notes")).unwrap();
        home.write("notes/inside", "x");
        let second = files.taken().await;
        assert!(files.differ(first, second));
        let after = home.contents();
        drop(files);

        let files = home.open();
        let restored = files.restore(first, None, &idle).unwrap();
        assert_eq!(told(&restored), [
            ("deleted", "/home/learner/notes/inside"),
            ("deleted", "/home/learner/new/deep/file"),
            ("changed back", "/home/learner/ch02/pod.yaml"),
            ("restored", "/home/learner/link"),
            ("changed back", "/home/learner/notes"),
        ]);
        fs::remove_dir_all(home.home.join(".kube/cache")).unwrap();
        assert_eq!(home.contents(), before);
        assert_eq!(fs::metadata(home.home.join("notes")).unwrap().mode() & 0o777, 0o600);
        assert!(!home.home.join("new").exists() && fs::read_link(home.home.join("link")).unwrap() == Path::new("notes"));
        let third = files.taken().await;
        assert!(!files.differ(first, third), "what was restored is what was");
        assert!(files.differ(second, third), "and not what was before the restore");
        assert!(files.restore(first, None, &idle).unwrap().changes.is_empty());
        files.restore(second, None, &idle).unwrap();
        assert_eq!(home.contents().len(), after.len() - 1, "all but the cache");
    }

    #[tokio::test]
    async fn what_is_large_or_in_use_stays_and_is_told() {
        let home = Home::new();
        let files = home.open();
        home.write("data/db", "old");
        let grow = |by| File::create(home.home.join("big")).unwrap().set_len(MAX_FILE + by).unwrap();
        grow(1);
        let mark = files.taken().await;
        home.write("data/db", "new");
        File::create(home.home.join("new-and-big")).unwrap().set_len(MAX_FILE + 1).unwrap();
        grow(1 << 20);
        let busy = |_: &str, path: &Path| path.starts_with("/home/learner/data").then(|| "/home/learner/data is in use by pod/db".to_owned());
        let restored = files.restore(mark, None, &busy).unwrap();
        assert_eq!(told(&restored), [("deleted", "/home/learner/new-and-big")], "what was not there then goes, whatever its size");
        assert_eq!(restored.notes, [
            "workstation: /home/learner/data is in use by pod/db: the files in it stay as they are.",
            "workstation: /home/learner/big (9 MB) is too large to be taken back; it stays as it is.",
        ]);
        assert_eq!(told(&files.restore(mark, None, &idle).unwrap()), [("changed back", "/home/learner/data/db")]);
    }

    #[tokio::test]
    async fn what_nobody_can_go_back_to_is_let_go() {
        let home = Home::new();
        let files = home.open();
        let mut marks = Vec::new();
        for number in 0..20 {
            home.write("file", &format!("{number}"));
            marks.push(files.taken().await);
        }
        files.pin(vec![marks[3]]);
        files.forget(2).unwrap();
        let count = |what: &str| fs::read_dir(home.kept.join(what)).unwrap().count();
        assert_eq!((count("trees"), count("blobs")), (3, 3));
        assert!(files.restore(marks[10], None, &idle).unwrap().notes[0].contains("not kept any more"));
        files.restore(marks[3], None, &idle).unwrap();
        assert_eq!(home.contents()["./file"], "3");
    }
}
