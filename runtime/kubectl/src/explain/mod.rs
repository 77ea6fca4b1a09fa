//! Text from an OpenAPI document: what a kind or one of its fields is for, and which fields it has. Pure.
// upstream: kubectl/pkg/explain/v2/templates/plaintext.tmpl

pub mod classic;
mod wrap;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::print::go;
use wrap::wrap;

/// The width of descriptions.
const WIDTH: usize = 78;
/// How many values of an enumeration a list of fields shows.
const ENUM: usize = 4;

/// What is to be explained.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// API group; empty for the core.
    pub group: &'a str,
    /// API version.
    pub version: &'a str,
    /// Plural.
    pub resource: &'a str,
    /// The fields that lead to the one in question.
    pub path: &'a [String],
    /// Names of all fields below, without their descriptions.
    pub recursive: bool,
}

/// The explanation, or as much of it as there is before a mistake is found.
pub fn explain(document: &Value, asked: &Asked<'_>) -> (String, Option<String>) {
    let Some(kind) = kind_of(document, asked) else {
        return (String::new(), Some(format!("GVR ({}/{}, Resource={}) not found in OpenAPI schema", asked.group, asked.version, asked.resource)));
    };
    let text = |field: &str| kind[field].as_str().unwrap_or_default();
    let mut out = if text("group").is_empty() { String::new() } else { format!("GROUP:      {}\n", text("group")) };
    out.push_str(&format!("KIND:       {}\nVERSION:    {}\n\n", text("kind"), text("version")));
    let schemas = document["components"]["schemas"].as_object().into_iter().flatten();
    let own = schemas.map(|(_, schema)| schema).find(|schema| schema["x-kubernetes-group-version-kind"].as_array().is_some_and(|kinds| kinds.contains(kind)));
    let Some(schema) = own else {
        return (out, Some(format!("GVK {} not found in OpenAPI schema", go::print(kind))));
    };
    let explained = Explainer { document, recursive: asked.recursive }.output(schema, asked.path, &BTreeSet::new());
    if explained.is_empty() {
        let field = asked.path.last().map_or("", String::as_str);
        return (out, Some(format!("field {field:?} does not exist")));
    }
    out.push_str(&explained);
    out.push('\n');
    (out, None)
}

/// The kind of a resource, from the operations on its paths.
fn kind_of<'a>(document: &'a Value, asked: &Asked<'_>) -> Option<&'a Value> {
    let root = if asked.group.is_empty() { format!("/api/{}", asked.version) } else { format!("/apis/{}/{}", asked.group, asked.version) };
    let resource = asked.resource;
    let paths = [
        format!("{root}/{resource}"),
        format!("{root}/{resource}/{{name}}"),
        format!("{root}/namespaces/{{namespace}}/{resource}"),
        format!("{root}/namespaces/{{namespace}}/{resource}/{{name}}"),
    ];
    let operations = paths.iter().flat_map(|path| ["get", "post", "put", "patch", "delete"].iter().map(move |method| &document["paths"][path][*method]));
    operations.map(|operation| &operation["x-kubernetes-group-version-kind"]).find(|kind| !kind.is_null())
}

struct Explainer<'a> {
    document: &'a Value,
    recursive: bool,
}

impl<'a> Explainer<'a> {
    /// What a reference points to, or the schema itself.
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let target = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')).and_then(|pointer| self.document.pointer(pointer));
        target.unwrap_or(schema)
    }

    /// The explanation of the schema at the end of a path; empty when there is none.
    fn output(&self, schema: &'a Value, path: &[String], history: &BTreeSet<&'a str>) -> String {
        let reference = schema["$ref"].as_str();
        let resolved = self.resolved(schema);
        let Some((field, rest)) = path.split_first() else { return self.described(resolved) };
        if reference.is_some_and(|reference| history.contains(reference)) {
            return String::new();
        }
        let mut history = history.clone();
        history.extend(reference);
        let inner = &resolved["properties"][field];
        if !inner.is_null() {
            let mut text = String::new();
            if rest.is_empty() {
                text.push_str(&format!("FIELD: {field} <{}>\n{}\n\n", self.kind(inner), enumeration(inner)));
            }
            return text + &self.output(inner, rest, &BTreeSet::new());
        }
        if !resolved["items"].is_null() {
            return self.output(&resolved["items"], path, &history);
        }
        if resolved["additionalProperties"].is_object() {
            return self.output(&resolved["additionalProperties"], path, &history);
        }
        let alternatives = resolved["allOf"].as_array().into_iter().flatten();
        alternatives.map(|schema| self.output(schema, path, &history)).find(|text| !text.is_empty()).unwrap_or_default()
    }

    fn described(&self, schema: &'a Value) -> String {
        let description = self.description(schema);
        let description = if description.is_empty() { "<empty>" } else { &description };
        let mut text = format!("DESCRIPTION:\n{}\n", indent(4, &wrap(76, description)));
        let mut fields = String::new();
        self.fields(schema, 1, &BTreeSet::new(), &mut fields);
        if !fields.is_empty() {
            text.push_str("FIELDS:\n");
            text.push_str(&fields);
        }
        text
    }

    /// The descriptions of a schema and of what it is made of, a line each.
    fn description(&self, schema: &'a Value) -> String {
        let resolved = self.resolved(schema);
        let mut text = resolved["description"].as_str().filter(|text| !text.is_empty()).map(|text| format!("{text}\n")).unwrap_or_default();
        for part in resolved["allOf"].as_array().into_iter().flatten() {
            text.push_str(&self.description(part));
        }
        for part in [&resolved["items"], &resolved["additionalProperties"]].into_iter().filter(|part| part.is_object()) {
            text.push_str(&self.description(part));
        }
        text
    }

    /// The fields of a schema, with those below them when asked for; a schema within itself is not shown again.
    fn fields(&self, schema: &'a Value, level: usize, history: &BTreeSet<&'a str>, out: &mut String) {
        let reference = schema["$ref"].as_str();
        if reference.is_some_and(|reference| history.contains(reference)) {
            return;
        }
        let mut history = history.clone();
        history.extend(reference);
        let resolved = self.resolved(schema);
        let mut properties: Vec<(&String, &Value)> = resolved["properties"].as_object().into_iter().flatten().collect();
        properties.sort_by_key(|(name, _)| name.as_str());
        for (name, field) in properties {
            self.field(name, field, resolved, level, out);
            if self.recursive {
                self.fields(field, level + 1, &history, out);
            }
        }
        for part in resolved["allOf"].as_array().into_iter().flatten() {
            self.fields(part, level, &history, out);
        }
        for part in [&resolved["items"], &resolved["additionalProperties"]].into_iter().filter(|part| part.is_object()) {
            self.fields(part, level, &history, out);
        }
    }

    fn field(&self, name: &str, field: &'a Value, owner: &Value, level: usize, out: &mut String) {
        let indentation = level * 2;
        out.push_str(&format!("{}\t<{}>", indent(indentation, name), self.kind(field)));
        if owner["required"].as_array().is_some_and(|required| required.iter().any(|own| own == name)) {
            out.push_str(" -required-");
        }
        out.push_str(&short_enumeration(field, indentation));
        out.push('\n');
        if !self.recursive {
            let description = field["description"].as_str().filter(|text| !text.is_empty()).unwrap_or("<no description>");
            out.push_str(&indent(indentation + 2, &wrap(WIDTH - indentation, description)));
            out.push_str("\n\n");
        }
    }

    /// `[]Container`, `map[string]string`, `integer`.
    fn kind(&self, schema: &'a Value) -> String {
        if schema["items"].is_object() {
            return format!("[]{}", self.kind(&schema["items"]));
        }
        if schema["additionalProperties"].is_object() {
            return format!("map[string]{}", self.kind(&schema["additionalProperties"]));
        }
        if let Some([only]) = schema["allOf"].as_array().map(Vec::as_slice)
            && schema["properties"].is_null()
        {
            return self.kind(only);
        }
        let named = |kind: &Value| match kind.as_str() {
            None | Some("" | "object") => "Object".to_owned(),
            Some(kind) => kind.to_owned(),
        };
        let Some(reference) = schema["$ref"].as_str() else { return named(&schema["type"]) };
        let target = self.document.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null);
        if target["type"].is_null() || target["type"] == "object" {
            let last = reference.rsplit('/').next().unwrap_or_default().rsplit('.').next().unwrap_or_default();
            return if last.is_empty() { "Object".to_owned() } else { last.to_owned() };
        }
        named(&target["type"])
    }
}

fn value(value: &Value) -> String {
    if value == "" { "\"\"".to_owned() } else { go::print(value) }
}

/// All values of an enumeration, a line each.
fn enumeration(schema: &Value) -> String {
    let values: Vec<String> = schema["enum"].as_array().into_iter().flatten().map(|own| format!("\n    {}", value(own))).collect();
    if values.is_empty() { String::new() } else { format!("ENUM:{}", values.concat()) }
}

/// The first values of an enumeration, on a line below the field.
fn short_enumeration(schema: &Value, indentation: usize) -> String {
    let values: Vec<String> = schema["enum"].as_array().into_iter().flatten().map(value).collect();
    if values.is_empty() {
        return String::new();
    }
    let more = if values.len() > ENUM { ", ...." } else { "" };
    format!("\n{}enum: {}{more}", " ".repeat(indentation), values[..values.len().min(ENUM)].join(", "))
}

fn indent(amount: usize, text: &str) -> String {
    let pad = " ".repeat(amount);
    format!("{pad}{}", text.replace('\n', &format!("\n{pad}")))
}
