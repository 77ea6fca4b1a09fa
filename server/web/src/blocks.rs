//! What is done with the blocks of a lesson: run, press, answer, ask for a hint, look at a solution.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use drydock_terminal::{GoesOn, Mode, Refusal, RunRequest, Session};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::course::{Block, Chapter, Section};
use crate::progress::Given;
use crate::routes::{Answer, Refused, Shared, find, find_section};
use crate::verdicts::{Answered, Verdict};
use crate::{back, page};

/// What Ctrl+D sends.
const END_OF_INPUT: u8 = 0x04;
/// How long a shell may take to open.
const OPENING: Duration = Duration::from_secs(4);

#[derive(Deserialize)]
pub(crate) struct Run {
    chapter: String,
    block: String,
    /// Another terminal than the block names.
    session: Option<String>,
    /// Commands at its beginning that are left out: they have been run.
    #[serde(default)]
    skip: usize,
}

/// Type a block of the lesson into its terminal, if the shell waits there.
pub(crate) async fn run(State(shared): State<Shared>, Json(run): Json<Run>) -> Answer<StatusCode> {
    let chapter = find(&shared, &run.chapter)?;
    let block = chapter.sections.iter().flat_map(|section| section.blocks.iter().map(move |block| (section, block))).find_map(|(section, block)| match block {
        Block::Command { id, session, text, typed: false, inside, exit } if *id == run.block => Some((section, session, text, inside, exit)),
        _ => None,
    });
    let Some((section, session, text, inside, exit)) = block else {
        return Err(Refused::new(StatusCode::NOT_FOUND, format!("chapter {} has no block {:?} to run", run.chapter, run.block)));
    };
    let name = run.session.as_ref().unwrap_or(session);
    let terminal = shared.config.workbench.terminals().session_in(name, chapter.directory.as_deref());
    let terminal = terminal.map_err(|error| Refused::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    back::begin(&shared, &chapter, section).await;
    shared.config.verdicts.ran(&run.chapter, &run.block);
    let goes_on = exit.map_or(GoesOn::Always, GoesOn::AfterSuccessOr);
    // Blocks are unique in their chapter, terminals are for all.
    let key = format!("{}/{}", run.chapter, run.block);
    awake(&terminal).await;
    let request = RunRequest { id: key.clone(), text: text.clone(), inside: inside.clone(), skip: run.skip, goes_on };
    terminal.run(request).await.map_err(|refusal| {
        let program = match &refusal {
            Refusal::Busy { program } => Some(program.clone()),
            Refusal::Starting | Refusal::Ended | Refusal::Unsure => None,
        };
        Refused(StatusCode::CONFLICT, json!({"error": refusal.to_string(), "program": program, "session": name}))
    })?;
    shared.progress.change(|book| book.runs.extend([key]))?;
    Ok(StatusCode::ACCEPTED)
}

/// A terminal that was opened a moment ago, as after a change of chapters, is given its moment.
async fn awake(terminal: &Session) {
    let patience = match terminal.mode() {
        Mode::Starting { .. } => OPENING,
        Mode::Unmarked => OPENING / 4,
        Mode::Prompt | Mode::Busy { .. } | Mode::Ended { .. } => return,
    };
    let mut modes = terminal.modes();
    let awake = modes.wait_for(|mode| !matches!(mode, Mode::Starting { .. } | Mode::Unmarked));
    if tokio::time::timeout(patience, awake).await.is_err() {
        tracing::debug!(terminal = terminal.name(), "it is not ready yet");
    }
}

#[derive(Deserialize)]
pub(crate) struct Press {
    chapter: String,
    block: String,
}

/// The learner has typed a block by hand: it counts as run.
pub(crate) async fn typed(State(shared): State<Shared>, Json(typed): Json<Press>) -> Answer<StatusCode> {
    let chapter = find(&shared, &typed.chapter)?;
    let is_it = |block: &Block| matches!(block, Block::Command { id, .. } if *id == typed.block);
    if !chapter.sections.iter().flat_map(|section| &section.blocks).any(is_it) {
        return Err(Refused::new(StatusCode::NOT_FOUND, format!("chapter {} has no block {:?}", typed.chapter, typed.block)));
    }
    shared.progress.change(|book| book.runs.extend([format!("{}/{}", typed.chapter, typed.block)]))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Press the key of a block in its terminal, unless that would end a shell that waits there.
pub(crate) async fn press(State(shared): State<Shared>, Json(press): Json<Press>) -> Answer<StatusCode> {
    let chapter = find(&shared, &press.chapter)?;
    let block = chapter.sections.iter().flat_map(|section| &section.blocks).find_map(|block| match block {
        Block::Press { id, session, byte, .. } if *id == press.block => Some((session, *byte)),
        _ => None,
    });
    let Some((session, byte)) = block else {
        return Err(Refused::new(StatusCode::NOT_FOUND, format!("chapter {} has no key {:?} to press", press.chapter, press.block)));
    };
    let bad = |error: drydock_terminal::TerminalError| Refused::new(StatusCode::BAD_REQUEST, error.to_string());
    let terminal = shared.config.workbench.terminals().session(session).map_err(bad)?;
    let mode = terminal.mode();
    if byte == END_OF_INPUT && matches!(mode, Mode::Prompt) {
        return Err(Refused::new(StatusCode::CONFLICT, "nothing runs in this terminal; the key would end its shell, so it was not pressed"));
    }
    if matches!(mode, Mode::Starting { .. } | Mode::Ended { .. }) {
        return Err(Refused::new(StatusCode::CONFLICT, "there is no shell in this terminal now"));
    }
    terminal.press(byte).await.map_err(bad)?;
    shared.progress.change(|book| book.runs.extend([format!("{}/{}", press.chapter, press.block)]))?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Deserialize)]
pub(crate) struct Hint {
    chapter: String,
    check: String,
    /// Which one, from 1; the next unseen one when absent.
    number: Option<usize>,
}

pub(crate) async fn hint(State(shared): State<Shared>, Json(wanted): Json<Hint>) -> Answer<Json<Value>> {
    let chapter = find(&shared, &wanted.chapter)?;
    let hints = hints_of(&chapter, &wanted.check).ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, format!("there is no check {:?}", wanted.check)))?;
    let (number, text) = give_hint(&shared, &wanted.check, hints, wanted.number)?;
    Ok(Json(json!({"number": number, "total": hints.len(), "html": page::inline(text)})))
}

/// The hints of a check of this chapter.
fn hints_of<'a>(chapter: &'a Chapter, check: &str) -> Option<&'a [String]> {
    chapter.sections.iter().flat_map(|section| &section.blocks).find_map(|block| match block {
        Block::Check { id, hints, .. } if id == check => Some(&hints[..]),
        _ => None,
    })
}

/// A hint that the learner asks for: the one of this number, else the next unseen one.
pub(crate) fn give_hint<'a>(shared: &Shared, check: &str, hints: &'a [String], number: Option<usize>) -> Answer<(usize, &'a str)> {
    let seen = shared.progress.book().hints.get(check).copied().unwrap_or(0);
    let number = number.unwrap_or(seen + 1);
    let Some(text) = number.checked_sub(1).and_then(|index| hints.get(index)) else {
        return Err(Refused::new(StatusCode::NOT_FOUND, "that was the last hint"));
    };
    if number > seen {
        shared.config.verdicts.hint_used(check, number);
        shared.progress.change(|book| book.hints.extend([(check.to_owned(), number)]))?;
    }
    Ok((number, text))
}

#[derive(Deserialize)]
pub(crate) struct Reply {
    ask: String,
    value: String,
}

pub(crate) async fn answer(State(shared): State<Shared>, Json(reply): Json<Reply>) -> Answer<Json<Value>> {
    let answered = give_answer(&shared, reply.ask, reply.value).await?;
    Ok(Json(json!({"correct": answered.correct, "html": answered.because.as_deref().map(page::inline)})))
}

/// The learner answers a question.
pub(crate) async fn give_answer(shared: &Shared, ask: String, value: String) -> Answer<Answered> {
    if value.len() > 1000 {
        return Err(Refused::new(StatusCode::BAD_REQUEST, "an answer is at most 1000 characters"));
    }
    let judged = shared.config.verdicts.answer(&ask, &value).await;
    let mut answered = judged.map_err(|why| Refused::new(StatusCode::UNPROCESSABLE_ENTITY, why))?;
    // Why it is so gives the answer away: a wrong one is tried again. A prediction is not.
    if answered.correct == Some(false) && !is_prediction(shared, &ask) {
        answered.because = None;
    }
    let given = Given { value, answered: answered.clone() };
    shared.progress.change(|book| book.answers.extend([(ask, given)]))?;
    Ok(answered)
}

fn is_prediction(shared: &Shared, ask: &str) -> bool {
    let course = &shared.config.course;
    let is_it = |block: &Block| matches!(block, Block::Ask { id, prediction: true, .. } if id == ask);
    course.outline().chapters.iter().filter_map(|chapter| course.chapter(&chapter.id)?.ok()).any(|chapter| chapter.sections.iter().flat_map(|section| &section.blocks).any(is_it))
}

pub(crate) async fn check_now(State(shared): State<Shared>, Path(id): Path<String>) -> Answer<Json<Value>> {
    judge_now(&shared, &id).await.map(|verdict| Json(json!(verdict)))
}

/// Judge a check again, its probes too.
pub(crate) async fn judge_now(shared: &Shared, check: &str) -> Answer<Verdict> {
    shared.config.verdicts.check_now(check).await.map_err(|why| Refused::new(StatusCode::UNPROCESSABLE_ENTITY, why))
}

#[derive(Deserialize)]
pub(crate) struct SectionOf {
    chapter: String,
    section: String,
    /// Asked a second time.
    #[serde(default)]
    sure: bool,
}

/// Whether every check of a section that counts has been passed.
pub(crate) fn is_done(shared: &Shared, section: &Section) -> bool {
    let book = shared.progress.book();
    section.blocks.iter().all(|block| match block {
        Block::Check { id, optional: false, .. } => book.passed.contains_key(id),
        _ => true,
    })
}

pub(crate) async fn solutions(State(shared): State<Shared>, Json(wanted): Json<SectionOf>) -> Answer<Json<Value>> {
    let chapter = find(&shared, &wanted.chapter)?;
    let section = find_section(&chapter, &wanted.section)?;
    open_solutions(&shared, &chapter, section, wanted.sure)?;
    Ok(Json(json!({"html": page::solutions(section)})))
}

/// The learner looks at the solutions of a section; refused while it is not solved and nobody is sure.
pub(crate) fn open_solutions(shared: &Shared, chapter: &Chapter, section: &Section, sure: bool) -> Answer<()> {
    let key = format!("{}/{}", chapter.id, section.id);
    let open = sure || is_done(shared, section) || shared.progress.book().solutions.contains(&key);
    if !open {
        return Err(Refused(StatusCode::CONFLICT, json!({"error": "it is not solved yet", "sure": false})));
    }
    Ok(shared.progress.change(|book| book.solutions.extend([key]))?)
}

pub(crate) async fn debrief(State(shared): State<Shared>, Json(wanted): Json<SectionOf>) -> Answer<Json<Value>> {
    let chapter = find(&shared, &wanted.chapter)?;
    let section = find_section(&chapter, &wanted.section)?;
    // It comes when every check has passed; to ask too early is no error.
    let due = section.debrief.as_ref().filter(|_| is_done(&shared, section));
    Ok(Json(json!({"html": due})))
}
