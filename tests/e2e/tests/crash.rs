//! `kill -9` at any moment: nothing is left behind, nothing is lost.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use drydock_kit::{Drydock, PATIENCE, alive, eventually};

/// What the design allows a dead drydock's processes.
const GONE: Duration = Duration::from_secs(2);

fn nothing_is_left(drydock: &Drydock, family: &[(i32, String)]) {
    eventually(GONE, || match alive(family).as_slice() {
        [] => Ok(()),
        left => Err(format!("processes {left:?} are still there")),
    });
    assert_eq!(mounted_by(drydock), [""; 0], "no mount is left in anybody's file system");
}

/// Every process of this machine in whose file system the state directory is mounted. A cluster's mounts are in namespaces of its own,
/// so the test's own table would never show them.
fn mounted_by(drydock: &Drydock) -> Vec<String> {
    let state = drydock.state().to_string_lossy().into_owned();
    let entries = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let processes = entries.filter(|name| name.parse::<i32>().is_ok());
    let mounted = processes.filter(|pid| fs::read_to_string(format!("/proc/{pid}/mountinfo")).is_ok_and(|table| table.contains(&state)));
    mounted.map(|pid| format!("{pid} {}", fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " "))).collect()
}

#[test]
fn a_killed_drydock_leaves_nothing_and_loses_nothing() {
    killed(Drydock::cluster(1));
}

/// Kill it, look around, start it again.
pub(super) fn killed(mut drydock: Drydock) {
    drydock.kubectl(&["create", "deployment", "web", "--image=kiamol/ch02-hello-kiamol"]).ok();
    drydock.kubectl(&["rollout", "status", "deployment/web", "--timeout=30s"]).ok();
    let container = "{.items[*].status.containerStatuses[0].containerID}";
    let run = |name: &str, script: &str| {
        let image = "--image=kiamol/ch02-hello-kiamol";
        drydock.kubectl(&["run", name, image, "--restart=Never", "--labels=kind=bare", "--command", "--", "sh", "-c", script]).ok();
    };
    run("goes-on", "sleep 10000");
    run("finished", "exit 3");
    drydock.kubectl(&["wait", "--for=condition=Ready", "pod/goes-on", "--timeout=30s"]).ok();
    drydock.kubectl(&["wait", "--for=jsonpath={.status.phase}=Failed", "pod/finished", "--timeout=30s"]).ok();
    let before = drydock.get(&["deployment", "web"]);
    let containers = drydock.kubectl(&["get", "pods", "-l", "kind=bare", "-o", &format!("jsonpath={container}")]).ok();
    let family = drydock.family();
    assert!(mounted_by(&drydock).len() >= 6, "the check of mounts sees the mounts of a cluster that runs");
    assert!(family.len() >= 6, "cluster-init, control plane, node-init, kubelet, workstation, the Pod: {family:?}");
    let groups = drydock.cgroups();
    drydock.kill();
    nothing_is_left(&drydock, &family);

    drydock.start(&["cluster", "up", "--api-port", "0", "--nodes", "1"]);
    assert_eq!(existing(&groups), [""; 0], "control groups go at the next start");
    let after = drydock.get(&["deployment", "web"]);
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    drydock.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).ok();
    drydock.kubectl(&["wait", "--for=condition=Ready", "pod", "-l", "app=web", "--timeout=60s"]).ok();

    // A restart is a power cut: what ran goes on in a new container, also under `restartPolicy: Never`; what had ended has ended.
    let phases = "jsonpath={range .items[*]}{.metadata.name}={.status.phase},{.status.containerStatuses[0].restartCount} {end}";
    eventually(PATIENCE, || {
        let now = drydock.kubectl(&["get", "pods", "-l", "kind=bare", "-o", phases]).ok();
        if now == "finished=Failed,0 goes-on=Running,1 " { Ok(()) } else { Err(now) }
    });
    drydock.kubectl(&["wait", "--for=condition=Ready", "pod/goes-on", "--timeout=30s"]).ok();
    let now = drydock.kubectl(&["get", "pods", "-l", "kind=bare", "-o", &format!("jsonpath={container}")]).ok();
    let (old, new): (Vec<&str>, Vec<&str>) = (containers.split(' ').collect(), now.split(' ').collect());
    assert_eq!(old[0], new[0], "the finished one is the old one");
    assert_ne!(old[1], new[1], "the other is a new one");
}

#[test]
fn the_end_leaves_nothing() {
    ended(&Drydock::cluster(1));
}

/// End it as one should.
pub(super) fn ended(drydock: &Drydock) {
    drydock.kubectl(&["run", "web", "--image=kiamol/ch02-hello-kiamol"]).ok();
    drydock.kubectl(&["wait", "--for=condition=Ready", "pod/web", "--timeout=30s"]).ok();
    let family = drydock.family();
    let groups = drydock.cgroups();
    drydock.run(&["cluster", "down"]).ok();
    nothing_is_left(drydock, &family);
    assert_eq!(existing(&groups), [""; 0], "control groups go with the cluster");
    drydock.run(&["cluster", "delete"]).ok();
    assert!(!drydock.state().join("cluster").exists() && !drydock.state().join("kubeconfig").exists());
}

fn existing(groups: &[PathBuf]) -> Vec<String> {
    groups.iter().filter(|path| path.exists()).map(|path| path.display().to_string()).collect()
}

#[test]
fn a_kubelet_that_dies_comes_back_and_keeps_its_containers() {
    let drydock = Drydock::cluster(1);
    drydock.kubectl(&["run", "web", "--image=kiamol/ch02-hello-kiamol"]).ok();
    drydock.kubectl(&["wait", "--for=condition=Ready", "pod/web", "--timeout=30s"]).ok();
    let container = |drydock: &Drydock| drydock.get(&["pod", "web"])["status"]["containerStatuses"][0]["containerID"].clone();
    let before = container(&drydock);
    let kubelet = |drydock: &Drydock| {
        let of_role = |pid: i32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.windows(12).any(|part| part == b"role:kubelet"));
        drydock.family().into_iter().find(|(pid, _)| of_role(*pid))
    };
    let first = kubelet(&drydock).expect("a kubelet runs");
    std::process::Command::new("kill").args(["-9", &first.0.to_string()]).status().unwrap();
    eventually(PATIENCE, || match kubelet(&drydock) {
        Some(second) if second != first => Ok(()),
        other => Err(format!("the kubelet is {other:?}")),
    });
    // The log goes through the new kubelet, the container is the old one.
    eventually(PATIENCE, || {
        let ran = drydock.kubectl(&["exec", "web", "--", "hostname"]);
        if ran.status.success() { Ok(()) } else { Err(ran.stderr) }
    });
    assert_eq!(container(&drydock), before);
    assert_eq!(drydock.get(&["pod", "web"])["status"]["containerStatuses"][0]["restartCount"], 0);
}
