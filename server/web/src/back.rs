//! The ways back, and ahead: chapters and their scenes, reset, undo, skip.
//!
//! A cluster shows the scene of one chapter at a time. Opening another chapter only reads; it is set up when the learner says so, and the
//! scene that is left is kept for the way back.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::blocks::is_done;
use crate::course::{Block, Chapter, Section, SectionKind};
use crate::progress::Book;
use crate::routes::{Answer, Refused, Shared, find, find_section};
use crate::workbench::{Reset, Restored};

#[derive(Deserialize)]
pub(crate) struct Opened {
    chapter: String,
    /// What becomes of the cluster when it shows another chapter's scene; nothing is done when absent.
    scene: Option<Scene>,
}

/// What becomes of the cluster.
#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Scene {
    /// It is set up for the chapter.
    Change,
    /// It stays as it is.
    Keep,
}

/// The learner turns to a chapter. Answers whose scene the cluster shows; the chapter is judged when it is its own.
pub(crate) async fn open(State(shared): State<Shared>, Json(opened): Json<Opened>) -> Answer<Json<Value>> {
    let chapter = find(&shared, &opened.chapter)?;
    let now = shared.progress.book().scene.clone().filter(|scene| find(&shared, scene).is_ok());
    match (&now, opened.scene) {
        (Some(from), None) if *from != chapter.id => return Ok(Json(json!({"scene": from}))),
        (Some(from), Some(Scene::Change)) if *from != chapter.id => {
            shared.config.workbench.change_scene(from, &chapter.id).await.map_err(failed)?;
        }
        _ => {}
    }
    shared.progress.change(|book| book.scene = Some(chapter.id.clone()))?;
    shared.config.verdicts.open(&chapter.id);
    begin_next(&shared, &chapter).await;
    Ok(Json(json!({"scene": chapter.id})))
}

fn failed(why: String) -> Refused {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, why)
}

/// Remember what an exercise can be put back to, once: when the one before it is done, at the latest before its first command runs.
/// That it cannot be remembered is no reason to stop there.
pub(crate) async fn begin(shared: &Shared, chapter: &Chapter, section: &Section) {
    let key = format!("{}/{}", chapter.id, section.id);
    if section.kind == SectionKind::Text || shared.progress.book().begun.contains(&key) {
        return;
    }
    let marked = shared.config.workbench.mark(&mark_of(&chapter.id, &section.id), &section.title).await;
    let kept = marked.and_then(|()| shared.progress.change(|book| book.begun.extend([key.clone()])).map_err(|error| error.to_string()));
    if let Err(why) = kept {
        tracing::warn!(why, section = key, "an exercise cannot be reset later");
    }
}

/// The first exercise of a chapter that is not done.
pub(crate) async fn begin_next(shared: &Shared, chapter: &Chapter) {
    let next = chapter.sections.iter().find(|section| section.kind != SectionKind::Text && !is_done(shared, section));
    if let Some(next) = next {
        begin(shared, chapter, next).await;
    }
}

/// The name under which the cluster remembers the beginning of an exercise.
#[must_use]
pub fn mark_of(chapter: &str, section: &str) -> String {
    format!("begin-{chapter}-{section}")
}

/// Put a chapter or an exercise back.
pub(crate) async fn reset(State(shared): State<Shared>, Json(scope): Json<Reset>) -> Answer<StatusCode> {
    let (chapter, section) = match &scope {
        Reset::Chapter { chapter } => (find(&shared, chapter)?, None),
        Reset::Exercise { chapter, section } => (find(&shared, chapter)?, Some(section)),
    };
    let sections = match section {
        Some(section) => std::slice::from_ref(find_section(&chapter, section)?),
        None => &chapter.sections[..],
    };
    shared.config.workbench.reset(scope.clone()).await.map_err(failed)?;
    shared.progress.change(|book| {
        for section in sections {
            forget(book, &chapter.id, section);
        }
        if section.is_none() {
            book.begun.clear();
            book.scene = Some(chapter.id.clone());
        }
    })?;
    Ok(StatusCode::NO_CONTENT)
}

fn forget(book: &mut Book, chapter: &str, section: &Section) {
    book.solutions.remove(&format!("{chapter}/{}", section.id));
    for block in &section.blocks {
        match block {
            Block::Check { id, .. } => {
                book.passed.remove(id);
                book.hints.remove(id);
            }
            Block::Ask { id, .. } => {
                book.answers.remove(id);
            }
            Block::Command { id, .. } | Block::Press { id, .. } => {
                book.runs.remove(&format!("{chapter}/{id}"));
            }
            Block::Prose { .. } | Block::Output { .. } | Block::Code { .. } => {}
        }
    }
}

/// What the next undo would take back.
pub(crate) async fn undoable(State(shared): State<Shared>) -> Answer<Json<Option<Restored>>> {
    shared.config.workbench.undoable().await.map(Json).map_err(failed)
}

/// Take the last command back.
pub(crate) async fn undo(State(shared): State<Shared>) -> Answer<Json<Restored>> {
    let undone = shared.config.workbench.undo().await.map_err(failed)?;
    undone.map(Json).ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "there is nothing to undo"))
}

#[derive(Deserialize)]
pub(crate) struct Skip {
    duration: String,
}

/// Let time pass.
pub(crate) async fn skip(State(shared): State<Shared>, Json(Skip { duration }): Json<Skip>) -> Answer<Json<Restored>> {
    shared.config.workbench.skip(&duration).await.map(Json).map_err(failed)
}
