//! A web server and caching proxy that reads the part of nginx's configuration language the books use.
//!
//! It stands in for nginx where the real one was not fetched, and says so. What it does not know it refuses at start, in
//! nginx's words. [`syntax`] reads files, [`config`] checks what they mean, [`variables`] fills in values, [`proxy`] and
//! [`cache`] pass requests on.

mod auth;
mod cache;
mod config;
mod proxy;
mod secure;
mod syntax;
mod variables;

use std::{
    collections::BTreeSet,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use nix::{sys::signal::Signal, unistd::Pid};

use self::{
    config::{Config, Kind, Location, Scope, Server},
    variables::Exchange,
};
use super::{Body, Handler, Reply, Request, Service, error_reply, files, http_date, now};
use crate::{clock, complain, sys};

const VERSION: &str = "1.17.0 (Drydock's stand-in)";
const CONFIGURATION: &str = "/etc/nginx/nginx.conf";
const ACCESS_LOG: &str = "/var/log/nginx/access.log";
const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

/// `nginx [-t|-T] [-v] [-c FILE] [-g DIRECTIVES] [-s SIGNAL]`
pub(crate) fn nginx(words: &[String]) -> i32 {
    let value = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let has = |name: &str| words.iter().any(|word| word == name);
    if has("-v") || has("-V") {
        eprintln!("nginx version: nginx/{VERSION}");
        return 0;
    }
    let path = value("-c").map_or_else(|| PathBuf::from(CONFIGURATION), PathBuf::from);
    let extra = match value("-g").map(|text| extra(text)).transpose() {
        Ok(extra) => extra.unwrap_or_default(),
        Err(message) => return refuse(&message),
    };
    let loaded = config::load(&path, &extra);
    if has("-t") || has("-T") {
        return tested(&path, loaded.and_then(|config| proxy::prepare(&config)), has("-T"));
    }
    let config = match loaded {
        Ok(config) => config,
        Err(message) => {
            // The error log is open already, and says it too.
            emergency(&message);
            return refuse(&message);
        }
    };
    // From here on there is the error log only.
    if let Err(message) = proxy::prepare(&config) {
        emergency(&message);
        return 1;
    }
    match value("-s") {
        Some(signal) => tell(&config.pid, signal),
        None => run(path, extra, config),
    }
}

fn extra(text: &str) -> Result<Vec<syntax::Directive>, String> {
    let directory = std::env::temp_dir().join(format!("nginx-g-{}", std::process::id()));
    std::fs::write(&directory, text).map_err(|error| sys::reason(&error))?;
    let read = syntax::read(&directory);
    sys::best_effort(std::fs::remove_file(&directory));
    read.map_err(|message| message.replace(&directory.display().to_string(), "command line"))
}

fn refuse(message: &str) -> i32 {
    eprintln!("nginx: [emerg] {message}");
    1
}

/// A line of the error log that is about no request.
fn emergency(message: &str) {
    let pid = std::process::id();
    eprintln!("{} [emerg] {pid}#{pid}: {message}", stamp());
}

fn tested(path: &Path, outcome: Result<(), String>, dump: bool) -> i32 {
    if let Err(message) = outcome {
        refuse(&message);
        eprintln!("nginx: configuration file {} test failed", path.display());
        return 1;
    }
    eprintln!("nginx: the configuration file {} syntax is ok", path.display());
    eprintln!("nginx: configuration file {} test is successful", path.display());
    if dump {
        println!("# configuration file {}:\n{}", path.display(), std::fs::read_to_string(path).unwrap_or_default());
    }
    0
}

fn tell(pid_file: &Path, name: &str) -> i32 {
    let signal = match name {
        "stop" => Signal::SIGTERM,
        "quit" => Signal::SIGQUIT,
        "reload" => Signal::SIGHUP,
        "reopen" => return 0,
        _ => {
            eprintln!("nginx: invalid option: \"-s {name}\"");
            return 1;
        }
    };
    let pid = std::fs::read_to_string(pid_file).ok().and_then(|text| text.trim().parse().ok());
    match pid.map(|pid| nix::sys::signal::kill(Pid::from_raw(pid), signal)) {
        Some(Ok(())) => 0,
        _ => {
            eprintln!("nginx: [error] invalid PID number \"\" in \"{}\"", pid_file.display());
            1
        }
    }
}

fn run(path: PathBuf, extra: Vec<syntax::Directive>, config: Config) -> i32 {
    let ports: BTreeSet<u16> = config.servers.iter().flat_map(|server| server.listens.iter().map(|listen| listen.port)).collect();
    let pid = config.pid.clone();
    let in_background = config.in_background;
    let shared = Arc::new(Mutex::new(Arc::new(config)));
    let (current, known) = (Arc::clone(&shared), Arc::clone(&shared));
    let tls = Box::new(move |port| secure::of_port(&known.lock().unwrap_or_else(PoisonError::into_inner).servers, port));
    let handler: Arc<Handler> = Arc::new(move |request| {
        let config = Arc::clone(&current.lock().unwrap_or_else(PoisonError::into_inner));
        answer(&config, request)
    });
    let reload = Box::new(move || match config::load(&path, &extra).and_then(|config| proxy::prepare(&config).map(|()| config)) {
        Ok(config) => *shared.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(config),
        Err(message) => emergency(&message),
    });
    let service = Service { applet: "nginx", server: "nginx", ports: ports.into_iter().collect(), handler, tls: Some(tls), reload: Some(reload) };
    let Ok(open) = service.open() else { return 1 };
    if in_background {
        match sys::fork() {
            Ok(nix::unistd::ForkResult::Parent { .. }) => return 0,
            Ok(nix::unistd::ForkResult::Child) => sys::let_signals_come(),
            Err(error) => return refuse(&format!("fork() failed ({})", error.desc())),
        }
    }
    if let Err(error) = std::fs::write(&pid, format!("{}\n", std::process::id())) {
        complain("nginx", format!("[warn] cannot write {}: {}", pid.display(), sys::reason(&error)));
    }
    let status = open.serve();
    sys::best_effort(std::fs::remove_file(&pid));
    status
}

fn stamp() -> String {
    clock::format_time("%Y/%m/%d %H:%M:%S", now())
}

/// A line of the error log about a request.
fn error_log(level: &str, exchange: &Exchange<'_>, message: &str) {
    let request = exchange.request;
    let pid = std::process::id();
    let line = format!(
        "{} [{level}] {pid}#{pid}: *{} {message}, client: {}, server: {}, request: \"{}\", host: \"{}\"\n",
        stamp(),
        exchange.number,
        request.client(),
        exchange.server_name,
        request.line,
        request.header("host").unwrap_or_default(),
    );
    // Nobody reads the log: nothing to be done about it here.
    drop(sys::write_all(2, line.as_bytes()));
}

/// Answers a request as the configuration says, and logs it.
fn answer(config: &Config, request: &Request) -> Reply {
    let Some(server) = choose_server(config, request) else { return error_reply("404 Not Found") };
    let mut exchange = Exchange::new(config, request);
    exchange.server_name = server.names.first().cloned().unwrap_or_default();
    let location = choose_location(server, &request.path());
    let (mut reply, scope) = produce(&mut exchange, server, location, 0);
    exchange.reply = Some(reply.clone());
    let usual = matches!(reply.code(), 200 | 201 | 204 | 206 | 301 | 302 | 303 | 304 | 307 | 308);
    for (name, value, always) in scope.headers.iter().filter(|(.., always)| usual || *always) {
        let (value, _) = (exchange.expand(value), always);
        if !value.is_empty() {
            reply.headers.push((name.clone(), value));
        }
    }
    if let Some(words) = scope.expires.as_ref().filter(|_| usual) {
        expire(&mut reply, &exchange.expand(words));
    }
    if scope.gzip {
        compress(&mut reply, scope, request);
    }
    exchange.reply = Some(reply.clone());
    log(&exchange, scope);
    reply
}

fn choose_server<'a>(config: &'a Config, request: &Request) -> Option<&'a Server> {
    let host = request.header("host").unwrap_or_default().to_lowercase();
    let host = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
    let listening: Vec<&Server> = config.servers.iter().filter(|server| server.listens.iter().any(|listen| listen.port == request.port)).collect();
    let named = |server: &&&Server| {
        server.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(domain) => host.ends_with(domain) && host.len() > domain.len(),
            None => name.to_lowercase() == host,
        })
    };
    let is_default = |server: &&&Server| server.listens.iter().any(|listen| listen.port == request.port && listen.is_default);
    let chosen = listening.iter().find(named).or_else(|| listening.iter().find(is_default)).or(listening.first());
    chosen.copied()
}

/// The location of a path: an exact one, else the first fitting expression, else the longest prefix.
fn choose_location<'a>(server: &'a Server, path: &str) -> Option<&'a Location> {
    let exact = server.locations.iter().find(|location| matches!(location.kind, Kind::Exact) && location.text == path);
    if exact.is_some() {
        return exact;
    }
    let prefixes = server.locations.iter().filter(|location| matches!(location.kind, Kind::Prefix | Kind::PrefixOnly) && path.starts_with(&location.text));
    let longest = prefixes.max_by_key(|location| location.text.len());
    if longest.is_some_and(|location| matches!(location.kind, Kind::PrefixOnly)) {
        return longest;
    }
    let fitting = server.locations.iter().find(|location| matches!(&location.kind, Kind::Regex(pattern) if pattern.is_match(path)));
    fitting.or(longest)
}

/// The response, and the scope whose headers and log are its.
fn produce<'a>(exchange: &mut Exchange<'_>, server: &'a Server, location: Option<&'a Location>, depth: u32) -> (Reply, &'a Scope) {
    let scope = location.map_or(&server.scope, |location| &location.scope);
    let proxied = location.and_then(|location| Some((location, location.scope.proxy.as_ref()?)));
    let reply = match (&scope.answer, auth::refused(exchange, scope), proxied) {
        (Some((code, text)), ..) => returned(exchange, scope, *code, text),
        (None, Some(refusal), _) => refusal,
        (None, None, Some((location, proxy))) => proxy::reply(exchange, location, proxy),
        (None, None, None) => file(exchange, location, scope),
    };
    let page = scope.error_pages.iter().find(|(codes, _)| codes.contains(&reply.code())).map(|(_, uri)| uri);
    if let Some(uri) = page.filter(|_| depth == 0 && scope.proxy.is_none()) {
        let inner = Request { target: uri.clone(), method: "GET".to_owned(), headers: Vec::new(), body: Vec::new(), line: exchange.request.line.clone(), ..*exchange.request };
        let mut nested = Exchange::new(exchange.config, &inner);
        let (mut other, _) = produce(&mut nested, server, choose_location(server, uri), depth + 1);
        if other.code() == 200 {
            other.status = reply.status;
            return (other, scope);
        }
    }
    (reply, scope)
}

fn returned(exchange: &Exchange<'_>, scope: &Scope, code: u16, text: &str) -> Reply {
    let text = exchange.expand(text);
    let status = match code {
        200 => "200 OK",
        201 => "201 Created",
        204 => "204 No Content",
        301 => "301 Moved Permanently",
        302 => "302 Moved Temporarily",
        303 => "303 See Other",
        307 => "307 Temporary Redirect",
        308 => "308 Permanent Redirect",
        400 => "400 Bad Request",
        401 => "401 Unauthorized",
        403 => "403 Forbidden",
        404 => "404 Not Found",
        405 => "405 Not Allowed",
        410 => "410 Gone",
        429 => "429 Too Many Requests",
        500 => "500 Internal Server Error",
        502 => "502 Bad Gateway",
        503 => "503 Service Temporarily Unavailable",
        504 => "504 Gateway Time-out",
        _ => "",
    };
    if matches!(code, 301 | 302 | 303 | 307 | 308) {
        let target = if text.starts_with('/') { format!("http://{}{text}", exchange.request.header("host").unwrap_or_default()) } else { text };
        return error_reply(status).with("Location", target);
    }
    if text.is_empty() && !status.is_empty() && code >= 300 {
        return error_reply(status);
    }
    let status = if status.is_empty() { format!("{code} ") } else { status.to_owned() };
    Reply::new(status, &scope.default_type, text)
}

/// A file below the root (or of the alias), by `try_files` when there is one.
fn file(exchange: &mut Exchange<'_>, location: Option<&Location>, scope: &Scope) -> Reply {
    let request = exchange.request;
    let path = request.path();
    let (root, below) = match (&scope.alias, location) {
        (Some(alias), Some(location)) => (alias.clone(), path.strip_prefix(&location.text).unwrap_or_default().to_owned()),
        _ => (scope.root.clone(), path.clone()),
    };
    if path.split('/').any(|part| part == "..") {
        return error_reply("400 Bad Request");
    }
    let mut wanted = below;
    if let Some((last, tries)) = scope.try_files.split_last() {
        let exists = |name: &String| {
            let name = exchange.expand(name);
            let found = root.join(name.trim_start_matches('/'));
            (if name.ends_with('/') { found.is_dir() } else { found.is_file() }).then_some(name)
        };
        wanted = match tries.iter().find_map(exists) {
            Some(name) => name,
            None => match last.strip_prefix('=').and_then(|code| code.parse().ok()) {
                Some(code) => return returned(exchange, scope, code, ""),
                None => exchange.expand(last).split('?').next().unwrap_or_default().to_owned(),
            },
        };
    }
    let mut target = root.join(wanted.trim_start_matches('/'));
    if target.is_dir() {
        if !wanted.ends_with('/') && !wanted.is_empty() {
            return error_reply("301 Moved Permanently").with("Location", format!("http://{}{path}/", request.header("host").unwrap_or_default()));
        }
        match scope.index.iter().map(|name| target.join(name.trim_start_matches('/'))).find(|file| file.is_file()) {
            Some(file) => target = file,
            None => {
                error_log("error", exchange, &format!("directory index of \"{}\" is forbidden", target.display()));
                return error_reply("403 Forbidden");
            }
        }
    }
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return error_reply("405 Not Allowed");
    }
    let mut reply = files::one_file(&target, request);
    if reply.code() == 404 {
        error_log("error", exchange, &format!("open() \"{}\" failed (2: No such file or directory)", target.display()));
    }
    if reply.code() == 200 {
        reply.headers.retain(|(name, _)| name != "Cache-Control" && name != "Content-Type");
        let kind = target.extension().and_then(|extension| extension.to_str()).and_then(|extension| scope.types.get(extension));
        reply = reply.with("Content-Type", kind.unwrap_or(&scope.default_type).clone());
    }
    reply
}

fn expire(reply: &mut Reply, words: &str) {
    let text = words.trim_start_matches("modified");
    let (seconds, control) = match text {
        "off" | "" => return,
        "epoch" => (-now(), "no-cache".to_owned()),
        "max" => (10 * 365 * 86_400, "max-age=315360000".to_owned()),
        _ => {
            let (sign, number) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
            let Some(seconds) = config::seconds(number) else { return };
            (sign * seconds, if sign < 0 { "no-cache".to_owned() } else { format!("max-age={seconds}") })
        }
    };
    reply.headers.push(("Expires".to_owned(), http_date(now() + seconds)));
    reply.headers.push(("Cache-Control".to_owned(), control));
}

fn compress(reply: &mut Reply, scope: &Scope, request: &Request) {
    let kind = reply.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned();
    let wished = request.header("accept-encoding").is_some_and(|words| words.contains("gzip"));
    let fits = scope.gzip_types.iter().any(|known| *known == kind || known == "*");
    let Some(plain) = reply.body.bytes() else { return };
    if !wished || !fits || plain.len() < scope.gzip_min || reply.header("content-encoding").is_some() || !matches!(reply.code(), 200 | 403 | 404) {
        return;
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    if encoder.write_all(plain).is_ok()
        && let Ok(body) = encoder.finish()
    {
        reply.body = Body::Bytes(body);
        reply.headers.push(("Content-Encoding".to_owned(), "gzip".to_owned()));
    }
}

fn log(exchange: &Exchange<'_>, scope: &Scope) {
    let Some((path, format)) = &scope.access_log else { return };
    let format = exchange.config.formats.get(format).map_or(COMBINED, String::as_str);
    // Empty values of headers are shown as a dash.
    let line = exchange.expand(format).replace("\"\"", "\"-\"") + "\n";
    let written = if path == Path::new(ACCESS_LOG) || path == Path::new("/dev/stdout") {
        sys::write_all(1, line.as_bytes())
    } else {
        std::fs::OpenOptions::new().append(true).create(true).open(path).and_then(|mut file| file.write_all(line.as_bytes()))
    };
    // Nobody reads the log: nothing to be done about it here.
    drop(written);
}
