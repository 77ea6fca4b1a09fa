//! `drydock author lint|test`: for those who write lessons.

use std::collections::VecDeque;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use drydock_author::needs::Missing;
use drydock_author::report::Summary;
use drydock_author::test::Options;
use drydock_author::{Live, lint, test};
use drydock_checks::grader::Grader;
use drydock_cluster::spawn::{self, Identity};
use drydock_course::course::Course;
use drydock_course::diagnostic::Severity;
use drydock_course::source::Directory;
use drydock_image::{Catalogue, Library, Source};
use drydock_terminal::Terminals;

use super::cluster::Tools;
use super::{cluster, serve};
use crate::cli::Author;
use crate::out::{self, outln};
use crate::page::course::Content;
use crate::page::shell::WorkstationShell;
use crate::state::State;

/// Lines a terminal remembers.
const SCROLLBACK: usize = 2000;

/// Run an `author` command. The images fetched for `state` are there for its clusters too.
pub(crate) fn run(state: &State, command: Author) -> anyhow::Result<ExitCode> {
    match command {
        Author::Lint { content } => check(&Place::of(&content)?),
        Author::Test { content, only, runs, jobs, host_tools, complete, junit } => {
            let place = Place::of(&content)?;
            if check(&place)? != ExitCode::SUCCESS {
                bail!("what does not read cannot be tested");
            }
            let missing = if complete { Vec::new() } else { missing(state)? };
            let options = Options { only, inside: place.inside.clone(), chapter: None, missing };
            play(&place.root, &options, state, (runs, jobs, Tools::asked(host_tools)), junit)
        }
    }
}

/// Images of the catalogue that a cluster of this test cannot have, and why.
pub(super) fn missing(state: &State) -> anyhow::Result<Vec<Missing>> {
    let library = Library::new(&state.library());
    let one_id = matches!(spawn::identity(), Identity::Single { .. });
    let mut missing = Vec::new();
    for entry in Catalogue::built_in().entries().iter().filter(|entry| entry.bundled().is_none()) {
        let why = match (&entry.source, library.find(&entry.reference)?) {
            (Source::Recipe(_), _) if one_id => "real software gives its processes users of their own, and here is only one id; `drydock doctor` says how to get more".to_owned(),
            (_, Some(_)) => continue,
            (_, None) => match entry.books.first() {
                Some(book) => format!("it is not here; run `drydock image prefetch {book}`"),
                None => "it is not here".to_owned(),
            },
        };
        let tag = entry.reference.tag.as_deref().unwrap_or("latest");
        missing.push(Missing { image: format!("{}:{tag}", entry.reference.familiar_repository()), why });
    }
    Ok(missing)
}

/// Where content is, and which part of it is meant.
struct Place {
    root: PathBuf,
    /// Directory of one chapter or lab, relative to the root.
    inside: Option<String>,
}

impl Place {
    /// All content below a directory, or the chapter or lab the directory belongs to.
    fn of(path: &Path) -> anyhow::Result<Place> {
        let found = |root: &Path| Course::tracks(&Directory::new(root)).is_ok_and(|tracks| !tracks.is_empty());
        let whole = path.canonicalize().with_context(|| format!("there is no {}", path.display()))?;
        let Some(root) = whole.ancestors().find(|root| found(root)) else {
            bail!("there is no chapters/NAME/course.yaml; say where the content is, as `drydock author lint DIR`");
        };
        // chapters/TRACK/CHAPTER or labs/TRACK/LAB, and anything in it.
        let below: Vec<_> = whole.strip_prefix(root)?.components().take(3).collect();
        let inside = (below.len() == 3).then(|| below.iter().collect::<PathBuf>().to_string_lossy().into_owned());
        Ok(Place { root: root.to_owned(), inside })
    }
}

fn check(place: &Place) -> anyhow::Result<ExitCode> {
    let found = lint::source(&Directory::new(&place.root))?;
    let meant = |file: &str| place.inside.as_ref().is_none_or(|inside| file.starts_with(&format!("{inside}/")) || file.ends_with("course.yaml"));
    let found: Vec<_> = found.iter().filter(|diagnostic| meant(&diagnostic.file)).collect();
    for diagnostic in &found {
        outln!("{diagnostic}");
    }
    let errors = found.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    Ok(if errors { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Test content on clusters of its own, in state directories that are gone afterwards unless something failed. Each job has a cluster
/// and takes one chapter after the other.
fn play(directory: &Path, options: &Options, fetched: &State, (runs, jobs, tools): (u32, u32, Tools), junit: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let content = Content::load(Some(directory))?;
    let chapters = test::chapters(content.course(), options);
    if chapters.is_empty() {
        bail!("no chapter, exercise or lab is meant: {}", options.only.as_ref().or(options.inside.as_ref()).map_or("the course is empty", String::as_str));
    }
    let rounds = (0..runs).flat_map(|_| chapters.iter().cloned());
    let queue: Mutex<VecDeque<String>> = Mutex::new(rounds.collect());
    let jobs = jobs.min(chapters.len() as u32).max(1);
    // Two clusters of one process share the name of their control group, and the second one clears the first one's away.
    if jobs > 1 {
        bail!("--jobs: two clusters cannot run in one process yet; start `drydock author test` once for each chapter's directory instead");
    }
    let done: Vec<anyhow::Result<Summary>> = std::thread::scope(|scope| {
        let start = |number: u32| {
            let (content, queue) = (&content, &queue);
            let named = std::thread::Builder::new().name(format!("author-{number}"));
            named.spawn_scoped(scope, move || job((number, tools), content, options, fetched, queue, jobs > 1))
        };
        let started: Vec<_> = (0..jobs).map(start).collect();
        started.into_iter().map(|thread| thread?.join().map_err(|_| anyhow::anyhow!("a job panicked"))?).collect()
    });
    let mut all = Summary::default();
    for summary in done {
        all.cases.extend(summary?.cases);
    }
    if runs > 1 || chapters.len() > 1 {
        out::write(format_args!("{}", all.proof()));
    }
    outln!("{}", all.line());
    if let Some(path) = junit {
        std::fs::write(&path, all.junit()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if all.failed() > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// One cluster, for as long as there are chapters. With `aside`, what it says about a chapter comes in one piece.
fn job((number, tools): (u32, Tools), content: &Content, options: &Options, fetched: &State, queue: &Mutex<VecDeque<String>>, aside: bool) -> anyhow::Result<Summary> {
    let path = std::env::temp_dir().join(format!("drydock-author-{}-{number}", std::process::id()));
    // Made here and not taken over: anybody may have put something there.
    std::fs::DirBuilder::new().mode(0o700).create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    let state = State::find(Some(path))?;
    let Ok(lock) = state.lock()? else { bail!("{} is in use", state.directory.display()) };
    let (running, millis) = start(&state, content, fetched, tools)?;
    out::announce(format_args!("cluster ready in {millis} ms"));
    let summary = cluster::wait_for(perform(&state, &running.directory, content, options, queue, aside));
    drop(running);
    let summary = summary?;
    if summary.failed() > 0 {
        outln!("the cluster's log is {}", crate::state::cluster_log(&state.directory).display());
    } else {
        state.delete(lock)?;
    }
    Ok(summary)
}

/// A cluster as the content wants it, with the images fetched for another state. Also, the milliseconds it took.
pub(super) fn start(state: &State, content: &Content, fetched: &State, tools: Tools) -> anyhow::Result<(spawn::Running, i64)> {
    link(&fetched.library(), &state.library()).context("the images that were fetched")?;
    let mut settings = cluster::settings(content.nodes());
    settings.home_files = content.home_files();
    settings.internet = content.internet();
    settings.balancers = content.balancers();
    cluster::start(state, Some(0), tools, settings)
}

/// Terminals and a grader on a cluster that runs.
pub(super) async fn stage(state: &State, directory: &Path, content: &Content) -> anyhow::Result<Live> {
    let client = serve::page_client(directory).await?;
    let terminals = Terminals::new(Arc::new(WorkstationShell::new(client.clone())), SCROLLBACK);
    let grader = Grader::start(client.clone(), content.plans(), &state.directory.join("grading"))?;
    Ok(Live::new(client, terminals, grader))
}

/// The same files at a second place; a directory that is not there has none.
fn link(from: &Path, to: &Path) -> anyhow::Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let (source, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        if source.is_dir() {
            link(&source, &target)?;
        } else if std::fs::hard_link(&source, &target).is_err() {
            // Another file system, or files of somebody else.
            std::fs::copy(&source, &target).with_context(|| format!("cannot copy {}", source.display()))?;
        }
    }
    Ok(())
}

async fn perform(state: &State, directory: &Path, content: &Content, options: &Options, queue: &Mutex<VecDeque<String>>, aside: bool) -> anyhow::Result<Summary> {
    let stage = stage(state, directory, content).await?;
    let mut all = Summary::default();
    loop {
        let Some(chapter) = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else { return Ok(all) };
        let options = Options { chapter: Some(chapter), ..options.clone() };
        let summary = if aside {
            let mut said = Vec::new();
            let summary = test::course(content.course(), &stage, &options, &mut said).await?;
            std::io::stdout().write_all(&said)?;
            summary
        } else {
            test::course(content.course(), &stage, &options, &mut std::io::stdout()).await?
        };
        all.cases.extend(summary.cases);
    }
}
