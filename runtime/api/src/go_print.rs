//! Values as Go's `%#v` prints them: how errors show what is neither text nor a number.

use serde_json::Value;

use crate::field_error::go_quote;

fn quoted(value: &Value) -> String {
    go_quote(value.as_str().unwrap_or(""))
}

/// `map[string]string{"a":"b"}`.
pub(crate) fn string_map(value: &Value) -> String {
    let Some(map) = value.as_object() else {
        return "map[string]string(nil)".to_owned();
    };
    let mut pairs: Vec<String> = map
        .iter()
        .map(|(key, value)| format!("{}:{}", go_quote(key), quoted(value)))
        .collect();
    pairs.sort();
    format!("map[string]string{{{}}}", pairs.join(", "))
}

/// `[]string{"a", "b"}`.
pub(crate) fn string_list(value: &Value) -> String {
    match value.as_array() {
        Some(items) => {
            let items: Vec<String> = items.iter().map(quoted).collect();
            format!("[]string{{{}}}", items.join(", "))
        }
        None => "[]string(nil)".to_owned(),
    }
}

/// `intstr.IntOrString{Type:0, IntVal:1, StrVal:""}`.
pub(crate) fn int_or_string(value: &Value) -> String {
    let (kind, number, text) = match value {
        Value::String(text) => (1, 0, text.as_str()),
        other => (0, other.as_i64().unwrap_or(0), ""),
    };
    format!(
        "intstr.IntOrString{{Type:{kind}, IntVal:{number}, StrVal:{}}}",
        go_quote(text)
    )
}

/// `v1.LabelSelector{MatchLabels:..., MatchExpressions:...}`.
pub(crate) fn label_selector(value: &Value) -> String {
    let requirement = "v1.LabelSelectorRequirement";
    let expressions = match value["matchExpressions"].as_array() {
        Some(items) => {
            let items: Vec<String> = items
                .iter()
                .map(|item| {
                    format!(
                        "{requirement}{{Key:{}, Operator:{}, Values:{}}}",
                        quoted(&item["key"]),
                        quoted(&item["operator"]),
                        string_list(&item["values"])
                    )
                })
                .collect();
            format!("[]{requirement}{{{}}}", items.join(", "))
        }
        None => format!("[]{requirement}(nil)"),
    };
    format!(
        "v1.LabelSelector{{MatchLabels:{}, MatchExpressions:{expressions}}}",
        string_map(&value["matchLabels"])
    )
}

/// `core.ResourceList{"cpu":"1"}`: a list of amounts, without what Go keeps inside of them.
pub(crate) fn resource_list(value: &Value) -> String {
    match value.is_object() {
        true => string_map(value).replace("map[string]string", "core.ResourceList"),
        false => "core.ResourceList(nil)".to_owned(),
    }
}

/// `core.Taint{...}`.
pub(crate) fn taint(value: &Value) -> String {
    format!(
        "core.Taint{{Key:{}, Value:{}, Effect:{}, TimeAdded:<nil>}}",
        quoted(&value["key"]),
        quoted(&value["value"]),
        quoted(&value["effect"])
    )
}

/// The ServicePort that stands for a port already taken.
pub(crate) fn service_port(protocol: &str, port: i64) -> String {
    let target = int_or_string(&Value::from(0));
    format!(
        "core.ServicePort{{Name:\"\", Protocol:{}, AppProtocol:(*string)(nil), Port:{port}, TargetPort:{target}, NodePort:0}}",
        go_quote(protocol)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_read_as_go_prints_them() {
        let cases = [
            (
                string_map(&json!({"b": "2", "a": "1"})),
                "map[string]string{\"a\":\"1\", \"b\":\"2\"}",
            ),
            (string_map(&Value::Null), "map[string]string(nil)"),
            (string_list(&json!(["a"])), "[]string{\"a\"}"),
            (
                int_or_string(&json!("25")),
                "intstr.IntOrString{Type:1, IntVal:0, StrVal:\"25\"}",
            ),
            (
                label_selector(&json!({"matchLabels": {"a": "1"}})),
                "v1.LabelSelector{MatchLabels:map[string]string{\"a\":\"1\"}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}",
            ),
            (
                service_port("TCP", 80),
                "core.ServicePort{Name:\"\", Protocol:\"TCP\", AppProtocol:(*string)(nil), Port:80, TargetPort:intstr.IntOrString{Type:0, IntVal:0, StrVal:\"\"}, NodePort:0}",
            ),
        ];
        for (printed, expected) in cases {
            assert_eq!(printed, expected);
        }
    }
}
