//! What a check reads, so that it is judged again when that has changed, and only then.

use std::collections::BTreeSet;

use drydock_course::check::{At, Check, Expect, Mode, ObjectRef, Source};

use crate::world::ANSWERS;

/// Kinds an explanation looks at, whatever its check reads.
pub const EXPLAINED: [&str; 10] = [
    "Pod", "ReplicaSet", "Deployment", "Service", "EndpointSlice", "Event", "PersistentVolumeClaim", "ConfigMap", "Secret", "Node",
];

/// Collections of records that checks can ask for.
pub const COLLECTIONS: [&str; 4] = ["commands", "streams", "nodecontainers", "reads"];

/// What one check reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// Kinds, collections of records, and [`ANSWERS`].
    pub names: BTreeSet<String>,
    /// Those of them that it is judged by; the others only make it look again.
    pub evidence: BTreeSet<String>,
    /// What it shows has happened and cannot stop having happened: once passed it need not be looked at again.
    pub lasting: bool,
    /// It is judged by what was before, too: by what has gone, by changes, by objects as they were when its exercise began.
    pub past: bool,
}

impl Reads {
    /// Of a check.
    pub fn of(check: &Check) -> Reads {
        let mut names = BTreeSet::new();
        let sources = check.expect.sources();
        for source in sources.iter().map(|(source, _)| *source).chain(check.bindings.values().map(|binding| &binding.source)) {
            of_source(source, &mut names);
        }
        let evidence = names.clone();
        names.extend(check.triggers.iter().cloned());
        let lasting = check.mode != Some(Mode::Level) && !negates(&check.expect) && sources.iter().all(|(source, filter)| filter.is_none() && lasts(source));
        let was = |source: &Source| matches!(source, Source::Gone(_) | Source::History(_));
        let past = sources.iter().any(|(source, _)| was(source)) || check.bindings.values().any(|binding| binding.at == At::Baseline || was(&binding.source));
        Reads { names, evidence, lasting, past }
    }

    /// The kinds among them.
    pub fn kinds(&self) -> impl Iterator<Item = &String> {
        self.names.iter().filter(|name| !COLLECTIONS.contains(&name.as_str()) && *name != ANSWERS)
    }
}

fn negates(expect: &Expect) -> bool {
    match expect {
        Expect::All(branches) | Expect::Any(branches) => branches.iter().any(negates),
        Expect::Not(_) => true,
        Expect::One { .. } => false,
    }
}

fn lasts(source: &Source) -> bool {
    match source {
        Source::History(history) => history.count.as_deref().is_none_or(|count| count.trim_start().starts_with('>')),
        Source::Saw(_) | Source::Read(_) => true,
        _ => false,
    }
}

fn of_source(source: &Source, names: &mut BTreeSet<String>) {
    let mut add = |wanted: &ObjectRef| {
        names.insert(if wanted.kind.is_empty() { "Pod".to_owned() } else { wanted.kind.clone() });
        if let Some(owner) = &wanted.owned_by {
            // The way from a Pod to its Deployment leads through a ReplicaSet.
            names.extend([owner.kind.clone(), "ReplicaSet".to_owned()]);
        }
    };
    source.pods().into_iter().for_each(&mut add);
    match source {
        Source::Object(wanted) | Source::List(wanted) | Source::Gone(wanted) => add(wanted),
        Source::History(history) => drop(names.insert(history.of.kind.clone())),
        Source::Saw(_) => drop(names.insert("commands".to_owned())),
        Source::Stream(_) => drop(names.insert("streams".to_owned())),
        Source::Container(_) => drop(names.insert("nodecontainers".to_owned())),
        Source::Read(_) => drop(names.insert("reads".to_owned())),
        Source::Answer(_) => drop(names.insert(ANSWERS.to_owned())),
        Source::Log(_) | Source::Http(_) | Source::Exec(_) | Source::File(_) | Source::Dns(_) | Source::Tcp(_) | Source::Env(_) | Source::Traffic(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_reads_what_its_sources_and_names_do() {
        let cases: &[(&str, &[&str], bool)] = &[
            ("{object: {kind: Pod, ownedBy: {kind: Deployment}}}", &["Deployment", "Pod", "ReplicaSet"], false),
            ("{saw: {matches: x}}", &["commands"], true),
            ("{history: {kind: Node, where: 'true'}}", &["Node"], true),
            ("{history: {kind: Node, where: 'true', count: '== 0'}}", &["Node"], false),
            ("{not: {saw: {matches: x}}}", &["commands"], false),
            ("{all: [{saw: {matches: x}}, {http: {from: {pod: {name: a}}, url: 'http://b/'}}]}", &["Pod", "commands"], false),
            ("{answer: {ask: q}}", &["answers"], false),
        ];
        for (yaml, names, lasting) in cases {
            let check: Check = serde_yaml::from_str(&format!("{{id: a, say: b, expect: {yaml}}}")).unwrap();
            let reads = Reads::of(&check);
            assert_eq!((reads.names.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), reads.lasting), (*names, *lasting), "{yaml}");
        }
    }
}
