//! Conditions over the entries of a list, as `env.exists(e, e.name == "A" && has(e.value))`, in words.

use super::pattern::readable;
use super::volumes::Mounted;
use super::words::{About, inside, is_are, literal, relation, short, things};
use crate::clauses::{cut, group, method};

/// `path.exists(name, body)` or `.all`, taken apart.
struct Entries<'a> {
    path: &'a str,
    negated: bool,
    all: bool,
    name: &'a str,
    body: &'a str,
}

impl<'a> Entries<'a> {
    fn of(text: &'a str) -> Option<Entries<'a>> {
        let (path, call, arguments) = method(text)?;
        let all = match call {
            "all" => true,
            "exists" | "exists_one" => false,
            _ => return None,
        };
        let (name, body) = arguments.split_once(',')?;
        let (negated, path) = path.strip_prefix('!').map_or((false, path), |path| (true, path));
        Some(Entries { path, negated, all, name: name.trim(), body: body.trim() })
    }

    /// The value a field must equal.
    fn field(&self, wanted: &str) -> Option<&'a str> {
        cut(self.body, "&&").into_iter().find_map(|part| {
            let (left, right) = part.split_once("==")?;
            (left.trim() == format!("{}.{wanted}", self.name)).then(|| right.trim().trim_matches(['"', '\'']))
        })
    }

    /// Type and status, for conditions of an object.
    fn condition(&self) -> Option<(Option<&'a str>, Option<&'a str>)> {
        (self.path.ends_with("conditions") && !self.all && !self.negated).then(|| (self.field("type"), self.field("status")))
    }

    fn described(&self) -> String {
        described(self.body, self.name)
    }
}

/// What does not hold of a list.
pub(super) fn unmet(text: &str, About { kind, object }: About<'_>) -> Option<String> {
    if let Some(mounted) = Mounted::of(text) {
        return Some(mounted.unmet(object));
    }
    let entries = Entries::of(text)?;
    if let Some(condition) = entries.condition() {
        return Some(match condition {
            (Some("Ready"), Some("True")) => "it is not ready yet".to_owned(),
            (Some("Available"), Some("True")) => "it is not available yet".to_owned(),
            (Some(kind), Some("True")) => format!("its condition `{kind}` is not true yet"),
            (Some(kind), Some(status)) => format!("its condition `{kind}` is not `{status}`"),
            _ => "its conditions are not as they should be".to_owned(),
        });
    }
    let (thing, described) = (thing(entries.path, kind), entries.described());
    Some(match (entries.negated, entries.all) {
        (true, _) => format!("there is {} {described}, and there should be none", article(&thing)),
        (false, true) => format!("not every {thing} is one {described}"),
        (false, false) if entries.path == "answers" => format!("none of the answers {}", described.trim_start_matches("that ")),
        (false, false) => format!("there is no {thing} {described}"),
    })
}

/// What an object has, or is, that should not be so.
pub(super) fn had(text: &str, kind: &str) -> Option<String> {
    if let Some(path) = inside(text, "!has(") {
        return Some(format!("has no `{}`", path.trim_start_matches("object.")));
    }
    if let Some(path) = inside(text, "has(") {
        return Some(format!("has `{}`", path.trim_start_matches("object.")));
    }
    let entries = Entries::of(text).filter(|entries| !entries.negated && !entries.all)?;
    Some(match entries.condition() {
        Some((Some("Ready"), Some("True"))) => "is ready".to_owned(),
        Some((Some(kind), Some(status))) => format!("has the condition `{kind}`, which is `{status}`"),
        _ => format!("has {} {}", article(&thing(entries.path, kind)), entries.described()),
    })
}

/// The list, what is wanted in it and what was seen, for a table.
pub(super) fn looked_at(text: &str, holds: bool, About { kind, object }: About<'_>) -> Option<(String, String, String)> {
    if let Some(mounted) = Mounted::of(text) {
        let (want, got) = mounted.looked_at(object);
        return Some(("volumes".to_owned(), want, got));
    }
    let entries = Entries::of(text)?;
    let thing = thing(entries.path, kind);
    let path = if entries.path == "items" { things(kind, 2) } else { entries.path.trim_start_matches("object.").to_owned() };
    let one = format!("{} {}", article(&thing), entries.described());
    let (want, got) = match (entries.negated, entries.all) {
        (true, _) => (format!("no {thing} {}", entries.described()), if holds { "none" } else { "there is one" }),
        (false, true) => (format!("every one {}", entries.described()), if holds { "every one" } else { "not every one" }),
        (false, false) => (one, if holds { "there is one" } else { "none" }),
    };
    Some((path, want.replace('`', ""), got.to_owned()))
}

/// How many entries a list has, or those of `path.filter(name, body)`.
pub(super) fn sized(list: &str, number: i64, kind: &str) -> String {
    let number_or_no = if number == 0 { "no".to_owned() } else { number.to_string() };
    if let Some((path, described)) = filtered(list) {
        let are = if number > 1 { described.replacen("that is ", "that are ", 1) } else { described };
        let there = is_are(if number == 0 { 1 } else { number });
        return format!("there {there} {number_or_no} {} {are}", things(&thing(path, kind), number));
    }
    format!("`{}` has {number_or_no} entr{}", list.trim_start_matches("object."), if number > 1 { "ies" } else { "y" })
}

/// The objects or entries that are counted, for a table: all, or those of `path.filter(name, body)`.
pub(super) fn counted(list: &str, kind: &str) -> String {
    match filtered(list) {
        Some((path, described)) => {
            let are = described.replacen("that is ", "that are ", 1).replace('`', "");
            format!("{} {are}", things(&thing(path, kind), 2))
        }
        None if list == "items" => things(kind, 2),
        None => format!("number of entries in {}", list.trim_start_matches("object.")),
    }
}

/// That a filtered list is not as long as it should be, where nobody knows how long it is.
pub(super) fn not_so_many(list: &str, wanted: &str, number: i64, kind: &str) -> Option<String> {
    let (path, described) = filtered(list)?;
    let are = if number > 1 { described.replacen("that is ", "that are ", 1) } else { described };
    let wanted = wanted.trim_start_matches("it should be ");
    Some(format!("there {} not {wanted} {} {are}", is_are(number), things(&thing(path, kind), number)))
}

/// `path.filter(name, body)`: the path and what the entries must be.
fn filtered(list: &str) -> Option<(&str, String)> {
    let (path, _, arguments) = method(list).filter(|(_, call, _)| *call == "filter")?;
    let (name, body) = arguments.split_once(',')?;
    Some((path, described(body.trim(), name.trim())))
}

/// With `a` or `an`; a name in back quotes too.
pub(super) fn article(thing: &str) -> String {
    let vowel = thing.trim_start_matches('`').starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I']);
    if vowel { format!("an {thing}") } else { format!("a {thing}") }
}

/// What a list holds.
fn thing(path: &str, kind: &str) -> String {
    match path.rsplit('.').next().unwrap_or(path) {
        "items" if kind.is_empty() => "object".to_owned(),
        "items" => things(kind, 1),
        "containers" | "containerStatuses" => "container".to_owned(),
        "initContainers" => "init container".to_owned(),
        "volumes" => "volume".to_owned(),
        "volumeMounts" => "volume mount".to_owned(),
        "env" => "variable".to_owned(),
        "envFrom" => "source of variables".to_owned(),
        "ports" => "port".to_owned(),
        "annotations" => "annotation".to_owned(),
        "labels" => "label".to_owned(),
        "conditions" => "condition".to_owned(),
        "command" | "args" => "word of the command".to_owned(),
        "subsets" | "endpoints" => "endpoint".to_owned(),
        "addresses" => "address".to_owned(),
        "cnames" => "other name".to_owned(),
        "answers" => "answer".to_owned(),
        "entries" => "file".to_owned(),
        "lines" => "line".to_owned(),
        "ingress" => "address".to_owned(),
        other => format!("entry of `{other}`"),
    }
}

/// What an entry must be, with its own name left out.
pub(super) fn described(body: &str, name: &str) -> String {
    let body = group(body).unwrap_or(body);
    let ways = cut(body, "||");
    if ways.len() > 1 {
        let mut said: Vec<String> = Vec::new();
        for way in ways.iter().map(|way| described(way, name)) {
            let shorter = said.first().and_then(|first| way.strip_prefix(subject(first)?)).map(str::to_owned);
            said.push(shorter.unwrap_or(way));
        }
        return said.join(" or ");
    }
    let parts = cut(body, "&&");
    if parts.len() == 1 {
        return describe(body, name);
    }
    // That a field is there goes without saying when another part says how it should be.
    let guards = |part: &&str| inside(part, "has(").is_some_and(|path| parts.iter().any(|other| other != part && other.contains(path)));
    let mut out = String::new();
    for part in parts.iter().filter(|part| !guards(part)) {
        let after_name = out.starts_with("called ") && out.matches('`').count() == 2;
        out.push_str(if out.is_empty() { "" } else if after_name { " " } else { " and " });
        out.push_str(&described(part, name));
    }
    out
}

/// `whose ``path`` `, the beginning that two descriptions may share.
fn subject(described: &str) -> Option<&str> {
    let path = described.strip_prefix("whose `")?.find("` ")?;
    described.get(.."whose `".len() + path + "` ".len())
}

/// One part of what an entry must be.
fn describe(part: &str, name: &str) -> String {
    let path = |left: &str| {
        let rest = left.trim().strip_prefix(name)?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then(|| rest.trim_start_matches('.').to_owned())
    };
    for (operator, word) in [("==", ""), ("!=", "other than "), (">=", "at least "), ("<=", "at most "), (">", "more than "), ("<", "less than "), (" in ", "one of those in ")] {
        if let [left, right] = cut(part, operator)[..]
            && let Some(path) = path(left)
        {
            return compared(&path, operator, word, right);
        }
    }
    if let Some((left, call, argument)) = method(part) {
        let (negated, left) = left.strip_prefix('!').map_or((false, left), |left| (true, left));
        if let (Some(path), Some(argument), Some((negative, word))) = (path(left), literal(argument), relation(call)) {
            let word = if negated { negative } else { word };
            let argument = if call == "matches" { readable(argument) } else { argument.to_owned() };
            return if path.is_empty() { format!("that {word} `{argument}`") } else { format!("whose `{path}` {word} `{argument}`") };
        }
        if let Some(entries) = Entries::of(part) {
            let (thing, described) = (thing(left, ""), entries.described());
            return match (entries.condition(), negated, entries.all) {
                (Some((Some("Ready"), Some("True"))), ..) => "that is ready".to_owned(),
                (Some((Some(kind), Some(status))), ..) => format!("whose condition `{kind}` is `{status}`"),
                (_, true, _) => format!("without {} {described}", article(&thing)),
                (_, _, true) => format!("of which every {thing} is one {described}"),
                _ if path(left).is_none() => format!("for which there is {} {described}", article(&thing)),
                _ => format!("with {} {described}", article(&thing)),
            };
        }
    }
    if let Some(path) = inside(part, "has(").and_then(path) {
        return if path.contains('.') { format!("whose `{path}` is set") } else { format!("with {}", article(&format!("`{path}`"))) };
    }
    if let Some(path) = inside(part, "!has(").and_then(path) {
        return format!("without `{path}`");
    }
    match (path(part), part.strip_prefix('!').and_then(path)) {
        (Some(path), _) if !path.is_empty() => format!("whose `{path}` is true"),
        (_, Some(path)) if !path.is_empty() => format!("whose `{path}` is not true"),
        _ => format!("that fits `{}`", short(part)),
    }
}

/// `path operator right`.
fn compared(path: &str, operator: &str, word: &str, right: &str) -> String {
    let plain = right.trim_matches(['"', '\'']);
    let known = literal(right).is_some() || right.starts_with(|c: char| c.is_ascii_digit()) || ["true", "false", "null"].contains(&right);
    if let Some(list) = path.strip_suffix(".size()") {
        if let Some((path, described)) = filtered(list) {
            return format!("with {word}{plain} {} {described}", things(&thing(path, ""), plain.parse().unwrap_or(2)));
        }
        return if (operator, right) == (">", "0") { format!("with `{list}`") } else { format!("with {word}{plain} `{list}`") };
    }
    match (path, operator) {
        (_, " in ") if path.is_empty() => "that is one of those meant".to_owned(),
        (_, " in ") => format!("whose `{path}` is one of those meant"),
        (path, "==") if right.rsplit('.').next() == Some(path) => format!("of the same `{path}`"),
        (_, "==") if !known => format!("whose `{path}` is the one that is meant"),
        ("", _) => format!("{word}`{plain}`"),
        ("name" | "metadata.name", "==") => format!("called `{plain}`"),
        (path, _) => format!("whose `{path}` is {word}`{plain}`"),
    }
}
