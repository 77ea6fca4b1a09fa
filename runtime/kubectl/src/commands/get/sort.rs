//! `--sort-by`.
// upstream: kubectl/pkg/cmd/get/sorter.go

use std::cmp::Ordering;
use std::str::FromStr;

use drydock_primitives::quantity::Quantity;
use serde_json::Value;

use crate::discovery::Mapping;
use crate::failure::Failure;
use crate::jsonpath::{JsonPath, relaxed};
use crate::write::klog_line;

/// Objects in order.
pub(super) fn objects(objects: Vec<Value>, by: &str) -> Result<Vec<Value>, Failure> {
    let (path, shown) = path(by)?;
    sorted(objects, |object| object, &path, &shown).map_err(|failure| fatal(failure, "sorter.go:329", "*unstructured.Unstructured"))
}

/// The rows of each table in order.
pub(super) fn tables(found: &mut [(Mapping, Value)], by: &str) -> Result<(), Unordered> {
    let (path, shown) = path(by).map_err(|failure| if found.len() > 1 { Unordered::Fatal(failure) } else { Unordered::Lost })?;
    if found.len() > 1 {
        // Several answers are put in order as the tables they are, which have no names: stock kubectl looks for the field there.
        let order = sorted(found.to_vec(), |(_, table)| table, &path, &shown).map_err(|failure| Unordered::Fatal(fatal(failure, "sorter.go:329", "*unstructured.Unstructured")))?;
        found.clone_from_slice(&order);
    }
    let several = found.len() > 1;
    for (_, table) in found {
        if let Some(rows) = table["rows"].as_array_mut() {
            match sorted(std::mem::take(rows), |row| &row["object"], &path, &shown) {
                Ok(ordered) => *rows = ordered,
                Err(failure @ Failure::Plain(..)) => return Err(Unordered::Fatal(fatal(failure, "sorter.go:375", "[][][]reflect.Value"))),
                // Of several, only this one is not shown.
                Err(_) if several => {}
                Err(_) => return Err(Unordered::Lost),
            }
        }
    }
    Ok(())
}

/// Why there is no order.
#[derive(Debug)]
pub(super) enum Unordered {
    /// It ends the command.
    Fatal(Failure),
    /// Nothing is shown: stock kubectl loses the failure.
    Lost,
}

impl From<Failure> for Unordered {
    fn from(failure: Failure) -> Self {
        Self::Fatal(failure)
    }
}

/// What has no order ends the program.
fn fatal(failure: Failure, place: &str, holder: &str) -> Failure {
    match failure {
        Failure::Plain(why, code) => Failure::Plain(klog_line('F', place, &why.replacen("HOLDER", holder, 1)), code),
        other => other,
    }
}

fn path(by: &str) -> Result<(JsonPath, String), Failure> {
    let strict = relaxed(by).map_err(Failure::new)?;
    let path = JsonPath::parse(&strict).map_err(Failure::new)?;
    Ok((path, strict))
}

fn sorted<T>(things: Vec<T>, object: impl Fn(&T) -> &Value, path: &JsonPath, shown: &str) -> Result<Vec<T>, Failure> {
    let mut keyed = Vec::new();
    for thing in things {
        let key = path.find(object(&thing)).map_err(Failure::new)?.into_iter().next().and_then(|values| values.into_iter().next());
        keyed.push((key, thing));
    }
    if !keyed.is_empty() && keyed.iter().all(|(key, _)| key.is_none()) {
        return Err(Failure::new(format!("couldn't find any field with path {shown:?} in the list of objects")));
    }
    if let Some((Some(key), _)) = keyed.iter().find(|(key, _)| matches!(key, Some(Value::Object(_) | Value::Array(_))) && keyed.len() > 1) {
        let kind = if key.is_array() { "[]interface {}" } else { "map[string]interface {}" };
        return Err(Failure::Plain(format!("Field {shown} in HOLDER is an unsortable type: interface, err: unsortable type: {kind}"), 1));
    }
    if keyed.len() > SHORT {
        keyed.sort_by(|a, b| compare(a.0.as_ref(), b.0.as_ref()));
    } else {
        insert_in_order(&mut keyed);
    }
    Ok(keyed.into_iter().map(|(_, thing)| thing).collect())
}

/// Go puts short lists in order by insertion.
// upstream: Go's sort/zsortinterface.go
const SHORT: usize = 12;

/// What has no key comes before everything, also before its like: so says upstream's comparison, and short lists show it.
fn insert_in_order<T>(keyed: &mut [(Option<Value>, T)]) {
    for end in 1..keyed.len() {
        let mut at = end;
        while at > 0 && (keyed[at].0.is_none() || (keyed[at - 1].0.is_some() && compare(keyed[at].0.as_ref(), keyed[at - 1].0.as_ref()).is_lt())) {
            keyed.swap(at, at - 1);
            at -= 1;
        }
    }
}

fn compare(left: Option<&Value>, right: Option<&Value>) -> Ordering {
    match (left, right) {
        (None | Some(Value::Null), None | Some(Value::Null)) => Ordering::Equal,
        (None | Some(Value::Null), _) => Ordering::Less,
        (_, None | Some(Value::Null)) => Ordering::Greater,
        (Some(Value::String(left)), Some(Value::String(right))) => match (Quantity::from_str(left), Quantity::from_str(right)) {
            (Ok(left), Ok(right)) => left.cmp(&right),
            _ => natural(left, right),
        },
        (Some(Value::Number(left)), Some(Value::Number(right))) => left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal),
        (Some(left), Some(right)) => left.to_string().cmp(&right.to_string()),
    }
}

/// Numbers inside of texts count as numbers.
fn natural(left: &str, right: &str) -> Ordering {
    let (a, b) = (left.as_bytes(), right.as_bytes());
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        if a[i].is_ascii_digit() && b[j].is_ascii_digit() {
            let end = |bytes: &[u8], from: usize| from + bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (end_a, end_b) = (end(a, i), end(b, j));
            let (x, y) = (left[i..end_a].trim_start_matches('0'), right[j..end_b].trim_start_matches('0'));
            let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y)).then_with(|| (end_a - i).cmp(&(end_b - j)));
            if order.is_ne() {
                return order;
            }
            (i, j) = (end_a, end_b);
        } else if a[i] != b[j] {
            return a[i].cmp(&b[j]);
        } else {
            (i, j) = (i + 1, j + 1);
        }
    }
    (a.len() - i).cmp(&(b.len() - j))
}
