//! What can be said about content without running it: the course's own diagnostics, whether checks can be judged at all, and whether
//! they ask for things that can be there: names, kinds, files.

use std::collections::BTreeSet;

use drydock_checks::compile::{Library, names_of};
use drydock_checks::verdict::Reason;
use drydock_course::chapter::{BlockKind, Chapter, HomeFile};
use drydock_course::check::{Check, Let, Scope, Source};
use drydock_course::course::Course;
use drydock_course::diagnostic::{Diagnostic, Severity, did_you_mean};
use drydock_course::lab::Lab;
use drydock_course::source;
use serde_json::json;

/// Kinds a cluster serves from its first start on.
const KINDS: [&str; 41] = [
    "Binding", "ConfigMap", "Endpoints", "Event", "LimitRange", "Namespace", "Node", "PersistentVolume", "PersistentVolumeClaim", "Pod", "PodTemplate",
    "ReplicationController", "ResourceQuota", "Secret", "Service", "ServiceAccount", "ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet",
    "HorizontalPodAutoscaler", "CronJob", "Job", "Lease", "EndpointSlice", "Ingress", "IngressClass", "NetworkPolicy", "PodDisruptionBudget", "ClusterRole",
    "ClusterRoleBinding", "Role", "RoleBinding", "PriorityClass", "CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "CustomResourceDefinition", "RuntimeClass",
];

/// Look at every course of a source.
///
/// # Errors
/// When directories cannot be read.
pub fn source(source: &dyn source::Source) -> std::io::Result<Vec<Diagnostic>> {
    let mut found = Vec::new();
    for track in Course::tracks(source)? {
        match Course::load(source, &track) {
            Ok(course) => found.extend(self::course(&course)),
            Err(problems) => found.extend(problems),
        }
    }
    Ok(found)
}

/// Look at a course that has been read.
pub fn course(course: &Course) -> Vec<Diagnostic> {
    let mut found = course.diagnostics.clone();
    for chapter in course.chapters() {
        let mut linter = Linter { file: format!("{}/lesson.md", chapter.directory), names: BTreeSet::new(), found: &mut found };
        linter.lesson(chapter);
        manifests(&chapter.files, &format!("{}/files", chapter.directory), &format!("{}/{}", course.home, chapter.id), &mut found);
        for lab in &chapter.labs {
            let mut linter = Linter { file: format!("{}/lab.yaml", lab.directory), names: BTreeSet::new(), found: &mut found };
            linter.lab(lab);
            lab_answers(lab, &mut found);
            manifests(&lab.files, &format!("{}/files", lab.directory), &format!("{}/{}", course.home, lab.id), &mut found);
        }
    }
    found.sort();
    found.dedup();
    found
}

struct Linter<'a> {
    file: String,
    /// Names bound by checks before, for all that come after.
    names: BTreeSet<String>,
    found: &'a mut Vec<Diagnostic>,
}

impl Linter<'_> {
    fn say(&mut self, severity: Severity, line: usize, message: String, help: impl Into<String>) {
        self.found.push(Diagnostic { file: self.file.clone(), line, column: 1, severity, message, help: Some(help.into()) });
    }

    fn lesson(&mut self, chapter: &Chapter) {
        let made = made_files(chapter.commands().map(|command| command.text.as_str()));
        for (_, block) in chapter.blocks() {
            match &block.kind {
                BlockKind::Check { check } => self.check(check, block.line),
                BlockKind::Command(command) if command.inside.is_none() => self.files_of(&command.text, block.line, &chapter.files, &made),
                _ => {}
            }
        }
    }

    fn lab(&mut self, lab: &Lab) {
        for task in &lab.tasks {
            self.check(task, lab.line_of(&task.id));
        }
    }

    fn check(&mut self, check: &Check, line: usize) {
        if let Err(problem) = Library::of([check]) {
            self.say(Severity::Error, line, problem.to_string(), "the expression must be CEL, the pattern a regular expression");
            return;
        }
        let mut names = self.names.clone();
        names.extend(check.bindings.keys().cloned());
        for (name, binding) in &check.bindings {
            self.binding(check, name, binding, &names, line);
        }
        for (source, beside) in check.expect.sources() {
            self.looks_at(check, source, &names, line);
            for filter in [source.filter(), beside].into_iter().flatten() {
                self.condition(check, source, filter, &names, line);
            }
        }
        let kept = check.bindings.iter().filter(|(_, binding)| binding.scope != Scope::Block).map(|(name, _)| name.clone());
        self.names.extend(kept);
    }

    fn binding(&mut self, check: &Check, name: &str, binding: &Let, names: &BTreeSet<String>, line: usize) {
        self.looks_at(check, &binding.source, names, line);
        if let Some(value) = &binding.value {
            self.condition(check, &binding.source, value, names, line);
        }
        if !names.contains(name) || name.is_empty() {
            self.say(Severity::Error, line, format!("check {}: a name in `let` is empty", check.id), "give it one");
        }
    }

    /// Kinds exist and placeholders have a name.
    fn looks_at(&mut self, check: &Check, source: &Source, names: &BTreeSet<String>, line: usize) {
        let kind = match source {
            Source::Object(wanted) | Source::List(wanted) | Source::Gone(wanted) => Some(&wanted.kind),
            Source::History(history) => Some(&history.of.kind),
            _ => None,
        };
        if let Some(kind) = kind.filter(|kind| !KINDS.contains(&kind.as_str())) {
            let help = did_you_mean(kind, KINDS).unwrap_or_else(|| "a kind is written as in a manifest, and the chapter must make it first".into());
            let severity = if help.starts_with("did") || kind.is_empty() { Severity::Error } else { Severity::Warning };
            self.say(severity, line, format!("check {}: no cluster serves the kind `{kind}` by itself", check.id), help);
        }
        if let Source::Http(http) = source
            && !http.url.starts_with("http://") && !http.url.starts_with("https://") && !http.url.starts_with("${")
        {
            self.say(Severity::Error, line, format!("check {}: {:?} is no address", check.id, http.url), "begin it with http://");
        }
        for pod in source.pods().into_iter().filter(|pod| pod.name.is_none() && pod.labels.is_empty() && pod.owned_by.is_none()) {
            let help = "name it, or write its labels";
            self.say(Severity::Warning, line, format!("check {}: `{}` goes to any Pod of {}", check.id, source.name(), pod.namespace.as_deref().unwrap_or("default")), help);
        }
        let text = serde_json::to_string(source).unwrap_or_default();
        for name in placeholders(&text) {
            self.known(check, &name, names, line);
        }
    }

    /// Every name of an expression is one the source gives, or is bound.
    fn condition(&mut self, check: &Check, source: &Source, filter: &str, names: &BTreeSet<String>, line: usize) {
        let Some(used) = names_of(filter) else { return };
        let given: &[&str] = match source {
            // The fields of an object are its own.
            Source::Object(_) | Source::Gone(_) => &["metadata", "spec", "status", "object", "data", "kind", "type", "subsets", "endpoints", "provisioner", "reclaimPolicy",
                "volumeBindingMode", "parameters", "immutable", "stringData", "ports", "rules", "subjects", "roleRef", "reason", "message", "involvedObject", "count",
                "apiVersion", "addressType", "value", "binaryData", "allowVolumeExpansion", "mountOptions", "globalDefault", "webhooks", "source", "action"],
            Source::List(_) => &["items"],
            Source::History(_) => &["old", "new", "type", "actor"],
            Source::Stream(_) | Source::Container(_) | Source::Read(_) | Source::Saw(_) => &["spec", "status", "metadata", "object"],
            Source::Http(_) => &["status", "headers", "body", "answers"],
            Source::Dns(_) => &["found", "addresses", "cnames", "text"],
            Source::Tcp(_) => &["open", "problem"],
            Source::Exec(_) => &["exit", "stdout", "stderr", "text", "lines"],
            Source::Env(_) => &["env"],
            Source::File(_) => &["kind", "mode", "uid", "gid", "size", "link", "text", "entries"],
            Source::Log(_) | Source::Traffic(_) | Source::Answer(_) => &[],
        };
        let local = comprehension_names(filter);
        for name in used {
            if given.contains(&name.as_str()) || names.contains(&name) || local.contains(&name) {
                continue;
            }
            let help = did_you_mean(&name, given.iter().copied().chain(names.iter().map(String::as_str))).unwrap_or_else(|| format!("known here: {}", given.join(", ")));
            self.say(Severity::Error, line, format!("check {}: nothing is called `{name}` in `{filter}`", check.id), help);
        }
        // `old == null` asks about a whole version; a field that is absent makes its clause false, whatever it is compared with.
        if filter.split("&&").any(|clause| clause.trim().ends_with("== null") && clause.contains('.')) {
            self.say(Severity::Warning, line, format!("check {}: a field that is absent is never `== null`", check.id), "write `!has(a.b)`; for a field at the top, `!has(object.b)`");
        }
    }

    fn known(&mut self, check: &Check, name: &str, names: &BTreeSet<String>, line: usize) {
        if !names.contains(name) {
            let help = did_you_mean(name, names.iter().map(String::as_str)).unwrap_or_else(|| "bind it with `let:`, here or, with `scope: chapter`, in a check before".into());
            self.say(Severity::Error, line, format!("check {}: nothing is called `{name}`", check.id), help);
        }
    }

    /// Files a command applies are there, or were made by a command before.
    fn files_of(&mut self, text: &str, line: usize, files: &[HomeFile], made: &[String]) {
        for path in applied(text) {
            let path = path.trim_start_matches("./").trim_end_matches('/');
            let there = |file: &HomeFile| file.path.ends_with(path) || file.path.contains(&format!("/{path}/"));
            let base = path.rsplit('/').next().unwrap_or(path);
            if path.is_empty() || path == "." || files.iter().any(there) || made.iter().any(|made| made.rsplit('/').next() == Some(base)) {
                continue;
            }
            let help = did_you_mean(path, files.iter().filter_map(|file| file.path.splitn(3, '/').nth(2))).unwrap_or_else(|| "write it below files/".into());
            self.say(Severity::Error, line, format!("`{path}` is not among the chapter's files"), help);
        }
    }
}

/// Relative paths after `-f` of kubectl.
fn applied(text: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let joined = text.replace("\\\n", " ");
    for line in joined.lines().filter(|line| line.contains("kubectl") && !line.trim_start().starts_with('#')) {
        let verbs = ["apply", "create", "delete", "replace", "diff"];
        if !line.split_whitespace().any(|word| verbs.contains(&word)) {
            continue;
        }
        let mut words = line.split_whitespace();
        while let Some(word) = words.next() {
            let path = match word {
                "-f" | "--filename" => words.next(),
                _ => word.strip_prefix("-f=").or_else(|| word.strip_prefix("--filename=")),
            };
            let plain = |path: &&str| !path.contains("://") && !path.starts_with(['-', '/', '~', '$', '<', '"', '\'']) && !path.contains(['*', '$', '`']);
            paths.extend(path.filter(plain).map(|path| path.trim_end_matches([';', '&']).to_owned()));
        }
    }
    paths
}

/// Files commands write: after `>`, and what `cp`, `tee`, `mv`, `curl -o`, editors name.
fn made_files<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut made = Vec::new();
    for text in texts {
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            for pair in words.windows(2) {
                if pair[0].ends_with('>') || ["tee", "-o", "-O", "vi", "nano", "touch", "drydock"].contains(&pair[0]) {
                    made.push(pair[1].trim_matches(['"', '\'']).to_owned());
                }
            }
            if ["cp", "mv"].contains(words.first().unwrap_or(&"")) {
                made.extend(words.last().map(|word| (*word).to_owned()));
            }
            made.extend(words.iter().filter_map(|word| word.strip_prefix('>')).map(|word| word.trim_start_matches('>').to_owned()));
        }
    }
    made
}

/// First names of the `${...}` in a text.
fn placeholders(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        rest = &rest[start + 2..];
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        names.push(name);
    }
    names
}

/// Names that `exists(x, ...)` and the like bring with them.
fn comprehension_names(filter: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for call in [".exists(", ".exists_one(", ".all(", ".filter(", ".map("] {
        for (at, _) in filter.match_indices(call) {
            let rest = &filter[at + call.len()..];
            names.extend(rest.split_once(',').map(|(name, _)| name.trim().to_owned()));
        }
    }
    names
}

/// Every manifest that is handed to readers is YAML.
fn manifests(files: &[HomeFile], directory: &str, home: &str, found: &mut Vec<Diagnostic>) {
    for file in files {
        let below = file.path.strip_prefix(home).unwrap_or(&file.path).trim_start_matches('/');
        if !(below.ends_with(".yaml") || below.ends_with(".yml") || below.ends_with(".json")) {
            continue;
        }
        let mut documents = serde_yaml::Deserializer::from_str(&file.contents);
        let wrong = documents.find_map(|document| {
            let parsed: Result<serde_yaml::Value, _> = serde::Deserialize::deserialize(document);
            parsed.err()
        });
        if let Some(error) = wrong {
            let line = error.location().map_or(1, |location| location.line());
            let message = error.to_string();
            let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(before, _)| before).to_owned();
            found.push(Diagnostic {
                file: format!("{directory}/{below}"),
                line,
                column: 1,
                severity: Severity::Warning,
                message,
                help: Some("correct the YAML; a file that is meant to be broken has another ending".into()),
            });
        }
    }
}

fn lab_answers(lab: &Lab, found: &mut Vec<Diagnostic>) {
    for wrong in &lab.wrong {
        if !wrong.reason.is_empty() && reason(&wrong.reason).is_none() {
            let file = format!("{}/wrong/{}.sh", lab.directory, wrong.script.name);
            let known: Vec<String> = REASONS.iter().map(|reason| word(*reason)).collect();
            let help = did_you_mean(&wrong.reason, known.iter().map(String::as_str)).unwrap_or_else(|| format!("one of {}", known.join(", ")));
            let message = format!("`{}` is no reason a check can give", wrong.reason);
            found.push(Diagnostic { file, line: 1, column: 1, severity: Severity::Error, message, help: Some(help) });
        }
    }
}

/// Reasons a wrong answer can name.
const REASONS: [Reason; 28] = [
    Reason::Absent, Reason::Misnamed, Reason::WrongNamespace, Reason::WrongValue, Reason::SelectorMismatch, Reason::NoEndpoints, Reason::PortMismatch,
    Reason::NotScheduled, Reason::ImageMissing, Reason::ImageTypo, Reason::CrashLoop, Reason::ConfigMissing, Reason::KeyMissing, Reason::MountHidden,
    Reason::ClaimPending, Reason::ProbeFailing, Reason::OomKilled, Reason::Quota, Reason::Forbidden, Reason::NotOwned, Reason::Orphaned, Reason::StalePod,
    Reason::PausedRollout, Reason::DnsMissing, Reason::WrongNode, Reason::NotYet, Reason::NotTried, Reason::Other,
];

fn word(reason: Reason) -> String {
    json!(reason).as_str().unwrap_or_default().to_owned()
}

/// A reason by the name authors write.
pub(crate) fn reason(name: &str) -> Option<Reason> {
    serde_json::from_value(json!(name)).ok()
}

#[cfg(test)]
mod tests {
    use drydock_course::source::Memory;

    use super::*;

    #[test]
    fn mistakes_have_a_place_and_a_fix() {
        let mut files = Memory::new();
        files.insert("chapters/x/course.yaml", &b"id: x\ntitle: X\nchapters: [01-a]\n"[..]);
        let check = |id: &str, rest: &str| format!("```yaml check id=ch01-{id}\nsay: x\n{rest}\nhints: [x]\n```\n\n");
        let lesson = [
            "---\nid: ch01\ntitle: A\n---\n## A {#a .try est=1m}\n\n```sh run\ncp pod.yaml mine.yaml\nkubectl apply -f pod.yaml -f mine.yaml -f pods.yaml\n```\n\n".to_owned(),
            check("cel", "expect: {object: {kind: Pod}, where: 'status..x'}"),
            check("pattern", "expect: {saw: {matches: '('}}"),
            check("kind", "expect: {object: {kind: Deploymnet}}"),
            check("name", "expect: {object: {kind: Pod}, where: 'metdata.name == \"a\"'}"),
            check("unbound", "expect: {object: {kind: Pod, name: '${was.metadata.name}'}}"),
            check("bound", "let: {was: {object: {kind: Pod, name: a}, scope: chapter}}\nexpect: {list: {kind: Pod}, where: 'items.exists(p, p.metadata.uid == was.metadata.uid)'}"),
            check("later", "expect: {object: {kind: Pod, name: '${was.metadata.name}'}}"),
            check("null", "expect: {stream: {verb: exec, where: status.closed == null}}"),
            check("url", "expect: {http: {url: 'localhost:8080'}}"),
            check("any", "expect: {exec: {pod: {}, command: [ls]}}"),
        ];
        files.insert("chapters/x/01-a/lesson.md", lesson.concat().into_bytes());
        files.insert("chapters/x/01-a/files/pod.yaml", &b"a: 1\n---\nb: [\n"[..]);
        let lab = "id: l\nchapter: ch01\ntitle: L\ntasks:\n- {id: ch01-s, say: x, hints: [x], expect: {object: {kind: Pod}}}\n- {id: ch01-t, say: x, hints: [x], expect: {object: {kind: Pod}, where: 'items.size() == 1'}}\n";
        files.insert("labs/x/01-l/lab.yaml", lab.as_bytes());
        for (name, text) in [("brief.md", "B"), ("debrief.md", "D"), ("solutions/a.sh", "ls"), ("solutions/b.sh", "ls"), ("wrong/w.sh", "# expect: crash-lop\n# check: ch01-t\nls\n")] {
            files.insert(format!("labs/x/01-l/{name}"), text.as_bytes());
        }
        let said: Vec<String> = source(&files).unwrap().iter().map(ToString::to_string).collect();
        let expected = [
            "lesson.md:7:1: error: `pods.yaml` is not among the chapter's files; did you mean `pod.yaml`?",
            "lesson.md:12:1: error: check ch01-cel",
            "lesson.md:18:1: error: check ch01-pattern",
            "error: check ch01-kind: no cluster serves the kind `Deploymnet` by itself; did you mean `Deployment`?",
            "error: check ch01-name: nothing is called `metdata` in `metdata.name == \"a\"`; did you mean `metadata`?",
            "error: check ch01-unbound: nothing is called `was`",
            "warning: check ch01-null: a field that is absent is never `== null`",
            "error: check ch01-url: \"localhost:8080\" is no address; begin it with http://",
            "warning: check ch01-any: `exec` goes to any Pod of default",
            "01-a/files/pod.yaml:",
            "lab.yaml:6:1: error: check ch01-t: nothing is called `items`",
            "wrong/w.sh:1:1: error: `crash-lop` is no reason a check can give; did you mean `crash-loop`?",
        ];
        for expected in expected {
            assert!(said.iter().any(|text| text.contains(expected)), "{expected} not in {said:#?}");
        }
        assert_eq!(said.len(), expected.len(), "and nothing else: {said:#?}");
    }
}
