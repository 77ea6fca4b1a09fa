//! Lessons on a cluster that is not ours: `serve --kubeconfig`.

use std::path::{Path, PathBuf};
use std::process::Command;

use drydock_kit::{Drydock, PATIENCE, Ran, binary, eventually, repository};

use crate::terminal::Terminal;

/// The lessons on another cluster, and where what is kept of it lies: under the name of its context.
fn serve(other: &Drydock) -> (Drydock, PathBuf) {
    let mut drydock = Drydock::idle();
    let (kubeconfig, content) = (other.state().join("kubeconfig"), repository());
    let serve = ["serve", "--listen", "127.0.0.1:0", "--api-port", "0", "--no-open", "--content", &content.to_string_lossy(), "--kubeconfig", &kubeconfig.to_string_lossy()];
    drydock.start(&serve);
    let kept = std::fs::read_dir(drydock.state().join("elsewhere")).unwrap().next().unwrap().unwrap().path();
    // The lab's own API, for those who type in its terminals.
    std::fs::copy(kept.join("kubeconfig"), drydock.state().join("kubeconfig")).unwrap();
    (drydock, kept)
}

/// Until the page has kept that a check is passed.
#[track_caller]
fn green(kept: &Path, terminal: &Terminal<'_>, check: &str) {
    eventually(PATIENCE, || {
        let text = std::fs::read(kept.join("progress/progress.json")).unwrap_or_default();
        let progress: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        if progress["passed"].get(check).is_some() { Ok(()) } else { Err(format!("{check}: {progress:#}")) }
    });
    terminal.says("true", 0);
}

#[test]
fn a_load_balancer_is_brought_to_localhost_by_hand() {
    let other = Drydock::cluster(2);
    let (drydock, kept) = serve(&other);
    let terminal = Terminal::open(&drydock);
    terminal.says("lab open ch03", 0);
    terminal.says("lab open load-balancer", 0);
    terminal.says("cd ~/lunches/ch03", 0);
    terminal.says("kubectl apply -f numbers/web.yaml", 0);
    terminal.says("kubectl apply -f numbers/web-service.yaml", 0);
    terminal.says("kubectl wait --for=condition=Available deployment/numbers-web --timeout=60s", 0);
    green(&kept, &terminal, "ch03-load-balancer");
    // No load balancer of another cluster is here: the reason says what to do, and that is enough.
    eventually(PATIENCE, || {
        let said = terminal.run("lab why 2 --fix")["status"]["output"].as_str().unwrap_or_default().replace('`', "");
        let wanted = "kubectl port-forward svc/numbers-web 8080:8080";
        if said.split_whitespace().collect::<Vec<_>>().join(" ").contains(wanted) { Ok(()) } else { Err(said) }
    });
    terminal.says("kubectl port-forward svc/numbers-web 8080:8080 > /dev/null 2>&1 &", 0);
    green(&kept, &terminal, "ch03-web-answers");
}

#[test]
fn an_api_server_alone_is_enough_for_what_needs_no_pod() {
    let other = Drydock::cluster(0);
    let (drydock, kept) = serve(&other);
    let terminal = Terminal::open(&drydock);
    let idle = "It needs a Pod that runs, and your cluster has no node to run one.";
    let shown = terminal.reads("lab open ch02", 0);
    assert!(shown.contains(idle), "{shown}");
    terminal.says("lab open ch03", 0);
    let shown = terminal.reads("lab open external-name", 0);
    assert!(shown.contains(idle) && shown.contains("The name numbers-api is a nickname for raw.githubusercontent.com"), "{shown}");
    terminal.says("cd ~/lunches/ch03", 0);
    terminal.says("kubectl apply -f numbers-services/api-service-externalName.yaml", 0);
    green(&kept, &terminal, "ch03-external-name");
}

#[test]
fn lessons_are_done_on_another_cluster() {
    let other = Drydock::cluster(2);
    let (drydock, kept) = serve(&other);
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
    assert!(shown.contains("Not on this cluster. It is about a node's containers") && !shown.contains("turn green"), "{shown}");
    let why = types(&["lab", "why"]).ok();
    assert!(why.contains("Not on this cluster. It is about a node's containers") && !why.contains("green"), "{why}");
    let refused = types(&["lab", "undo"]);
    assert!(!refused.status.success() && refused.stdout.contains("is not Drydock's own cluster"), "{refused:?}");
    drop(drydock);
}

#[test]
fn a_kubeconfig_that_leads_nowhere_is_said() {
    let drydock = Drydock::idle();
    let path = drydock.state().join("elsewhere.yaml");
    let text = "apiVersion: v1\ncurrent-context: away\ncontexts: [{name: away, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {token: x}}]\n";
    std::fs::write(&path, text).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--api-port", "0", "--no-open", "--kubeconfig", &path.to_string_lossy()];
    let refused = drydock.run(&serve).refused();
    assert!(refused.contains("no answer from the cluster \"away\"") && refused.contains("(Connection refused (os error 111)); does") && refused.contains("get nodes` work?"), "{refused}");
    assert_eq!(refused.lines().count(), 1, "one sentence, and nothing of the machinery: {refused}");
}

#[test]
fn credentials_that_a_cluster_does_not_know_are_said() {
    let other = Drydock::cluster(0);
    let text = std::fs::read_to_string(other.state().join("kubeconfig")).unwrap();
    let key = |line: &str| line.trim_start().starts_with("client-key-data:");
    let lines: Vec<String> = text.lines().filter(|line| !key(line)).map(|line| if line.contains("client-certificate-data:") { "    token: old".to_owned() } else { line.to_owned() }).collect();
    let drydock = Drydock::idle();
    let path = drydock.state().join("expired.yaml");
    std::fs::write(&path, lines.join("\n")).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--api-port", "0", "--no-open", "--kubeconfig", &path.to_string_lossy()];
    let refused = drydock.run(&serve).refused();
    assert!(refused.contains("does not accept the credentials of") && refused.contains("401 Unauthorized"), "{refused}");
}
