//! The course behind the page's seam, and what a cluster needs of it: nodes, files of the home, names on the lab's Internet.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use drydock_checks::elsewhere::{Place, advice, impossible, impossible_command, impossible_unit, makes};
use drydock_checks::plan::Plan;
use drydock_cluster::spawn::Balancers;
use drydock_course::chapter::{self, Ask, BlockKind, Exit};
use drydock_course::check::Check;
use drydock_course::course::{Course, Entry, Profile};
use drydock_course::diagnostic::Diagnostic;
use drydock_course::lab::Lab;
use drydock_course::source::{self, Directory, Source};
use drydock_web::course::{Block, Chapter, ChapterOutline, CourseSource, Outline, Section, SectionKind, SectionOutline, Solution};
use drydock_web::page::inline;

/// The track that is opened.
const TRACK: &str = "lunches";

/// A course with the files beside its lessons.
pub(crate) struct Content {
    course: Course,
    /// On whose cluster it is done.
    place: Place,
    internet: Vec<(String, String, String)>,
}

impl Content {
    /// The course of a directory, or the one inside the program.
    pub(crate) fn load(directory: Option<&Path>) -> anyhow::Result<Content> {
        match directory {
            Some(directory) => Content::read(&Directory::new(directory)).with_context(|| format!("the content of {}", directory.display())),
            None => Content::read(&source::embedded()),
        }
    }

    fn read(source: &dyn Source) -> anyhow::Result<Content> {
        let course = Course::load(source, TRACK).map_err(|problems| anyhow::anyhow!(sentences(&problems)))?;
        let mut internet = Vec::new();
        let root = format!("chapters/{TRACK}/internet/");
        for path in source.list(root.trim_end_matches('/'))? {
            let (host, below) = match path.trim_start_matches(&root) {
                "names.yaml" => ("", "names.yaml"),
                below => below.split_once('/').with_context(|| format!("{path}: a file of the lab's Internet stands below a directory with its host's name"))?,
            };
            internet.push((host.to_owned(), format!("/{below}"), String::from_utf8_lossy(&source.read(&path)?).into_owned()));
        }
        Ok(Content { course, place: Place::Ours, internet })
    }

    /// The same for another cluster: what cannot be done there says why.
    pub(crate) fn at(self, place: Place) -> Content {
        Content { place, ..self }
    }

    /// The course itself.
    pub(crate) fn course(&self) -> &Course {
        &self.course
    }

    /// Nodes the course asks for.
    pub(crate) fn nodes(&self) -> u32 {
        self.course.scene.nodes
    }

    /// Who serves load balancers in the course's kind of cluster.
    pub(crate) fn balancers(&self) -> Balancers {
        match self.course.scene.profile {
            Profile::Desktop => Balancers::Desktop,
            Profile::Cloud => Balancers::Cloud,
            Profile::Bare => Balancers::Bare,
        }
    }

    /// Files of the learner's home: path and contents.
    pub(crate) fn home_files(&self) -> Vec<(String, String)> {
        self.course.home_files().into_iter().map(|file| (file.path, file.contents)).collect()
    }

    /// Pages of the lab's Internet: host, path and contents.
    pub(crate) fn internet(&self) -> Vec<(String, String, String)> {
        self.internet.clone()
    }

    /// Questions by id.
    pub(crate) fn asks(&self) -> BTreeMap<String, Ask> {
        let blocks = self.course.chapters().flat_map(|chapter| chapter.blocks().map(|(_, block)| &block.kind).collect::<Vec<_>>());
        let asks = blocks.filter_map(|kind| match kind {
            BlockKind::Ask(ask) => Some((ask.id.clone(), ask.clone())),
            _ => None,
        });
        asks.collect()
    }

    /// What the grader judges.
    pub(crate) fn plans(&self) -> Vec<Plan> {
        self.course.chapters().map(|chapter| Plan::of(chapter).at(self.place)).collect()
    }
}

fn sentences<'a>(problems: impl IntoIterator<Item = &'a Diagnostic>) -> String {
    problems.into_iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Lessons for the page.
pub(crate) struct Lessons {
    outline: Arc<Outline>,
    chapters: BTreeMap<String, Result<Arc<Chapter>, String>>,
}

impl Lessons {
    /// Everything the page shows of a course.
    pub(crate) fn new(content: &Content) -> Lessons {
        let course = content.course();
        let book = Some(&course.book).filter(|book| !book.title.is_empty()).map(|book| format!("{}, by {}", book.title, book.author));
        let outline = Outline { id: course.id.clone(), title: course.title.clone(), book, chapters: course.entries.iter().map(|entry| outline_of(entry, content.place)).collect() };
        let mut chapters = BTreeMap::new();
        for entry in &course.entries {
            match &entry.chapter {
                Some(chapter) => chapters.insert(entry.id.clone(), Ok(Arc::new(page_of(chapter, content.place)))),
                None if entry.directory.is_some() => chapters.insert(entry.id.clone(), Err(sentences(course.problems(entry)))),
                None => None,
            };
        }
        Lessons { outline: Arc::new(outline), chapters }
    }
}

impl CourseSource for Lessons {
    fn outline(&self) -> Arc<Outline> {
        Arc::clone(&self.outline)
    }

    fn chapter(&self, id: &str) -> Option<Result<Arc<Chapter>, String>> {
        self.chapters.get(id).cloned()
    }
}

fn outline_of(entry: &Entry, place: Place) -> ChapterOutline {
    let judged = |check: &&Check| impossible(check, place).is_none();
    let counts = |check: &&Check| !check.optional && judged(check);
    let ids = |section: &chapter::Section, which: &dyn Fn(&&Check) -> bool| -> Vec<String> {
        let here = section.checks().filter(|check| which(check)).filter(|_| lost(section, place).is_none());
        here.map(|check| check.id.clone()).collect()
    };
    let mut sections = Vec::new();
    if let Some(chapter) = &entry.chapter {
        sections.extend(chapter.sections.iter().filter(|section| !section.title.is_empty()).map(|section| SectionOutline {
            id: section.id.clone(),
            title: section.title.clone(),
            kind: kind(section),
            level: section.level,
            minutes: section.minutes,
            book: section.book.clone(),
            checks: ids(section, &counts),
            drill: if section.checks().all(|check| check.optional) { ids(section, &judged) } else { Vec::new() },
        }));
        sections.extend(chapter.labs.iter().map(|lab| SectionOutline {
            id: lab.id.clone(),
            title: lab.title.clone(),
            kind: SectionKind::Lab,
            level: 2,
            minutes: lab.minutes,
            book: None,
            checks: lab.tasks.iter().filter(counts).map(|task| task.id.clone()).collect(),
            drill: Vec::new(),
        }));
    }
    ChapterOutline {
        id: entry.id.clone(),
        number: entry.number.clone(),
        title: entry.title.clone(),
        summary: entry.chapter.as_ref().and_then(|chapter| chapter.summary.clone()),
        available: entry.directory.is_some(),
        sections,
    }
}

fn kind(section: &chapter::Section) -> SectionKind {
    match section.kind {
        chapter::SectionKind::Exercise => SectionKind::Exercise,
        chapter::SectionKind::Text => SectionKind::Text,
    }
}

fn page_of(chapter: &chapter::Chapter, place: Place) -> Chapter {
    let advice = advice(chapter, place);
    let told = |id: &str| advice.get(id).into_iter().flatten().map(|text| note(text));
    let mut sections: Vec<Section> = chapter
        .sections
        .iter()
        .map(|section| Section {
            id: section.id.clone(),
            title: section.title.clone(),
            level: section.level,
            kind: kind(section),
            minutes: section.minutes,
            book: section.book.clone(),
            blocks: told(&section.id).filter(|_| lost(section, place).is_none()).chain(blocks_of(section, place)).collect(),
            debrief: None,
            solutions: Vec::new(),
        })
        .collect();
    sections.extend(chapter.labs.iter().map(|lab| {
        let section = lab_of(lab, place);
        Section { blocks: told(&lab.id).chain(section.blocks).collect(), ..section }
    }));
    Chapter { id: chapter.id.clone(), number: chapter.number.clone(), title: chapter.title.clone(), summary: chapter.summary.clone(), directory: directory_of(chapter), sections }
}

/// What to know before an exercise on a cluster that is not ours, set as the lesson's own notes.
fn note(text: &str) -> Block {
    let html = format!("<blockquote class=\"markdown-alert markdown-alert-important\">\n<p class=\"markdown-alert-title\">On your cluster</p>\n<p>{}</p>\n</blockquote>\n", inline(text));
    Block::Prose { html }
}

/// Where the files of a chapter are: `lunches/ch03/numbers/api.yaml` is in `~/lunches/ch03`.
fn directory_of(chapter: &chapter::Chapter) -> Option<String> {
    let below = chapter.files.iter().find_map(|file| {
        let at = file.path.find(&format!("/{}/", chapter.id))?;
        Some(&file.path[..=at + chapter.id.len()])
    });
    below.map(|below| format!("~/{below}"))
}

fn lab_of(lab: &Lab, place: Place) -> Section {
    let mut blocks: Vec<Block> = lab.brief.iter().filter_map(block).collect();
    blocks.extend(lab.tasks.iter().map(|task| check(task, place)));
    let solutions = lab.solutions.iter().map(|script| Solution {
        title: script.title.clone(),
        text: match &script.background {
            Some(background) => format!("{}\n# in a second terminal:\n{background}", script.text),
            None => script.text.clone(),
        },
    });
    Section {
        id: lab.id.clone(),
        title: lab.title.clone(),
        level: 2,
        kind: SectionKind::Lab,
        minutes: lab.minutes,
        book: None,
        blocks,
        debrief: Some(lab.debrief.clone()),
        solutions: solutions.collect(),
    }
}

/// Why a section cannot be done there.
fn lost(section: &chapter::Section, place: Place) -> Option<&'static str> {
    let commands = section.blocks.iter().filter_map(|block| match &block.kind {
        BlockKind::Command(command) if command.inside.is_none() => Some(command.text.as_str()),
        _ => None,
    });
    impossible_unit(commands, section.checks(), place).filter(|_| section.kind == chapter::SectionKind::Exercise)
}

/// The blocks of a section. An exercise that cannot be done here says so at its beginning, and is there to be read.
fn blocks_of(section: &chapter::Section, place: Place) -> Vec<Block> {
    let Some(why) = lost(section, place) else {
        let here = |found: &chapter::Block| match &found.kind {
            BlockKind::Check { check: wanted } => vec![check(wanted, place)],
            BlockKind::Command(command) if !command.hidden && command.inside.is_none() && impossible_command(&command.text, place).is_some() => {
                let why = impossible_command(&command.text, place).unwrap_or_default().to_owned();
                vec![Block::Code { language: "sh".into(), path: None, text: command.text.clone() }, Block::NotHere { say: String::new(), why }]
            }
            _ => block(found).into_iter().collect(),
        };
        return section.blocks.iter().flat_map(here).collect();
    };
    let mut blocks = vec![Block::NotHere { say: String::new(), why: why.to_owned() }];
    blocks.extend(section.blocks.iter().filter_map(|found| match &found.kind {
        BlockKind::Command(command) if !command.hidden && !(place == Place::Idle && command.inside.is_none() && makes(&command.text)) => Some(Block::Code { language: "sh".into(), path: None, text: command.text.clone() }),
        BlockKind::Check { .. } | BlockKind::Press { .. } | BlockKind::Ask(_) => None,
        _ => block(found),
    }));
    blocks
}

/// A block as the page shows it; `None` for those only tests run.
fn block(block: &chapter::Block) -> Option<Block> {
    Some(match &block.kind {
        BlockKind::Prose { html, .. } => Block::Prose { html: html.clone() },
        BlockKind::Command(command) if command.hidden => return None,
        BlockKind::Command(command) => Block::Command {
            id: command.id.clone(),
            session: command.session.clone(),
            text: command.text.clone(),
            typed: command.typed,
            inside: command.inside.clone(),
            exit: match command.exit {
                Exit::Code(code) => Some(code),
                Exit::Any => None,
            },
        },
        BlockKind::Press { id, session, keys } => Block::Press { id: id.clone(), session: session.clone(), name: keys.name().to_owned(), byte: keys.byte() },
        BlockKind::Output { text, .. } => Block::Output { text: text.clone() },
        BlockKind::Code { language, path, text } => Block::Code { language: language.clone(), path: path.clone(), text: text.clone() },
        BlockKind::Ask(ask) => Block::Ask { id: ask.id.clone(), say: ask.say.clone(), options: ask.options.clone(), prediction: ask.prediction },
        BlockKind::Check { check: wanted } => check(wanted, Place::Ours),
    })
}

fn check(check: &Check, place: Place) -> Block {
    if let Some(why) = impossible(check, place) {
        return Block::NotHere { say: check.say.clone(), why: why.to_owned() };
    }
    Block::Check { id: check.id.clone(), say: check.say.clone(), optional: check.optional, hints: check.hints.clone() }
}
