//! Too little left: when that is so, and which Pod it costs.

// upstream: pkg/kubelet/eviction/helpers.go, rankDiskPressureFunc and evictionMessage

use drydock_primitives::quantity::Quantity;

use super::Measured;
use super::limits::requested;
use crate::kubelet::state::spec;

/// The machine's own programs, the journal and the page need this much.
const MACHINE_KEEPS: u64 = 512 << 20;
/// A node is short of what it declares when one part of so many is left.
// upstream: nodefs.available<10%
const NODE_KEEPS_ONE_IN: u64 = 10;
/// To evict who uses less would help nobody: the disk is filled by somebody else.
const WORTH_IT: u64 = 16 << 20;

/// A node's disk, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disk {
    /// What the node says it has.
    pub(super) declared: u64,
    /// What Pods use of it.
    pub(super) used: u64,
    /// What the machine has left.
    pub(super) free: u64,
}

impl Disk {
    /// The sentences about what is missing, if anything is.
    pub(super) fn shortage(&self) -> Option<String> {
        let keeps = self.declared / NODE_KEEPS_ONE_IN;
        let left = self.declared.saturating_sub(self.used);
        let (threshold, available) = match () {
            () if self.free < MACHINE_KEEPS => (MACHINE_KEEPS, self.free),
            () if left < keeps => (keeps, left),
            () => return None,
        };
        let amount = |bytes: u64| Quantity::from_bytes(i64::try_from(bytes >> 10).unwrap_or(i64::MAX >> 10) << 10);
        let (threshold, available) = (amount(threshold), amount(available));
        Some(format!("The node was low on resource: ephemeral-storage. Threshold quantity: {threshold}, available: {available}. "))
    }
}

/// The first to go: who exceeds what was asked for, then who matters least, then who exceeds it most.
pub(super) fn first(measured: &[Measured]) -> Option<&Measured> {
    let worth = measured.iter().filter(|measured| measured.used.total() >= WORTH_IT);
    worth.max_by_key(|Measured { pod, used }| {
        let above = i128::from(used.total()) - i128::from(requested(pod));
        (above > 0, std::cmp::Reverse(spec(pod).priority.unwrap_or(0)), above)
    })
}

#[cfg(test)]
mod tests {
    use super::super::usage::Used;
    use super::*;
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;
    use std::sync::Arc;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_machine_and_the_node_can_be_short() {
        let disk = |declared: u64, used: u64, free: u64| Disk { declared: declared * MIB, used: used * MIB, free: free * MIB }.shortage();
        assert_eq!(disk(10_240, 9_000, 5_000), None);
        let text = "The node was low on resource: ephemeral-storage. Threshold quantity: ";
        assert_eq!(disk(10_000, 9_500, 5_000).unwrap(), format!("{text}1000Mi, available: 500Mi. "));
        assert_eq!(disk(10_000, 0, 100).unwrap(), format!("{text}512Mi, available: 100Mi. "));
        assert_eq!(disk(10_000, 20_000, 5_000).unwrap(), format!("{text}1000Mi, available: 0. "));
    }

    #[test]
    fn those_who_exceed_their_requests_most_go_first() {
        let pod = |name: &str, priority: i32, request: &str, used: u64| {
            let pod: Pod = serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"priority": priority, "containers": [
                {"name": "c", "resources": {"requests": {"ephemeral-storage": request}}},
            ]}}))
            .unwrap();
            Measured { pod: Arc::new(pod), used: Used { containers: [("c".to_owned(), used * MIB)].into(), ..Used::default() } }
        };
        let name = |measured: &[Measured]| first(measured).and_then(|first| first.pod.metadata.name.clone()).unwrap_or_default();
        assert_eq!(name(&[pod("some", 0, "0", 100), pod("most", 0, "0", 200)]), "most");
        assert_eq!(name(&[pod("asked", 0, "1Gi", 500), pod("greedy", 0, "0", 20)]), "greedy");
        assert_eq!(name(&[pod("vital", 1000, "0", 500), pod("ordinary", 0, "0", 20)]), "ordinary");
        assert_eq!(name(&[pod("small", 0, "0", 1)]), "", "it would help nobody");
    }
}
