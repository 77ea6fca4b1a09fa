//! Namespaces and the small kinds: configuration, secrets, accounts, quotas, priorities.

use std::collections::BTreeSet;

use serde_json::Value;

use super::page::Page;
use super::resources::canonical;
use super::value::{at, list, pairs, text, texts};
use super::{ANNOTATIONS, EVENTS, LABELS, NAME, NAMESPACE, Row, Subject};

pub(super) const NAMESPACES: &[Row] =
    &[NAME, LABELS, ANNOTATIONS, Row::Text("Status", "status.phase"), Row::Part(namespace_conditions), Row::Part(namespace_quotas), Row::Part(namespace_limits)];

pub(super) const CONFIG_MAP: &[Row] = &[NAME, NAMESPACE, LABELS, ANNOTATIONS, Row::Part(config_data), EVENTS];

pub(super) const SECRET: &[Row] = &[NAME, NAMESPACE, LABELS, ANNOTATIONS, Row::Text("\nType", "type"), Row::Part(secret_data)];

pub(super) const SERVICE_ACCOUNT: &[Row] = &[NAME, NAMESPACE, LABELS, ANNOTATIONS, Row::Part(account_secrets), EVENTS];

pub(super) const RESOURCE_QUOTA: &[Row] = &[NAME, NAMESPACE, Row::Part(|subject, page| quota(subject.object, page, 0))];

pub(super) const LIMIT_RANGE: &[Row] = &[
    NAME,
    NAMESPACE,
    Row::Part(|subject, page| {
        limit_head("", page);
        limits(subject.object, "", page);
    }),
];

pub(super) const PRIORITY_CLASS: &[Row] = &[
    NAME,
    Row::Or("Value", "value", "0"),
    Row::Or("GlobalDefault", "globalDefault", "false"),
    Row::Text("PreemptionPolicy", "preemptionPolicy"),
    Row::Text("Description", "description"),
    Row::Flat("Annotations", "metadata.annotations"),
    EVENTS,
];

const SCOPES: [(&str, &str); 4] = [
    ("Terminating", "Matches all pods that have an active deadline. These pods have a limited lifespan on a node before being actively terminated by the system."),
    (
        "NotTerminating",
        "Matches all pods that do not have an active deadline. These pods usually include long running pods whose container command is not expected to terminate.",
    ),
    ("BestEffort", "Matches all pods that do not have resource requirements set. These pods have a best effort quality of service."),
    ("NotBestEffort", "Matches all pods that have at least one resource requirement set. These pods have a burstable or guaranteed quality of service."),
];

fn namespace_conditions(subject: &Subject<'_>, page: &mut Page) {
    let conditions = list(subject.object, "status.conditions");
    if conditions.is_empty() {
        return;
    }
    page.line(0, "Conditions:");
    page.row(1, &["Type", "Status", "LastTransitionTime", "Reason", "Message"]);
    page.row(1, &["----", "------", "------------------", "------", "-------"]);
    for condition in conditions {
        let cells = ["type", "status", "reason", "message"].map(|path| text(condition, path));
        page.row(1, &[&cells[0], &cells[1], &page.date(condition, "lastTransitionTime"), &cells[2], &cells[3]]);
    }
}

fn namespace_quotas(subject: &Subject<'_>, page: &mut Page) {
    // A server without quotas says nothing about them.
    let Ok(quotas) = subject.related.outcome("resourcequotas") else { return };
    page.push("\n");
    if quotas.is_empty() {
        return page.line(0, "No resource quota.");
    }
    let mut quotas: Vec<&Value> = quotas.iter().collect();
    quotas.sort_by_key(|quota| text(quota, "metadata.name"));
    page.line(0, "Resource Quotas");
    for own in quotas {
        page.field(1, "Name", text(own, "metadata.name"));
        quota(own, page, 1);
    }
}

fn namespace_limits(subject: &Subject<'_>, page: &mut Page) {
    let Ok(ranges) = subject.related.outcome("limitranges") else { return };
    page.push("\n");
    if ranges.is_empty() {
        return page.line(0, "No LimitRange resource.");
    }
    page.line(0, "Resource Limits");
    limit_head(" ", page);
    ranges.iter().for_each(|range| limits(range, " ", page));
}

/// Scopes and quantities of a quota: at level 0 by itself, at level 1 in its namespace.
fn quota(quota: &Value, page: &mut Page, level: usize) {
    let mut scopes = texts(quota, "spec.scopes");
    scopes.sort();
    if !scopes.is_empty() {
        page.field(level, "Scopes", scopes.join(", "));
    }
    let bullet = if level == 0 { " *" } else { "*" };
    for (_, help) in scopes.iter().filter_map(|scope| SCOPES.iter().find(|(own, _)| own == scope)) {
        page.line(level, format_args!("{bullet} {help}"));
    }
    page.row(level, &["Resource", "Used", "Hard"]);
    page.row(level, if level == 0 { &["--------", "----", "----"] } else { &["--------", "---", "---"] });
    let used = at(quota, "status.used");
    for (name, hard) in pairs(at(quota, "status.hard")) {
        let used = used[&name].as_str().map_or_else(|| "0".to_owned(), canonical);
        page.row(level, &[&name, &used, &canonical(&hard)]);
    }
}

fn limit_head(prefix: &str, page: &mut Page) {
    let titles = ["Resource", "Min", "Max", "Default Request", "Default Limit", "Max Limit/Request Ratio"];
    page.line(0, format_args!("{prefix}Type\t{}", titles.join("\t")));
    page.line(0, format_args!("{prefix}----\t{}", titles.map(|title| "-".repeat(title.len())).join("\t")));
}

fn limits(range: &Value, prefix: &str, page: &mut Page) {
    const COLUMNS: [&str; 5] = ["min", "max", "defaultRequest", "default", "maxLimitRequestRatio"];
    for limit in list(range, "spec.limits") {
        let names: BTreeSet<String> = COLUMNS.iter().flat_map(|column| pairs(&limit[*column])).map(|(name, _)| name).collect();
        for name in names {
            let values = COLUMNS.map(|column| limit[column][&name].as_str().map_or_else(|| "-".to_owned(), canonical));
            page.line(0, format_args!("{prefix}{}\t{name}\t{}", text(limit, "type"), values.join("\t")));
        }
    }
}

/// Values as they are: tabs in them are columns, as in stock kubectl.
fn config_data(subject: &Subject<'_>, page: &mut Page) {
    page.push("\nData\n====\n");
    for (key, value) in pairs(&subject.object["data"]) {
        page.push(&format!("{key}:\n----\n{value}\n\n"));
    }
    page.push("\nBinaryData\n====\n");
    for (key, value) in pairs(&subject.object["binaryData"]) {
        page.line(0, format_args!("{key}: {} bytes", decoded(&value).len()));
    }
    page.push("\n");
}

fn secret_data(subject: &Subject<'_>, page: &mut Page) {
    page.push("\nData\n====\n");
    let token_of_account = subject.object["type"] == "kubernetes.io/service-account-token";
    for (key, value) in pairs(&subject.object["data"]) {
        let value = decoded(&value);
        if key == "token" && token_of_account {
            page.field(0, &key, String::from_utf8_lossy(&value));
        } else {
            page.field(0, &key, format_args!("{} bytes", value.len()));
        }
    }
}

fn decoded(value: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(value).unwrap_or_default()
}

fn account_secrets(subject: &Subject<'_>, page: &mut Page) {
    let account = subject.object;
    let secrets = subject.related.outcome("secrets");
    let missing = |name: &String| secrets.is_ok_and(|secrets| !secrets.iter().any(|secret| text(secret, "metadata.name") == *name));
    let names = |path: &str| -> Vec<String> { list(account, path).iter().map(|reference| text(reference, "name")).collect() };
    let mine = |secret: &&Value| {
        let annotations = at(secret, "metadata.annotations");
        secret["type"] == "kubernetes.io/service-account-token"
            && annotations["kubernetes.io/service-account.name"] == account["metadata"]["name"]
            && annotations["kubernetes.io/service-account.uid"] == account["metadata"]["uid"]
    };
    let tokens = secrets.unwrap_or_default().iter().filter(mine).map(|secret| text(secret, "metadata.name")).collect();
    for (title, names) in [("Image pull secrets:", names("imagePullSecrets")), ("Mountable secrets: ", names("secrets")), ("Tokens:            ", tokens)] {
        let shown = names.iter().map(|name| if missing(name) { format!("{name} (not found)") } else { name.clone() });
        page.multiline(&format!("{title}\t"), "                   \t", shown.collect::<Vec<_>>());
    }
}
