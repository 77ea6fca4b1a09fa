//! Exercises, checks, questions and lists, as a terminal shows them.

use serde_json::{Value, json};

use super::paper::{Ink, Paper};
use crate::course::{Block, Chapter, Outline, Section, SectionKind};
use crate::progress::{Book, Given};
use crate::search::{Hit, Kind};
use crate::verdicts::{Outcome, Reason, Verdict};

/// How a check stands for the learner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Passed,
    /// Not true, and somebody has tried.
    Wrong,
    Waiting,
    /// Nothing was done for it yet.
    Open,
    Broken,
}

impl Standing {
    /// From its verdict and what was kept of it, as the page sees it.
    pub(super) fn of(verdict: Option<&Verdict>, kept: bool) -> Standing {
        let or_kept = |other| if kept { Standing::Passed } else { other };
        let Some(verdict) = verdict else { return or_kept(Standing::Open) };
        match verdict.verdict {
            Outcome::Pass => Standing::Passed,
            Outcome::Fail if matches!(verdict.reason, Some(Reason::NotTried | Reason::NotYet | Reason::Absent)) => or_kept(Standing::Open),
            Outcome::Fail => Standing::Wrong,
            Outcome::Waiting => or_kept(Standing::Waiting),
            Outcome::Error => Standing::Broken,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Standing::Passed => "passed",
            Standing::Wrong => "wrong",
            Standing::Waiting => "waiting",
            Standing::Open => "open",
            Standing::Broken => "broken",
        }
    }

    fn mark(self) -> (&'static str, Ink) {
        match self {
            Standing::Passed => ("✓", Ink::Green),
            Standing::Wrong => ("✗", Ink::Red),
            Standing::Waiting => ("…", Ink::Yellow),
            Standing::Open => ("○", Ink::Dim),
            Standing::Broken => ("!", Ink::Red),
        }
    }
}

/// A check of a section.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) id: &'a str,
    pub(super) say: &'a str,
    pub(super) optional: bool,
    pub(super) hints: &'a [String],
}

/// The checks of a section in order.
pub(super) fn checks(section: &Section) -> impl Iterator<Item = Line<'_>> {
    section.blocks.iter().filter_map(|block| match block {
        Block::Check { id, say, optional, hints } => Some(Line { id, say, optional: *optional, hints }),
        _ => None,
    })
}

/// What this cluster does not allow, and why.
fn not_here(paper: &mut Paper, say: &str, why: &str) {
    let text = if say.is_empty() { format!("Not on this cluster. {why}") } else { format!("{say}. Not judged on this cluster. {why}") };
    let text = paper.inline(&text);
    paper.paragraph("  - ", "    ", text.trim());
}

/// The exercises and labs of a chapter in order.
pub(super) fn units(chapter: &Chapter) -> impl Iterator<Item = &Section> {
    chapter.sections.iter().filter(|section| section.kind != SectionKind::Text)
}

/// Whether nothing is left to do in it; an optional one counts by what it has.
pub(super) fn is_finished(section: &Section, book: &Book) -> bool {
    let optional = checks(section).all(|check| check.optional);
    checks(section).filter(|check| optional || !check.optional).all(|check| book.passed.contains_key(check.id))
}

/// Its title without the words that all have.
pub(super) fn title(section: &Section) -> String {
    let title = section.title.trim_start_matches("Try it now: ").trim_start_matches("Lab: ");
    let mut chars = title.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Everything a view needs to know.
pub(super) struct View<'a> {
    pub(super) book: &'a Book,
    pub(super) verdicts: &'a [Verdict],
}

impl View<'_> {
    fn verdict(&self, check: &str) -> Option<&Verdict> {
        self.verdicts.iter().find(|verdict| verdict.check == check)
    }

    pub(super) fn standing(&self, check: &str) -> Standing {
        Standing::of(self.verdict(check), self.book.passed.contains_key(check))
    }

    /// Where the learner is: the chapter and how much of it is done.
    pub(super) fn heading(&self, paper: &mut Paper, chapter: &Chapter) {
        let counted: Vec<&str> = units(chapter).flat_map(checks).filter(|check| !check.optional).map(|check| check.id).collect();
        let passed = counted.iter().filter(|check| self.standing(check) == Standing::Passed).count();
        let title = paper.ink(Ink::Bold, &format!("Chapter {}: {}", chapter.number, chapter.title));
        paper.line(&format!("{title}  {}", paper.ink(Ink::Dim, &format!("{passed} of {} checks passed", counted.len()))));
    }

    /// The line above an exercise.
    pub(super) fn unit_heading(&self, paper: &mut Paper, chapter: &Chapter, section: &Section) {
        let number = units(chapter).position(|unit| unit.id == section.id).map(|place| format!("{}. ", place + 1)).unwrap_or_default();
        let optional = section.kind == SectionKind::Exercise && checks(section).next().is_some() && checks(section).all(|check| check.optional);
        let facts = [
            Some(if section.kind == SectionKind::Lab { "lab" } else { "try it now" }.to_owned()),
            section.minutes.map(|minutes| format!("{minutes} min")),
            section.book.as_ref().map(|book| format!("book {book}")),
            optional.then(|| "optional".to_owned()),
        ];
        let facts: Vec<String> = facts.into_iter().flatten().collect();
        let title = paper.ink(Ink::Bold, &format!("{number}{}", title(section)).replace('`', ""));
        paper.line(&format!("{title}  {}", paper.ink(Ink::Dim, &facts.join(" · "))));
    }

    /// The checks of a section, each with what is said about it.
    pub(super) fn checks(&self, paper: &mut Paper, section: &Section) {
        let mut before = String::new();
        for check in checks(section) {
            let standing = self.check(paper, &check);
            let said = self.verdict(check.id).map(|verdict| if verdict.lost { format!("No longer so: {}", verdict.why.first().cloned().unwrap_or_default()) } else { verdict.why.first().cloned().unwrap_or_default() });
            let said = said.unwrap_or_default();
            let silent = said.is_empty() || (standing == Standing::Passed && !said.starts_with("No longer")) || said == before;
            if !silent {
                let text = paper.inline(&said);
                paper.paragraph("      ", "      ", &text);
            }
            before = said;
        }
    }

    /// What of an exercise is not judged on this cluster, or why all of it cannot be done there.
    pub(super) fn not_here(&self, paper: &mut Paper, section: &Section) {
        let judged = checks(section).next().is_some();
        for block in &section.blocks {
            match block {
                Block::NotHere { say, why } if !(judged && say.is_empty()) => not_here(paper, say, why),
                _ => {}
            }
        }
    }

    fn check(&self, paper: &mut Paper, check: &Line<'_>) -> Standing {
        let standing = self.standing(check.id);
        let (mark, ink) = standing.mark();
        let optional = if check.optional { paper.ink(Ink::Dim, " (optional)") } else { String::new() };
        let text = format!("{}{optional}", paper.inline(check.say));
        let mark = paper.ink(ink, mark);
        paper.paragraph(&format!("  {mark} "), "    ", &text);
        standing
    }

    /// Why a check is red: the evidence, and as many sentences as were asked for.
    pub(super) fn why(&self, paper: &mut Paper, check: &Line<'_>, sentences: usize) {
        self.check(paper, check);
        let Some(verdict) = self.verdict(check.id) else { return paper.line("      It has not been looked at yet.") };
        for said in verdict.why.iter().take(sentences) {
            let text = paper.inline(said);
            paper.paragraph("      ", "      ", &text);
        }
        for seen in verdict.evidence.iter().filter(|seen| seen.got != seen.want && !seen.path.is_empty()).take(3) {
            let subject = format!("`{}`", format!("{} {}", seen.object, seen.path).trim());
            let text = format!("looked at {}: saw {}, wanted {}", paper.inline(&subject), value(&seen.got), value(&seen.want));
            paper.paragraph("      ", "        ", &text);
        }
        if !verdict.look_at.is_empty() && sentences > 1 {
            paper.paragraph("      ", "        ", &format!("worth a look: {}", verdict.look_at.join(", ")));
        }
    }

    /// A section with its text, commands and checks.
    pub(super) fn section(&self, paper: &mut Paper, chapter: &Chapter, section: &Section) {
        let first_check = section.blocks.iter().position(|block| matches!(block, Block::Check { .. }));
        for (place, block) in section.blocks.iter().enumerate() {
            match block {
                Block::Prose { html } => {
                    paper.gap();
                    paper.html(html);
                }
                Block::Command { id, session, text, inside, .. } => {
                    paper.gap();
                    let place = match (inside, session.as_str()) {
                        (Some(_), _) => Some("typed into what the command before opened:".to_owned()),
                        (None, "main") => None,
                        (None, other) => Some(format!("in another terminal ({other}):")),
                    };
                    if let Some(place) = place {
                        paper.line(&format!("    {}", paper.ink(Ink::Dim, &place)));
                    }
                    let ran = self.book.runs.contains(&format!("{}/{id}", chapter.id));
                    commands(paper, text, ran);
                }
                Block::Press { session, name, .. } => {
                    paper.gap();
                    let place = if session == "main" { String::new() } else { format!(" in the terminal {session}") };
                    paper.line(&format!("    Press {}{place}", paper.ink(Ink::Code, name)));
                }
                Block::Output { text } => {
                    paper.gap();
                    paper.line(&format!("    {}", paper.ink(Ink::Dim, "prints")));
                    paper.verbatim("      ", text, Some(Ink::Dim));
                }
                Block::Code { path, text, .. } => {
                    paper.gap();
                    if let Some(path) = path {
                        paper.line(&format!("    {}", paper.ink(Ink::Dim, &format!("~/{}", path.trim_start_matches("~/")))));
                    }
                    paper.verbatim("      ", text, None);
                }
                Block::Ask { id, say, options, prediction } => {
                    paper.gap();
                    self.ask(paper, section, (id, say, options, *prediction));
                }
                Block::NotHere { say, why } => {
                    paper.gap();
                    not_here(paper, say, why);
                }
                Block::Check { id, say, optional, hints } => {
                    if Some(place) == first_check {
                        paper.gap();
                    }
                    self.check(paper, &Line { id, say, optional: *optional, hints });
                }
            }
        }
    }

    fn ask(&self, paper: &mut Paper, section: &Section, (id, say, options, prediction): (&str, &str, &[String], bool)) {
        let word = if prediction { "Predict:" } else { "Question:" };
        let text = format!("{} {}", paper.ink(Ink::Bold, word), paper.inline(say));
        paper.paragraph("  ? ", "    ", &text);
        for (index, option) in options.iter().enumerate() {
            let text = paper.inline(option);
            paper.paragraph(&format!("    {}. ", index + 1), "       ", &text);
        }
        let text = match self.book.answers.get(id) {
            Some(given) => outcome(given, prediction, is_finished(section, self.book) && checks(section).next().is_some()),
            None if options.is_empty() => "Answer with `lab answer VALUE`.".to_owned(),
            None => "Answer with `lab answer NUMBER`.".to_owned(),
        };
        let text = paper.inline(&text);
        paper.paragraph("    ", "    ", &text);
    }

    /// The chapters, and the exercises of one.
    pub(super) fn list(&self, paper: &mut Paper, outline: &Outline, open: Option<&Chapter>, current: Option<&str>) {
        for chapter in &outline.chapters {
            let here = open.is_some_and(|open| open.id == chapter.id);
            let all: Vec<&String> = chapter.sections.iter().flat_map(|section| &section.checks).collect();
            let passed = all.iter().filter(|check| self.book.passed.contains_key(**check)).count();
            let tally = if chapter.available { format!("{passed}/{}", all.len()) } else { "not written yet".to_owned() };
            let name = paper.ink(if here { Ink::Bold } else { Ink::Code }, &format!("{:<5}", chapter.id));
            paper.line(&format!("{name} {:<2} {}  {}", chapter.number, chapter.title, paper.ink(Ink::Dim, &tally)));
            let Some(open) = open.filter(|_| here) else { continue };
            for (place, unit) in units(open).enumerate() {
                let done = is_finished(unit, self.book);
                let (mark, ink) = if done { Standing::Passed } else { Standing::Open }.mark();
                let pointer = if current == Some(unit.id.as_str()) { ">" } else { " " };
                let optional = if checks(unit).all(|check| check.optional) { " (optional)" } else { "" };
                let head = format!("    {pointer} {} {:>2}. ", paper.ink(ink, mark), place + 1);
                let text = format!("{}{}", paper.inline(&title(unit)), paper.ink(Ink::Dim, &format!("{optional}  {}", unit.id)));
                paper.paragraph(&head, "            ", &text);
            }
        }
    }

    /// The checks of a section for programs.
    pub(super) fn checks_json(&self, section: &Section) -> Value {
        let each = checks(section).map(|check| {
            let verdict = self.verdict(check.id);
            json!({
                "check": check.id, "say": check.say, "optional": check.optional, "state": self.standing(check.id).word(),
                "why": verdict.map(|verdict| verdict.why.iter().take(1).cloned().collect::<Vec<_>>()),
            })
        });
        each.collect()
    }
}

/// Places in the book, those of a section under its title.
pub(super) fn found(paper: &mut Paper, hits: &[Hit], wanted: &str) {
    let mut sections: Vec<&Hit> = Vec::new();
    for hit in hits {
        if !sections.iter().any(|known| (&known.chapter, &known.section) == (&hit.chapter, &hit.section)) {
            sections.push(hit);
        }
    }
    for section in sections {
        paper.gap();
        let title = if section.title.is_empty() { "Before the first heading" } else { &section.title };
        let where_ = paper.ink(Ink::Dim, &format!("{}/{}", section.chapter, section.section));
        let title = paper.ink(Ink::Bold, title);
        paper.line(&format!("{title}  {where_}"));
        let here = hits.iter().filter(|hit| (&hit.chapter, &hit.section) == (&section.chapter, &section.section));
        for hit in here.filter(|hit| hit.kind != Kind::Section) {
            let text = around(&hit.text, wanted);
            let text = if hit.kind == Kind::Command { paper.ink(Ink::Code, &text) } else { text };
            paper.paragraph("    ", "    ", &text);
        }
    }
}

/// The part of a text with the first of the words that is in it.
fn around(text: &str, words: &str) -> String {
    const BEFORE: usize = 60;
    const MOST: usize = 200;
    let letters: Vec<char> = text.chars().collect();
    let lower: String = letters.iter().map(|letter| letter.to_ascii_lowercase()).collect();
    let first = words.split_whitespace().filter_map(|word| lower.find(&word.to_ascii_lowercase())).min().map_or(0, |byte| lower[..byte].chars().count());
    let from = if first > BEFORE { (first - BEFORE..first).find(|&at| letters[at] == ' ').map_or(first, |at| at + 1) } else { 0 };
    let mut part: String = letters.iter().skip(from).take(MOST).collect();
    if from + MOST < letters.len() {
        part.truncate(part.rfind(' ').unwrap_or(part.len()));
        part.push_str(" ...");
    }
    if from > 0 { format!("... {part}") } else { part }
}

/// Commands with a prompt before each; what goes on in the next line has its own.
fn commands(paper: &mut Paper, text: &str, ran: bool) {
    let mut goes_on = false;
    for line in text.trim_end().lines() {
        let prompt = if goes_on { ">" } else { "$" };
        let line = match (ran, line.trim_start().starts_with('#')) {
            (_, true) => paper.ink(Ink::Dim, line),
            (true, _) | (false, _) => paper.ink(Ink::Code, line),
        };
        let prompt = paper.ink(Ink::Dim, prompt);
        paper.line(format!("    {prompt} {line}").trim_end());
        goes_on = line.trim_end_matches("\u{1b}[0m").ends_with('\\');
    }
}

/// What became of an answer.
pub(super) fn outcome(given: &Given, prediction: bool, happened: bool) -> String {
    let because = given.answered.because.as_deref().unwrap_or_default();
    match (given.answered.correct, prediction) {
        (_, true) if !happened => format!("Noted: {}. Now run it and see.", given.value),
        (Some(true), true) => format!("You saw it coming: {}. {because}", given.value),
        (Some(false), true) => format!("Not what happens: {}. {because}", given.value),
        (Some(true), false) => format!("Right: {}. {because}", given.value),
        (Some(false), false) => format!("Not yet: {}. {because}", given.value),
        (None, _) => format!("Noted: {}. {because}", given.value),
    }
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
