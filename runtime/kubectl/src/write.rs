//! What commands that change objects share: dry runs, field manager, validation, and telling what was done.
// upstream: kubectl/pkg/cmd/util/helpers.go GetDryRunStrategy, GetValidationDirective; cli-runtime/pkg/printers/name.go

use clap::{Arg, ArgMatches};
use serde_json::{Value, json};

use crate::builder::Info;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::print::{self, Format, Printer};
use crate::rest::{APPLY_PATCH, Call};

/// Where the configuration an object was last applied with is kept.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What Go says of a quantity it cannot read.
pub const QUANTITY: &str = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// Whether something is really done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DryRun {
    /// It is.
    #[default]
    None,
    /// Only said.
    Client,
    /// The server does all but keep it.
    Server,
}

impl DryRun {
    /// From `--dry-run`.
    pub fn read(factory: &Factory, matches: &ArgMatches) -> Result<Self, Failure> {
        match matches.text("dry-run").as_str() {
            "none" | "" => Ok(Self::None),
            "client" => Ok(Self::Client),
            "server" => Ok(Self::Server),
            "unchanged" => {
                klog(factory, 'W', "helpers.go:702", "--dry-run is deprecated and can be replaced with --dry-run=client.");
                Ok(Self::Client)
            }
            other => match flags::boolean(other) {
                Some(yes) => {
                    let instead = if yes { "client" } else { "none" };
                    klog(factory, 'W', "helpers.go:692", &format!("--dry-run={other} is deprecated (boolean value) and can be replaced with --dry-run={instead}."));
                    Ok(if yes { Self::Client } else { Self::None })
                }
                None => Err(Failure::new(format!("Invalid dry-run value ({other}). Must be \"none\", \"server\", or \"client\"."))),
            },
        }
    }

    /// What follows the word for what was done.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => " (dry run)",
            Self::Server => " (server dry run)",
        }
    }
}

/// A log line as klog writes it.
pub fn klog(factory: &Factory, level: char, place: &str, text: &str) {
    factory.streams.warn(&klog_line(level, place, text));
}

/// Such a line.
pub fn klog_line(level: char, place: &str, text: &str) -> String {
    let now = jiff::Zoned::now();
    format!("{level}{} {:>7} {place}] {text}", now.strftime("%m%d %H:%M:%S.%6f"), std::process::id())
}

/// `--dry-run`
pub fn dry_run_flag() -> Arg {
    flags::optional("dry-run", "none", "unchanged", "Must be \"none\", \"server\", or \"client\". If client strategy, only print the object that would be sent, without sending it. If server strategy, submit server-side request without persisting the resource.")
}

/// `--validate`
pub fn validate_flag() -> Arg {
    flags::optional("validate", "strict", "strict", "Must be one of: strict (or true), warn, ignore (or false). \"true\" or \"strict\" will use a schema to validate the input and fail the request if invalid. It will perform server side validation if ServerSideFieldValidation is enabled on the api-server, but will fall back to less reliable client-side validation if not. \"warn\" will warn about unknown or duplicate fields without blocking the request if server-side field validation is enabled on the API server, and behave as \"ignore\" otherwise. \"false\" or \"ignore\" will not perform any schema validation, silently dropping any unknown or duplicate fields.")
}

/// `--field-manager`
pub fn manager_flag(default: &'static str) -> Arg {
    flags::text("field-manager", default, "Name of the manager used to track field ownership.")
}

/// `--save-config`
pub fn save_config_flag() -> Arg {
    flags::switch("save-config", "If true, the configuration of current object will be saved in its annotation. Otherwise, the annotation will be unchanged. This flag is useful when you want to perform kubectl apply on this object in the future.")
}

/// All of them with the printing flags.
pub fn flags(manager: &'static str) -> Vec<Arg> {
    let mut all: Vec<Arg> = print::arguments().into();
    all.extend([dry_run_flag(), validate_flag(), manager_flag(manager), save_config_flag()]);
    all
}

/// How a command writes and tells.
#[derive(Debug)]
pub struct Writer {
    /// Whether something is really done.
    pub dry_run: DryRun,
    /// The formats asked for.
    pub printer: Option<Printer>,
    /// Name of the field manager.
    pub manager: String,
    /// `Strict`, `Warn`, `Ignore`, or nothing for commands that do not validate.
    pub validation: &'static str,
    /// Whether the configuration is kept in an annotation.
    pub save_config: bool,
}

impl Writer {
    /// From the flags a command has.
    pub fn read(factory: &Factory, matches: &ArgMatches) -> Result<Self, Failure> {
        let validation = match matches.text("validate").as_str() {
            "" => "",
            "strict" | "true" => "Strict",
            "warn" => "Warn",
            "ignore" | "false" => "Ignore",
            other => return Err(Failure::new(format!("invalid - validate option {other:?}; must be one of: strict (or true), warn, ignore (or false)"))),
        };
        Ok(Self {
            dry_run: DryRun::read(factory, matches)?,
            printer: Printer::read(factory, matches, &[])?,
            manager: matches.text("field-manager"),
            validation,
            save_config: matches.on("save-config"),
        })
    }

    /// What is told about is made here: JSON is printed as Go prints structs.
    pub fn prints_structs(&mut self) {
        if let Some(printer) = &mut self.printer {
            printer.typed = Some(|_| &print::TYPED);
        }
    }

    /// With the parameters of a write.
    #[must_use]
    pub fn writing(&self, call: Call) -> Call {
        let call = call.query_some("dryRun", if self.dry_run == DryRun::Server { "All" } else { "" }).query_some("fieldManager", &self.manager);
        call.query_some("fieldValidation", self.validation)
    }

    /// Create an object.
    pub async fn create(&self, factory: &Factory, info: &Info) -> Result<Value, Failure> {
        let path = info.mapping.list_path(&info.namespace);
        let mut object = info.object.clone();
        // What is new has no version yet.
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
        factory.call(self.writing(Call::new(http::Method::POST, path)).json(&object)).await
    }

    /// Change an object by a patch.
    pub async fn patch(&self, factory: &Factory, info: &Info, kind: &'static str, patch: &Value) -> Result<Value, Failure> {
        let mut call = self.writing(Call::new(http::Method::PATCH, info.path())).body(kind, patch.to_string().into_bytes());
        if kind != APPLY_PATCH && self.validation.is_empty() {
            call.query.retain(|(name, _)| name != "fieldValidation");
        }
        factory.call(call).await
    }

    /// Replace an object.
    pub async fn replace(&self, factory: &Factory, info: &Info) -> Result<Value, Failure> {
        factory.call(self.writing(Call::new(http::Method::PUT, info.path())).json(&info.object)).await
    }

    /// Tell what was done: `deployment.apps/web created`, or the object.
    pub fn tell(&mut self, factory: &Factory, object: &Value, done: &str) -> Result<(), Failure> {
        let suffix = self.dry_run.suffix();
        match &mut self.printer {
            None => factory.streams.line(&format!("{} {done}{suffix}", print::name(object))),
            Some(printer) if matches!(printer.format, Format::Name) => factory.streams.line(&print::name(object)),
            Some(printer) => printer.print(factory, object),
        }
    }
}

/// What is said when a command is to ask the server nothing, and to try it on the server.
pub fn local_on_server() -> Failure {
    Failure::new("cannot specify --local and --dry-run=server - did you mean --dry-run=client?")
}

/// With the empty fields that Go's types of workloads print.
pub fn with_empty_fields(object: &mut Value) {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let mut add = |pointer: &str, field: &str, value: Value| {
        if let Some(fields) = object.pointer_mut(pointer).and_then(Value::as_object_mut) {
            fields.entry(field.to_owned()).or_insert(value);
        }
    };
    add("/metadata", "creationTimestamp", Value::Null);
    let pod = match kind.as_str() {
        "Pod" => "/spec",
        "CronJob" => {
            add("/spec/jobTemplate/metadata", "creationTimestamp", Value::Null);
            add("/spec/jobTemplate/spec/template/metadata", "creationTimestamp", Value::Null);
            "/spec/jobTemplate/spec/template/spec"
        }
        "Deployment" | "DaemonSet" | "StatefulSet" | "ReplicaSet" | "ReplicationController" | "Job" => {
            add("/spec/template/metadata", "creationTimestamp", Value::Null);
            "/spec/template/spec"
        }
        "Service" => {
            add("", "status", json!({"loadBalancer": {}}));
            return;
        }
        _ => return,
    };
    match kind.as_str() {
        "Deployment" => add("/spec", "strategy", json!({})),
        "DaemonSet" | "StatefulSet" => add("/spec", "updateStrategy", json!({})),
        _ => {}
    }
    match kind.as_str() {
        "DaemonSet" => add("", "status", json!({"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0})),
        "StatefulSet" => add("", "status", json!({"availableReplicas": 0, "replicas": 0})),
        "ReplicaSet" | "ReplicationController" => add("", "status", json!({"replicas": 0})),
        _ => add("", "status", json!({})),
    }
    for list in ["containers", "initContainers"] {
        for container in object.pointer_mut(&format!("{pod}/{list}")).and_then(Value::as_array_mut).into_iter().flatten() {
            if container["resources"].is_null() {
                container["resources"] = json!({});
            }
        }
    }
}

/// Keep an object's configuration in its annotation.
pub fn remember(object: &mut Value) {
    let config = configuration(object);
    annotate(object, LAST_APPLIED, &config);
}

/// The configuration of an object as it is kept: without itself, on one line with a line break.
pub fn configuration(object: &Value) -> String {
    let mut bare = object.clone();
    if let Some(metadata) = bare["metadata"].as_object_mut() {
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        if !annotations.is_object() {
            *annotations = json!({});
        }
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.remove(LAST_APPLIED);
        }
    }
    print::json::compact(&bare) + "\n"
}

/// Set an annotation.
pub fn annotate(object: &mut Value, key: &str, value: &str) {
    if !object["metadata"]["annotations"].is_object() {
        object["metadata"]["annotations"] = json!({});
    }
    object["metadata"]["annotations"][key] = json!(value);
}
