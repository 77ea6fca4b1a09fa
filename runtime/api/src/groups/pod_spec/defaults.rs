//! Defaults of a Pod spec, the same in a Pod and in a template.
// upstream: pkg/apis/core/v1/defaults.go

use serde_json::{Map, Value, json};

/// Sets a field that is absent.
pub(crate) fn default(map: &mut Map<String, Value>, field: &str, value: impl Into<Value>) {
    map.entry(field).or_insert_with(|| value.into());
}

/// Fills a Pod spec.
pub(crate) fn set(spec: &mut Value) {
    let Some(spec) = spec.as_object_mut() else {
        return;
    };
    default(spec, "dnsPolicy", "ClusterFirst");
    default(spec, "restartPolicy", "Always");
    default(spec, "securityContext", json!({}));
    default(spec, "terminationGracePeriodSeconds", 30);
    default(spec, "schedulerName", "default-scheduler");
    // The deprecated name is kept in step with the new one.
    if let Some(account) = spec
        .get("serviceAccountName")
        .or_else(|| spec.get("serviceAccount"))
        .cloned()
    {
        spec.insert("serviceAccountName".to_owned(), account.clone());
        spec.insert("serviceAccount".to_owned(), account);
    }
    let host_network = spec.get("hostNetwork").and_then(Value::as_bool) == Some(true);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            set_container(container, host_network, list != "ephemeralContainers");
        }
    }
    for volume in spec
        .get_mut("volumes")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        set_volume(volume);
    }
    for constraint in spec
        .get_mut("topologySpreadConstraints")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(constraint) = constraint.as_object_mut() {
            default(constraint, "nodeAffinityPolicy", "Honor");
            default(constraint, "nodeTaintsPolicy", "Ignore");
        }
    }
}

/// Defaults that only a Pod gets, not a template.
pub(crate) fn set_pod(spec: &mut Value) {
    let Some(spec) = spec.as_object_mut() else {
        return;
    };
    default(spec, "enableServiceLinks", true);
    for list in ["initContainers", "containers"] {
        for container in spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            requests_from_limits(container);
        }
    }
}

/// A limit without a request is also the request.
fn requests_from_limits(container: &mut Value) {
    let Some(limits) = container
        .pointer("/resources/limits")
        .and_then(Value::as_object)
        .cloned()
    else {
        return;
    };
    let requests = &mut container["resources"]["requests"];
    if !requests.is_object() {
        *requests = json!({});
    }
    if let Some(requests) = requests.as_object_mut() {
        for (name, limit) in limits {
            requests.entry(name).or_insert(limit);
        }
    }
}

fn set_container(container: &mut Value, host_network: bool, with_probes: bool) {
    let Some(container) = container.as_object_mut() else {
        return;
    };
    let image = container
        .get("image")
        .and_then(Value::as_str)
        .unwrap_or("")
        .to_owned();
    if !container.contains_key("imagePullPolicy") {
        container.insert(
            "imagePullPolicy".to_owned(),
            Value::from(pull_policy(&image)),
        );
    }
    default(container, "terminationMessagePath", "/dev/termination-log");
    default(container, "terminationMessagePolicy", "File");
    default(container, "resources", json!({}));
    for port in container
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(port) = port.as_object_mut() {
            default(port, "protocol", "TCP");
            if host_network && let Some(number) = port.get("containerPort").cloned() {
                default(port, "hostPort", number);
            }
        }
    }
    for env in container
        .get_mut("env")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(field) = env
            .pointer_mut("/valueFrom/fieldRef")
            .and_then(Value::as_object_mut)
        {
            default(field, "apiVersion", "v1");
        }
        if let Some(field) = env
            .pointer_mut("/valueFrom/resourceFieldRef")
            .and_then(Value::as_object_mut)
        {
            default(field, "divisor", "0");
        }
    }
    if with_probes {
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
            if let Some(probe) = container.get_mut(probe).and_then(Value::as_object_mut) {
                set_probe(probe);
            }
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(http) = container
            .get_mut("lifecycle")
            .and_then(|l| l.get_mut(hook))
            .and_then(|h| h.get_mut("httpGet"))
        {
            set_http_get(http);
        }
    }
}

/// Always for `:latest` and untagged images, IfNotPresent otherwise.
fn pull_policy(image: &str) -> &'static str {
    let (rest, digest) = image
        .split_once('@')
        .map_or((image, false), |(rest, _)| (rest, true));
    let tag = rest
        .rsplit_once(':')
        .map(|(_, tag)| tag)
        .filter(|tag| !tag.contains('/'));
    match tag {
        None if !digest => "Always",
        Some("latest") => "Always",
        _ => "IfNotPresent",
    }
}

fn set_probe(probe: &mut Map<String, Value>) {
    default(probe, "timeoutSeconds", 1);
    default(probe, "periodSeconds", 10);
    default(probe, "successThreshold", 1);
    default(probe, "failureThreshold", 3);
    if let Some(http) = probe.get_mut("httpGet") {
        set_http_get(http);
    }
    if let Some(grpc) = probe.get_mut("grpc").and_then(Value::as_object_mut) {
        default(grpc, "service", "");
    }
}

fn set_http_get(http: &mut Value) {
    if let Some(http) = http.as_object_mut() {
        default(http, "path", "/");
        default(http, "scheme", "HTTP");
    }
}

const DEFAULT_MODE: i32 = 0o644;

fn set_volume(volume: &mut Value) {
    let Some(volume) = volume.as_object_mut() else {
        return;
    };
    if !volume.keys().any(|key| key != "name") {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = volume.get_mut(source).and_then(Value::as_object_mut) {
            default(source, "defaultMode", DEFAULT_MODE);
        }
    }
    if let Some(host_path) = volume.get_mut("hostPath").and_then(Value::as_object_mut) {
        default(host_path, "type", "");
    }
    let projected = volume
        .get_mut("projected")
        .and_then(|p| p.get_mut("sources"))
        .and_then(Value::as_array_mut);
    let mut downward: Vec<&mut Value> = Vec::new();
    for source in projected.into_iter().flatten() {
        if let Some(token) = source
            .get_mut("serviceAccountToken")
            .and_then(Value::as_object_mut)
        {
            default(token, "expirationSeconds", 3600);
        }
        downward.extend(source.get_mut("downwardAPI"));
    }
    for source in downward {
        set_downward_items(source);
    }
    if let Some(source) = volume.get_mut("downwardAPI") {
        set_downward_items(source);
    }
}

fn set_downward_items(source: &mut Value) {
    for item in source
        .get_mut("items")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(field) = item.get_mut("fieldRef").and_then(Value::as_object_mut) {
            default(field, "apiVersion", "v1");
        }
        if let Some(field) = item
            .get_mut("resourceFieldRef")
            .and_then(Value::as_object_mut)
        {
            default(field, "divisor", "0");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_policy_follows_the_tag() {
        let cases = [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.27", "IfNotPresent"),
            ("registry:5000/nginx", "Always"),
            ("registry:5000/nginx:1", "IfNotPresent"),
            ("nginx@sha256:00", "IfNotPresent"),
        ];
        for (image, expected) in cases {
            assert_eq!(pull_policy(image), expected, "{image}");
        }
    }
}
