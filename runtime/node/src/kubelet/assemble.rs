//! From a container's specification, its image and its environment to what node-init is asked to run. Pure.

// upstream: pkg/kubelet/kuberuntime/kuberuntime_container.go, kuberuntime_container_linux.go, security_context.go

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use drydock_container::spec::{CgroupSpec, Limits, PidMode, RootFs, Seccomp, UserSpec};
use drydock_container::{Capabilities, ContainerSpec, Mount, ProcessSpec};
use drydock_image::Image;
use drydock_primitives::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod, SecurityContext};

use super::environment::expand;
use super::state::{pod_format, spec, uid};

/// Where an environment has no `PATH`.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Processes and threads of one container, so that a fork bomb is its own problem (`podPidsLimit` of a kubelet).
const PIDS: u64 = 1024;

/// What goes into one container besides its specification.
pub(super) struct Parts<'a> {
    /// Its id.
    pub(super) id: &'a str,
    /// Its image.
    pub(super) image: &'a Image,
    /// Its environment.
    pub(super) env: &'a [(String, String)],
    /// Its mounts.
    pub(super) mounts: Vec<Mount>,
    /// Directory for its writable layer.
    pub(super) directory: &'a Path,
    /// The Pod's host name.
    pub(super) hostname: &'a str,
    /// Its quality-of-service class.
    pub(super) qos: &'a str,
}

/// Put them together.
///
/// # Errors
/// The sentence of `CreateContainerConfigError`.
pub(super) fn container_spec(pod: &Pod, container: &Container, parts: Parts<'_>) -> Result<ContainerSpec, String> {
    let context = container.security_context.clone().unwrap_or_default();
    let privileged = context.privileged == Some(true);
    let pod_context = spec(pod).security_context.clone().unwrap_or_default();
    let user = user(pod, container, parts.image)?;
    Ok(ContainerSpec {
        id: parts.id.to_owned(),
        root: RootFs {
            layers: parts.image.layers.clone(),
            writable: parts.directory.to_owned(),
            readonly: context.read_only_root_filesystem == Some(true),
        },
        mounts: parts.mounts,
        process: ProcessSpec {
            args: command_line(container, parts.image, parts.env)?,
            env: merge_environment(parts.image, parts.env, parts.hostname, container.tty == Some(true)),
            cwd: working_directory(container, parts.image),
            user,
            capabilities: capabilities(&context, privileged),
            no_new_privileges: context.allow_privilege_escalation == Some(false),
            seccomp: seccomp(&context, pod_context.seccomp_profile.as_ref().map(|profile| profile.type_.as_str()), privileged),
            tty: container.tty == Some(true),
            stdin: container.stdin == Some(true),
            ..ProcessSpec::default()
        },
        pid: if spec(pod).host_pid == Some(true) {
            PidMode::Node
        } else if spec(pod).share_process_namespace == Some(true) {
            PidMode::Sandbox
        } else {
            PidMode::Own
        },
        cgroup: Some(CgroupSpec { path: cgroup_path(pod, parts.qos, parts.id), limits: limits(container) }),
        privileged,
        unmasked: context.proc_mount.as_deref() == Some("Unmasked"),
        oom_score_adj: (parts.qos == "BestEffort").then_some(1000),
        labels: BTreeMap::new(),
    })
}

/// What runs: `command` replaces the entry point and with it the image's arguments, `args` replaces the arguments.
fn command_line(container: &Container, image: &Image, env: &[(String, String)]) -> Result<Vec<String>, String> {
    let config = image.config.config().clone().unwrap_or_default();
    let lookup = |name: &str| env.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value.clone());
    let expanded = |words: &Option<Vec<String>>| -> Option<Vec<String>> {
        words.as_ref().filter(|words| !words.is_empty()).map(|words| words.iter().map(|word| expand(word, lookup)).collect())
    };
    let (command, args) = (expanded(&container.command), expanded(&container.args));
    let entrypoint = config.entrypoint().clone().unwrap_or_default();
    let words = match (command, args) {
        (Some(command), args) => [command, args.unwrap_or_default()].concat(),
        (None, Some(args)) => [entrypoint, args].concat(),
        (None, None) => [entrypoint, config.cmd().clone().unwrap_or_default()].concat(),
    };
    if words.is_empty() { Err("no command specified".to_owned()) } else { Ok(words) }
}

fn merge_environment(image: &Image, own: &[(String, String)], hostname: &str, tty: bool) -> Vec<String> {
    let from_image = image.config.config().as_ref().and_then(|config| config.env().clone()).unwrap_or_default();
    let mut all: Vec<String> = Vec::new();
    let mut set = |line: String| {
        let name = line.split('=').next().unwrap_or_default().to_owned() + "=";
        match all.iter_mut().find(|known| known.starts_with(&name)) {
            Some(known) => *known = line,
            None => all.push(line),
        }
    };
    set(PATH.to_owned());
    set(format!("HOSTNAME={hostname}"));
    if tty {
        set("TERM=xterm".to_owned());
    }
    from_image.into_iter().for_each(&mut set);
    own.iter().for_each(|(name, value)| set(format!("{name}={value}")));
    all
}

fn working_directory(container: &Container, image: &Image) -> PathBuf {
    let own = container.working_dir.clone().filter(|dir| !dir.is_empty());
    let of_image = || image.config.config().as_ref().and_then(|config| config.working_dir().clone()).filter(|dir| !dir.is_empty());
    own.or_else(of_image).unwrap_or_else(|| "/".to_owned()).into()
}

fn user(pod: &Pod, container: &Container, image: &Image) -> Result<UserSpec, String> {
    let of_pod = spec(pod).security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let id = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
    let name = image.config.config().as_ref().and_then(|config| config.user().clone()).unwrap_or_default();
    let uid = id(own.run_as_user.or(of_pod.run_as_user));
    if own.run_as_non_root.or(of_pod.run_as_non_root) == Some(true) {
        verify_not_root(pod, container, uid, &name)?;
    }
    let groups = of_pod.supplemental_groups.into_iter().flatten().chain(of_pod.fs_group).filter_map(|group| id(Some(group))).collect();
    Ok(UserSpec { name, uid, gid: id(own.run_as_group.or(of_pod.run_as_group)), groups })
}

// upstream: pkg/kubelet/kuberuntime/security_context_others.go, verifyRunAsNonRoot
fn verify_not_root(pod: &Pod, container: &Container, uid: Option<u32>, image_user: &str) -> Result<(), String> {
    let place = format!("(pod: \"{}\", container: {})", pod_format(pod), container.name);
    let image_user = image_user.split(':').next().unwrap_or_default();
    match uid {
        Some(0) => Err(format!("container's runAsUser breaks non-root policy {place}")),
        Some(_) => Ok(()),
        None => match image_user.parse::<u32>() {
            Ok(0) => Err(format!("container has runAsNonRoot and image will run as root {place}")),
            Ok(_) => Ok(()),
            Err(_) if image_user.is_empty() => Err(format!("container has runAsNonRoot and image will run as root {place}")),
            Err(_) => Err(format!(
                "container has runAsNonRoot and image has non-numeric user ({image_user}), cannot verify user is non-root {place}"
            )),
        },
    }
}

fn capabilities(context: &SecurityContext, privileged: bool) -> Capabilities {
    if privileged {
        return Capabilities::all();
    }
    let wanted = context.capabilities.clone().unwrap_or_default();
    Capabilities::default().adjusted(&wanted.add.unwrap_or_default(), &wanted.drop.unwrap_or_default())
}

/// As a kubelet with `seccompDefault: true`: nobody goes without the filter who did not ask to.
// upstream: pkg/kubelet/kuberuntime/helpers.go, getSeccompProfile with fallbackToRuntimeDefault
fn seccomp(context: &SecurityContext, of_pod: Option<&str>, privileged: bool) -> Seccomp {
    let own = context.seccomp_profile.as_ref().map(|profile| profile.type_.as_str());
    match own.or(of_pod) {
        Some("Unconfined") => Seccomp::Unconfined,
        _ if privileged => Seccomp::Unconfined,
        _ => Seccomp::Default,
    }
}

fn cgroup_path(pod: &Pod, qos: &str, id: &str) -> PathBuf {
    let mut path = PathBuf::from("kubepods");
    match qos {
        "Guaranteed" => {}
        other => path.push(other.to_ascii_lowercase()),
    }
    path.join(format!("pod{}", uid(pod))).join(id)
}

fn limits(container: &Container) -> Limits {
    let resources = container.resources.clone().unwrap_or_default();
    let amount = |list: Option<&BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>, name: &str| {
        list?.get(name)?.0.parse::<Quantity>().ok().filter(|quantity| !quantity.is_zero())
    };
    let limits = resources.limits.as_ref();
    let requests = resources.requests.as_ref();
    let positive = |value: i64| u64::try_from(value).ok();
    Limits {
        memory: amount(limits, "memory").and_then(|quantity| positive(quantity.value())),
        cpu_millis: amount(limits, "cpu").and_then(|quantity| positive(quantity.milli_value())),
        cpu_request_millis: amount(requests, "cpu").and_then(|quantity| positive(quantity.milli_value())),
        pids: Some(PIDS),
    }
}

/// The signal that asks a container to stop: its own, its image's, or SIGTERM.
pub(super) fn stop_signal(container: &Container, image: &Image) -> String {
    let own = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.clone());
    let of_image = || image.config.config().as_ref().and_then(|config| config.stop_signal().clone());
    own.or_else(of_image).filter(|signal| !signal.is_empty()).unwrap_or_else(|| "SIGTERM".to_owned())
}

/// `/etc/hosts` of a Pod.
// upstream: pkg/kubelet/kubelet_pods.go, managedHostsFileContent
pub(super) fn hosts_file(pod: &Pod, ip: &str, hostname: &str, cluster_domain: &str) -> String {
    let mut text = String::from(
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
         fe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
    );
    match spec(pod).subdomain.as_deref().filter(|subdomain| !subdomain.is_empty()) {
        Some(subdomain) => {
            let namespace = super::state::namespace(pod);
            text.push_str(&format!("{ip}\t{hostname}.{subdomain}.{namespace}.svc.{cluster_domain}\t{hostname}\n"));
        }
        None => text.push_str(&format!("{ip}\t{hostname}\n")),
    }
    let aliases = spec(pod).host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        text.push_str(&format!("{}\t{}\n", alias.ip, alias.hostnames.clone().unwrap_or_default().join("\t")));
    }
    text
}

/// `/etc/resolv.conf` of a Pod; `node` is the node's own.
// upstream: pkg/kubelet/network/dns/dns.go, GetPodDNS
pub(super) fn resolver_file(pod: &Pod, servers: &[String], cluster_domain: &str, node: &str) -> String {
    let policy = spec(pod).dns_policy.as_deref().unwrap_or("ClusterFirst");
    let words = |key: &str| -> Vec<String> {
        let lines = node.lines().filter_map(|line| line.strip_prefix(key));
        lines.flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    let host_network = spec(pod).host_network == Some(true);
    let (mut search, mut nameservers, mut options) = match policy {
        "None" => (Vec::new(), Vec::new(), Vec::new()),
        "ClusterFirst" if host_network => (words("search "), words("nameserver "), words("options ")),
        "Default" => (words("search "), words("nameserver "), words("options ")),
        _ => {
            let namespace = super::state::namespace(pod);
            let mut search =
                vec![format!("{namespace}.svc.{cluster_domain}"), format!("svc.{cluster_domain}"), cluster_domain.to_owned()];
            search.extend(words("search "));
            (search, servers.to_vec(), vec!["ndots:5".to_owned()])
        }
    };
    if let Some(config) = &spec(pod).dns_config {
        nameservers.extend(config.nameservers.clone().unwrap_or_default());
        search.extend(config.searches.clone().unwrap_or_default());
        for option in config.options.iter().flatten() {
            let name = option.name.clone().unwrap_or_default();
            options.retain(|known| known.split(':').next() != Some(name.as_str()));
            options.push(option.value.as_ref().map_or(name.clone(), |value| format!("{name}:{value}")));
        }
    }
    let mut text = String::new();
    if !search.is_empty() {
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    for server in nameservers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    if !options.is_empty() {
        text.push_str(&format!("options {}\n", options.join(" ")));
    }
    text
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "cases read better without ampersands")]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": spec})).unwrap()
    }

    #[test]
    fn a_pod_resolves_as_its_policy_says() {
        let servers = ["10.96.0.10".to_owned()];
        let node = "search lan\nnameserver 172.30.0.2\n";
        for (spec, expected) in [
            (json!({}), "search ns.svc.cluster.local svc.cluster.local cluster.local lan\nnameserver 10.96.0.10\noptions ndots:5\n"),
            (json!({"dnsPolicy": "Default"}), "search lan\nnameserver 172.30.0.2\n"),
            (
                json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["x"], "options": [{"name": "ndots", "value": "2"}]}}),
                "search x\nnameserver 1.1.1.1\noptions ndots:2\n",
            ),
        ] {
            let mut spec = spec;
            spec["containers"] = json!([]);
            assert_eq!(resolver_file(&pod(spec), &servers, "cluster.local", node), expected);
        }
    }

    #[test]
    fn the_system_call_filter_is_on_unless_somebody_says_no() {
        let of = |kind: Option<&str>| SecurityContext { seccomp_profile: kind.map(|kind| serde_json::from_value(json!({"type": kind})).unwrap()), ..SecurityContext::default() };
        for (own, of_pod, privileged, wanted) in [
            (None, None, false, Seccomp::Default),
            (None, None, true, Seccomp::Unconfined),
            (Some("RuntimeDefault"), Some("Unconfined"), false, Seccomp::Default),
            (None, Some("Unconfined"), false, Seccomp::Unconfined),
            (Some("Unconfined"), Some("RuntimeDefault"), false, Seccomp::Unconfined),
        ] {
            assert_eq!(seccomp(&of(own), of_pod, privileged), wanted, "{own:?} {of_pod:?} {privileged}");
        }
        assert_eq!(limits(&Container::default()).pids, Some(PIDS), "nobody may fill the machine with processes");
    }

    #[test]
    fn the_hosts_file_names_the_pod() {
        let text = hosts_file(&pod(json!({"containers": [], "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]})), "10.0.0.1", "p", "cluster.local");
        assert!(text.ends_with("10.0.0.1\tp\n\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"), "{text}");
    }

    #[test]
    fn root_is_refused_when_the_pod_says_so() {
        let pod = pod(json!({"containers": []}));
        let container = Container { name: "c".into(), ..Container::default() };
        for (uid, image_user, ok) in [(None, "", false), (None, "0", false), (None, "www", false), (None, "33:33", true), (Some(0), "33", false), (Some(5), "", true)] {
            assert_eq!(verify_not_root(&pod, &container, uid, image_user).is_ok(), ok, "{uid:?} {image_user}");
        }
    }
}
