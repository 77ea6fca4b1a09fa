//! OpenAPI documents, derived from the registry's schemas.
//!
//! Definitions come from [`schema::json_definition`] (k8s-openapi plus our overlay) with the words of [`crate::descriptions`]; paths
//! come from the rows in [`crate::openapi_paths`]. Both are written in the dialect asked for, Swagger 2.0 or OpenAPI 3.0.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde_json::{Map, Value, json};

use crate::{
    descriptions, openapi_paths,
    registry::{Registry, Resource, api_version},
    schema,
};

/// Which OpenAPI is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Swagger 2.0.
    V2,
    /// OpenAPI 3.0.
    V3,
}

impl Dialect {
    /// The reference to a definition.
    pub(crate) fn reference(self, name: &str) -> Value {
        match self {
            Dialect::V2 => json!({"$ref": format!("#/definitions/{name}")}),
            Dialect::V3 => json!({"$ref": format!("#/components/schemas/{name}")}),
        }
    }
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// `/openapi/v2` (Swagger 2.0).
pub fn v2(registry: &Registry) -> Value {
    let rows: Vec<&Resource> = registry.rows().map(AsRef::as_ref).collect();
    let mut paths = Map::new();
    for row in &rows {
        paths.extend(openapi_paths::paths(Dialect::V2, row));
    }
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": paths,
        "definitions": definitions(Dialect::V2, &rows),
        "securityDefinitions": {"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"}},
        "security": [{"BearerToken": []}],
    })
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": drydock_primitives::release::KUBERNETES})
}

fn v3_path(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

fn rows_of<'a>(registry: &'a Registry, group: &str, version: &str) -> Vec<&'a Resource> {
    registry
        .rows()
        .map(AsRef::as_ref)
        .filter(|row| row.group == group && row.version == version)
        .collect()
}

/// `/openapi/v3`: the index of group versions, with hashes in the URLs.
pub fn v3_index(registry: &Registry) -> Value {
    let mut paths = Map::new();
    for (group, version) in registry.group_versions() {
        let mut hasher = DefaultHasher::new();
        descriptions::TEXT.hash(&mut hasher);
        for row in rows_of(registry, &group, &version) {
            (&row.plural, &row.kind, &row.verbs, row.subresources.len()).hash(&mut hasher);
        }
        let path = v3_path(&group, &version);
        let url = format!("/openapi/v3/{path}?hash={:016X}", hasher.finish());
        paths.insert(path, json!({"serverRelativeURL": url}));
    }
    json!({"paths": paths})
}

/// `/openapi/v3/api/v1` (`group` empty) or `/openapi/v3/apis/GROUP/VERSION`.
pub fn v3(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let rows = rows_of(registry, group, version);
    if rows.is_empty() {
        return None;
    }
    let mut paths = Map::new();
    for row in &rows {
        paths.extend(openapi_paths::paths(Dialect::V3, row));
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": paths,
        "components": {
            "schemas": definitions(Dialect::V3, &rows),
            "securitySchemes": {"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"}},
        },
    }))
}

/// The name of the definition of a row's kind.
pub(crate) fn definition_name(row: &Resource) -> String {
    match &row.schema {
        Some(schema) => schema.name.clone(),
        None => {
            let group: Vec<&str> = row.group.rsplit('.').collect();
            format!("{}.{}.{}", group.join("."), row.version, row.kind)
        }
    }
}

fn gvk(group: &str, version: &str, kind: &str) -> Value {
    json!([{"group": group, "version": version, "kind": kind}])
}

/// All definitions that rows reach.
fn definitions(dialect: Dialect, rows: &[&Resource]) -> Map<String, Value> {
    let mut out = Map::new();
    let mut wanted: BTreeSet<String> =
        ["DeleteOptions", "Status", "Patch", "ListMeta", "ObjectMeta"]
            .iter()
            .map(|kind| format!("{META}.{kind}"))
            .collect();
    schema::register::<k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions>();
    schema::register::<k8s_openapi::apimachinery::pkg::apis::meta::v1::Status>();
    schema::register::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta>();
    for row in rows {
        let name = definition_name(row);
        if row.has_verb("list") {
            out.insert(format!("{name}List"), list_definition(dialect, row, &name));
        }
        if row.schema.is_none() {
            out.insert(name.clone(), free_definition(dialect, row));
        }
        wanted.insert(name);
        wanted.extend(
            openapi_paths::exchanged(row)
                .into_iter()
                .map(|(name, _)| name),
        );
    }
    while let Some(name) = wanted.pop_first() {
        if out.contains_key(&name) {
            continue;
        }
        if let Some(definition) = definition(dialect, &name, &mut wanted) {
            out.insert(name, definition);
        }
    }
    for row in rows {
        if let Some(definition) = out.get_mut(&definition_name(row)) {
            definition["x-kubernetes-group-version-kind"] =
                gvk(&row.group, &row.version, &row.kind);
        }
        for (name, [group, version, kind]) in openapi_paths::exchanged(row) {
            if let Some(definition) = out.get_mut(&name) {
                definition["x-kubernetes-group-version-kind"] = gvk(group, version, kind);
            }
        }
    }
    if let Some(status) = out.get_mut(&format!("{META}.Status")) {
        status["x-kubernetes-group-version-kind"] = gvk("", "v1", "Status");
    }
    out
}

fn list_definition(dialect: Dialect, row: &Resource, name: &str) -> Value {
    let api = api_version(&row.group, &row.version);
    json!({
        "description": format!("{}List is a list of {}, as a list request answers it.", row.kind, row.plural),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": format!("The version of the API this list is written in: {api}.")},
            "items": {"type": "array", "description": format!("The {}.", row.plural), "items": dialect.reference(name)},
            "kind": {"type": "string", "description": format!("What this is: {}List.", row.kind)},
            "metadata": described(dialect, dialect.reference(&format!("{META}.ListMeta")), "The resourceVersion of the list, and where to go on when it is a page of a longer one."),
        },
        "x-kubernetes-group-version-kind": gvk(&row.group, &row.version, &format!("{}List", row.kind)),
    })
}

fn free_definition(dialect: Dialect, row: &Resource) -> Value {
    json!({
        "description": format!("{} keeps whatever it is given.", row.kind),
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string", "description": descriptions::of("meta.v1.TypeMeta", "apiVersion")},
            "kind": {"type": "string", "description": descriptions::of("meta.v1.TypeMeta", "kind")},
            "metadata": described(dialect, dialect.reference(&format!("{META}.ObjectMeta")), "Name, labels, annotations and what else every object has."),
        },
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// A reference with a description of its own.
fn described(dialect: Dialect, reference: Value, description: &str) -> Value {
    match dialect {
        Dialect::V2 => {
            let mut reference = reference;
            reference["description"] = Value::from(description);
            reference
        }
        Dialect::V3 => json!({"allOf": [reference], "default": {}, "description": description}),
    }
}

/// One definition, its references noted in `wanted`.
fn definition(dialect: Dialect, name: &str, wanted: &mut BTreeSet<String>) -> Option<Value> {
    if let Some(special) = special(dialect, name) {
        return Some(special);
    }
    let raw = schema::json_definition(name)?;
    let short = short_name(name);
    let mut out = converted(dialect, &raw, wanted);
    let own = descriptions::of(short, "*");
    if !own.is_empty() {
        out["description"] = Value::from(own);
    }
    let properties = out.get_mut("properties").and_then(Value::as_object_mut);
    for (field, property) in properties.into_iter().flatten() {
        let own = match descriptions::of(short, field) {
            "" if field == "apiVersion" || field == "kind" => {
                descriptions::of("meta.v1.TypeMeta", field)
            }
            own => own,
        };
        if !own.is_empty() {
            property["description"] = Value::from(own);
        }
    }
    Some(out)
}

/// `core.v1.Pod` of `io.k8s.api.core.v1.Pod`.
fn short_name(name: &str) -> &str {
    name.strip_prefix("io.k8s.api.")
        .or_else(|| name.strip_prefix("io.k8s.apimachinery.pkg.apis."))
        .or_else(|| name.strip_prefix("io.k8s.apimachinery.pkg."))
        .unwrap_or(name)
}

/// The definitions Go writes by hand.
fn special(dialect: Dialect, name: &str) -> Option<Value> {
    let v3 = dialect == Dialect::V3;
    let mut value = match name.strip_prefix("io.k8s.apimachinery.pkg.")? {
        "apis.meta.v1.Time" | "apis.meta.v1.MicroTime" => {
            json!({"type": "string", "format": "date-time"})
        }
        "apis.meta.v1.FieldsV1" | "apis.meta.v1.Patch" => json!({"type": "object"}),
        "api.resource.Quantity" if v3 => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        "api.resource.Quantity" => json!({"type": "string"}),
        "util.intstr.IntOrString" if v3 => {
            json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
        }
        "util.intstr.IntOrString" => json!({"type": "string", "format": "int-or-string"}),
        _ => return None,
    };
    value["description"] = match descriptions::of(short_name(name), "*") {
        "" => {
            schema::json_definition(name).map_or(Value::from(""), |raw| raw["description"].clone())
        }
        own => Value::from(own),
    };
    Some(value)
}

fn converted(dialect: Dialect, schema: &Value, wanted: &mut BTreeSet<String>) -> Value {
    let Some(map) = schema.as_object() else {
        return schema.clone();
    };
    if let Some(target) = map.get("$ref").and_then(Value::as_str) {
        let name = target.rsplit('/').next().unwrap_or(target);
        wanted.insert(name.to_owned());
        let reference = dialect.reference(name);
        let others = map.iter().filter(|(key, _)| *key != "$ref");
        let mut out = match dialect {
            Dialect::V2 => reference,
            Dialect::V3 if map.len() == 1 => reference,
            Dialect::V3 => json!({"allOf": [reference], "default": {}}),
        };
        for (key, value) in others {
            out[key.as_str()] = value.clone();
        }
        return out;
    }
    let mut out = Map::new();
    for (key, value) in map {
        let value = match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => properties
                .iter()
                .map(|(name, property)| (name.clone(), converted(dialect, property, wanted)))
                .collect::<Map<String, Value>>()
                .into(),
            ("items" | "additionalProperties" | "not", inner) => converted(dialect, inner, wanted),
            ("oneOf" | "anyOf" | "allOf", Value::Array(inner)) => inner
                .iter()
                .map(|i| converted(dialect, i, wanted))
                .collect(),
            (_, other) => other.clone(),
        };
        out.insert(key.clone(), value);
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reference in a document leads somewhere.
    fn dangling(value: &Value, document: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if let Some(target) = map.get("$ref").and_then(Value::as_str)
                    && document.pointer(target.trim_start_matches('#')).is_none()
                {
                    out.push(target.to_owned());
                }
                map.values().for_each(|v| dangling(v, document, out));
            }
            Value::Array(items) => items.iter().for_each(|v| dangling(v, document, out)),
            _ => {}
        }
    }

    #[test]
    fn documents_are_whole() {
        let registry = Registry::builtin();
        let mut documents = vec![v2(&registry)];
        for (group, version) in registry.group_versions() {
            documents.push(v3(&registry, &group, &version).unwrap());
        }
        for document in &documents {
            let mut missing = Vec::new();
            dangling(document, document, &mut missing);
            missing.dedup();
            assert!(missing.is_empty(), "{missing:?}");
            assert!(!document.to_string().contains("$defs"));
        }
        assert!(v3(&registry, "nope", "v1").is_none());
        assert_eq!(
            v3_index(&registry)["paths"].as_object().unwrap().len(),
            registry.group_versions().len()
        );
    }

    #[test]
    fn kubectl_finds_what_it_looks_for() {
        let registry = Registry::builtin();
        let core = v3(&registry, "", "v1").unwrap();
        let patch = &core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
        assert_eq!(
            patch["x-kubernetes-group-version-kind"],
            json!({"group": "", "version": "v1", "kind": "Pod"})
        );
        let parameters: Vec<&str> = patch["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["name"].as_str().unwrap())
            .collect();
        for name in ["dryRun", "fieldValidation", "fieldManager", "force"] {
            assert!(parameters.contains(&name), "{name}");
        }
        assert!(
            patch["requestBody"]["content"]
                .get("application/strategic-merge-patch+json")
                .is_some()
        );
        let spec = &core["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"];
        let containers = &spec["properties"]["containers"];
        assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
        assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
        assert_eq!(
            core["components"]["schemas"]["io.k8s.api.core.v1.Pod"]["x-kubernetes-group-version-kind"]
                [0]["kind"],
            "Pod"
        );
    }
}
