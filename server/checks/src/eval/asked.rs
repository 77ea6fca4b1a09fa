//! Sources that only a request can answer: which probe each of them asks, and what its answer means.
//!
//! An answer that is not there yet is "waiting"; the probe is noted as wanted either way.

use std::sync::Arc;

use drydock_course::check::{Dns, Env, Exec, File, From, Http, Inside, Log, ObjectRef, Since, Tcp, Traffic};
use serde_json::Value;

use super::{Evaluator, Found, Looked};
use crate::compile::{duration, pattern};
use crate::probe::{Probe, Request, Target};
use crate::select::{self, Moment};
use crate::verdict::Outcome;

impl Evaluator<'_> {
    pub(super) fn log(&mut self, log: &Log) -> Looked {
        let Some(pod) = self.first_pod(&log.pod) else { return (Outcome::Fail, Found::default()) };
        if let Some(why) = select::unstarted(&pod, log.container.as_deref()).filter(|_| !log.previous) {
            return (Outcome::Fail, Found { candidates: vec![pod], ..Found::note(why) });
        }
        let (namespace, name) = crate::world::key_of(&pod);
        let since = log.since.map(|Since::Baseline| self.facts.baseline.time.to_string());
        let probe = Probe::Log { namespace, pod: name, container: log.container.clone(), previous: log.previous, tail: log.tail, since };
        let Some(result) = self.ask(probe) else { return (Outcome::Waiting, Found { candidates: vec![pod], ..Found::default() }) };
        match pattern(&log.matches) {
            Ok(pattern) if pattern.is_match(result["text"].as_str().unwrap_or_default()) => {
                (Outcome::Pass, Found { candidates: vec![pod], ..Found::default() })
            }
            Ok(_) => {
                let note = result["error"].as_str().map(str::to_owned);
                (Outcome::Fail, Found { candidates: vec![pod, Arc::new(result)], note, ..Found::default() })
            }
            Err(problem) => (Outcome::Error, Found::note(problem)),
        }
    }

    pub(super) fn http(&mut self, http: &Http, outer: Option<&str>) -> Looked {
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

    pub(super) fn dns(&mut self, dns: &Dns, outer: Option<&str>) -> Looked {
        match self.from(&dns.from) {
            Ok(from) => self.answered(Probe::Dns { from, name: dns.name.clone() }, None, [dns.filter.as_deref(), outer], "found"),
            Err(looked) => looked,
        }
    }

    pub(super) fn tcp(&mut self, tcp: &Tcp, outer: Option<&str>) -> Looked {
        match self.from(&tcp.from) {
            Ok(from) => {
                let probe = Probe::Tcp { from, host: tcp.host.clone(), port: tcp.port.clone() };
                self.answered(probe, None, [tcp.filter.as_deref(), outer], "open")
            }
            Err(looked) => looked,
        }
    }

    pub(super) fn exec(&mut self, exec: &Exec, outer: Option<&str>) -> Looked {
        match self.inside(&exec.inside) {
            Ok((target, pod)) => self.answered(Probe::Exec { target, command: exec.command.clone() }, pod, [exec.filter.as_deref(), outer], "exit == 0"),
            Err(looked) => looked,
        }
    }

    pub(super) fn env(&mut self, env: &Env, outer: Option<&str>) -> Looked {
        match self.target(&env.pod, env.container.as_ref()) {
            Ok((target, pod)) => self.answered(Probe::Env { target }, Some(pod), [Some(&env.filter), outer], "true"),
            Err(looked) => looked,
        }
    }

    pub(super) fn traffic(&mut self, traffic: &Traffic) -> Looked {
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

    pub(super) fn file(&mut self, file: &File, outer: Option<&str>) -> Looked {
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
        if let Some(wanted) = &file.matches {
            match pattern(wanted) {
                Ok(pattern) if !text.is_some_and(|text| pattern.is_match(text)) => return (Outcome::Fail, found(None)),
                Ok(_) => {}
                Err(problem) => return (Outcome::Error, Found::note(problem)),
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

    /// Ask a probe; `None` while its result is not there.
    fn ask(&mut self, probe: Probe) -> Option<Value> {
        let result = self.facts.probes.get(&probe).cloned();
        self.probes.push(probe);
        result
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

    /// The Pod a probe goes to.
    fn target(&self, wanted: &ObjectRef, container: Option<&String>) -> Result<(Target, Arc<Value>), Looked> {
        let pod = self.first_pod(wanted).ok_or_else(|| (Outcome::Fail, Found::default()))?;
        let (namespace, name) = crate::world::key_of(&pod);
        Ok((Target::Pod { namespace, pod: name, container: container.cloned() }, pod))
    }

    fn first_pod(&self, wanted: &ObjectRef) -> Option<Arc<Value>> {
        let pods = select::objects(self.facts.world, wanted, Moment::Now);
        let alive = |pod: &&Arc<Value>| pod["metadata"]["deletionTimestamp"].is_null();
        pods.iter().find(alive).or_else(|| pods.first()).cloned()
    }
}
