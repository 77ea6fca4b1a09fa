//! Sources about what was done: typed commands, streams, reads, containers of nodes, answers.

use std::sync::Arc;

use drydock_course::check::{Answer, Container, ObjectRef, Read, Saw, Stream};
use jiff::Timestamp;
use serde_json::Value;

use super::{Evaluator, Found, Looked};
use crate::compile::pattern;
use crate::select::{self, Moment};
use crate::typed::asks_here;
use crate::verdict::Outcome;

impl Evaluator<'_> {
    pub(super) fn saw(&self, saw: &Saw) -> Looked {
        let (line, output) = match (pattern(&saw.matches), saw.output.as_deref().map(pattern).transpose()) {
            (Ok(line), Ok(output)) => (line, output),
            (Err(problem), _) | (_, Err(problem)) => return (Outcome::Error, Found::note(problem)),
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
            // Who opens a way to a port has asked nothing there.
            let opens = typed.contains("port-forward") && saw.tool.is_none() && !saw.matches.contains("forward") && !asks_here(typed);
            if !opens {
                near = Some(Arc::new(command.clone()));
            }
        }
        match near {
            // What still runs may come out right.
            Some(command) if command["status"]["exitCode"].is_null() => (Outcome::Waiting, Found { candidates: vec![command], ..Found::default() }),
            Some(command) => (Outcome::Fail, Found { candidates: vec![command], ..Found::default() }),
            None => (Outcome::Fail, Found::default()),
        }
    }

    pub(super) fn read(&self, read: &Read, filter: Option<&str>) -> Looked {
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

    pub(super) fn stream(&self, stream: &Stream, filter: Option<&str>) -> Looked {
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

    pub(super) fn container(&self, container: &Container, filter: Option<&str>) -> Looked {
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

    pub(super) fn answer(&self, answer: &Answer) -> Looked {
        let Some(given) = self.facts.world.answer_to(&answer.ask).map(str::trim).filter(|text| !text.is_empty()) else {
            return (Outcome::Waiting, Found::default());
        };
        let fits = match answer.matches.as_deref().map(pattern).transpose() {
            Ok(pattern) => pattern.is_none_or(|pattern| pattern.is_match(given)),
            Err(problem) => return (Outcome::Error, Found::note(problem)),
        };
        let equal = answer.equals.as_ref().is_none_or(|wanted| given.eq_ignore_ascii_case(wanted.trim()));
        if fits && equal { (Outcome::Pass, Found::default()) } else { (Outcome::Fail, Found::note(given)) }
    }
}

/// The programs a command line runs: the first word of each simple command, assignments and wrappers skipped.
fn tools(line: &str) -> impl Iterator<Item = &str> {
    line.split(['|', ';', '&', '(', '\n']).filter_map(|simple| {
        let mut words = simple.split_whitespace().skip_while(|word| word.contains('=') || matches!(*word, "sudo" | "time" | "$" | "watch"));
        words.next().map(|word| word.trim_start_matches("$(").rsplit('/').next().unwrap_or(word))
    })
}
