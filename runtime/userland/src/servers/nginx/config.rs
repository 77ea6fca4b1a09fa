//! What a configuration means: servers, locations, caches, maps and upstreams, checked as nginx checks them.
//!
//! A [`Scope`] holds what is inherited from `http` to `server` to `location`; lists such as `add_header` are inherited
//! only by a block that has none of its own.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicUsize},
};

use regex::Regex;

use super::{
    secure::{self, Identity},
    syntax::{self, Directive},
};
use crate::{dns, sys};

/// Directives that are understood and change nothing here: they tune what a stand-in does not have.
const TUNING: &[&str] = &[
    "worker_processes", "worker_rlimit_nofile", "worker_connections", "use", "multi_accept", "pcre_jit", "timer_resolution", "worker_cpu_affinity",
    "error_log", "env", "master_process", "daemon", "load_module", "lock_file", "worker_shutdown_timeout", "thread_pool", "accept_mutex",
    "sendfile", "sendfile_max_chunk", "tcp_nopush", "tcp_nodelay", "keepalive_timeout", "keepalive_requests", "keepalive", "client_max_body_size",
    "client_body_buffer_size", "client_body_timeout", "client_header_timeout", "client_header_buffer_size", "client_body_temp_path", "send_timeout",
    "large_client_header_buffers", "server_tokens", "server_names_hash_bucket_size", "server_names_hash_max_size", "types_hash_max_size",
    "types_hash_bucket_size", "map_hash_max_size", "map_hash_bucket_size", "variables_hash_max_size", "reset_timedout_connection", "resolver",
    "resolver_timeout", "etag", "if_modified_since", "log_not_found", "log_subrequest", "open_file_cache", "open_file_cache_valid",
    "open_file_cache_min_uses", "open_file_cache_errors", "charset", "gzip_comp_level", "gzip_vary", "gzip_proxied", "gzip_buffers",
    "gzip_http_version", "gzip_disable", "gzip_static", "proxy_http_version", "proxy_buffering", "proxy_buffers", "proxy_buffer_size",
    "proxy_busy_buffers_size", "proxy_max_temp_file_size", "proxy_temp_path", "proxy_request_buffering", "proxy_redirect",
    "proxy_connect_timeout", "proxy_read_timeout", "proxy_send_timeout", "proxy_next_upstream", "proxy_next_upstream_tries", "proxy_next_upstream_timeout",
    "proxy_intercept_errors", "proxy_ignore_client_abort", "proxy_cache_lock", "proxy_cache_lock_timeout", "proxy_cache_lock_age",
    "proxy_cache_background_update", "proxy_cache_revalidate", "proxy_cache_min_uses", "proxy_hide_header", "proxy_pass_header",
    "proxy_pass_request_headers", "proxy_pass_request_body", "proxy_socket_keepalive", "proxy_headers_hash_max_size",
    "proxy_headers_hash_bucket_size", "absolute_redirect", "server_name_in_redirect", "port_in_redirect", "merge_slashes", "underscores_in_headers",
    "least_conn", "ip_hash", "random", "zone", "internal", "autoindex", "disable_symlinks", "recursive_error_pages", "chunked_transfer_encoding",
    "ssl_protocols", "ssl_ciphers", "ssl_prefer_server_ciphers", "ssl_session_cache", "ssl_session_timeout", "ssl_session_tickets",
];
/// Directives that open a block.
const BLOCKS: &[&str] = &["events", "http", "server", "location", "upstream", "map", "types"];

/// The whole configuration.
pub(super) struct Config {
    pub(super) servers: Vec<Server>,
    pub(super) caches: HashMap<String, Cache>,
    pub(super) maps: Vec<Map>,
    /// `log_format`s by name.
    pub(super) formats: HashMap<String, String>,
    pub(super) pid: PathBuf,
    /// Whose cache files are.
    pub(super) user: Option<u32>,
    pub(super) in_background: bool,
}

/// A `server` block.
pub(super) struct Server {
    pub(super) listens: Vec<Listen>,
    /// Set when one of them is `ssl`.
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    pub(super) names: Vec<String>,
    pub(super) locations: Vec<Location>,
    pub(super) scope: Scope,
}

/// A `listen`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Listen {
    pub(super) port: u16,
    /// Whether this server answers there for names nobody has.
    pub(super) is_default: bool,
    pub(super) ssl: bool,
}

/// A `location` block.
pub(super) struct Location {
    pub(super) kind: Kind,
    pub(super) text: String,
    pub(super) scope: Scope,
}

/// How a location is matched.
pub(super) enum Kind {
    Exact,
    Prefix,
    /// `^~`: no regular expression is tried after it.
    PrefixOnly,
    Regex(Regex),
}

/// A `proxy_cache_path`.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    pub(super) path: PathBuf,
    pub(super) levels: Vec<usize>,
}

/// A `map` block.
pub(super) struct Map {
    pub(super) source: String,
    pub(super) variable: String,
    pub(super) default: String,
    pub(super) exact: HashMap<String, String>,
    pub(super) patterns: Vec<(Regex, String)>,
}

/// A `proxy_pass`.
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    /// `name:port` as written: `$proxy_host`.
    pub(super) host: String,
    /// What the location's text is replaced by, if anything.
    pub(super) uri: Option<String>,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) turn: Arc<AtomicUsize>,
}

/// What blocks inherit.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    pub(super) root: PathBuf,
    pub(super) alias: Option<PathBuf>,
    pub(super) index: Vec<String>,
    pub(super) try_files: Vec<String>,
    pub(super) answer: Option<(u16, String)>,
    pub(super) identity: Identity,
    pub(super) proxy: Option<Proxy>,
    pub(super) proxy_headers: Vec<(String, String)>,
    /// Name, value, and whether also in responses that are errors.
    pub(super) headers: Vec<(String, String, bool)>,
    pub(super) cache: Option<String>,
    pub(super) cache_key: Option<String>,
    pub(super) cache_bypass: Vec<String>,
    pub(super) no_cache: Vec<String>,
    pub(super) ignored_headers: Vec<String>,
    /// Statuses (none: 200, 301 and 302; 0: any) and seconds.
    pub(super) valid: Vec<(Vec<u16>, i64)>,
    pub(super) stale: Vec<String>,
    /// File and format; none for `off`.
    pub(super) access_log: Option<(PathBuf, String)>,
    pub(super) gzip: bool,
    pub(super) gzip_types: Vec<String>,
    pub(super) gzip_min: usize,
    pub(super) types: HashMap<String, String>,
    pub(super) default_type: String,
    pub(super) expires: Option<String>,
    pub(super) error_pages: Vec<(Vec<u16>, String)>,
    /// What only those in a file may have, and the file.
    pub(super) auth_realm: Option<String>,
    pub(super) auth_file: Option<PathBuf>,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/usr/share/nginx/html"),
            alias: None,
            index: vec!["index.html".to_owned()],
            try_files: Vec::new(),
            answer: None,
            identity: Identity::default(),
            proxy: None,
            proxy_headers: Vec::new(),
            headers: Vec::new(),
            cache: None,
            cache_key: None,
            cache_bypass: Vec::new(),
            no_cache: Vec::new(),
            ignored_headers: Vec::new(),
            valid: Vec::new(),
            stale: Vec::new(),
            access_log: Some((PathBuf::from(super::ACCESS_LOG), "combined".to_owned())),
            gzip: false,
            gzip_types: vec!["text/html".to_owned()],
            gzip_min: 20,
            types: [("html", "text/html"), ("gif", "image/gif"), ("jpg", "image/jpeg")].map(|(name, kind)| (name.to_owned(), kind.to_owned())).into(),
            default_type: "text/plain".to_owned(),
            expires: None,
            error_pages: Vec::new(),
            auth_realm: None,
            auth_file: None,
        }
    }
}

/// Reads and checks a configuration; `extra` is what `-g` gives.
pub(super) fn load(path: &Path, extra: &[Directive]) -> Result<Config, String> {
    let mut directives = extra.to_vec();
    directives.extend(syntax::read(path)?);
    let mut builder = Builder::default();
    builder.main(&directives)?;
    if !directives.iter().any(|directive| directive.name == "events") {
        return Err("no \"events\" section in configuration".to_owned());
    }
    Ok(builder.config)
}

struct Builder {
    config: Config,
    upstreams: HashMap<String, Vec<SocketAddr>>,
}

impl Default for Builder {
    fn default() -> Self {
        let config = Config {
            servers: Vec::new(),
            caches: HashMap::new(),
            maps: Vec::new(),
            formats: HashMap::from([("combined".to_owned(), super::COMBINED.to_owned())]),
            pid: PathBuf::from("/run/nginx.pid"),
            user: None,
            in_background: true,
        };
        Self { config, upstreams: HashMap::new() }
    }
}

fn block(directive: &Directive) -> Result<&[Directive], String> {
    directive.block.as_deref().ok_or_else(|| directive.error(format!("directive \"{}\" has no opening \"{{\"", directive.name)))
}

fn unknown(directive: &Directive, here: &str) -> String {
    let known = TUNING.contains(&directive.name.as_str()) || BLOCKS.contains(&directive.name.as_str()) || Scope::default().set(directive, &HashMap::new()).is_ok_and(|known| known);
    if known && here != "location" {
        directive.error(format!("\"{}\" directive is not allowed here", directive.name))
    } else {
        directive.error(format!("unknown directive \"{}\"", directive.name))
    }
}

impl Builder {
    fn main(&mut self, directives: &[Directive]) -> Result<(), String> {
        for directive in directives {
            match directive.name.as_str() {
                "user" => {
                    let name = directive.word()?;
                    let uid = sys::id_of("/etc/passwd", name).ok_or_else(|| directive.error(format!("getpwnam(\"{name}\") failed")))?;
                    self.config.user = Some(uid);
                }
                "pid" => self.config.pid = PathBuf::from(directive.word()?),
                "daemon" => self.config.in_background = directive.is_on()?,
                "events" => {
                    for inner in block(directive)? {
                        if !TUNING.contains(&inner.name.as_str()) {
                            return Err(unknown(inner, "events"));
                        }
                    }
                }
                "http" => self.http(block(directive)?)?,
                // Blocks of other modules: nothing here listens for them.
                "stream" | "mail" => return Err(directive.error(format!("unknown directive \"{}\"", directive.name))),
                name if TUNING.contains(&name) => {}
                _ => return Err(unknown(directive, "main")),
            }
        }
        Ok(())
    }

    fn http(&mut self, directives: &[Directive]) -> Result<(), String> {
        // Names first: a server may use what stands below it.
        for directive in directives {
            match directive.name.as_str() {
                "proxy_cache_path" => self.cache(directive)?,
                "upstream" => self.upstream(directive)?,
                "map" => self.map(directive)?,
                "log_format" => {
                    let name = directive.word()?.to_owned();
                    let words = directive.words[1..].iter().filter(|word| !word.starts_with("escape="));
                    self.config.formats.insert(name, words.cloned().collect());
                }
                _ => {}
            }
        }
        let mut scope = Scope::default();
        for directive in directives {
            let known = ["proxy_cache_path", "upstream", "map", "log_format", "server"].contains(&directive.name.as_str());
            if !known && !self.set(&mut scope, directive)? {
                return Err(unknown(directive, "http"));
            }
        }
        for directive in directives.iter().filter(|directive| directive.name == "server") {
            self.server(directive, &scope)?;
        }
        Ok(())
    }

    fn cache(&mut self, directive: &Directive) -> Result<(), String> {
        let option = |name: &str| directive.words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let zone = option("keys_zone").ok_or_else(|| directive.error("\"proxy_cache_path\" must have \"keys_zone\" parameter"))?;
        let name = zone.split(':').next().unwrap_or(zone).to_owned();
        let levels: Option<Vec<usize>> =
            option("levels").unwrap_or("").split(':').filter(|level| !level.is_empty()).map(|level| level.parse().ok().filter(|level| (1..=2).contains(level))).collect();
        let levels = levels.filter(|levels| levels.len() <= 3).ok_or_else(|| directive.error("invalid \"levels\""))?;
        self.config.caches.insert(name, Cache { path: PathBuf::from(directive.word()?), levels });
        Ok(())
    }

    fn upstream(&mut self, directive: &Directive) -> Result<(), String> {
        let mut addresses = Vec::new();
        for inner in block(directive)? {
            match inner.name.as_str() {
                "server" => addresses.extend(resolve(inner.word()?, inner)?),
                name if TUNING.contains(&name) => {}
                _ => return Err(unknown(inner, "upstream")),
            }
        }
        if addresses.is_empty() {
            return Err(directive.error("no servers are inside upstream"));
        }
        self.upstreams.insert(directive.word()?.to_owned(), addresses);
        Ok(())
    }

    fn map(&mut self, directive: &Directive) -> Result<(), String> {
        let [source, variable] = directive.words.as_slice() else {
            return Err(directive.error("invalid number of arguments in \"map\" directive"));
        };
        let variable = variable.strip_prefix('$').ok_or_else(|| directive.error(format!("invalid variable name \"{variable}\"")))?.to_owned();
        let mut map = Map { source: source.clone(), variable, default: String::new(), exact: HashMap::new(), patterns: Vec::new() };
        for inner in block(directive)? {
            let value = inner.words.first().cloned().unwrap_or_default();
            match inner.name.as_str() {
                "default" => map.default = value,
                "hostnames" | "volatile" => {}
                name if name.starts_with('~') => map.patterns.push((pattern(name.trim_start_matches('~'), inner)?, value)),
                name => drop(map.exact.insert(name.trim_start_matches('\\').to_lowercase(), value)),
            }
        }
        self.config.maps.push(map);
        Ok(())
    }

    fn server(&mut self, directive: &Directive, outer: &Scope) -> Result<(), String> {
        let mut scope = outer.clone();
        let directives = block(directive)?;
        scope.begin(directives);
        let mut server = Server { listens: Vec::new(), tls: None, names: Vec::new(), locations: Vec::new(), scope: Scope::default() };
        for inner in directives {
            match inner.name.as_str() {
                "listen" => server.listens.push(listen(inner)?),
                "server_name" => server.names.extend(inner.words.iter().cloned()),
                "location" => {}
                _ => {
                    if !self.set(&mut scope, inner)? {
                        return Err(unknown(inner, "server"));
                    }
                }
            }
        }
        for inner in directives.iter().filter(|inner| inner.name == "location") {
            self.location(inner, &scope, &mut server.locations)?;
        }
        if server.listens.is_empty() {
            server.listens.push(Listen { port: 80, ..Listen::default() });
        }
        if server.listens.iter().any(|listen| listen.ssl) {
            server.tls = Some(secure::prepare(directive, &scope.identity)?);
        }
        server.scope = scope;
        self.config.servers.push(server);
        Ok(())
    }

    fn location(&mut self, directive: &Directive, outer: &Scope, locations: &mut Vec<Location>) -> Result<(), String> {
        let (kind, text) = match directive.words.as_slice() {
            [text] if text.starts_with('~') => (Kind::Regex(pattern(text.trim_start_matches('~'), directive)?), text.clone()),
            [text] => (Kind::Prefix, text.clone()),
            [sign, text] => match sign.as_str() {
                "=" => (Kind::Exact, text.clone()),
                "^~" => (Kind::PrefixOnly, text.clone()),
                "~" => (Kind::Regex(pattern(text, directive)?), text.clone()),
                "~*" => (Kind::Regex(pattern(&format!("*{text}"), directive)?), text.clone()),
                other => return Err(directive.error(format!("invalid location modifier \"{other}\""))),
            },
            _ => return Err(directive.error("invalid number of arguments in \"location\" directive")),
        };
        let mut scope = Scope { proxy: None, answer: None, alias: None, try_files: Vec::new(), ..outer.clone() };
        let directives = block(directive)?;
        scope.begin(directives);
        for inner in directives {
            match inner.name.as_str() {
                "location" => self.location(inner, &scope.clone(), locations)?,
                _ => {
                    if !self.set(&mut scope, inner)? {
                        return Err(unknown(inner, "location"));
                    }
                }
            }
        }
        locations.push(Location { kind, text, scope });
        Ok(())
    }

    /// Takes in a directive of a scope; false when there is no such one.
    fn set(&self, scope: &mut Scope, directive: &Directive) -> Result<bool, String> {
        if directive.name == "proxy_cache" && directive.word()? != "off" && !self.config.caches.contains_key(directive.word()?) {
            return Err(format!("\"proxy_cache\" zone \"{}\" is unknown", directive.word()?));
        }
        if directive.name == "access_log"
            && let Some(format) = directive.words.get(1).filter(|word| !word.contains('='))
            && !self.config.formats.contains_key(format)
        {
            return Err(directive.error(format!("unknown log format \"{format}\"")));
        }
        scope.set(directive, &self.upstreams)
    }
}

impl Scope {
    /// Forgets inherited lists of which this block has entries of its own.
    fn begin(&mut self, directives: &[Directive]) {
        let has = |name: &str| directives.iter().any(|directive| directive.name == name);
        if has("add_header") {
            self.headers.clear();
        }
        if has("proxy_set_header") {
            self.proxy_headers.clear();
        }
        if has("proxy_cache_valid") {
            self.valid.clear();
        }
        if has("error_page") {
            self.error_pages.clear();
        }
    }

    fn set(&mut self, directive: &Directive, upstreams: &HashMap<String, Vec<SocketAddr>>) -> Result<bool, String> {
        let pair = || match directive.words.as_slice() {
            [name, value, rest @ ..] => Ok((name.clone(), value.clone(), rest.first().is_some_and(|word| word == "always"))),
            _ => Err(directive.error(format!("invalid number of arguments in \"{}\" directive", directive.name))),
        };
        match directive.name.as_str() {
            "root" => self.root = PathBuf::from(directive.word()?),
            "alias" => self.alias = Some(PathBuf::from(directive.word()?)),
            "index" => self.index.clone_from(&directive.words),
            "try_files" => self.try_files.clone_from(&directive.words),
            "return" => self.answer = Some(answer(directive)?),
            "proxy_pass" => self.proxy = Some(proxy(directive, upstreams)?),
            "proxy_set_header" => {
                let (name, value, _) = pair()?;
                self.proxy_headers.push((name, value));
            }
            "add_header" => self.headers.push(pair()?),
            "proxy_cache" => self.cache = Some(directive.word()?.to_owned()).filter(|name| name != "off"),
            "proxy_cache_key" => self.cache_key = Some(directive.word()?.to_owned()),
            "proxy_cache_bypass" => self.cache_bypass.clone_from(&directive.words),
            "proxy_no_cache" => self.no_cache.clone_from(&directive.words),
            "proxy_ignore_headers" => self.ignored_headers = directive.words.iter().map(|word| word.to_lowercase()).collect(),
            "proxy_cache_valid" => self.valid.push(valid(directive)?),
            "proxy_cache_use_stale" => self.stale.clone_from(&directive.words),
            "proxy_cache_methods" | "limit_except" => {}
            "access_log" => {
                let path = directive.word()?;
                let format = directive.words.get(1).filter(|word| !word.contains('=')).cloned().unwrap_or_else(|| "combined".to_owned());
                self.access_log = Some((PathBuf::from(path), format)).filter(|_| path != "off");
            }
            "gzip" => self.gzip = directive.is_on()?,
            "gzip_types" => self.gzip_types.extend(directive.words.iter().cloned()),
            "gzip_min_length" => self.gzip_min = directive.word()?.parse().map_err(|_| directive.error("invalid value"))?,
            "types" => {
                self.types.clear();
                for inner in block(directive)? {
                    self.types.extend(inner.words.iter().map(|extension| (extension.clone(), inner.name.clone())));
                }
            }
            "ssl_certificate" => self.identity.certificate = Some(Path::new("/etc/nginx").join(directive.word()?)),
            "ssl_certificate_key" => self.identity.key = Some(Path::new("/etc/nginx").join(directive.word()?)),
            "auth_basic" => self.auth_realm = Some(directive.word()?.to_owned()).filter(|realm| realm != "off"),
            "auth_basic_user_file" => self.auth_file = Some(Path::new("/etc/nginx").join(directive.word()?)),
            "default_type" => self.default_type = directive.word()?.to_owned(),
            "expires" => self.expires = Some(directive.words.concat()),
            "error_page" => {
                let (uri, codes) = directive.words.split_last().ok_or_else(|| directive.error("invalid number of arguments in \"error_page\" directive"))?;
                self.error_pages.push((codes.iter().filter_map(|code| code.parse().ok()).collect(), uri.clone()));
            }
            name => return Ok(TUNING.contains(&name)),
        }
        Ok(true)
    }
}

fn pattern(text: &str, directive: &Directive) -> Result<Regex, String> {
    let expression = text.strip_prefix('*').map_or_else(|| text.to_owned(), |rest| format!("(?i){rest}"));
    Regex::new(&expression).map_err(|_| directive.error(format!("pcre_compile() failed: \"{text}\"")))
}

fn listen(directive: &Directive) -> Result<Listen, String> {
    let text = directive.word()?;
    let port = text.rsplit_once(':').map_or(text, |(address, port)| if address.contains('[') && !address.ends_with(']') { "80" } else { port });
    let has = |option: &str| directive.words[1..].iter().any(|word| word == option);
    let at = |port| Listen { port, is_default: has("default_server") || has("default"), ssl: has("ssl") };
    if let Some(other) = directive.words[1..].iter().find(|word| matches!(word.as_str(), "quic" | "udp")) {
        return Err(directive.error(format!("the \"{other}\" parameter is not in this stand-in for nginx")));
    }
    match port.parse() {
        Ok(port) => Ok(at(port)),
        Err(_) if !text.contains(':') && !text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(at(80)),
        Err(_) => Err(directive.error(format!("invalid port in \"{text}\" of the \"listen\" directive"))),
    }
}

fn answer(directive: &Directive) -> Result<(u16, String), String> {
    let first = directive.word()?;
    match (first.parse(), directive.words.get(1)) {
        (Ok(code), text) => Ok((code, text.cloned().unwrap_or_default())),
        (Err(_), None) if first.starts_with("http") || first.starts_with('$') => Ok((302, first.to_owned())),
        _ => Err(directive.error(format!("invalid return code \"{first}\""))),
    }
}

/// `10m`, `1d`, `30` as seconds.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let split = text.find(|next: char| !next.is_ascii_digit()).unwrap_or(text.len());
    let number: i64 = text[..split].parse().ok()?;
    let unit = match &text[split..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        "M" => 30 * 86_400,
        "y" => 365 * 86_400,
        _ => return None,
    };
    Some(number * unit)
}

fn valid(directive: &Directive) -> Result<(Vec<u16>, i64), String> {
    let bad = |word: &str| directive.error(format!("invalid value \"{word}\""));
    let (time, codes) = directive.words.split_last().ok_or_else(|| bad(""))?;
    let codes: Result<Vec<u16>, String> =
        codes.iter().map(|code| if code == "any" { Ok(0) } else { code.parse().map_err(|_| bad(code)) }).collect();
    Ok((codes?, seconds(time).ok_or_else(|| directive.error(format!("invalid time value \"{time}\"")))?))
}

fn resolve(host: &str, directive: &Directive) -> Result<Vec<SocketAddr>, String> {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().map_err(|_| directive.error(format!("invalid port in upstream \"{host}\"")))?),
        None => (host, 80),
    };
    dns::sockets(name, port).map_err(|_| directive.error(format!("host not found in upstream \"{name}\"")))
}

fn proxy(directive: &Directive, upstreams: &HashMap<String, Vec<SocketAddr>>) -> Result<Proxy, String> {
    let url = directive.word()?;
    if url.contains('$') {
        return Err(directive.error("variables in \"proxy_pass\" are not in this stand-in for nginx"));
    }
    let Some(rest) = url.strip_prefix("http://") else { return Err(directive.error("invalid URL prefix")) };
    let (host, uri) = rest.find('/').map_or((rest, None), |at| (&rest[..at], Some(rest[at..].to_owned())));
    let addresses = upstreams.get(host).map_or_else(|| resolve(host, directive), |known| Ok(known.clone()))?;
    Ok(Proxy { host: host.to_owned(), uri, addresses, turn: Arc::default() })
}
