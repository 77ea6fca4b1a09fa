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
        Entry { name: $name, group: $group, about: $about, command: $command, act: Some(|factory, matches| Box::pin($run(factory, matches))), aliases: &[], children: &[] }
    };
    ($name:literal, $group:expr, $about:literal, $command:path, $run:path, [$($alias:literal),*]) => {
        Entry { name: $name, group: $group, about: $about, command: $command, act: Some(|factory, matches| Box::pin($run(factory, matches))), aliases: &[$($alias),*], children: &[] }
    };
}

/// A command that only has subcommands.
macro_rules! family {
    ($name:literal, $group:expr, $about:literal, $command:path, [$($child:expr),* $(,)?]) => {
        Entry { name: $name, group: $group, about: $about, command: $command, act: None, aliases: &[], children: &[$($child),*] }
    };
    ($name:literal, $group:expr, $about:literal, $command:path, [$($alias:literal),*], [$($child:expr),* $(,)?]) => {
        Entry { name: $name, group: $group, about: $about, command: $command, act: None, aliases: &[$($alias),*], children: &[$($child),*] }
    };
}

/// All commands.
pub const TABLE: &[Entry] = &[
    Entry {
        name: "create",
        group: BEGINNER,
        about: "Create a resource from a file or from stdin",
        command: create::command,
        act: Some(|factory, matches| Box::pin(create::run(factory, matches))),
        aliases: &[],
        children: CREATE,
    },
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

const CREATE: &[Entry] = &[
    entry!("clusterrole", "", "Create a cluster role", create::rbac::cluster_role_command, create::rbac::cluster_role),
    entry!("clusterrolebinding", "", "Create a cluster role binding for a particular cluster role", create::rbac::cluster_role_binding_command, create::rbac::cluster_role_binding),
    entry!("configmap", "", "Create a config map from a local file, directory or literal value", create::config::config_map_command, create::config::config_map, ["cm"]),
    entry!("cronjob", "", "Create a cron job with the specified name", create::jobs::cronjob_command, create::jobs::cronjob, ["cj"]),
    entry!("deployment", "", "Create a deployment with the specified name", create::workloads::deployment_command, create::workloads::deployment, ["deploy"]),
    entry!("ingress", "", "Create an ingress with the specified name", create::policy::ingress_command, create::policy::ingress, ["ing"]),
    entry!("job", "", "Create a job with the specified name", create::jobs::job_command, create::jobs::job),
    entry!("namespace", "", "Create a namespace with the specified name", create::config::namespace_command, create::config::namespace, ["ns"]),
    entry!("poddisruptionbudget", "", "Create a pod disruption budget with the specified name", create::policy::budget_command, create::policy::budget, ["pdb"]),
    entry!("priorityclass", "", "Create a priority class with the specified name", create::policy::priority_command, create::policy::priority, ["pc"]),
    entry!("quota", "", "Create a quota with the specified name", create::policy::quota_command, create::policy::quota, ["resourcequota"]),
    entry!("role", "", "Create a role with single rule", create::rbac::role_command, create::rbac::role),
    entry!("rolebinding", "", "Create a role binding for a particular role or cluster role", create::rbac::role_binding_command, create::rbac::role_binding),
    family!("secret", "", "Create a secret using a specified subcommand", create::config::secret_command, [
        entry!("docker-registry", "", "Create a secret for use with a Docker registry", create::config::registry_command, create::config::registry),
        entry!("generic", "", "Create a secret from a local file, directory, or literal value", create::config::generic_command, create::config::generic),
        entry!("tls", "", "Create a TLS secret", create::config::tls_command, create::config::tls),
    ]),
    family!("service", "", "Create a service using a specified subcommand", create::services::command, ["svc"], [
        entry!("clusterip", "", "Create a ClusterIP service", create::services::cluster_ip_command, create::services::cluster_ip),
        entry!("externalname", "", "Create an ExternalName service", create::services::external_name_command, create::services::external_name),
        entry!("loadbalancer", "", "Create a LoadBalancer service", create::services::load_balancer_command, create::services::load_balancer),
        entry!("nodeport", "", "Create a NodePort service", create::services::node_port_command, create::services::node_port),
    ]),
    entry!("serviceaccount", "", "Create a service account with the specified name", create::config::service_account_command, create::config::service_account, ["sa"]),
    entry!("token", "", "Request a service account token", create::token::command, create::token::run),
];
