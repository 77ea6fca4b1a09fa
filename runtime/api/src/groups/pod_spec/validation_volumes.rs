//! Validation of volumes and volume mounts.
// upstream: pkg/apis/core/validation/validation.go ValidateVolumes, ValidateVolumeMounts

use std::collections::BTreeSet;

use drydock_primitives::names;
use serde_json::Value;

use super::validation::{items, join, text};
use crate::field_error::FieldError;

/// The names of the volumes of a Pod.
pub(crate) type Volumes = BTreeSet<String>;

/// Checks the volumes and answers their names.
pub(crate) fn volumes(spec: &Value, path: &str, errors: &mut Vec<FieldError>) -> Volumes {
    let mut volumes = Volumes::new();
    for (path, volume) in items(spec, "volumes", path) {
        let name = text(volume, "name");
        if name.is_empty() {
            errors.push(FieldError::required(join(&path, "name"), ""));
        } else {
            errors.extend(
                names::dns1123_label(name)
                    .into_iter()
                    .map(|m| FieldError::invalid(join(&path, "name"), name, m)),
            );
            if volumes.contains(name) {
                errors.push(FieldError::duplicate(join(&path, "name"), name));
            }
        }
        volumes.insert(name.to_owned());
        source(volume, &path, errors);
    }
    volumes
}

fn source(volume: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let sources: Vec<&String> = volume
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, _)| k)
        .filter(|k| *k != "name")
        .collect();
    if sources.is_empty() {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
    for extra in sources.iter().skip(1) {
        errors.push(FieldError::forbidden(
            join(path, extra),
            "may not specify more than 1 volume type",
        ));
    }
    let mut required = |kind: &str, field: &str| {
        if let Some(source) = volume.get(kind)
            && text(source, field).is_empty()
        {
            errors.push(FieldError::required(format!("{path}.{kind}.{field}"), ""));
        }
    };
    required("hostPath", "path");
    required("secret", "secretName");
    required("configMap", "name");
    required("persistentVolumeClaim", "claimName");
    required("nfs", "server");
    required("nfs", "path");
    if let Some(host_path) = volume.get("hostPath") {
        if text(host_path, "path").split('/').any(|part| part == "..") {
            errors.push(FieldError::invalid(
                format!("{path}.hostPath.path"),
                text(host_path, "path"),
                "must not contain '..'",
            ));
        }
        let kinds = [
            "",
            "DirectoryOrCreate",
            "Directory",
            "FileOrCreate",
            "File",
            "Socket",
            "CharDevice",
            "BlockDevice",
        ];
        if !kinds.contains(&text(host_path, "type")) {
            errors.push(FieldError::not_supported(
                format!("{path}.hostPath.type"),
                text(host_path, "type"),
                &kinds,
            ));
        }
    }
    for kind in ["secret", "configMap"] {
        if let Some(source) = volume.get(kind) {
            key_paths(source, &join(path, kind), errors);
            mode(source, "defaultMode", &join(path, kind), errors);
        }
    }
}

fn mode(source: &Value, field: &str, path: &str, errors: &mut Vec<FieldError>) {
    if let Some(mode) = source.get(field).and_then(Value::as_i64)
        && !(0..=0o777).contains(&mode)
    {
        let detail = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(FieldError::invalid(join(path, field), mode, detail));
    }
}

fn key_paths(source: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (path, item) in items(source, "items", path) {
        if text(item, "key").is_empty() {
            errors.push(FieldError::required(join(&path, "key"), ""));
        }
        let target = text(item, "path");
        if target.is_empty() {
            errors.push(FieldError::required(join(&path, "path"), ""));
        } else {
            relative_path(target, join(&path, "path"), errors);
        }
        mode(item, "mode", &path, errors);
    }
}

fn relative_path(target: &str, path: String, errors: &mut Vec<FieldError>) {
    if target.starts_with('/') {
        errors.push(FieldError::invalid(
            path.clone(),
            target,
            "must be a relative path",
        ));
    }
    if target.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path, target, "must not contain '..'"));
    }
}

/// Checks the mounts of one container.
pub(crate) fn mounts(
    container: &Value,
    path: &str,
    volumes: &Volumes,
    errors: &mut Vec<FieldError>,
) {
    let mut paths = BTreeSet::new();
    for (path, mount) in items(container, "volumeMounts", path) {
        let name = text(mount, "name");
        if name.is_empty() {
            errors.push(FieldError::required(join(&path, "name"), ""));
        }
        if !volumes.contains(name) {
            errors.push(FieldError::not_found(join(&path, "name"), name));
        }
        let mount_path = text(mount, "mountPath");
        if mount_path.is_empty() {
            errors.push(FieldError::required(join(&path, "mountPath"), ""));
        }
        if !paths.insert(mount_path.to_owned()) {
            errors.push(FieldError::invalid(
                join(&path, "mountPath"),
                mount_path,
                "must be unique",
            ));
        }
        let (sub_path, expression) = (text(mount, "subPath"), text(mount, "subPathExpr"));
        if !sub_path.is_empty() && !expression.is_empty() {
            errors.push(FieldError::invalid(
                join(&path, "subPathExpr"),
                expression,
                "subPathExpr and subPath are mutually exclusive",
            ));
        }
        for (field, value) in [("subPath", sub_path), ("subPathExpr", expression)] {
            if !value.is_empty() {
                relative_path(value, join(&path, field), errors);
            }
        }
    }
}
