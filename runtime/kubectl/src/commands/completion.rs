//! `kubectl completion`, and `__complete`, which the shells' scripts ask for words.
//!
//! The script is ours: it hands the line to `kubectl __complete` and offers what that prints, one word a line.
// upstream: kubectl/pkg/cmd/completion/completion.go, kubectl/pkg/util/completion/completion.go

use clap::{ArgMatches, Command};

use super::{Entry, TABLE};
use crate::builder::items;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::Flags;
use crate::globals;
use crate::rest::Call;

const BASH: &str = "# bash completion for kubectl\n__kubectl_words() {\n    local IFS=$'\\n'\n    COMPREPLY=( $(compgen -W \"$(kubectl __complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\" -- \"${COMP_WORDS[COMP_CWORD]}\") )\n}\ncomplete -o default -F __kubectl_words kubectl\n";
const ZSH: &str = "#compdef kubectl\ncompdef _kubectl kubectl\n_kubectl() {\n    local -a offered\n    offered=(\"${(@f)$(kubectl __complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\")\n    compadd -a offered\n}\n";
const FISH: &str = "# fish completion for kubectl\nfunction __kubectl_words\n    set -l line (commandline -opc) (commandline -ct)\n    kubectl __complete -- $line[2..-1] 2>/dev/null\nend\ncomplete -c kubectl -f -a '(__kubectl_words)'\n";

/// Flags of `completion`.
pub fn command() -> Command {
    Command::new("completion").about("Output shell completion code for the specified shell (bash, zsh or fish). The shell code must be evaluated to provide interactive completion of kubectl commands.").override_usage("kubectl completion SHELL [options]")
}

/// `completion`.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    match matches.arguments().as_slice() {
        [] => Err(factory.usage("Shell not specified.")),
        [shell] => match shell.as_str() {
            "bash" => factory.streams.print(BASH),
            "zsh" => factory.streams.print(ZSH),
            "fish" => factory.streams.print(FISH),
            other => Err(factory.usage(&format!("Unsupported shell type {other:?}."))),
        },
        _ => Err(factory.usage("Too many arguments. Expected only the shell type.")),
    }
}

/// Flags of `__complete`.
pub fn words_command() -> Command {
    Command::new("__complete").hide(true)
}

/// `__complete`: the words that may stand where the last one stands.
pub async fn words(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let mut line = matches.arguments();
    let typed = line.pop().unwrap_or_default();
    let mut among: &[Entry] = TABLE;
    let mut found: Option<&Entry> = None;
    let mut plain = Vec::new();
    for word in line.iter().filter(|word| !word.starts_with('-')) {
        match among.iter().find(|entry| plain.is_empty() && entry.is(word)) {
            Some(entry) => {
                found = Some(entry);
                among = entry.children;
            }
            None => plain.push(word.as_str()),
        }
    }
    let offered = match (found, plain.as_slice()) {
        (Some(entry), _) if typed.starts_with('-') => flags_of(entry),
        (None, _) => TABLE.iter().filter(|entry| !entry.name.starts_with('_')).map(|entry| entry.name.to_owned()).collect(),
        (Some(entry), []) if !entry.children.is_empty() => entry.children.iter().map(|child| child.name.to_owned()).collect(),
        (Some(entry), []) if ["logs", "exec", "attach", "port-forward"].contains(&entry.name) => names(factory, "pods").await?,
        (Some(_), []) => match typed.split_once('/') {
            Some((kind, _)) => names(factory, kind).await?.into_iter().map(|name| format!("{kind}/{name}")).collect(),
            None => kinds(factory).await?,
        },
        (Some(_), [kind, ..]) => names(factory, kind).await?,
    };
    for word in offered.iter().filter(|word| word.starts_with(&typed)) {
        factory.streams.line(word)?;
    }
    Ok(())
}

fn flags_of(entry: &Entry) -> Vec<String> {
    let command = globals::with_globals((entry.command)());
    command.get_arguments().filter_map(|flag| Some(format!("--{}", flag.get_long()?))).collect()
}

async fn kinds(factory: &Factory) -> Result<Vec<String>, Failure> {
    Ok(factory.mapper().await?.mappings.iter().filter(|mapping| mapping.verbs.iter().any(|verb| verb == "list")).map(|mapping| mapping.group_resource()).collect())
}

async fn names(factory: &Factory, kind: &str) -> Result<Vec<String>, Failure> {
    let mapping = factory.find(kind).await?;
    let list = factory.call(Call::get(mapping.list_path(&factory.namespace()?.0))).await?;
    Ok(items(&list).iter().filter_map(|item| item["metadata"]["name"].as_str().map(str::to_owned)).collect())
}
