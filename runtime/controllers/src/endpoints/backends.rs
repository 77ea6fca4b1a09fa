//! What of a Pod concerns a Service.

use k8s_openapi::api::core::v1::{Container, ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use crate::pod;

/// Whether a change of a Pod can change a Service's backends.
// upstream: staging/src/k8s.io/endpointslice/util/controller_utils.go podEndpointsChanged
pub(super) fn differ(old: &Pod, new: &Pod) -> bool {
    let view = |pod: &Pod| {
        let labels = pod.labels().clone();
        (labels, address(pod), pod::node(pod).to_owned(), pod::is_ready(pod), pod.metadata.deletion_timestamp.is_some(), pod::is_finished(pod), hostname(pod))
    };
    view(old) != view(new)
}

/// The first address of a Pod.
pub(super) fn address(pod: &Pod) -> Option<String> {
    pod.status.as_ref()?.pod_ip.clone().filter(|address| !address.is_empty())
}

fn hostname(pod: &Pod) -> Option<(String, String)> {
    let spec = pod.spec.as_ref()?;
    Some((spec.hostname.clone()?, spec.subdomain.clone()?))
}

/// The name under which a Pod is found below the Service's name.
pub(super) fn hostname_in(pod: &Pod, service: &Service) -> Option<String> {
    let (hostname, subdomain) = hostname(pod)?;
    (!hostname.is_empty() && subdomain == service.name_any()).then_some(hostname)
}

/// A reference to a Pod as endpoints carry it.
pub(super) fn reference(pod: &Pod) -> ObjectReference {
    ObjectReference { kind: Some("Pod".into()), namespace: pod.namespace(), name: pod.metadata.name.clone(), uid: pod.uid(), ..ObjectReference::default() }
}

/// Whether the Service wants Pods before they are ready.
pub(super) fn publishes_unready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses) == Some(true)
}

/// The number behind a Service's port on this Pod; none when the Pod does not have the named port.
// upstream: pkg/api/v1/pod/util.go FindPort
pub(super) fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let name = match &port.target_port {
        None => return Some(port.port),
        Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let spec = pod.spec.as_ref()?;
    let sidecar = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten().filter(sidecar));
    let protocol = |protocol: &Option<String>| protocol.clone().unwrap_or_else(|| "TCP".into());
    let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
    ports.find(|own| own.name.as_ref() == Some(name) && protocol(&own.protocol) == protocol(&port.protocol)).map(|own| own.container_port)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_are_found_by_number_and_name() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": {
            "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 8080}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}]}],
            "initContainers": [{"name": "s", "restartPolicy": "Always", "ports": [{"name": "metrics", "containerPort": 9090}]}],
        }}))
        .expect("a Pod");
        for (target, protocol, expected) in [
            (json!(null), "TCP", Some(80)),
            (json!(8000), "TCP", Some(8000)),
            (json!("web"), "TCP", Some(8080)),
            (json!("web"), "UDP", None),
            (json!("dns"), "UDP", Some(53)),
            (json!("metrics"), "TCP", Some(9090)),
            (json!("nothing"), "TCP", None),
        ] {
            let port: ServicePort = serde_json::from_value(json!({"port": 80, "targetPort": target, "protocol": protocol})).expect("a port");
            assert_eq!(target_port(&pod, &port), expected, "{target} {protocol}");
        }
    }
}
