//! `docker version`, `docker info`, `docker --version`.

use std::io::Write;

use serde_json::{Value, json};

use super::template::Template;
use super::{Context, Failure};
use crate::{API_VERSION, humanize};

/// The version of this client.
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn client_version() -> Value {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({ "Platform": { "Name": "Drydock" }, "Version": VERSION, "ApiVersion": API_VERSION, "Os": "linux", "Arch": arch })
}

pub(super) fn short_version(out: &mut dyn Write) -> Result<(), Failure> {
    Ok(writeln!(out, "Docker version {VERSION}, build drydock")?)
}

pub(super) async fn version(context: Context<'_>) -> Result<(), Failure> {
    let client = client_version();
    let server: Result<Value, _> = context.client.get("/version").await;
    if let Some(format) = context.flags.last("format").filter(|format| !format.is_empty()) {
        let value = json!({ "Client": client, "Server": server.as_ref().ok() });
        return templated(context.out, format, &value, server.err().map(|error| error.to_string()));
    }
    let field = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    writeln!(context.out, "Client: {}", client["Platform"]["Name"].as_str().unwrap_or_default())?;
    for (title, text) in [
        ("Version:", field(&client, "Version")),
        ("API version:", field(&client, "ApiVersion")),
        ("OS/Arch:", format!("{}/{}", field(&client, "Os"), field(&client, "Arch"))),
    ] {
        writeln!(context.out, " {title:<18}{text}")?;
    }
    let server = server?;
    writeln!(context.out, "\nServer: {}\n Engine:", server["Platform"]["Name"].as_str().unwrap_or_default())?;
    for (title, text) in [
        ("Version:", field(&server, "Version")),
        ("API version:", format!("{} (minimum version {})", field(&server, "ApiVersion"), field(&server, "MinAPIVersion"))),
        ("OS/Arch:", format!("{}/{}", field(&server, "Os"), field(&server, "Arch"))),
        ("Kernel version:", field(&server, "KernelVersion")),
    ] {
        writeln!(context.out, "  {title:<17}{text}")?;
    }
    Ok(())
}

pub(super) async fn info(context: Context<'_>) -> Result<(), Failure> {
    let info: Value = context.client.get("/info").await?;
    if let Some(format) = context.flags.last("format").filter(|format| !format.is_empty()) {
        return templated(context.out, format, &info, None);
    }
    let field = |name: &str| match &info[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    writeln!(context.out, "Client: Drydock\n Version:    {VERSION}\n\nServer:")?;
    writeln!(context.out, " Containers: {}", field("Containers"))?;
    for (title, name) in [("Running", "ContainersRunning"), ("Paused", "ContainersPaused"), ("Stopped", "ContainersStopped")] {
        writeln!(context.out, "  {title}: {}", field(name))?;
    }
    for (title, name) in [
        ("Images", "Images"),
        ("Server Version", "ServerVersion"),
        ("Storage Driver", "Driver"),
        ("Logging Driver", "LoggingDriver"),
        ("Kernel Version", "KernelVersion"),
        ("Operating System", "OperatingSystem"),
        ("OSType", "OSType"),
        ("Architecture", "Architecture"),
        ("CPUs", "NCPU"),
    ] {
        writeln!(context.out, " {title}: {}", field(name))?;
    }
    writeln!(context.out, " Total Memory: {}", humanize::binary_size(info["MemTotal"].as_u64().unwrap_or(0)))?;
    for (title, name) in [("Name", "Name"), ("ID", "ID"), ("Docker Root Dir", "DockerRootDir")] {
        writeln!(context.out, " {title}: {}", field(name))?;
    }
    Ok(())
}

fn templated(out: &mut dyn Write, format: &str, value: &Value, error: Option<String>) -> Result<(), Failure> {
    let format = if format == "json" { "{{json .}}" } else { format };
    let problem = |error: super::template::TemplateError| Failure::Message(error.to_string());
    let text = Template::parse(format).map_err(problem)?.render(value);
    match (text, error) {
        (Ok(text), None) => Ok(writeln!(out, "{text}")?),
        (Ok(text), Some(error)) => {
            writeln!(out, "{text}")?;
            Err(Failure::Message(error))
        }
        // Without an engine there is nothing to fill in: its absence is the news.
        (Err(_), Some(error)) => Err(Failure::Message(error)),
        (Err(error), None) => Err(problem(error)),
    }
}
