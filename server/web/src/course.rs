//! What a lesson is to the page: chapters of sections of blocks. Where they come from is behind [`CourseSource`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Where lessons come from.
pub trait CourseSource: Send + Sync + 'static {
    /// The contents of the book.
    fn outline(&self) -> Arc<Outline>;

    /// One chapter; `None` if there is none of this id, an error if it does not parse (what, where, what to do).
    fn chapter(&self, id: &str) -> Option<Result<Arc<Chapter>, String>>;
}

/// The contents of a book.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outline {
    /// Id of the book, as `lunches`.
    pub id: String,
    /// Short title for the top bar.
    pub title: String,
    /// The book it goes with, in a line.
    pub book: Option<String>,
    /// Chapters in order.
    pub chapters: Vec<ChapterOutline>,
}

/// One line of the contents, with what is under it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChapterOutline {
    /// Id, also the path: `/ch02`.
    pub id: String,
    /// Number in the book.
    pub number: String,
    /// Title.
    pub title: String,
    /// What it is about, in a sentence.
    pub summary: Option<String>,
    /// Whether it can be opened.
    pub available: bool,
    /// Sections in order.
    pub sections: Vec<SectionOutline>,
}

/// A section in the contents.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SectionOutline {
    /// Id, also the fragment.
    pub id: String,
    /// Title.
    pub title: String,
    /// What it is.
    pub kind: SectionKind,
    /// Heading level, 2 or 3.
    pub level: u8,
    /// Minutes it takes.
    pub minutes: Option<u32>,
    /// The book's section it goes with, as `2.1`.
    pub book: Option<String>,
    /// Checks that count.
    pub checks: Vec<String>,
    /// The checks of a drill: a section in which none counts.
    pub drill: Vec<String>,
}

/// What a section is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SectionKind {
    /// Text.
    #[default]
    Text,
    /// A try-it-now.
    Exercise,
    /// The lab at the end.
    Lab,
}

/// A chapter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chapter {
    /// Id.
    pub id: String,
    /// Number in the book.
    pub number: String,
    /// Title.
    pub title: String,
    /// What it is about, in a sentence.
    pub summary: Option<String>,
    /// The directory of its files, below the learner's home (`~/lunches/ch03`): where its terminals start.
    pub directory: Option<String>,
    /// Sections in order; the first may have no title (text before the first heading).
    pub sections: Vec<Section>,
}

/// A section.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Section {
    /// Id.
    pub id: String,
    /// Title, empty before the first heading.
    pub title: String,
    /// Heading level, 2 or 3.
    pub level: u8,
    /// What it is.
    pub kind: SectionKind,
    /// Minutes it takes.
    pub minutes: Option<u32>,
    /// The book's section it goes with, as `2.1`.
    pub book: Option<String>,
    /// Content in order.
    pub blocks: Vec<Block>,
    /// What comes when it is done, as HTML: the debrief of a lab.
    pub debrief: Option<String>,
    /// Ways to solve it, shown when solved or asked for twice.
    pub solutions: Vec<Solution>,
}

/// A way to solve a lab.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Solution {
    /// Title, as `Relabel the Pod`.
    pub title: String,
    /// Shell text.
    pub text: String,
}

/// A piece of a section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Block {
    /// Prose, tables, lists, asides: HTML from our own Markdown renderer.
    Prose {
        /// HTML.
        html: String,
    },
    /// Commands to run.
    Command {
        /// Unique in the chapter.
        id: String,
        /// Terminal, `main` unless the lesson says otherwise.
        session: String,
        /// Shell text.
        text: String,
        /// To be typed by the learner: no run button.
        typed: bool,
        /// Belongs into this program, as `kubectl` for a shell in a Pod.
        inside: Option<String>,
        /// The exit code its commands are expected to have; `None` for any.
        exit: Option<i32>,
    },
    /// A key to be pressed in a terminal.
    Press {
        /// Unique in the chapter, among commands too.
        id: String,
        /// Terminal.
        session: String,
        /// Its name, as `Ctrl+C`.
        name: String,
        /// What it sends.
        byte: u8,
    },
    /// What a command prints.
    Output {
        /// Text.
        text: String,
    },
    /// A listing.
    Code {
        /// Language, as `yaml`.
        language: String,
        /// Where it is in the learner's home, if it is a file there.
        path: Option<String>,
        /// Text.
        text: String,
    },
    /// A question.
    Ask {
        /// Unique in the course.
        id: String,
        /// The question, with `code` in backticks.
        say: String,
        /// Choices; empty for free text.
        options: Vec<String>,
        /// Asked before the fact: any answer is fine.
        prediction: bool,
    },
    /// Something that this cluster does not allow: a check, or all that follows when it says nothing.
    NotHere {
        /// What would be true, with `code` in backticks.
        say: String,
        /// Why not, in a sentence.
        why: String,
    },
    /// A check.
    Check {
        /// Unique in the course.
        id: String,
        /// What is true when it is green, with `code` in backticks.
        say: String,
        /// Does not count.
        optional: bool,
        /// From a question to the answer.
        hints: Vec<String>,
    },
}
