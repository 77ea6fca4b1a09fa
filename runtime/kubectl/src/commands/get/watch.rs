//! `kubectl get --watch`.

use clap::ArgMatches;
use serde_json::{Value, json};
use tokio::io::AsyncBufReadExt;

use super::{each, for_kind, options};
use crate::builder::{Request, Selection};
use crate::discovery::Mapping;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::Flags;
use crate::print::Printer;
use crate::print::table::TablePrinter;
use crate::rest::{Call, JSON, TABLE};

/// Show what is there, then what happens to it.
pub(super) async fn run(factory: &Factory, matches: &ArgMatches, selection: &Selection, printer: Option<Printer>) -> Result<(), Failure> {
    let mut failures = Vec::new();
    let mut requests = selection.requests(factory, &mut failures).await?;
    if let Some(failure) = failures.pop() {
        return Err(failure);
    }
    if requests.len() > 1 {
        return Err(Failure::new("you may only specify a single resource type"));
    }
    let Some(request) = requests.pop() else { return Ok(()) };
    let (mapping, namespace, name) = match request {
        Request::One(mapping, namespace, name) => (mapping, namespace, name),
        Request::List(mapping, namespace) => (mapping, namespace, String::new()),
        Request::Manifest(info) => (info.mapping, info.namespace, info.name),
    };
    let events = matches.on("output-watch-events");
    let table = TablePrinter::new(for_kind(&options(matches, selection), &mapping, matches.on("show-kind")));
    let mut output = Output { table, printer, events };
    let accept = if output.printer.is_some() { JSON } else { TABLE };
    let mut version = String::new();
    if !matches.on("watch-only") || name.is_empty() || output.printer.is_some() {
        version = first(factory, selection, (&mapping, &namespace, &name), accept, matches.on("watch-only"), &mut output).await?;
    }
    let fields = if name.is_empty() { selection.fields.clone() } else { format!("metadata.name={name}") };
    let call = Call::get(mapping.list_path(&namespace))
        .accept(accept)
        .query_some("fieldSelector", &fields)
        .query_some("labelSelector", &selection.labels)
        .query_some("resourceVersion", &version)
        .query("watch", "true");
    match factory.request_timeout()? {
        // The end of a watch is no failure.
        Some(limit) => tokio::time::timeout(limit, follow(factory, call, &mut output)).await.unwrap_or(Ok(())),
        None => follow(factory, call, &mut output).await,
    }
}

/// Print what is there; the version after which to watch.
async fn first(
    factory: &Factory,
    selection: &Selection,
    (mapping, namespace, name): (&Mapping, &str, &str),
    accept: &'static str,
    silent: bool,
    output: &mut Output,
) -> Result<String, Failure> {
    let call = if name.is_empty() { selection.list_call(mapping, namespace, "") } else { Call::get(mapping.path(namespace, name)) };
    let answer = factory.call(call.accept(accept)).await?;
    let metadata = &answer["metadata"]["resourceVersion"];
    let row = &answer["rows"][0]["object"]["metadata"]["resourceVersion"];
    let version = metadata.as_str().or(row.as_str()).unwrap_or_default().to_owned();
    if !silent {
        output.show(factory, "ADDED", &answer)?;
        factory.streams.flush()?;
    }
    Ok(version)
}

async fn follow(factory: &Factory, call: Call, output: &mut Output) -> Result<(), Failure> {
    let stream = factory.rest().await?.stream(&factory.streams, call).await?;
    let mut lines = stream.lines();
    while let Some(line) = lines.next_line().await? {
        let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
        match event["type"].as_str().unwrap_or_default() {
            "BOOKMARK" => {}
            "ERROR" => return Err(Failure::Status(Box::new(event["object"].clone()))),
            kind => {
                output.show(factory, kind, &event["object"])?;
                factory.streams.flush()?;
            }
        }
    }
    Ok(())
}

struct Output {
    table: TablePrinter,
    printer: Option<Printer>,
    events: bool,
}

impl Output {
    fn show(&mut self, factory: &Factory, event: &str, answer: &Value) -> Result<(), Failure> {
        match &mut self.printer {
            None if answer["rows"].as_array().is_some_and(Vec::is_empty) => Ok(()),
            None => factory.streams.print(self.table.print(answer, event)),
            Some(printer) => {
                for object in each(answer) {
                    if self.events {
                        printer.print(factory, &json!({"type": event, "object": object}))?;
                    } else {
                        printer.print(factory, &object)?;
                    }
                }
                Ok(())
            }
        }
    }
}
