//! The `drydock` command itself.

use std::net::TcpListener;

use drydock_kit::{Drydock, PATIENCE, Ran, eventually};
use serde_json::Value;

use crate::terminal::{LAB, Terminal, lab};

#[test]
fn a_running_cluster_answers_commands() {
    let drydock = Drydock::cluster(1);
    let status: Value = serde_json::from_str(&drydock.run(&["cluster", "status", "-o", "json"]).ok()).unwrap();
    assert_eq!(status["nodes"][0]["name"], "node-1");
    assert_eq!(status["nodes"][0]["ready"], true);
    assert!(drydock.run(&["cluster", "kubeconfig"]).ok().contains("https://127.0.0.1:"));
    assert_eq!(drydock.run(&["cluster", "shell", "node-1", "hostname"]).ok().trim(), "node-1");
    assert_eq!(drydock.run(&["cluster", "shell", "node-1", "--", "sh", "-c", "exit 4"]).status.code(), Some(4));
    let again = drydock.run(&["cluster", "up", "--api-port", "0"]).ok();
    assert!(again.contains("runs already"), "{again}");
}

#[test]
fn what_cannot_be_done_is_said_in_one_sentence() {
    let idle = Drydock::idle();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let page = format!("127.0.0.1:{port}");
    let cases: [(&[&str], &str); 7] = [
        (&["cluster", "up", "--api-port", &port], "choose another port with --api-port PORT, or 0 for any free one: Address already in use"),
        (&["serve", "--no-open", "--listen", &page], "Choose another port with --listen"),
        (&["serve", "--no-open", "--listen", "0.0.0.0:4747"], "loopback interface only"),
        (&["cluster", "status"], "start one with `drydock serve` or `drydock cluster up`"),
        (&["cluster", "up", "--nodes", "21"], "21 is not in 0..=20"),
        (&["serve", "--no-open", "--nodes", "500"], "500 is not in 1..=20"),
        (&["serve", "--no-open", "--listen", "127.0.0.1:0", "--content", "/nowhere"], "the content of /nowhere: chapters/lunches/course.yaml"),
    ];
    for (arguments, wanted) in cases {
        let error = idle.run(arguments).refused();
        assert!(error.contains(wanted), "{arguments:?}: {error}");
        assert!(!error.contains("panicked"), "{error}");
    }
    let nowhere = Ran::of(std::process::Command::new(drydock_kit::binary()).args(["--state", "/dev/null/x", "cluster", "status"])).refused();
    assert!(nowhere.contains("choose another with --state DIR"), "{nowhere}");
    let running = Drydock::cluster(1);
    assert_eq!(running.run(&["cluster", "shell", "node-9"]).refused(), "drydock: there is no node \"node-9\", or it is off\n");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let idle = Drydock::idle();
    for arguments in [["image", "ls"], ["doctor", "--output=json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = idle.command(&arguments).stdout(writer).stderr(std::process::Stdio::piped()).output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(141), ""), "{arguments:?}");
    }
}

#[test]
fn a_computer_without_kubectl_has_the_one_that_is_built_in() {
    let drydock = Drydock::idle();
    let mut up = drydock.command(&["cluster", "up", "--api-port", "0", "--nodes", "1", "--detach", "--host-tools"]);
    let said = Ran::of(up.env("PATH", "/nowhere")).ok();
    assert!(said.contains("1 node ready"), "{said}");
    let log = std::fs::read_to_string(drydock.state().join("drydock.log")).unwrap();
    let typed = drydock.run(&["cluster", "shell", "workstation", "kubectl", "get", "nodes", "-o", "name"]).ok();
    assert_eq!(typed.trim(), "node/node-1");
    let nodes = std::process::Command::new(drydock_kit::binary()).args(["kubectl", "get", "nodes", "-o", "name"]).env("KUBECONFIG", drydock.state().join("kubeconfig")).output().unwrap();
    drydock.run(&["cluster", "down"]).ok();
    assert_eq!(String::from_utf8_lossy(&nodes.stdout), "node/node-1\n");
    assert!(log.contains("kubectl is not on PATH; the terminals use the kubectl that is built in"), "{log}");
}

/// What a lesson's checks know of a command: its name, and that its requests belong together.
#[test]
fn what_the_terminals_kubectl_reads_is_evidence() {
    let drydock = Drydock::cluster(1);
    let typed = |words: &[&str]| drydock.run(&[&["cluster", "shell", "workstation", "--", "kubectl"], words].concat()).ok();
    assert!(typed(&["version", "--client"]).starts_with("Client Version: v1.32"));
    assert!(typed(&["describe", "node", "node-1"]).contains("Name:               node-1"));
    let reads = drydock.kubectl(&["get", "--raw", "/apis/lab.drydock.internal/v1alpha1/reads"]).ok();
    let reads: Value = serde_json::from_str(&reads).unwrap();
    let of = |field: &str, read: &Value| read["spec"][field].as_str().unwrap_or_default().to_owned();
    let described: Vec<&Value> = reads["items"].as_array().unwrap().iter().filter(|read| of("kubectlCommand", read) == "kubectl describe").collect();
    assert!(described.iter().any(|read| of("verb", read) == "get" && of("resource", read) == "nodes" && of("user", read) == "learner"), "{reads:#}");
    let sessions: std::collections::BTreeSet<String> = described.iter().map(|read| of("kubectlSession", read)).collect();
    assert_eq!(sessions.len(), 1, "{sessions:?}");
}

/// What is listed is found by its name, whatever kind of evidence it is.
#[test]
fn one_piece_of_evidence_is_got_by_its_name() {
    let drydock = Drydock::cluster(1);
    let terminal = Terminal::open(&drydock);
    terminal.says("kubectl run web --image=kiamol/ch02-hello-kiamol --restart=Never", 0);
    terminal.says("kubectl wait --for=condition=Ready pod/web", 0);
    terminal.says("kubectl exec web -- hostname", 0);
    for plural in ["commands", "reads", "streams", "nodecontainers"] {
        let listed = eventually(PATIENCE, || lab(&drydock, plural)["items"].get(0).cloned().ok_or_else(|| format!("there are no {plural}")));
        let name = listed["metadata"]["name"].as_str().unwrap();
        let got = lab(&drydock, &format!("{plural}/{name}"));
        for field in ["apiVersion", "kind", "spec"] {
            assert_eq!((&got[field], got[field].is_null()), (&listed[field], false), "{plural}/{name}: {field}");
        }
        assert_eq!(got["metadata"]["name"], name, "{plural}");
        let missing = drydock.kubectl(&["get", "--raw", &format!("{LAB}/{plural}/none")]).refused();
        assert!(missing.contains(&format!("{plural}.lab.drydock.internal \"none\" not found")), "{missing}");
    }
}

#[test]
fn what_a_killed_pull_left_is_gone_when_a_cluster_has_started() {
    let mut drydock = Drydock::idle();
    let blobs = drydock.state().join("cluster/library/blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let left = blobs.join(".incoming-half");
    std::fs::write(&left, "half of a layer").unwrap();
    drydock.start(&["cluster", "up", "--api-port", "0", "--nodes", "0"]);
    assert!(!left.exists());
}

/// However short the moment is, whoever watches sees that the containers of a Pod are being created.
#[test]
fn a_watch_shows_that_containers_are_being_created() {
    let drydock = Drydock::cluster(1);
    for name in ["first", "second", "third"] {
        drydock.kubectl(&["run", name, "--image=kiamol/ch02-hello-kiamol"]).ok();
    }
    drydock.kubectl(&["wait", "--for=condition=Ready", "pods", "--all", "--timeout=60s"]).ok();
    let history = lab(&drydock, "history?resource=pods&namespace=default");
    let versions = history["items"].as_array().unwrap();
    for name in ["first", "second", "third"] {
        let states = versions.iter().map(|version| &version["object"]).filter(|pod| pod["metadata"]["name"] == name).map(|pod| &pod["status"]["containerStatuses"][0]["state"]);
        let seen: Vec<&str> = states.filter_map(|state| state["waiting"]["reason"].as_str().or(state["running"].is_object().then_some("running"))).collect();
        assert_eq!((seen.first(), seen.last()), (Some(&"ContainerCreating"), Some(&"running")), "{name}: {seen:?}");
    }
}

/// Root only: a disk of its own takes a mount.
#[test]
fn a_full_disk_is_said_and_loses_nothing() {
    let drydock = Drydock::idle();
    let disk = drydock.state().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mounted = Ran::of(std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"]).arg(&disk));
    if !mounted.status.success() {
        return eprintln!("a small disk cannot be mounted, so a full one is not tested: {}", mounted.stderr);
    }
    // The mount goes whatever happens below.
    let outcome = std::panic::catch_unwind(|| fill(&disk));
    let state = disk.to_string_lossy();
    drydock_binary(&["--state", &state, "cluster", "down"]);
    // The last process of the cluster lets go of it when the kernel has ended it, a moment after the first one said good-bye.
    drydock_kit::eventually(drydock_kit::PATIENCE, || {
        let ran = Ran::of(std::process::Command::new("umount").arg(&disk));
        if ran.status.success() { Ok(()) } else { Err(ran.stderr) }
    });
    if let Err(failure) = outcome {
        std::panic::resume_unwind(failure);
    }
}

fn drydock_binary(arguments: &[&str]) -> Ran {
    Ran::of(std::process::Command::new(drydock_kit::binary()).args(arguments))
}

fn fill(disk: &std::path::Path) {
    let state = disk.to_string_lossy();
    let up = ["--state", &state, "cluster", "up", "--detach", "--api-port", "0", "--nodes", "1"];
    let kubeconfig = disk.join("kubeconfig");
    let kubectl = |arguments: &[&str]| Ran::of(std::process::Command::new("kubectl").env("KUBECONFIG", &kubeconfig).args(arguments));
    drydock_binary(&up).ok();
    kubectl(&["create", "configmap", "before", "--from-literal=a=b"]).ok();
    let filler = disk.join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
    drop(file);
    let large = format!("--from-literal=a={}", "x".repeat(20_000));
    let refused = kubectl(&["create", "configmap", "during", &large]).refused();
    assert!(refused.contains("so nothing was changed; make room on the disk"), "{refused}");
    kubectl(&["get", "configmap", "before"]).ok();
    drydock_binary(&["--state", &state, "cluster", "down"]).ok();
    let refused = drydock_binary(&up).refused();
    assert!(refused.contains("the disk of the state directory is full: make room there"), "{refused}");
    std::fs::remove_file(&filler).unwrap();
    drydock_binary(&up).ok();
    let left = kubectl(&["get", "configmaps", "-o", "name"]).ok();
    assert!(left.contains("configmap/before") && !left.contains("configmap/during"), "{left}");
}

#[test]
fn the_page_is_served() {
    let drydock = Drydock::serve();
    let url = drydock.line.split(' ').next().unwrap();
    let page = Ran::of(std::process::Command::new("curl").args(["-s", "-L", url])).ok();
    assert!(page.contains("Pods and Deployments"), "{page}");
    // Another site's page may not read it.
    let foreign = Ran::of(std::process::Command::new("curl").args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: evil.example", url])).ok();
    assert!(foreign.starts_with('4'), "{foreign}");
}

#[test]
fn the_doctor_finds_this_machine_fit() {
    let findings: Value = serde_json::from_str(&Drydock::idle().run(&["doctor", "-o", "json"]).ok()).unwrap();
    let findings = findings.as_array().unwrap();
    assert!(findings.len() >= 8);
    assert!(findings.iter().all(|finding| finding["grade"] == "ok" || finding["fix"] != ""), "{findings:?}");
}
