//! The way back: undo, snapshots, restore, reset, skip, as a page or a terminal asks for them.

use std::fs;

use drydock_kit::{Drydock, PATIENCE, Ran, eventually};
use serde_json::{Value, json};

use crate::terminal::{LAB, Terminal, lab};

fn ask(drydock: &Drydock, path: &str, body: &Value) -> Ran {
    let file = drydock.state().join("body.json");
    fs::write(&file, body.to_string()).unwrap();
    drydock.kubectl(&["create", "--raw", &format!("{LAB}/{path}"), "-f", &file.to_string_lossy()])
}

fn post(drydock: &Drydock, path: &str, body: &Value) -> Value {
    serde_json::from_str(&ask(drydock, path, body).ok()).expect("JSON")
}

fn summary(restoration: &Value) -> &str {
    restoration["status"]["summary"].as_str().unwrap_or_default()
}

fn ready(drydock: &Drydock, pods: &str) {
    drydock.kubectl(&["wait", "--for=condition=Ready", pods, "--timeout=60s"]).ok();
}

fn names(drydock: &Drydock, kinds: &str) -> String {
    drydock.kubectl(&["get", kinds, "-o", "name"]).ok()
}

#[test]
fn what_was_done_outside_of_a_terminal_is_undone_step_by_step() {
    let drydock = Drydock::cluster(1);
    assert!(ask(&drydock, "undo", &Value::Null).refused().contains("there is nothing to undo"));
    drydock.kubectl(&["run", "sleep", "--image=kiamol/ch02-hello-kiamol"]).ok();
    ready(&drydock, "pod/sleep");
    let before = drydock.get(&["pod", "sleep"]);
    drydock.kubectl(&["create", "configmap", "settings", "--from-literal=a=1"]).ok();
    drydock.kubectl(&["delete", "pod", "sleep", "--grace-period=1"]).ok();

    let next = lab(&drydock, "undo");
    assert_eq!((&next["spec"]["action"], &next["spec"]["command"]), (&json!("undo"), &Value::Null));
    let undone = post(&drydock, "undo", &Value::Null);
    assert_eq!(summary(&undone), "Undid the last change: restored pod/sleep.", "{undone:#}");
    assert_eq!(undone["status"]["changes"][0]["verb"], "restored");
    assert_eq!(undone["status"]["notes"], json!([]));
    ready(&drydock, "pod/sleep");
    let after = drydock.get(&["pod", "sleep"]);
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(after["status"]["containerStatuses"][0]["restartCount"], 0);
    assert_ne!(after["status"]["containerStatuses"][0]["containerID"], before["status"]["containerStatuses"][0]["containerID"]);
    let revision = |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(revision(&after) > revision(&before));

    assert_eq!(summary(&post(&drydock, "undo", &Value::Null)), "Undid the last change: deleted configmap/settings.");
    assert_eq!(summary(&post(&drydock, "undo", &Value::Null)), "Undid the last change: deleted pod/sleep.");
    assert_eq!(names(&drydock, "pods"), "");
    assert!(ask(&drydock, "undo", &Value::Null).refused().contains("there is nothing to undo"));
    let told = lab(&drydock, "restorations");
    assert_eq!(told["items"].as_array().unwrap().len(), 3);
}

#[test]
fn the_last_command_is_undone_with_its_files() {
    let drydock = Drydock::cluster(1);
    let terminal = Terminal::open(&drydock);
    terminal.run("mkdir work && cd work && echo one > note");
    terminal.run("kubectl create deployment web --replicas=2 --image=kiamol/ch02-hello-kiamol");
    drydock.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).ok();
    let uids = |drydock: &Drydock| {
        let pods = drydock.get(&["pods", "-l", "app=web"]);
        let mut uids: Vec<String> = pods["items"].as_array().unwrap().iter().map(|pod| pod["metadata"]["uid"].to_string()).collect();
        uids.sort();
        uids
    };
    let before = uids(&drydock);
    terminal.run("kubectl get pods");
    terminal.run("echo two > note && echo x > new && kubectl delete deployment web");
    eventually(PATIENCE, || match names(&drydock, "pods").as_str() {
        "" => Ok(()),
        left => Err(left.to_owned()),
    });
    assert_eq!(lab(&drydock, "undo")["spec"]["command"]["line"], "echo two > note && echo x > new && kubectl delete deployment web");
    let undone = post(&drydock, "undo", &Value::Null);
    let said = summary(&undone);
    assert!(said.starts_with("Undid `echo two > note && echo x > new && kubectl delete deployment web`: restored deployment.apps/web, "), "{said}");
    assert!(said.contains("deleted ~/work/new, changed back ~/work/note, with 3 objects that belong to them."), "{said}");
    drydock.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).ok();
    assert_eq!(uids(&drydock), before, "the same Pods");
    assert_eq!((terminal.file("work/note").as_deref(), terminal.file("work/new")), (Some("one\n"), None));

    terminal.run("rm note");
    assert_eq!(summary(&post(&drydock, "undo", &Value::Null)), "Undid `rm note`: restored ~/work/note.");
    assert_eq!(lab(&drydock, "undo")["spec"]["command"]["line"], "kubectl create deployment web --replicas=2 --image=kiamol/ch02-hello-kiamol");
    post(&drydock, "undo", &Value::Null);
    assert_eq!(names(&drydock, "pods,replicasets,deployments"), "");
    let undone = post(&drydock, "undo", &Value::Null);
    assert_eq!(summary(&undone), "Undid `mkdir work && cd work && echo one > note`: deleted ~/work/note.");
    assert_eq!(terminal.file("work/note"), None);
}

#[test]
fn snapshots_outlive_a_kill_and_bring_back_what_was_changed() {
    let mut drydock = Drydock::cluster(1);
    drydock.kubectl(&["create", "deployment", "web", "--replicas=2", "--image=kiamol/ch02-hello-kiamol"]).ok();
    drydock.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).ok();
    drydock.kubectl(&["run", "steady", "--image=kiamol/ch02-hello-kiamol"]).ok();
    ready(&drydock, "pod/steady");
    drydock.kubectl(&["run", "once", "--image=kiamol/ch02-hello-kiamol", "--restart=Never", "--command", "--", "true"]).ok();
    drydock.kubectl(&["wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/once", "--timeout=60s"]).ok();
    assert!(drydock.run(&["cluster", "snapshot", "here", "--label", "Exercise 3"]).ok().starts_with("here: "));
    let again = drydock.run(&["cluster", "snapshot", "here"]).refused();
    assert_eq!(again, "drydock: there is a snapshot \"here\" already\n");
    let steady = drydock.get(&["pod", "steady"]);

    drydock.kubectl(&["scale", "deployment/web", "--replicas=4"]).ok();
    drydock.kubectl(&["label", "pod", "steady", "color=red"]).ok();
    drydock.kubectl(&["label", "node", "node-1", "disk=ssd"]).ok();
    drydock.kubectl(&["delete", "pod", "once"]).ok();
    drydock.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).ok();
    let restored = post(&drydock, "snapshots/here/restore", &Value::Null);
    let said = summary(&restored);
    assert!(said.starts_with("Back to \"Exercise 3\": "), "{said}");
    for part in ["changed back deployment.apps/web", "changed back pod/steady", "restored pod/once", "changed back node/node-1"] {
        assert!(said.contains(part), "{said}");
    }
    let now = drydock.get(&["pod", "steady"]);
    assert_eq!(now["status"]["containerStatuses"], steady["status"]["containerStatuses"], "it went on undisturbed");
    assert_eq!(now["metadata"]["labels"], steady["metadata"]["labels"]);
    assert_eq!(drydock.get(&["pod", "once"])["status"]["phase"], "Succeeded", "what has finished stays finished");
    assert!(drydock.get(&["node", "node-1"])["metadata"]["labels"]["disk"].is_null());
    eventually(PATIENCE, || match drydock.get(&["pods", "-l", "app=web"])["items"].as_array().unwrap().len() {
        2 => Ok(()),
        other => Err(format!("{other} Pods")),
    });

    drydock.kubectl(&["delete", "deployment", "web"]).ok();
    drydock.kill();
    drydock.start(&["cluster", "up", "--api-port", "0", "--nodes", "1"]);
    assert!(drydock.run(&["cluster", "restore"]).ok().contains("Exercise 3"));
    let said = drydock.run(&["cluster", "restore", "here"]).ok();
    assert!(said.contains("restored deployment.apps/web"), "{said}");
    drydock.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).ok();
    drydock.run(&["cluster", "reset"]).ok();
    assert_eq!(names(&drydock, "pods,deployments"), "");
    assert!(ask(&drydock, "undo", &Value::Null).refused().contains("there is nothing to undo"), "a reset is the beginning");
    let refused = drydock.run(&["cluster", "restore", "nowhere"]).refused();
    assert_eq!(refused, "drydock: there is no snapshot \"nowhere\"\n");
}

#[test]
fn files_on_a_nodes_disk_come_back_unless_somebody_uses_them() {
    let drydock = Drydock::cluster(1);
    let pod = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 0\n  volumes: [{{name: disk, hostPath: {{path: /data, type: DirectoryOrCreate}}}}]\n  \
             containers: [{{name: main, image: kiamol/ch02-hello-kiamol, volumeMounts: [{{name: disk, mountPath: /data}}]}}]\n"
        )
    };
    let write = |text: &str| drydock.run(&["cluster", "shell", "node-1", "--", "sh", "-c", &format!("echo {text} > /host/data/file")]).ok();
    let read = || drydock.run(&["cluster", "shell", "node-1", "--", "cat", "/host/data/file"]).ok().trim().to_owned();
    drydock.apply(&pod("writer")).ok();
    ready(&drydock, "pod/writer");
    write("before");
    post(&drydock, "snapshots", &json!({"spec": {"name": "a"}}));
    write("after");
    let kept = post(&drydock, "snapshots/a/restore", &Value::Null);
    assert_eq!(kept["status"]["notes"], json!(["node-1: /data is in use by pod/writer, which goes on: the files in it stay as they are."]));
    assert_eq!(read(), "after");
    drydock.kubectl(&["delete", "pod", "writer"]).ok();
    let restored = post(&drydock, "snapshots/a/restore", &Value::Null);
    assert_eq!(restored["status"]["files"], json!([{"verb": "changed back", "where": "node-1", "path": "/data/file"}]));
    assert_eq!(read(), "before");
}

#[test]
fn a_skip_makes_the_world_older() {
    let drydock = Drydock::cluster(1);
    drydock.kubectl(&["run", "again", "--image=kiamol/ch02-hello-kiamol", "--command", "--", "false"]).ok();
    let container = || drydock.get(&["pod", "again"])["status"]["containerStatuses"][0].clone();
    // The second failure waits 20 s for the third start.
    eventually(PATIENCE, || match container() {
        status if status["restartCount"] == 2 && status["state"]["waiting"]["reason"] == "CrashLoopBackOff" => Ok(()),
        status => Err(status.to_string()),
    });
    let before = drydock.get(&["pod", "again"])["metadata"]["creationTimestamp"].clone();
    let started = std::time::Instant::now();
    let skipped = post(&drydock, "skip", &json!({"spec": {"duration": "5m"}}));
    assert!(summary(&skipped).starts_with("Skipped 5m: "), "{skipped}");
    eventually(PATIENCE, || match container() {
        status if status["restartCount"].as_u64() > Some(2) => Ok(()),
        status => Err(status.to_string()),
    });
    assert!(started.elapsed().as_secs() < 15, "it did not wait: {:?}", started.elapsed());
    assert!(drydock.kubectl(&["get", "pod", "again", "--no-headers"]).ok().contains('m'), "kubectl prints the age");
    assert_ne!(drydock.get(&["pod", "again"])["metadata"]["creationTimestamp"], before);
    assert_eq!(drydock.get(&["node", "node-1"])["status"]["conditions"].as_array().unwrap().iter().find(|condition| condition["type"] == "Ready").unwrap()["status"], "True");
    for (duration, wanted) in [("", "want 1s to 720h"), ("5", "want 1s to 720h"), ("900h", "want 1s to 720h")] {
        assert!(ask(&drydock, "skip", &json!({"spec": {"duration": duration}})).refused().contains(wanted));
    }
}
