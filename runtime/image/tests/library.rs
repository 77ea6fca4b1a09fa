//! Images from elsewhere: written to files and read again, taken by a node's store.

mod fixture;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use drydock_image::{
    Library, PullErrorKind, PullPolicy, Pulled, Store,
    portable::{export, import},
};
use fixture::{fixture, reference};

#[test]
fn what_is_in_the_library_is_pulled_and_pulled_again_when_it_changes() {
    let directory = tempfile::tempdir().unwrap();
    let (store, library, digest) = fixture(directory.path());
    let image = store.pull("example/app:v1").unwrap();
    assert_eq!((&image.digest, image.layers.len()), (&digest, 2));
    assert_eq!(fs::read_to_string(image.layers[0].join("a")).unwrap(), "one");
    assert_eq!(image.config.config().as_ref().unwrap().cmd().as_ref().unwrap(), &["/a"]);
    assert!(!store.must_pull("example/app:v1", PullPolicy::IfNotPresent));
    assert!(store.pull(&format!("example/app@{digest}")).is_ok());

    // A bundled name is answered by what the library has under it, as soon as it has.
    let bundled = store.pull("kiamol/ch02-whoami").unwrap();
    library.name(&reference("kiamol/ch02-whoami"), &digest).unwrap();
    assert!(store.must_pull("kiamol/ch02-whoami", PullPolicy::IfNotPresent));
    let Pulled::Pulled(other) = store.ensure("kiamol/ch02-whoami", PullPolicy::IfNotPresent).unwrap() else { panic!("not pulled") };
    assert_eq!(other.id, image.id);
    assert!(library.remove(&reference("kiamol/ch02-whoami")).unwrap());
    assert_eq!(store.pull("kiamol/ch02-whoami").unwrap().id, bundled.id);

    // Blobs stay as long as a name needs them.
    assert!(library.has(&digest));
    assert!(library.remove(&reference("example/app:v1")).unwrap());
    assert!(!library.has(&digest) && !library.remove(&reference("example/app:v1")).unwrap());
}

#[test]
fn a_recipe_that_was_not_followed_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let error = store.pull("postgres:11.6-alpine").unwrap_err();
    assert_eq!(error.kind, PullErrorKind::Failed);
    assert!(error.message.ends_with("run \"drydock image prefetch lunches\" (needs a network once)"), "{}", error.message);
    assert!(store.pull("nginx:1.17-alpine").unwrap().stand_in.is_some());
}

#[test]
fn images_go_into_files_and_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let (_, library, digest) = fixture(&directory.path().join("one"));
    let stored = library.read(reference("example/app:v1"), &digest).unwrap();
    let file = directory.path().join("app.tar");
    export(&stored, &library, &file).unwrap();
    let unpacked = directory.path().join("layout");
    tar::Archive::new(fs::File::open(&file).unwrap()).unpack(&unpacked).unwrap();
    // Without the index it is an archive of an older docker.
    let old = directory.path().join("old");
    fs::create_dir(&old).unwrap();
    for name in ["manifest.json", "blobs"] {
        fs::rename(unpacked.join(name), old.join(name)).unwrap();
    }
    tar::Archive::new(fs::File::open(&file).unwrap()).unpack(&unpacked).unwrap();
    for (path, name, wanted) in [(&file, None, "docker.io/example/app:v1"), (&unpacked, Some("other:v2"), "docker.io/library/other:v2"), (&old, None, "docker.io/example/app:v1")] {
        let fresh = tempfile::tempdir().unwrap();
        let store = Store::open(fresh.path()).unwrap();
        let names = import(path, name.map(reference).as_ref(), store.library()).unwrap();
        assert_eq!(names.iter().map(ToString::to_string).collect::<Vec<_>>(), [wanted], "{}", path.display());
        let image = store.pull(wanted).unwrap();
        assert_eq!(image.id, stored.id, "{}", path.display());
    }
    for content in ["", "hello", "{}"] {
        fs::write(&file, content).unwrap();
        assert!(import(&file, None, &library).is_err(), "{content}");
    }
}

/// The variable that makes the first test below the one that is killed while it writes.
const WRITES: &str = "DRYDOCK_TEST_WRITES_INTO";

/// Gives some bytes, says so, and then nothing for as long as it is left alone.
struct Endless;

impl std::io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        static BEGAN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
        if BEGAN.swap(true, std::sync::atomic::Ordering::Relaxed) {
            println!("writing");
            std::thread::park();
        }
        buffer[0] = b'x';
        Ok(1)
    }
}

#[test]
fn one_that_is_killed_while_it_writes() {
    let Some(directory) = std::env::var_os(WRITES) else { return };
    Library::new(directory.as_ref()).put(Endless, None).unwrap();
}

#[test]
fn what_a_killed_writer_left_is_removed_and_what_one_that_lives_writes_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let (_, library, digest) = fixture(directory.path());
    let blobs = directory.path().join("library/blobs/sha256");
    let left = || fs::read_dir(&blobs).unwrap().flatten().filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b".incoming-")).count();
    let start = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "one_that_is_killed_while_it_writes", "--nocapture"]).env(WRITES, directory.path().join("library"));
        let mut writer = command.stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok).any(|line| line.contains("writing"));
        assert!(said, "it does not write");
        writer
    };
    let sweeps: [(&str, &dyn Fn()); 3] = [
        ("the next writer", &|| drop(library.put(b"next".as_slice(), None).unwrap())),
        ("the start of a cluster", &|| library.remove_unfinished().unwrap()),
        ("the end of an image", &|| assert!(library.remove(&reference("example/app:v1")).unwrap())),
    ];
    for (name, sweep) in sweeps {
        let mut writer = start();
        assert_eq!(left(), 1, "{name}");
        sweep();
        assert_eq!(left(), 1, "{name} takes what is being written");
        library.name(&reference("example/app:v1"), &digest).unwrap();
        writer.kill().unwrap();
        writer.wait().unwrap();
        sweep();
        assert_eq!(left(), 0, "{name} leaves it");
    }
}
