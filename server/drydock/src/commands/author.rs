//! `drydock author lint|test`: for those who write lessons.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use drydock_author::report::Summary;
use drydock_author::test::Options;
use drydock_author::{Live, lint, test};
use drydock_checks::grader::Grader;
use drydock_course::course::Course;
use drydock_course::diagnostic::Severity;
use drydock_course::source::Directory;
use drydock_terminal::Terminals;

use super::{cluster, serve};
use crate::cli::Author;
use crate::page::course::Content;
use crate::page::shell::WorkstationShell;
use crate::state::State;

/// Lines a terminal remembers.
const SCROLLBACK: usize = 2000;

/// Run an `author` command.
pub(crate) fn run(command: Author) -> anyhow::Result<ExitCode> {
    match command {
        Author::Lint { content } => check(&content),
        Author::Test { content, only, runs, junit } => {
            if check(&content)? != ExitCode::SUCCESS {
                bail!("what does not read cannot be tested");
            }
            play(&content, &Options { only }, runs, junit)
        }
    }
}

fn check(content: &Path) -> anyhow::Result<ExitCode> {
    let source = Directory::new(content);
    if Course::tracks(&source)?.is_empty() {
        bail!("there is no chapters/NAME/course.yaml; say where the content is, as `drydock author lint DIR`");
    }
    let found = lint::source(&source)?;
    for diagnostic in &found {
        println!("{diagnostic}");
    }
    let errors = found.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    Ok(if errors { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Test content on a cluster of its own, in a state directory that is gone afterwards unless something failed.
fn play(directory: &Path, options: &Options, runs: u32, junit: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let content = Content::load(Some(directory))?;
    let path = std::env::temp_dir().join(format!("drydock-author-{}", std::process::id()));
    // Made here and not taken over: anybody may have put something there.
    std::fs::DirBuilder::new().mode(0o700).create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    let state = State::find(Some(path))?;
    let Ok(lock) = state.lock()? else { bail!("{} is in use", state.directory.display()) };
    let mut settings = cluster::settings(content.nodes());
    settings.home_files = content.home_files();
    settings.internet = content.internet();
    let (running, millis) = cluster::start(&state, Some(0), settings)?;
    println!("cluster ready in {millis} ms");
    let summary = cluster::wait_for(perform(&state, &running.directory, &content, options, runs));
    drop(running);
    let summary = summary?;
    if let (true, Some(only)) = (summary.cases.is_empty(), &options.only) {
        bail!("no chapter, exercise or lab has an id that contains {only:?}");
    }
    if let Some(path) = junit {
        std::fs::write(&path, summary.junit()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if summary.failed() > 0 {
        println!("the cluster's log is {}", crate::state::cluster_log(&state.directory).display());
        return Ok(ExitCode::FAILURE);
    }
    state.delete(lock)?;
    Ok(ExitCode::SUCCESS)
}

async fn perform(state: &State, directory: &Path, content: &Content, options: &Options, runs: u32) -> anyhow::Result<Summary> {
    let client = serve::page_client(directory).await?;
    let terminals = Terminals::new(Arc::new(WorkstationShell::new(client.clone())), SCROLLBACK);
    let grader = Grader::start(client.clone(), content.plans(), &state.directory.join("grading"))?;
    let stage = Live::new(client, terminals, grader);
    let mut all = Summary::default();
    for _ in 0..runs {
        let summary = test::course(content.course(), &stage, options, &mut std::io::stdout()).await?;
        all.cases.extend(summary.cases);
    }
    Ok(all)
}
