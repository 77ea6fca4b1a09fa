//! `metadata.managedFields`: who owns which field.
// upstream: apimachinery/pkg/util/managedfields/internal, sigs.k8s.io/structured-merge-diff/merge/update.go

use drydock_primitives::time;
use serde_json::{Value, json};

use crate::{
    field_set::{self, FieldSet},
    meta,
    registry::{Resource, Subresource},
    schema::Type,
    write::Context,
};

/// How a manager came to own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    /// By server-side apply.
    Apply,
    /// By any other write.
    Update,
}

/// One entry of `metadata.managedFields`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) manager: String,
    pub(crate) operation: Operation,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
    pub(crate) time: String,
    pub(crate) fields: FieldSet,
}

/// More update managers than this are folded into one.
const MAX_UPDATE_MANAGERS: usize = 10;
const ANCIENT: &str = "ancient-changes";

impl Entry {
    /// The entry of the writer, owning nothing yet.
    pub(crate) fn of_writer(row: &Resource, context: &Context, operation: Operation) -> Entry {
        Entry {
            manager: context.manager.clone(),
            operation,
            api_version: row.api_version(),
            subresource: context.subresource.map_or("", Subresource::name).to_owned(),
            time: time::seconds(context.now),
            fields: FieldSet::default(),
        }
    }

    /// Whether two entries are one manager's.
    pub(crate) fn is_same_manager(&self, other: &Entry) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.api_version == other.api_version
            && self.subresource == other.subresource
    }

    fn parse(entry: &Value) -> Option<Entry> {
        let text = |field: &str| entry[field].as_str().unwrap_or("").to_owned();
        let operation = match entry["operation"].as_str()? {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        Some(Entry {
            manager: text("manager"),
            operation,
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: text("time"),
            fields: FieldSet::parse(&entry["fieldsV1"]),
        })
    }

    fn to_value(&self) -> Value {
        let operation = match self.operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        };
        let mut entry = json!({
            "manager": self.manager, "operation": operation, "apiVersion": self.api_version, "time": self.time,
            "fieldsType": "FieldsV1", "fieldsV1": self.fields.to_value(),
        });
        if !self.subresource.is_empty() {
            entry["subresource"] = Value::from(self.subresource.as_str());
        }
        entry
    }
}

/// The entries of an object.
pub(crate) fn entries(object: &Value) -> Vec<Entry> {
    object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Entry::parse)
        .collect()
}

/// Writes entries into an object: empty ones go, the rest is sorted as upstream sorts.
pub(crate) fn set_entries(object: &mut Value, entries: Vec<Entry>) {
    let mut entries: Vec<Entry> = entries
        .into_iter()
        .filter(|e| !e.fields.is_empty())
        .collect();
    fold_ancient(&mut entries);
    entries.sort_by(|a, b| {
        let key = |e: &Entry| {
            (
                e.operation,
                e.time.clone(),
                e.manager.clone(),
                e.api_version.clone(),
                e.subresource.clone(),
            )
        };
        key(a).cmp(&key(b))
    });
    let metadata = meta::metadata_mut(object);
    if entries.is_empty() {
        metadata.remove("managedFields");
    } else {
        let values: Vec<Value> = entries.iter().map(Entry::to_value).collect();
        metadata.insert("managedFields".to_owned(), Value::from(values));
    }
}

// upstream: managedfields/internal/capmanagers.go
fn fold_ancient(entries: &mut Vec<Entry>) {
    let updaters = |entries: &[Entry]| {
        entries
            .iter()
            .filter(|e| e.operation == Operation::Update)
            .count()
    };
    while updaters(entries) > MAX_UPDATE_MANAGERS {
        let mut folded: Option<Entry> = None;
        for _ in 0..2 {
            let oldest = entries
                .iter()
                .enumerate()
                .filter(|(_, e)| e.operation == Operation::Update)
                .min_by(|(_, a), (_, b)| a.time.cmp(&b.time))
                .map(|(index, _)| index);
            let Some(oldest) = oldest else { return };
            let oldest = entries.remove(oldest);
            folded = Some(match folded {
                None => oldest,
                Some(older) => Entry {
                    manager: ANCIENT.to_owned(),
                    subresource: String::new(),
                    fields: older.fields.union(&oldest.fields),
                    ..oldest
                },
            });
        }
        entries.extend(folded);
    }
}

/// The type of a row's objects.
pub(crate) fn root_type(row: &Resource) -> Type {
    row.schema
        .as_ref()
        .map_or(Type::Any, |schema| Type::Struct(schema.root.clone()))
}

const UNOWNED_METADATA: [&str; 9] = [
    "f:name",
    "f:namespace",
    "f:creationTimestamp",
    "f:selfLink",
    "f:uid",
    "f:clusterName",
    "f:generation",
    "f:managedFields",
    "f:resourceVersion",
];

/// Takes out what nobody can own, and what a write to this (sub)resource does not touch.
// upstream: managedfields/internal/stripmeta.go, GetResetFields of the strategies
pub(crate) fn strip(row: &Resource, subresource: Option<Subresource>, set: &mut FieldSet) {
    set.children.remove("f:apiVersion");
    set.children.remove("f:kind");
    if let Some(metadata) = set.children.get_mut("f:metadata") {
        metadata.member = false;
        metadata
            .children
            .retain(|key, _| !UNOWNED_METADATA.contains(&key.as_str()));
        if metadata.is_empty() {
            set.children.remove("f:metadata");
        }
    }
    match subresource {
        Some(Subresource::Status) => drop(set.children.remove("f:spec")),
        _ if row.has(Subresource::Status) => drop(set.children.remove("f:status")),
        _ => {}
    }
}

/// Records a create.
pub fn create(row: &Resource, context: &Context, new: &mut Value) {
    record(row, context, None, new);
}

/// Records an update of `old` to `new` by PUT or a non-apply patch.
pub fn update(row: &Resource, context: &Context, old: &Value, new: &mut Value) {
    record(row, context, Some(old), new);
}

/// A writer may clear the ownership of all by sending one empty entry.
fn is_reset(object: &Value) -> bool {
    object["metadata"]["managedFields"] == json!([{}])
}

fn record(row: &Resource, context: &Context, old: Option<&Value>, new: &mut Value) {
    if !row.is_stored() {
        return;
    }
    if is_reset(new) {
        meta::metadata_mut(new).remove("managedFields");
        return;
    }
    let mut managers = entries(new);
    if managers.is_empty() {
        managers = old.map(entries).unwrap_or_default();
    }
    let mut changes = field_set::compare(old, new, &root_type(row));
    strip(row, context.subresource, &mut changes.touched);
    strip(row, context.subresource, &mut changes.removed);
    if !(changes.touched.is_empty() && changes.removed.is_empty()) {
        let mut own = Entry::of_writer(row, context, Operation::Update);
        if let Some(index) = managers.iter().position(|e| e.is_same_manager(&own)) {
            own.fields = managers.remove(index).fields;
        }
        own.fields = own
            .fields
            .difference(&changes.removed)
            .union(&changes.touched);
        for other in &mut managers {
            other.fields = other
                .fields
                .difference(&changes.removed)
                .difference(&changes.touched);
        }
        managers.push(own);
    }
    set_entries(new, managers);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{registry::Registry, write};

    pub(crate) fn context(manager: &str, second: u8, subresource: Option<Subresource>) -> Context {
        Context {
            now: format!("2026-01-01T00:00:{second:02}Z").parse().unwrap(),
            uid: "u".to_owned(),
            suffix: "abcde".to_owned(),
            namespace: Some("default".to_owned()),
            name: Some("web".to_owned()),
            manager: manager.to_owned(),
            subresource,
        }
    }

    fn deployment() -> (std::sync::Arc<Resource>, Value) {
        let registry = Registry::builtin();
        let row = std::sync::Arc::clone(registry.get("apps", "v1", "deployments").unwrap());
        let body = br#"{"metadata":{"name":"web","labels":{"app":"web"}},"spec":{"replicas":1,"selector":{"matchLabels":{"app":"web"}},
            "template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"web","image":"nginx","ports":[{"containerPort":80}]}]}}}}"#;
        let mut new = write::decode(
            &row,
            body,
            write::Format::Json,
            write::FieldValidation::Strict,
        )
        .unwrap()
        .object;
        write::prepare_create(&row, &context("kubectl", 1, None), &mut new).unwrap();
        create(&row, &context("kubectl", 1, None), &mut new);
        (row, new)
    }

    #[test]
    fn a_create_owns_what_it_wrote_as_upstream_writes_it() {
        let (_, new) = deployment();
        let entry = &new["metadata"]["managedFields"][0];
        assert_eq!(entry["manager"], "kubectl");
        assert_eq!(entry["operation"], "Update");
        let fields = &entry["fieldsV1"];
        assert_eq!(
            fields["f:metadata"],
            json!({"f:labels": {".": {}, "f:app": {}}})
        );
        assert_eq!(
            fields["f:spec"]["f:strategy"],
            json!({"f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}, "f:type": {}})
        );
        assert_eq!(fields["f:spec"]["f:selector"], json!({}));
        let containers = &fields["f:spec"]["f:template"]["f:spec"]["f:containers"];
        assert!(containers.get(".").is_none());
        let container = &containers["k:{\"name\":\"web\"}"];
        assert_eq!(container["."], json!({}));
        assert_eq!(container["f:ports"]["."], json!({}));
        assert_eq!(
            container["f:ports"]["k:{\"containerPort\":80,\"protocol\":\"TCP\"}"],
            json!({".": {}, "f:containerPort": {}, "f:protocol": {}})
        );
        assert!(fields.get("f:status").is_none());
    }

    #[test]
    fn an_update_takes_what_it_changes_and_a_status_write_is_its_own_manager() {
        let (row, old) = deployment();
        let mut new = old.clone();
        new["spec"]["replicas"] = json!(3);
        update(&row, &context("scaler", 2, None), &old, &mut new);
        let managers = entries(&new);
        assert_eq!(managers.len(), 2);
        assert_eq!(managers[1].fields.paths(), [".spec.replicas"]);
        assert!(
            !managers[0]
                .fields
                .paths()
                .contains(&".spec.replicas".to_owned())
        );
        let mut status = new.clone();
        status["status"]["readyReplicas"] = json!(1);
        update(
            &row,
            &context("controller", 3, Some(Subresource::Status)),
            &new,
            &mut status,
        );
        let managers = entries(&status);
        assert_eq!(managers[2].subresource, "status");
        assert_eq!(managers[2].fields.paths(), [".status.readyReplicas"]);
        let mut same = status.clone();
        update(&row, &context("kubectl", 9, None), &status, &mut same);
        assert_eq!(same, status);
        let mut reset = status.clone();
        reset["metadata"]["managedFields"] = json!([{}]);
        update(&row, &context("kubectl", 9, None), &status, &mut reset);
        assert!(reset["metadata"].get("managedFields").is_none());
    }

    #[test]
    fn many_updaters_are_folded() {
        let (row, mut object) = deployment();
        for n in 2..20u8 {
            let mut new = object.clone();
            new["metadata"]["labels"][format!("l{n}")] = json!("x");
            update(&row, &context(&format!("m{n}"), n, None), &object, &mut new);
            object = new;
        }
        let managers = entries(&object);
        assert_eq!(managers.len(), MAX_UPDATE_MANAGERS);
        assert_eq!(managers[0].manager, ANCIENT);
    }
}
