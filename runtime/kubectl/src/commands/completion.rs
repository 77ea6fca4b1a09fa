//! `kubectl completion`, and `__complete`, which the shells' scripts ask for words.
//!
//! The scripts are ours; what `__complete` prints is what cobra's scripts read, too: a word a line, its description after a tab, and at the
//! end a colon with what the shell is to do.
// upstream: kubectl/pkg/cmd/completion/completion.go, kubectl/pkg/util/completion/completion.go, spf13/cobra/completions.go

mod offered;
mod plugins;
mod scripts;
mod typed;

use std::future::Future;
use std::time::Duration;

use clap::{ArgMatches, Command};

use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::Flags;

use typed::Typed;

/// How long a shell waits for words unless `--request-timeout` says otherwise: who presses TAB does not know that a server is asked.
const PATIENCE: Duration = Duration::from_secs(3);

/// Flags of `completion`.
pub fn command() -> Command {
    Command::new("completion").about("Output shell completion code for the specified shell (bash, zsh or fish). The shell code must be evaluated to provide interactive completion of kubectl commands.").override_usage("kubectl completion SHELL [options]")
}

/// `completion`.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    match matches.arguments().as_slice() {
        [] => Err(factory.usage("Shell not specified.")),
        [shell] => match shell.as_str() {
            "bash" => factory.streams.print(scripts::BASH),
            "zsh" => factory.streams.print(scripts::ZSH),
            "fish" => factory.streams.print(scripts::FISH),
            other => Err(factory.usage(&format!("Unsupported shell type {other:?}."))),
        },
        _ => Err(factory.usage("Too many arguments. Expected only the shell type.")),
    }
}

/// Flags of `__complete`.
pub fn words_command() -> Command {
    Command::new("__complete").hide(true)
}

/// A line whose words are not flags of `__complete`: those that say which server is asked come first, all of it stands behind `--`.
pub(super) fn line(words: &[String]) -> Vec<String> {
    let mut line = words.split_last().and_then(|(typed, before)| Typed::read(before, typed).ok()).map(|typed| typed.globals()).unwrap_or_default();
    line.push("--".to_owned());
    line.extend_from_slice(words);
    line
}

/// What the shell does with what it is offered; several at once.
// upstream: spf13/cobra/completions.go ShellCompDirective
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Directive(i64);

impl Directive {
    /// Files where nothing is offered.
    const DEFAULT: Self = Self(0);
    /// A word is not ended by a space.
    const NO_SPACE: Self = Self(2);
    const NO_FILES: Self = Self(4);
    const NO_SPACE_NO_FILES: Self = Self(6);
    /// Files with the endings that are offered.
    const ENDINGS: Self = Self(8);

    fn name(self) -> String {
        const NAMES: [&str; 6] = ["Error", "NoSpace", "NoFileComp", "FilterFileExt", "FilterDirs", "KeepOrder"];
        let Self(number) = self;
        if number == 0 {
            return "ShellCompDirectiveDefault".to_owned();
        }
        if !(0..1 << NAMES.len()).contains(&number) {
            return format!("ERROR: unexpected ShellCompDirective value: {number}");
        }
        let names = NAMES.iter().enumerate().filter(|(bit, _)| number >> bit & 1 == 1).map(|(_, name)| format!("ShellCompDirective{name}"));
        names.collect::<Vec<_>>().join(", ")
    }
}

/// Words with their descriptions, and what is done with them.
type Offer = (Vec<(String, String)>, Directive);

/// What is offered where nothing is known.
const NOTHING: Offer = (Vec::new(), Directive::NO_FILES);

/// `__complete`.
pub async fn words(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    offer(factory, matches, true).await
}

/// `__completeNoDesc`.
pub async fn bare_words(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    offer(factory, matches, false).await
}

async fn offer(factory: &Factory, matches: &ArgMatches, descriptions: bool) -> Result<(), Failure> {
    let line = matches.arguments();
    let Some((typed, before)) = line.split_last() else {
        return Err(Failure::new("requires at least 1 arg(s), only received 0"));
    };
    let limit = factory.request_timeout().ok().flatten().unwrap_or(PATIENCE);
    let mut read = Typed::read(before, typed);
    let found = match plugins::offered(factory, limit, before, typed).await {
        Some(found) => {
            read = Err(String::new());
            found
        }
        None => match &read {
            Ok(read) => Ok(in_time(factory, limit, offered::all(factory, read)).await.unwrap_or(NOTHING)),
            Err(why) => Err(why.clone()),
        },
    };
    let (mut words, directive) = found.unwrap_or_else(|why| {
        debug(factory, &format!("[Error] {why}"));
        (Vec::new(), Directive::DEFAULT)
    });
    if before.is_empty() && !typed.starts_with('-') {
        words.extend(plugins::beside_ours(factory, typed));
        words.sort();
    }
    for (word, about) in words {
        let about = about.lines().next().unwrap_or_default();
        factory.streams.line(&if descriptions && !about.is_empty() { format!("{word}\t{about}") } else { word })?;
    }
    factory.streams.line(&format!(":{}", directive.0))?;
    let told = format!("Completion ended with directive: {}", directive.name());
    // `options` has one stream for all it says.
    if read.is_ok_and(|read| read.path == ["options"]) {
        return factory.streams.line(&told);
    }
    factory.streams.warn(&told);
    Ok(())
}

/// What is found before a server or a program that says nothing is given up.
async fn in_time<T>(factory: &Factory, limit: Duration, finding: impl Future<Output = T>) -> Option<T> {
    let found = tokio::time::timeout(limit, finding).await;
    if found.is_err() {
        debug(factory, &format!("Nothing was said for {limit:?}"));
    }
    found.ok()
}

/// What only those who write completions read.
fn debug(factory: &Factory, text: &str) {
    factory.streams.warn(&format!("[Debug] {text}"));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::environment::Environment;
    use crate::globals::Globals;
    use crate::streams::Streams;

    /// A kubectl that asks this server, with these fields of its user and this search path.
    fn kubectl(folder: &Path, server: &str, user: &str) -> Factory {
        let config = folder.join("config");
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: a, contexts: [{{name: a, context: {{cluster: a, user: a}}}}], users: [{{name: a, user: {user}}}], clusters: [{{name: a, cluster: {{server: '{server}'}}}}]}}"
        );
        std::fs::write(&config, text).unwrap();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        let variables = [("KUBECONFIG", config.display().to_string()), ("HOME", folder.display().to_string()), ("PATH", path)];
        let env = Environment { variables: variables.map(|(name, value)| (name.to_owned(), value)).into(), directory: folder.to_owned() };
        let streams = Streams::new(Box::new(std::io::empty()), Box::new(std::io::sink()), Box::new(std::io::sink()));
        Factory::new(env, streams, Globals { request_timeout: "0".to_owned(), ..Globals::default() }, "kubectl".to_owned())
    }

    #[tokio::test]
    async fn who_never_answers_is_given_up() {
        // It takes connections and says nothing.
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (silent, short) = (format!("http://{address}"), Duration::from_millis(20));
        let sleeping = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: sleep, args: ['100000'], interactiveMode: Never}}";
        for (server, user) in [(silent.as_str(), "{}"), ("https://127.0.0.1:1", sleeping)] {
            let factory = kubectl(folder.path(), server, user);
            for line in [&["get", ""][..], &["get", "pods", ""], &["logs", ""], &["-n", ""]] {
                let line: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
                let (typed, before) = line.split_last().unwrap();
                let read = Typed::read(before, typed).unwrap_or_else(|why| panic!("{line:?}: {why}"));
                assert_eq!(in_time(&factory, short, offered::all(&factory, &read)).await, None, "{server} {line:?}");
            }
        }
        // Another process writes them: what this one has open a child of another test might have, too, and then it could not be run.
        let write = "for name in kubectl-naps kubectl-naps-long kubectl_complete-naps; do printf '#!/bin/sh\\nexec sleep 100000\\n' > $name; chmod 755 $name; done";
        assert!(std::process::Command::new("sh").args(["-c", write]).current_dir(folder.path()).status().unwrap().success());
        let factory = kubectl(folder.path(), &silent, "{}");
        let (words, directive) = plugins::offered(&factory, short, &["naps".to_owned()], "").await.unwrap().unwrap();
        assert_eq!((words.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>(), directive), (vec!["long"], Directive::NO_FILES), "what was known without asking is offered");
    }
}
