//! `docker inspect`, `docker container inspect`, `docker image inspect`.
// upstream: cli/command/inspect/inspector.go

use bytes::Bytes;
use hyper::Method;
use serde_json::Value;

use super::client::{Client, ClientError, escape};
use super::indent::indent;
use super::template::Template;
use super::{Context, Failure};

/// Which kinds of things are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Container,
    Image,
    Any,
}

pub(super) async fn containers(context: Context<'_>) -> Result<(), Failure> {
    inspect(context, Kind::Container).await
}

pub(super) async fn images(context: Context<'_>) -> Result<(), Failure> {
    inspect(context, Kind::Image).await
}

pub(super) async fn anything(context: Context<'_>) -> Result<(), Failure> {
    let kind = match context.flags.last("type") {
        None | Some("") => Kind::Any,
        Some("container") => Kind::Container,
        Some("image") => Kind::Image,
        Some(other) => return Err(Failure::Message(format!("{other:?} is not a valid value for --type"))),
    };
    inspect(context, kind).await
}

async fn inspect(context: Context<'_>, kind: Kind) -> Result<(), Failure> {
    let template = match context.flags.last("format") {
        None | Some("") => None,
        Some("json") => Some("{{json .}}"),
        Some(template) => Some(template),
    };
    let template = template.map(|text| Template::parse(&text.replace("\\t", "\t").replace("\\n", "\n"))).transpose();
    let template = template.map_err(|error| Failure::Message(error.to_string()))?;
    let (mut found, mut printed, mut errors) = (Vec::new(), String::new(), Vec::new());
    for name in &context.flags.positional {
        match look(&context.client, kind, name).await {
            Ok(bytes) => match &template {
                None => found.push(String::from_utf8_lossy(&bytes).trim().to_owned()),
                Some(template) => {
                    let value: Value = serde_json::from_slice(&bytes).map_err(|error| Failure::Message(error.to_string()))?;
                    let text = template.render(&value).map_err(|error| Failure::Message(format!("template parsing error: {error}")))?;
                    printed.push_str(&text);
                    printed.push('\n');
                }
            },
            Err(error) => errors.push(error),
        }
    }
    match template {
        Some(_) if !printed.is_empty() => context.out.write_all(printed.as_bytes())?,
        // An empty line when nothing was found, as upstream.
        Some(_) => writeln!(context.out)?,
        None => writeln!(context.out, "{}", indent(&format!("[{}]", found.join(","))))?,
    }
    super::gathered(errors)
}

async fn look(client: &Client, kind: Kind, name: &str) -> Result<Bytes, String> {
    if kind != Kind::Image {
        match client.bytes(Method::GET, &format!("/containers/{}/json", escape(name))).await {
            Err(error) if kind == Kind::Any && error.is_not_found() => {}
            other => return other.map_err(|error| error.to_string()),
        }
    }
    match client.bytes(Method::GET, &format!("/images/{}/json", escape(name))).await {
        Err(error) if kind == Kind::Any && error.is_not_found() => Err(format!("Error: No such object: {name}")),
        other => other.map_err(|error: ClientError| error.to_string()),
    }
}
