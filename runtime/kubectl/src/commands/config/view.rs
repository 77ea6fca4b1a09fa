//! Looking at kubeconfig files.

use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use crate::config::{encoded, entry, types};
use crate::factory::Factory;
use crate::failure::{Failure, go_io};
use crate::flags::{self, Flags};
use crate::print::{self, Printer, table};

/// Flags of `config view`.
pub fn view_command() -> Command {
    let mut printing = print::arguments();
    printing[0] = printing[0].clone().default_value("yaml");
    Command::new("view")
        .args(printing)
        .args([
            flags::switch("flatten", "Flatten the resulting kubeconfig file into self-contained output (useful for creating portable kubeconfig files)"),
            flags::switch_on("merge", "Merge the full hierarchy of kubeconfig files"),
            flags::switch("minify", "Remove all information not used by current-context from the output"),
            flags::switch("raw", "Display raw byte data and sensitive data"),
        ])
        .override_usage("kubectl config view [flags] [options]")
}

/// `config view`.
pub async fn view(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let words = matches.arguments();
    if !words.is_empty() {
        return Err(factory.usage(&format!("unexpected arguments: [{}]", words.join(" "))));
    }
    let alone = matches.changed("merge") && !matches.on("merge");
    if alone && factory.globals.kubeconfig.is_empty() {
        return Err(Failure::new("if merge==false a precise file must be specified"));
    }
    let loaded = factory.config().map_err(|failure| if alone { unwrapped(&failure) } else { failure })?;
    let mut config = loaded.together();
    if !factory.globals.context.is_empty() {
        config["current-context"] = json!(factory.globals.context);
    }
    if matches.on("minify") {
        minify(&mut config)?;
    }
    if matches.on("flatten") {
        flatten(factory, &mut config)?;
    } else if !matches.on("raw") {
        hide(&mut config);
    }
    let config = types::canonical(&config);
    let named = matches.changed("output") && matches.text("output").is_empty();
    match Printer::read(factory, matches, &[])?.filter(|_| !named) {
        Some(mut printer) => {
            printer.typed = Some(types::order);
            printer.print(factory, &config)
        }
        None => factory.streams.line(&print::name(&config)),
    }
}

/// What is wrong with the file, without which one it is.
fn unwrapped(failure: &Failure) -> Failure {
    let text = failure.text();
    Failure::new(text.strip_prefix("error loading config file ").and_then(|rest| rest.split_once(": ")).map_or(text.as_str(), |(_, why)| why))
}

/// Only what the current context needs.
// upstream: client-go/tools/clientcmd/api/helpers.go MinifyConfig
fn minify(config: &mut Value) -> Result<(), Failure> {
    let name = config["current-context"].as_str().unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err(Failure::new("current-context must exist in order to minify"));
    }
    let context = entry(config, "contexts", &name).cloned().ok_or_else(|| Failure::new(format!("cannot locate context {name}")))?;
    for (list, wanted, what) in [("contexts", &json!(name), ""), ("clusters", &context["cluster"], "cluster"), ("users", &context["user"], "user")] {
        if let Some(wanted) = wanted.as_str().filter(|wanted| !wanted.is_empty() && entry(config, list, wanted).is_none()) {
            return Err(Failure::new(format!("cannot locate {what} {wanted}")));
        }
        if let Some(entries) = config[list].as_array_mut() {
            entries.retain(|entry| &entry["name"] == wanted && *wanted != "");
        }
    }
    Ok(())
}

/// Files become data.
// upstream: client-go/tools/clientcmd/api/helpers.go FlattenConfig
fn flatten(factory: &Factory, config: &mut Value) -> Result<(), Failure> {
    for (list, field, names) in [("users", "user", &["client-certificate", "client-key"][..]), ("clusters", "cluster", &["certificate-authority"])] {
        for entry in config[list].as_array_mut().into_iter().flatten() {
            let beside = factory.env.path(entry["origin"].as_str().unwrap_or_default());
            for name in names {
                let Some(path) = entry[field][name].as_str().filter(|path| !path.is_empty()) else { continue };
                let data = format!("{name}-data");
                if entry[field][&data].is_string() {
                    return Err(Failure::new("cannot have values for both path and contents"));
                }
                let path = beside.with_file_name("").join(path);
                let bytes = std::fs::read(&path).map_err(|error| Failure::new(format!("open {}: {}", path.display(), go_io(&error))))?;
                entry[field][data] = encoded(&bytes);
                entry[field][name] = Value::Null;
            }
        }
    }
    Ok(())
}

fn hide(config: &mut Value) {
    let secrets = [("certificate-authority-data", "DATA+OMITTED"), ("client-certificate-data", "DATA+OMITTED"), ("client-key-data", "DATA+OMITTED"), ("token", "REDACTED"), ("password", "REDACTED")];
    for (list, field) in [("clusters", "cluster"), ("users", "user")] {
        for entry in config[list].as_array_mut().into_iter().flatten() {
            for (secret, instead) in secrets {
                if entry[field][secret].is_string() {
                    entry[field][secret] = json!(instead);
                } else if let Some(fields) = entry[field].as_object_mut().filter(|fields| fields.get(secret).is_some_and(Value::is_null)) {
                    fields.remove(secret);
                }
            }
        }
    }
}

/// Flags of `config get-contexts`.
pub fn contexts_command() -> Command {
    Command::new("get-contexts")
        .arg(flags::switch("no-headers", "When using the default or custom-column output format, don't print headers (default print headers)."))
        .arg(flags::text("output", "", "Output format. One of: (name).").short('o'))
        .override_usage("kubectl config get-contexts [(-o|--output=)name)] [options]")
}

/// `config get-contexts`.
pub async fn contexts(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let loaded = factory.config()?;
    let output = matches.text("output");
    if !["", "name"].contains(&output.as_str()) {
        return Err(Failure::new(format!("--output {output} is not available in kubectl config get-contexts; resetting to default output format")));
    }
    let mut asked = matches.arguments();
    asked.sort();
    let all = names(&loaded.merged, "contexts");
    let current = loaded.merged["current-context"].as_str().unwrap_or_default();
    let mut lines: Vec<Vec<String>> = Vec::new();
    if output != "name" && !matches.on("no-headers") {
        lines.push(["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"].map(str::to_owned).to_vec());
    }
    let mut failures = Vec::new();
    for name in if asked.is_empty() { &all } else { &asked } {
        let Some(context) = entry(&loaded.merged, "contexts", name) else {
            failures.push(Failure::Message(format!("context {name} not found")));
            continue;
        };
        if output == "name" {
            factory.streams.line(name)?;
            continue;
        }
        let text = |field: &str| context[field].as_str().unwrap_or_default().to_owned();
        let mark = if name == current { "*" } else { "" };
        lines.push(vec![mark.to_owned(), name.clone(), text("cluster"), text("user"), text("namespace")]);
    }
    factory.streams.print(table::align(&lines, &mut Vec::new()))?;
    Failure::all(failures)
}

fn names(config: &Value, list: &str) -> Vec<String> {
    let mut names: Vec<String> = config[list].as_array().into_iter().flatten().filter_map(|entry| entry["name"].as_str().map(str::to_owned)).collect();
    names.sort();
    names
}

/// `config current-context`.
pub async fn current(factory: &Factory, _matches: &ArgMatches) -> Result<(), Failure> {
    match factory.config()?.merged["current-context"].as_str().unwrap_or_default() {
        "" => Err(Failure::new("current-context is not set")),
        name => factory.streams.line(name),
    }
}

/// `config get-clusters`.
pub async fn clusters(factory: &Factory, _matches: &ArgMatches) -> Result<(), Failure> {
    listed(factory, "clusters")
}

/// `config get-users`.
pub async fn users(factory: &Factory, _matches: &ArgMatches) -> Result<(), Failure> {
    listed(factory, "users")
}

fn listed(factory: &Factory, list: &str) -> Result<(), Failure> {
    factory.streams.line("NAME")?;
    for name in names(&factory.config()?.merged, list) {
        factory.streams.line(&name)?;
    }
    Ok(())
}
