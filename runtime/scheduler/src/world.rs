//! What the scheduler knows: nodes, the Pods on them, the namespaces' labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Taint};

use crate::pod_info::{Amounts, HostPort, PodInfo};
use crate::storage::Storage;

/// A node and what runs on it.
#[derive(Clone, Debug)]
pub(crate) struct NodeInfo {
    pub(crate) node: Arc<Node>,
    pub(crate) allocatable: Amounts,
    pub(crate) pods: Vec<Arc<PodInfo>>,
    pub(crate) requested: Amounts,
    /// As [`PodInfo::weight`], summed.
    pub(crate) weight: (i64, i64),
}

impl NodeInfo {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        let allocatable = Amounts::read(node.status.as_ref().and_then(|status| status.allocatable.as_ref()));
        Self { node, allocatable, pods: Vec::new(), requested: Amounts::default(), weight: (0, 0) }
    }

    /// Counts a Pod in.
    pub(crate) fn add(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.requests);
        self.weight.0 += pod.weight.0;
        self.weight.1 += pod.weight.1;
        self.pods.push(pod);
    }

    pub(crate) fn name(&self) -> &str {
        self.node.metadata.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.node.metadata.labels.as_ref().unwrap_or(&NONE)
    }

    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.labels().get(key).map(String::as_str)
    }

    pub(crate) fn taints(&self) -> &[Taint] {
        self.node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
    }

    pub(crate) fn is_unschedulable(&self) -> bool {
        self.node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true)
    }

    /// Host ports that are taken.
    pub(crate) fn ports(&self) -> impl Iterator<Item = &HostPort> {
        self.pods.iter().flat_map(|pod| &pod.ports)
    }
}

/// Everything at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) nodes: Vec<NodeInfo>,
    /// Labels by namespace.
    pub(crate) namespaces: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) storage: Arc<Storage>,
}

impl Snapshot {
    pub(crate) fn new<'a>(
        nodes: impl Iterator<Item = &'a Arc<Node>>,
        pods: impl Iterator<Item = (&'a str, &'a Arc<PodInfo>)>,
        namespaces: &BTreeMap<String, BTreeMap<String, String>>,
        storage: &Arc<Storage>,
    ) -> Self {
        let mut by_name: BTreeMap<String, NodeInfo> = nodes.map(|node| NodeInfo::new(Arc::clone(node))).map(|info| (info.name().to_owned(), info)).collect();
        for (node, pod) in pods.filter(|(_, pod)| !pod.is_finished()) {
            if let Some(info) = by_name.get_mut(node) {
                info.add(Arc::clone(pod));
            }
        }
        Self { nodes: by_name.into_values().collect(), namespaces: namespaces.clone(), storage: Arc::clone(storage) }
    }
}

#[cfg(test)]
pub(crate) mod fixtures {
    //! Small clusters for the tests of this crate.

    use serde_json::{Value, json};

    use super::*;

    /// A node with two CPUs, 2 GiB and room for 110 Pods; `extra` is merged into it.
    pub(crate) fn node(name: &str, extra: &Value) -> NodeInfo {
        let mut object = json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "spec": {},
            "status": {"allocatable": {"cpu": "2", "memory": "2Gi", "pods": "110"}},
        });
        merge(&mut object, extra);
        NodeInfo::new(Arc::new(serde_json::from_value(object).expect("a Node")))
    }

    /// A Pod of namespace `default` with one container; `extra` is merged into it.
    pub(crate) fn pod(name: &str, extra: &Value) -> Arc<PodInfo> {
        let mut object = json!({
            "metadata": {"name": name, "namespace": "default", "uid": name},
            "spec": {"containers": [{"name": "c"}]},
        });
        merge(&mut object, extra);
        Arc::new(PodInfo::new(Arc::new(serde_json::from_value(object).expect("a Pod"))))
    }

    /// A Pod that asks for CPU.
    pub(crate) fn busy(name: &str, cpu: &str) -> Arc<PodInfo> {
        pod(name, &json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}}))
    }

    /// Nodes with Pods.
    pub(crate) fn cluster(nodes: Vec<(NodeInfo, Vec<Arc<PodInfo>>)>) -> Snapshot {
        let fill = |(mut node, pods): (NodeInfo, Vec<Arc<PodInfo>>)| {
            pods.into_iter().for_each(|pod| node.add(pod));
            node
        };
        Snapshot { nodes: nodes.into_iter().map(fill).collect(), ..Snapshot::default() }
    }

    fn merge(target: &mut Value, extra: &Value) {
        match (target, extra) {
            (Value::Object(target), Value::Object(extra)) => {
                for (key, value) in extra {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
            (target, extra) => *target = extra.clone(),
        }
    }
}
