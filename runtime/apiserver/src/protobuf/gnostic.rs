//! The OpenAPI v2 document in the protobuf form of gnostic: what kubectl and helm ask for when they want schemas of kinds whose group
//! version they do not find in v3, or validate on their own.
//!
//! Written are definitions, and of paths the operations with their query parameters and extensions; examples, responses and body
//! parameters are left out, because no client of Kubernetes reads them from here.

use serde_json::Value;

/// The media type. upstream: k8s.io/kube-openapi/pkg/handler/handler.go
pub(crate) const MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// The same as clients still ask for it, which is no valid media type.
pub(crate) const OLD_MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// A message being written. Empty texts and false are not written, as in proto3.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn varint(&mut self, mut number: u64) {
        loop {
            let low = (number & 0x7f) as u8;
            number >>= 7;
            if number == 0 {
                return self.bytes.push(low);
            }
            self.bytes.push(low | 0x80);
        }
    }

    fn raw(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u64, value: &Value) {
        if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
            self.raw(field, text.as_bytes());
        }
    }

    fn texts(&mut self, field: u64, value: &Value) {
        for text in value.as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.raw(field, text.as_bytes());
        }
    }

    fn flag(&mut self, field: u64, value: &Value) {
        if value == true {
            self.varint(field << 3);
            self.varint(1);
        }
    }

    fn integer(&mut self, field: u64, value: &Value) {
        if let Some(number) = value.as_i64().filter(|number| *number != 0) {
            self.varint(field << 3);
            self.varint(number.cast_unsigned());
        }
    }

    fn double(&mut self, field: u64, value: &Value) {
        if let Some(number) = value.as_f64().filter(|number| *number != 0.0) {
            self.varint(field << 3 | 1);
            self.bytes.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn message(&mut self, field: u64, write: impl FnOnce(&mut Writer)) {
        let mut inner = Writer::default();
        write(&mut inner);
        self.raw(field, &inner.bytes);
    }

    /// `Any`: any value as YAML, of which JSON is a part.
    fn any(&mut self, field: u64, value: &Value) {
        if !value.is_null() {
            self.message(field, |any| any.raw(2, value.to_string().as_bytes()));
        }
    }

    /// A named message: an entry of one of gnostic's ordered maps.
    fn named(&mut self, field: u64, name: &str, write: impl FnOnce(&mut Writer)) {
        self.message(field, |entry| {
            entry.raw(1, name.as_bytes());
            entry.message(2, write);
        });
    }

    fn extensions(&mut self, field: u64, value: &Value) {
        let all = value.as_object().into_iter().flatten();
        for (name, value) in all.filter(|(name, _)| name.starts_with("x-")) {
            self.message(field, |entry| {
                entry.raw(1, name.as_bytes());
                entry.any(2, value);
            });
        }
    }
}

/// Encodes an OpenAPI v2 document.
pub(crate) fn encode(document: &Value) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.text(1, &document["swagger"]);
    writer.message(2, |info| {
        info.text(1, &document["info"]["title"]);
        info.text(2, &document["info"]["version"]);
    });
    writer.message(8, |paths| {
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            paths.named(2, path, |writer| path_item(writer, item));
        }
    });
    writer.message(9, |definitions| {
        for (name, definition) in document["definitions"].as_object().into_iter().flatten() {
            definitions.named(1, name, |writer| schema(writer, definition));
        }
    });
    writer.bytes
}

fn path_item(writer: &mut Writer, item: &Value) {
    for (field, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (6, "options"), (7, "head"), (8, "patch")] {
        if item[method].is_object() {
            writer.message(field, |writer| operation(writer, &item[method]));
        }
    }
    parameters(writer, 9, &item["parameters"]);
    writer.extensions(10, item);
}

fn operation(writer: &mut Writer, operation: &Value) {
    writer.texts(1, &operation["tags"]);
    writer.text(3, &operation["description"]);
    writer.text(5, &operation["operationId"]);
    writer.texts(6, &operation["produces"]);
    writer.texts(7, &operation["consumes"]);
    parameters(writer, 8, &operation["parameters"]);
    writer.texts(10, &operation["schemes"]);
    writer.extensions(13, operation);
}

fn parameters(writer: &mut Writer, field: u64, parameters: &Value) {
    let all = parameters.as_array().into_iter().flatten();
    for parameter in all.filter(|parameter| parameter["in"] == "query") {
        // ParametersItem, Parameter, NonBodyParameter, QueryParameterSubSchema
        writer.message(field, |item| {
            item.message(1, |either| {
                either.message(2, |kind| {
                    kind.message(3, |query| {
                        query.text(2, &parameter["in"]);
                        query.text(3, &parameter["description"]);
                        query.text(4, &parameter["name"]);
                        query.text(6, &parameter["type"]);
                        query.flag(20, &parameter["uniqueItems"]);
                    });
                });
            });
        });
    }
}

fn schema(writer: &mut Writer, own: &Value) {
    writer.text(1, &own["$ref"]);
    writer.text(2, &own["format"]);
    writer.text(3, &own["title"]);
    writer.text(4, &own["description"]);
    writer.any(5, &own["default"]);
    writer.double(7, &own["maximum"]);
    writer.double(9, &own["minimum"]);
    writer.integer(11, &own["maxLength"]);
    writer.integer(12, &own["minLength"]);
    writer.text(13, &own["pattern"]);
    writer.integer(14, &own["maxItems"]);
    writer.integer(15, &own["minItems"]);
    writer.flag(16, &own["uniqueItems"]);
    writer.texts(19, &own["required"]);
    for value in own["enum"].as_array().into_iter().flatten() {
        writer.any(20, value);
    }
    match &own["additionalProperties"] {
        Value::Bool(allowed) => writer.message(21, |item| item.flag(2, &Value::Bool(*allowed))),
        additional @ Value::Object(_) => writer.message(21, |item| item.message(1, |writer| schema(writer, additional))),
        _ => {}
    }
    match &own["type"] {
        text @ Value::String(_) => writer.message(22, |item| item.text(1, text)),
        list @ Value::Array(_) => writer.message(22, |item| item.texts(1, list)),
        _ => {}
    }
    if own["items"].is_object() {
        writer.message(23, |item| item.message(1, |writer| schema(writer, &own["items"])));
    }
    for part in own["allOf"].as_array().into_iter().flatten() {
        writer.message(24, |writer| schema(writer, part));
    }
    if let Some(properties) = own["properties"].as_object() {
        writer.message(25, |writer| {
            for (name, property) in properties {
                writer.named(1, name, |writer| schema(writer, property));
            }
        });
    }
    writer.extensions(31, own);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_definition_is_written_field_by_field() {
        let document = json!({"swagger": "2.0", "definitions": {"A": {"type": "object", "required": ["b"], "x-k": [1]}}});
        let expected = b"\x0a\x032.0\x12\x00\x42\x00\x4a\x25\x0a\x23\x0a\x01A\x12\x1e\x9a\x01\x01b\xb2\x01\x08\x0a\x06object\xfa\x01\x0c\x0a\x03x-k\x12\x05\x12\x03[1]";
        assert_eq!(encode(&document), expected);
    }
}
