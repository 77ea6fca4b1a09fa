//! Mutating and validating admission that needs nothing but the objects at hand.
// upstream: plugin/pkg/admission/serviceaccount/admission.go, plugin/pkg/admission/defaulttolerationseconds/admission.go

use std::str::FromStr;

use drydock_primitives::quantity::Quantity;
use serde_json::{Value, json};

use crate::{meta, status::Status};

/// The name of the ServiceAccount a new Pod runs as (`default` if it says nothing).
pub fn service_account_name(pod: &Value) -> &str {
    pod.pointer("/spec/serviceAccountName")
        .and_then(Value::as_str)
        .filter(|n| !n.is_empty())
        .unwrap_or("default")
}

/// Where containers find the token of their ServiceAccount.
const TOKEN_MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// A token is renewed before it is an hour old; the odd seconds mark tokens that were asked for by this admission.
const TOKEN_SECONDS: i64 = 3607;
/// How long a Pod stays bound to a node that is not ready.
const TOLERATION_SECONDS: i64 = 300;

/// Keeps an object while something uses it: a controller lets it go once nothing does.
// upstream: plugin/pkg/admission/storage/storageobjectinuseprotection/admission.go
pub fn protect(object: &mut Value, finalizer: &str) {
    let finalizers = meta::metadata_mut(object)
        .entry("finalizers")
        .or_insert_with(|| json!([]));
    if let Some(finalizers) = finalizers.as_array_mut()
        && !finalizers.iter().any(|own| own == finalizer)
    {
        finalizers.push(Value::from(finalizer));
    }
}

/// Whether a claim asks for more than it did.
pub fn grows(new: &Value, old: &Value) -> bool {
    let size = |claim: &Value| {
        claim["spec"]["resources"]["requests"]["storage"]
            .as_str()
            .and_then(|text| Quantity::from_str(text).ok())
    };
    size(new) > size(old)
}

/// The ServiceAccount, Priority, DefaultTolerationSeconds and related admission of a new Pod: `account` is the object named by
/// [`service_account_name`] in the Pod's namespace, `None` if there is none (403). `suffix` names the token volume.
pub fn admit_pod(pod: &mut Value, account: Option<&Value>, suffix: &str) -> Result<(), Status> {
    let account_name = service_account_name(pod).to_owned();
    let Some(account) = account else {
        let why = format!(
            "error looking up service account {}/{account_name}: serviceaccount \"{account_name}\" not found",
            meta::namespace(pod)
        );
        return Err(Status::forbidden("", "pods", meta::name(pod), &why));
    };
    let spec = &mut pod["spec"];
    if !spec.is_object() {
        return Ok(());
    }
    spec["serviceAccountName"] = Value::from(account_name.as_str());
    spec["serviceAccount"] = Value::from(account_name);
    let own = spec["automountServiceAccountToken"].as_bool();
    let of_account = account["automountServiceAccountToken"].as_bool();
    if own.or(of_account) != Some(false) {
        mount_token(spec, suffix);
    }
    let has_secrets = spec["imagePullSecrets"]
        .as_array()
        .is_some_and(|s| !s.is_empty());
    if let Some(secrets) = account.get("imagePullSecrets").filter(|_| !has_secrets) {
        spec["imagePullSecrets"] = secrets.clone();
    }
    tolerate(spec);
    Ok(())
}

fn mount_token(spec: &mut Value, suffix: &str) {
    let volume = format!("kube-api-access-{suffix}");
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        for container in spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if !container["volumeMounts"].is_array() {
                container["volumeMounts"] = json!([]);
            }
            let Some(mounts) = container["volumeMounts"].as_array_mut() else {
                continue;
            };
            if mounts.iter().any(|m| m["mountPath"] == TOKEN_MOUNT) {
                continue;
            }
            mounts.push(json!({"name": volume, "readOnly": true, "mountPath": TOKEN_MOUNT}));
            mounted = true;
        }
    }
    if !mounted {
        return;
    }
    if !spec["volumes"].is_array() {
        spec["volumes"] = json!([]);
    }
    if let Some(volumes) = spec["volumes"].as_array_mut() {
        volumes.push(json!({"name": volume, "projected": {"defaultMode": 0o644, "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]}}));
    }
}

/// Gives a Pod that says nothing of it five minutes on a node that fails.
pub(crate) fn tolerate(spec: &mut Value) {
    if !spec["tolerations"].is_array() {
        spec["tolerations"] = json!([]);
    }
    let Some(tolerations) = spec["tolerations"].as_array_mut() else {
        return;
    };
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        let covered = tolerations.iter().any(|t| {
            let text = |field: &str| t[field].as_str().unwrap_or("");
            (text("key") == key || text("key").is_empty())
                && (text("effect") == "NoExecute" || text("effect").is_empty())
        });
        if !covered {
            tolerations.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS}));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Value {
        json!({"metadata": {"name": "a", "namespace": "web"}, "spec": {"containers": [{"name": "c"}, {"name": "d", "volumeMounts": [{"name": "own", "mountPath": TOKEN_MOUNT}]}]}})
    }

    #[test]
    fn a_pod_gets_its_token_and_its_tolerations() {
        let mut pod = pod();
        admit_pod(
            &mut pod,
            Some(&json!({"imagePullSecrets": [{"name": "s"}]})),
            "abcde",
        )
        .unwrap();
        assert_eq!(pod["spec"]["serviceAccountName"], "default");
        assert_eq!(pod["spec"]["volumes"][0]["name"], "kube-api-access-abcde");
        assert_eq!(
            pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"],
            TOKEN_MOUNT
        );
        assert_eq!(
            pod["spec"]["containers"][1]["volumeMounts"][0]["name"],
            "own"
        );
        assert_eq!(pod["spec"]["imagePullSecrets"][0]["name"], "s");
        assert_eq!(pod["spec"]["tolerations"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn automount_can_be_refused_and_an_account_must_exist() {
        let mut quiet = pod();
        quiet["spec"]["automountServiceAccountToken"] = json!(false);
        quiet["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
        admit_pod(&mut quiet, Some(&json!({})), "abcde").unwrap();
        assert!(quiet["spec"].get("volumes").is_none());
        assert_eq!(quiet["spec"]["tolerations"].as_array().unwrap().len(), 1);
        let refused = admit_pod(&mut pod(), None, "abcde").unwrap_err();
        assert_eq!(
            refused.message,
            "pods \"a\" is forbidden: error looking up service account web/default: serviceaccount \"default\" not found"
        );
    }
}
