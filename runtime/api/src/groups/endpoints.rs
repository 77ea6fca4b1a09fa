//! Endpoints and EndpointSlice.
// upstream: pkg/printers/internalversion/printers.go formatEndpoints, printEndpointSlice

use jiff::Timestamp;
use k8s_openapi::api::{core::v1::Endpoints, discovery::v1::EndpointSlice};
use serde_json::Value;

use super::pod_spec::{
    defaults::default,
    validation::{items, join, one_of, port_number, text},
};
use crate::{
    field_error::FieldError,
    meta,
    registry::{Column, Resource, Rules},
    table,
    write::IMMUTABLE,
};

/// Rows of this family.
pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::of::<Endpoints>()
            .short(&["ep"])
            .columns(vec![
                Column::new("Name", table::NAME_DESCRIPTION),
                Column::new("Endpoints", "The set of all endpoints is the union of all subsets."),
                Column::new("Age", table::AGE_DESCRIPTION),
            ])
            .rules(EndpointsRules),
        Resource::of::<EndpointSlice>()
            .with_generation()
            .columns(vec![
                Column::new("Name", table::NAME_DESCRIPTION),
                Column::new("AddressType", "addressType specifies the type of address carried by this EndpointSlice."),
                Column::new("Ports", "ports specifies the list of network ports exposed by each endpoint in this slice."),
                Column::new("Endpoints", "endpoints is a list of unique endpoints in this slice."),
                Column::new("Age", table::AGE_DESCRIPTION),
            ])
            .rules(EndpointSliceRules),
    ]
}

/// How many addresses a cell shows.
const SHOWN: usize = 3;

fn shortened(all: &[String]) -> String {
    let list = all
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(",");
    if all.len() > SHOWN {
        format!("{list} + {} more...", all.len() - SHOWN)
    } else {
        list
    }
}

struct EndpointsRules;

impl Rules for EndpointsRules {
    fn set_defaults(&self, new: &mut Value) {
        for subset in new
            .get_mut("subsets")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            for port in subset
                .get_mut("ports")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
                .filter_map(Value::as_object_mut)
            {
                default(port, "protocol", "TCP");
            }
        }
        if new["subsets"].is_null() {
            new.as_object_mut().map(|o| o.remove("subsets"));
        }
    }

    fn validate(&self, new: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for (path, subset) in items(new, "subsets", "") {
            let addresses: Vec<_> = ["addresses", "notReadyAddresses"]
                .into_iter()
                .flat_map(|f| items(subset, f, &path))
                .collect();
            if addresses.is_empty() {
                errors.push(FieldError::required(
                    path.clone(),
                    "must specify `addresses` or `notReadyAddresses`",
                ));
            }
            for (path, address) in addresses {
                let ip = text(address, "ip");
                if ip.parse::<std::net::IpAddr>().is_err() {
                    let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
                    errors.push(FieldError::invalid(join(&path, "ip"), ip, detail));
                }
            }
            for (path, port) in items(subset, "ports", &path) {
                port_number(
                    port["port"].as_i64().unwrap_or(0),
                    join(&path, "port"),
                    &mut errors,
                );
                one_of(
                    port,
                    "protocol",
                    &path,
                    &["TCP", "UDP", "SCTP"],
                    &mut errors,
                );
            }
        }
        errors
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        Some(vec![
            Value::from(meta::name(object)),
            Value::from(endpoints_text(object)),
            table::age(object, now),
        ])
    }
}

fn endpoints_text(object: &Value) -> String {
    let subsets = object["subsets"].as_array().map_or(&[][..], Vec::as_slice);
    if subsets.is_empty() {
        return "<none>".to_owned();
    }
    let mut all = Vec::new();
    for subset in subsets {
        let addresses: Vec<&str> = subset["addresses"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|a| a["ip"].as_str())
            .collect();
        let ports: Vec<i64> = subset["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|p| p["port"].as_i64())
            .collect();
        if ports.is_empty() {
            all.extend(addresses.iter().map(|a| (*a).to_owned()));
        }
        for port in ports {
            all.extend(addresses.iter().map(|a| {
                if a.contains(':') {
                    format!("[{a}]:{port}")
                } else {
                    format!("{a}:{port}")
                }
            }));
        }
    }
    shortened(&all)
}

struct EndpointSliceRules;

impl Rules for EndpointSliceRules {
    fn set_defaults(&self, new: &mut Value) {
        for port in new
            .get_mut("ports")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .filter_map(Value::as_object_mut)
        {
            default(port, "name", "");
            default(port, "protocol", "TCP");
        }
        for field in ["ports", "endpoints"] {
            if new[field].is_null() {
                new.as_object_mut()
                    .map(|o| o.insert(field.to_owned(), Value::Array(Vec::new())));
            }
        }
    }

    fn validate(&self, new: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if text(new, "addressType").is_empty() {
            errors.push(FieldError::required("addressType", ""));
        } else {
            one_of(
                new,
                "addressType",
                "",
                &["IPv4", "IPv6", "FQDN"],
                &mut errors,
            );
        }
        for (path, endpoint) in items(new, "endpoints", "") {
            if items(endpoint, "addresses", &path).is_empty() {
                errors.push(FieldError::required(
                    join(&path, "addresses"),
                    "must contain at least 1 address",
                ));
            }
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        if new["addressType"] == old["addressType"] {
            return Vec::new();
        }
        vec![FieldError::invalid(
            "addressType",
            new["addressType"].clone(),
            IMMUTABLE,
        )]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        let unset = |texts: Vec<String>| {
            if texts.is_empty() {
                "<unset>".to_owned()
            } else {
                shortened(&texts)
            }
        };
        let ports = object["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|p| p["port"].as_i64().map_or("*".to_owned(), |n| n.to_string()));
        let addresses = object["endpoints"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|e| e["addresses"].as_array().into_iter().flatten())
            .filter_map(|a| a.as_str().map(str::to_owned));
        Some(vec![
            Value::from(meta::name(object)),
            Value::from(text(object, "addressType")),
            Value::from(unset(ports.collect())),
            Value::from(unset(addresses.collect())),
            table::age(object, now),
        ])
    }
}
