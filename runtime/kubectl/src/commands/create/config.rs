//! `kubectl create configmap`, `secret`, `namespace`, `serviceaccount`.
// upstream: kubectl/pkg/cmd/create/{create_configmap,create_secret,create_namespace,create_serviceaccount}.go, kubectl/pkg/generate/versioned/...

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Arg, ArgMatches, Command};
use drydock_primitives::names;
use serde_json::{Map, Value, json};

use super::{finish, generator, metadata, one_name};
use crate::factory::Factory;
use crate::failure::{Failure, go_io};
use crate::flags::{self, Flags};
use crate::print::json::compact;

fn sources() -> [Arg; 4] {
    [
        flags::list("from-file", "Key file can be specified using its file path, in which case file basename will be used as the key, or optionally with a key and file path, in which case the given key will be used.  Specifying a directory will iterate each named file in the directory whose basename is a valid key."),
        flags::array("from-literal", "Specify a key and literal value to insert (i.e. mykey=somevalue)"),
        flags::list("from-env-file", "Specify the path to a file to read lines of key=val pairs to create the object."),
        flags::switch("append-hash", "Append a hash of the object to its name."),
    ]
}

/// Flags of `create configmap`.
pub fn config_map_command() -> Command {
    generator("configmap", sources()).override_usage("kubectl create configmap NAME [--from-file=[key=]source] [--from-literal=key1=value1] [--dry-run=server|client|none] [options]")
}

/// `create configmap`.
pub async fn config_map(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let name = one_name(factory, matches)?;
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(factory, &name)?});
    let (mut texts, mut binary) = (Map::new(), Map::new());
    for (key, bytes) in pairs(factory, matches, &format!("ConfigMap {name:?}"), "a ConfigMap")? {
        match String::from_utf8(bytes) {
            Ok(text) => texts.insert(key, json!(text)),
            Err(error) => binary.insert(key, json!(STANDARD.encode(error.as_bytes()))),
        };
    }
    if !texts.is_empty() {
        object["data"] = Value::Object(texts);
    }
    if !binary.is_empty() {
        object["binaryData"] = Value::Object(binary);
    }
    finish(factory, matches, object, "failed to create configmap: ").await
}

/// `create secret` alone.
pub fn secret_command() -> Command {
    Command::new("secret").about("Create a secret with specified type.").override_usage("kubectl create secret (docker-registry | generic | tls) [options]")
}

/// Flags of `create secret generic`.
pub fn generic_command() -> Command {
    generator("generic", sources())
        .arg(flags::text("type", "", "The type of secret to create"))
        .override_usage("kubectl create secret generic NAME [--type=string] [--from-file=[key=]source] [--from-literal=key1=value1] [--dry-run=server|client|none] [options]")
}

/// `create secret generic`.
pub async fn generic(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let name = one_name(factory, matches)?;
    let data = pairs(factory, matches, "Secret", "a Secret")?;
    secret(factory, matches, &name, data, &matches.text("type")).await
}

/// Flags of `create secret tls`.
pub fn tls_command() -> Command {
    generator("tls", [
        flags::text("cert", "", "Path to PEM encoded public key certificate."),
        flags::text("key", "", "Path to private key associated with given certificate."),
        flags::switch("append-hash", "Append a hash of the secret to its name."),
    ])
    .override_usage("kubectl create secret tls NAME --cert=path/to/cert/file --key=path/to/key/file [--dry-run=server|client|none] [options]")
}

/// `create secret tls`.
pub async fn tls(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let name = one_name(factory, matches)?;
    let (cert, key) = (matches.text("cert"), matches.text("key"));
    if cert.is_empty() || key.is_empty() {
        return Err(Failure::new("key and cert must be specified"));
    }
    let read = |path: &str| std::fs::read(factory.env.path(path)).map_err(|error| Failure::new(format!("Cannot read file {path}, open {path}: {}", go_io(&error))));
    let data = vec![("tls.crt".to_owned(), read(&cert)?), ("tls.key".to_owned(), read(&key)?)];
    for (_, bytes) in &data {
        if !String::from_utf8_lossy(bytes).contains("-----BEGIN ") {
            return Err(Failure::new("tls: failed to find any PEM data in certificate input"));
        }
    }
    secret(factory, matches, &name, data, "kubernetes.io/tls").await
}

/// Flags of `create secret docker-registry`.
pub fn registry_command() -> Command {
    generator("docker-registry", [
        flags::text("docker-username", "", "Username for Docker registry authentication"),
        flags::text("docker-password", "", "Password for Docker registry authentication"),
        flags::text("docker-email", "", "Email for Docker registry"),
        flags::text("docker-server", "https://index.docker.io/v1/", "Server location for Docker registry"),
        flags::list("from-file", "Key files can be specified using their file path, in which case a default name of .dockerconfigjson will be given to them, or optionally with a name and file path, in which case the given name will be used. Specifying a directory will iterate each named file in the directory that is a valid secret key. For this command, the key should always be .dockerconfigjson."),
        flags::switch("append-hash", "Append a hash of the secret to its name."),
    ])
    .override_usage("kubectl create secret docker-registry NAME --docker-username=user --docker-password=password --docker-email=email [--docker-server=string] [--from-file=[key=]source] [--dry-run=server|client|none] [options]")
}

/// `create secret docker-registry`.
pub async fn registry(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let name = one_name(factory, matches)?;
    let (user, password, server) = (matches.text("docker-username"), matches.text("docker-password"), matches.text("docker-server"));
    let data = if !matches.texts("from-file").is_empty() {
        pairs(factory, matches, "Secret", "a Secret")?.into_iter().map(|(_, bytes)| (".dockerconfigjson".to_owned(), bytes)).collect()
    } else {
        if user.is_empty() || password.is_empty() || server.is_empty() {
            return Err(Failure::new("either --from-file or the combination of --docker-username, --docker-password and --docker-server is required"));
        }
        let quoted = |text: &str| compact(&json!(text));
        let mut fields = format!("\"username\":{},\"password\":{}", quoted(&user), quoted(&password));
        if !matches.text("docker-email").is_empty() {
            fields.push_str(&format!(",\"email\":{}", quoted(&matches.text("docker-email"))));
        }
        fields.push_str(&format!(",\"auth\":{}", quoted(&STANDARD.encode(format!("{user}:{password}")))));
        vec![(".dockerconfigjson".to_owned(), format!("{{\"auths\":{{{}:{{{fields}}}}}}}", quoted(&server)).into_bytes())]
    };
    secret(factory, matches, &name, data, "kubernetes.io/dockerconfigjson").await
}

async fn secret(factory: &Factory, matches: &ArgMatches, name: &str, data: Vec<(String, Vec<u8>)>, kind: &str) -> Result<(), Failure> {
    let mut object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata(factory, name)?});
    if !data.is_empty() {
        object["data"] = data.into_iter().map(|(key, bytes)| (key, json!(STANDARD.encode(bytes)))).collect::<Map<_, _>>().into();
    }
    if !kind.is_empty() {
        object["type"] = json!(kind);
    }
    finish(factory, matches, object, "failed to create secret ").await
}

/// Keys and contents from files, literals and env files.
fn pairs(factory: &Factory, matches: &ArgMatches, whole: &str, article: &str) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let (files, literals, env_files) = (matches.texts("from-file"), matches.texts("from-literal"), matches.texts("from-env-file"));
    if !env_files.is_empty() && !(files.is_empty() && literals.is_empty()) {
        return Err(Failure::new("from-env-file cannot be combined with from-file or from-literal"));
    }
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |key: &str, bytes: Vec<u8>| {
        if let Some(error) = names::config_map_key(key).first() {
            return Err(Failure::new(format!("{key:?} is not a valid key name for {article}: {error}")));
        }
        if found.iter().any(|(known, _)| known == key) {
            let already = "another key by that name already exists";
            let text = if whole == "Secret" { format!("cannot add key {key}, {already}") } else { format!("cannot add key {key:?}, {already} in Data for {whole}") };
            return Err(Failure::new(text));
        }
        found.push((key.to_owned(), bytes));
        Ok(())
    };
    for source in &files {
        let (key, path) = source.split_once('=').map_or((None, source.as_str()), |(key, path)| (Some(key), path));
        match (key, path) {
            (Some(_), path) if path.contains('=') => return Err(Failure::new("key names or file paths cannot contain '='")),
            (Some(""), path) => return Err(Failure::new(format!("key name for file path {path} missing"))),
            (Some(key), "") => return Err(Failure::new(format!("file path for key name {key} missing"))),
            _ => {}
        }
        from_file(factory, key, path, &mut add)?;
    }
    for literal in &literals {
        let Some((key, value)) = literal.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(Failure::new(format!("invalid literal source {literal}, expected key=value")));
        };
        let quoted = value.len() >= 2 && ((value.starts_with('"') && value.ends_with('"')) || (value.starts_with('\'') && value.ends_with('\'')));
        add(key, if quoted { &value[1..value.len() - 1] } else { value }.as_bytes().to_vec())?;
    }
    for path in &env_files {
        let text = std::fs::read_to_string(factory.env.path(path)).map_err(|error| Failure::new(format!("error reading {path}: {}", go_io(&error))))?;
        for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (key, value) = line.split_once('=').map_or_else(|| (line, factory.env.get(line).unwrap_or_default()), |pair| pair);
            add(key, value.as_bytes().to_vec())?;
        }
    }
    Ok(found)
}

fn from_file(factory: &Factory, key: Option<&str>, path: &str, add: &mut impl FnMut(&str, Vec<u8>) -> Result<(), Failure>) -> Result<(), Failure> {
    let whole = factory.env.path(path);
    let data = std::fs::metadata(&whole).map_err(|error| Failure::new(format!("error reading {path}: {}", go_io(&error))))?;
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !data.is_dir() {
        return add(&key.map_or_else(|| name(&whole), str::to_owned), std::fs::read(&whole)?);
    }
    if key.is_some() {
        return Err(Failure::new("cannot give a key name for a directory path"));
    }
    let mut entries: Vec<_> = std::fs::read_dir(&whole)?.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| path.is_file()).collect();
    entries.sort();
    for entry in entries {
        add(&name(&entry), std::fs::read(&entry)?)?;
    }
    Ok(())
}

/// Flags of `create namespace`.
pub fn namespace_command() -> Command {
    generator("namespace", []).override_usage("kubectl create namespace NAME [--dry-run=server|client|none] [options]")
}

/// `create namespace`.
pub async fn namespace(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let name = one_name(factory, matches)?;
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"creationTimestamp": null, "name": name}, "spec": {}, "status": {}});
    finish(factory, matches, object, "").await
}

/// Flags of `create serviceaccount`.
pub fn service_account_command() -> Command {
    generator("serviceaccount", []).override_usage("kubectl create serviceaccount NAME [--dry-run=server|client|none] [options]")
}

/// `create serviceaccount`.
pub async fn service_account(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let name = one_name(factory, matches)?;
    let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(factory, &name)?});
    finish(factory, matches, object, "failed to create serviceaccount: ").await
}
