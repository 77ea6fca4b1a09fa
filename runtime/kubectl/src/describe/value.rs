//! Reading objects as Go prints them: what is absent is an empty text, an empty list, a zero.

use std::collections::BTreeMap;

use drydock_primitives::quantity::Quantity;
use jiff::Timestamp;
use serde_json::Value;

/// The value at a dotted path, null when there is none.
pub(super) fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(object, |value, field| &value[field])
}

/// A scalar as `%v` prints it; empty when absent.
pub(super) fn text(object: &Value, path: &str) -> String {
    plain(at(object, path))
}

/// A scalar, or what stands for its absence.
pub(super) fn text_or(object: &Value, path: &str, absent: &str) -> String {
    let text = text(object, path);
    if text.is_empty() { absent.to_owned() } else { text }
}

/// Any value as `%v` prints it.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort();
            format!("map[{}]", keys.into_iter().map(|key| format!("{key}:{}", nested(&fields[key]))).collect::<Vec<_>>().join(" "))
        }
        Value::Bool(_) => value.to_string(),
        Value::Number(number) => number.as_i64().map_or_else(|| float(number.as_f64().unwrap_or_default()), |integer| integer.to_string()),
    }
}

fn nested(value: &Value) -> String {
    if value.is_null() { "<nil>".to_owned() } else { plain(value) }
}

/// A float as `%v` prints it: `1e+06` from a million up.
fn float(value: f64) -> String {
    let exponent = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    if !(-4.0..21.0).contains(&exponent) {
        let scientific = format!("{value:e}");
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(("+", exponent), |rest| ("-", rest));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    value.to_string()
}

/// The items of a list, none when absent.
pub(super) fn list<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    at(object, path).as_array().map_or(&[], Vec::as_slice)
}

/// The texts of a list.
pub(super) fn texts(object: &Value, path: &str) -> Vec<String> {
    list(object, path).iter().map(plain).collect()
}

/// The entries of a map, by key.
pub(super) fn pairs(map: &Value) -> Vec<(String, String)> {
    let sorted: BTreeMap<&String, &Value> = map.as_object().into_iter().flatten().collect();
    sorted.into_iter().map(|(key, value)| (key.clone(), plain(value))).collect()
}

/// `a=b,c=d`, or that there are none.
// upstream: apimachinery/pkg/labels/labels.go FormatLabels
pub(super) fn flat(map: &Value) -> String {
    let joined = pairs(map).into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
    if joined.is_empty() { "<none>".to_owned() } else { joined }
}

/// A point in time, when there is one.
pub(super) fn time(object: &Value, path: &str) -> Option<Timestamp> {
    drydock_primitives::time::parse(at(object, path).as_str()?)
}

/// How long ago something was.
pub(super) fn since(now: Timestamp, object: &Value, path: &str) -> String {
    time(object, path).map_or_else(|| "<unknown>".to_owned(), |time| drydock_primitives::time::human_duration(now.duration_since(time)))
}

/// Quantities by resource name.
pub(super) type Resources = BTreeMap<String, Quantity>;

/// The quantities of a resource list; what is none is left out.
pub(super) fn resources(map: &Value) -> Resources {
    pairs(map).into_iter().filter_map(|(name, quantity)| Some((name, quantity.parse().ok()?))).collect()
}
