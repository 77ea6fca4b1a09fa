//! Pulling from registries: open to all, behind a token, behind a password, behind TLS, and not there at all.

mod fixture;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener},
    process::Command,
    sync::{Arc, Mutex},
};

use drydock_image::{
    Digest, Keyring, Library, PullPolicy, Pulled, Store,
    registry::{Credentials, pull},
};
use fixture::{fixture, reference};

/// Who is let in.
#[derive(Clone, Copy)]
enum Door {
    /// Whoever has a token, which everybody gets who knows no wrong password.
    Token,
    /// Whoever knows the password.
    Password,
}

/// me:right
const RIGHT: &str = "bWU6cmlnaHQ=";
/// me:wrong
const WRONG: &str = "bWU6d3Jvbmc=";

/// A registry of one image, `app:v1`. It says what it was asked.
struct Registry {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    fn start(host: IpAddr, door: Door, tls: Option<Arc<rustls::ServerConfig>>, library: &Library, manifest: &Digest) -> Registry {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (log, library, manifest) = (Arc::clone(&asked), library.clone(), manifest.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, library, manifest, tls) = (Arc::clone(&log), library.clone(), manifest.clone(), tls.clone());
                let answer = move |path: &str, authorization: &str| {
                    log.lock().unwrap().push(path.to_owned());
                    answer(door, address, &library, &manifest, path, authorization)
                };
                std::thread::spawn(move || {
                    // A client that goes away, or does not trust us, is no event.
                    drop(match tls {
                        None => converse(stream, answer),
                        Some(tls) => converse(rustls::StreamOwned::new(rustls::ServerConnection::new(tls).unwrap(), stream), answer),
                    });
                });
            }
        });
        Registry { address, asked }
    }

    fn image(&self) -> String {
        format!("{}/app:v1", self.address)
    }
}

/// Status, more headers, body.
type Answer = (&'static str, String, Vec<u8>);

fn converse(stream: impl Read + Write, answer: impl Fn(&str, &str) -> Answer) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut headers = BTreeMap::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim().split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())) else { break };
            headers.insert(name, value);
        }
        let path = line.split(' ').nth(1).unwrap_or_default();
        let (status, extra, body) = answer(path, headers.get("authorization").map(String::as_str).unwrap_or_default());
        let stream = reader.get_mut();
        write!(stream, "HTTP/1.1 {status}\r\n{extra}Content-Length: {}\r\n\r\n", body.len())?;
        stream.write_all(&body)?;
        stream.flush()?;
    }
}

fn answer(door: Door, address: SocketAddr, library: &Library, manifest: &Digest, path: &str, authorization: &str) -> Answer {
    let known = authorization == format!("Basic {RIGHT}");
    let refused = |challenge: String| ("401 Unauthorized", format!("WWW-Authenticate: {challenge}\r\n"), Vec::new());
    let path = path.split('?').next().unwrap_or(path).replace("/v2/library/app/", "/v2/app/");
    if path.starts_with("/token") {
        return match authorization.is_empty() || known {
            true => ("200 OK", String::new(), b"{\"token\": \"t0k\"}".to_vec()),
            false => ("401 Unauthorized", String::new(), Vec::new()),
        };
    }
    match door {
        Door::Token if authorization != "Bearer t0k" => {
            return refused(format!("Bearer realm=\"http://{address}/token\",service=\"test\",scope=\"repository:app:pull\""));
        }
        Door::Password if !known => return refused("Basic realm=\"test\"".to_owned()),
        Door::Token | Door::Password => {}
    }
    if path == "/v2/app/manifests/v1" && library.has(manifest) {
        let (architecture, size) = (oci_spec::image::Arch::default(), 1);
        let platform = |architecture: &str| serde_json::json!({"architecture": architecture, "os": "linux"});
        let list = serde_json::json!({"manifests": [
            {"mediaType": "x", "digest": Digest::of(b"other"), "size": size, "platform": platform("s390x")},
            {"mediaType": "x", "digest": manifest, "size": size, "platform": platform(&architecture.to_string())},
        ]});
        return ("200 OK", String::new(), list.to_string().into_bytes());
    }
    let digest = path.rsplit('/').next().and_then(Digest::parse);
    match digest.and_then(|digest| fs::read(library.blob(&digest)).ok()) {
        Some(body) => ("200 OK", String::new(), body),
        None => ("404 Not Found", String::new(), b"{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\"}]}".to_vec()),
    }
}

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn somebody(user: &str, password: &str) -> Credentials {
    Credentials { user: user.to_owned(), password: password.to_owned() }
}

#[test]
fn images_come_from_registries() {
    let directory = tempfile::tempdir().unwrap();
    let (_, library, digest) = fixture(&directory.path().join("theirs"));
    let registry = Registry::start(HERE, Door::Token, None, &library, &digest);
    let (address, asked) = (registry.address, &registry.asked);
    let ours = Library::new(&directory.path().join("ours"));
    let name = reference(&registry.image());
    assert_eq!(pull(&name, &ours, &Credentials::default(), &mut |_| {}).unwrap(), digest);
    assert_eq!(ours.find(&name).unwrap(), Some(digest.clone()));
    assert!(asked.lock().unwrap().iter().any(|path| path.starts_with("/token?scope=repository")), "{asked:?}");
    assert!(pull(&name, &ours, &somebody("me", "right"), &mut |_| {}).is_ok());
    let unknown = pull(&reference(&format!("{address}/app:v9")), &ours, &Credentials::default(), &mut |_| {}).unwrap_err();
    assert!(unknown.message.ends_with(&format!("{address}/app:v9: not found")), "{}", unknown.message);

    // A node asks registries near it by itself.
    let node = Store::open(&directory.path().join("node")).unwrap();
    assert_eq!(node.pull(&name.to_string()).unwrap().digest, digest);
    assert!(!node.must_pull(&name.to_string(), PullPolicy::IfNotPresent));
}

#[test]
fn a_manifest_that_lies_is_found_out() {
    let directory = tempfile::tempdir().unwrap();
    let (_, library, digest) = fixture(&directory.path().join("theirs"));
    let honest: serde_json::Value = serde_json::from_slice(&fs::read(library.blob(&digest)).unwrap()).unwrap();
    let many: Vec<_> = std::iter::repeat_n(honest["layers"][0].clone(), 1000).collect();
    for (name, place, lie, wanted) in [
        ("honest", "/schemaVersion", serde_json::json!(2), None),
        ("sizes nobody has", "/layers/0/size", serde_json::json!(u64::MAX), None),
        ("a layer longer than it says", "/layers/0/size", serde_json::json!(3), Some("digest")),
        ("a layer that is not there", "/layers/0/digest", serde_json::json!(Digest::of(b"absent")), Some("not found")),
        ("the layers of another order", "/layers/0", honest["layers"][1].clone(), Some("its content has the digest")),
        ("a thousand layers", "/layers", serde_json::json!(many), Some("its manifest and its configuration name different layers")),
        ("no configuration", "/config", serde_json::Value::Null, Some("no match for platform in manifest: not found")),
        ("a configuration that is a layer", "/config/digest", honest["layers"][0]["digest"].clone(), Some("did not contain valid UTF-8")),
        ("a digest that climbs", "/layers/0/digest", serde_json::json!("sha256:../../../../etc/passwd"), Some("its manifest cannot be read")),
        ("a digest that is none", "/config/digest", serde_json::json!("x"), Some("its manifest cannot be read")),
        ("no manifest", "", serde_json::json!("hello"), Some("its manifest cannot be read")),
    ] {
        let mut told = honest.clone();
        *told.pointer_mut(place).unwrap() = lie;
        if name == "sizes nobody has" {
            told["layers"][1]["size"] = serde_json::json!(u64::MAX);
        }
        let (digest, _) = library.put(told.to_string().as_bytes(), None).unwrap();
        let registry = Registry::start(HERE, Door::Token, None, &library, &digest);
        let node = Store::open(&directory.path().join(name)).unwrap();
        let pulled = node.pull(&registry.image()).map(|image| image.digest);
        match wanted {
            None => assert_eq!(pulled, Ok(digest), "{name}"),
            Some(why) => assert!(pulled.as_ref().is_err_and(|error| error.message.contains(why)), "{name}: {pulled:?}"),
        }
    }
}

/// What a Pod's image pull Secret says.
fn keyring(registry: &Registry, auth: &str) -> Keyring {
    let mut keyring = Keyring::default();
    if !auth.is_empty() {
        assert!(keyring.add(format!("{{\"auths\":{{\"{}\":{{\"auth\":\"{auth}\"}}}}}}", registry.address).as_bytes()));
    }
    keyring
}

#[test]
fn who_asks_is_let_in_or_told_why_not() {
    let directory = tempfile::tempdir().unwrap();
    let (_, library, digest) = fixture(&directory.path().join("theirs"));
    let node = Store::open(&directory.path().join("node")).unwrap();
    for (door, auth, wanted) in [
        (Door::Token, "", None),
        (Door::Token, RIGHT, None),
        (Door::Token, WRONG, Some("failed to resolve reference \"NAME\": failed to authorize: failed to fetch oauth token: unexpected status from GET request to http://ADDRESS/token: 401 Unauthorized")),
        (Door::Password, RIGHT, None),
        (Door::Password, WRONG, Some("failed to resolve reference \"NAME\": unexpected status from HEAD request to http://ADDRESS/v2/app/manifests/v1: 401 Unauthorized")),
        (
            Door::Password,
            "",
            Some("failed to resolve reference \"NAME\": pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials"),
        ),
    ] {
        let registry = Registry::start(HERE, door, None, &library, &digest);
        let image = registry.image();
        let answer = node.ensure_with(&image, PullPolicy::Always, &keyring(&registry, auth));
        match wanted {
            None => assert!(matches!(answer, Ok(Pulled::Pulled(_))), "{auth}: {answer:?}"),
            Some(why) => {
                let error = answer.unwrap_err();
                let said = error.message.replace(&image, "NAME").replace(&registry.address.to_string(), "ADDRESS");
                assert_eq!(said, format!("rpc error: code = Unknown desc = failed to pull and unpack image \"NAME\": {why}"), "{auth}");
                assert_eq!((error.kind.reason(), error.kind.backs_off()), ("ErrImagePull", true));
            }
        }
    }
}

#[test]
fn nobody_listens_there() {
    let directory = tempfile::tempdir().unwrap();
    let node = Store::open(directory.path()).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = node.pull(&format!("127.0.0.1:{port}/app:v1")).unwrap_err();
    let wanted = format!("failed to do request: Head \"http://127.0.0.1:{port}/v2/app/manifests/v1\": dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert!(refused.message.ends_with(&wanted), "{}", refused.message);
    assert_eq!(refused.kind.reason(), "ErrImagePull");
}

/// An address of every machine that is not a loopback one, which would be spoken to without TLS.
const ANYWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

/// The variables by which the test below asks for one pull in a process of its own.
const NAME: &str = "DRYDOCK_TEST_PULL";
const INTO: &str = "DRYDOCK_TEST_INTO";

/// Authorities are read once in a process, so each pull by TLS has its own.
#[test]
fn one_pull_by_tls() {
    let (Ok(name), Ok(into)) = (std::env::var(NAME), std::env::var(INTO)) else { return };
    match pull(&reference(&name), &Library::new(into.as_ref()), &somebody("me", "right"), &mut |_| {}) {
        Ok(digest) => println!("pulled {digest}"),
        Err(error) => println!("refused {}", error.message),
    }
}

#[test]
fn a_registry_by_tls_has_to_be_trusted() {
    let host = ANYWHERE;
    let directory = tempfile::tempdir().unwrap();
    let (_, library, digest) = fixture(&directory.path().join("theirs"));
    let certificate = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        (rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap(), key)
    };
    let tls = |(certificate, key): &(rcgen::Certificate, rcgen::KeyPair)| {
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let builder = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    };
    let (own, other) = (certificate(&host.to_string()), certificate("elsewhere.example"));
    for (served, trusted, wanted) in [
        (&own, &own, format!("pulled {digest}")),
        (&own, &other, "tls: failed to verify certificate: x509: certificate signed by unknown authority".to_owned()),
        (&other, &other, format!("tls: failed to verify certificate: x509: cannot validate certificate for {host} because it doesn't contain any IP SANs")),
    ] {
        let registry = Registry::start(host, Door::Password, Some(tls(served)), &library, &digest);
        let authorities = directory.path().join("authorities.pem");
        fs::write(&authorities, trusted.0.pem()).unwrap();
        let ours = tempfile::tempdir().unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "one_pull_by_tls", "--nocapture"])
            .env("SSL_CERT_FILE", &authorities)
            .env(NAME, registry.image())
            .env(INTO, ours.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&wanted), "{wanted}: {said}{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A registry behind mirrors, as its directory on a node says.
#[test]
fn a_node_asks_the_mirrors_its_hosts_file_names() {
    let directory = tempfile::tempdir().unwrap();
    let (_, library, digest) = fixture(&directory.path().join("theirs"));
    let (empty, nothing) = (Library::new(&directory.path().join("empty")), Digest::of(b"nothing"));
    let mirror = Registry::start(HERE, Door::Token, None, &library, &digest);
    let without = Registry::start(HERE, Door::Token, None, &empty, &nothing);
    let closed = Registry::start(HERE, Door::Password, None, &library, &digest);
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let certificates = directory.path().join("certs.d");
    fs::create_dir_all(certificates.join("docker.io")).unwrap();
    let file = certificates.join("docker.io/hosts.toml");
    let host = |address: &SocketAddr, more: &str| format!("[host.\"http://{address}\"]\n{more}\n");
    let refused = format!("dial tcp {dead}: connect: connection refused");
    let beyond = "not asked: nodes of the cluster have no way to it, as it is not in their network";
    let hub = format!("https://index.docker.io: {beyond}");
    let closed_says = "authorization failed: no basic auth credentials";
    for (name, text, wanted) in [
        ("one", host(&mirror.address, ""), Ok(vec![])),
        ("its own server", format!("server = \"http://{}\"", mirror.address), Ok(vec![])),
        ("the second, as the first is dead", host(&dead, "") + &host(&mirror.address, ""), Ok(vec![format!("http://{dead}: {refused}")])),
        ("the second, as the first has no such image", host(&without.address, "") + &host(&mirror.address, ""), Ok(vec![format!("http://{}: not found", without.address)])),
        ("the second, as the first lets nobody in", host(&closed.address, "") + &host(&mirror.address, ""), Ok(vec![format!("http://{}: {closed_says}", closed.address)])),
        ("the second, as the first is far away", "[host.\"https://192.0.2.1\"]\n".to_owned() + &host(&mirror.address, ""), Ok(vec![format!("https://192.0.2.1: {beyond}")])),
        ("tags of one, content of another", host(&closed.address, "capabilities = [\"pull\"]") + &host(&mirror.address, "capabilities = [\"resolve\", \"pull\"]"), Ok(vec![format!("http://{}: {closed_says}", closed.address)])),
        ("none has it", host(&without.address, ""), Err(format!("docker.io/library/app:v1: not found (hosts passed over: http://{}: not found; {hub})", without.address))),
        (
            "the first trouble that is more than an absence",
            host(&without.address, "") + &host(&dead, "") + &host(&closed.address, ""),
            Err(format!(
                "failed to do request: Head \"http://{dead}/v2/library/app/manifests/v1?ns=docker.io\": {refused} (hosts passed over: http://{}: not found; http://{dead}: {refused}; http://{}: {closed_says}; {hub})",
                without.address, closed.address
            )),
        ),
        ("far away, all of it", "[host.\"https://192.0.2.1\"]\n".to_owned(), Err(format!("authorization failed (hosts passed over: https://192.0.2.1: {beyond}; {hub})"))),
        ("a file that is wrong", host(&mirror.address, "capabilities = \"read\""), Err(format!("failed to resolve reference \"docker.io/library/app:v1\": {}:2: host.\"http://{}\".capabilities: unknown capability \"read\"; there are pull, resolve, push and referrers", file.display(), mirror.address))),
    ] {
        fs::write(&file, text).unwrap();
        let node = Store::open(&directory.path().join(name)).unwrap().trusting(certificates.clone());
        let pulled = node.pull("app:v1").map(|image| (image.digest, image.passed_over));
        match wanted {
            Ok(passed_over) => assert_eq!(pulled, Ok((digest.clone(), passed_over)), "{name}"),
            Err(why) => assert!(pulled.as_ref().is_err_and(|error| error.message.ends_with(&why)), "{name}: {why}\n{pulled:?}"),
        }
    }
    let asked = mirror.asked.lock().unwrap();
    assert!(asked.iter().all(|path| path.starts_with("/token") || path.ends_with("?ns=docker.io")), "{asked:?}");
}

#[test]
fn a_mirror_by_tls_is_trusted_as_its_hosts_file_says() {
    let directory = tempfile::tempdir().unwrap();
    let (_, library, digest) = fixture(&directory.path().join("theirs"));
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new([HERE.to_string()]).unwrap().self_signed(&key).unwrap();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let builder = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let tls = Arc::new(builder.with_single_cert(vec![certificate.der().clone()], private).unwrap());
    let mirror = Registry::start(HERE, Door::Password, Some(tls), &library, &digest);
    let certificates = directory.path().join("certs.d");
    let folder = certificates.join("registry.example");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("mirror.pem"), certificate.pem()).unwrap();
    let mut known = Keyring::default();
    assert!(known.add(format!("{{\"auths\":{{\"registry.example\":{{\"auth\":\"{RIGHT}\"}}}}}}").as_bytes()));
    for (name, more, wanted) in [
        ("unknown", "", Some("x509: certificate signed by unknown authority; to trust it, name a file with the certificate of its authority as ca of it in FOLDER/hosts.toml on the node")),
        ("known", "ca = \"mirror.pem\"", None),
        ("unasked", "skip_verify = true", None),
    ] {
        fs::write(folder.join("hosts.toml"), format!("[host.\"https://{}\"]\n{more}\n", mirror.address)).unwrap();
        let node = Store::open(&directory.path().join(name)).unwrap().trusting(certificates.clone());
        let pulled = node.ensure_with("registry.example/app:v1", PullPolicy::Always, &known).map(|pulled| pulled.into_image().digest);
        match wanted {
            None => assert_eq!(pulled, Ok(digest.clone()), "{name}"),
            Some(why) => assert!(pulled.as_ref().is_err_and(|error| error.message.replace(&folder.display().to_string(), "FOLDER").contains(why)), "{name}: {pulled:?}"),
        }
    }
}
