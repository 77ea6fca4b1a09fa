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
    /// Regular expression over the text.
    pub matches: String,
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
    /// CEL over `status`, `headers` and `body`.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
}

/// A command the grader runs in a Pod.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// In which Pod.
    #[serde(deserialize_with = "pod_ref")]
    pub pod: ObjectRef,
    /// In which container; the only one when absent.
    #[serde(default)]
    pub container: Option<String>,
    /// What to run.
    pub command: Vec<String>,
    /// CEL over `exit` and `stdout`.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
}

/// A file of the learner's home.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Absolute, or relative to the learner's home.
    pub path: String,
    /// It must not be there.
    #[serde(default)]
    pub gone: bool,
    /// Regular expression over its text.
    #[serde(default)]
    pub matches: Option<String>,
    /// It must equal this file of a Pod.
    #[serde(default)]
    pub same_as: Option<PodFile>,
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
    /// A command in a Pod.
    Exec(Exec),
    /// A file.
    File(File),
    /// An answer.
    Answer(Answer),
}

/// Names of the sources, as an author writes them.
const SOURCES: [&str; 12] = ["object", "list", "gone", "history", "saw", "stream", "container", "log", "http", "exec", "file", "answer"];

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
    - not:
        saw: {tool: kubectl, matches: '\bget\b'}
hints: [one]
"#,
        )
        .unwrap();
        assert_eq!(check.mode, Some(Mode::Latch));
        let Expect::All(branches) = &check.expect else { panic!("{check:?}") };
        assert_eq!(branches.len(), 7);
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
        ];
        for (yaml, expected) in cases {
            let error = parse(yaml).unwrap_err();
            assert!(error.contains(expected), "{yaml}: {error}");
        }
    }
}
