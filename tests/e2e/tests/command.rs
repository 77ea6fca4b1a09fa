//! The `drydock` command itself.

use std::net::TcpListener;

use drydock_kit::{Drydock, Ran};
use serde_json::Value;

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
        (&["cluster", "up", "--nodes", "0"], "0 is not in 1..=20"),
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
