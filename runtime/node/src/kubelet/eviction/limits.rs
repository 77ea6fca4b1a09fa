//! Limits a Pod has for itself: `sizeLimit` of its empty directories, `ephemeral-storage` of its containers.

// upstream: pkg/kubelet/eviction/eviction_manager.go, localStorageEviction; pkg/kubelet/eviction/helpers.go, evictionMessage

use drydock_primitives::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::usage::Used;
use crate::kubelet::state::spec;

const STORAGE: &str = "ephemeral-storage";

/// The sentence about the first limit that is exceeded.
pub(super) fn exceeded(pod: &Pod, used: &Used) -> Option<String> {
    volume(pod, used).or_else(|| all(pod, used)).or_else(|| container(pod, used))
}

fn volume(pod: &Pod, used: &Used) -> Option<String> {
    spec(pod).volumes.iter().flatten().find_map(|volume| {
        let limit = &volume.empty_dir.as_ref()?.size_limit.as_ref()?.0;
        let above = used.volumes.get(&volume.name).is_some_and(|used| bytes(limit) > 0 && *used > bytes(limit));
        above.then(|| format!("Usage of EmptyDir volume \"{}\" exceeds the limit \"{limit}\". ", volume.name))
    })
}

fn all(pod: &Pod, used: &Used) -> Option<String> {
    let limits: Vec<Quantity> = spec(pod).containers.iter().filter_map(|container| limit(container)?.parse().ok()).collect();
    if limits.is_empty() {
        return None;
    }
    let limit: Quantity = limits.into_iter().sum();
    let above = used.total() > u64::try_from(limit.value()).unwrap_or(0);
    above.then(|| format!("Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "))
}

fn container(pod: &Pod, used: &Used) -> Option<String> {
    spec(pod).containers.iter().find_map(|container| {
        let limit = limit(container)?;
        let above = used.containers.get(&container.name).is_some_and(|used| *used > bytes(limit));
        above.then(|| format!("Container {} exceeded its local ephemeral storage limit \"{limit}\". ", container.name))
    })
}

/// Who uses more than it asked for, when the node has too little.
pub(super) fn consumption(pod: &Pod, used: &Used) -> String {
    let sentence = |container: &Container| {
        let (used, request) = (*used.containers.get(&container.name)?, request(container));
        let greedy = used > bytes(request);
        let used = Quantity::from_bytes(i64::try_from(used >> 10).unwrap_or(i64::MAX >> 10) << 10);
        greedy.then(|| format!("Container {} was using {used}, request is {request}, has larger consumption of {STORAGE}. ", container.name))
    };
    spec(pod).containers.iter().filter_map(sentence).collect()
}

/// Bytes all containers asked for.
pub(super) fn requested(pod: &Pod) -> u64 {
    spec(pod).containers.iter().map(|container| bytes(request(container))).sum()
}

fn limit(container: &Container) -> Option<&str> {
    container.resources.as_ref()?.limits.as_ref()?.get(STORAGE).map(|limit| limit.0.as_str())
}

fn request(container: &Container) -> &str {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    requests.and_then(|requests| requests.get(STORAGE)).map_or("0", |request| request.0.as_str())
}

/// An amount in bytes; none where it cannot be read.
pub(super) fn bytes(amount: &str) -> u64 {
    amount.parse::<Quantity>().ok().and_then(|amount| u64::try_from(amount.value()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MIB: u64 = 1 << 20;

    fn pod() -> Pod {
        let resources = |request: &str, limit: &str| json!({"requests": {STORAGE: request}, "limits": {STORAGE: limit}});
        serde_json::from_value(json!({"spec": {
            "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "10Mi"}}, {"name": "free", "emptyDir": {}}],
            "containers": [{"name": "a", "resources": resources("5Mi", "20Mi")}, {"name": "b", "resources": resources("0", "30Mi")}],
        }}))
        .unwrap()
    }

    fn used(scratch: u64, free: u64, a: u64, b: u64) -> Used {
        let named = |list: [(&str, u64); 2]| list.map(|(name, mib)| (name.to_owned(), mib * MIB)).into();
        Used { volumes: named([("scratch", scratch), ("free", free)]), containers: named([("a", a), ("b", b)]) }
    }

    #[test]
    fn each_limit_has_its_sentence() {
        for (used, expected) in [
            (used(10, 0, 20, 1), None),
            (used(11, 0, 21, 90), Some("Usage of EmptyDir volume \"scratch\" exceeds the limit \"10Mi\". ")),
            (used(0, 51, 0, 0), Some("Pod ephemeral local storage usage exceeds the total limit of containers 50Mi. ")),
            (used(0, 0, 21, 0), Some("Container a exceeded its local ephemeral storage limit \"20Mi\". ")),
            (used(0, 0, 0, 31), Some("Container b exceeded its local ephemeral storage limit \"30Mi\". ")),
        ] {
            assert_eq!(exceeded(&pod(), &used).as_deref(), expected, "{used:?}");
        }
        let free: Pod = serde_json::from_value(json!({"spec": {"containers": [{"name": "a"}]}})).unwrap();
        assert_eq!(exceeded(&free, &used(1000, 1000, 1000, 1000)), None);
    }

    #[test]
    fn those_above_their_requests_are_named() {
        let said = consumption(&pod(), &used(0, 0, 4, 7));
        assert_eq!(said, "Container b was using 7Mi, request is 0, has larger consumption of ephemeral-storage. ");
        assert_eq!(requested(&pod()), 5 * MIB);
    }
}
