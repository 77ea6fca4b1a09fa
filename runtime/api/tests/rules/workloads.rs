//! DaemonSet, ControllerRevision, StatefulSet and ReplicationController.

use serde_json::{Value, json};

use super::{TEMPLATE, check_refusals, check_tables, create, update};

fn daemon_set(spec: &str) -> String {
    format!("{{apiVersion: apps/v1, kind: DaemonSet, metadata: {{name: web}}, spec: {spec}}}")
}

fn controller(spec: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: ReplicationController, metadata: {{name: web}}, spec: {spec}}}"
    )
}

fn stateful_set(spec: &str) -> String {
    format!("{{apiVersion: apps/v1, kind: StatefulSet, metadata: {{name: web}}, spec: {spec}}}")
}

const PLAIN: &str =
    "template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: nginx}]}}";

#[test]
fn refusals_have_upstreams_words() {
    let rolling = |parts: &str| {
        daemon_set(&format!(
            "{{updateStrategy: {{rollingUpdate: {{{parts}}}}}, {TEMPLATE}}}"
        ))
    };
    check_refusals(&[
        (
            daemon_set(&format!("{{{PLAIN}}}")),
            "DaemonSet.apps \"web\" is invalid: spec.template.metadata.labels: Invalid value: map[string]string{\"app\":\"web\"}: `selector` does not match template `labels`",
        ),
        (
            daemon_set(&format!("{{selector: {{}}, {PLAIN}}}")),
            "DaemonSet.apps \"web\" is invalid: spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string(nil), MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: empty selector is invalid for daemonset",
        ),
        (
            daemon_set(
                "{selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {restartPolicy: Never, activeDeadlineSeconds: 5, containers: [{name: a, image: x}]}}}",
            ),
            "DaemonSet.apps \"web\" is invalid: [spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\", spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported]",
        ),
        (
            rolling("maxUnavailable: 1, maxSurge: 1"),
            "DaemonSet.apps \"web\" is invalid: spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: intstr.IntOrString{Type:0, IntVal:1, StrVal:\"\"}: may not be set when maxUnavailable is non-zero",
        ),
        (
            rolling("maxUnavailable: 0"),
            "DaemonSet.apps \"web\" is invalid: spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
        ),
        (
            rolling("maxUnavailable: 0%, maxSurge: 101%"),
            "DaemonSet.apps \"web\" is invalid: spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: intstr.IntOrString{Type:1, IntVal:0, StrVal:\"101%\"}: must not be greater than 100%",
        ),
        (
            controller("{}"),
            "ReplicationController \"web\" is invalid: [spec.selector: Required value, spec.template: Required value]",
        ),
        (
            controller(&format!("{{selector: {{app: api}}, {PLAIN}}}")),
            "ReplicationController \"web\" is invalid: spec.template.metadata.labels: Invalid value: map[string]string{\"app\":\"web\"}: `selector` does not match template `labels`",
        ),
        (
            stateful_set(&format!(
                "{{serviceName: web, podManagementPolicy: Any, {TEMPLATE}}}"
            )),
            "StatefulSet.apps \"web\" is invalid: spec.podManagementPolicy: Invalid value: \"Any\": must be 'OrderedReady' or 'Parallel'",
        ),
        (
            stateful_set(&format!("{{updateStrategy: {{type: Recreate}}, {TEMPLATE}}}")),
            "StatefulSet.apps \"web\" is invalid: spec.updateStrategy: Invalid value: apps.StatefulSetUpdateStrategy{Type:\"Recreate\", RollingUpdate:(*apps.RollingUpdateStatefulSetStrategy)(nil)}: must be 'RollingUpdate' or 'OnDelete'",
        ),
        (
            stateful_set(&format!("{{updateStrategy: {{rollingUpdate: {{partition: -1}}}}, persistentVolumeClaimRetentionPolicy: {{whenScaled: Recycle}}, {TEMPLATE}}}")),
            "StatefulSet.apps \"web\" is invalid: [spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0, spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: \"Recycle\": supported values: \"Retain\", \"Delete\"]",
        ),
        (
            stateful_set(
                "{selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {restartPolicy: Never, activeDeadlineSeconds: 5, containers: [{name: a, image: x}]}}}",
            ),
            "StatefulSet.apps \"web\" is invalid: [spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\", spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in StatefulSet is not Supported]",
        ),
    ]);
    // What is wrong with the Pods themselves is said when they are made.
    for volume in ["data", "other"] {
        assert!(create(&mounting(volume)).is_ok(), "{volume}");
    }
}

/// A StatefulSet with claims called `data` and a mount of this volume.
fn mounting(volume: &str) -> String {
    let container = format!("{{name: web, image: nginx, volumeMounts: [{{name: {volume}, mountPath: /data}}]}}");
    stateful_set(&format!(
        "{{serviceName: web, volumeClaimTemplates: [{{metadata: {{name: data}}, spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Mi}}}}}}}}], \
         selector: {{matchLabels: {{app: web}}}}, template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{container}]}}}}}}"
    ))
}

#[test]
fn defaults_are_upstreams() {
    let daemons = create(&daemon_set(&format!("{{{TEMPLATE}}}"))).unwrap();
    let controller = create(&controller(&format!("{{{PLAIN}}}"))).unwrap();
    let set = create(&stateful_set(&format!(
        "{{serviceName: web, persistentVolumeClaimRetentionPolicy: {{whenScaled: Delete}}, volumeClaimTemplates: [{{metadata: {{name: data}}, spec: {{accessModes: [ReadWriteOnce]}}}}], {TEMPLATE}}}"
    )))
    .unwrap();
    let cases = [
        (
            &daemons,
            "/spec/updateStrategy",
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}),
        ),
        (&daemons, "/spec/revisionHistoryLimit", json!(10)),
        (
            &daemons,
            "/spec/template/spec/restartPolicy",
            json!("Always"),
        ),
        (
            &daemons,
            "/metadata/annotations",
            json!({"deprecated.daemonset.template.generation": "1"}),
        ),
        (&daemons, "/metadata/generation", json!(1)),
        (
            &daemons,
            "/status",
            json!({"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0}),
        ),
        (&controller, "/spec/selector", json!({"app": "web"})),
        (&controller, "/metadata/labels", json!({"app": "web"})),
        (&controller, "/spec/replicas", json!(1)),
        (&controller, "/status", json!({"replicas": 0})),
        (&set, "/spec/podManagementPolicy", json!("OrderedReady")),
        (
            &set,
            "/spec/updateStrategy",
            json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}),
        ),
        (
            &set,
            "/spec/persistentVolumeClaimRetentionPolicy",
            json!({"whenDeleted": "Retain", "whenScaled": "Delete"}),
        ),
        (
            &set,
            "/spec/volumeClaimTemplates/0/spec/volumeMode",
            json!("Filesystem"),
        ),
        (
            &set,
            "/spec/volumeClaimTemplates/0/status",
            json!({"phase": "Pending"}),
        ),
    ];
    for (object, pointer, expected) in cases {
        assert_eq!(object.pointer(pointer), Some(&expected), "{pointer}");
    }
}

#[test]
fn a_daemon_set_numbers_its_templates() {
    let number = |object: &Value| {
        object["metadata"]["annotations"]["deprecated.daemonset.template.generation"].clone()
    };
    let first = create(&daemon_set(&format!("{{{TEMPLATE}}}"))).unwrap();
    let labeled = update(&first, |new| {
        new["metadata"]["annotations"] = json!({"a": "b"})
    })
    .unwrap();
    assert_eq!(
        (number(&labeled), &labeled["metadata"]["generation"]),
        (json!("1"), &json!(1))
    );
    let other = update(&labeled, |new| {
        new["spec"]["template"]["spec"]["containers"][0]["image"] = json!("httpd")
    })
    .unwrap();
    assert_eq!(
        (number(&other), &other["metadata"]["generation"]),
        (json!("2"), &json!(2))
    );
    let fixed = update(&first, |new| {
        new["spec"]["selector"] = json!({"matchLabels": {"x": "y"}});
        new["spec"]["template"]["metadata"]["labels"] = json!({"x": "y"});
    });
    assert!(fixed.unwrap_err().message.ends_with("field is immutable"));
}

#[test]
fn tables_have_kubectls_columns() {
    let created = "2026-01-01T00:00:00Z";
    let meta =
        |name: &str| json!({"name": name, "namespace": "default", "creationTimestamp": created});
    let template = json!({"spec": {"nodeSelector": {"rng": "hw"}, "containers": [{"name": "web", "image": "nginx"}]}});
    let revision = json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": 2, "data": {},
        "metadata": {"name": "web-5f", "creationTimestamp": created, "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "controller": true}]},
    });
    check_tables(&[
        (
            json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta("web"), "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template},
                "status": {"desiredNumberScheduled": 3, "currentNumberScheduled": 2, "numberReady": 1, "updatedNumberScheduled": 2, "numberAvailable": 1}}),
            &[
                "NAME",
                "DESIRED",
                "CURRENT",
                "READY",
                "UP-TO-DATE",
                "AVAILABLE",
                "NODE SELECTOR",
                "AGE",
                "CONTAINERS",
                "IMAGES",
                "SELECTOR",
            ],
            &[
                "web", "3", "2", "1", "2", "1", "rng=hw", "5m", "web", "nginx", "app=web",
            ],
        ),
        (
            json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": meta("web"), "spec": {"replicas": 2, "selector": {"app": "web", "a": "b"}, "template": template}, "status": {"replicas": 2, "readyReplicas": 1}}),
            &[
                "NAME",
                "DESIRED",
                "CURRENT",
                "READY",
                "AGE",
                "CONTAINERS",
                "IMAGES",
                "SELECTOR",
            ],
            &["web", "2", "2", "1", "5m", "web", "nginx", "a=b,app=web"],
        ),
        (
            json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta("web"), "spec": {"replicas": 2, "template": template}, "status": {"readyReplicas": 1}}),
            &["NAME", "READY", "AGE", "CONTAINERS", "IMAGES"],
            &["web", "1/2", "5m", "web", "nginx"],
        ),
        (
            revision,
            &["NAME", "CONTROLLER", "REVISION", "AGE"],
            &["web-5f", "daemonset.apps/web", "2", "5m"],
        ),
    ]);
}
