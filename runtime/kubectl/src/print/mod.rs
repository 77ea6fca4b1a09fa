//! Showing objects: the output formats and the flags that choose them.
// upstream: cli-runtime/pkg/genericclioptions/{print_flags,json_yaml_flags,template_flags}.go, kubectl/pkg/cmd/get/get_flags.go

pub mod columns;
pub mod go;
pub mod json;
pub mod table;
pub mod yaml;

use clap::{Arg, ArgMatches};
use serde_json::{Value, json};

use crate::builder::items;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::jsonpath::JsonPath;
use crate::template::Template;
use columns::Columns;

/// What all commands that print objects know.
const FORMATS: [&str; 10] =
    ["go-template", "go-template-file", "json", "jsonpath", "jsonpath-as-json", "jsonpath-file", "name", "template", "templatefile", "yaml"];

/// The order of fields in what generators make; fields that are not here follow by name.
pub const TYPED: [&str; 47] = [
    "kind", "apiVersion", "metadata", "name", "namespace", "creationTimestamp", "labels", "annotations", "spec", "volumes", "containers", "image",
    "command", "args", "protocol", "port", "targetPort", "nodePort", "containerPort", "ports", "env", "value", "resources", "restartPolicy", "dnsPolicy",
    "replicas", "schedule", "jobTemplate", "selector", "clusterIP", "template", "strategy", "scaleTargetRef", "minReplicas", "maxReplicas", "verbs",
    "apiGroups", "resourceNames", "nonResourceURLs", "data", "binaryData", "type", "rules", "subjects", "roleRef", "externalName", "status",
];

/// How objects are shown.
#[derive(Debug, Clone)]
pub enum Format {
    /// `-o json`
    Json,
    /// `-o yaml`
    Yaml,
    /// `-o name`
    Name,
    /// `-o jsonpath`
    Path(JsonPath, String),
    /// `-o jsonpath-as-json`
    PathAsJson(JsonPath, String),
    /// `-o go-template`
    Template(Template, String),
    /// `-o custom-columns`
    Columns(Columns),
}

/// `-o`, `--template`, `--allow-missing-template-keys`, `--show-managed-fields`.
pub fn arguments() -> [Arg; 4] {
    [
        flags::text("output", "", "Output format. One of: (json, yaml, name, go-template, go-template-file, template, templatefile, jsonpath, jsonpath-as-json, jsonpath-file).").short('o'),
        flags::text("template", "", "Template string or path to template file to use when -o=go-template, -o=go-template-file. The template format is golang templates [http://golang.org/pkg/text/template/#pkg-overview]."),
        flags::switch_on("allow-missing-template-keys", "If true, ignore any errors in templates when a field or map key is missing in the template. Only applies to golang and jsonpath output formats."),
        flags::switch("show-managed-fields", "If true, keep the managedFields when printing objects in JSON or YAML format."),
    ]
}

/// Prints objects one after the other.
#[derive(Debug)]
pub struct Printer {
    /// How.
    pub format: Format,
    /// Whether objects are made here, and printed as Go prints structs.
    pub typed: Option<json::Order>,
    managed_fields: bool,
    printed: usize,
    no_headers: bool,
    widths: Vec<usize>,
}

impl Printer {
    /// What the flags ask for; nothing when they leave it to the command. `more` are formats of this command alone.
    pub fn read(factory: &Factory, matches: &ArgMatches, more: &[&str]) -> Result<Option<Self>, Failure> {
        let mut output = matches.text("output");
        let template = matches.text("template");
        if (output.is_empty() || !matches.changed("output")) && !template.is_empty() {
            output = "go-template".to_owned();
        }
        if output.is_empty() || (more.contains(&"wide") && output == "wide") {
            return Ok(None);
        }
        let allow_missing = !matches.changed("allow-missing-template-keys") || matches.on("allow-missing-template-keys");
        let format = format(factory, &output, &template, allow_missing, more)?;
        Ok(Some(Self { typed: None, format, managed_fields: matches.on("show-managed-fields"), printed: 0, no_headers: matches.on("no-headers"), widths: Vec::new() }))
    }

    /// Print what happened to an object: as it is, on one line in JSON.
    // upstream: cli-runtime/pkg/printers/{json,yaml}.go, the case of a WatchEvent
    pub fn print_event(&mut self, factory: &Factory, kind: &str, object: &Value) -> Result<(), Failure> {
        if matches!(self.format, Format::Json) {
            let kind = json::compact(&kind.into());
            return factory.streams.line(&format!("{{\"type\":{kind},\"object\":{}}}", json::compact(object)));
        }
        self.print(factory, &json!({"type": kind, "object": object}))
    }

    /// Print an object or a list.
    pub fn print(&mut self, factory: &Factory, object: &Value) -> Result<(), Failure> {
        let text = match self.text(object) {
            Err(failure) => {
                if let Format::Columns(columns) = &self.format
                    && columns.broken()
                {
                    let headers = columns.print(&[], !self.no_headers, &mut self.widths).map_err(Failure::new)?;
                    factory.streams.print(headers)?;
                }
                if let Format::Template(template, source) = &self.format
                    && let (begun, Err(error)) = template.fill(object)
                {
                    let raw = self.typed.map_or_else(|| json::compact(object), |order| json::structured(object, None, order));
                    factory.streams.print(begun + &template_report(source, &error, &raw, object))?;
                }
                return Err(failure);
            }
            Ok(text) => text,
        };
        factory.streams.print(text)
    }

    /// The text of an object or a list.
    pub fn text(&mut self, object: &Value) -> Result<String, Failure> {
        self.printed += 1;
        match &self.format {
            Format::Json => match self.typed {
                Some(order) => Ok(json::structured(&self.bare(object), Some("    "), order) + "\n"),
                None => Ok(json::pretty(&self.bare(object), "    ") + "\n"),
            },
            Format::Yaml => {
                let text = yaml::write(&self.bare(object));
                Ok(if self.printed > 1 { format!("---\n{text}") } else { text })
            }
            Format::Name => Ok(listed(object).iter().map(|object| name(object) + "\n").collect()),
            Format::Path(path, source) => path.print(object).map_err(|error| path_failure(source, &error, object)),
            Format::PathAsJson(path, source) => path.print_json(object).map_err(|error| path_failure(source, &error, object)),
            Format::Template(template, source) => template.print(object).map_err(|error| template_failure(source, &error)),
            Format::Columns(columns) => {
                columns.print(&listed(object), self.printed == 1 && !self.no_headers, &mut self.widths).map_err(Failure::new)
            }
        }
    }

    fn bare(&self, object: &Value) -> Value {
        let mut object = object.clone();
        if !self.managed_fields {
            without_managed_fields(&mut object);
        }
        object
    }
}

/// An object without its managed fields; also those in a list.
pub fn without_managed_fields(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    if let Some(items) = object.get_mut("items").and_then(Value::as_array_mut) {
        items.iter_mut().filter(|item| item.is_object()).for_each(without_managed_fields);
    }
}

/// The objects of a list, or the object.
pub fn listed(object: &Value) -> Vec<Value> {
    if object["items"].is_array() && object["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) { items(object) } else { vec![object.clone()] }
}

/// `deployment.apps/web`
pub fn name(object: &Value) -> String {
    let group = object["apiVersion"].as_str().and_then(|version| version.split_once('/')).map(|(group, _)| format!(".{group}")).unwrap_or_default();
    let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
    let name = object["metadata"]["name"].as_str().filter(|name| !name.is_empty()).unwrap_or("<unknown>");
    if kind.is_empty() { format!("<unknown>/{name}") } else { format!("{kind}{group}/{name}") }
}

/// Objects as one list, as `get -o yaml` shows several.
pub fn list_of(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
}

fn format(factory: &Factory, output: &str, template: &str, allow_missing: bool, more: &[&str]) -> Result<Format, Failure> {
    let (kind, value) = output.split_once('=').map_or((output, None), |(kind, value)| (kind, Some(value)));
    // Some may be written in any letters.
    let small = kind.to_lowercase();
    let kind = if matches!(small.as_str(), "json" | "yaml" | "name") { small.as_str() } else { kind };
    let mut known: Vec<&str> = FORMATS.iter().chain(more).copied().collect();
    known.sort_unstable();
    let unknown = || Failure::new(format!("unable to match a printer suitable for the output format {output:?}, allowed formats are: {}", known.join(",")));
    if !known.contains(&kind) || (value.is_some() && matches!(kind, "json" | "yaml" | "name" | "wide")) {
        return Err(unknown());
    }
    // Either says the template, not both.
    if value.is_some() && !template.is_empty() && (kind.contains("template") || kind.starts_with("jsonpath")) {
        return Err(unknown());
    }
    let given = || {
        let text = value.unwrap_or(template);
        if text.is_empty() { Err(Failure::new("template format specified but no template given")) } else { Ok(text.to_owned()) }
    };
    let file = |text: String| {
        std::fs::read_to_string(factory.env.path(&text))
            .map_err(|error| Failure::new(format!("error reading --template {text}, open {text}: {}\n", crate::failure::go_io(&error))))
    };
    let path = |text: String| {
        let mut path = JsonPath::parse(&text).map_err(|error| Failure::new(format!("error parsing jsonpath {text}, {error}\n")))?;
        path.allow_missing = allow_missing;
        Ok::<_, Failure>((path, text))
    };
    let go = |text: String| {
        let mut parsed = Template::parse(&text).map_err(|error| Failure::new(format!("error parsing template {text}, {error}\n")))?;
        parsed.allow_missing = allow_missing;
        Ok::<_, Failure>(Format::Template(parsed, text))
    };
    Ok(match kind {
        "json" => Format::Json,
        "yaml" => Format::Yaml,
        "name" => Format::Name,
        "jsonpath" | "jsonpath-file" => {
            let text = given()?;
            let (path, text) = path(if kind == "jsonpath" { text } else { file(text)? })?;
            Format::Path(path, text)
        }
        "jsonpath-as-json" => {
            let (path, text) = path(given()?)?;
            Format::PathAsJson(path, text)
        }
        "go-template" | "template" => go(given()?)?,
        "go-template-file" | "templatefile" => go(file(given()?)?)?,
        "custom-columns" => Format::Columns(Columns::parse(value.unwrap_or_default()).map_err(Failure::new)?),
        "custom-columns-file" if value.unwrap_or_default().is_empty() => return Err(Failure::new("custom-columns format specified but no custom columns given")),
        "custom-columns-file" => Format::Columns(Columns::parse_file(&file(value.unwrap_or_default().to_owned()).map_err(|failure| Failure::new(failure.text().replacen("--template ", "template ", 1).trim_end()))?).map_err(Failure::new)?),
        _ => return Err(unknown()),
    })
}

// upstream: cli-runtime/pkg/printers/{jsonpath,template}.go
fn path_failure(source: &str, error: &str, object: &Value) -> Failure {
    let more = format!(
        "Error executing template: {error}. Printing more information for debugging the template:\n\ttemplate was:\n\t\t{source}\n\tobject given to jsonpath engine was:\n\t\t{}\n\n",
        go::syntax(object)
    );
    Failure::new(format!("error executing jsonpath {}: {more}\n", go::quote(source)))
}

fn template_failure(source: &str, error: &str) -> Failure {
    Failure::new(format!("error executing template {}: {error}", go::quote(source)))
}

/// What the template printer writes on standard output before it fails.
fn template_report(source: &str, error: &str, raw: &str, object: &Value) -> String {
    format!(
        "Error executing template: {error}. Printing more information for debugging the template:\n\ttemplate was:\n\t\t{source}\n\traw data was:\n\t\t{raw}\n\tobject given to template engine was:\n\t\t{}\n\n",
        go::print(object),
    )
}
