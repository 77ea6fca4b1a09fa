//! `kubectl certificate approve` and `deny`.
// upstream: kubectl/pkg/cmd/certificates/certificates.go

use clap::{ArgMatches, Command};
use http::Method;
use serde_json::json;

use crate::builder::{self, Selection};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::print;
use crate::rest::Call;
use crate::write::Writer;

/// `certificate` alone.
pub fn command() -> Command {
    Command::new("certificate").about("Modify certificate resources.").override_usage("kubectl certificate SUBCOMMAND [options]")
}

/// Flags of `approve`.
pub fn approve_command() -> Command {
    one_command("kubectl certificate approve (-f FILENAME | NAME) [options]")
}

/// Flags of `deny`.
pub fn deny_command() -> Command {
    one_command("kubectl certificate deny (-f FILENAME | NAME) [options]")
}

/// Flags of both.
fn one_command(usage: &'static str) -> Command {
    Command::new("certificate")
        .override_usage(usage)
        .args(print::arguments())
        .args(builder::file_flags("Filename, directory, or URL to files identifying the resource to update"))
        .arg(flags::switch("force", "Update the CSR even if it is already approved."))
}

/// `approve`.
pub async fn approve(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    decide(factory, matches, "Approved").await
}

/// `deny`.
pub async fn deny(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    decide(factory, matches, "Denied").await
}

async fn decide(factory: &Factory, matches: &ArgMatches, verdict: &str) -> Result<(), Failure> {
    let mut selection = Selection::read(factory, matches)?;
    if selection.words.is_empty() && !selection.has_files() {
        return Err(Failure::new("one or more CSRs must be specified as <name> or -f <filename>"));
    }
    selection.default_type = "certificatesigningrequests".to_owned();
    selection.latest = true;
    let mut writer = Writer::read(factory, matches)?;
    let (done, reason, other) = if verdict == "Approved" { ("approved", "KubectlApprove", "Denied") } else { ("denied", "KubectlDeny", "Approved") };
    for info in selection.infos(factory).await? {
        let mut object = info.object.clone();
        let mut conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        if conditions.iter().any(|condition| condition["type"] == other) {
            return Err(Failure::new(format!("certificate signing request {:?} is already {other}", info.name)));
        }
        if !conditions.iter().any(|condition| condition["type"] == verdict) || matches.on("force") {
            conditions.retain(|condition| condition["type"] != verdict);
            conditions.push(json!({"type": verdict, "status": "True", "reason": reason, "message": format!("This CSR was {done} by kubectl certificate {}.", if verdict == "Approved" { "approve" } else { "deny" }), "lastUpdateTime": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()}));
            object["status"]["conditions"] = json!(conditions);
            object = factory.call(Call::new(Method::PUT, format!("{}/approval", info.path())).json(&object)).await?;
        }
        writer.tell(factory, &object, done)?;
    }
    Ok(())
}
