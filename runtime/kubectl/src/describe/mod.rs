//! Descriptions of objects: pure text from an object and what belongs to it.
//!
//! A kind is a list of [`Row`]s in [`KINDS`]; most rows are data, the rest are small functions that write a section. What must be fetched
//! beside the object is [`related::wanted`]; the command fetches it. Kinds without a list are shown field by field ([`generic`]).
// upstream: kubectl/pkg/describe/describe.go

mod containers;
mod core;
mod events;
mod generic;
mod network;
mod node;
mod page;
mod pods;
mod rbac;
pub mod related;
mod resources;
mod storage;
mod template;
mod value;
mod volumes;
mod workloads;

pub(crate) use self::events::age as event_age;
use jiff::{Timestamp, Zoned};
use serde_json::Value;

use self::page::Page;
use self::related::Related;
use self::value::{at, flat, plain, text, text_or, texts};

/// What a description is made from.
struct Subject<'a> {
    object: &'a Value,
    related: &'a Related,
    now: Timestamp,
}

/// One line or section of a kind's description. Labels come first, then dotted paths.
#[derive(Clone, Copy)]
enum Row {
    /// A field, empty when absent.
    Text(&'static str, &'static str),
    /// A field that is left out when absent or empty.
    Present(&'static str, &'static str),
    /// A field with a word for its absence.
    Or(&'static str, &'static str, &'static str),
    /// `True`, `False` or `<unset>`.
    Flag(&'static str, &'static str),
    /// A time.
    Date(&'static str, &'static str),
    /// A time that is left out when absent.
    DatePresent(&'static str, &'static str),
    /// A map, one entry a line.
    Labels(&'static str, &'static str),
    /// Annotations.
    Annotations(&'static str, &'static str),
    /// A map on one line.
    Flat(&'static str, &'static str),
    /// A list in brackets.
    Bracketed(&'static str, &'static str),
    /// A list with commas, left out when empty.
    Joined(&'static str, &'static str),
    /// A list with commas, or `<none>`.
    JoinedOrNone(&'static str, &'static str),
    /// Anything else.
    Part(fn(&Subject<'_>, &mut Page)),
}

const NAME: Row = Row::Text("Name", "metadata.name");
const NAMESPACE: Row = Row::Text("Namespace", "metadata.namespace");
const LABELS: Row = Row::Labels("Labels", "metadata.labels");
const ANNOTATIONS: Row = Row::Annotations("Annotations", "metadata.annotations");
const CREATED: Row = Row::Date("CreationTimestamp", "metadata.creationTimestamp");
const CONTROLLER: Row = Row::Part(|subject, page| {
    if let Some(controller) = page::controller(subject.object) {
        page.field(0, "Controlled By", controller);
    }
});
const EVENTS: Row = Row::Part(events::section);

/// The kinds that have a description of their own: group, kind, rows.
const KINDS: &[(&str, &str, &[Row])] = &[
    ("", "Pod", pods::POD),
    ("", "Node", node::NODE),
    ("", "Namespace", core::NAMESPACES),
    ("", "ConfigMap", core::CONFIG_MAP),
    ("", "Secret", core::SECRET),
    ("", "ServiceAccount", core::SERVICE_ACCOUNT),
    ("", "ResourceQuota", core::RESOURCE_QUOTA),
    ("", "LimitRange", core::LIMIT_RANGE),
    ("", "Service", network::SERVICE),
    ("", "Endpoints", network::ENDPOINTS),
    ("discovery.k8s.io", "EndpointSlice", network::ENDPOINT_SLICE),
    ("", "ReplicationController", workloads::REPLICATION_CONTROLLER),
    ("apps", "ReplicaSet", workloads::REPLICA_SET),
    ("apps", "Deployment", workloads::DEPLOYMENT),
    ("apps", "DaemonSet", workloads::DAEMON_SET),
    ("apps", "StatefulSet", workloads::STATEFUL_SET),
    ("batch", "Job", workloads::JOB),
    ("batch", "CronJob", workloads::CRON_JOB),
    ("", "PersistentVolume", storage::VOLUME),
    ("", "PersistentVolumeClaim", storage::CLAIM),
    ("storage.k8s.io", "StorageClass", storage::CLASS),
    ("scheduling.k8s.io", "PriorityClass", core::PRIORITY_CLASS),
    ("rbac.authorization.k8s.io", "Role", rbac::ROLE),
    ("rbac.authorization.k8s.io", "ClusterRole", rbac::ROLE),
    ("rbac.authorization.k8s.io", "RoleBinding", rbac::BINDING),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", rbac::BINDING),
];

/// The group and kind of an object.
pub(crate) fn group_and_kind(object: &Value) -> (String, String) {
    let version = text(object, "apiVersion");
    let group = version.split_once('/').map_or("", |(group, _)| group);
    (group.to_owned(), text(object, "kind"))
}

/// A Pod template alone, as the history of rollouts shows it.
pub fn pod_template(template: &Value) -> String {
    let mut page = Page::new(jiff::tz::TimeZone::system());
    template::section(template, &mut page);
    page.unaligned()
}

/// The text `kubectl describe` prints for an object.
/// Ages are as of `now`, times in its zone.
pub fn describe(object: &Value, related: &Related, now: &Zoned) -> String {
    let (group, kind) = group_and_kind(object);
    let subject = Subject { object, related, now: now.timestamp() };
    let mut page = Page::new(now.time_zone().clone());
    match KINDS.iter().find(|(own_group, own_kind, _)| *own_group == group && *own_kind == kind) {
        Some((.., rows)) => rows.iter().for_each(|row| row.write(&subject, &mut page)),
        None => generic::write(&subject, &mut page),
    }
    page.finish()
}

impl Row {
    fn write(self, subject: &Subject<'_>, page: &mut Page) {
        let object = subject.object;
        match self {
            Row::Text(label, path) => page.field(0, label, text(object, path)),
            Row::Present(label, path) => {
                let text = text(object, path);
                if !text.is_empty() {
                    page.field(0, label, text);
                }
            }
            Row::Or(label, path, absent) => page.field(0, label, text_or(object, path, absent)),
            Row::Flag(label, path) => page.field(0, label, flag(at(object, path))),
            Row::Date(label, path) => page.field(0, label, page.date(object, path)),
            Row::DatePresent(label, path) => {
                if !at(object, path).is_null() {
                    page.field(0, label, page.date(object, path));
                }
            }
            Row::Labels(title, path) => page.labels(title, at(object, path)),
            Row::Annotations(title, path) => page.annotations(title, at(object, path)),
            Row::Flat(label, path) => page.field(0, label, flat(at(object, path))),
            Row::Bracketed(label, path) => page.field(0, label, bracketed(at(object, path))),
            Row::Joined(label, path) => {
                let items = texts(object, path);
                if !items.is_empty() {
                    page.field(0, label, items.join(","));
                }
            }
            Row::JoinedOrNone(label, path) => {
                let items = texts(object, path);
                page.field(0, label, if items.is_empty() { "<none>".to_owned() } else { items.join(",") });
            }
            Row::Part(part) => part(subject, page),
        }
    }
}

fn flag(value: &Value) -> &'static str {
    match value.as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    }
}

fn bracketed(value: &Value) -> String {
    if value.is_null() { "[]".to_owned() } else { plain(value) }
}

#[cfg(test)]
mod tests;
