//! Every route of the page and its answers.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{delete, get, post, put};
use drydock_terminal::{GoesOn, INTERRUPT, Mode, Refusal, RunRequest};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::course::{Block, Chapter, Section};
use crate::guard::{self, Guard};
use crate::progress::{Given, Progress};
use crate::workbench::Reset;
use crate::{WebConfig, WebError, assets, events, page, terminals};

/// Largest file the page reads or writes.
const MAX_FILE: usize = 1024 * 1024;

/// What Ctrl+D sends.
const END_OF_INPUT: u8 = 0x04;

/// What every handler shares.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) config: WebConfig,
    pub(crate) progress: Arc<Progress>,
    pub(crate) guard: Guard,
    /// Changes with every start of the server.
    pub(crate) server: Arc<str>,
    pub(crate) closing: CancellationToken,
}

/// The page, ready to be served.
pub struct App {
    /// All routes.
    pub router: Router,
    /// What the learner has done.
    pub progress: Arc<Progress>,
    /// Cancel to close every socket.
    pub closing: CancellationToken,
}

/// Build the page for a server on this port. Must be called inside a tokio runtime.
pub fn app(config: WebConfig, port: u16) -> Result<App, WebError> {
    let progress = Arc::new(Progress::open(&config.progress_dir)?);
    let guard = Guard::new(port, &config.progress_dir)?;
    let closing = CancellationToken::new();
    let server = uuid::Uuid::new_v4().to_string().into();
    let shared = Shared { config, progress: progress.clone(), guard: guard.clone(), server, closing: closing.clone() };
    tokio::spawn(events::keep_passes(shared.clone()));
    let router = routes().with_state(shared).layer(middleware::from_fn_with_state(guard, guard::check));
    Ok(App { router, progress, closing })
}

fn routes() -> Router<Shared> {
    Router::new()
        .route("/", get(home))
        .route("/{chapter}", get(document))
        .route("/assets/{*path}", get(assets::asset))
        .route("/ws/events", get(events::socket))
        .route("/ws/terminals/{name}", get(terminals::socket))
        .route("/api/access", get(may_act).post(enter))
        .route("/api/outline", get(outline))
        .route("/api/chapters/{id}", get(chapter))
        .route("/api/open", post(open))
        .route("/api/progress", get(progress))
        .route("/api/layout", put(layout))
        .route("/api/place", put(place))
        .route("/api/runs", post(run))
        .route("/api/presses", post(press))
        .route("/api/hints", post(hint))
        .route("/api/answers", post(answer))
        .route("/api/checks/{id}/now", post(check_now))
        .route("/api/solutions", post(solutions))
        .route("/api/debriefs", post(debrief))
        .route("/api/reset", post(reset))
        .route("/api/files", get(read_file).put(write_file))
        .route("/api/terminals", get(terminal_names))
        .route("/api/terminals/{name}", delete(close_terminal))
        .route("/api/terminals/{name}/interrupt", post(interrupt))
        .layer(DefaultBodyLimit::max(MAX_FILE))
}

/// An answer that is a refusal: what, why, what next in one sentence.
struct Refused(StatusCode, Value);

impl Refused {
    fn new(status: StatusCode, sentence: impl Into<String>) -> Refused {
        Refused(status, json!({"error": sentence.into()}))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

impl From<crate::progress::ProgressError> for Refused {
    fn from(error: crate::progress::ProgressError) -> Refused {
        Refused::new(StatusCode::INSUFFICIENT_STORAGE, error.to_string())
    }
}

type Answer<T> = Result<T, Refused>;

async fn home(State(shared): State<Shared>) -> Redirect {
    let book = shared.progress.book();
    let outline = shared.config.course.outline();
    let known = |place: &&String| {
        let id = place.trim_start_matches('/').split('#').next().unwrap_or_default();
        outline.chapters.iter().any(|chapter| chapter.available && chapter.id == id)
    };
    let first = || outline.chapters.iter().find(|c| c.available).map(|c| format!("/{}", c.id));
    // Without its fragment: the one of the address that was opened goes along, and the page knows how far it was scrolled.
    let here = |place: &String| place.split('#').next().unwrap_or_default().to_owned();
    let target = book.place.as_ref().filter(known).map(here).or_else(first);
    Redirect::temporary(target.as_deref().unwrap_or("/empty"))
}

async fn document(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let outline = shared.config.course.outline();
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    let chapter = shared.config.course.chapter(&id);
    let status = match &chapter {
        Some(Ok(_)) => StatusCode::OK,
        Some(Err(_)) => StatusCode::INTERNAL_SERVER_ERROR,
        None => StatusCode::NOT_FOUND,
    };
    let html = page::document(&outline, chapter.as_ref(), &id, &nonce);
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, guard::policy(&nonce)),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (status, headers, html).into_response()
}

async fn may_act(State(shared): State<Shared>, headers: HeaderMap) -> Json<Value> {
    Json(json!({"acts": shared.guard.access.is_known(&headers)}))
}

#[derive(Deserialize)]
struct Enter {
    /// From the fragment of the address that was printed.
    link: String,
}

async fn enter(State(shared): State<Shared>, Json(Enter { link }): Json<Enter>) -> Answer<Response> {
    match shared.guard.access.exchange(&link) {
        Ok(Some(cookie)) => Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()),
        Ok(None) => Err(Refused::new(StatusCode::GONE, "this link has been used, or is too old; run `drydock serve` again for a fresh one")),
        Err(error) => Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the link cannot be looked up: {error}"))),
    }
}

fn find(shared: &Shared, id: &str) -> Answer<Arc<Chapter>> {
    match shared.config.course.chapter(id) {
        Some(Ok(chapter)) => Ok(chapter),
        Some(Err(why)) => Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, why)),
        None => Err(Refused::new(StatusCode::NOT_FOUND, format!("there is no chapter {id:?}"))),
    }
}

fn find_section<'a>(chapter: &'a Chapter, id: &str) -> Answer<&'a Section> {
    let found = chapter.sections.iter().find(|section| section.id == id);
    found.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, format!("chapter {} has no section {id:?}", chapter.id)))
}

async fn outline(State(shared): State<Shared>) -> Json<Value> {
    Json(json!(*shared.config.course.outline()))
}

async fn chapter(State(shared): State<Shared>, Path(id): Path<String>) -> Answer<Json<Value>> {
    let chapter = find(&shared, &id)?;
    let html = page::article(&shared.config.course.outline(), &chapter);
    Ok(Json(json!({"id": chapter.id, "number": chapter.number, "title": chapter.title, "html": html})))
}

#[derive(Deserialize)]
struct Opened {
    chapter: String,
}

async fn open(State(shared): State<Shared>, Json(opened): Json<Opened>) -> Answer<StatusCode> {
    let chapter = find(&shared, &opened.chapter)?;
    shared.config.verdicts.open(&chapter.id);
    Ok(StatusCode::NO_CONTENT)
}

async fn progress(State(shared): State<Shared>) -> Json<Value> {
    Json(json!(*shared.progress.book()))
}

async fn layout(State(shared): State<Shared>, Json(layout): Json<Value>) -> Answer<StatusCode> {
    shared.progress.change(|book| book.layout = layout)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct Place {
    place: String,
}

async fn place(State(shared): State<Shared>, Json(Place { place }): Json<Place>) -> Answer<StatusCode> {
    if !place.starts_with('/') || place.starts_with("//") || place.len() > 200 {
        return Err(Refused::new(StatusCode::BAD_REQUEST, "a place is a path of this site"));
    }
    shared.progress.change(|book| book.place = Some(place))?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct Run {
    chapter: String,
    block: String,
    /// Another terminal than the block names.
    session: Option<String>,
    /// Commands at its beginning that are left out: they have been run.
    #[serde(default)]
    skip: usize,
}

/// Type a block of the lesson into its terminal, if the shell waits there.
async fn run(State(shared): State<Shared>, Json(run): Json<Run>) -> Answer<StatusCode> {
    let chapter = find(&shared, &run.chapter)?;
    let block = chapter.sections.iter().flat_map(|section| &section.blocks).find_map(|block| match block {
        Block::Command { id, session, text, typed: false, inside, exit } if *id == run.block => Some((session, text, inside, exit)),
        _ => None,
    });
    let Some((session, text, inside, exit)) = block else {
        return Err(Refused::new(StatusCode::NOT_FOUND, format!("chapter {} has no block {:?} to run", run.chapter, run.block)));
    };
    let name = run.session.as_ref().unwrap_or(session);
    let terminal = shared.config.workbench.terminals().session(name).map_err(|error| Refused::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    shared.config.verdicts.ran(&run.chapter, &run.block);
    let goes_on = exit.map_or(GoesOn::Always, GoesOn::AfterSuccessOr);
    // Blocks are unique in their chapter, terminals are for all.
    let key = format!("{}/{}", run.chapter, run.block);
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

#[derive(Deserialize)]
struct Press {
    chapter: String,
    block: String,
}

/// Press the key of a block in its terminal, unless that would end a shell that waits there.
async fn press(State(shared): State<Shared>, Json(press): Json<Press>) -> Answer<StatusCode> {
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
struct Hint {
    chapter: String,
    check: String,
    /// Which one, from 1; the next unseen one when absent.
    number: Option<usize>,
}

async fn hint(State(shared): State<Shared>, Json(wanted): Json<Hint>) -> Answer<Json<Value>> {
    let chapter = find(&shared, &wanted.chapter)?;
    let hints = chapter.sections.iter().flat_map(|section| &section.blocks).find_map(|block| match block {
        Block::Check { id, hints, .. } if *id == wanted.check => Some(hints),
        _ => None,
    });
    let hints = hints.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, format!("there is no check {:?}", wanted.check)))?;
    let seen = shared.progress.book().hints.get(&wanted.check).copied().unwrap_or(0);
    let number = wanted.number.unwrap_or(seen + 1);
    let Some(text) = number.checked_sub(1).and_then(|index| hints.get(index)) else {
        return Err(Refused::new(StatusCode::NOT_FOUND, "that was the last hint"));
    };
    if number > seen {
        shared.config.verdicts.hint_used(&wanted.check, number);
        shared.progress.change(|book| book.hints.extend([(wanted.check.clone(), number)]))?;
    }
    Ok(Json(json!({"number": number, "total": hints.len(), "html": page::inline(text)})))
}

#[derive(Deserialize)]
struct Reply {
    ask: String,
    value: String,
}

async fn answer(State(shared): State<Shared>, Json(reply): Json<Reply>) -> Answer<Json<Value>> {
    if reply.value.len() > 1000 {
        return Err(Refused::new(StatusCode::BAD_REQUEST, "an answer is at most 1000 characters"));
    }
    let judged = shared.config.verdicts.answer(&reply.ask, &reply.value).await;
    let answered = judged.map_err(|why| Refused::new(StatusCode::UNPROCESSABLE_ENTITY, why))?;
    let given = Given { value: reply.value, answered: answered.clone() };
    shared.progress.change(|book| book.answers.extend([(reply.ask, given)]))?;
    Ok(Json(json!({"correct": answered.correct, "html": answered.because.as_deref().map(page::inline)})))
}

async fn check_now(State(shared): State<Shared>, Path(id): Path<String>) -> Answer<Json<Value>> {
    let verdict = shared.config.verdicts.check_now(&id).await;
    verdict.map(|verdict| Json(json!(verdict))).map_err(|why| Refused::new(StatusCode::UNPROCESSABLE_ENTITY, why))
}

#[derive(Deserialize)]
struct SectionOf {
    chapter: String,
    section: String,
    /// Asked a second time.
    #[serde(default)]
    sure: bool,
}

/// Whether every check of a section that counts has been passed.
fn is_done(shared: &Shared, section: &Section) -> bool {
    let book = shared.progress.book();
    section.blocks.iter().all(|block| match block {
        Block::Check { id, optional: false, .. } => book.passed.contains_key(id),
        _ => true,
    })
}

async fn solutions(State(shared): State<Shared>, Json(wanted): Json<SectionOf>) -> Answer<Json<Value>> {
    let chapter = find(&shared, &wanted.chapter)?;
    let section = find_section(&chapter, &wanted.section)?;
    let key = format!("{}/{}", chapter.id, section.id);
    let open = wanted.sure || is_done(&shared, section) || shared.progress.book().solutions.contains(&key);
    if !open {
        return Err(Refused(StatusCode::CONFLICT, json!({"error": "it is not solved yet", "sure": false})));
    }
    shared.progress.change(|book| book.solutions.extend([key]))?;
    Ok(Json(json!({"html": page::solutions(section)})))
}

async fn debrief(State(shared): State<Shared>, Json(wanted): Json<SectionOf>) -> Answer<Json<Value>> {
    let chapter = find(&shared, &wanted.chapter)?;
    let section = find_section(&chapter, &wanted.section)?;
    if !is_done(&shared, section) {
        return Err(Refused::new(StatusCode::CONFLICT, "the debrief comes when every check has passed"));
    }
    Ok(Json(json!({"html": section.debrief})))
}

async fn reset(State(shared): State<Shared>, Json(scope): Json<Reset>) -> Answer<StatusCode> {
    let Reset::Chapter { chapter } = &scope;
    let chapter = find(&shared, chapter)?;
    let failed = |why| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, why);
    shared.config.workbench.reset(scope.clone()).await.map_err(failed)?;
    shared.progress.change(|book| {
        for section in &chapter.sections {
            book.solutions.remove(&format!("{}/{}", chapter.id, section.id));
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
                        book.runs.remove(&format!("{}/{id}", chapter.id));
                    }
                    Block::Prose { .. } | Block::Output { .. } | Block::Code { .. } => {}
                }
            }
        }
    })?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct FilePath {
    path: String,
}

async fn read_file(State(shared): State<Shared>, Query(FilePath { path }): Query<FilePath>) -> Answer<Response> {
    let failed = |why| Refused::new(StatusCode::BAD_GATEWAY, why);
    match shared.config.workbench.read_file(&path).await.map_err(failed)? {
        Some(bytes) if bytes.len() > MAX_FILE => Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, format!("{path} is too large for the editor"))),
        Some(bytes) => Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()),
        None => Err(Refused::new(StatusCode::NOT_FOUND, format!("there is no file {path}"))),
    }
}

async fn write_file(State(shared): State<Shared>, Query(FilePath { path }): Query<FilePath>, bytes: Bytes) -> Answer<StatusCode> {
    let failed = |why| Refused::new(StatusCode::BAD_GATEWAY, why);
    shared.config.workbench.write_file(&path, bytes.to_vec()).await.map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn terminal_names(State(shared): State<Shared>) -> Json<Value> {
    Json(json!(shared.config.workbench.terminals().names()))
}

async fn close_terminal(State(shared): State<Shared>, Path(name): Path<String>) -> StatusCode {
    shared.config.workbench.terminals().close(&name).await;
    StatusCode::NO_CONTENT
}

async fn interrupt(State(shared): State<Shared>, Path(name): Path<String>) -> Answer<StatusCode> {
    let bad = |error: drydock_terminal::TerminalError| Refused::new(StatusCode::BAD_REQUEST, error.to_string());
    let session = shared.config.workbench.terminals().session(&name).map_err(bad)?;
    session.press(INTERRUPT).await.map_err(bad)?;
    Ok(StatusCode::NO_CONTENT)
}
