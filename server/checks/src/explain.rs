//! Why a check is not green: from the trace, one reason, three sentences that spoil more and more, and objects worth a look.
//!
//! The first leaf that is not as it should be decides. From there the search goes outward: the nearest object by name and kind, its
//! owner, its containers' states, the scheduler's words.

use std::sync::Arc;

use drydock_cel::ClauseTrace;
use drydock_course::check::{Check, ObjectRef, Source};
use serde_json::{Value, json};

use crate::eval::{Judgement, Leaf};
use crate::select::{self, Moment, shown};
use crate::verdict::{Evidence, Outcome, Reason};
use crate::world::World;

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

/// Explain a judgement that is not a pass.
pub fn explain(check: &Check, judgement: &Judgement, world: &World) -> Why {
    let evidence = judgement.leaves.iter().flat_map(evidence).collect();
    let leaf = judgement.leaves.iter().find(|leaf| is_wrong(leaf)).or_else(|| judgement.leaves.first());
    let Some(leaf) = leaf else {
        return Why { reason: Reason::Other, sentences: vec![format!("Not yet: {}.", check.say)], evidence, look_at: Vec::new() };
    };
    let mut found = diagnose(leaf, world);
    if let Some(hint) = check.hints.last()
        && found.sentences.len() < 3
    {
        found.sentences.push(hint.clone());
    }
    Why { evidence, ..found }
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

fn diagnose(leaf: &Leaf, world: &World) -> Why {
    match &leaf.source {
        Source::Object(wanted) | Source::List(wanted) => object(leaf, wanted, world),
        Source::Gone(wanted) => gone(leaf, wanted),
        Source::Saw(saw) => {
            let tool = saw.tool.as_deref().unwrap_or("a command");
            let text = leaf.note.clone().map_or_else(|| format!("No command like that has been run with {tool} yet."), |note| format!("Close: {note}."));
            let reason = if leaf.candidates.is_empty() { Reason::NotTried } else { Reason::WrongValue };
            why(reason, vec![text], Vec::new())
        }
        Source::Stream(stream) => {
            let what = match stream.verb.as_str() {
                "exec" => "Nothing was executed in that Pod yet",
                "attach" => "Nobody attached to that Pod yet",
                "log" => "Nobody read that Pod's log yet",
                "portforward" => "No port was forwarded to that Pod yet",
                _ => "No such stream was opened yet",
            };
            let reason = if leaf.candidates.is_empty() { Reason::NotTried } else { Reason::NotYet };
            let text = if leaf.candidates.is_empty() { format!("{what}.") } else { format!("There was one, but {}.", clauses(&leaf.clauses)) };
            let look_at = stream.pod.as_ref().map(|pod| pods(pod, world)).unwrap_or_default();
            why(reason, vec![text], look_at)
        }
        Source::History(history) => {
            let name = history.of.name.as_deref().unwrap_or("any");
            let text = if leaf.clauses.is_empty() {
                format!("No {} ({name}) has changed like that since the exercise began.", history.of.kind)
            } else {
                format!("A {} changed, but {}.", history.of.kind, clauses(&leaf.clauses))
            };
            why(Reason::NotTried, vec![text], Vec::new())
        }
        Source::Container(container) if container.gone => {
            let text = leaf.note.clone().unwrap_or_else(|| "The container is still on its node".to_owned());
            why(Reason::NotTried, vec![format!("{text}.")], Vec::new())
        }
        Source::Container(_) => why(Reason::Absent, vec!["No container like that is on a node.".to_owned()], Vec::new()),
        Source::Http(http) => http_why(leaf, &http.url, world),
        Source::Log(log) => {
            let text = leaf.note.clone().unwrap_or_else(|| "the log was not read yet".to_owned());
            why(waiting_or(leaf, Reason::WrongValue), vec![format!("{}.", capital(&text))], pods(&log.pod, world))
        }
        Source::Exec(exec) => {
            let text = leaf.note.clone().unwrap_or_else(|| clauses(&leaf.clauses));
            why(waiting_or(leaf, Reason::WrongValue), vec![format!("`{}` in the Pod: {text}.", exec.command.join(" "))], pods(&exec.pod, world))
        }
        Source::File(_) => {
            let text = leaf.note.clone().unwrap_or_else(|| "the file was not read yet".to_owned());
            why(waiting_or(leaf, Reason::Absent), vec![format!("{}.", capital(&text))], Vec::new())
        }
        Source::Answer(_) => {
            let text = leaf.note.clone().unwrap_or_else(|| "waits for your answer".to_owned());
            let reason = if leaf.outcome == Outcome::Waiting { Reason::NotTried } else { Reason::WrongValue };
            why(reason, vec![format!("{}.", capital(&text))], Vec::new())
        }
    }
}

fn waiting_or(leaf: &Leaf, reason: Reason) -> Reason {
    if leaf.outcome == Outcome::Waiting { Reason::NotYet } else { reason }
}

/// An object is missing, or is not as it should be.
fn object(leaf: &Leaf, wanted: &ObjectRef, world: &World) -> Why {
    if !leaf.wanted {
        let look_at = leaf.candidates.iter().map(|object| shown(&wanted.kind, object)).collect();
        return why(Reason::NotYet, vec![format!("{} is still there.", meant(wanted))], look_at);
    }
    if let Some(problem) = leaf.note.as_ref().filter(|_| matches!(leaf.outcome, Outcome::Waiting | Outcome::Error)) {
        return why(Reason::NotYet, vec![format!("{}.", capital(problem))], Vec::new());
    }
    let Some(closest) = leaf.candidates.first() else { return absent(wanted, world) };
    let name = shown(&wanted.kind, closest);
    if let Some(trouble) = trouble(closest, world) {
        return trouble;
    }
    let (reason, second) = match leaf.clauses.iter().find(|clause| !clause.holds) {
        Some(clause) if clause.text.contains("ownerReferences") => (Reason::NotOwned, format!("Look at metadata.ownerReferences of {name}.")),
        Some(clause) if clause.left.starts_with("status") => (Reason::NotYet, format!("Watch the status of {name}.")),
        Some(clause) if matches!(leaf.source, Source::List(_)) && clause.left.contains("size") => (Reason::WrongValue, format!("List them: kubectl get {}.", plural(&wanted.kind))),
        Some(clause) => (Reason::WrongValue, format!("Look at {} of {name}.", clause.left)),
        None => (Reason::WrongValue, format!("Look at {name}.")),
    };
    let look_at = leaf.candidates.iter().take(3).map(|object| shown(&wanted.kind, object)).collect();
    why(reason, vec![format!("{} is there, but {}.", meant(wanted), clauses(&leaf.clauses)), second], look_at)
}

/// Nothing fits: is there something close?
fn absent(wanted: &ObjectRef, world: &World) -> Why {
    let kind = wanted.kind.to_lowercase();
    let look = format!("Look at what there is: kubectl get {} -A.", plural(&wanted.kind));
    let everywhere = ObjectRef { namespace: Some("*".to_owned()), ..wanted.clone() };
    if let Some(other) = select::objects(world, &everywhere, Moment::Now).first() {
        let namespace = other["metadata"]["namespace"].as_str().unwrap_or_default();
        let text = format!("{} is in namespace {namespace}, not in {}.", shown(&kind, other), wanted.namespace.as_deref().unwrap_or("default"));
        return why(Reason::WrongNamespace, vec![text, look], vec![shown(&kind, other)]);
    }
    let all: Vec<Arc<Value>> = world.objects(&wanted.kind).values().cloned().collect();
    if let Some(name) = &wanted.name {
        let near = all.iter().filter_map(|object| {
            let other = object["metadata"]["name"].as_str()?;
            let distance = distance(name, other);
            (distance <= 1 + name.len() / 4).then_some((distance, object))
        });
        if let Some((_, object)) = near.min_by_key(|(distance, _)| *distance) {
            let text = format!("There is {}, but {} is wanted.", shown(&kind, object), meant(wanted));
            return why(Reason::Misnamed, vec![text, look], vec![shown(&kind, object)]);
        }
    }
    if !wanted.labels.is_empty() && !all.is_empty() {
        let labels: Vec<String> = wanted.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let unlabeled = ObjectRef { labels: Default::default(), ..wanted.clone() };
        if let Some(object) = select::objects(world, &unlabeled, Moment::Now).first() {
            let got: Vec<String> = object["metadata"]["labels"].as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
            let text = format!("No {kind} carries {}; {} carries {}.", labels.join(","), shown(&kind, object), got.join(","));
            return why(Reason::SelectorMismatch, vec![text, format!("Compare the labels: kubectl get {} --show-labels.", plural(&wanted.kind))], vec![shown(&kind, object)]);
        }
    }
    if let Some(owner) = &wanted.owned_by {
        let unowned = ObjectRef { owned_by: None, ..wanted.clone() };
        if let Some(object) = select::objects(world, &unowned, Moment::Now).first() {
            let orphan = select::controller(object).is_none();
            let text = format!("{} is not controlled by a {} {}.", shown(&kind, object), owner.kind, owner.name.as_deref().unwrap_or_default());
            let reason = if orphan { Reason::Orphaned } else { Reason::NotOwned };
            return why(reason, vec![text.replace(" .", "."), "Look at metadata.ownerReferences.".to_owned()], vec![shown(&kind, object)]);
        }
    }
    why(Reason::Absent, vec![format!("There is no {}.", meant(wanted)), look], Vec::new())
}

fn gone(leaf: &Leaf, wanted: &ObjectRef) -> Why {
    match leaf.candidates.first() {
        Some(object) if !object["metadata"]["deletionTimestamp"].is_null() => {
            why(Reason::NotYet, vec![format!("{} is being deleted.", shown(&wanted.kind, object))], vec![shown(&wanted.kind, object)])
        }
        Some(object) => why(Reason::NotTried, vec![format!("{} is still there.", shown(&wanted.kind, object))], vec![shown(&wanted.kind, object)]),
        None => why(Reason::NotTried, vec![format!("{} was never there.", capital(&meant(wanted)))], Vec::new()),
    }
}

/// What a Pod, or the Pods below an object, suffer from.
fn trouble(object: &Value, world: &World) -> Option<Why> {
    let own = |pod: &Value| {
        let mut current = select::controller(pod)?["uid"].clone();
        if current == object["metadata"]["uid"] {
            return Some(());
        }
        let replica_sets = world.objects("ReplicaSet");
        let parent = replica_sets.values().find(|set| set["metadata"]["uid"] == current)?;
        current = select::controller(parent)?["uid"].clone();
        (current == object["metadata"]["uid"]).then_some(())
    };
    let is_pod = object["kind"] == "Pod" || !object["spec"]["containers"].is_null();
    if is_pod {
        return pod_trouble(object);
    }
    world.objects("Pod").values().filter(|pod| own(pod).is_some()).find_map(|pod| pod_trouble(pod))
}

fn pod_trouble(pod: &Value) -> Option<Why> {
    let name = shown("Pod", pod);
    let look = vec![name.clone()];
    let statuses = pod["status"]["containerStatuses"].as_array();
    for status in statuses.into_iter().flatten() {
        let waiting = &status["state"]["waiting"];
        let message = waiting["message"].as_str().unwrap_or_default();
        match waiting["reason"].as_str().unwrap_or_default() {
            "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName" => {
                let image = status["image"].as_str().unwrap_or_default();
                let reason = if message.contains("did you mean") { Reason::ImageTypo } else { Reason::ImageMissing };
                let text = format!("{name} cannot start: its image {image} cannot be pulled.");
                return Some(why(reason, vec![text, format!("Read the events: kubectl describe {}.", name.replace('/', " "))], look));
            }
            "CrashLoopBackOff" => {
                let text = format!("{name} starts and ends again and again.");
                return Some(why(Reason::CrashLoop, vec![text, format!("Read its last words: kubectl logs {} --previous.", name.trim_start_matches("pod/"))], look));
            }
            _ => {}
        }
    }
    let scheduled = pod["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == "PodScheduled")?;
    if scheduled["status"] == "False" {
        let text = format!("{name} found no node: {}.", scheduled["message"].as_str().unwrap_or_default().trim_end_matches('.'));
        return Some(why(Reason::NotScheduled, vec![text], look));
    }
    None
}

fn http_why(leaf: &Leaf, url: &str, world: &World) -> Why {
    if leaf.outcome == Outcome::Waiting {
        return why(Reason::NotYet, vec![format!("{url} has not been asked yet.")], Vec::new());
    }
    let Some(note) = &leaf.note else {
        return why(Reason::WrongValue, vec![format!("{url} answers, but {}.", clauses(&leaf.clauses))], Vec::new());
    };
    let local = url.contains("//localhost") || url.contains("//127.0.0.1");
    let forwards = world.records("streams").any(|stream| stream["spec"]["verb"] == "portforward" && stream["status"]["closed"].is_null());
    let second = match (local, forwards) {
        (true, false) => "Nothing is forwarded to the workstation now; a port-forward ends with its command.",
        (true, true) => "A port is forwarded; compare its number with the one in the address.",
        (false, _) => "Look whether the Service has endpoints.",
    };
    why(Reason::PortMismatch, vec![format!("{}.", capital(note)), second.to_owned()], Vec::new())
}

fn pods(wanted: &ObjectRef, world: &World) -> Vec<String> {
    select::objects(world, wanted, Moment::Now).iter().take(3).map(|pod| shown("Pod", pod)).collect()
}

/// The objects an author means, in words.
fn meant(wanted: &ObjectRef) -> String {
    let kind = &wanted.kind;
    let mut text = match &wanted.name {
        Some(name) => format!("{kind} {name}"),
        None => kind.clone(),
    };
    if !wanted.labels.is_empty() {
        let labels: Vec<String> = wanted.labels.iter().map(|(key, value)| if value == "*" { key.clone() } else { format!("{key}={value}") }).collect();
        text.push_str(&format!(" with label {}", labels.join(" and ")));
    }
    if let Some(owner) = &wanted.owned_by {
        text.push_str(&format!(" of {} {}", owner.kind, owner.name.as_deref().unwrap_or("any")));
    }
    text
}

/// What does not hold, in words.
fn clauses(clauses: &[ClauseTrace]) -> String {
    let wrong: Vec<String> = clauses
        .iter()
        .filter(|clause| !clause.holds)
        .take(2)
        .map(|clause| match clause.operator.as_str() {
            "" => unmet(&clause.text),
            operator => format!("{} is {}, wanted {} {}", clause.left, short(&clause.got), operator, short(&clause.want)),
        })
        .collect();
    if wrong.is_empty() { "it is not as wanted".to_owned() } else { wrong.join(" and ") }
}

/// A condition without a comparison that does not hold, in words where it has a common form.
fn unmet(text: &str) -> String {
    let text = text.trim();
    if let Some(path) = text.strip_prefix("!has(").and_then(|rest| rest.strip_suffix(')')) {
        return format!("{path} is set");
    }
    if let Some(path) = text.strip_prefix("has(").and_then(|rest| rest.strip_suffix(')')) {
        return format!("{path} is not set");
    }
    let exists = text.split_once(".exists(").and_then(|(path, rest)| Some((path, rest.strip_suffix(')')?.split_once(',')?)));
    let Some((path, (name, body))) = exists else { return format!("`{text}` is not so") };
    let comparisons: Vec<(&str, &str)> = body.split("&&").filter_map(|part| part.split_once("==")).map(|(left, right)| (left.trim(), right.trim().trim_matches('"'))).collect();
    let field = |wanted: &str| comparisons.iter().find(|(left, _)| *left == format!("{}.{wanted}", name.trim())).map(|(_, right)| *right);
    match comparisons.as_slice() {
        [(left, right)] if *left == name.trim() => format!("{path} has no {right}"),
        _ => match (field("type"), field("status")) {
            (Some(kind), Some(status)) if path.ends_with("conditions") => format!("its condition {kind} is not {status}"),
            _ => format!("nothing in {path} fits `{}`", body.trim()),
        },
    }
}

fn short(value: &Value) -> String {
    let text = match value {
        Value::Null => "absent".to_owned(),
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    };
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn evidence(leaf: &Leaf) -> Vec<Evidence> {
    let tag = serde_json::to_value(&leaf.source).ok().and_then(|value| value.as_object()?.keys().next().cloned()).unwrap_or_default();
    let object = leaf.candidates.first().map(|object| shown(object["kind"].as_str().unwrap_or(&tag), object)).unwrap_or_default();
    if leaf.clauses.is_empty() {
        let got = leaf.note.clone().map_or_else(|| json!(!leaf.candidates.is_empty()), Value::String);
        return vec![Evidence { source: tag, object, path: String::new(), want: json!(leaf.wanted), got }];
    }
    let one = |clause: &ClauseTrace| Evidence {
        source: tag.clone(),
        object: object.clone(),
        path: clause.left.clone(),
        want: clause.want.clone(),
        got: clause.got.clone(),
    };
    leaf.clauses.iter().map(one).collect()
}

fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    if kind.ends_with('s') { format!("{kind}es") } else { format!("{kind}s") }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}

/// Levenshtein distance, for names of a few dozen letters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (diagonal + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_conditions_read_as_sentences() {
        let cases = [
            ("!has(metadata.ownerReferences)", "metadata.ownerReferences is set"),
            ("has(status.podIP)", "status.podIP is not set"),
            ("metadata.annotations.exists(k, k == \"a/b\")", "metadata.annotations has no a/b"),
            ("status.conditions.exists(c, c.type == \"Ready\" && c.status == \"True\")", "its condition Ready is not True"),
            ("items.exists(p, p.spec.x > 3)", "nothing in items fits `p.spec.x > 3`"),
            ("spec.tty", "`spec.tty` is not so"),
        ];
        for (text, sentence) in cases {
            assert_eq!(unmet(text), sentence);
        }
    }
}
