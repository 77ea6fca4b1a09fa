//! The lessons from a terminal alone: `lab`.

use std::fs;

use drydock_kit::{Drydock, PATIENCE, eventually};
use serde_json::Value;

use crate::terminal::Terminal;

/// What the page has kept.
fn progress(drydock: &Drydock) -> Value {
    let text = fs::read(drydock.state().join("progress/progress.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Until the page shows a check as passed, or does not.
#[track_caller]
fn green(drydock: &Drydock, check: &str, wanted: bool) {
    eventually(PATIENCE, || match progress(drydock)["passed"].get(check).is_some() == wanted {
        true => Ok(()),
        false => Err(format!("{check}: {:#}", progress(drydock))),
    });
}

#[test]
fn exercises_are_done_from_a_terminal_alone() {
    let drydock = Drydock::serve();
    let terminal = Terminal::open(&drydock);
    assert!(terminal.reads("lab", 1).contains("lab next"));
    assert!(terminal.reads("lab turn", 2).contains("there is no lab turn"));
    assert!(terminal.reads("lab list", 0).contains("ch03"));
    assert!(terminal.reads("lab search", 2).contains("wants words"));
    assert!(terminal.reads("lab search nobody says this", 1).contains("no chapter says"));
    assert!(terminal.reads("lab search --cascade=orphan", 0).contains("kubectl delete ds pi-proxy --cascade=orphan"));
    let found = terminal.reads("lab search kubectl run hello-kiamol", 0);
    assert!(found.contains("ch02/") && found.contains("--image=kiamol/ch02-hello-kiamol") && found.contains("To read the first of them: lab open ch02, then lab read "), "{found}");
    let shown = terminal.reads("lab open ch02", 0);
    for part in ["1. Run a Pod", "$ kubectl run hello-kiamol --image=kiamol/ch02-hello-kiamol --restart=Never", "\u{25cb} You asked for its full description"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(terminal.reads("lab check", 1).contains("\u{25cb} The Pod hello-kiamol runs"));
    terminal.reads("kubectl run hello-kiamo --image=kiamol/ch02-hello-kiamol --restart=Never", 0);
    let why = terminal.reads("lab check; lab why 1 --fix", 0);
    assert!(why.contains("\u{2717} The Pod hello-kiamol runs") && why.contains("make it again as hello-kiamol"), "{why}");
    assert!(terminal.reads("lab hint", 0).contains("Hint 1 of 2"));
    terminal.reads("kubectl delete pod hello-kiamo --grace-period=0", 0);

    terminal.reads("kubectl run hello-kiamol --image=kiamol/ch02-hello-kiamol --restart=Never", 0);
    terminal.reads("kubectl wait --for=condition=Ready pod hello-kiamol", 0);
    terminal.reads("kubectl describe pod hello-kiamol", 0);
    assert!(terminal.reads("lab check", 0).contains("Done."));
    green(&drydock, "ch02-pod-runs", true);

    let shown = terminal.reads("lab next", 0);
    assert!(shown.contains("2. Ask for exactly what you want") && shown.contains("? Question: Which address does the Pod have?"), "{shown}");
    assert!(terminal.reads("lab answer 10.0.0.1", 1).contains("Not yet"));
    assert!(terminal.reads("lab answer $(kubectl get pod hello-kiamol -o jsonpath='{.status.podIP}')", 0).contains("Right"));
    terminal.reads("kubectl get pod hello-kiamol -o jsonpath='{.status.containerStatuses[0].containerID}'", 0);
    terminal.reads("lab check", 0);
    green(&drydock, "ch02-ip-found", true);

    assert!(terminal.reads("lab reset < /dev/null", 1).contains("use lab reset --yes"));
    assert!(terminal.reads("lab reset --yes", 0).contains("is as when it began"));
    green(&drydock, "ch02-ip-found", false);
    green(&drydock, "ch02-pod-runs", true);
    let checked = terminal.reads("lab check -o json", 1);
    assert_eq!(checked.matches("\"state\": \"passed\"").count(), 0, "what was done before it was put back does not count: {checked}");

    terminal.reads("kubectl delete pod hello-kiamol --grace-period=0", 0);
    assert!(terminal.reads("lab undo", 0).contains("restored pod/hello-kiamol"));
    assert!(terminal.reads("lab undo --yes; lab solution", 1).contains("only labs have solutions"));
    // Its own record goes with all others.
    terminal.types("lab reset chapter --yes");
    green(&drydock, "ch02-pod-runs", false);
}
