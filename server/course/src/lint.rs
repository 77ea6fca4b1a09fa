//! What can only be said when the whole course is known: ids, needs, links, questions without a judge.

use std::collections::BTreeMap;

use crate::chapter::{Chapter, SectionKind};
use crate::check::{Check, Expect, Source};
use crate::course::Course;
use crate::diagnostic::{Diagnostic, Severity, did_you_mean};
use crate::lab::Lab;
use crate::render::Link;

/// Look at the course as a whole.
pub(crate) fn course(course: &mut Course) {
    let mut found = Vec::new();
    let mut ids: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for entry in &course.entries {
        let Some(chapter) = &entry.chapter else { continue };
        let mut linter = Linter { course, chapter, found: &mut found };
        linter.chapter(&mut ids);
    }
    course.diagnostics.extend(found);
}

struct Linter<'a> {
    course: &'a Course,
    chapter: &'a Chapter,
    found: &'a mut Vec<Diagnostic>,
}

impl Linter<'_> {
    fn say(&mut self, severity: Severity, file: &str, line: usize, message: String, help: impl Into<String>) {
        self.found.push(Diagnostic { file: file.to_owned(), line, column: 1, severity, message, help: Some(help.into()) });
    }

    fn chapter(&mut self, ids: &mut BTreeMap<String, (String, usize)>) {
        let chapter = self.chapter;
        let file = format!("{}/lesson.md", chapter.directory);
        for need in &chapter.needs {
            if !self.course.entries.iter().any(|entry| entry.id == *need) {
                self.say(Severity::Error, &file, 1, format!("needs: there is no chapter `{need}`"), "name one that course.yaml lists");
            }
        }
        for (_, block) in chapter.blocks() {
            use crate::chapter::BlockKind;
            match &block.kind {
                BlockKind::Check { check } => self.unique(ids, &check.id, &file, block.line),
                BlockKind::Ask(ask) => {
                    self.unique(ids, &ask.id, &file, block.line);
                    self.ask(ask, &file, block.line);
                }
                _ => {}
            }
        }
        for section in &chapter.sections {
            let checks: Vec<(&Check, usize)> = section.blocks.iter().filter_map(|block| match &block.kind {
                crate::chapter::BlockKind::Check { check } => Some((&**check, block.line)),
                _ => None,
            }).collect();
            if section.kind == SectionKind::Exercise && checks.is_empty() {
                let message = format!("exercise `{}` has no check", section.id);
                self.say(Severity::Error, &file, section.line, message, "write a check fence, or take `.try` out");
            }
            if section.kind == SectionKind::Exercise && section.minutes.is_none() {
                self.say(Severity::Warning, &file, section.line, format!("exercise `{}` does not say how long it takes", section.id), "write est=4m at its heading");
            }
            self.checks(&checks, &file);
        }
        for link in &chapter.links {
            self.link(link);
        }
        for lab in &chapter.labs {
            self.lab(lab, ids);
        }
    }

    fn lab(&mut self, lab: &Lab, ids: &mut BTreeMap<String, (String, usize)>) {
        let file = format!("{}/lab.yaml", lab.directory);
        for task in &lab.tasks {
            self.unique(ids, &task.id, &file, lab.line_of(&task.id));
        }
        let tasks: Vec<(&Check, usize)> = lab.tasks.iter().map(|task| (task, lab.line_of(&task.id))).collect();
        self.checks(&tasks, &file);
        for wrong in &lab.wrong {
            if !wrong.check.is_empty() && !lab.tasks.iter().any(|task| task.id == wrong.check) {
                let file = format!("{}/wrong/{}.sh", lab.directory, wrong.script.name);
                let help = did_you_mean(&wrong.check, lab.tasks.iter().map(|task| task.id.as_str())).unwrap_or_else(|| "name a task of this lab".into());
                self.say(Severity::Error, &file, 1, format!("there is no task `{}`", wrong.check), help);
            }
        }
        if lab.solutions.len() < 2 {
            self.say(Severity::Warning, &file, 1, "a lab has two solutions at least".into(), "write another way to do it, in solutions/");
        }
        if lab.wrong.is_empty() {
            self.say(Severity::Warning, &file, 1, "nobody has tried to get this lab wrong".into(), "write mistakes people make, in wrong/");
        }
        for link in &lab.links {
            self.link(link);
        }
    }

    fn unique(&mut self, ids: &mut BTreeMap<String, (String, usize)>, id: &str, file: &str, line: usize) {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if id.is_empty() || !id.bytes().all(plain) {
            self.say(Severity::Error, file, line, format!("id `{id}` is no name"), "use lower-case letters, digits and dashes");
        }
        if self.course.retired.iter().any(|retired| retired == id) {
            let help = "choose another one: learners have progress under the old one";
            self.say(Severity::Error, file, line, format!("id `{id}` is retired"), help);
        }
        match ids.get(id) {
            Some((other, at)) => {
                let message = format!("id `{id}` is taken, {other}:{at}");
                self.say(Severity::Error, file, line, message, "choose another one");
            }
            None => {
                ids.insert(id.to_owned(), (file.to_owned(), line));
            }
        }
    }

    /// Checks that stand together: what they need is there and goes one way, and questions they judge exist.
    fn checks(&mut self, checks: &[(&Check, usize)], file: &str) {
        for (index, (check, line)) in checks.iter().enumerate() {
            let line = *line;
            if !check.id.starts_with(&format!("{}-", self.chapter.id)) {
                let help = format!("begin it with `{}-`: ids are unique in the course", self.chapter.id);
                self.say(Severity::Warning, file, line, format!("check `{}` does not say which chapter it belongs to", check.id), help);
            }
            if check.hints.is_empty() {
                self.say(Severity::Warning, file, line, format!("check `{}` has no hint", check.id), "write one as a question, one that says where to look, one that says what to do");
            }
            for need in &check.needs {
                match checks.iter().position(|(other, _)| other.id == *need) {
                    None => {
                        let help = did_you_mean(need, checks.iter().map(|(check, _)| check.id.as_str())).unwrap_or_else(|| "name one beside it".into());
                        self.say(Severity::Error, file, line, format!("check {}: needs `{need}`, which is not here", check.id), help);
                    }
                    Some(other) if other >= index => {
                        let message = format!("check {}: needs `{need}`, which comes after it", check.id);
                        self.say(Severity::Error, file, line, message, "put it before");
                    }
                    Some(_) => {}
                }
            }
            for ask in answers(check) {
                if !self.chapter.asks().any(|known| known.id == ask) {
                    let help = did_you_mean(&ask, self.chapter.asks().map(|ask| ask.id.as_str())).unwrap_or_else(|| "write an ask fence".into());
                    self.say(Severity::Error, file, line, format!("check {}: there is no question `{ask}`", check.id), help);
                }
            }
        }
    }

    fn ask(&mut self, ask: &crate::chapter::Ask, file: &str, line: usize) {
        let judged: Vec<Option<String>> = self.chapter.all_checks().flat_map(equals).filter(|(id, _)| *id == ask.id).map(|(_, equals)| equals).collect();
        if ask.answer.is_none() && !ask.prediction && judged.is_empty() {
            let help = "write `answer:`, or `prediction: true`, or a check with `answer: {ask: ...}`";
            self.say(Severity::Error, file, line, format!("nobody can judge the answer to `{}`", ask.id), help);
        }
        let live = judged.iter().flatten().any(|equals| equals.contains("${"));
        if live && ask.solve.is_none() && ask.answer.is_none() {
            let help = "write `solve:` with shell text that prints the right answer";
            self.say(Severity::Error, file, line, format!("no test can answer `{}`", ask.id), help);
        }
    }

    fn link(&mut self, link: &Link) {
        let (page, fragment) = link.to.split_once('#').map_or((link.to.as_str(), None), |(page, fragment)| (page, Some(fragment)));
        let id = page.trim_start_matches('/');
        let target = if id.is_empty() { Some(self.chapter) } else { self.course.chapter(id).map(AsRef::as_ref) };
        let listed = self.course.entries.iter().any(|entry| entry.id == id);
        match (target, fragment) {
            (None, _) if listed => {}
            (None, _) => self.say(Severity::Error, &link.file, link.line, format!("there is no chapter `{id}`"), "name one that course.yaml lists"),
            (Some(chapter), Some(fragment)) => {
                let known = chapter.sections.iter().map(|section| section.id.as_str()).chain(chapter.labs.iter().map(|lab| lab.id.as_str()));
                if !known.clone().any(|id| id == fragment) {
                    let help = did_you_mean(fragment, known).unwrap_or_else(|| "name the id of a heading".into());
                    self.say(Severity::Error, &link.file, link.line, format!("there is no section `#{fragment}`"), help);
                }
            }
            (Some(_), None) => {}
        }
    }
}

/// Questions a check looks at.
fn answers(check: &Check) -> Vec<String> {
    equals(check).into_iter().map(|(ask, _)| ask).collect()
}

/// Questions a check looks at, with what their answer must be.
fn equals(check: &Check) -> Vec<(String, Option<String>)> {
    fn walk(expect: &Expect, found: &mut Vec<(String, Option<String>)>) {
        match expect {
            Expect::All(branches) | Expect::Any(branches) => branches.iter().for_each(|branch| walk(branch, found)),
            Expect::Not(branch) => walk(branch, found),
            Expect::One { source, .. } => {
                if let Source::Answer(answer) = source.as_ref() {
                    found.push((answer.ask.clone(), answer.equals.clone()));
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(&check.expect, &mut found);
    found
}
