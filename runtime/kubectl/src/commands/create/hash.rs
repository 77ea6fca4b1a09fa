//! `--append-hash`: a name that says what an object holds.
// upstream: kubectl/pkg/util/hash/hash.go

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::print::json::compact;

/// Let the name of a ConfigMap or Secret end with the hash of what it holds.
pub(super) fn append(object: &mut Value) {
    let held = |field: &str| if object[field].is_null() { json!({}) } else { object[field].clone() };
    let mut hashed = json!({"kind": object["kind"], "name": object["metadata"]["name"], "data": held("data")});
    if object["kind"] == "Secret" {
        hashed["type"] = json!(object["type"].as_str().unwrap_or_default());
    } else if object["binaryData"].is_object() {
        hashed["binaryData"] = object["binaryData"].clone();
    }
    let name = format!("{}-{}", object["metadata"]["name"].as_str().unwrap_or_default(), short(&compact(&hashed)));
    object["metadata"]["name"] = json!(name);
}

/// Ten digits, of which none looks like a vowel or a word.
fn short(text: &str) -> String {
    let digits: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    let plain = |digit: char| match digit {
        '0' => 'g',
        '1' => 'h',
        '3' => 'k',
        'a' => 'm',
        'e' => 't',
        other => other,
    };
    digits.chars().take(10).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_as_those_of_stock_kubectl() {
        let cases = [
            (json!({"kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "b"}}), "x-64686gkt6c"),
            (json!({"kind": "ConfigMap", "metadata": {"name": "x"}}), "x-62ctbmbfd2"),
            (json!({"kind": "Secret", "metadata": {"name": "x"}, "data": {"a": "Yg=="}}), "x-k694gm4m9h"),
            (json!({"kind": "Secret", "metadata": {"name": "x"}, "type": "foo"}), "x-mb2kg86tth"),
        ];
        for (mut object, name) in cases {
            append(&mut object);
            assert_eq!(object["metadata"]["name"], name);
        }
    }
}
