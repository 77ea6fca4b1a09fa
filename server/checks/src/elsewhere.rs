//! What cannot be judged on a cluster that is not ours, and why.
//!
//! There the lab has its workstation and what is typed in it, which tells of streams too (module `typed`). It has no node, no runtime, no
//! audit and no journal of the cluster.

use std::collections::BTreeSet;

use drydock_course::check::{Check, Expect, From, Inside, Source};

use crate::plan::{Plan, Unit};

/// About containers of a node.
const RUNTIME: &str = "It is about a node's containers behind Kubernetes' back, and the nodes of your cluster cannot be entered from here.";
/// About files or addresses of a node.
const NODE: &str = "It happens on a node itself, and the nodes of your cluster cannot be entered from here.";
/// About what an API server writes down.
const AUDIT: &str = "It is seen by the API server, and that of your cluster does not tell.";
/// About many requests to a load balancer.
const SHARED: &str = "No load balancer of your cluster is at localhost here, and a forward leads to one Pod, so nothing shares requests out.";
/// What of a stream only an API server sees.
const COUNTED: [&str; 3] = ["bytesIn", "bytesOut", "status.code"];
/// About who did something.
const ACTOR: &str = "It is about who changed something, which only Drydock's own cluster writes down.";

/// Why a check cannot be judged on a cluster that is not ours, in a sentence; `None` when it can.
#[must_use]
pub fn impossible(check: &Check) -> Option<&'static str> {
    let bound = check.bindings.values().find_map(|binding| of_source(&binding.source));
    bound.or_else(|| of_expect(&check.expect))
}

/// Why this command cannot be run there.
#[must_use]
pub fn impossible_command(command: &str) -> Option<&'static str> {
    command.lines().any(|line| line.split_whitespace().next() == Some("docker")).then_some(RUNTIME)
}

/// Why an exercise with these commands and checks cannot be done there: one of the commands cannot be run, and nothing is left to be judged.
#[must_use]
pub fn impossible_unit<'a>(commands: impl IntoIterator<Item = &'a str>, checks: impl IntoIterator<Item = &'a Check>) -> Option<&'static str> {
    let why = commands.into_iter().find_map(impossible_command)?;
    checks.into_iter().all(|check| impossible(check).is_some()).then_some(why)
}

fn of_expect(expect: &Expect) -> Option<&'static str> {
    match expect {
        Expect::All(branches) => branches.iter().find_map(of_expect),
        // One way that can be judged is enough.
        Expect::Any(branches) => branches.iter().all(|branch| of_expect(branch).is_some()).then(|| branches.iter().find_map(of_expect))?,
        Expect::Not(branch) => of_expect(branch),
        Expect::One { source, .. } => of_source(source),
    }
}

fn of_source(source: &Source) -> Option<&'static str> {
    let from = |from: &From| matches!(from, From::Node(_)).then_some(NODE);
    let inside = |inside: &Inside| inside.node.is_some().then_some(NODE);
    match source {
        Source::Container(_) => Some(RUNTIME),
        Source::Saw(saw) if saw.tool.as_deref() == Some("docker") || saw.matches.contains("docker") => Some(RUNTIME),
        // kubectl tells whom it talked to; how much was said only the server knows.
        Source::Stream(stream) => (stream.verb == "watch" || stream.filter.as_deref().is_some_and(|filter| COUNTED.iter().any(|field| filter.contains(field)))).then_some(AUDIT),
        Source::Read(_) => Some(AUDIT),
        Source::History(history) if history.filter.contains("actor") => Some(ACTOR),
        Source::File(file) => inside(&file.inside),
        Source::Exec(exec) => inside(&exec.inside),
        Source::Http(http) if http.times > 1 && http.from == From::Workstation && http.url.contains("//localhost") && !of_each(http.filter.as_deref()) => Some(SHARED),
        Source::Http(http) => from(&http.from),
        Source::Dns(dns) => from(&dns.from),
        Source::Tcp(tcp) => from(&tcp.from),
        Source::Traffic(traffic) => from(&traffic.from),
        Source::Object(_) | Source::List(_) | Source::Gone(_) | Source::History(_) | Source::Saw(_) | Source::Log(_) | Source::Answer(_) | Source::Env(_) => None,
    }
}

/// Whether a condition is about every answer alike, so that one Pod can give them all.
fn of_each(filter: Option<&str>) -> bool {
    filter.is_some_and(|filter| filter.contains("answers.all("))
}

impl Plan {
    /// What of it can be judged on a cluster that is not ours. What waits for a check that cannot be judged does not wait.
    #[must_use]
    pub fn elsewhere(mut self) -> Plan {
        let lost = |unit: &Unit| impossible_unit(unit.blocks.iter().map(|block| block.text.as_str()), &unit.checks).is_some();
        let gone = |unit: &Unit| -> Vec<String> {
            let whole = lost(unit);
            unit.checks.iter().filter(|check| whole || impossible(check).is_some()).map(|check| check.id.clone()).collect()
        };
        let gone: BTreeSet<String> = self.units.iter().flat_map(gone).collect();
        let keep = |unit: &mut Unit| {
            unit.checks.retain(|check| !gone.contains(&check.id));
            unit.checks.iter_mut().for_each(|check| check.needs.retain(|need| !gone.contains(need)));
        };
        self.units.iter_mut().for_each(keep);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::UnitKind;

    fn check(yaml: &str) -> Check {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn what_needs_our_own_cluster_is_known() {
        let cases = [
            ("object: {kind: Pod, name: a}", None),
            ("log: {pod: {labels: {a: b}}, matches: x}", None),
            ("http: {url: 'http://localhost:8080/'}", None),
            ("exec: {pod: {name: a}, command: [env]}", None),
            ("any: [{saw: {tool: docker, matches: logs}}, {stream: {verb: log}}]", None),
            ("any: [{saw: {tool: docker, matches: logs}}, {container: {gone: true}}]", Some(RUNTIME)),
            ("http: {url: 'http://localhost:8088/', times: 20, where: 'answers.exists(a, a.status == 200)'}", Some(SHARED)),
            ("http: {url: 'http://localhost:8088/', times: 20, where: 'answers.all(a, a.status == 200)'}", None),
            ("all: [{saw: {matches: '\\bdocker\\b.*rm'}}, {object: {kind: Pod, name: a}}]", Some(RUNTIME)),
            ("container: {labels: {a: b}, gone: true}", Some(RUNTIME)),
            ("saw: {tool: docker, matches: ps}", Some(RUNTIME)),
            ("file: {node: node-1, path: /a}", Some(NODE)),
            ("stream: {verb: portforward, where: status.connections > 0}", None),
            ("all: [{object: {kind: Pod, name: a}}, {stream: {verb: exec}}]", None),
            ("stream: {verb: portforward, where: status.bytesOut > 0}", Some(AUDIT)),
            ("all: [{object: {kind: Pod, name: a}}, {read: {resource: pods}}]", Some(AUDIT)),
            ("history: {kind: Pod, where: 'actor != \"learner\"'}", Some(ACTOR)),
        ];
        for (expect, wanted) in cases {
            assert_eq!(impossible(&check(&format!("{{id: c, say: s, expect: {{{expect}}}}}"))), wanted, "{expect}");
        }
        let (seen, unseen) = (check("{id: a, say: s, expect: {stream: {verb: log}}}"), check("{id: b, say: s, expect: {container: {gone: true}}}"));
        assert_eq!(impossible_unit(["kubectl get pods\ndocker ps"], [&unseen]), Some(RUNTIME));
        assert_eq!(impossible_unit(["kubectl get pods\ndocker ps"], [&unseen, &seen]), None, "something is left");
        assert_eq!(impossible_unit(["kubectl get pods", "echo docker"], [&unseen]), None);
    }

    #[test]
    fn what_waits_for_the_impossible_does_not_wait() {
        let checks = vec![check("{id: a, say: s, expect: {container: {gone: true}}}"), check("{id: b, say: s, needs: [a], expect: {object: {kind: Pod, name: a}}}")];
        let unit = Unit { id: "u".into(), title: String::new(), kind: UnitKind::Exercise, checks, blocks: Vec::new() };
        let plan = Plan { units: vec![unit], ..Plan::default() }.elsewhere();
        assert_eq!(plan.checks().map(|(_, check)| (check.id.as_str(), check.needs.len())).collect::<Vec<_>>(), [("b", 0)]);
    }
}
