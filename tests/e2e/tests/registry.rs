//! A registry of one's own, in the cluster: images come from it for those who know the password.

use std::fs;
use std::path::Path;
use std::process::Command;

use drydock_kit::{Drydock, PATIENCE, Ran, eventually};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

/// What a registry is to whoever only pulls: files behind a password. It listens on the node itself, where the node's own puller finds it.
const REGISTRY: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: registry}
data:
  users: "me:{PLAIN}right\n"
  nginx.conf: |
    events {}
    http {
      server {
        listen 5000;
        root /srv;
        location / { auth_basic "registry"; auth_basic_user_file /etc/nginx/users; }
      }
    }
---
apiVersion: v1
kind: Pod
metadata: {name: registry}
spec:
  hostNetwork: true
  containers: [{name: web, image: "nginx:1.17-alpine", volumeMounts: [{name: config, mountPath: /etc/nginx}]}]
  volumes: [{name: config, configMap: {name: registry}}]
"#;

/// The files of a registry that has one image, `app:v1`, which is one of ours.
fn files(drydock: &Drydock, into: &Path) {
    let (archive, layout) = (drydock.state().join("app.tar"), drydock.state().join("layout"));
    drydock.run(&["image", "export", "kiamol/ch02-whoami", &archive.to_string_lossy()]).ok();
    fs::create_dir(&layout).unwrap();
    Ran::of(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&layout)).ok();
    let index: serde_json::Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let manifest = index["manifests"][0]["digest"].as_str().unwrap();
    let (blobs, manifests) = (into.join("v2/app/blobs"), into.join("v2/app/manifests"));
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir_all(&manifests).unwrap();
    for blob in fs::read_dir(layout.join("blobs/sha256")).unwrap().flatten() {
        fs::rename(blob.path(), blobs.join(format!("sha256:{}", blob.file_name().to_string_lossy()))).unwrap();
    }
    fs::rename(blobs.join(manifest), manifests.join("v1")).unwrap();
}

/// The same by TLS, at one port for each certificate. The node is known to others by its own address, which is no loopback.
const BY_TLS: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: registry}
data:
  users: "me:{PLAIN}right\n"
  nginx.conf: |
    events {}
    http {
      root /srv;
      server {
        listen 5001 ssl;
        ssl_certificate good.pem;
        ssl_certificate_key key.pem;
        location / { auth_basic "registry"; auth_basic_user_file /etc/nginx/users; }
      }
      server { listen 5002 ssl; ssl_certificate good.pem; ssl_certificate_key key.pem; }
      server { listen 5003 ssl; ssl_certificate old.pem; ssl_certificate_key key.pem; }
      server { listen 5004 ssl; ssl_certificate other.pem; ssl_certificate_key key.pem; }
      server { listen 5005; }
    }
---
apiVersion: v1
kind: Pod
metadata: {name: registry}
spec:
  hostNetwork: true
  containers: [{name: web, image: "nginx:1.17-alpine", volumeMounts: [{name: config, mountPath: /etc/nginx}]}]
  volumes: [{name: config, projected: {sources: [{configMap: {name: registry}}, {secret: {name: certificates}}]}}]
"#;

/// Where a node looks for authorities, on its disk.
const CERTIFICATES: &str = "/etc/containerd/certs.d";

/// An authority, as PEM, and a directory with the certificates it has signed for one key.
fn certificates(into: &Path, address: &str) -> String {
    let (authority, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&authority).unwrap().pem();
    let issuer = Issuer::new(params, authority);
    let of = |name: &str| CertificateParams::new([name.to_owned()]).unwrap();
    let mut old = of(address);
    (old.not_before, old.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    for (file, params) in [("good.pem", of(address)), ("old.pem", old), ("other.pem", of("192.0.2.1"))] {
        fs::write(into.join(file), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    }
    fs::write(into.join("key.pem"), key.serialize_pem()).unwrap();
    pem
}

/// A Pod of the registry's image, with this Secret. The registry is asked each time: what a node has, it has for all Pods.
fn pod(name: &str, registry: &str, secret: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  imagePullSecrets: [{{name: {secret}}}]\n  \
         containers: [{{name: web, image: \"{registry}/app:v1\", imagePullPolicy: Always}}]\n"
    )
}

/// A registry's Pod that runs, with its image.
fn start(drydock: &Drydock, manifest: &str) {
    drydock.apply(manifest).ok();
    let ran = drydock.kubectl(&["wait", "--for=condition=Ready", "pod/registry", "--timeout=60s"]);
    assert!(ran.status.success(), "{}{}", ran.stderr, drydock.kubectl(&["logs", "registry"]).stdout);
    let srv = drydock.state().join("srv");
    files(drydock, &srv);
    drydock.kubectl(&["cp", &srv.to_string_lossy(), "registry:/"]).ok();
}

/// The Pod waits for its image, and says why.
fn waits(drydock: &Drydock, name: &str, why: &str) {
    eventually(PATIENCE, || {
        let waiting = drydock.get(&["pod", name])["status"]["containerStatuses"][0]["state"]["waiting"].take();
        let backs_off = waiting["reason"] == "ImagePullBackOff" && waiting["message"].as_str().is_some_and(|message| message.contains(why));
        if backs_off { Ok(()) } else { Err(format!("{waiting}; wanted: {why}")) }
    });
}

fn runs(drydock: &Drydock, name: &str) -> String {
    let ran = drydock.kubectl(&["wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=60s"]);
    let described = drydock.kubectl(&["describe", "pod", name]).stdout;
    assert!(ran.status.success(), "{}{described}", ran.stderr);
    described
}

#[test]
fn an_image_pull_secret_opens_a_private_registry() {
    let drydock = Drydock::cluster(1);
    start(&drydock, REGISTRY);
    for (secret, password) in [("good", "right"), ("bad", "wrong")] {
        let (user, password) = ("--docker-username=me", format!("--docker-password={password}"));
        drydock.kubectl(&["create", "secret", "docker-registry", secret, "--docker-server=127.0.0.1:5000", user, &password]).ok();
    }
    for name in ["good", "bad", "missing"] {
        drydock.apply(&pod(name, "127.0.0.1:5000", name)).ok();
    }
    let described = runs(&drydock, "good");
    assert!(described.contains("Successfully pulled image \"127.0.0.1:5000/app:v1\" in "), "{described}");
    for (name, why) in [
        ("bad", "unexpected status from HEAD request to http://127.0.0.1:5000/v2/app/manifests/v1: 401 Unauthorized"),
        ("missing", "pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials"),
    ] {
        waits(&drydock, name, why);
        let described = drydock.kubectl(&["describe", "pod", name]).ok();
        assert!(described.contains("Error: ErrImagePull") && described.contains("Error: ImagePullBackOff"), "{described}");
    }
    let described = drydock.kubectl(&["describe", "pod", "missing"]).ok();
    assert!(described.contains("Unable to retrieve some image pull secrets (missing); attempting to pull the image may not succeed."), "{described}");
}

#[test]
fn a_registry_by_tls_is_trusted_by_its_node_or_says_how_to() {
    let drydock = Drydock::cluster(1);
    let node = drydock.get(&["node", "node-1"])["status"]["addresses"][0]["address"].as_str().unwrap().to_owned();
    let directory = drydock.state().join("certificates");
    fs::create_dir(&directory).unwrap();
    let authority = certificates(&directory, &node);
    drydock.kubectl(&["create", "secret", "generic", "certificates", &format!("--from-file={}", directory.display())]).ok();
    start(&drydock, BY_TLS);
    let user = ["--docker-username=me", "--docker-password=right"];
    drydock.kubectl(&["create", "secret", "docker-registry", "good", &format!("--docker-server={node}:5001"), user[0], user[1]]).ok();
    // The reader does what the message says, for all but one of them.
    let trust = |port: u16| {
        let own = format!("/host{CERTIFICATES}/{node}:{port}");
        let script = format!("mkdir -p {own} && printf %s '{authority}' > {own}/ca.crt");
        drydock.run(&["cluster", "shell", "node-1", "--", "sh", "-c", &script]).ok();
    };
    for port in [5001, 5003, 5004] {
        trust(port);
    }
    for (name, port, secret) in [("trusted", 5001, "good"), ("stranger", 5002, "none"), ("expired", 5003, "none"), ("renamed", 5004, "none"), ("plain", 5005, "none")] {
        drydock.apply(&pod(name, &format!("{node}:{port}"), secret)).ok();
    }
    let described = runs(&drydock, "trusted");
    assert!(described.contains(&format!("Successfully pulled image \"{node}:5001/app:v1\" in ")), "{described}");
    let refused = |port: u16, why: &str| {
        let url = format!("failed to do request: Head \"https://{node}:{port}/v2/app/manifests/v1\": ");
        format!("{url}{}{why}", if port == 5005 { "" } else { "tls: failed to verify certificate: x509: " })
    };
    let stranger = format!("certificate signed by unknown authority; to trust {node}:5002, put the certificate of its authority into {CERTIFICATES}/{node}:5002/ca.crt on the node");
    for (name, port, why) in [
        ("stranger", 5002, stranger.clone()),
        ("expired", 5003, "certificate has expired or is not yet valid: current time ".to_owned()),
        ("renamed", 5004, format!("certificate is valid for 192.0.2.1, not {node}; the certificate of {node}:5004 is for another name: ask for the image by that")),
        ("plain", 5005, "http: server gave HTTP response to HTTPS client".to_owned()),
    ] {
        waits(&drydock, name, &refused(port, &why));
        let described = drydock.kubectl(&["describe", "pod", name]).ok();
        assert!(described.contains(&why) && described.contains("Error: ErrImagePull"), "{described}");
    }
    let expired = drydock.kubectl(&["describe", "pod", "expired"]).ok();
    assert!(expired.contains(&format!(" is after 2021-01-01T00:00:00Z; {node}:5003 needs a new certificate")), "{expired}");
    // And that was all there was to do.
    trust(5002);
    runs(&drydock, "stranger");
}
