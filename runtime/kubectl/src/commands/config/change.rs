//! Changing kubeconfig files.

use base64::Engine;
use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::{edit, has};
use crate::config::LISTS;
use crate::factory::Factory;
use crate::failure::{Failure, go_io};
use crate::flags::{self, Flags};

/// A command without flags of its own.
pub fn plain() -> Command {
    Command::new("config")
}

fn words<const N: usize>(factory: &Factory, matches: &ArgMatches, wrong: &str) -> Result<[String; N], Failure> {
    matches.arguments().try_into().map_err(|_| factory.usage(wrong))
}

/// `config use-context`.
pub async fn use_context(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let [name] = words(factory, matches, "Unexpected args")?;
    if !has(&factory.config()?.merged, "contexts", &name) {
        return Err(Failure::new(format!("no context exists with the name: {name:?}")));
    }
    let owner = |value: &Value| value["current-context"].as_str().is_some_and(|current| !current.is_empty());
    edit(factory, owner, |value| {
        value["current-context"] = json!(name);
        Ok(())
    })?;
    factory.streams.line(&format!("Switched to context {name:?}."))
}

/// The entry of a list, made when it is missing.
fn slot<'a>(value: &'a mut Value, list: &str, name: &str) -> Option<&'a mut Value> {
    let field = LISTS.iter().find(|(known, _)| *known == list)?.1;
    if !value[list].is_array() {
        value[list] = json!([]);
    }
    if !has(value, list, name) {
        value[list].as_array_mut()?.push(json!({"name": name, field: {}}));
    }
    let entry = value[list].as_array_mut()?.iter_mut().find(|entry| entry["name"] == name)?;
    if !entry[field].is_object() {
        entry[field] = json!({});
    }
    Some(&mut entry[field])
}

/// Flags of `config set-context`.
pub fn set_context_command() -> Command {
    Command::new("set-context")
        .args([
            flags::text("cluster", "", "cluster for the context entry in kubeconfig"),
            flags::switch("current", "Modify the current context"),
            flags::text("namespace", "", "namespace for the context entry in kubeconfig").short('n'),
            flags::text("user", "", "user for the context entry in kubeconfig"),
        ])
        .override_usage("kubectl config set-context [NAME | --current] [--cluster=cluster_nickname] [--user=user_nickname] [--namespace=namespace] [options]")
}

/// `config set-context`.
pub async fn set_context(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let given = matches.arguments();
    let current = matches.on("current");
    if given.len() > 1 {
        return Err(factory.usage(&format!("Unexpected args: [{}]", given.join(" "))));
    }
    let name = match (given.first(), current) {
        (Some(_), true) => return Err(Failure::new("you cannot specify both a context name and --current")),
        (Some(name), false) => name.clone(),
        (None, true) => match factory.config()?.merged["current-context"].as_str().unwrap_or_default() {
            "" => return Err(Failure::new("no current context is set")),
            name => name.to_owned(),
        },
        (None, false) => return Err(Failure::new("you must specify a non-empty context name or --current")),
    };
    let known = has(&factory.config()?.merged, "contexts", &name);
    edit(factory, |value| has(value, "contexts", &name), |value| {
        let Some(context) = slot(value, "contexts", &name) else { return Ok(()) };
        if context["cluster"].is_null() {
            context["cluster"] = json!("");
        }
        if context["user"].is_null() {
            context["user"] = json!("");
        }
        for field in ["cluster", "user", "namespace"] {
            if matches.changed(field) {
                context[field] = json!(matches.text(field));
            }
        }
        Ok(())
    })?;
    factory.streams.line(&format!("Context {name:?} {}.", if known { "modified" } else { "created" }))
}

/// Flags of `config set-cluster`.
pub fn set_cluster_command() -> Command {
    Command::new("set-cluster")
        .args([
            flags::text("server", "", "server for the cluster entry in kubeconfig"),
            flags::text("certificate-authority", "", "Path to certificate-authority file for the cluster entry in kubeconfig"),
            flags::text("tls-server-name", "", "tls-server-name for the cluster entry in kubeconfig"),
            flags::text("proxy-url", "", "proxy-url for the cluster entry in kubeconfig"),
            flags::switch("insecure-skip-tls-verify", "insecure-skip-tls-verify for the cluster entry in kubeconfig"),
            flags::switch("embed-certs", "embed-certs for the cluster entry in kubeconfig"),
        ])
        .override_usage("kubectl config set-cluster NAME [--server=server] [--certificate-authority=path/to/certificate/authority] [--insecure-skip-tls-verify=true] [--tls-server-name=example.com] [options]")
}

/// `config set-cluster`.
pub async fn set_cluster(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let [name] = words(factory, matches, "Unexpected args: []")?;
    edit(factory, |value| has(value, "clusters", &name), |value| {
        let Some(cluster) = slot(value, "clusters", &name) else { return Ok(()) };
        if cluster["server"].is_null() {
            cluster["server"] = json!("");
        }
        for field in ["server", "tls-server-name", "proxy-url"] {
            if matches.changed(field) {
                cluster[field] = json!(matches.text(field));
            }
        }
        if matches.changed("insecure-skip-tls-verify") {
            cluster["insecure-skip-tls-verify"] = json!(matches.on("insecure-skip-tls-verify"));
        }
        file(factory, matches, cluster, "certificate-authority")
    })?;
    factory.streams.line(&format!("Cluster {name:?} set."))
}

/// A file by its path, or by its contents with `--embed-certs`.
fn file(factory: &Factory, matches: &ArgMatches, target: &mut Value, field: &str) -> Result<(), Failure> {
    if !matches.changed(field) {
        return Ok(());
    }
    let path = matches.text(field);
    let whole = factory.env.path(&path);
    let data = format!("{field}-data");
    if matches.on("embed-certs") {
        let bytes = std::fs::read(&whole).map_err(|error| Failure::new(format!("could not stat {field} file {path}: stat {path}: {}", go_io(&error))))?;
        target[&data] = json!(base64::engine::general_purpose::STANDARD.encode(bytes));
        target.as_object_mut().map(|fields| fields.remove(field));
    } else {
        target[field] = json!(whole.display().to_string());
        target.as_object_mut().map(|fields| fields.remove(&data));
    }
    Ok(())
}

/// Flags of `config set-credentials`.
pub fn set_credentials_command() -> Command {
    Command::new("set-credentials")
        .args([
            flags::text("client-certificate", "", "Path to client-certificate file for the user entry in kubeconfig"),
            flags::text("client-key", "", "Path to client-key file for the user entry in kubeconfig"),
            flags::text("token", "", "token for the user entry in kubeconfig"),
            flags::text("username", "", "username for the user entry in kubeconfig"),
            flags::text("password", "", "password for the user entry in kubeconfig"),
            flags::switch("embed-certs", "Embed client cert/key for the user entry in kubeconfig"),
            flags::text("exec-command", "", "Command for the exec credential plugin for the user entry in kubeconfig"),
            flags::text("exec-api-version", "", "API version of the exec credential plugin for the user entry in kubeconfig"),
            flags::array("exec-arg", "New arguments for the exec credential plugin command for the user entry in kubeconfig"),
            flags::array("exec-env", "'key=value' environment values for the exec credential plugin"),
        ])
        .override_usage("kubectl config set-credentials NAME [--client-certificate=path/to/certfile] [--client-key=path/to/keyfile] [--token=bearer_token] [--username=basic_user] [--password=basic_password] [options]")
}

/// `config set-credentials`.
pub async fn set_credentials(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let [name] = words(factory, matches, "Unexpected args: []")?;
    edit(factory, |value| has(value, "users", &name), |value| {
        let Some(user) = slot(value, "users", &name) else { return Ok(()) };
        for field in ["token", "username", "password"] {
            if matches.changed(field) {
                user[field] = json!(matches.text(field));
            }
        }
        if matches.changed("exec-command") {
            user["exec"] = json!({"apiVersion": matches.text("exec-api-version"), "command": matches.text("exec-command"), "args": matches.texts("exec-arg"), "env": null, "interactiveMode": "IfAvailable", "provideClusterInfo": false});
        }
        file(factory, matches, user, "client-certificate")?;
        file(factory, matches, user, "client-key")
    })?;
    factory.streams.line(&format!("User {name:?} set."))
}

/// `config rename-context`.
pub async fn rename(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let [old, new] = words(factory, matches, "Unexpected args")?;
    let merged = &factory.config()?.merged;
    if !has(merged, "contexts", &old) {
        return Err(Failure::new(format!("cannot rename the context {old:?}, it's not in {}", shown_path(factory)?)));
    }
    if has(merged, "contexts", &new) {
        return Err(Failure::new(format!("cannot rename the context {old:?}, the context {new:?} already exists in {}", shown_path(factory)?)));
    }
    edit(factory, |value| has(value, "contexts", &old), |value| {
        for context in value["contexts"].as_array_mut().into_iter().flatten().filter(|context| context["name"] == old) {
            context["name"] = json!(new);
        }
        if value["current-context"] == old {
            value["current-context"] = json!(new);
        }
        Ok(())
    })?;
    factory.streams.line(&format!("Context {old:?} renamed to {new:?}."))
}

fn shown_path(factory: &Factory) -> Result<String, Failure> {
    Ok(super::target(factory.config()?).map(|file| file.path.display().to_string()).unwrap_or_default())
}

/// `config delete-context`.
pub async fn delete_context(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let [name] = words(factory, matches, "delete-context accepts exactly one argument")?;
    if factory.config()?.merged["current-context"] == name {
        factory.streams.warn("warning: this removed your active context, use \"kubectl config use-context\" to select a different one");
    }
    delete(factory, "contexts", "context", &name)
}

/// `config delete-cluster`.
pub async fn delete_cluster(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let [name] = words(factory, matches, "delete-cluster accepts exactly one argument")?;
    delete(factory, "clusters", "cluster", &name)
}

/// `config delete-user`.
pub async fn delete_user(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let [name] = words(factory, matches, "delete-user accepts exactly one argument")?;
    delete(factory, "users", "user", &name)
}

fn delete(factory: &Factory, list: &str, word: &str, name: &str) -> Result<(), Failure> {
    if !has(&factory.config()?.merged, list, name) {
        return Err(Failure::new(format!("cannot delete {word} {name}, not in {}", shown_path(factory)?)));
    }
    let path = edit(factory, |value| has(value, list, name), |value| {
        if let Some(entries) = value[list].as_array_mut() {
            entries.retain(|entry| entry["name"] != name);
        }
        Ok(())
    })?;
    factory.streams.line(&format!("deleted {word} {name} from {path}"))
}

/// Flags of `config set`.
pub fn set_command() -> Command {
    Command::new("set")
        .arg(flags::switch("set-raw-bytes", "When writing a []byte PROPERTY_VALUE, write the given string directly without base64 decoding."))
        .override_usage("kubectl config set PROPERTY_NAME PROPERTY_VALUE [options]")
}

/// `config set`.
pub async fn set(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let [property, text] = words(factory, matches, "Unexpected args")?;
    let value = flags::boolean(&text).filter(|_| text.len() > 1).map_or_else(|| json!(text), Value::from);
    at(factory, &property, move |target, last| {
        target[last] = value;
        Ok(())
    })?;
    factory.streams.line(&format!("Property {property:?} set."))
}

/// `config unset`.
pub async fn unset(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let [property] = words(factory, matches, "Unexpected args")?;
    let (list, rest) = property.split_once('.').unwrap_or((&property, ""));
    let named = |entry: &Value| entry["name"].as_str().is_some_and(|name| rest.strip_prefix(name).is_some_and(|after| after.is_empty() || after.starts_with('.')));
    if !rest.is_empty() && LISTS.iter().any(|(known, _)| *known == list) && !factory.config()?.merged[list].as_array().is_some_and(|all| all.iter().any(named)) {
        let name = rest.rsplit_once('.').map_or(rest, |(name, _)| name);
        return Err(Failure::new(format!("current map key `{name}` is invalid")));
    }
    at(factory, &property, |target, last| {
        target.as_object_mut().map(|fields| fields.remove(last));
        Ok(())
    })?;
    factory.streams.line(&format!("Property {property:?} unset."))
}

/// Change the field that `contexts.NAME.namespace` means; names may have dots.
fn at(factory: &Factory, property: &str, change: impl FnOnce(&mut Value, &str) -> Result<(), Failure>) -> Result<(), Failure> {
    let (list, rest) = property.split_once('.').unwrap_or((property, ""));
    if !LISTS.iter().any(|(known, _)| *known == list) {
        edit(factory, |value| !value[list].is_null(), |value| match rest {
            "" => change(value, list),
            field => change(&mut value[list], field),
        })?;
        return Ok(());
    }
    let merged = &factory.config()?.merged;
    let known = merged[list].as_array().into_iter().flatten().filter_map(|entry| entry["name"].as_str()).find(|name| rest.strip_prefix(name).is_some_and(|after| after.starts_with('.') || after.is_empty()));
    let (name, field) = match known {
        Some(name) => (name.to_owned(), rest[name.len()..].trim_start_matches('.').to_owned()),
        None => rest.split_once('.').map(|(name, field)| (name.to_owned(), field.to_owned())).unwrap_or((rest.to_owned(), String::new())),
    };
    edit(factory, |value| has(value, list, &name), |value| {
        if field.is_empty() {
            if let Some(entries) = value[list].as_array_mut() {
                entries.retain(|entry| entry["name"] != name.as_str());
            }
            return Ok(());
        }
        match slot(value, list, &name) {
            Some(target) => change(target, &field),
            None => Ok(()),
        }
    })?;
    Ok(())
}
