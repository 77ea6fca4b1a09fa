//! Images: list and look at.

use std::collections::BTreeMap;

use axum::Json;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::Parameters;
use super::error::ApiError;
use super::filters::Filters;
use crate::runtime::{Image, Runtime};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    containers: i64,
    created: i64,
    id: String,
    labels: BTreeMap<String, String>,
    parent_id: &'static str,
    repo_digests: Vec<String>,
    repo_tags: Vec<String>,
    shared_size: i64,
    size: u64,
}

pub(super) fn list(runtime: &dyn Runtime, parameters: &Parameters) -> Result<Response, ApiError> {
    let filters = Filters::parse(parameters.text("filters"), &["reference", "label", "dangling", "before", "since", "until"])?;
    let mut images = runtime.images();
    images.retain(|image| {
        filters.labels(&image.labels)
            && filters.any("reference", |pattern| image.tags.iter().any(|tag| refers(pattern, tag)))
            && filters.any("dangling", |wanted| image.tags.is_empty() == matches!(wanted, "true" | "1"))
    });
    images.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.tags.cmp(&b.tags)));
    let summary = |image: Image| Summary {
        containers: -1,
        created: image.created.map_or(0, Timestamp::as_second),
        id: image.id,
        labels: image.labels,
        parent_id: "",
        repo_digests: image.digests,
        repo_tags: image.tags,
        shared_size: -1,
        size: image.size,
    };
    Ok(Json(images.into_iter().map(summary).collect::<Vec<_>>()).into_response())
}

/// Whether a pattern with `*` names this tag; without a tag of its own it means every tag.
fn refers(pattern: &str, tag: &str) -> bool {
    let name = tag.rsplit_once(':').map_or(tag, |(name, _)| name);
    matches(pattern, tag) || matches(pattern, name)
}

/// `*` stands for anything but a slash.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            let end = rest.find('/').unwrap_or(rest.len());
            (0..=end).filter(|at| rest.is_char_boundary(*at)).any(|at| matches(after, &rest[at..]))
        }),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Details {
    id: String,
    repo_tags: Vec<String>,
    repo_digests: Vec<String>,
    created: String,
    config: Value,
    architecture: &'static str,
    os: &'static str,
    size: u64,
    #[serde(rename = "RootFS")]
    root_fs: Value,
}

pub(super) fn inspect(runtime: &dyn Runtime, typed: &str) -> Result<Response, ApiError> {
    let image = find(runtime.images(), typed)?;
    let config = json!({
        "Cmd": image.command,
        "Entrypoint": image.entrypoint,
        "Env": image.env,
        "Labels": image.labels,
        "User": image.user,
        "WorkingDir": image.working_dir,
    });
    Ok(Json(Details {
        id: image.id,
        repo_tags: image.tags,
        repo_digests: image.digests,
        created: image.created.map_or_else(String::new, |time| time.to_string()),
        config,
        architecture: if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        os: "linux",
        size: image.size,
        root_fs: json!({ "Type": "layers", "Layers": image.layers }),
    })
    .into_response())
}

fn find(images: Vec<Image>, typed: &str) -> Result<Image, ApiError> {
    let familiar = typed.trim_start_matches("docker.io/").trim_start_matches("library/");
    let has_tag = familiar.rsplit_once(':').is_some_and(|(_, tag)| !tag.contains('/'));
    let tagged = if has_tag { familiar.to_owned() } else { format!("{familiar}:latest") };
    let hex = typed.trim_start_matches("sha256:");
    let is_it = |image: &Image| {
        image.tags.contains(&tagged)
            || image.digests.iter().any(|digest| digest == familiar)
            || (hex.len() >= 4 && image.id.trim_start_matches("sha256:").starts_with(hex))
    };
    images.into_iter().find(is_it).ok_or_else(|| ApiError::no_image(&tagged))
}
