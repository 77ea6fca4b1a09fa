//! The store through its public seam.

use super::*;
use crate::error::PullErrorKind;

#[test]
fn bundled_images_are_pulled_once_and_listed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert!(store.list().unwrap().is_empty());
    let image = store.pull("kiamol/ch02-hello-kiamol").unwrap();
    assert_eq!(image.repo_tags, ["docker.io/kiamol/ch02-hello-kiamol:latest"]);
    assert_eq!(
        image.repo_digests,
        [format!("docker.io/kiamol/ch02-hello-kiamol@{}", image.digest)]
    );
    let page = image.layers.last().unwrap().join("usr/share/nginx/html/index.html");
    assert!(fs::read_to_string(page).unwrap().contains("Hello from Chapter 2!"));
    assert!(image.layers[0].join("bin/sh").exists());
    let labels = image.config.config().as_ref().unwrap().labels().as_ref().unwrap();
    assert_eq!(labels["io.drydock.stand-in"], "true");

    let again = Store::open(dir.path()).unwrap();
    let pulled = again.ensure("kiamol/ch02-hello-kiamol:latest", PullPolicy::Never).unwrap();
    assert!(matches!(&pulled, Pulled::AlreadyPresent(same) if same.id == image.id));
    assert_eq!(again.get(&image.id.hex()[..12]).unwrap().unwrap().id, image.id);
    let pinned = again.pull(&image.repo_digests[0]).unwrap();
    assert_eq!(pinned.id, image.id);
    assert!(again.remove("kiamol/ch02-hello-kiamol").unwrap());
    assert!(again.get("kiamol/ch02-hello-kiamol").unwrap().is_none());
}

#[test]
fn failures_have_a_kind_and_upstreams_words() {
    use PullErrorKind as K;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let cases = [
        ("kiamol/Web", PullPolicy::Always, K::InvalidName, "must be lowercase"),
        ("a b", PullPolicy::Always, K::InvalidName, "couldn't parse image name \"a b\": invalid reference format"),
        (
            "kiamol/ch02-whoami",
            PullPolicy::Never,
            K::NeverPull,
            "Container image \"kiamol/ch02-whoami\" is not present with pull policy of Never",
        ),
        (
            "kiamol/ch02-whoami:v9",
            PullPolicy::IfNotPresent,
            K::NotFound,
            "failed to pull and unpack image \"docker.io/kiamol/ch02-whoami:v9\": failed to resolve reference \
             \"docker.io/kiamol/ch02-whoami:v9\": docker.io/kiamol/ch02-whoami:v9: not found",
        ),
        ("kiamol/nothing", PullPolicy::Always, K::NotFound, "pull access denied, repository does not exist"),
    ];
    for (name, policy, kind, words) in cases {
        let error = store.ensure(name, policy).unwrap_err();
        assert_eq!(error.kind, kind, "{name}");
        assert!(error.message.contains(words), "{name}: {}", error.message);
    }
}

#[test]
fn every_bundled_image_can_be_pulled() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for entry in store.catalogue().entries() {
        if matches!(entry.source, Source::Bundled(_)) {
            store.pull(&entry.reference.to_string()).unwrap();
        }
    }
    assert!(store.userland_dir().unwrap().join("etc/passwd").exists());
}

#[test]
fn stores_of_two_nodes_share_layers_but_not_images() {
    let dir = tempfile::tempdir().unwrap();
    let open = |node: &str| {
        let dirs = StoreDirs { layers: dir.path().join("layers"), images: dir.path().join(node) };
        Store::open_in(dirs).unwrap()
    };
    let (one, two) = (open("node-1"), open("node-2"));
    one.pull("kiamol/ch02-whoami").unwrap();
    assert_eq!(one.list().unwrap().len(), 1);
    assert!(two.list().unwrap().is_empty());
}

#[test]
fn what_was_left_half_unpacked_is_removed_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.pull("kiamol/ch02-hello-kiamol").unwrap();
    let layers = directory.path().join("layers");
    let names = || {
        let mut names: Vec<_> = fs::read_dir(&layers).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let whole = names();
    fs::create_dir_all(layers.join(".unpacking-x1/usr/bin")).unwrap();
    store.remove_unfinished().unwrap();
    assert_eq!(names(), whole);
}

#[test]
fn many_pull_one_image_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let errors: Vec<String> = std::thread::scope(|scope| {
        let pulls: Vec<_> = (0..16).map(|_| scope.spawn(|| (0..20).find_map(|_| store.pull("kiamol/ch02-hello-kiamol").err()))).collect();
        pulls.into_iter().filter_map(|pull| pull.join().unwrap()).map(|error| error.message).collect()
    });
    assert_eq!(errors, [""; 0]);
    let left: Vec<_> = fs::read_dir(directory.path().join("images")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

/// Each node's kubelet lives in a PID namespace of its own, where it has the number that its peers have in theirs.
#[test]
fn nodes_that_share_layers_and_process_ids_pull_one_image_at_once() {
    const SHARED: &str = "DRYDOCK_TEST_SHARED_LAYERS";
    if let Some(directory) = std::env::var_os(SHARED).map(PathBuf::from) {
        let images = tempfile::tempdir_in(&directory).unwrap();
        Store::open_in(StoreDirs { layers: directory.join("layers"), images: images.path().to_owned() }).unwrap().pull("kiamol/ch02-hello-kiamol").unwrap();
        return;
    }
    let own_ids = ["--user", "--map-root-user", "--pid", "--fork"];
    let tried = std::process::Command::new("unshare").args(own_ids).arg("true").output();
    assert!(tried.as_ref().is_ok_and(|tried| tried.status.success()), "a process here needs process ids of its own, as Drydock itself does (drydock doctor): {tried:?}");
    let name = std::thread::current().name().unwrap().to_owned();
    for round in 0..5 {
        let directory = tempfile::tempdir().unwrap();
        let spawn = |_| {
            let mut command = std::process::Command::new("unshare");
            command.args(own_ids).arg(std::env::current_exe().unwrap()).args(["--exact", &name]);
            command.env(SHARED, directory.path()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        };
        let nodes: Vec<_> = (0..8).map(spawn).collect();
        for node in nodes {
            let output = node.wait_with_output().unwrap();
            assert!(output.status.success(), "round {round}: {}", String::from_utf8_lossy(&output.stdout));
        }
        let layers = directory.path().join("layers");
        let mut left: Vec<_> = fs::read_dir(&layers).unwrap().map(|entry| entry.unwrap().path()).collect();
        left.sort();
        assert_eq!(left.len(), 2, "{left:?}");
        let pages: Vec<_> = left.iter().filter(|layer| layer.join("usr/share/nginx/html/index.html").exists()).collect();
        assert_eq!(pages.len(), 1, "round {round}: a layer is not whole");
    }
}
