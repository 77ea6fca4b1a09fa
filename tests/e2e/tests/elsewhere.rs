//! Lessons on a cluster that is not ours: `serve --kubeconfig`.

use std::process::Command;

use drydock_kit::{Drydock, PATIENCE, Ran, binary, eventually, repository};

#[test]
fn lessons_are_done_on_another_cluster() {
    let other = Drydock::cluster(1);
    let mut drydock = Drydock::idle();
    let (kubeconfig, content) = (other.state().join("kubeconfig"), repository());
    let serve = ["serve", "--listen", "127.0.0.1:0", "--api-port", "0", "--no-open", "--content", &content.to_string_lossy(), "--kubeconfig", &kubeconfig.to_string_lossy()];
    drydock.start(&serve);
    // What is kept of it is kept under the name of its context.
    let kept = std::fs::read_dir(drydock.state().join("elsewhere")).unwrap().next().unwrap().unwrap().path();
    let types = |words: &[&str]| Ran::of(Command::new(binary()).arg("--state").arg(&kept).args(["cluster", "shell", "workstation"]).args(words));

    assert!(types(&["kubectl", "get", "nodes"]).ok().contains("node-1"), "the terminal speaks to the other cluster");
    assert!(types(&["lab", "open", "ch02"]).ok().contains("1. Run a Pod"));
    types(&["kubectl", "run", "hello-kiamol", "--image=kiamol/ch02-hello-kiamol", "--restart=Never"]).ok();
    assert!(other.kubectl(&["get", "pods"]).ok().contains("hello-kiamol"));
    eventually(PATIENCE, || {
        let said = types(&["lab", "status", "-o", "json"]).ok();
        let checks: serde_json::Value = serde_json::from_str(&said).unwrap();
        let pod = checks["checks"].as_array().unwrap().iter().find(|check| check["check"] == "ch02-pod-runs").unwrap();
        if pod["state"] == "passed" { Ok(()) } else { Err(said) }
    });
    // What happened before it was looked at is not known, what happens now is.
    assert!(types(&["kubectl", "exec", "hello-kiamol", "--", "hostname"]).ok().contains("hello-kiamol"));
    let shown = types(&["lab", "open", "container-gone"]).ok();
    assert!(shown.contains("Not on this cluster. It is about a node's containers"), "{shown}");
    let refused = types(&["lab", "undo"]);
    assert!(!refused.status.success() && refused.stdout.contains("is not Drydock's own cluster"), "{refused:?}");
}

#[test]
fn a_kubeconfig_that_leads_nowhere_is_said() {
    let drydock = Drydock::idle();
    let path = drydock.state().join("elsewhere.yaml");
    let text = "apiVersion: v1\ncurrent-context: away\ncontexts: [{name: away, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {token: x}}]\n";
    std::fs::write(&path, text).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--api-port", "0", "--no-open", "--kubeconfig", &path.to_string_lossy()];
    let refused = drydock.run(&serve).refused();
    assert!(refused.contains("no answer from the cluster \"away\"") && refused.contains("get nodes` work?"), "{refused}");
}
