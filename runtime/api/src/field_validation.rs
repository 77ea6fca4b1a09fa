//! Reading request bodies with their duplicate keys noted.
//!
//! JSON objects forget that a key came twice; strict and warning field validation must not. [`parse`] keeps the last value, as
//! upstream does, and says what was repeated. Unknown fields and wrong types are found by [`crate::decode`].
// upstream: sigs.k8s.io/json (UnmarshalStrict), apimachinery/pkg/runtime/serializer/json

use std::fmt;

use drydock_primitives::yaml;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::write::Format;

/// A text read with its duplicate keys noted.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The value; of duplicates the last wins.
    pub value: Value,
    /// `duplicate field "spec.foo"` (JSON) or `line 5: key "foo" already set in map` (YAML), in order.
    pub duplicates: Vec<String>,
}

/// Reads a body in either format.
pub fn parse(body: &[u8], format: Format) -> Result<Parsed, String> {
    match format {
        Format::Json => parse_json(body),
        Format::Yaml => parse_yaml(body),
    }
}

/// Reads JSON.
pub fn parse_json(body: &[u8]) -> Result<Parsed, String> {
    let mut noted = Noted {
        path: String::new(),
        duplicates: Vec::new(),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = Node(&mut noted)
        .deserialize(&mut deserializer)
        .and_then(|v| deserializer.end().map(|()| v));
    match value {
        Ok(value) => Ok(Parsed {
            value,
            duplicates: noted.duplicates,
        }),
        Err(error) if error.is_eof() => Err("unexpected end of JSON input".to_owned()),
        Err(error) => Err(go_syntax_error(body, &error)),
    }
}

/// Go names the offending character; serde names the position.
fn go_syntax_error(body: &[u8], error: &serde_json::Error) -> String {
    let line_start = body
        .split_inclusive(|b| *b == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum::<usize>();
    let at = (line_start + error.column()).saturating_sub(1);
    let before = body.get(..at).unwrap_or_default();
    let before = before.iter().rev().find(|byte| !byte.is_ascii_whitespace());
    let wanted = match before {
        Some(b'{') => "object key string",
        _ => "value",
    };
    match body.get(at) {
        Some(b'\'') => format!("invalid character '\\'' looking for beginning of {wanted}"),
        Some(byte) => format!(
            "invalid character '{}' looking for beginning of {wanted}",
            char::from(*byte)
        ),
        None => error.to_string(),
    }
}

/// Reads the first YAML document.
pub fn parse_yaml(body: &[u8]) -> Result<Parsed, String> {
    let text =
        std::str::from_utf8(body).map_err(|_| "yaml: invalid leading UTF-8 octet".to_owned())?;
    let documents =
        yaml::documents(text).map_err(|error| format!("error converting YAML to JSON: {error}"))?;
    let Some(document) = documents.into_iter().find(|d| !d.value.is_null()) else {
        return Ok(Parsed {
            value: Value::Null,
            duplicates: Vec::new(),
        });
    };
    let duplicates: Vec<String> = document
        .duplicates
        .iter()
        .map(|d| format!("line {}: key {:?} already set in map", d.line, d.key))
        .collect();
    let duplicates = if duplicates.is_empty() {
        duplicates
    } else {
        vec![format!(
            "yaml: unmarshal errors:\n  {}",
            duplicates.join("\n  ")
        )]
    };
    Ok(Parsed {
        value: document.value,
        duplicates,
    })
}

struct Noted {
    path: String,
    duplicates: Vec<String>,
}

struct Node<'a>(&'a mut Noted);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let noted = self.0;
        let length = noted.path.len();
        let mut list = Vec::new();
        loop {
            noted.path.truncate(length);
            noted.path.push_str(&format!("[{}]", list.len()));
            let Some(item) = items.next_element_seed(Node(noted))? else {
                break;
            };
            list.push(item);
        }
        noted.path.truncate(length);
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let noted = self.0;
        let length = noted.path.len();
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if length > 0 {
                noted.path.push('.');
            }
            noted.path.push_str(&key);
            if map.contains_key(&key) {
                let duplicate = format!("duplicate field {:?}", noted.path);
                if !noted.duplicates.contains(&duplicate) {
                    noted.duplicates.push(duplicate);
                }
            }
            let value = entries.next_value_seed(Node(noted))?;
            noted.path.truncate(length);
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_are_noted_with_their_path() {
        let cases: &[(&str, &[&str])] = &[
            (r#"{"a":1,"b":2}"#, &[]),
            (r#"{"a":1,"a":2}"#, &["duplicate field \"a\""]),
            (
                r#"{"spec":{"c":[{"x":1},{"x":1,"x":2,"x":3}]}}"#,
                &["duplicate field \"spec.c[1].x\""],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(
                parse_json(text.as_bytes()).unwrap().duplicates,
                *expected,
                "{text}"
            );
        }
        assert_eq!(
            parse_json(b"{\"a\":1,\"a\":2}").unwrap().value,
            serde_json::json!({"a": 2})
        );
        assert_eq!(
            parse_yaml(b"a: 1\nb: 2\na: 3\n").unwrap().duplicates,
            ["yaml: unmarshal errors:\n  line 3: key \"a\" already set in map"]
        );
        assert_eq!(
            parse_json(b"{").unwrap_err(),
            "unexpected end of JSON input"
        );
        assert_eq!(
            parse_json(b"{bad").unwrap_err(),
            "invalid character 'b' looking for beginning of object key string"
        );
        assert_eq!(
            parse_json(b"[bad").unwrap_err(),
            "invalid character 'b' looking for beginning of value"
        );
    }
}
