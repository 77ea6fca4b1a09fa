//! Who depends on whom, by uid, and what follows from it. Pure: nothing here speaks to the API.
// upstream: pkg/controller/garbagecollector/graph.go, graph_builder.go, garbagecollector.go attemptToDeleteItem

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

pub(super) const FOREGROUND: &str = "foregroundDeletion";
pub(super) const ORPHAN: &str = "orphan";

/// How dependents of a deleted object are dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Background,
    Foreground,
    Orphan,
}

/// An object as far as its owners and its end are concerned.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    /// Index of its kind in the list of kinds followed.
    pub(super) kind: usize,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) owners: Vec<OwnerReference>,
    pub(super) finalizers: Vec<String>,
    pub(super) leaving: bool,
}

impl Item {
    pub(super) fn new(kind: usize, meta: &ObjectMeta) -> Self {
        Self {
            kind,
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            owners: meta.owner_references.clone().unwrap_or_default(),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
            leaving: meta.deletion_timestamp.is_some(),
        }
    }

    fn has(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|own| own == finalizer)
    }

    /// Whether it waits for its dependents to go first.
    fn waits(&self) -> bool {
        self.leaving && self.has(FOREGROUND)
    }

    fn policy(&self) -> Policy {
        if self.has(ORPHAN) {
            Policy::Orphan
        } else if self.has(FOREGROUND) {
            Policy::Foreground
        } else {
            Policy::Background
        }
    }
}

/// What is to be done about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Nothing,
    /// These owners are gone or going while another stays: the references to them are removed.
    Disown(Vec<String>),
    /// No owner is left.
    Delete(Policy),
    /// All that blocked its end has gone: the foreground finalizer is removed.
    Release,
    /// These dependents block its end and are looked at next.
    Press(Vec<String>),
    /// These dependents lose their reference to it, then the orphan finalizer is removed.
    Orphan(Vec<String>),
}

/// All objects and the edges between them.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    items: HashMap<String, Item>,
    dependents: HashMap<String, BTreeSet<String>>,
}

impl Graph {
    pub(super) fn get(&self, uid: &str) -> Option<&Item> {
        self.items.get(uid)
    }

    /// Whether anything known is in the namespace.
    pub(super) fn in_namespace(&self, namespace: &str) -> BTreeMap<usize, usize> {
        let mut counts = BTreeMap::new();
        for item in self.items.values().filter(|item| item.namespace == namespace) {
            *counts.entry(item.kind).or_insert(0) += 1;
        }
        counts
    }

    /// The uids of all objects of a kind.
    pub(super) fn of_kind(&self, kind: usize) -> Vec<String> {
        self.items.iter().filter(|(_, item)| item.kind == kind).map(|(uid, _)| uid.clone()).collect()
    }

    /// Takes an object in as it is now; answers which objects are to be looked at.
    pub(super) fn observe(&mut self, uid: &str, item: &Item) -> Vec<String> {
        let old = self.items.insert(uid.to_owned(), item.clone());
        let before = old.as_ref().map(|old| old.owners.as_slice()).unwrap_or_default();
        if old.as_ref() == Some(item) {
            return Vec::new();
        }
        for owner in before.iter().filter(|owner| !item.owners.iter().any(|new| new.uid == owner.uid)) {
            self.unlink(&owner.uid, uid);
        }
        for owner in &item.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(uid.to_owned());
        }
        let mut concerned = BTreeSet::new();
        if before != item.owners {
            // Owners that wait may have lost what they wait for.
            concerned.extend(before.iter().map(|owner| owner.uid.clone()).filter(|uid| self.items.get(uid).is_some_and(Item::waits)));
        }
        if !item.owners.is_empty() || item.leaving {
            concerned.insert(uid.to_owned());
        }
        if item.waits() && !old.is_some_and(|old| old.waits()) {
            concerned.extend(self.dependents_of(uid));
        }
        concerned.into_iter().collect()
    }

    /// Takes an object out; answers which objects are to be looked at.
    pub(super) fn forget(&mut self, uid: &str) -> Vec<String> {
        let Some(item) = self.items.remove(uid) else { return Vec::new() };
        let mut concerned: BTreeSet<String> = self.dependents_of(uid).into_iter().collect();
        for owner in &item.owners {
            self.unlink(&owner.uid, uid);
            if self.items.get(&owner.uid).is_some_and(Item::waits) {
                concerned.insert(owner.uid.clone());
            }
        }
        concerned.into_iter().collect()
    }

    fn unlink(&mut self, owner: &str, dependent: &str) {
        if let Some(dependents) = self.dependents.get_mut(owner) {
            dependents.remove(dependent);
            if dependents.is_empty() {
                self.dependents.remove(owner);
            }
        }
    }

    pub(super) fn dependents_of(&self, uid: &str) -> Vec<String> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    /// Owners of an object that are not known here; only the API can say whether they exist.
    pub(super) fn strangers(&self, uid: &str) -> Vec<OwnerReference> {
        let owners = self.items.get(uid).map(|item| item.owners.as_slice()).unwrap_or_default();
        owners.iter().filter(|owner| !self.items.contains_key(&owner.uid)).cloned().collect()
    }

    /// What is to be done about an object, given the uids of owners that do not exist.
    pub(super) fn judge(&self, uid: &str, absent: &BTreeSet<String>) -> Verdict {
        let Some(item) = self.items.get(uid) else { return Verdict::Nothing };
        if item.leaving {
            return self.judge_leaving(uid, item);
        }
        if item.owners.is_empty() {
            return Verdict::Nothing;
        }
        let (dangling, present): (Vec<_>, Vec<_>) = item.owners.iter().partition(|owner| absent.contains(&owner.uid));
        let (waiting, solid): (Vec<_>, Vec<_>) = present.into_iter().partition(|owner| self.items.get(&owner.uid).is_some_and(Item::waits));
        let uids = |owners: &[&OwnerReference]| owners.iter().map(|owner| owner.uid.clone()).collect::<Vec<_>>();
        if !solid.is_empty() {
            let mut going = uids(&dangling);
            going.extend(uids(&waiting));
            return if going.is_empty() { Verdict::Nothing } else { Verdict::Disown(going) };
        }
        if !waiting.is_empty() && self.dependents.contains_key(uid) {
            // Its own dependents go before it, too.
            return Verdict::Delete(Policy::Foreground);
        }
        Verdict::Delete(item.policy())
    }

    fn judge_leaving(&self, uid: &str, item: &Item) -> Verdict {
        if item.has(ORPHAN) {
            return Verdict::Orphan(self.dependents_of(uid));
        }
        if !item.waits() {
            return Verdict::Nothing;
        }
        let blocks = |dependent: &String| {
            let owners = self.items.get(dependent).map(|item| item.owners.as_slice()).unwrap_or_default();
            owners.iter().any(|owner| owner.uid == uid && owner.block_owner_deletion == Some(true))
        };
        let blocking: Vec<String> = self.dependents_of(uid).into_iter().filter(blocks).collect();
        if blocking.is_empty() {
            return Verdict::Release;
        }
        Verdict::Press(blocking.into_iter().filter(|dependent| !self.items.get(dependent).is_some_and(Item::waits)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(uid: &str, blocks: bool) -> OwnerReference {
        OwnerReference { uid: uid.into(), name: uid.into(), block_owner_deletion: Some(blocks), ..OwnerReference::default() }
    }

    /// `!` marks what leaves; finalizers follow.
    fn item(owners: &[&str], marks: &[&str]) -> Item {
        Item {
            kind: 0,
            namespace: "default".into(),
            name: "x".into(),
            owners: owners.iter().map(|uid| reference(uid, true)).collect(),
            finalizers: marks.iter().filter(|mark| **mark != "!").map(|mark| (*mark).to_owned()).collect(),
            leaving: marks.contains(&"!"),
        }
    }

    fn graph(items: &[(&str, Item)]) -> Graph {
        let mut graph = Graph::default();
        for (uid, item) in items {
            graph.observe(uid, item);
        }
        graph
    }

    fn absent(uids: &[&str]) -> BTreeSet<String> {
        uids.iter().map(|uid| (*uid).to_owned()).collect()
    }

    #[test]
    fn every_object_gets_its_verdict() {
        let list = |uids: &[&str]| uids.iter().map(|uid| (*uid).to_owned()).collect::<Vec<_>>();
        let owned = || ("pod", item(&["set"], &[]));
        for (name, items, gone, about, expected) in [
            ("nobody's", vec![("pod", item(&[], &[]))], absent(&[]), "pod", Verdict::Nothing),
            ("owner lives", vec![("set", item(&[], &[])), owned()], absent(&[]), "pod", Verdict::Nothing),
            ("owner gone", vec![owned()], absent(&["set"]), "pod", Verdict::Delete(Policy::Background)),
            ("owner outside, alive", vec![owned()], absent(&[]), "pod", Verdict::Nothing),
            ("one of two gone", vec![("a", item(&[], &[])), ("pod", item(&["a", "b"], &[]))], absent(&["b"]), "pod", Verdict::Disown(list(&["b"]))),
            ("owner only leaves", vec![("set", item(&[], &["!"])), owned()], absent(&[]), "pod", Verdict::Nothing),
            ("owner waits", vec![("set", item(&[], &["!", FOREGROUND])), owned()], absent(&[]), "pod", Verdict::Delete(Policy::Background)),
            (
                "owner waits, has own dependents",
                vec![("d", item(&[], &["!", FOREGROUND])), ("set", item(&["d"], &[])), owned()],
                absent(&[]),
                "set",
                Verdict::Delete(Policy::Foreground),
            ),
            ("waits for a blocker", vec![("set", item(&[], &["!", FOREGROUND])), owned()], absent(&[]), "set", Verdict::Press(list(&["pod"]))),
            ("waits for nothing more", vec![("set", item(&[], &["!", FOREGROUND]))], absent(&[]), "set", Verdict::Release),
            ("leaves its dependents", vec![("set", item(&[], &["!", ORPHAN])), owned()], absent(&[]), "set", Verdict::Orphan(list(&["pod"]))),
            ("waits for its grace period", vec![("pod", item(&["set"], &["!"]))], absent(&["set"]), "pod", Verdict::Nothing),
            ("orphans what it leaves", vec![("set", item(&["d"], &[ORPHAN]))], absent(&["d"]), "set", Verdict::Delete(Policy::Orphan)),
        ] {
            assert_eq!(graph(&items).judge(about, &gone), expected, "{name}");
        }
    }

    #[test]
    fn news_reach_those_concerned() {
        let mut graph = graph(&[("set", item(&[], &[])), ("pod", item(&["set"], &[]))]);
        assert_eq!(graph.observe("set", &item(&[], &["!", FOREGROUND])), ["pod", "set"], "those that block are looked at, too");
        assert_eq!(graph.observe("set", &item(&[], &["!", FOREGROUND])), Vec::<String>::new(), "old news");
        assert_eq!(graph.forget("pod"), ["set"], "the owner waits for this");
        assert_eq!(graph.forget("set"), Vec::<String>::new());
        let mut graph = super::tests::graph(&[("set", item(&[], &[])), ("pod", item(&["set"], &[]))]);
        assert_eq!(graph.forget("set"), ["pod"]);
        assert_eq!(graph.strangers("pod").len(), 1);
    }
}
