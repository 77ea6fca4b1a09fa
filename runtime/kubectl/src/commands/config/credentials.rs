//! `kubectl config set-credentials`.
// upstream: kubectl/pkg/cmd/config/set_credentials.go

use clap::{ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::change::{file, slot, stat, with_help};
use super::edit;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};

/// Its flags.
pub fn set_credentials_command() -> Command {
    Command::new("set-credentials")
        .args([
            flags::text("auth-provider", "", "Auth provider for the user entry in kubeconfig"),
            flags::list("auth-provider-arg", "'key=value' arguments for the auth provider"),
            flags::text("client-certificate", "", "Path to client-certificate file for the user entry in kubeconfig"),
            flags::text("client-key", "", "Path to client-key file for the user entry in kubeconfig"),
            flags::switch("embed-certs", "Embed client cert/key for the user entry in kubeconfig"),
            flags::text("exec-api-version", "", "API version of the exec credential plugin for the user entry in kubeconfig"),
            flags::list("exec-arg", "New arguments for the exec credential plugin command for the user entry in kubeconfig"),
            flags::text("exec-command", "", "Command for the exec credential plugin for the user entry in kubeconfig"),
            flags::array("exec-env", "'key=value' environment values for the exec credential plugin"),
            flags::text("exec-interactive-mode", "", "InteractiveMode of the exec credentials plugin for the user entry in kubeconfig"),
            flags::switch("exec-provide-cluster-info", "ProvideClusterInfo of the exec credentials plugin for the user entry in kubeconfig"),
            flags::text("password", "", "password for the user entry in kubeconfig"),
            flags::text("token", "", "token for the user entry in kubeconfig"),
            flags::text("username", "", "username for the user entry in kubeconfig"),
        ])
        .override_usage("kubectl config set-credentials NAME [--client-certificate=path/to/certfile] [--client-key=path/to/keyfile] [--token=bearer_token] [--username=basic_user] [--password=basic_password] [--auth-provider=provider_name] [--auth-provider-arg=key=value] [--exec-command=exec_command] [--exec-api-version=exec_api_version] [--exec-arg=arg] [--exec-env=key=value] [options]")
}

/// Pairs to set, in their order, and keys to remove.
type Pairs = (Vec<(String, String)>, Vec<String>);

/// Do it.
pub async fn set_credentials(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let words = matches.arguments();
    let [name] = words.as_slice() else { return Err(with_help(factory, &format!("unexpected args: [{}]", words.join(" ")))?) };
    let told = |failure: Failure| with_help(factory, &failure.text()).unwrap_or_else(|failure| failure);
    let (provider, variables) = (pairs(matches, "auth-provider-arg").map_err(told)?, pairs(matches, "exec-env").map_err(told)?);
    validate(factory, matches, name)?;
    edit(factory, |value| {
        let Some(user) = slot(value, "users", name) else { return Ok(()) };
        file(factory, matches, user, "client-certificate")?;
        file(factory, matches, user, "client-key")?;
        secrets(user, matches);
        auth_provider(user, matches, &provider);
        exec(user, matches, &variables);
        Ok(())
    })?;
    factory.streams.line(&format!("User {name:?} set."))
}

fn validate(factory: &Factory, matches: &ArgMatches, name: &str) -> Result<(), Failure> {
    let given = |flag: &str| !matches.text(flag).is_empty();
    if name.is_empty() {
        return Err(Failure::new("you must specify a non-empty user name"));
    }
    if given("token") && (given("username") || given("password")) {
        return Err(Failure::new("you cannot specify more than one authentication method at the same time: --token, --username/--password"));
    }
    if matches.on("embed-certs") {
        if !given("client-certificate") && !given("client-key") {
            return Err(Failure::new("you must specify a --client-certificate or --client-key to embed"));
        }
        for flag in ["client-certificate", "client-key"] {
            stat(factory, matches, flag)?;
        }
    }
    if matches.changed("exec-interactive-mode") && !["IfAvailable", "Always", "Never"].contains(&matches.text("exec-interactive-mode").as_str()) {
        return Err(Failure::new("invalid interactive mode type, can be only IfAvailable, Never, Always"));
    }
    Ok(())
}

/// `key=value` sets, `key-` removes.
// upstream: kubectl/pkg/cmd/util/kubectl_match... ParsePairs
fn pairs(matches: &ArgMatches, flag: &str) -> Result<Pairs, Failure> {
    let (mut set, mut removed, mut invalid) = (Vec::new(), Vec::new(), Vec::new());
    for word in matches.texts(flag) {
        match word.split_once('=') {
            Some((key, value)) if !key.is_empty() => set.push((key.to_owned(), value.to_owned())),
            None if word.ends_with('-') && word != "-" => removed.push(word[..word.len() - 1].to_owned()),
            _ => invalid.push(word),
        }
    }
    if invalid.is_empty() { Ok((set, removed)) } else { Err(Failure::new(format!("invalid {flag} format: {}", invalid.join(", ")))) }
}

/// A token or a name with its password; either takes the other's place.
fn secrets(user: &mut Value, matches: &ArgMatches) {
    for field in ["token", "username", "password"] {
        if matches.changed(field) {
            user[field] = json!(matches.text(field));
        }
    }
    let set = |field: &str| matches.changed(field) && !matches.text(field).is_empty();
    let (token, basic) = (set("token"), set("username") || set("password"));
    if let Some(fields) = user.as_object_mut() {
        fields.retain(|field, value| match field.as_str() {
            "token" => !basic && *value != "",
            "username" | "password" => !token && *value != "",
            _ => true,
        });
    }
}

fn auth_provider(user: &mut Value, matches: &ArgMatches, (set, removed): &Pairs) {
    if matches.changed("auth-provider") && user["auth-provider"]["name"] != matches.text("auth-provider") {
        user["auth-provider"] = json!({"name": matches.text("auth-provider"), "config": null});
    }
    if !user["auth-provider"].is_object() {
        user.as_object_mut().map(|fields| fields.remove("auth-provider"));
        return;
    }
    let mut config: Map<String, Value> = user["auth-provider"]["config"].as_object().cloned().unwrap_or_default();
    config.retain(|key, _| !removed.contains(key));
    config.extend(set.iter().map(|(key, value)| (key.clone(), json!(value))));
    user["auth-provider"]["config"] = Value::Object(config);
}

fn exec(user: &mut Value, matches: &ArgMatches, (set, removed): &Pairs) {
    if matches.changed("exec-command") {
        if user["exec"].is_object() {
            user["exec"]["args"] = Value::Null;
        } else {
            user["exec"] = json!({"args": null, "env": null, "provideClusterInfo": false});
        }
        user["exec"]["command"] = json!(matches.text("exec-command"));
    }
    if !user["exec"].is_object() {
        user.as_object_mut().map(|fields| fields.remove("exec"));
        return;
    }
    let exec = &mut user["exec"];
    for (flag, field) in [("exec-api-version", "apiVersion"), ("exec-interactive-mode", "interactiveMode")] {
        if matches.changed(flag) {
            exec[field] = json!(matches.text(flag));
        }
    }
    // An empty list takes nothing away.
    if !matches.texts("exec-arg").is_empty() {
        exec["args"] = json!(matches.texts("exec-arg"));
    }
    if matches.changed("exec-provide-cluster-info") {
        exec["provideClusterInfo"] = json!(matches.on("exec-provide-cluster-info"));
    }
    let mut variables: Vec<Value> = exec["env"].as_array().cloned().unwrap_or_default();
    variables.retain(|variable| !removed.iter().any(|name| variable["name"] == *name));
    for (name, value) in set {
        match variables.iter_mut().find(|variable| variable["name"] == *name) {
            Some(variable) => variable["value"] = json!(value),
            None => variables.push(json!({"name": name, "value": value})),
        }
    }
    exec["env"] = if variables.is_empty() && removed.is_empty() { Value::Null } else { json!(variables) };
}
