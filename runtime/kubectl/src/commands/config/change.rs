//! Changing kubeconfig files.

use base64::Engine;
use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::{edit, has, shown_path};
use crate::config::LISTS;
use crate::factory::Factory;
use crate::failure::{Failure, go_io};
use crate::flags::{self, Flags};

/// Commands without flags of their own.
macro_rules! plain {
    ($($name:ident: $usage:literal),* $(,)?) => {
        $(
            #[doc = concat!("`config ", $usage, "`")]
            pub fn $name() -> Command {
                Command::new("config").override_usage(concat!("kubectl config ", $usage, " [options]"))
            }
        )*
    };
}

plain! {
    current_command: "current-context [flags]",
    delete_cluster_command: "delete-cluster NAME",
    delete_context_command: "delete-context NAME",
    delete_user_command: "delete-user NAME",
    clusters_command: "get-clusters [flags]",
    users_command: "get-users [flags]",
    rename_command: "rename-context CONTEXT_NAME NEW_NAME",
    unset_command: "unset PROPERTY_NAME",
    use_context_command: "use-context CONTEXT_NAME",
}

/// The words a command takes; another number of them is answered with its help.
// upstream: kubectl/pkg/cmd/config/config.go helpErrorf
pub(super) fn words<const N: usize>(factory: &Factory, matches: &ArgMatches) -> Result<[String; N], Failure> {
    let words = matches.arguments();
    let told = format!("Unexpected args: [{}]", words.join(" "));
    match words.try_into() {
        Ok(words) => Ok(words),
        Err(_) => Err(with_help(factory, &told)?),
    }
}

/// The help of a command on standard output, and what is wrong.
pub(super) fn with_help(factory: &Factory, wrong: &str) -> Result<Failure, Failure> {
    factory.streams.print(crate::help::of_path(&factory.path))?;
    Ok(Failure::new(wrong))
}

/// `config use-context`.
pub async fn use_context(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let [name] = words(factory, matches)?;
    if name.is_empty() {
        return Err(Failure::new("empty context names are not allowed"));
    }
    if !has(&factory.config()?.merged, "contexts", &name) {
        return Err(Failure::new(format!("no context exists with the name: {name:?}")));
    }
    edit(factory, |value| {
        value["current-context"] = json!(name);
        Ok(())
    })?;
    factory.streams.line(&format!("Switched to context {name:?}."))
}

/// The entry of a list, made when it is missing.
pub(super) fn slot<'a>(value: &'a mut Value, list: &str, name: &str) -> Option<&'a mut Value> {
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
            flags::text("namespace", "", "namespace for the context entry in kubeconfig"),
            flags::text("user", "", "user for the context entry in kubeconfig"),
        ])
        .override_usage("kubectl config set-context [NAME | --current] [--cluster=cluster_nickname] [--user=user_nickname] [--namespace=namespace] [options]")
}

/// `config set-context`.
pub async fn set_context(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let given = matches.arguments();
    let current = matches.on("current");
    if given.len() > 1 {
        return Err(with_help(factory, &format!("Unexpected args: [{}]", given.join(" ")))?);
    }
    let name = match (given.first(), current) {
        (Some(_), true) => return Err(Failure::new("you cannot specify both a context name and --current")),
        (Some(name), false) if !name.is_empty() => name.clone(),
        (None, true) => match factory.config()?.merged["current-context"].as_str().unwrap_or_default() {
            "" => return Err(Failure::new("no current context is set")),
            name => name.to_owned(),
        },
        (_, false) => return Err(Failure::new("you must specify a non-empty context name or --current")),
    };
    let known = has(&factory.config()?.merged, "contexts", &name);
    edit(factory, |value| {
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
    let [name] = words(factory, matches)?;
    if name.is_empty() {
        return Err(Failure::new("you must specify a non-empty cluster name"));
    }
    if matches.on("insecure-skip-tls-verify") && !matches.text("certificate-authority").is_empty() {
        return Err(Failure::new("you cannot specify a certificate authority and insecure mode at the same time"));
    }
    if matches.on("embed-certs") {
        if matches.text("certificate-authority").is_empty() {
            return Err(Failure::new("you must specify a --certificate-authority to embed"));
        }
        stat(factory, matches, "certificate-authority")?;
    }
    edit(factory, |value| {
        let Some(cluster) = slot(value, "clusters", &name) else { return Ok(()) };
        if cluster["server"].is_null() {
            cluster["server"] = json!("");
        }
        // Another server has another name.
        if matches.changed("server") {
            cluster["tls-server-name"] = Value::Null;
        }
        for field in ["server", "tls-server-name", "proxy-url"] {
            if matches.changed(field) {
                cluster[field] = json!(matches.text(field));
            }
        }
        if matches.changed("insecure-skip-tls-verify") {
            cluster["insecure-skip-tls-verify"] = json!(matches.on("insecure-skip-tls-verify"));
            if matches.on("insecure-skip-tls-verify") {
                cluster["certificate-authority"] = Value::Null;
                cluster["certificate-authority-data"] = Value::Null;
            }
        }
        if matches.changed("certificate-authority") {
            cluster["insecure-skip-tls-verify"] = Value::Null;
        }
        file(factory, matches, cluster, "certificate-authority")
    })?;
    factory.streams.line(&format!("Cluster {name:?} set."))
}

/// A file by its path, or by its contents with `--embed-certs`.
pub(super) fn file(factory: &Factory, matches: &ArgMatches, target: &mut Value, field: &str) -> Result<(), Failure> {
    if !matches.changed(field) {
        return Ok(());
    }
    let path = matches.text(field);
    let whole = factory.env.path(&path);
    let data = format!("{field}-data");
    if matches.on("embed-certs") {
        let bytes = std::fs::read(&whole).unwrap_or_default();
        target[&data] = json!(base64::engine::general_purpose::STANDARD.encode(bytes));
        target.as_object_mut().map(|fields| fields.remove(field));
    } else {
        target[field] = json!(whole.display().to_string());
        target.as_object_mut().map(|fields| fields.remove(&data));
    }
    Ok(())
}

/// A file that is to be embedded is there.
pub(super) fn stat(factory: &Factory, matches: &ArgMatches, field: &str) -> Result<(), Failure> {
    let path = matches.text(field);
    let there = if path.is_empty() { Ok(()) } else { std::fs::metadata(factory.env.path(&path)).map(drop) };
    there.map_err(|error| Failure::new(format!("could not stat {field} file {path}: stat {path}: {}", go_io(&error))))
}

/// `config rename-context`.
pub async fn rename(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let [old, new] = words(factory, matches)?;
    if new.is_empty() {
        return Err(Failure::new("You must specify a new non-empty context name"));
    }
    let merged = &factory.config()?.merged;
    if !has(merged, "contexts", &old) {
        return Err(Failure::new(format!("cannot rename the context {old:?}, it's not in {}", shown_path(factory)?)));
    }
    if has(merged, "contexts", &new) {
        return Err(Failure::new(format!("cannot rename the context {old:?}, the context {new:?} already exists in {}", shown_path(factory)?)));
    }
    edit(factory, |value| {
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

/// `config delete-context`.
pub async fn delete_context(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let Ok([name]) = <[String; 1]>::try_from(matches.arguments()) else { return factory.streams.print(crate::help::of_path(&factory.path)) };
    if factory.config()?.merged["current-context"] == name {
        factory.streams.warn("warning: this removed your active context, use \"kubectl config use-context\" to select a different one");
    }
    delete(factory, "contexts", "context", &name)
}

/// `config delete-cluster`.
pub async fn delete_cluster(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let Ok([name]) = <[String; 1]>::try_from(matches.arguments()) else { return factory.streams.print(crate::help::of_path(&factory.path)) };
    delete(factory, "clusters", "cluster", &name)
}

/// `config delete-user`.
pub async fn delete_user(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let Ok([name]) = <[String; 1]>::try_from(matches.arguments()) else { return Err(factory.usage("user to delete is required")) };
    delete(factory, "users", "user", &name)
}

fn delete(factory: &Factory, list: &str, word: &str, name: &str) -> Result<(), Failure> {
    if !has(&factory.config()?.merged, list, name) {
        return Err(Failure::new(format!("cannot delete {word} {name}, not in {}", shown_path(factory)?)));
    }
    let path = shown_path(factory)?;
    edit(factory, |value| {
        if let Some(entries) = value[list].as_array_mut() {
            entries.retain(|entry| entry["name"] != name);
        }
        Ok(())
    })?;
    factory.streams.line(&format!("deleted {word} {name} from {path}"))
}
