//! `kubectl get`.
//!
//! People get the server's tables, one printer per kind; programs get objects. Both may be watched.
// upstream: kubectl/pkg/cmd/get/{get,sorter,humanreadable_flags}.go

mod sort;
mod watch;

use clap::{ArgMatches, Command};
use serde_json::Value;
use tokio::io::AsyncBufReadExt as _;

use crate::builder::{self, Failures, Request, Selection, items, or_namespace};
use crate::discovery::Mapping;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::print::table::{TableOptions, TablePrinter};
use crate::print::{self, Printer, list_of};
use crate::rest::{Call, JSON, TABLE};

/// Formats only `get` and its like know.
pub(super) const FORMATS: [&str; 3] = ["wide", "custom-columns", "custom-columns-file"];

/// Its flags.
pub fn command() -> Command {
    let mut printing = print::arguments();
    printing[0] = printing[0].clone().help("Output format. One of: (json, yaml, name, go-template, go-template-file, template, templatefile, jsonpath, jsonpath-as-json, jsonpath-file, custom-columns, custom-columns-file, wide). See custom columns [https://kubernetes.io/docs/reference/kubectl/#custom-columns], golang template [http://golang.org/pkg/text/template/#pkg-overview] and jsonpath template [https://kubernetes.io/docs/reference/kubectl/jsonpath/].");
    Command::new("get")
        .long_about("Display one or many resources.\n\n Prints the most important facts about the resources, one line each; the namespace is that of the current context unless you say otherwise.\n\nUse \"kubectl api-resources\" for a complete list of supported resources.")
        .after_help("# The pods of the current namespace\nkubectl get pods\n\n# With more columns\nkubectl get pods -o wide\n\n# One deployment, as YAML\nkubectl get deployment web -o yaml\n\n# Several kinds together\nkubectl get rc,services")
        .override_usage("kubectl get [(-o|--output=)json|yaml|name|go-template|go-template-file|template|templatefile|jsonpath|jsonpath-as-json|jsonpath-file|custom-columns|custom-columns-file|wide] (TYPE[.VERSION][.GROUP] [NAME | -l label] | TYPE[.VERSION][.GROUP]/NAME ...) [flags] [options]")
        .args(printing)
        .args(builder::file_flags("Filename, directory, or URL to files identifying the resource to get from a server."))
        .args([
            builder::all_namespaces_flag(),
            builder::label_flag(),
            builder::field_flag(),
            flags::number("chunk-size", "500", "Return large lists in chunks rather than all at once. Pass 0 to disable. This flag is beta and may change in the future."),
            flags::switch("ignore-not-found", "If the requested object does not exist the command will return exit code 0."),
            flags::list("label-columns", "Accepts a comma separated list of labels that are going to be presented as columns. Names are case-sensitive. You can also use multiple flag options like -L label1 -L label2...").short('L'),
            flags::switch("no-headers", "When using the default or custom-column output format, don't print headers (default print headers)."),
            flags::switch("output-watch-events", "Output watch event objects when --watch or --watch-only is used. Existing objects are output as initial ADDED events."),
            flags::text("raw", "", "Raw URI to request from the server.  Uses the transport specified by the kubeconfig file."),
            flags::switch_on("server-print", "If true, have the server return the appropriate table output. Supports extension APIs and CRDs."),
            flags::switch("show-kind", "If present, list the resource type for the requested object(s)."),
            flags::switch("show-labels", "When printing, show all labels as the last column (default hide labels column)"),
            flags::text("sort-by", "", "If non-empty, sort list types using this field specification.  The field specification is expressed as a JSONPath expression (e.g. '{.metadata.name}'). The field in the API resource specified by this JSONPath expression must be an integer or a string."),
            flags::text("subresource", "", "If specified, gets the subresource of the requested object."),
            flags::switch("watch", "After listing/getting the requested object, watch for changes.").short('w'),
            flags::switch("watch-only", "Watch for changes to the requested object(s), without listing/getting first."),
        ])
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let raw = matches.text("raw");
    let output = matches.text("output");
    if !raw.is_empty() && matches.arguments().is_empty() {
        if matches.on("watch") || matches.on("watch-only") || !matches.text("selector").is_empty() {
            return Err(Failure::new("--raw may not be specified with other flags that filter the server request or alter the output"));
        }
        if !output.is_empty() {
            return Err(Failure::new("--raw and --output are mutually exclusive"));
        }
    }
    if !raw.is_empty() {
        return get_raw(factory, matches, &raw).await;
    }
    let watching = matches.on("watch") || matches.on("watch-only");
    if matches.on("output-watch-events") && !watching {
        return Err(factory.usage("--output-watch-events option can only be used with --watch or --watch-only").into_plain());
    }
    let mut selection = Selection::read(factory, matches)?;
    if selection.words.is_empty() && !selection.has_files() {
        let help = "You must specify the type of resource to get. Use \"kubectl api-resources\" for a complete list of supported resources.\n\nerror: Required resource not specified.\nUse \"kubectl explain <resource>\" for a detailed description of that resource (e.g. kubectl explain pods).\nSee 'kubectl get -h' for help and examples";
        return Err(Failure::Plain(help.to_owned(), 1));
    }
    selection.empty_selects = true;
    selection.latest = true;
    let bulk = selection.words.len() == 1 && !selection.words[0].contains('/');
    if !selection.subresource.is_empty() && (bulk || !selection.labels.is_empty()) {
        return Err(Failure::new("subresource cannot be used when bulk resources are specified"));
    }
    let printer = Printer::read(factory, matches, &FORMATS)?;
    if matches.on("show-labels") && !matches!(output.as_str(), "" | "wide") {
        return Err(Failure::new(format!("--show-labels option cannot be used with {output} printer")));
    }
    if watching {
        return watch::run(factory, matches, &selection, printer).await;
    }
    match printer {
        Some(printer) => objects(factory, matches, &selection, printer).await,
        None => tables(factory, matches, &selection).await,
    }
}

async fn get_raw(factory: &Factory, matches: &ArgMatches, raw: &str) -> Result<(), Failure> {
    if !matches.arguments().is_empty() {
        return Err(factory.usage("arguments may not be passed when --raw is specified").into_plain());
    }
    if !raw.starts_with('/') {
        return Err(Failure::new(format!("--raw must be a valid URL path: parse {raw:?}: invalid URI for request")));
    }
    let (path, query) = raw.split_once('?').map_or((raw, ""), |(path, query)| (path, query));
    let path = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let mut answer = factory.rest().await?.stream(&factory.streams, Call::get(path).accept(crate::rest::ANYTHING)).await?;
    // As it comes: a watch does not end.
    loop {
        let bytes = answer.fill_buf().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        factory.streams.print(bytes)?;
        factory.streams.flush()?;
        let count = bytes.len();
        answer.consume(count);
    }
}

/// For programs.
async fn objects(factory: &Factory, matches: &ArgMatches, selection: &Selection, mut printer: Printer) -> Result<(), Failure> {
    let mut failures = Failures::default();
    let requests = selection.requests(factory).await?;
    let single = selection.single();
    let mut found: Vec<Value> = Vec::new();
    for request in requests {
        let infos = selection.ask(&mut failures, request, async |request| selection.answer(factory, request).await).await?;
        found.extend(infos.into_iter().flatten().map(|info| info.object));
    }
    let ignored = matches.on("ignore-not-found");
    let failed = failures.whole().and_then(|failure| if ignored { failure.without("NotFound") } else { Some(failure) });
    if ignored && found.is_empty() {
        return failed.map_or(Ok(()), Err);
    }
    if let Some(failure) = failed.clone().filter(|_| single) {
        return Err(failure);
    }
    let by = matches.text("sort-by");
    if !by.is_empty() {
        found = sort::objects(found, &by)?;
    }
    if single && let [object] = found.as_slice() {
        printer.print(factory, object)?;
    } else {
        printer.print(factory, &list_of(found))?;
    }
    Failure::all(failed.map_or(Vec::new(), Failure::apart))
}

/// How tables of this command look.
pub(super) fn options(matches: &ArgMatches, selection: &Selection) -> TableOptions {
    TableOptions {
        wide: matches.text("output") == "wide",
        no_headers: matches.on("no-headers"),
        namespace: selection.all_namespaces,
        kind: None,
        labels: matches.on("show-labels"),
        label_columns: matches.texts("label-columns"),
        events: matches.on("output-watch-events"),
    }
}

/// For people.
async fn tables(factory: &Factory, matches: &ArgMatches, selection: &Selection) -> Result<(), Failure> {
    let mut failures = Failures::default();
    let requests = selection.requests(factory).await?;
    let by = matches.text("sort-by");
    let accept = if matches.on("server-print") { TABLE } else { JSON };
    let mut found: Vec<(Mapping, Value)> = Vec::new();
    for request in requests {
        let tables = selection.ask(&mut failures, request, async |request| table(factory, selection, request, accept, !by.is_empty()).await).await?;
        found.extend(tables.into_iter().flatten());
    }
    let ignored = matches.on("ignore-not-found");
    let failed = failures.whole().and_then(|failure| if ignored { failure.without("NotFound") } else { Some(failure) });
    // What cannot be sorted is not shown: stock kubectl loses the failure.
    let everywhere = selection.all_namespaces || found.iter().any(|(mapping, _)| !mapping.namespaced);
    // One object by its name is in order.
    let named = found.len() == 1 && (selection.words.len() == 2 || selection.words.iter().any(|word| word.contains('/')));
    if !by.is_empty() && !named {
        match sort::tables(&mut found, &by) {
            Err(sort::Unordered::Fatal(failure)) => return Err(failure),
            Err(sort::Unordered::Lost) => found.clear(),
            Ok(()) => {}
        }
    }
    let several = found.iter().any(|(mapping, _)| mapping.kind != found[0].0.kind || mapping.group != found[0].0.group);
    let with_kind = matches.on("show-kind") || several;
    let wrote = print_tables(factory, &options(matches, selection), with_kind, &found)?;
    if !wrote && !ignored && failed.is_none() {
        let nothing = if everywhere { "No resources found".to_owned() } else { format!("No resources found in {} namespace.", selection.namespace) };
        factory.streams.warn(&nothing);
    }
    Failure::together(failed.into_iter().collect())
}

/// Whether anything was printed.
fn print_tables(factory: &Factory, options: &TableOptions, with_kind: bool, found: &[(Mapping, Value)]) -> Result<bool, Failure> {
    let mut wrote = false;
    let mut printer = TablePrinter::default();
    let mut last: Option<&Mapping> = None;
    for (mapping, table) in found {
        if table["rows"].as_array().is_some_and(Vec::is_empty) {
            continue;
        }
        if last.is_none_or(|last| last.resource != mapping.resource || last.group != mapping.group) {
            if wrote && !options.no_headers {
                factory.streams.line("")?;
            }
            printer = TablePrinter::new(for_kind(options, mapping, with_kind));
            last = Some(mapping);
        }
        let text = printer.print(table, "");
        wrote |= !text.is_empty();
        factory.streams.print(text)?;
    }
    Ok(wrote)
}

/// The options for one kind.
pub(super) fn for_kind(options: &TableOptions, mapping: &Mapping, with_kind: bool) -> TableOptions {
    let mut options = options.clone();
    options.namespace &= mapping.namespaced;
    options.kind = with_kind.then(|| mapping.group_kind_word());
    options
}

async fn table(factory: &Factory, selection: &Selection, request: Request, accept: &'static str, whole: bool) -> Result<Vec<(Mapping, Value)>, Failure> {
    let include = if whole { "Object" } else { "" };
    match request {
        Request::One(mapping, namespace, name) => {
            let mut path = mapping.path(&namespace, &name);
            if !selection.subresource.is_empty() {
                path = format!("{path}/{}", selection.subresource);
            }
            let got = factory.call(Call::get(path).accept(accept).query_some("includeObject", include)).await;
            let answer = or_namespace(factory, &namespace, got).await?;
            Ok(vec![(mapping, answer)])
        }
        Request::Refused(failure, _) => Err(failure),
        Request::Manifest(info, _) => {
            let got = factory.call(Call::get(info.path()).accept(accept).query_some("includeObject", include)).await;
            let answer = or_namespace(factory, &info.namespace, got).await?;
            Ok(if selection.keeps(&answer)? { vec![(info.mapping, answer)] } else { Vec::new() })
        }
        Request::List(mapping, namespace) => {
            let mut tables: Vec<(Mapping, Value)> = Vec::new();
            let mut next = String::new();
            loop {
                let call = selection.list_call(&mapping, &namespace, &next).accept(accept).query_some("includeObject", include);
                let part = factory.call(call).await.map_err(|failure| selection.unfit(&mapping, failure))?;
                next = part["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
                match tables.first_mut() {
                    None => tables.push((mapping.clone(), part)),
                    Some((_, first)) => append(first, part),
                }
                if next.is_empty() {
                    return Ok(tables);
                }
            }
        }
    }
}

/// The rows of a further part.
fn append(first: &mut Value, mut part: Value) {
    let field = if first["kind"] == "Table" { "rows" } else { "items" };
    if let (Some(rows), Some(more)) = (first[field].as_array_mut(), part[field].as_array_mut()) {
        rows.append(more);
    }
}

/// The objects of an answer that may be a list.
pub(super) fn each(answer: &Value) -> Vec<Value> {
    if answer["items"].is_array() { items(answer) } else { vec![answer.clone()] }
}
