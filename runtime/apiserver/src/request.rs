//! What a request is about, read from its path and query alone.
//!
//! Three steps, as upstream: split the path, find the API prefix and the resource, derive the Kubernetes verb from the HTTP method and
//! the presence of a name. upstream: staging/src/k8s.io/apiserver/pkg/endpoints/request/requestinfo.go

use http::Method;
use percent_encoding::percent_decode_str;

/// A request, understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether it is about a resource (below `/api/v1/` or `/apis/GROUP/VERSION/`).
    pub is_resource: bool,
    /// The Kubernetes verb, or HTTP's in lower case.
    pub verb: String,
    /// API group, empty for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Namespace or empty.
    pub namespace: String,
    /// Resource or empty.
    pub resource: String,
    /// Subresource or empty.
    pub subresource: String,
    /// Object name or empty.
    pub name: String,
    /// Path parts after the resource's name and subresource (proxy).
    pub rest: String,
    /// The whole path.
    pub path: String,
    /// Decoded query parameters, in order.
    pub query: Vec<(String, String)>,
}

const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

impl RequestInfo {
    /// Reads `method`, `path` and `query`.
    pub fn parse(method: &Method, path: &str, query: &str) -> RequestInfo {
        let mut info = RequestInfo {
            verb: method.as_str().to_ascii_lowercase(),
            path: path.to_owned(),
            query: parse_query(query),
            ..RequestInfo::default()
        };
        let decoded: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(decode).collect();
        let mut parts: &[String] = match decoded.split_first() {
            Some((first, rest)) if first == "api" && !rest.is_empty() => rest,
            Some((first, rest)) if first == "apis" && rest.len() >= 2 => {
                info.group.clone_from(&rest[0]);
                &rest[1..]
            }
            _ => return info,
        };
        info.version.clone_from(&parts[0]);
        parts = &parts[1..];
        if parts.is_empty() {
            return info;
        }
        info.is_resource = true;
        if matches!(parts[0].as_str(), "watch" | "proxy") && parts.len() > 1 {
            if parts[0] == "watch" {
                info.query.push(("watch".to_owned(), "true".to_owned()));
            }
            parts = &parts[1..];
        }
        if parts[0] == "namespaces" && info.group.is_empty() {
            if let Some(namespace) = parts.get(1) {
                info.namespace.clone_from(namespace);
                let is_child = parts.get(2).is_some_and(|part| !NAMESPACE_SUBRESOURCES.contains(&part.as_str()));
                if is_child {
                    parts = &parts[2..];
                }
            }
        } else if parts[0] == "namespaces" && parts.len() > 2 {
            info.namespace.clone_from(&parts[1]);
            parts = &parts[2..];
        }
        info.take_names(parts);
        info.derive_verb(method);
        info
    }

    fn take_names(&mut self, parts: &[String]) {
        let mut parts = parts.iter();
        self.resource = parts.next().cloned().unwrap_or_default();
        self.name = parts.next().cloned().unwrap_or_default();
        self.subresource = parts.next().cloned().unwrap_or_default();
        self.rest = parts.cloned().collect::<Vec<_>>().join("/");
    }

    fn derive_verb(&mut self, method: &Method) {
        let named = !self.name.is_empty();
        self.verb = match *method {
            Method::GET | Method::HEAD if self.flag("watch") && self.subresource.is_empty() => "watch",
            Method::GET | Method::HEAD if named => "get",
            Method::GET | Method::HEAD => "list",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if named => "delete",
            Method::DELETE => "deletecollection",
            _ => return,
        }
        .to_owned();
    }

    /// The first value of a query parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a query parameter.
    pub fn parameters(&self, name: &str) -> Vec<String> {
        self.query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    /// Whether a boolean query parameter is set: absent and `false`/`0` are not. upstream: runtime/conversion.go Convert_Slice_string_To_bool
    pub fn flag(&self, name: &str) -> bool {
        self.parameter(name).is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
    }

    /// `resource.group` as Status texts write it.
    pub fn qualified_resource(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }

    /// `group/version` or `version` for core.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Decodes a query string.
pub fn parse_query(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&key.replace('+', " ")), decode(&value.replace('+', " ")))
        })
        .collect()
}

/// Encodes a query string.
pub fn encode_query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    pairs.into_iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_upstream_reads_them() {
        // method, path and query -> verb, group, version, namespace, resource, name, subresource
        let cases = [
            ("GET /api/v1/namespaces", ["list", "", "v1", "", "namespaces", "", ""]),
            ("GET /api/v1/namespaces/a", ["get", "", "v1", "a", "namespaces", "a", ""]),
            ("GET /api/v1/namespaces/a/status", ["get", "", "v1", "a", "namespaces", "a", "status"]),
            ("GET /api/v1/namespaces/a/pods", ["list", "", "v1", "a", "pods", "", ""]),
            ("GET /api/v1/namespaces/a/pods/b", ["get", "", "v1", "a", "pods", "b", ""]),
            ("GET /api/v1/namespaces/a/pods/b/log?follow=true", ["get", "", "v1", "a", "pods", "b", "log"]),
            ("GET /api/v1/pods?watch=1", ["watch", "", "v1", "", "pods", "", ""]),
            ("GET /api/v1/watch/pods", ["watch", "", "v1", "", "pods", "", ""]),
            ("POST /apis/apps/v1/namespaces/a/deployments", ["create", "apps", "v1", "a", "deployments", "", ""]),
            ("DELETE /apis/apps/v1/namespaces/a/deployments", ["deletecollection", "apps", "v1", "a", "deployments", "", ""]),
            ("PATCH /apis/apps/v1/namespaces/a/deployments/b/scale", ["patch", "apps", "v1", "a", "deployments", "b", "scale"]),
            ("GET /apis/apps/v1", ["get", "apps", "v1", "", "", "", ""]),
            ("GET /version", ["get", "", "", "", "", "", ""]),
        ];
        for (line, expected) in cases {
            let (method, uri) = line.split_once(' ').unwrap();
            let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
            let info = RequestInfo::parse(&method.parse().unwrap(), path, query);
            let got = [&info.verb, &info.group, &info.version, &info.namespace, &info.resource, &info.name, &info.subresource];
            assert_eq!(got.map(String::as_str), expected, "{line}");
        }
    }
}
