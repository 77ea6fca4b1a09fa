//! After a restart: what node-init still holds becomes what the new kubelet knows.
//!
//! Everything is in the labels of the sandboxes and containers (a [`Record`] as JSON), so nothing has to be kept on disk.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::logs;
use super::node::{Node, lock, remove_path};
use super::records::{Record, RecordExit};
use super::state::{Attempt, Ended, PodState, Sandbox, Step, find_container, uid};
use super::worker::{Adopted, RECORD, attempt, termination_message};
use crate::init::protocol::{Exit, Inventory};

/// How an end is recorded.
pub(super) fn record_exit(exit: &Exit) -> RecordExit {
    let reason = match exit {
        Exit { oom_killed: true, .. } => "OOMKilled",
        Exit { code: 0, .. } => "Completed",
        _ => "Error",
    };
    // Begins as the words of an eviction do, but the container alone ends: the rest of the Pod did nothing.
    let message = exit.disk_full.as_ref().map(|whose| format!("The node was low on resource: ephemeral-storage. No space left on device: {whose}. The container was ended, the Pod was not evicted."));
    RecordExit { code: exit.code, reason: reason.to_owned(), message, at: exit.at }
}

/// Fill the table from what node-init holds. Output that nobody read yet is read now.
pub(super) async fn fill(node: &Node, inventory: &Inventory) {
    for (id, sandbox) in &inventory.sandboxes {
        if let Some(record) = read_record(id, &sandbox.labels) {
            node.records.set(record, None);
        }
    }
    for (id, container) in &inventory.containers {
        let Some(mut record) = read_record(id, &container.spec.labels) else { continue };
        record.started = Some(container.started);
        record.pid = container.pid;
        record.exit = container.exit.as_ref().map(record_exit);
        let io = match node.init.stdio(id).await {
            Ok(stdio) => logs::pump(stdio, &record.log_path, false).inspect_err(|error| tracing::warn!(id, %error, "cannot go on reading")).ok(),
            Err(error) => {
                tracing::debug!(id, %error, "no streams left");
                None
            }
        };
        node.records.set(record, io);
    }
}

fn read_record(id: &str, labels: &BTreeMap<String, String>) -> Option<Record> {
    let text = labels.get(RECORD)?;
    match serde_json::from_str(text) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::error!(id, %error, "a container of an unknown kind");
            None
        }
    }
}

/// Mark the addresses of living sandboxes as taken.
pub(super) fn reserve_addresses(node: &Node) {
    let Some(network) = node.network.get() else { return };
    for record in node.records.all().into_iter().filter(Record::is_sandbox) {
        let Ok(address) = record.ip.parse::<Ipv4Addr>() else { continue };
        if address == node.config.node_ip {
            continue;
        }
        if let Err(error) = lock(&network.ipam).adopt(&record.id, address) {
            tracing::warn!(%error, pod = record.pod, "an address in use");
        }
    }
}

/// What is known about one Pod.
pub(super) fn adopted(records: &[Record], pod: &Pod) -> Adopted {
    let mut own: Vec<Record> = records.iter().filter(|record| record.uid == uid(pod)).cloned().collect();
    own.sort_by_key(|record| (record.created, record.attempt));
    let mut state = PodState::default();
    if let Some(sandbox) = own.iter().rfind(|record| record.is_sandbox()) {
        state.sandbox = Some(Sandbox { id: sandbox.id.clone(), ip: sandbox.ip.clone() });
        state.sandbox_attempt = sandbox.attempt;
        state.network = Step::Done;
    }
    own.retain(|record| !record.is_sandbox());
    for record in &own {
        let policy = find_container(pod, &record.container).and_then(|(_, container)| container.termination_message_policy);
        let exit = record.exit.as_ref().map(|exit| Ended {
            code: exit.code,
            reason: exit.reason.clone(),
            message: termination_message(record, exit, policy.as_deref()),
            at: exit.at,
            lost: false,
        });
        let slot = state.slot_mut(&record.container);
        let fresh = Attempt { exit, ..attempt(record) };
        slot.previous = slot.current.replace(fresh);
    }
    Adopted { state, records: own }
}

/// Take away what belongs to no Pod of this node any more: containers, and directories an earlier life of the node left.
pub(super) async fn clean_up(node: &Arc<Node>, known: &[String]) {
    let orphans: Vec<Record> = node.records.all().into_iter().filter(|record| !known.contains(&record.uid)).collect();
    let (sandboxes, containers): (Vec<Record>, Vec<Record>) = orphans.into_iter().partition(Record::is_sandbox);
    for record in containers {
        tracing::info!(pod = record.pod, container = record.container, "its Pod is gone");
        node.stop(&record.id, std::time::Duration::from_secs(1)).await;
        node.records.remove(&record.id);
        node.forget(&record).await;
    }
    for record in sandboxes {
        node.records.remove(&record.id);
        node.remove_sandbox(&record).await;
    }
    let config = &node.config;
    for name in names(&config.pods) {
        if !known.contains(&name) {
            super::volumes::remove(&config.pods, &name);
        }
    }
    let alive: Vec<String> = node.records.all().into_iter().map(|record| record.id).collect();
    for name in names(&config.containers) {
        if !alive.contains(&name) {
            remove_path(&config.containers.join(name));
        }
    }
    for name in names(&config.logs.join("pods")) {
        let of_known = name.rsplit('_').next().is_some_and(|uid| known.iter().any(|known| known == uid));
        if !of_known {
            remove_path(&config.logs.join("pods").join(name));
        }
    }
    for name in names(&config.logs.join("containers")) {
        let link = config.logs.join("containers").join(name);
        if !link.exists() {
            remove_path(&link);
        }
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use serde_json::json;

    #[test]
    fn the_newest_instance_is_the_present_one() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": {"containers": [{"name": "c"}]},
        })).unwrap();
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let record = |id: &str, container: &str, number: u32, uid: &str| Record {
            id: id.into(),
            uid: uid.into(),
            container: container.into(),
            attempt: number,
            created: Some(at(i64::from(number))),
            ip: "10.244.1.5".into(),
            ..Record::default()
        };
        let mut ended = record("one", "c", 1, "u");
        ended.exit = Some(record_exit(&Exit { code: 137, signal: Some(9), oom_killed: true, disk_full: None, at: at(9) }));
        let records = [record("two", "c", 2, "u"), ended, record("box", "POD", 0, "u"), record("other", "c", 7, "v")];
        let found = adopted(&records, &pod);
        assert_eq!(found.state.sandbox.as_ref().unwrap().ip, "10.244.1.5");
        let slot = found.state.slot("c");
        assert_eq!(slot.current.unwrap().id, "two");
        assert_eq!(slot.previous.unwrap().exit.unwrap().reason, "OOMKilled");
        assert_eq!(found.records.len(), 2);
    }

    #[test]
    fn ends_have_a_reason_and_where_the_disk_was_full_a_sentence() {
        let at = Timestamp::UNIX_EPOCH;
        let full = "The node was low on resource: ephemeral-storage. No space left on device: the disk of node-1 (10Gi) is full. The container was ended, the Pod was not evicted.";
        for (code, oom_killed, disk_full, reason, message) in [
            (0, false, None, "Completed", None),
            (1, false, None, "Error", None),
            (137, true, None, "OOMKilled", None),
            (137, false, Some("the disk of node-1 (10Gi) is full"), "Error", Some(full)),
        ] {
            let exit = record_exit(&Exit { code, signal: None, oom_killed, disk_full: disk_full.map(str::to_owned), at });
            assert_eq!((exit.reason.as_str(), exit.message.as_deref()), (reason, message), "{code}");
            let record = Record { termination_log: "/nowhere".into(), log_path: "/nowhere".into(), ..Record::default() };
            assert_eq!(termination_message(&record, &exit, None).as_deref(), message, "{code}");
        }
    }
}
