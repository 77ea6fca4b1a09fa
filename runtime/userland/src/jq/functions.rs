//! The functions jq knows by itself.

use base64::{Engine as _, engine::general_purpose::{STANDARD, STANDARD_NO_PAD}};
use regex::{Regex, RegexBuilder};

use super::{
    eval::{Fault, Out, Path, Results, Scope, child, children, delete, eval, get, one, paths, set, values},
    json::{Json, number_text, parse_all, set_member},
    syntax::Expr,
};

type Value = Result<Json, Fault>;

/// A value for a message.
pub(super) fn described(value: &Json) -> String {
    if *value == Json::Null {
        return "null".to_owned();
    }
    let text = value.compact();
    let short: String = text.chars().take(11).collect();
    format!("{} ({})", value.kind(), if short.len() < text.len() { format!("{short}...") } else { text })
}

pub(super) fn environment() -> Json {
    Json::Object(std::env::vars().map(|(name, value)| (name, Json::Text(value))).collect())
}

/// A value, and everything below it.
pub(super) fn descend(out: &Out, all: &mut Vec<Out>) {
    all.push(out.clone());
    for child in children(out).unwrap_or_default() {
        descend(&child, all);
    }
}

pub(super) fn arithmetic(operator: &str, left: &Json, right: &Json) -> Value {
    let cannot = |what: &str| Err(Fault::new(format!("{} and {} cannot be {what}", described(left), described(right))));
    let order = || left.order(right);
    match (operator, left, right) {
        ("==", ..) => Ok(Json::Bool(order().is_eq())),
        ("!=", ..) => Ok(Json::Bool(order().is_ne())),
        ("<", ..) => Ok(Json::Bool(order().is_lt())),
        ("<=", ..) => Ok(Json::Bool(order().is_le())),
        (">", ..) => Ok(Json::Bool(order().is_gt())),
        (">=", ..) => Ok(Json::Bool(order().is_ge())),
        ("+", Json::Null, other) | ("+", other, Json::Null) => Ok(other.clone()),
        ("+", Json::Number(left), Json::Number(right)) => Ok(Json::Number(left + right)),
        ("+", Json::Text(left), Json::Text(right)) => Ok(Json::Text(format!("{left}{right}"))),
        ("+", Json::List(left), Json::List(right)) => Ok(Json::List([left.as_slice(), right].concat())),
        ("+", Json::Object(left), Json::Object(right)) => {
            let mut members = left.clone();
            for (name, value) in right {
                set_member(&mut members, name, value.clone());
            }
            Ok(Json::Object(members))
        }
        ("+", ..) => cannot("added"),
        ("-", Json::Number(left), Json::Number(right)) => Ok(Json::Number(left - right)),
        ("-", Json::List(left), Json::List(right)) => Ok(Json::List(left.iter().filter(|item| !right.contains(item)).cloned().collect())),
        ("-", ..) => cannot("subtracted"),
        ("*", Json::Number(left), Json::Number(right)) => Ok(Json::Number(left * right)),
        ("*", Json::Text(text), Json::Number(times)) => Ok(if *times <= 0.0 { Json::Null } else { Json::Text(text.repeat((times.ceil() as usize).min(1 << 20))) }),
        ("*", Json::Object(_), Json::Object(_)) => Ok(merged(left, right)),
        ("*", ..) => cannot("multiplied"),
        ("/", Json::Number(_), Json::Number(0.0)) => cannot("divided because the divisor is zero"),
        ("/", Json::Number(left), Json::Number(right)) => Ok(Json::Number(left / right)),
        ("/", Json::Text(text), Json::Text(by)) => Ok(split(text, by)),
        ("/", ..) => cannot("divided"),
        ("%", Json::Number(left), Json::Number(right)) if right.trunc() != 0.0 => Ok(Json::Number(left.trunc() % right.trunc())),
        _ => cannot("divided because the divisor is zero"),
    }
}

fn merged(left: &Json, right: &Json) -> Json {
    let (Json::Object(members), Json::Object(more)) = (left, right) else { return right.clone() };
    let mut members = members.clone();
    for (name, value) in more {
        let both = left.member(name).map_or_else(|| value.clone(), |old| merged(old, value));
        set_member(&mut members, name, both);
    }
    Json::Object(members)
}

fn split(text: &str, by: &str) -> Json {
    if text.is_empty() {
        return Json::List(Vec::new());
    }
    if by.is_empty() {
        return Json::List(text.chars().map(|next| Json::Text(next.to_string())).collect());
    }
    Json::List(text.split(by).map(Json::text).collect())
}

fn to_text(value: &Json) -> String {
    if let Json::Text(text) = value { text.clone() } else { value.compact() }
}

/// `@name` applied to a value.
pub(super) fn format(name: &str, value: &Json) -> Result<String, Fault> {
    let row = |separator: &str, cell: &dyn Fn(&str) -> String| {
        let Json::List(items) = value else { return Err(Fault::new(format!("{} cannot be {name}-formatted, only an array can be", described(value)))) };
        let cells: Vec<String> = items.iter().map(|item| match item {
            Json::Text(text) => cell(text),
            Json::Null => String::new(),
            other => other.compact(),
        }).collect();
        Ok(cells.join(separator))
    };
    let text = to_text(value);
    match name {
        "text" => Ok(text),
        "json" => Ok(value.compact()),
        "csv" => row(",", &|text| format!("\"{}\"", text.replace('"', "\"\""))),
        "tsv" => row("\t", &|text| text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n")),
        "html" => Ok(text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;").replace('"', "&quot;")),
        "uri" => Ok(text.bytes().map(|byte| if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()),
        "sh" => match value {
            Json::List(items) => Ok(items.iter().map(shell_quoted).collect::<Vec<_>>().join(" ")),
            other => Ok(shell_quoted(other)),
        },
        "base64" => Ok(STANDARD.encode(text)),
        "base64d" => {
            let decoded = STANDARD_NO_PAD.decode(text.trim_end_matches('='));
            decoded.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(|_| Fault::new(format!("{} is not valid base64 data", described(value))))
        }
        _ => Err(Fault::new(format!("{name} is not a valid format"))),
    }
}

fn shell_quoted(value: &Json) -> String {
    match value {
        Json::Text(text) => format!("'{}'", text.replace('\'', "'\\''")),
        other => other.compact(),
    }
}

fn list_of(value: &Json, what: &str) -> Result<Vec<Json>, Fault> {
    match value {
        Json::List(items) => Ok(items.clone()),
        other => Err(Fault::new(format!("{} cannot be {what}, as it is not an array", described(other)))),
    }
}

fn text_of<'a>(value: &'a Json, name: &str) -> Result<&'a str, Fault> {
    match value {
        Json::Text(text) => Ok(text),
        other => Err(Fault::new(format!("{name} input must be a string, not {}", described(other)))),
    }
}

fn number_of(value: &Json, name: &str) -> Result<f64, Fault> {
    match value {
        Json::Number(number) => Ok(*number),
        other => Err(Fault::new(format!("{} {name} needs a number", described(other)))),
    }
}

/// Calls a function by name.
pub(super) fn builtin(name: &str, arguments: &[Expr], input: &Out, scope: &Scope) -> Results {
    let value = &input.value;
    let plain = |value: Json| Ok(vec![Out { path: None, value }]);
    if let Some(outs) = with_paths(name, arguments, input, scope) {
        return outs;
    }
    match (name, arguments) {
        (_, []) => plain(simple(name, value)?),
        ("map", [each]) => {
            let mut items = Vec::new();
            for child in children(input)? {
                items.extend(values(each, &child.value, scope)?);
            }
            plain(Json::List(items))
        }
        ("map_values", [each]) => {
            let mut result = value.clone();
            let mut gone = Vec::new();
            for child in children(&Out { path: Some(Vec::new()), value: value.clone() })? {
                let path = child.path.unwrap_or_default();
                match values(each, &child.value, scope)?.into_iter().next() {
                    Some(new) => result = set(&result, &path, new)?,
                    None => gone.push(path),
                }
            }
            plain(delete(&result, gone)?)
        }
        ("with_entries", [each]) => {
            let Json::List(entries) = simple("to_entries", value)? else { return plain(Json::Null) };
            let mut changed = Vec::new();
            for entry in entries {
                changed.extend(values(each, &entry, scope)?);
            }
            plain(simple("from_entries", &Json::List(changed))?)
        }
        ("sort_by" | "group_by" | "unique_by" | "min_by" | "max_by", [key]) => plain(by_key(name, value, key, scope)?),
        ("any" | "all", [test]) => {
            let mut answers = Vec::new();
            for child in children(input)? {
                answers.extend(values(test, &child.value, scope)?.iter().map(Json::is_true));
            }
            plain(Json::Bool(if name == "any" { answers.contains(&true) } else { !answers.contains(&false) }))
        }
        ("any" | "all", [source, test]) => {
            let mut answers = Vec::new();
            for item in values(source, value, scope)? {
                answers.extend(values(test, &item, scope)?.iter().map(Json::is_true));
            }
            plain(Json::Bool(if name == "any" { answers.contains(&true) } else { !answers.contains(&false) }))
        }
        ("range", bounds) => range(bounds, value, scope),
        ("isempty", [inner]) => plain(Json::Bool(values(inner, value, scope)?.is_empty())),
        ("del", [target]) => plain(delete(value, paths(target, value, scope)?)?),
        ("delpaths", [list]) => {
            let list = list_of(&one(list, value, scope)?, "deleted")?;
            let list = list.into_iter().map(|path| list_of(&path, "a path")).collect::<Result<Vec<Path>, Fault>>()?;
            plain(delete(value, list)?)
        }
        ("paths", [test]) => {
            let mut found = Vec::new();
            let mut all = Vec::new();
            descend(&Out { path: Some(Vec::new()), value: value.clone() }, &mut all);
            for out in all.into_iter().skip(1) {
                if one(test, &out.value, scope)?.is_true() {
                    found.push(Out { path: None, value: Json::List(out.path.unwrap_or_default()) });
                }
            }
            Ok(found)
        }
        ("path", [target]) => Ok(paths(target, value, scope)?.into_iter().map(|path| Out { path: None, value: Json::List(path) }).collect()),
        ("setpath", [path, new]) => {
            let path = list_of(&one(path, value, scope)?, "a path")?;
            plain(set(value, &path, one(new, value, scope)?)?)
        }
        ("error", [message]) => Err(Fault::Error(one(message, value, scope)?)),
        ("splits", [pattern]) => {
            let text = text_of(value, name)?;
            let pattern = pattern_of(&one(pattern, value, scope)?, "")?;
            Ok(pattern.split(text).map(|part| Out { path: None, value: Json::text(part) }).collect())
        }
        ("test" | "match" | "capture" | "scan" | "sub" | "gsub", [pattern, rest @ ..]) => matching(name, pattern, rest, value, scope),
        ("input_line_number", _) => plain(Json::Number(0.0)),
        _ => {
            let mut given = Vec::new();
            for argument in arguments {
                given.push(one(argument, value, scope)?);
            }
            plain(with_values(name, value, &given)?)
        }
    }
}

/// Functions whose results are places in their input.
fn with_paths(name: &str, arguments: &[Expr], input: &Out, scope: &Scope) -> Option<Results> {
    let list_end = |last: bool| {
        let index = Json::Number(if last { -1.0 } else { 0.0 });
        child(&input.value, &index).map(|value| {
            let path = input.path.as_ref().map(|path| [path.as_slice(), &[index]].concat());
            vec![Out { path, value }]
        })
    };
    Some(match (name, arguments) {
        ("empty", []) => Ok(Vec::new()),
        ("select", [test]) => values(test, &input.value, scope).map(|answers| answers.iter().filter(|answer| answer.is_true()).map(|_| input.clone()).collect()),
        ("recurse", []) => eval(&Expr::Recurse, input, scope),
        ("recurse", [next]) => recurse(next, input, scope),
        ("first", []) => list_end(false),
        ("last", []) => list_end(true),
        ("first", [inner]) => eval(inner, input, scope).map(|outs| outs.into_iter().take(1).collect()),
        ("last", [inner]) => eval(inner, input, scope).map(|outs| outs.into_iter().next_back().into_iter().collect()),
        ("limit", [count, inner]) => one(count, &input.value, scope).and_then(|count| {
            let count = number_of(&count, "limit")?.max(0.0) as usize;
            Ok(eval(inner, input, scope)?.into_iter().take(count).collect())
        }),
        ("getpath", [path]) => one(path, &input.value, scope).and_then(|path| {
            let path = list_of(&path, "a path")?;
            let value = get(&input.value, &path).unwrap_or(Json::Null);
            Ok(vec![Out { path: input.path.as_ref().map(|before| [before.as_slice(), &path].concat()), value }])
        }),
        ("arrays" | "objects" | "iterables" | "booleans" | "numbers" | "strings" | "nulls" | "values" | "scalars", []) => {
            let kind = input.value.kind();
            let keep = match name {
                "values" => kind != "null",
                "scalars" => !matches!(kind, "array" | "object"),
                "iterables" => matches!(kind, "array" | "object"),
                _ => name.starts_with(kind),
            };
            Ok(if keep { vec![input.clone()] } else { Vec::new() })
        }
        _ => return None,
    })
}

fn recurse(next: &Expr, input: &Out, scope: &Scope) -> Results {
    let mut outs = vec![input.clone()];
    for out in eval(next, input, scope)? {
        outs.extend(recurse(next, &out, scope)?);
        if outs.len() > 1_000_000 {
            return Err(Fault::new("recurse does not end"));
        }
    }
    Ok(outs)
}

fn range(bounds: &[Expr], value: &Json, scope: &Scope) -> Results {
    let mut numbers = Vec::new();
    for bound in bounds {
        numbers.push(number_of(&one(bound, value, scope)?, "range")?);
    }
    let (from, to, step) = match numbers.as_slice() {
        [to] => (0.0, *to, 1.0),
        [from, to] => (*from, *to, 1.0),
        [from, to, step, ..] => (*from, *to, *step),
        [] => return Ok(Vec::new()),
    };
    let mut outs = Vec::new();
    let mut at = from;
    while (step > 0.0 && at < to) || (step < 0.0 && at > to) {
        outs.push(Out { path: None, value: Json::Number(at) });
        at += step;
    }
    Ok(outs)
}

fn by_key(name: &str, value: &Json, key: &Expr, scope: &Scope) -> Value {
    let mut keyed = Vec::new();
    for item in list_of(value, "sorted")? {
        keyed.push((Json::List(values(key, &item, scope)?), item));
    }
    let only = |item: Option<(Json, Json)>| item.map_or(Json::Null, |(_, item)| item);
    match name {
        "min_by" => return Ok(only(keyed.into_iter().reduce(|best, next| if next.0.order(&best.0).is_lt() { next } else { best }))),
        "max_by" => return Ok(only(keyed.into_iter().reduce(|best, next| if next.0.order(&best.0).is_ge() { next } else { best }))),
        _ => {}
    }
    keyed.sort_by(|left, right| left.0.order(&right.0));
    let mut groups: Vec<(Json, Vec<Json>)> = Vec::new();
    for (key, item) in keyed {
        match groups.last_mut().filter(|(last, _)| *last == key) {
            Some((_, group)) => group.push(item),
            None => groups.push((key, vec![item])),
        }
    }
    Ok(Json::List(match name {
        "group_by" => groups.into_iter().map(|(_, group)| Json::List(group)).collect(),
        "unique_by" => groups.into_iter().filter_map(|(_, group)| group.into_iter().next()).collect(),
        _ => groups.into_iter().flat_map(|(_, group)| group).collect(),
    }))
}

/// Functions of the input alone.
fn simple(name: &str, value: &Json) -> Value {
    let number = |number: f64| Ok(Json::Number(number));
    match name {
        "not" => Ok(Json::Bool(!value.is_true())),
        "length" => match value {
            Json::Null => number(0.0),
            Json::Bool(_) => Err(Fault::new(format!("{} has no length", described(value)))),
            Json::Number(value) => number(value.abs()),
            Json::Text(text) => number(text.chars().count() as f64),
            Json::List(items) => number(items.len() as f64),
            Json::Object(members) => number(members.len() as f64),
        },
        "utf8bytelength" => number(text_of(value, name)?.len() as f64),
        "keys" | "keys_unsorted" => match value {
            Json::Object(members) if name == "keys_unsorted" => Ok(Json::List(members.iter().map(|(name, _)| Json::text(name)).collect())),
            Json::Object(_) => Ok(Json::List(value.sorted_keys().into_iter().map(Json::Text).collect())),
            Json::List(items) => Ok(Json::List((0..items.len()).map(|index| Json::Number(index as f64)).collect())),
            other => Err(Fault::new(format!("{} has no keys", described(other)))),
        },
        "type" => Ok(Json::text(value.kind())),
        "tostring" => Ok(Json::Text(to_text(value))),
        "tojson" => Ok(Json::Text(value.compact())),
        "fromjson" => {
            let mut all = parse_all(text_of(value, name)?).map_err(Fault::new)?;
            Ok(all.pop().unwrap_or(Json::Null))
        }
        "tonumber" => match value {
            Json::Number(_) => Ok(value.clone()),
            Json::Text(text) => text.trim().parse().map(Json::Number).map_err(|_| Fault::new(format!("{} cannot be parsed as a number", described(value)))),
            other => Err(Fault::new(format!("{} cannot be parsed as a number", described(other)))),
        },
        "add" => children(&Out { path: None, value: value.clone() })?.iter().try_fold(Json::Null, |sum, item| arithmetic("+", &sum, &item.value)),
        "any" | "all" => {
            let answers: Vec<bool> = children(&Out { path: None, value: value.clone() })?.iter().map(|item| item.value.is_true()).collect();
            Ok(Json::Bool(if name == "any" { answers.contains(&true) } else { !answers.contains(&false) }))
        }
        "sort" | "unique" => {
            let mut items = list_of(value, "sorted")?;
            items.sort_by(Json::order);
            if name == "unique" {
                items.dedup();
            }
            Ok(Json::List(items))
        }
        "min" => Ok(list_of(value, "compared")?.into_iter().reduce(|best, next| if next.order(&best).is_lt() { next } else { best }).unwrap_or(Json::Null)),
        "max" => Ok(list_of(value, "compared")?.into_iter().reduce(|best, next| if next.order(&best).is_ge() { next } else { best }).unwrap_or(Json::Null)),
        "reverse" => match value {
            Json::Text(text) => Ok(Json::Text(text.chars().rev().collect())),
            Json::Null => Ok(Json::List(Vec::new())),
            other => Ok(Json::List(list_of(other, "reversed")?.into_iter().rev().collect())),
        },
        "flatten" => with_values("flatten", value, &[Json::Number(1e9)]),
        "to_entries" => {
            let entry = |(name, value): (String, Json)| Json::Object(vec![("key".to_owned(), Json::Text(name)), ("value".to_owned(), value)]);
            match value {
                Json::Object(members) => Ok(Json::List(members.iter().cloned().map(entry).collect())),
                Json::List(items) => Ok(Json::List(items.iter().enumerate().map(|(index, item)| {
                    Json::Object(vec![("key".to_owned(), Json::Number(index as f64)), ("value".to_owned(), item.clone())])
                }).collect())),
                other => Err(Fault::new(format!("{} has no keys", described(other)))),
            }
        }
        "from_entries" => {
            let mut members = Vec::new();
            for entry in list_of(value, "made an object")? {
                let key = ["key", "k", "name", "Name", "Key"].iter().find_map(|key| entry.member(key).filter(|key| key.is_true())).cloned().unwrap_or(Json::Null);
                let value = ["value", "v", "Value"].iter().find_map(|key| entry.member(key)).cloned().unwrap_or(Json::Null);
                set_member(&mut members, &to_text(&key), value);
            }
            Ok(Json::Object(members))
        }
        "ascii_downcase" => Ok(Json::Text(text_of(value, name)?.to_ascii_lowercase())),
        "ascii_upcase" => Ok(Json::Text(text_of(value, name)?.to_ascii_uppercase())),
        "trim" => Ok(Json::text(text_of(value, name)?.trim())),
        "ltrim" => Ok(Json::text(text_of(value, name)?.trim_start())),
        "rtrim" => Ok(Json::text(text_of(value, name)?.trim_end())),
        "explode" => Ok(Json::List(text_of(value, name)?.chars().map(|next| Json::Number(f64::from(u32::from(next)))).collect())),
        "implode" => Ok(Json::Text(list_of(value, "imploded")?.iter().filter_map(|code| if let Json::Number(code) = code { char::from_u32(*code as u32) } else { None }).collect())),
        "floor" => number(number_of(value, name)?.floor()),
        "ceil" => number(number_of(value, name)?.ceil()),
        "round" => number(number_of(value, name)?.round()),
        "sqrt" => number(number_of(value, name)?.sqrt()),
        "fabs" | "abs" => number(number_of(value, name)?.abs()),
        "now" => number(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |passed| passed.as_secs_f64())),
        "todate" | "todateiso8601" => Ok(Json::Text(crate::clock::format_time("%Y-%m-%dT%H:%M:%SZ", number_of(value, name)? as i64))),
        "fromdate" | "fromdateiso8601" => number(from_date(text_of(value, name)?).ok_or_else(|| Fault::new(format!("date {} does not match format \"%Y-%m-%dT%H:%M:%SZ\"", value.compact())))?),
        "env" => Ok(environment()),
        "error" => Err(Fault::Error(value.clone())),
        "infinite" => number(f64::INFINITY),
        "nan" => number(f64::NAN),
        "halt" => std::process::exit(0),
        "transpose" => {
            let rows: Vec<Vec<Json>> = list_of(value, "transposed")?.iter().map(|row| list_of(row, "transposed")).collect::<Result<_, _>>()?;
            let width = rows.iter().map(Vec::len).max().unwrap_or(0);
            Ok(Json::List((0..width).map(|column| Json::List(rows.iter().map(|row| row.get(column).cloned().unwrap_or(Json::Null)).collect())).collect()))
        }
        _ => Err(Fault::new(format!("{name}/0 is not defined"))),
    }
}

/// Seconds of `2026-11-21T09:10:46Z`.
fn from_date(text: &str) -> Option<f64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let date: Vec<i64> = date.split('-').map(str::parse).collect::<Result<_, _>>().ok()?;
    let time: Vec<f64> = time.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let ([year, month, day], [hour, minute, second]) = (date.as_slice(), time.as_slice()) else { return None };
    // Days by the civil calendar, with years that start in March.
    let (shifted, moved) = if *month <= 2 { (year - 1, month + 9) } else { (*year, month - 3) };
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let of_year = (153 * moved + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days as f64 * 86_400.0 + hour * 3600.0 + minute * 60.0 + second)
}

/// Functions of the input and of values.
fn with_values(name: &str, value: &Json, given: &[Json]) -> Value {
    match (name, given) {
        ("has", [key]) => match (value, key) {
            (Json::Object(_), Json::Text(name)) => Ok(Json::Bool(value.member(name).is_some())),
            (Json::List(items), Json::Number(index)) => Ok(Json::Bool(*index >= 0.0 && (*index as usize) < items.len())),
            _ => Err(Fault::new(format!("Cannot check whether {} has a {} key", value.kind(), key.kind()))),
        },
        ("in", [holder]) => with_values("has", holder, std::slice::from_ref(value)),
        ("contains", [part]) => Ok(Json::Bool(contains(value, part))),
        ("inside", [whole]) => Ok(Json::Bool(contains(whole, value))),
        ("startswith", [Json::Text(part)]) => Ok(Json::Bool(text_of(value, name)?.starts_with(part.as_str()))),
        ("endswith", [Json::Text(part)]) => Ok(Json::Bool(text_of(value, name)?.ends_with(part.as_str()))),
        ("ltrimstr", [Json::Text(part)]) => Ok(match value {
            Json::Text(text) => Json::text(text.strip_prefix(part.as_str()).unwrap_or(text)),
            other => other.clone(),
        }),
        ("rtrimstr", [Json::Text(part)]) => Ok(match value {
            Json::Text(text) => Json::text(text.strip_suffix(part.as_str()).unwrap_or(text)),
            other => other.clone(),
        }),
        ("split", [Json::Text(by)]) => Ok(split(text_of(value, name)?, by)),
        ("join", [Json::Text(joiner)]) => {
            let items = list_of(value, "joined")?;
            let texts: Vec<String> = items.iter().map(|item| if *item == Json::Null { String::new() } else { to_text(item) }).collect();
            Ok(Json::Text(texts.join(joiner)))
        }
        ("flatten", [Json::Number(depth)]) => {
            let mut flat = Vec::new();
            for item in list_of(value, "flattened")? {
                match item {
                    Json::List(_) if *depth > 0.0 => {
                        let Json::List(inner) = with_values("flatten", &item, &[Json::Number(depth - 1.0)])? else { continue };
                        flat.extend(inner);
                    }
                    other => flat.push(other),
                }
            }
            Ok(Json::List(flat))
        }
        ("index" | "rindex" | "indices", [wanted]) => {
            let found: Vec<Json> = match (value, wanted) {
                (Json::Text(text), Json::Text(wanted)) if !wanted.is_empty() => text.match_indices(wanted.as_str()).map(|(at, _)| Json::Number(text[..at].chars().count() as f64)).collect(),
                (Json::List(items), wanted) => items.iter().enumerate().filter(|(_, item)| *item == wanted).map(|(index, _)| Json::Number(index as f64)).collect(),
                _ => Vec::new(),
            };
            Ok(match name {
                "index" => found.first().cloned().unwrap_or(Json::Null),
                "rindex" => found.last().cloned().unwrap_or(Json::Null),
                _ => Json::List(found),
            })
        }
        ("pow", [Json::Number(base), Json::Number(exponent)]) => Ok(Json::Number(base.powf(*exponent))),
        ("strftime", [Json::Text(format)]) => Ok(Json::Text(crate::clock::format_time(format, number_of(value, name)? as i64))),
        ("nth", [Json::Number(index)]) => child(value, &Json::Number(*index)),
        ("tojson", _) => Ok(Json::Text(number_text(0.0))),
        _ => Err(Fault::new(format!("{name}/{} is not defined", given.len()))),
    }
}

fn contains(whole: &Json, part: &Json) -> bool {
    match (whole, part) {
        (Json::Text(whole), Json::Text(part)) => whole.contains(part.as_str()),
        (Json::List(items), Json::List(parts)) => parts.iter().all(|part| items.iter().any(|item| contains(item, part))),
        (Json::Object(_), Json::Object(parts)) => parts.iter().all(|(name, part)| whole.member(name).is_some_and(|value| contains(value, part))),
        (whole, part) => whole == part,
    }
}

fn pattern_of(pattern: &Json, flags: &str) -> Result<Regex, Fault> {
    let text = text_of(pattern, "pattern")?;
    let built = RegexBuilder::new(text).case_insensitive(flags.contains('i')).ignore_whitespace(flags.contains('x')).dot_matches_new_line(flags.contains('s')).build();
    built.map_err(|_| Fault::new(format!("{text} (at offset 0) is not a valid regex")))
}

fn matching(name: &str, pattern: &Expr, rest: &[Expr], value: &Json, scope: &Scope) -> Results {
    let text = text_of(value, name)?;
    let (given, mut flags) = match one(pattern, value, scope)? {
        Json::List(both) => (both.first().cloned().unwrap_or(Json::Null), both.get(1).map(to_text).unwrap_or_default()),
        other => (other, String::new()),
    };
    let substitutes = matches!(name, "sub" | "gsub");
    if let Some(more) = rest.get(usize::from(substitutes)) {
        flags.push_str(&to_text(&one(more, value, scope)?));
    }
    let pattern = pattern_of(&given, &flags)?;
    let all = flags.contains('g') || matches!(name, "gsub" | "scan");
    let plain = |value: Json| Out { path: None, value };
    let named = |captures: &regex::Captures<'_>| {
        let names = pattern.capture_names().flatten();
        Json::Object(names.map(|name| (name.to_owned(), captures.name(name).map_or(Json::Null, |hit| Json::text(hit.as_str())))).collect())
    };
    if name == "test" {
        return Ok(vec![plain(Json::Bool(pattern.is_match(text)))]);
    }
    if substitutes {
        let Some(with) = rest.first() else { return Err(Fault::new(format!("{name}/1 is not defined"))) };
        let (mut out, mut end) = (String::new(), 0);
        for captures in pattern.captures_iter(text).take(if all { usize::MAX } else { 1 }) {
            let Some(whole) = captures.get(0) else { continue };
            out.push_str(&text[end..whole.start()]);
            out.push_str(&to_text(&one(with, &named(&captures), scope)?));
            end = whole.end();
        }
        out.push_str(&text[end..]);
        return Ok(vec![plain(Json::Text(out))]);
    }
    let mut outs = Vec::new();
    for captures in pattern.captures_iter(text).take(if all { usize::MAX } else { 1 }) {
        let Some(whole) = captures.get(0) else { continue };
        let groups: Vec<Json> = captures.iter().skip(1).map(|group| group.map_or(Json::Null, |hit| Json::text(hit.as_str()))).collect();
        outs.push(plain(match name {
            "capture" => named(&captures),
            "scan" if groups.is_empty() => Json::text(whole.as_str()),
            "scan" => Json::List(groups),
            _ => {
                let member = |name: &str, value: Json| (name.to_owned(), value);
                let place = |at: usize| Json::Number(text[..at].chars().count() as f64);
                let groups = captures.iter().skip(1).zip(pattern.capture_names().skip(1)).map(|(group, name)| {
                    Json::Object(vec![
                        member("offset", group.map_or(Json::Number(-1.0), |hit| place(hit.start()))),
                        member("length", Json::Number(group.map_or(0, |hit| hit.as_str().chars().count()) as f64)),
                        member("string", group.map_or(Json::Null, |hit| Json::text(hit.as_str()))),
                        member("name", name.map_or(Json::Null, Json::text)),
                    ])
                });
                Json::Object(vec![
                    member("offset", place(whole.start())),
                    member("length", Json::Number(whole.as_str().chars().count() as f64)),
                    member("string", Json::text(whole.as_str())),
                    member("captures", Json::List(groups.collect())),
                ])
            }
        }));
    }
    Ok(outs)
}
