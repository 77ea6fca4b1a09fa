//! `$variables` in values, asked when they are needed.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{config::Config, secure};
use crate::{
    clock, environment,
    servers::{Reply, Request, now},
};

/// A request on its way through the configuration.
pub(super) struct Exchange<'a> {
    pub(super) config: &'a Config,
    pub(super) request: &'a Request,
    /// The number of the request, as the error log has it.
    pub(super) number: u64,
    pub(super) server_name: String,
    /// `$proxy_host`
    pub(super) proxy_host: String,
    pub(super) upstream_address: String,
    /// `MISS`, `HIT`, ...; empty where no cache was asked.
    pub(super) cache_status: &'static str,
    /// Once there is one.
    pub(super) reply: Option<Reply>,
    pub(super) begun: std::time::Instant,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(config: &'a Config, request: &'a Request) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        Self {
            config,
            request,
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            server_name: String::new(),
            proxy_host: String::new(),
            upstream_address: String::new(),
            cache_status: "",
            reply: None,
            begun: std::time::Instant::now(),
        }
    }

    /// The text with its variables replaced.
    pub(super) fn expand(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let braced = rest.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let (name, after) = braced.unwrap_or_else(|| rest.split_at(rest.find(|next: char| !next.is_ascii_alphanumeric() && next != '_').unwrap_or(rest.len())));
            if name.is_empty() {
                out.push('$');
            } else {
                out.push_str(&self.variable(name));
            }
            rest = after;
        }
        out + rest
    }

    fn variable(&self, name: &str) -> String {
        let request = self.request;
        let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
        match name {
            "host" => header("host").rsplit_once(':').map_or_else(|| header("host"), |(host, _)| host.to_owned()).to_lowercase(),
            "hostname" => environment::host_name(),
            "request" => request.line.clone(),
            "request_method" => request.method.clone(),
            "request_uri" => request.target.clone(),
            "uri" | "document_uri" => request.path(),
            "args" | "query_string" => request.query().to_owned(),
            "is_args" => if request.query().is_empty() { "" } else { "?" }.to_owned(),
            "scheme" => if secure::of_port(&self.config.servers, request.port).is_some() { "https" } else { "http" }.to_owned(),
            "server_protocol" => request.line.rsplit(' ').next().unwrap_or_default().to_owned(),
            "server_port" => request.port.to_string(),
            "server_name" => self.server_name.clone(),
            "remote_addr" => request.client(),
            "remote_port" => request.peer.port().to_string(),
            "proxy_host" => self.proxy_host.clone(),
            "proxy_add_x_forwarded_for" => match request.header("x-forwarded-for") {
                Some(before) => format!("{before}, {}", request.client()),
                None => request.client(),
            },
            "upstream_cache_status" => self.cache_status.to_owned(),
            "upstream_addr" => self.upstream_address.clone(),
            "status" | "upstream_status" => self.reply.as_ref().map_or_else(|| "000".to_owned(), |reply| reply.code().to_string()),
            "body_bytes_sent" | "bytes_sent" => {
                let length = self.reply.as_ref().map_or(0, |reply| reply.body.len());
                if request.method == "HEAD" { 0 } else { length }.to_string()
            }
            "request_time" | "upstream_response_time" => format!("{:.3}", self.begun.elapsed().as_secs_f64()),
            "request_length" => (request.line.len() + request.body.len()).to_string(),
            "remote_user" => super::auth::credentials(request).map_or_else(|| "-".to_owned(), |(name, _)| name),
            "time_local" => clock::format_time("%d/%b/%Y:%H:%M:%S %z", now()),
            "time_iso8601" => clock::format_time("%FT%T+00:00", now()),
            "msec" => format!("{}.000", now()),
            "pid" => std::process::id().to_string(),
            "nginx_version" => super::VERSION.to_owned(),
            "connection" | "connection_requests" => self.number.to_string(),
            "content_type" => header("content-type"),
            "content_length" => header("content-length"),
            _ => self.named(name),
        }
    }

    /// Variables whose names have a part of their own, and those of maps.
    fn named(&self, name: &str) -> String {
        if let Some(map) = self.config.maps.iter().find(|map| map.variable == name) {
            let value = self.expand(&map.source);
            let found = map.exact.get(&value.to_lowercase());
            let found = found.or_else(|| map.patterns.iter().find(|(pattern, _)| pattern.is_match(&value)).map(|(_, value)| value));
            return self.expand(found.unwrap_or(&map.default));
        }
        if let Some(header) = name.strip_prefix("sent_http_").or_else(|| name.strip_prefix("upstream_http_")) {
            let reply = self.reply.as_ref().and_then(|reply| reply.header(&header.replace('_', "-")));
            return reply.unwrap_or_default().to_owned();
        }
        if let Some(header) = name.strip_prefix("http_") {
            return self.request.header(&header.replace('_', "-")).unwrap_or_default().to_owned();
        }
        if let Some(argument) = name.strip_prefix("arg_") {
            let pairs = self.request.query().split('&');
            return pairs.filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == argument).map_or_else(String::new, |(_, value)| value.to_owned());
        }
        if let Some(cookie) = name.strip_prefix("cookie_") {
            let cookies = self.request.header("cookie").unwrap_or_default();
            let found = cookies.split(';').filter_map(|pair| pair.trim().split_once('=')).find(|(known, _)| *known == cookie);
            return found.map_or_else(String::new, |(_, value)| value.to_owned());
        }
        String::new()
    }
}
