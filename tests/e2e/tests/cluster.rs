//! One cluster, many questions: what an application may expect, and what a mistake is answered with.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use drydock_kit::{Drydock, PATIENCE, eventually};

fn ready(drydock: &Drydock, pod: &str) {
    let ran = drydock.kubectl(&["wait", "--for=condition=Ready", &format!("pod/{pod}"), "--timeout=30s"]);
    assert!(ran.status.success(), "{}{}{}", ran.stderr, drydock.kubectl(&["describe", "pod", pod]).stdout, drydock.log());
}

#[test]
fn a_pod_can_be_looked_into() {
    looked_into(&Drydock::cluster(1));
}

/// Logs, commands, files and ports of a Pod.
pub(super) fn looked_into(drydock: &Drydock) {
    drydock.kubectl(&["run", "web", "--image=kiamol/ch02-hello-kiamol"]).ok();
    ready(drydock, "web");

    let address = drydock.kubectl(&["get", "pod", "web", "-o", "jsonpath={.status.podIP}"]).ok();
    assert_eq!(drydock.kubectl(&["exec", "web", "--", "hostname", "-i"]).ok().trim(), address);
    assert_eq!(drydock.kubectl(&["exec", "web", "--", "sh", "-c", "exit 7"]).status.code(), Some(7));

    // Standard input goes in, output comes out.
    let mut shell = drydock.kubectl_command(&["exec", "-i", "web", "--", "sh"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    shell.stdin.take().unwrap().write_all(b"echo $((6 * 7)); hostname\n").unwrap();
    let output = shell.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "42\nweb\n");

    // Files go out and in.
    let copy = drydock.state().join("index.html");
    let copy = copy.to_string_lossy();
    drydock.kubectl(&["cp", "web:/usr/share/nginx/html/index.html", &copy]).ok();
    drydock.kubectl(&["cp", &copy, "web:/tmp/copy.html"]).ok();
    assert_eq!(drydock.kubectl(&["exec", "web", "--", "cat", "/tmp/copy.html"]).ok(), std::fs::read_to_string(&*copy).unwrap());

    // A forwarded port reaches it, whoever forwards it, in a WebSocket or as servers before 1.30 want it.
    let ours = |websockets: &str| {
        let mut ours = drydock.command(&["kubectl"]);
        ours.env("KUBECONFIG", drydock.state().join("kubeconfig")).env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets);
        ours
    };
    for forward in [drydock.kubectl_command(&[]), ours("true"), ours("false")] {
        let page = through_a_forward(forward);
        assert!(page.contains("Hello from Chapter 2!"), "{page}");
    }
    let log = eventually(PATIENCE, || {
        let log = drydock.kubectl(&["logs", "web", "--tail=1"]).ok();
        if log.contains("curl") { Ok(log) } else { Err(log) }
    });
    assert!(log.contains("\"GET / HTTP/1.1\" 200"), "{log}");
}

/// The page of Pod web through a port that this kubectl forwards.
fn through_a_forward(mut kubectl: std::process::Command) -> String {
    let mut forward = kubectl.args(["port-forward", "pod/web", ":80"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    // Kept open: kubectl goes on writing to it.
    let mut said = BufReader::new(forward.stdout.take().unwrap());
    said.read_line(&mut line).unwrap();
    let port = line.trim_start_matches("Forwarding from 127.0.0.1:").split(' ').next().unwrap().to_owned();
    let page = drydock_kit::Ran::of(std::process::Command::new("curl").args(["-s", &format!("http://127.0.0.1:{port}/")])).ok();
    forward.kill().unwrap();
    forward.wait().unwrap();
    page
}

#[test]
fn containers_end_and_begin_as_their_pods_say() {
    let drydock = Drydock::cluster(1);
    drydock.kubectl(&["run", "once", "--image=kiamol/ch02-hello-kiamol", "--restart=Never", "--command", "--", "sh", "-c", "echo done; exit 3"]).ok();
    drydock.kubectl(&["run", "again", "--image=kiamol/ch02-hello-kiamol", "--command", "--", "sh", "-c", "exit 1"]).ok();
    drydock.kubectl(&["run", "typo", "--image=kiamol/ch02-hello-kiamoll"]).ok();
    drydock.kubectl(&["wait", "--for=jsonpath={.status.phase}=Failed", "pod/once", "--timeout=30s"]).ok();
    let once = drydock.get(&["pod", "once"]);
    assert_eq!(once["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 3);
    assert_eq!(drydock.kubectl(&["logs", "once"]).ok(), "done\n");
    let waiting = |pod: &str, reason: &str| {
        eventually(PATIENCE, || {
            let pod = drydock.get(&["pod", pod]);
            let state = &pod["status"]["containerStatuses"][0];
            if state["state"]["waiting"]["reason"] == reason { Ok(state["restartCount"].as_u64()) } else { Err(state.to_string()) }
        })
    };
    assert!(waiting("again", "CrashLoopBackOff") >= Some(1));
    assert_eq!(waiting("typo", "ImagePullBackOff"), Some(0));
    let described = drydock.kubectl(&["describe", "pod", "typo"]).ok();
    assert!(described.contains("Back-off pulling image \"kiamol/ch02-hello-kiamoll\""), "{described}");
}

#[test]
fn mistakes_get_one_clear_answer() {
    let drydock = Drydock::cluster(1);
    let cases = [
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a\n", "error converting YAML to JSON"),
        ("apiVersion: v1\nkind: Podd\nmetadata: {name: a}\n", "no matches for kind \"Podd\" in version \"v1\""),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: web, imagee: x}]}\n", "unknown field \"spec.containers[0].imagee\""),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: A_B}\nspec: {containers: [{name: web, image: x}]}\n", "metadata.name: Invalid value: \"A_B\""),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n", "spec.containers: Required value"),
        (
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: b}}, spec: {containers: [{name: web, image: x}]}}}\n",
            "`selector` does not match template `labels`",
        ),
    ];
    for (manifest, wanted) in cases {
        let error = drydock.apply(manifest).refused();
        assert!(error.contains(wanted), "{manifest}\n{error}");
    }
    let error = drydock.kubectl(&["get", "pod", "nobody"]).refused();
    assert_eq!(error, "Error from server (NotFound): pods \"nobody\" not found\n");
}

#[test]
fn a_reset_goes_back_to_the_beginning() {
    let drydock = Drydock::cluster(1);
    drydock.kubectl(&["create", "deployment", "web", "--image=kiamol/ch02-hello-kiamol"]).ok();
    drydock.kubectl(&["rollout", "status", "deployment/web", "--timeout=30s"]).ok();
    let node = || {
        let node = drydock.get(&["node", "node-1"]);
        let own = |at: &str| node.pointer(at).cloned().unwrap_or_default();
        [own("/metadata/labels"), own("/metadata/annotations"), own("/spec/taints"), own("/spec/unschedulable")]
    };
    let before = node();
    for change in [&["label", "node", "node-1", "kiamol=ch05", "kubernetes.io/os=plan9", "--overwrite"][..], &["taint", "node", "node-1", "disk=hdd:NoSchedule"], &["cordon", "node-1"]] {
        drydock.kubectl(change).ok();
    }
    assert_ne!(node(), before);
    drydock.run(&["cluster", "reset"]).ok();
    assert_eq!(node(), before, "what people set on a node is put back");
    eventually(PATIENCE, || {
        let left = drydock.kubectl(&["get", "deployments,replicasets,pods", "-o", "name"]).ok();
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    drydock.kubectl(&["run", "web", "--image=kiamol/ch02-hello-kiamol"]).ok();
    ready(&drydock, "web");
}
