//! The three older patch types.
// upstream: apiserver/pkg/endpoints/handlers/patch.go

use serde_json::Value;

use crate::{
    decode,
    field_error::FieldError,
    field_validation,
    registry::Resource,
    status::Status,
    strategic,
    write::{self, Decoded, FieldValidation},
};

/// The patch types by media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// `application/json-patch+json`.
    Json,
    /// `application/merge-patch+json`.
    Merge,
    /// `application/strategic-merge-patch+json`.
    Strategic,
    /// `application/apply-patch+yaml`: see [`crate::apply`].
    Apply,
}

impl PatchType {
    /// By the media type of the request, parameters ignored.
    pub fn parse(content_type: &str) -> Option<PatchType> {
        match content_type.split(';').next()?.trim() {
            "application/json-patch+json" => Some(PatchType::Json),
            "application/merge-patch+json" => Some(PatchType::Merge),
            "application/strategic-merge-patch+json" => Some(PatchType::Strategic),
            "application/apply-patch+yaml" | "application/apply-patch+json" => {
                Some(PatchType::Apply)
            }
            _ => None,
        }
    }
}

/// The object a patch of the first three types makes of `old` (apply goes through [`crate::apply::apply`]). The answer is not yet
/// decoded: pass it through [`decode`].
pub fn patched(
    row: &Resource,
    old: &Value,
    patch: &[u8],
    kind: PatchType,
) -> Result<Value, Status> {
    match kind {
        PatchType::Json => json_patched(old, patch),
        PatchType::Merge => {
            let patch = parse(patch)?;
            if !patch.is_object() {
                return Err(Status::bad_request("Invalid JSON Patch"));
            }
            let mut new = old.clone();
            merge(&mut new, &patch);
            Ok(new)
        }
        PatchType::Strategic => strategically_patched(row, old, patch),
        PatchType::Apply => Err(Status::internal("an apply patch is no patch of this type")),
    }
}

/// Reads the outcome of a patch as an object of this row. What is wrong with it is worded as upstream words it for this patch type.
pub fn decode(
    row: &Resource,
    patched: Value,
    patch: &[u8],
    kind: PatchType,
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    let shown = patched.to_string();
    let mut duplicates = Vec::new();
    if validation != FieldValidation::Ignore
        && let Ok(parsed) = field_validation::parse_json(patch)
    {
        duplicates = parsed.duplicates;
    }
    let refuse = |why: String| {
        let value = match kind {
            PatchType::Strategic => strategic::go_value(&parse(patch).unwrap_or(Value::Null)),
            _ => shown.clone(),
        };
        Status::invalid_as("", "", "", &[FieldError::invalid("patch", value, why)])
    };
    let decoded =
        write::decode_value(row, patched, FieldValidation::Warn).map_err(|status| match status
            .message
            .split_once(&format!("cannot be handled as a {}: ", row.kind))
        {
            Some((_, why)) if kind == PatchType::Strategic => refuse(as_conversion(why)),
            Some((_, why)) => refuse(why.to_owned()),
            None => status,
        })?;
    let mut findings = duplicates;
    findings.extend(decoded.warnings);
    match validation {
        FieldValidation::Strict if !findings.is_empty() => Err(refuse(format!(
            "strict decoding error: {}",
            findings.join(", ")
        ))),
        FieldValidation::Warn => Ok(Decoded {
            object: decoded.object,
            warnings: findings,
        }),
        FieldValidation::Strict | FieldValidation::Ignore => Ok(Decoded {
            object: decoded.object,
            warnings: Vec::new(),
        }),
    }
}

/// A strategic merge is decoded value by value, not from text, and complains in other words.
// upstream: apimachinery/pkg/runtime/converter.go fromUnstructured
fn as_conversion(why: &str) -> String {
    let parts = why
        .strip_prefix("json: cannot unmarshal ")
        .and_then(|rest| rest.split_once(" into Go "));
    let Some((given, rest)) = parts else {
        return why.to_owned();
    };
    let wanted = rest.rsplit(' ').next().unwrap_or("");
    let go_kind = match given {
        "object" => "map",
        "array" => "slice",
        "number" => "int64",
        other => other,
    };
    if wanted.starts_with("[]") {
        format!("cannot restore slice from {go_kind}")
    } else if wanted.starts_with("map[") {
        format!("cannot restore map from {go_kind}")
    } else if given == "number" && wanted == "string" {
        "cannot convert int64 to string".to_owned()
    } else if ["int32", "int64", "bool", "float64", "string"].contains(&wanted) {
        format!("unrecognized type: {wanted}")
    } else if wanted.starts_with("v1.") && given == "number" {
        format!("cannot convert int64 to {wanted}")
    } else {
        format!("cannot restore struct from: {go_kind}")
    }
}

fn parse(patch: &[u8]) -> Result<Value, Status> {
    field_validation::parse_json(patch)
        .map(|parsed| parsed.value)
        .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))
}

fn json_patched(old: &Value, patch: &[u8]) -> Result<Value, Status> {
    let patch = parse(patch)?;
    if !patch.is_array() {
        let given = decode::go_value(&patch);
        return Err(Status::bad_request(format!(
            "error decoding patch: json: cannot unmarshal {given} into Go value of type []handlers.jsonPatchOp"
        )));
    }
    // Upstream tells no more than this about an operation that fails.
    let refuse =
        || Status::unprocessable("the server rejected our request due to an error in our request");
    let patch: json_patch::Patch = serde_json::from_value(patch).map_err(|_unknown| refuse())?;
    let mut new = old.clone();
    json_patch::patch(&mut new, &patch).map_err(|_failed| refuse())?;
    Ok(new)
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    if let Some(target) = target.as_object_mut() {
        for (name, value) in patch {
            if value.is_null() {
                target.remove(name);
            } else {
                merge(target.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
    }
}

fn strategically_patched(row: &Resource, old: &Value, patch: &[u8]) -> Result<Value, Status> {
    if row.schema.is_none() {
        return Err(Status::unsupported_media_type(&[
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/apply-patch+yaml",
        ]));
    }
    // What is no JSON is told as Go's decoder tells it, without the words of the other kinds of patches.
    let patch = field_validation::parse_json(patch).map_err(Status::bad_request)?.value;
    let empty = serde_json::Map::new();
    let patch = match &patch {
        Value::Object(fields) => fields,
        Value::Null => &empty,
        other => {
            return Err(Status::bad_request(format!(
                "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                decode::go_value(other)
            )));
        }
    };
    let Some(old) = old.as_object() else {
        return Err(Status::bad_request("invalid JSON document"));
    };
    let kind = crate::managed::root_type(row);
    strategic::merge(old.clone(), patch, Some(&kind)).map(Value::Object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::Registry;

    fn run(kind: PatchType, old: &Value, patch: &Value) -> Result<Value, String> {
        let registry = Registry::builtin();
        let row = registry.get("", "v1", "pods").unwrap();
        let patch = patch.to_string();
        patched(row, old, patch.as_bytes(), kind).map_err(|s| format!("{} {}", s.code, s.message))
    }

    #[test]
    fn merge_and_json_patches_work_by_the_letter() {
        let old = json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"list": [1, 2]}});
        let refused = "422 the server rejected our request due to an error in our request";
        let cases = [
            (
                PatchType::Merge,
                json!({"metadata": {"labels": {"a": null, "c": "3"}}}),
                Ok(json!({"metadata": {"labels": {"b": "2", "c": "3"}}, "spec": {"list": [1, 2]}})),
            ),
            (
                PatchType::Merge,
                json!({"spec": {"list": [3]}}),
                Ok(json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"list": [3]}})),
            ),
            (PatchType::Merge, json!([1]), Err("400 Invalid JSON Patch")),
            (
                PatchType::Json,
                json!([{"op": "replace", "path": "/spec/list/0", "value": 9}, {"op": "remove", "path": "/metadata"}]),
                Ok(json!({"spec": {"list": [9, 2]}})),
            ),
            (
                PatchType::Json,
                json!([{"op": "remove", "path": "/nope"}]),
                Err(refused),
            ),
            (
                PatchType::Json,
                json!([{"op": "test", "path": "/spec/list/0", "value": 7}]),
                Err(refused),
            ),
            (
                PatchType::Json,
                json!([{"op": "frobnicate", "path": "/spec"}]),
                Err(refused),
            ),
            (
                PatchType::Json,
                json!({"spec": 1}),
                Err(
                    "400 error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
                ),
            ),
        ];
        for (kind, patch, expected) in cases {
            assert_eq!(
                run(kind, &old, &patch),
                expected.map_err(str::to_owned),
                "{patch}"
            );
        }
    }

    #[test]
    fn what_is_no_patch_is_told_as_go_tells_it() {
        let registry = Registry::builtin();
        let row = registry.get("", "v1", "pods").unwrap();
        let told = |kind, patch: &str| patched(row, &json!({"a": 1}), patch.as_bytes(), kind).map_err(|status| status.message);
        let unmarshal = |word: &str| Err(format!("json: cannot unmarshal {word} into Go value of type map[string]interface {{}}"));
        assert_eq!(told(PatchType::Strategic, "{"), Err("unexpected end of JSON input".to_owned()));
        assert_eq!(told(PatchType::Merge, "{"), Err("error decoding patch: unexpected end of JSON input".to_owned()));
        assert_eq!(told(PatchType::Strategic, "5"), unmarshal("number"));
        assert_eq!(told(PatchType::Strategic, "[1]"), unmarshal("array"));
        assert_eq!(told(PatchType::Strategic, "null"), Ok(json!({"a": 1})));
    }

    #[test]
    fn strategic_merges_know_lists_by_key() {
        let old = json!({
            "metadata": {"finalizers": ["a/b", "c/d"]},
            "spec": {"containers": [{"name": "a", "image": "1", "args": ["x"], "env": [{"name": "E", "value": "1"}]}, {"name": "b", "image": "2"}],
                "tolerations": [{"key": "k"}], "volumes": [{"name": "v", "emptyDir": {}}], "nodeSelector": {"x": "1"}},
        });
        let spec = |patch: Value| json!({ "spec": patch });
        let cases: Vec<(Value, &str, Value)> = vec![
            (
                spec(json!({"containers": [{"name": "a", "image": "9"}]})),
                "/spec/containers/0",
                json!({"name": "a", "image": "9", "args": ["x"], "env": [{"name": "E", "value": "1"}]}),
            ),
            (
                spec(
                    json!({"containers": [{"name": "a", "env": [{"name": "F", "value": "2"}], "args": ["y"]}]}),
                ),
                "/spec/containers/0",
                json!({"name": "a", "image": "1", "args": ["y"], "env": [{"name": "E", "value": "1"}, {"name": "F", "value": "2"}]}),
            ),
            (
                spec(json!({"containers": [{"name": "a", "$patch": "delete"}]})),
                "/spec/containers",
                json!([{"name": "b", "image": "2"}]),
            ),
            (
                spec(json!({"containers": [{"name": "z", "image": "3"}, {"$patch": "replace"}]})),
                "/spec/containers",
                json!([{"name": "z", "image": "3"}]),
            ),
            (
                spec(
                    json!({"containers": [{"name": "z"}], "$setElementOrder/containers": [{"name": "z"}, {"name": "a"}, {"name": "b"}]}),
                ),
                "/spec/containers/0/name",
                json!("z"),
            ),
            (
                spec(json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]})),
                "/spec/containers/0/name",
                json!("b"),
            ),
            (
                spec(json!({"tolerations": [{"key": "l"}]})),
                "/spec/tolerations",
                json!([{"key": "l"}]),
            ),
            (
                spec(
                    json!({"volumes": [{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "m"}}]}),
                ),
                "/spec/volumes",
                json!([{"name": "v", "configMap": {"name": "m"}}]),
            ),
            (
                spec(json!({"nodeSelector": {"x": null, "y": "2"}})),
                "/spec/nodeSelector",
                json!({"y": "2"}),
            ),
            (
                spec(json!({"nodeSelector": {"$patch": "replace", "z": "3"}})),
                "/spec/nodeSelector",
                json!({"z": "3"}),
            ),
            (
                json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/b"]}}),
                "/metadata/finalizers",
                json!(["c/d"]),
            ),
            (
                json!({"metadata": {"finalizers": ["e/f"]}}),
                "/metadata/finalizers",
                json!(["a/b", "c/d", "e/f"]),
            ),
            (
                json!({"metadata": {"labels": {"new": "1", "gone": null}}}),
                "/metadata/labels",
                json!({"new": "1"}),
            ),
        ];
        for (patch, pointer, expected) in cases {
            let new = run(PatchType::Strategic, &old, &patch).unwrap();
            assert_eq!(new.pointer(pointer), Some(&expected), "{patch} gave {new}");
        }
        assert_eq!(
            run(
                PatchType::Strategic,
                &old,
                &spec(json!({"containers": [{"image": "x"}]}))
            )
            .unwrap_err(),
            "500 map: map[image:x] does not contain declared merge key: name"
        );
    }

    #[test]
    fn a_bad_outcome_is_worded_by_patch_type() {
        let registry = Registry::builtin();
        let row = registry.get("apps", "v1", "deployments").unwrap();
        let old = json!({"spec": {"replicas": 1}});
        let cases = [
            (
                PatchType::Merge,
                json!({"spec": {"foo": 1}}),
                " \"\" is invalid: patch: Invalid value: \"{\\\"spec\\\":{\\\"foo\\\":1,\\\"replicas\\\":1}}\": strict decoding error: unknown field \"spec.foo\"",
            ),
            (
                PatchType::Strategic,
                json!({"spec": {"foo": 1}}),
                " \"\" is invalid: patch: Invalid value: \"map[spec:map[foo:1]]\": strict decoding error: unknown field \"spec.foo\"",
            ),
            (
                PatchType::Strategic,
                json!({"spec": {"replicas": "a"}}),
                " \"\" is invalid: patch: Invalid value: \"map[spec:map[replicas:a]]\": unrecognized type: int32",
            ),
            (
                PatchType::Strategic,
                json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": 1}]}}}}),
                " \"\" is invalid: patch: Invalid value: \"map[spec:map[template:map[spec:map[containers:[map[image:1 name:a]]]]]]\": cannot convert int64 to string",
            ),
        ];
        for (kind, patch, expected) in cases {
            let text = patch.to_string();
            let new = patched(row, &old, text.as_bytes(), kind).unwrap();
            let refused =
                decode(row, new, text.as_bytes(), kind, FieldValidation::Strict).unwrap_err();
            assert_eq!((refused.code, refused.message.as_str()), (422, expected));
        }
    }
}
