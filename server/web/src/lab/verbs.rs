//! What `lab` can do. Every verb does what a button of the page does, by the same function.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use futures::future::join_all;
use serde_json::json;

use super::paper::{Ink, Paper};
use super::show::{self, Line, Standing, View, checks, is_finished, outcome, title, units};
use super::{Choice, Question, Told, Typed};
use crate::back::{self, Scene};
use crate::course::{Block, Chapter, Section, SectionKind};
use crate::progress::Book;
use crate::routes::{FOUND, Refused, Shared, find};
use crate::verdicts::Verdict;
use crate::workbench::{Reset, Restored};
use crate::{blocks, page, search};

/// The verbs: what is typed, what may follow, what it does.
const VERBS: [(&str, &str, &str); 17] = [
    ("status", "", "where you are: the exercise and its checks (the same as `lab` alone)"),
    ("next", "", "the exercise to do now: its text and its commands"),
    ("read", "[SECTION]", "the text before this exercise, or any section"),
    ("check", "", "judge this exercise again now; ends with 0 when all is green"),
    ("why", "[CHECK]", "why a check is not green; --where and --fix give more away"),
    ("hint", "[CHECK]", "the next hint"),
    ("answer", "[QUESTION] ANSWER", "answer a question or predict"),
    ("solution", "", "a way to solve a lab"),
    ("debrief", "", "what just happened, once a lab is done"),
    ("undo", "", "take back what the last command changed"),
    ("reset", "[chapter]", "this exercise, or the whole chapter, from its beginning"),
    ("skip", "DURATION", "let time pass, as 5m: ages, back-offs and limits jump ahead"),
    ("list", "[CHAPTER]", "chapters and exercises"),
    ("search", "WORDS", "where the book says something, its commands included"),
    ("open", "CHAPTER | EXERCISE", "go to a chapter (ch03) or an exercise (its number or name)"),
    ("version", "", "which Drydock this is"),
    ("help", "", "this text"),
];

/// Why a verb was not done.
enum Stop {
    /// It was used wrongly.
    Usage(String),
    /// It could not be done: what, and what next.
    Failed(String),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Stop {
        Stop::Failed(refused.1["error"].as_str().unwrap_or("that is refused").to_owned())
    }
}

impl From<crate::progress::ProgressError> for Stop {
    fn from(error: crate::progress::ProgressError) -> Stop {
        Stop::Failed(error.to_string())
    }
}

type Done = Result<Told, Stop>;

/// Do what was typed.
pub(super) async fn answer(State(shared): State<Shared>, Json(typed): Json<Typed>) -> Json<Told> {
    let told = match Words::of(&typed.args) {
        Ok(words) => Desk { shared: &shared, typed: &typed, words }.run().await,
        Err(stop) => Err(stop),
    };
    Json(told.unwrap_or_else(|stop| match stop {
        Stop::Usage(error) => Told { error: Some(format!("{error}; `lab help` lists what there is")), code: 2, ..Told::default() },
        Stop::Failed(error) => Told { error: Some(error), code: 1, ..Told::default() },
    }))
}

/// A line of arguments, taken apart.
#[derive(Debug, Default)]
struct Words {
    verb: String,
    rest: Vec<String>,
    flags: Vec<String>,
    json: bool,
}

impl Words {
    fn of(args: &[String]) -> Result<Words, Stop> {
        let mut words = Words::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                // What follows an answer is the answer, whatever it begins with; words to be found may be flags of a command.
                "-o" | "--output" if !words.is_free() || args.as_slice() == ["json"] => words.json = is_json(args.next())?,
                "-h" | "--help" if !words.is_free() || words.rest.is_empty() => words.verb = "help".into(),
                "-y" if !words.is_free() => words.flags.push("yes".into()),
                flag if flag.starts_with("--") && flag.len() > 2 && !words.is_free() => match flag.strip_prefix("--output=") {
                    Some(format) => words.json = is_json(Some(&format.to_owned()))?,
                    None => words.flags.push(flag.trim_start_matches('-').to_owned()),
                },
                word if words.verb.is_empty() => words.verb = word.to_owned(),
                word => words.rest.push(word.to_owned()),
            }
        }
        words.verb = match words.verb.as_str() {
            "" => "status".to_owned(),
            "start" => "next".to_owned(),
            "goto" => "open".to_owned(),
            "report" => "list".to_owned(),
            other => other.to_owned(),
        };
        let known = |flag: &&String| ["yes", "set-up", "keep", "where", "fix"].contains(&flag.as_str());
        match words.flags.iter().find(|flag| !known(flag)) {
            Some(flag) => Err(Stop::Usage(format!("--{flag} is not known"))),
            None => Ok(words),
        }
    }

    /// Whether what follows is text and no flags.
    fn is_free(&self) -> bool {
        matches!(self.verb.as_str(), "answer" | "search")
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|known| known == flag)
    }
}

fn is_json(format: Option<&String>) -> Result<bool, Stop> {
    match format.map(String::as_str) {
        Some("json") => Ok(true),
        Some("text") => Ok(false),
        _ => Err(Stop::Usage("-o takes text or json".into())),
    }
}

/// Somebody at a terminal.
struct Desk<'a> {
    shared: &'a Shared,
    typed: &'a Typed,
    words: Words,
}

impl Desk<'_> {
    async fn run(&self) -> Done {
        let most = match self.words.verb.as_str() {
            "answer" | "search" => usize::MAX,
            "why" | "hint" | "read" | "reset" | "skip" | "list" | "open" => 1,
            _ => 0,
        };
        if let Some(more) = self.words.rest.get(most) {
            return Err(Stop::Usage(format!("`lab {}` does not know what to do with {more:?}", self.words.verb)));
        }
        match self.words.verb.as_str() {
            "status" => self.status(),
            "next" => self.next().await,
            "read" => self.read(),
            "check" => self.check().await,
            "why" => self.why(),
            "hint" => self.hint(),
            "answer" => self.answer().await,
            "solution" => self.solution(),
            "debrief" => self.debrief(),
            "undo" => back::take_back(self.shared).await.map(|undone| self.restored(&undone)).map_err(Stop::from),
            "reset" => self.reset().await,
            "skip" => self.skip().await,
            "list" => self.list(),
            "search" => self.search(),
            "open" => self.open().await,
            "version" => Ok(text(format!("drydock {}\n", env!("CARGO_PKG_VERSION")))),
            "help" => Ok(self.help()),
            other => Err(Stop::Usage(format!("there is no `lab {other}`"))),
        }
    }

    fn paper(&self) -> Paper {
        Paper::new(self.typed.columns, self.typed.color)
    }

    fn book(&self) -> Arc<Book> {
        self.shared.progress.book()
    }

    /// The chapter the cluster is set up for; it is being judged, also after a restart that no page has seen yet.
    fn chapter(&self) -> Result<Arc<Chapter>, Stop> {
        let chapter = back::scene(self.shared).ok_or_else(|| Stop::Failed("no chapter has been begun; `lab next` begins the first one, `lab list` shows them".into()))?;
        self.shared.config.verdicts.open(&chapter.id);
        Ok(chapter)
    }

    /// The exercise that is being done: the one that was shown last, else the first that is open.
    fn unit<'c>(&self, chapter: &'c Chapter) -> Result<&'c Section, Stop> {
        let book = self.book();
        let shown = book.exercise.as_deref().and_then(|key| key.split_once('/')).filter(|(of, _)| *of == chapter.id).map(|(_, id)| id);
        let shown = shown.and_then(|id| units(chapter).find(|unit| unit.id == id));
        let open = || units(chapter).find(|unit| !blocks::is_done(self.shared, unit));
        shown.or_else(open).or_else(|| units(chapter).last()).ok_or_else(|| Stop::Failed(format!("chapter {} has no exercises; `lab read` shows its text", chapter.number)))
    }

    fn view<'v>(&self, book: &'v Book, verdicts: &'v [Verdict]) -> View<'v> {
        View { book, verdicts }
    }

    fn status(&self) -> Done {
        let chapter = self.chapter()?;
        let unit = self.unit(&chapter)?;
        let (book, verdicts) = (self.book(), self.shared.config.verdicts.current());
        let view = self.view(&book, &verdicts);
        if self.words.json {
            let status = json!({"chapter": chapter.id, "exercise": unit.id, "title": title(unit), "done": is_finished(unit, &book), "checks": view.checks_json(unit)});
            return Ok(text(format!("{status:#}\n")));
        }
        let mut paper = self.paper();
        view.heading(&mut paper, &chapter);
        paper.gap();
        view.unit_heading(&mut paper, &chapter, unit);
        view.checks(&mut paper, unit);
        paper.gap();
        self.ways_on(&mut paper, unit, &book, &verdicts);
        Ok(text(paper.finish()))
    }

    /// What can be done now, in a line.
    fn ways_on(&self, paper: &mut Paper, unit: &Section, book: &Book, verdicts: &[Verdict]) {
        let view = self.view(book, verdicts);
        let open = |check: &Line<'_>| view.standing(check.id) != Standing::Passed;
        let hinted = checks(unit).any(|check| open(&check) && book.hints.get(check.id).copied().unwrap_or(0) < check.hints.len());
        let wrong = checks(unit).any(|check| view.standing(check.id) == Standing::Wrong);
        let says = match () {
            () if checks(unit).next().is_none() => "Nothing is judged here. `lab next` goes on.".to_owned(),
            () if !checks(unit).filter(|check| !check.optional).any(|check| open(&check)) => {
                let debrief = if unit.debrief.is_some() { " `lab debrief` tells what just happened." } else { "" };
                format!("Done. `lab next` goes on.{debrief}")
            }
            () if wrong => "`lab why` says why a check is not green, `lab next` shows the text again.".to_owned(),
            () if hinted => "`lab next` shows the text, `lab hint` gives a hint.".to_owned(),
            () => "`lab next` shows the text and the commands.".to_owned(),
        };
        let says = paper.inline(&says);
        paper.paragraph("", "", &says);
    }

    async fn next(&self) -> Done {
        if back::scene(self.shared).is_none() {
            let outline = self.shared.config.course.outline();
            let first = outline.chapters.iter().find(|chapter| chapter.available).ok_or_else(|| Stop::Failed("the course has no chapters".into()))?;
            back::turn_to(self.shared, &*find(self.shared, &first.id)?, None, None).await?;
        }
        let chapter = self.chapter()?;
        let unit = self.unit(&chapter)?;
        let book = self.book();
        if !is_finished(unit, &book) {
            return self.show(&chapter, unit).await;
        }
        let place = units(&chapter).position(|known| known.id == unit.id).unwrap_or(0);
        let after = units(&chapter).skip(place + 1).find(|unit| !is_finished(unit, &book));
        let left = || units(&chapter).find(|unit| !blocks::is_done(self.shared, unit));
        match after.or_else(left) {
            Some(next) => self.show(&chapter, next).await,
            None => Ok(self.chapter_done(&chapter)),
        }
    }

    fn chapter_done(&self, chapter: &Chapter) -> Told {
        let outline = self.shared.config.course.outline();
        let mut after = outline.chapters.iter().skip_while(|known| known.id != chapter.id).skip(1);
        let on = after.find(|next| next.available).map(|next| format!(" `lab open {}` sets up chapter {}, {}.", next.id, next.number, next.title));
        let mut paper = self.paper();
        let says = paper.inline(&format!("Chapter {} is done: every exercise is green.{}", chapter.number, on.unwrap_or_default()));
        paper.paragraph("", "", &says);
        text(paper.finish())
    }

    /// Turn to an exercise and show it.
    async fn show(&self, chapter: &Chapter, unit: &Section) -> Done {
        self.shared.progress.change(|book| book.exercise = Some(format!("{}/{}", chapter.id, unit.id)))?;
        back::begin(self.shared, chapter, unit).await;
        if unit.kind == SectionKind::Lab {
            self.shared.config.verdicts.ran(&chapter.id, &unit.id);
        }
        let (book, verdicts) = (self.book(), self.shared.config.verdicts.current());
        let view = self.view(&book, &verdicts);
        let mut paper = self.paper();
        view.unit_heading(&mut paper, chapter, unit);
        let before = before(chapter, unit);
        if !before.is_empty() {
            let titles = before.iter().map(|section| heading(section)).collect::<Vec<_>>().join(", ");
            let says = paper.inline(&format!("Before it in the text (`lab read`): {titles}."));
            paper.paragraph("", "", &says);
        }
        view.section(&mut paper, chapter, unit);
        if checks(unit).next().is_some() {
            paper.gap();
            let says = paper.inline("Type the commands here; the checks turn green by themselves. `lab` shows them.");
            paper.paragraph("", "", &says);
        }
        Ok(text(paper.finish()))
    }

    fn read(&self) -> Done {
        let chapter = self.chapter()?;
        let sections: Vec<&Section> = match self.words.rest.first() {
            Some(wanted) => {
                let found = chapter.sections.iter().find(|section| section.id == *wanted);
                let ids = chapter.sections.iter().filter(|section| !section.title.is_empty()).map(|section| section.id.as_str()).collect::<Vec<_>>().join(", ");
                vec![found.ok_or_else(|| Stop::Failed(format!("chapter {} has no section {wanted:?}; it has {ids}", chapter.number)))?]
            }
            None => before(&chapter, self.unit(&chapter)?),
        };
        if sections.is_empty() {
            return Err(Stop::Failed("there is no text between this exercise and the one before; `lab next` shows the exercise".into()));
        }
        let (book, verdicts) = (self.book(), self.shared.config.verdicts.current());
        let view = self.view(&book, &verdicts);
        let mut paper = self.paper();
        for section in sections {
            paper.gap();
            let heading = paper.ink(Ink::Bold, &heading(section));
            paper.line(&heading);
            view.section(&mut paper, &chapter, section);
        }
        Ok(text(paper.finish()))
    }

    async fn check(&self) -> Done {
        let chapter = self.chapter()?;
        let unit = self.unit(&chapter)?;
        let judged = join_all(checks(unit).map(|check| blocks::judge_now(self.shared, check.id))).await;
        let verdicts = judged.into_iter().collect::<Result<Vec<_>, _>>()?;
        let book = self.book();
        let view = self.view(&book, &verdicts);
        let mut paper = self.paper();
        view.unit_heading(&mut paper, &chapter, unit);
        view.checks(&mut paper, unit);
        paper.gap();
        self.ways_on(&mut paper, unit, &book, &verdicts);
        let green = checks(unit).filter(|check| !check.optional).all(|check| view.standing(check.id) == Standing::Passed);
        if self.words.json {
            return Ok(Told { code: u8::from(!green), ..text(format!("{:#}\n", view.checks_json(unit))) });
        }
        Ok(Told { code: u8::from(!green), ..text(paper.finish()) })
    }

    /// The check that is named, else the open ones of this exercise.
    fn wanted<'c>(&self, unit: &'c Section, open: impl Fn(&Line<'c>) -> bool) -> Result<Vec<Line<'c>>, Stop> {
        match self.words.rest.first() {
            Some(name) => {
                let found = checks(unit).enumerate().find(|(place, check)| check.id == name || (place + 1).to_string() == *name);
                let ids = checks(unit).map(|check| check.id).collect::<Vec<_>>().join(", ");
                found.map(|(_, check)| vec![check]).ok_or_else(|| Stop::Failed(format!("this exercise has no check {name:?}; it has {ids}")))
            }
            None => Ok(checks(unit).filter(open).collect()),
        }
    }

    fn why(&self) -> Done {
        let chapter = self.chapter()?;
        let unit = self.unit(&chapter)?;
        let (book, verdicts) = (self.book(), self.shared.config.verdicts.current());
        let view = self.view(&book, &verdicts);
        let open = self.wanted(unit, |check| view.standing(check.id) != Standing::Passed)?;
        let mut paper = self.paper();
        let elsewhere = unit.blocks.iter().any(|block| matches!(block, Block::NotHere { .. }));
        if open.is_empty() && (checks(unit).next().is_some() || !elsewhere) {
            paper.line("Every check of this exercise is green.");
        }
        if self.words.rest.is_empty() {
            view.not_here(&mut paper, unit);
        }
        let sentences = if self.words.has("fix") { 3 } else if self.words.has("where") { 2 } else { 1 };
        for check in &open {
            view.why(&mut paper, check, sentences);
        }
        let most = open.iter().filter_map(|check| verdicts.iter().find(|verdict| verdict.check == check.id)).map(|verdict| verdict.why.len()).max().unwrap_or(0);
        if most > sentences {
            paper.gap();
            let says = paper.inline(if sentences == 1 { "`lab why --where` says where to look." } else { "`lab why --fix` says what to change." });
            paper.line(&says);
        }
        Ok(text(paper.finish()))
    }

    fn hint(&self) -> Done {
        let chapter = self.chapter()?;
        let unit = self.unit(&chapter)?;
        let (book, verdicts) = (self.book(), self.shared.config.verdicts.current());
        let view = self.view(&book, &verdicts);
        let seen = |check: &Line<'_>| book.hints.get(check.id).copied().unwrap_or(0);
        let open = self.wanted(unit, |check| view.standing(check.id) != Standing::Passed && seen(check) < check.hints.len())?;
        let Some(check) = open.first() else {
            return Err(Stop::Failed("no hint is left for this exercise; `lab why` says what is not true yet".into()));
        };
        let (number, hint) = blocks::give_hint(self.shared, check.id, check.hints, None)?;
        let mut paper = self.paper();
        let say = paper.inline(check.say);
        paper.paragraph("", "", &format!("{} {say}", paper.ink(Ink::Dim, &format!("Hint {number} of {} for:", check.hints.len()))));
        let hint = paper.inline(hint);
        paper.paragraph("  ", "  ", &hint);
        Ok(text(paper.finish()))
    }

    async fn answer(&self) -> Done {
        let chapter = self.chapter()?;
        let unit = self.unit(&chapter)?;
        let book = self.book();
        // Questions stand in the text before an exercise too.
        let sections = before(&chapter, unit).into_iter().chain([unit]);
        let asks: Vec<(&String, &Vec<String>, bool)> = sections
            .flat_map(|section| &section.blocks)
            .filter_map(|block| match block {
                Block::Ask { id, options, prediction, .. } => Some((id, options, *prediction)),
                _ => None,
            })
            .collect();
        let named = self.words.rest.first().and_then(|first| asks.iter().find(|(id, ..)| *id == first));
        let open = || asks.iter().find(|(id, ..)| !book.answers.get(*id).is_some_and(|given| given.answered.correct != Some(false)));
        let Some(&(id, options, prediction)) = named.or_else(open).or(asks.last()) else {
            return Err(Stop::Failed("this exercise asks nothing".into()));
        };
        let given = self.words.rest[usize::from(named.is_some())..].join(" ");
        if given.is_empty() {
            return Err(Stop::Usage("`lab answer` wants an answer".into()));
        }
        let value = given.parse::<usize>().ok().and_then(|number| options.get(number.checked_sub(1)?)).cloned();
        let value = value.or_else(|| options.iter().find(|option| option.eq_ignore_ascii_case(&given)).cloned());
        let value = match value {
            None if !options.is_empty() => return Err(Stop::Failed(format!("choose a number from 1 to {}", options.len()))),
            value => value.unwrap_or(given),
        };
        let answered = blocks::give_answer(self.shared, id.clone(), value.clone()).await?;
        let mut paper = self.paper();
        let says = paper.inline(&outcome(&crate::progress::Given { value, answered: answered.clone() }, prediction, false));
        paper.paragraph("", "", &says);
        let wrong = answered.correct == Some(false) && !prediction;
        Ok(Told { code: u8::from(wrong), ..text(paper.finish()) })
    }

    fn solution(&self) -> Done {
        let chapter = self.chapter()?;
        let unit = self.unit(&chapter)?;
        if unit.solutions.is_empty() {
            return Err(Stop::Failed("only labs have solutions; the commands of an exercise are its solution, and `lab next` shows them".into()));
        }
        match blocks::open_solutions(self.shared, &chapter, unit, self.words.has("yes")) {
            Ok(()) => {}
            Err(Refused(status, _)) if status == axum::http::StatusCode::CONFLICT => {
                return Ok(asks("It is not solved yet; the hints give less away. Show a solution?", &[("y", "show it", &["solution", "--yes"])]));
            }
            Err(refused) => return Err(refused.into()),
        }
        let mut paper = self.paper();
        for solution in &unit.solutions {
            paper.gap();
            let heading = paper.ink(Ink::Bold, &solution.title.replace('`', ""));
            paper.line(&heading);
            paper.verbatim("    ", &solution.text, None);
        }
        Ok(text(paper.finish()))
    }

    fn debrief(&self) -> Done {
        let chapter = self.chapter()?;
        let unit = self.unit(&chapter)?;
        let Some(html) = &unit.debrief else { return Err(Stop::Failed("only labs have a debrief".into())) };
        if !blocks::is_done(self.shared, unit) {
            return Err(Stop::Failed("the debrief comes when every check of the lab is green; `lab` shows them".into()));
        }
        let mut paper = self.paper();
        paper.html(html);
        Ok(text(paper.finish()))
    }

    fn restored(&self, restored: &Restored) -> Told {
        let mut paper = self.paper();
        let says = paper.inline(&restored.summary);
        paper.paragraph("", "", &says);
        for note in &restored.notes {
            let note = paper.inline(note);
            paper.paragraph("", "", &note);
        }
        if let Some(open) = reopened(&restored.reopened) {
            paper.line(&open);
        }
        text(paper.finish())
    }

    async fn reset(&self) -> Done {
        let chapter = self.chapter()?;
        let (scope, what) = match self.words.rest.first().map(String::as_str) {
            None => {
                let unit = self.unit(&chapter)?;
                if !self.book().begun.contains(&format!("{}/{}", chapter.id, unit.id)) {
                    return Err(Stop::Failed("this exercise has not been begun, so there is nothing to put back; `lab reset chapter` puts the whole chapter back".into()));
                }
                (Reset::Exercise { chapter: chapter.id.clone(), section: unit.id.clone() }, format!("“{}”", title(unit).replace('`', "")))
            }
            Some("chapter") => (Reset::Chapter { chapter: chapter.id.clone() }, format!("chapter {}", chapter.number)),
            Some(other) => return Err(Stop::Usage(format!("`lab reset` puts the exercise back, `lab reset chapter` the chapter; what is {other:?}?"))),
        };
        if !self.words.has("yes") {
            let question = format!("Put {what} back? Cluster, files and checks are as when it began.");
            let again: Vec<&str> = std::iter::once("reset").chain(self.words.rest.iter().map(String::as_str)).chain(["--yes"]).collect();
            return Ok(asks(&question, &[("y", "put it back", &again)]));
        }
        back::put_back(self.shared, &scope, self.typed.terminal.as_deref()).await?;
        Ok(text(format!("{} is as when it began.\n", capital(&what))))
    }

    async fn skip(&self) -> Done {
        let Some(duration) = self.words.rest.first() else { return Err(Stop::Usage("`lab skip` wants a time, as 5m".into())) };
        let skipped = self.shared.config.workbench.skip(duration).await.map_err(Stop::Failed)?;
        Ok(self.restored(&skipped))
    }

    fn list(&self) -> Done {
        let outline = self.shared.config.course.outline();
        let open = match self.words.rest.first() {
            Some(id) => Some(find(self.shared, id)?),
            None => back::scene(self.shared),
        };
        let (book, verdicts) = (self.book(), self.shared.config.verdicts.current());
        let current = open.as_deref().and_then(|chapter| self.unit(chapter).ok()).map(|unit| unit.id.as_str());
        if self.words.json {
            let chapters = outline.chapters.iter().map(|chapter| {
                let all: Vec<&String> = chapter.sections.iter().flat_map(|section| &section.checks).collect();
                let passed = all.iter().filter(|check| book.passed.contains_key(**check)).count();
                let sections = chapter.sections.iter().filter(|section| section.kind != SectionKind::Text);
                let exercises: Vec<_> = sections.map(|section| json!({"id": section.id, "title": section.title, "done": section.checks.iter().all(|check| book.passed.contains_key(check))})).collect();
                json!({"id": chapter.id, "number": chapter.number, "title": chapter.title, "passed": passed, "checks": all.len(), "exercises": exercises})
            });
            return Ok(text(format!("{:#}\n", chapters.collect::<serde_json::Value>())));
        }
        let mut paper = self.paper();
        self.view(&book, &verdicts).list(&mut paper, &outline, open.as_deref(), current);
        Ok(text(paper.finish()))
    }

    fn search(&self) -> Done {
        let wanted = self.words.rest.join(" ");
        if wanted.is_empty() {
            return Err(Stop::Usage("`lab search` wants words".into()));
        }
        let hits = search::find(&*self.shared.config.course, &wanted, None, FOUND);
        if self.words.json {
            return Ok(text(format!("{:#}\n", json!(hits))));
        }
        let Some(first) = hits.first() else { return Err(Stop::Failed(format!("no chapter says {wanted:?}; fewer or shorter words find more"))) };
        let mut paper = self.paper();
        show::found(&mut paper, &hits, &wanted);
        paper.gap();
        let here = back::scene(self.shared).is_some_and(|chapter| chapter.id == first.chapter);
        let before = if here { String::new() } else { format!("`lab open {}`, then ", first.chapter) };
        let says = paper.inline(&format!("To read the first of them: {before}`lab read {}`.", first.section));
        paper.paragraph("", "", &says);
        Ok(text(paper.finish()))
    }

    async fn open(&self) -> Done {
        let Some(wanted) = self.words.rest.first() else { return Err(Stop::Usage("`lab open` wants a chapter or an exercise".into())) };
        let (chapter, exercise) = match wanted.split_once(['/', '#']) {
            Some((chapter, exercise)) => (Some(chapter.trim_start_matches('/')), Some(exercise)),
            None if self.shared.config.course.chapter(wanted).is_some() => (Some(wanted.as_str()), None),
            None => (None, Some(wanted.as_str())),
        };
        let chapter = match chapter {
            Some(id) => find(self.shared, id)?,
            None => self.chapter()?,
        };
        let scene = match (self.words.has("set-up"), self.words.has("keep")) {
            (true, _) => Some(Scene::Change),
            (false, true) => Some(Scene::Keep),
            (false, false) => None,
        };
        let found = exercise.map(|name| units(&chapter).enumerate().find(|(place, unit)| unit.id == name || (place + 1).to_string() == name).map(|(_, unit)| unit));
        if found == Some(None) {
            return Err(Stop::Failed(format!("there is no chapter or exercise {wanted:?}; `lab list` shows them")));
        }
        let shown = back::turn_to(self.shared, &chapter, scene, self.typed.terminal.as_deref()).await?;
        if shown != chapter.id {
            let question = format!("The cluster is as you left it in {shown}; that is kept. Set it up for {}?", chapter.id);
            return Ok(asks(&question, &[("y", "set it up", &["open", wanted, "--set-up"]), ("k", "use it as it is", &["open", wanted, "--keep"])]));
        }
        match found.flatten() {
            Some(unit) => self.show(&chapter, unit).await,
            None => self.next().await,
        }
    }

    fn help(&self) -> Told {
        let mut paper = self.paper();
        paper.line("The lessons from a terminal; the page shows the same progress.");
        paper.gap();
        for (verb, more, does) in VERBS {
            let usage = format!("lab {verb} {more}");
            let first = format!("  {}{}", paper.ink(Ink::Code, usage.trim_end()), " ".repeat(29usize.saturating_sub(usage.trim_end().len())));
            let does = paper.inline(does);
            paper.paragraph(&first, &" ".repeat(31), &does);
        }
        paper.gap();
        let says = paper.inline("`-o json` prints status, check and list for programs; `--yes` answers a question before it is asked.");
        paper.paragraph("", "", &says);
        text(paper.finish())
    }
}

fn text(text: String) -> Told {
    Told { text, ..Told::default() }
}

fn asks(question: &str, choices: &[(&str, &str, &[&str])]) -> Told {
    let choices = choices.iter().map(|(key, says, args)| Choice { key: (*key).to_owned(), says: (*says).to_owned(), args: args.iter().map(|arg| (*arg).to_owned()).collect() });
    Told { question: Some(Question { text: question.to_owned(), choices: choices.collect() }), ..Told::default() }
}

/// The sections of text between an exercise and the one before it.
fn before<'c>(chapter: &'c Chapter, unit: &Section) -> Vec<&'c Section> {
    let place = chapter.sections.iter().position(|section| section.id == unit.id).unwrap_or(0);
    let from = chapter.sections[..place].iter().rposition(|section| section.kind != SectionKind::Text).map_or(0, |last| last + 1);
    chapter.sections[from..place].iter().filter(|section| !section.blocks.is_empty()).collect()
}

/// What stands above a section; before the first heading there is none.
fn heading(section: &Section) -> String {
    if section.title.is_empty() { "How the chapter begins".to_owned() } else { section.title.replace('`', "") }
}

fn reopened(open: &[String]) -> Option<String> {
    match open.len() {
        0 => None,
        1 => Some("1 check is open again.".to_owned()),
        number => Some(format!("{number} checks are open again.")),
    }
}

fn capital(title: &str) -> String {
    page::capital(title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let cases: [(&str, Option<(&str, &str, &str, bool)>); 9] = [
            ("", Some(("status", "", "", false))),
            ("start", Some(("next", "", "", false))),
            ("goto 3", Some(("open", "3", "", false))),
            ("report -o json", Some(("list", "", "", true))),
            ("list --output=json ch02", Some(("list", "ch02", "", true))),
            ("reset chapter -y", Some(("reset", "chapter", "yes", false))),
            ("answer --force is a word", Some(("answer", "--force is a word", "", false))),
            ("why --more", None),
            ("list -o yaml", None),
        ];
        for (line, wanted) in cases {
            let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let words = Words::of(&args).ok();
            let found = words.map(|words| (words.verb, words.rest.join(" "), words.flags.join(" "), words.json));
            assert_eq!(found, wanted.map(|(verb, rest, flags, json)| (verb.to_owned(), rest.to_owned(), flags.to_owned(), json)), "{line}");
        }
    }
}
