//! Three-way merges of `apply`: what the person wrote last time, what they write now, what the server has.
//!
//! Built-in kinds get a strategic merge patch, others a JSON merge patch. Which lists merge, and by which key, is the table [`MERGE_KEYS`]
//! rather than the server's OpenAPI: the keys of v1 types cannot change, the table is small, and `apply` needs no download of a megabyte.
// upstream: apimachinery/pkg/util/strategicpatch/patch.go, apimachinery/pkg/util/jsonmergepatch/patch.go

mod json;
pub mod overlay;
mod strategic;

use serde_json::Value;

pub use json::three_way as json_three_way;
pub use strategic::{three_way, two_way};

/// Fields that are lists merged by a key of their items; the key may depend on the field above.
const MERGE_KEYS: &[(&str, &str)] = &[
    ("containers", "name"),
    ("initContainers", "name"),
    ("ephemeralContainers", "name"),
    ("containerStatuses", "name"),
    ("env", "name"),
    ("volumes", "name"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
    ("imagePullSecrets", "name"),
    ("secrets", "name"),
    ("hostAliases", "ip"),
    ("topologySpreadConstraints", "topologyKey"),
    ("schedulingGates", "name"),
    ("resourceClaims", "name"),
    ("conditions", "type"),
    ("addresses", "type"),
    ("ownerReferences", "uid"),
    ("webhooks", "name"),
    ("podIPs", "ip"),
    ("hostIPs", "ip"),
    ("loadBalancerSourceRanges", ""),
];
/// Lists of texts that are merged like sets.
const SETS: [&str; 2] = ["finalizers", "podCIDRs"];
/// Fields of which the server keeps only the keys that were given.
const RETAIN: [&str; 2] = ["strategy", "updateStrategy"];

/// How a list behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    /// Merged by this key.
    Keyed(&'static str),
    /// Merged like a set.
    Set,
    /// Replaced.
    Atomic,
}

fn list_kind(field: &str, items: &[Value], others: &[Value]) -> List {
    if SETS.contains(&field) {
        return List::Set;
    }
    let all_have = |key: &str| items.iter().chain(others).all(|item| item.get(key).is_some());
    if field == "ports" {
        // Ports of containers and of services are merged by different keys; those of other kinds are replaced.
        for key in ["containerPort", "port"] {
            if all_have(key) && !(items.is_empty() && others.is_empty()) {
                return List::Keyed(key);
            }
        }
        return List::Atomic;
    }
    match MERGE_KEYS.iter().find(|(name, _)| *name == field) {
        Some((_, key)) if !key.is_empty() && all_have(key) => List::Keyed(key),
        _ => List::Atomic,
    }
}

/// Whether a group is built in, so that its types have merge keys.
pub fn is_built_in(group: &str) -> bool {
    const GROUPS: [&str; 20] = [
        "", "apps", "batch", "autoscaling", "policy", "extensions", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io",
        "authentication.k8s.io", "authorization.k8s.io", "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io",
        "flowcontrol.apiserver.k8s.io", "networking.k8s.io", "node.k8s.io", "rbac.authorization.k8s.io", "scheduling.k8s.io",
    ];
    GROUPS.contains(&group) || matches!(group, "storage.k8s.io" | "resource.k8s.io")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(containers: Value) -> Value {
        json!({"spec": {"template": {"spec": {"containers": containers}}}})
    }

    #[test]
    fn a_strategic_patch_says_what_kubectl_says() {
        let cases = [
            // Nothing to do.
            (json!({"a": 1}), json!({"a": 1}), json!({"a": 1, "b": 2}), json!({})),
            // Taken out, changed, put in.
            (json!({"a": 1, "x": 1}), json!({"a": 2, "n": 3}), json!({"a": 1, "x": 1, "s": 4}), json!({"a": 2, "n": 3, "x": null})),
            (
                pod(json!([{"name": "nginx", "image": "nginx"}])),
                pod(json!([{"name": "busybox", "image": "busybox"}])),
                pod(json!([{"name": "nginx", "image": "nginx", "default": 1}])),
                json!({"spec": {"template": {"spec": {
                    "$setElementOrder/containers": [{"name": "busybox"}],
                    "containers": [{"name": "busybox", "image": "busybox"}, {"$patch": "delete", "name": "nginx"}],
                }}}}),
            ),
            (
                pod(json!([{"name": "a", "env": [{"name": "A", "value": "1"}]}])),
                pod(json!([{"name": "a", "image": "new"}])),
                pod(json!([{"name": "a", "env": [{"name": "A", "value": "1"}], "image": "old"}])),
                json!({"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "a", "image": "new", "env": null}]}}}}),
            ),
            (
                json!({"metadata": {"finalizers": ["a", "b"]}}),
                json!({"metadata": {"finalizers": ["a"]}}),
                json!({"metadata": {"finalizers": ["a", "b", "c"]}}),
                json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"], "$setElementOrder/finalizers": ["a"]}}),
            ),
            (json!({}), json!({"args": ["a"]}), json!({"args": ["b"]}), json!({"args": ["a"]})),
            (
                json!({}),
                json!({"strategy": {"type": "Recreate"}}),
                json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {}}}),
                json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
            ),
        ];
        for (original, modified, current, expected) in cases {
            assert_eq!(three_way(&original, &modified, &current), expected);
        }
    }

    #[test]
    fn a_json_merge_patch_takes_out_what_was_taken_out() {
        let patch = json_three_way(&json!({"a": 1, "l": [1]}), &json!({"l": [2], "m": {"x": 1}}), &json!({"a": 1, "l": [1], "m": {"y": 2}, "s": 1}));
        assert_eq!(patch, json!({"a": null, "l": [2], "m": {"x": 1}}));
    }
}
