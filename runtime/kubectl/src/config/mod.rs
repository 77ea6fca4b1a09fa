//! kubeconfig files: found, merged, chosen from, turned into what the client needs.
// upstream: client-go/tools/clientcmd/{loader,client_config,validation}.go

pub(crate) mod credentials;
mod pem;
pub(crate) mod plugin;
pub(crate) mod proxy;
pub(crate) mod types;
mod usable;

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::builder::json_type;
use crate::environment::Environment;
use crate::failure::{Failure, go_io};
use crate::globals::Globals;

/// The lists of a kubeconfig and the field that holds an entry.
pub const LISTS: [(&str, &str); 3] = [("clusters", "cluster"), ("contexts", "context"), ("users", "user")];

/// One kubeconfig file as it was read.
#[derive(Debug, Clone)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// What it says; null when there is no such file.
    pub value: Value,
}

/// All kubeconfig files and what they say together.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The files, first wins.
    pub files: Vec<File>,
    /// Together.
    pub merged: Value,
    /// Whether `--kubeconfig` named the file.
    pub explicit: bool,
}

/// Read the files that count. `lenient` lets the one that is named be missing.
pub fn load(env: &Environment, globals: &Globals, lenient: bool) -> Result<Loaded, Failure> {
    let explicit = !globals.kubeconfig.is_empty();
    let paths = paths(env, globals);
    let (mut files, mut broken) = (Vec::new(), Vec::new());
    for path in paths {
        let value = match read(env, &path) {
            Ok(value) => value,
            Err(Unread::Missing) if !explicit || lenient => Value::Null,
            Err(Unread::Missing) => return Err(Failure::new(format!("stat {}: no such file or directory", path.display()))),
            Err(Unread::Closed(error)) if explicit && !path.is_dir() && !lenient => return Err(Failure::new(format!("stat {}: {}", path.display(), go_io(&error)))),
            Err(unread) => {
                broken.push(Failure::new(format!("error loading config file {:?}: {}", path.display().to_string(), unread.told(&path))));
                Value::Null
            }
        };
        files.push(File { path, value });
    }
    Failure::all(broken)?;
    let merged = merge(&files, |entry, field, path| absolute(&mut entry[field], env.path(path).parent().unwrap_or(Path::new("/"))));
    Ok(Loaded { files, merged, explicit })
}

/// Why a file's words are not known.
#[derive(Debug)]
pub enum Unread {
    /// It is not there.
    Missing,
    /// It cannot be read.
    Closed(std::io::Error),
    /// It is no kubeconfig.
    Wrong(String),
}

impl Unread {
    /// As it is told.
    pub fn told(&self, path: &Path) -> String {
        match self {
            Self::Missing => format!("open {}: no such file or directory", path.display()),
            Self::Closed(error) => format!("{} {}: {}", if path.is_dir() { "read" } else { "open" }, path.display(), go_io(error)),
            Self::Wrong(why) => why.clone(),
        }
    }
}

/// What one file says.
pub fn read(env: &Environment, path: &Path) -> Result<Value, Unread> {
    match std::fs::read_to_string(env.path(path)) {
        Ok(text) => parse(&text).map_err(Unread::Wrong),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Unread::Missing),
        Err(error) => Err(Unread::Closed(error)),
    }
}

/// Which files count, first wins.
pub fn paths(env: &Environment, globals: &Globals) -> Vec<PathBuf> {
    if !globals.kubeconfig.is_empty() {
        return vec![PathBuf::from(&globals.kubeconfig)];
    }
    match env.get("KUBECONFIG") {
        Some(list) => {
            let mut paths: Vec<PathBuf> = Vec::new();
            for path in list.split(':').filter(|part| !part.is_empty()).map(PathBuf::from) {
                if !paths.contains(&path) {
                    paths.push(path);
                }
            }
            paths
        }
        None => vec![env.kube_directory().join("config")],
    }
}

fn parse(text: &str) -> Result<Value, String> {
    let value = crate::builder::read_yaml(text)?;
    match value {
        Value::Null => Ok(types::canonical(&json!({}))),
        Value::Object(_) => {
            for field in ["apiVersion", "kind"] {
                if let Some(found) = Some(&value[field]).filter(|said| !said.is_null() && !said.is_string()).map(json_type) {
                    return Err(format!("couldn't get version/kind; json parse error: json: cannot unmarshal {found} into Go struct field .{field} of type string"));
                }
            }
            let said = |field: &str, usual: &str| value[field].as_str().filter(|text| !text.is_empty()).unwrap_or(usual).to_owned();
            let (version, kind) = (said("apiVersion", "v1"), said("kind", "Config"));
            if version != "v1" || kind != "Config" {
                return Err(format!("no kind {kind:?} is registered for version {version:?} in scheme \"k8s.io/client-go/tools/clientcmd/api/latest/latest.go:50\""));
            }
            types::check(&value)?;
            Ok(types::canonical(&value))
        }
        _ => Err(
            "couldn't get version/kind; json parse error: json: cannot unmarshal string into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }".to_owned(),
        ),
    }
}

/// What files say together; the first that says something counts. `each` sees every entry with the file it comes from.
fn merge(files: &[File], each: impl Fn(&mut Value, &'static str, &Path)) -> Value {
    let mut merged = types::canonical(&json!({}));
    let named = |known: &Value, entry: &Value| known.as_array().into_iter().flatten().any(|other| other["name"] == entry["name"]);
    for file in files {
        for (list, field) in LISTS.into_iter().chain([("extensions", "extension")]) {
            for entry in file.value[list].as_array().into_iter().flatten().filter(|entry| !named(&merged[list], entry)).cloned().collect::<Vec<_>>() {
                let mut entry = entry;
                if list != "extensions" {
                    each(&mut entry, field, &file.path);
                }
                match merged[list].as_array_mut() {
                    Some(known) => known.push(entry),
                    None => merged[list] = json!([entry]),
                }
            }
        }
        for (field, nothing) in [("current-context", json!("")), ("preferences", json!({}))] {
            if merged[field] == nothing && !file.value[field].is_null() {
                merged[field] = file.value[field].clone();
            }
        }
    }
    merged
}

/// Paths in a kubeconfig are relative to its directory.
fn absolute(entry: &mut Value, directory: &Path) {
    // A program without a slash is looked for on PATH.
    if let Some(program) = entry["exec"]["command"].as_str().filter(|program| program.contains('/') && !program.starts_with('/')) {
        entry["exec"]["command"] = json!(directory.join(program.trim_start_matches("./")).display().to_string());
    }
    for field in ["certificate-authority", "client-certificate", "client-key", "tokenFile"] {
        if let Some(path) = entry[field].as_str().filter(|path| !path.is_empty()) {
            entry[field] = json!(directory.join(path).display().to_string());
        } else if let Some(fields) = entry.as_object_mut().filter(|fields| fields.get(field).is_some_and(Value::is_null)) {
            fields.remove(field);
        }
    }
}

/// An entry of one of the lists.
pub fn entry<'a>(config: &'a Value, list: &str, name: &str) -> Option<&'a Value> {
    let field = LISTS.iter().find(|(known, _)| *known == list)?.1;
    config[list].as_array()?.iter().find(|entry| entry["name"] == name).map(|entry| &entry[field])
}

/// Bytes as kubeconfigs hold them.
pub fn encoded(bytes: &[u8]) -> Value {
    json!(STANDARD.encode(bytes))
}

/// Such bytes; line breaks are nothing.
fn decoded(text: &str) -> Vec<u8> {
    let text: String = text.chars().filter(|letter| !matches!(letter, '\n' | '\r')).collect();
    STANDARD.decode(text).unwrap_or_default()
}

/// What the client needs, after context and flags are applied.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// `cluster` of the kubeconfig.
    pub cluster: Value,
    /// `user` of the kubeconfig.
    pub user: Value,
    /// What it is called there.
    pub user_name: String,
    /// The namespace commands work in.
    pub namespace: String,
    /// Whether the namespace was asked for on the command line.
    pub enforced: bool,
}

impl Loaded {
    /// What the files say together, word by word, each entry with its `origin`.
    pub fn together(&self) -> Value {
        merge(&self.files, |entry, _, path| entry["origin"] = json!(path.display().to_string()))
    }

    /// Name of the context in use.
    pub fn context(&self, globals: &Globals) -> String {
        if globals.context.is_empty() { self.merged["current-context"].as_str().unwrap_or_default().to_owned() } else { globals.context.clone() }
    }

    /// Namespace of commands, and whether a flag demands it.
    pub fn namespace(&self, globals: &Globals) -> Result<(String, bool), Failure> {
        if !globals.namespace.is_empty() {
            return Ok((globals.namespace.clone(), true));
        }
        if globals.client_first {
            self.entries(globals)?;
        }
        let name = self.context(globals);
        let context = entry(&self.merged, "contexts", &name);
        let lost_context = context.is_none() && !name.is_empty();
        let lost_cluster = !globals.cluster.is_empty() && entry(&self.merged, "clusters", &globals.cluster).is_none();
        let (of_context, of_cluster) = (format!("context was not found for specified context: {name}"), format!("no server found for cluster {:?}", globals.cluster));
        match (lost_context, lost_cluster) {
            (true, true) => return Err(Failure::Plain(format!("Error in configuration: \n* {of_context}\n* {of_cluster}"), 1)),
            (true, false) => return Err(Failure::Plain(format!("Error in configuration: {of_context}"), 1)),
            (false, true) => return Err(Failure::new(of_cluster)),
            (false, false) => {}
        }
        let namespace = context.and_then(|context| context["namespace"].as_str()).filter(|namespace| !namespace.is_empty());
        Ok((namespace.unwrap_or("default").to_owned(), false))
    }

    /// The cluster and the user that are asked for, each with its name; what is named has to be there.
    // upstream: client-go/tools/clientcmd/client_config.go getAuthInfo, getContext, getCluster
    fn entries(&self, globals: &Globals) -> Result<[(String, Value); 2], Failure> {
        let missing = |what: &str, name: &str| Failure::new(format!("{what} {name:?} does not exist"));
        let name = self.context(globals);
        let context = entry(&self.merged, "contexts", &name);
        let named = |flag: &str, field: &str| if flag.is_empty() { context.and_then(|context| context[field].as_str()).unwrap_or_default().to_owned() } else { flag.to_owned() };
        let (cluster_name, user_name) = (named(&globals.cluster, "cluster"), named(&globals.user, "user"));
        let (cluster, user) = (entry(&self.merged, "clusters", &cluster_name).cloned(), entry(&self.merged, "users", &user_name).cloned());
        if user.is_none() && !user_name.is_empty() {
            return Err(missing("auth info", &user_name));
        }
        if context.is_none() && !name.is_empty() {
            return Err(missing("context", &name));
        }
        if cluster.is_none() && !cluster_name.is_empty() && (globals.server.is_empty() || !globals.cluster.is_empty()) {
            return Err(missing("cluster", &cluster_name));
        }
        Ok([(cluster_name, cluster.unwrap_or_else(|| json!({}))), (user_name, user.unwrap_or_else(|| json!({})))])
    }

    /// Apply context and flags.
    pub fn choose(&self, globals: &Globals) -> Result<Chosen, Failure> {
        let [(cluster_name, mut cluster), (user_name, mut user)] = self.entries(globals)?;
        flags_of_cluster(&mut cluster, globals)?;
        flags_of_user(&mut user, globals);
        usable::check(&cluster, &cluster_name, &user, &user_name)?;
        let (namespace, enforced) = self.namespace(globals)?;
        Ok(Chosen { cluster, user, user_name, namespace, enforced })
    }
}

/// Whether stock kubectl makes the client of a command before it asks for the namespace: what a kubeconfig lacks is told in other words then.
pub fn client_first(path: &str) -> bool {
    match path.trim_start_matches("kubectl ").split(' ').collect::<Vec<_>>().as_slice() {
        ["create", "token"] => false,
        ["top", "node"] | ["set", "env"] | ["auth", "can-i" | "whoami"] => true,
        [verb, ..] => {
            ["apply", "autoscale", "certificate", "cordon", "create", "diff", "drain", "explain", "expose", "proxy", "replace", "run", "uncordon", "wait"].contains(verb)
        }
        [] => false,
    }
}

fn flags_of_cluster(cluster: &mut Value, globals: &Globals) -> Result<(), Failure> {
    let server = if globals.server.is_empty() { cluster["server"].as_str().unwrap_or_default() } else { &globals.server };
    let server = if server.is_empty() { "http://localhost:8080".to_owned() } else { base_url(server)? };
    cluster["server"] = json!(server);
    // An insecure flag stands for the authority of the kubeconfig, not for that of a flag.
    if globals.insecure.is_some() || !globals.authority.is_empty() {
        cluster["certificate-authority-data"] = Value::Null;
        cluster["certificate-authority"] = if globals.authority.is_empty() { Value::Null } else { json!(globals.authority) };
        cluster["insecure-skip-tls-verify"] = json!(globals.insecure.unwrap_or(false));
    }
    if !globals.tls_server_name.is_empty() {
        cluster["tls-server-name"] = json!(globals.tls_server_name);
    }
    Ok(())
}

/// The server with a scheme.
// upstream: client-go/rest/url_utils.go DefaultServerURL
fn base_url(server: &str) -> Result<String, Failure> {
    if server.split_once("://").is_some_and(|(scheme, rest)| is_scheme(scheme) && !authority(rest).is_empty() && wrong_authority(authority(rest)).is_none()) {
        return Ok(server.to_owned());
    }
    let url = format!("http://{server}");
    let host = authority(server);
    if let Some(why) = wrong_authority(host) {
        return Err(Failure::new(format!("parse {url:?}: {why}")));
    }
    if !matches!(&server[host.len()..], "" | "/") {
        return Err(Failure::new(format!("host must be a URL or a host:port pair: {server:?}")));
    }
    Ok(url)
}

fn is_scheme(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_alphabetic()) && word.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
}

/// The part of an address before its path.
fn authority(rest: &str) -> &str {
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// What is wrong with a host and port.
fn wrong_authority(host: &str) -> Option<String> {
    if let Some(wrong) = host.chars().find(|letter| letter.is_whitespace() || "\"<>^`{|}\\".contains(*letter)) {
        return Some(format!("invalid character {:?} in host name", wrong.to_string()));
    }
    let port = host.rsplit_once(']').map_or(host, |(_, rest)| rest).split_once(':').map(|(_, port)| port)?;
    port.bytes().any(|letter| !letter.is_ascii_digit()).then(|| format!("invalid port {:?} after host", format!(":{port}")))
}

fn flags_of_user(user: &mut Value, globals: &Globals) {
    let mut set = |field: &str, value: &str| {
        if !value.is_empty() {
            user[field] = json!(value);
        }
    };
    // Beside a certificate, which the server looks at first. upstream: client-go/tools/clientcmd/client_config.go getAuthInfo
    set("token", &globals.token);
    set("username", &globals.username);
    set("password", &globals.password);
    set("as", &globals.as_user);
    set("as-uid", &globals.as_uid);
    set("client-certificate", &globals.certificate);
    set("client-key", &globals.key);
    if !globals.as_groups.is_empty() {
        user["as-groups"] = json!(globals.as_groups);
    }
}
