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
    entry!("expose", BEGINNER, "Take a replication controller, service, deployment or pod and expose it as a new Kubernetes service", expose::command, expose::run),
    entry!("run", BEGINNER, "Run a particular image on the cluster", run::command, run::run),
    family!("set", BEGINNER, "Set specific features on objects", set::command, [
        entry!("env", "", "Update environment variables on a pod template", set::env_command, set::env),
        entry!("image", "", "Update the image of a pod template", set::image_command, set::image),
        entry!("resources", "", "Update resource requests/limits on objects with pod templates", set::resources_command, set::resources),
        entry!("selector", "", "Set the selector on a resource", set::selector_command, set::selector),
        entry!("serviceaccount", "", "Update the service account of a resource", set::account_command, set::account, ["sa"]),
        entry!("subject", "", "Update the user, group, or service account in a role binding or cluster role binding", set::subject_command, set::subject),
    ]),
    entry!("explain", INTERMEDIATE, "Get documentation for a resource", explain::command, explain::run),
    entry!("get", INTERMEDIATE, "Display one or many resources", get::command, get::run),
    entry!("edit", INTERMEDIATE, "Edit a resource on the server", edit::command, edit::run),
    entry!("delete", INTERMEDIATE, "Delete resources by file names, stdin, resources and names, or by resources and label selector", delete::command, delete::run),
    family!("rollout", DEPLOY, "Manage the rollout of a resource", rollout::command, [
        entry!("history", "", "View rollout history", rollout::history_command, rollout::history),
        entry!("pause", "", "Mark the provided resource as paused", rollout::pause_command, rollout::pause),
        entry!("restart", "", "Restart a resource", rollout::restart_command, rollout::restart),
        entry!("resume", "", "Resume a paused resource", rollout::resume_command, rollout::resume),
        entry!("status", "", "Show the status of the rollout", rollout::status_command, rollout::status),
        entry!("undo", "", "Undo a previous rollout", rollout::undo_command, rollout::undo),
    ]),
    entry!("scale", DEPLOY, "Set a new size for a deployment, replica set, or replication controller", scale::command, scale::run),
    entry!("autoscale", DEPLOY, "Auto-scale a deployment, replica set, stateful set, or replication controller", scale::autoscale_command, scale::autoscale),
    family!("certificate", MANAGEMENT, "Modify certificate resources", certificate::command, [
        entry!("approve", "", "Approve a certificate signing request", certificate::approve_command, certificate::approve),
        entry!("deny", "", "Deny a certificate signing request", certificate::deny_command, certificate::deny),
    ]),
    Entry {
        name: "cluster-info",
        group: MANAGEMENT,
        about: "Display cluster information",
        command: server::info_command,
        act: Some(|factory, matches| Box::pin(server::info(factory, matches))),
        aliases: &[],
        children: &[entry!("dump", "", "Dump relevant information for debugging and diagnosis", dump::command, dump::run)],
    },
    family!("top", MANAGEMENT, "Display resource (CPU/memory) usage", top::command, [
        entry!("node", "", "Display resource (CPU/memory) usage of nodes", top::node_command, top::node, ["nodes", "no"]),
        entry!("pod", "", "Display resource (CPU/memory) usage of pods", top::pod_command, top::pod, ["pods", "po"]),
    ]),
    entry!("cordon", MANAGEMENT, "Mark node as unschedulable", nodes::cordon_command, nodes::cordon),
    entry!("uncordon", MANAGEMENT, "Mark node as schedulable", nodes::uncordon_command, nodes::uncordon),
    entry!("drain", MANAGEMENT, "Drain node in preparation for maintenance", drain::command, drain::run),
    entry!("taint", MANAGEMENT, "Update the taints on one or more nodes", nodes::taint_command, nodes::taint),
    entry!("describe", TROUBLE, "Show details of a specific resource or group of resources", describe::command, describe::run),
    entry!("logs", TROUBLE, "Print the logs for a container in a pod", logs::command, logs::run),
    entry!("attach", TROUBLE, "Attach to a running container", attach::command, attach::run),
    entry!("exec", TROUBLE, "Execute a command in a container", exec::command, exec::run),
    entry!("port-forward", TROUBLE, "Forward one or more local ports to a pod", port_forward::command, port_forward::run),
    entry!("proxy", TROUBLE, "Run a proxy to the Kubernetes API server", proxy::command, proxy::run),
    entry!("cp", TROUBLE, "Copy files and directories to and from containers", cp::command, cp::run),
    family!("auth", TROUBLE, "Inspect authorization", auth::command, [
        entry!("can-i", "", "Check whether an action is allowed", auth::can_i_command, auth::can_i),
        entry!("reconcile", "", "Reconciles rules for RBAC role, role binding, cluster role, and cluster role binding objects", auth::reconcile_command, auth::reconcile),
        entry!("whoami", "", "Experimental: Check self subject attributes", auth::whoami_command, auth::whoami),
    ]),
    entry!("events", TROUBLE, "List events", events::command, events::run),
    entry!("diff", ADVANCED, "Diff the live version against a would-be applied version", diff::command, diff::run),
    Entry {
        name: "apply",
        group: ADVANCED,
        about: "Apply a configuration to a resource by file name or stdin",
        command: apply::command,
        act: Some(|factory, matches| Box::pin(apply::run(factory, matches))),
        aliases: &[],
        children: &[
            entry!("edit-last-applied", "", "Edit latest last-applied-configuration annotations of a resource/object", apply::last_applied::edit_command, apply::last_applied::edit),
            entry!("set-last-applied", "", "Set the last-applied-configuration annotation on a live object to match the contents of a file", apply::last_applied::set_command, apply::last_applied::set),
            entry!("view-last-applied", "", "View the latest last-applied-configuration annotations of a resource/object", apply::last_applied::view_command, apply::last_applied::view),
        ],
    },
    entry!("patch", ADVANCED, "Update fields of a resource", patch::command, patch::run),
    entry!("replace", ADVANCED, "Replace a resource by file name or stdin", patch::replace_command, patch::replace),
    entry!("label", SETTINGS, "Update the labels on a resource", metadata::label_command, metadata::label),
    entry!("annotate", SETTINGS, "Update the annotations on a resource", metadata::annotate_command, metadata::annotate),
    entry!("wait", ADVANCED, "Experimental: Wait for a specific condition on one or many resources", wait::command, wait::run),
    entry!("completion", SETTINGS, "Output shell completion code for the specified shell (bash, zsh, fish, or powershell)", completion::command, completion::run),
    family!("help", "", "Help about any command", help::command_of_help, []),
    entry!("__complete", "", "Words for the shell's completion", completion::words_command, completion::words),
    entry!("__completeNoDesc", "", "Words for the shell's completion, alone", completion::words_command, completion::bare_words),
    entry!("api-resources", OTHER, "Print the supported API resources on the server", server::resources_command, server::resources),
    entry!("api-versions", OTHER, "Print the supported API versions on the server, in the form of \"group/version\"", server::versions_command, server::versions),
    family!("config", OTHER, "Modify kubeconfig files", config::command, [
        entry!("current-context", "", "Display the current-context", config::current_command, config::current),
        entry!("delete-cluster", "", "Delete the specified cluster from the kubeconfig", config::delete_cluster_command, config::delete_cluster),
        entry!("delete-context", "", "Delete the specified context from the kubeconfig", config::delete_context_command, config::delete_context),
        entry!("delete-user", "", "Delete the specified user from the kubeconfig", config::delete_user_command, config::delete_user),
        entry!("get-clusters", "", "Display clusters defined in the kubeconfig", config::clusters_command, config::clusters),
        entry!("get-contexts", "", "Describe one or many contexts", config::contexts_command, config::contexts),
        entry!("get-users", "", "Display users defined in the kubeconfig", config::users_command, config::users),
        entry!("rename-context", "", "Rename a context from the kubeconfig file", config::rename_command, config::rename),
        entry!("set", "", "Set an individual value in a kubeconfig file", config::set_command, config::set),
        entry!("set-cluster", "", "Set a cluster entry in kubeconfig", config::set_cluster_command, config::set_cluster),
        entry!("set-context", "", "Set a context entry in kubeconfig", config::set_context_command, config::set_context),
        entry!("set-credentials", "", "Set a user entry in kubeconfig", config::set_credentials_command, config::set_credentials),
        entry!("unset", "", "Unset an individual value in a kubeconfig file", config::unset_command, config::unset),
        entry!("use-context", "", "Set the current-context in a kubeconfig file", config::use_context_command, config::use_context, ["use"]),
        entry!("view", "", "Display merged kubeconfig settings or a specified kubeconfig file", config::view_command, config::view),
    ]),
    family!("plugin", OTHER, "Provides utilities for interacting with plugins", plugin::command, [
        entry!("list", "", "List all visible plugin executables on a user's PATH", plugin::list_command, plugin::list),
    ]),
    entry!("version", OTHER, "Print the client and server version information", server::version_command, server::version),
    entry!("options", "", "Print the list of flags inherited by all commands", server::options_command, server::options),
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
