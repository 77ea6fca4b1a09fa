//! A container's environment and command line, as its specification, ConfigMaps, Secrets, Services and the Pod itself say.
//!
//! Pure: what the specification refers to is fetched before ([`references`]) and passed in as [`Sources`].

// upstream: pkg/kubelet/kubelet_pods.go (makeEnvironmentVariables), pkg/kubelet/envvars/envvars.go, third_party/forked/golang/expansion

use std::collections::{BTreeMap, BTreeSet};

use drydock_primitives::quantity::Quantity;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, ResourceFieldSelector, Secret, Service};

use super::state::{find_container, name, namespace, spec, uid};

/// What a container's environment refers to.
#[derive(Debug, Default)]
pub(super) struct References {
    /// ConfigMap names.
    pub(super) config_maps: BTreeSet<String>,
    /// Secret names.
    pub(super) secrets: BTreeSet<String>,
}

/// What was found of it; absent entries do not exist.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// By name, in the Pod's namespace.
    pub(super) config_maps: BTreeMap<String, ConfigMap>,
    /// By name, in the Pod's namespace.
    pub(super) secrets: BTreeMap<String, Secret>,
    /// All Services.
    pub(super) services: Vec<Service>,
}

/// What the Pod does not know about itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// The Pod's address.
    pub(super) pod_ip: String,
    /// The node's address.
    pub(super) host_ip: String,
    /// What the node has to give, for limits that are not set.
    pub(super) allocatable: BTreeMap<String, String>,
}

/// The names a container's environment refers to.
pub(super) fn references(container: &Container) -> References {
    let mut found = References::default();
    for from in container.env_from.iter().flatten() {
        found.config_maps.extend(from.config_map_ref.as_ref().map(|reference| reference.name.clone()));
        found.secrets.extend(from.secret_ref.as_ref().map(|reference| reference.name.clone()));
    }
    for from in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        found.config_maps.extend(from.config_map_key_ref.as_ref().map(|reference| reference.name.clone()));
        found.secrets.extend(from.secret_key_ref.as_ref().map(|reference| reference.name.clone()));
    }
    found
}

/// The environment in order, or why it cannot be made (`CreateContainerConfigError`).
pub(super) fn environment(pod: &Pod, container: &Container, sources: &Sources, facts: &Facts) -> Result<Vec<(String, String)>, String> {
    let mut services = if spec(pod).enable_service_links == Some(false) {
        service_variables(&sources.services, is_kubernetes)
    } else {
        service_variables(&sources.services, |service| is_kubernetes(service) || service.metadata.namespace.as_deref() == Some(namespace(pod)))
    };
    let mut result: BTreeMap<String, String> = from_sources(pod, container, sources)?;
    let mut order: Vec<String> = result.keys().cloned().collect();
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) if !value.is_empty() => Some(expand(value, |name| result.get(name).or_else(|| services.get(name)).cloned())),
            (_, Some(from)) => value_from(pod, container, from, sources, facts)?,
            _ => Some(String::new()),
        };
        let Some(value) = value else { continue };
        services.remove(&variable.name);
        order.retain(|name| *name != variable.name);
        order.push(variable.name.clone());
        result.insert(variable.name.clone(), value);
    }
    let own = order.into_iter().filter_map(|name| result.get(&name).map(|value| (name.clone(), value.clone()))).collect::<Vec<_>>();
    let links = services.into_iter().filter(|(name, _)| !result.contains_key(name));
    Ok(own.into_iter().chain(links).collect())
}

fn from_sources(pod: &Pod, container: &Container, sources: &Sources) -> Result<BTreeMap<String, String>, String> {
    let mut result = BTreeMap::new();
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &from.config_map_ref {
            match sources.config_maps.get(&reference.name) {
                Some(map) => result.extend(map.data.iter().flatten().map(|(key, value)| (format!("{prefix}{key}"), value.clone()))),
                None if reference.optional == Some(true) => {}
                None => return Err(format!("configmap \"{}\" not found", reference.name)),
            }
        }
        if let Some(reference) = &from.secret_ref {
            match sources.secrets.get(&reference.name) {
                Some(secret) => result.extend(
                    secret.data.iter().flatten().map(|(key, value)| (format!("{prefix}{key}"), String::from_utf8_lossy(&value.0).into_owned())),
                ),
                None if reference.optional == Some(true) => {}
                None => return Err(format!("secret \"{}\" not found", reference.name)),
            }
        }
    }
    tracing::trace!(pod = name(pod), count = result.len(), "variables from sources");
    Ok(result)
}

fn value_from(
    pod: &Pod,
    container: &Container,
    from: &k8s_openapi::api::core::v1::EnvVarSource,
    sources: &Sources,
    facts: &Facts,
) -> Result<Option<String>, String> {
    if let Some(field) = &from.field_ref {
        return field_value(pod, &field.field_path, facts).map(Some);
    }
    if let Some(field) = &from.resource_field_ref {
        let target = field.container_name.as_ref().and_then(|wanted| find_container(pod, wanted)).map(|(_, found)| found);
        return resource_value(target.as_ref().unwrap_or(container), field, facts).map(Some);
    }
    if let Some(key) = &from.config_map_key_ref {
        let optional = key.optional == Some(true);
        let Some(map) = sources.config_maps.get(&key.name) else {
            return if optional { Ok(None) } else { Err(format!("configmap \"{}\" not found", key.name)) };
        };
        return match map.data.as_ref().and_then(|data| data.get(&key.key)) {
            Some(value) => Ok(Some(value.clone())),
            None if optional => Ok(None),
            None => Err(format!("couldn't find key {} in ConfigMap {}/{}", key.key, namespace(pod), key.name)),
        };
    }
    if let Some(key) = &from.secret_key_ref {
        let optional = key.optional == Some(true);
        let Some(secret) = sources.secrets.get(&key.name) else {
            return if optional { Ok(None) } else { Err(format!("secret \"{}\" not found", key.name)) };
        };
        return match secret.data.as_ref().and_then(|data| data.get(&key.key)) {
            Some(value) => Ok(Some(String::from_utf8_lossy(&value.0).into_owned())),
            None if optional => Ok(None),
            None => Err(format!("couldn't find key {} in Secret {}/{}", key.key, namespace(pod), key.name)),
        };
    }
    Ok(Some(String::new()))
}

/// `metadata.labels['app']` and friends.
// upstream: pkg/fieldpath/fieldpath.go
pub(super) fn field_value(pod: &Pod, path: &str, facts: &Facts) -> Result<String, String> {
    let metadata = &pod.metadata;
    let subscript = |prefix: &str| path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']").map(str::to_owned);
    if let Some(key) = subscript("metadata.labels") {
        return Ok(metadata.labels.as_ref().and_then(|labels| labels.get(&key)).cloned().unwrap_or_default());
    }
    if let Some(key) = subscript("metadata.annotations") {
        return Ok(metadata.annotations.as_ref().and_then(|annotations| annotations.get(&key)).cloned().unwrap_or_default());
    }
    Ok(match path {
        "metadata.name" => name(pod).to_owned(),
        "metadata.namespace" => namespace(pod).to_owned(),
        "metadata.uid" => uid(pod).to_owned(),
        "metadata.labels" => format_map(metadata.labels.as_ref()),
        "metadata.annotations" => format_map(metadata.annotations.as_ref()),
        "spec.nodeName" => spec(pod).node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => spec(pod).service_account_name.clone().unwrap_or_default(),
        "status.hostIP" | "status.hostIPs" => facts.host_ip.clone(),
        "status.podIP" | "status.podIPs" => facts.pod_ip.clone(),
        other => return Err(format!("unsupported fieldPath: {other}")),
    })
}

fn format_map(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect();
    lines.join("\n")
}

/// `limits.cpu` and friends, in units of the divisor, rounded up.
// upstream: pkg/api/v1/resource/helpers.go, ExtractContainerResourceValue
pub(super) fn resource_value(container: &Container, field: &ResourceFieldSelector, facts: &Facts) -> Result<String, String> {
    let Some((list, resource)) = field.resource.split_once('.') else {
        return Err(format!("unsupported container resource : {}", field.resource));
    };
    let resources = container.resources.as_ref();
    let set = match list {
        "limits" => resources.and_then(|resources| resources.limits.as_ref()),
        _ => resources.and_then(|resources| resources.requests.as_ref()),
    };
    let own = set.and_then(|list| list.get(resource)).map(|quantity| quantity.0.clone());
    let fallback = (list == "limits").then(|| facts.allocatable.get(resource).cloned()).flatten();
    let text = own.or(fallback).unwrap_or_else(|| "0".to_owned());
    let amount: Quantity = text.parse().map_err(|_| format!("{text} is not a quantity"))?;
    let divisor = field.divisor.as_ref().map_or("1", |divisor| divisor.0.as_str());
    let divisor: Quantity = if divisor.is_empty() || divisor == "0" { "1" } else { divisor }.parse().map_err(|_| "bad divisor".to_owned())?;
    let (amount, divisor) =
        if resource == "cpu" { (amount.milli_value(), divisor.milli_value()) } else { (amount.value(), divisor.value()) };
    let divisor = divisor.max(1);
    Ok(((amount + divisor - 1) / divisor).to_string())
}

fn is_kubernetes(service: &Service) -> bool {
    service.metadata.namespace.as_deref() == Some("default") && service.metadata.name.as_deref() == Some("kubernetes")
}

/// `WEB_SERVICE_HOST` and what containers linked by Docker used to see.
fn service_variables(services: &[Service], wanted: impl Fn(&Service) -> bool) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for service in services.iter().filter(|service| wanted(service)) {
        let Some(spec) = &service.spec else { continue };
        let Some(ip) = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None") else { continue };
        let env_name = |name: &str| name.to_ascii_uppercase().replace('-', "_");
        let prefix = env_name(service.metadata.name.as_deref().unwrap_or_default());
        let ports = spec.ports.as_deref().unwrap_or_default();
        let Some(first) = ports.first() else { continue };
        variables.insert(format!("{prefix}_SERVICE_HOST"), ip.to_owned());
        variables.insert(format!("{prefix}_SERVICE_PORT"), first.port.to_string());
        let url = |port: &k8s_openapi::api::core::v1::ServicePort| {
            let protocol = port.protocol.as_deref().unwrap_or("TCP").to_ascii_lowercase();
            (format!("{protocol}://{ip}:{}", port.port), protocol)
        };
        variables.insert(format!("{prefix}_PORT"), url(first).0);
        for port in ports {
            if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
                variables.insert(format!("{prefix}_SERVICE_PORT_{}", env_name(name)), port.port.to_string());
            }
            let (url, protocol) = url(port);
            let prefix = format!("{prefix}_PORT_{}_{}", port.port, protocol.to_ascii_uppercase());
            variables.insert(prefix.clone(), url);
            variables.insert(format!("{prefix}_PROTO"), protocol);
            variables.insert(format!("{prefix}_PORT"), port.port.to_string());
            variables.insert(format!("{prefix}_ADDR"), ip.to_owned());
        }
    }
    variables
}

/// Replace `$(NAME)`; `$$` is a dollar, and what is unknown stays as it is.
pub(super) fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match lookup(name) {
                Some(value) => out.push_str(&value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_to_variables_are_replaced() {
        let lookup = |name: &str| (name == "A").then(|| "1".to_owned());
        for (text, expected) in [
            ("x $(A) y", "x 1 y"),
            ("$(B)", "$(B)"),
            ("$$(A)", "$(A)"),
            ("$A $", "$A $"),
            ("$(A", "$(A"),
            ("$(A)$(A)", "11"),
        ] {
            assert_eq!(expand(text, lookup), expected, "{text}");
        }
    }

    #[test]
    fn variables_come_from_everywhere_and_later_ones_win() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"app": "x"}},
            "spec": {"nodeName": "n", "containers": []},
        })).unwrap();
        let container: Container = serde_json::from_value(json!({
            "name": "c",
            "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}},
            "envFrom": [{"configMapRef": {"name": "cm"}, "prefix": "P_"}, {"secretRef": {"name": "gone", "optional": true}}],
            "env": [
                {"name": "A", "value": "1"},
                {"name": "B", "value": "$(A)-$(P_k)-$(WEB_SERVICE_HOST)"},
                {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
                {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "P_k", "value": "own"},
            ],
        })).unwrap();
        let sources = Sources {
            config_maps: [("cm".to_owned(), serde_json::from_value(json!({"data": {"k": "v"}})).unwrap())].into(),
            secrets: [("s".to_owned(), serde_json::from_value(json!({"data": {"k": "c2VjcmV0"}})).unwrap())].into(),
            services: vec![serde_json::from_value(json!({
                "metadata": {"name": "web", "namespace": "ns"},
                "spec": {"clusterIP": "10.96.0.5", "ports": [{"name": "http-x", "port": 80, "protocol": "TCP"}]},
            })).unwrap()],
        };
        let facts = Facts { pod_ip: "10.244.1.2".into(), ..Facts::default() };
        let all: BTreeMap<String, String> = environment(&pod, &container, &sources, &facts).unwrap().into_iter().collect();
        for (name, value) in [
            ("A", "1"),
            ("B", "1-v-10.96.0.5"),
            ("APP", "x"),
            ("IP", "10.244.1.2"),
            ("CPU", "2"),
            ("MEM", "64"),
            ("KEY", "secret"),
            ("P_k", "own"),
            ("WEB_SERVICE_PORT_HTTP_X", "80"),
            ("WEB_PORT_80_TCP", "tcp://10.96.0.5:80"),
        ] {
            assert_eq!(all.get(name).map(String::as_str), Some(value), "{name}");
        }
    }

    #[test]
    fn what_is_missing_is_named_as_upstream_names_it() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "ns"}})).unwrap();
        let sources = Sources { config_maps: [("cm".to_owned(), ConfigMap::default())].into(), ..Sources::default() };
        for (env, expected) in [
            (json!({"configMapKeyRef": {"name": "no", "key": "k"}}), "configmap \"no\" not found"),
            (json!({"configMapKeyRef": {"name": "cm", "key": "k"}}), "couldn't find key k in ConfigMap ns/cm"),
            (json!({"secretKeyRef": {"name": "no", "key": "k"}}), "secret \"no\" not found"),
        ] {
            let container = serde_json::from_value(json!({"name": "c", "env": [{"name": "A", "valueFrom": env}]})).unwrap();
            assert_eq!(environment(&pod, &container, &sources, &Facts::default()).unwrap_err(), expected);
        }
    }
}
