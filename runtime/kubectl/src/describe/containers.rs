//! Containers: of Pods with their states, of templates without.

use serde_json::Value;

use super::page::Page;
use super::resources;
use super::value::{at, list, plain, text, text_or, texts};

/// Where containers are described.
pub(super) struct Place<'a> {
    /// Before titles: nothing in a Pod, two spaces in a template.
    pub(super) space: &'a str,
    /// The states of the containers.
    pub(super) statuses: &'a [Value],
    /// The Pod, from which variables take their values.
    pub(super) pod: Option<&'a Value>,
}

/// A titled list of containers.
pub(super) fn section(title: &str, containers: &[Value], place: &Place<'_>, page: &mut Page) {
    let none = if containers.is_empty() { " <none>" } else { "" };
    page.line(0, format_args!("{}{title}:{none}", place.space));
    for container in containers {
        let status = place.statuses.iter().find(|status| status["name"] == container["name"]);
        head(container, status, place, page);
        command("Command", &texts(container, "command"), page);
        command("Args", &texts(container, "args"), page);
        if let Some(status) = status {
            states(status, page);
        }
        resources::section(at(container, "resources"), page, 2);
        for (label, path) in [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")] {
            if !container[path].is_null() {
                page.field(2, label, probe(&container[path]));
            }
        }
        variables_from(list(container, "envFrom"), page);
        variables(container, place.pod, page);
        mounts(container, page);
    }
}

fn head(container: &Value, status: Option<&Value>, place: &Place<'_>, page: &mut Page) {
    let indent = if place.space.is_empty() { "" } else { " " };
    page.line(1, format_args!("{indent}{}:", text(container, "name")));
    if let Some(status) = status {
        page.field(2, "Container ID", text(status, "containerID"));
    }
    page.field(2, "Image", text(container, "image"));
    if let Some(status) = status {
        page.field(2, "Image ID", text(status, "imageID"));
    }
    for (one, many, path) in [("Port", "Ports", "containerPort"), ("Host Port", "Host Ports", "hostPort")] {
        let ports: Vec<String> = list(container, "ports").iter().map(|port| format!("{}/{}", text_or(port, path, "0"), text(port, "protocol"))).collect();
        match ports.len() {
            0 => page.field(2, one, "<none>"),
            1 => page.field(2, one, &ports[0]),
            _ => page.field(2, many, ports.join(", ")),
        }
    }
    seccomp(at(container, "securityContext"), page, 2, 3);
}

/// The seccomp profile of a security context, when there is one.
pub(super) fn seccomp(context: &Value, page: &mut Page, level: usize, inner: usize) {
    let profile = &context["seccompProfile"];
    if profile.is_null() {
        return;
    }
    page.field(level, "SeccompProfile", text(profile, "type"));
    if profile["type"] == "Localhost" {
        page.field(inner, "LocalhostProfile", text(profile, "localhostProfile"));
    }
}

fn command(title: &str, words: &[String], page: &mut Page) {
    if words.is_empty() {
        return;
    }
    page.line(2, format_args!("{title}:"));
    for word in words {
        for line in word.split('\n') {
            page.line(3, line);
        }
    }
}

fn states(status: &Value, page: &mut Page) {
    state("State", &status["state"], page);
    if !at(status, "lastState.terminated").is_null() {
        state("Last State", &status["lastState"], page);
    }
    page.field(2, "Ready", if status["ready"] == true { "True" } else { "False" });
    page.field(2, "Restart Count", text_or(status, "restartCount", "0"));
}

fn state(title: &str, state: &Value, page: &mut Page) {
    if !state["running"].is_null() {
        page.field(2, title, "Running");
        return page.field(3, "Started", page.date(state, "running.startedAt"));
    }
    let ended = &state["terminated"];
    if !state["waiting"].is_null() || ended.is_null() {
        page.field(2, title, "Waiting");
        let reason = text(state, "waiting.reason");
        if !reason.is_empty() {
            page.field(3, "Reason", reason);
        }
        return;
    }
    page.field(2, title, "Terminated");
    for (label, path) in [("Reason", "reason"), ("Message", "message")] {
        let text = text(ended, path);
        if !text.is_empty() {
            page.field(3, label, text);
        }
    }
    page.field(3, "Exit Code", text_or(ended, "exitCode", "0"));
    if ended["signal"].as_i64().is_some_and(|signal| signal > 0) {
        page.field(3, "Signal", text(ended, "signal"));
    }
    page.field(3, "Started", page.date(ended, "startedAt"));
    page.field(3, "Finished", page.date(ended, "finishedAt"));
}

/// A probe on one line.
fn probe(probe: &Value) -> String {
    let number = |path: &str| text_or(probe, path, "0");
    let numbers = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        number("initialDelaySeconds"),
        number("timeoutSeconds"),
        number("periodSeconds"),
        number("successThreshold"),
        number("failureThreshold")
    );
    if !probe["exec"].is_null() {
        return format!("exec {} {numbers}", bracketed(at(probe, "exec.command")));
    }
    let http = &probe["httpGet"];
    if !http.is_null() {
        let (host, port) = (text(http, "host"), text(http, "port"));
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let path = text(http, "path");
        let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
        return format!("http-get {}://{host}:{port}{slash}{} {numbers}", text(http, "scheme").to_lowercase(), url_path(&path));
    }
    let tcp = &probe["tcpSocket"];
    if !tcp.is_null() {
        return format!("tcp-socket {}:{} {numbers}", text(tcp, "host"), text(tcp, "port"));
    }
    if !probe["grpc"].is_null() {
        return format!("grpc <pod>:{} {} {numbers}", text(probe, "grpc.port"), text(probe, "grpc.service"));
    }
    format!("unknown {numbers}")
}

fn bracketed(value: &Value) -> String {
    if value.is_null() { "[]".to_owned() } else { plain(value) }
}

/// A path as a URL carries it: a question mark in it is no query.
fn url_path(path: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!*'()".contains(&byte);
    path.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn variables_from(sources: &[Value], page: &mut Page) {
    if sources.is_empty() {
        return;
    }
    page.line(2, "Environment Variables from:");
    for source in sources {
        let (kind, reference) = if source["configMapRef"].is_null() { ("Secret", &source["secretRef"]) } else { ("ConfigMap", &source["configMapRef"]) };
        let kind = if reference.is_null() { "" } else { kind };
        let prefix = text(source, "prefix");
        let prefix = if prefix.is_empty() { prefix } else { format!(" with prefix '{prefix}'") };
        page.row(3, &[&text(reference, "name"), &format!("{kind}{prefix}"), &format!("Optional: {}", reference["optional"] == true)]);
    }
}

fn variables(container: &Value, pod: Option<&Value>, page: &mut Page) {
    let variables = list(container, "env");
    page.line(2, if variables.is_empty() { "Environment:\t<none>" } else { "Environment:" });
    for variable in variables {
        let name = text(variable, "name");
        let source = &variable["valueFrom"];
        if source.is_null() {
            let value = text(variable, "value");
            let mut lines = value.split('\n');
            page.field(3, &name, lines.next().unwrap_or_default());
            lines.for_each(|line| page.line(3, format_args!("\t{line}")));
        } else if !source["fieldRef"].is_null() {
            let path = text(source, "fieldRef.fieldPath");
            let value = pod.map(|pod| field_value(pod, &path)).unwrap_or_default();
            page.field(3, &name, format_args!("{value} ({}:{path})", text(source, "fieldRef.apiVersion")));
        } else if !source["resourceFieldRef"].is_null() {
            let resource = text(source, "resourceFieldRef.resource");
            let value = resources::container_value(container, &source["resourceFieldRef"]);
            let value = if value == "0" && matches!(resource.as_str(), "limits.cpu" | "limits.memory") { "node allocatable".to_owned() } else { value };
            page.field(3, &name, format_args!("{value} ({resource})"));
        } else {
            for (key, words) in [("secretKeyRef", "in secret"), ("configMapKeyRef", "of config map")] {
                let reference = &source[key];
                if !reference.is_null() {
                    let (key, owner) = (text(reference, "key"), text(reference, "name"));
                    page.field(3, &name, format_args!("<set to the key '{key}' {words} '{owner}'>\tOptional: {}", reference["optional"] == true));
                }
            }
        }
    }
}

/// The value a variable takes from a field of its Pod. Stock kubectl knows these two; the others it shows without a value.
fn field_value(pod: &Value, path: &str) -> String {
    if matches!(path, "metadata.name" | "metadata.namespace") { text(pod, path) } else { String::new() }
}

fn mounts(container: &Value, page: &mut Page) {
    let mut mounts: Vec<&Value> = list(container, "volumeMounts").iter().collect();
    mounts.sort_by_key(|mount| text(mount, "mountPath"));
    page.line(2, if mounts.is_empty() { "Mounts:\t<none>" } else { "Mounts:" });
    for mount in &mounts {
        let sub_path = text(mount, "subPath");
        let sub_path = if sub_path.is_empty() { sub_path } else { format!(",path={sub_path:?}") };
        let mode = if mount["readOnly"] == true { "ro" } else { "rw" };
        page.line(3, format_args!("{} from {} ({mode}{sub_path})", text(mount, "mountPath"), text(mount, "name")));
    }
    let mut devices: Vec<&Value> = list(container, "volumeDevices").iter().collect();
    devices.sort_by_key(|device| text(device, "devicePath"));
    if !devices.is_empty() {
        page.line(2, if mounts.is_empty() { "Devices:\t<none>" } else { "Devices:" });
        devices.iter().for_each(|device| page.line(3, format_args!("{} from {}", text(device, "devicePath"), text(device, "name"))));
    }
}
