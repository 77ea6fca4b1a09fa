//! kubeconfig files: found, merged, chosen from, turned into what the client needs.
// upstream: client-go/tools/clientcmd/{loader,client_config,validation}.go

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

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
    let mut files = Vec::new();
    for path in paths {
        let value = match std::fs::read_to_string(env.path(&path)) {
            Ok(text) => parse(&path, &text)?,
            // `config` makes the file that is named.
            Err(error) if explicit && error.kind() == std::io::ErrorKind::NotFound && lenient => Value::Null,
            Err(error) if explicit && !path.is_dir() => return Err(Failure::new(format!("stat {}: {}", path.display(), go_io(&error)))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Value::Null,
            Err(error) => return Err(Failure::new(format!("error loading config file \"{0}\": {2} {0}: {1}", path.display(), go_io(&error), if path.is_dir() { "read" } else { "open" }))),
        };
        files.push(File { path, value });
    }
    let merged = merge(env, &files);
    Ok(Loaded { files, merged, explicit })
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

fn parse(path: &Path, text: &str) -> Result<Value, Failure> {
    let failed = |why: &str| Failure::new(format!("error loading config file {:?}: {why}", path.display().to_string()));
    let value = crate::builder::read_yaml(text).map_err(|error| failed(&error))?;
    match value {
        Value::Null => Ok(json!({})),
        Value::Object(_) => {
            for field in ["apiVersion", "kind"] {
                if let Some(found) = Some(&value[field]).filter(|said| !said.is_null() && !said.is_string()).map(json_type) {
                    return Err(failed(&format!("couldn't get version/kind; json parse error: json: cannot unmarshal {found} into Go struct field .{field} of type string")));
                }
            }
            let said = |field: &str, usual: &str| value[field].as_str().filter(|text| !text.is_empty()).unwrap_or(usual).to_owned();
            let (version, kind) = (said("apiVersion", "v1"), said("kind", "Config"));
            if version != "v1" || kind != "Config" {
                return Err(failed(&format!("no kind {kind:?} is registered for version {version:?} in scheme \"k8s.io/client-go/tools/clientcmd/api/latest/latest.go:50\"")));
            }
            for ((list, _), named) in LISTS.iter().zip(["NamedCluster", "NamedContext", "NamedAuthInfo"]) {
                let (wrong, of) = match &value[*list] {
                    Value::Null => continue,
                    Value::Array(entries) => (entries.iter().find(|entry| !entry.is_object() && !entry.is_null()), ""),
                    other => (Some(other), "[]"),
                };
                if let Some(found) = wrong.map(json_type) {
                    return Err(failed(&format!("json: cannot unmarshal {found} into Go struct field Config.{list} of type {of}v1.{named}")));
                }
            }
            Ok(typed(value))
        }
        _ => Err(failed(
            "couldn't get version/kind; json parse error: json: cannot unmarshal string into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }",
        )),
    }
}

/// What kubeconfig files have and nothing else; fields that Go always writes are there.
fn typed(mut value: Value) -> Value {
    const FIELDS: [&[&str]; 3] = [
        &["server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority", "certificate-authority-data", "proxy-url", "disable-compression", "extensions"],
        &["cluster", "user", "namespace", "extensions"],
        &[
            "client-certificate", "client-certificate-data", "client-key", "client-key-data", "token", "tokenFile", "as", "as-uid", "as-groups", "as-user-extra", "username",
            "password", "auth-provider", "exec", "extensions",
        ],
    ];
    for ((list, field), known) in LISTS.iter().zip(FIELDS) {
        for entry in value[*list].as_array_mut().into_iter().flatten().filter(|entry| entry.is_object()) {
            if !entry[*field].is_object() {
                entry[*field] = json!({});
            }
            let Some(fields) = entry[*field].as_object_mut() else { continue };
            fields.retain(|name, _| known.contains(&name.as_str()));
            let always: &[&str] = match *list {
                "clusters" => &["server"],
                "contexts" => &["cluster", "user"],
                _ => &[],
            };
            for name in always {
                fields.entry(*name).or_insert_with(|| json!(""));
            }
        }
    }
    value
}

fn merge(env: &Environment, files: &[File]) -> Value {
    let mut merged = Map::new();
    for (list, _) in LISTS {
        merged.insert(list.to_owned(), json!([]));
    }
    merged.insert("current-context".to_owned(), json!(""));
    for file in files.iter().filter(|file| !file.value.is_null()) {
        for (list, field) in LISTS {
            for entry in file.value[list].as_array().into_iter().flatten() {
                let Some(known) = merged[list].as_array_mut() else { continue };
                if !known.iter().any(|other| other["name"] == entry["name"]) {
                    let mut entry = entry.clone();
                    absolute(&mut entry[field], env.path(&file.path).parent().unwrap_or(Path::new("/")));
                    known.push(entry);
                }
            }
        }
        let current = file.value["current-context"].as_str().unwrap_or_default();
        if merged["current-context"] == "" && !current.is_empty() {
            merged.insert("current-context".to_owned(), json!(current));
        }
        for other in ["preferences", "extensions"] {
            if !file.value[other].is_null() && !merged.contains_key(other) {
                merged.insert(other.to_owned(), file.value[other].clone());
            }
        }
    }
    Value::Object(merged)
}

/// Paths in a kubeconfig are relative to its directory.
fn absolute(entry: &mut Value, directory: &Path) {
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

/// Files of certificates and keys that are named and cannot be read.
// upstream: client-go/tools/clientcmd/validation.go
fn readable(cluster: Option<&Value>, cluster_name: &str, user: Option<&Value>, user_name: &str) -> Result<(), Failure> {
    let token = user.is_some_and(|user| user["token"].as_str().is_some_and(|token| !token.is_empty()));
    let files = [
        (cluster, cluster_name, "certificate-authority", "certificate-authority"),
        (user, user_name, "client-certificate", "client-cert"),
        (user, user_name, "client-key", "client-key"),
    ];
    let mut wrong = Vec::new();
    for (entry, name, field, word) in files {
        let Some(path) = entry.and_then(|entry| entry[field].as_str()).filter(|path| !path.is_empty()) else { continue };
        // A token makes the certificate needless.
        if (token && field.starts_with("client-")) || entry.is_some_and(|entry| entry[format!("{field}-data")].is_string()) {
            continue;
        }
        if let Err(error) = std::fs::File::open(path) {
            wrong.push(format!("unable to read {word} {path} for {name} due to open {path}: {}", crate::failure::go_io(&error)));
        }
    }
    match wrong.as_slice() {
        [] => Ok(()),
        [one] => Err(Failure::new(one)),
        many => Err(Failure::Plain(format!("Error in configuration: \n* {}", many.join("\n* ")), 1)),
    }
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
    /// Name of the context in use.
    pub fn context(&self, globals: &Globals) -> String {
        if globals.context.is_empty() { self.merged["current-context"].as_str().unwrap_or_default().to_owned() } else { globals.context.clone() }
    }

    /// Namespace of commands, and whether a flag demands it.
    pub fn namespace(&self, globals: &Globals) -> Result<(String, bool), Failure> {
        if !globals.namespace.is_empty() {
            return Ok((globals.namespace.clone(), true));
        }
        let name = self.context(globals);
        let context = entry(&self.merged, "contexts", &name);
        if context.is_none() && !globals.context.is_empty() {
            return Err(no_context(&name));
        }
        let namespace = context.and_then(|context| context["namespace"].as_str()).filter(|namespace| !namespace.is_empty());
        Ok((namespace.unwrap_or("default").to_owned(), false))
    }

    /// Apply context and flags.
    pub fn choose(&self, globals: &Globals) -> Result<Chosen, Failure> {
        let name = self.context(globals);
        let context = entry(&self.merged, "contexts", &name).cloned();
        if context.is_none() && !name.is_empty() {
            return Err(no_context(&name));
        }
        let context = context.unwrap_or_default();
        let named = |flag: &str, field: &str| if flag.is_empty() { context[field].as_str().unwrap_or_default().to_owned() } else { flag.to_owned() };
        let (cluster_name, user_name) = (named(&globals.cluster, "cluster"), named(&globals.user, "user"));
        let mut cluster = entry(&self.merged, "clusters", &cluster_name).cloned();
        if cluster.is_none() && !globals.cluster.is_empty() {
            return Err(Failure::new(format!("no server found for cluster {cluster_name:?}")));
        }
        if cluster.is_none() && !cluster_name.is_empty() && globals.server.is_empty() {
            return Err(Failure::new(format!("cluster {cluster_name:?} does not exist")));
        }
        let mut user = entry(&self.merged, "users", &user_name).cloned();
        if user.is_none() && !user_name.is_empty() {
            return Err(Failure::new(format!("auth info {user_name:?} does not exist")));
        }
        flags_of_cluster(cluster.get_or_insert_with(|| json!({})), globals);
        flags_of_user(user.get_or_insert_with(|| json!({})), globals);
        readable(cluster.as_ref(), &cluster_name, user.as_ref(), &user_name)?;
        let (namespace, enforced) = self.namespace(globals)?;
        Ok(Chosen { cluster: cluster.unwrap_or_default(), user: user.unwrap_or_default(), user_name, namespace, enforced })
    }
}

fn no_context(name: &str) -> Failure {
    Failure::Plain(format!("Error in configuration: context was not found for specified context: {name}"), 1)
}

fn flags_of_cluster(cluster: &mut Value, globals: &Globals) {
    let server = if globals.server.is_empty() { cluster["server"].as_str().unwrap_or_default() } else { &globals.server };
    let server = if server.is_empty() { "http://localhost:8080".to_owned() } else { with_scheme(server) };
    cluster["server"] = json!(server);
    if !globals.authority.is_empty() {
        cluster["certificate-authority"] = json!(globals.authority);
        cluster["certificate-authority-data"] = Value::Null;
    }
    if let Some(insecure) = globals.insecure {
        cluster["insecure-skip-tls-verify"] = json!(insecure);
        if insecure {
            cluster["certificate-authority"] = Value::Null;
            cluster["certificate-authority-data"] = Value::Null;
        }
    }
    if !globals.tls_server_name.is_empty() {
        cluster["tls-server-name"] = json!(globals.tls_server_name);
    }
}

fn with_scheme(server: &str) -> String {
    if server.contains("://") { server.to_owned() } else { format!("http://{server}") }
}

fn flags_of_user(user: &mut Value, globals: &Globals) {
    if !globals.token.is_empty() {
        *user = json!({"token": globals.token});
    }
    let mut set = |field: &str, value: &str| {
        if !value.is_empty() {
            user[field] = json!(value);
        }
    };
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
