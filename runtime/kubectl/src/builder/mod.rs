//! From words, selectors and files to objects.
//!
//! 1. A command says what it takes with a [`Selection`].
//! 2. [`Selection::requests`] turns that into [`Request`]s: one object, a list, or a manifest, without asking for objects yet.
//! 3. [`Selection::infos`] asks for them, lists taken apart.
// upstream: cli-runtime/pkg/resource/{builder,visitor}.go

mod failures;
mod files;
mod scheme;
mod stream;

use std::cell::Cell;

use clap::{Arg, ArgMatches};
use drydock_primitives::selector::LabelSelector;
use serde_json::Value;

pub use failures::{Failures, Origin};
pub use files::{json_type, no_object, objects_of, read_source};
pub use scheme::compiled_with;
pub use stream::{go_json_error, read_yaml};

use crate::discovery::Mapping;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::rest::Call;

/// What a command works on.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// `-f`
    pub filenames: Vec<String>,
    /// `-k`
    pub kustomize: String,
    /// `-R`
    pub recursive: bool,
    /// `TYPE NAME...`, `TYPE/NAME...`
    pub words: Vec<String>,
    /// `-l`
    pub labels: String,
    /// `--field-selector`
    pub fields: String,
    /// `--all`
    pub all: bool,
    /// Whether a type without names means all of it.
    pub empty_selects: bool,
    /// `-A`
    pub all_namespaces: bool,
    /// Where names are looked up.
    pub namespace: String,
    /// Whether manifests must agree with the namespace.
    pub enforced: bool,
    /// Take a subresource.
    pub subresource: String,
    /// How many objects a part of a list has.
    pub chunk: i64,
    /// Whether manifests are replaced by what the server has.
    pub latest: bool,
    /// How manifests are judged before they are sent: `Strict`, `Warn`, or not at all.
    pub validation: &'static str,
    /// The type of words that are names alone, such as `pods`.
    pub default_type: String,
    /// Whether the first failure ends it.
    pub stops: bool,
    /// Whether the server is asked nothing, not even for its kinds.
    pub local: bool,
    /// Whether manifests are of kinds stock kubectl is compiled with.
    pub typed: bool,
    /// Whether one of the files that were read has a list.
    pub listed: Cell<bool>,
}

/// An object, where it lives and where it came from.
#[derive(Debug, Clone, Default)]
pub struct Info {
    /// Its kind.
    pub mapping: Mapping,
    /// Its namespace; empty for what has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The file it came from, or nothing.
    pub source: String,
    /// The object.
    pub object: Value,
}

impl Info {
    /// Its path.
    pub fn path(&self) -> String {
        self.mapping.path(&self.namespace, &self.name)
    }

    /// Its path, where it has a name: without one it would be the path of all of its kind.
    // upstream: client-go/rest/request.go Name
    pub fn own_path(&self) -> Result<String, Failure> {
        if self.name.is_empty() { Err(Failure::new("resource name may not be empty")) } else { Ok(self.path()) }
    }

    /// `deployment.apps/web`.
    pub fn word(&self) -> String {
        format!("{}/{}", self.mapping.group_kind_word(), self.name)
    }

    /// `deployments/web`; where the server is not asked for kinds `deployment.apps/web` and, as upstream, a line break.
    // upstream: cli-runtime/pkg/resource/visitor.go ObjectName
    pub fn object_name(&self, local: bool) -> String {
        let Mapping { group, resource, .. } = &self.mapping;
        if local && !group.is_empty() { format!("{}\n", self.word()) } else { format!("{resource}/{}", self.name) }
    }

    /// Ask for it again.
    pub async fn get(&self, factory: &Factory) -> Result<Value, Failure> {
        let got = factory.call(Call::get(self.own_path()?)).await;
        or_namespace(factory, &self.namespace, got).await
    }

    fn of(mapping: &Mapping, object: Value) -> Self {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        Self { mapping: mapping.clone(), namespace: text("namespace"), name: text("name"), source: String::new(), object }
    }
}

/// Where the namespace of something missing is missing, that is told.
// upstream: cli-runtime/pkg/resource/visitor.go Info.Get
pub async fn or_namespace(factory: &Factory, namespace: &str, got: Result<Value, Failure>) -> Result<Value, Failure> {
    match got {
        Err(failure) if failure.is("NotFound") && !matches!(namespace, "" | "default") => {
            match factory.call(Call::get(format!("/api/v1/namespaces/{}", crate::discovery::segment(namespace)))).await {
                Err(missing) if missing.is("NotFound") => Err(missing),
                _ => Err(failure),
            }
        }
        other => other,
    }
}

/// One thing to ask for.
#[derive(Debug, Clone)]
pub enum Request {
    /// One object: kind, namespace, name.
    One(Mapping, String, String),
    /// A list in a namespace, or everywhere.
    List(Mapping, String),
    /// What a file says.
    Manifest(Info, Origin),
    /// What cannot be asked for.
    Refused(Failure, Origin),
}

impl Request {
    /// Where it stood.
    pub fn origin(&self) -> Origin {
        match self {
            Self::One(..) => Origin::Named,
            Self::List(..) => Origin::Source,
            Self::Manifest(_, origin) | Self::Refused(_, origin) => *origin,
        }
    }
}

/// `-f`, `-k` and `-R`.
pub fn file_flags(help: &'static str) -> [Arg; 3] {
    [
        flags::list("filename", help).short('f'),
        flags::text("kustomize", "", "Process the kustomization directory. This flag can't be used together with -f or -R.").short('k'),
        flags::switch("recursive", "Process the directory used in -f, --filename recursively. Useful when you want to manage related manifests organized within the same directory.").short('R'),
    ]
}

/// `-l`.
pub fn label_flag() -> Arg {
    flags::text("selector", "", "Selector (label query) to filter on, supports '=', '==', '!=', 'in', 'notin'.(e.g. -l key1=value1,key2=value2,key3 in (value3)). Matching objects must satisfy all of the specified label constraints.").short('l')
}

/// `-A`.
pub fn all_namespaces_flag() -> Arg {
    flags::switch("all-namespaces", "If present, list the requested object(s) across all namespaces. Namespace in current context is ignored even if specified with --namespace.").short('A')
}

/// `--field-selector`.
pub fn field_flag() -> Arg {
    flags::text("field-selector", "", "Selector (field query) to filter on, supports '=', '==', and '!='.(e.g. --field-selector key1=value1,key2=value2). The server only supports a limited number of field queries per type.")
}

impl Selection {
    /// From the flags a command has and the words it was given.
    pub fn read(factory: &Factory, matches: &ArgMatches) -> Result<Self, Failure> {
        let (namespace, enforced) = factory.namespace()?;
        Ok(Self {
            filenames: matches.texts("filename"),
            kustomize: matches.text("kustomize"),
            recursive: matches.on("recursive"),
            words: matches.arguments(),
            labels: matches.text("selector"),
            fields: matches.text("field-selector"),
            all: matches.on("all"),
            empty_selects: false,
            all_namespaces: matches.on("all-namespaces"),
            namespace,
            enforced,
            subresource: matches.text("subresource"),
            chunk: if matches.try_contains_id("chunk-size").is_ok() { matches.number("chunk-size") } else { 500 },
            latest: false,
            validation: "",
            default_type: String::new(),
            stops: false,
            local: matches.on("local"),
            typed: false,
            listed: Cell::new(false),
        })
    }

    /// The same, of a command that reads manifests of the kinds it was compiled with.
    // upstream: cli-runtime/pkg/resource/builder.go WithScheme
    pub fn read_typed(factory: &Factory, matches: &ArgMatches) -> Result<Self, Failure> {
        Ok(Self { typed: true, ..Self::read(factory, matches)? })
    }

    /// `--local` knows files only; what else is named is refused in these words.
    pub fn refuse_words(&self, refusal: &str) -> Result<(), Failure> {
        if self.local && !self.words.is_empty() { Err(Failure::new(refusal)) } else { Ok(()) }
    }

    /// Whether files are named.
    pub fn has_files(&self) -> bool {
        !self.filenames.is_empty() || !self.kustomize.is_empty()
    }

    /// Whether the words name one object, or one file does.
    // upstream: cli-runtime/pkg/resource/builder.go, singleItemImplied
    pub fn single(&self) -> bool {
        match (self.filenames.as_slice(), self.words.as_slice()) {
            ([], [word]) => word.contains('/') && !word.contains(','),
            ([], [kind, _]) => !kind.contains([',', '/']),
            ([file], []) => file != "-" && files::is_one(std::path::Path::new(file), self.recursive),
            _ => false,
        }
    }

    /// What to ask for, with what of it cannot be.
    pub async fn requests(&self, factory: &Factory) -> Result<Vec<Request>, Failure> {
        if self.has_files() {
            if !self.words.is_empty() {
                return Err(Failure::new("when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well"));
            }
            let mut found = self.documents(factory).await?;
            if let Some(selector) = self.sieve()?.filter(|_| !self.latest) {
                found.retain(|request| !matches!(request, Request::Manifest(info, _) if !labelled(&selector, &info.object)));
            }
            return Ok(found);
        }
        let selects = !self.labels.is_empty() || !self.fields.is_empty() || self.all;
        if self.combined()? {
            if selects {
                return Err(Failure::new("selectors and the all flag cannot be used when passing resource/name arguments"));
            }
            return self.pairs(factory).await;
        }
        let (types, names) = match self.words.split_first() {
            _ if !self.default_type.is_empty() => (vec![self.default_type.as_str()], self.words.as_slice()),
            Some((first, names)) => (first.split(',').collect(), names),
            None if selects => return Err(Failure::new("at least one resource must be specified to use a selector")),
            None => return Err(missing()),
        };
        if selects && !names.is_empty() {
            return Err(Failure::new("name cannot be provided when a selector is specified"));
        }
        if types.len() > 1 && types.contains(&"") && !names.is_empty() {
            return Err(Failure::new("arguments in resource/name form must have a single resource and name"));
        }
        let mappings = types_of(factory, &types).await?;
        if names.is_empty() && !selects && !self.empty_selects {
            return Err(Failure::new("resource(s) were provided, but no name was specified"));
        }
        if names.is_empty() {
            let place = |mapping: &Mapping| if self.all_namespaces || !mapping.namespaced { String::new() } else { self.namespace.clone() };
            return Ok(mappings.into_iter().map(|mapping| { let namespace = place(&mapping); Request::List(mapping, namespace) }).collect());
        }
        if types.len() == 1 && mappings.len() > 1 {
            return Err(Failure::new("you must specify only one resource"));
        }
        // `deploy,svc web` means both by that name.
        mappings.iter().flat_map(|mapping| names.iter().map(|name| self.one(mapping, name))).collect()
    }

    /// What `-l` leaves of files; where nothing but files is looked at it leaves all.
    fn sieve(&self) -> Result<Option<LabelSelector>, Failure> {
        if self.labels.is_empty() || self.local { Ok(None) } else { matching(&self.labels).map(Some) }
    }

    /// Whether `-l` leaves what the server answered for an object of a file. A table has no labels, as upstream.
    // upstream: cli-runtime/pkg/resource/builder.go visitByPaths: the labels are looked at after RetrieveLatest
    pub fn keeps(&self, answer: &Value) -> Result<bool, Failure> {
        Ok(self.sieve()?.is_none_or(|selector| labelled(&selector, answer)))
    }

    fn one(&self, mapping: &Mapping, name: &str) -> Result<Request, Failure> {
        if mapping.namespaced && self.all_namespaces {
            return Err(Failure::new("a resource cannot be retrieved by name across all namespaces"));
        }
        // upstream: cli-runtime/pkg/resource/builder.go visitByName, apimachinery/pkg/api/validation/path/name.go
        if name.is_empty() {
            return Err(Failure::new("resource name may not be empty"));
        }
        let illegal = match name {
            "." | ".." => Some(format!("may not be '{name}'")),
            _ => ["/", "%"].into_iter().find(|part| name.contains(part)).map(|part| format!("may not contain '{part}'")),
        };
        if let Some(why) = illegal {
            return Err(Failure::new(format!("invalid resource name {name:?}: [{why}]")));
        }
        let namespace = if mapping.namespaced { self.namespace.clone() } else { String::new() };
        Ok(Request::One(mapping.clone(), namespace, name.to_owned()))
    }

    /// Whether all words are `TYPE/NAME`.
    fn combined(&self) -> Result<bool, Failure> {
        let slashes = self.words.iter().filter(|word| word.contains('/')).count();
        if !self.default_type.is_empty() {
            return Ok(slashes > 0);
        }
        if slashes > 0 && slashes < self.words.len() {
            return Err(Failure::new("there is no need to specify a resource type as a separate argument when passing arguments in resource/name form (e.g. 'kubectl get resource/<resource_name>' instead of 'kubectl get resource resource/<resource_name>'"));
        }
        Ok(slashes > 0)
    }

    async fn pairs(&self, factory: &Factory) -> Result<Vec<Request>, Failure> {
        let mut requests = Vec::new();
        for word in &self.words {
            let (kind, name) = match word.split_once('/') {
                Some((_, name)) if name.contains('/') => return Err(Failure::new("arguments in resource/name form may not have more than one slash")),
                Some((kind, name)) if kind.is_empty() || name.is_empty() => {
                    return Err(Failure::new("arguments in resource/name form must have a single resource and name"));
                }
                Some(pair) => pair,
                None => (self.default_type.as_str(), word.as_str()),
            };
            for mapping in types_of(factory, &kind.split(',').collect::<Vec<_>>()).await? {
                requests.push(self.one(&mapping, name)?);
            }
        }
        Ok(requests)
    }

    /// Work on one after the other; what failed, there or before, is told at the end.
    // upstream: cli-runtime/pkg/resource/result.go Visit
    pub async fn visit(&self, factory: &Factory, work: impl AsyncFnMut(Info) -> Result<(), Failure>) -> Result<(), Failure> {
        self.visit_each(factory, self.requests(factory).await?, work).await
    }

    async fn visit_each(&self, factory: &Factory, requests: Vec<Request>, mut work: impl AsyncFnMut(Info) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut failures = Failures::default();
        for request in requests {
            for info in self.ask(&mut failures, request, async |request| self.answer(factory, request).await).await?.into_iter().flatten() {
                if let Err(failure) = work(info).await {
                    failures.push(Origin::Named, failure)?;
                }
            }
            if self.stops && !failures.is_empty() {
                break;
            }
        }
        failures.whole().map_or(Ok(()), Err)
    }

    /// The answer to a request, if there is one to work on; what fails is kept, and what is of another namespace than the one asked for has failed.
    // upstream: cli-runtime/pkg/resource/visitor.go RequireNamespace: it is looked at after RetrieveLatest
    pub async fn ask<T>(&self, failures: &mut Failures, request: Request, answer: impl AsyncFnOnce(Request) -> Result<T, Failure>) -> Result<Option<T>, Failure> {
        let origin = request.origin();
        let elsewhere = if let Request::Manifest(info, _) = &request { self.elsewhere(info) } else { None };
        match (answer(request).await, elsewhere) {
            (Ok(found), None) => return Ok(Some(found)),
            (Ok(_), Some(failure)) => failures.push(Origin::Named, failure)?,
            (Err(failure), _) => failures.push(origin, failure)?,
        }
        Ok(None)
    }

    /// Ask for everything; what failed stands beside what came. What cannot even be asked for is an error.
    pub async fn gather(&self, factory: &Factory) -> Result<(Vec<Info>, Option<Failure>), Failure> {
        let mut infos = Vec::new();
        let requests = self.requests(factory).await?;
        match self.visit_each(factory, requests, async |info| { infos.push(info); Ok(()) }).await {
            Err(failure @ (Failure::Unreachable(_) | Failure::Exit(_))) => Err(failure),
            outcome => Ok((infos, outcome.err())),
        }
    }

    /// Ask for everything, or tell what failed.
    pub async fn infos(&self, factory: &Factory) -> Result<Vec<Info>, Failure> {
        let (infos, failed) = self.gather(factory).await?;
        failed.map_or(Ok(infos), Err)
    }

    /// The one object there is; `several` is said of more, of a list however short it is, and of what might have been more.
    // upstream: cli-runtime/pkg/resource/result.go Object, where lists are not taken apart
    pub async fn only(&self, factory: &Factory, several: &str) -> Result<Info, Failure> {
        let mut requests = self.requests(factory).await?;
        // What is in a list is not looked at.
        requests.retain(|request| !matches!(request, Request::Refused(_, Origin::Item(_))));
        let mut infos = Vec::new();
        self.visit_each(factory, requests, async |info| { infos.push(info); Ok(()) }).await?;
        if infos.len() > 1 || self.has_files() && (self.listed.get() || !self.single()) {
            return Err(Failure::new(several));
        }
        infos.pop().ok_or_else(|| Failure::new("no resource matched"))
    }

    /// The objects of one request.
    pub async fn answer(&self, factory: &Factory, request: Request) -> Result<Vec<Info>, Failure> {
        match request {
            Request::Refused(failure, _) => Err(failure),
            Request::Manifest(mut info, _) => {
                if self.latest {
                    info.object = info.get(factory).await?;
                    if !self.keeps(&info.object)? {
                        return Ok(Vec::new());
                    }
                }
                Ok(vec![info])
            }
            Request::One(mapping, namespace, name) => {
                let mut path = mapping.path(&namespace, &name);
                if !self.subresource.is_empty() {
                    path = format!("{path}/{}", self.subresource);
                }
                let got = factory.call(Call::get(path)).await;
                let object = or_namespace(factory, &namespace, got).await?;
                Ok(vec![Info { mapping, namespace, name, source: String::new(), object }])
            }
            Request::List(mapping, namespace) => {
                let list = self.list(factory, &mapping, &namespace).await?;
                Ok(items(&list).into_iter().map(|object| Info::of(&mapping, object)).collect())
            }
        }
    }

    /// A whole list, fetched in parts.
    pub async fn list(&self, factory: &Factory, mapping: &Mapping, namespace: &str) -> Result<Value, Failure> {
        let mut list = Value::Null;
        let mut next = String::new();
        loop {
            let part = factory.call(self.list_call(mapping, namespace, &next)).await.map_err(|failure| self.unfit(mapping, failure))?;
            next = part["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
            if list.is_null() {
                list = part;
            } else if let (Some(all), Value::Array(more)) = (list["items"].as_array_mut(), part["items"].clone()) {
                all.extend(more);
            }
            if next.is_empty() {
                return Ok(list);
            }
        }
    }

    /// The request for a part of a list.
    pub fn list_call(&self, mapping: &Mapping, namespace: &str, next: &str) -> Call {
        let call = Call::get(mapping.list_path(namespace)).query_some("continue", next).query_some("fieldSelector", &self.fields).query_some("labelSelector", &self.labels);
        if self.chunk == 0 { call } else { call.query("limit", self.chunk.to_string()) }
    }

    /// A selector the server refuses is told with the selector.
    // upstream: cli-runtime/pkg/resource/selector.go EnhanceListError
    pub fn unfit(&self, mapping: &Mapping, failure: Failure) -> Failure {
        let Failure::Status(mut status) = failure else { return failure };
        let id = format!("{}/{}, Resource={}", mapping.group, mapping.version, mapping.resource);
        let (labels, fields) = (&self.labels, &self.fields);
        let message = status["message"].as_str().unwrap_or_default().to_owned();
        match status["reason"].as_str().unwrap_or_default() {
            "BadRequest" | "NotFound" if !(labels.is_empty() && fields.is_empty()) => {
                status["message"] = format!("Unable to find {id:?} that match label selector {labels:?}, field selector {fields:?}: {message}").into();
            }
            "BadRequest" | "NotFound" => status["message"] = format!("Unable to list {id:?}: {message}").into(),
            _ => {}
        }
        Failure::Status(status)
    }
}

/// The objects of a list, each with its version and kind.
pub fn items(list: &Value) -> Vec<Value> {
    let kind = list["kind"].as_str().unwrap_or_default().trim_end_matches("List").to_owned();
    let mut items = list["items"].as_array().cloned().unwrap_or_default();
    for item in &mut items {
        if let Some(fields) = item.as_object_mut() {
            if !kind.is_empty() {
                fields.entry("kind").or_insert_with(|| kind.clone().into());
            }
            fields.entry("apiVersion").or_insert_with(|| list["apiVersion"].clone());
        }
    }
    items
}

/// A label selector read here, for commands that filter manifests.
pub fn matching(selector: &str) -> Result<LabelSelector, Failure> {
    selector.parse().map_err(|error: drydock_primitives::selector::SelectorError| Failure::new(format!("the provided selector {selector:?} is not valid: {error}")))
}

fn labelled(selector: &LabelSelector, object: &Value) -> bool {
    selector.matches_json(Some(&object["metadata"]["labels"]))
}

/// `a=b,c=d` as labels; nothing but equality makes labels.
pub fn equal_labels(selector: &str) -> Result<Value, Failure> {
    let mut labels = serde_json::Map::new();
    for part in selector.split(',').filter(|part| !part.is_empty()) {
        let pair = part.split_once("==").or_else(|| part.split_once('=')).filter(|(key, _)| !key.ends_with('!'));
        let (key, value) = pair.ok_or_else(|| Failure::new(format!("unexpected selector: {selector}")))?;
        labels.insert(key.trim().to_owned(), value.trim().into());
    }
    Ok(Value::Object(labels))
}

/// What a command says that is to ask the server nothing and is given no file.
// upstream: cli-runtime/pkg/resource/builder.go LocalResourceError
pub const LOCAL: &str = "you must specify resources by --filename when --local is set.\nExample resource specifications include:\n   '-f rsrc.yaml'\n   '--filename=rsrc.json'";

/// What a command says that needs something to work on.
pub fn missing() -> Failure {
    Failure::new("You must provide one or more resources by argument or filename.\nExample resource specifications include:\n   '-f rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'")
}

/// The kinds that words mean; a category is many.
pub async fn types_of(factory: &Factory, words: &[&str]) -> Result<Vec<Mapping>, Failure> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for word in words.iter().copied() {
        let category: Vec<Mapping> = factory.mapper().await?.category(word).into_iter().cloned().collect();
        if category.is_empty() {
            mappings.push(factory.find(word).await?);
        } else {
            mappings.extend(category);
        }
    }
    Ok(mappings)
}
