//! `kubectl events`.
// upstream: kubectl/pkg/cmd/events/{events,event_printer}.go

use clap::{ArgMatches, Command};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::AsyncBufReadExt;

use crate::builder::all_namespaces_flag;
use crate::describe::event_age;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{Flags, list, number, switch, text};
use crate::print::table::align;
use crate::print::{self, Printer};
use crate::rest::Call;

/// Its flags.
pub fn command() -> Command {
    Command::new("events")
        .override_usage("kubectl events [(-o|--output=)json|yaml|name|go-template|go-template-file|template|templatefile|jsonpath|jsonpath-as-json|jsonpath-file] [--for TYPE/NAME] [--watch] [--types=Normal,Warning] [options]")
        .args(print::arguments())
        .args([
            all_namespaces_flag(),
            number("chunk-size", "500", "Return large lists in chunks rather than all at once. Pass 0 to disable. This flag is beta and may change in the future."),
            text("for", "", "Filter events to only those pertaining to the specified resource."),
            switch("no-headers", "When using the default output format, don't print headers."),
            list("types", "Output only events of given types."),
            switch("watch", "After listing the requested events, watch for more events.").short('w'),
        ])
}

/// Which events are shown, and how.
struct Shown {
    types: Vec<String>,
    everywhere: bool,
    headers: bool,
    widths: Vec<usize>,
    printer: Option<Printer>,
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let (namespace, _) = factory.namespace()?;
    let everywhere = matches.on("all-namespaces");
    let fields = of_object(factory, &matches.text("for")).await?;
    let printer = Printer::read(factory, matches, &[])?;
    let types = matches.texts("types");
    if !types.iter().all(|kind| kind.eq_ignore_ascii_case("Normal") || kind.eq_ignore_ascii_case("Warning")) {
        return Err(Failure::new("valid --types are Normal or Warning"));
    }
    let mut shown = Shown { types, everywhere, headers: !matches.on("no-headers"), widths: Vec::new(), printer };
    let path = if everywhere { "/api/v1/events".to_owned() } else { format!("/api/v1/namespaces/{namespace}/events") };
    let call = Call::get(path).query_some("fieldSelector", &fields);
    if matches.on("watch") {
        return watch(factory, call, &mut shown).await;
    }
    let list = factory.call(call.query("limit", "500")).await?;
    let mut events: Vec<Value> = list["items"].as_array().into_iter().flatten().filter(|event| shown.wants(event)).cloned().collect();
    if events.is_empty() {
        let text = if everywhere { "No events found.".to_owned() } else { format!("No events found in {namespace} namespace.") };
        factory.streams.warn(&text);
        return Ok(());
    }
    events.sort_by_key(seen);
    for event in &mut events {
        event["apiVersion"] = "v1".into();
        event["kind"] = "Event".into();
    }
    shown.print(factory, &events, &list["metadata"])
}

/// The field selector of `--for TYPE/NAME`.
async fn of_object(factory: &Factory, word: &str) -> Result<String, Failure> {
    if word.is_empty() {
        return Ok(String::new());
    }
    let (kind, name) = word.split_once('/').ok_or_else(|| Failure::new("--for must be in resource/name form"))?;
    if name.contains('/') {
        return Err(Failure::new("arguments in resource/name form may not have more than one slash"));
    }
    let mapping = factory.find(kind).await.map_err(|failure| Failure::Plain(failure.text(), 1))?;
    Ok(format!("involvedObject.kind={},involvedObject.apiVersion={},involvedObject.name={name}", mapping.kind, mapping.api_version()))
}

/// When an event was seen last.
fn seen(event: &Value) -> Option<Timestamp> {
    let times = [&event["series"]["lastObservedTime"], &event["lastTimestamp"], &event["eventTime"]];
    times.iter().find_map(|time| time.as_str()).and_then(drydock_primitives::time::parse)
}

async fn watch(factory: &Factory, call: Call, shown: &mut Shown) -> Result<(), Failure> {
    let mut lines = factory.rest().await?.stream(&factory.streams, call.query("watch", "true")).await?.lines();
    while let Some(line) = lines.next_line().await? {
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        if matches!(event["type"].as_str(), Some("ADDED" | "MODIFIED")) && shown.wants(&event["object"]) {
            shown.print(factory, std::slice::from_ref(&event["object"]), &Value::Null)?;
            factory.streams.flush()?;
        }
    }
    Ok(())
}

/// The order of an event's fields in Go.
fn order(place: &str) -> &'static [&'static str] {
    match place {
        "" => &["kind", "apiVersion", "metadata", "involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "type", "eventTime", "series", "action", "related"],
        "metadata" => &["name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "labels"],
        "involvedObject" | "related" => &["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"],
        _ => &[],
    }
}

/// An event with the fields that Go's type always prints.
fn with_null_times(event: &Value) -> Value {
    let mut event = event.clone();
    if let Some(fields) = event.as_object_mut() {
        for field in ["firstTimestamp", "lastTimestamp", "eventTime"] {
            fields.entry(field).or_insert(Value::Null);
        }
        fields.entry("source").or_insert_with(|| json!({}));
        for field in ["reportingComponent", "reportingInstance"] {
            fields.entry(field).or_insert_with(|| "".into());
        }
    }
    event
}

impl Shown {
    fn wants(&self, event: &Value) -> bool {
        let own = event["type"].as_str().unwrap_or_default();
        self.types.is_empty() || self.types.iter().any(|kind| kind.eq_ignore_ascii_case(own))
    }

    fn print(&mut self, factory: &Factory, events: &[Value], metadata: &Value) -> Result<(), Failure> {
        if let Some(printer) = &mut self.printer {
            let object = match events {
                [one] if metadata.is_null() => {
                    printer.typed = Some(order);
                    with_null_times(one)
                }
                all => json!({"kind": "EventList", "apiVersion": "v1", "metadata": {}, "items": all}),
            };
            return printer.print(factory, &object);
        }
        let mut lines = Vec::new();
        if std::mem::take(&mut self.headers) {
            lines.push(self.placed("NAMESPACE", ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"].map(str::to_owned)));
        }
        let now = Timestamp::now();
        for event in events {
            let text = |value: &Value| value.as_str().unwrap_or_default().replace('\u{1b}', "^[").replace('\r', "\\r");
            let object = format!("{}/{}", text(&event["involvedObject"]["kind"]), text(&event["involvedObject"]["name"]));
            let cells = [event_age(now, event), text(&event["type"]), text(&event["reason"]), object, text(&event["message"]).trim().to_owned()];
            lines.push(self.placed(event["metadata"]["namespace"].as_str().unwrap_or_default(), cells));
        }
        factory.streams.print(align(&lines, &mut self.widths))
    }

    /// Cells with the namespace before them, when all namespaces are shown.
    fn placed(&self, namespace: &str, cells: [String; 5]) -> Vec<String> {
        self.everywhere.then(|| namespace.to_owned()).into_iter().chain(cells).collect()
    }
}
