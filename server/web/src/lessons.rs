//! Lessons of a [`drydock_course::Course`], in the page's shape.

use std::sync::Arc;

use drydock_course::chapter::{self as lesson, BlockKind};
use drydock_course::check::Check;
use drydock_course::course::Entry;
use drydock_course::lab::Lab;

use crate::course::{Block, Chapter, ChapterOutline, CourseSource, Outline, Section, SectionKind, SectionOutline, Solution};

/// A course that does not change while the page is served.
pub struct Lessons {
    outline: Arc<Outline>,
    chapters: Vec<(String, Result<Arc<Chapter>, String>)>,
}

impl Lessons {
    /// Shape a course for the page.
    #[must_use]
    pub fn new(course: &drydock_course::Course) -> Lessons {
        let content = |entry: &Entry| -> Option<(String, Result<Arc<Chapter>, String>)> {
            entry.directory.as_ref()?;
            let shaped = match &entry.chapter {
                Some(chapter) => Ok(Arc::new(shape(chapter))),
                None => Err(course.problems(entry).map(ToString::to_string).collect::<Vec<_>>().join("\n")),
            };
            Some((entry.id.clone(), shaped))
        };
        let chapters: Vec<_> = course.entries.iter().filter_map(content).collect();
        let of = |id: &str| chapters.iter().find(|(known, _)| known == id).and_then(|(_, shaped)| shaped.as_ref().ok());
        let outline = Outline {
            id: course.id.clone(),
            title: course.title.clone(),
            chapters: course.entries.iter().map(|entry| contents(entry, of(&entry.id).map(AsRef::as_ref))).collect(),
        };
        Lessons { outline: Arc::new(outline), chapters }
    }
}

impl CourseSource for Lessons {
    fn outline(&self) -> Arc<Outline> {
        Arc::clone(&self.outline)
    }

    fn chapter(&self, id: &str) -> Option<Result<Arc<Chapter>, String>> {
        self.chapters.iter().find(|(known, _)| known == id).map(|(_, shaped)| shaped.clone())
    }
}

fn contents(entry: &Entry, chapter: Option<&Chapter>) -> ChapterOutline {
    let section = |section: &Section| SectionOutline {
        id: section.id.clone(),
        title: section.title.clone(),
        kind: section.kind,
        level: section.level,
        checks: section
            .blocks
            .iter()
            .filter_map(|block| match block {
                Block::Check { id, optional: false, .. } => Some(id.clone()),
                _ => None,
            })
            .collect(),
    };
    ChapterOutline {
        id: entry.id.clone(),
        number: entry.number.clone(),
        title: entry.title.clone(),
        // One with errors can be opened: it says what is wrong.
        available: entry.directory.is_some(),
        sections: chapter.map(|chapter| chapter.sections.iter().map(section).collect()).unwrap_or_default(),
    }
}

fn shape(chapter: &lesson::Chapter) -> Chapter {
    let mut sections: Vec<Section> = chapter.sections.iter().map(section).collect();
    sections.extend(chapter.labs.iter().map(lab));
    Chapter { id: chapter.id.clone(), number: chapter.number.clone(), title: chapter.title.clone(), sections }
}

fn section(section: &lesson::Section) -> Section {
    Section {
        id: section.id.clone(),
        title: section.title.clone(),
        level: section.level,
        kind: match section.kind {
            lesson::SectionKind::Text => SectionKind::Text,
            lesson::SectionKind::Exercise => SectionKind::Exercise,
        },
        minutes: section.minutes,
        blocks: section.blocks.iter().filter_map(block).collect(),
        debrief: None,
        solutions: Vec::new(),
    }
}

fn lab(lab: &Lab) -> Section {
    let solution = |script: &drydock_course::lab::Script| Solution {
        title: script.title.clone(),
        text: match &script.background {
            Some(background) => format!("{}\n# in a second terminal:\n{background}", script.text),
            None => script.text.clone(),
        },
    };
    Section {
        id: lab.id.clone(),
        title: lab.title.clone(),
        level: 2,
        kind: SectionKind::Lab,
        minutes: lab.minutes,
        blocks: lab.brief.iter().filter_map(block).chain(lab.tasks.iter().map(check)).collect(),
        debrief: Some(lab.debrief.clone()),
        solutions: lab.solutions.iter().map(solution).collect(),
    }
}

/// What is shown of a block; hidden commands are for tests.
fn block(block: &lesson::Block) -> Option<Block> {
    Some(match &block.kind {
        BlockKind::Prose { html } => Block::Prose { html: html.clone() },
        BlockKind::Command(command) if command.hidden => return None,
        BlockKind::Command(command) => Block::Command {
            id: command.id.clone(),
            session: command.session.clone(),
            text: command.text.clone(),
            typed: command.typed,
            inside: command.inside.clone(),
        },
        BlockKind::Press { session, keys, .. } => {
            let keys: Vec<String> = keys.name().split('+').map(|key| format!("<kbd>{key}</kbd>")).collect();
            Block::Prose { html: format!("<p class=\"press\">Press {} in terminal <code>{session}</code>.</p>\n", keys.join(" + ")) }
        }
        BlockKind::Output { text, .. } => Block::Output { text: text.clone() },
        BlockKind::Code { language, path, text } => {
            Block::Code { language: language.clone(), path: path.as_ref().map(|path| format!("~/{path}")), text: text.clone() }
        }
        BlockKind::Ask(ask) => {
            Block::Ask { id: ask.id.clone(), say: ask.say.clone(), options: ask.options.clone(), prediction: ask.prediction }
        }
        BlockKind::Check { check: of } => check(of),
    })
}

fn check(check: &Check) -> Block {
    Block::Check { id: check.id.clone(), say: check.say.clone(), optional: check.optional, hints: check.hints.clone() }
}

#[cfg(test)]
mod tests {
    use drydock_course::Course;
    use drydock_course::source::Memory;

    use super::*;

    fn course(lesson: &'static str) -> Lessons {
        let mut files = Memory::new();
        files.insert("chapters/x/course.yaml", &b"id: x\ntitle: X\nchapters: [01-a, {id: ch02, number: '2', title: B}]\n"[..]);
        files.insert("chapters/x/01-a/lesson.md", lesson.as_bytes());
        Lessons::new(&Course::load(&files, "x").unwrap())
    }

    const LESSON: &str = "---\nid: ch01\ntitle: A\n---\nText.\n\n## Do {#do .try est=3m}\n\n```sh run\nls\n```\n\n```sh run hidden\nls\n```\n\n\
                          ```yaml check id=ch01-a\nsay: It is so\nexpect: {saw: {matches: ls}}\n```\n";

    #[test]
    fn a_chapter_has_the_shape_of_the_page() {
        let lessons = course(LESSON);
        let outline = lessons.outline();
        assert_eq!(outline.chapters[0].sections[1].checks, ["ch01-a"]);
        assert!(outline.chapters[0].available && !outline.chapters[1].available);
        let chapter = lessons.chapter("ch01").unwrap().unwrap();
        assert_eq!(chapter.sections[1].blocks.len(), 2, "{chapter:?}");
        assert!(lessons.chapter("ch02").is_none());
    }

    #[test]
    fn a_chapter_with_errors_says_so() {
        let lessons = course("---\nid: ch01\ntitle: A\n---\n# No\n");
        let problem = lessons.chapter("ch01").unwrap().unwrap_err();
        assert!(problem.starts_with("chapters/x/01-a/lesson.md:5:1: error:"), "{problem}");
    }
}
