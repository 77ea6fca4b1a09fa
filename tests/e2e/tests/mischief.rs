//! What a learner may do to it: remove everything, a fork bomb, a log without end, `kill -9 -1`. The machine, the page and the cluster
//! stand, or are one reset away.

use std::process::{Child, Stdio};
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

/// A command that goes on until somebody ends it.
struct Background(Child);

impl Background {
    fn start(mut command: std::process::Command) -> Background {
        Background(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

#[test]
fn removing_everything_removes_what_is_ones_own() {
    everything_removed(&Drydock::cluster(1));
}

/// In a Pod, and in a terminal.
pub(super) fn everything_removed(drydock: &Drydock) {
    toolbox(drydock, "bystander");
    toolbox(drydock, "victim");
    drydock.kubectl(&["exec", "victim", "--", "sh", "-c", "rm -rf /* 2> /dev/null; true"]);
    assert!(!drydock.kubectl(&["exec", "victim", "--", "ls", "/"]).status.success(), "its programs are gone");
    stands(drydock, "bystander");
    terminal(drydock, "echo mine > /tmp/mine; rm -rf /* ~ 2> /dev/null; true");
    // With one id only, the learner owns the programs too, and there is no shell left to ask.
    let left = terminal(drydock, "ls ~/.kube/config /tmp/mine 2> /dev/null || echo gone");
    assert!(left.stdout == "gone\n" || left.stderr.contains("executable file not found"), "{}{}", left.stdout, left.stderr);
    drydock.kubectl(&["get", "nodes"]).ok();
    as_new(drydock);
}

/// Every one of its processes makes more for ever. One whose processes make two each and end burns out as soon as it meets a limit,
/// which on a busy machine is before anybody has seen it.
const BOMB: &str = "f() { while :; do f & done; }; f";

#[test]
fn a_fork_bomb_is_its_own_problem() {
    bombed(&Drydock::cluster(1));
}

/// In a Pod, in a terminal, and on a node.
pub(super) fn bombed(drydock: &Drydock) {
    toolbox(drydock, "bystander");
    toolbox(drydock, "bomber");
    let processes = || drydock.family().len();
    let many = |bomb: &mut Background| {
        eventually(LONG, || match bomb.0.try_wait().unwrap() {
            _ if processes() > 800 => Ok(()),
            ended => Err(format!("{} processes, the bomb ended: {ended:?}", processes())),
        });
    };
    let few = || eventually(LONG, || if processes() < 150 { Ok(()) } else { Err(format!("{} processes", processes())) });

    // While it goes on, others do; and it ends with its Pod.
    let mut bomb = Background::start(drydock.kubectl_command(&["exec", "bomber", "--", "sh", "-c", BOMB]));
    many(&mut bomb);
    stands(drydock, "bystander");
    assert!(processes() > 800, "it goes on");
    drydock.kubectl(&["delete", "pod", "bomber", "--grace-period=2", "--timeout=60s"]).ok();
    few();

    // A new terminal is the way out, on the laptop as on a node.
    for (seat, others) in [("workstation", "kubectl get nodes | cat"), ("node-1", "ls /host | cat")] {
        let mut bomb = Background::start(drydock.command(&["cluster", "shell", seat, "--", "sh", "-c", BOMB]));
        many(&mut bomb);
        drydock.kubectl(&["exec", "bystander", "--", "hostname"]).ok();
        assert_ne!(drydock.run(&["cluster", "shell", seat, "--", "sh", "-c", others]).ok(), "", "{seat}");
        few();
    }

    // Nobody has to know that: a reset is enough.
    let mut bomb = Background::start(drydock.command(&["cluster", "shell", "workstation", "--", "sh", "-c", BOMB]));
    many(&mut bomb);
    as_new(drydock);
    few();
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

/// Pods that write more than they may, each to another place.
const WRITERS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: volume}
spec:
  containers:
  - {name: c, image: kiamol/ch03-sleep, command: [sh, -c, "head -c 20000000 /dev/zero > /data/file; sleep 10000"], volumeMounts: [{name: data, mountPath: /data}]}
  volumes: [{name: data, emptyDir: {sizeLimit: 10Mi}}]
---
apiVersion: v1
kind: Pod
metadata: {name: layer}
spec:
  containers:
  - {name: c, image: kiamol/ch03-sleep, command: [sh, -c, "head -c 20000000 /dev/zero > /file; sleep 10000"], resources: {limits: {ephemeral-storage: 10Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: log}
spec:
  containers:
  - {name: c, image: kiamol/ch03-sleep, command: [sh, -c, "yes | head -c 20000000; sleep 10000"], resources: {limits: {ephemeral-storage: 10Mi}}}
  - {name: other, image: kiamol/ch03-sleep, resources: {limits: {ephemeral-storage: 100Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: modest}
spec:
  containers:
  - {name: c, image: kiamol/ch03-sleep, command: [sh, -c, "head -c 5000000 /dev/zero > /data/file; sleep 10000"], volumeMounts: [{name: data, mountPath: /data}]}
  volumes: [{name: data, emptyDir: {sizeLimit: 10Mi}}]
"#;

#[test]
fn whoever_writes_more_than_allowed_is_evicted() {
    let drydock = Drydock::cluster(1);
    drydock.apply(WRITERS).ok();
    for (pod, message) in [
        ("volume", "Usage of EmptyDir volume \"data\" exceeds the limit \"10Mi\". "),
        ("layer", "Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. "),
        ("log", "Container c exceeded its local ephemeral storage limit \"10Mi\". "),
    ] {
        eventually(LONG, || {
            let status = drydock.get(&["pod", pod])["status"].take();
            let evicted = status["phase"] == "Failed" && status["reason"] == "Evicted" && status["message"] == message;
            let over = !status["containerStatuses"][0]["state"]["terminated"].is_null();
            if evicted && over { Ok(()) } else { Err(status.to_string()) }
        });
    }
    eventually(PATIENCE, || {
        let said = drydock.run(&["cluster", "shell", "node-1", "--", "sh", "-c", "du -sk /host/var/lib/kubelet/pods /host/var/lib/drydock/containers"]).ok();
        let kilobytes: u64 = said.lines().filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok()).sum();
        if kilobytes < 15_000 { Ok(()) } else { Err(format!("what they wrote is still there: {said}")) }
    });
    assert_eq!(drydock.get(&["pod", "modest"])["status"]["phase"], "Running");
    assert_eq!(drydock.kubectl(&["logs", "log", "-c", "c", "--tail=1"]).stdout, "y\n", "what it said can still be read");
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

#[test]
fn the_learners_keys_stay_outside() {
    // What this process has in its environment, drydock has; cargo puts this there.
    let canary = "CARGO_MANIFEST_DIR";
    assert!(std::env::var_os(canary).is_some());
    let drydock = Drydock::cluster(1);
    // The most a Pod can be given: every right, every process of the node, the node's disk.
    drydock.apply(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: spy}\nspec:\n  hostPID: true\n  containers:\n  - name: spy\n    image: kiamol/ch03-sleep\n    \
         securityContext: {privileged: true}\n    volumeMounts: [{name: node, mountPath: /node}]\n  volumes: [{name: node, hostPath: {path: /}}]\n",
    )
    .ok();
    ready(&drydock, "spy");
    let seen = drydock.kubectl(&["exec", "spy", "--", "sh", "-c", "cat /proc/[0-9]*/environ /node/proc/[0-9]*/environ 2> /dev/null | tr '\\0' '\\n'"]);
    assert!(seen.stdout.contains("PATH="), "it sees processes: {}{}", seen.stdout, seen.stderr);
    assert!(!seen.stdout.contains(canary), "{}", seen.stdout);
}

/// A Pod that writes to the node's own disk, which is nobody's local storage.
const HOST_WRITER: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: writer}
spec:
  containers: [{name: c, image: kiamol/ch03-sleep, volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, hostPath: {path: /data, type: DirectoryOrCreate}}]
"#;

/// What the computer has left for the directory, in megabytes.
fn megabytes_left(directory: &std::path::Path) -> u64 {
    let ran = drydock_kit::Ran::of(std::process::Command::new("df").args(["--output=avail", "--block-size=1M"]).arg(directory)).ok();
    ran.lines().last().and_then(|line| line.trim().parse().ok()).unwrap_or(0)
}

#[test]
fn a_full_disk_is_its_machines_own_problem() {
    let mut drydock = Drydock::idle();
    drydock.start(&["cluster", "up", "--api-port", "0", "--nodes", "1", "--disk", "1Gi"]);
    let left = megabytes_left(drydock.state());
    assert!(left > 6_000, "two disks of 1 GiB are filled here, one after the other, by what would write 4 GB more: make room, {left} MiB are left");
    assert_eq!(drydock.get(&["node", "node-1"])["status"]["capacity"]["ephemeral-storage"], "1Gi");
    toolbox(&drydock, "bystander");
    // Room that is taken without being written, so that the rest is soon full.
    let full = |ran: &drydock_kit::Ran| {
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!ran.status.success() && said.contains("dd: No space left on device: the disk of "), "{ran:?}");
    };
    let dd = "dd if=/dev/zero bs=1M count=4000";
    terminal(&drydock, "! fallocate -l 50G ~/more && rm -f ~/more").ok();
    let ran = terminal(&drydock, &format!("fallocate -l 1000M ~/most && {dd} of=$HOME/rest; code=$?; echo the shell stands; exit $code"));
    full(&ran);
    assert!(ran.stdout.contains("the shell stands"), "{ran:?}");
    stands(&drydock, "bystander");
    terminal(&drydock, &format!("rm ~/most ~/rest && {dd} count=300 of=$HOME/rest && rm ~/rest")).ok();

    drydock.apply(HOST_WRITER).ok();
    ready(&drydock, "writer");
    let writer = |script: &str| drydock.kubectl(&["exec", "writer", "--", "sh", "-c", script]);
    let pressure = |wanted: &str| {
        eventually(LONG, || {
            let node = drydock.get(&["node", "node-1"]);
            let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let found = conditions.into_iter().find(|condition| condition["type"] == "DiskPressure").unwrap_or_default();
            if found["status"] == wanted { Ok(found["reason"].as_str().unwrap_or_default().to_owned()) } else { Err(found.to_string()) }
        })
    };
    writer("fallocate -l 940M /data/most").ok();
    assert_eq!(pressure("True"), "KubeletHasDiskPressure");
    eventually(PATIENCE, || {
        let taints = drydock.get(&["node", "node-1"])["spec"]["taints"].take();
        if taints.to_string().contains("node.kubernetes.io/disk-pressure") { Ok(()) } else { Err(taints.to_string()) }
    });
    full(&writer(&format!("{dd} of=/data/rest")));
    assert_eq!(drydock.kubectl(&["exec", "bystander", "--", "hostname"]).ok(), "bystander\n");
    writer("rm /data/most /data/rest").ok();
    assert_eq!(pressure("False"), "KubeletHasNoDiskPressure");
    stands(&drydock, "bystander");
    assert!(megabytes_left(drydock.state()) + 4_000 > left, "what was removed is gone");
}
