//! What a chapter is: sections of blocks. A heading begins a section; a heading with `.try` begins an exercise.

use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::lab::Lab;
use crate::output::MatchRule;
use crate::render::Link;

/// A chapter.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chapter {
    /// Id, also the path of its page: `ch02`.
    pub id: String,
    /// Number in the book.
    pub number: String,
    /// Title.
    pub title: String,
    /// Its directory, `chapters/lunches/02-pods`.
    pub directory: String,
    /// The part of the book it goes with.
    pub book: Option<BookRef>,
    /// What it is about, in one sentence.
    pub summary: Option<String>,
    /// Chapters that come first.
    pub needs: Vec<String>,
    /// Sections in order; the first has no title when there is text before the first heading.
    pub sections: Vec<Section>,
    /// The labs at its end.
    pub labs: Vec<Lab>,
    /// Files for the learner's home.
    #[serde(skip)]
    pub files: Vec<HomeFile>,
    /// Addresses in its text, to be looked at when the whole course is known.
    #[serde(skip)]
    pub(crate) links: Vec<Link>,
}

impl Chapter {
    /// All blocks in order, with the section they stand in.
    pub fn blocks(&self) -> impl Iterator<Item = (&Section, &Block)> {
        self.sections.iter().flat_map(|section| section.blocks.iter().map(move |block| (section, block)))
    }

    /// All commands in order.
    pub fn commands(&self) -> impl Iterator<Item = &Command> {
        self.blocks().filter_map(|(_, block)| match &block.kind {
            BlockKind::Command(command) => Some(command),
            _ => None,
        })
    }

    /// All questions in order.
    pub fn asks(&self) -> impl Iterator<Item = &Ask> {
        self.blocks().filter_map(|(_, block)| match &block.kind {
            BlockKind::Ask(ask) => Some(ask),
            _ => None,
        })
    }

    /// Every check of the chapter: those of the lesson, then those of the labs.
    pub fn all_checks(&self) -> impl Iterator<Item = &Check> {
        self.checks().map(|(_, check)| check).chain(self.labs.iter().flat_map(|lab| lab.tasks.iter()))
    }

    /// All checks of the lesson in order, with the section they stand in; those of labs are in [`Chapter::labs`].
    pub fn checks(&self) -> impl Iterator<Item = (&Section, &Check)> {
        self.blocks().filter_map(|(section, block)| match &block.kind {
            BlockKind::Check { check } => Some((section, check.as_ref())),
            _ => None,
        })
    }

    /// The section with this id.
    pub fn section(&self, id: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.id == id)
    }
}

/// A place in the book.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BookRef {
    /// Chapter.
    pub chapter: u32,
    /// Section, as `2.1`.
    #[serde(default)]
    pub section: Option<String>,
    /// Page.
    #[serde(default)]
    pub page: Option<u32>,
}

/// A file for the learner's home.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HomeFile {
    /// Relative to the home, as `lunches/ch02/pod.yaml`.
    pub path: String,
    /// Text.
    pub contents: String,
}

/// What a section is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SectionKind {
    /// Text.
    #[default]
    Text,
    /// A try-it-now.
    Exercise,
}

/// A section.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Section {
    /// Unique in the chapter; the fragment of its address.
    pub id: String,
    /// Title as text, with `code` in backticks; empty before the first heading.
    pub title: String,
    /// Title as HTML.
    pub title_html: String,
    /// Heading level, 2 or 3.
    pub level: u8,
    /// What it is.
    pub kind: SectionKind,
    /// An exercise beside the book: nothing waits for it, and its checks are optional.
    pub drill: bool,
    /// Its number in the inventory of the book's exercises, as `E2.01`.
    pub reference: Option<String>,
    /// The book's section it goes with, as `2.1`.
    pub book: Option<String>,
    /// Minutes it takes.
    pub minutes: Option<u32>,
    /// Content in order.
    pub blocks: Vec<Block>,
    /// Line of its heading.
    pub line: usize,
}

impl Section {
    /// The checks in order.
    pub fn checks(&self) -> impl Iterator<Item = &Check> {
        self.blocks.iter().filter_map(|block| match &block.kind {
            BlockKind::Check { check } => Some(check.as_ref()),
            _ => None,
        })
    }
}

/// A piece of a section.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Block {
    /// Line where it begins.
    pub line: usize,
    /// What it is.
    #[serde(flatten)]
    pub kind: BlockKind,
}

/// What a block is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum BlockKind {
    /// Prose, tables, lists, asides, figures.
    Prose {
        /// HTML.
        html: String,
    },
    /// Commands for a terminal.
    Command(Command),
    /// Keys pressed in a terminal, `Ctrl+C`.
    Press {
        /// Unique in the chapter.
        id: String,
        /// Terminal.
        session: String,
        /// The keys.
        keys: Keys,
    },
    /// What a command prints.
    Output {
        /// The command's id.
        of: String,
        /// How it is compared.
        rule: MatchRule,
        /// Text.
        text: String,
    },
    /// A listing.
    Code {
        /// Language, as `yaml`.
        language: String,
        /// The chapter's file it is, relative to the chapter's directory in the learner's home.
        path: Option<String>,
        /// Text.
        text: String,
    },
    /// A question.
    Ask(Ask),
    /// A check.
    Check {
        /// As the author wrote it.
        check: Box<Check>,
    },
}

/// Commands for a terminal.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Command {
    /// Unique in the chapter.
    pub id: String,
    /// Terminal.
    pub session: String,
    /// Shell text.
    pub text: String,
    /// To be typed by the learner: no run button.
    pub typed: bool,
    /// The program it belongs into when that is not the shell, as `kubectl` for a shell in a Pod.
    pub inside: Option<String>,
    /// It goes on until it is interrupted.
    pub stays: bool,
    /// How it must end.
    pub exit: Exit,
    /// Seconds it may take in a test; a default when absent.
    pub timeout: Option<u32>,
    /// It is run by tests but not shown.
    pub hidden: bool,
}

/// How a command must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// Somehow.
    Any,
}

impl Default for Exit {
    fn default() -> Exit {
        Exit::Code(0)
    }
}

/// Keys a lesson may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Keys {
    /// Interrupt.
    #[serde(rename = "Ctrl+C")]
    Interrupt,
    /// End of input.
    #[serde(rename = "Ctrl+D")]
    EndOfInput,
    /// Enter.
    #[serde(rename = "Enter")]
    Enter,
}

impl Keys {
    /// Every one, with the name authors write.
    pub const ALL: [(&'static str, Keys); 3] = [("Ctrl+C", Keys::Interrupt), ("Ctrl+D", Keys::EndOfInput), ("Enter", Keys::Enter)];

    /// The byte a terminal sends.
    pub fn byte(self) -> u8 {
        match self {
            Keys::Interrupt => 3,
            Keys::EndOfInput => 4,
            Keys::Enter => b'\r',
        }
    }

    /// The name authors write.
    pub fn name(self) -> &'static str {
        match self {
            Keys::Interrupt => "Ctrl+C",
            Keys::EndOfInput => "Ctrl+D",
            Keys::Enter => "Enter",
        }
    }
}

/// A question.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ask {
    /// Unique in the course.
    pub id: String,
    /// The question, with `code` in backticks.
    pub say: String,
    /// Choices; empty for free text.
    pub options: Vec<String>,
    /// The right one, when the page itself knows it; a check knows the others (`answer:`).
    pub answer: Option<String>,
    /// Why, shown after answering.
    pub because: Option<String>,
    /// Asked before the fact: any answer is fine.
    pub prediction: bool,
    /// Shell text that prints the right answer, for tests.
    pub solve: Option<String>,
}
