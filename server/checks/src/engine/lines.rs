//! Typed lines: whether a command only looks, or can have changed the cluster.

use serde_json::Value;

use crate::world::{Point, World};

/// What was typed, of the record of a command.
pub(super) fn line(command: &Value) -> &str {
    command["spec"]["line"].as_str().unwrap_or_default()
}

/// Whether a command changes nothing, so that it may be typed at any time.
pub(super) fn only_looks(typed: &str) -> bool {
    let mut words = typed.split_whitespace();
    match (words.next(), words.next()) {
        (Some("kubectl"), Some(verb)) => ["get", "describe", "logs", "explain", "wait"].contains(&verb),
        (Some(program), _) => ["cd", "ls", "cat", "pwd"].contains(&program),
        (None, _) => true,
    }
}

/// Words of commands that change a cluster.
const CHANGES: [&str; 20] = [
    "annotate", "apply", "cordon", "create", "delete", "drain", "edit", "exec", "expose", "kill", "label", "patch", "replace", "rm", "rollout", "run", "scale", "set", "stop",
    "taint",
];

/// Whether a typed line can have changed the cluster.
pub(super) fn changes(line: &str) -> bool {
    line.split_whitespace().any(|word| CHANGES.contains(&word))
}

/// The command that was typed last after a moment and can have changed something, in a sentence.
pub(super) fn last_change(world: &World, since: Point) -> Option<String> {
    let commands = world.records_since("commands", since);
    let line = commands.iter().rev().map(|command| line(command)).find(|line| changes(line))?;
    Some(format!("Since `{}`.", line.lines().next().unwrap_or_default().replace('`', "'")))
}
