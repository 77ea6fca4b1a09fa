//! Validation of a Pod spec, the same in a Pod and in a template.
// upstream: pkg/apis/core/validation/validation.go

use std::{collections::BTreeSet, str::FromStr};

use drydock_primitives::{names, quantity::Quantity};
use serde_json::Value;

use super::validation_volumes;
use crate::field_error::FieldError;

/// Items of a list, with their index paths.
pub(crate) fn items<'a>(parent: &'a Value, field: &str, path: &str) -> Vec<(String, &'a Value)> {
    let list = parent
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    list.iter()
        .enumerate()
        .map(|(index, item)| (join(path, &format!("{field}[{index}]")), item))
        .collect()
}

/// `parent.field`, or `field` at the root.
pub(crate) fn join(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}

/// A text, empty if absent.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or("")
}

/// The error of a text outside a closed set; `required` texts must be there.
pub(crate) fn one_of(
    value: &Value,
    field: &str,
    path: &str,
    allowed: &[&str],
    errors: &mut Vec<FieldError>,
) {
    if let Some(given) = value.get(field).and_then(Value::as_str)
        && !allowed.contains(&given)
    {
        errors.push(FieldError::not_supported(join(path, field), given, allowed));
    }
}

/// Errors of a port number.
pub(crate) fn port_number(port: i64, path: String, errors: &mut Vec<FieldError>) {
    if !(1..=65535).contains(&port) {
        errors.push(FieldError::invalid(
            path,
            port,
            "must be between 1 and 65535, inclusive",
        ));
    }
}

/// Errors of a port given by number or name.
pub(crate) fn port_or_name(port: &Value, path: String, errors: &mut Vec<FieldError>) {
    match port {
        Value::Number(number) => port_number(number.as_i64().unwrap_or(0), path, errors),
        Value::String(name) => errors.extend(
            names::port_name(name)
                .into_iter()
                .map(|m| FieldError::invalid(path.clone(), name.as_str(), m)),
        ),
        _ => errors.push(FieldError::required(path, "")),
    }
}

/// Errors of a number that must not be negative.
pub(crate) fn non_negative(value: &Value, field: &str, path: &str, errors: &mut Vec<FieldError>) {
    if let Some(number) = value.get(field).and_then(Value::as_i64)
        && number < 0
    {
        errors.push(FieldError::invalid(
            join(path, field),
            number,
            "must be greater than or equal to 0",
        ));
    }
}

/// Errors of a Pod spec at `path` (`spec` or `spec.template.spec`).
pub(crate) fn validate(spec: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let volumes = validation_volumes::volumes(spec, path, &mut errors);
    let containers = items(spec, "containers", path);
    if containers.is_empty() {
        errors.push(FieldError::required(join(path, "containers"), ""));
    }
    let mut seen = BTreeSet::new();
    for (container_path, container) in &containers {
        self::container(container, container_path, &volumes, &mut errors);
        unique_name(container, container_path, &mut seen, &mut errors);
    }
    for (container_path, container) in &items(spec, "initContainers", path) {
        self::container(container, container_path, &volumes, &mut errors);
        unique_name(container, container_path, &mut seen, &mut errors);
        init_container(container, container_path, &mut errors);
    }
    for (container_path, container) in &items(spec, "ephemeralContainers", path) {
        self::container(container, container_path, &volumes, &mut errors);
        unique_name(container, container_path, &mut seen, &mut errors);
    }
    one_of(
        spec,
        "restartPolicy",
        path,
        &["Always", "OnFailure", "Never"],
        &mut errors,
    );
    one_of(
        spec,
        "dnsPolicy",
        path,
        &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
        &mut errors,
    );
    if text(spec, "dnsPolicy") == "None"
        && items(&spec["dnsConfig"], "nameservers", path).is_empty()
    {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        errors.push(FieldError::required(
            join(path, "dnsConfig.nameservers"),
            detail,
        ));
    }
    pod_texts(spec, path, &mut errors);
    tolerations(spec, path, &mut errors);
    non_negative(spec, "terminationGracePeriodSeconds", path, &mut errors);
    if let Some(seconds) = spec.get("activeDeadlineSeconds").and_then(Value::as_i64)
        && seconds < 1
    {
        errors.push(FieldError::invalid(
            join(path, "activeDeadlineSeconds"),
            seconds,
            "must be between 1 and 2147483647, inclusive",
        ));
    }
    errors
}

fn pod_texts(spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (field, check) in [
        (
            "serviceAccountName",
            names::dns1123_subdomain as fn(&str) -> Vec<String>,
        ),
        ("nodeName", names::dns1123_subdomain),
        ("hostname", names::dns1123_label),
        ("subdomain", names::dns1123_label),
    ] {
        let given = text(spec, field);
        if !given.is_empty() {
            errors.extend(
                check(given)
                    .into_iter()
                    .map(|m| FieldError::invalid(join(path, field), given, m)),
            );
        }
    }
    errors.extend(crate::meta::labels(
        &spec["nodeSelector"],
        &join(path, "nodeSelector"),
    ));
    for (index, (_, gate)) in items(spec, "readinessGates", path).into_iter().enumerate() {
        let name = text(gate, "conditionType");
        let gate_path = format!("{path}.readinessGates[{index}].conditionType");
        errors.extend(
            names::qualified_name(name)
                .into_iter()
                .map(|m| FieldError::invalid(gate_path.clone(), name, m)),
        );
    }
}

fn unique_name(
    container: &Value,
    path: &str,
    seen: &mut BTreeSet<String>,
    errors: &mut Vec<FieldError>,
) {
    let name = text(container, "name");
    if !name.is_empty() && !seen.insert(name.to_owned()) {
        errors.push(FieldError::duplicate(join(path, "name"), name));
    }
}

fn init_container(container: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if text(container, "restartPolicy") == "Always" {
        return;
    }
    for field in [
        "lifecycle",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
    ] {
        if container.get(field).is_some() {
            let detail = "may not be set for init containers without restartPolicy=Always";
            errors.push(FieldError::forbidden(join(path, field), detail));
        }
    }
}

fn container(
    container: &Value,
    path: &str,
    volumes: &validation_volumes::Volumes,
    errors: &mut Vec<FieldError>,
) {
    let name = text(container, "name");
    if name.is_empty() {
        errors.push(FieldError::required(join(path, "name"), ""));
    } else {
        errors.extend(
            names::dns1123_label(name)
                .into_iter()
                .map(|m| FieldError::invalid(join(path, "name"), name, m)),
        );
    }
    let image = text(container, "image");
    if image.is_empty() {
        errors.push(FieldError::required(join(path, "image"), ""));
    } else if image.trim() != image {
        errors.push(FieldError::invalid(
            join(path, "image"),
            image,
            "must not have leading or trailing whitespace",
        ));
    }
    one_of(
        container,
        "terminationMessagePolicy",
        path,
        &["File", "FallbackToLogsOnError"],
        errors,
    );
    ports(container, path, errors);
    env(container, path, errors);
    validation_volumes::mounts(container, path, volumes, errors);
    one_of(
        container,
        "imagePullPolicy",
        path,
        &["Always", "IfNotPresent", "Never"],
        errors,
    );
    if let Some(value) = container.get("resources") {
        resources(value, &join(path, "resources"), errors);
    }
    security_context(container, path, errors);
    for hook in ["postStart", "preStop"] {
        if let Some(value) = container.pointer(&format!("/lifecycle/{hook}")) {
            handler(value, &format!("{path}.lifecycle.{hook}"), errors);
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(value) = container.get(probe) {
            self::probe(value, &join(path, probe), probe != "readinessProbe", errors);
        }
    }
}

fn security_context(container: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(context) = container.get("securityContext") else {
        return;
    };
    let path = join(path, "securityContext");
    for field in ["runAsUser", "runAsGroup"] {
        if let Some(id) = context.get(field).and_then(Value::as_i64)
            && !(0..=i64::from(i32::MAX)).contains(&id)
        {
            errors.push(FieldError::invalid(
                join(&path, field),
                id,
                "must be between 0 and 2147483647, inclusive",
            ));
        }
    }
    if context["allowPrivilegeEscalation"].as_bool() == Some(false)
        && context["privileged"].as_bool() == Some(true)
    {
        let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        errors.push(FieldError::invalid(path, context.clone(), detail));
    }
}

fn ports(container: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (path, port) in items(container, "ports", path) {
        let name = text(port, "name");
        if !name.is_empty() {
            let messages = names::port_name(name);
            if messages.is_empty() && !seen.insert(name.to_owned()) {
                errors.push(FieldError::duplicate(join(&path, "name"), name));
            }
            errors.extend(
                messages
                    .into_iter()
                    .map(|m| FieldError::invalid(join(&path, "name"), name, m)),
            );
        }
        match port.get("containerPort").and_then(Value::as_i64) {
            None | Some(0) => errors.push(FieldError::required(join(&path, "containerPort"), "")),
            Some(number) => port_number(number, join(&path, "containerPort"), errors),
        }
        if let Some(number) = port.get("hostPort").and_then(Value::as_i64) {
            port_number(number, join(&path, "hostPort"), errors);
        }
        match text(port, "protocol") {
            "" => errors.push(FieldError::required(join(&path, "protocol"), "")),
            _ => one_of(port, "protocol", &path, &["TCP", "UDP", "SCTP"], errors),
        }
    }
}

fn env(container: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (path, variable) in items(container, "env", path) {
        let name = text(variable, "name");
        if name.is_empty() {
            errors.push(FieldError::required(join(&path, "name"), ""));
        } else if name
            .bytes()
            .any(|b| !(0x20..0x7f).contains(&b) || b == b'=')
        {
            let message = names::regex_error(
                "a valid environment variable name must consist only of printable ASCII characters other than '='",
                "^[ -<>-~]+$",
                &[],
            );
            errors.push(FieldError::invalid(join(&path, "name"), name, message));
        }
        let Some(source) = variable.get("valueFrom") else {
            continue;
        };
        let path = join(&path, "valueFrom");
        let sources = source.as_object().map_or(0, serde_json::Map::len);
        if sources == 0 {
            let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
            errors.push(FieldError::invalid(path.clone(), "", detail));
        } else if !text(variable, "value").is_empty() {
            errors.push(FieldError::invalid(
                path.clone(),
                "",
                "may not be specified when `value` is not empty",
            ));
        } else if sources > 1 {
            errors.push(FieldError::invalid(
                path.clone(),
                "",
                "may not have more than one field specified at a time",
            ));
        }
        for kind in ["configMapKeyRef", "secretKeyRef"] {
            if let Some(reference) = source.get(kind) {
                let path = join(&path, kind);
                if text(reference, "key").is_empty() {
                    errors.push(FieldError::required(join(&path, "key"), ""));
                }
            }
        }
        field_reference(source, &path, errors);
    }
    for (path, source) in items(container, "envFrom", path) {
        let sources = source
            .as_object()
            .map_or(0, |m| m.keys().filter(|k| *k != "prefix").count());
        if sources == 0 {
            errors.push(FieldError::invalid(
                path,
                "",
                "must specify one of: `configMapRef` or `secretRef`",
            ));
        } else if sources > 1 {
            errors.push(FieldError::invalid(
                path,
                "",
                "may not have more than one field specified at a time",
            ));
        }
    }
}

const ENV_FIELDS: [&str; 8] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.podIP",
    "status.podIPs",
];

fn field_reference(source: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(reference) = source.get("fieldRef") else {
        return;
    };
    let field = text(reference, "fieldPath");
    let path = join(path, "fieldRef.fieldPath");
    if field.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !ENV_FIELDS.contains(&field)
        && field != "status.hostIPs"
        && !field.starts_with("metadata.labels['")
        && !field.starts_with("metadata.annotations['")
    {
        let supported: Vec<&str> = ENV_FIELDS.into_iter().chain(["status.hostIPs"]).collect();
        let known = field.starts_with("metadata.")
            || field.starts_with("spec.")
            || field.starts_with("status.");
        if known {
            errors.push(FieldError::not_supported(path, field, &supported));
        } else {
            errors.push(FieldError::invalid(
                path,
                field,
                format!("error converting fieldPath: field label not supported: {field}"),
            ));
        }
    }
}

fn probe(probe: &Value, path: &str, success_is_one: bool, errors: &mut Vec<FieldError>) {
    handler(probe, path, errors);
    for field in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        non_negative(probe, field, path, errors);
    }
    if success_is_one
        && probe
            .get("successThreshold")
            .and_then(Value::as_i64)
            .is_some_and(|n| n != 1)
    {
        errors.push(FieldError::invalid(
            join(path, "successThreshold"),
            probe["successThreshold"].clone(),
            "must be 1",
        ));
    }
}

fn handler(handler: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let kinds = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];
    let given: Vec<&str> = kinds
        .into_iter()
        .filter(|k| handler.get(*k).is_some())
        .collect();
    if given.is_empty() {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
    for extra in given.iter().skip(1) {
        errors.push(FieldError::forbidden(
            join(path, extra),
            "may not specify more than 1 handler type",
        ));
    }
    if let Some(exec) = handler.get("exec")
        && exec
            .get("command")
            .and_then(Value::as_array)
            .is_none_or(Vec::is_empty)
    {
        errors.push(FieldError::required(join(path, "exec.command"), ""));
    }
    for kind in ["httpGet", "tcpSocket"] {
        if let Some(action) = handler.get(kind) {
            port_or_name(&action["port"], format!("{path}.{kind}.port"), errors);
        }
    }
    if let Some(http) = handler.get("httpGet") {
        one_of(
            http,
            "scheme",
            &join(path, "httpGet"),
            &["HTTP", "HTTPS"],
            errors,
        );
    }
    if let Some(grpc) = handler.get("grpc") {
        port_number(
            grpc["port"].as_i64().unwrap_or(0),
            format!("{path}.grpc.port"),
            errors,
        );
    }
}

/// Errors of resource requirements.
pub(crate) fn resources(resources: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for list in ["limits", "requests"] {
        for (name, value) in resources
            .get(list)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let list_path = join(path, list);
            let path = format!("{list_path}[{name}]");
            resource_name(name, &path, errors);
            let Some(given) = value.as_str().and_then(|v| Quantity::from_str(v).ok()) else {
                continue;
            };
            if given.is_negative() {
                errors.push(FieldError::invalid(
                    path.clone(),
                    value.clone(),
                    "must be greater than or equal to 0",
                ));
            }
            let limit = resources["limits"].get(name).and_then(Value::as_str);
            if list == "requests"
                && let Some(limit_quantity) = limit.and_then(|l| Quantity::from_str(l).ok())
                && given > limit_quantity
            {
                let detail =
                    format!("must be less than or equal to {name} limit of {limit_quantity}");
                errors.push(FieldError::invalid(list_path, value.clone(), detail));
            }
        }
    }
}

fn resource_name(name: &str, path: &str, errors: &mut Vec<FieldError>) {
    let standard = ["cpu", "memory", "ephemeral-storage"];
    errors.extend(
        names::qualified_name(name)
            .into_iter()
            .map(|m| FieldError::invalid(path, name, m)),
    );
    if !name.contains('/')
        && !standard.contains(&name)
        && !name.starts_with("hugepages-")
        && names::qualified_name(name).is_empty()
    {
        errors.push(FieldError::invalid(
            path,
            name,
            "must be a standard resource type or fully qualified",
        ));
        errors.push(FieldError::invalid(
            path,
            name,
            "must be a standard resource for containers",
        ));
    }
}

fn tolerations(spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (path, toleration) in items(spec, "tolerations", path) {
        let key = text(toleration, "key");
        let operator = text(toleration, "operator");
        if !key.is_empty() {
            errors.extend(
                names::qualified_name(key)
                    .into_iter()
                    .map(|m| FieldError::invalid(join(&path, "key"), key, m)),
            );
        } else if operator != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(FieldError::invalid(
                join(&path, "operator"),
                operator,
                detail,
            ));
        }
        if toleration.get("tolerationSeconds").is_some()
            && text(toleration, "effect") != "NoExecute"
        {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(FieldError::invalid(
                join(&path, "effect"),
                text(toleration, "effect"),
                detail,
            ));
        }
        match operator {
            "" | "Equal" => {
                let value = text(toleration, "value");
                errors.extend(
                    names::label_value(value)
                        .into_iter()
                        .map(|m| FieldError::invalid(join(&path, "operator"), value, m)),
                );
            }
            "Exists" if !text(toleration, "value").is_empty() => {
                let detail = "value must be empty when `operator` is 'Exists'";
                errors.push(FieldError::invalid(
                    join(&path, "operator"),
                    toleration.clone(),
                    detail,
                ));
            }
            "Exists" => {}
            other => errors.push(FieldError::not_supported(
                join(&path, "operator"),
                other,
                &["Equal", "Exists"],
            )),
        }
        let effect = text(toleration, "effect");
        if !["", "NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
            errors.push(FieldError::not_supported(
                join(&path, "effect"),
                effect,
                &["NoSchedule", "PreferNoSchedule", "NoExecute"],
            ));
        }
    }
}
