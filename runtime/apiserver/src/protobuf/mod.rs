//! Request bodies in Kubernetes' protobuf encoding, turned into JSON at the door.
//!
//! `kubectl create` and typed Go clients write the built-in kinds in protobuf and do not fall back to JSON, so a server that speaks to stock
//! kubectl must read it. Nobody insists on getting it: answers are JSON, which every client accepts beside it. A table of messages
//! (`fields.txt`) drives one small reader; nothing here knows a kind.
//! upstream: staging/src/k8s.io/apimachinery/pkg/runtime/serializer/protobuf/protobuf.go

pub(crate) mod gnostic;

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine;
use drydock_primitives::time;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The media type.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

const MAGIC: &[u8; 4] = b"k8s\0";
/// Deeper than any kind goes.
const MAX_DEPTH: u32 = 64;

/// Why bytes are no object.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ProtobufError {
    /// The four bytes of the envelope are missing.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Prefix,
    /// It ends too early, or nests too deep.
    #[error("proto: unexpected EOF or illegal field in {0}")]
    Malformed(String),
    /// A kind the table does not have.
    #[error("no kind {kind:?} is registered for version {version:?} in protobuf")]
    Unknown {
        /// apiVersion.
        version: String,
        /// Kind.
        kind: String,
    },
}

struct Field {
    name: &'static str,
    shape: Shape,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    One,
    List,
    Map,
}

enum Kind {
    String,
    Bytes,
    Int,
    Bool,
    Double,
    Time { micro: bool },
    Quantity,
    IntOrString,
    Strings,
    Raw,
    Message(String),
}

type Message = HashMap<u64, Field>;

static MESSAGES: LazyLock<HashMap<&'static str, Message>> = LazyLock::new(|| {
    let lines = include_str!("fields.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(message).collect()
});

fn message(line: &'static str) -> Option<(&'static str, Message)> {
    let (name, fields) = line.split_once(' ')?;
    let package = name.split_once('.')?.0;
    let fields = fields.split(' ').filter_map(|field| {
        let mut parts = field.splitn(3, ':');
        let (number, name, kind) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
        let (shape, kind) = match kind.as_bytes().first()? {
            b'*' => (Shape::List, &kind[1..]),
            b'%' => (Shape::Map, &kind[1..]),
            _ => (Shape::One, kind),
        };
        Some((number, Field { name, shape, kind: parse_kind(package, kind) }))
    });
    Some((name, fields.collect()))
}

fn parse_kind(package: &str, text: &str) -> Kind {
    match text {
        "string" => Kind::String,
        "bytes" => Kind::Bytes,
        "int" => Kind::Int,
        "bool" => Kind::Bool,
        "double" => Kind::Double,
        "time" => Kind::Time { micro: false },
        "microtime" => Kind::Time { micro: true },
        "quantity" => Kind::Quantity,
        "intorstring" => Kind::IntOrString,
        "strings" => Kind::Strings,
        "raw" => Kind::Raw,
        message if message.contains('.') => Kind::Message(message.to_owned()),
        message => Kind::Message(format!("{package}.{message}")),
    }
}

/// A value as it is on the wire.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of one message, in order.
struct Fields<'a> {
    rest: &'a [u8],
    of: &'a str,
}

impl<'a> Fields<'a> {
    fn malformed(&self) -> ProtobufError {
        ProtobufError::Malformed(self.of.to_owned())
    }

    fn varint(&mut self) -> Result<u64, ProtobufError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or_else(|| self.malformed())?;
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.malformed())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], ProtobufError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.malformed())?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed(&mut self, width: usize) -> Result<u64, ProtobufError> {
        let bytes = self.take(width)?;
        Ok(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn next(&mut self) -> Result<Option<(u64, Wire<'a>)>, ProtobufError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Wire::Number(self.varint()?),
            1 => Wire::Number(self.fixed(8)?),
            5 => Wire::Number(self.fixed(4)?),
            2 => {
                let length = self.varint()?;
                Wire::Bytes(self.take(usize::try_from(length).map_err(|_range| self.malformed())?)?)
            }
            _ => return Err(self.malformed()),
        };
        Ok(Some((tag >> 3, value)))
    }
}

/// The raw values of a message, by number; later ones win.
fn small<'a>(bytes: &'a [u8], of: &'a str) -> Result<HashMap<u64, Wire<'a>>, ProtobufError> {
    let mut fields = Fields { rest: bytes, of };
    let mut values = HashMap::new();
    while let Some((number, value)) = fields.next()? {
        values.insert(number, value);
    }
    Ok(values)
}

fn number(values: &HashMap<u64, Wire<'_>>, field: u64) -> i64 {
    match values.get(&field) {
        Some(Wire::Number(number)) => number.cast_signed(),
        _ => 0,
    }
}

fn text(values: &HashMap<u64, Wire<'_>>, field: u64) -> String {
    match values.get(&field) {
        Some(Wire::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}

/// Reads an object in its envelope.
pub(crate) fn decode(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let envelope = bytes.strip_prefix(MAGIC).ok_or(ProtobufError::Prefix)?;
    let envelope = small(envelope, "Unknown")?;
    let Some(Wire::Bytes(kind)) = envelope.get(&1) else { return Err(ProtobufError::Malformed("Unknown".to_owned())) };
    let kind = small(kind, "TypeMeta")?;
    let (version, kind) = (text(&kind, 1), text(&kind, 2));
    let raw = match envelope.get(&2) {
        Some(Wire::Bytes(raw)) => raw,
        _ => &[][..],
    };
    let (group, short) = version.split_once('/').unwrap_or(("core", &version));
    let package = if kind == "DeleteOptions" { "meta/v1".to_owned() } else { format!("{}/{short}", group.split('.').next().unwrap_or_default()) };
    let name = format!("{package}.{kind}");
    if !MESSAGES.contains_key(name.as_str()) {
        return Err(ProtobufError::Unknown { version, kind });
    }
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), version.into());
    object.insert("kind".to_owned(), kind.into());
    read(&name, raw, &mut object, 0)?;
    Ok(Value::Object(object))
}

fn read(name: &str, bytes: &[u8], object: &mut Map<String, Value>, depth: u32) -> Result<(), ProtobufError> {
    // A message the table leaves out belongs to a feature that is off.
    let Some(message) = MESSAGES.get(name) else { return Ok(()) };
    let mut fields = Fields { rest: bytes, of: name };
    if depth > MAX_DEPTH {
        return Err(fields.malformed());
    }
    while let Some((number, wire)) = fields.next()? {
        let Some(field) = message.get(&number) else { continue };
        if let (Kind::Message(own), "", Wire::Bytes(bytes)) = (&field.kind, field.name, &wire) {
            read(own, bytes, object, depth + 1)?;
            continue;
        }
        match field.shape {
            Shape::One => {
                let value = value(field, &wire, name, depth)?;
                object.insert(field.name.to_owned(), value);
            }
            Shape::List => {
                let value = value(field, &wire, name, depth)?;
                if let Value::Array(list) = object.entry(field.name).or_insert_with(|| json!([])) {
                    list.push(value);
                }
            }
            Shape::Map => {
                let Wire::Bytes(entry) = wire else { return Err(fields.malformed()) };
                let entry = small(entry, name)?;
                let value = match entry.get(&2) {
                    Some(wire) => value(field, wire, name, depth)?,
                    None => value(field, &Wire::Bytes(&[]), name, depth)?,
                };
                if let Value::Object(map) = object.entry(field.name).or_insert_with(|| json!({})) {
                    map.insert(text(&entry, 1), value);
                }
            }
        }
    }
    Ok(())
}

fn value(field: &Field, wire: &Wire<'_>, of: &str, depth: u32) -> Result<Value, ProtobufError> {
    let malformed = || ProtobufError::Malformed(of.to_owned());
    Ok(match (&field.kind, wire) {
        (Kind::Int, Wire::Number(number)) => number.cast_signed().into(),
        (Kind::Bool, Wire::Number(number)) => (*number != 0).into(),
        (Kind::Double, Wire::Number(number)) => f64::from_bits(*number).into(),
        (Kind::String, Wire::Bytes(bytes)) => std::str::from_utf8(bytes).map_err(|_utf8| malformed())?.into(),
        (Kind::Bytes, Wire::Bytes(bytes)) => base64::engine::general_purpose::STANDARD.encode(bytes).into(),
        (Kind::Time { micro }, Wire::Bytes(bytes)) => moment(&small(bytes, of)?, *micro),
        (Kind::Quantity, Wire::Bytes(bytes)) => text(&small(bytes, of)?, 1).into(),
        (Kind::IntOrString, Wire::Bytes(bytes)) => {
            let values = small(bytes, of)?;
            if number(&values, 1) == 1 { text(&values, 3).into() } else { number(&values, 2).into() }
        }
        (Kind::Strings, Wire::Bytes(bytes)) => {
            let mut fields = Fields { rest: bytes, of };
            let mut list = Vec::new();
            while let Some((_, wire)) = fields.next()? {
                if let Wire::Bytes(bytes) = wire {
                    list.push(Value::from(String::from_utf8_lossy(bytes)));
                }
            }
            list.into()
        }
        (Kind::Raw, Wire::Bytes(bytes)) => match small(bytes, of)?.get(&1) {
            Some(Wire::Bytes(json)) => serde_json::from_slice(json).map_err(|_json| malformed())?,
            _ => Value::Null,
        },
        (Kind::Message(name), Wire::Bytes(bytes)) => {
            let mut object = Map::new();
            read(name, bytes, &mut object, depth + 1)?;
            Value::Object(object)
        }
        _ => return Err(malformed()),
    })
}

/// Seconds and nanoseconds; the empty message is Go's zero time, which JSON writes as null.
fn moment(values: &HashMap<u64, Wire<'_>>, micro: bool) -> Value {
    let (seconds, nanos) = (number(values, 1), number(values, 2));
    match Timestamp::new(seconds, i32::try_from(nanos).unwrap_or(0)) {
        Ok(at) if !values.is_empty() => if micro { time::micros(at) } else { time::seconds(at) }.into(),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message's bytes, by hand.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let tag = u16::from(number) << 3 | 2;
        let mut out = if tag < 128 { vec![tag as u8] } else { vec![(tag & 0x7f) as u8 | 0x80, (tag >> 7) as u8] };
        out.push(u8::try_from(bytes.len()).unwrap());
        out.extend_from_slice(bytes);
        out
    }

    fn envelope(version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [field(1, version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &meta), field(2, raw), field(3, b""), field(4, b"")].concat()
    }

    #[test]
    fn objects_are_read_by_the_table() {
        let meta = [field(1, b"x"), field(3, b""), field(8, b""), field(11, &[field(1, b"app"), field(2, b"web")].concat())].concat();
        let volume = [field(1, b"v"), field(2, &field(19, &field(1, &field(1, b"settings"))))].concat();
        let port = [field(1, b"p"), vec![3 << 3, 80]].concat();
        let probe = field(1, &field(2, &field(2, &[1 << 3, 0, 2 << 3, 90])));
        let container = [field(1, b"c"), field(6, &port), field(10, &probe)].concat();
        let pod = [field(1, &meta), field(2, &[field(1, &volume), field(2, &container), vec![4 << 3, 30]].concat())].concat();
        let cases = [
            (
                envelope("v1", "Pod", &pod),
                json!({
                    "apiVersion": "v1", "kind": "Pod",
                    "metadata": {"name": "x", "namespace": "", "creationTimestamp": null, "labels": {"app": "web"}},
                    "spec": {
                        "volumes": [{"name": "v", "configMap": {"name": "settings"}}],
                        "containers": [{"name": "c", "ports": [{"name": "p", "containerPort": 80}], "livenessProbe": {"httpGet": {"port": 90}}}],
                        "terminationGracePeriodSeconds": 30,
                    },
                }),
            ),
            (
                envelope("v1", "Secret", &field(2, &[field(1, b"key"), field(2, b"abc")].concat())),
                json!({"apiVersion": "v1", "kind": "Secret", "data": {"key": "YWJj"}}),
            ),
            (
                envelope("apps/v1", "DeleteOptions", &[vec![1 << 3, 5], field(4, b"Background")].concat()),
                json!({"apiVersion": "apps/v1", "kind": "DeleteOptions", "gracePeriodSeconds": 5, "propagationPolicy": "Background"}),
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(decode(&bytes).unwrap(), expected);
            for end in 4..bytes.len() {
                // Cut anywhere it is refused or shorter, never a panic.
                drop(decode(&bytes[..end]));
            }
        }
        assert_eq!(decode(b"{}"), Err(ProtobufError::Prefix));
        assert!(matches!(decode(&envelope("v1", "Pud", b"")), Err(ProtobufError::Unknown { .. })));
    }

    #[test]
    fn any_bytes_are_an_object_or_refused() {
        use rand::{Rng, SeedableRng};
        let mut random = rand::rngs::StdRng::seed_from_u64(4747);
        for _ in 0..20_000 {
            let raw: Vec<u8> = (0..random.random_range(0..100)).map(|_| random.random_range(0..40)).collect();
            let mut bytes = envelope("v1", "Pod", &raw);
            let place = random.random_range(4..bytes.len());
            bytes[place] = random.random();
            drop(decode(&bytes));
        }
    }

    #[test]
    fn every_message_the_table_names_is_one_or_is_skipped() {
        let skipped = ["scheduling/v1alpha3"];
        for (name, fields) in MESSAGES.iter() {
            for field in fields.values() {
                if let Kind::Message(own) = &field.kind {
                    let known = MESSAGES.contains_key(own.as_str()) || skipped.iter().any(|package| own.starts_with(package));
                    assert!(known, "{name}.{} is a {own}", field.name);
                }
            }
        }
    }
}
