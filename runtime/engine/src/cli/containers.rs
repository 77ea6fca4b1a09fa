//! `docker container ls`, `rm`, `stop`, `kill`.

use std::collections::BTreeMap;

use hyper::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::{escape, filters};
use super::format::{Format, Row, print};
use super::{Context, Failure, gathered};
use crate::humanize;

const TABLE: &str = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";
const TITLES: [(&str, &str); 14] = [
    ("ID", "CONTAINER ID"),
    ("Names", "NAMES"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Summary {
    id: String,
    names: Vec<String>,
    image: String,
    command: String,
    created: i64,
    labels: BTreeMap<String, String>,
    state: String,
    status: String,
    mounts: Vec<Mount>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Mount {
    name: String,
    source: String,
}

pub(super) async fn list(context: Context<'_>) -> Result<(), Failure> {
    let flags = &context.flags;
    let mut query = Vec::new();
    let last = match flags.last("last") {
        Some(text) => {
            let problem = || format!("invalid argument {text:?} for \"-n, --last\" flag: strconv.ParseInt: parsing {text:?}: invalid syntax");
            text.parse::<i64>().map_err(|_| Failure::Message(problem()))?
        }
        None if flags.flag("latest") => 1,
        None => -1,
    };
    if last > 0 {
        query.push(format!("limit={last}"));
    }
    if flags.flag("all") {
        query.push("all=1".to_owned());
    }
    let filters = filters(flags.all("filter")).map_err(Failure::Message)?;
    if !filters.is_empty() {
        query.push(format!("filters={}", escape(&filters)));
    }
    let containers: Vec<Summary> = context.client.get(&format!("/containers/json?{}", query.join("&"))).await?;
    let whole = flags.flag("no-trunc");
    let now = Timestamp::now();
    let rows: Vec<Row> = containers.iter().map(|container| row(container, whole, now)).collect();
    let table = if flags.flag("quiet") { "{{.ID}}" } else { TABLE };
    // `-q` alone prints ids without a title.
    let given = flags.last("format").or(flags.flag("quiet").then_some("{{.ID}}"));
    print(context.out, &Format { given, table, titles: &TITLES }, &rows)
}

fn row(container: &Summary, whole: bool, now: Timestamp) -> Row {
    let created = Timestamp::from_second(container.created).unwrap_or(now);
    let names: Vec<&str> = container.names.iter().map(|name| name.strip_prefix('/').unwrap_or(name)).collect();
    let command = if whole { container.command.clone() } else { ellipsis(&container.command, 20) };
    let image = match container.image.as_str() {
        "" => "<no image>".to_owned(),
        image if whole => image.to_owned(),
        // upstream: cli/command/formatter/container.go, Image: an image known by its digest alone is shown by twelve digits.
        image => image.strip_prefix("sha256:").map_or_else(|| image.to_owned(), |digest| digest.chars().take(12).collect()),
    };
    let mounts = container.mounts.iter().map(|mount| if mount.name.is_empty() { &mount.source } else { &mount.name });
    let mounts: Vec<String> = mounts.map(|mount| if whole { mount.clone() } else { ellipsis(mount, 15) }).collect();
    let labels: Vec<String> = container.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let fields = json!({
        "ID": if whole { container.id.clone() } else { container.id.chars().take(12).collect() },
        "Names": names.join(","),
        "Image": image,
        "Command": quote(&command),
        "CreatedAt": format!("{} +0000 UTC", created.strftime("%Y-%m-%d %H:%M:%S")),
        "RunningFor": format!("{} ago", humanize::duration(created, now)),
        "Ports": "",
        "State": container.state,
        "Status": container.status,
        "Size": "0B",
        "Labels": labels.join(","),
        "Mounts": mounts.join(","),
        "LocalVolumes": "0",
        "Networks": "",
    });
    let fields = match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    Row { fields, labels: container.labels.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect() }
}

// upstream: cli/command/formatter/displayutils.go, Ellipsis
fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width { text.to_owned() } else { text.chars().take(width - 1).chain(['…']).collect() }
}

/// As Go's strconv.Quote.
fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

pub(super) async fn remove(context: Context<'_>) -> Result<(), Failure> {
    let mut errors = Vec::new();
    let force = context.flags.flag("force");
    for typed in &context.flags.positional {
        let name = typed.trim_matches('/');
        if name.is_empty() {
            errors.push("Container name cannot be empty".to_owned());
            continue;
        }
        let mut query = Vec::new();
        if context.flags.flag("volumes") {
            query.push("v=1");
        }
        if force {
            query.push("force=1");
        }
        match context.client.bytes(Method::DELETE, &format!("/containers/{}?{}", escape(name), query.join("&"))).await {
            Ok(_) => writeln!(context.out, "{typed}")?,
            // upstream: cli/command/container/rm.go: with --force it is good enough that it is not there.
            Err(error) if force && error.is_not_found() => writeln!(context.err, "{error}")?,
            Err(error) => errors.push(error.to_string()),
        }
    }
    gathered(errors)
}

pub(super) async fn stop(context: Context<'_>) -> Result<(), Failure> {
    let query = context.flags.last("time").map_or_else(String::new, |seconds| format!("?t={}", escape(seconds)));
    each(context, "stop", &query).await
}

pub(super) async fn kill(context: Context<'_>) -> Result<(), Failure> {
    let query = context.flags.last("signal").map_or_else(String::new, |signal| format!("?signal={}", escape(signal)));
    each(context, "kill", &query).await
}

async fn each(context: Context<'_>, action: &str, query: &str) -> Result<(), Failure> {
    let mut errors = Vec::new();
    for typed in &context.flags.positional {
        match context.client.bytes(Method::POST, &format!("/containers/{}/{action}{query}", escape(typed))).await {
            Ok(_) => writeln!(context.out, "{typed}")?,
            Err(error) => errors.push(error.to_string()),
        }
    }
    gathered(errors)
}
