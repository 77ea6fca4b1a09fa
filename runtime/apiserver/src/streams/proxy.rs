//! `pods/proxy`, `services/proxy` and `nodes/proxy`: plain HTTP into the cluster.
//!
//! The name may be `name`, `name:port` or `scheme:name:port`. A Service is reached through one of its ready endpoints.
//! upstream: pkg/registry/core/{pod,service,node}/rest, staging/src/k8s.io/apimachinery/pkg/util/net/port_split.go

use drydock_api::status::Status;
use http::uri::PathAndQuery;
use http::{Request, Response, Uri, header};
use serde_json::Value;

use super::kubelet::{self, KubeletError};
use crate::audit::StreamVerb;
use crate::body::{self, Body};
use crate::call::Call;
use crate::config::Target;

const HOP_HEADERS: [&str; 6] = ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

/// Passes a request on.
pub(crate) async fn proxy(call: &Call, mut request: Request<Body>) -> Result<Response<Body>, Status> {
    let (name, port) = split(&call.info.name);
    let target = match call.info.resource.as_str() {
        "pods" => pod_target(call, name, port)?,
        "services" => service_target(call, name, port)?,
        _ => super::kubelet_target(call, name),
    };
    let path = format!("/{}{}", call.info.rest, if call.query.is_empty() { String::new() } else { format!("?{}", call.query) });
    let path: PathAndQuery = path.parse().map_err(|error| Status::bad_request(format!("proxy path: {error}")))?;
    *request.uri_mut() = Uri::from(path);
    for name in HOP_HEADERS.iter().chain(&["authorization", "host", "impersonate-user"]) {
        request.headers_mut().remove(*name);
    }
    let mut stream = super::open(call, StreamVerb::Proxy, "");
    match kubelet::send(&call.server.config().dial, target, request).await {
        Ok(mut response) => {
            stream.set_code(i32::from(response.status().as_u16()));
            for name in HOP_HEADERS {
                response.headers_mut().remove(name);
            }
            response.headers_mut().remove(header::CONNECTION);
            Ok(response.map(body::wrap))
        }
        Err(KubeletError::Refused { text, .. }) => Err(Status::bad_request(text)),
        Err(error) => Err(Status::unavailable(format!("error trying to reach service: {error}"))),
    }
}

fn split(name: &str) -> (&str, &str) {
    match name.split(':').collect::<Vec<_>>().as_slice() {
        [name, port] | [_, name, port] => (name, port),
        _ => (name, ""),
    }
}

fn pod_target(call: &Call, name: &str, port: &str) -> Result<Target, Status> {
    let pod = call.server.pod(&call.info.namespace, name)?;
    let host = pod["status"]["podIP"].as_str().unwrap_or_default().to_owned();
    if host.is_empty() {
        return Err(Status::internal("address not allowed"));
    }
    let port = match port {
        "" => pod["spec"]["containers"][0]["ports"][0]["containerPort"].as_u64().unwrap_or(80),
        port => port.parse().map_err(|_parse| Status::bad_request(format!("invalid pod request \"{}\"", call.info.name)))?,
    };
    Ok(Target::Tcp { host, port: u16::try_from(port).unwrap_or(80) })
}

fn service_target(call: &Call, name: &str, port: &str) -> Result<Target, Status> {
    let namespace = Some(call.info.namespace.as_str());
    let service = call.server.core("services", namespace, name).ok_or_else(|| Status::not_found_as("", "services", name))?;
    let ports: &[Value] = service["spec"]["ports"].as_array().map_or(&[], Vec::as_slice);
    let chosen = match port {
        "" if ports.len() == 1 => ports.first(),
        port => ports.iter().find(|own| own["name"] == port || own["port"].to_string() == port),
    };
    let port_name = chosen.and_then(|port| port["name"].as_str()).unwrap_or_default();
    if chosen.is_none() && !port.is_empty() {
        return Err(Status::unavailable(format!("no service port \"{port}\" found for service \"{name}\"")));
    }
    let endpoints = call.server.core("endpoints", namespace, name);
    let subsets = endpoints.as_ref().and_then(|endpoints| endpoints["subsets"].as_array()).into_iter().flatten();
    let mut all = subsets.filter_map(|subset| {
        let port = subset["ports"].as_array()?.iter().find(|own| own["name"].as_str().unwrap_or_default() == port_name)?;
        Some((subset["addresses"][0]["ip"].as_str()?.to_owned(), u16::try_from(port["port"].as_u64()?).ok()?))
    });
    let (host, port) = all.next().ok_or_else(|| Status::unavailable(format!("no endpoints available for service \"{name}\"")))?;
    Ok(Target::Tcp { host, port })
}
