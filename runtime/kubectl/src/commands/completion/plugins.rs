//! What is offered for programs that are commands of kubectl: their words, and what `kubectl_complete-NAME` beside them says.
// upstream: kubectl/pkg/cmd/plugin/plugin_completion.go

use std::process::{Command, Stdio};
use std::time::Duration;

use super::super::{TABLE, plugin};
use super::{Directive, NOTHING, Offer, debug, in_time};
use crate::config::plugin::output;
use crate::factory::Factory;

/// Words of plugins among the commands: all of them, but those that are ours.
pub(super) fn beside_ours(factory: &Factory, typed: &str) -> Vec<(String, String)> {
    let ours = |word: &(String, String)| TABLE.iter().any(|entry| entry.name == word.0);
    children(factory, &[], typed).into_iter().filter(|word| !ours(word)).collect()
}

/// What is offered for a line whose command is none of ours; nothing when it is.
pub(super) async fn offered(factory: &Factory, limit: Duration, before: &[String], typed: &str) -> Option<Result<Offer, String>> {
    let first = before.first().filter(|first| !first.starts_with('-') && !TABLE.iter().any(|entry| entry.name == first.as_str()))?;
    debug(factory, "Cleared global flags for plugin completion");
    let names = names(factory);
    let known = (1..=before.len()).take_while(|count| names.iter().any(|name| name.starts_with(&before[..*count]))).count();
    if known == 0 {
        // Our own commands have other names, too.
        let ours = TABLE.iter().any(|entry| entry.is(first));
        return (!ours).then(|| Err(format!("unable to find a command for arguments: [{}]", before.join(" "))));
    }
    let (path, arguments) = before.split_at(known);
    let mut words = if arguments.is_empty() { children(factory, path, typed) } else { Vec::new() };
    let (more, directive) = in_time(factory, limit, asked(factory, path, arguments, typed)).await.unwrap_or(NOTHING);
    words.extend(more);
    Some(Ok((words, directive)))
}

/// The names of all plugins, word by word.
fn names(factory: &Factory) -> Vec<Vec<String>> {
    let found = plugin::found(&factory.env).0.into_iter();
    found.map(|(_, name)| name.split('-').skip(1).map(|word| word.replace('_', "-")).collect()).collect()
}

/// The next words after these.
fn children(factory: &Factory, path: &[String], typed: &str) -> Vec<(String, String)> {
    let mut words: Vec<String> = names(factory).into_iter().filter(|name| name.starts_with(path)).filter_map(|name| name.get(path.len()).cloned()).collect();
    words.sort();
    words.dedup();
    let fitting = words.into_iter().filter(|word| word.starts_with(typed));
    fitting.map(|word| (word.clone(), format!("The command {word} is a plugin installed by the user"))).collect()
}

/// What the program for it offers.
async fn asked(factory: &Factory, path: &[String], arguments: &[String], typed: &str) -> Offer {
    let name = path.iter().map(|word| word.replace('-', "_")).collect::<Vec<_>>().join("-");
    debug(factory, &format!("About to look for: kubectl_complete-{name}"));
    let Some(program) = plugin::program(&factory.env, &format!("kubectl_complete-{name}")) else {
        debug(factory, &format!("Plugin kubectl-{name} does not provide a matching completion executable"));
        return (Vec::new(), Directive::DEFAULT);
    };
    let line: Vec<&str> = arguments.iter().map(String::as_str).chain([typed]).collect();
    debug(factory, &format!("About to call: {} {}", program.display(), line.join(" ")));
    let mut command = Command::new(&program);
    command.args(&line).stdin(Stdio::null()).stderr(Stdio::null());
    let output = output(command).await.map(|output| output.stdout).unwrap_or_default();
    let output = String::from_utf8_lossy(&output).into_owned();
    let mut lines: Vec<&str> = output.split('\n').filter(|line| !line.is_empty()).collect();
    let directive = lines.last().and_then(|last| last.strip_prefix(':')).and_then(|number| number.parse().ok()).map(Directive);
    if directive.is_some() {
        lines.pop();
    }
    let words = lines.into_iter().map(|line| line.split_once('\t').unwrap_or((line, "")));
    (words.map(|(word, about)| (word.trim().to_owned(), about.to_owned())).collect(), directive.unwrap_or(Directive::DEFAULT))
}
