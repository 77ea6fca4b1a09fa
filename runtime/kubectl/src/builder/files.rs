//! Manifests: files, directories, URLs, standard input; documents, lists taken apart.
// upstream: cli-runtime/pkg/resource/visitor.go, apimachinery/pkg/util/yaml/decoder.go

use std::path::{Path, PathBuf};

use http_body_util::BodyExt;
use serde_json::Value;

use super::{Info, Selection, items, missing};
use crate::discovery::Mapping;
use crate::factory::Factory;
use crate::failure::{Failure, go_io};
use crate::print;

/// File names that are read in directories.
const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

impl Selection {
    /// Every object of every file.
    pub async fn manifests(&self, factory: &Factory, failures: &mut Vec<Failure>) -> Result<Vec<Info>, Failure> {
        if !self.kustomize.is_empty() {
            return Err(Failure::new("kustomize is not part of this kubectl: give the built manifests with -f"));
        }
        let mut infos = Vec::new();
        for name in &self.filenames {
            for (source, text) in self.texts(factory, name).await? {
                match self.validated(&source, &text) {
                    Ok(objects) => {
                        for object in objects {
                            match self.info(factory, &source, object).await {
                                Ok(info) => infos.push(info),
                                Err(failure @ Failure::Unreachable(_)) => return Err(failure),
                                Err(failure) => failures.push(failure),
                            }
                        }
                    }
                    Err(failure) => failures.push(failure),
                }
            }
        }
        if infos.is_empty() && failures.is_empty() && self.filenames.is_empty() {
            return Err(missing());
        }
        Ok(infos)
    }

    fn validated(&self, source: &str, text: &str) -> Result<Vec<Value>, Failure> {
        if self.validate {
            for document in documents(source, text)?.iter().filter(|document| !document.is_null()) {
                let unset = |field: &str| document[field].as_str().unwrap_or_default().is_empty();
                let why = match (document.is_object(), document.is_object() && unset("apiVersion"), document.is_object() && unset("kind")) {
                    (false, ..) => "invalid object to validate",
                    (true, true, true) => "[apiVersion not set, kind not set]",
                    (true, true, false) => "apiVersion not set",
                    (true, false, true) => "kind not set",
                    (true, false, false) => continue,
                };
                return Err(Failure::new(format!(
                    "error validating {source:?}: error validating data: {why}; if you choose to ignore these errors, turn validation off with --validate=false"
                )));
            }
        }
        objects_of(source, text)
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

    /// Where an object of a manifest lives.
    async fn info(&self, factory: &Factory, source: &str, mut object: Value) -> Result<Info, Failure> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let (name, own) = (text(&object["metadata"]["name"]), text(&object["metadata"]["namespace"]));
        if self.local {
            return Ok(Info { mapping: guessed(&version, &kind), namespace: own, name, source: source.to_owned(), object });
        }
        let mapping = if version.is_empty() {
            factory.look(|mapper| mapper.mappings.iter().find(|mapping| mapping.kind == kind).cloned()).await?
        } else {
            factory.kind_of(&version, &kind).await?
        };
        let Some(mapping) = mapping else {
            return Err(Failure::new(format!(
                "resource mapping not found for name: {name:?} namespace: {own:?} from {source:?}: no matches for kind {kind:?} in version {version:?}\nensure CRDs are installed first"
            )));
        };
        let mut namespace = String::new();
        if mapping.namespaced {
            if self.enforced && !own.is_empty() && own != self.namespace {
                let expected = &self.namespace;
                return Err(Failure::new(format!(
                    "the namespace from the provided object {own:?} does not match the namespace {expected:?}. You must pass '--namespace={own}' to perform this operation."
                )));
            }
            namespace = if own.is_empty() { self.namespace.clone() } else { own };
            if object["metadata"].is_null() {
                object["metadata"] = serde_json::json!({});
            }
            object["metadata"]["namespace"] = namespace.clone().into();
        }
        Ok(Info { mapping, namespace, name, source: source.to_owned(), object })
    }
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
        return Ok((name.to_owned(), download(name).await?));
    }
    Ok((name.to_owned(), read(&factory.env.path(name), name)?))
}

fn read(path: &Path, shown: &str) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::new(format!("open {shown}: {}", go_io(&error))))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

// upstream: cli-runtime/pkg/resource/visitor.go readHttpWithRetries
async fn download(address: &str) -> Result<String, Failure> {
    let failed = |why: String| Failure::new(format!("unable to read URL {address:?}, {why}"));
    let uri: http::Uri = address.parse().map_err(|error: http::uri::InvalidUri| failed(error.to_string()))?;
    let mut base = uri.clone().into_parts();
    base.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    let base = http::Uri::from_parts(base).map_err(|error| failed(error.to_string()))?;
    let client = kube::Client::try_from(kube::Config::new(base)).map_err(|error| failed(error.to_string()))?;
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

/// The objects of a text, lists taken apart.
pub fn objects_of(source: &str, text: &str) -> Result<Vec<Value>, Failure> {
    let mut objects = Vec::new();
    for document in documents(source, text)? {
        if document.is_null() {
            continue;
        }
        let kind = match &document {
            Value::Object(fields) => fields.get("kind").and_then(Value::as_str).unwrap_or_default(),
            Value::Array(_) => return Err(undecodable(source, "json: cannot unmarshal array into Go value of type unstructured.detector")),
            Value::String(_) => return Err(undecodable(source, "json: cannot unmarshal string into Go value of type unstructured.detector")),
            Value::Number(_) => return Err(undecodable(source, "json: cannot unmarshal number into Go value of type unstructured.detector")),
            _ => return Err(undecodable(source, "json: cannot unmarshal bool into Go value of type unstructured.detector")),
        };
        if kind.is_empty() {
            let shown = print::json::compact(&document);
            return Err(undecodable(source, &format!("Object 'Kind' is missing in '{shown}'")));
        }
        let found = if kind.ends_with("List") && document["items"].is_array() { items(&document) } else { vec![document] };
        for object in found {
            typed(source, &object)?;
            objects.push(object);
        }
    }
    Ok(objects)
}

/// What cannot be read into Go's `ObjectMeta`.
fn typed(source: &str, object: &Value) -> Result<(), Failure> {
    for field in ["labels", "annotations"] {
        for value in object["metadata"][field].as_object().into_iter().flatten().map(|(_, value)| value) {
            let kind = match value {
                Value::String(_) | Value::Null => continue,
                Value::Bool(_) => "bool",
                Value::Number(_) => "number",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            };
            return Err(undecodable(source, &format!("json: cannot unmarshal {kind} into Go struct field ObjectMeta.metadata.{field} of type string")));
        }
    }
    Ok(())
}

fn undecodable(source: &str, why: &str) -> Failure {
    Failure::new(format!("unable to decode {source:?}: {why}"))
}

fn documents(source: &str, text: &str) -> Result<Vec<Value>, Failure> {
    let failed = |why: String| Failure::new(format!("error parsing {source}: {why}"));
    if text.trim_start().starts_with('{')
        && let Some(values) = json_documents(text).map_err(failed)?
    {
        return Ok(values);
    }
    let mut values = Vec::new();
    for part in split(text) {
        let value = drydock_primitives::yaml::parse(&part).map_err(|error| failed(format!("error converting YAML to JSON: {}", yaml_error(&error))))?;
        values.push(value);
    }
    Ok(values)
}

/// JSON documents one after the other; none when it is YAML that starts with a brace.
fn json_documents(text: &str) -> Result<Option<Vec<Value>>, String> {
    let mut values = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        match value {
            Ok(value) => values.push(value),
            Err(error) if error.is_eof() => return Err("unexpected EOF".to_owned()),
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(values))
}

/// Documents are divided before they are read, so that lines are counted from each one's start.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for line in text.lines() {
        if line.strip_prefix("---").is_some_and(|rest| rest.trim().is_empty() || rest.trim_start().starts_with('#')) {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts
}

/// What goyaml says: no context, and for the parser's own complaints lines counted from zero.
pub fn yaml_error(error: &drydock_primitives::yaml::Error) -> String {
    let drydock_primitives::yaml::Error::Syntax { line, message } = error else { return error.to_string() };
    let (line, problem) = match message.split_once(", ").filter(|(context, _)| context.starts_with("while parsing")) {
        Some((_, problem)) => (line.saturating_sub(1), problem),
        // The scanner counts from one, and does not count the first line.
        None if *line == 1 => (0, message.as_str()),
        None => (*line, message.as_str()),
    };
    let problem = match problem {
        "expected ',' or ']'" => "did not find expected ',' or ']'",
        "expected ',' or '}'" => "did not find expected ',' or '}'",
        tabs if tabs.starts_with("tabs disallowed") => "found character that cannot start any token",
        other => other,
    };
    if line == 0 { format!("yaml: {problem}") } else { format!("yaml: line {line}: {problem}") }
}
