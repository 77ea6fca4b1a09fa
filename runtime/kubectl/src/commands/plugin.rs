//! `kubectl plugin`: programs on PATH that are commands of kubectl.
// upstream: kubectl/pkg/cmd/plugin/plugin.go

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use clap::{ArgMatches, Command};

use super::TABLE;
use crate::environment::Environment;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};

/// `plugin` alone.
pub fn command() -> Command {
    Command::new("plugin").about("Provides utilities for interacting with plugins.\n\n Plugins provide extended functionality that is not part of the major command-line distribution. Please refer to the documentation and examples for more information about how write your own plugins.").override_usage("kubectl plugin [flags] [options]")
}

/// Flags of `plugin list`.
pub fn list_command() -> Command {
    Command::new("list")
        .override_usage("kubectl plugin list [flags] [options]")
        .arg(flags::switch("name-only", "If true, display only the binary name of each plugin, rather than its full path"))
}

/// `plugin list`.
pub async fn list(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let (found, unread) = found(&factory.env);
    unread.iter().for_each(|warning| factory.streams.warn(warning));
    if found.is_empty() {
        return Err(Failure::new("unable to find any kubectl plugins in your PATH"));
    }
    factory.streams.line("The following compatible plugins are available:\n")?;
    let mut seen: Vec<(&str, &str)> = Vec::new();
    let mut warnings = 0;
    for (path, name) in &found {
        factory.streams.line(if matches.on("name-only") { name } else { path })?;
        for warning in warnings_of(path, name, &seen) {
            factory.streams.warn(&format!("  - {warning}"));
            warnings += 1;
        }
        if !seen.iter().any(|(_, known)| known == name) {
            seen.push((path, name));
        }
    }
    match warnings {
        0 => Ok(()),
        1 => Err(Failure::new("one plugin warning was found\n")),
        count => Err(Failure::new(format!("{count} plugin warnings were found\n"))),
    }
}

/// Paths and names, directory by directory; which directories could not be read.
pub(super) fn found(env: &Environment) -> (Vec<(String, String)>, Vec<String>) {
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    let mut directories: Vec<&str> = Vec::new();
    for directory in env.get("PATH").unwrap_or_default().split(':').filter(|directory| !directory.trim().is_empty()) {
        if directories.contains(&directory) {
            continue;
        }
        directories.push(directory);
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries.filter_map(Result::ok).filter(|entry| !entry.path().is_dir()),
            Err(error) => {
                let why = format!("open {directory}: {}", crate::failure::go_io(&error));
                unread.push(format!("Unable to read directory {directory:?} from your PATH: {why}. Skipping..."));
                continue;
            }
        };
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.starts_with("kubectl-")).collect();
        names.sort();
        found.extend(names.into_iter().map(|name| (format!("{directory}/{name}"), name)));
    }
    (found, unread)
}

/// The first program of this name on PATH.
pub(crate) fn program(env: &Environment, name: &str) -> Option<PathBuf> {
    let directories = env.get("PATH").unwrap_or_default().split(':').filter(|directory| !directory.is_empty());
    let mut paths = directories.map(|directory| env.path(directory).join(name));
    paths.find(|path| path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0))
}

fn warnings_of(path: &str, name: &str, seen: &[(&str, &str)]) -> Vec<String> {
    let mut warnings = Vec::new();
    match std::fs::metadata(path) {
        Ok(data) if data.permissions().mode() & 0o111 == 0 => warnings.push(format!("warning: {path} identified as a kubectl plugin, but it is not executable")),
        Ok(_) => {}
        Err(error) => warnings.push(format!("error: unable to identify {path} as an executable file: stat {path}: {}", crate::failure::go_io(&error))),
    }
    if let Some((first, _)) = seen.iter().find(|(_, known)| *known == name) {
        warnings.push(format!("warning: {path} is overshadowed by a similarly named plugin: {first}"));
    }
    let mut words = Vec::new();
    let mut among = TABLE;
    for word in name.split('-').skip(1) {
        let Some(entry) = among.iter().find(|entry| entry.is(word)) else { break };
        words.push(entry.name);
        among = entry.children;
    }
    if !words.is_empty() {
        warnings.push(format!("warning: {name} overwrites existing command: {:?}", format!("kubectl {}", words.join(" "))));
    }
    warnings
}
