//! kubectl in the box: what stock kubectl 1.32 does, against any cluster.
//!
//! 1. [`run`] finds the command in [`commands::TABLE`], builds its flags alone, and reads the line by pflag's rules ([`flags`]).
//! 2. The [`factory::Factory`] lends it surroundings, streams, the kubeconfig, the connection and the server's kinds.
//! 3. The [`builder`] turns words and files into objects, a printer shows them, a [`failure::Failure`] says what went wrong in upstream's words.
//!
//! # Invariants
//!
//! * Kinds come from discovery only. Where a command treats a kind specially (`scale`, `describe`, `set image`), upstream's does too.
//! * Objects are JSON values: nothing the server said is lost between reading and writing.
//! * One thread, one runtime that waits; no part of Drydock but primitives is known here.
//! * Output, error texts and exit codes are stock kubectl's; help texts are our own words in its form.

pub mod builder;
pub mod commands;
pub mod config;
mod connect;
pub mod describe;
pub mod discovery;
pub mod environment;
pub mod explain;
pub mod factory;
pub mod failure;
pub mod flags;
pub mod globals;
pub mod gone;
pub mod help;
pub mod jsonpath;
pub mod merge;
pub mod pods;
pub mod print;
mod profile;
pub mod remote;
pub mod rest;
pub mod schema;
pub mod streams;
pub mod tabwriter;
pub mod template;
mod trace;
pub mod until;
pub mod write;

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use crate::environment::Environment;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::globals::Globals;
use crate::streams::Streams;

/// Run a command line, without the program's name, as this process.
pub fn main(args: Vec<String>) -> ExitCode {
    let code = run(&args, Environment::process(), Streams::process());
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Run a command line; the exit code.
pub fn run(args: &[String], env: Environment, streams: Streams) -> i32 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            streams.warn(&format!("error: {error}"));
            return 1;
        }
    };
    let code = runtime.block_on(run_async(args, env, streams));
    // A thread may still wait for a key nobody will press.
    runtime.shutdown_background();
    code
}

async fn run_async(args: &[String], env: Environment, streams: Streams) -> i32 {
    let mut prepared = commands::prepare(args);
    let (chosen, matches) = loop {
        prepared = match prepared {
            Ok(commands::Prepared::Run(chosen, matches)) => break (chosen, matches),
            Ok(commands::Prepared::Plugin { line, least, otherwise }) => match plugin(&env, &streams, &line, least) {
                Some(code) => return code,
                None => *otherwise,
            },
            Ok(commands::Prepared::Print(text)) => return finish(&streams, streams.print(&text)),
            Err(failure) => return finish(&streams, Err(failure)),
        };
    };
    let globals = Globals { client_first: config::client_first(&chosen.path()), ..Globals::read(&matches, &(chosen.entry.command)()) };
    let factory = Factory::new(env, streams, globals, chosen.path());
    let profile = match profile::Profile::begin(&factory, &matches) {
        Ok(profile) => profile,
        Err(failure) => return finish(&factory.streams, Err(failure)),
    };
    let outcome = if waits(&chosen.path(), &matches, factory.streams.input_is_terminal) {
        tokio::select! {
            // The command first: until it waits for something an interrupt ends the process, also while it reads and while a program asks people who they are.
            biased;
            outcome = chosen.entry.run(&factory, &matches) => outcome,
            () = interrupted() => Err(Failure::Exit(1)),
        }
    } else {
        chosen.entry.run(&factory, &matches).await
    };
    let outcome = outcome.and_then(|()| factory.warned()).and_then(|()| profile.end(&factory));
    if let Err(failure) = &outcome {
        trace::refused(&factory.streams, factory.globals.verbosity, failure);
    }
    finish(&factory.streams, outcome)
}

/// Commands that wait for what may never come end on an interrupt as those that failed; others end as the system ends them.
// upstream: kubectl/pkg/util/interrupt/interrupt.go
fn waits(path: &str, matches: &clap::ArgMatches, terminal: bool) -> bool {
    use flags::Flags as _;
    match path {
        "kubectl get" => matches.on("watch") || matches.on("watch-only"),
        "kubectl events" => matches.on("watch"),
        "kubectl logs" => matches.on("follow"),
        // A terminal that is read is put in order first.
        "kubectl attach" | "kubectl exec" => terminal && matches.on("stdin"),
        "kubectl wait" | "kubectl rollout status" => true,
        _ => false,
    }
}

/// Until somebody interrupts.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}

/// Become the longest `kubectl-a-b` on PATH that stands for at least so many words of the line. Its exit code; nothing when there is none.
// upstream: kubectl/pkg/cmd/cmd.go HandlePluginCommand
fn plugin(env: &Environment, streams: &Streams, line: &[String], least: usize) -> Option<i32> {
    let words = line.iter().take_while(|word| !word.starts_with('-')).count();
    for count in (least..=words).rev() {
        // A dash inside of a word is an underscore in the name of the program.
        let parts: Vec<String> = line[..count].iter().map(|word| word.replace('-', "_")).collect();
        let name = format!("kubectl-{}", parts.join("-"));
        if let Some(path) = commands::plugin::program(env, &name) {
            let error = std::process::Command::new(path).args(&line[count..]).exec();
            return Some(finish(streams, Err(Failure::Plain(format!("Error: {}", failure::go_io(&error)), 1))));
        }
    }
    None
}

fn finish(streams: &Streams, outcome: Result<(), Failure>) -> i32 {
    let outcome = outcome.and_then(|()| streams.flush());
    match outcome {
        Ok(()) => 0,
        Err(failure) => {
            let text = failure.report();
            if text.is_empty() {
                drop(streams.flush());
            } else {
                streams.warn(&text);
            }
            failure.code()
        }
    }
}
