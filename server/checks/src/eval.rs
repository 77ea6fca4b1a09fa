//! Asking a check's question of the world: pure, and with a trace of everything that was looked at.
//!
//! Probes are facts like others: what is not known yet is returned as wanted, and the answer is "waiting".

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use drydock_cel::{Bindings, ClauseTrace, Evaluation, Expression};
use drydock_course::check::{
    Answer, At, Check, Container, Dns, Env, Exec, Expect, File, From, History, Http, Inside, Let, Log, ObjectRef, Read, Saw, Since, Source, Stream, Tcp,
    Traffic,
};
use jiff::Timestamp;
use regex::Regex;
use serde_json::{Value, json};

use crate::clauses;
use crate::compile::{Library, duration};
use crate::interpolate;
use crate::probe::{Probe, Probes, Request, Target};
use crate::select::{self, Moment};
use crate::verdict::Outcome;
use crate::world::{Change, Point, World};

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
    /// The condition beside the source.
    pub filter: Option<String>,
    /// The name, or the path below one, that has no value yet and is waited for.
    pub unbound: Option<String>,
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

/// What was found out about changes that are long past, so that they are not gone through again.
#[derive(Debug, Clone, Default)]
pub struct Memo(HashMap<String, Scan>);

/// How far the changes of a kind have been looked at for one `history`.
#[derive(Debug, Clone, Default)]
struct Scan {
    epoch: u64,
    looked_at: usize,
    fitting: Vec<Arc<Value>>,
    near: Vec<ClauseTrace>,
}

/// Judge one check. `memo` is this check's own and makes the next time cheaper; it changes no answer.
pub fn check(check: &Check, facts: &Facts<'_>, memo: &mut Memo) -> Judgement {
    let mut evaluator = Evaluator { facts, names: facts.names.clone(), leaves: Vec::new(), probes: Vec::new(), memo, wanted: true };
    let mut bound = Bindings::new();
    for (name, binding) in ordered(&check.bindings) {
        match evaluator.bind(binding) {
            Ok(value) => {
                evaluator.names.insert(name.clone(), value.clone());
                bound.insert(name.clone(), value);
            }
            Err(note) => {
                evaluator.leaf(&binding.source, Outcome::Waiting, true, Found { unbound: Some(name.clone()), ..Found::note(note) });
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
    filter: Option<String>,
    unbound: Option<String>,
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
    memo: &'a mut Memo,
    /// Whether the source that is looked at should hold.
    wanted: bool,
}

impl Evaluator<'_> {
    fn expect(&mut self, expect: &Expect, wanted: bool) -> Outcome {
        match expect {
            Expect::All(branches) => {
                let outcomes: Vec<Outcome> = branches.iter().map(|branch| self.expect(branch, wanted)).collect();
                strongest(&outcomes, &[Outcome::Error, Outcome::Fail, Outcome::Waiting], Outcome::Pass)
            }
            Expect::Any(branches) => {
                let before = self.leaves.len();
                let outcomes: Vec<Outcome> = branches.iter().map(|branch| self.expect(branch, wanted)).collect();
                let outcome = strongest(&outcomes, &[Outcome::Pass, Outcome::Error, Outcome::Waiting], Outcome::Fail);
                // One way is enough: what is missing for the others is nobody's mistake.
                if wanted && outcome == Outcome::Pass {
                    let ways = self.leaves.split_off(before);
                    self.leaves.extend(ways.into_iter().filter(|leaf| (leaf.outcome == Outcome::Pass) == leaf.wanted));
                }
                outcome
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
                        return self.leaf(source, Outcome::Waiting, wanted, Found { unbound: Some(name), ..Found::note(note) });
                    }
                    Err(error) => return self.leaf(source, Outcome::Error, wanted, Found::note(error.to_string())),
                };
                self.wanted = wanted;
                let (outcome, found) = self.look(&source, filter.as_deref());
                self.leaf(&source, outcome, wanted, Found { filter: filter.clone(), ..found })
            }
        }
    }

    fn leaf(&mut self, source: &Source, outcome: Outcome, wanted: bool, found: Found) -> Outcome {
        let Found { candidates, clauses, note, filter, unbound } = found;
        self.leaves.push(Leaf { source: source.clone(), outcome, wanted, candidates, clauses, note, filter, unbound });
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
            Source::Read(read) => self.read(read, filter),
            Source::Container(container) => self.container(container, filter),
            Source::Log(log) => self.log(log),
            Source::Http(http) => self.http(http, filter),
            Source::Dns(dns) => self.dns(dns, filter),
            Source::Tcp(tcp) => self.tcp(tcp, filter),
            Source::Exec(exec) => self.exec(exec, filter),
            Source::Env(env) => self.env(env, filter),
            Source::File(file) => self.file(file, filter),
            Source::Traffic(traffic) => self.traffic(traffic),
            Source::Answer(answer) => self.answer(answer),
        }
    }

    /// Evaluate a condition over an object's fields. Only the names it uses are made, and its clauses are told only where they explain
    /// something.
    fn condition(&self, filter: &str, own: &dyn Fn(&str) -> Option<Value>) -> Result<Evaluation, String> {
        let mut spare = None;
        let expression = self.facts.library.get(filter, &mut spare).map_err(|error| error.to_string())?;
        let names = self.names_in(expression, own);
        let outcome = expression.outcome(&names);
        if self.wanted && outcome == Ok(Value::Bool(true)) {
            return Ok(Evaluation { outcome, clauses: Vec::new() });
        }
        Ok(expression.evaluate(&names))
    }

    /// The values of the names an expression uses.
    fn names_in(&self, expression: &Expression, own: &dyn Fn(&str) -> Option<Value>) -> Bindings {
        let name = |name: String| Some((own(&name).or_else(|| self.names.get(&name).cloned())?, name));
        expression.variables().into_iter().filter_map(name).map(|(value, name)| (name, value)).collect()
    }

    /// Of the clauses of a condition those that tell why it is as it is.
    fn telling(&self, filter: &str, own: &dyn Fn(&str) -> Option<Value>, clauses: Vec<ClauseTrace>) -> Vec<ClauseTrace> {
        let mut spare = None;
        match self.facts.library.get(filter, &mut spare) {
            Ok(expression) if !clauses.is_empty() && clauses::is_compound(filter) => clauses::telling(filter, clauses, &self.names_in(expression, own)),
            _ => clauses,
        }
    }

    /// Whether a candidate exists of which every one of these conditions is true; the closest comes first in what was found.
    fn some(&self, mut candidates: Vec<Arc<Value>>, filters: &[Option<&str>]) -> Looked {
        let filters: Vec<&str> = filters.iter().flatten().copied().collect();
        if candidates.is_empty() {
            return (Outcome::Fail, Found::default());
        }
        if filters.is_empty() {
            return (Outcome::Pass, Found { candidates, ..Found::default() });
        }
        let mut outcome = Outcome::Fail;
        let mut best: Option<((bool, usize), usize, Vec<Vec<ClauseTrace>>)> = None;
        for index in 0..candidates.len() {
            let (mut clauses, mut all) = (Vec::new(), true);
            for filter in &filters {
                let evaluation = match self.condition(filter, &|name| field(&candidates[index], name)) {
                    Ok(evaluation) => evaluation,
                    Err(problem) => return (Outcome::Error, Found::note(problem)),
                };
                if let Err(problem) = &evaluation.outcome {
                    return (Outcome::Error, Found { candidates, clauses: evaluation.clauses, ..Found::note(problem) });
                }
                all &= evaluation.is_true();
                clauses.push(evaluation.clauses);
            }
            let holding = clauses.iter().flatten().filter(|clause| clause.holds).count();
            let near = (!select::is_own(&candidates[index]), holding);
            if all || best.as_ref().is_none_or(|(most, ..)| near > *most) {
                best = Some((near, index, clauses));
            }
            if all {
                outcome = Outcome::Pass;
                break;
            }
        }
        let (_, index, clauses) = best.unwrap_or_default();
        candidates.swap(0, index);
        let own = |name: &str| field(&candidates[0], name);
        let clauses = filters.iter().zip(clauses).flat_map(|(filter, clauses)| self.telling(filter, &own, clauses)).collect();
        (outcome, Found { candidates, clauses, ..Found::default() })
    }

    fn object(&self, wanted: &ObjectRef, filter: Option<&str>) -> Looked {
        // What is new comes first: of candidates that are equally close it is the one the learner works at.
        let mut candidates = select::objects(self.facts.world, wanted, Moment::Now);
        candidates.sort_by_key(|object| crate::world::revision_of(object) <= self.facts.baseline.revision);
        self.some(candidates, &[filter])
    }

    fn list(&self, wanted: &ObjectRef, filter: Option<&str>) -> Looked {
        let items = select::objects(self.facts.world, wanted, Moment::Now);
        let Some(filter) = filter else {
            let outcome = if items.is_empty() { Outcome::Fail } else { Outcome::Pass };
            return (outcome, Found { candidates: items, ..Found::default() });
        };
        let list = |name: &str| (name == "items").then(|| json!(items.iter().map(|item| (**item).clone()).collect::<Vec<Value>>()));
        match self.condition(filter, &list) {
            Ok(evaluation) => {
                let clauses = self.telling(filter, &list, evaluation.clauses);
                self.evaluated(Evaluation { clauses, ..evaluation }, items)
            }
            Err(problem) => (Outcome::Error, Found::note(problem)),
        }
    }

    fn evaluated(&self, evaluation: Evaluation, candidates: Vec<Arc<Value>>) -> Looked {
        let (outcome, note) = match &evaluation.outcome {
            Ok(_) if evaluation.is_true() => (Outcome::Pass, None),
            Ok(_) => (Outcome::Fail, None),
            Err(problem) => (Outcome::Error, Some(problem.clone())),
        };
        (outcome, Found { candidates, clauses: evaluation.clauses, note, ..Found::default() })
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
            changes.iter().filter_map(|change| change.old.clone()).any(|old| select::fits(world, wanted, &old))
        };
        if !before.is_empty() || since() {
            (Outcome::Pass, Found { candidates: before, ..Found::default() })
        } else {
            (Outcome::Fail, Found::note("it was never there"))
        }
    }

    fn history(&mut self, history: &History) -> Looked {
        let world = self.facts.world;
        let changes = world.changes_since(&history.of.kind, self.facts.baseline.revision);
        let key = match self.memo_key(history) {
            Ok(key) => key,
            Err(problem) => return (Outcome::Error, Found::note(problem)),
        };
        let epoch = world.epoch(&history.of.kind);
        let known = self.memo.0.remove(&key).filter(|scan| scan.epoch == epoch && scan.looked_at <= changes.len());
        let mut scan = known.unwrap_or_else(|| Scan { epoch, ..Scan::default() });
        for change in &changes[scan.looked_at..] {
            if let Err(problem) = self.scan(history, change, &mut scan) {
                return (Outcome::Error, Found::note(problem));
            }
        }
        scan.looked_at = changes.len();
        let wanted = history.count.as_deref().unwrap_or(">= 1");
        let looked = match count(wanted, scan.fitting.len()) {
            Some(true) => (Outcome::Pass, Found { candidates: scan.fitting.clone(), ..Found::default() }),
            Some(false) => {
                let note = format!("{} {wanted}", scan.fitting.len());
                let found = Found { candidates: scan.fitting.clone(), clauses: scan.near.clone(), ..Found::note(note) };
                (Outcome::Fail, found)
            }
            None => (Outcome::Error, Found::note(format!("count: {wanted:?}; write `>= 1` or `== 0`"))),
        };
        self.memo.0.insert(key, scan);
        looked
    }

    /// What decides the answer besides the changes themselves.
    fn memo_key(&self, history: &History) -> Result<String, String> {
        let mut spare = None;
        let expression = self.facts.library.get(&history.filter, &mut spare).map_err(|error| error.to_string())?;
        let names: Vec<_> = expression.variables().into_iter().filter_map(|name| Some((self.names.get(&name)?, name))).collect();
        let key = json!([self.facts.baseline.revision, history, names.iter().map(|(value, name)| json!([name, value])).collect::<Vec<_>>()]);
        Ok(key.to_string())
    }

    fn scan(&self, history: &History, change: &Change, scan: &mut Scan) -> Result<(), String> {
        let namespace = history.of.namespace.as_deref().unwrap_or(self.facts.world.home());
        let (in_namespace, name) = (&change.key.0, &change.key.1);
        let there = in_namespace.is_empty() || namespace == "*" || in_namespace == namespace;
        if !there || history.of.name.as_ref().is_some_and(|wanted| wanted != name) {
            return Ok(());
        }
        let version = |version: &Option<Arc<Value>>| version.as_ref().map_or(Value::Null, |object| (**object).clone());
        let own = |name: &str| match name {
            "old" => Some(version(&change.old)),
            "new" => Some(version(&change.new)),
            "actor" => Some(json!(change.actor)),
            "type" => Some(json!(match (&change.old, &change.new) {
                (None, _) => "ADDED",
                (_, None) => "DELETED",
                _ => "MODIFIED",
            })),
            _ => None,
        };
        let evaluation = self.condition(&history.filter, &own)?;
        if evaluation.is_true() {
            scan.fitting.extend(change.new.clone().or_else(|| change.old.clone()));
        } else if evaluation.clauses.iter().any(|clause| clause.holds) {
            scan.near = evaluation.clauses;
        }
        Ok(())
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
            near = Some(Arc::new(command.clone()));
        }
        match near {
            // What still runs may come out right.
            Some(command) if command["status"]["exitCode"].is_null() => (Outcome::Waiting, Found { candidates: vec![command], ..Found::default() }),
            Some(command) => (Outcome::Fail, Found { candidates: vec![command], ..Found::default() }),
            None => (Outcome::Fail, Found::default()),
        }
    }

    fn read(&self, read: &Read, filter: Option<&str>) -> Looked {
        let fits = |wanted: &Option<String>, got: &Value| wanted.as_ref().is_none_or(|wanted| *got == **wanted);
        // What is asked again and again is one record, which tells when it was asked last.
        let last = |record: &Value| record["status"]["received"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let records = self.facts.world.records("reads").filter(|record| {
            let spec = &record["spec"];
            let in_time = last(record).map_or_else(|| crate::world::point_of(record) >= self.facts.baseline, |last| last >= self.facts.baseline.time);
            in_time && spec["resource"] == *read.resource && fits(&read.name, &spec["name"]) && fits(&read.namespace, &spec["namespace"])
        });
        self.some(records.map(|record| Arc::new(record.clone())).collect(), &[read.filter.as_deref(), filter])
    }

    fn stream(&self, stream: &Stream, filter: Option<&str>) -> Looked {
        let pods = stream.pod.as_ref().map(|wanted| self.pods_ever(wanted));
        let records = self.facts.world.records_since("streams", self.facts.baseline).into_iter().filter(|record| {
            let spec = &record["spec"];
            let to_pod = pods.as_ref().is_none_or(|pods| pods.iter().any(|(ns, name)| spec["namespace"] == **ns && spec["pod"] == **name));
            spec["verb"] == *stream.verb && to_pod
        });
        self.some(records.map(|record| Arc::new(record.clone())).collect(), &[stream.filter.as_deref(), filter])
    }

    /// Namespace and name of Pods that fit now or did since the baseline: a stream outlives the Pod it went to.
    fn pods_ever(&self, wanted: &ObjectRef) -> Vec<(String, String)> {
        let world = self.facts.world;
        let key = |object: &Value| crate::world::key_of(object);
        let mut pods: Vec<_> = select::objects(world, wanted, Moment::Now).iter().map(|pod| key(pod)).collect();
        let changes = world.changes_since(&wanted.kind, self.facts.baseline.revision);
        pods.extend(changes.iter().filter_map(|change| change.old.as_ref()).filter(|old| select::fits(world, wanted, old)).map(|old| key(old)));
        if let (Some(name), true) = (&wanted.name, wanted.labels.is_empty()) {
            pods.push((wanted.namespace.clone().unwrap_or_else(|| world.home().to_owned()), name.clone()));
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
            return self.some(here, &[filter]);
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

    /// The Pod a probe goes to.
    fn target(&self, wanted: &ObjectRef, container: Option<&String>) -> Result<(Target, Arc<Value>), Looked> {
        let pod = self.first_pod(wanted).ok_or_else(|| (Outcome::Fail, Found::default()))?;
        let (namespace, name) = crate::world::key_of(&pod);
        Ok((Target::Pod { namespace, pod: name, container: container.cloned() }, pod))
    }

    fn from(&self, from: &From) -> Result<Target, Looked> {
        match from {
            From::Workstation => Ok(Target::Workstation),
            From::Node(name) => Ok(Target::Node { name: name.clone() }),
            From::Pod(wanted) => self.target(wanted, None).map(|(target, _)| target),
        }
    }

    fn inside(&self, inside: &Inside) -> Result<(Target, Option<Arc<Value>>), Looked> {
        match (&inside.pod, &inside.node) {
            (Some(wanted), _) => self.target(wanted, inside.container.as_ref()).map(|(target, pod)| (target, Some(pod))),
            (None, Some(name)) => Ok((Target::Node { name: name.clone() }, None)),
            (None, None) => Ok((Target::Workstation, None)),
        }
    }

    /// Ask a probe, and judge its answer by its condition and the one beside the source; by `otherwise` when there is none.
    fn answered(&mut self, probe: Probe, about: Option<Arc<Value>>, filters: [Option<&str>; 2], otherwise: &str) -> Looked {
        let about: Vec<Arc<Value>> = about.into_iter().collect();
        let Some(result) = self.ask(probe) else { return (Outcome::Waiting, Found { candidates: about, ..Found::default() }) };
        if let Some(error) = result["error"].as_str() {
            return (Outcome::Fail, Found { candidates: about, ..Found::note(error) });
        }
        let filters = if filters == [None, None] { [Some(otherwise), None] } else { filters };
        let (outcome, found) = self.some(vec![Arc::new(result)], &filters);
        let candidates = about.into_iter().chain(found.candidates).collect();
        (outcome, Found { candidates, ..found })
    }

    fn log(&mut self, log: &Log) -> Looked {
        let Some(pod) = self.first_pod(&log.pod) else { return (Outcome::Fail, Found::default()) };
        if let Some(why) = select::unstarted(&pod, log.container.as_deref()).filter(|_| !log.previous) {
            return (Outcome::Fail, Found { candidates: vec![pod], ..Found::note(why) });
        }
        let (namespace, name) = crate::world::key_of(&pod);
        let since = log.since.map(|Since::Baseline| self.facts.baseline.time.to_string());
        let probe = Probe::Log { namespace, pod: name, container: log.container.clone(), previous: log.previous, tail: log.tail, since };
        let Some(result) = self.ask(probe) else { return (Outcome::Waiting, Found { candidates: vec![pod], ..Found::default() }) };
        match Regex::new(&log.matches) {
            Ok(pattern) if pattern.is_match(result["text"].as_str().unwrap_or_default()) => {
                (Outcome::Pass, Found { candidates: vec![pod], ..Found::default() })
            }
            Ok(_) => {
                let note = result["error"].as_str().map(str::to_owned);
                (Outcome::Fail, Found { candidates: vec![pod, Arc::new(result)], note, ..Found::default() })
            }
            Err(error) => (Outcome::Error, Found::note(error.to_string())),
        }
    }

    fn http(&mut self, http: &Http, outer: Option<&str>) -> Looked {
        let from = match self.from(&http.from) {
            Ok(from) => from,
            Err(looked) => return looked,
        };
        let request = Request {
            url: http.url.clone(),
            method: http.method.clone().unwrap_or_default(),
            headers: http.headers.clone(),
            body: http.body.clone(),
            times: http.times,
        };
        self.answered(Probe::Http { from, request }, None, [http.filter.as_deref(), outer], "status >= 200 && status < 400")
    }

    fn dns(&mut self, dns: &Dns, outer: Option<&str>) -> Looked {
        match self.from(&dns.from) {
            Ok(from) => self.answered(Probe::Dns { from, name: dns.name.clone() }, None, [dns.filter.as_deref(), outer], "found"),
            Err(looked) => looked,
        }
    }

    fn tcp(&mut self, tcp: &Tcp, outer: Option<&str>) -> Looked {
        match self.from(&tcp.from) {
            Ok(from) => {
                let probe = Probe::Tcp { from, host: tcp.host.clone(), port: tcp.port.clone() };
                self.answered(probe, None, [tcp.filter.as_deref(), outer], "open")
            }
            Err(looked) => looked,
        }
    }

    fn exec(&mut self, exec: &Exec, outer: Option<&str>) -> Looked {
        match self.inside(&exec.inside) {
            Ok((target, pod)) => self.answered(Probe::Exec { target, command: exec.command.clone() }, pod, [exec.filter.as_deref(), outer], "exit == 0"),
            Err(looked) => looked,
        }
    }

    fn env(&mut self, env: &Env, outer: Option<&str>) -> Looked {
        match self.target(&env.pod, env.container.as_ref()) {
            Ok((target, pod)) => self.answered(Probe::Env { target }, Some(pod), [Some(&env.filter), outer], "true"),
            Err(looked) => looked,
        }
    }

    fn traffic(&mut self, traffic: &Traffic) -> Looked {
        let millis = |text: &Option<String>, otherwise: u64| text.as_deref().and_then(duration).map_or(otherwise, |wanted| wanted.as_millis() as u64);
        let from = match self.from(&traffic.from) {
            Ok(from) => from,
            Err(looked) => return looked,
        };
        let probe = Probe::Traffic { from, url: traffic.url.clone(), every: millis(&traffic.every, 500), window: millis(&traffic.window, 60_000) };
        let Some(result) = self.ask(probe) else { return (Outcome::Waiting, Found::default()) };
        let (answers, failures) = (result["answers"].as_u64().unwrap_or(0), result["failures"].as_u64().unwrap_or(0));
        let outcome = match (failures > u64::from(traffic.max_failures), answers < u64::from(traffic.min_answers)) {
            (true, _) => Outcome::Fail,
            (false, true) => Outcome::Waiting,
            (false, false) => Outcome::Pass,
        };
        (outcome, Found { candidates: vec![Arc::new(result)], ..Found::default() })
    }

    fn file(&mut self, file: &File, outer: Option<&str>) -> Looked {
        let (target, pod) = match self.inside(&file.inside) {
            Ok(inside) => inside,
            Err(looked) => return looked,
        };
        let path = if file.path.starts_with('/') { file.path.clone() } else { format!("/home/learner/{}", file.path.trim_start_matches("~/")) };
        let about: Vec<Arc<Value>> = pod.into_iter().collect();
        let Some(result) = self.ask(Probe::File { target, path }) else { return (Outcome::Waiting, Found { candidates: about, ..Found::default() }) };
        let result = Arc::new(result);
        let found = |note: Option<&str>| Found { candidates: about.iter().chain([&result]).cloned().collect(), note: note.map(str::to_owned), ..Found::default() };
        if let Some(error) = result["error"].as_str() {
            return (Outcome::Fail, found(Some(error)));
        }
        let there = !result["kind"].is_null();
        if file.gone {
            return (if there { Outcome::Fail } else { Outcome::Pass }, found(None));
        }
        if !there {
            return (Outcome::Fail, found(None));
        }
        let text = result["text"].as_str();
        if let Some(pattern) = &file.matches {
            match Regex::new(pattern) {
                Ok(pattern) if !text.is_some_and(|text| pattern.is_match(text)) => return (Outcome::Fail, found(None)),
                Ok(_) => {}
                Err(error) => return (Outcome::Error, Found::note(error.to_string())),
            }
        }
        if let Some(same) = &file.same_as {
            let (target, pod) = match self.target(&same.pod, None) {
                Ok(target) => target,
                Err(looked) => return looked,
            };
            let Some(other) = self.ask(Probe::File { target, path: same.path.clone() }) else {
                return (Outcome::Waiting, Found { candidates: vec![pod], ..Found::default() });
            };
            if text.is_none() || other["text"].as_str() != text {
                return (Outcome::Fail, Found { candidates: vec![result, pod, Arc::new(other)], ..Found::default() });
            }
        }
        if file.filter.is_none() && outer.is_none() {
            return (Outcome::Pass, found(None));
        }
        let (outcome, judged) = self.some(vec![Arc::clone(&result)], &[file.filter.as_deref(), outer]);
        (outcome, Found { clauses: judged.clauses, note: judged.note, ..found(None) })
    }

    fn answer(&self, answer: &Answer) -> Looked {
        let Some(given) = self.facts.world.answer_to(&answer.ask).map(str::trim).filter(|text| !text.is_empty()) else {
            return (Outcome::Waiting, Found::default());
        };
        let fits = match answer.matches.as_deref().map(Regex::new).transpose() {
            Ok(pattern) => pattern.is_none_or(|pattern| pattern.is_match(given)),
            Err(error) => return (Outcome::Error, Found::note(error.to_string())),
        };
        let equal = answer.equals.as_ref().is_none_or(|wanted| given.eq_ignore_ascii_case(wanted.trim()));
        if fits && equal { (Outcome::Pass, Found::default()) } else { (Outcome::Fail, Found::note(given)) }
    }

    /// The value of a name.
    fn bind(&mut self, binding: &Let) -> Result<Value, String> {
        let source = interpolate::source(&binding.source, &self.names).map_err(|error| error.to_string())?;
        let moment = match binding.at {
            At::Baseline => Moment::At(self.facts.baseline.revision),
            At::Now => Moment::Now,
        };
        match &source {
            Source::Object(wanted) => {
                let there = select::objects(self.facts.world, wanted, moment);
                let found = there.first().map(|object| self.value_of(binding, Arc::clone(object)));
                match (found, binding.at) {
                    (Some(Ok(value)), _) => Ok(value),
                    (Some(Err(problem)), At::Now) => Err(problem),
                    (None, At::Now) => Err("it is not there".to_owned()),
                    // What was not there when the exercise began counts as it first came to be: the check can still be passed.
                    (_, At::Baseline) => self.first_since(binding, wanted),
                }
            }
            Source::List(wanted) => {
                let items = select::objects(self.facts.world, wanted, moment);
                let items = json!(items.iter().map(|item| (**item).clone()).collect::<Vec<Value>>());
                match &binding.value {
                    None => Ok(items),
                    Some(value) => self.computed(value, &|name| (name == "items").then(|| items.clone())),
                }
            }
            other => {
                let (outcome, found) = self.look(other, None);
                let record = found.candidates.into_iter().next_back().filter(|_| outcome == Outcome::Pass).ok_or("it is not there")?;
                self.value_of(binding, record)
            }
        }
    }

    /// The value in the first version since the baseline that has one.
    fn first_since(&self, binding: &Let, wanted: &ObjectRef) -> Result<Value, String> {
        let world = self.facts.world;
        let versions = world.changes_since(&wanted.kind, self.facts.baseline.revision).iter().filter_map(|change| change.new.clone());
        let mut values = versions.filter(|object| select::fits(world, wanted, object)).map(|object| self.value_of(binding, object));
        values.find_map(Result::ok).ok_or_else(|| "it is not there".to_owned())
    }

    fn value_of(&self, binding: &Let, object: Arc<Value>) -> Result<Value, String> {
        match &binding.value {
            None => Ok((*object).clone()),
            Some(value) => self.computed(value, &|name| field(&object, name)),
        }
    }

    fn computed(&self, value: &str, own: &dyn Fn(&str) -> Option<Value>) -> Result<Value, String> {
        let mut spare = None;
        let expression = self.facts.library.get(value, &mut spare).map_err(|error| error.to_string())?;
        match expression.value(&self.names_in(expression, own))? {
            Value::Null => Err(format!("{value} is not there")),
            value => Ok(value),
        }
    }
}

/// The first outcome of `order` that occurs, else `otherwise`.
fn strongest(outcomes: &[Outcome], order: &[Outcome], otherwise: Outcome) -> Outcome {
    order.iter().copied().find(|outcome| outcomes.contains(outcome)).unwrap_or(otherwise)
}

/// What a name means for an object: one of its fields, or `object`, all of it.
fn field(object: &Value, name: &str) -> Option<Value> {
    match object.get(name) {
        Some(value) => Some(value.clone()),
        None if name == "object" => Some(object.clone()),
        None if ["metadata", "spec", "status"].contains(&name) => Some(json!({})),
        None => None,
    }
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
