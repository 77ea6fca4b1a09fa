//! `docker image ls`.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::{escape, filters};
use super::format::{Format, Row, print};
use super::{Context, Failure};
use crate::humanize;

const TABLE: &str = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
const TABLE_DIGESTS: &str = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
const TITLES: [(&str, &str); 11] = [
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("VirtualSize", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Summary {
    id: String,
    created: i64,
    repo_tags: Option<Vec<String>>,
    repo_digests: Option<Vec<String>>,
    size: u64,
}

pub(super) async fn list(context: Context<'_>) -> Result<(), Failure> {
    let flags = &context.flags;
    let mut given = flags.all("filter").to_vec();
    given.extend(flags.positional.first().map(|reference| format!("reference={reference}")));
    let filters = filters(&given).map_err(Failure::Message)?;
    let mut query = Vec::new();
    if flags.flag("all") {
        query.push("all=1".to_owned());
    }
    if !filters.is_empty() {
        query.push(format!("filters={}", escape(&filters)));
    }
    let images: Vec<Summary> = context.client.get(&format!("/images/json?{}", query.join("&"))).await?;
    let (whole, quiet, now) = (flags.flag("no-trunc"), flags.flag("quiet"), Timestamp::now());
    let rows: Vec<Row> = images.iter().flat_map(|image| rows(image, whole, now)).collect();
    let table = if flags.flag("digests") { TABLE_DIGESTS } else { TABLE };
    let given = flags.last("format").or(quiet.then_some("{{.ID}}"));
    print(context.out, &Format { given, table, titles: &TITLES }, &rows)
}

/// One row for each tag.
fn rows(image: &Summary, whole: bool, now: Timestamp) -> Vec<Row> {
    let created = Timestamp::from_second(image.created).unwrap_or(now);
    let none = || "<none>".to_owned();
    let tags = image.repo_tags.clone().unwrap_or_default();
    let digests = image.repo_digests.clone().unwrap_or_default();
    let tags = if tags.is_empty() { vec![String::new()] } else { tags };
    let id: String = if whole { image.id.clone() } else { image.id.trim_start_matches("sha256:").chars().take(12).collect() };
    let row = |tag: &String| {
        let (repository, tag) = match tag.rsplit_once(':') {
            Some((repository, tag)) => (repository.to_owned(), tag.to_owned()),
            None => (digests.first().and_then(|digest| digest.split_once('@')).map_or_else(none, |(name, _)| name.to_owned()), none()),
        };
        let digest = digests.iter().filter_map(|digest| digest.split_once('@')).find(|(name, _)| *name == repository).map_or_else(none, |(_, digest)| digest.to_owned());
        let fields = json!({
            "ID": id,
            "Repository": repository,
            "Tag": tag,
            "Digest": digest,
            "CreatedSince": if image.created > 0 { format!("{} ago", humanize::duration(created, now)) } else { "N/A".to_owned() },
            "CreatedAt": format!("{} +0000 UTC", created.strftime("%Y-%m-%d %H:%M:%S")),
            "Size": humanize::size(image.size),
            "Containers": "N/A",
            "VirtualSize": humanize::size(image.size),
            "SharedSize": "N/A",
            "UniqueSize": "N/A",
        });
        let fields = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        Row { fields, labels: Map::new() }
    };
    tags.iter().map(row).collect()
}
