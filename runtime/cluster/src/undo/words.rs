//! What a restore changed, in words a page can show.

use serde_json::{Value, json};

/// Kinds nobody asked for: they follow from others.
const DERIVED: [&str; 5] = ["Event", "Endpoints", "EndpointSlice", "ControllerRevision", "PodMetrics"];
/// Objects named in a summary; of the rest it gives the number.
const NAMED: usize = 6;

/// What became of an object or a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// It was gone.
    Restored,
    /// It was new.
    Deleted,
    /// It was changed.
    ChangedBack,
    /// A Pod whose containers are new.
    Restarted,
}

impl Verb {
    pub(super) fn word(self) -> &'static str {
        match self {
            Verb::Restored => "restored",
            Verb::Deleted => "deleted",
            Verb::ChangedBack => "changed back",
            Verb::Restarted => "restarted",
        }
    }
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) verb: Verb,
    group: String,
    kind: String,
    namespace: String,
    name: String,
    owned: bool,
}

impl Change {
    /// What happened to an object, unless it is of a kind that only follows others.
    pub(super) fn of(verb: Verb, object: &Value) -> Option<Change> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let kind = text(&object["kind"]);
        let owned = object["metadata"]["ownerReferences"].as_array().is_some_and(|owners| !owners.is_empty());
        let version = text(&object["apiVersion"]);
        let group = version.split_once('/').map(|(group, _)| group.to_owned()).unwrap_or_default();
        let (namespace, name) = (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
        (!DERIVED.contains(&kind.as_str())).then_some(Change { verb, group, kind, namespace, name, owned })
    }

    /// As kubectl names it: `pod/sleep`, `deployment.apps/web`.
    fn what(&self) -> String {
        let kind = self.kind.to_lowercase();
        if self.group.is_empty() { format!("{kind}/{}", self.name) } else { format!("{kind}.{}/{}", self.group, self.name) }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "verb": self.verb.word(), "what": self.what(), "group": self.group, "kind": self.kind,
            "namespace": self.namespace, "name": self.name, "owned": self.owned,
        })
    }

    fn phrase(&self) -> String {
        let place = if matches!(self.namespace.as_str(), "" | "default") { String::new() } else { format!(" in {}", self.namespace) };
        format!("{} {}{place}", self.verb.word(), self.what())
    }
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileChange {
    pub(super) verb: Verb,
    /// `workstation` or a node.
    pub(super) place: String,
    /// As seen there.
    pub(super) path: String,
}

impl FileChange {
    pub(super) fn json(&self) -> Value {
        json!({"verb": self.verb.word(), "where": self.place, "path": self.path})
    }

    fn phrase(&self) -> String {
        let path = self.path.strip_prefix("/home/learner/").map_or_else(|| self.path.clone(), |rest| format!("~/{rest}"));
        let place = if self.place == "workstation" { String::new() } else { format!(" on {}", self.place) };
        format!("{} {path}{place}", self.verb.word())
    }
}

/// The sentence of a restore: `Undid ...: restored pod/sleep, changed back ~/pod.yaml.`
pub(super) fn summary(did: &str, changes: &[Change], files: &[FileChange]) -> String {
    let own = || changes.iter().filter(|change| !change.owned);
    let mut phrases: Vec<String> = own().map(Change::phrase).chain(files.iter().map(FileChange::phrase)).collect();
    let (named, owned) = (phrases.len(), changes.len() - own().count());
    if named > NAMED {
        phrases.truncate(NAMED);
        phrases.push(format!("and {} more", named - NAMED));
    }
    match owned {
        0 => {}
        _ if named == 0 => phrases.extend(counted(changes)),
        1 => phrases.push("with one object that belongs to them".to_owned()),
        _ => phrases.push(format!("with {owned} objects that belong to them")),
    }
    if phrases.is_empty() { format!("{did}: nothing had changed.") } else { format!("{did}: {}.", phrases.join(", ")) }
}

/// `changed back 1 Pod`, `deleted 2 Pods`: where nobody made anything by name, the kinds say more than names would.
fn counted(changes: &[Change]) -> Vec<String> {
    let mut counts: Vec<(Verb, &str, usize)> = Vec::new();
    for change in changes {
        match counts.iter_mut().find(|(verb, kind, _)| (*verb, *kind) == (change.verb, change.kind.as_str())) {
            Some((_, _, count)) => *count += 1,
            None => counts.push((change.verb, &change.kind, 1)),
        }
    }
    let phrase = |(verb, kind, count): (Verb, &str, usize)| format!("{} {count} {kind}{}", verb.word(), if count == 1 { "" } else { "s" });
    counts.into_iter().map(phrase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_name_what_people_made_and_count_the_rest() {
        let object = |kind: &str, version: &str, name: &str, owned: bool| {
            let owners = if owned { json!([{"name": "x"}]) } else { Value::Null };
            json!({"kind": kind, "apiVersion": version, "metadata": {"name": name, "namespace": "default", "ownerReferences": owners}})
        };
        let pod = Change::of(Verb::Restored, &object("Pod", "v1", "sleep", false)).unwrap();
        let web = Change::of(Verb::Deleted, &object("Deployment", "apps/v1", "web", false)).unwrap();
        let of_web = Change::of(Verb::Deleted, &object("Pod", "v1", "web-1", true)).unwrap();
        let back = Change { verb: Verb::ChangedBack, ..of_web.clone() };
        assert_eq!(Change::of(Verb::Deleted, &object("Event", "v1", "e", false)), None);
        let file = FileChange { verb: Verb::ChangedBack, place: "workstation".into(), path: "/home/learner/ch02/pod.yaml".into() };
        for (changes, files, wanted) in [
            (vec![pod.clone()], vec![], "Undid: restored pod/sleep."),
            (vec![web.clone(), of_web.clone(), of_web.clone()], vec![], "Undid: deleted deployment.apps/web, with 2 objects that belong to them."),
            (vec![of_web.clone(), of_web.clone(), back], vec![], "Undid: deleted 2 Pods, changed back 1 Pod."),
            (vec![], vec![file], "Undid: changed back ~/ch02/pod.yaml."),
            (vec![], vec![], "Undid: nothing had changed."),
            (vec![pod; 8], vec![], "Undid: restored pod/sleep, restored pod/sleep, restored pod/sleep, restored pod/sleep, restored pod/sleep, restored pod/sleep, and 2 more."),
        ] {
            assert_eq!(summary("Undid", &changes, &files), wanted);
        }
    }
}
