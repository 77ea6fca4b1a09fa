//! Why a check is not green: from the trace, one reason, three sentences that spoil more and more, and objects worth a look.
//!
//! The first leaf that is not as it should be decides. From there the search goes outward: the nearest object by name and kind, its
//! owner ([`near`]), its containers' states, the scheduler's words ([`cluster`]), the ways the learner opened ([`forwards`]). [`words`] puts
//! conditions into sentences, [`rows`] into tables. What is older than the exercise is no near miss: it is named only where there is nothing
//! newer, and as what it is.

mod applied;
mod cluster;
mod entries;
mod forwards;
mod near;
mod pattern;
mod rows;
mod volumes;
mod words;

use std::sync::Arc;

use drydock_course::check::{Check, From, ObjectRef, Source};
use serde_json::Value;

use self::entries::article;
use self::pattern::readable;
use self::words::{About, literal, met, short, things, unmet};
use crate::clauses::cut;
use crate::eval::{Judgement, Leaf};
use crate::select::{self, Moment, shown};
use crate::typed::asks_at;
use crate::verdict::{Evidence, Outcome, Reason};
use crate::world::{Point, World, key_of};

/// An explanation.
#[derive(Debug, Clone, PartialEq)]
pub struct Why {
    /// From the closed list.
    pub reason: Reason,
    /// What is not true, where to look, what to change.
    pub sentences: Vec<String>,
    /// What was seen and wanted.
    pub evidence: Vec<Evidence>,
    /// Objects, as `pod/hello-kiamol`.
    pub look_at: Vec<String>,
}

/// Explain a judgement that is not a pass; evidence counts since `baseline`.
pub fn explain(check: &Check, judgement: &Judgement, world: &World, baseline: Point) -> Why {
    let evidence = judgement.leaves.iter().flat_map(|leaf| rows::of(leaf, world)).collect();
    let leaf = judgement.leaves.iter().find(|leaf| is_wrong(leaf)).or_else(|| judgement.leaves.first());
    let Some(leaf) = leaf else {
        return Why { reason: Reason::Other, sentences: vec![format!("Not yet: {}.", check.say)], evidence, look_at: Vec::new() };
    };
    let mut found = Asker { check, world, baseline, leaves: &judgement.leaves }.diagnose(leaf);
    if let Some(hint) = check.hints.last()
        && found.sentences.len() < 3
    {
        found.sentences.push(hint.clone());
    }
    if found.evidence.is_empty() {
        found.evidence = evidence;
    }
    found
}

fn is_wrong(leaf: &Leaf) -> bool {
    match leaf.outcome {
        Outcome::Pass => !leaf.wanted,
        Outcome::Fail => leaf.wanted,
        Outcome::Waiting | Outcome::Error => true,
    }
}

fn why(reason: Reason, sentences: Vec<String>, look_at: Vec<String>) -> Why {
    Why { reason, sentences, evidence: Vec::new(), look_at }
}

struct Asker<'a> {
    check: &'a Check,
    world: &'a World,
    baseline: Point,
    /// Everything the check looked at: what one leaf names is no near miss for another.
    leaves: &'a [Leaf],
}

impl Asker<'_> {
    fn diagnose(&self, leaf: &Leaf) -> Why {
        if let Some(name) = &leaf.unbound {
            return self.unbound(leaf, name);
        }
        if let (false, Outcome::Pass, Some(why)) = (leaf.wanted, leaf.outcome, unwanted(leaf)) {
            return why;
        }
        if let (Some(pod), Outcome::Fail, true, true, None) = (asks_from(&leaf.source), leaf.outcome, leaf.wanted, leaf.candidates.is_empty() && leaf.clauses.is_empty(), &leaf.note) {
            // Nobody is there who could ask.
            return self.absent(pod, "");
        }
        match &leaf.source {
            Source::Object(wanted) | Source::List(wanted) => self.object(leaf, wanted),
            Source::Gone(wanted) => gone(leaf, wanted, self.world.knows(&wanted.kind, self.baseline.revision)),
            Source::Saw(saw) => self.saw(leaf, saw.tool.as_deref()),
            Source::Stream(stream) => self.stream(leaf, &stream.verb, stream.pod.as_ref()),
            Source::Read(read) => {
                let what = read.name.as_ref().map_or_else(|| format!("`{}`", read.resource), |name| format!("`{name}` among the `{}`", read.resource));
                why(Reason::NotTried, vec![format!("You have not looked at {what} yet."), format!("`kubectl get {}` shows them.", read.resource)], Vec::new())
            }
            Source::History(history) => self.history(leaf, &history.of.kind, history.of.name.as_deref(), history.count.as_deref()),
            Source::Container(container) if container.gone => {
                let text = if leaf.candidates.is_empty() { "That container was never on its node." } else { "The container is still on its node." };
                why(Reason::NotTried, vec![text.to_owned(), "`docker container ls -a` on the node lists them.".to_owned()], Vec::new())
            }
            Source::Container(_) if leaf.candidates.is_empty() => {
                why(Reason::Absent, vec!["There is no such container on a node.".to_owned(), "`docker container ls -a` on the node lists them.".to_owned()], Vec::new())
            }
            Source::Container(_) => why(Reason::WrongValue, vec![format!("The container is there, but {}.", self.unmet(leaf, ""))], Vec::new()),
            Source::Log(log) => self.log(leaf, &log.pod, &log.matches),
            Source::Http(http) => self.request(leaf, &http.url),
            Source::Dns(dns) => self.lookup(leaf, &dns.name),
            Source::Tcp(tcp) => self.request(leaf, &format!("tcp://{}:{}", tcp.host, tcp.port)),
            Source::Exec(exec) => self.command(leaf, exec.inside.pod.as_ref(), &exec.command),
            Source::Env(env) => self.about_pod(leaf, &env.pod, ["which variables Pod `{}` has", "In the container of Pod `{}`", "Print them: `kubectl exec {} -- printenv`."]),
            Source::File(file) => self.file(leaf, file),
            Source::Traffic(traffic) => traffic_why(leaf, &traffic.url),
            Source::Answer(_) => answer(leaf),
        }
    }

    /// What a name stands for is not there yet, or has no such field yet.
    fn unbound(&self, leaf: &Leaf, name: &str) -> Why {
        let (root, below) = name.split_once('.').map_or((name, None), |(root, below)| (root, Some(below)));
        let waits = |what: String, look_at| why(Reason::NotYet, vec![format!("This waits for {what}.")], look_at);
        let Some(binding) = self.check.bindings.get(root) else { return waits("something that an earlier exercise finds out".to_owned(), Vec::new()) };
        let (Source::Object(wanted) | Source::List(wanted)) = &binding.source else {
            let asked = Leaf { source: binding.source.clone(), outcome: Outcome::Fail, unbound: None, note: None, ..leaf.clone() };
            return self.diagnose(&asked);
        };
        let what = meant(wanted);
        if what.contains("${") {
            return waits(format!("{}, and it is not there yet", article(&wanted.kind)), Vec::new());
        }
        let there = select::objects(self.world, wanted, Moment::Now);
        let Some(object) = there.first() else {
            let what = if wanted.name.is_some() { format!("{what}, and it is not there yet") } else { format!("{}, and there is none yet", article(&what)) };
            return waits(what, Vec::new());
        };
        let links = there.iter().take(3).map(|object| shown(&wanted.kind, object)).collect();
        let of_one = matches!(binding.source, Source::Object(_));
        let plain = |path: &&str| path.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '[' | ']' | '_'));
        match below.or(binding.value.as_deref()).filter(plain) {
            Some(path) if of_one => waits(format!("`{path}` of {}, which is not set yet", named(&wanted.kind, object)), links),
            _ => waits(format!("{} that fits, and there is none yet", article(&what)), links),
        }
    }

    fn unmet(&self, leaf: &Leaf, kind: &str) -> String {
        unmet(&leaf.clauses, About { kind, object: leaf.candidates.first().map(|object| &**object) })
    }

    /// Whether an object was made or changed by hand since the exercise began; its status does not count.
    fn is_new(&self, kind: &str, object: &Value) -> bool {
        let before = self.world.objects_at(kind, self.baseline.revision);
        let Some(before) = before.get(&key_of(object)) else { return true };
        let same = |path: &str| before.pointer(path) == object.pointer(path);
        !["/metadata/uid", "/metadata/labels", "/metadata/ownerReferences", "/metadata/deletionTimestamp", "/spec", "/data"].into_iter().all(same)
    }

    /// An object is missing, or is not as it should be.
    fn object(&self, leaf: &Leaf, wanted: &ObjectRef) -> Why {
        let look_at: Vec<String> = leaf.candidates.iter().take(3).map(|object| shown(&wanted.kind, object)).collect();
        if !leaf.wanted {
            let there = leaf.candidates.first().map_or_else(|| meant(wanted), |object| named(&wanted.kind, object));
            let about = About { kind: &wanted.kind, object: None };
            let text = met(&leaf.clauses, about).map_or_else(|| format!("{there} is still there, and it should not be."), |is| format!("{there} {is}."));
            return why(Reason::NotYet, vec![text], look_at);
        }
        if let (Some(problem), Outcome::Error) = (&leaf.note, leaf.outcome) {
            return why(Reason::Other, vec![format!("The condition cannot be judged: {}.", short(problem))], Vec::new());
        }
        if matches!(leaf.source, Source::List(_)) && !leaf.clauses.is_empty() {
            return self.list(leaf, wanted, look_at);
        }
        let Some(closest) = leaf.candidates.first() else { return self.absent(wanted, &of_type(leaf)) };
        // Anything that merely has the right kind, from before, is not what the learner is working at.
        let any = wanted.name.is_none() && wanted.labels.is_empty() && wanted.owned_by.is_none();
        if any && !leaf.candidates.iter().any(|object| self.is_new(&wanted.kind, object) && !near::is_other(wanted, object)) {
            return self.absent(wanted, &of_type(leaf));
        }
        if let Some(trouble) = cluster::trouble(closest, self.world) {
            return trouble;
        }
        let name = named(&wanted.kind, closest);
        if let Some(made) = applied::by_command(leaf, closest, &name) {
            return Why { look_at, ..made };
        }
        let (reason, second) = reason_of(leaf, &name);
        let text = format!("{name} is there, but {}.", self.unmet(leaf, &wanted.kind));
        why(reason, vec![text, second], look_at)
    }

    fn list(&self, leaf: &Leaf, wanted: &ObjectRef, look_at: Vec<String>) -> Why {
        let too_few = leaf.clauses.iter().any(|clause| {
            !clause.holds && clause.left.contains("size") && matches!((clause.got.as_i64(), clause.want.as_i64()), (Some(got), Some(want)) if got < want)
        });
        if too_few && let Some(trouble) = leaf.candidates.iter().find_map(|object| cluster::trouble(object, self.world)) {
            return trouble;
        }
        let going: Vec<&Arc<Value>> = leaf.candidates.iter().filter(|object| !object["metadata"]["deletionTimestamp"].is_null()).collect();
        if let (false, Some(object)) = (too_few, going.first()) {
            return why(Reason::NotYet, vec![format!("{} is still being deleted.", named(&wanted.kind, object))], look_at);
        }
        let mut text = self.unmet(leaf, &wanted.kind);
        if !wanted.labels.is_empty() || wanted.owned_by.is_some() {
            text = format!("Of {}, {text}", meant(&ObjectRef { name: None, ..wanted.clone() }).replacen(&wanted.kind, &things(&wanted.kind, 2), 1));
        }
        let reason = if leaf.candidates.is_empty() { Reason::NotYet } else { Reason::WrongValue };
        why(reason, vec![format!("{}.", capital(&text)), format!("List them: `kubectl get {}`.", plural(&wanted.kind))], look_at)
    }

    /// Nothing fits: is there something close? `such` is what else there is to say of it.
    fn absent(&self, wanted: &ObjectRef, such: &str) -> Why {
        let look = format!("See what there is: `kubectl get {}`.", plural(&wanted.kind));
        let kind = &wanted.kind;
        let owner = wanted.owned_by.as_ref().and_then(|owner| {
            let owner = ObjectRef { kind: owner.kind.clone(), name: owner.name.clone(), namespace: wanted.namespace.clone(), ..ObjectRef::default() };
            select::objects(self.world, &owner, Moment::Now).first().cloned()
        });
        if let Some(trouble) = owner.as_ref().and_then(|owner| cluster::trouble(owner, self.world)) {
            return trouble;
        }
        if let ("Endpoints", Some(name)) = (kind.as_str(), &wanted.name)
            && !self.world.objects("Service").contains_key(&(wanted.namespace.clone().unwrap_or_else(|| self.world.home().to_owned()), name.clone()))
        {
            let text = format!("There is no Service `{name}` yet, so nobody keeps a list of its Pods.");
            return why(Reason::Absent, vec![text, "See which there are: `kubectl get services`.".to_owned()], Vec::new());
        }
        let near = self.elsewhere(wanted).or_else(|| self.misnamed(wanted)).or_else(|| self.unlabeled(wanted)).or_else(|| self.unowned(wanted));
        match near {
            Some((object, near)) if self.is_new(kind, &object) => near,
            // What was there before is told as what it is, and only when it has nearly the name.
            Some((object, Why { reason: Reason::Misnamed, .. })) if wanted.name.as_deref().is_some_and(|name| near::distance(name, object["metadata"]["name"].as_str().unwrap_or_default()) == 1) => {
                let text = format!("There is no {} yet. {} has a similar name; it is from before this exercise.", meant(wanted), named(kind, &object));
                why(Reason::Absent, vec![text, look], Vec::new())
            }
            _ => {
                let others = self.world.objects(kind).values().any(|object| !near::is_other(wanted, object));
                let any = others && such.is_empty() && wanted.name.is_none() && wanted.labels.is_empty();
                let what = meant(wanted).replacen(kind, &format!("{kind}{such}"), 1);
                let text = if any { format!("There is no new {what} yet; those there are were made before.") } else { format!("There is no {what} yet.") };
                why(Reason::Absent, vec![text, look], Vec::new())
            }
        }
    }

    fn stream(&self, leaf: &Leaf, verb: &str, pod: Option<&ObjectRef>) -> Why {
        let to = pod.map_or_else(|| "a Pod".to_owned(), |pod| if pod.name.is_some() { meant(pod) } else { format!("a {}", meant(pod)) });
        let look_at = pod.map(|pod| cluster::links(pod, self.world)).unwrap_or_default();
        if leaf.candidates.is_empty() {
            let text = match verb {
                "exec" => format!("You have not run a command in {to} yet."),
                "attach" => format!("You have not attached to {to} yet."),
                "log" => format!("You have not read the log of {to} yet."),
                "portforward" => format!("You have not forwarded a port to {to} yet."),
                _ => "You have not watched anything yet.".to_owned(),
            };
            return why(Reason::NotTried, vec![text], look_at);
        }
        let what = match verb {
            "exec" => "You ran a command",
            "attach" => "You attached",
            "log" => "You read the log",
            "portforward" => "You forwarded a port",
            _ => "You watched",
        };
        let port = leaf.clauses.iter().find(|clause| !clause.holds && clause.text.contains("ports.exists"));
        if let Some(port) = port {
            let wanted: String = port.text.chars().filter(char::is_ascii_digit).collect();
            let got: Vec<String> = leaf.candidates[0]["status"]["ports"].as_array().into_iter().flatten().map(Value::to_string).collect();
            if !got.is_empty() {
                let text = format!("You forwarded a port to {to}, but to port {} of it; port {wanted} is wanted.", got.join(", "));
                let change = format!("The second number is the port in the Pod: `8080:{wanted}`.");
                return why(Reason::PortMismatch, vec![text, "Look at the two numbers of your `port-forward`.".into(), change], look_at);
            }
            return self.cut_short(why(Reason::NotYet, vec![format!("You forwarded a port to {to}, but nothing has gone through it yet.")], look_at), pod);
        }
        let found = why(Reason::NotYet, vec![format!("{what} ({to}), but {}.", self.unmet(leaf, ""))], look_at);
        if verb == "portforward" { self.cut_short(found, pod) } else { found }
    }

    fn history(&self, leaf: &Leaf, kind: &str, name: Option<&str>, count: Option<&str>) -> Why {
        let subject = name.map_or_else(|| format!("No {kind} has"), |name| format!("{kind} `{name}` has not"));
        if !leaf.wanted || count.is_some_and(|count| count.contains("== 0") || count.contains('<')) {
            if let ("Endpoints" | "EndpointSlice", Some(object)) = (kind, leaf.candidates.last()) {
                let name = object["metadata"]["labels"]["kubernetes.io/service-name"].as_str().or(object["metadata"]["name"].as_str()).unwrap_or_default();
                let text = format!("There was a moment when no Pod was behind Service `{name}`.");
                let order = "Let the new Pods be ready before the old ones go: go back, and take the steps in another order.";
                return why(Reason::NoEndpoints, vec![text, "Watch its endpoints while you change things: `kubectl get endpoints -w`.".into(), order.into()], vec![shown("Service", object)]);
            }
            let what = leaf.candidates.last().map_or_else(|| format!("A {kind}"), |object| named(kind, object));
            return why(Reason::WrongValue, vec![format!("{what} has changed in a way it should not have since this exercise began.")], Vec::new());
        }
        let seen = leaf.candidates.len();
        if seen > 0 {
            let text = format!("This has happened {} since the exercise began; it should happen {}.", once(seen), often(count.unwrap_or(">= 1")));
            return why(Reason::NotYet, vec![text], Vec::new());
        }
        // Most of the conditions of a history compare what was with what is: only those that are about one of them read well.
        let deleted = leaf.clauses.is_empty() && matches!(&leaf.source, Source::History(history) if history.filter.contains("DELETED"));
        let watch = format!("Watch them while you try: `kubectl get {} -w`.", plural(kind));
        if deleted {
            return why(Reason::NotTried, vec![format!("{subject} been deleted since this exercise began."), watch], Vec::new());
        }
        // What it is about stands in the check itself; the first hint is a question that leads on.
        let hint = self.check.hints.first().cloned().unwrap_or(watch);
        why(Reason::NotTried, vec!["This has not happened since the exercise began.".to_owned(), hint], Vec::new())
    }

    fn log(&self, leaf: &Leaf, pod: &ObjectRef, pattern: &str) -> Why {
        let look_at = cluster::links(pod, self.world);
        let Some(found) = leaf.candidates.first() else { return self.absent(pod, "") };
        let name = found["metadata"]["name"].as_str().unwrap_or_default();
        if leaf.outcome == Outcome::Waiting {
            return why(Reason::NotYet, vec![format!("It is not known yet what is in the log of Pod `{name}`.")], look_at);
        }
        if let Some(trouble) = cluster::pod(found, self.world) {
            return trouble;
        }
        if leaf.note.is_some() {
            return why(Reason::NotYet, vec![format!("The log of Pod `{name}` cannot be read yet."), format!("Read it: `kubectl logs {name}`.")], look_at);
        }
        let text = format!("The log of Pod `{name}` has no line like `{}` yet.", readable(pattern));
        match self.unreached(found, pod) {
            Some(cut) => cut.told(why(Reason::NotYet, vec![text], look_at)),
            None => why(Reason::NotYet, vec![text, format!("Read it: `kubectl logs {name}`.")], look_at),
        }
    }

    fn about_pod(&self, leaf: &Leaf, pod: &ObjectRef, [unknown, place, look]: [&str; 3]) -> Why {
        let Some(found) = leaf.candidates.first() else { return self.absent(pod, "") };
        let name = found["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let look_at = vec![shown("Pod", found)];
        if leaf.outcome == Outcome::Waiting {
            return why(Reason::NotYet, vec![format!("It is not known yet {}.", unknown.replace("{}", &name))], look_at);
        }
        if let Some(trouble) = cluster::pod(found, self.world) {
            return trouble;
        }
        let text = match &leaf.note {
            Some(note) => format!("Pod `{name}` cannot be asked: {}.", short(note.trim_end_matches('.'))),
            None => format!("{}, {}.", place.replace("{}", &name), unmet(&leaf.clauses, About { kind: "", object: leaf.candidates.get(1).map(|result| &**result) })),
        };
        why(Reason::WrongValue, vec![text, look.replace("{}", &name)], look_at)
    }

    fn command(&self, leaf: &Leaf, pod: Option<&ObjectRef>, command: &[String]) -> Why {
        let line = short(&command.join(" "));
        match pod {
            Some(pod) => {
                let (unknown, place) = (format!("what `{line}` does in Pod `{{}}`"), format!("`{line}` was tried in Pod `{{}}`, but"));
                self.about_pod(leaf, pod, [&unknown, &place, &format!("Try it: `kubectl exec {{}} -- {line}`.")]).map_comma()
            }
            None if leaf.outcome == Outcome::Waiting => why(Reason::NotYet, vec![format!("It is not known yet what `{line}` does.")], Vec::new()),
            None => {
                let text = leaf.note.as_ref().map_or_else(|| self.unmet(leaf, ""), |note| short(note.trim_end_matches('.')));
                why(Reason::WrongValue, vec![format!("`{line}` was tried, but {text}.")], Vec::new())
            }
        }
    }

    fn file(&self, leaf: &Leaf, file: &drydock_course::check::File) -> Why {
        let path = &file.path;
        if let (Some(pod), true) = (&file.inside.pod, leaf.candidates.is_empty()) {
            return self.absent(pod, "");
        }
        if leaf.outcome == Outcome::Waiting {
            return why(Reason::NotYet, vec![format!("It is not known yet what is in `{path}`.")], Vec::new());
        }
        let pod = leaf.candidates.first().filter(|object| object["kind"] == "Pod");
        if let Some(trouble) = pod.and_then(|pod| cluster::pod(pod, self.world)) {
            return trouble;
        }
        let place = match (pod, &file.inside.node) {
            (Some(pod), _) => format!(" in Pod `{}`", pod["metadata"]["name"].as_str().unwrap_or_default()),
            (None, Some(node)) => format!(" on node `{node}`"),
            (None, None) => String::new(),
        };
        if let Some(note) = &leaf.note {
            return why(Reason::NotYet, vec![format!("`{path}`{place} cannot be looked at: {}.", short(note.trim_end_matches('.')))], Vec::new());
        }
        let result = leaf.candidates.iter().find(|object| object.get("entries").is_some());
        let there = result.is_some_and(|result| !result["kind"].is_null());
        let (reason, text) = match (there, file.gone, &file.matches, &file.same_as) {
            (true, true, ..) => (Reason::NotYet, format!("`{path}` is still there{place}.")),
            (false, ..) => (Reason::Absent, format!("There is no `{path}`{place} yet.")),
            (_, _, _, Some(same)) if leaf.candidates.len() > 2 => (Reason::WrongValue, format!("`{path}` and `{}` in the Pod are not the same.", same.path)),
            _ if !leaf.clauses.is_empty() => {
                (Reason::WrongValue, format!("`{path}` is there{place}, but {}.", unmet(&leaf.clauses, About { kind: "", object: result.map(|result| &**result) })))
            }
            (_, _, Some(pattern), _) => (Reason::WrongValue, format!("`{path}` is there{place}, but nothing in it looks like `{}`.", readable(pattern))),
            _ => (Reason::WrongValue, format!("`{path}` is there{place}, but is not as it should be.")),
        };
        why(reason, vec![text], Vec::new())
    }

    fn lookup(&self, leaf: &Leaf, name: &str) -> Why {
        if leaf.outcome == Outcome::Waiting {
            return why(Reason::NotYet, vec![format!("It is not known yet where the name `{name}` leads.")], Vec::new());
        }
        let look = format!("Ask yourself, in a Pod: `nslookup {name}`.");
        let missing = leaf.clauses.iter().any(|clause| !clause.holds && clause.text == "found");
        let nothing = leaf.candidates.last().is_some_and(|result| result["found"] == Value::Bool(false));
        if missing || nothing {
            let text = format!("No Service and no host is called `{name}`: the cluster's DNS does not know it.");
            return why(Reason::DnsMissing, vec![text, look, "A name in the cluster comes with a Service; its name must be the same letter by letter.".into()], Vec::new());
        }
        let text = leaf.note.as_ref().map_or_else(|| format!("`{name}` is known, but {}.", self.unmet(leaf, "")), |note| format!("`{name}` could not be looked up: {}.", short(note.trim_end_matches('.'))));
        why(Reason::WrongValue, vec![text, look], Vec::new())
    }

    fn request(&self, leaf: &Leaf, url: &str) -> Why {
        let shown_url = url.trim_start_matches("tcp://");
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or_default();
        let (host, port) = authority.rsplit_once(':').map_or((authority, Some(80)), |(host, port)| (host, port.parse().ok()));
        if leaf.outcome == Outcome::Waiting {
            let nobody = cluster::is_nobody(host, self.world);
            let text = if nobody { format!("Nothing answers to the name `{host}` yet.") } else { format!("It is not known yet what answers at `{shown_url}`.") };
            return why(Reason::NotYet, vec![text], Vec::new());
        }
        let closed = leaf.clauses.iter().any(|clause| !clause.holds && clause.text == "open");
        let note = leaf.note.as_deref();
        if note.is_none() && !closed {
            let way = leaf.candidates.last().filter(|result| result["status"].as_u64().is_some_and(|status| status >= 500)).and_then(|_| cluster::on_the_way(host, port, self.world));
            let text = format!("`{shown_url}` answers, but {}.", self.unmet(leaf, ""));
            let inside = asks_from(&leaf.source).is_some() || !matches!(host, "localhost" | "127.0.0.1") && crate::elsewhere::in_cluster(url);
            let place = if inside { ", in a Pod" } else { "" };
            return way.unwrap_or_else(|| why(Reason::WrongValue, vec![text, format!("Ask yourself{place}: `curl -i {shown_url}`.")], Vec::new()));
        }
        if let Some(found) = cluster::on_the_way(host, port, self.world) {
            return found;
        }
        let note = note.unwrap_or_default().to_lowercase();
        if note.contains("resolve") || note.contains("not known") {
            let text = format!("Nobody is called `{host}`: the name is not known.");
            return why(Reason::DnsMissing, vec![text, format!("Ask yourself, in a Pod: `nslookup {host}`."), "A name in the cluster comes with a Service of that name.".into()], Vec::new());
        }
        let local = matches!(host, "localhost" | "127.0.0.1");
        if let Some((cut, look_at)) = port.filter(|_| local).and_then(|port| self.cut_off(port)) {
            return cut.told(why(Reason::PortMismatch, vec![format!("Nothing answers at `{shown_url}`.")], look_at));
        }
        let forwards = self.world.records("streams").any(|stream| stream["spec"]["verb"] == "portforward" && stream["status"]["closed"].is_null());
        let (second, third) = match (local, forwards) {
            (true, true) => ("A port is forwarded at the moment; compare its number with the one in the address.", "Ask at the first of the two numbers of the `port-forward`."),
            (true, false) => ("Which program, or which Service, should listen on that port of your machine?", "A `port-forward` ends with its command; a Service of type LoadBalancer listens on its `port`."),
            (false, _) => ("Look whether the Service has endpoints: `kubectl get endpoints`.", "A Service finds Pods by their labels, and answers only on the ports it lists."),
        };
        why(Reason::PortMismatch, vec![format!("Nothing answers at `{shown_url}`."), second.to_owned(), third.to_owned()], Vec::new())
    }
}

impl Asker<'_> {
    fn saw(&self, leaf: &Leaf, tool: Option<&str>) -> Why {
        let Some(command) = leaf.candidates.first() else {
            let text = tool.map_or_else(|| "No command of yours has done this yet.".to_owned(), |tool| format!("No `{tool}` command of yours has done this yet."));
            return why(Reason::NotTried, vec![text], Vec::new());
        };
        let typed = short(command["spec"]["line"].as_str().unwrap_or_default());
        if leaf.outcome == Outcome::Waiting {
            return why(Reason::NotYet, vec![format!("`{typed}` is still running.")], Vec::new());
        }
        if !leaf.wanted {
            return why(Reason::WrongValue, vec![format!("You ran `{typed}`; this should be done without it.")], Vec::new());
        }
        let Source::Saw(saw) = &leaf.source else { return why(Reason::Other, Vec::new(), Vec::new()) };
        let exit = command["status"]["exitCode"].as_i64();
        let output = command["status"]["output"].as_str().unwrap_or_default();
        if output.contains("(Forbidden)") {
            let text = format!("You ran `{typed}`, and the API server did not allow it.");
            return why(Reason::Forbidden, vec![text, "Read what it printed: it says who may not do what.".into()], Vec::new());
        }
        let text = match (saw.exit, exit) {
            (Some(0), Some(code)) if code != 0 => format!("You ran `{typed}`, but it failed (exit code {code})."),
            (Some(wanted), Some(code)) if code != i64::from(wanted) => format!("You ran `{typed}`; it ended with exit code {code}, and {wanted} is wanted."),
            _ => format!("You ran `{typed}`, but it did not print what is looked for."),
        };
        // Whoever asked at a port of their own machine and got no answer may have had no way from there.
        let unanswered = exit.is_some_and(|code| code != 0) || output.trim().is_empty();
        let line = command["spec"]["line"].as_str().unwrap_or_default();
        let offered = self.world.objects("Service").values().flat_map(|service| service["spec"]["ports"].as_array().into_iter().flatten()).filter_map(|port| u16::try_from(port["port"].as_u64()?).ok());
        let asked = forwards::ports(self.world).into_iter().chain(offered).filter(|port| unanswered && asks_at(line, *port));
        match asked.filter_map(|port| self.cut_off(port)).next() {
            Some((cut, look_at)) => cut.told(why(Reason::WrongValue, vec![text], look_at)),
            None => why(Reason::WrongValue, vec![text, "Read what it printed.".to_owned()], Vec::new()),
        }
    }
}

impl Why {
    /// A place that ends in "but" is not followed by a comma.
    fn map_comma(mut self) -> Why {
        for sentence in &mut self.sentences {
            *sentence = sentence.replacen("but,", "but", 1);
        }
        self
    }
}

/// The Pod from which a probe asks.
fn asks_from(source: &Source) -> Option<&ObjectRef> {
    let from = match source {
        Source::Http(http) => &http.from,
        Source::Dns(dns) => &dns.from,
        Source::Tcp(tcp) => &tcp.from,
        Source::Traffic(traffic) => &traffic.from,
        _ => return None,
    };
    match from {
        From::Pod(pod) => Some(pod),
        From::Workstation | From::Node(_) => None,
    }
}

/// What came about though it should not.
fn unwanted(leaf: &Leaf) -> Option<Why> {
    let text = match &leaf.source {
        Source::Log(log) => format!("The log of {} has a line like `{}`, and it should have none.", named("Pod", leaf.candidates.first()?), readable(&log.matches)),
        Source::Http(http) => format!("`{}` answers, and it should not answer that way.", http.url),
        Source::Tcp(tcp) => format!("Something answers at `{}:{}`, and nothing should.", tcp.host, tcp.port),
        Source::Dns(dns) => format!("The name `{}` is known, and it should not lead there.", dns.name),
        _ => return None,
    };
    Some(why(Reason::WrongValue, vec![text], Vec::new()))
}

/// ` of type X`, where a condition asks for one and nothing that is there has it.
fn of_type(leaf: &Leaf) -> String {
    let wanted = leaf.filter.iter().flat_map(|filter| cut(filter, "&&")).find_map(|part| {
        let (left, right) = part.split_once("==")?;
        let path = [("spec.type", "/spec/type"), ("type", "/type")].into_iter().find(|(path, _)| left.trim() == *path)?.1;
        Some((path, literal(right)?))
    });
    let free = |(path, name): &(&str, &str)| !leaf.candidates.iter().any(|object| object.pointer(path).is_some_and(|is| is == name));
    wanted.filter(free).map_or_else(String::new, |(_, name)| format!(" of type {name}"))
}

fn traffic_why(leaf: &Leaf, url: &str) -> Why {
    let Some(result) = leaf.candidates.first() else {
        return why(Reason::NotYet, vec![format!("It is not known yet what answers at `{url}`.")], Vec::new());
    };
    let (answers, failures) = (result["answers"].as_u64().unwrap_or(0), result["failures"].as_u64().unwrap_or(0));
    if leaf.outcome == Outcome::Waiting {
        return why(Reason::NotYet, vec![format!("`{url}` is being asked again and again; {answers} answers so far.")], Vec::new());
    }
    let last = result["last"].as_str().map(|last| format!(" (last: {})", short(last))).unwrap_or_default();
    let text = format!("{failures} of the last {} requests to `{url}` had no answer{last}.", answers + failures);
    why(Reason::NoEndpoints, vec![text, "Watch the endpoints while you change things: `kubectl get endpoints -w`.".into(), "Let the new Pods be ready before the old ones go.".into()], Vec::new())
}

fn answer(leaf: &Leaf) -> Why {
    match &leaf.note {
        Some(given) => why(Reason::WrongValue, vec![format!("The answer is not `{}`.", short(given))], Vec::new()),
        None => why(Reason::NotTried, vec!["The question above is waiting for your answer.".to_owned()], Vec::new()),
    }
}

/// It has not gone; `known` tells whether that would have been seen since the exercise began.
fn gone(leaf: &Leaf, wanted: &ObjectRef, known: bool) -> Why {
    match leaf.candidates.first() {
        Some(object) if !object["metadata"]["deletionTimestamp"].is_null() => {
            why(Reason::NotYet, vec![format!("{} is being deleted.", named(&wanted.kind, object))], vec![shown(&wanted.kind, object)])
        }
        Some(object) => why(Reason::NotTried, vec![format!("{} is still there.", named(&wanted.kind, object))], vec![shown(&wanted.kind, object)]),
        None if !known => {
            let text = format!("There is no {}, and Drydock did not see it go: it sees your cluster only while it runs.", meant(wanted));
            why(Reason::NotTried, vec![text, "If you have deleted it already, make it and delete it once more.".to_owned()], Vec::new())
        }
        None => why(Reason::NotTried, vec![format!("There was no {} to delete since this exercise began.", meant(wanted))], Vec::new()),
    }
}

/// The reason and the second sentence for an object that is there but not as it should be.
fn reason_of(leaf: &Leaf, name: &str) -> (Reason, String) {
    let Some(clause) = leaf.clauses.iter().find(|clause| !clause.holds) else {
        return (Reason::WrongValue, format!("Look at all of {name}."));
    };
    let text = clause.text.as_str();
    let path = |text: &str| {
        let path = text.trim_start_matches(['!', '(']).trim_start_matches("has(").trim_start_matches("object.");
        let path = path.split(['(', ')', ' ', '[']).next().unwrap_or_default();
        [".exists", ".all", ".contains", ".startsWith", ".matches", ".endsWith", ".size"].iter().fold(path, |path, call| path.trim_end_matches(call)).to_owned()
    };
    let path = path(text);
    if text.contains("ownerReferences") {
        return (Reason::NotOwned, format!("Look at `metadata.ownerReferences` of {name}."));
    }
    if path.starts_with("metadata.uid") && !clause.operator.is_empty() {
        return (Reason::StalePod, format!("Compare the ages and the `metadata.uid`s: is {name} the one you mean?"));
    }
    if path.starts_with("spec.nodeName") {
        return (Reason::WrongNode, format!("Look where {name} runs: `kubectl get pods -o wide`."));
    }
    if path.starts_with("status") {
        return (Reason::NotYet, format!("Watch the status of {name}."));
    }
    (Reason::WrongValue, format!("Look at `{path}` of {name}."))
}

/// `Pod web`, with the name as code.
fn named(kind: &str, object: &Value) -> String {
    format!("{kind} `{}`", object["metadata"]["name"].as_str().unwrap_or_default())
}

/// The objects an author means, in words.
fn meant(wanted: &ObjectRef) -> String {
    let kind = if wanted.kind.is_empty() { "Pod" } else { &wanted.kind };
    let mut text = match &wanted.name {
        Some(name) => format!("{kind} `{name}`"),
        None => kind.to_owned(),
    };
    if !wanted.labels.is_empty() {
        let labels: Vec<String> = wanted.labels.iter().map(|(key, value)| if value == "*" { format!("`{key}`") } else { format!("`{key}={value}`") }).collect();
        text.push_str(&format!(" with the label {}", labels.join(" and ")));
    }
    if let Some(owner) = &wanted.owned_by {
        match &owner.name {
            Some(name) => text.push_str(&format!(" that belongs to {} `{name}`", owner.kind)),
            None => text.push_str(&format!(" that belongs to a {}", owner.kind)),
        }
    }
    if let Some(namespace) = wanted.namespace.as_ref().filter(|namespace| *namespace != "*" && *namespace != "default") {
        text.push_str(&format!(" in namespace `{namespace}`"));
    }
    text
}

fn once(number: usize) -> String {
    match number {
        1 => "once".to_owned(),
        n => format!("{n} times"),
    }
}

/// `>= 2` in words.
fn often(count: &str) -> String {
    let number: String = count.chars().filter(char::is_ascii_digit).collect();
    match count.trim().trim_end_matches(|c: char| c.is_ascii_digit() || c == ' ') {
        ">=" => format!("at least {number} times"),
        ">" => format!("more than {number} times"),
        _ => format!("{number} times"),
    }
}

fn plural(kind: &str) -> String {
    let plural = things(if kind.is_empty() { "Pod" } else { kind }, 2).to_lowercase();
    match plural.as_str() {
        "persistentvolumeclaims" => "pvc".to_owned(),
        "persistentvolumes" => "pv".to_owned(),
        _ => plural,
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
