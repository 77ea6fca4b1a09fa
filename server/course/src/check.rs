//! The grammar of checks: what an author writes in a `check` fence or a lab's task, as types.
//!
//! 1. A [`Check`] says what is true when it is green and which evidence shows it.
//! 2. Its [`Expect`] is a tree of `all`, `any`, `not` over single [`Source`]s, each with an optional CEL `where`.
//! 3. [`Let`] binds values at the baseline or now; `${name.path}` puts them into strings.
//!
//! Unknown keys are errors everywhere: a typing mistake must not become a check that is always green.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// When a check counts as passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Once true it stays passed (default of exercises).
    Latch,
    /// Passed while true (default of labs).
    Level,
    /// Must be seen false, then true, after the baseline.
    Edge,
    /// If it becomes true the attempt has failed.
    Never,
}

/// One thing to be shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Unique in the course, never reused.
    pub id: String,
    /// What is true when it is green.
    pub say: String,
    /// Checks of the same exercise or lab that come first.
    #[serde(default)]
    pub needs: Vec<String>,
    /// When it counts; the block it stands in has a default.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// It may be true at its baseline already.
    #[serde(default)]
    pub holds: bool,
    /// Not needed to complete the exercise.
    #[serde(default)]
    pub optional: bool,
    /// How long it must stay true, as `1s` or `500ms`.
    #[serde(default)]
    pub stable: Option<String>,
    /// Kinds whose changes make its probes ask again, beyond those their addresses and Pods tell.
    #[serde(default)]
    pub triggers: Vec<String>,
    /// Names usable in `where` and `${...}`.
    #[serde(default, rename = "let")]
    pub bindings: BTreeMap<String, Let>,
    /// The evidence.
    pub expect: Expect,
    /// From a question to the answer.
    #[serde(default)]
    pub hints: Vec<String>,
}

impl Check {
    /// Read a check from YAML that has been parsed already.
    ///
    /// # Errors
    /// What is wrong, without a place.
    pub fn from_value(value: serde_yaml::Value) -> Result<Check, String> {
        serde_yaml::from_value(value).map_err(|error| error.to_string())
    }
}

/// When a name is bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum At {
    /// At the check's baseline, once.
    Baseline,
    /// At each evaluation.
    #[default]
    Now,
}

/// How far a name reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// This check.
    #[default]
    Block,
    /// Later blocks of the chapter.
    Chapter,
    /// Later tasks of the lab.
    Lab,
}

/// A named value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Let {
    /// Where it comes from.
    pub source: Source,
    /// When it is read.
    pub at: At,
    /// CEL over the source, the whole of it when absent.
    pub value: Option<String>,
    /// How far it reaches.
    pub scope: Scope,
}

/// A tree of evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Expect {
    /// Every branch holds.
    All(Vec<Expect>),
    /// At least one branch holds.
    Any(Vec<Expect>),
    /// The branch does not hold.
    Not(Box<Expect>),
    /// One piece of evidence and what must be true of it.
    One {
        /// Where to look.
        source: Box<Source>,
        /// CEL over what was found; existence is enough when absent.
        filter: Option<String>,
    },
}

/// Which objects.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct ObjectRef {
    /// Kind, as in a manifest.
    pub kind: String,
    /// Group and version; the preferred one when absent.
    pub api_version: Option<String>,
    /// Namespace; `default` when absent, `*` for all.
    pub namespace: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// Labels it carries; the value `*` asks for the key alone.
    pub labels: BTreeMap<String, String>,
    /// Only objects controlled, directly or through others, by this one.
    pub owned_by: Option<OwnerRef>,
    /// `false` leaves out what is being deleted, `true` wants only that.
    pub terminating: Option<bool>,
    /// The youngest of several instead of the first by name.
    pub newest: bool,
}

/// An owner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerRef {
    /// Kind of the owner.
    pub kind: String,
    /// Its name; any when absent.
    #[serde(default)]
    pub name: Option<String>,
}

/// Versions of objects since the window opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// Which objects.
    #[serde(flatten)]
    pub of: HistoryOf,
    /// CEL over `old`, `new` (each `null` when absent), `type`, `actor`.
    #[serde(rename = "where")]
    pub filter: String,
    /// How many changes must fit, as `>= 1` (default) or `== 0`.
    #[serde(default)]
    pub count: Option<String>,
}

/// Which objects' history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryOf {
    /// Kind, as in a manifest.
    pub kind: String,
    /// Namespace; `default` when absent.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Name; every one when absent.
    #[serde(default)]
    pub name: Option<String>,
}

/// Which Pod: like an object, and the kind goes without saying.
fn pod_ref<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectRef, D::Error> {
    let mut pod = ObjectRef::deserialize(deserializer)?;
    match pod.kind.as_str() {
        "" => pod.kind = "Pod".into(),
        "Pod" => {}
        other => return Err(D::Error::custom(format!("a Pod is wanted here, not a {other}; name the Pod by its labels"))),
    }
    Ok(pod)
}

fn some_pod_ref<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ObjectRef>, D::Error> {
    pod_ref(deserializer).map(Some)
}

/// A command the learner ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saw {
    /// First word, as `kubectl`; any when absent.
    #[serde(default)]
    pub tool: Option<String>,
    /// Regular expression over the command line.
    pub matches: String,
    /// Regular expression over its output.
    #[serde(default)]
    pub output: Option<String>,
    /// Exit code wanted; any when absent.
    #[serde(default)]
    pub exit: Option<i32>,
}

/// A stream the learner opened: exec, attach, log, port-forward, watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// `exec`, `attach`, `log`, `portforward` or `watch`.
    pub verb: String,
    /// The Pod it goes to; any when absent.
    #[serde(default, deserialize_with = "some_pod_ref", skip_serializing_if = "Option::is_none")]
    pub pod: Option<ObjectRef>,
    /// CEL over `spec` and `status` of the stream record.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
}

/// A container of a node, as the node sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Container {
    /// Its id, with or without the runtime prefix.
    pub id: Option<String>,
    /// Labels it carries.
    pub labels: BTreeMap<String, String>,
    /// It must not be there.
    pub gone: bool,
}

/// Text a container wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Whose.
    #[serde(deserialize_with = "pod_ref")]
    pub pod: ObjectRef,
    /// Which container; the only one when absent.
    #[serde(default)]
    pub container: Option<String>,
    /// Of the container before the last restart.
    #[serde(default)]
    pub previous: bool,
    /// Only the last lines.
    #[serde(default)]
    pub tail: Option<u32>,
    /// Only lines since the exercise began (`baseline`).
    #[serde(default)]
    pub since: Option<Since>,
    /// Regular expression over the text.
    pub matches: String,
}

/// Since when text of a log counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Since {
    /// Since the check's baseline.
    Baseline,
}

/// From where a probe is made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// The learner's workstation.
    #[default]
    Workstation,
    /// Inside a Pod's network: `localhost` is the Pod.
    Pod(#[serde(deserialize_with = "pod_ref")] ObjectRef),
    /// A node, by name.
    Node(String),
}

/// A container, a node, or the workstation when neither is named.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Inside {
    /// In this Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<ObjectRef>,
    /// In this container of it; the first when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// On this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

impl Inside {
    /// From the keys an author wrote.
    fn of(pod: Option<ObjectRef>, container: Option<String>, node: Option<String>) -> Result<Inside, String> {
        match (&pod, &node) {
            (Some(_), Some(_)) => Err("pod and node: only one of them".to_owned()),
            (None, _) if container.is_some() => Err("container: say in which Pod, with `pod: {...}`".to_owned()),
            _ => Ok(Inside { pod, container, node }),
        }
    }
}

/// An HTTP request the grader makes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// From where.
    #[serde(default)]
    pub from: From,
    /// What to get; `${...}` is filled in.
    pub url: String,
    /// `GET` when absent, `POST` when there is a body.
    #[serde(default)]
    pub method: Option<String>,
    /// What is sent.
    #[serde(default)]
    pub body: Option<String>,
    /// Headers that are sent.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// How often, one after the other: 1 when absent, 50 at most.
    #[serde(default = "once")]
    pub times: u32,
    /// CEL over `status`, `headers` and `body` of the last answer, and over `answers`, all of them.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
}

fn once() -> u32 {
    1
}

/// A name the grader looks up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// From where: a Pod has its namespace's search domains.
    #[serde(default)]
    pub from: From,
    /// The name.
    pub name: String,
    /// CEL over `found`, `addresses`, `cnames`, `text`.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
}

/// A TCP connection the grader tries to make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tcp {
    /// From where.
    #[serde(default)]
    pub from: From,
    /// To which name or address.
    pub host: String,
    /// To which port, a number or `${...}`.
    #[serde(deserialize_with = "text_or_number")]
    pub port: String,
    /// CEL over `open` and `error`.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
}

fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(D::Error::custom(format!("a number is wanted, not {other}"))),
    }
}

/// Requests that go on while the check is open: the one loop there is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// From where.
    #[serde(default)]
    pub from: From,
    /// What is asked for.
    pub url: String,
    /// Pause between requests, `500ms` when absent.
    #[serde(default)]
    pub every: Option<String>,
    /// How far back failures count, `60s` when absent.
    #[serde(default, rename = "for")]
    pub window: Option<String>,
    /// Failures allowed in that time.
    #[serde(default)]
    pub max_failures: u32,
    /// Answers there must have been in that time, 10 when absent.
    #[serde(default = "ten")]
    pub min_answers: u32,
}

fn ten() -> u32 {
    10
}

/// A command the grader runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ExecKeys")]
pub struct Exec {
    /// Where.
    #[serde(flatten)]
    pub inside: Inside,
    /// What to run.
    pub command: Vec<String>,
    /// CEL over `exit`, `stdout`, `stderr`, `text` (output without spaces around it) and `lines`.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExecKeys {
    #[serde(default, deserialize_with = "some_pod_ref")]
    pod: Option<ObjectRef>,
    container: Option<String>,
    node: Option<String>,
    command: Vec<String>,
    #[serde(rename = "where")]
    filter: Option<String>,
}

impl TryFrom<ExecKeys> for Exec {
    type Error = String;

    fn try_from(keys: ExecKeys) -> Result<Exec, String> {
        let ExecKeys { pod, container, node, command, filter } = keys;
        if command.is_empty() {
            return Err("command: nothing to run; write a list, as [cat, /data/a.txt]".to_owned());
        }
        Ok(Exec { inside: Inside::of(pod, container, node)?, command, filter })
    }
}

/// The environment of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Env {
    /// In which Pod.
    #[serde(deserialize_with = "pod_ref")]
    pub pod: ObjectRef,
    /// In which container; the first when absent.
    #[serde(default)]
    pub container: Option<String>,
    /// CEL over `env`, a map.
    #[serde(rename = "where")]
    pub filter: String,
}

/// A file or directory: of the workstation, of a container, of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "FileKeys")]
pub struct File {
    /// Where.
    #[serde(flatten)]
    pub inside: Inside,
    /// Absolute, or, on the workstation, relative to the learner's home.
    pub path: String,
    /// It must not be there.
    #[serde(default)]
    pub gone: bool,
    /// Regular expression over its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// It must equal this file of a Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<PodFile>,
    /// CEL over `kind` (`file`, `directory`, `other`), `mode` (`"0400"`), `uid`, `gid`, `size`, `link`, `text`, `entries`.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileKeys {
    #[serde(default, deserialize_with = "some_pod_ref")]
    pod: Option<ObjectRef>,
    container: Option<String>,
    node: Option<String>,
    path: String,
    #[serde(default)]
    gone: bool,
    matches: Option<String>,
    same_as: Option<PodFile>,
    #[serde(rename = "where")]
    filter: Option<String>,
}

impl TryFrom<FileKeys> for File {
    type Error = String;

    fn try_from(keys: FileKeys) -> Result<File, String> {
        let FileKeys { pod, container, node, path, gone, matches, same_as, filter } = keys;
        let inside = Inside::of(pod, container, node)?;
        if (inside.pod.is_some() || inside.node.is_some()) && !path.starts_with('/') && !path.starts_with("${") {
            return Err(format!("path: {path:?} is not absolute; only paths of the workstation may begin at its home"));
        }
        Ok(File { inside, path, gone, matches, same_as, filter })
    }
}

/// Something the learner looked at through the API, with any program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Read {
    /// Plural, as `endpoints`.
    pub resource: String,
    /// Name; any, or a list of them, when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Namespace; any when absent.
    #[serde(default)]
    pub namespace: Option<String>,
    /// CEL over `spec` and `status` of the record.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
}

/// A file inside a Pod.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodFile {
    /// Which Pod.
    #[serde(deserialize_with = "pod_ref")]
    pub pod: ObjectRef,
    /// Absolute path in its container.
    pub path: String,
}

/// What the learner answered to an `ask` block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Id of the `ask` block.
    pub ask: String,
    /// What it must be; `${...}` is filled in. Any answer when absent.
    #[serde(default)]
    pub equals: Option<String>,
    /// Regular expression it must fit, for answers that may be written in several ways.
    #[serde(default)]
    pub matches: Option<String>,
}

/// One kind of evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// One object now.
    Object(ObjectRef),
    /// Several objects now, as `items`.
    List(ObjectRef),
    /// No such object now, and there was one since the window opened.
    Gone(ObjectRef),
    /// Changes of objects.
    History(History),
    /// A command.
    Saw(Saw),
    /// A stream.
    Stream(Stream),
    /// A node's container.
    Container(Container),
    /// Log text.
    Log(Log),
    /// An HTTP probe.
    Http(Http),
    /// A command in a container, on a node, on the workstation.
    Exec(Exec),
    /// A file.
    File(File),
    /// An answer.
    Answer(Answer),
    /// A name looked up.
    Dns(Dns),
    /// A connection.
    Tcp(Tcp),
    /// Environment of a container.
    Env(Env),
    /// Something looked at.
    Read(Read),
    /// Requests that go on.
    Traffic(Traffic),
}

impl Source {
    /// The name authors write.
    pub fn name(&self) -> &'static str {
        match self {
            Source::Object(_) => "object",
            Source::List(_) => "list",
            Source::Gone(_) => "gone",
            Source::History(_) => "history",
            Source::Saw(_) => "saw",
            Source::Stream(_) => "stream",
            Source::Container(_) => "container",
            Source::Log(_) => "log",
            Source::Http(_) => "http",
            Source::Exec(_) => "exec",
            Source::File(_) => "file",
            Source::Answer(_) => "answer",
            Source::Dns(_) => "dns",
            Source::Tcp(_) => "tcp",
            Source::Env(_) => "env",
            Source::Read(_) => "read",
            Source::Traffic(_) => "traffic",
        }
    }

    /// The Pods it names.
    pub fn pods(&self) -> Vec<&ObjectRef> {
        let mut pods: Vec<&ObjectRef> = Vec::new();
        match self {
            Source::Stream(stream) => pods.extend(&stream.pod),
            Source::Log(log) => pods.push(&log.pod),
            Source::Exec(exec) => pods.extend(&exec.inside.pod),
            Source::Env(env) => pods.push(&env.pod),
            Source::File(file) => {
                pods.extend(&file.inside.pod);
                pods.extend(file.same_as.iter().map(|same| &same.pod));
            }
            Source::Http(Http { from: From::Pod(pod), .. })
            | Source::Dns(Dns { from: From::Pod(pod), .. })
            | Source::Tcp(Tcp { from: From::Pod(pod), .. })
            | Source::Traffic(Traffic { from: From::Pod(pod), .. }) => pods.push(pod),
            _ => {}
        }
        pods
    }

    /// The condition written inside of the source.
    pub fn filter(&self) -> Option<&str> {
        match self {
            Source::History(history) => Some(&history.filter),
            Source::Stream(stream) => stream.filter.as_deref(),
            Source::Http(http) => http.filter.as_deref(),
            Source::Exec(exec) => exec.filter.as_deref(),
            Source::File(file) => file.filter.as_deref(),
            Source::Dns(dns) => dns.filter.as_deref(),
            Source::Tcp(tcp) => tcp.filter.as_deref(),
            Source::Env(env) => Some(&env.filter),
            Source::Read(read) => read.filter.as_deref(),
            _ => None,
        }
    }
}

impl Expect {
    /// Every source with the condition beside it, in the order written.
    pub fn sources(&self) -> Vec<(&Source, Option<&str>)> {
        match self {
            Expect::All(branches) | Expect::Any(branches) => branches.iter().flat_map(Expect::sources).collect(),
            Expect::Not(branch) => branch.sources(),
            Expect::One { source, filter } => vec![(source, filter.as_deref())],
        }
    }
}

/// Names of the sources, as an author writes them.
const SOURCES: [&str; 17] = [
    "object", "list", "gone", "history", "saw", "stream", "read", "container", "log", "http", "dns", "tcp", "exec", "env", "file", "traffic", "answer",
];

fn source_from(map: &mut serde_json::Map<String, Value>) -> Result<Option<Source>, String> {
    let names: Vec<&str> = SOURCES.iter().copied().filter(|name| map.contains_key(*name)).collect();
    match names.as_slice() {
        [] => Ok(None),
        [name] => {
            let body = map.remove(*name).unwrap_or(Value::Null);
            let tagged = Value::Object([((*name).to_owned(), body)].into_iter().collect());
            serde_json::from_value(tagged).map(Some).map_err(|error| format!("{name}: {error}"))
        }
        several => Err(format!("one source at a time, not {}; put them under `all:`", several.join(" and "))),
    }
}

fn no_more(map: &serde_json::Map<String, Value>) -> Result<(), String> {
    match map.keys().next() {
        Some(key) => Err(format!("unknown key `{key}`; sources are {}", SOURCES.join(", "))),
        None => Ok(()),
    }
}

impl<'de> Deserialize<'de> for Expect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Expect, D::Error> {
        let mut map = serde_json::Map::deserialize(deserializer)?;
        let nested = |value: Value, name: &str| -> Result<Vec<Expect>, D::Error> {
            serde_json::from_value(value).map_err(|error| D::Error::custom(format!("{name}: {error}")))
        };
        let expect = if let Some(value) = map.remove("all") {
            Expect::All(nested(value, "all")?)
        } else if let Some(value) = map.remove("any") {
            Expect::Any(nested(value, "any")?)
        } else if let Some(value) = map.remove("not") {
            Expect::Not(Box::new(serde_json::from_value(value).map_err(|error| D::Error::custom(format!("not: {error}")))?))
        } else {
            let source = source_from(&mut map).map_err(D::Error::custom)?;
            let filter = match map.remove("where") {
                Some(Value::String(text)) => Some(text),
                Some(_) => return Err(D::Error::custom("where: wants a CEL expression in quotes")),
                None => None,
            };
            let source = match source {
                Some(source) => Box::new(source),
                None => {
                    no_more(&map).map_err(D::Error::custom)?;
                    return Err(D::Error::custom(format!("no source; one of {}", SOURCES.join(", "))));
                }
            };
            Expect::One { source, filter }
        };
        no_more(&map).map_err(D::Error::custom)?;
        Ok(expect)
    }
}

impl<'de> Deserialize<'de> for Let {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Let, D::Error> {
        let mut map = serde_json::Map::deserialize(deserializer)?;
        let source = source_from(&mut map).map_err(D::Error::custom)?.ok_or_else(|| D::Error::custom("a name needs a source"))?;
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Rest {
            #[serde(default)]
            at: At,
            #[serde(default)]
            value: Option<String>,
            #[serde(default)]
            scope: Scope,
        }
        let rest: Rest = serde_json::from_value(Value::Object(map)).map_err(D::Error::custom)?;
        Ok(Let { source, at: rest.at, value: rest.value, scope: rest.scope })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(yaml: &str) -> Result<Check, String> {
        serde_yaml::from_str(yaml).map_err(|error| error.to_string())
    }

    #[test]
    fn the_grammar_of_the_design_parses() {
        let check = parse(
            r#"
id: replaced
say: The same Pod runs in a new container
needs: [removed]
mode: latch
let:
  was: {object: {kind: Pod, name: hello-kiamol}, at: baseline}
  node: {list: {kind: Node, labels: {kiamol: ch05}}, value: "items[0].metadata.name", scope: chapter}
expect:
  all:
    - object: {kind: Pod, name: hello-kiamol}
      where: metadata.uid == was.metadata.uid
    - container: {id: "${was.status.containerStatuses[0].containerID}", gone: true}
    - list: {kind: Pod, ownedBy: {kind: Deployment, name: todo-web}, terminating: false}
      where: items.exists(p, p.status.containerStatuses[0].restartCount >= 3)
    - history: {kind: Pod, where: 'old.metadata.labels.app == "a"', count: ">= 1"}
    - log: {pod: {newest: true, labels: {app: todo-web}}, previous: true, matches: SDK}
    - http: {from: workstation, url: "http://localhost:8080/", where: 'status == 200'}
    - http: {from: {pod: {labels: {app: sleep}}}, url: "http://whoami-web/", method: POST, body: a=1, times: 20, where: 'answers.all(a, a.status == 200)'}
    - dns: {from: {pod: {name: sleep}}, name: numbers-api, where: 'cnames.exists(c, c == "raw.githubusercontent.com")'}
    - tcp: {from: {node: node-1}, host: localhost, port: 30080}
    - exec: {node: node-1, command: [ls, /volumes]}
    - env: {pod: {labels: {app: sleep}}, where: 'env.KIAMOL_CHAPTER == "04"'}
    - file: {pod: {name: a}, path: /app/config/config.json, where: 'link.contains("..data") && mode == "0644"'}
    - read: {resource: endpoints, name: sleep-2}
    - traffic: {url: "http://localhost:8080/", every: 200ms, for: 30s, max_failures: 1}
    - log: {pod: {name: a}, since: baseline, matches: x}
    - answer: {ask: q, matches: '(?i)^node'}
    - not:
        saw: {tool: kubectl, matches: '\bget\b'}
triggers: [ConfigMap]
hints: [one]
"#,
        )
        .unwrap();
        assert_eq!(check.mode, Some(Mode::Latch));
        let Expect::All(branches) = &check.expect else { panic!("{check:?}") };
        assert_eq!(branches.len(), 17);
        for (source, _) in check.expect.sources() {
            let again: Source = serde_json::from_value(serde_json::to_value(source).unwrap()).unwrap();
            assert_eq!(again, *source);
        }
        assert_eq!(check.bindings["node"].scope, Scope::Chapter);
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("{id: a, say: b, expect: {objekt: {kind: Pod}}}", "unknown key `objekt`"),
            ("{id: a, say: b, expect: {object: {kind: Pod, nam: x}}}", "nam"),
            ("{id: a, say: b, expect: {object: {kind: Pod}, list: {kind: Pod}}}", "one source at a time"),
            ("{id: a, say: b, expekt: {}}", "expekt"),
            ("{id: a, say: b, expect: {}}", "no source"),
            ("{id: a, say: b, expect: {exec: {pod: {name: a}, node: n, command: [ls]}}}", "only one"),
            ("{id: a, say: b, expect: {exec: {container: c, command: [ls]}}}", "in which Pod"),
            ("{id: a, say: b, expect: {exec: {pod: {name: a}, comand: [ls]}}}", "comand"),
            ("{id: a, say: b, expect: {file: {node: n, path: a}}}", "not absolute"),
            ("{id: a, say: b, expect: {file: {path: a, mode: x}}}", "mode"),
            ("{id: a, say: b, expect: {http: {url: 'http://a', verb: POST}}}", "verb"),
        ];
        for (yaml, expected) in cases {
            let error = parse(yaml).unwrap_err();
            assert!(error.contains(expected), "{yaml}: {error}");
        }
    }
}
