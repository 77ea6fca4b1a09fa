//! The commands, in the order and under the headings `kubectl help` lists them.

use super::*;

const BEGINNER: &str = "Basic Commands (Beginner)";
const INTERMEDIATE: &str = "Basic Commands (Intermediate)";
const DEPLOY: &str = "Deploy Commands";
const MANAGEMENT: &str = "Cluster Management Commands";
const TROUBLE: &str = "Troubleshooting and Debugging Commands";
const ADVANCED: &str = "Advanced Commands";
const SETTINGS: &str = "Settings Commands";
const OTHER: &str = "Other Commands";

/// A line: name, heading, about, `command`, `run`, children.
macro_rules! entry {
    ($name:literal, $group:expr, $about:literal, $command:path, $run:path) => {
        Entry { name: $name, group: $group, about: $about, command: $command, act: Some(|factory, matches| Box::pin($run(factory, matches))), children: &[] }
    };
}

/// A command that only has subcommands.
macro_rules! family {
    ($name:literal, $group:expr, $about:literal, $command:path, [$($child:expr),* $(,)?]) => {
        Entry { name: $name, group: $group, about: $about, command: $command, act: None, children: &[$($child),*] }
    };
}

/// All commands.
pub const TABLE: &[Entry] = &[
    entry!("explain", INTERMEDIATE, "Get documentation for a resource", explain::command, explain::run),
    entry!("get", INTERMEDIATE, "Display one or many resources", get::command, get::run),
    family!("top", MANAGEMENT, "Display resource (CPU/memory) usage", top::command, [
        entry!("node", "", "Display resource (CPU/memory) usage of nodes", top::node_command, top::node),
        entry!("pod", "", "Display resource (CPU/memory) usage of pods", top::pod_command, top::pod),
    ]),
    entry!("describe", TROUBLE, "Show details of a specific resource or group of resources", describe::command, describe::run),
    entry!("logs", TROUBLE, "Print the logs for a container in a pod", logs::command, logs::run),
    entry!("attach", TROUBLE, "Attach to a running container", attach::command, attach::run),
    entry!("exec", TROUBLE, "Execute a command in a container", exec::command, exec::run),
    entry!("port-forward", TROUBLE, "Forward one or more local ports to a pod", port_forward::command, port_forward::run),
    entry!("proxy", TROUBLE, "Run a proxy to the Kubernetes API server", proxy::command, proxy::run),
    entry!("cp", TROUBLE, "Copy files and directories to and from containers", cp::command, cp::run),
    entry!("events", TROUBLE, "List events", events::command, events::run),
    entry!("diff", ADVANCED, "Diff the live version against a would-be applied version", diff::command, diff::run),
    entry!("wait", ADVANCED, "Experimental: Wait for a specific condition on one or many resources", wait::command, wait::run),
];
