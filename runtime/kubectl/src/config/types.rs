//! Of which types the fields of a kubeconfig are, and what stock kubectl says of one that is of another type.
// upstream: client-go/tools/clientcmd/api/v1/types.go

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::builder::json_type;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Switch,
    /// base64
    Bytes,
    Texts,
    /// A struct of its own, with its name and fields.
    Struct(&'static str, &'static [(&'static str, Kind)]),
}

const CLUSTER: &[(&str, Kind)] = &[
    ("server", Kind::Text),
    ("tls-server-name", Kind::Text),
    ("insecure-skip-tls-verify", Kind::Switch),
    ("certificate-authority", Kind::Text),
    ("certificate-authority-data", Kind::Bytes),
    ("proxy-url", Kind::Text),
    ("disable-compression", Kind::Switch),
];
const CONTEXT: &[(&str, Kind)] = &[("cluster", Kind::Text), ("user", Kind::Text), ("namespace", Kind::Text)];
const EXEC: &[(&str, Kind)] = &[
    ("command", Kind::Text),
    ("args", Kind::Texts),
    ("apiVersion", Kind::Text),
    ("installHint", Kind::Text),
    ("provideClusterInfo", Kind::Switch),
    ("interactiveMode", Kind::Text),
];
const USER: &[(&str, Kind)] = &[
    ("client-certificate", Kind::Text),
    ("client-certificate-data", Kind::Bytes),
    ("client-key", Kind::Text),
    ("client-key-data", Kind::Bytes),
    ("token", Kind::Text),
    ("tokenFile", Kind::Text),
    ("as", Kind::Text),
    ("as-uid", Kind::Text),
    ("as-groups", Kind::Texts),
    ("username", Kind::Text),
    ("password", Kind::Text),
    ("auth-provider", Kind::Struct("AuthProviderConfig", &[("name", Kind::Text)])),
    ("exec", Kind::Struct("ExecConfig", EXEC)),
];

/// The first field that is of another type or no base64.
pub(super) fn check(config: &Value) -> Result<(), String> {
    for (list, field, name, fields) in [("clusters", "cluster", "Cluster", CLUSTER), ("users", "user", "AuthInfo", USER), ("contexts", "context", "Context", CONTEXT)] {
        for entry in config[list].as_array().into_iter().flatten() {
            of_struct(&entry[field], name, &format!("{list}.{field}"), fields)?;
        }
    }
    Ok(())
}

fn of_struct(value: &Value, name: &str, path: &str, fields: &[(&str, Kind)]) -> Result<(), String> {
    let Some(given) = value.as_object() else { return Ok(()) };
    for (field, value) in given.iter().filter(|(_, value)| !value.is_null()) {
        let Some((_, kind)) = fields.iter().find(|(known, _)| known == field) else { continue };
        let wrong = |found: &Value, wanted: &str| Err(format!("json: cannot unmarshal {} into Go struct field {name}.{path}.{field} of type {wanted}", json_type(found)));
        match (kind, value) {
            (Kind::Text, Value::String(_)) | (Kind::Switch, Value::Bool(_)) => {}
            (Kind::Text, other) => return wrong(other, "string"),
            (Kind::Switch, other) => return wrong(other, "bool"),
            (Kind::Bytes, Value::String(text)) => base64(text)?,
            (Kind::Bytes, other) => return wrong(other, "[]uint8"),
            (Kind::Texts, Value::Array(all)) => {
                if let Some(other) = all.iter().find(|one| !one.is_string() && !one.is_null()) {
                    return wrong(other, "string");
                }
            }
            (Kind::Texts, other) => return wrong(other, "[]string"),
            (Kind::Struct(name, fields), Value::Object(_)) => of_struct(value, name, &format!("{path}.{field}"), fields)?,
            (Kind::Struct(name, _), other) => return wrong(other, &format!("v1.{name}")),
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
