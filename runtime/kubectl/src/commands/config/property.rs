//! `kubectl config set` and `unset`: one value by its path, as far as kubeconfig files have such a value.
// upstream: kubectl/pkg/cmd/config/{set,unset,navigation_step_parser}.go

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::change::{slot, words};
use super::{edit_as_written, has};
use crate::config::LISTS;
use crate::config::types::{CONFIG, Kind, printed};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};

/// A value's place.
#[derive(Debug)]
enum Place {
    /// A field at the top.
    Top(&'static str, Kind),
    /// A field of the preferences.
    Preference(&'static str, Kind),
    /// A list, or all of an entry.
    Whole(&'static str, Option<String>),
    /// A field of an entry.
    Field(&'static str, String, &'static str, Kind),
}

impl Place {
    /// From a path; names may have dots, and end where a field's name begins.
    fn parse(path: &str) -> Result<Self, Failure> {
        let parts: Vec<&str> = path.split('.').collect();
        let (first, rest) = (parts[0], &parts[1..]);
        let too_far = || Failure::new(format!("unable to parse one or more field values of {path}"));
        let Some((top, kind, _)) = CONFIG.fields.iter().find(|(field, ..)| *field == first) else {
            return Err(Failure::new(format!("unable to parse {path} after [] at api.Config")));
        };
        match (kind, rest) {
            (Kind::Many(named), rest) if LISTS.iter().any(|(list, _)| list == top) => {
                let Some((_, Kind::Struct(of), _)) = named.fields.last() else { return Err(too_far()) };
                let known = |part: &str| of.fields.iter().find(|(field, ..)| inside(field) == part);
                let Some(end) = rest.iter().skip(1).position(|part| known(part).is_some()) else {
                    return Ok(Self::Whole(top, (!rest.is_empty()).then(|| rest.join("."))));
                };
                match known(rest[end + 1]) {
                    Some((_, Kind::Lists, _)) if rest.len() > end + 2 => Err(Failure::new("string is not of type struct")),
                    Some((field, kind, _)) if rest.len() == end + 2 => Ok(Self::Field(top, rest[..=end].join("."), field, *kind)),
                    _ => Err(too_far()),
                }
            }
            (kind, []) => Ok(Self::Top(top, *kind)),
            (Kind::Struct(of), [field, more @ ..]) => match of.fields.iter().find(|(known, ..)| known == field) {
                None => Err(Failure::new(format!("unable to parse {path} after [{{{top} 0x203acc0}}] at api.{}", of.name))),
                Some((field, kind, _)) if more.is_empty() => Ok(Self::Preference(field, *kind)),
                Some(_) => Err(too_far()),
            },
            _ => Err(too_far()),
        }
    }
}

/// What a field of a file is called where kubectl keeps it.
// upstream: client-go/tools/clientcmd/api/types.go
fn inside(field: &str) -> String {
    if field.split('-').next() == Some("as") { format!("act-{field}") } else { field.to_owned() }
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
    for (word, missing) in [(&text, "you cannot use set to unset a property"), (&property, "you must specify a property")] {
        if word.is_empty() {
            return Err(Failure::new(missing));
        }
    }
    let place = Place::parse(&property)?;
    let raw = matches.on("set-raw-bytes");
    edit_as_written(factory, |config| {
        match place {
            Place::Whole(list, _) => return Err(no_value(&names(&config[list]))),
            Place::Top("preferences", _) => {
                let colors = config["preferences"]["colors"] == json!(true);
                let extensions = names(&config["preferences"]["extensions"]);
                return Err(Failure::new(format!("unable to locate path config.navigationStep{{stepValue:\"\", stepType:reflect.Type(nil)}} under {{{colors} {extensions}}}")));
            }
            Place::Top(field, kind) => config[field] = value(&config[field], kind, &text, raw)?,
            Place::Preference(field, kind) => config["preferences"][field] = value(&config["preferences"][field], kind, &text, raw)?,
            Place::Field(list, name, field, kind) => {
                if let Some(entry) = slot(config, list, &name) {
                    entry[field] = value(&entry[field], kind, &text, raw)?;
                }
            }
        }
        Ok(())
    })?;
    factory.streams.line(&format!("Property {property:?} set."))
}

/// What a word makes of a value.
fn value(before: &Value, kind: Kind, text: &str, raw: bool) -> Result<Value, Failure> {
    match kind {
        Kind::Text => Ok(json!(text)),
        Kind::Switch => flags::boolean(text).map(Value::from).ok_or_else(|| Failure::new(format!("strconv.ParseBool: parsing {text:?}: invalid syntax"))),
        Kind::Bytes if raw => Ok(json!(STANDARD.encode(text))),
        Kind::Bytes => STANDARD.decode(text).map(|_| json!(text)).map_err(|error| Failure::new(format!("error decoding input value: illegal base64 data at input byte {}", bad_byte(text, &error)))),
        Kind::Texts => Err(Failure::new("unrecognized slice type. string")),
        Kind::Many(_) => Err(no_value(&names(before))),
        Kind::Lists | Kind::Pairs | Kind::Any => Err(no_value(&printed(before, kind))),
        // Here stock kubectl panics.
        Kind::Struct(of) => Err(Failure::Plain(format!("panic: unrecognized type: api.{}", of.name), 2)),
    }
}

fn no_value(map: &str) -> Failure {
    Failure::new(format!("can't set a map to a value: {map}"))
}

/// Entries as Go prints a map of pointers.
fn names(list: &Value) -> String {
    let mut names: Vec<&str> = list.as_array().into_iter().flatten().filter_map(|entry| entry["name"].as_str()).collect();
    names.sort_unstable();
    format!("map[{}]", names.iter().map(|name| format!("{name}:0xc000000000")).collect::<Vec<_>>().join(" "))
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
    if property.is_empty() {
        return Err(Failure::new("you must specify a property"));
    }
    let place = Place::parse(&property)?;
    edit_as_written(factory, |config| {
        match place {
            Place::Top("current-context", _) => config["current-context"] = json!(""),
            Place::Top(field, _) | Place::Whole(field, None) => config[field] = Value::Null,
            Place::Preference(field, _) => config["preferences"][field] = Value::Null,
            Place::Whole(list, Some(name)) => {
                if let Some(entries) = config[list].as_array_mut() {
                    entries.retain(|entry| entry["name"] != name);
                }
            }
            Place::Field(list, name, ..) if !has(config, list, &name) => return Err(Failure::new(format!("current map key `{name}` is invalid"))),
            Place::Field(list, name, field, _) => {
                if let Some(entry) = slot(config, list, &name) {
                    entry[field] = Value::Null;
                }
            }
        }
        Ok(())
    })?;
    factory.streams.line(&format!("Property {property:?} unset."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_where_a_field_begins() {
        let cases = [
            ("current-context", "Top current-context"),
            ("preferences.colors", "Preference colors"),
            ("clusters", "Whole clusters"),
            ("clusters.a.b", "Whole clusters a.b"),
            ("clusters.10.0.0.1.server", "Field clusters 10.0.0.1 server"),
            ("users.server.token", "Field users server token"),
            ("users.u.as", "Whole users u.as"),
            ("users.u.act-as-uid", "Field users u as-uid"),
            ("contexts.namespace.namespace", "Field contexts namespace namespace"),
            ("x", "unable to parse x after [] at api.Config"),
            ("current-context.x", "unable to parse one or more field values of current-context.x"),
            ("users.e.exec.command", "unable to parse one or more field values of users.e.exec.command"),
        ];
        for (path, wanted) in cases {
            let told = match Place::parse(path) {
                Ok(Place::Top(field, _)) => format!("Top {field}"),
                Ok(Place::Preference(field, _)) => format!("Preference {field}"),
                Ok(Place::Whole(list, name)) => [vec!["Whole".to_owned(), list.to_owned()], name.into_iter().collect()].concat().join(" "),
                Ok(Place::Field(list, name, field, _)) => format!("Field {list} {name} {field}"),
                Err(failure) => failure.text(),
            };
            assert_eq!(told, wanted, "{path}");
        }
    }
}
