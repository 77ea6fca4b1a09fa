//! The ways back, and ahead: chapters and their scenes, reset, undo, skip.
//!
//! A cluster shows the scene of one chapter at a time. Opening another chapter only reads; it is set up when the learner says so, and the
//! scene that is left is kept for the way back.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::blocks::is_done;
use crate::course::{Block, Chapter, Section, SectionKind};
use crate::events;
use crate::progress::Book;
use crate::routes::{Answer, Refused, Shared, find, find_section};
use crate::workbench::{Reset, Restored};

/// The longest a way back or to another chapter may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Cluster and book change together: it is done to its end although nobody waits for it any more, as after a reload of the page. What
/// takes too long is given up. One waits for the other: `way` is held meanwhile.
async fn whole<T: Send + 'static>(way: &Arc<Mutex<()>>, work: impl Future<Output = Answer<T>> + Send + 'static) -> Answer<T> {
    let way = Arc::clone(way);
    let work = async move {
        let _held = way.lock().await;
        work.await
    };
    let late = "This took longer than two minutes and was given up; what was changed by then stays changed. Try again; if that does not help, end drydock and start it again: progress is kept.";
    match tokio::spawn(tokio::time::timeout(PATIENCE, work)).await {
        Ok(done) => done.unwrap_or_else(|_| Err(Refused::new(StatusCode::GATEWAY_TIMEOUT, late))),
        Err(error) => Err(failed(format!("This ended in a mistake of Drydock's own ({error}). Try again."))),
    }
}

#[derive(Deserialize)]
pub(crate) struct Opened {
    chapter: String,
    /// What becomes of the cluster when it shows another chapter's scene; nothing is done when absent.
    scene: Option<Scene>,
}

/// What becomes of the cluster.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scene {
    /// It is set up for the chapter.
    Change,
    /// It stays as it is.
    Keep,
}

/// The learner turns to a chapter. Answers whose scene the cluster shows; the chapter is judged when it is its own.
pub(crate) async fn open(State(shared): State<Shared>, Json(opened): Json<Opened>) -> Answer<Json<Value>> {
    let chapter = find(&shared, &opened.chapter)?;
    let scene = turn_to(&shared, &chapter, opened.scene, None).await?;
    Ok(Json(json!({"scene": scene})))
}

/// The chapter whose scene the cluster shows.
pub(crate) fn scene(shared: &Shared) -> Option<Arc<Chapter>> {
    let scene = shared.progress.book().scene.clone()?;
    find(shared, &scene).ok()
}

/// The learner turns to a chapter, perhaps in a terminal. Whose scene the cluster shows then.
pub(crate) async fn turn_to(shared: &Shared, chapter: &Chapter, wanted: Option<Scene>, typed_in: Option<&str>) -> Answer<String> {
    let (shared, chapter, typed_in) = (shared.clone(), find(shared, &chapter.id)?, typed_in.map(str::to_owned));
    whole(&shared.way.clone(), async move { turn(&shared, &chapter, wanted, typed_in.as_deref()).await }).await
}

async fn turn(shared: &Shared, chapter: &Chapter, wanted: Option<Scene>, typed_in: Option<&str>) -> Answer<String> {
    let now = scene(shared).map(|now| now.id.clone());
    // A cluster that is not ours is used as it is.
    let wanted = if is_elsewhere(shared) { Some(Scene::Keep) } else { wanted };
    match (now, wanted) {
        (Some(from), None) if from != chapter.id => return Ok(from),
        (Some(from), Some(Scene::Change)) if from != chapter.id => {
            leave(shared, &from).await?;
            shared.config.workbench.show_scene(&chapter.id, typed_in).await.map_err(failed)?;
            // What was typed in the cluster of another chapter was not run in this one.
            shared.progress.change(|book| {
                if !book.scenes.contains(&chapter.id) {
                    book.runs.retain(|run| !run.starts_with(&format!("{}/", chapter.id)));
                }
            })?;
        }
        _ => {}
    }
    shared.progress.change(|book| {
        book.scenes.extend(book.leaving.take());
        book.scene = Some(chapter.id.clone());
    })?;
    shared.config.verdicts.open(&chapter.id);
    begin_next(shared, chapter).await;
    Ok(chapter.id.clone())
}

/// Keep the scene of a chapter that is left, once: where the next one could not be set up, half of it is no scene to keep.
async fn leave(shared: &Shared, from: &str) -> Answer<()> {
    if shared.progress.book().leaving.as_deref() == Some(from) {
        return Ok(());
    }
    shared.config.workbench.keep_scene(from).await.map_err(failed)?;
    Ok(shared.progress.change(|book| book.leaving = Some(from.to_owned()))?)
}

pub(crate) fn failed(why: String) -> Refused {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, why)
}

/// Remember what an exercise can be put back to, once: when the one before it is done, at the latest before its first command runs.
/// That it cannot be remembered is no reason to stop there.
pub(crate) async fn begin(shared: &Shared, chapter: &Chapter, section: &Section) {
    if !shared.progress.book().begun.contains(&format!("{}/{}", chapter.id, section.id)) {
        remember(shared, chapter, section).await;
    }
}

/// Remember this moment as the beginning of an exercise.
async fn remember(shared: &Shared, chapter: &Chapter, section: &Section) {
    let key = format!("{}/{}", chapter.id, section.id);
    if is_elsewhere(shared) || section.kind == SectionKind::Text {
        return;
    }
    let marked = shared.config.workbench.mark(&mark_of(&chapter.id, &section.id), &section.title).await;
    let kept = marked.and_then(|()| shared.progress.change(|book| book.begun.extend([key.clone()])).map_err(|error| error.to_string()));
    if let Err(why) = kept {
        tracing::warn!(why, section = key, "an exercise cannot be reset later");
    }
}

/// Whether the cluster is not ours.
fn is_elsewhere(shared: &Shared) -> bool {
    shared.config.workbench.status().borrow().subject.is_some()
}

/// What may be done next begins now: exercises whose predecessor is done, whatever was left out before, with the drills between; and the
/// lab, which has no first command, as long as nothing of it is done.
pub(crate) async fn begin_next(shared: &Shared, chapter: &Chapter) {
    let mut ready = true;
    for section in chapter.sections.iter().filter(|section| section.kind != SectionKind::Text) {
        if section.kind == SectionKind::Lab {
            if !has_passed(&shared.progress.book(), section) {
                remember(shared, chapter, section).await;
            }
            continue;
        }
        let done = is_done(shared, section);
        // A drill is always "done": it is left out by whoever likes.
        let drill = section.blocks.iter().all(|block| !matches!(block, Block::Check { optional: false, .. }));
        if ready && (!done || (drill && !has_passed(&shared.progress.book(), section))) {
            begin(shared, chapter, section).await;
        }
        ready = if drill { ready } else { done };
    }
}

/// Whether at least one check of it is passed.
fn has_passed(book: &Book, section: &Section) -> bool {
    section.blocks.iter().any(|block| matches!(block, Block::Check { id, .. } if book.passed.contains_key(id)))
}

/// The name under which the cluster remembers the beginning of an exercise.
#[must_use]
pub fn mark_of(chapter: &str, section: &str) -> String {
    format!("begin-{chapter}-{section}")
}

/// Put a chapter or an exercise back.
pub(crate) async fn reset(State(shared): State<Shared>, Json(scope): Json<Reset>) -> Answer<StatusCode> {
    put_back(&shared, &scope, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Put a chapter or an exercise back, perhaps because somebody typed it in a terminal.
pub(crate) async fn put_back(shared: &Shared, scope: &Reset, typed_in: Option<&str>) -> Answer<()> {
    let (shared, scope, typed_in) = (shared.clone(), scope.clone(), typed_in.map(str::to_owned));
    whole(&shared.way.clone(), async move { go_back(&shared, &scope, typed_in.as_deref()).await }).await
}

async fn go_back(shared: &Shared, scope: &Reset, typed_in: Option<&str>) -> Answer<()> {
    match scope {
        Reset::Chapter { chapter } => {
            let chapter = find(shared, chapter)?;
            shared.config.workbench.reset(scope.clone(), typed_in).await.map_err(failed)?;
            shared.progress.change(|book| {
                chapter.sections.iter().for_each(|section| forget(book, &chapter.id, section));
                book.begun.clear();
                book.exercise = None;
                book.scene = Some(chapter.id.clone());
            })?;
        }
        Reset::Exercise { chapter, section } => {
            let chapter = find(shared, chapter)?;
            let section = find_section(&chapter, section)?;
            let open = shared.config.workbench.reset(scope.clone(), typed_in).await.map_err(failed)?;
            shared.progress.change(|book| {
                // What came after it is taken back with it: the cluster is as it was before.
                for later in chapter.sections.iter().filter(|later| later.id != section.id && has_any(later, &open)) {
                    forget(book, &chapter.id, later);
                    book.begun.remove(&format!("{}/{}", chapter.id, later.id));
                }
                forget(book, &chapter.id, section);
            })?;
            events::catch_up(shared);
        }
    }
    Ok(())
}

fn has_any(section: &Section, checks: &[String]) -> bool {
    section.blocks.iter().any(|block| matches!(block, Block::Check { id, .. } if checks.contains(id)))
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
            Block::Prose { .. } | Block::Output { .. } | Block::Code { .. } | Block::NotHere { .. } => {}
        }
    }
}

/// What the next undo would take back.
pub(crate) async fn undoable(State(shared): State<Shared>) -> Answer<Json<Option<Restored>>> {
    shared.config.workbench.undoable().await.map(Json).map_err(failed)
}

/// Take the last command back.
pub(crate) async fn undo(State(shared): State<Shared>) -> Answer<Json<Restored>> {
    take_back(&shared).await.map(Json)
}

/// Take the last command back, and what was passed by it.
pub(crate) async fn take_back(shared: &Shared) -> Answer<Restored> {
    let shared = shared.clone();
    whole(&shared.way.clone(), async move { undo_last(&shared).await }).await
}

async fn undo_last(shared: &Shared) -> Answer<Restored> {
    let undone = shared.config.workbench.undo().await.map_err(failed)?;
    let undone = undone.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "there is nothing to undo"))?;
    shared.progress.change(|book| book.passed.retain(|check, _| !undone.reopened.contains(check)))?;
    events::catch_up(shared);
    Ok(undone)
}

#[derive(Deserialize)]
pub(crate) struct Skip {
    duration: String,
}

/// Let time pass.
pub(crate) async fn skip(State(shared): State<Shared>, Json(Skip { duration }): Json<Skip>) -> Answer<Json<Restored>> {
    shared.config.workbench.skip(&duration).await.map(Json).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_never_ends_is_given_up_with_a_word() {
        let Err(Refused(status, says)) = whole(&Arc::default(), std::future::pending::<Answer<()>>()).await else { panic!("it ended") };
        assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
        assert!(says["error"].as_str().is_some_and(|says| says.contains("longer than two minutes") && says.contains("Try again")));
    }

    #[tokio::test]
    async fn what_was_begun_is_done_although_nobody_waits() {
        let (done, told) = tokio::sync::oneshot::channel();
        let (go, went) = tokio::sync::oneshot::channel::<()>();
        let way = Arc::default();
        let work = whole(&way, async move {
            went.await.map_err(|error| failed(error.to_string()))?;
            done.send(()).map_err(|()| failed(String::new()))
        });
        // The request is dropped as soon as it has begun.
        assert!(tokio::time::timeout(Duration::ZERO, work).await.is_err());
        go.send(()).unwrap();
        told.await.unwrap();
    }
}
