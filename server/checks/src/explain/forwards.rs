//! The way from the learner's own machine into the cluster: port-forwards as they were typed, and those that ended with their Pod.
//!
//! What was typed is known by the commands, where it went by the streams: those of our own API server, or what the commands tell of them.

use std::sync::Arc;

use drydock_course::check::ObjectRef;
use serde_json::Value;

use super::words::short;
use super::{Asker, Why};
use crate::select::{self, shown};
use crate::typed::{self, moment};
use crate::world::{ObjectKey, Point, World, key_of, point_of};

/// A port-forward of the learner's.
#[derive(Debug)]
pub(super) struct Way {
    typed: typed::Forward,
    /// Namespace and name of the Pod it went to.
    pod: Option<ObjectKey>,
    /// That Pod is known to be gone.
    gone: bool,
    /// Since when it is over.
    closed: Option<Point>,
    /// It ended by itself: its Pod went.
    lost: bool,
    /// It may be open: the learner ended something, and it is not known whether that was this one.
    unsure: bool,
}

/// What stands between the learner and an answer: half a sentence, and what to do about it.
pub(super) struct Cut {
    pub(super) because: String,
    pub(super) remedy: String,
}

impl Cut {
    /// It belongs to the first sentence; what to do about it is the second.
    pub(super) fn told(self, found: Why) -> Why {
        let first = found.sentences.first().map_or("", |first| first.trim_end_matches('.'));
        let sentences = vec![format!("{first}: {}.", self.because), self.remedy];
        Why { sentences, ..found }
    }
}

impl Asker<'_> {
    /// What became of a port-forward that ended with its Pod belongs to it.
    pub(super) fn cut_short(&self, found: Why, pod: Option<&ObjectRef>) -> Why {
        match pod.and_then(|pod| lost_to(pod, self.world, self.baseline)) {
            Some(cut) => cut.told(found),
            None => found,
        }
    }

    /// Why what the learner asks may not come to a Pod: their way to it ended, leads to another, or is not there.
    pub(super) fn unreached(&self, found: &Value, pod: &ObjectRef) -> Option<Cut> {
        let ended = lost_to(pod, self.world, self.baseline);
        let another = || self.world.is_elsewhere().then(|| to_another(found, self.world)).flatten();
        let balanced = || balanced_to(found, self.world).into_iter().find_map(|(port, _)| self.unbalanced(port)).map(|(cut, _)| cut);
        ended.or_else(another).or_else(balanced)
    }

    /// Why nothing answers at a port of the learner's machine: their way there ended, or on a cluster that is not ours a Service offers it.
    pub(super) fn cut_off(&self, port: u16) -> Option<(Cut, Vec<String>)> {
        match lost_at(port, self.world, self.baseline) {
            Some(cut) => Some((cut, Vec::new())),
            None => self.unbalanced(port).map(|(cut, service)| (cut, vec![shown("Service", &service)])),
        }
    }

    /// On a cluster that is not ours: a Service offers this port to the outside, and no way leads there from here.
    fn unbalanced(&self, port: u16) -> Option<(Cut, Arc<Value>)> {
        let service = self.balanced(port).filter(|_| self.world.is_elsewhere() && !may_be_open(port, self.world))?;
        let name = service["metadata"]["name"].as_str().unwrap_or_default();
        let because = "no load balancer of your own cluster is at `localhost` here".to_owned();
        let remedy = format!("Bring Service `{name}` there, in another terminal: `kubectl port-forward svc/{name} {port}:{port}`.");
        Some((Cut { because, remedy }, service))
    }

    /// The Service that offers a port to the outside.
    fn balanced(&self, port: u16) -> Option<Arc<Value>> {
        let offers = |service: &&Arc<Value>| service["spec"]["type"] == "LoadBalancer" && service["spec"]["ports"].as_array().into_iter().flatten().any(|known| known["port"] == port);
        self.world.objects("Service").values().find(offers).cloned()
    }
}

impl Way {
    fn leads(&self) -> bool {
        self.closed.is_none() && !self.gone
    }

    fn may_lead(&self) -> bool {
        self.leads() || self.unsure && !self.gone
    }

    fn is_at(&self, port: u16) -> bool {
        self.typed.ways.iter().any(|(local, _)| *local == port)
    }

    fn pod_name(&self) -> &str {
        self.pod.as_ref().map_or("", |(_, name)| name)
    }

    fn cut(&self) -> Cut {
        let pod = self.pod_name();
        let because = match (self.closed.is_some(), self.gone) {
            (true, true) => format!("the port-forward to Pod `{pod}` ended when its Pod went"),
            (true, false) if self.pod.is_none() => "the port-forward lost its connection and ended".to_owned(),
            (true, false) => format!("the port-forward to Pod `{pod}` lost its connection and ended"),
            (false, _) => format!("the port-forward leads to Pod `{pod}`, which is gone"),
        };
        let remedy = if self.gone && (self.typed.pod.is_some() || self.typed.line.contains('$')) {
            "Forward the port to a Pod that is there: `kubectl get pods` lists them.".to_owned()
        } else {
            format!("Open it again, in another terminal: `{}`.", self.typed.line.replace('`', "'"))
        };
        Cut { because, remedy }
    }
}

/// Every port-forward that was typed and went to a Pod, the oldest first.
pub(super) fn all(world: &World) -> Vec<Way> {
    let mut commands: Vec<&Value> = world.records("commands").filter(|command| command["spec"]["line"].as_str().is_some_and(|line| line.contains("port-forward"))).collect();
    commands.sort_by_key(|command| point_of(command));
    let typed: Vec<(&Value, typed::Forward)> = commands.into_iter().flat_map(|command| typed::forwards(command, world).into_iter().map(move |typed| (command, typed))).collect();
    let streams = streams_of(&typed, world);
    typed.into_iter().zip(streams).filter_map(|((command, typed), stream)| Some(way(command, typed, stream?, world))).collect()
}

fn way(command: &Value, typed: typed::Forward, stream: &Value, world: &World) -> Way {
    let text = |field: &str| stream["spec"][field].as_str().map(str::to_owned);
    let pod = text("namespace").zip(text("pod").filter(|pod| !pod.is_empty()));
    let gone = pod.as_ref().is_some_and(|key| is_gone(key, world));
    let closed = moment(&stream["status"]["closed"]).map(|time| Point { time, ..point_of(stream) });
    let says_so = command["status"]["output"].as_str().is_some_and(|output| output.contains("lost connection to pod"));
    // What the learner ended did not end by itself. What our own API server calls open is open.
    let ended = typed.ended.is_some_and(|at| closed.is_none_or(|closed| closed.time >= at));
    let lost = says_so || gone && !ended && (closed.is_none() || !typed.tells);
    Way { lost, unsure: typed.unsure && world.is_elsewhere(), typed, pod, gone, closed }
}

/// Whether a Pod is known to be gone or going. Who may not list Pods, or only those of their own namespace, does not know of the others.
fn is_gone(key: &ObjectKey, world: &World) -> bool {
    let seen = || world.changes_since("Pod", 0).iter().any(|change| change.key == *key);
    let listed = || !world.unseen().contains("Pod") && (!world.is_elsewhere() || key.0 == world.home() || seen());
    world.objects("Pod").get(key).map_or_else(listed, |pod| !pod["metadata"]["deletionTimestamp"].is_null())
}

/// The stream that each forward is, and no other is too: named after its command, or one that was opened while the command went on.
fn streams_of<'a>(typed: &[(&Value, typed::Forward)], world: &'a World) -> Vec<Option<&'a Value>> {
    let streams: Vec<&Value> = world.records("streams").filter(|stream| stream["spec"]["verb"] == "portforward").collect();
    if world.is_elsewhere() {
        let name = |command: &Value, forward: &typed::Forward| format!("{}-{}", key_of(command).1, forward.place);
        return typed.iter().map(|(command, forward)| streams.iter().find(|stream| stream["metadata"]["name"] == *name(command, forward)).copied()).collect();
    }
    let mut pairs = Vec::new();
    for (at, (command, forward)) in typed.iter().enumerate() {
        let (begun, ended) = (moment(&command["status"]["startTime"]), moment(&command["status"]["endTime"]).filter(|_| !forward.background));
        for (place, stream) in streams.iter().enumerate() {
            let Some(opened) = moment(&stream["status"]["opened"]) else { continue };
            let in_time = begun.is_some_and(|begun| opened >= begun) && ended.is_none_or(|ended| opened <= ended);
            if in_time && forward.pod.as_ref().is_none_or(|pod| stream["spec"]["pod"] == **pod) {
                // What is sure comes first, and of several the oldest has the one that was opened first.
                pairs.push(((forward.strays(stream, world), forward.pod.is_none(), forward.background, at, opened), place));
            }
        }
    }
    pairs.sort();
    let (mut own, mut taken) = (vec![None; typed.len()], vec![false; streams.len()]);
    for ((.., at, _), place) in pairs {
        if own[at].is_none() && !taken[place] {
            (own[at], taken[place]) = (Some(streams[place]), true);
        }
    }
    own
}

/// Why nothing answers at a port of the learner's machine though they opened a way there: it ended with its Pod since the exercise began.
pub(super) fn lost_at(port: u16, world: &World, baseline: Point) -> Option<Cut> {
    let ways = all(world);
    let last = ways.iter().rfind(|way| way.is_at(port))?;
    (last.lost && ends_since(last, world, baseline)).then(|| last.cut())
}

/// The same of a way to such Pods as an author means, whatever its port.
pub(super) fn lost_to(wanted: &ObjectRef, world: &World, baseline: Point) -> Option<Cut> {
    let any = ObjectRef { kind: "Pod".to_owned(), name: None, newest: false, terminating: None, ..wanted.clone() };
    let changes = world.changes_since("Pod", baseline.revision);
    let was = |way: &&Way| changes.iter().any(|change| Some(&change.key) == way.pod.as_ref() && change.old.as_ref().is_some_and(|old| select::fits(world, &any, old)));
    let ways = all(world);
    let last = ways.iter().filter(|way| way.lost && ends_since(way, world, baseline)).rfind(was)?;
    let again = ways.iter().any(|way| way.may_lead() && last.typed.ways.iter().any(|(local, _)| way.is_at(*local)));
    (!again).then(|| last.cut())
}

/// One of which nobody heard that it is closed ended when its Pod went.
fn ends_since(way: &Way, world: &World, baseline: Point) -> bool {
    match way.closed {
        Some(closed) => closed.time >= baseline.time,
        None => world.changes_since("Pod", baseline.revision).iter().any(|change| Some(&change.key) == way.pod.as_ref()),
    }
}

/// The ports of the learner's machine at which ways were opened.
pub(super) fn ports(world: &World) -> Vec<u16> {
    all(world).iter().flat_map(|way| way.typed.ways.iter().map(|(local, _)| *local)).collect()
}

/// Whether a way is open at a port of the learner's machine, or may be.
pub(super) fn may_be_open(port: u16, world: &World) -> bool {
    all(world).iter().any(|way| way.may_lead() && way.is_at(port))
}

/// On a cluster that is not ours: a way is open, but to another Pod of the same owner, and only to that.
pub(super) fn to_another(pod: &Value, world: &World) -> Option<Cut> {
    let owner = |pod: &Value| select::controller(pod).map(|owner| owner["uid"].clone());
    let (name, own) = (key_of(pod).1, owner(pod)?);
    let ways = all(world);
    let beside = |way: &&Way| way.leads() && way.pod.as_ref().and_then(|key| world.objects("Pod").get(key)).and_then(|other| owner(other)) == Some(own.clone());
    if ways.iter().filter(beside).any(|way| way.pod_name() == name) {
        return None;
    }
    let other = ways.iter().rfind(beside)?;
    let (local, remote) = *other.typed.ways.first()?;
    let port = ports_of(other, world).first().copied().unwrap_or(remote);
    (port > 0).then(|| Cut {
        because: format!("your port-forward leads to Pod `{}` and to no other", other.pod_name()),
        remedy: format!("Lead it to this one, too: end it, run `kubectl port-forward pod/{name} {local}:{port}`, and ask again."),
    })
}

/// The ports of the Pod that were asked.
fn ports_of(way: &Way, world: &World) -> Vec<u16> {
    let to_pod = |stream: &&Value| way.pod.as_ref().is_some_and(|(_, name)| stream["spec"]["pod"] == **name);
    let ports = world.records("streams").filter(to_pod).filter_map(|stream| stream["status"]["ports"].as_array());
    ports.flatten().filter_map(|port| u16::try_from(port.as_u64()?).ok()).collect()
}

/// The ports of the learner's machine at which a LoadBalancer leads to a Pod.
pub(super) fn balanced_to(pod: &Value, world: &World) -> Vec<(u16, Arc<Value>)> {
    let chooses = |service: &&Arc<Value>| {
        let selector = service["spec"]["selector"].as_object().filter(|selector| !selector.is_empty());
        service["spec"]["type"] == "LoadBalancer" && selector.is_some_and(|selector| selector.iter().all(|(key, value)| pod["metadata"]["labels"][key] == *value))
    };
    let ports = |service: &Arc<Value>| -> Vec<(u16, Arc<Value>)> {
        let ports = service["spec"]["ports"].as_array().into_iter().flatten();
        ports.filter_map(|port| Some((u16::try_from(port["port"].as_u64()?).ok()?, Arc::clone(service)))).collect()
    };
    world.objects("Service").values().filter(chooses).flat_map(ports).collect()
}

/// A stream as the learner knows it: what was typed, not the name of a record.
pub(super) fn name(stream: &Value, world: &World) -> String {
    let spec = &stream["spec"];
    let text = |field: &str| spec[field].as_str().unwrap_or_default();
    let pod = text("pod");
    match text("verb") {
        "portforward" => {
            let is_it = |way: &&Way| way.pod_name() == pod && way.closed == moment(&stream["status"]["closed"]).map(|time| Point { time, ..point_of(stream) });
            let typed = all(world).iter().rfind(is_it).map(|way| way.typed.ways.iter().map(|(local, remote)| if *remote == 0 { local.to_string() } else { format!("{local}:{remote}") }).collect::<Vec<_>>().join(" "));
            let ports = || stream["status"]["ports"].as_array().into_iter().flatten().map(|port| format!("port {port}")).collect::<Vec<_>>().join(", ");
            let ports = typed.unwrap_or_else(ports);
            let to = if pod.is_empty() { String::new() } else { format!(" to pod/{pod}") };
            format!("port-forward{to}{}{ports}", if ports.is_empty() { "" } else { ", " })
        }
        "exec" => {
            let words: Vec<&str> = spec["command"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            format!("exec in pod/{pod}{}{}", if words.is_empty() { "" } else { ": " }, short(&words.join(" ")))
        }
        "attach" => format!("attach to pod/{pod}"),
        "log" => format!("logs of pod/{pod}"),
        _ if pod.is_empty() => format!("watch of {}", text("resource")),
        verb => format!("{verb} of pod/{pod}"),
    }
}
