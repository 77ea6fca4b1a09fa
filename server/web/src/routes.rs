//! Every route of the page and its answers.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::course::{Chapter, Section};
use crate::guard::{self, Guard};
use crate::pane::{self, Visit};
use crate::progress::Progress;
use crate::{WebConfig, WebError, assets, back, blocks, events, files, lab, page, search, terminals};

/// Largest file the page reads or writes.
pub(crate) const MAX_FILE: usize = 1024 * 1024;

/// Most places that a search shows.
pub(crate) const FOUND: usize = 24;

/// What every handler shares.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) config: WebConfig,
    pub(crate) progress: Arc<Progress>,
    pub(crate) guard: Guard,
    /// Changes with every start of the server.
    pub(crate) server: Arc<str>,
    pub(crate) closing: CancellationToken,
    /// What panes load.
    pub(crate) visits: broadcast::Sender<Visit>,
    /// Held by whoever goes back or to another chapter: one at a time.
    pub(crate) way: Arc<tokio::sync::Mutex<()>>,
}

/// The page, ready to be served.
pub struct App {
    /// All routes.
    pub router: Router,
    /// What the learner has done.
    pub progress: Arc<Progress>,
    /// Cancel to close every socket.
    pub closing: CancellationToken,
    shared: Shared,
}

impl App {
    /// Answer the `lab` command on this socket.
    pub fn serve_lab(&self, listener: UnixListener) -> impl Future<Output = ()> + Send + use<> {
        lab::serve(listener, self.shared.clone())
    }
}

/// Build the page for a server on this port. Must be called inside a tokio runtime.
pub fn app(config: WebConfig, port: u16) -> Result<App, WebError> {
    let progress = Arc::new(Progress::open(&config.progress_dir)?);
    let guard = Guard::new(port, &config.progress_dir)?;
    let closing = CancellationToken::new();
    let server = uuid::Uuid::new_v4().to_string().into();
    let shared = Shared { config, progress: progress.clone(), guard: guard.clone(), server, closing: closing.clone(), visits: broadcast::Sender::new(64), way: Arc::default() };
    tokio::spawn(events::keep_passes(shared.clone()));
    let own = routes().with_state(shared.clone()).layer(middleware::from_fn_with_state(guard, guard::check));
    let router = own.layer(middleware::from_fn_with_state(shared.clone(), pane::divert));
    Ok(App { router, progress, closing, shared })
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
        .route("/api/search", get(found))
        .route("/api/open", post(back::open))
        .route("/api/progress", get(progress))
        .route("/api/layout", put(layout))
        .route("/api/place", put(place))
        .route("/api/runs", post(blocks::run))
        .route("/api/presses", post(blocks::press))
        .route("/api/typed", post(blocks::typed))
        .route("/api/hints", post(blocks::hint))
        .route("/api/answers", post(blocks::answer))
        .route("/api/checks/{id}/now", post(blocks::check_now))
        .route("/api/solutions", post(blocks::solutions))
        .route("/api/debriefs", post(blocks::debrief))
        .route("/api/reset", post(back::reset))
        .route("/api/undo", get(back::undoable).post(back::undo))
        .route("/api/changes/{uid}", get(changes))
        .route("/api/skip", post(back::skip))
        .route("/api/files", get(files::read_file).put(files::write_file))
        .route("/api/terminals", get(files::terminal_names))
        .route("/api/terminals/{name}", delete(files::close_terminal))
        .route("/api/terminals/{name}/interrupt", post(files::interrupt))
        .layer(DefaultBodyLimit::max(MAX_FILE))
}

/// An answer that is a refusal: what, why, what next in one sentence.
pub(crate) struct Refused(pub(crate) StatusCode, pub(crate) Value);

impl Refused {
    pub(crate) fn new(status: StatusCode, sentence: impl Into<String>) -> Refused {
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

pub(crate) type Answer<T> = Result<T, Refused>;

/// The whole track. Where the learner was is for the script to say, since the book is open to read for all.
async fn home(State(shared): State<Shared>) -> Response {
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    let html = page::first(&shared.config.course.outline(), &nonce);
    html_answer(StatusCode::OK, &nonce, html, &shared)
}

fn html_answer(status: StatusCode, nonce: &str, html: String, shared: &Shared) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, guard::policy(nonce, shared.guard.port)),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (status, headers, html).into_response()
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
    html_answer(status, &nonce, html, &shared)
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

pub(crate) fn find(shared: &Shared, id: &str) -> Answer<Arc<Chapter>> {
    match shared.config.course.chapter(id) {
        Some(Ok(chapter)) => Ok(chapter),
        Some(Err(why)) => Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, why)),
        None => Err(Refused::new(StatusCode::NOT_FOUND, format!("there is no chapter {id:?}"))),
    }
}

pub(crate) fn find_section<'a>(chapter: &'a Chapter, id: &str) -> Answer<&'a Section> {
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
struct Wanted {
    /// All of them.
    words: String,
    /// The chapter of the page that asks, which has it before its eyes.
    except: Option<String>,
}

async fn found(State(shared): State<Shared>, Query(Wanted { words, except }): Query<Wanted>) -> Json<Value> {
    Json(json!(search::find(&*shared.config.course, &words, except.as_deref(), FOUND)))
}

async fn progress(State(shared): State<Shared>) -> Json<Value> {
    Json(json!(*shared.progress.book()))
}

/// What became of an object lately.
async fn changes(State(shared): State<Shared>, Path(uid): Path<String>) -> Json<Value> {
    Json(json!(shared.config.workbench.changes(&uid)))
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
