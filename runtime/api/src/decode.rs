//! Values against schemas: unknown fields, wrong types, canonical forms.
//!
//! What Go gets by unmarshalling into a struct and marshalling again, done on values: unknown fields go (and are reported), nulls and
//! empty `omitempty` fields go, quantities, times and base64 are brought to canonical form, plain structs appear as `{}`.
// upstream: encoding/json as forked in sigs.k8s.io/json; the wording of its UnmarshalTypeError

use std::str::FromStr;

use drydock_primitives::{quantity::Quantity, time};
use serde_json::{Map, Value};

use crate::schema::{Definition, Empty, Field, Schema, Type};

/// A value brought to canonical form.
#[derive(Debug)]
pub(crate) struct Canonical {
    /// The value.
    pub value: Value,
    /// `unknown field "spec.foo"`, in order.
    pub unknown: Vec<String>,
}

/// Brings an object to canonical form. The error is the text of Go's decoder.
pub(crate) fn canonical(schema: &Schema, value: Value) -> Result<Canonical, String> {
    let mut decoder = Decoder {
        path: String::new(),
        go_path: String::new(),
        unknown: Vec::new(),
    };
    let root_name = schema.root.go_name.clone();
    let Value::Object(map) = value else {
        return Err(format!(
            "json: cannot unmarshal {} into Go value of type {}",
            go_value(&value),
            Type::Struct(schema.root.clone()).go_name()
        ));
    };
    let value = decoder.object(&schema.root, map, &root_name)?;
    Ok(Canonical {
        value: Value::Object(value),
        unknown: decoder.unknown,
    })
}

struct Decoder {
    /// With indices, as unknown fields are named.
    path: String,
    /// Without indices, as wrong types are named.
    go_path: String,
    unknown: Vec<String>,
}

impl Decoder {
    fn object(
        &mut self,
        definition: &Definition,
        map: Map<String, Value>,
        _parent: &str,
    ) -> Result<Map<String, Value>, String> {
        let mut out = Map::new();
        for (name, value) in map {
            let lengths = self.push(&name);
            match definition.fields.get(&name) {
                None => self.unknown.push(format!("unknown field {:?}", self.path)),
                Some(_) if value.is_null() => {}
                Some(field) => {
                    let value = self.value(&field.kind, value, &definition.go_name, field)?;
                    if !(field.empty == Empty::Dropped && is_empty(&value)) {
                        out.insert(name, value);
                    }
                }
            }
            self.pop(lengths);
        }
        for (name, field) in &definition.fields {
            if field.empty == Empty::Always
                && !out.contains_key(name)
                && let Type::Struct(inner) = &field.kind
            {
                out.insert(
                    name.clone(),
                    Value::Object(self.object(inner, Map::new(), "")?),
                );
            }
        }
        Ok(out)
    }

    fn push(&mut self, name: &str) -> (usize, usize) {
        let lengths = (self.path.len(), self.go_path.len());
        for path in [&mut self.path, &mut self.go_path] {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
        }
        lengths
    }

    fn pop(&mut self, (path, go_path): (usize, usize)) {
        self.path.truncate(path);
        self.go_path.truncate(go_path);
    }

    fn wrong(&self, value: &Value, owner: &str, go_type: &str) -> String {
        format!(
            "json: cannot unmarshal {} into Go struct field {owner}.{} of type {go_type}",
            go_value(value),
            self.go_path
        )
    }

    fn value(
        &mut self,
        kind: &Type,
        value: Value,
        owner: &str,
        field: &Field,
    ) -> Result<Value, String> {
        let fail = |this: &Decoder, value: &Value| {
            let go_type = field
                .go_type
                .clone()
                .filter(|_| matches!(kind, Type::String))
                .unwrap_or_else(|| kind.go_name());
            Err(this.wrong(value, owner, &go_type))
        };
        match (kind, value) {
            (Type::Any, value) => Ok(value),
            (Type::Struct(definition), Value::Object(map)) => {
                Ok(Value::Object(self.object(definition, map, owner)?))
            }
            (Type::Map(item), Value::Object(map)) => self.map(item, map, owner, field),
            (Type::List(item, _), Value::Array(items)) => self.list(item, items, owner, field),
            (Type::String, value @ Value::String(_)) | (Type::Bool, value @ Value::Bool(_)) => {
                Ok(value)
            }
            (Type::Bytes, Value::String(text)) => canonical_base64(&text).map(Value::from),
            (Type::Int32, Value::Number(n)) => match n.as_i64() {
                Some(i) if i32::try_from(i).is_ok() => Ok(Value::Number(n)),
                _ => Err(self
                    .wrong(&Value::String(String::new()), owner, "int32")
                    .replacen("string", &format!("number {n}"), 1)),
            },
            (Type::Int64, Value::Number(n)) => match n.as_i64() {
                Some(_) => Ok(Value::Number(n)),
                None => Err(self
                    .wrong(&Value::String(String::new()), owner, "int64")
                    .replacen("string", &format!("number {n}"), 1)),
            },
            (Type::Number, value @ Value::Number(_)) => Ok(value),
            (Type::Time, Value::String(text)) => {
                canonical_time(&text, "2006-01-02T15:04:05Z07:00", time::seconds)
            }
            (Type::MicroTime, Value::String(text)) => {
                canonical_time(&text, "2006-01-02T15:04:05.000000Z07:00", time::micros)
            }
            (Type::Quantity, Value::String(text)) => canonical_quantity(&text),
            (Type::Quantity, Value::Number(n)) => canonical_quantity(&n.to_string()),
            (Type::Quantity, _) => canonical_quantity("?"),
            (Type::IntOrString, value @ Value::String(_)) => Ok(value),
            (Type::IntOrString, Value::Number(n))
                if n.as_i64().is_some_and(|i| i32::try_from(i).is_ok()) =>
            {
                Ok(Value::Number(n))
            }
            (Type::IntOrString, value) => Err(format!(
                "json: cannot unmarshal {} into Go value of type int32",
                go_value(&value)
            )),
            (Type::Time | Type::MicroTime, value) => Err(format!(
                "json: cannot unmarshal {} into Go value of type string",
                go_value(&value)
            )),
            (_, value) => fail(self, &value),
        }
    }

    fn map(
        &mut self,
        item: &Type,
        map: Map<String, Value>,
        owner: &str,
        field: &Field,
    ) -> Result<Value, String> {
        let mut out = Map::new();
        for (key, value) in map {
            // Map keys are part of the path of unknown fields, not of wrong types.
            let length = self.path.len();
            self.path.push('.');
            self.path.push_str(&key);
            let value = if value.is_null() {
                zero(item)
            } else {
                self.value(item, value, owner, field)?
            };
            out.insert(key, value);
            self.path.truncate(length);
        }
        Ok(Value::Object(out))
    }

    fn list(
        &mut self,
        item: &Type,
        items: Vec<Value>,
        owner: &str,
        field: &Field,
    ) -> Result<Value, String> {
        let mut out = Vec::with_capacity(items.len());
        for (index, value) in items.into_iter().enumerate() {
            let length = self.path.len();
            self.path.push_str(&format!("[{index}]"));
            out.push(if value.is_null() {
                zero(item)
            } else {
                self.value(item, value, owner, field)?
            });
            self.path.truncate(length);
        }
        Ok(Value::Array(out))
    }
}

/// The zero value of a type, which a null list item or map value stands for.
fn zero(kind: &Type) -> Value {
    match kind {
        Type::Struct(_) | Type::Map(_) => Value::Object(Map::new()),
        Type::List(..) => Value::Array(Vec::new()),
        Type::String | Type::Bytes => Value::from(""),
        Type::Int32 | Type::Int64 | Type::Number | Type::IntOrString => Value::from(0),
        Type::Bool => Value::Bool(false),
        Type::Quantity => Value::from("0"),
        Type::Time | Type::MicroTime | Type::Any => Value::Null,
    }
}

/// Whether Go's `omitempty` drops it.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
    }
}

/// What Go calls a JSON value in an UnmarshalTypeError.
pub(crate) fn go_value(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn canonical_quantity(text: &str) -> Result<Value, String> {
    Quantity::from_str(text)
        .map(|q| Value::from(q.to_string()))
        .map_err(|error| error.to_string())
}

fn canonical_time(
    text: &str,
    layout: &str,
    print: fn(jiff::Timestamp) -> String,
) -> Result<Value, String> {
    match time::parse(text) {
        Some(timestamp) => Ok(Value::from(print(timestamp))),
        None => Err(format!(
            "parsing time {text:?} as {layout:?}: cannot parse {text:?} as \"2006\""
        )),
    }
}

/// Checks base64 as Go's StdEncoding does; line breaks are dropped.
fn canonical_base64(text: &str) -> Result<String, String> {
    let clean: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    let body = clean.trim_end_matches('=').len();
    let padding = clean.len() - body;
    if let Some(at) = clean.bytes().take(body).position(|b| !fine(b)) {
        return Err(format!("illegal base64 data at input byte {at}"));
    }
    let short = !clean.len().is_multiple_of(4);
    if short || padding > 2 || body % 4 == 1 {
        let at = if padding > 2 {
            body + 2
        } else {
            clean.len() / 4 * 4
        };
        return Err(format!("illegal base64 data at input byte {at}"));
    }
    Ok(clean)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{
        apps::v1::Deployment,
        core::v1::{Pod, Secret},
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn wrong_types_read_as_gos() {
        let deployment = Schema::of::<Deployment>();
        let pod = Schema::of::<Pod>();
        let secret = Schema::of::<Secret>();
        let cases = [
            (
                &deployment,
                json!({"spec": {"replicas": "3"}}),
                "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                &pod,
                json!({"spec": {"containers": {"name": "a"}}}),
                "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
            ),
            (
                &pod,
                json!({"spec": {"containers": [{"command": "sh"}]}}),
                "json: cannot unmarshal string into Go struct field Container.spec.containers.command of type []string",
            ),
            (
                &pod,
                json!({"spec": {"containers": [{"env": [{"value": true}]}]}}),
                "json: cannot unmarshal bool into Go struct field EnvVar.spec.containers.env.value of type string",
            ),
            (
                &pod,
                json!({"metadata": {"labels": {"a": 1}}}),
                "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
            ),
            (
                &pod,
                json!({"spec": {"restartPolicy": 1}}),
                "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
            ),
            (
                &secret,
                json!({"data": {"a": "###"}}),
                "illegal base64 data at input byte 0",
            ),
        ];
        for (schema, value, expected) in cases {
            assert_eq!(canonical(schema, value).unwrap_err(), expected);
        }
    }

    #[test]
    fn values_come_out_as_go_would_write_them() {
        let pod = Schema::of::<Pod>();
        let given = json!({"metadata": {"creationTimestamp": null, "labels": {}}, "spec": {"hostNetwork": false, "foo": 1, "containers": [
            {"name": "a", "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}}, "bar": 2, "securityContext": {"privileged": false}}, {"name": "b", "env": []}]}});
        let canonical = canonical(&pod, given).unwrap();
        assert_eq!(
            canonical.unknown,
            [
                "unknown field \"spec.containers[0].bar\"",
                "unknown field \"spec.foo\""
            ]
        );
        assert_eq!(
            canonical.value,
            json!({"metadata": {}, "status": {}, "spec": {"containers": [
                {"name": "a", "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}, "securityContext": {"privileged": false}},
                {"name": "b", "resources": {}}]}})
        );
    }
}
