//! The rules of the built-in kinds at the crate's seam: what a body becomes, what is refused and in which words, what is printed.

#![allow(
    clippy::too_many_lines,
    clippy::semicolon_if_nothing_returned,
    clippy::type_complexity,
    reason = "tables of cases"
)]

mod rbac;
mod volumes;
mod workloads;

use std::sync::Arc;

use drydock_api::{
    registry::{Registry, Resource, Subresource},
    status::Status,
    table::{self, Headers, Include},
    write::{self, Context, FieldValidation, Format},
};
use serde_json::{Value, json};

fn row(api_version: &str, kind: &str) -> Arc<Resource> {
    let registry = Registry::builtin();
    Arc::clone(registry.by_kind(api_version, kind).unwrap())
}

fn context(row: &Resource, name: Option<&str>) -> Context {
    Context {
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        uid: "11111111-2222-3333-4444-555555555555".to_owned(),
        suffix: "abcde".to_owned(),
        namespace: row.is_namespaced().then(|| "default".to_owned()),
        name: name.map(str::to_owned),
        manager: "test".to_owned(),
        subresource: None,
    }
}

fn create(yaml: &str) -> Result<Value, Status> {
    let parsed = drydock_primitives::yaml::parse(yaml).unwrap();
    let row = row(
        parsed["apiVersion"].as_str().unwrap(),
        parsed["kind"].as_str().unwrap(),
    );
    let decoded = write::decode(&row, yaml.as_bytes(), Format::Yaml, FieldValidation::Strict)?;
    let mut new = decoded.object;
    write::prepare_create(&row, &context(&row, None), &mut new)?;
    write::validate_create(&row, &new)?;
    Ok(new)
}

fn update(old: &Value, change: impl Fn(&mut Value)) -> Result<Value, Status> {
    let row = row(
        old["apiVersion"].as_str().unwrap(),
        old["kind"].as_str().unwrap(),
    );
    let mut new = old.clone();
    change(&mut new);
    let context = context(&row, old["metadata"]["name"].as_str());
    let mut new = write::decode_value(&row, new, FieldValidation::Strict)?.object;
    write::prepare_update(&row, &context, &mut new, old)?;
    write::validate_update(&row, &context, &new, old)?;
    Ok(new)
}

fn pod(spec: &str) -> String {
    format!("{{apiVersion: v1, kind: Pod, metadata: {{name: web}}, spec: {spec}}}")
}

fn deployment(spec: &str) -> String {
    format!("{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web}}, spec: {spec}}}")
}

fn service(spec: &str) -> String {
    format!("{{apiVersion: v1, kind: Service, metadata: {{name: web}}, spec: {spec}}}")
}

const TEMPLATE: &str = "selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: nginx}]}}";

fn check_refusals(cases: &[(String, &str)]) {
    for (yaml, expected) in cases {
        assert_eq!(
            create(yaml).map_err(|s| s.message),
            Err((*expected).to_owned()),
            "{yaml}"
        );
    }
}

#[test]
fn refusals_of_pods_and_deployments_have_upstreams_words() {
    let cases: Vec<(String, &str)> = vec![
        (
            pod("{containers: []}"),
            "Pod \"web\" is invalid: spec.containers: Required value",
        ),
        (
            pod("{containers: [{name: web}]}"),
            "Pod \"web\" is invalid: spec.containers[0].image: Required value",
        ),
        (
            pod("{containers: [{name: a, image: x}, {name: a, image: x}]}"),
            "Pod \"web\" is invalid: spec.containers[1].name: Duplicate value: \"a\"",
        ),
        (
            pod("{containers: [{name: a, image: x, ports: [{containerPort: 70000}]}]}"),
            "Pod \"web\" is invalid: spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            pod("{containers: [{name: a, image: x, volumeMounts: [{name: v, mountPath: /x}]}]}"),
            "Pod \"web\" is invalid: spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
        ),
        (
            pod("{restartPolicy: Sometimes, containers: [{name: a, image: x}]}"),
            "Pod \"web\" is invalid: spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"Never\", \"OnFailure\"",
        ),
        (
            pod(
                "{containers: [{name: a, image: x, resources: {requests: {memory: 2Gi}, limits: {memory: 1Gi}}}]}",
            ),
            "Pod \"web\" is invalid: spec.containers[0].resources.requests: Invalid value: \"2Gi\": must be less than or equal to memory limit of 1Gi",
        ),
        (
            pod("{containers: [{name: a, image: x, livenessProbe: {}}]}"),
            "Pod \"web\" is invalid: spec.containers[0].livenessProbe: Required value: must specify a handler type",
        ),
        (
            deployment(
                "{replicas: -1, selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: b}}, spec: {containers: [{name: a, image: x}]}}}",
            ),
            "Deployment.apps \"web\" is invalid: [spec.replicas: Invalid value: -1: must be greater than or equal to 0, spec.template.metadata.labels: Invalid value: map[string]string{\"app\":\"b\"}: `selector` does not match template `labels`]",
        ),
        (
            deployment("{}"),
            "Deployment.apps \"web\" is invalid: [spec.selector: Required value, spec.template.metadata.labels: Invalid value: map[string]string(nil): `selector` does not match template `labels`, spec.template.spec.containers: Required value]",
        ),
        (
            deployment(&format!(
                "{{strategy: {{type: Recreate, rollingUpdate: {{maxSurge: 1}}}}, {TEMPLATE}}}"
            )),
            "Deployment.apps \"web\" is invalid: spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ),
        (
            deployment(&format!(
                "{{strategy: {{rollingUpdate: {{maxSurge: 0, maxUnavailable: 0}}}}, {TEMPLATE}}}"
            )),
            "Deployment.apps \"web\" is invalid: spec.strategy.rollingUpdate.maxUnavailable: Invalid value: intstr.IntOrString{Type:0, IntVal:0, StrVal:\"\"}: may not be 0 when `maxSurge` is 0",
        ),
        (
            deployment(
                "{selector: {matchExpressions: [{key: app, operator: In}]}, template: {metadata: {labels: {app: b}}, spec: {containers: [{name: a, image: x}]}}}",
            ),
            "Deployment.apps \"web\" is invalid: [spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn', spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string(nil), MatchExpressions:[]v1.LabelSelectorRequirement{v1.LabelSelectorRequirement{Key:\"app\", Operator:\"In\", Values:[]string(nil)}}}: invalid label selector]",
        ),
    ];
    check_refusals(&cases);
}

#[test]
fn refusals_of_the_other_kinds_have_upstreams_words() {
    let cases: Vec<(String, &str)> = vec![
        (
            service("{}"),
            "Service \"web\" is invalid: spec.ports: Required value",
        ),
        (
            service("{ports: [{port: 80}, {port: 81}]}"),
            "Service \"web\" is invalid: [spec.ports[0].name: Required value, spec.ports[1].name: Required value]",
        ),
        (
            service("{ports: [{name: a, port: 80}, {name: b, port: 80}]}"),
            "Service \"web\" is invalid: spec.ports[1]: Duplicate value: core.ServicePort{Name:\"\", Protocol:\"TCP\", AppProtocol:(*string)(nil), Port:80, TargetPort:intstr.IntOrString{Type:0, IntVal:0, StrVal:\"\"}, NodePort:0}",
        ),
        (
            service("{ports: [{port: 80, nodePort: 30080}]}"),
            "Service \"web\" is invalid: spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: web}, data: {'a b': c}}".to_owned(),
            "ConfigMap \"web\" is invalid: data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
        ),
        (
            "{apiVersion: v1, kind: Namespace, metadata: {name: a.b}}".to_owned(),
            "Namespace \"a.b\" is invalid: metadata.name: Invalid value: \"a.b\": must not contain dots",
        ),
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: web, labels: {a: 'b c'}}}"
                .to_owned(),
            "ConfigMap \"web\" is invalid: metadata.labels: Invalid value: \"b c\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {}}".to_owned(),
            "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required",
        ),
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: other}}".to_owned(),
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            pod("{containers: [], foo: 1}"),
            "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"spec.foo\"",
        ),
        (
            deployment("{replicas: two}"),
            "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {a: '!'}}".to_owned(),
            "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 0",
        ),
    ];
    check_refusals(&cases);
}

#[test]
fn defaults_are_upstreams() {
    let deployment = create(&deployment(&format!("{{{TEMPLATE}}}"))).unwrap();
    let service = create(&service("{selector: {app: web}, ports: [{port: 80}]}")).unwrap();
    let secret = create(
        "{apiVersion: v1, kind: Secret, metadata: {generateName: web-}, stringData: {a: b}}",
    )
    .unwrap();
    let pod = create(&pod("{containers: [{name: a, image: 'nginx:1', resources: {limits: {cpu: 1}}, readinessProbe: {httpGet: {port: 80}}}], volumes: [{name: v}]}")).unwrap();
    let cases = [
        (&deployment, "/spec/replicas", json!(1)),
        (
            &deployment,
            "/spec/strategy",
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}),
        ),
        (&deployment, "/spec/revisionHistoryLimit", json!(10)),
        (
            &deployment,
            "/spec/template/spec/containers/0/imagePullPolicy",
            json!("Always"),
        ),
        (
            &deployment,
            "/spec/template/spec/dnsPolicy",
            json!("ClusterFirst"),
        ),
        (&deployment, "/metadata/generation", json!(1)),
        (&deployment, "/status", json!({})),
        (
            &service,
            "/spec/ports",
            json!([{"port": 80, "protocol": "TCP", "targetPort": 80}]),
        ),
        (&service, "/spec/type", json!("ClusterIP")),
        (&service, "/spec/sessionAffinity", json!("None")),
        (&secret, "/type", json!("Opaque")),
        (&secret, "/data/a", json!("Yg==")),
        (&secret, "/metadata/name", json!("web-abcde")),
        (
            &pod,
            "/spec/containers/0/imagePullPolicy",
            json!("IfNotPresent"),
        ),
        (
            &pod,
            "/spec/containers/0/resources",
            json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}),
        ),
        (
            &pod,
            "/spec/containers/0/readinessProbe",
            json!({"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}),
        ),
        (
            &pod,
            "/spec/volumes/0",
            json!({"name": "v", "emptyDir": {}}),
        ),
        (&pod, "/spec/restartPolicy", json!("Always")),
        (
            &pod,
            "/status",
            json!({"phase": "Pending", "qosClass": "Burstable"}),
        ),
    ];
    for (object, pointer, expected) in cases {
        assert_eq!(object.pointer(pointer), Some(&expected), "{pointer}");
    }
    assert!(secret.get("stringData").is_none());
}

#[test]
fn changes_are_allowed_or_refused_as_upstream_does() {
    let deployment = create(&deployment(&format!("{{{TEMPLATE}}}"))).unwrap();
    let running = create(&pod(
        "{nodeName: node-1, containers: [{name: a, image: x}]}",
    ))
    .unwrap();
    let secret = create(
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, immutable: true, data: {a: Yg==}}",
    )
    .unwrap();
    type Change = fn(&mut Value);
    let allowed: [(&Value, Change); 5] = [
        (&deployment, |d| d["spec"]["replicas"] = json!(3)),
        (&deployment, |d| {
            d["spec"]["template"]["spec"]["containers"][0]["image"] = json!("y")
        }),
        (&running, |p| p["metadata"]["labels"] = json!({"a": "b"})),
        (&running, |p| {
            p["spec"]["containers"][0]["image"] = json!("y")
        }),
        (&running, |p| {
            p["spec"]["tolerations"] = json!([{"key": "k", "operator": "Exists"}])
        }),
    ];
    for (index, (old, change)) in allowed.into_iter().enumerate() {
        update(old, change).unwrap_or_else(|status| panic!("{index}: {status}"));
    }
    let refused: [(&Value, Change, &str); 5] = [
        (
            &deployment,
            |d| {
                d["spec"]["selector"]["matchLabels"] = json!({"app": "x"});
                d["spec"]["template"]["metadata"]["labels"] = json!({"app": "x"});
            },
            "Deployment.apps \"web\" is invalid: spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{\"app\":\"x\"}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is immutable",
        ),
        (
            &running,
            |p| {
                p["spec"]["containers"] =
                    json!([{"name": "a", "image": "x"}, {"name": "b", "image": "x"}])
            },
            "Pod \"web\" is invalid: spec.containers: Forbidden: pod updates may not add or remove containers",
        ),
        (
            &running,
            |p| p["spec"]["nodeName"] = json!("node-2"),
            "Pod \"web\" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`",
        ),
        (
            &secret,
            |s| s["data"]["a"] = json!("Yw=="),
            "Secret \"s\" is invalid: data: Forbidden: field is immutable when `immutable` is set",
        ),
        (
            &deployment,
            |d| d["metadata"]["resourceVersion"] = json!("1"),
            "Operation cannot be fulfilled on deployments.apps \"web\": the object has been modified; please apply your changes to the latest version and try again",
        ),
    ];
    for (old, change, expected) in refused {
        let message = update(old, change).unwrap_err().message;
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn generation_moves_with_the_spec_only() {
    let old = create(&deployment(&format!("{{{TEMPLATE}}}"))).unwrap();
    let cases: [(fn(&mut Value), i64); 3] = [
        (|d| d["metadata"]["labels"] = json!({"a": "b"}), 1),
        (|d| d["spec"]["replicas"] = json!(2), 2),
        (|d| d["status"]["replicas"] = json!(2), 1),
    ];
    for (change, expected) in cases {
        let new = update(&old, change).unwrap();
        assert_eq!(new["metadata"]["generation"], expected);
        assert_eq!(new["status"], json!({}));
    }
    let row = row("apps/v1", "Deployment");
    let mut status = old.clone();
    status["spec"]["replicas"] = json!(9);
    status["status"] = json!({"readyReplicas": 1});
    let context = Context {
        subresource: Some(Subresource::Status),
        ..context(&row, Some("web"))
    };
    write::prepare_update(&row, &context, &mut status, &old).unwrap();
    assert_eq!(
        (&status["spec"]["replicas"], &status["status"]),
        (&json!(1), &json!({"readyReplicas": 1}))
    );
}

/// The lines `kubectl get` prints of an object: headers with `-o wide`, then cells.
fn printed(object: &Value) -> (Vec<String>, Vec<String>) {
    let row = row(
        object["apiVersion"].as_str().unwrap(),
        object["kind"].as_str().unwrap(),
    );
    let now = "2026-01-01T00:05:00Z".parse().unwrap();
    let table = table::render(
        &row,
        std::slice::from_ref(object),
        Value::Null,
        Include::Metadata,
        Headers::Full,
        now,
    );
    let columns = table["columnDefinitions"].as_array().unwrap();
    let headers = columns
        .iter()
        .map(|c| c["name"].as_str().unwrap().to_uppercase())
        .collect();
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(columns.len(), cells.len());
    let cells = cells
        .iter()
        .map(|c| c.as_str().map_or_else(|| c.to_string(), str::to_owned))
        .collect();
    (headers, cells)
}

/// An object, the headers of its table and its cells.
type TableCase<'a> = (Value, &'a [&'a str], &'a [&'a str]);

fn check_tables(cases: &[TableCase<'_>]) {
    for (object, headers, cells) in cases {
        let (got_headers, got_cells) = printed(object);
        assert_eq!(got_headers, *headers);
        assert_eq!(got_cells, *cells, "{object}");
    }
}

#[test]
fn tables_have_kubectls_columns() {
    let created = "2026-01-01T00:00:00Z";
    let meta =
        |name: &str| json!({"name": name, "namespace": "default", "creationTimestamp": created});
    let template = json!({"spec": {"containers": [{"name": "web", "image": "nginx"}, {"name": "log", "image": "busybox"}]}});
    let cases: Vec<TableCase<'_>> = vec![
        (
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta("web"), "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template}, "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2}}),
            &[
                "NAME",
                "READY",
                "UP-TO-DATE",
                "AVAILABLE",
                "AGE",
                "CONTAINERS",
                "IMAGES",
                "SELECTOR",
            ],
            &[
                "web",
                "2/3",
                "3",
                "2",
                "5m",
                "web,log",
                "nginx,busybox",
                "app=web",
            ],
        ),
        (
            json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta("web-1"), "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template}, "status": {"replicas": 3, "readyReplicas": 2}}),
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
            &[
                "web-1",
                "3",
                "3",
                "2",
                "5m",
                "web,log",
                "nginx,busybox",
                "app=web",
            ],
        ),
        (
            json!({"apiVersion": "v1", "kind": "Service", "metadata": meta("web"), "spec": {"type": "NodePort", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"], "selector": {"app": "web"}, "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}]}}),
            &[
                "NAME",
                "TYPE",
                "CLUSTER-IP",
                "EXTERNAL-IP",
                "PORT(S)",
                "AGE",
                "SELECTOR",
            ],
            &[
                "web",
                "NodePort",
                "10.96.0.9",
                "<none>",
                "80:30080/TCP",
                "5m",
                "app=web",
            ],
        ),
        (
            json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": meta("web"), "subsets": [{"addresses": [{"ip": "10.244.1.2"}, {"ip": "10.244.1.3"}], "ports": [{"port": 80}]}]}),
            &["NAME", "ENDPOINTS", "AGE"],
            &["web", "10.244.1.2:80,10.244.1.3:80", "5m"],
        ),
        (
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": meta("web-x"), "addressType": "IPv4", "endpoints": [{"addresses": ["10.244.1.2"]}], "ports": [{"port": 80}]}),
            &["NAME", "ADDRESSTYPE", "PORTS", "ENDPOINTS", "AGE"],
            &["web-x", "IPv4", "80", "10.244.1.2", "5m"],
        ),
        (
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": meta("web"), "status": {"phase": "Active"}}),
            &["NAME", "STATUS", "AGE"],
            &["web", "Active", "5m"],
        ),
        (
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta("s"), "type": "Opaque", "data": {"a": "Yg=="}}),
            &["NAME", "TYPE", "DATA", "AGE"],
            &["s", "Opaque", "1", "5m"],
        ),
        (
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1", "creationTimestamp": created, "labels": {"node-role.kubernetes.io/control-plane": ""}}, "spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "True"}], "addresses": [{"type": "InternalIP", "address": "172.30.1.1"}], "nodeInfo": {"kubeletVersion": "v1.32.4", "osImage": "Debian", "kernelVersion": "6.1", "containerRuntimeVersion": "drydock://1"}}}),
            &[
                "NAME",
                "STATUS",
                "ROLES",
                "AGE",
                "VERSION",
                "INTERNAL-IP",
                "EXTERNAL-IP",
                "OS-IMAGE",
                "KERNEL-VERSION",
                "CONTAINER-RUNTIME",
            ],
            &[
                "node-1",
                "Ready,SchedulingDisabled",
                "control-plane",
                "5m",
                "v1.32.4",
                "172.30.1.1",
                "<none>",
                "Debian",
                "6.1",
                "drydock://1",
            ],
        ),
        (
            json!({"apiVersion": "v1", "kind": "Event", "metadata": meta("web.1"), "type": "Normal", "reason": "Pulled", "message": "done", "count": 3, "firstTimestamp": created, "lastTimestamp": "2026-01-01T00:04:00Z", "source": {"component": "kubelet", "host": "node-1"}, "involvedObject": {"kind": "Pod", "name": "web", "fieldPath": "spec.containers{web}"}}),
            &[
                "LAST SEEN",
                "TYPE",
                "REASON",
                "OBJECT",
                "SUBOBJECT",
                "SOURCE",
                "MESSAGE",
                "FIRST SEEN",
                "COUNT",
                "NAME",
            ],
            &[
                "60s",
                "Normal",
                "Pulled",
                "pod/web",
                "spec.containers{web}",
                "kubelet, node-1",
                "done",
                "5m",
                "3",
                "web.1",
            ],
        ),
        (
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta("node-1"), "spec": {"holderIdentity": "node-1"}}),
            &["NAME", "HOLDER", "AGE"],
            &["node-1", "node-1", "5m"],
        ),
    ];
    check_tables(&cases);
}

#[test]
fn events_have_two_shapes_and_one_storage() {
    let core = row("v1", "Event");
    let new = row("events.k8s.io/v1", "Event");
    let stored = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "a"}, "involvedObject": {"kind": "Pod", "name": "web"}, "message": "m", "count": 2, "source": {"component": "c"}, "lastTimestamp": "2026-01-01T00:00:00Z", "eventTime": null, "reportingComponent": "", "reportingInstance": ""});
    let mut shown = stored.clone();
    new.decode_storage(&mut shown);
    for (field, expected) in [
        ("apiVersion", json!("events.k8s.io/v1")),
        ("regarding", json!({"kind": "Pod", "name": "web"})),
        ("note", json!("m")),
        ("deprecatedCount", json!(2)),
    ] {
        assert_eq!(shown[field], expected);
    }
    new.encode_storage(&mut shown);
    assert_eq!(shown, stored);
    assert_eq!(core.prefix(None), new.prefix(None));
}
