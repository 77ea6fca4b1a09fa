//! `kubectl config set` and `unset`: one value by its path, as far as kubeconfig files have such a value.
// upstream: kubectl/pkg/cmd/config/{set,unset,navigation_step_parser}.go

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::change::{slot, words};
use super::{edit, has};
use crate::config::LISTS;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Switch,
    Bytes,
    /// Something that cannot be set by one word.
    Other,
}

use Kind::{Bytes, Other, Switch, Text};

/// Fields at the top that are no lists of entries.
const TOP: [(&str, Kind); 5] = [("kind", Text), ("apiVersion", Text), ("preferences", Other), ("current-context", Text), ("extensions", Other)];
/// Fields of entries.
const FIELDS: [(&str, &[(&str, Kind)]); 3] = [
    (
        "clusters",
        &[
            ("server", Text), ("tls-server-name", Text), ("insecure-skip-tls-verify", Switch), ("certificate-authority", Text),
            ("certificate-authority-data", Bytes), ("proxy-url", Text), ("disable-compression", Switch), ("extensions", Other),
        ],
    ),
    ("contexts", &[("cluster", Text), ("user", Text), ("namespace", Text), ("extensions", Other)]),
    (
        "users",
        &[
            ("client-certificate", Text), ("client-certificate-data", Bytes), ("client-key", Text), ("client-key-data", Bytes), ("token", Text), ("tokenFile", Text),
            ("username", Text), ("password", Text), ("auth-provider", Other), ("exec", Other), ("extensions", Other),
        ],
    ),
];

/// A value's place.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// A field at the top, maybe one below it.
    Top(String, Option<String>, Kind),
    /// A list, or all of an entry.
    Whole(&'static str, Option<String>),
    /// A field of an entry, and what follows it.
    Field(&'static str, String, String, Kind),
}

impl Place {
    /// From a path; names may have dots, and end where a field's name begins.
    fn parse(path: &str) -> Result<Self, Failure> {
        let parts: Vec<&str> = path.split('.').collect();
        let (first, rest) = (parts[0], &parts[1..]);
        if let Some((list, fields)) = FIELDS.iter().find(|(list, _)| *list == first) {
            let Some(end) = rest.iter().skip(1).position(|part| fields.iter().any(|(field, _)| field == part)) else {
                return Ok(Self::Whole(list, (!rest.is_empty()).then(|| rest.join("."))));
            };
            let (name, field) = (rest[..=end].join("."), rest[end + 1]);
            let kind = fields.iter().find(|(known, _)| *known == field).map_or(Other, |(_, kind)| *kind);
            let kind = if rest.len() > end + 2 { Other } else { kind };
            return Ok(Self::Field(list, name, field.to_owned(), kind));
        }
        match TOP.iter().find(|(field, _)| *field == first) {
            Some(_) if first == "preferences" && rest == ["colors"] => Ok(Self::Top(first.to_owned(), Some("colors".to_owned()), Switch)),
            Some((field, kind)) if rest.is_empty() => Ok(Self::Top((*field).to_owned(), None, *kind)),
            Some((_, Text)) => Err(Failure::new(format!("unable to parse one or more field values of {path}"))),
            _ => Err(Failure::new(format!("unable to parse {path} after [] at api.Config"))),
        }
    }
}

/// Flags of `config set`.
pub fn set_command() -> Command {
    Command::new("set")
        .arg(flags::switch("set-raw-bytes", "When writing a []byte PROPERTY_VALUE, write the given string directly without base64 decoding."))
        .override_usage("kubectl config set PROPERTY_NAME PROPERTY_VALUE [options]")
}

/// `config set`.
pub async fn set(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let [property, text] = words(factory, matches)?;
    let value = |kind: Kind| match kind {
        Text => Ok(json!(text)),
        Switch if text.is_empty() => Ok(json!(false)),
        Switch => flags::boolean(&text).map(Value::from).ok_or_else(|| Failure::new(format!("strconv.ParseBool: parsing {text:?}: invalid syntax"))),
        Bytes if matches.on("set-raw-bytes") => Ok(json!(STANDARD.encode(&text))),
        Bytes => STANDARD.decode(&text).map(|_| json!(text)).map_err(|error| Failure::new(format!("error decoding input value: illegal base64 data at input byte {}", bad_byte(&text, &error)))),
        Other => Err(Failure::new("can't set a map to a value: map[]")),
    };
    match Place::parse(&property)? {
        Place::Whole(..) => return Err(Failure::new("can't set a map to a value: map[]")),
        Place::Top(field, below, kind) => {
            let value = value(kind)?;
            edit(factory, |file| !file[&field].is_null(), |file| {
                match below {
                    Some(below) => file[&field][below] = value,
                    None => file[&field] = value,
                }
                Ok(())
            })?;
        }
        Place::Field(list, name, field, kind) => {
            let value = value(kind)?;
            edit(factory, |file| has(file, list, &name), |file| {
                if let Some(entry) = slot(file, list, &name) {
                    entry[field] = value;
                }
                Ok(())
            })?;
        }
    }
    factory.streams.line(&format!("Property {property:?} set."))
}

/// Where Go's decoder gives up.
fn bad_byte(text: &str, error: &base64::DecodeError) -> usize {
    match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => *at,
        _ => text.len() / 4 * 4,
    }
}

/// `config unset`.
pub async fn unset(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let [property] = words(factory, matches)?;
    match Place::parse(&property)? {
        Place::Top(field, below, _) => {
            edit(factory, |file| !file[&field].is_null(), |file| {
                match below {
                    Some(below) => file[&field].as_object_mut().map(|fields| fields.remove(&below)),
                    None => file.as_object_mut().map(|fields| fields.remove(&field)),
                };
                Ok(())
            })?;
        }
        Place::Whole(list, name) => {
            edit(factory, |file| name.as_ref().is_some_and(|name| has(file, list, name)), |file| {
                if let Some(entries) = file[list].as_array_mut() {
                    entries.retain(|entry| name.as_ref().is_some_and(|name| entry["name"] != *name));
                }
                Ok(())
            })?;
        }
        Place::Field(list, name, field, _) => {
            if !has(&factory.config()?.merged, list, &name) {
                return Err(Failure::new(format!("current map key `{name}` is invalid")));
            }
            let inner = LISTS.iter().find(|(known, _)| *known == list).map_or("", |(_, inner)| inner);
            edit(factory, |file| has(file, list, &name), |file| {
                for entry in file[list].as_array_mut().into_iter().flatten().filter(|entry| entry["name"] == name) {
                    entry[inner].as_object_mut().map(|fields| fields.remove(&field));
                }
                Ok(())
            })?;
        }
    }
    factory.streams.line(&format!("Property {property:?} unset."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_where_a_field_begins() {
        let cases = [
            ("current-context", Place::Top("current-context".into(), None, Text)),
            ("clusters", Place::Whole("clusters", None)),
            ("clusters.a.b", Place::Whole("clusters", Some("a.b".into()))),
            ("clusters.10.0.0.1.server", Place::Field("clusters", "10.0.0.1".into(), "server".into(), Text)),
            ("users.server.token", Place::Field("users", "server".into(), "token".into(), Text)),
            ("contexts.namespace.namespace", Place::Field("contexts", "namespace".into(), "namespace".into(), Text)),
        ];
        for (path, place) in cases {
            assert_eq!(Place::parse(path).unwrap(), place, "{path}");
        }
        assert_eq!(Place::parse("x").unwrap_err().text(), "unable to parse x after [] at api.Config");
    }
}
