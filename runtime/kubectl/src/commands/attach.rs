//! `kubectl attach`.
// upstream: kubectl/pkg/cmd/attach/attach.go

use clap::{ArgMatches, Command};
use serde_json::Value;

use super::exec::wants_tty;
use crate::builder::Selection;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{Flags, duration, switch, text};
use crate::pods;
use crate::remote::command::Remote;
use crate::remote::terminal;

/// Its flags.
pub fn command() -> Command {
    Command::new("attach").override_usage("kubectl attach (POD | TYPE/NAME) -c CONTAINER [options]").args([
        text("container", "", "Container name. If omitted, use the kubectl.kubernetes.io/default-container annotation for selecting the container to be attached or the first container in the pod will be chosen").short('c'),
        duration("pod-running-timeout", "1m0s", "The length of time (like 5s, 2m, or 3h, higher than zero) to wait until at least one pod is running"),
        switch("quiet", "Only print output from the remote session").short('q'),
        switch("stdin", "Pass stdin to the container").short('i'),
        switch("tty", "Stdin is a TTY").short('t'),
    ])
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let words = matches.arguments();
    let (namespace, _) = factory.namespace()?;
    let timeout = matches.duration("pod-running-timeout");
    if timeout.is_zero() {
        return Err(factory.usage("--pod-running-timeout must be higher than zero"));
    }
    if words.is_empty() {
        return Err(Failure::new("at least 1 argument is required for attach"));
    }
    if words.len() > 2 {
        return Err(Failure::new(format!("expected POD, TYPE/NAME, or TYPE NAME, (at most 2 arguments) saw {}: [{}]", words.len(), words.join(" "))));
    }
    let default_type = if words.len() == 1 { "pods".to_owned() } else { String::new() };
    let selection = Selection { words, namespace, default_type, ..Selection::default() };
    let Some(info) = selection.infos(factory).await?.pop() else { return Err(Failure::new("no resource matched")) };
    let pod = pods::attachable(factory, info.object, timeout).await?;
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    if phase == "Succeeded" || phase == "Failed" {
        return Err(Failure::new(format!("cannot attach a container in a completed pod; current phase is {phase}")));
    }
    let asked = Attach { container: matches.text("container"), stdin: matches.on("stdin"), tty: matches.on("tty"), quiet: matches.on("quiet") };
    attach(factory, &pod, &asked).await
}

/// How to attach.
#[derive(Debug, Clone, Default)]
pub struct Attach {
    /// The container, or the default one.
    pub container: String,
    /// Pass standard input.
    pub stdin: bool,
    /// Use a terminal.
    pub tty: bool,
    /// Say nothing.
    pub quiet: bool,
}

/// Attach to a running container of a Pod until it ends or its reader leaves.
pub async fn attach(factory: &Factory, pod: &Value, asked: &Attach) -> Result<(), Failure> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let not = |failure: Failure| Failure::new(format!("cannot attach to the container: {}", failure.text()));
    let container = pods::chosen_container(factory, pod, &asked.container, asked.quiet).map_err(not)?;
    let has_tty = pods::container(pod, &container).is_some_and(|container| container["tty"] == true);
    if asked.tty && !has_tty && !asked.quiet {
        factory.streams.warn(&format!("error: Unable to use a TTY - container {container} did not allocate one"));
    }
    // A container with a terminal is attached to with one, whether asked or not.
    let tty = wants_tty(factory, asked.stdin, has_tty, asked.quiet);
    let sizes = terminal::size().filter(|_| tty).map(|(width, height)| vec![(width.saturating_add(1), height.saturating_add(1)), (width, height)]);
    if !asked.quiet {
        factory.streams.warn("If you don't see a command prompt, try pressing enter.");
    }
    let remote = Remote {
        verb: "attach",
        namespace: pod["metadata"]["namespace"].as_str().unwrap_or_default().to_owned(),
        pod: name.to_owned(),
        container: container.clone(),
        command: vec![],
        stdin: asked.stdin,
        tty,
        sizes: sizes.unwrap_or_default(),
    };
    remote.run(factory).await?;
    if asked.quiet || !asked.stdin || !tty || pod["spec"]["restartPolicy"] != "Always" {
        return Ok(());
    }
    factory.streams.line(&resume(pod, &factory.path, &container))
}

fn resume(pod: &Value, path: &str, container: &str) -> String {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let again = format!("'{path} {name} -c {container} -i -t'");
    if pods::containers(pod, "ephemeralContainers").any(|own| own["name"] == container) {
        return format!("Session ended, the ephemeral container will not be restarted but may be reattached using {again} if it is still running");
    }
    format!("Session ended, resume using {again} command when the pod is running")
}
