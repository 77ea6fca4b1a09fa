//! The Node object: what this machine is and that it is alive.
//!
//! Registered once, its status renewed every five minutes or when something changed; a Lease is renewed every ten seconds,
//! which is all an idle node costs.

// upstream: pkg/kubelet/kubelet_node_status.go, pkg/kubelet/nodestatus/setters.go; component-helpers/apimachinery/lease

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node as NodeObject, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use super::config::KubeletConfig;
use super::status::time;

/// What the node's containers are run by.
pub(super) const RUNTIME_VERSION: &str = concat!("drydock://", env!("CARGO_PKG_VERSION"));
const LEASE_SECONDS: i32 = 40;
const RENEW_EVERY: Duration = Duration::from_secs(10);
const STATUS_EVERY: Duration = Duration::from_secs(300);

/// Make the Node object, or find it; returns it as the API has it.
pub(super) async fn register(client: &kube::Client, config: &KubeletConfig) -> Result<NodeObject, kube::Error> {
    let api: Api<NodeObject> = Api::all(client.clone());
    let wanted = NodeObject {
        metadata: ObjectMeta {
            name: Some(config.node_name.clone()),
            labels: Some(labels(config)),
            annotations: Some(BTreeMap::from([(
                "volumes.kubernetes.io/controller-managed-attach-detach".to_owned(),
                "true".to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        ..NodeObject::default()
    };
    match api.create(&PostParams::default(), &wanted).await {
        Ok(node) => Ok(node),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let patch = json!({"metadata": {"labels": labels(config)}});
            api.patch(&config.node_name, &PatchParams::default(), &Patch::Merge(patch)).await
        }
        Err(error) => Err(error),
    }
}

fn labels(config: &KubeletConfig) -> BTreeMap<String, String> {
    let own = [
        ("beta.kubernetes.io/arch", architecture()),
        ("beta.kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
        ("kubernetes.io/hostname", &config.node_name),
        ("kubernetes.io/os", "linux"),
    ];
    let mut labels: BTreeMap<String, String> = own.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    labels.extend(config.labels.clone());
    labels
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// How a node is.
#[derive(Debug, Clone, Copy, Default)]
struct Health<'a> {
    /// Why it is not ready.
    not_ready: Option<&'a str>,
    /// Too little of its disk is left.
    disk_pressure: bool,
}

/// The status of a node that is ready, or says why it is not.
fn status(config: &KubeletConfig, old: Option<&NodeStatus>, images: Vec<ContainerImage>, health: Health<'_>, now: Timestamp) -> NodeStatus {
    let capacity: BTreeMap<String, Quantity> = config.capacity.iter().map(|(name, amount)| (name.clone(), Quantity(amount.clone()))).collect();
    let ready = match health.not_ready {
        None => ("Ready", "True", "KubeletReady", "kubelet is posting ready status".to_owned()),
        Some(why) => ("Ready", "False", "KubeletNotReady", why.to_owned()),
    };
    let disk = match health.disk_pressure {
        false => ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure".to_owned()),
        true => ("DiskPressure", "True", "KubeletHasDiskPressure", "kubelet has disk pressure".to_owned()),
    };
    let conditions = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available".to_owned()),
        disk,
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available".to_owned()),
        ready,
    ];
    let before = old.and_then(|old| old.conditions.clone()).unwrap_or_default();
    let conditions = conditions.into_iter().map(|(type_, status, reason, message)| {
        let same = before.iter().find(|condition| condition.type_ == type_ && condition.status == status);
        NodeCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_heartbeat_time: Some(time(now)),
            last_transition_time: same.and_then(|same| same.last_transition_time.clone()).or_else(|| Some(time(now))),
        }
    });
    let address = |type_: &str, address: String| NodeAddress { type_: type_.to_owned(), address };
    NodeStatus {
        addresses: Some(vec![address("InternalIP", config.node_ip.to_string()), address("Hostname", config.node_name.clone())]),
        allocatable: Some(capacity.clone()),
        capacity: Some(capacity),
        conditions: Some(conditions.collect()),
        daemon_endpoints: Some(NodeDaemonEndpoints { kubelet_endpoint: Some(DaemonEndpoint { port: 10250 }) }),
        images: (!images.is_empty()).then_some(images),
        node_info: Some(system_info(config)),
        ..NodeStatus::default()
    }
}

fn system_info(config: &KubeletConfig) -> NodeSystemInfo {
    let read = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let os_image = read("/etc/os-release").lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).map(|name| name.trim_matches('"').to_owned());
    // A node has no hardware of its own; its name gives it a stable identity.
    let identity = uuid_of(&config.node_name);
    NodeSystemInfo {
        architecture: architecture().to_owned(),
        boot_id: read("/proc/sys/kernel/random/boot_id"),
        container_runtime_version: RUNTIME_VERSION.to_owned(),
        kernel_version: read("/proc/sys/kernel/osrelease"),
        kube_proxy_version: config.version.clone(),
        kubelet_version: config.version.clone(),
        machine_id: identity.replace('-', ""),
        operating_system: "linux".to_owned(),
        os_image: os_image.unwrap_or_else(|| "Drydock".to_owned()),
        system_uuid: identity,
        swap: None,
    }
}

/// An identity that depends on the name alone.
fn uuid_of(name: &str) -> String {
    let mut bytes = [0u8; 16];
    for (index, byte) in name.bytes().enumerate() {
        bytes[index % 16] = bytes[index % 16].wrapping_mul(31).wrapping_add(byte);
    }
    uuid::Uuid::from_bytes(bytes).to_string()
}

/// Write the node's status.
pub(super) async fn post_status(node: &super::node::Node, not_ready: Option<&str>) -> Result<(), kube::Error> {
    let api: Api<NodeObject> = Api::all(node.client.clone());
    let old = api.get(&node.config.node_name).await?;
    let store = Arc::clone(&node.images);
    let images = tokio::task::spawn_blocking(move || images(&store)).await.unwrap_or_default();
    let health = Health { not_ready, disk_pressure: node.disk_pressure.load(Ordering::Relaxed) };
    let status = status(&node.config, old.status.as_ref(), images, health, Timestamp::now());
    let patch = Patch::Strategic(json!({"status": status}));
    api.patch_status(&node.config.node_name, &PatchParams::default(), &patch).await.map(drop)
}

/// Images as the Node object lists them: at most 50, largest first.
fn images(store: &drydock_image::Store) -> Vec<ContainerImage> {
    let mut list: Vec<ContainerImage> = match store.list() {
        Ok(images) => images.into_iter().map(|image| ContainerImage {
            names: Some(image.repo_digests.into_iter().chain(image.repo_tags).collect()),
            size_bytes: i64::try_from(image.size).ok(),
        }).collect(),
        Err(error) => {
            tracing::warn!(%error, "cannot list images");
            Vec::new()
        }
    };
    list.sort_by_key(|image| std::cmp::Reverse(image.size_bytes));
    list.truncate(50);
    list
}

/// Keep the status fresh, and again whenever something changed.
pub(super) async fn keep_status(node: Arc<super::node::Node>) {
    loop {
        match tokio::time::timeout(STATUS_EVERY, node.changed.notified()).await {
            Ok(()) => tracing::debug!("the node changed"),
            Err(_) => tracing::trace!("time to renew the node's status"),
        }
        if let Err(error) = post_status(&node, None).await {
            tracing::warn!(%error, "cannot write the node's status");
            tokio::time::sleep(Duration::from_secs(2)).await;
            node.changed.notify_one();
        }
    }
}

/// Renew the node's Lease for ever.
pub(super) async fn keep_lease(client: kube::Client, config: KubeletConfig, uid: Option<String>) {
    let api: Api<Lease> = Api::namespaced(client, "kube-node-lease");
    let mut ticks = tokio::time::interval(RENEW_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = renew(&api, &config, uid.as_deref()).await {
            tracing::warn!(%error, "cannot renew the node's lease");
        }
    }
}

async fn renew(api: &Api<Lease>, config: &KubeletConfig, uid: Option<&str>) -> Result<(), kube::Error> {
    let now = MicroTime(Timestamp::now());
    let patch = Patch::Merge(json!({"spec": {"holderIdentity": config.node_name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now}}));
    match api.patch(&config.node_name, &PatchParams::default(), &patch).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let owner = uid.map(|uid| {
                vec![OwnerReference {
                    api_version: "v1".into(),
                    kind: "Node".into(),
                    name: config.node_name.clone(),
                    uid: uid.to_owned(),
                    ..OwnerReference::default()
                }]
            });
            let lease = Lease {
                metadata: ObjectMeta { name: Some(config.node_name.clone()), owner_references: owner, ..ObjectMeta::default() },
                spec: Some(LeaseSpec {
                    holder_identity: Some(config.node_name.clone()),
                    lease_duration_seconds: Some(LEASE_SECONDS),
                    renew_time: Some(now),
                    ..LeaseSpec::default()
                }),
            };
            api.create(&PostParams::default(), &lease).await.map(drop)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_node_says_so_and_keeps_its_transition_times() {
        let config = KubeletConfig::default();
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let first = status(&config, None, Vec::new(), Health { not_ready: Some("booting"), ..Health::default() }, at(100));
        let second = status(&config, Some(&first), Vec::new(), Health { disk_pressure: true, ..Health::default() }, at(200));
        let third = status(&config, Some(&second), Vec::new(), Health::default(), at(300));
        let condition = |status: &NodeStatus, type_: &str| status.conditions.as_ref().unwrap().iter().find(|c| c.type_ == type_).unwrap().clone();
        let ready = |status: &NodeStatus| condition(status, "Ready");
        let pressure = [&first, &second, &third].map(|status| condition(status, "DiskPressure").reason.unwrap());
        assert_eq!(pressure, ["KubeletHasNoDiskPressure", "KubeletHasDiskPressure", "KubeletHasNoDiskPressure"]);
        assert_eq!(ready(&first).status, "False");
        assert_eq!(ready(&third).status, "True");
        assert_eq!(ready(&third).last_transition_time, Some(time(at(200))));
        assert_eq!(ready(&third).last_heartbeat_time, Some(time(at(300))));
        assert!(second.node_info.unwrap().container_runtime_version.starts_with("drydock://"));
    }
}
