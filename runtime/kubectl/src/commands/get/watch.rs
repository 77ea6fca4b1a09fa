//! `kubectl get --watch`.

use clap::ArgMatches;
use serde_json::Value;
use tokio::io::AsyncBufReadExt;

use super::{append, each, for_kind, options};
use crate::builder::{Origin, Request, Selection, or_namespace};
use crate::discovery::Mapping;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::Flags;
use crate::print::{Format, Printer};
use crate::print::table::TablePrinter;
use crate::rest::{Call, JSON, TABLE};

/// Show what is there, then what happens to it.
pub(super) async fn run(factory: &Factory, matches: &ArgMatches, selection: &Selection, printer: Option<Printer>) -> Result<(), Failure> {
    let mut requests = selection.requests(factory).await?;
    // A list is refused where it stands.
    let list = requests.iter().position(|request| matches!(request.origin(), Origin::Item(_)));
    requests.truncate(list.unwrap_or(usize::MAX));
    let of_list = selection.listed.get().then(|| Failure::new("watch is only supported on individual resources and resource collections, but a list of resources is found"));
    let places: Result<Vec<Place>, Failure> = requests.into_iter().map(|request| match request {
        Request::One(mapping, namespace, name) => Ok((mapping, namespace, name)),
        Request::List(mapping, namespace) => Ok((mapping, namespace, String::new())),
        Request::Manifest(info, _) => selection.elsewhere(&info).map_or(Ok((info.mapping, info.namespace, info.name)), Err),
        Request::Refused(failure, _) => Err(failure),
    }).collect();
    let mut places = places?.into_iter();
    let Some(place) = places.next() else { return of_list.map_or(Ok(()), Err) };
    let others: Vec<Place> = places.collect();
    let of_file = selection.has_files();
    let mixed = others.iter().any(|other| other.0 != place.0 || other.2.is_empty());
    if mixed && !of_file {
        return Err(Failure::new("you may only specify a single resource type"));
    }
    let events = matches.on("output-watch-events");
    let table = TablePrinter::new(for_kind(&options(matches, selection), &place.0, matches.on("show-kind")));
    let mut output = Output { table, printer, events };
    let accept = if output.printer.is_some() { JSON } else { TABLE };
    let several = !others.is_empty();
    let mut answers = Vec::new();
    for (mapping, namespace, name) in std::iter::once(&place).chain(&others) {
        let call = if name.is_empty() { selection.list_call(mapping, namespace, "") } else { Call::get(mapping.path(namespace, name)) };
        let got = factory.call(call.accept(accept)).await;
        let answer = or_namespace(factory, if name.is_empty() { "" } else { namespace }, got).await?;
        if of_file && !selection.keeps(&answer)? {
            continue;
        }
        match answers.first_mut() {
            // Rows of one kind are one table.
            Some(first) if output.printer.is_none() && answer["rows"].is_array() => append(first, answer),
            _ => answers.push(answer),
        }
    }
    if let Some(failure) = of_list {
        return Err(failure);
    }
    if mixed {
        return Err(Failure::new("watch is only supported on individual resources and resource collections - more than 1 resource was found"));
    }
    if !matches.on("watch-only") {
        for answer in &answers {
            output.show(factory, "ADDED", answer)?;
        }
        factory.streams.flush()?;
    }
    if several {
        // upstream: cli-runtime/pkg/resource/result.go Watch, where one file is one source
        return Err(Failure::new(match of_file && selection.single() {
            true => format!("watch is only supported on individual resources and resource collections - {} resources were found", others.len() + 1),
            false => "you may only watch a single resource or type of resource at a time".to_owned(),
        }));
    }
    if answers.is_empty() {
        return Ok(());
    }
    let (mapping, namespace, name) = place;
    // An object may be older than what the server remembers of changes: watching it begins now, with the object as it is.
    let version = if name.is_empty() { answers[0]["metadata"]["resourceVersion"].as_str().unwrap_or_default() } else { "0" };
    let fields = if name.is_empty() { selection.fields.clone() } else { format!("metadata.name={name}") };
    let call = Call::get(mapping.list_path(&namespace))
        .accept(accept)
        .query_some("fieldSelector", &fields)
        .query_some("labelSelector", &selection.labels)
        .query_some("resourceVersion", version)
        .query("watch", "true");
    let following = follow(factory, call, &mut output, !name.is_empty());
    match factory.request_timeout()? {
        // The end of a watch is no failure.
        Some(limit) => tokio::time::timeout(limit, following).await.unwrap_or(Ok(())),
        None => following.await,
    }
}

/// A kind, a namespace and, of one object, its name.
type Place = (Mapping, String, String);

/// Print what happens; `known` says that the first event only repeats what is known.
// upstream: kubectl/pkg/cmd/get/get.go watch
async fn follow(factory: &Factory, call: Call, output: &mut Output, mut known: bool) -> Result<(), Failure> {
    let stream = factory.rest().await?.stream(&factory.streams, call).await?;
    let mut lines = stream.lines();
    while let Some(line) = lines.next_line().await? {
        let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
        match event["type"].as_str().unwrap_or_default() {
            "BOOKMARK" => {}
            "ERROR" => return Err(Failure::Status(Box::new(event["object"].clone()))),
            _ if std::mem::take(&mut known) => {}
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
                    // The name is the object's, whatever happens to it.
                    if self.events && !matches!(printer.format, Format::Name) {
                        printer.print_event(factory, event, &object)?;
                    } else {
                        printer.print(factory, &object)?;
                    }
                }
                Ok(())
            }
        }
    }
}
