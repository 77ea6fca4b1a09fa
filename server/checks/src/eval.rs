//! Asking a check's question of the world: pure, and with a trace of everything that was looked at.
//!
//! Probes are facts like others: what is not known yet is returned as wanted, and the answer is "waiting".

use std::collections::BTreeMap;
use std::sync::Arc;

use drydock_cel::{Bindings, ClauseTrace, Evaluation};
use drydock_course::check::{
    Answer, At, Check, Container, Exec, Expect, File, From, History, Http, Let, Log, ObjectRef, Saw, Source, Stream,
};
use regex::Regex;
use serde_json::{Value, json};

use crate::compile::Library;
use crate::interpolate;
use crate::probe::{Probe, Probes, Target};
use crate::select::{self, Moment};
use crate::verdict::Outcome;
use crate::world::{Point, World};

/// Everything a check is judged by.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// What is known.
    pub world: &'a World,
    /// Results of probes.
    pub probes: &'a Probes,
    /// Since when evidence counts.
    pub baseline: Point,
    /// Names bound by earlier blocks.
    pub names: &'a Bindings,
    /// Parsed expressions.
    pub library: &'a Library,
}

/// One source that was looked at.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The source, with its names filled in.
    pub source: Source,
    /// Whether it holds by itself.
    pub outcome: Outcome,
    /// Whether it should: false below a `not`.
    pub wanted: bool,
    /// Objects that were meant, the closest first.
    pub candidates: Vec<Arc<Value>>,
    /// The clauses of its condition over the closest candidate.
    pub clauses: Vec<ClauseTrace>,
    /// What there is to say beyond that.
    pub note: Option<String>,
}

/// The answer, how it came about, and what would have to be asked.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// The answer.
    pub outcome: Outcome,
    /// Everything looked at, in the order written.
    pub leaves: Vec<Leaf>,
    /// Probes whose result is missing or used.
    pub probes: Vec<Probe>,
    /// Names this check binds.
    pub names: Bindings,
}

/// Judge one check.
pub fn check(check: &Check, facts: &Facts<'_>) -> Judgement {
    let mut evaluator = Evaluator { facts, names: facts.names.clone(), leaves: Vec::new(), probes: Vec::new() };
    let mut bound = Bindings::new();
    for (name, binding) in ordered(&check.bindings) {
        match evaluator.bind(binding) {
            Ok(value) => {
                evaluator.names.insert(name.clone(), value.clone());
                bound.insert(name.clone(), value);
            }
            Err(note) => {
                evaluator.leaf(&binding.source, Outcome::Waiting, true, Found::note(format!("{name}: {note}")));
            }
        }
    }
    let outcome = evaluator.expect(&check.expect, true);
    Judgement { outcome, leaves: evaluator.leaves, probes: evaluator.probes, names: bound }
}

/// Bindings that use other bindings come after them.
fn ordered(bindings: &BTreeMap<String, Let>) -> Vec<(&String, &Let)> {
    let uses = |binding: &Let, name: &str| serde_json::to_string(binding).is_ok_and(|text| text.contains(&format!("${{{name}")));
    let mut rest: Vec<_> = bindings.iter().collect();
    let mut done = Vec::new();
    while !rest.is_empty() {
        let free = rest.iter().position(|(_, binding)| !rest.iter().any(|(name, _)| uses(binding, name))).unwrap_or(0);
        done.push(rest.remove(free));
    }
    done
}

/// What looking at one source found.
#[derive(Default)]
struct Found {
    candidates: Vec<Arc<Value>>,
    clauses: Vec<ClauseTrace>,
    note: Option<String>,
}

impl Found {
    fn note(note: impl Into<String>) -> Found {
        Found { note: Some(note.into()), ..Found::default() }
    }
}

type Looked = (Outcome, Found);

struct Evaluator<'a> {
    facts: &'a Facts<'a>,
    names: Bindings,
    leaves: Vec<Leaf>,
    probes: Vec<Probe>,
}

impl Evaluator<'_> {
    fn expect(&mut self, expect: &Expect, wanted: bool) -> Outcome {
        match expect {
            Expect::All(branches) => {
                let outcomes: Vec<Outcome> = branches.iter().map(|branch| self.expect(branch, wanted)).collect();
                strongest(&outcomes, &[Outcome::Error, Outcome::Fail, Outcome::Waiting], Outcome::Pass)
            }
            Expect::Any(branches) => {
                let outcomes: Vec<Outcome> = branches.iter().map(|branch| self.expect(branch, wanted)).collect();
                strongest(&outcomes, &[Outcome::Pass, Outcome::Error, Outcome::Waiting], Outcome::Fail)
            }
            Expect::Not(branch) => match self.expect(branch, !wanted) {
                Outcome::Pass => Outcome::Fail,
                Outcome::Fail => Outcome::Pass,
                other => other,
            },
            Expect::One { source, filter } => {
                let source = match interpolate::source(source, &self.names) {
                    Ok(source) => source,
                    Err(interpolate::InterpolateError::Missing(name)) => {
                        let note = format!("{name} is not known yet");
                        return self.leaf(source, Outcome::Waiting, wanted, Found::note(note));
                    }
                    Err(error) => return self.leaf(source, Outcome::Error, wanted, Found::note(error.to_string())),
                };
                let (outcome, found) = self.look(&source, filter.as_deref());
                self.leaf(&source, outcome, wanted, found)
            }
        }
    }

    fn leaf(&mut self, source: &Source, outcome: Outcome, wanted: bool, found: Found) -> Outcome {
        let Found { candidates, clauses, note } = found;
        self.leaves.push(Leaf { source: source.clone(), outcome, wanted, candidates, clauses, note });
        outcome
    }

    fn look(&mut self, source: &Source, filter: Option<&str>) -> Looked {
        match source {
            Source::Object(wanted) => self.object(wanted, filter),
            Source::List(wanted) => self.list(wanted, filter),
            Source::Gone(wanted) => self.gone(wanted),
            Source::History(history) => self.history(history),
            Source::Saw(saw) => self.saw(saw),
            Source::Stream(stream) => self.stream(stream, filter),
            Source::Container(container) => self.container(container, filter),
            Source::Log(log) => self.log(log),
            Source::Http(http) => self.http(http, filter),
            Source::Exec(exec) => self.exec(exec, filter),
            Source::File(file) => self.file(file),
            Source::Answer(answer) => self.answer(answer),
        }
    }

    /// Evaluate a condition with some more names.
    fn condition(&self, filter: &str, more: Bindings) -> Result<Evaluation, String> {
        let mut names = self.names.clone();
        names.extend(more);
        let mut spare = None;
        let expression = self.facts.library.get(filter, &mut spare).map_err(|error| error.to_string())?;
        Ok(expression.evaluate(&names))
    }

    /// Whether a candidate exists of which a condition is true; the closest comes first in what was found.
    fn some(&self, candidates: Vec<(Arc<Value>, Bindings)>, filter: Option<&str>) -> Looked {
        let Some(filter) = filter else {
            let outcome = if candidates.is_empty() { Outcome::Fail } else { Outcome::Pass };
            return (outcome, Found { candidates: candidates.into_iter().map(|(object, _)| object).collect(), ..Found::default() });
        };
        let mut best: Option<(usize, usize, Vec<ClauseTrace>)> = None;
        let mut objects = Vec::new();
        for (index, (object, names)) in candidates.into_iter().enumerate() {
            objects.push(object);
            let evaluation = match self.condition(filter, names) {
                Ok(evaluation) => evaluation,
                Err(problem) => return (Outcome::Error, Found::note(problem)),
            };
            if let Err(problem) = &evaluation.outcome {
                return (Outcome::Error, Found { candidates: objects, clauses: evaluation.clauses, note: Some(problem.clone()) });
            }
            let holding = evaluation.clauses.iter().filter(|clause| clause.holds).count();
            if evaluation.is_true() {
                objects.swap(0, index);
                return (Outcome::Pass, Found { candidates: objects, clauses: evaluation.clauses, note: None });
            }
            if best.as_ref().is_none_or(|(most, _, _)| holding > *most) {
                best = Some((holding, index, evaluation.clauses));
            }
        }
        let (index, clauses) = best.map_or((0, Vec::new()), |(_, index, clauses)| (index, clauses));
        if !objects.is_empty() {
            objects.swap(0, index);
        }
        (Outcome::Fail, Found { candidates: objects, clauses, note: None })
    }

    fn object(&self, wanted: &ObjectRef, filter: Option<&str>) -> Looked {
        let candidates = select::objects(self.facts.world, wanted, Moment::Now);
        self.some(candidates.into_iter().map(|object| (object.clone(), fields(&object))).collect(), filter)
    }

    fn list(&self, wanted: &ObjectRef, filter: Option<&str>) -> Looked {
        let items = select::objects(self.facts.world, wanted, Moment::Now);
        let Some(filter) = filter else {
            let outcome = if items.is_empty() { Outcome::Fail } else { Outcome::Pass };
            return (outcome, Found { candidates: items, ..Found::default() });
        };
        let list = json!(items.iter().map(|item| (**item).clone()).collect::<Vec<Value>>());
        match self.condition(filter, [("items".to_owned(), list)].into()) {
            Ok(evaluation) => self.evaluated(evaluation, items),
            Err(problem) => (Outcome::Error, Found::note(problem)),
        }
    }

    fn evaluated(&self, evaluation: Evaluation, candidates: Vec<Arc<Value>>) -> Looked {
        let (outcome, note) = match &evaluation.outcome {
            Ok(_) if evaluation.is_true() => (Outcome::Pass, None),
            Ok(_) => (Outcome::Fail, None),
            Err(problem) => (Outcome::Error, Some(problem.clone())),
        };
        (outcome, Found { candidates, clauses: evaluation.clauses, note })
    }

    fn gone(&self, wanted: &ObjectRef) -> Looked {
        let world = self.facts.world;
        let now = select::objects(world, wanted, Moment::Now);
        if !now.is_empty() {
            return (Outcome::Fail, Found { candidates: now, ..Found::default() });
        }
        let before = select::objects(world, wanted, Moment::At(self.facts.baseline.revision));
        let since = || {
            let changes = world.changes_since(&wanted.kind, self.facts.baseline.revision);
            changes.filter_map(|change| change.old.clone()).any(|old| select::fits(world, wanted, &old))
        };
        if !before.is_empty() || since() {
            (Outcome::Pass, Found { candidates: before, ..Found::default() })
        } else {
            (Outcome::Fail, Found::note("it was never there"))
        }
    }

    fn history(&self, history: &History) -> Looked {
        let namespace = history.of.namespace.as_deref().unwrap_or("default");
        let mut fitting = Vec::new();
        let mut last = Vec::new();
        for change in self.facts.world.changes_since(&history.of.kind, self.facts.baseline.revision) {
            let (in_namespace, name) = (&change.key.0, &change.key.1);
            let there = in_namespace.is_empty() || namespace == "*" || in_namespace == namespace;
            if !there || history.of.name.as_ref().is_some_and(|wanted| wanted != name) {
                continue;
            }
            let version = |version: &Option<Arc<Value>>| version.as_ref().map_or(Value::Null, |object| (**object).clone());
            let kind = match (&change.old, &change.new) {
                (None, _) => "ADDED",
                (_, None) => "DELETED",
                _ => "MODIFIED",
            };
            let names: Bindings = [
                ("old".to_owned(), version(&change.old)),
                ("new".to_owned(), version(&change.new)),
                ("type".to_owned(), json!(kind)),
                ("actor".to_owned(), json!(change.actor)),
            ]
            .into();
            match self.condition(&history.filter, names) {
                Ok(evaluation) if evaluation.is_true() => fitting.extend(change.new.clone().or_else(|| change.old.clone())),
                Ok(evaluation) => {
                    if evaluation.clauses.iter().any(|clause| clause.holds) {
                        last = evaluation.clauses;
                    }
                }
                Err(problem) => return (Outcome::Error, Found::note(problem)),
            }
        }
        let wanted = history.count.as_deref().unwrap_or(">= 1");
        match count(wanted, fitting.len()) {
            Some(true) => (Outcome::Pass, Found { candidates: fitting, ..Found::default() }),
            Some(false) => {
                let note = format!("{} changes of that kind since the exercise began, wanted {wanted}", fitting.len());
                (Outcome::Fail, Found { candidates: fitting, clauses: last, note: Some(note) })
            }
            None => (Outcome::Error, Found::note(format!("count: {wanted:?}; write `>= 1` or `== 0`"))),
        }
    }

    fn saw(&self, saw: &Saw) -> Looked {
        let (line, output) = match (Regex::new(&saw.matches), saw.output.as_deref().map(Regex::new).transpose()) {
            (Ok(line), Ok(output)) => (line, output),
            (Err(error), _) | (_, Err(error)) => return (Outcome::Error, Found::note(error.to_string())),
        };
        let mut near = None;
        for command in self.facts.world.records_since("commands", self.facts.baseline) {
            let typed = command["spec"]["line"].as_str().unwrap_or_default();
            let by_tool = saw.tool.as_deref().is_none_or(|tool| tools(typed).any(|used| used == tool));
            if !by_tool || !line.is_match(typed) {
                continue;
            }
            let exit = command["status"]["exitCode"].as_i64();
            let printed = command["status"]["output"].as_str().unwrap_or_default();
            let exit_fits = saw.exit.is_none_or(|wanted| exit == Some(i64::from(wanted)));
            let output_fits = output.as_ref().is_none_or(|output| output.is_match(printed));
            if exit_fits && output_fits {
                return (Outcome::Pass, Found { candidates: vec![Arc::new(command.clone())], ..Found::default() });
            }
            let note = match exit {
                None => format!("`{typed}` still runs"),
                Some(code) if !exit_fits => format!("`{typed}` ended with exit code {code}"),
                Some(_) => format!("`{typed}` printed something else"),
            };
            near = Some((Arc::new(command.clone()), note));
        }
        match near {
            Some((command, note)) => (Outcome::Fail, Found { candidates: vec![command], clauses: Vec::new(), note: Some(note) }),
            None => (Outcome::Fail, Found::default()),
        }
    }

    fn stream(&self, stream: &Stream, filter: Option<&str>) -> Looked {
        let pods = stream.pod.as_ref().map(|wanted| self.pods_ever(wanted));
        let records = self.facts.world.records_since("streams", self.facts.baseline).into_iter().filter(|record| {
            let spec = &record["spec"];
            let to_pod = pods.as_ref().is_none_or(|pods| pods.iter().any(|(ns, name)| spec["namespace"] == **ns && spec["pod"] == **name));
            spec["verb"] == *stream.verb && to_pod
        });
        let candidates = records.map(|record| (Arc::new(record.clone()), fields(record))).collect();
        let (outcome, found) = self.some(candidates, stream.filter.as_deref());
        match (outcome, filter) {
            (Outcome::Pass, Some(filter)) => {
                let candidates = found.candidates.into_iter().map(|record| (record.clone(), fields(&record))).collect();
                self.some(candidates, Some(filter))
            }
            _ => (outcome, found),
        }
    }

    /// Namespace and name of Pods that fit now or did since the baseline: a stream outlives the Pod it went to.
    fn pods_ever(&self, wanted: &ObjectRef) -> Vec<(String, String)> {
        let world = self.facts.world;
        let key = |object: &Value| crate::world::key_of(object);
        let mut pods: Vec<_> = select::objects(world, wanted, Moment::Now).iter().map(|pod| key(pod)).collect();
        let changes = world.changes_since(&wanted.kind, self.facts.baseline.revision);
        pods.extend(changes.filter_map(|change| change.old.as_ref()).filter(|old| select::fits(world, wanted, old)).map(|old| key(old)));
        if let (Some(name), true) = (&wanted.name, wanted.labels.is_empty()) {
            pods.push((wanted.namespace.clone().unwrap_or_else(|| "default".into()), name.clone()));
        }
        pods
    }

    fn container(&self, container: &Container, filter: Option<&str>) -> Looked {
        let bare = |id: &str| id.rsplit("://").next().unwrap_or(id).to_owned();
        let id = container.id.as_deref().map(bare);
        let here: Vec<_> = self
            .facts
            .world
            .records("nodecontainers")
            .filter(|record| {
                let spec = &record["spec"];
                let by_id = id.as_ref().is_none_or(|id| spec["id"].as_str().is_some_and(|own| bare(own) == *id));
                by_id && container.labels.iter().all(|(key, value)| spec["labels"][key] == **value)
            })
            .map(|record| Arc::new(record.clone()))
            .collect();
        if !container.gone {
            return self.some(here.into_iter().map(|record| (record.clone(), fields(&record))).collect(), filter);
        }
        let seen = id.as_ref().is_none_or(|id| self.facts.world.record_was_seen("nodecontainers", id));
        match (here.is_empty(), seen) {
            (true, true) => (Outcome::Pass, Found::default()),
            (true, false) => (Outcome::Fail, Found::note("the node never had that container")),
            (false, _) => (Outcome::Fail, Found { candidates: here, ..Found::default() }),
        }
    }

    /// Ask a probe; `None` while its result is not there.
    fn ask(&mut self, probe: Probe) -> Option<Value> {
        let result = self.facts.probes.get(&probe).cloned();
        self.probes.push(probe);
        result
    }

    fn first_pod(&self, wanted: &ObjectRef) -> Option<Arc<Value>> {
        let pods = select::objects(self.facts.world, wanted, Moment::Now);
        let alive = |pod: &&Arc<Value>| pod["metadata"]["deletionTimestamp"].is_null();
        pods.iter().find(alive).or_else(|| pods.first()).cloned()
    }

    fn log(&mut self, log: &Log) -> Looked {
        let Some(pod) = self.first_pod(&log.pod) else { return (Outcome::Fail, Found::note("there is no such Pod")) };
        let (namespace, name) = crate::world::key_of(&pod);
        let probe = Probe::Log { namespace, pod: name, container: log.container.clone(), previous: log.previous, tail: log.tail };
        let Some(result) = self.ask(probe) else { return (Outcome::Waiting, Found { candidates: vec![pod], ..Found::default() }) };
        match Regex::new(&log.matches) {
            Ok(pattern) if pattern.is_match(result["text"].as_str().unwrap_or_default()) => {
                (Outcome::Pass, Found { candidates: vec![pod], ..Found::default() })
            }
            Ok(_) => (Outcome::Fail, Found { candidates: vec![pod], clauses: Vec::new(), note: Some(format!("its log has no line like {}", log.matches)) }),
            Err(error) => (Outcome::Error, Found::note(error.to_string())),
        }
    }

    fn http(&mut self, http: &Http, outer: Option<&str>) -> Looked {
        let from = match &http.from {
            From::Workstation => Target::Workstation,
            From::Pod(wanted) => match self.first_pod(wanted) {
                Some(pod) => {
                    let (namespace, pod) = crate::world::key_of(&pod);
                    Target::Pod { namespace, pod }
                }
                None => return (Outcome::Fail, Found::note("there is no such Pod")),
            },
        };
        let Some(result) = self.ask(Probe::Http { from, url: http.url.clone() }) else { return (Outcome::Waiting, Found::default()) };
        if let Some(error) = result["error"].as_str() {
            return (Outcome::Fail, Found::note(format!("{}: {error}", http.url)));
        }
        let filter = http.filter.as_deref().or(outer).unwrap_or("status >= 200 && status < 400");
        self.some(vec![(Arc::new(result.clone()), fields(&result))], Some(filter))
    }

    fn exec(&mut self, exec: &Exec, outer: Option<&str>) -> Looked {
        let Some(pod) = self.first_pod(&exec.pod) else { return (Outcome::Fail, Found::note("there is no such Pod")) };
        let (namespace, name) = crate::world::key_of(&pod);
        let target = Target::Pod { namespace, pod: name };
        let probe = Probe::Exec { target, container: exec.container.clone(), command: exec.command.clone() };
        let Some(result) = self.ask(probe) else { return (Outcome::Waiting, Found { candidates: vec![pod], ..Found::default() }) };
        if let Some(error) = result["error"].as_str() {
            return (Outcome::Fail, Found { candidates: vec![pod], clauses: Vec::new(), note: Some(error.to_owned()) });
        }
        let filter = exec.filter.as_deref().or(outer).unwrap_or("exit == 0");
        self.some(vec![(pod, fields(&result))], Some(filter))
    }

    fn file(&mut self, file: &File) -> Looked {
        let path = if file.path.starts_with('/') { file.path.clone() } else { format!("/home/learner/{}", file.path.trim_start_matches("~/")) };
        let Some(result) = self.ask(Probe::File { path: path.clone() }) else { return (Outcome::Waiting, Found::default()) };
        let text = result["text"].as_str();
        if file.gone {
            return if text.is_none() { (Outcome::Pass, Found::default()) } else { (Outcome::Fail, Found::note(format!("{path} is still there"))) };
        }
        let Some(text) = text else { return (Outcome::Fail, Found::note(format!("there is no file {path}"))) };
        if let Some(pattern) = &file.matches {
            match Regex::new(pattern) {
                Ok(pattern) if !pattern.is_match(text) => return (Outcome::Fail, Found::note(format!("{path} holds nothing like {pattern}"))),
                Ok(_) => {}
                Err(error) => return (Outcome::Error, Found::note(error.to_string())),
            }
        }
        let Some(same) = &file.same_as else { return (Outcome::Pass, Found::default()) };
        let Some(pod) = self.first_pod(&same.pod) else { return (Outcome::Fail, Found::note("there is no such Pod to compare with")) };
        let (namespace, name) = crate::world::key_of(&pod);
        let command = vec!["cat".to_owned(), same.path.clone()];
        let Some(other) = self.ask(Probe::Exec { target: Target::Pod { namespace, pod: name.clone() }, container: None, command }) else {
            return (Outcome::Waiting, Found { candidates: vec![pod], ..Found::default() });
        };
        if other["stdout"].as_str() == Some(text) {
            (Outcome::Pass, Found { candidates: vec![pod], ..Found::default() })
        } else {
            let note = format!("{path} and {} in Pod {name} differ", same.path);
            (Outcome::Fail, Found { candidates: vec![pod], clauses: Vec::new(), note: Some(note) })
        }
    }

    fn answer(&self, answer: &Answer) -> Looked {
        let given = self.facts.world.answer_to(&answer.ask).map(str::trim).filter(|text| !text.is_empty());
        match (given, &answer.equals) {
            (None, _) => (Outcome::Waiting, Found::note("waits for your answer")),
            (Some(_), None) => (Outcome::Pass, Found::default()),
            (Some(given), Some(wanted)) if given.eq_ignore_ascii_case(wanted.trim()) => (Outcome::Pass, Found::default()),
            (Some(given), Some(_)) => (Outcome::Fail, Found::note(format!("the answer is not `{given}`"))),
        }
    }

    /// The value of a name.
    fn bind(&mut self, binding: &Let) -> Result<Value, String> {
        let source = interpolate::source(&binding.source, &self.names).map_err(|error| error.to_string())?;
        let moment = match binding.at {
            At::Baseline => Moment::At(self.facts.baseline.revision),
            At::Now => Moment::Now,
        };
        let (whole, names) = match &source {
            Source::Object(wanted) => {
                let object = select::objects(self.facts.world, wanted, moment).into_iter().next().ok_or("it is not there")?;
                ((*object).clone(), fields(&object))
            }
            Source::List(wanted) => {
                let items = select::objects(self.facts.world, wanted, moment);
                let items = json!(items.iter().map(|item| (**item).clone()).collect::<Vec<Value>>());
                (items.clone(), [("items".to_owned(), items)].into())
            }
            other => {
                let (outcome, found) = self.look(other, None);
                let record = found.candidates.first().filter(|_| outcome == Outcome::Pass).ok_or("it is not there")?;
                ((**record).clone(), fields(record))
            }
        };
        let Some(value) = &binding.value else { return Ok(whole) };
        let mut all = self.names.clone();
        all.extend(names);
        let mut spare = None;
        let expression = self.facts.library.get(value, &mut spare).map_err(|error| error.to_string())?;
        match expression.value(&all)? {
            Value::Null => Err(format!("{value} is not there")),
            value => Ok(value),
        }
    }
}

/// The first outcome of `order` that occurs, else `otherwise`.
fn strongest(outcomes: &[Outcome], order: &[Outcome], otherwise: Outcome) -> Outcome {
    order.iter().copied().find(|outcome| outcomes.contains(outcome)).unwrap_or(otherwise)
}

/// An object's fields as names, and the object itself.
fn fields(object: &Value) -> Bindings {
    let mut names: Bindings = object.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    for always in ["metadata", "spec", "status"] {
        names.entry(always.to_owned()).or_insert_with(|| json!({}));
    }
    names.insert("object".to_owned(), object.clone());
    names
}

/// `>= 1` against a number; `None` when it is no comparison.
pub(crate) fn count(wanted: &str, got: usize) -> Option<bool> {
    let wanted = wanted.trim();
    let split = wanted.find(|c: char| c.is_ascii_digit())?;
    let number: usize = wanted[split..].trim().parse().ok()?;
    Some(match wanted[..split].trim() {
        ">=" => got >= number,
        "==" | "=" | "" => got == number,
        ">" => got > number,
        "<=" => got <= number,
        "<" => got < number,
        "!=" => got != number,
        _ => return None,
    })
}

/// The programs a command line runs: the first word of each simple command, assignments and wrappers skipped.
fn tools(line: &str) -> impl Iterator<Item = &str> {
    line.split(['|', ';', '&', '(', '\n']).filter_map(|simple| {
        let mut words = simple.split_whitespace().skip_while(|word| word.contains('=') || matches!(*word, "sudo" | "time" | "$" | "watch"));
        words.next().map(|word| word.trim_start_matches("$(").rsplit('/').next().unwrap_or(word))
    })
}

#[cfg(test)]
#[path = "eval_tests.rs"]
mod tests;
