//! What a learner may do to it: remove everything, a log without end, `kill -9 -1`. The machine, the page and the cluster
//! stand, or are one reset away.

use std::time::Duration;

use drydock_kit::{Drydock, PATIENCE, eventually};

/// Longer than any of this takes on a busy machine, and an end for what would take for ever.
const LONG: Duration = Duration::from_secs(120);

fn toolbox(drydock: &Drydock, name: &str) {
    let image = "--image=kiamol/ch03-sleep";
    drydock.kubectl(&["run", name, image, "--restart=Never", "--command", "--", "sleep", "10000"]).ok();
    ready(drydock, name);
}

fn ready(drydock: &Drydock, pod: &str) {
    let ran = drydock.kubectl(&["wait", "--for=condition=Ready", &format!("pod/{pod}"), "--timeout=60s"]);
    assert!(ran.status.success(), "{}{}{}", ran.stderr, drydock.kubectl(&["describe", "pod", pod]).stdout, drydock.log());
}

/// A command in the workstation's terminal.
fn terminal(drydock: &Drydock, script: &str) -> drydock_kit::Ran {
    drydock.run(&["cluster", "shell", "workstation", "--", "sh", "-c", script])
}

/// Whoever did it, others go on: a command in another Pod, a new Pod, a command in a terminal.
fn stands(drydock: &Drydock, bystander: &str) {
    eventually(PATIENCE, || {
        let ran = drydock.kubectl(&["exec", bystander, "--", "hostname"]);
        if ran.stdout.trim() == bystander { Ok(()) } else { Err(ran.stderr) }
    });
    toolbox(drydock, "fresh");
    drydock.kubectl(&["delete", "pod", "fresh", "--now"]).ok();
    eventually(PATIENCE, || {
        let ran = terminal(drydock, "kubectl get nodes");
        if ran.stdout.contains(" Ready ") { Ok(()) } else { Err(ran.stderr) }
    });
}

/// After a reset everything is as on the first day: home, programs, the container engine.
fn as_new(drydock: &Drydock) {
    drydock.run(&["cluster", "reset"]).ok();
    let script = "cat ~/.kube/config > /dev/null && kubectl get nodes && docker ps && ls /tmp";
    eventually(PATIENCE, || {
        let ran = terminal(drydock, script);
        if ran.status.success() { Ok(()) } else { Err(format!("{}{}", ran.stdout, ran.stderr)) }
    });
}

#[test]
fn removing_everything_removes_what_is_ones_own() {
    everything_removed(&Drydock::cluster(1));
}

/// In a Pod, in a terminal, and in a terminal as root.
pub(super) fn everything_removed(drydock: &Drydock) {
    toolbox(drydock, "bystander");
    toolbox(drydock, "victim");
    drydock.kubectl(&["exec", "victim", "--", "sh", "-c", "rm -rf /* 2> /dev/null; true"]);
    assert!(!drydock.kubectl(&["exec", "victim", "--", "ls", "/"]).status.success(), "its programs are gone");
    stands(drydock, "bystander");
    for script in ["rm -rf /* ~ 2> /dev/null; true", "sudo rm -rf /* 2> /dev/null; true"] {
        terminal(drydock, script);
        drydock.kubectl(&["get", "nodes"]).ok();
        as_new(drydock);
    }
}

#[test]
fn killing_everything_visible_kills_what_is_ones_own() {
    everything_killed(&Drydock::cluster(1));
}

/// In a Pod, in a terminal, and on a node, where everything is visible.
pub(super) fn everything_killed(drydock: &Drydock) {
    toolbox(drydock, "bystander");
    drydock.kubectl(&["run", "web", "--image=kiamol/ch02-hello-kiamol"]).ok();
    ready(drydock, "web");
    drydock.kubectl(&["exec", "web", "--", "sh", "-c", "kill -9 -1"]);
    stands(drydock, "bystander");
    terminal(drydock, "kill -9 -1");
    stands(drydock, "bystander");
    drydock.run(&["cluster", "shell", "node-1", "--", "sh", "-c", "kill -9 -1"]);
    eventually(LONG, || {
        let ran = drydock.kubectl(&["exec", "web", "--", "hostname"]);
        let restarts = drydock.kubectl(&["get", "pod", "web", "-o", "jsonpath={.status.containerStatuses[0].restartCount}"]).stdout;
        if ran.stdout == "web\n" && restarts != "0" { Ok(()) } else { Err(format!("{restarts} restarts {}", ran.stderr)) }
    });
    drydock.kubectl(&["delete", "pod", "bystander", "--now"]).ok();
    toolbox(drydock, "another");
    stands(drydock, "another");
    assert_eq!(drydock.run(&["cluster", "shell", "node-1", "--", "sh", "-c", "echo $USER $HOME; hostname"]).ok(), "root /root\nnode-1\n");
}

#[test]
fn a_log_without_end_has_a_bounded_size() {
    let drydock = Drydock::cluster(1);
    let script = "yes 'a line of a log that nobody wants to read' | head -c 40000000; echo the end; sleep 10000";
    drydock.kubectl(&["run", "talker", "--image=kiamol/ch03-sleep", "--restart=Never", "--command", "--", "sh", "-c", script]).ok();
    eventually(LONG, || {
        let last = drydock.kubectl(&["logs", "talker", "--tail=1"]).stdout;
        if last.ends_with("the end\n") { Ok(()) } else { Err(last) }
    });
    let said = drydock.run(&["cluster", "shell", "node-1", "--", "sh", "-c", "du -sk /host/var/log/pods | cut -f1"]).ok();
    let kilobytes: u64 = said.trim().parse().unwrap();
    // Five files of 10 MiB, and a bit of the last one.
    assert!((10_000..60_000).contains(&kilobytes), "{kilobytes} kB");
}
