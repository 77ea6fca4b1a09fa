//! A registry of one's own, in the cluster: images come from it for those who know the password.

use std::fs;
use std::path::Path;
use std::process::Command;

use drydock_kit::{Drydock, PATIENCE, Ran, eventually};

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

/// A Pod of the registry's image, with this Secret. The registry is asked each time: what a node has, it has for all Pods.
fn pod(name: &str, secret: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  imagePullSecrets: [{{name: {secret}}}]\n  \
         containers: [{{name: web, image: \"127.0.0.1:5000/app:v1\", imagePullPolicy: Always}}]\n"
    )
}

#[test]
fn an_image_pull_secret_opens_a_private_registry() {
    let drydock = Drydock::cluster(1);
    drydock.apply(REGISTRY).ok();
    drydock.kubectl(&["wait", "--for=condition=Ready", "pod/registry", "--timeout=60s"]).ok();
    let srv = drydock.state().join("srv");
    files(&drydock, &srv);
    drydock.kubectl(&["cp", &srv.to_string_lossy(), "registry:/"]).ok();
    for (secret, password) in [("good", "right"), ("bad", "wrong")] {
        let (user, password) = ("--docker-username=me", format!("--docker-password={password}"));
        drydock.kubectl(&["create", "secret", "docker-registry", secret, "--docker-server=127.0.0.1:5000", user, &password]).ok();
    }
    for name in ["good", "bad", "missing"] {
        drydock.apply(&pod(name, name)).ok();
    }
    let ran = drydock.kubectl(&["wait", "--for=condition=Ready", "pod/good", "--timeout=60s"]);
    assert!(ran.status.success(), "{}{}", ran.stderr, drydock.kubectl(&["describe", "pod", "good"]).stdout);
    let described = drydock.kubectl(&["describe", "pod", "good"]).ok();
    assert!(described.contains("Successfully pulled image \"127.0.0.1:5000/app:v1\" in "), "{described}");
    for (name, why) in [
        ("bad", "unexpected status from HEAD request to http://127.0.0.1:5000/v2/app/manifests/v1: 401 Unauthorized"),
        ("missing", "pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials"),
    ] {
        eventually(PATIENCE, || {
            let waiting = drydock.get(&["pod", name])["status"]["containerStatuses"][0]["state"]["waiting"].take();
            let backs_off = waiting["reason"] == "ImagePullBackOff" && waiting["message"].as_str().is_some_and(|message| message.contains(why));
            if backs_off { Ok(()) } else { Err(waiting.to_string()) }
        });
        let described = drydock.kubectl(&["describe", "pod", name]).ok();
        assert!(described.contains("Error: ErrImagePull") && described.contains("Error: ImagePullBackOff"), "{described}");
    }
    let described = drydock.kubectl(&["describe", "pod", "missing"]).ok();
    assert!(described.contains("Unable to retrieve some image pull secrets (missing); attempting to pull the image may not succeed."), "{described}");
}
