//! Who answers here.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::API_VERSION;
use crate::runtime::{ContainerState, Runtime};

/// Architecture as Go names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

pub(super) fn ping() -> Response {
    "OK".into_response()
}

pub(super) fn version(runtime: &dyn Runtime) -> Response {
    let info = runtime.info();
    let details = json!({ "ApiVersion": API_VERSION, "Arch": architecture(), "KernelVersion": info.kernel, "MinAPIVersion": "1.24", "Os": "linux" });
    Json(json!({
        "Platform": { "Name": "Drydock node" },
        "Components": [{ "Name": "Engine", "Version": info.version, "Details": details }],
        "Version": info.version,
        "ApiVersion": API_VERSION,
        "MinAPIVersion": "1.24",
        "Os": "linux",
        "Arch": architecture(),
        "KernelVersion": info.kernel,
    }))
    .into_response()
}

pub(super) fn info(runtime: &dyn Runtime) -> Response {
    let (info, containers) = (runtime.info(), runtime.containers());
    let running = containers.iter().filter(|container| matches!(container.state, ContainerState::Running { .. })).count();
    Json(json!({
        "ID": info.name,
        "Containers": containers.len(),
        "ContainersRunning": running,
        "ContainersPaused": 0,
        "ContainersStopped": containers.len() - running,
        "Images": runtime.images().len(),
        "Driver": "overlay2",
        "LoggingDriver": "json-file",
        "KernelVersion": info.kernel,
        "OperatingSystem": info.operating_system,
        "OSType": "linux",
        "Architecture": std::env::consts::ARCH,
        "NCPU": info.cpus,
        "MemTotal": info.memory,
        "DockerRootDir": info.directory,
        "Name": info.name,
        "ServerVersion": info.version,
    }))
    .into_response()
}
