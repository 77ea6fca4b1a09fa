//! Looking at kubeconfig files.

use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use crate::config::entry;
use crate::factory::Factory;
use crate::failure::{Failure, go_io};
use crate::flags::{self, Flags};
use crate::print::{self, Format, Printer, json as json_text, table};

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
    let loaded = factory.config()?;
    let mut config = loaded.merged.clone();
    for (field, default) in [("apiVersion", json!("v1")), ("kind", json!("Config")), ("preferences", json!({}))] {
        if config[field].is_null() {
            config[field] = default;
        }
    }
    for list in ["clusters", "contexts", "users"] {
        match config[list].as_array_mut() {
            Some(entries) if !entries.is_empty() => entries.sort_by_key(|entry| entry["name"].as_str().unwrap_or_default().to_owned()),
            _ => config[list] = Value::Null,
        }
    }
    if matches.on("minify") {
        let name = loaded.context(&factory.globals);
        let context = entry(&loaded.merged, "contexts", &name).ok_or_else(|| Failure::new(if name.is_empty() { "current-context must exist in order to minify".to_owned() } else { format!("cannot locate context {name}") }))?;
        config["current-context"] = json!(name);
        for (list, wanted) in [("contexts", &json!(name)), ("clusters", &context["cluster"]), ("users", &context["user"])] {
            if let Some(entries) = config[list].as_array_mut() {
                entries.retain(|entry| &entry["name"] == wanted);
            }
        }
    }
    if matches.on("flatten") {
        flatten(&mut config)?;
    }
    if !matches.on("raw") {
        hide(&mut config);
    }
    let Some(mut printer) = Printer::read(factory, matches, &[])? else { return Ok(()) };
    if matches!(printer.format, Format::Json) {
        return factory.streams.line(&json_text::ordered(&config, "    ", &ORDER));
    }
    printer.print(factory, &config)
}

const ORDER: [&str; 15] = ["kind", "apiVersion", "preferences", "name", "cluster", "server", "tls-server-name", "user", "namespace", "clusters", "users", "contexts", "command", "args", "env"];

/// Files become data.
fn flatten(config: &mut Value) -> Result<(), Failure> {
    use base64::Engine as _;
    for (list, field, names) in [("clusters", "cluster", &["certificate-authority"][..]), ("users", "user", &["client-certificate", "client-key"])] {
        for entry in config[list].as_array_mut().into_iter().flatten() {
            for name in names {
                let Some(path) = entry[field][name].as_str().filter(|path| !path.is_empty()) else { continue };
                let bytes = std::fs::read(path).map_err(|error| Failure::new(format!("open {path}: {}", go_io(&error))))?;
                entry[field][format!("{name}-data")] = json!(base64::engine::general_purpose::STANDARD.encode(bytes));
                entry[field].as_object_mut().map(|fields| fields.remove(*name));
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
    if !["", "name", "wide"].contains(&output.as_str()) {
        return Err(Failure::new(format!("--output {output} is not available in kubectl config get-contexts; resetting to default output format")));
    }
    let asked = matches.arguments();
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
