//! Whether the cluster and the user of a kubeconfig can be used, before anybody is asked.
// upstream: client-go/tools/clientcmd/validation.go validateClusterInfo, validateAuthInfo

use std::fs::File;

use serde_json::Value;

use crate::failure::{Failure, go_io};

/// All that is wrong with them.
pub(super) fn check(cluster: &Value, cluster_name: &str, user: &Value, user_name: &str) -> Result<(), Failure> {
    let mut wrong = of_user(user, user_name);
    wrong.extend(of_cluster(cluster, cluster_name));
    match wrong.as_slice() {
        [] => Ok(()),
        [one] => Err(Failure::new(one)),
        many => Err(Failure::Plain(format!("Error in configuration: \n* {}", many.join("\n* ")), 1)),
    }
}

/// A text that is there and not empty.
fn said<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value[field].as_str().filter(|text| !text.is_empty())
}

fn unreadable(path: &str, what: &str, name: &str) -> Option<String> {
    File::open(path).err().map(|error| format!("unable to read {what} {path} for {name} due to open {path}: {}", go_io(&error)))
}

fn of_cluster(cluster: &Value, name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Some(proxy) = said(cluster, "proxy-url")
        && let Err(why) = super::proxy::readable(proxy)
    {
        wrong.push(format!("invalid 'proxy-url' {proxy:?} for cluster {name:?}: {why}"));
    }
    if let Some(path) = said(cluster, "certificate-authority") {
        if said(cluster, "certificate-authority-data").is_some() {
            wrong.push(format!("certificate-authority-data and certificate-authority are both specified for {name}. certificate-authority-data will override."));
        }
        wrong.extend(unreadable(path, "certificate-authority", name));
    }
    wrong
}

fn of_user(user: &Value, name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut methods = Vec::new();
    if said(user, "token").is_some() {
        methods.push("token");
    }
    if said(user, "username").is_some() || said(user, "password").is_some() {
        methods.push("basicAuth");
    }
    wrong.extend(certificate(user, name));
    if user["exec"].is_object() {
        wrong.extend(plugin(user, name));
    }
    if methods.len() > 1 {
        wrong.push(format!("more than one authentication method found for {name}; found [{}], only one is allowed", methods.join(" ")));
    }
    let groups = user["as-groups"].as_array().is_some_and(|groups| !groups.is_empty());
    let extra = user["as-user-extra"].as_object().is_some_and(|extra| !extra.is_empty());
    if (groups || extra || said(user, "as-uid").is_some()) && said(user, "as").is_none() {
        wrong.push(format!("requesting uid, groups or user-extra for {name} without impersonating a user"));
    }
    wrong
}

fn certificate(user: &Value, name: &str) -> Vec<String> {
    let (file, data) = (said(user, "client-certificate"), said(user, "client-certificate-data"));
    let (key_file, key_data) = (said(user, "client-key"), said(user, "client-key-data"));
    let mut wrong = Vec::new();
    if file.is_none() && data.is_none() {
        return wrong;
    }
    if file.is_some() && data.is_some() {
        wrong.push(format!("client-cert-data and client-cert are both specified for {name}. client-cert-data will override."));
    }
    match (key_file, key_data) {
        (Some(_), Some(_)) => wrong.push(format!("client-key-data and client-key are both specified for {name}; client-key-data will override")),
        (None, None) => wrong.push(format!("client-key-data or client-key must be specified for {name} to use the clientCert authentication method.")),
        _ => {}
    }
    wrong.extend(file.and_then(|path| unreadable(path, "client-cert", name)));
    wrong.extend(key_file.and_then(|path| unreadable(path, "client-key", name)));
    wrong
}

fn plugin(user: &Value, name: &str) -> Vec<String> {
    let exec = &user["exec"];
    let mut wrong = Vec::new();
    if user["auth-provider"].is_object() {
        wrong.push(format!("authProvider cannot be provided in combination with an exec plugin for {name}"));
    }
    for field in ["command", "apiVersion"] {
        if said(exec, field).is_none() {
            wrong.push(format!("{field} must be specified for {name} to use exec authentication plugin"));
        }
    }
    for _ in exec["env"].as_array().into_iter().flatten().filter(|variable| said(variable, "name").is_none()) {
        wrong.push(format!("env variable name must be specified for {name} to use exec authentication plugin"));
    }
    match exec["interactiveMode"].as_str().unwrap_or_default() {
        "Never" | "IfAvailable" | "Always" => {}
        // The old version had no such field. upstream: clientcmd/api/v1/defaults.go
        "" if said(exec, "apiVersion") == Some("client.authentication.k8s.io/v1beta1") => {}
        "" => wrong.push(format!("interactiveMode must be specified for {name} to use exec authentication plugin")),
        other => wrong.push(format!("invalid interactiveMode for {name}: {other:?}")),
    }
    wrong
}
