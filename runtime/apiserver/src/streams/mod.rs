//! Requests that stay open towards a kubelet: logs, exec, attach, port-forward.
//!
//! Each module does three things: finds the Pod's node and container ([`locate`]), opens the kubelet's side ([`kubelet`]), and copies
//! between it and whatever protocol the client speaks ([`websocket`] channels, [`spdy`] streams, or plain HTTP). Every copied byte is counted
//! for the audit sink.

pub(crate) mod exec;
pub(crate) mod kubelet;
pub(crate) mod log;
pub(crate) mod portforward;
pub(crate) mod proxy;
pub mod spdy;
pub(crate) mod websocket;

use drydock_api::status::Status;
use serde_json::Value;

use crate::audit::{OpenStream, StreamRecord, StreamVerb};
use crate::call::Call;
use crate::config::Target;

/// A Pod and where its kubelet is.
pub(crate) struct Located {
    pub(crate) pod: Value,
    pub(crate) node: String,
    pub(crate) target: Target,
}

/// Finds the Pod a request names; its node is empty while it is not scheduled.
pub(crate) fn locate(call: &Call) -> Result<Located, Status> {
    let pod = call.server.pod(&call.info.namespace, &call.info.name)?;
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
    let target = kubelet_target(call, &node);
    Ok(Located { pod, node, target })
}

/// The kubelet of a node, by its Node object's address and port.
pub(crate) fn kubelet_target(call: &Call, node: &str) -> Target {
    let object = call.server.node(node);
    let status = object.as_ref().map_or(&Value::Null, |node| &node["status"]);
    let address = status["addresses"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|address| address["type"] == "InternalIP")
        .and_then(|address| address["address"].as_str())
        .unwrap_or_default()
        .to_owned();
    let port = status["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(10250);
    Target::Kubelet { node: node.to_owned(), address, port }
}

/// The container a request means: the one it names, or the only one.
/// upstream: pkg/registry/core/pod/strategy.go, LogLocation and streamLocation
pub(crate) fn container(pod: &Value, asked: Option<&str>) -> Result<String, Status> {
    let names = |field: &str| -> Vec<String> {
        pod["spec"][field].as_array().into_iter().flatten().filter_map(|c| c["name"].as_str()).map(str::to_owned).collect()
    };
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let (containers, init, ephemeral) = (names("containers"), names("initContainers"), names("ephemeralContainers"));
    if let Some(asked) = asked.filter(|asked| !asked.is_empty()) {
        let known = containers.iter().chain(&init).chain(&ephemeral).any(|own| own == asked);
        return if known {
            Ok(asked.to_owned())
        } else {
            Err(Status::bad_request(format!("container {asked} is not valid for pod {name}")))
        };
    }
    match containers.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Status::bad_request(format!("a container name must be specified for pod {name}"))),
        several => {
            let mut message = format!("a container name must be specified for pod {name}, choose one of: [{}]", several.join(" "));
            if !init.is_empty() {
                message.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
            }
            if !ephemeral.is_empty() {
                message.push_str(&format!(" or one of the ephemeral containers: [{}]", ephemeral.join(" ")));
            }
            Err(Status::bad_request(message))
        }
    }
}

/// Reports a stream as open.
pub(crate) fn open(call: &Call, verb: StreamVerb, container: &str) -> OpenStream {
    let record = record(call, verb, container);
    OpenStream::open(std::sync::Arc::clone(&call.server.config().audit), std::sync::Arc::clone(&call.server.config().clock), record)
}

fn record(call: &Call, verb: StreamVerb, container: &str) -> StreamRecord {
    let info = &call.info;
    StreamRecord {
        id: call.audit_id.clone(),
        verb,
        group: info.group.clone(),
        resource: info.resource.clone(),
        namespace: info.namespace.clone(),
        name: info.name.clone(),
        container: container.to_owned(),
        command: info.parameters("command"),
        tty: info.flag("tty"),
        stdin: info.flag("stdin"),
        follow: info.flag("follow"),
        ports: Vec::new(),
        query: call.query.clone(),
        user: call.identity.user.clone(),
        user_agent: call.header("user-agent"),
        kubectl_command: call.header("kubectl-command"),
        kubectl_session: call.header("kubectl-session"),
        opened: call.server.config().clock.now(),
        closed: None,
        connections: u64::from(verb != StreamVerb::PortForward),
        bytes_in: 0,
        bytes_out: 0,
        code: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_container_is_named_or_the_only_one() {
        let pod = |names: &[&str]| {
            let containers: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
            json!({"metadata": {"name": "web"}, "spec": {"containers": containers}})
        };
        assert_eq!(container(&pod(&["a"]), None).unwrap(), "a");
        assert_eq!(container(&pod(&["a", "b"]), Some("b")).unwrap(), "b");
        let refused = container(&pod(&["a", "b"]), None).unwrap_err();
        assert_eq!(refused.message, "a container name must be specified for pod web, choose one of: [a b]");
        assert_eq!(container(&pod(&["a"]), Some("x")).unwrap_err().message, "container x is not valid for pod web");
    }
}
