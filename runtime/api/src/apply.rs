//! Server-Side Apply.
// upstream: sigs.k8s.io/structured-merge-diff/merge/update.go Apply, managedfields/internal/{structuredmerge,conflict}.go

use serde_json::{Map, Value, json};

use crate::{
    field_set::{self, FieldSet, Shape, item_element, shape},
    managed::{self, Entry, Operation},
    merge_order,
    registry::Resource,
    schema::Type,
    status::Status,
    write::Context,
};

/// Who wins when another manager owns a field with another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// The owner: the apply is refused.
    No,
    /// The applier.
    Yes,
}

/// Who owns the fields of an object that nobody has recorded anything about.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Computes the object that applying `config` (decoded, not defaulted) gives, its managedFields included. `old` is `None` when the
/// object does not exist yet. Afterwards go on as for create or update, but skip [`crate::managed`].
pub fn apply(
    row: &Resource,
    context: &Context,
    old: Option<&Value>,
    config: &Value,
    force: Force,
) -> Result<Value, Status> {
    if config["metadata"].get("managedFields").is_some() {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let kind = managed::root_type(row);
    let live = old.cloned().unwrap_or_else(|| empty(config));
    let mut managers = owners(row, context, old, &kind);
    let mut own = Entry::of_writer(row, context, Operation::Apply);
    let before = managers
        .iter()
        .position(|e| e.is_same_manager(&own))
        .map(|index| managers.remove(index));
    own.fields = field_set::of(config, &kind);
    managed::strip(row, context.subresource, &mut own.fields);

    let mut new = merged(&live, config, &kind, false);
    if let Some(before) = &before {
        let owned = managers
            .iter()
            .fold(own.fields.clone(), |all, e| all.union(&e.fields));
        prune(&mut new, &before.fields, &owned, &kind, false);
    }
    let mut changes = field_set::compare(Some(&live), &new, &kind);
    managed::strip(row, context.subresource, &mut changes.touched);
    managed::strip(row, context.subresource, &mut changes.removed);
    settle(&mut managers, &changes, force)?;
    let unchanged = changes.touched.is_empty() && changes.removed.is_empty();
    if let Some(before) = before.filter(|b| unchanged && b.fields == own.fields) {
        own.time = before.time;
    }
    managers.push(own);
    managed::set_entries(&mut new, managers);
    Ok(new)
}

/// What is there before the first apply: identity only.
fn empty(config: &Value) -> Value {
    let mut object =
        json!({"apiVersion": config["apiVersion"], "kind": config["kind"], "metadata": {}});
    for field in ["name", "namespace"] {
        if let Some(value) = config["metadata"].get(field) {
            object["metadata"][field] = value.clone();
        }
    }
    object
}

fn owners(row: &Resource, context: &Context, old: Option<&Value>, kind: &Type) -> Vec<Entry> {
    let Some(old) = old else {
        return Vec::new();
    };
    let managers = managed::entries(old);
    if !managers.is_empty() {
        return managers;
    }
    let mut fields = field_set::of(old, kind);
    managed::strip(row, context.subresource, &mut fields);
    let entry = Entry {
        manager: BEFORE_FIRST_APPLY.to_owned(),
        fields,
        ..Entry::of_writer(row, context, Operation::Update)
    };
    vec![entry]
}

/// Refuses when fields change that others own, or takes these from them.
fn settle(
    managers: &mut [Entry],
    changes: &field_set::Comparison,
    force: Force,
) -> Result<(), Status> {
    let mut conflicts: Vec<(String, Vec<String>)> = Vec::new();
    for manager in managers.iter() {
        let paths = manager.fields.intersection(&changes.touched).paths();
        if !paths.is_empty() {
            conflicts.push((shown(manager), paths));
        }
    }
    if force == Force::No && !conflicts.is_empty() {
        return Err(refusal(conflicts));
    }
    for manager in managers {
        manager.fields = manager
            .fields
            .difference(&changes.touched)
            .difference(&changes.removed);
    }
    Ok(())
}

fn shown(manager: &Entry) -> String {
    let mut text = format!("{:?}", manager.manager);
    if !manager.subresource.is_empty() {
        text.push_str(&format!(" with subresource {:?}", manager.subresource));
    }
    if manager.operation == Operation::Update {
        text.push_str(&format!(" using {}", manager.api_version));
    }
    text
}

fn refusal(mut conflicts: Vec<(String, Vec<String>)>) -> Status {
    conflicts.sort();
    let causes: Vec<(String, String)> = conflicts
        .iter()
        .flat_map(|(manager, paths)| {
            paths
                .iter()
                .map(move |path| (format!("conflict with {manager}"), path.clone()))
        })
        .collect();
    let message = match causes.as_slice() {
        [(conflict, path)] => format!("Apply failed with 1 conflict: {conflict}: {path}"),
        many => {
            let mut lines = Vec::new();
            for (manager, paths) in &conflicts {
                lines.push(format!("conflicts with {manager}:"));
                lines.extend(paths.iter().map(|path| format!("- {path}")));
            }
            format!(
                "Apply failed with {} conflicts: {}",
                many.len(),
                lines.join("\n")
            )
        }
    };
    Status::apply_conflict(message, &causes)
}

/// `live` with everything that `config` says.
fn merged(live: &Value, config: &Value, kind: &Type, atomic: bool) -> Value {
    match (shape(kind, atomic), live, config) {
        (Shape::Struct(definition), Value::Object(live), Value::Object(config)) => {
            with_keys(live, config, |name, live, config| {
                match definition.fields.get(name) {
                    Some(field) => merged(live, config, &field.kind, field.atomic),
                    None => config.clone(),
                }
            })
        }
        (Shape::Map(item), Value::Object(live), Value::Object(config)) => {
            with_keys(live, config, |_, live, config| {
                merged(live, config, item, false)
            })
        }
        (Shape::Deduced, Value::Object(live), Value::Object(config)) => {
            with_keys(live, config, |_, live, config| {
                merged(live, config, &Type::Any, false)
            })
        }
        (Shape::List(item_type, list), Value::Array(live), Value::Array(config)) => {
            let element = |item: &Value| item_element(list, item_type, item);
            let place = |item: &Value| {
                let wanted = element(item);
                live.iter().position(|other| element(other) == wanted)
            };
            let named: Vec<String> = config.iter().map(element).collect();
            let server_only = live
                .iter()
                .filter(|item| !named.contains(&element(item)))
                .cloned()
                .collect();
            let ordered = config
                .iter()
                .map(|item| match place(item) {
                    Some(at) => merged(&live[at], item, item_type, false),
                    None => item.clone(),
                })
                .collect();
            Value::Array(merge_order::interleave(server_only, ordered, place))
        }
        (_, _, config) => config.clone(),
    }
}

fn with_keys(
    live: &Map<String, Value>,
    config: &Map<String, Value>,
    merge: impl Fn(&str, &Value, &Value) -> Value,
) -> Value {
    let mut out = live.clone();
    for (name, value) in config {
        let value = match live.get(name) {
            Some(there) => merge(name, there, value),
            None => value.clone(),
        };
        out.insert(name.clone(), value);
    }
    Value::Object(out)
}

/// Removes what the applier owned last time (`last`) and nobody owns now (`owned`).
fn prune(value: &mut Value, last: &FieldSet, owned: &FieldSet, kind: &Type, atomic: bool) {
    let nothing = FieldSet::default();
    let fate = |element: &str| -> Option<(bool, &FieldSet, &FieldSet)> {
        let last = last.children.get(element)?;
        let owned = owned.children.get(element).unwrap_or(&nothing);
        Some((owned.is_empty(), last, owned))
    };
    match (shape(kind, atomic), value) {
        (Shape::Struct(definition), Value::Object(map)) => {
            map.retain(|name, value| match fate(&format!("f:{name}")) {
                Some((true, _, _)) => false,
                Some((false, last, owned)) => {
                    if let Some(field) = definition.fields.get(name) {
                        prune(value, last, owned, &field.kind, field.atomic);
                    }
                    true
                }
                None => true,
            });
        }
        (Shape::Map(_) | Shape::Deduced, Value::Object(map)) => {
            let item = match kind {
                Type::Map(item) => item,
                other => other,
            };
            map.retain(|name, value| match fate(&format!("f:{name}")) {
                Some((true, _, _)) => false,
                Some((false, last, owned)) => {
                    prune(value, last, owned, item, false);
                    true
                }
                None => true,
            });
        }
        (Shape::List(item_type, list), Value::Array(items)) => {
            items.retain_mut(|item| match fate(&item_element(list, item_type, item)) {
                Some((true, _, _)) => false,
                Some((false, last, owned)) => {
                    prune(item, last, owned, item_type, false);
                    true
                }
                None => true,
            });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{registry::Registry, write};

    struct Server {
        row: std::sync::Arc<Resource>,
        object: Option<Value>,
        second: u8,
    }

    impl Server {
        fn of(group: &str, plural: &str) -> Server {
            let registry = Registry::builtin();
            let row = std::sync::Arc::clone(registry.get(group, "v1", plural).unwrap());
            Server {
                row,
                object: None,
                second: 0,
            }
        }

        fn context(&mut self, manager: &str) -> Context {
            self.second += 1;
            Context {
                now: format!("2026-01-01T00:00:{:02}Z", self.second)
                    .parse()
                    .unwrap(),
                uid: "u".to_owned(),
                suffix: "abcde".to_owned(),
                namespace: Some("default".to_owned()),
                name: Some("web".to_owned()),
                manager: manager.to_owned(),
                subresource: None,
            }
        }

        fn apply(&mut self, manager: &str, config: Value, force: Force) -> Result<Value, Status> {
            let context = self.context(manager);
            let config =
                write::decode_value(&self.row, config, write::FieldValidation::Strict)?.object;
            let mut new = apply(&self.row, &context, self.object.as_ref(), &config, force)?;
            match &self.object {
                None => write::prepare_create(&self.row, &context, &mut new)?,
                Some(old) => write::prepare_update(&self.row, &context, &mut new, old)?,
            }
            self.object = Some(new.clone());
            Ok(new)
        }

        fn update(&mut self, manager: &str, change: impl Fn(&mut Value)) {
            let context = self.context(manager);
            let old = self.object.clone().unwrap();
            let mut new = old.clone();
            change(&mut new);
            managed::update(&self.row, &context, &old, &mut new);
            self.object = Some(new);
        }
    }

    fn deployment(spec: &Value) -> Value {
        let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"}, "spec": {
            "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}}}});
        for (key, value) in spec.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        object
    }

    #[test]
    fn applying_twice_changes_nothing() {
        let mut server = Server::of("apps", "deployments");
        let first = server
            .apply("me", deployment(&json!({"replicas": 2})), Force::No)
            .unwrap();
        let second = server
            .apply("me", deployment(&json!({"replicas": 2})), Force::No)
            .unwrap();
        assert!(write::unchanged(&second, &first), "{second:#}\n{first:#}");
        assert_eq!(first["metadata"]["managedFields"][0]["operation"], "Apply");
        assert_eq!(
            first["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:replicas"],
            json!({})
        );
    }

    #[test]
    fn a_field_of_another_is_a_conflict_unless_forced() {
        let mut server = Server::of("apps", "deployments");
        server
            .apply("me", deployment(&json!({"replicas": 2})), Force::No)
            .unwrap();
        server.update("scaler", |new| new["spec"]["replicas"] = json!(5));
        let refused = server
            .apply("me", deployment(&json!({"replicas": 2})), Force::No)
            .unwrap_err();
        assert_eq!(
            refused.message,
            "Apply failed with 1 conflict: conflict with \"scaler\" using apps/v1: .spec.replicas"
        );
        assert_eq!(refused.details["causes"][0]["field"], ".spec.replicas");
        let forced = server
            .apply("me", deployment(&json!({"replicas": 2})), Force::Yes)
            .unwrap();
        assert_eq!(forced["spec"]["replicas"], 2);
        assert_eq!(managed::entries(&forced).len(), 1);
        // Whoever stops asking for a field that another owns too leaves it alone.
        server.update("scaler", |new| new["spec"]["replicas"] = json!(7));
        let without = server
            .apply("me", deployment(&json!({})), Force::No)
            .unwrap();
        assert_eq!(without["spec"]["replicas"], 7);
    }

    #[test]
    fn what_is_no_longer_applied_goes() {
        let mut server = Server::of("", "configmaps");
        let config = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "default", "labels": {"a": "1"}}, "data": data});
        server
            .apply("me", config(json!({"a": "1", "b": "2"})), Force::No)
            .unwrap();
        server.update("other", |new| new["data"]["c"] = json!("3"));
        let new = server
            .apply("me", config(json!({"a": "1"})), Force::No)
            .unwrap();
        assert_eq!(new["data"], json!({"a": "1", "c": "3"}));
        let mut bare = config(json!({"a": "1"}));
        bare["metadata"].as_object_mut().unwrap().remove("labels");
        let new = server.apply("me", bare, Force::No).unwrap();
        assert!(new["metadata"].get("labels").is_none());
    }

    #[test]
    fn list_items_are_merged_by_key_and_go_whole() {
        let mut server = Server::of("apps", "deployments");
        let with = |containers: Value| {
            let mut object = deployment(&json!({}));
            object["spec"]["template"]["spec"]["containers"] = containers;
            object
        };
        server
            .apply(
                "me",
                with(json!([{"name": "web", "image": "nginx"}, {"name": "side", "image": "x"}])),
                Force::No,
            )
            .unwrap();
        server.update("injector", |new| {
            let containers = new["spec"]["template"]["spec"]["containers"]
                .as_array_mut()
                .unwrap();
            containers.push(json!({"name": "injected", "image": "y", "resources": {}}));
        });
        let new = server
            .apply(
                "me",
                with(json!([{"name": "web", "image": "nginx:2"}])),
                Force::No,
            )
            .unwrap();
        let containers = new["spec"]["template"]["spec"]["containers"]
            .as_array()
            .unwrap();
        let names: Vec<&str> = containers
            .iter()
            .map(|c| c["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["web", "injected"]);
        assert_eq!(containers[0]["image"], "nginx:2");
        assert_eq!(containers[0]["imagePullPolicy"], "Always");
    }

    #[test]
    fn several_conflicts_are_listed() {
        let mut server = Server::of("", "configmaps");
        let config = |a: &str, b: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "default"}, "data": {"a": a, "b": b}});
        server.apply("one", config("1", "1"), Force::No).unwrap();
        let refused = server
            .apply("two", config("2", "2"), Force::No)
            .unwrap_err();
        assert_eq!(
            refused.message,
            "Apply failed with 2 conflicts: conflicts with \"one\":\n- .data.a\n- .data.b"
        );
        // The same values are shared, not fought over.
        let shared = server.apply("two", config("1", "1"), Force::No).unwrap();
        assert_eq!(managed::entries(&shared).len(), 2);
    }
}
