//! What the kinds that make Pods from a template share: defaults, checks, columns.
// upstream: pkg/apis/apps/validation/validation.go, pkg/apis/core/validation/validation.go, pkg/printers/internalversion/printers.go

use serde_json::{Value, json};

use super::pod_spec::{
    defaults,
    validation::{self, join},
};
use crate::{
    field_error::FieldError, go_print, meta, registry::Column, scale, table, write::IMMUTABLE,
};

/// The columns of every such kind with `-o wide`, besides the selector.
pub(super) fn container_columns() -> [Column; 2] {
    [
        Column::new("Containers", "Names of each container in the template.").wide(),
        Column::new(
            "Images",
            "Images referenced by each container in the template.",
        )
        .wide(),
    ]
}

/// The Name column.
pub(super) fn name_column() -> Column {
    Column::new("Name", table::NAME_DESCRIPTION)
}

/// The Age column.
pub(super) fn age_column() -> Column {
    Column::new("Age", table::AGE_DESCRIPTION)
}

/// The Selector column.
pub(super) fn selector_column() -> Column {
    Column::new("Selector", "Label selector for pods.").wide()
}

/// Defaults of the Pods to be made.
pub(super) fn template_defaults(new: &mut Value) {
    if !new["spec"].is_object() {
        new["spec"] = json!({});
    }
    if let Some(spec) = new.pointer_mut("/spec/template/spec") {
        defaults::set(spec);
    }
}

/// The cells of a template's containers, images, and the selector.
pub(super) fn template_cells(spec: &Value) -> [Value; 3] {
    let containers = spec
        .pointer("/template/spec/containers")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let joined = |field: &str| {
        containers
            .iter()
            .map(|c| c[field].as_str().unwrap_or(""))
            .collect::<Vec<_>>()
            .join(",")
    };
    [
        Value::from(joined("name")),
        Value::from(joined("image")),
        Value::from(scale::selector_text(&spec["selector"])),
    ]
}

/// Errors of the template at `spec.template`, whose Pods must run for ever; `go_kind` is the owner's name in messages.
pub(super) fn template(template: &Value, go_kind: &str) -> Vec<FieldError> {
    let path = "spec.template";
    let mut errors = Vec::new();
    errors.extend(meta::labels(
        &template["metadata"]["labels"],
        &join(path, "labels"),
    ));
    errors.extend(meta::annotations(
        &template["metadata"]["annotations"],
        &join(path, "annotations"),
    ));
    errors.extend(validation::validate(&template["spec"], &join(path, "spec")));
    errors.extend(runs_for_ever(&template["spec"], go_kind));
    errors
}

/// Errors of a Pod spec whose Pods would end.
pub(super) fn runs_for_ever(spec: &Value, go_kind: &str) -> Vec<FieldError> {
    let (mut errors, path) = (Vec::new(), "spec.template.spec");
    let policy = validation::text(spec, "restartPolicy");
    if !["", "Always"].contains(&policy) {
        errors.push(FieldError::not_supported(
            join(path, "restartPolicy"),
            policy,
            &["Always"],
        ));
    }
    if spec.get("activeDeadlineSeconds").is_some() {
        errors.push(FieldError::forbidden(
            join(path, "activeDeadlineSeconds"),
            format!("activeDeadlineSeconds in {go_kind} is not Supported"),
        ));
    }
    errors
}

/// Errors of a selector that is there: whether it can be used at all, and whether it says something.
pub(super) fn usable_selector(
    selector: &Value,
    kind_words: &str,
    errors: &mut Vec<FieldError>,
) -> bool {
    let empty = |field: &str| crate::decode::is_empty(&selector[field]);
    let found = meta::label_selector(selector, "spec.selector");
    // upstream: what ValidateLabelSelector refuses, LabelSelectorAsSelector cannot convert either
    let unusable = !found.is_empty();
    errors.extend(found);
    let detail = if unusable {
        "invalid label selector".to_owned()
    } else if empty("matchLabels") && empty("matchExpressions") {
        format!("empty selector is invalid for {kind_words}")
    } else {
        return true;
    };
    let error = FieldError::invalid("spec.selector", Value::Null, detail);
    errors.push(error.showing(go_print::label_selector(selector)));
    false
}

/// The error of a selector that does not fit the Pods its owner makes.
pub(super) fn selector_fits(selector: &Value, spec: &Value, errors: &mut Vec<FieldError>) {
    let labels = &spec["template"]["metadata"]["labels"];
    if !scale::selector_matches(selector, labels) {
        let detail = "`selector` does not match template `labels`";
        let error = FieldError::invalid("spec.template.metadata.labels", Value::Null, detail);
        errors.push(error.showing(go_print::string_map(labels)));
    }
}

/// The error of a changed selector.
pub(super) fn selector_unchanged(new: &Value, old: &Value) -> Vec<FieldError> {
    let (new, old) = (&new["spec"]["selector"], &old["spec"]["selector"]);
    if new == old {
        Vec::new()
    } else {
        let error = FieldError::invalid("spec.selector", Value::Null, IMMUTABLE);
        vec![error.showing(go_print::label_selector(new))]
    }
}

/// Whether a share may be more than the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Most {
    /// At most 100%.
    Whole,
    /// Any.
    Any,
}

/// Whether a share is nothing, as a number or a percentage.
pub(super) fn is_zero(value: &Value) -> bool {
    value.as_i64() == Some(0) || value.as_str() == Some("0%")
}

/// Errors of a number or percentage of the Pods.
pub(super) fn share(value: &Value, path: &str, most: Most, errors: &mut Vec<FieldError>) {
    let mut refuse = |detail: &str| {
        let error = FieldError::invalid(path, Value::Null, detail);
        errors.push(error.showing(go_print::int_or_string(value)));
    };
    match value {
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or(0);
            if number < 0 {
                // A plain number is shown as one.
                errors.push(FieldError::invalid(
                    path,
                    number,
                    "must be greater than or equal to 0",
                ));
            }
        }
        Value::String(text) => {
            let digits = text
                .strip_suffix('%')
                .filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
            match digits {
                None => refuse(
                    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
                ),
                Some(digits)
                    if most == Most::Whole && digits.parse::<u32>().unwrap_or(u32::MAX) > 100 =>
                {
                    refuse("must not be greater than 100%");
                }
                Some(_) => {}
            }
        }
        _ => {}
    }
}
