//! Which fields a kubeconfig has and of which types they are: what stock kubectl says of one that is of another type, and how it writes them.
// upstream: client-go/tools/clientcmd/api/v1/{types,conversion}.go

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{decoded, encoded};
use crate::builder::json_type;

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A text.
    Text,
    /// True or false.
    Switch,
    /// base64
    Bytes,
    /// Texts.
    Texts,
    /// Texts by name.
    Pairs,
    /// Lists of texts by name.
    Lists,
    /// Whatever it is.
    Any,
    /// A struct of its own.
    Struct(&'static Struct),
    /// Such structs.
    Many(&'static Struct),
}

/// A struct of Go's: its name, its fields in their order, and whether a field is written even where it says nothing.
#[derive(Debug)]
pub(crate) struct Struct {
    /// `v1.NAME`
    pub(crate) name: &'static str,
    /// Its fields.
    pub(crate) fields: &'static [(&'static str, Kind, bool)],
}

use Kind::{Any, Bytes, Lists, Many, Pairs, Switch, Text, Texts};

/// The whole file.
pub(crate) static CONFIG: Struct = Struct {
    name: "Config",
    fields: &[
        ("kind", Text, false), ("apiVersion", Text, false), ("preferences", Kind::Struct(&PREFERENCES), true), ("clusters", Many(&NAMED_CLUSTER), true),
        ("users", Many(&NAMED_USER), true), ("contexts", Many(&NAMED_CONTEXT), true), ("current-context", Text, true), ("extensions", Many(&NAMED_EXTENSION), false),
    ],
};
static PREFERENCES: Struct = Struct { name: "Preferences", fields: &[("colors", Switch, false), ("extensions", Many(&NAMED_EXTENSION), false)] };
static NAMED_CLUSTER: Struct = Struct { name: "NamedCluster", fields: &[("name", Text, true), ("cluster", Kind::Struct(&CLUSTER), true)] };
static NAMED_USER: Struct = Struct { name: "NamedAuthInfo", fields: &[("name", Text, true), ("user", Kind::Struct(&USER), true)] };
static NAMED_CONTEXT: Struct = Struct { name: "NamedContext", fields: &[("name", Text, true), ("context", Kind::Struct(&CONTEXT), true)] };
static NAMED_EXTENSION: Struct = Struct { name: "NamedExtension", fields: &[("name", Text, true), ("extension", Any, true)] };
static CLUSTER: Struct = Struct {
    name: "Cluster",
    fields: &[
        ("server", Text, true), ("tls-server-name", Text, false), ("insecure-skip-tls-verify", Switch, false), ("certificate-authority", Text, false),
        ("certificate-authority-data", Bytes, false), ("proxy-url", Text, false), ("disable-compression", Switch, false), ("extensions", Many(&NAMED_EXTENSION), false),
    ],
};
static CONTEXT: Struct = Struct {
    name: "Context",
    fields: &[("cluster", Text, true), ("user", Text, true), ("namespace", Text, false), ("extensions", Many(&NAMED_EXTENSION), false)],
};
static USER: Struct = Struct {
    name: "AuthInfo",
    fields: &[
        ("client-certificate", Text, false), ("client-certificate-data", Bytes, false), ("client-key", Text, false), ("client-key-data", Bytes, false),
        ("token", Text, false), ("tokenFile", Text, false), ("as", Text, false), ("as-uid", Text, false), ("as-groups", Texts, false),
        ("as-user-extra", Lists, false), ("username", Text, false), ("password", Text, false), ("auth-provider", Kind::Struct(&AUTH_PROVIDER), false),
        ("exec", Kind::Struct(&EXEC), false), ("extensions", Many(&NAMED_EXTENSION), false),
    ],
};
static AUTH_PROVIDER: Struct = Struct { name: "AuthProviderConfig", fields: &[("name", Text, true), ("config", Pairs, true)] };
static EXEC: Struct = Struct {
    name: "ExecConfig",
    fields: &[
        ("command", Text, true), ("args", Texts, true), ("env", Many(&VARIABLE), true), ("apiVersion", Text, false), ("installHint", Text, false),
        ("provideClusterInfo", Switch, true), ("interactiveMode", Text, false),
    ],
};
static VARIABLE: Struct = Struct { name: "ExecEnvVar", fields: &[("name", Text, true), ("value", Text, true)] };

/// Structs behind a pointer are written when they are there, whatever they say.
fn is_pointer(of: &Struct) -> bool {
    ["AuthProviderConfig", "ExecConfig"].contains(&of.name)
}

/// In which order the fields of what stands in a field are written as JSON.
pub(crate) fn order(place: &str) -> &'static [&'static str] {
    fn add(known: &mut BTreeMap<&'static str, Vec<&'static str>>, place: &'static str, of: &'static Struct) {
        known.insert(place, of.fields.iter().map(|(field, ..)| *field).collect());
        for (field, kind, _) in of.fields {
            if let Kind::Struct(inner) | Many(inner) = kind {
                add(known, field, inner);
            }
        }
    }
    static ORDER: LazyLock<BTreeMap<&str, Vec<&str>>> = LazyLock::new(|| {
        let mut known = BTreeMap::new();
        add(&mut known, "", &CONFIG);
        known
    });
    ORDER.get(place).map_or(&[], Vec::as_slice)
}

/// The file as stock kubectl writes it: lists by name, fields that say nothing left out, nothing but what kubeconfigs have.
pub(crate) fn canonical(config: &Value) -> Value {
    let mut whole = of_fields(config, &CONFIG);
    whole["kind"] = json!("Config");
    whole["apiVersion"] = json!("v1");
    whole
}

fn of_fields(value: &Value, of: &Struct) -> Value {
    let written = of.fields.iter().filter_map(|(field, kind, always)| Some(((*field).to_owned(), of_kind(&value[*field], *kind, *always)?)));
    Value::Object(written.collect::<Map<String, Value>>())
}

/// A value; nothing where it would be left out.
pub(crate) fn of_kind(value: &Value, kind: Kind, always: bool) -> Option<Value> {
    let (value, empty) = match kind {
        Text => (json!(value.as_str().unwrap_or_default()), value.as_str().is_none_or(str::is_empty)),
        Switch => (json!(value == &json!(true)), value != &json!(true)),
        Bytes => {
            let bytes = decoded(value.as_str().unwrap_or_default());
            (encoded(&bytes), bytes.is_empty())
        }
        Texts => {
            let texts = value.as_array().map(|texts| texts.iter().map(|text| json!(text.as_str().unwrap_or_default())).collect::<Vec<_>>());
            (json!(texts), texts.is_none_or(|texts| texts.is_empty()))
        }
        Pairs | Lists | Any => (value.clone(), value.as_object().is_none_or(Map::is_empty)),
        Kind::Struct(of) if is_pointer(of) && !value.is_object() => return None,
        Kind::Struct(of) => {
            let written = of_fields(value, of);
            let empty = !is_pointer(of) && written == json!({});
            (written, empty)
        }
        Many(of) => {
            let mut entries = value.as_array().map(|entries| entries.iter().map(|entry| of_fields(entry, of)).collect::<Vec<_>>());
            let named = of.name.starts_with("Named");
            if let Some(entries) = entries.as_mut().filter(|_| named) {
                entries.sort_by(|one, other| one["name"].as_str().cmp(&other["name"].as_str()));
            }
            let empty = entries.as_ref().is_none_or(Vec::is_empty);
            (if empty && named { Value::Null } else { json!(entries) }, empty)
        }
    };
    (always || !empty).then_some(value)
}

/// The first thing that is wrong with a file: a field of another type or no base64, a name that is there twice.
pub(super) fn check(config: &Value) -> Result<(), String> {
    in_struct(config, &CONFIG, "")?;
    for (list, of, kept) in [("clusters", &NAMED_CLUSTER, "Cluster"), ("users", &NAMED_USER, "AuthInfo"), ("contexts", &NAMED_CONTEXT, "Context")] {
        let entries = config[list].as_array().map(Vec::as_slice).unwrap_or_default();
        let name = |entry: &Value| entry["name"].as_str().unwrap_or_default().to_owned();
        let twice = entries.iter().enumerate().find(|(at, entry)| entries[..*at].iter().any(|other| name(other) == name(entry)));
        if let Some((_, entry)) = twice {
            let shown: Vec<String> = entries.iter().map(|entry| printed(entry, Kind::Struct(of))).collect();
            return Err(format!("error converting *[]{} into *map[string]*api.{kept}: duplicate name {:?} in list: [{}]", of.name, name(entry), shown.join(" ")));
        }
    }
    Ok(())
}

/// A value as Go's `%v` prints the struct it becomes.
pub(crate) fn printed(value: &Value, kind: Kind) -> String {
    let all = |texts: Vec<String>| texts.join(" ");
    match kind {
        Text => value.as_str().unwrap_or_default().to_owned(),
        Switch => (value == &json!(true)).to_string(),
        Bytes => format!("[{}]", all(decoded(value.as_str().unwrap_or_default()).iter().map(u8::to_string).collect())),
        Kind::Struct(of) if is_pointer(of) => if value.is_object() { "0xc000000000" } else { "<nil>" }.to_owned(),
        Kind::Struct(of) => format!("{{{}}}", all(of.fields.iter().map(|(field, kind, _)| printed(&value[*field], *kind)).collect())),
        Many(of) => format!("[{}]", all(value.as_array().into_iter().flatten().map(|entry| printed(entry, Kind::Struct(of))).collect())),
        Texts => format!("[{}]", all(value.as_array().into_iter().flatten().map(|text| printed(text, Text)).collect())),
        Pairs => format!("map[{}]", all(value.as_object().into_iter().flatten().map(|(name, text)| format!("{name}:{}", printed(text, Text))).collect())),
        Lists => format!("map[{}]", all(value.as_object().into_iter().flatten().map(|(name, texts)| format!("{name}:{}", printed(texts, Texts))).collect())),
        Any => crate::print::go::print(value),
    }
}

fn in_struct(value: &Value, of: &Struct, path: &str) -> Result<(), String> {
    for (field, value) in value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        let Some((_, kind, _)) = of.fields.iter().find(|(known, ..)| known == field) else { continue };
        let here = if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
        let wrong = |found: &Value, wanted: &str| Err(format!("json: cannot unmarshal {} into Go struct field {}.{here} of type {wanted}", json_type(found), of.name));
        let text = |value: &Value| if value.is_string() || value.is_null() { Ok(()) } else { wrong(value, "string") };
        let texts = |value: &Value| match value {
            Value::Null => Ok(()),
            Value::Array(all) => all.iter().try_for_each(text),
            other => wrong(other, "[]string"),
        };
        match (kind, value) {
            (Any, _) | (Switch, Value::Bool(_)) => {}
            (Text, value) => text(value)?,
            (Switch, other) => return wrong(other, "bool"),
            (Bytes, Value::String(text)) => base64(text)?,
            (Bytes, other) => return wrong(other, "[]uint8"),
            (Texts, value) => texts(value)?,
            (Pairs, Value::Object(all)) => all.values().try_for_each(text)?,
            (Pairs, other) => return wrong(other, "map[string]string"),
            (Lists, Value::Object(all)) => all.values().try_for_each(texts)?,
            (Lists, other) => return wrong(other, "map[string][]string"),
            (Kind::Struct(inner), Value::Object(_)) => in_struct(value, inner, &here)?,
            (Kind::Struct(inner), other) => return wrong(other, &format!("v1.{}", inner.name)),
            (Many(inner), Value::Array(entries)) => {
                for entry in entries {
                    match entry {
                        Value::Object(_) => in_struct(entry, inner, &here)?,
                        Value::Null => {}
                        other => return wrong(other, &format!("v1.{}", inner.name)),
                    }
                }
            }
            (Many(inner), other) => return wrong(other, &format!("[]v1.{}", inner.name)),
        }
    }
    Ok(())
}

/// Where base64 goes wrong, as Go counts: line breaks are nothing.
fn base64(text: &str) -> Result<(), String> {
    let letters: Vec<(usize, u8)> = text.bytes().enumerate().filter(|(_, letter)| !matches!(letter, b'\n' | b'\r')).collect();
    let wanted = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'+' | b'/');
    let body: Vec<u8> = letters.iter().map(|(_, letter)| *letter).collect();
    if STANDARD.decode(&body).is_ok() {
        return Ok(());
    }
    let end = letters.iter().position(|(_, letter)| *letter == b'=').unwrap_or(letters.len());
    let wrong = letters[..end].iter().find(|(_, letter)| !wanted(*letter)).map(|(at, _)| *at);
    // What is cut short is told at the start of its last group of four.
    let at = wrong.or_else(|| letters.get(end - end % 4).map(|(at, _)| *at)).unwrap_or(text.len());
    Err(format!("illegal base64 data at input byte {at}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_of_another_type_is_told_as_go_tells_it() {
        let cases = [
            (json!({"users": [{"user": {"token": 5}}]}), "json: cannot unmarshal number into Go struct field AuthInfo.users.user.token of type string"),
            (json!({"clusters": [{"cluster": {"insecure-skip-tls-verify": "maybe"}}]}), "json: cannot unmarshal string into Go struct field Cluster.clusters.cluster.insecure-skip-tls-verify of type bool"),
            (json!({"clusters": [{"cluster": {"certificate-authority-data": 5}}]}), "json: cannot unmarshal number into Go struct field Cluster.clusters.cluster.certificate-authority-data of type []uint8"),
            (json!({"clusters": [{"cluster": {"certificate-authority-data": "%%%"}}]}), "illegal base64 data at input byte 0"),
            (json!({"users": [{"user": {"client-key-data": "a b"}}]}), "illegal base64 data at input byte 1"),
            (json!({"users": [{"user": {"exec": {"args": "x"}}}]}), "json: cannot unmarshal string into Go struct field ExecConfig.users.user.exec.args of type []string"),
        ];
        for (config, wanted) in cases {
            assert_eq!(check(&config), Err(wanted.to_owned()));
        }
        assert_eq!(check(&json!({"users": [{"user": {"client-key-data": "aGVs\nbG8=", "token": null}}]})), Ok(()));
    }
}
