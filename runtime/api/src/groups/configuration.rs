//! ConfigMap, Secret and ServiceAccount.
// upstream: pkg/apis/core/validation/validation.go ValidateConfigMap, ValidateSecret; pkg/registry/core/secret/strategy.go

use drydock_primitives::names;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use serde_json::{Map, Value};

use super::pod_spec::{defaults::default, validation::text};
use crate::{
    field_error::FieldError,
    meta,
    registry::{Column, Resource, Rules, Subresource},
    table,
    write::IMMUTABLE,
};

/// Rows of this family.
pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::of::<ConfigMap>()
            .short(&["cm"])
            .columns(vec![
                Column::new("Name", table::NAME_DESCRIPTION),
                Column::new("Data", "Data contains the configuration data. Each key must consist of alphanumeric characters, '-', '_' or '.'.").integer(),
                Column::new("Age", table::AGE_DESCRIPTION),
            ])
            .rules(ConfigMapRules),
        Resource::of::<Secret>()
            .fields(&["type"])
            .columns(vec![
                Column::new("Name", table::NAME_DESCRIPTION),
                Column::new("Type", "Used to facilitate programmatic handling of secret data."),
                Column::new("Data", "Data contains the secret data. Each key must consist of alphanumeric characters, '-', '_' or '.'.").integer(),
                Column::new("Age", table::AGE_DESCRIPTION),
            ])
            .rules(SecretRules),
        Resource::of::<ServiceAccount>()
            .short(&["sa"])
            .subresources(&[Subresource::Token])
            .columns(vec![
                Column::new("Name", table::NAME_DESCRIPTION),
                Column::new("Secrets", "Secrets is a list of the secrets in the same namespace that pods running using this ServiceAccount are allowed to use.").integer(),
                Column::new("Age", table::AGE_DESCRIPTION),
            ])
            .rules(ServiceAccountRules),
    ]
}

/// The most data a ConfigMap or Secret may hold.
const DATA_LIMIT: usize = 1024 * 1024;

fn size(map: &Value) -> usize {
    map.as_object().map_or(0, Map::len)
}

fn bytes(map: &Value) -> usize {
    map.as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, v)| v.as_str())
        .map(str::len)
        .sum()
}

fn keys(map: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for key in map.as_object().into_iter().flatten().map(|(k, _)| k) {
        errors.extend(
            names::config_map_key(key)
                .into_iter()
                .map(|m| FieldError::invalid(format!("{path}[{key}]"), key.as_str(), m)),
        );
    }
}

fn immutable(new: &Value, old: &Value, fields: &[&str]) -> Vec<FieldError> {
    if old["immutable"] != true {
        return Vec::new();
    }
    let detail = "field is immutable when `immutable` is set";
    let mut errors = Vec::new();
    if new["immutable"] != true {
        errors.push(FieldError::forbidden("immutable", detail));
    }
    errors.extend(
        fields
            .iter()
            .filter(|f| new[**f] != old[**f])
            .map(|f| FieldError::forbidden(*f, detail)),
    );
    errors
}

struct ConfigMapRules;

impl Rules for ConfigMapRules {
    fn validate(&self, new: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        keys(&new["data"], "data", &mut errors);
        keys(&new["binaryData"], "binaryData", &mut errors);
        for key in new["data"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, _)| k)
            .filter(|k| new["binaryData"].get(*k).is_some())
        {
            let message = format!("duplicate of key present in data: {key}");
            errors.push(FieldError::invalid(
                format!("data[{key}]"),
                key.as_str(),
                message,
            ));
        }
        if bytes(&new["data"]) + bytes(&new["binaryData"]) > DATA_LIMIT {
            errors.push(FieldError::too_long("", DATA_LIMIT));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        immutable(new, old, &["data", "binaryData"])
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        let count = size(&object["data"]) + size(&object["binaryData"]);
        Some(vec![
            Value::from(meta::name(object)),
            Value::from(count),
            table::age(object, now),
        ])
    }
}

struct SecretRules;

impl Rules for SecretRules {
    /// `stringData` is written only: it becomes `data`.
    fn normalise(&self, new: &mut Value) {
        let Some(object) = new.as_object_mut() else {
            return;
        };
        let Some(Value::Object(texts)) = object.remove("stringData") else {
            return;
        };
        let data = object
            .entry("data")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Some(data) = data.as_object_mut() {
            for (key, text) in texts {
                data.insert(
                    key,
                    Value::from(base64(text.as_str().unwrap_or("").as_bytes())),
                );
            }
        }
    }

    fn set_defaults(&self, new: &mut Value) {
        if let Some(object) = new.as_object_mut() {
            default(object, "type", "Opaque");
        }
    }

    fn validate(&self, new: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let data = &new["data"];
        keys(data, "data", &mut errors);
        let mut required = |key: &str| {
            if data.get(key).is_none() {
                errors.push(FieldError::required(format!("data[{key}]"), ""));
            }
        };
        match text(new, "type") {
            "kubernetes.io/tls" => ["tls.crt", "tls.key"].into_iter().for_each(&mut required),
            "kubernetes.io/dockerconfigjson" => required(".dockerconfigjson"),
            "kubernetes.io/dockercfg" => required(".dockercfg"),
            "kubernetes.io/ssh-auth" => required("ssh-privatekey"),
            "kubernetes.io/basic-auth"
                if data.get("username").is_none() && data.get("password").is_none() =>
            {
                required("username");
                required("password");
            }
            "kubernetes.io/service-account-token"
                if new["metadata"]["annotations"]
                    .get("kubernetes.io/service-account.name")
                    .is_none() =>
            {
                errors.push(FieldError::required(
                    "metadata.annotations[kubernetes.io/service-account.name]",
                    "",
                ));
            }
            _ => {}
        }
        if bytes(data) / 4 * 3 > DATA_LIMIT {
            errors.push(FieldError::too_long("data", DATA_LIMIT));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if new["type"] != old["type"] {
            errors.push(FieldError::invalid("type", new["type"].clone(), IMMUTABLE));
        }
        errors.extend(immutable(new, old, &["data"]));
        errors
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        Some(vec![
            Value::from(meta::name(object)),
            Value::from(text(object, "type")),
            Value::from(size(&object["data"])),
            table::age(object, now),
        ])
    }
}

/// Standard base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0u32, |group, byte| group << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(group >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    out
}

struct ServiceAccountRules;

impl Rules for ServiceAccountRules {
    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        let secrets = object["secrets"].as_array().map_or(0, Vec::len);
        Some(vec![
            Value::from(meta::name(object)),
            Value::from(secrets),
            table::age(object, now),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        for (text, expected) in [
            ("", ""),
            ("a", "YQ=="),
            ("ab", "YWI="),
            ("abc", "YWJj"),
            ("hunter2", "aHVudGVyMg=="),
        ] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }
}
