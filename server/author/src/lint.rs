//! What can be said about content without running it: the course's own diagnostics, and whether checks can be judged at all.

use drydock_checks::compile::Library;
use drydock_checks::verdict::Reason;
use drydock_course::chapter::{Chapter, Section};
use drydock_course::check::Check;
use drydock_course::course::Course;
use drydock_course::diagnostic::{Diagnostic, Severity};
use drydock_course::lab::Lab;
use drydock_course::source::Source;
use serde_json::json;

/// Look at every course of a source.
///
/// # Errors
/// When directories cannot be read.
pub fn source(source: &dyn Source) -> std::io::Result<Vec<Diagnostic>> {
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
        chapter_checks(chapter, &mut found);
        for lab in &chapter.labs {
            lab_answers(lab, &mut found);
        }
    }
    found.sort();
    found
}

fn error(file: String, line: usize, message: String, help: &str) -> Diagnostic {
    Diagnostic { file, line, column: 1, severity: Severity::Error, message, help: Some(help.to_owned()) }
}

fn chapter_checks(chapter: &Chapter, found: &mut Vec<Diagnostic>) {
    let help = "the expression must be CEL, the pattern a regular expression";
    for (section, check) in chapter.checks() {
        if let Err(problem) = Library::of([check]) {
            let line = line_of(section, check);
            found.push(error(format!("{}/lesson.md", chapter.directory), line, problem.to_string(), help));
        }
    }
    for lab in &chapter.labs {
        for problem in lab.tasks.iter().filter_map(|task| Library::of([task]).err()) {
            found.push(error(format!("{}/lab.yaml", lab.directory), 1, problem.to_string(), help));
        }
    }
}

fn line_of(section: &Section, check: &Check) -> usize {
    use drydock_course::chapter::BlockKind;
    let block = section.blocks.iter().find(|block| matches!(&block.kind, BlockKind::Check { check: other } if other.id == check.id));
    block.map_or(section.line, |block| block.line)
}

fn lab_answers(lab: &Lab, found: &mut Vec<Diagnostic>) {
    for wrong in &lab.wrong {
        if !wrong.reason.is_empty() && reason(&wrong.reason).is_none() {
            let file = format!("{}/wrong/{}.sh", lab.directory, wrong.script.name);
            found.push(error(file, 1, format!("`{}` is no reason a check can give", wrong.reason), "take one of those in drydock_checks::verdict::Reason"));
        }
    }
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
    fn checks_that_cannot_be_judged_are_named() {
        let mut files = Memory::new();
        files.insert("chapters/x/course.yaml", &b"id: x\ntitle: X\nchapters: [01-a]\n"[..]);
        let lesson = "---\nid: ch01\ntitle: A\n---\n## A {#a .try}\n\n```yaml check id=a\nsay: x\nexpect: {object: {kind: Pod}, where: 'status..x'}\n```\n\n\
                      ```yaml check id=b\nsay: x\nexpect: {saw: {matches: '('}}\n```\n";
        files.insert("chapters/x/01-a/lesson.md", lesson.as_bytes());
        let lab = "id: l\nchapter: ch01\ntitle: L\ntasks: [{id: t, say: x, expect: {object: {kind: Pod}}}]\n";
        files.insert("labs/x/01-l/lab.yaml", lab.as_bytes());
        for (name, text) in [("brief.md", "B"), ("debrief.md", "D"), ("solutions/a.sh", "ls"), ("solutions/b.sh", "ls"), ("wrong/w.sh", "# expect: bad-luck\n# check: t\nls\n")] {
            files.insert(format!("labs/x/01-l/{name}"), text.as_bytes());
        }
        let said: Vec<String> = source(&files).unwrap().iter().map(ToString::to_string).collect();
        for expected in ["lesson.md:7:1: error: check a", "lesson.md:12:1: error: check b", "wrong/w.sh:1:1: error: `bad-luck` is no reason"] {
            assert!(said.iter().any(|text| text.contains(expected)), "{expected} not in {said:#?}");
        }
    }
}
