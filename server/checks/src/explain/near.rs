//! What is close to an object that is missing: in another namespace, with another name, another label, another owner.

use std::sync::Arc;

use drydock_course::check::{ObjectRef, Source};
use serde_json::{Value, json};

use super::{Asker, Why, named, plural, why};
use crate::select::{self, Moment, shown};
use crate::verdict::{Evidence, Reason};
use crate::world::key_of;

/// Whether an object is the cluster's own and was not asked for by its name or namespace: it is no near miss.
pub(super) fn is_other(wanted: &ObjectRef, object: &Value) -> bool {
    let asked = wanted.name.is_some() || wanted.namespace.as_ref().is_some_and(|namespace| namespace.starts_with("kube-"));
    !asked && select::is_own(object)
}

/// The labels of an object that are like those wanted: of the same key, or of one that differs by a letter or two.
fn alike(wanted: &ObjectRef, object: &Value) -> Vec<String> {
    let labels = || object["metadata"]["labels"].as_object().into_iter().flatten().map(|(key, value)| (key, value.as_str().unwrap_or_default()));
    let like = |key: &String| {
        let misspelled = labels().find(|(other, _)| (1..=1 + key.len() / 4).contains(&distance(key, other)));
        labels().find(|(other, _)| *other == key).or(misspelled).map(|(key, value)| format!("{key}={value}"))
    };
    wanted.labels.keys().filter_map(like).collect()
}

impl Asker<'_> {
    pub(super) fn elsewhere(&self, wanted: &ObjectRef) -> Option<(Arc<Value>, Why)> {
        let everywhere = ObjectRef { namespace: Some("*".to_owned()), ..wanted.clone() };
        let other = select::objects(self.world, &everywhere, Moment::Now).into_iter().find(|object| !is_other(wanted, object) || self.is_typed(&wanted.kind, object))?;
        let (there, here) = (key_of(&other).0, wanted.namespace.as_deref().unwrap_or(self.world.home()));
        let text = format!("{} is in namespace `{there}`; it should be in `{here}`.", named(&wanted.kind, &other));
        let look = format!("`kubectl get {} -A` lists those of every namespace.", plural(&wanted.kind));
        let seen = Evidence { source: "object".to_owned(), object: shown(&wanted.kind, &other), path: "metadata.namespace".to_owned(), want: json!(here), got: json!(there) };
        let change = format!("Make it in `{here}`: leave `-n` and `metadata.namespace` out, or name that one.");
        let found = why(Reason::WrongNamespace, vec![text, look, change], vec![seen.object.clone()]);
        Some((other, Why { evidence: vec![seen], ..found }))
    }

    pub(super) fn misnamed(&self, wanted: &ObjectRef) -> Option<(Arc<Value>, Why)> {
        let name = wanted.name.as_ref()?;
        let anyhow = ObjectRef { name: None, labels: Default::default(), owned_by: None, ..wanted.clone() };
        let others = select::objects(self.world, &anyhow, Moment::Now).into_iter().filter_map(|object| {
            let other = object["metadata"]["name"].as_str()?;
            let distance = distance(name, other);
            if self.is_meant(&wanted.kind, other) || select::is_own(&object) {
                return None;
            }
            (1..=1 + name.len() / 4).contains(&distance).then_some(((!self.is_new(&wanted.kind, &object), distance), object))
        });
        let (_, other) = others.min_by_key(|(order, _)| *order)?;
        let text = format!("There is {}, but the name should be `{name}`.", named(&wanted.kind, &other));
        let change = format!("A name cannot be changed: delete it and make it again as `{name}`.");
        let seen = Evidence { source: "object".to_owned(), object: shown(&wanted.kind, &other), path: "metadata.name".to_owned(), want: json!(name), got: other["metadata"]["name"].clone() };
        let found = why(Reason::Misnamed, vec![text, format!("Compare the names: `kubectl get {}`.", plural(&wanted.kind)), change], vec![seen.object.clone()]);
        Some((other, Why { evidence: vec![seen], ..found }))
    }

    /// Whether an object of the cluster's own namespaces is the learner's: new, and named in a command.
    fn is_typed(&self, kind: &str, object: &Value) -> bool {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let in_line = |line: &str| line.split(|c: char| c.is_whitespace() || matches!(c, '/' | '=' | '\'' | '"')).any(|word| word == name);
        self.is_new(kind, object) && self.world.records_since("commands", self.baseline).iter().any(|command| in_line(command["spec"]["line"].as_str().unwrap_or_default()))
    }

    /// Whether the check asks for this object by name.
    fn is_meant(&self, kind: &str, name: &str) -> bool {
        self.leaves.iter().any(|leaf| matches!(&leaf.source, Source::Object(of) | Source::List(of) | Source::Gone(of) if of.kind == kind && of.name.as_deref() == Some(name)))
    }

    pub(super) fn unlabeled(&self, wanted: &ObjectRef) -> Option<(Arc<Value>, Why)> {
        if wanted.labels.is_empty() {
            return None;
        }
        let unlabeled = ObjectRef { labels: Default::default(), ..wanted.clone() };
        let others = select::objects(self.world, &unlabeled, Moment::Now).into_iter().filter(|object| !is_other(wanted, object));
        let other = others.min_by_key(|object| (!self.is_new(&wanted.kind, object), alike(wanted, object).is_empty()))?;
        let labels: Vec<String> = wanted.labels.iter().map(|(key, value)| if value == "*" { key.clone() } else { format!("{key}={value}") }).collect();
        let got = alike(wanted, &other);
        let got = if got.is_empty() {
            format!("no label `{}`", wanted.labels.keys().map(String::as_str).collect::<Vec<_>>().join("` and no label `"))
        } else {
            format!("`{}`", got.join(","))
        };
        let text = format!("No {} has the label `{}`; {} has {got}.", wanted.kind, labels.join(","), named(&wanted.kind, &other));
        let look = format!("Compare the labels: `kubectl get {} --show-labels`.", plural(&wanted.kind));
        let link = vec![shown(&wanted.kind, &other)];
        let change = format!("Give it the label, in its manifest or with `kubectl label {} ...`.", link[0].replacen('/', " ", 1));
        Some((other, why(Reason::SelectorMismatch, vec![text, look, change], link)))
    }

    pub(super) fn unowned(&self, wanted: &ObjectRef) -> Option<(Arc<Value>, Why)> {
        let owner = wanted.owned_by.as_ref()?;
        let unowned = ObjectRef { owned_by: None, ..wanted.clone() };
        let others = select::objects(self.world, &unowned, Moment::Now).into_iter().filter(|object| !is_other(wanted, object));
        let other = others.min_by_key(|object| !self.is_new(&wanted.kind, object))?;
        let its = match &owner.name {
            Some(name) => format!("{} `{name}`", owner.kind),
            None => format!("a {}", owner.kind),
        };
        let (reason, text) = match select::controller(&other) {
            None => (Reason::Orphaned, format!("{} belongs to nobody; it should belong to {its}.", named(&wanted.kind, &other))),
            Some(owner) => {
                let has = format!("{} `{}`", owner["kind"].as_str().unwrap_or_default(), owner["name"].as_str().unwrap_or_default());
                (Reason::NotOwned, format!("{} belongs to {has}; it should belong to {its}.", named(&wanted.kind, &other)))
            }
        };
        let link = vec![shown(&wanted.kind, &other)];
        let look = format!("Look at `metadata.ownerReferences`: `kubectl get {} -o yaml`.", link[0].replacen('/', " ", 1));
        Some((other, why(reason, vec![text, look, "A controller takes over Pods whose labels fit its selector and that nobody owns.".into()], link)))
    }
}

/// Levenshtein distance, for names of a few dozen letters.
pub(super) fn distance(a: &str, b: &str) -> usize {
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
