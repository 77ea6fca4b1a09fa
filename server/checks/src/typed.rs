//! Streams as the learner's own commands tell of them, for a cluster whose API server tells nothing.
//!
//! `kubectl exec`, `attach`, `logs` and `port-forward` say in their arguments where they go, and in what they print whether they came there:
//! kubectl reports what the API server refused, and each connection through a forward. What only the server sees, as bytes, is left out.
//!
//! A forward that says nothing here, as one that runs in the background or writes into a file, is known by those who ask at its port: what
//! has an answer there went through it.

use std::collections::BTreeMap;

use drydock_course::check::ObjectRef;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::select::{self, Moment};
use crate::world::World;

mod jobs;

/// How kubectl begins a line that says that nothing came of it.
const FAILURES: [&str; 5] = ["error:", "Error:", "Error from server", "Unable to connect", "The connection to the server"];
/// Options of these commands that take a value of their own word.
const VALUES: [&str; 14] = [
    "-c", "--container", "-n", "--namespace", "-l", "--selector", "--tail", "--since", "--since-time", "--limit-bytes", "--address", "--pod-running-timeout", "--context", "--kubeconfig",
];

/// The streams that are to be told anew because of a command record: its own, and the silent forwards it asked something through.
pub(crate) fn told_by(command: &Value, world: &World) -> Vec<Value> {
    let mut told = streams(command, world);
    let line = line_of(command);
    if asks_here(line) || jobs::may_end(line) {
        let others = world.records("commands").filter(|other| line_of(other).contains("port-forward") && name_of(other) != name_of(command));
        told.extend(others.filter(|other| forwards(other, world).iter().any(|forward| !forward.tells)).flat_map(|other| streams(other, world)));
    }
    told
}

/// The streams that a command record tells of; none while it is not known whether they came about.
fn streams(command: &Value, world: &World) -> Vec<Value> {
    let status = &command["status"];
    let output = status["output"].as_str().unwrap_or_default();
    let running = status["endTime"].is_null();
    // What a program in the Pod prints may begin like this, too; kubectl's own failure is the first line, or what it ends with.
    let failure = |line: &str| FAILURES.iter().any(|failure| line.starts_with(failure));
    let failed = if running { output.lines().next().is_some_and(failure) } else { status["exitCode"] != 0 && output.lines().any(failure) };
    let silent = running && output.trim().is_empty();
    // A forward that breaks was one.
    let came_about = |call: &Call| match call.verb {
        "portforward" if output.contains("Forwarding from") => true,
        "portforward" if running => !failed && call.asked(command, world) > 0,
        _ => !(failed || silent),
    };
    calls(command, world).filter(|(_, call)| came_about(call)).filter_map(|(place, call)| call.record(place, command, world)).collect()
}

/// The calls of kubectl in a line that make streams, and which of them each is.
fn calls(command: &Value, world: &World) -> impl Iterator<Item = (usize, Call)> {
    let variables = variables(command, world);
    let calls = simple_commands(line_of(command)).into_iter().enumerate();
    calls.filter_map(move |(at, simple)| Some(Call { at, ..Call::parse(&simple)?.with(&variables) })).enumerate()
}

/// What variables of the shell were set to in a terminal when a line begins, and by the line itself.
fn variables(command: &Value, world: &World) -> BTreeMap<String, String> {
    if !line_of(command).contains('$') {
        return BTreeMap::new();
    }
    let begun = moment(&command["status"]["startTime"]);
    let before = |other: &&Value| other["spec"]["session"] == command["spec"]["session"] && moment(&other["status"]["startTime"]) < begun && line_of(other).contains('=');
    let mut lines: Vec<&Value> = world.records("commands").filter(before).collect();
    lines.sort_by_key(|other| moment(&other["status"]["startTime"]));
    let set = |simple: &Simple| {
        let words = simple.words.iter().filter(|word| *word != "export");
        let pairs: Option<Vec<(String, String)>> = words.map(|word| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))).collect();
        pairs.unwrap_or_default()
    };
    let mut known = BTreeMap::new();
    for (name, value) in lines.into_iter().chain([command]).flat_map(|other| simple_commands(line_of(other))).flat_map(|simple| set(&simple)) {
        let value = expanded(&value, &known);
        known.insert(name, value);
    }
    known
}

/// A word with what is known of its variables in their place; the others stay as they are.
fn expanded(word: &str, variables: &BTreeMap<String, String>) -> String {
    let mut pieces = word.split('$');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let braced = piece.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let end = piece.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(piece.len());
        let (name, rest) = braced.unwrap_or_else(|| piece.split_at(end));
        match variables.get(name) {
            Some(value) => out.extend([value.as_str(), rest]),
            None => out.extend(["$", piece]),
        }
    }
    out
}

/// The labels by which `$(kubectl get pods -l app=web -o name)` chooses.
fn selector_of(substituted: &str) -> Option<String> {
    let simple = simple_commands(substituted.strip_prefix("$(")?.strip_suffix(')')?).into_iter().next()?;
    let mut words = simple.own().skip_while(|word| *word != "get").skip(1).map(String::as_str).peekable();
    words.next_if(|kind| PODS.contains(kind))?;
    let at = words.find_map(|word| Some((word, word.strip_prefix("--selector").or_else(|| word.strip_prefix("-l"))?)));
    match at? {
        (_, "") => words.next().map(str::to_owned),
        (_, joined) => Some(joined.trim_start_matches('=').to_owned()),
    }
}

fn line_of(command: &Value) -> &str {
    command["spec"]["line"].as_str().unwrap_or_default()
}

fn name_of(record: &Value) -> &str {
    record["metadata"]["name"].as_str().unwrap_or_default()
}

/// A moment of a record, as it is written.
pub(crate) fn moment(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// Whether a line asks something at a port of the learner's own machine: by its name, or by what the status of a Service says.
pub(crate) fn asks_here(line: &str) -> bool {
    ["localhost", "127.0.0.1", ".ingress"].iter().any(|here| line.contains(here))
}

/// Whether a line asks at this port of the learner's own machine.
pub(crate) fn asks_at(line: &str, port: u16) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_digit());
    let named = format!(":{port}");
    asks_here(line) && line.match_indices(&named).any(|(at, _)| ends(&line[at + named.len()..]))
}

/// One `port-forward` that was typed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Forward {
    /// Which of the streams of its line it is.
    pub(crate) place: usize,
    /// Ports of the learner's machine and where they lead; at the Service when that was typed and nothing more is known.
    pub(crate) ways: Vec<(u16, u16)>,
    /// The Pod, when it was named.
    pub(crate) pod: Option<String>,
    /// As it was typed, without what surrounds it.
    pub(crate) line: String,
    /// The shell goes on meanwhile: the end of the line is not its end.
    pub(crate) background: bool,
    /// It says itself what goes through it.
    pub(crate) tells: bool,
    /// Since when it is over because a line of the learner's ended it, or may have.
    pub(crate) ended: Option<Timestamp>,
    /// It is not known whether that line meant this one.
    pub(crate) unsure: bool,
    call: Call,
}

impl Forward {
    /// Whether it rather leads elsewhere than a stream of the API server does: into another namespace, to Pods or ports other than it names.
    pub(crate) fn strays(&self, stream: &Value, world: &World) -> bool {
        let key = (stream["spec"]["namespace"].as_str().unwrap_or_default(), stream["spec"]["pod"].as_str().unwrap_or_default());
        let owned = (key.0.to_owned(), key.1.to_owned());
        let last = || world.changes_since("Pod", 0).iter().rev().find(|change| change.key == owned).and_then(|change| change.old.clone());
        let pod = world.objects("Pod").get(&owned).cloned().or_else(last);
        let chosen = |labels: BTreeMap<String, String>| pod.is_some_and(|pod| labels.iter().all(|(key, value)| pod["metadata"]["labels"][key] == **value));
        let asked = stream["status"]["ports"].as_array().filter(|asked| !asked.is_empty());
        let own = |asked: &Vec<Value>| self.ways.iter().any(|(_, remote)| *remote == 0 || asked.contains(&json!(self.call.port_of_pod(*remote, key, world))));
        let at_home = self.call.namespace.as_deref().is_none_or(|namespace| namespace == key.0);
        !(at_home && (self.pod.is_some() || self.call.labels(key.0, world).is_some_and(chosen)) && asked.is_none_or(own))
    }
}

/// The forwards that a command record tells of.
pub(crate) fn forwards(command: &Value, world: &World) -> Vec<Forward> {
    let output = command["status"]["output"].as_str().unwrap_or_default();
    let forwards = calls(command, world).filter(|(_, call)| call.verb == "portforward");
    forwards
        .map(|(place, call)| {
            let pod = call.named().map(str::to_owned);
            let end = if call.background { jobs::end_of(command, call.at, world) } else { jobs::End::default() };
            Forward { place, ways: call.ways(output, world), pod, ended: end.first(), unsure: end.sure.is_none() && end.unsure.is_some(), line: call.line.clone(), background: call.background, tells: call.tells(output), call }
        })
        .collect()
}

/// How Pods are called in `pod/NAME`.
const PODS: [&str; 3] = ["pod", "pods", "po"];

/// One of these commands of kubectl, taken apart.
#[derive(Debug, Default, Clone, PartialEq)]
struct Call {
    verb: &'static str,
    /// Which of the simple commands of its line it is.
    at: usize,
    /// As it was typed, without what surrounds it.
    line: String,
    /// The shell does not wait for it.
    background: bool,
    namespace: Option<String>,
    container: Option<String>,
    selector: Option<String>,
    tty: bool,
    stdin: bool,
    /// What stands for itself: the target, then ports or a container.
    operands: Vec<String>,
    /// After `--`.
    command: Vec<String>,
}

impl Call {
    fn parse(simple: &Simple) -> Option<Call> {
        if !["kubectl", "k"].contains(&simple.program()) {
            return None;
        }
        let mut words = simple.own().skip(1);
        let line = simple.own().map(String::as_str).collect::<Vec<_>>().join(" ");
        let mut call = Call { line, background: simple.background, ..Call::default() };
        while let Some(word) = words.next() {
            let (name, value) = word.split_once('=').filter(|_| word.starts_with('-')).map_or((word.as_str(), None), |(name, value)| (name, Some(value.to_owned())));
            let mut value = || value.clone().or_else(|| words.next().cloned());
            match name {
                "--" => {
                    call.command = words.cloned().collect();
                    break;
                }
                "-c" | "--container" => call.container = value(),
                "-n" | "--namespace" => call.namespace = value(),
                "-l" | "--selector" => call.selector = value(),
                "--tty" => call.tty = true,
                "--stdin" => call.stdin = true,
                _ if VALUES.contains(&name) => drop(value()),
                _ if name.starts_with("--") => {}
                _ if name.starts_with('-') && name.len() > 1 => {
                    call.tty |= name.contains('t');
                    call.stdin |= name.contains('i');
                }
                _ if call.verb.is_empty() => {
                    call.verb = match name {
                        "exec" => "exec",
                        "attach" => "attach",
                        "logs" | "log" => "log",
                        "port-forward" => "portforward",
                        _ => return None,
                    };
                }
                _ => call.operands.push(word.clone()),
            }
        }
        (!call.verb.is_empty()).then_some(call)
    }

    /// What the shell put in place of its variables, as far as that is known.
    fn with(mut self, variables: &BTreeMap<String, String>) -> Call {
        for operand in self.operands.iter_mut().chain(&mut self.namespace) {
            *operand = expanded(operand, variables);
        }
        let chosen = self.operands.first().and_then(|target| selector_of(target.rsplit_once("/$").map_or(target, |(kind, _)| &target[kind.len() + 1..])));
        self.selector = self.selector.or(chosen);
        self.namespace = self.namespace.filter(|namespace| !namespace.contains('$'));
        self
    }

    fn record(&self, place: usize, command: &Value, world: &World) -> Option<Value> {
        let (metadata, status) = (&command["metadata"], &command["status"]);
        let name = format!("{}-{place}", metadata["name"].as_str().unwrap_or_default());
        let namespace = self.namespace.as_deref().unwrap_or(world.home());
        // Where it went when it began is where it goes.
        let known = world.records("streams").find(|stream| stream["metadata"]["name"] == *name).and_then(|stream| stream["spec"]["pod"].as_str().map(str::to_owned));
        // A Pod that only the shell knows has no name here.
        let nameless = || self.operands.first().is_some_and(|target| target.contains('$')).then(String::new);
        let pod = known.or_else(|| self.pod(namespace, world)).or_else(nameless)?;
        let mut told = json!({"opened": status["startTime"]});
        if let Some(end) = self.end(command, world).first() {
            told["closed"] = json!(end.to_string());
        }
        if self.verb == "portforward" {
            let (connections, ports) = self.passed(namespace, &pod, command, world);
            told["connections"] = json!(connections);
            told["ports"] = json!(ports);
        }
        Some(json!({
            "metadata": {"name": name, "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"]},
            "spec": {"verb": self.verb, "namespace": namespace, "pod": pod, "container": self.container, "command": self.command, "tty": self.tty, "stdin": self.stdin},
            "status": told,
        }))
    }

    /// When it ended: with its line, or when what runs in the background of that terminal was ended.
    fn end(&self, command: &Value, world: &World) -> jobs::End {
        if self.background {
            return jobs::end_of(command, self.at, world);
        }
        jobs::End { sure: moment(&command["status"]["endTime"]), unsure: None }
    }

    /// Whether it is seen to print where it leads; in the background what it prints may come at any time.
    fn tells(&self, output: &str) -> bool {
        !self.background && output.contains("Forwarding from")
    }

    /// Ports of the learner's machine and where they lead, 0 where that is not known: as it prints them, or as they were typed.
    fn ways(&self, output: &str, world: &World) -> Vec<(u16, u16)> {
        let told = ways(output);
        if !told.is_empty() {
            return told;
        }
        let typed = |operand: &String| {
            let (local, remote) = operand.split_once(':').unwrap_or((operand, operand));
            let to = number(remote).or_else(|| self.port_called(remote, world)).unwrap_or(0);
            let from = if operand.contains(':') { number(local).or_else(|| local.is_empty().then_some(0))? } else { to };
            (from > 0 || to > 0).then_some((from, to))
        };
        self.operands.iter().skip(1).filter_map(typed).collect()
    }

    /// The number of a port that has a name: of the Service, or of the Pod.
    fn port_called(&self, name: &str, world: &World) -> Option<u16> {
        let namespace = self.namespace.as_deref().unwrap_or(world.home());
        let port = match self.service(namespace, world) {
            Some(service) => service["spec"]["ports"].as_array()?.iter().find(|port| port["name"] == name)?["port"].as_u64(),
            None => port_of_container(name, (namespace, &self.pod(namespace, world)?), world),
        };
        u16::try_from(port?).ok()
    }

    /// How many commands had an answer at one of its ports while it went on.
    fn asked(&self, command: &Value, world: &World) -> usize {
        self.askers(command, world).len()
    }

    /// The ways that were asked through, once for each command.
    fn askers(&self, command: &Value, world: &World) -> Vec<u16> {
        let ways = self.ways(command["status"]["output"].as_str().unwrap_or_default(), world);
        let begun = moment(&command["status"]["startTime"]);
        let end = self.end(command, world).sure;
        let answered = |other: &&Value| {
            let status = &other["status"];
            let in_time = moment(&status["startTime"]) >= begun && end.is_none_or(|end| moment(&status["startTime"]).is_some_and(|at| at <= end));
            name_of(other) != name_of(command) && in_time && status["exitCode"] == 0 && !status["output"].as_str().unwrap_or_default().trim().is_empty()
        };
        let lines = world.records("commands").filter(answered).map(line_of).filter(|line| asks_here(line));
        lines.filter_map(|line| ways.iter().find(|(local, _)| asks_at(line, *local)).map(|(_, remote)| *remote)).collect()
    }

    /// How many connections have gone through it, and to which ports of its Pod.
    fn passed(&self, namespace: &str, pod: &str, command: &Value, world: &World) -> (usize, Vec<u16>) {
        let output = command["status"]["output"].as_str().unwrap_or_default();
        if self.tells(output) {
            return forwarded(output);
        }
        let mut ports: Vec<u16> = self.askers(command, world).into_iter().map(|port| self.port_of_pod(port, (namespace, pod), world)).collect();
        let number = ports.len();
        ports.retain(|port| *port > 0);
        ports.sort_unstable();
        ports.dedup();
        (number, ports)
    }

    /// The Service that was typed.
    fn service<'a>(&self, namespace: &str, world: &'a World) -> Option<&'a Value> {
        let (kind, name) = self.operands.first()?.split_once('/')?;
        let service = ["svc", "service", "services"].contains(&kind).then(|| world.objects("Service").get(&(namespace.to_owned(), name.to_owned())));
        service.flatten().map(|service| &**service)
    }

    /// The port in the Pod, where that of a Service was typed.
    fn port_of_pod(&self, port: u16, (namespace, pod): (&str, &str), world: &World) -> u16 {
        let Some(service) = self.service(namespace, world) else { return port };
        let own = service["spec"]["ports"].as_array().into_iter().flatten().find(|own| own["port"] == port);
        let target = own.map_or(&Value::Null, |own| &own["targetPort"]);
        let found = target.as_u64().or_else(|| port_of_container(target.as_str()?, (namespace, pod), world));
        found.and_then(|found| u16::try_from(found).ok()).unwrap_or(port)
    }

    /// The Pod it goes to: named, or one that the named object selects, as kubectl chooses one.
    fn pod(&self, namespace: &str, world: &World) -> Option<String> {
        if let Some(pod) = self.named() {
            return Some(pod.to_owned());
        }
        let labels = self.labels(namespace, world)?;
        let wanted = ObjectRef { kind: "Pod".to_owned(), namespace: Some(namespace.to_owned()), labels, ..ObjectRef::default() };
        let pods = select::objects(world, &wanted, Moment::Now);
        let pod = pods.iter().find(|pod| pod["status"]["phase"] == "Running").or(pods.first())?;
        pod["metadata"]["name"].as_str().map(str::to_owned)
    }

    /// The Pod that it names.
    fn named(&self) -> Option<&str> {
        let target = self.operands.first().filter(|target| self.selector.is_none() && !target.contains('$'))?;
        match target.split_once('/') {
            Some((kind, name)) => PODS.contains(&kind.split('.').next()?).then_some(name),
            None => Some(target),
        }
    }

    /// The labels of the Pods of which it chooses one.
    fn labels(&self, namespace: &str, world: &World) -> Option<BTreeMap<String, String>> {
        if let Some(selector) = &self.selector {
            return Some(selector.split(',').filter_map(|part| part.split_once('=')).map(|(key, value)| (key.to_owned(), value.trim_start_matches('=').to_owned())).collect());
        }
        let (kind, name) = self.operands.first()?.split_once('/')?;
        let kind = match kind.split('.').next().unwrap_or_default() {
            "deploy" | "deployment" | "deployments" => "Deployment",
            "svc" | "service" | "services" => "Service",
            "rs" | "replicaset" | "replicasets" => "ReplicaSet",
            "ds" | "daemonset" | "daemonsets" => "DaemonSet",
            "sts" | "statefulset" | "statefulsets" => "StatefulSet",
            _ => return None,
        };
        let owner = world.objects(kind).get(&(namespace.to_owned(), name.to_owned()))?;
        let selector = owner["spec"]["selector"].get("matchLabels").unwrap_or(&owner["spec"]["selector"]).as_object()?;
        Some(selector.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect())
    }
}

/// The port of a Pod that has this name.
fn port_of_container(name: &str, (namespace, pod): (&str, &str), world: &World) -> Option<u64> {
    let pod = world.objects("Pod").get(&(namespace.to_owned(), pod.to_owned()))?;
    let mut ports = pod["spec"]["containers"].as_array().into_iter().flatten().flat_map(|container| container["ports"].as_array().into_iter().flatten());
    ports.find(|port| port["name"] == name)?["containerPort"].as_u64()
}

fn number(text: &str) -> Option<u16> {
    text.trim().parse().ok()
}

/// Where a forward says that it leads: `Forwarding from 127.0.0.1:8080 -> 80`.
fn ways(output: &str) -> Vec<(u16, u16)> {
    let mut ways: Vec<(u16, u16)> = output
        .lines()
        .filter_map(|line| line.strip_prefix("Forwarding from ")?.split_once(" -> "))
        .filter_map(|(from, to)| Some((number(from.rsplit(':').next()?)?, number(to)?)))
        .collect();
    // Once for each address it listens at.
    ways.dedup();
    ways
}

/// How many connections a forward has handled, and to which ports they went.
fn forwarded(output: &str) -> (usize, Vec<u16>) {
    let ways = ways(output);
    let handled: Vec<u16> = output.lines().filter_map(|line| number(line.strip_prefix("Handling connection for ")?)).collect();
    let mut ports: Vec<u16> = ways.iter().filter(|(from, _)| handled.contains(from)).map(|(_, to)| *to).collect();
    ports.sort_unstable();
    ports.dedup();
    (handled.len(), ports)
}

/// A simple command of a line.
#[derive(Debug, Default)]
struct Simple {
    /// Its words without their quotes; what is redirected is left out.
    words: Vec<String>,
    /// The shell does not wait for it.
    background: bool,
}

impl Simple {
    /// The words of the program that is meant, without what only surrounds it.
    fn own(&self) -> impl Iterator<Item = &String> {
        self.words.iter().skip_while(|word| word.contains('=') || ["sudo", "time", "nohup", "exec", "do", "then"].contains(&word.as_str()))
    }

    /// The name of the program.
    fn program(&self) -> &str {
        self.own().next().and_then(|word| word.rsplit('/').next()).unwrap_or_default()
    }
}

/// The simple commands of a line.
fn simple_commands(line: &str) -> Vec<Simple> {
    let (mut commands, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let redirects = word.as_ref().is_some_and(|word| word.ends_with(['>', '<'])) || chars.peek() == Some(&'>');
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next().filter(|next| *next != '\n')),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            // What a command prints is part of a word; the command is one of the line, too.
            (None, '$') if chars.next_if_eq(&'(').is_some() => {
                let mut depth = 1;
                let inside = |c: &char| {
                    depth += i32::from(*c == '(') - i32::from(*c == ')');
                    depth > 0
                };
                let inner: String = chars.by_ref().take_while(inside).collect();
                word.get_or_insert_default().push_str(&format!("$({inner})"));
                commands.extend(simple_commands(&inner));
            }
            (None, '`') => {
                let inner: String = chars.by_ref().take_while(|c| *c != '`').collect();
                word.get_or_insert_default().push_str(&format!("$({inner})"));
                commands.extend(simple_commands(&inner));
            }
            // `2>&1` and `&>` belong to the command.
            (None, '&') if redirects => word.get_or_insert_default().push(c),
            (None, '|' | ';' | '&' | '(' | ')' | '\n') => {
                words.extend(word.take());
                let background = c == '&' && chars.next_if_eq(&'&').is_none();
                commands.push(Simple { words: std::mem::take(&mut words), background });
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    commands.push(Simple { words, background: false });
    let redirects = |word: &String| word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '&').starts_with(['>', '<']);
    let before = |simple: Simple| Simple { words: simple.words.into_iter().take_while(|word| !redirects(word)).collect(), ..simple };
    commands.into_iter().map(before).filter(|simple| !simple.words.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> World {
        let mut world = World::default();
        let mut put = |kind: &str, name: &str, more: Value| {
            let mut object = json!({"kind": kind, "metadata": {"namespace": "default", "name": name, "resourceVersion": "3"}});
            for (key, value) in more.as_object().into_iter().flatten() {
                match object[key].as_object_mut() {
                    Some(fields) => fields.extend(value.as_object().cloned().unwrap_or_default()),
                    None => object[key] = value.clone(),
                }
            }
            world.put(kind, object);
        };
        put("Deployment", "web", json!({"spec": {"selector": {"matchLabels": {"app": "web"}}}}));
        put("Service", "web", json!({"spec": {"selector": {"app": "web"}}}));
        put("Pod", "web-a", json!({"metadata": {"labels": {"app": "web"}}, "status": {"phase": "Pending"}}));
        put("Pod", "web-b", json!({"metadata": {"labels": {"app": "web"}}, "status": {"phase": "Running"}}));
        world
    }

    fn command(line: &str, output: &str, ended: bool) -> Value {
        let end = if ended { json!("2026-01-01T00:00:09Z") } else { Value::Null };
        json!({
            "metadata": {"name": "command-1", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:01Z"},
            "spec": {"line": line}, "status": {"startTime": "2026-01-01T00:00:01Z", "endTime": end, "output": output},
        })
    }

    #[test]
    fn a_command_tells_of_its_streams() {
        // Line, output, ended; verb, Pod and command of the stream.
        let cases: &[(&str, &str, bool, Option<(&str, &str, &[&str])>)] = &[
            ("kubectl exec -it hello -- sh", "/ # ", false, Some(("exec", "hello", &["sh"]))),
            ("kubectl exec -it hello -- sh", "", false, None),
            ("kubectl exec nobody -- ls", "Error from server (NotFound): pods \"nobody\" not found\n", true, None),
            ("cd /tmp; kubectl exec deploy/web -- sh -c 'wget -O - http://localhost > /dev/null' | cat", "done", true, Some(("exec", "web-b", &["sh", "-c", "wget -O - http://localhost > /dev/null"]))),
            ("kubectl exec svc/none -- ls", "a", true, None),
            ("kubectl -n default logs --tail=2 hello > log", "", true, Some(("log", "hello", &[]))),
            ("kubectl logs -l app=web --tail 1", "a line", true, Some(("log", "web-b", &[]))),
            ("kubectl port-forward svc/web 8080:80", "Forwarding from 127.0.0.1:8080 -> 80\n", false, Some(("portforward", "web-b", &[]))),
            ("POD=$(kubectl get pods -l app=web -o name); kubectl exec $POD -- ls", "a", true, Some(("exec", "web-b", &["ls"]))),
            ("kubectl logs pod/`kubectl get po --selector=app=web -o jsonpath='{.items[0].metadata.name}'`", "a", true, Some(("log", "web-b", &[]))),
            ("POD=web-a\nkubectl port-forward pod/${POD} 8080:http", "Forwarding from 127.0.0.1:8080 -> 80\n", true, Some(("portforward", "web-a", &[]))),
            ("kubectl port-forward $(head -1 pods) 8080:80", "Forwarding from 127.0.0.1:8080 -> 80\n", true, Some(("portforward", "", &[]))),
            ("NS=default; kubectl -n $NS logs hello", "a", true, Some(("log", "hello", &[]))),
            ("P=8080; kubectl logs $POD", "a", true, Some(("log", "", &[]))),
            ("POD=web-a; kubectl logs $POD_B", "a", true, Some(("log", "", &[]))),
            ("POD=web; kubectl logs pod/$POD-a", "a", true, Some(("log", "web-a", &[]))),
            ("POD=web; kubectl logs ${POD}-b", "a", true, Some(("log", "web-b", &[]))),
            ("WEB=web-a; POD=$WEB; WEB=web-b; kubectl logs $POD", "a", true, Some(("log", "web-a", &[]))),
            ("echo $(kubectl exec hello -- date)", "a", true, Some(("exec", "hello", &["date"]))),
            ("kubectl get pods", "NAME", true, None),
            ("echo kubectl exec a -- b", "kubectl exec a -- b", true, None),
        ];
        for (line, output, ended, wanted) in cases {
            let found = streams(&command(line, output, *ended), &world());
            let spec = found.first().map(|stream| stream["spec"].clone());
            assert_eq!(spec.as_ref().map(|spec| (spec["verb"].clone(), spec["pod"].clone(), spec["command"].clone())), wanted.map(|(verb, pod, command)| (json!(verb), json!(pod), json!(command))), "{line}");
            assert!(found.iter().all(|stream| stream["status"].get("closed").is_some() == *ended), "{line}");
        }
        let spec = &streams(&command("kubectl exec -it hello -- sh", "# ", false), &world())[0]["spec"];
        assert_eq!((&spec["tty"], &spec["stdin"]), (&json!(true), &json!(true)));
    }

    #[test]
    fn what_a_program_prints_is_not_kubectls_failure() {
        let cases = [
            ("kubectl logs hello", "one\nError: two\n", 0, true),
            ("kubectl exec nobody -- ls", "Error from server (NotFound): pods \"nobody\" not found\n", 1, false),
            ("kubectl port-forward svc/web 8080:80", "Forwarding from 127.0.0.1:8080 -> 80\nerror: lost connection to pod\n", 1, true),
        ];
        for (line, output, exit, wanted) in cases {
            let mut command = command(line, output, true);
            command["status"]["exitCode"] = json!(exit);
            let closed: Vec<bool> = streams(&command, &world()).iter().map(|stream| stream["status"]["closed"].is_string()).collect();
            assert_eq!(closed, vec![true; usize::from(wanted)], "{line}");
        }
    }

    #[test]
    fn a_forward_counts_what_went_through_it() {
        let output = "Forwarding from 127.0.0.1:8080 -> 80\nForwarding from [::1]:8080 -> 80\nForwarding from 127.0.0.1:9000 -> 443\nHandling connection for 8080\nHandling connection for 8080\n";
        let found = streams(&command("kubectl port-forward deploy/web 8080:80 9000:443", output, true), &world());
        assert_eq!((&found[0]["status"]["connections"], &found[0]["status"]["ports"]), (&json!(2), &json!([80])));
    }

    #[test]
    fn a_forward_that_says_nothing_is_known_by_those_who_ask_through_it() {
        let silent = |line: &str, session: &str, from: u8, until: Option<u8>, output: &str| {
            let at = |second: u8| json!(format!("2026-01-01T00:00:{second:02}Z"));
            json!({
                "metadata": {"name": format!("command-{from}"), "resourceVersion": "7", "creationTimestamp": at(from)},
                "spec": {"line": line, "session": session},
                "status": {"startTime": at(from), "endTime": until.map(at), "exitCode": until.map(|_| 0), "output": output},
            })
        };
        // Line, when it ended, what was asked later and answered; connections, ports and whether it is over.
        let curl = ("curl -s http://localhost:8080", "web-b\n");
        let cases: &[(&str, Option<u8>, &[(&str, &str)], Option<(u8, Value, bool)>)] = &[
            ("kubectl port-forward deploy/web 8080:80 > /dev/null &", Some(2), &[], Some((0, json!([]), false))),
            ("kubectl port-forward deploy/web 8080:80 > /dev/null 2>&1 &", Some(2), &[curl, curl, ("curl -s http://localhost:8080", "")], Some((2, json!([80]), false))),
            ("kubectl port-forward deploy/web 8080:80 &>/dev/null &", Some(2), &[("curl http://localhost:80801", "x"), ("curl http://web:8080", "x")], Some((0, json!([]), false))),
            ("kubectl port-forward svc/web 8080:8000 > /dev/null &", Some(2), &[curl], Some((1, json!([80]), false))),
            ("kubectl port-forward deploy/web 8080:80 > /dev/null &", Some(2), &[curl, ("kill $!", ""), curl], Some((1, json!([80]), true))),
            ("kubectl port-forward deploy/web 8080:80 > log", None, &[], None),
            ("kubectl port-forward deploy/web 8080:80 > log", None, &[curl], Some((1, json!([80]), false))),
            ("kubectl port-forward deploy/web 8080:80 > log", Some(4), &[curl, ("curl -s http://127.0.0.1:8080", "x")], Some((1, json!([80]), true))),
            ("sleep 9 & kubectl port-forward deploy/web 8080:80 && true", Some(4), &[], Some((0, json!([]), true))),
        ];
        for (line, ended, asked, wanted) in cases {
            let mut world = world();
            let ports = json!({"spec": {"selector": {"app": "web"}, "ports": [{"port": 8000, "targetPort": 80}]}});
            world.put("Service", json!({"kind": "Service", "metadata": {"namespace": "default", "name": "web", "resourceVersion": "4"}, "spec": ports["spec"]}));
            world.tells_by_commands();
            world.put_record("commands", silent(line, "main", 1, *ended, ""));
            for (place, (line, output)) in asked.iter().enumerate() {
                let from = 3 + 2 * u8::try_from(place).unwrap();
                world.put_record("commands", silent(line, "main", from, Some(from + 1), output));
            }
            let told: Vec<_> = world.records("streams").map(|stream| json!([stream["status"]["connections"], stream["status"]["ports"], stream["status"]["closed"].is_string()])).collect();
            let wanted: Vec<_> = wanted.iter().map(|(connections, ports, over)| json!([connections, ports, over])).collect();
            assert_eq!(told, wanted, "{line} {asked:?}");
        }
    }

    #[test]
    fn ports_may_have_names() {
        let cases: &[(&str, &[(u16, u16)])] = &[
            ("kubectl port-forward svc/web 8080:front", &[(8080, 8000)]),
            ("kubectl port-forward svc/web front", &[(8000, 8000)]),
            ("kubectl port-forward pod/web-b 8080:http 9000:443", &[(8080, 80), (9000, 443)]),
            ("kubectl port-forward deploy/web http", &[(80, 80)]),
            ("kubectl port-forward deploy/web 8080:none none", &[(8080, 0)]),
            ("PORT=8080; kubectl port-forward $POD $PORT:80 &", &[(8080, 80)]),
            ("kubectl port-forward $POD 8080:$PORT :80 &", &[(8080, 0), (0, 80)]),
        ];
        let mut world = world();
        let (labels, ports) = (json!({"app": "web"}), json!([{"name": "front", "port": 8000, "targetPort": "http"}]));
        let mut put = |kind: &str, name: &str, spec: Value| world.put(kind, json!({"kind": kind, "metadata": {"namespace": "default", "name": name, "labels": labels, "resourceVersion": "4"}, "spec": spec, "status": {"phase": "Running"}}));
        put("Service", "web", json!({"selector": labels, "ports": ports}));
        put("Pod", "web-b", json!({"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 80}]}]}));
        for (line, wanted) in cases {
            let found: Vec<_> = forwards(&command(line, "", false), &world).into_iter().flat_map(|forward| forward.ways).collect();
            assert_eq!(found, *wanted, "{line}");
        }
    }

    #[test]
    fn a_stream_stays_with_its_pod() {
        let mut world = world();
        world.tells_by_commands();
        world.put_record("commands", command("kubectl port-forward deploy/web 8080:80", "Forwarding from 127.0.0.1:8080 -> 80\n", false));
        world.remove("Pod", &json!({"metadata": {"namespace": "default", "name": "web-b", "resourceVersion": "9"}}));
        world.put_record("commands", command("kubectl port-forward deploy/web 8080:80", "Forwarding from 127.0.0.1:8080 -> 80\n", true));
        let streams: Vec<&Value> = world.records("streams").collect();
        assert_eq!((streams.len(), &streams[0]["spec"]["pod"], streams[0]["status"]["closed"].is_null()), (1, &json!("web-b"), false));
    }
}
