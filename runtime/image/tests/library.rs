//! Images from elsewhere: written to files and read again, pulled from a registry, taken by a node's store.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::Path,
    sync::{Arc, Mutex},
};

use drydock_image::{
    Digest, Keyring, Library, PullErrorKind, PullPolicy, Pulled, Reference, Store,
    portable::{export, import},
    registry::{Credentials, pull},
};

fn reference(name: &str) -> Reference {
    Reference::parse(name).unwrap()
}

/// A library beside the layers of a store, with one image in it: two layers, the second of which hides a file.
fn fixture(directory: &Path) -> (Store, Library, Digest) {
    let store = Store::open(directory).unwrap();
    let library = store.library().clone();
    let tar = |files: &[(&str, &str)]| {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    };
    let layers = [tar(&[("a", "one"), ("b", "hidden")]), tar(&[("c", "two"), (".wh.b", "")])];
    let mut blobs = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let bytes = if index == 0 {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(layer).unwrap();
            encoder.finish().unwrap()
        } else {
            zstd::encode_all(layer.as_slice(), 1).unwrap()
        };
        let (digest, size) = library.put(bytes.as_slice(), None).unwrap();
        blobs.push(serde_json::json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": size}));
    }
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let architecture = oci_spec::image::Arch::default();
    let config = serde_json::json!({"architecture": architecture, "os": "linux", "config": {"Cmd": ["/a"]}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}).to_string();
    let (config, size) = library.put(config.as_bytes(), None).unwrap();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": size}, "layers": blobs,
    });
    let (digest, _) = library.put(manifest.to_string().as_bytes(), None).unwrap();
    library.name(&reference("example/app:v1"), &digest).unwrap();
    (store, library, digest)
}

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

/// A registry of one image: answers by path, wants a token, and says what it was asked.
fn registry(library: Library, manifest: Digest) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let (log, host) = (Arc::clone(&asked), address.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    break;
                }
                let mut headers = BTreeMap::new();
                loop {
                    let mut header = String::new();
                    reader.read_line(&mut header).unwrap();
                    let Some((name, value)) = header.trim().split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())) else { break };
                    headers.insert(name, value);
                }
                let path = line.split(' ').nth(1).unwrap().to_owned();
                log.lock().unwrap().push(path.clone());
                let authorization = headers.get("authorization").map(String::as_str).unwrap_or_default();
                let (status, extra, body) = if path.starts_with("/token") {
                    match authorization {
                        "" | "Basic bWU6cmlnaHQ=" => ("200 OK", String::new(), b"{\"token\": \"t0k\"}".to_vec()),
                        _ => ("401 Unauthorized", String::new(), Vec::new()),
                    }
                } else if authorization != "Bearer t0k" {
                    ("401 Unauthorized", format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"test\",scope=\"repository:app:pull\"\r\n"), Vec::new())
                } else if path == "/v2/app/manifests/v1" {
                    let (architecture, size) = (oci_spec::image::Arch::default(), 1);
                    let platform = |architecture: &str| serde_json::json!({"architecture": architecture, "os": "linux"});
                    let list = serde_json::json!({"manifests": [
                        {"mediaType": "x", "digest": Digest::of(b"other"), "size": size, "platform": platform("s390x")},
                        {"mediaType": "x", "digest": manifest, "size": size, "platform": platform(&architecture.to_string())},
                    ]});
                    ("200 OK", String::new(), list.to_string().into_bytes())
                } else {
                    let digest = path.rsplit('/').next().and_then(Digest::parse);
                    match digest.and_then(|digest| fs::read(library.blob(&digest)).ok()) {
                        Some(body) => ("200 OK", String::new(), body),
                        None => ("404 Not Found", String::new(), b"{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\"}]}".to_vec()),
                    }
                };
                write!(stream, "HTTP/1.1 {status}\r\n{extra}Content-Length: {}\r\n\r\n", body.len()).unwrap();
                stream.write_all(&body).unwrap();
            }
        }
    });
    (address, asked)
}

#[test]
fn images_come_from_registries() {
    let directory = tempfile::tempdir().unwrap();
    let (_, library, digest) = fixture(&directory.path().join("theirs"));
    let (address, asked) = registry(library, digest.clone());
    let ours = Library::new(&directory.path().join("ours"));
    let name = reference(&format!("{address}/app:v1"));
    assert_eq!(pull(&name, &ours, &Credentials::default(), &mut |_| {}).unwrap(), digest);
    assert_eq!(ours.find(&name).unwrap(), Some(digest.clone()));
    assert!(asked.lock().unwrap().iter().any(|path| path.starts_with("/token?scope=repository")), "{asked:?}");

    let with = |user: &str, password: &str| Credentials { user: user.to_owned(), password: password.to_owned() };
    assert!(pull(&name, &ours, &with("me", "right"), &mut |_| {}).is_ok());
    let denied = pull(&name, &ours, &with("me", "wrong"), &mut |_| {}).unwrap_err();
    assert!(denied.message.contains("pull access denied, repository does not exist or may require authorization: server message: failed to authorize"), "{}", denied.message);
    let unknown = pull(&reference(&format!("{address}/app:v9")), &ours, &Credentials::default(), &mut |_| {}).unwrap_err();
    assert!(unknown.message.ends_with(&format!("{address}/app:v9: not found")), "{}", unknown.message);

    // A node asks registries near it by itself.
    let node = Store::open(&directory.path().join("node")).unwrap();
    assert_eq!(node.pull(&name.to_string()).unwrap().digest, digest);
    assert!(!node.must_pull(&name.to_string(), PullPolicy::IfNotPresent));

    // With a password it is asked as somebody, who may be nobody it knows.
    let asked_as = |auth: &str| {
        let mut keyring = Keyring::default();
        assert!(keyring.add(format!("{{\"auths\":{{\"{address}\":{{\"auth\":\"{auth}\"}}}}}}").as_bytes()));
        node.ensure_with(&name.to_string(), PullPolicy::Always, &keyring)
    };
    assert!(matches!(asked_as("bWU6cmlnaHQ="), Ok(Pulled::Pulled(_))));
    let denied = asked_as("bWU6d3Jvbmc=").unwrap_err();
    assert!(denied.message.contains("pull access denied"), "{}", denied.message);

    // Nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = node.pull(&format!("127.0.0.1:{port}/app:v1")).unwrap_err();
    assert!(refused.message.contains(&format!("failed to do request: Get \"http://127.0.0.1:{port}/v2/app/manifests/v1\"")), "{}", refused.message);
    assert_eq!(refused.kind.reason(), "ErrImagePull");
}
