//! What cannot be judged on a cluster that is not ours, and why.
//!
//! There the lab has its workstation and what is typed in it, which tells of streams too (module `typed`). It has no node, no runtime, no
//! audit and no journal of the cluster. A cluster may also be an API server alone: then no Pod ever runs.

use std::collections::{BTreeMap, BTreeSet};

use drydock_course::chapter::{Block, BlockKind, Chapter, Command, SectionKind};
use drydock_course::check::{Check, Expect, From, Inside, Let, Source};

use crate::plan::{Plan, Unit};

/// About containers of a node.
const RUNTIME: &str = "It is about a node's containers behind Kubernetes' back, and the nodes of your cluster cannot be entered from here.";
/// About files or addresses of a node.
const NODE: &str = "It happens on a node itself, and the nodes of your cluster cannot be entered from here.";
/// About a Pod that runs.
const IDLE: &str = "It needs a Pod that runs, and your cluster has no node to run one.";
/// What conditions say of Pods that run, or of those who count them.
const RUNS: [&str; 17] = [
    "Running", "Succeeded", "Failed", "CrashLoopBackOff", "Ready", "ready", "Available", "available", "Scheduled", "addresses", "podIP", "hostIP", "containerStatuses", "containerID",
    "restartCount", "nodeName", "loadBalancer",
];
/// About a node.
const NODELESS: &str = "It is about a node, and your cluster has none.";
/// Said where no Pod runs, but where the commands of an exercise make what later ones use.
const IDLE_BUT_MAKES: &str = "It needs a Pod that runs, and your cluster has no node to run one. Its commands can be run all the same: later exercises use what they make. End one that waits with Ctrl-C.";
/// What commands print only of Pods that run or of nodes: a container's id, why no node of several was good enough.
const PRINTED: [&str; 2] = ["://[0-9a-f]", "nodes are available"];
/// Commands that speak to a Pod.
const SPEAKS: [&str; 5] = ["exec", "logs", "attach", "port-forward", "cp "];
/// Verbs of kubectl that change what the API server keeps.
const MAKES: [&str; 13] = ["apply", "create", "run", "label", "annotate", "scale", "expose", "set", "patch", "replace", "edit", "delete", "rollout"];
/// About what an API server writes down.
const AUDIT: &str = "It is seen by the API server, and that of your cluster does not tell.";
/// About many requests to a load balancer.
const SHARED: &str = "No load balancer of your cluster is at localhost here, and a forward leads to one Pod, so nothing shares requests out.";
/// What of a stream only an API server sees.
const COUNTED: [&str; 3] = ["bytesIn", "bytesOut", "status.code"];
/// About an address of the cluster's network.
const AWAY: &str = "It asks an address of the cluster's own network, and the terminals here are not on the network of your cluster.";
/// About who did something.
const ACTOR: &str = "It is about who changed something, which only Drydock's own cluster writes down.";

/// What to do where an exercise is about one node's disk.
pub const ONE_DISK: &str = "Your cluster has several nodes, and this is about the disk of one of them: a Pod that comes to another node finds another disk. Choose a node that takes Pods (`kubectl get nodes` lists them), put the labels of this chapter on that one, and let no new Pods come to the others: `kubectl cordon NAME` for each. After the chapter `kubectl uncordon NAME` takes that back. On a cluster that others use too leave this exercise out: their Pods would have to wait.";
/// What to know where an exercise opens a node's whole disk.
pub const REAL_DISK: &str = "The disk of your node is a real one: with `/` mounted, a Pod can read and change everything on it. Look, and change nothing. On a cluster that others use too leave this exercise out.";
/// What to do where an exercise asks a load balancer.
pub const BRING: &str = "No load balancer of your cluster is at `localhost` here. For what the commands ask at a port of `localhost`, let `kubectl port-forward svc/NAME PORT:PORT` run in another terminal, with the name and the port of the Service. It ends when its Pod goes; then open it again.";
/// What to know where Pods ask the Internet.
pub const OUTSIDE: &str = "What answers here is on the Internet, and the Pods of your cluster ask it themselves. Where they cannot reach `raw.githubusercontent.com`, leave this exercise out: nothing later needs it.";
/// How manifests, commands and checks name what is outside.
const OUTSIDES: [&str; 3] = ["externalName:", "spec.externalName", "canonical name"];
/// How the lesson names the whole of a node's disk.
const WHOLE_DISK: [&str; 1] = ["/node-root"];
/// How manifests, commands and checks name a node's disk.
const DISKS: [&str; 4] = ["hostPath", "/node-root", "\n  local:", "subPath ="];

/// Where the lessons are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On Drydock's own cluster: everything can be.
    Ours,
    /// On another one.
    Another,
    /// On another one with several nodes that take Pods.
    Several,
    /// On another one that has no nodes.
    Idle,
}

/// Why a check cannot be judged there, in a sentence; `None` when it can.
#[must_use]
pub fn impossible(check: &Check, place: Place) -> Option<&'static str> {
    let of_binding = |binding: &Let| of_source(&binding.source, binding.value.as_deref(), place);
    check.bindings.values().find_map(of_binding).or_else(|| of_expect(&check.expect, place))
}

/// Why this command cannot be run there.
#[must_use]
pub fn impossible_command(command: &str, place: Place) -> Option<&'static str> {
    (place != Place::Ours && command.lines().any(|line| line.split_whitespace().next() == Some("docker"))).then_some(RUNTIME)
}

/// Whether a command is of use where no Pod runs: it changes objects, and speaks to no Pod.
#[must_use]
pub fn makes(command: &str) -> bool {
    let mut words = command.split_whitespace();
    let speaks = SPEAKS.iter().any(|word| command.contains(word)) || command.contains("curl");
    !speaks && words.any(|word| word == "kubectl") && words.any(|word| MAKES.contains(&word))
}

/// Why an exercise with these commands and checks cannot be done there: one of the commands cannot be run, or no Pod runs, and nothing is
/// left to be judged.
#[must_use]
pub fn impossible_unit<'a>(commands: impl IntoIterator<Item = &'a str>, checks: impl IntoIterator<Item = &'a Check>, place: Place) -> Option<&'static str> {
    let (mut by_command, mut made) = (None, false);
    for command in commands {
        by_command = by_command.or_else(|| impossible_command(command, place));
        made |= makes(command);
    }
    let mut checks = checks.into_iter().map(|check| impossible(check, place)).peekable();
    let idle = (place == Place::Idle && checks.peek().is_some()).then_some(if made { IDLE_BUT_MAKES } else { IDLE });
    let why = by_command.or(idle)?;
    checks.all(|check| check.is_some()).then_some(why)
}

fn of_expect(expect: &Expect, place: Place) -> Option<&'static str> {
    match expect {
        Expect::All(branches) => branches.iter().find_map(|branch| of_expect(branch, place)),
        // One way that can be judged is enough.
        Expect::Any(branches) => branches.iter().all(|branch| of_expect(branch, place).is_some()).then(|| branches.iter().find_map(|branch| of_expect(branch, place)))?,
        Expect::Not(branch) => of_expect(branch, place),
        Expect::One { source, filter } => of_source(source, filter.as_deref(), place),
    }
}

fn of_source(source: &Source, filter: Option<&str>, place: Place) -> Option<&'static str> {
    match place {
        Place::Ours => None,
        Place::Another | Place::Several => of_another(source),
        Place::Idle => of_another(source).or_else(|| of_idle(source, filter)),
    }
}

/// Whether a pattern of a command has a port in it: what answers there is a Pod.
fn asks_a_port(matches: &str) -> bool {
    matches.split(':').skip(1).any(|rest| rest.bytes().take_while(u8::is_ascii_digit).count() > 1)
}

fn host_of(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest).split(['/', ':']).next().unwrap_or_default()
}

/// Whether an address is one of the cluster's network. The lab's own Internet answers whatever the cluster does.
pub(crate) fn in_cluster(url: &str) -> bool {
    let host = host_of(url);
    host != "localhost" && (!host.contains('.') || host.ends_with(".local") || host.starts_with(|c: char| c.is_ascii_digit() || c == '$'))
}

/// Whether it takes a Pod that runs.
fn of_idle(source: &Source, filter: Option<&str>) -> Option<&'static str> {
    let runs = |text: &str| RUNS.iter().any(|word| text.contains(word));
    let inside = |url: &str| host_of(url) == "localhost" || in_cluster(url);
    let needs = match source {
        Source::Log(_) | Source::Env(_) | Source::Traffic(_) => true,
        Source::Stream(stream) => stream.verb != "watch",
        Source::Exec(exec) => exec.inside.pod.is_some(),
        Source::File(file) => file.inside.pod.is_some() || file.same_as.is_some(),
        Source::Http(http) => http.from != From::Workstation || inside(&http.url),
        Source::Tcp(tcp) => tcp.from != From::Workstation || inside(&tcp.host),
        Source::Dns(dns) => dns.from != From::Workstation || inside(&dns.name),
        Source::Saw(saw) => {
            let done = saw.exit == Some(0) || saw.exit.is_none() && saw.output.is_some();
            let answered = saw.output.is_some() && asks_a_port(&saw.matches);
            let printed = saw.output.as_deref().is_some_and(|output| runs(output) || PRINTED.iter().any(|words| output.contains(words)));
            answered || printed || done && SPEAKS.iter().any(|word| saw.matches.contains(word))
        }
        Source::Object(of) | Source::List(of) if of.kind == "Node" => return Some(NODELESS),
        Source::Answer(answer) => answer.equals.as_deref().into_iter().chain(filter).any(runs),
        Source::Object(_) | Source::List(_) | Source::Gone(_) | Source::History(_) | Source::Container(_) | Source::Read(_) => {
            filter.into_iter().chain(source.filter()).any(runs)
        }
    };
    needs.then_some(IDLE)
}

fn of_another(source: &Source) -> Option<&'static str> {
    let from = |from: &From, url: &str| match from {
        From::Node(_) => Some(NODE),
        From::Workstation if in_cluster(url) => Some(AWAY),
        _ => None,
    };
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
        Source::Http(http) => from(&http.from, &http.url),
        Source::Dns(dns) => from(&dns.from, &dns.name),
        Source::Tcp(tcp) => from(&tcp.from, &tcp.host),
        Source::Traffic(traffic) => from(&traffic.from, &traffic.url),
        Source::Object(_) | Source::List(_) | Source::Gone(_) | Source::History(_) | Source::Saw(_) | Source::Log(_) | Source::Answer(_) | Source::Env(_) => None,
    }
}

/// What to know before each exercise and lab of a chapter, by its id: what of it can be done there, but not as it stands.
#[must_use]
pub fn advice(chapter: &Chapter, place: Place) -> BTreeMap<&str, Vec<&'static str>> {
    let mut advice: BTreeMap<&str, Vec<&'static str>> = BTreeMap::new();
    if !matches!(place, Place::Another | Place::Several) {
        return advice;
    }
    let mut tell = |id, text, holds: bool| if holds { advice.entry(id).or_default().push(text) };
    // Ports that commands of the lesson itself forward, with their terminals.
    let mut forwarded: Vec<(u16, &str)> = Vec::new();
    for section in &chapter.sections {
        let mut asks = false;
        for block in &section.blocks {
            match &block.kind {
                BlockKind::Command(command) if command.inside.is_none() => {
                    forwarded.extend(forwards_of(command));
                    asks |= ports_asked(&command.text).any(|port| forwarded.iter().all(|(known, _)| *known != port));
                }
                BlockKind::Press { session, .. } => forwarded.retain(|(_, of)| of != session),
                _ => {}
            }
        }
        asks |= forwarded.is_empty() && section.checks().any(asks_localhost);
        if section.kind == SectionKind::Exercise {
            let names = |words: &[&str]| section.blocks.iter().any(|block| in_block(block, words)) || section.checks().any(|check| in_conditions(check, words));
            tell(section.id.as_str(), ONE_DISK, place == Place::Several && names(&DISKS));
            tell(section.id.as_str(), REAL_DISK, names(&WHOLE_DISK));
            tell(section.id.as_str(), OUTSIDE, names(&OUTSIDES));
            tell(section.id.as_str(), BRING, asks);
        }
    }
    for lab in &chapter.labs {
        let disk = lab.tasks.iter().any(|task| in_conditions(task, &DISKS));
        tell(lab.id.as_str(), ONE_DISK, place == Place::Several && disk);
        tell(lab.id.as_str(), BRING, lab.tasks.iter().any(asks_localhost));
    }
    advice
}

/// Whether a command or a file has one of these words.
fn in_block(block: &Block, words: &[&str]) -> bool {
    let text = match &block.kind {
        BlockKind::Command(command) => &command.text,
        BlockKind::Code { path: Some(_), text, .. } => text,
        _ => return false,
    };
    words.iter().any(|word| text.contains(word))
}

/// Whether a condition, or what a command is to print, has one of these words.
fn in_conditions(check: &Check, words: &[&str]) -> bool {
    let printed = |source: &Source| match source {
        Source::Saw(saw) => saw.output.clone(),
        _ => None,
    };
    let has = |text: &str| words.iter().any(|word| text.contains(word));
    check.expect.sources().iter().any(|(source, filter)| filter.iter().copied().chain(source.filter()).any(has) || printed(source).is_some_and(|text| has(&text)))
}

fn asks_localhost(check: &Check) -> bool {
    check.expect.sources().iter().any(|(source, _)| matches!(source, Source::Http(http) if http.from == From::Workstation && host_of(&http.url) == "localhost"))
}

/// The ports of the learner's machine that a command forwards, and its terminal.
fn forwards_of(command: &Command) -> impl Iterator<Item = (u16, &str)> {
    let words = command.text.split_once("port-forward").map_or("", |(_, words)| words).split_whitespace();
    words.filter_map(|word| Some((word.split(':').next()?.parse().ok()?, command.session.as_str())))
}

/// The ports at which a command asks the learner's own machine.
fn ports_asked(text: &str) -> impl Iterator<Item = u16> {
    let after = |mark: &'static str| text.split(mark).skip(1).filter_map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok());
    ["localhost:", ".ingress[0].*}:"].into_iter().flat_map(after)
}

/// Whether a condition is about every answer alike, so that one Pod can give them all.
fn of_each(filter: Option<&str>) -> bool {
    filter.is_some_and(|filter| filter.contains("answers.all("))
}

impl Plan {
    /// What of it can be judged there. What waits for a check that cannot be judged does not wait.
    #[must_use]
    pub fn at(mut self, place: Place) -> Plan {
        let lost = |unit: &Unit| impossible_unit(unit.blocks.iter().map(|block| block.text.as_str()), &unit.checks, place).is_some();
        let gone = |unit: &Unit| -> Vec<String> {
            let whole = lost(unit);
            unit.checks.iter().filter(|check| whole || impossible(check, place).is_some()).map(|check| check.id.clone()).collect()
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
            ("http: {url: 'http://${node}:30080/'}", Some(AWAY)),
            ("tcp: {host: 172.30.1.1, port: 30080}", Some(AWAY)),
            ("tcp: {host: localhost, port: 30080}", None),
            ("dns: {name: web.default.svc.cluster.local}", Some(AWAY)),
            ("http: {url: 'http://raw.githubusercontent.com/a'}", None),
            ("http: {from: {pod: {name: a}}, url: 'http://web/'}", None),
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
            assert_eq!(impossible(&check(&format!("{{id: c, say: s, expect: {{{expect}}}}}")), Place::Another), wanted, "{expect}");
        }
        let (seen, unseen) = (check("{id: a, say: s, expect: {stream: {verb: log}}}"), check("{id: b, say: s, expect: {container: {gone: true}}}"));
        assert_eq!(impossible_unit(["kubectl get pods\ndocker ps"], [&unseen], Place::Another), Some(RUNTIME));
        assert_eq!(impossible_unit(["kubectl get pods\ndocker ps"], [&unseen, &seen], Place::Another), None, "something is left");
        assert_eq!(impossible_unit(["kubectl get pods", "echo docker"], [&unseen], Place::Another), None);
    }

    #[test]
    fn without_nodes_no_pod_runs() {
        let cases = [
            ("object: {kind: Pod, name: a}", None),
            ("object: {kind: Pod, name: a}, where: 'status.phase == \"Running\"'", Some(IDLE)),
            ("object: {kind: Deployment, name: a}, where: spec.replicas == 3", None),
            ("object: {kind: Deployment, name: a}, where: status.readyReplicas == 3", Some(IDLE)),
            ("object: {kind: Service, name: a}, where: 'spec.type == \"ExternalName\"'", None),
            ("object: {kind: Service, name: a}, where: 'status.loadBalancer.ingress.size() == 1'", Some(IDLE)),
            ("gone: {kind: Pod}", None),
            ("saw: {tool: kubectl, matches: get pods, exit: 0}", None),
            ("saw: {tool: kubectl, matches: 'logs .*a', exit: 0}", Some(IDLE)),
            ("saw: {tool: kubectl, matches: 'exec', output: x}", Some(IDLE)),
            ("saw: {tool: kubectl, matches: 'exec'}", None),
            ("log: {pod: {labels: {a: b}}, matches: x}", Some(IDLE)),
            ("http: {url: 'http://localhost:8080/'}", Some(IDLE)),
            ("http: {url: 'http://raw.githubusercontent.com/a'}", None),
            ("any: [{log: {pod: {name: a}, matches: x}}, {object: {kind: Pod, name: a}}]", None),
            ("file: {node: node-1, path: /a}", Some(NODE)),
            ("file: {path: /a, same_as: {pod: {name: a}, path: /b}}", Some(IDLE)),
            ("object: {kind: Node, labels: {a: b}}", Some(NODELESS)),
            ("answer: {ask: q, equals: '${pod.status.podIP}'}", Some(IDLE)),
            ("answer: {ask: q, equals: 'two'}", None),
            ("saw: {tool: kubectl, matches: get, output: '://[0-9a-f]{12}', exit: 0}", Some(IDLE)),
            ("saw: {tool: kubectl, matches: get, output: unchanged, exit: 0}", None),
            ("saw: {matches: ':8080', output: x}", Some(IDLE)),
        ];
        for (expect, wanted) in cases {
            let check = check(&format!("{{id: c, say: s, expect: {{{expect}}}}}"));
            assert_eq!((impossible(&check, Place::Idle), impossible(&check, Place::Ours)), (wanted, None), "{expect}");
        }
        let (runs, made) = (check("{id: a, say: s, expect: {log: {pod: {name: a}, matches: x}}}"), check("{id: b, say: s, expect: {object: {kind: Pod}}}"));
        assert_eq!(impossible_unit(["kubectl get pods"], [&runs], Place::Idle), Some(IDLE));
        assert_eq!(impossible_unit(["kubectl get pods"], [&runs, &made], Place::Idle), None);
        assert_eq!(impossible_unit(["kubectl get pods"], [], Place::Idle), None);
        assert_eq!(impossible_unit(["cd x\nkubectl apply -f a.yaml", "kubectl logs a"], [&runs], Place::Idle), Some(IDLE_BUT_MAKES));
        let made = ["kubectl create deployment a --image=b", "kubectl logs a", "kubectl exec a -- run", "cd x\nkubectl apply -f a\nkubectl wait pod/a", "kubectl get pods"];
        assert_eq!(made.map(makes), [true, false, false, true, false]);
    }

    #[test]
    fn what_can_be_done_in_another_way_is_told_how() {
        let files = drydock_course::source::embedded();
        let course = drydock_course::course::Course::load(&files, "lunches").unwrap();
        let told = |id: &str, place| {
            let chapter = course.chapters().find(|chapter| chapter.id == id).unwrap();
            let advice = advice(chapter, place);
            let with = |text: &'static str| -> Vec<String> { advice.iter().filter(|(_, told)| told.contains(&text)).map(|(id, _)| (*id).to_owned()).collect() };
            (with(ONE_DISK), with(BRING), with(OUTSIDE))
        };
        let chapter = course.chapters().find(|chapter| chapter.id == "ch05").unwrap();
        for (place, real) in [(Place::Ours, false), (Place::Another, true), (Place::Several, true), (Place::Idle, false)] {
            assert_eq!(advice(chapter, place).get("host-root").is_some_and(|told| told.contains(&REAL_DISK)), real, "{place:?}");
        }
        let (none, all) = (Vec::<String>::new(), |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<String>>());
        for place in [Place::Ours, Place::Idle] {
            assert_eq!((told("ch03", place), told("ch05", place)), ((none.clone(), none.clone(), none.clone()), (none.clone(), none.clone(), none.clone())));
        }
        let asking = all(&["ch05-lab", "drill-back", "host-path", "lose-cache", "pi-cache", "survive", "use-class"]);
        assert_eq!(told("ch05", Place::Another), (none.clone(), asking.clone(), none.clone()));
        let on_disk = all(&["ch05-lab", "host-path", "host-root", "node-directory", "postgres", "static-volume", "sub-path", "survive"]);
        assert_eq!(told("ch05", Place::Several), (on_disk, asking, none.clone()));
        assert_eq!(told("ch06", Place::Several).0, ["shared-cache"]);
        // What the lesson itself forwards needs nothing else.
        assert_eq!(told("ch02", Place::Several), (none.clone(), none.clone(), none));
        let (_, asking, outside) = told("ch03", Place::Another);
        assert_eq!(outside, ["dns-lookup", "external-name"]);
        assert!(asking.contains(&"load-balancer".to_owned()) && !asking.contains(&"name-for-api".to_owned()), "{asking:?}");
    }

    #[test]
    fn what_waits_for_the_impossible_does_not_wait() {
        let checks = vec![check("{id: a, say: s, expect: {container: {gone: true}}}"), check("{id: b, say: s, needs: [a], expect: {object: {kind: Pod, name: a}}}")];
        let unit = Unit { id: "u".into(), title: String::new(), kind: UnitKind::Exercise, checks, blocks: Vec::new() };
        let plan = Plan { units: vec![unit], ..Plan::default() }.at(Place::Another);
        assert_eq!(plan.checks().map(|(_, check)| (check.id.as_str(), check.needs.len())).collect::<Vec<_>>(), [("b", 0)]);
    }
}
