//! Passing requests on, through the cache or past it.

use std::{
    io::Read as _,
    net::{SocketAddr, TcpStream},
    sync::atomic::Ordering,
    time::Duration,
};

use super::{
    cache::{self, Entry},
    config::{Config, Location, Proxy, Scope},
    error_log,
    variables::Exchange,
};
use crate::{
    http,
    servers::{Body, Reply, error_reply, now},
    sys,
};

/// How long an upstream may be silent.
const PATIENCE: Duration = Duration::from_secs(60);
/// Headers that are about one connection, or that this server sends itself.
const OURS: [&str; 9] = ["connection", "keep-alive", "transfer-encoding", "content-length", "upgrade", "te", "date", "server", "host"];
/// Headers a cache must not pass on: it wants the whole response.
const CONDITIONS: [&str; 6] = ["if-modified-since", "if-none-match", "if-unmodified-since", "if-match", "range", "if-range"];

/// Answers from the cache or from the upstream.
pub(super) fn reply(exchange: &mut Exchange<'_>, location: &Location, proxy: &Proxy) -> Reply {
    let scope = &location.scope;
    exchange.proxy_host.clone_from(&proxy.host);
    let zone = scope.cache.as_ref().and_then(|name| exchange.config.caches.get(name));
    let Some(zone) = zone.filter(|_| matches!(exchange.request.method.as_str(), "GET" | "HEAD")) else {
        return ask(exchange, location, proxy, false).unwrap_or_else(|failure| error_reply(failure.status));
    };
    let key = match &scope.cache_key {
        Some(key) => exchange.expand(key),
        None => exchange.expand("$scheme$proxy_host$request_uri"),
    };
    let on = |words: &[String]| words.iter().any(|word| !matches!(exchange.expand(word).as_str(), "" | "0"));
    let (bypass, keep) = (on(&scope.cache_bypass), !on(&scope.no_cache));
    let known = if bypass { None } else { cache::find(zone, &key) };
    if let Some(entry) = known.as_ref().filter(|entry| entry.expires > now()) {
        exchange.cache_status = "HIT";
        return entry.reply.clone();
    }
    exchange.cache_status = if bypass { "BYPASS" } else if known.is_some() { "EXPIRED" } else { "MISS" };
    let fetched = ask(exchange, location, proxy, true);
    let trouble = match &fetched {
        Err(failure) => Some(failure.kind.to_owned()),
        Ok(reply) if reply.code() >= 500 => Some(format!("http_{}", reply.code())),
        Ok(_) => None,
    };
    if let (Some(trouble), Some(entry)) = (&trouble, &known)
        && scope.stale.contains(trouble)
    {
        exchange.cache_status = "STALE";
        return entry.reply.clone();
    }
    let reply = fetched.unwrap_or_else(|failure| error_reply(failure.status));
    if let Some(seconds) = lifetime(scope, &reply).filter(|seconds| keep && *seconds > 0 && exchange.request.method == "GET") {
        let entry = Entry { expires: now() + seconds, reply: reply.clone() };
        if let Err(error) = cache::keep(zone, &key, &entry, exchange.config.user) {
            error_log("crit", exchange, &format!("cannot write to the cache {}: {}", zone.path.display(), sys::reason(&error)));
        }
    }
    reply
}

/// How long a response may be kept: its own word first, then `proxy_cache_valid`.
fn lifetime(scope: &Scope, reply: &Reply) -> Option<i64> {
    let header = |name: &str| if scope.ignored_headers.iter().any(|ignored| ignored == name) { None } else { reply.header(name) };
    if header("set-cookie").is_some() || header("vary").is_some_and(|vary| vary.trim() == "*") {
        return None;
    }
    if let Some(text) = header("x-accel-expires") {
        return text.parse().ok();
    }
    if let Some(control) = header("cache-control") {
        let mut words = control.split(',').map(|word| word.trim().to_ascii_lowercase());
        if words.clone().any(|word| matches!(word.as_str(), "no-cache" | "no-store" | "private")) {
            return None;
        }
        if let Some(seconds) = words.find_map(|word| word.strip_prefix("s-maxage=").or_else(|| word.strip_prefix("max-age=")).and_then(|text| text.parse().ok())) {
            return Some(seconds);
        }
    }
    let code = reply.code();
    let fits = |codes: &[u16]| if codes.is_empty() { matches!(code, 200 | 301 | 302) } else { codes.contains(&code) || codes.contains(&0) };
    scope.valid.iter().find(|(codes, _)| fits(codes)).map(|(_, seconds)| *seconds)
}

/// The upstream gave no answer.
struct Failure {
    /// As `proxy_cache_use_stale` names it.
    kind: &'static str,
    status: &'static str,
}

/// Asks the upstream's addresses in turn until one answers.
fn ask(exchange: &mut Exchange<'_>, location: &Location, proxy: &Proxy, for_cache: bool) -> Result<Reply, Failure> {
    let mut failure = Failure { kind: "error", status: "502 Bad Gateway" };
    let first = proxy.turn.fetch_add(1, Ordering::Relaxed);
    for step in 0..proxy.addresses.len() {
        let address = proxy.addresses[first.wrapping_add(step) % proxy.addresses.len()];
        exchange.upstream_address = address.to_string();
        let (doing, why) = match TcpStream::connect_timeout(&address, PATIENCE) {
            Err(error) => {
                let timed_out = matches!(error.kind(), std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock);
                failure = if timed_out { Failure { kind: "timeout", status: "504 Gateway Time-out" } } else { Failure { kind: "error", status: "502 Bad Gateway" } };
                let number = if timed_out { 110 } else { error.raw_os_error().unwrap_or(0) };
                ("connecting to", format!("connect() failed ({number}: {})", sys::reason(&error)))
            }
            Ok(stream) => match converse(exchange, location, proxy, stream, address, for_cache) {
                Ok(reply) => return Ok(reply),
                Err(http::Failure::Timeout) => {
                    failure = Failure { kind: "timeout", status: "504 Gateway Time-out" };
                    ("reading response header from", "upstream timed out (110: Operation timed out)".to_owned())
                }
                Err(other) => {
                    failure = Failure { kind: "error", status: "502 Bad Gateway" };
                    ("reading response header from", format!("upstream prematurely closed connection ({})", http::describe(&other)))
                }
            },
        };
        let upstream = format!("http://{address}{}", exchange.request.target);
        error_log("error", exchange, &format!("{why} while {doing} upstream, upstream: \"{upstream}\""));
    }
    Err(failure)
}

fn converse(exchange: &Exchange<'_>, location: &Location, proxy: &Proxy, stream: TcpStream, address: SocketAddr, for_cache: bool) -> Result<Reply, http::Failure> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let request = exchange.request;
    let is_head = request.method == "HEAD" && !for_cache;
    let method = if for_cache { "GET" } else { request.method.as_str() };
    let target = match &proxy.uri {
        Some(uri) => format!("{uri}{}", request.target.strip_prefix(&location.text).unwrap_or_default()),
        None => request.target.clone(),
    };
    let scope = &location.scope;
    let set: Vec<(String, String)> = scope.proxy_headers.iter().map(|(name, value)| (name.clone(), exchange.expand(value))).collect();
    let is_set = |name: &str| set.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let mut head = format!("{method} {target} HTTP/1.0\r\n");
    if !is_set("host") {
        head.push_str(&format!("Host: {}\r\n", proxy.host));
    }
    if !is_set("connection") {
        head.push_str("Connection: close\r\n");
    }
    for (name, value) in set.iter().filter(|(_, value)| !value.is_empty()) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    for (name, value) in &request.headers {
        let lower = name.to_ascii_lowercase();
        let dropped = OURS.contains(&lower.as_str()) || lower == "expect" || (for_cache && CONDITIONS.contains(&lower.as_str())) || is_set(name);
        if !dropped {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    if !request.body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", request.body.len()));
    }
    head.push_str("\r\n");
    let bytes = [head.as_bytes(), &request.body].concat();
    let mut response = http::exchange(Box::new(stream), address, &bytes, is_head)?;
    let mut body = Vec::new();
    response.body.read_to_end(&mut body)?;
    let status = response.line.split_once(' ').map_or("502 Bad Gateway", |(_, status)| status).to_owned();
    let mut headers = Vec::new();
    for (name, value) in response.headers {
        let lower = name.to_ascii_lowercase();
        if OURS.contains(&lower.as_str()) {
            continue;
        }
        let prefix = format!("http://{}/", proxy.host);
        let value = match value.strip_prefix(&prefix) {
            Some(rest) if lower == "location" => format!("{}{rest}", location.text),
            _ => value,
        };
        headers.push((name, value));
    }
    Ok(Reply { status: status.into(), headers, body: Body::Bytes(body) })
}

/// Makes the directories of all caches.
pub(super) fn prepare(config: &Config) -> Result<(), String> {
    let mut caches: Vec<_> = config.caches.values().collect();
    caches.sort_by(|one, other| one.path.cmp(&other.path));
    caches.into_iter().try_for_each(|zone| cache::prepare(zone, config.user))
}
