//! Containers: list, look at, end, remove.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::error::ApiError;
use super::filters::Filters;
use super::{Parameters, find, signals};
use crate::humanize;
use crate::runtime::{Container, ContainerState, MountPoint, Runtime};

/// What an empty time prints as.
const NEVER: &str = "0001-01-01T00:00:00Z";
const FILTERS: [&str; 8] = ["id", "name", "label", "status", "exited", "ancestor", "before", "since"];

/// One line of a list.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    id: String,
    names: Vec<String>,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    command: String,
    created: i64,
    ports: Vec<Value>,
    labels: BTreeMap<String, String>,
    state: &'static str,
    status: String,
    host_config: Value,
    network_settings: Value,
    mounts: Vec<Value>,
}

pub(super) fn list(runtime: &dyn Runtime, parameters: &Parameters) -> Result<Response, ApiError> {
    let filters = Filters::parse(parameters.text("filters"), &FILTERS)?;
    let limit = match parameters.text("limit") {
        "" => 0,
        text => text.parse::<i64>().map_err(|_| ApiError::bad(format!("invalid limit {text:?}")))?,
    };
    for status in filters.values("status") {
        if !["created", "running", "paused", "restarting", "removing", "exited", "dead"].contains(&status.as_str()) {
            return Err(ApiError::bad(format!("invalid filter 'status={status}'")));
        }
    }
    let mut all = runtime.containers();
    all.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
    let everything = parameters.flag("all") || limit > 0 || !filters.values("status").is_empty() || !filters.values("exited").is_empty();
    let created_of = |name: &str| -> Result<Vec<Option<Timestamp>>, ApiError> {
        filters.values(name).iter().map(|typed| find::container(runtime, typed).map(|container| container.created)).collect()
    };
    let (before, since) = (created_of("before")?, created_of("since")?);
    let wanted = all.into_iter().filter(|container| {
        (everything || matches!(container.state, ContainerState::Running { .. }))
            && passes(container, &filters)
            && before.iter().all(|time| container.created < *time)
            && since.iter().all(|time| container.created > *time)
    });
    let count = usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let now = Timestamp::now();
    let summaries: Vec<Summary> = wanted.take(count).map(|container| summary(container, now)).collect();
    Ok(Json(summaries).into_response())
}

fn passes(container: &Container, filters: &Filters) -> bool {
    let exit = match container.state {
        ContainerState::Exited { code, .. } => Some(code),
        ContainerState::Created | ContainerState::Running { .. } => None,
    };
    filters.labels(&container.labels)
        && filters.any("id", |id| container.id.starts_with(id))
        && filters.any("name", |name| container.name.contains(name.trim_matches(['^', '$', '/'])))
        && filters.any("status", |status| container.state.name() == status)
        && filters.any("exited", |code| exit.is_some() && code.parse().ok() == exit)
        && filters.any("ancestor", |image| {
            let (own, wanted) = (container.image.as_str(), image);
            own == wanted || own.strip_suffix(":latest") == Some(wanted) || container.image_id == wanted || container.image_id.strip_prefix("sha256:").is_some_and(|id| wanted.len() >= 12 && id.starts_with(wanted))
        })
}

fn summary(container: Container, now: Timestamp) -> Summary {
    Summary {
        names: vec![format!("/{}", container.name)],
        command: container.args.join(" "),
        created: container.created.map_or(0, Timestamp::as_second),
        ports: Vec::new(),
        state: container.state.name(),
        status: status(&container.state, now),
        host_config: json!({ "NetworkMode": container.network_mode }),
        network_settings: json!({ "Networks": {} }),
        mounts: container.mounts.iter().map(mount).collect(),
        id: container.id,
        image: container.image,
        image_id: container.image_id,
        labels: container.labels,
    }
}

// upstream: container/state.go, String
fn status(state: &ContainerState, now: Timestamp) -> String {
    match state {
        ContainerState::Created => "Created".to_owned(),
        ContainerState::Running { started, .. } => format!("Up {}", humanize::duration(*started, now)),
        ContainerState::Exited { code, finished, .. } => format!("Exited ({code}) {} ago", humanize::duration(*finished, now)),
    }
}

fn mount(mount: &MountPoint) -> Value {
    json!({ "Type": "bind", "Source": mount.source, "Destination": mount.destination, "Mode": if mount.writable { "" } else { "ro" }, "RW": mount.writable, "Propagation": "rprivate" })
}

/// Everything about one container; the order is what `docker inspect` prints.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Details {
    id: String,
    created: String,
    path: String,
    args: Vec<String>,
    state: State,
    image: String,
    log_path: String,
    name: String,
    restart_count: u32,
    driver: &'static str,
    platform: &'static str,
    host_config: HostConfig,
    mounts: Vec<Value>,
    config: Config,
    network_settings: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: &'static str,
    running: bool,
    paused: bool,
    restarting: bool,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    dead: bool,
    pid: i32,
    exit_code: i32,
    error: String,
    started_at: String,
    finished_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    binds: Vec<String>,
    network_mode: String,
    restart_policy: Value,
    memory: u64,
    nano_cpus: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    hostname: String,
    user: String,
    tty: bool,
    open_stdin: bool,
    env: Vec<String>,
    cmd: Vec<String>,
    image: String,
    working_dir: String,
    entrypoint: Option<Vec<String>>,
    labels: BTreeMap<String, String>,
}

pub(super) fn inspect(runtime: &dyn Runtime, typed: &str) -> Result<Response, ApiError> {
    let container = find::container(runtime, typed)?;
    let time = |time: Option<Timestamp>| time.map_or_else(|| NEVER.to_owned(), |time| time.to_string());
    let bind = |mount: &MountPoint| format!("{}:{}{}", mount.source, mount.destination, if mount.writable { "" } else { ":ro" });
    let mut args = container.args.iter().cloned();
    Ok(Json(Details {
        created: time(container.created),
        path: args.next().unwrap_or_default(),
        args: args.collect(),
        state: state(&container.state),
        image: container.image_id,
        log_path: container.log_path,
        name: format!("/{}", container.name),
        restart_count: container.restart_count,
        driver: "overlay2",
        platform: "linux",
        host_config: HostConfig {
            binds: container.mounts.iter().map(bind).collect(),
            network_mode: container.network_mode,
            restart_policy: json!({ "Name": "no", "MaximumRetryCount": 0 }),
            memory: container.memory_limit,
            nano_cpus: container.cpu_millis * 1_000_000,
        },
        mounts: container.mounts.iter().map(mount).collect(),
        config: Config {
            hostname: container.hostname,
            user: container.user,
            tty: container.tty,
            open_stdin: container.stdin,
            env: container.env,
            cmd: container.args,
            image: container.image,
            working_dir: container.working_dir,
            entrypoint: None,
            labels: container.labels,
        },
        network_settings: json!({ "Networks": {} }),
        id: container.id,
    })
    .into_response())
}

fn state(state: &ContainerState) -> State {
    let mut shown = State {
        status: state.name(),
        running: false,
        paused: false,
        restarting: false,
        oom_killed: false,
        dead: false,
        pid: 0,
        exit_code: 0,
        error: String::new(),
        started_at: NEVER.to_owned(),
        finished_at: NEVER.to_owned(),
    };
    match state {
        ContainerState::Created => {}
        ContainerState::Running { started, pid } => {
            shown.running = true;
            shown.pid = *pid;
            shown.started_at = started.to_string();
        }
        ContainerState::Exited { started, finished, code, oom_killed, error } => {
            shown.exit_code = *code;
            shown.oom_killed = *oom_killed;
            shown.error.clone_from(error);
            shown.finished_at = finished.to_string();
            if let Some(started) = started {
                shown.started_at = started.to_string();
            }
        }
    }
    shown
}

// upstream: daemon/delete.go
pub(super) async fn remove(runtime: &dyn Runtime, typed: &str, parameters: &Parameters) -> Result<Response, ApiError> {
    let container = find::container(runtime, typed)?;
    if matches!(container.state, ContainerState::Running { .. }) && !parameters.flag("force") {
        let message = format!("cannot remove container \"/{}\": container is running: stop the container before removing or force remove", container.name);
        return Err(ApiError::new(StatusCode::CONFLICT, message));
    }
    runtime.remove(&container.id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

// upstream: daemon/kill.go
pub(super) async fn kill(runtime: &dyn Runtime, typed: &str, parameters: &Parameters) -> Result<Response, ApiError> {
    let name = match parameters.text("signal") {
        "" => "KILL",
        name => name,
    };
    let signal = signals::parse(name).ok_or_else(|| ApiError::bad(format!("invalid signal: {name}")))?;
    let container = find::container(runtime, typed)?;
    if !matches!(container.state, ContainerState::Running { .. }) {
        return Err(ApiError::new(StatusCode::CONFLICT, format!("cannot kill container: {typed}: container {} is not running", container.id)));
    }
    runtime.kill(&container.id, signal).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn stop(runtime: &dyn Runtime, typed: &str, parameters: &Parameters) -> Result<Response, ApiError> {
    let container = find::container(runtime, typed)?;
    if !matches!(container.state, ContainerState::Running { .. }) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    let grace = match parameters.text("t") {
        "" => None,
        text => Some(text.parse::<i64>().map_err(|_| ApiError::bad(format!("strconv.Atoi: parsing {text:?}: invalid syntax")))?),
    };
    // Minus one is for ever, which is longer than anybody waits.
    let grace = grace.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(365 * 86_400)));
    runtime.stop(&container.id, grace).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
