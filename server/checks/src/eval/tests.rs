//! Every source against a small world: what passes, what fails, what waits.

use std::collections::BTreeMap;

use drydock_cel::Bindings;
use drydock_course::check::Check;
use serde_json::{Value, json};

use super::{Facts, Judgement, Memo, check, count};
use crate::compile::Library;
use crate::probe::{Probe, Probes, Request, Target};
use crate::verdict::Outcome::{self, Error, Fail, Pass, Waiting};
use crate::world::{Point, World};

/// The exercise began at revision 10.
const BASELINE: u64 = 10;

fn pod(name: &str, revision: u64, uid: &str, labels: Value) -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"namespace": "default", "name": name, "uid": uid, "resourceVersion": revision.to_string(), "labels": labels},
        "spec": {"containers": [{"name": "web"}]},
        "status": {"podIP": "10.244.1.5", "containerStatuses": [{"containerID": format!("containerd://{uid}"), "restartCount": 1}]},
    })
}

fn record(name: &str, revision: u64, spec: Value, status: Value) -> Value {
    json!({"metadata": {"name": name, "resourceVersion": revision.to_string(), "creationTimestamp": "2026-01-01T00:00:10Z"}, "spec": spec, "status": status})
}

/// Pods `hello` (since 5, relabeled at 15) and `made` (at 12, by ReplicaSet `rs` of Deployment `web`); `old` was deleted at 14, `older` at 8.
fn world() -> World {
    let mut world = World::default();
    world.put("Pod", pod("hello", 5, "u1", json!({"app": "a"})));
    world.put("Pod", pod("old", 6, "u2", json!({})));
    world.put("Pod", pod("older", 7, "u0", json!({})));
    world.remove("Pod", &pod("older", 8, "u0", json!({})));
    let mut made = pod("made", 12, "u3", json!({"app": "web"}));
    made["metadata"]["ownerReferences"] = json!([{"kind": "ReplicaSet", "name": "rs", "uid": "r1", "controller": true}]);
    world.put("Pod", made);
    let rs = json!({"kind": "ReplicaSet", "metadata": {"namespace": "default", "name": "rs", "uid": "r1", "resourceVersion": "11",
        "ownerReferences": [{"kind": "Deployment", "name": "web", "uid": "d1", "controller": true}]}});
    world.put("ReplicaSet", rs);
    world.remove("Pod", &pod("old", 14, "u2", json!({})));
    world.put("Pod", pod("hello", 15, "u1", json!({"app": "b"})));
    world.put_record("commands", record("command-1", 9, json!({"line": "kubectl get nodes"}), json!({"exitCode": 0, "output": "node-1"})));
    world.put_record("commands", record("command-2", 12, json!({"line": "kubectl get pods -o wide | cat"}), json!({"exitCode": 0, "output": "hello Running"})));
    world.put_record("commands", record("command-4", 14, json!({"line": "kubectl wait pod x"}), json!({"exitCode": null})));
    world.put_record("reads", record("read-1", 14, json!({"verb": "get", "resource": "endpoints", "namespace": "default", "name": "web"}), json!({"code": 200})));
    world.put_record("commands", record("command-3", 13, json!({"line": "kubectl logs nope"}), json!({"exitCode": 1, "output": "not found"})));
    let forward = json!({"verb": "portforward", "namespace": "default", "pod": "hello", "ports": [80]});
    world.put_record("streams", record("stream-1", 12, forward, json!({"connections": 1})));
    world.put_record("nodecontainers", record("u1", 5, json!({"id": "u1", "labels": {"io.kubernetes.pod.name": "hello"}}), json!({"state": "running"})));
    world.put_record("nodecontainers", record("u2", 6, json!({"id": "u2", "labels": {}}), json!({"state": "running"})));
    world.remove_record("nodecontainers", "u2");
    world.answer("ask-ip", " 10.244.1.5 ");
    world
}

fn probes() -> Probes {
    let url = |url: &str| Probe::Http { from: Target::Workstation, request: Request { url: url.to_owned(), times: 1, ..Request::default() } };
    let hello = || Target::Pod { namespace: "default".into(), pod: "hello".into(), container: None };
    let file = |target: Target, path: &str, text: &str| (Probe::File { target, path: path.into() }, json!({"kind": "file", "mode": "0400", "text": text, "link": "..data/a"}));
    BTreeMap::from([
        (url("http://localhost:8080/"), json!({"status": 200, "headers": {}, "body": "<h1>Hello</h1>"})),
        (url("http://localhost:9/"), json!({"error": "Connection refused"})),
        (Probe::Exec { target: hello(), command: vec!["hostname".into()] }, json!({"exit": 0, "stdout": "hello\n", "text": "hello", "lines": ["hello"], "stderr": ""})),
        (Probe::Exec { target: Target::Node { name: "node-1".into() }, command: vec!["ls".into()] }, json!({"exit": 1, "stdout": "", "text": ""})),
        file(hello(), "/a", "same"),
        file(Target::Workstation, "/home/learner/a", "same"),
        (Probe::File { target: Target::Workstation, path: "/home/learner/none".into() }, json!({"kind": null, "text": null, "entries": []})),
        (Probe::Log { namespace: "default".into(), pod: "hello".into(), container: None, previous: false, tail: Some(1), since: None }, json!({"text": "GET / Wget"})),
        (Probe::Dns { from: hello(), name: "web".into() }, json!({"found": true, "addresses": ["10.96.0.7"], "cnames": []})),
        (Probe::Tcp { from: Target::Workstation, host: "web".into(), port: "80".into() }, json!({"open": false, "problem": "refused"})),
        (Probe::Env { target: hello() }, json!({"env": {"KIAMOL_CHAPTER": "04"}})),
        (Probe::Traffic { from: Target::Workstation, url: "http://a/".into(), every: 500, window: 60_000 }, json!({"answers": 40, "failures": 1, "last": "refused"})),
    ])
}

fn judge(yaml: &str) -> Judgement {
    let wanted: Check = serde_yaml::from_str(&format!("id: a\nsay: b\n{yaml}")).unwrap();
    let library = Library::of([&wanted]).unwrap();
    let names: Bindings = [("port".to_owned(), json!(8080))].into();
    let baseline = Point { revision: BASELINE, ..Point::START };
    check(&wanted, &Facts { world: &world(), probes: &probes(), baseline, names: &names, library: &library }, &mut Memo::default())
}

#[test]
fn sources() {
    let cases: &[(&str, Outcome)] = &[
        // object, list, gone
        ("expect: {object: {kind: Pod, name: hello}}", Pass),
        ("expect: {object: {kind: Pod, name: nobody}}", Fail),
        ("expect: {object: {kind: Pod, name: hello, namespace: other}}", Fail),
        ("expect: {object: {kind: Pod, name: hello, namespace: '*'}}", Pass),
        ("expect: {object: {kind: Pod, labels: {app: b}}}", Pass),
        ("expect: {object: {kind: Pod, labels: {app: '*'}}, where: 'metadata.name == \"made\"'}", Pass),
        ("expect: {object: {kind: Pod, ownedBy: {kind: Deployment, name: web}}}", Pass),
        ("expect: {object: {kind: Pod, ownedBy: {kind: Deployment, name: api}}}", Fail),
        ("expect: {object: {kind: Pod, name: hello}, where: 'status.containerStatuses[0].restartCount >= 1'}", Pass),
        ("expect: {object: {kind: Pod, name: hello}, where: 'spec.nothing.here == 1'}", Fail),
        ("expect: {list: {kind: Pod}, where: 'items.size() == 2'}", Pass),
        ("expect: {list: {kind: Pod}, where: 'items.exists(p, p.metadata.name == \"made\")'}", Pass),
        ("expect: {list: {kind: Deployment}}", Fail),
        ("expect: {gone: {kind: Pod, name: old}}", Pass),
        ("expect: {gone: {kind: Pod, name: older}}", Fail),
        ("expect: {gone: {kind: Pod, name: hello}}", Fail),
        // history
        ("expect: {history: {kind: Pod, where: 'old.metadata.labels.app == \"a\" && new.metadata.labels.app == \"b\"'}}", Pass),
        ("expect: {history: {kind: Pod, name: old, where: 'type == \"DELETED\"', count: '== 1'}}", Pass),
        ("expect: {history: {kind: Pod, name: older, where: 'type == \"DELETED\"'}}", Fail),
        ("expect: {history: {kind: Pod, name: made, where: 'type == \"ADDED\"', count: '== 0'}}", Fail),
        // saw
        ("expect: {saw: {tool: kubectl, matches: '\\bget\\b.*\\bpods\\b'}}", Pass),
        ("expect: {saw: {tool: cat, matches: 'pods'}}", Pass),
        ("expect: {saw: {matches: 'get nodes'}}", Fail),
        ("expect: {saw: {matches: 'logs', exit: 0}}", Fail),
        ("expect: {saw: {matches: 'get pods', output: 'Running'}}", Pass),
        ("expect: {saw: {matches: 'get pods', output: 'Pending'}}", Fail),
        // stream, container
        ("expect: {stream: {verb: portforward, pod: {kind: Pod, name: hello}, where: 'status.connections > 0'}}", Pass),
        ("expect: {stream: {verb: portforward, pod: {kind: Pod, name: made}}}", Fail),
        ("expect: {stream: {verb: exec}}", Fail),
        ("expect: {container: {id: 'containerd://u1'}, where: 'status.state == \"running\"'}", Pass),
        ("expect: {container: {id: u2, gone: true}}", Pass),
        ("expect: {container: {id: u9, gone: true}}", Fail),
        // probes
        ("expect: {http: {url: 'http://localhost:${port}/', where: 'body.contains(\"Hello\")'}}", Pass),
        ("expect: {http: {url: 'http://localhost:8080/', where: 'body.contains(\"Bye\")'}}", Fail),
        ("expect: {http: {url: 'http://localhost:9/'}}", Fail),
        ("expect: {http: {url: 'http://localhost:7/'}}", Waiting),
        ("expect: {exec: {pod: {kind: Pod, name: hello}, command: [hostname], where: 'stdout.contains(\"hello\")'}}", Pass),
        ("expect: {exec: {pod: {kind: Pod, name: hello}, command: [id]}}", Waiting),
        ("expect: {log: {pod: {kind: Pod, name: hello}, tail: 1, matches: Wget}}", Pass),
        ("expect: {log: {pod: {kind: Pod, name: hello}, tail: 1, matches: Curl}}", Fail),
        ("expect: {file: {path: a, matches: sa}}", Pass),
        ("expect: {file: {path: '~/a', same_as: {pod: {kind: Pod, name: hello}, path: /a}}}", Pass),
        ("expect: {file: {path: none}}", Fail),
        ("expect: {file: {path: none, gone: true}}", Pass),
        ("expect: {file: {path: a, where: 'mode == \"0400\" && link.startsWith(\"..data\")'}}", Pass),
        ("expect: {file: {pod: {name: hello}, path: /a, where: 'mode == \"0644\"'}}", Fail),
        ("expect: {exec: {pod: {name: hello}, command: [hostname]}, where: 'text == \"hello\"'}", Pass),
        ("expect: {exec: {node: node-1, command: [ls]}}", Fail),
        ("expect: {dns: {from: {pod: {name: hello}}, name: web}}", Pass),
        ("expect: {dns: {from: {pod: {name: hello}}, name: web, where: 'addresses == [\"10.96.0.7\"]'}}", Pass),
        ("expect: {dns: {from: {pod: {name: nobody}}, name: web}}", Fail),
        ("expect: {tcp: {host: web, port: 80}}", Fail),
        ("expect: {tcp: {host: web, port: 80, where: '!open'}}", Pass),
        ("expect: {env: {pod: {name: hello}, where: 'env.KIAMOL_CHAPTER == \"04\" && !has(env.KIAMOL_SECTION)'}}", Pass),
        ("expect: {traffic: {url: 'http://a/'}}", Fail),
        ("expect: {traffic: {url: 'http://a/', max_failures: 1}}", Pass),
        ("expect: {traffic: {url: 'http://a/', max_failures: 1, min_answers: 50}}", Waiting),
        ("expect: {read: {resource: endpoints, name: web}}", Pass),
        ("expect: {read: {resource: endpoints, name: api}}", Fail),
        ("expect: {saw: {matches: 'wait', exit: 0}}", Waiting),
        // answer
        ("expect: {answer: {ask: ask-ip, matches: '^10\\.'}}", Pass),
        ("expect: {answer: {ask: ask-ip, matches: '^192\\.'}}", Fail),
        ("let: {p: {object: {kind: Pod, name: hello}}}\nexpect: {answer: {ask: ask-ip, equals: '${p.status.podIP}'}}", Pass),
        ("expect: {answer: {ask: ask-ip, equals: '10.0.0.1'}}", Fail),
        ("expect: {answer: {ask: ask-other}}", Waiting),
        // trees
        ("expect: {all: [{object: {kind: Pod, name: hello}}, {object: {kind: Pod, name: nobody}}]}", Fail),
        ("expect: {any: [{object: {kind: Pod, name: hello}}, {object: {kind: Pod, name: nobody}}]}", Pass),
        ("expect: {not: {object: {kind: Pod, name: nobody}}}", Pass),
        ("expect: {not: {answer: {ask: ask-other}}}", Waiting),
        // names
        ("let: {was: {object: {kind: Pod, name: hello}, at: baseline, value: metadata.labels.app}}\nexpect: {object: {kind: Pod, name: hello}, where: 'metadata.labels.app != was'}", Pass),
        ("let: {was: {object: {kind: Pod, name: old}, at: baseline}}\nexpect: {container: {id: '${was.metadata.uid}', gone: true}}", Pass),
        // What was not there at the baseline counts as it first was.
        ("let: {was: {object: {kind: Pod, name: made}, at: baseline}}\nexpect: {object: {kind: Pod, name: '${was.metadata.name}'}}", Pass),
        ("let: {was: {object: {kind: Pod, name: hello}, at: baseline, value: metadata.labels.new}}\nexpect: {object: {kind: Pod}, where: 'was == 1'}", Fail),
        ("let: {was: {object: {kind: Pod, name: nobody}, at: baseline}}\nexpect: {object: {kind: Pod, name: '${was.metadata.name}'}}", Waiting),
    ];
    let wrong: Vec<String> = cases
        .iter()
        .map(|(yaml, wanted)| (yaml, wanted, judge(yaml)))
        .filter(|(_, wanted, judgement)| judgement.outcome != **wanted)
        .map(|(yaml, wanted, judgement)| format!("{yaml}\n  wanted {wanted:?}, got {:?}: {:?}", judgement.outcome, judgement.leaves))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_namespace_that_is_not_named_is_the_one_of_the_kubeconfig() {
    let mut world = World::default();
    let mut mine = pod("mine", 11, "u9", json!({}));
    mine["metadata"]["namespace"] = "shop".into();
    world.put("Pod", mine);
    world.put("Pod", pod("other", 12, "u8", json!({})));
    let names = |world: &World, wanted: &str| {
        let found = crate::select::objects(world, &serde_yaml::from_str(wanted).unwrap(), crate::select::Moment::Now);
        found.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&world, "{kind: Pod}"), ["other"]);
    world.lives_in("shop");
    assert_eq!(names(&world, "{kind: Pod}"), ["mine"]);
    assert_eq!(names(&world, "{kind: Pod, namespace: default}"), ["other"]);
}

#[test]
fn what_is_missing_for_another_way_is_not_wrong() {
    let ways = "any: [{object: {kind: Pod, name: hello}}, {object: {kind: Pod, name: nobody}}]";
    let judgement = judge(&format!("expect: {{all: [{{{ways}}}, {{object: {{kind: Pod, name: somebody}}}}]}}"));
    assert_eq!(judgement.leaves.iter().map(|leaf| leaf.outcome).collect::<Vec<_>>(), [Pass, Fail]);
    let neither = judge("expect: {any: [{object: {kind: Pod, name: somebody}}, {object: {kind: Pod, name: nobody}}]}");
    assert_eq!(neither.leaves.len(), 2);
}

#[test]
fn a_broken_check_is_an_error_and_not_a_fail() {
    let judgement = judge("expect: {history: {kind: Pod, where: 'true', count: '>= 1'}}");
    assert_eq!(judgement.outcome, Pass);
    for (wanted, got) in [("lots", None), (">= 1", Some(false)), ("== 0", Some(true)), ("0", Some(true))] {
        assert_eq!(count(wanted, 0), got, "{wanted}");
    }
    let broken = judge("expect: {object: {kind: Pod, name: hello}, where: 'metadata.name + 1 == 2'}");
    assert!(matches!(broken.outcome, Error | Fail), "{broken:?}");
}

#[test]
fn probes_that_are_wanted_are_named() {
    let judgement = judge("expect: {http: {url: 'http://localhost:7/'}}");
    let request = Request { url: "http://localhost:7/".into(), times: 1, ..Request::default() };
    assert_eq!(judgement.probes, [Probe::Http { from: Target::Workstation, request }]);
}

#[test]
fn the_log_of_a_container_that_waits_for_its_first_start_is_not_asked_for() {
    let waiting = |restarts: u64, last: Value| json!({"phase": "Pending", "containerStatuses": [{"name": "c", "restartCount": restarts, "state": {"waiting": {"reason": "ContainerCreating"}}, "lastState": last}]});
    let created = Some("container \"c\" in pod \"p\" is waiting to start: ContainerCreating");
    let cases = [
        ("{pod: {name: p}, matches: a}", waiting(0, json!({})), created),
        ("{pod: {name: p}, container: c, matches: a}", waiting(0, json!({})), created),
        ("{pod: {name: p}, container: init, matches: a}", waiting(0, json!({})), None),
        ("{pod: {name: p}, previous: true, matches: a}", waiting(0, json!({})), None),
        ("{pod: {name: p}, matches: a}", waiting(1, json!({})), None),
        ("{pod: {name: p}, matches: a}", waiting(0, json!({"terminated": {"exitCode": 1}})), None),
        ("{pod: {name: p}, matches: a}", json!({"phase": "Running", "containerStatuses": [{"name": "c", "state": {"running": {}}}]}), None),
        ("{pod: {name: p}, matches: a}", json!({"phase": "Pending"}), Some("no container of pod \"p\" is available yet")),
        ("{pod: {name: p}, container: init, matches: a}", json!({"phase": "Pending", "initContainerStatuses": []}), None),
        ("{pod: {name: p}, matches: a}", json!({}), None),
    ];
    for (log, status, why) in cases {
        let wanted: Check = serde_yaml::from_str(&format!("{{id: a, say: b, expect: {{log: {log}}}}}")).unwrap();
        let (library, names, mut world) = (Library::of([&wanted]).unwrap(), Bindings::new(), World::default());
        let mut made = pod("p", 11, "u1", json!({}));
        made["status"] = status.clone();
        world.put("Pod", made);
        let baseline = Point { revision: BASELINE, ..Point::START };
        let judgement = check(&wanted, &Facts { world: &world, probes: &Probes::new(), baseline, names: &names, library: &library }, &mut Memo::default());
        assert_eq!((judgement.probes.len(), judgement.outcome), if why.is_none() { (1, Waiting) } else { (0, Fail) }, "{log} {status}");
        assert_eq!(judgement.leaves[0].note.as_deref(), why, "{log} {status}");
    }
}

#[test]
fn changes_that_were_looked_at_are_not_looked_at_again() {
    let wanted: Check = serde_yaml::from_str("{id: a, say: b, expect: {history: {kind: Pod, where: 'old.metadata.labels.app != new.metadata.labels.app', count: '== 2'}}}").unwrap();
    let library = Library::of([&wanted]).unwrap();
    let (mut world, names, mut memo) = (world(), Bindings::new(), Memo::default());
    let baseline = Point { revision: BASELINE, ..Point::START };
    let mut judge = |world: &World| {
        let judgement = check(&wanted, &Facts { world, probes: &Probes::new(), baseline, names: &names, library: &library }, &mut memo);
        (judgement.outcome, memo.0.values().map(|scan| (scan.looked_at, scan.fitting.len())).collect::<Vec<_>>())
    };
    let changes = world.changes_since("Pod", BASELINE).len();
    assert_eq!(judge(&world), (Fail, vec![(changes, 1)]));
    world.put("Pod", pod("hello", 16, "u1", json!({"app": "c"})));
    assert_eq!(judge(&world), (Pass, vec![(changes + 1, 2)]));
    // A new list, with less history than before: everything is looked at anew.
    world.clear_kind("Pod");
    world.put("Pod", pod("hello", 17, "u1", json!({"app": "d"})));
    assert_eq!(judge(&world), (Fail, vec![(1, 0)]));
}
