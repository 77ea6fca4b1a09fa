//! `kubectl create token`.
// upstream: kubectl/pkg/cmd/create/create_token.go

use clap::{ArgMatches, Command};
use serde_json::json;

use super::one_name;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::print::{self, Printer};
use crate::rest::Call;

/// Flags.
pub fn command() -> Command {
    Command::new("token")
        .args(print::arguments())
        .args([
            flags::array("audience", "Audience of the requested token. If unset, defaults to requesting a token for use with the Kubernetes API server. May be repeated to request a token valid for multiple audiences."),
            flags::duration("duration", "0s", "Requested lifetime of the issued token. If not set or if set to 0, the lifetime will be determined by the server automatically. The server may return a token with a longer or shorter lifetime."),
            flags::text("bound-object-kind", "", "Kind of an object to bind the token to. Supported kinds are Node, Pod, Secret. If set, --bound-object-name must be provided."),
            flags::text("bound-object-name", "", "Name of an object to bind the token to. The token will expire when the object is deleted. Requires --bound-object-kind."),
            flags::text("bound-object-uid", "", "UID of an object to bind the token to. Requires --bound-object-kind and --bound-object-name. If unset, the UID of the existing object is used."),
        ])
        .override_usage("kubectl create token SERVICE_ACCOUNT_NAME [options]")
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let name = one_name(factory, matches)?;
    let (namespace, _) = factory.namespace()?;
    let (kind, bound) = (matches.text("bound-object-kind"), matches.text("bound-object-name"));
    if kind.is_empty() && !bound.is_empty() {
        return Err(Failure::new("--bound-object-name can only be set if --bound-object-kind is provided"));
    }
    if !kind.is_empty() && !["Pod", "Secret", "Node"].contains(&kind.as_str()) {
        return Err(Failure::new("supported --bound-object-kind values are Node, Pod, Secret"));
    }
    if !kind.is_empty() && bound.is_empty() {
        return Err(Failure::new("--bound-object-name is required if --bound-object-kind is provided"));
    }
    let mut spec = json!({"audiences": matches.texts("audience")});
    let seconds = matches.duration("duration").as_secs();
    if seconds > 0 {
        spec["expirationSeconds"] = json!(seconds);
    }
    if !kind.is_empty() {
        spec["boundObjectRef"] = json!({"apiVersion": "v1", "kind": kind, "name": bound, "uid": matches.text("bound-object-uid")});
    }
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {"creationTimestamp": null}, "spec": spec});
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
    let answer = factory.call(Call::new(http::Method::POST, path).json(&request)).await;
    let answer = match answer {
        Err(failure) => return Err(super::wrapped(failure, "failed to create token: ")),
        Ok(answer) => answer,
    };
    match Printer::read(factory, matches, &[])? {
        Some(mut printer) => printer.print(factory, &answer),
        None => factory.streams.line(answer["status"]["token"].as_str().unwrap_or_default()),
    }
}
