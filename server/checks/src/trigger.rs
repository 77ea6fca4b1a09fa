//! Which probes a change may have given another answer. What has nothing to do with a probe does not make it ask again.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::probe::{Probe, Target};
use crate::watch::Update;
use crate::world::ObjectKey;

/// One thing that happened, as far as probes care.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// Everything may be different.
    All,
    /// An object changed.
    Object {
        /// Its kind.
        kind: String,
        /// It.
        key: ObjectKey,
        /// What it is called by others: the Service of an EndpointSlice.
        service: Option<String>,
    },
    /// The learner's command began or ended.
    Command,
    /// A stream into a Pod opened, moved bytes, or closed.
    Stream {
        /// `exec`, `portforward`, ...
        verb: String,
        /// Its Pod.
        pod: ObjectKey,
        /// It is over.
        closed: bool,
    },
    /// A container of a Pod began or ended.
    Container {
        /// Its Pod.
        pod: ObjectKey,
    },
}

impl News {
    /// What an update of the world means; `None` when no probe cares.
    pub fn of(update: &Update) -> Option<News> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match update {
            Update::Kind { .. } | Update::Records { .. } => Some(News::All),
            Update::Change(change) => {
                let object = change.new.as_ref().or(change.old.as_ref());
                let service = object.and_then(|object| object["metadata"]["labels"]["kubernetes.io/service-name"].as_str()).map(str::to_owned);
                Some(News::Object { kind: change.kind.clone(), key: change.key.clone(), service })
            }
            Update::Record { collection: "commands", .. } => Some(News::Command),
            Update::Record { collection: "streams", record } => Some(News::Stream {
                verb: text(&record["spec"]["verb"]),
                pod: (text(&record["spec"]["namespace"]), text(&record["spec"]["pod"])),
                closed: !record["status"]["closed"].is_null(),
            }),
            Update::Record { collection: "nodecontainers", record } => {
                Some(News::Container { pod: (text(&record["spec"]["podNamespace"]), text(&record["spec"]["podName"])) })
            }
            Update::Record { .. } | Update::Gone { .. } | Update::Unserved { .. } | Update::Refused { .. } | Update::Seen { .. } | Update::Away(_) => None,
        }
    }

    /// Whether a probe should ask again; `more` are kinds its check names as triggers.
    pub fn concerns(&self, probe: &Probe, more: &BTreeSet<String>) -> bool {
        let in_pod = |pod: &ObjectKey| matches!(pod_of(probe), Some((namespace, name)) if (namespace, name) == (pod.0.as_str(), pod.1.as_str()));
        match self {
            News::All => true,
            News::Object { kind, key, service } => {
                more.contains(kind)
                    || match kind.as_str() {
                        "Pod" => in_pod(key),
                        "Service" | "Endpoints" => mentions(probe, &key.1),
                        "EndpointSlice" => service.as_deref().is_some_and(|service| mentions(probe, service)),
                        // Files and settings of a container; when they arrive there is no event of its own.
                        "ConfigMap" | "Secret" => !matches!(probe, Probe::Dns { .. } | Probe::Tcp { .. } | Probe::Env { .. } | Probe::Log { .. }),
                        _ => false,
                    }
            }
            News::Command => !matches!(probe, Probe::Log { .. }),
            News::Stream { verb, pod, closed } => match verb.as_str() {
                "portforward" => address(probe).is_some_and(is_local),
                "exec" | "attach" => in_pod(pod) || (*closed && address(probe).is_some()),
                _ => false,
            },
            News::Container { pod } => in_pod(pod),
        }
    }
}

fn pod_of(probe: &Probe) -> Option<(&str, &str)> {
    match (probe, probe.target()) {
        (Probe::Log { namespace, pod, .. }, _) | (_, Some(Target::Pod { namespace, pod, .. })) => Some((namespace, pod)),
        _ => None,
    }
}

/// Host of the address a probe asks for.
fn address(probe: &Probe) -> Option<&str> {
    match probe {
        Probe::Http { request, .. } => Some(host(&request.url)),
        Probe::Traffic { url, .. } => Some(host(url)),
        Probe::Dns { name, .. } => Some(name),
        Probe::Tcp { host, .. } => Some(host),
        _ => None,
    }
}

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

fn is_local(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

/// Whether a Service of this name may be on the way. An address or `localhost` can be any Service's.
fn mentions(probe: &Probe, service: &str) -> bool {
    match (address(probe), probe) {
        (Some(host), _) => is_local(host) || host.parse::<std::net::IpAddr>().is_ok() || host.split('.').next() == Some(service),
        (None, Probe::Exec { command, .. }) => command.iter().any(|word| word.contains(service)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Request;

    fn pod(name: &str) -> Target {
        Target::Pod { namespace: "default".into(), pod: name.into(), container: None }
    }

    fn object(kind: &str, name: &str) -> News {
        let service = (kind == "EndpointSlice").then(|| name.to_owned());
        News::Object { kind: kind.into(), key: ("default".into(), name.into()), service }
    }

    #[test]
    fn only_what_may_have_another_answer_is_asked_again() {
        let http = |from: Target, url: &str| Probe::Http { from, request: Request { url: url.into(), ..Request::default() } };
        let local = || http(Target::Workstation, "http://localhost:8080/");
        let named = || http(pod("sleep"), "http://web/");
        let exec = || Probe::Exec { target: pod("a"), command: vec!["curl".into(), "http://web/".into()] };
        let file = || Probe::File { target: Target::Workstation, path: "/a".into() };
        let log = || Probe::Log { namespace: "default".into(), pod: "a".into(), container: None, previous: false, tail: None, since: None };
        let stream = |verb: &str, closed| News::Stream { verb: verb.into(), pod: ("default".into(), "a".into()), closed };
        let cases: &[(News, Probe, bool)] = &[
            (object("Pod", "a"), exec(), true),
            (object("Pod", "b"), exec(), false),
            (object("Pod", "a"), log(), true),
            (object("Pod", "a"), local(), false),
            (object("Node", "node-1"), local(), false),
            (object("Deployment", "a"), exec(), false),
            (object("EndpointSlice", "web"), named(), true),
            (object("EndpointSlice", "api"), named(), false),
            (object("EndpointSlice", "api"), local(), true),
            (object("Service", "web"), exec(), true),
            (object("Service", "api"), exec(), false),
            (object("ConfigMap", "c"), exec(), true),
            (object("ConfigMap", "c"), log(), false),
            (object("Lease", "l"), local(), true),
            (News::Command, file(), true),
            (News::Command, log(), false),
            (stream("portforward", false), local(), true),
            (stream("portforward", false), exec(), false),
            (stream("exec", false), exec(), true),
            (stream("exec", false), local(), false),
            (stream("exec", true), local(), true),
            (stream("log", true), local(), false),
            (News::Container { pod: ("default".into(), "a".into()) }, log(), true),
            (News::All, file(), true),
        ];
        let more = BTreeSet::from(["Lease".to_owned()]);
        for (news, probe, expected) in cases {
            assert_eq!(news.concerns(probe, &more), *expected, "{news:?} {probe:?}");
        }
    }
}
