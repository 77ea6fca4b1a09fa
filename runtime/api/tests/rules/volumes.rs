//! PersistentVolume, PersistentVolumeClaim and StorageClass.

use serde_json::{Value, json};

use super::{check_refusals, check_tables, create, update};

fn volume(spec: &str) -> String {
    format!("{{apiVersion: v1, kind: PersistentVolume, metadata: {{name: pv01}}, spec: {spec}}}")
}

fn claim(spec: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: data}}, spec: {spec}}}"
    )
}

fn class(fields: &str) -> String {
    format!(
        "{{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {{name: fast}}, {fields}}}"
    )
}

const AFFINITY: &str = "nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kiamol, operator: In, values: [ch05]}]}]}}";

#[test]
fn refusals_have_upstreams_words() {
    check_refusals(&[
        (
            volume(
                "{capacity: {storage: 50Mi}, accessModes: [ReadWriteOnce], local: {path: /volumes/pv01}}",
            ),
            "PersistentVolume \"pv01\" is invalid: spec.nodeAffinity: Required value: Local volume requires node affinity",
        ),
        (
            volume("{}"),
            "PersistentVolume \"pv01\" is invalid: [spec.accessModes: Required value, spec.capacity: Required value, spec.capacity: Unsupported value: core.ResourceList(nil): supported values: \"storage\", spec: Required value: must specify a volume type]",
        ),
        (
            volume(
                "{capacity: {storage: 0}, accessModes: [ReadWriteTwice], hostPath: {path: /a/../b}, nfs: {path: /x}}",
            ),
            "PersistentVolume \"pv01\" is invalid: [spec.accessModes: Unsupported value: \"ReadWriteTwice\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\", spec.capacity[storage]: Invalid value: \"0\": must be greater than zero, spec.nfs: Forbidden: may not specify more than 1 volume type, spec.hostPath.path: Invalid value: \"/a/../b\": must not contain '..', spec.nfs.server: Required value]",
        ),
        (
            volume(
                "{capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], persistentVolumeReclaimPolicy: Recycle, hostPath: {path: /}}",
            ),
            "PersistentVolume \"pv01\" is invalid: spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'",
        ),
        (
            claim("{}"),
            "PersistentVolumeClaim \"data\" is invalid: [spec.accessModes: Required value: at least 1 access mode is required, spec.resources[storage]: Required value]",
        ),
        (
            claim(
                "{accessModes: [ReadWriteOncePod, ReadWriteOnce], storageClassName: A_b, resources: {requests: {storage: 1Gi}}}",
            ),
            "PersistentVolumeClaim \"data\" is invalid: [spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes, spec.storageClassName: Invalid value: \"A_b\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')]",
        ),
        (
            class("parameters: {a: b}"),
            "StorageClass.storage.k8s.io \"fast\" is invalid: provisioner: Required value",
        ),
        (
            class("provisioner: a/b, reclaimPolicy: Recycle, volumeBindingMode: Later"),
            "StorageClass.storage.k8s.io \"fast\" is invalid: [reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\", volumeBindingMode: Unsupported value: \"Later\": supported values: \"Immediate\", \"WaitForFirstConsumer\"]",
        ),
    ]);
}

#[test]
fn defaults_are_upstreams() {
    let volume = create(&volume(&format!("{{capacity: {{storage: 50Mi}}, accessModes: [ReadWriteOnce], local: {{path: /volumes/pv01}}, {AFFINITY}}}"))).unwrap();
    let none = create(&claim("{accessModes: [ReadWriteOnce], storageClassName: '', resources: {requests: {storage: 40Mi}}}")).unwrap();
    let absent = create(&claim(
        "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 40Mi}}}",
    ))
    .unwrap();
    let class = create(&class("provisioner: docker.io/hostpath")).unwrap();
    let cases = [
        (
            &volume,
            "/spec/persistentVolumeReclaimPolicy",
            Some(json!("Retain")),
        ),
        (&volume, "/spec/volumeMode", Some(json!("Filesystem"))),
        (
            &volume,
            "/status",
            Some(json!({"phase": "Pending", "lastPhaseTransitionTime": "2026-01-01T00:00:00Z"})),
        ),
        (&none, "/spec/storageClassName", Some(json!(""))),
        (&absent, "/spec/storageClassName", None),
        (&absent, "/spec/volumeMode", Some(json!("Filesystem"))),
        (&absent, "/status", Some(json!({"phase": "Pending"}))),
        (&class, "/reclaimPolicy", Some(json!("Delete"))),
        (&class, "/volumeBindingMode", Some(json!("Immediate"))),
    ];
    for (object, pointer, expected) in cases {
        assert_eq!(object.pointer(pointer), expected.as_ref(), "{pointer}");
    }
}

#[test]
fn changes_are_allowed_or_refused_as_upstream_does() {
    let pending = create(&claim(
        "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}",
    ))
    .unwrap();
    let mut bound = pending.clone();
    bound["spec"]["volumeName"] = json!("pv01");
    bound["status"] = json!({"phase": "Bound", "capacity": {"storage": "1Gi"}});
    let volume = create(&volume(
        "{capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /a}}",
    ))
    .unwrap();
    let class = create(&class("provisioner: a/b, parameters: {a: b}")).unwrap();
    type Change = fn(&mut Value);
    let grow: Change = |c| c["spec"]["resources"]["requests"]["storage"] = json!("2Gi");
    let fixed = "PersistentVolumeClaim \"data\" is invalid: spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
    let cases: [(&Value, Change, Option<&str>); 9] = [
        (&pending, |c| c["spec"]["volumeName"] = json!("pv01"), None),
        (
            &pending,
            |c| c["spec"]["storageClassName"] = json!("fast"),
            None,
        ),
        (&pending, grow, Some(fixed)),
        (&bound, grow, None),
        (
            &bound,
            |c| c["spec"]["volumeName"] = json!("pv02"),
            Some(fixed),
        ),
        (
            &bound,
            |c| c["spec"]["resources"]["requests"]["storage"] = json!("1Mi"),
            Some(
                "PersistentVolumeClaim \"data\" is invalid: spec.resources.requests.storage: Forbidden: field can not be less than status.capacity",
            ),
        ),
        (
            &volume,
            |v| v["spec"]["capacity"]["storage"] = json!("2Gi"),
            None,
        ),
        (
            &volume,
            |v| v["spec"]["hostPath"]["path"] = json!("/b"),
            Some(
                "PersistentVolume \"pv01\" is invalid: spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation",
            ),
        ),
        (
            &class,
            |c| c["parameters"] = json!({"a": "c"}),
            Some(
                "StorageClass.storage.k8s.io \"fast\" is invalid: parameters: Forbidden: updates to parameters are forbidden.",
            ),
        ),
    ];
    for (index, (old, change, refusal)) in cases.into_iter().enumerate() {
        let message = update(old, change).err().map(|status| status.message);
        assert_eq!(message.as_deref(), refusal, "{index}");
    }
}

#[test]
fn tables_have_kubectls_columns() {
    let created = "2026-01-01T00:00:00Z";
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv01", "creationTimestamp": created},
        "spec": {"capacity": {"storage": "50Mi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem",
            "claimRef": {"namespace": "default", "name": "data"}, "local": {"path": "/x"}},
        "status": {"phase": "Bound"},
    });
    let mut leaving = volume.clone();
    leaving["metadata"]["deletionTimestamp"] = json!(created);
    let headers = [
        "NAME",
        "CAPACITY",
        "ACCESS MODES",
        "RECLAIM POLICY",
        "STATUS",
        "CLAIM",
        "STORAGECLASS",
        "VOLUMEATTRIBUTESCLASS",
        "REASON",
        "AGE",
        "VOLUMEMODE",
    ];
    let claims = [
        "NAME",
        "STATUS",
        "VOLUME",
        "CAPACITY",
        "ACCESS MODES",
        "STORAGECLASS",
        "VOLUMEATTRIBUTESCLASS",
        "AGE",
        "VOLUMEMODE",
    ];
    let bound = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "creationTimestamp": created},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "40Mi"}}, "volumeName": "pv01", "volumeMode": "Filesystem", "storageClassName": ""},
        "status": {"phase": "Bound", "capacity": {"storage": "50Mi"}, "accessModes": ["ReadWriteOnce"]},
    });
    let mut pending = bound.clone();
    pending["spec"]["volumeName"] = json!("");
    pending["spec"]["storageClassName"] = json!("hostpath");
    pending["status"] = json!({"phase": "Pending"});
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "docker.io/hostpath", "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate",
        "metadata": {"name": "hostpath", "creationTimestamp": created, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    });
    check_tables(&[
        (
            volume,
            &headers,
            &[
                "pv01",
                "50Mi",
                "RWO,RWX",
                "Retain",
                "Bound",
                "default/data",
                "",
                "<unset>",
                "",
                "5m",
                "Filesystem",
            ],
        ),
        (
            leaving,
            &headers,
            &[
                "pv01",
                "50Mi",
                "RWO,RWX",
                "Retain",
                "Terminating",
                "default/data",
                "",
                "<unset>",
                "",
                "5m",
                "Filesystem",
            ],
        ),
        (
            bound,
            &claims,
            &[
                "data",
                "Bound",
                "pv01",
                "50Mi",
                "RWO",
                "",
                "<unset>",
                "5m",
                "Filesystem",
            ],
        ),
        (
            pending,
            &claims,
            &[
                "data",
                "Pending",
                "",
                "",
                "",
                "hostpath",
                "<unset>",
                "5m",
                "Filesystem",
            ],
        ),
        (
            class,
            &[
                "NAME",
                "PROVISIONER",
                "RECLAIMPOLICY",
                "VOLUMEBINDINGMODE",
                "ALLOWVOLUMEEXPANSION",
                "AGE",
            ],
            &[
                "hostpath (default)",
                "docker.io/hostpath",
                "Delete",
                "Immediate",
                "false",
                "5m",
            ],
        ),
    ]);
}
