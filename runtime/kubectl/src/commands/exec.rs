//! `kubectl exec`.
// upstream: kubectl/pkg/cmd/exec/exec.go

use clap::{ArgMatches, Command};

use crate::builder::Selection;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{Flags, array, duration, switch, text};
use crate::pods;
use crate::remote::command::Remote;
use crate::remote::terminal;

/// Its flags.
pub fn command() -> Command {
    Command::new("exec").override_usage("kubectl exec (POD | TYPE/NAME) [-c CONTAINER] [flags] -- COMMAND [args...] [options]").args([
        text("container", "", "Container name. If omitted, use the kubectl.kubernetes.io/default-container annotation for selecting the container to be attached or the first container in the pod will be chosen").short('c'),
        array("filename", "to use to exec into the resource").short('f'),
        duration("pod-running-timeout", "1m0s", "The length of time (like 5s, 2m, or 3h, higher than zero) to wait until at least one pod is running"),
        switch("quiet", "Only print output from the remote session").short('q'),
        switch("stdin", "Pass stdin to the container").short('i'),
        switch("tty", "Stdin is a TTY").short('t'),
    ])
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let arguments = matches.arguments();
    let filenames = matches.texts("filename");
    let dash = matches.before_dash();
    let resource = arguments.first().filter(|_| dash != Some(0)).cloned().unwrap_or_default();
    let words = match dash {
        Some(dash) => arguments[dash..].to_vec(),
        None if arguments.len() > 1 || (!arguments.is_empty() && !filenames.is_empty()) => {
            return Err(factory.usage("exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead"));
        }
        None => Vec::new(),
    };
    let (namespace, enforced) = factory.namespace()?;
    if matches.duration("pod-running-timeout").is_zero() {
        return Err(factory.usage("--pod-running-timeout must be higher than zero"));
    }
    if resource.is_empty() && filenames.is_empty() {
        return Err(Failure::new("pod, type/name or --filename must be specified"));
    }
    if words.is_empty() {
        return Err(Failure::new("you must specify at least one command for the container"));
    }
    let words_of_object = if resource.is_empty() { vec![] } else { vec![resource] };
    let selection = Selection { filenames, words: words_of_object, namespace, enforced, default_type: "pods".to_owned(), typed: true, stops: true, ..Selection::default() };
    let info = selection.only(factory, "cannot exec into multiple objects at a time").await?;
    let pod = pods::attachable(factory, info.object, matches.duration("pod-running-timeout")).await?;
    in_pod(factory, matches, &pod, words).await
}

async fn in_pod(factory: &Factory, matches: &ArgMatches, pod: &serde_json::Value, words: Vec<String>) -> Result<(), Failure> {
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    if phase == "Succeeded" || phase == "Failed" {
        return Err(Failure::new(format!("cannot exec into a container in a completed pod; current phase is {phase}")));
    }
    let quiet = matches.on("quiet");
    // A container that was named is not looked up: the server says when there is none.
    let asked = matches.text("container");
    let container = if asked.is_empty() { pods::chosen_container(factory, pod, "", quiet)? } else { asked };
    let tty = wants_tty(factory, matches.on("stdin"), matches.on("tty"), quiet);
    let remote = Remote {
        verb: "exec",
        namespace: pod["metadata"]["namespace"].as_str().unwrap_or_default().to_owned(),
        pod: pod["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        container,
        command: words,
        stdin: matches.on("stdin"),
        tty,
        sizes: if tty { terminal::size().into_iter().collect() } else { vec![] },
    };
    remote.run(factory).await
}

/// Whether the terminal is handed over: asked for, with input, and input is one.
pub(crate) fn wants_tty(factory: &Factory, stdin: bool, tty: bool, quiet: bool) -> bool {
    if !stdin || !tty {
        return false;
    }
    if !factory.streams.input_is_terminal && !quiet {
        factory.streams.warn("Unable to use a TTY - input is not a terminal or the right kind of file");
    }
    factory.streams.input_is_terminal
}
