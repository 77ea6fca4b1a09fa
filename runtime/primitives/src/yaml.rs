//! YAML as Kubernetes reads it: YAML 1.1 through `sigs.k8s.io/yaml`, turned into JSON.
//!
//! `yes`, `on` and `y` are booleans, `0400` is 256, `<<` merges, a date is a text; a key given twice is reported with its path and line, and the
//! last one counts.
// upstream: sigs.k8s.io/yaml/yaml.go, goyaml.v2/resolve.go

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use serde_json::{Map, Number, Value};
use thiserror::Error;

/// The most nodes that one text may expand to through its aliases.
const MAX_NODES: usize = 1_000_000;
const MAX_DEPTH: usize = 200;

/// One document of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What it says; null when it is empty.
    pub value: Value,
    /// The line of its first node.
    pub line: usize,
    /// Keys that were given more than once.
    pub duplicates: Vec<Duplicate>,
}

/// A key that was given more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Where, such as `spec.containers[0].image`.
    pub path: String,
    /// The key.
    pub key: String,
    /// The line of the repetition.
    pub line: usize,
}

/// Why a text is not YAML that Kubernetes accepts.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// The text is no YAML.
    #[error("yaml: line {line}: {message}")]
    Syntax {
        /// Where.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// JSON has no such value.
    #[error("json: unsupported value: {0}")]
    Unsupported(String),
    /// JSON has no such key.
    #[error("unsupported map key of type: {0}")]
    Key(&'static str),
    /// `<<` on something that is no mapping.
    #[error("yaml: map merge requires map or sequence of maps as the value")]
    Merge,
    /// An alias without an anchor.
    #[error("yaml: unknown anchor referenced")]
    Anchor,
    /// The text expands beyond reason.
    #[error("yaml: document contains excessive aliasing")]
    TooLarge,
}

/// Every document that is not empty.
pub fn parse_documents(text: &str) -> Result<Vec<Value>, Error> {
    Ok(documents(text)?.into_iter().map(|document| document.value).filter(|value| !value.is_null()).collect())
}

/// The first document; null when there is none.
pub fn parse(text: &str) -> Result<Value, Error> {
    Ok(documents(text)?.into_iter().next().map_or(Value::Null, |document| document.value))
}

/// Every document with its lines and repeated keys.
pub fn documents(text: &str) -> Result<Vec<Document>, Error> {
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    let mut documents = Vec::new();
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            first => {
                reader.anchors.clear();
                let line = span.start.line();
                let node = reader.node(first, span, 0)?;
                let mut place = Place { path: String::new(), duplicates: Vec::new(), nodes: 0 };
                let value = place.value(&node)?;
                documents.push(Document { value, line, duplicates: place.duplicates });
            }
        }
    }
    Ok(documents)
}

/// A node before it becomes JSON; keys may still repeat. Shared, so that an alias costs nothing until it is written out.
#[derive(Clone, Debug)]
enum Node {
    Scalar(Scalar),
    Sequence(Rc<Vec<Node>>),
    Mapping(Rc<Vec<(Node, Node, usize)>>),
}

#[derive(Clone, Debug, PartialEq)]
enum Scalar {
    Null,
    Bool(bool),
    Number(Number),
    /// A float that JSON cannot hold.
    Infinite(String),
    Text(String),
    Merge,
}

struct Reader<'text> {
    parser: Parser<'text, saphyr_parser::StrInput<'text>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'text> Reader<'text> {
    fn next(&mut self) -> Result<Option<(Event<'text>, Span)>, Error> {
        self.parser.next().transpose().map_err(|error| syntax(&error))
    }

    fn inside(&mut self) -> Result<(Event<'text>, Span), Error> {
        self.next()?.ok_or(Error::Syntax { line: 0, message: "did not find expected node content".into() })
    }

    fn node(&mut self, event: Event<'text>, span: Span, depth: usize) -> Result<Node, Error> {
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return Err(Error::TooLarge);
        }
        let (anchor, node) = match event {
            Event::Alias(anchor) => return self.anchors.get(&anchor).cloned().ok_or(Error::Anchor),
            Event::Scalar(text, style, anchor, tag) => (anchor, Node::Scalar(scalar(&text, style, tag.as_deref()))),
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.inside()? {
                        (Event::SequenceEnd, _) => break (anchor, Node::Sequence(Rc::new(items))),
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(anchor, _) => {
                let mut entries = Vec::new();
                loop {
                    match self.inside()? {
                        (Event::MappingEnd, _) => break (anchor, Node::Mapping(Rc::new(entries))),
                        (event, span) => {
                            let line = span.start.line();
                            let key = self.node(event, span, depth + 1)?;
                            let (event, span) = self.inside()?;
                            entries.push((key, self.node(event, span, depth + 1)?, line));
                        }
                    }
                }
            }
            _ => return Err(Error::Syntax { line: span.start.line(), message: "did not find expected node content".into() }),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }
}

fn syntax(error: &ScanError) -> Error {
    Error::Syntax { line: error.marker().line(), message: error.info().to_owned() }
}

/// Turns nodes into JSON and remembers where it is.
struct Place {
    path: String,
    duplicates: Vec<Duplicate>,
    nodes: usize,
}

impl Place {
    fn value(&mut self, node: &Node) -> Result<Value, Error> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Error::TooLarge);
        }
        Ok(match node {
            Node::Scalar(Scalar::Null) => Value::Null,
            Node::Scalar(Scalar::Bool(flag)) => Value::Bool(*flag),
            Node::Scalar(Scalar::Number(number)) => Value::Number(number.clone()),
            Node::Scalar(Scalar::Infinite(text)) => return Err(Error::Unsupported(text.clone())),
            Node::Scalar(Scalar::Text(text)) => Value::String(text.clone()),
            Node::Scalar(Scalar::Merge) => Value::String("<<".into()),
            Node::Sequence(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    values.push(self.within(&format!("[{index}]"), item)?);
                }
                Value::Array(values)
            }
            Node::Mapping(entries) => Value::Object(self.mapping(entries)?),
        })
    }

    fn mapping(&mut self, entries: &[(Node, Node, usize)]) -> Result<Map<String, Value>, Error> {
        let mut fields = Map::new();
        let mut merged: Vec<String> = Vec::new();
        for (key, value, line) in entries {
            if matches!(key, Node::Scalar(Scalar::Merge)) {
                for (name, value) in self.merge(value)? {
                    merged.push(name.clone());
                    fields.insert(name, value);
                }
                continue;
            }
            let name = key_text(key)?;
            let step = if self.path.is_empty() { name.clone() } else { format!(".{name}") };
            let value = self.within(&step, value)?;
            let repeated = fields.insert(name.clone(), value).is_some() && !merged.contains(&name);
            if repeated {
                self.duplicates.push(Duplicate { path: format!("{}{step}", self.path), key: name, line: *line });
            }
        }
        Ok(fields)
    }

    fn merge(&mut self, node: &Node) -> Result<Map<String, Value>, Error> {
        match node {
            Node::Mapping(entries) => self.mapping(entries),
            // Earlier mappings win over later ones, so the last is written first.
            Node::Sequence(items) => {
                let mut fields = Map::new();
                for item in items.iter().rev() {
                    let Node::Mapping(entries) = item else { return Err(Error::Merge) };
                    fields.extend(self.mapping(entries)?);
                }
                Ok(fields)
            }
            Node::Scalar(_) => Err(Error::Merge),
        }
    }

    fn within(&mut self, step: &str, node: &Node) -> Result<Value, Error> {
        let length = self.path.len();
        self.path.push_str(step);
        let value = self.value(node);
        self.path.truncate(length);
        value
    }
}

/// The text of a key, as `sigs.k8s.io/yaml` writes keys that are no texts.
fn key_text(node: &Node) -> Result<String, Error> {
    match node {
        Node::Scalar(Scalar::Text(text) | Scalar::Infinite(text)) => Ok(text.clone()),
        Node::Scalar(Scalar::Bool(flag)) => Ok(flag.to_string()),
        Node::Scalar(Scalar::Number(number)) => Ok(number.to_string()),
        Node::Scalar(Scalar::Merge) => Ok("<<".into()),
        Node::Scalar(Scalar::Null) => Err(Error::Key("nil")),
        Node::Sequence(_) => Err(Error::Key("[]interface {}")),
        Node::Mapping(_) => Err(Error::Key("map[interface {}]interface {}")),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Scalar {
    let core = tag.filter(|tag| tag.handle.starts_with("tag:yaml.org,2002:") || tag.handle == "!!");
    match core.map(|tag| tag.suffix.as_str()) {
        Some("str" | "binary" | "timestamp") => return Scalar::Text(text.to_owned()),
        Some("bool" | "int" | "float" | "null") => return plain(text),
        _ => {}
    }
    match style {
        ScalarStyle::Plain => plain(text),
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted | ScalarStyle::Literal | ScalarStyle::Folded => Scalar::Text(text.to_owned()),
    }
}

/// What an unquoted word means.
// upstream: goyaml.v2/resolve.go resolve
fn plain(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Scalar::Bool(false),
        "<<" => return Scalar::Merge,
        ".nan" | ".NaN" | ".NAN" => return Scalar::Infinite("NaN".into()),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Scalar::Infinite("+Inf".into()),
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Infinite("-Inf".into()),
        _ => {}
    }
    if !text.starts_with(|letter: char| letter.is_ascii_digit() || matches!(letter, '+' | '-' | '.')) {
        return Scalar::Text(text.to_owned());
    }
    let digits = text.replace('_', "");
    integer(&digits).or_else(|| float(&digits)).map_or_else(|| Scalar::Text(text.to_owned()), Scalar::Number)
}

/// A whole number with Go's prefixes: `0x`, `0b`, `0o`, and `0` for octal.
fn integer(text: &str) -> Option<Number> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = rest.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    let value = if negative { -value } else { value };
    i64::try_from(value).map(Number::from).or_else(|_| u64::try_from(value).map(Number::from)).ok()
}

fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(mantissa, exponent)| (mantissa, Some(exponent)));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let shaped = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    let exponent_shaped = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    if !shaped || !exponent_shaped {
        return None;
    }
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    // Go prints a float without a fraction as a whole number.
    if value.fract() == 0.0 && value.abs() < 9e18 { Some(Number::from(value as i64)) } else { Number::from_f64(value) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_mean_what_kubernetes_says() {
        for (text, value) in [
            ("yes", json!(true)),
            ("off", json!(false)),
            ("y", json!(true)),
            ("'on'", json!("on")),
            ("\"yes\"", json!("yes")),
            ("~", json!(null)),
            ("0400", json!(256)),
            ("0o400", json!(256)),
            ("0x1F", json!(31)),
            ("08", json!(8)),
            ("1_000", json!(1000)),
            ("1e3", json!(1000)),
            ("1.5", json!(1.5)),
            ("-3", json!(-3)),
            ("1.2.3", json!("1.2.3")),
            ("12:30", json!("12:30")),
            ("2026-11-21", json!("2026-11-21")),
            ("!!str 12", json!("12")),
            ("500m", json!("500m")),
            ("-", json!([null])),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
        ] {
            assert_eq!(parse(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn several_documents_with_empty_ones() {
        let text = "# comment\n---\na: 1\n---\n---\nb:\n- x\n- {c: d}\n...\n";
        assert_eq!(parse_documents(text), Ok(vec![json!({"a": 1}), json!({"b": ["x", {"c": "d"}]})]));
        assert_eq!(parse_documents(""), Ok(vec![]));
    }

    #[test]
    fn repeated_keys_are_reported_and_the_last_counts() {
        let text = "spec:\n  containers:\n  - image: a\n    image: b\n";
        let document = documents(text).expect("yaml").remove(0);
        assert_eq!(document.value, json!({"spec": {"containers": [{"image": "b"}]}}));
        assert_eq!(document.duplicates, [Duplicate { path: "spec.containers[0].image".into(), key: "image".into(), line: 4 }]);
    }

    #[test]
    fn merge_keys_and_anchors() {
        let text = "base: &b {a: 1, b: 2}\nuse:\n  <<: *b\n  b: 3\nagain: *b\n";
        let document = documents(text).expect("yaml").remove(0);
        assert_eq!(document.value, json!({"base": {"a": 1, "b": 2}, "use": {"a": 1, "b": 3}, "again": {"a": 1, "b": 2}}));
        assert!(document.duplicates.is_empty());
    }

    #[test]
    fn mistakes_name_their_line() {
        let error = parse("a: 1\n b: 2\n").expect_err("bad indentation");
        assert!(matches!(error, Error::Syntax { line: 2, .. }), "{error}");
    }

    #[test]
    fn aliases_cannot_explode() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..8 {
            let before = format!("*a{}", level - 1);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![before; 10].join(", ")));
        }
        assert_eq!(parse(&text), Err(Error::TooLarge));
    }
}
