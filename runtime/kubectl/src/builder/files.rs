//! Manifests: files, directories, URLs, standard input; documents, lists taken apart.
// upstream: cli-runtime/pkg/resource/visitor.go, apimachinery/pkg/util/yaml/decoder.go

use std::path::{Path, PathBuf};

use http_body_util::BodyExt;
use serde_json::Value;

use super::stream::{Document, documents};
use super::{Info, Origin, Request, Selection, items, missing};
use crate::discovery::Mapping;
use crate::factory::Factory;
use crate::failure::{Failure, go_io};

/// File names that are read in directories.
const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

/// What stock kubectl calls the kinds it was compiled with: a line of its code.
const SCHEME: &str = "\"pkg/scheme/scheme.go:28\"";

impl Selection {
    /// Every object of every file; what is none stands beside them.
    pub async fn manifests(&self, factory: &Factory, failures: &mut Vec<Failure>) -> Result<Vec<Info>, Failure> {
        let mut infos = Vec::new();
        for document in self.documents(factory).await? {
            match document {
                Request::Manifest(info, _) => match self.elsewhere(&info) {
                    Some(failure) => failures.push(failure),
                    None => infos.push(info),
                },
                Request::Refused(failure, _) => failures.push(failure),
                Request::One(..) | Request::List(..) => {}
            }
        }
        Ok(infos)
    }

    /// What the files say, in its order.
    pub(super) async fn documents(&self, factory: &Factory) -> Result<Vec<Request>, Failure> {
        if !self.kustomize.is_empty() && !self.filenames.is_empty() {
            return Err(Failure::new("only one of -f or -k can be specified"));
        }
        if !self.kustomize.is_empty() {
            return Err(Failure::new("kustomize is not part of this kubectl: give the built manifests with -f"));
        }
        let mut found = Vec::new();
        for name in &self.filenames {
            for (source, text) in self.texts(factory, name).await? {
                self.objects(factory, &source, &text, &mut found).await?;
            }
        }
        if found.is_empty() && self.filenames.is_empty() {
            return Err(missing());
        }
        Ok(found)
    }

    /// The objects of a text, one document after the other.
    async fn objects(&self, factory: &Factory, source: &str, text: &str, found: &mut Vec<Request>) -> Result<(), Failure> {
        let (documents, broken) = documents(text);
        for document in documents.iter().filter(|document| !document.value.is_null()) {
            // What is refused here ends its file.
            if let Err(failure) = self.judge(factory, source, &document.value).await {
                found.push(Request::Refused(failure, Origin::Source));
                return Ok(());
            }
            if let Some(why) = self.unread(document) {
                found.push(Request::Refused(undecodable(source, &why), Origin::Source));
                continue;
            }
            let listed = document.value["items"].is_array();
            let text = |field: &str| document.value[field].as_str().unwrap_or_default();
            let is_list = listed && text("kind").ends_with("List");
            if is_list && !self.local && let Err(failure) = recognized_list(factory, source, &document.value).await {
                found.push(Request::Refused(failure, Origin::Source));
                continue;
            }
            self.listed.set(self.listed.get() || is_list);
            // A list is known by where it begins.
            let origin = if listed { Origin::Item(found.len()) } else { Origin::Source };
            for object in objects_in(source, document).unwrap_or_else(|failure| { found.push(Request::Refused(failure, Origin::Source)); Vec::new() }) {
                if let Some(why) = self.unread_item(&object).filter(|_| listed) {
                    found.push(Request::Refused(Failure::Plain(why, 1), origin));
                    continue;
                }
                let kind = format!("{:?} in version {:?}", object["kind"].as_str().unwrap_or_default(), object["apiVersion"].as_str().unwrap_or_default());
                match self.info(factory, source, object).await {
                    // Of what is in a list only the kind is told.
                    Err(failure) if listed && failure.text().starts_with("resource mapping not found") => {
                        found.push(Request::Refused(Failure::Plain(format!("unable to recognize no matches for kind {kind}"), 1), origin));
                    }
                    Ok(info) => found.push(Request::Manifest(info, origin)),
                    Err(failure @ Failure::Unreachable(_)) => return Err(failure),
                    Err(failure) => found.push(Request::Refused(failure, origin)),
                }
            }
        }
        found.extend(broken.map(|why| Request::Refused(Failure::new(format!("error parsing {source}: {why}")), Origin::Source)));
        Ok(())
    }

    /// Why a document is not read by a command that reads only what it was compiled with.
    // upstream: apimachinery/pkg/runtime/error.go NewNotRegisteredErrForKind
    fn unread(&self, document: &Document) -> Option<String> {
        let text = |field: &str| document.value[field].as_str().unwrap_or_default();
        let (version, kind) = (text("apiVersion"), text("kind"));
        if !self.typed || kind.is_empty() || super::compiled_with(version, kind) {
            return None;
        }
        if version.is_empty() {
            return Some(format!("Object 'apiVersion' is missing in '{}'", document.shown));
        }
        Some(format!("no kind {kind:?} is registered for version {version:?} in scheme {SCHEME}"))
    }

    /// The same of what is in a list, which is read later and has lost its name by then.
    fn unread_item(&self, object: &Value) -> Option<String> {
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        let known = !self.typed || super::compiled_with(text("apiVersion"), text("kind"));
        (!known).then(|| format!("unable to get type info from the object \"*runtime.Unknown\": no kind is registered for the type runtime.Unknown in scheme {SCHEME}"))
    }

    // upstream: cli-runtime/pkg/resource/visitor.go ValidateSchema
    async fn judge(&self, factory: &Factory, source: &str, document: &Value) -> Result<(), Failure> {
        if !matches!(self.validation, "Strict" | "Warn") {
            return Ok(());
        }
        let judged = factory.schemas.check(factory, document, self.validation == "Strict").await;
        judged.map_err(|why| Failure::new(format!("error validating {source:?}: error validating data: {why}; if you choose to ignore these errors, turn validation off with --validate=false")))
    }

    async fn texts(&self, factory: &Factory, name: &str) -> Result<Vec<(String, String)>, Failure> {
        if name == "-" || name.starts_with("http://") || name.starts_with("https://") {
            return Ok(vec![read_source(factory, name).await?]);
        }
        let matching = |text: &str| if text.contains(['*', '?', '[']) { glob(&factory.env.directory, text) } else { vec![text.to_owned()] };
        let mut texts = Vec::new();
        for name in matching(name) {
            let path = factory.env.path(&name);
            let data = std::fs::metadata(&path).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Failure::new(format!("the path {name:?} does not exist")),
                _ => Failure::new(format!("the path {name:?} cannot be accessed: stat {name}: {}", go_io(&error))),
            })?;
            if !data.is_dir() {
                texts.push(read_source(factory, &name).await?);
                continue;
            }
            let mut files = Vec::new();
            walk(&path, self.recursive, &mut files)?;
            if files.is_empty() {
                return Err(Failure::new(format!("error reading [{name}]: recognized file extensions are [.json .yaml .yml]")));
            }
            for file in files {
                let shown = file.strip_prefix(&path).map_or_else(|_| file.clone(), |rest| Path::new(&name).join(rest));
                texts.push((shown.display().to_string(), read(&file, &shown.display().to_string())?));
            }
        }
        Ok(texts)
    }

    /// What is said of an object of another namespace than the one asked for.
    // upstream: cli-runtime/pkg/resource/visitor.go RequireNamespace
    pub fn elsewhere(&self, info: &Info) -> Option<Failure> {
        let (own, expected) = (&info.namespace, &self.namespace);
        (self.enforced && !self.local && info.mapping.namespaced && own != expected).then(|| {
            Failure::new(format!("the namespace from the provided object {own:?} does not match the namespace {expected:?}. You must pass '--namespace={own}' to perform this operation."))
        })
    }

    /// Where an object of a manifest lives.
    async fn info(&self, factory: &Factory, source: &str, mut object: Value) -> Result<Info, Failure> {
        if let Some(found) = Some(&object["metadata"]).filter(|metadata| !metadata.is_null() && !metadata.is_object()).map(json_type) {
            let why = "into Go struct field metadataOnlyObject.metadata of type v1.ObjectMeta";
            return Err(Failure::new(format!("unable to decode {source:?}: json: cannot unmarshal {found} {why}")));
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let (name, own) = (text(&object["metadata"]["name"]), text(&object["metadata"]["namespace"]));
        if self.local {
            return Ok(Info { mapping: guessed(&version, &kind), namespace: own, name, source: source.to_owned(), object });
        }
        let Some(mapping) = recognized(factory, source, &version, Some(&kind)).await? else { return Err(unmatched(source, &object)) };
        let mut namespace = String::new();
        if mapping.namespaced {
            namespace = if own.is_empty() { self.namespace.clone() } else { own };
            if object["metadata"].is_null() {
                object["metadata"] = serde_json::json!({});
            }
            object["metadata"]["namespace"] = namespace.clone().into();
        }
        Ok(Info { mapping, namespace, name, source: source.to_owned(), object })
    }
}

/// What the server calls a kind. It tells no kinds of lists: one of those has the items of a kind it tells, a `List` anything of its version.
// upstream: cli-runtime/pkg/resource/mapper.go infoForData, client-go/restmapper/discovery.go NewDiscoveryRESTMapper
async fn recognized(factory: &Factory, source: &str, version: &str, kind: Option<&str>) -> Result<Option<Mapping>, Failure> {
    factory.of_files.set(true);
    let fits = |mapping: &&Mapping| (version.is_empty() || mapping.api_version() == version) && kind.is_none_or(|kind| mapping.kind == kind);
    let found = match kind {
        Some(kind) if !version.is_empty() => factory.kind_of(version, kind).await,
        _ => factory.look(|mapper| mapper.mappings.iter().find(fits).cloned()).await,
    };
    match found {
        Err(failure @ (Failure::Unreachable(_) | Failure::Status(_))) => Err(Failure::new(format!("unable to recognize {source:?}: {}", failure.whole()))),
        other => other,
    }
}

/// The same of a list, which may be a kind of its own, too.
async fn recognized_list(factory: &Factory, source: &str, list: &Value) -> Result<(), Failure> {
    let [version, kind] = ["apiVersion", "kind"].map(|field| list[field].as_str().unwrap_or_default());
    let items = kind.strip_suffix("List").filter(|items| !items.is_empty());
    for kind in [items, Some(kind)] {
        if recognized(factory, source, version, kind).await?.is_some() {
            return Ok(());
        }
    }
    Err(unmatched(source, list))
}

fn unmatched(source: &str, object: &Value) -> Failure {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let [name, namespace] = ["name", "namespace"].map(|field| text(&object["metadata"][field]));
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    Failure::new(format!(
        "resource mapping not found for name: {name:?} namespace: {namespace:?} from {source:?}: no matches for kind {kind:?} in version {version:?}\nensure CRDs are installed first"
    ))
}

/// A kind as far as a manifest tells it.
fn guessed(version: &str, kind: &str) -> Mapping {
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = kind.to_lowercase();
    Mapping { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned(), singular: resource.clone(), resource, ..Mapping::default() }
}

/// One source: how it is called in messages, and its text.
pub async fn read_source(factory: &Factory, name: &str) -> Result<(String, String), Failure> {
    if name == "-" {
        return Ok(("STDIN".to_owned(), factory.streams.read_all()?));
    }
    if name.starts_with("http://") || name.starts_with("https://") {
        return Ok((name.to_owned(), download(factory, name).await?));
    }
    Ok((name.to_owned(), read(&factory.env.path(name), name)?))
}

fn read(path: &Path, shown: &str) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::new(format!("open {shown}: {}", go_io(&error))))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

// upstream: cli-runtime/pkg/resource/visitor.go readHttpWithRetries
async fn download(factory: &Factory, address: &str) -> Result<String, Failure> {
    let failed = |why: String| Failure::new(format!("unable to read URL {address:?}, {why}"));
    let uri: http::Uri = address.parse().map_err(|error: http::uri::InvalidUri| failed(error.to_string()))?;
    let mut base = uri.clone().into_parts();
    base.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    let base = http::Uri::from_parts(base).map_err(|error| failed(error.to_string()))?;
    let proxy = crate::config::proxy::of_environment(&factory.env, &uri);
    let client = crate::connect::client(kube::Config::new(base), proxy.map_err(failed)?)?;
    let target = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = http::Request::get(target).body(kube::client::Body::empty()).map_err(|error| failed(error.to_string()))?;
    let server = format!("{}://{}", uri.scheme_str().unwrap_or("https"), uri.authority().map_or("", |authority| authority.as_str()));
    let rest = crate::rest::Rest::new(client, server, None, 0);
    let response = rest.client.send(request).await.map_err(|error| rest.unreachable(&error))?;
    let status = response.status();
    if !status.is_success() {
        return Err(failed(format!("server reported {status}, status code={}", status.as_u16())));
    }
    let bytes = response.into_body().collect().await.map_err(|error| failed(error.to_string()))?.to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether a file, or the only one of a folder. What cannot be read is told by whoever reads it.
pub(super) fn is_one(path: &Path, recursive: bool) -> bool {
    let mut files = Vec::new();
    !path.is_dir() || walk(path, recursive, &mut files).is_ok() && files.len() == 1
}

fn walk(directory: &Path, recursive: bool, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(directory)?.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if recursive {
                walk(&path, recursive, files)?;
            }
        } else if path.extension().and_then(|extension| extension.to_str()).is_some_and(|extension| EXTENSIONS.contains(&extension)) {
            files.push(path);
        }
    }
    Ok(())
}

/// Files of a pattern in its last part; the pattern itself when there are none.
fn glob(directory: &Path, pattern: &str) -> Vec<String> {
    let (parent, last) = pattern.rsplit_once('/').map_or(("", pattern), |(parent, last)| (parent, last));
    let shape = regex::escape(last).replace(r"\*", ".*").replace(r"\?", ".");
    let Ok(shape) = regex::Regex::new(&format!("^{shape}$")) else { return vec![pattern.to_owned()] };
    let names = std::fs::read_dir(directory.join(parent)).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut found: Vec<String> = names.filter(|name| shape.is_match(name)).map(|name| if parent.is_empty() { name } else { format!("{parent}/{name}") }).collect();
    found.sort();
    if found.is_empty() { vec![pattern.to_owned()] } else { found }
}

/// What Go calls the type of a JSON value.
pub fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// What a document lacks to be an object, whatever else it says.
pub fn no_object(document: &Value) -> Option<&'static str> {
    let other = |field: &str| document.is_object() && !document[field].is_string() && !document[field].is_null();
    if other("apiVersion") || other("kind") {
        return Some(if other("apiVersion") { "apiVersion isn't string type" } else { "kind isn't string type" });
    }
    let unset = |field: &str| document[field].as_str().unwrap_or_default().is_empty();
    match (document.is_object(), document.is_object() && unset("apiVersion"), document.is_object() && unset("kind")) {
        (false, ..) => Some("invalid object to validate"),
        (true, true, true) => Some("[apiVersion not set, kind not set]"),
        (true, true, false) => Some("apiVersion not set"),
        (true, false, true) => Some("kind not set"),
        (true, false, false) => None,
    }
}

/// The objects of a text, lists taken apart.
pub fn objects_of(source: &str, text: &str) -> Result<Vec<Value>, Failure> {
    let (documents, broken) = documents(text);
    if let Some(why) = broken {
        return Err(Failure::new(format!("error parsing {source}: {why}")));
    }
    let all: Result<Vec<Vec<Value>>, Failure> = documents.iter().filter(|document| !document.value.is_null()).map(|document| objects_in(source, document)).collect();
    Ok(all?.into_iter().flatten().collect())
}

/// The objects of a document.
fn objects_in(source: &str, document: &Document) -> Result<Vec<Value>, Failure> {
    let value = &document.value;
    if !value.is_object() && !value.is_null() {
        return Err(undecodable(source, &format!("json: cannot unmarshal {} into Go value of type unstructured.detector", json_type(value))));
    }
    let kind = value["kind"].as_str().unwrap_or_default();
    // A version that is none hides the kind, too.
    if kind.is_empty() || value["apiVersion"].as_str().is_some_and(|version| version.matches('/').count() > 1) {
        return Err(undecodable(source, &format!("Object 'Kind' is missing in '{}'", document.shown)));
    }
    if kind.ends_with("List") && !matches!(value["items"], Value::Array(_) | Value::Null) {
        return Err(undecodable(source, &format!("json: cannot unmarshal {} into Go struct field decodeList.items of type []json.RawMessage", json_type(&value["items"]))));
    }
    let list = value["items"].is_array() || value["items"].is_null() && kind == "List";
    let found = if kind.ends_with("List") && list { items(value) } else { vec![value.clone()] };
    if kind.ends_with("List") && found.iter().any(|inner| inner["apiVersion"] == "v1" && inner["kind"] == "List" && list) {
        return Err(Failure::new("*unstructured.Unstructured is not a list: no Items field in this object"));
    }
    if let Some(other) = found.iter().find(|object| !object.is_object() && !object.is_null()) {
        return Err(undecodable(source, &format!("json: cannot unmarshal {} into Go value of type map[string]interface {{}}", json_type(other))));
    }
    found.iter().try_for_each(|object| metadata(source, object))?;
    Ok(found)
}

/// What cannot be read into Go's `ObjectMeta`.
fn metadata(source: &str, object: &Value) -> Result<(), Failure> {
    let kind_of = |value: &Value| if value.is_string() || value.is_null() { "" } else { json_type(value) };
    for field in ["name", "namespace", "generateName"] {
        let kind = kind_of(&object["metadata"][field]);
        if !kind.is_empty() {
            return Err(undecodable(source, &format!("json: cannot unmarshal {kind} into Go struct field ObjectMeta.metadata.{field} of type string")));
        }
    }
    for field in ["labels", "annotations"] {
        if !matches!(object["metadata"][field], Value::Object(_) | Value::Null) {
            let kind = json_type(&object["metadata"][field]);
            return Err(undecodable(source, &format!("json: cannot unmarshal {kind} into Go struct field ObjectMeta.metadata.{field} of type map[string]string")));
        }
        for value in object["metadata"][field].as_object().into_iter().flatten().map(|(_, value)| value) {
            let kind = kind_of(value);
            if kind.is_empty() {
                continue;
            }
            return Err(undecodable(source, &format!("json: cannot unmarshal {kind} into Go struct field ObjectMeta.metadata.{field} of type string")));
        }
    }
    Ok(())
}

fn undecodable(source: &str, why: &str) -> Failure {
    Failure::new(format!("unable to decode {source:?}: {why}"))
}
