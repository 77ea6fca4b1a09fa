//! The paths of an OpenAPI document: what each row can be asked.
// upstream: apiserver/pkg/endpoints/installer.go registerResourceHandlers

use k8s_openapi::api;
use serde_json::{Map, Value, json};

use crate::{
    openapi::{Dialect, definition_name},
    registry::{Resource, Subresource},
    schema,
};

const JSON: &str = "application/json";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// The definitions a row's subresources exchange, with their group, version and kind.
pub(crate) fn exchanged(row: &Resource) -> Vec<(String, [&'static str; 3])> {
    let of = |subresource: &Subresource| {
        let (group, version, kind) = subresource.exchanged_kind()?;
        let name = match subresource {
            Subresource::Scale => schema::register::<api::autoscaling::v1::Scale>(),
            Subresource::Binding => schema::register::<api::core::v1::Binding>(),
            Subresource::Eviction => schema::register::<api::policy::v1::Eviction>(),
            Subresource::Token => schema::register::<api::authentication::v1::TokenRequest>(),
            _ => return None,
        };
        Some((name, [group, version, kind]))
    };
    row.subresources.iter().filter_map(of).collect()
}

/// What an operation is about.
struct Target<'a> {
    dialect: Dialect,
    row: &'a Resource,
    /// Group, version and kind exchanged.
    gvk: [String; 3],
    /// The definition exchanged.
    definition: String,
    /// Appended to operation ids: `NamespacedPodStatus`.
    id: String,
}

/// All paths of a row.
pub(crate) fn paths(dialect: Dialect, row: &Resource) -> Map<String, Value> {
    let root = if row.group.is_empty() {
        format!("/api/{}", row.version)
    } else {
        format!("/apis/{}/{}", row.group, row.version)
    };
    let scoped = if row.is_namespaced() {
        format!("{root}/namespaces/{{namespace}}/{}", row.plural)
    } else {
        format!("{root}/{}", row.plural)
    };
    let scope = if row.is_namespaced() {
        "Namespaced"
    } else {
        ""
    };
    let target = Target {
        dialect,
        row,
        gvk: [row.group.clone(), row.version.clone(), row.kind.clone()],
        definition: definition_name(row),
        id: format!("{}{scope}{}", camel(row), row.kind),
    };
    let mut out = Map::new();
    add(
        &mut out,
        scoped.clone(),
        collection(&target),
        &target,
        false,
    );
    add(
        &mut out,
        format!("{scoped}/{{name}}"),
        object(&target),
        &target,
        true,
    );
    if row.is_namespaced() && row.has_verb("list") {
        let everywhere = Target {
            id: format!("{}{}ForAllNamespaces", camel(row), row.kind),
            dialect,
            row,
            gvk: target.gvk.clone(),
            definition: target.definition.clone(),
        };
        let mut item = Map::new();
        item.insert("get".to_owned(), list(&everywhere));
        out.insert(format!("{root}/{}", row.plural), Value::Object(item));
    }
    for subresource in &row.subresources {
        let target = subresource_target(&target, *subresource);
        let path = format!("{scoped}/{{name}}/{}", subresource.name());
        add(
            &mut out,
            path,
            of_subresource(&target, *subresource),
            &target,
            true,
        );
    }
    out
}

fn camel(row: &Resource) -> String {
    let group = row.group.strip_suffix(".k8s.io").unwrap_or(&row.group);
    let group = if group.is_empty() { "core" } else { group };
    group.split('.').map(capital).collect::<String>() + &capital(&row.version)
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().collect::<String>() + letters.as_str())
        .unwrap_or_default()
}

fn subresource_target<'a>(main: &Target<'a>, subresource: Subresource) -> Target<'a> {
    let row = main.row;
    let exchanged = exchanged(row).into_iter().find(|(_, gvk)| {
        subresource
            .exchanged_kind()
            .is_some_and(|(g, v, k)| *gvk == [g, v, k])
    });
    let (definition, gvk) = match exchanged {
        Some((definition, gvk)) => (definition, gvk.map(str::to_owned)),
        None => match subresource.exchanged_kind() {
            Some((group, version, kind)) => {
                (String::new(), [group, version, kind].map(str::to_owned))
            }
            None => (main.definition.clone(), main.gvk.clone()),
        },
    };
    Target {
        dialect: main.dialect,
        row,
        gvk,
        definition,
        id: format!("{}{}", main.id, capital(subresource.name())),
    }
}

fn add(
    out: &mut Map<String, Value>,
    path: String,
    operations: Map<String, Value>,
    target: &Target<'_>,
    named: bool,
) {
    if operations.is_empty() {
        return;
    }
    let mut item = operations;
    let mut parameters = Vec::new();
    if named {
        parameters.push(path_parameter(
            target.dialect,
            "name",
            &format!("name of the {}", target.row.kind),
        ));
    }
    if target.row.is_namespaced() {
        parameters.push(path_parameter(
            target.dialect,
            "namespace",
            "object name and auth scope, such as for teams and projects",
        ));
    }
    if !parameters.is_empty() {
        item.insert("parameters".to_owned(), Value::from(parameters));
    }
    out.insert(path, Value::Object(item));
}

fn path_parameter(dialect: Dialect, name: &str, description: &str) -> Value {
    let mut parameter = parameter(dialect, name, "string", description);
    parameter["in"] = Value::from("path");
    parameter["required"] = Value::Bool(true);
    parameter
}

fn parameter(dialect: Dialect, name: &str, kind: &str, description: &str) -> Value {
    match dialect {
        Dialect::V2 => {
            json!({"name": name, "in": "query", "type": kind, "uniqueItems": true, "description": description})
        }
        Dialect::V3 => {
            json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}, "description": description})
        }
    }
}

/// Name, type and description of a query parameter.
type Parameter = (&'static str, &'static str, &'static str);

const WRITE: [Parameter; 4] = [
    (
        "dryRun",
        "string",
        "All: go through every step of the request, but change nothing.",
    ),
    (
        "fieldManager",
        "string",
        "The name under which the fields of this write are owned.",
    ),
    (
        "fieldValidation",
        "string",
        "What to do about unknown and duplicate fields: Ignore, Warn (the default) or Strict.",
    ),
    ("pretty", "string", "If true, the answer is indented."),
];
const FORCE: Parameter = (
    "force",
    "boolean",
    "Take fields that somebody else owns. Only for apply patches.",
);
const DELETE: [Parameter; 4] = [
    (
        "dryRun",
        "string",
        "All: go through every step of the request, but change nothing.",
    ),
    (
        "gracePeriodSeconds",
        "integer",
        "How many seconds the object gets to end by itself; 0 means at once.",
    ),
    (
        "orphanDependents",
        "boolean",
        "Deprecated: say propagationPolicy. Whether dependents stay.",
    ),
    (
        "propagationPolicy",
        "string",
        "What becomes of dependents: Orphan, Background or Foreground.",
    ),
];
const LIST: [Parameter; 8] = [
    (
        "allowWatchBookmarks",
        "boolean",
        "Whether a watch may send bookmarks: events that carry only a resourceVersion.",
    ),
    ("continue", "string", "The continue token of the last page."),
    (
        "fieldSelector",
        "string",
        "Only objects with these field values.",
    ),
    ("labelSelector", "string", "Only objects with these labels."),
    ("limit", "integer", "The most objects to answer at once."),
    (
        "resourceVersion",
        "string",
        "How fresh the answer must be, or where a watch starts.",
    ),
    ("timeoutSeconds", "integer", "How long a watch lasts."),
    (
        "watch",
        "boolean",
        "Answer a stream of changes instead of a list.",
    ),
];

/// An operation in the making.
struct Operation<'a> {
    target: &'a Target<'a>,
    id: &'static str,
    action: &'static str,
    description: String,
    parameters: Vec<Parameter>,
    /// Content types and definition of the body.
    body: Option<(&'static [&'static str], String)>,
    /// Definition of the answer; empty for text.
    answer: String,
    code: &'static str,
}

impl Operation<'_> {
    fn value(self) -> Value {
        let Operation { target, .. } = self;
        let dialect = target.dialect;
        let mut parameters: Vec<Value> = self
            .parameters
            .iter()
            .map(|(name, kind, text)| parameter(dialect, name, kind, text))
            .collect();
        let [group, version, kind] = &target.gvk;
        let mut out = json!({
            "description": self.description,
            "operationId": format!("{}{}", self.id, target.id),
            "tags": [camel_tag(target.row)],
            "x-kubernetes-action": self.action,
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
        });
        let schema = if self.answer.is_empty() {
            json!({"type": "string"})
        } else {
            dialect.reference(&self.answer)
        };
        let answer = match dialect {
            Dialect::V2 => json!({"description": "OK", "schema": schema}),
            Dialect::V3 => json!({"description": "OK", "content": {JSON: {"schema": schema}}}),
        };
        let mut responses = json!({"401": {"description": "Unauthorized"}});
        responses[self.code] = answer;
        match (dialect, self.body) {
            (Dialect::V2, Some((types, definition))) => {
                out["consumes"] = json!(types);
                parameters.push(json!({"name": "body", "in": "body", "required": true, "schema": dialect.reference(&definition)}));
            }
            (Dialect::V3, Some((types, definition))) => {
                let content: Map<String, Value> = types
                    .iter()
                    .map(|t| {
                        (
                            (*t).to_owned(),
                            json!({"schema": dialect.reference(&definition)}),
                        )
                    })
                    .collect();
                out["requestBody"] = json!({"required": true, "content": content});
            }
            (_, None) => {}
        }
        if dialect == Dialect::V2 {
            out["produces"] = json!([JSON, "application/yaml"]);
            out["schemes"] = json!(["https"]);
        }
        if !parameters.is_empty() {
            out["parameters"] = Value::from(parameters);
        }
        out["responses"] = responses;
        out
    }
}

fn camel_tag(row: &Resource) -> String {
    let group = row.group.strip_suffix(".k8s.io").unwrap_or(&row.group);
    let group = if group.is_empty() { "core" } else { group };
    format!("{}_{}", group.replace('.', "_"), row.version)
}

const BODY: &[&str] = &[JSON, "application/yaml"];
const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

fn operation<'a>(
    target: &'a Target<'a>,
    id: &'static str,
    action: &'static str,
    what: &str,
) -> Operation<'a> {
    Operation {
        target,
        id,
        action,
        description: what.replace("{kind}", &target.row.kind),
        parameters: Vec::new(),
        body: None,
        answer: target.definition.clone(),
        code: "200",
    }
}

fn list(target: &Target<'_>) -> Value {
    Operation {
        parameters: LIST.to_vec(),
        answer: format!("{}List", target.definition),
        ..operation(
            target,
            "list",
            "list",
            "list or watch objects of kind {kind}",
        )
    }
    .value()
}

fn create(target: &Target<'_>) -> Value {
    Operation {
        parameters: WRITE.to_vec(),
        body: Some((BODY, target.definition.clone())),
        code: "201",
        ..operation(target, "create", "post", "create a {kind}")
    }
    .value()
}

fn read(target: &Target<'_>) -> Value {
    operation(target, "read", "get", "read the specified {kind}").value()
}

fn replace(target: &Target<'_>) -> Value {
    Operation {
        parameters: WRITE.to_vec(),
        body: Some((BODY, target.definition.clone())),
        ..operation(target, "replace", "put", "replace the specified {kind}")
    }
    .value()
}

fn patch(target: &Target<'_>) -> Value {
    let mut parameters = WRITE.to_vec();
    parameters.push(FORCE);
    Operation {
        parameters,
        body: Some((PATCHES, format!("{META}.Patch"))),
        ..operation(
            target,
            "patch",
            "patch",
            "partially update the specified {kind}",
        )
    }
    .value()
}

fn delete(target: &Target<'_>, id: &'static str, action: &'static str, what: &str) -> Value {
    Operation {
        parameters: DELETE.to_vec(),
        body: Some((BODY, format!("{META}.DeleteOptions"))),
        answer: format!("{META}.Status"),
        ..operation(target, id, action, what)
    }
    .value()
}

fn collection(target: &Target<'_>) -> Map<String, Value> {
    let mut out = Map::new();
    let row = target.row;
    if row.has_verb("list") {
        out.insert("get".to_owned(), list(target));
    }
    if row.has_verb("create") {
        out.insert("post".to_owned(), create(target));
    }
    if row.has_verb("deletecollection") {
        out.insert(
            "delete".to_owned(),
            delete(
                target,
                "deleteCollection",
                "deletecollection",
                "delete collection of {kind}",
            ),
        );
    }
    out
}

fn object(target: &Target<'_>) -> Map<String, Value> {
    let mut out = Map::new();
    let row = target.row;
    if row.has_verb("get") {
        out.insert("get".to_owned(), read(target));
    }
    if row.has_verb("update") {
        out.insert("put".to_owned(), replace(target));
    }
    if row.has_verb("patch") {
        out.insert("patch".to_owned(), patch(target));
    }
    if row.has_verb("delete") {
        out.insert(
            "delete".to_owned(),
            delete(target, "delete", "delete", "delete a {kind}"),
        );
    }
    out
}

fn of_subresource(target: &Target<'_>, subresource: Subresource) -> Map<String, Value> {
    let mut out = Map::new();
    if target.definition.is_empty() || matches!(subresource, Subresource::Log | Subresource::Proxy)
    {
        // Streams: they answer bytes.
        let text = |id, action| {
            let what = format!("{} requests to {} of {{kind}}", action, subresource.name());
            Operation {
                answer: String::new(),
                ..operation(target, id, action, &what)
            }
            .value()
        };
        for (verb, method, id, action) in [
            ("get", "get", "connectGet", "connect"),
            ("create", "post", "connectPost", "connect"),
        ] {
            if subresource.verbs().contains(&verb) {
                out.insert(method.to_owned(), text(id, action));
            }
        }
        return out;
    }
    for verb in subresource.verbs() {
        match *verb {
            "get" => drop(out.insert("get".to_owned(), read(target))),
            "update" => drop(out.insert("put".to_owned(), replace(target))),
            "patch" => drop(out.insert("patch".to_owned(), patch(target))),
            "create" => drop(out.insert("post".to_owned(), create(target))),
            _ => {}
        }
    }
    out
}
