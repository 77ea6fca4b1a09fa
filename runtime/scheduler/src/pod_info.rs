//! What a Pod asks for.
// upstream: component-helpers/resource/helpers.go PodRequests

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;

use drydock_primitives::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

/// What a container without a request counts as when nodes are compared: a tenth of a CPU.
// upstream: pkg/scheduler/util/pod_resources.go
const DEFAULT_MILLI_CPU: i64 = 100;
/// The same for memory, 200 MiB.
const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// Amounts by resource name: CPU in thousandths, everything else in units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts(pub(crate) BTreeMap<String, i64>);

impl Amounts {
    /// Reads a list as objects carry it. What cannot be read was refused by validation.
    pub(crate) fn read(list: Option<&BTreeMap<String, ApiQuantity>>) -> Self {
        let amount = |name: &str, text: &str| {
            let quantity = Quantity::from_str(text).unwrap_or(Quantity::ZERO);
            if name == "cpu" { quantity.milli_value() } else { quantity.value() }
        };
        Self(list.into_iter().flatten().map(|(name, quantity)| (name.clone(), amount(name, &quantity.0))).collect())
    }

    /// One amount; zero when it is not listed.
    pub(crate) fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Adds each amount of `other`.
    pub(crate) fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let own = self.0.entry(name.clone()).or_insert(0);
            *own = own.saturating_add(*amount);
        }
    }

    /// Raises each amount to that of `other`.
    fn raise(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let own = self.0.entry(name.clone()).or_insert(0);
            *own = (*own).max(*amount);
        }
    }
}

/// A port of the node that a Pod wants for itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostPort {
    protocol: String,
    ip: String,
    port: i32,
}

impl HostPort {
    /// Whether both cannot be had.
    // upstream: pkg/scheduler/framework/types.go HostPortInfo.CheckConflict
    pub(crate) fn conflicts(&self, other: &Self) -> bool {
        let any = |ip: &str| ip == "0.0.0.0";
        self.protocol == other.protocol && self.port == other.port && (self.ip == other.ip || any(&self.ip) || any(&other.ip))
    }
}

/// A Pod with what the scheduler derives from it once.
#[derive(Clone, Debug)]
pub(crate) struct PodInfo {
    pub(crate) pod: Arc<Pod>,
    pub(crate) requests: Amounts,
    /// CPU in thousandths and bytes of memory, with something also for containers that ask for nothing.
    pub(crate) weight: (i64, i64),
    pub(crate) ports: BTreeSet<HostPort>,
}

impl PodInfo {
    pub(crate) fn new(pod: Arc<Pod>) -> Self {
        let requests = pod.spec.as_ref().map(|spec| pod_requests(spec, &container_requests)).unwrap_or_default();
        let counted = pod.spec.as_ref().map(|spec| pod_requests(spec, &counted_requests)).unwrap_or_default();
        let ports = pod.spec.as_ref().map(host_ports).unwrap_or_default();
        Self { requests, weight: (counted.get("cpu"), counted.get("memory")), ports, pod }
    }

    pub(crate) fn spec(&self) -> &PodSpec {
        static EMPTY: std::sync::OnceLock<PodSpec> = std::sync::OnceLock::new();
        self.pod.spec.as_ref().unwrap_or_else(|| EMPTY.get_or_init(PodSpec::default))
    }

    pub(crate) fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    pub(crate) fn uid(&self) -> &str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.pod.metadata.labels.as_ref().unwrap_or(&NONE)
    }

    pub(crate) fn node(&self) -> &str {
        self.spec().node_name.as_deref().unwrap_or_default()
    }

    pub(crate) fn priority(&self) -> i32 {
        self.spec().priority.unwrap_or(0)
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }

    /// Whether all its containers have ended for good, so that it holds nothing any more.
    pub(crate) fn is_finished(&self) -> bool {
        let phase = self.pod.status.as_ref().and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    }
}

fn container_requests(container: &Container) -> Amounts {
    Amounts::read(container.resources.as_ref().and_then(|resources| resources.requests.as_ref()))
}

fn counted_requests(container: &Container) -> Amounts {
    let mut amounts = container_requests(container);
    amounts.0.entry("cpu".into()).or_insert(DEFAULT_MILLI_CPU);
    amounts.0.entry("memory".into()).or_insert(DEFAULT_MEMORY);
    amounts
}

/// All containers together, or the greediest moment of initialization; sidecars count from their start on.
fn pod_requests(spec: &PodSpec, of: &dyn Fn(&Container) -> Amounts) -> Amounts {
    let mut total = Amounts::default();
    for container in &spec.containers {
        total.add(&of(container));
    }
    let mut sidecars = Amounts::default();
    let mut peak = Amounts::default();
    for container in spec.init_containers.iter().flatten() {
        let mut moment = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            total.add(&moment);
            sidecars.add(&moment);
            moment = sidecars.clone();
        } else {
            moment.add(&sidecars);
        }
        peak.raise(&moment);
    }
    total.raise(&peak);
    if let Some(resources) = &spec.resources {
        // What the Pod as a whole asks for replaces the sum.
        total.0.extend(Amounts::read(resources.requests.as_ref()).0);
    }
    total.add(&Amounts::read(spec.overhead.as_ref()));
    total
}

fn host_ports(spec: &PodSpec) -> BTreeSet<HostPort> {
    let sidecars = spec.init_containers.iter().flatten().filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let host = ports.filter(|port| port.host_port.is_some_and(|number| number > 0));
    let or = |text: &Option<String>, default: &str| text.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned());
    host.map(|port| HostPort { protocol: or(&port.protocol, "TCP"), ip: or(&port.host_ip, "0.0.0.0"), port: port.host_port.unwrap_or(0) }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn info(spec: &serde_json::Value) -> PodInfo {
        PodInfo::new(Arc::new(serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).expect("a Pod")))
    }

    #[test]
    fn a_pod_asks_for_its_greediest_moment() {
        let cpu = |amount: &str| json!({"name": "c", "resources": {"requests": {"cpu": amount}}});
        let sidecar = |amount: &str| json!({"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": amount}}});
        for (name, spec, milli) in [
            ("sum", json!({"containers": [cpu("100m"), cpu("0.2")]}), 300),
            ("init is greedier", json!({"containers": [cpu("100m")], "initContainers": [cpu("1"), cpu("2")]}), 2000),
            ("sidecar runs along", json!({"containers": [cpu("100m")], "initContainers": [sidecar("50m")]}), 150),
            ("init beside a sidecar", json!({"containers": [cpu("100m")], "initContainers": [sidecar("50m"), cpu("1")]}), 1050),
            ("overhead", json!({"containers": [cpu("100m")], "overhead": {"cpu": "10m"}}), 110),
            ("as a whole", json!({"containers": [cpu("100m")], "resources": {"requests": {"cpu": "1"}}}), 1000),
        ] {
            assert_eq!(info(&spec).requests.get("cpu"), milli, "{name}");
        }
        assert_eq!(info(&json!({"containers": [{"name": "c"}]})).weight, (100, 200 * 1024 * 1024));
    }

    #[test]
    fn ports_conflict_on_the_same_address() {
        let ports = |entry: serde_json::Value| info(&json!({"containers": [{"name": "c", "ports": [entry]}]})).ports.into_iter().next().expect("a port");
        let all = ports(json!({"containerPort": 80, "hostPort": 80}));
        let one = ports(json!({"containerPort": 80, "hostPort": 80, "hostIP": "127.0.0.1"}));
        let other = ports(json!({"containerPort": 80, "hostPort": 80, "hostIP": "10.0.0.1"}));
        let udp = ports(json!({"containerPort": 80, "hostPort": 80, "protocol": "UDP"}));
        assert!(all.conflicts(&one) && one.conflicts(&all) && all.conflicts(&all));
        assert!(!one.conflicts(&other) && !all.conflicts(&udp));
    }
}
