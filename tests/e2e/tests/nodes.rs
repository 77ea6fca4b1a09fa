//! Three nodes: Pods spread, reach each other, and a node that loses power is noticed.

use drydock_kit::{Drydock, PATIENCE, eventually};

#[test]
fn pods_spread_and_talk_across_nodes() {
    spread(&Drydock::cluster(3));
}

/// Three Pods, three nodes, one Service, one name.
pub(super) fn spread(drydock: &Drydock) {
    drydock.kubectl(&["create", "deployment", "web", "--image=kiamol/ch02-hello-kiamol", "--replicas=3"]).ok();
    drydock.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).ok();
    let pods = drydock.get(&["pods", "-l", "app=web"]);
    let pods = pods["items"].as_array().unwrap();
    let field = |path: &str| -> Vec<&str> { pods.iter().map(|pod| pod.pointer(path).and_then(|value| value.as_str()).unwrap_or_default()).collect() };
    let mut nodes = field("/spec/nodeName");
    nodes.sort_unstable();
    assert_eq!(nodes, ["node-1", "node-2", "node-3"]);

    let first = field("/metadata/name")[0];
    for address in field("/status/podIP") {
        let page = drydock.kubectl(&["exec", first, "--", "wget", "-q", "-O", "-", &format!("http://{address}")]).ok();
        assert!(page.contains("Hello from Chapter 2!"), "{address}: {page}");
    }
    drydock.kubectl(&["expose", "deployment", "web", "--port=80"]).ok();
    let page = eventually(PATIENCE, || {
        let ran = drydock.kubectl(&["exec", first, "--", "wget", "-q", "-O", "-", "http://web.default.svc.cluster.local"]);
        if ran.status.success() { Ok(ran.stdout) } else { Err(ran.stderr) }
    });
    assert!(page.contains("Hello from Chapter 2!"), "{page}");
}

#[test]
fn fewer_nodes_than_before_are_fewer_nodes() {
    let mut drydock = Drydock::cluster(2);
    drydock.kubectl(&["create", "deployment", "web", "--image=kiamol/ch02-hello-kiamol", "--replicas=2"]).ok();
    drydock.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).ok();
    drydock.kill();
    drydock.start(&["cluster", "up", "--api-port", "0", "--nodes", "1"]);
    assert_eq!(drydock.kubectl(&["get", "nodes", "-o", "name"]).ok(), "node/node-1\n");
    eventually(PATIENCE, || {
        let nodes = drydock.kubectl(&["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}"]).ok();
        if nodes == "node-1 node-1" { Ok(()) } else { Err(nodes) }
    });
    drydock.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).ok();
}

#[test]
fn a_node_without_power_becomes_not_ready() {
    let drydock = Drydock::cluster(3);
    drydock.kubectl(&["create", "--raw", "/apis/lab.drydock.internal/v1alpha1/nodes/node-2/poweroff", "-f", "/dev/null"]).ok();
    drydock.kubectl(&["wait", "--for=condition=Ready=Unknown", "node/node-2", "--timeout=90s"]).ok();
    let nodes = drydock.kubectl(&["get", "nodes"]).ok();
    assert!(nodes.lines().any(|line| line.starts_with("node-2") && line.contains("NotReady")), "{nodes}");
    assert_eq!(nodes.lines().filter(|line| line.contains(" Ready ")).count(), 2, "{nodes}");
    drydock.kubectl(&["create", "--raw", "/apis/lab.drydock.internal/v1alpha1/nodes/node-2/poweron", "-f", "/dev/null"]).ok();
    drydock.kubectl(&["wait", "--for=condition=Ready", "node/node-2", "--timeout=90s"]).ok();
}
