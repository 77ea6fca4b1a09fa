//! `drydock author lint|test`: for those who write lessons.

use std::process::ExitCode;

use drydock_course::course::Course;
use drydock_course::source::Directory;

use crate::cli::Author;

/// Run an `author` command.
pub(crate) fn run(command: Author) -> anyhow::Result<ExitCode> {
    match command {
        Author::Lint { content } => lint(&Directory::new(content)),
        Author::Test { .. } => anyhow::bail!("not wired yet"),
    }
}

fn lint(source: &Directory) -> anyhow::Result<ExitCode> {
    let tracks = Course::tracks(source)?;
    if tracks.is_empty() {
        anyhow::bail!("there is no chapters/NAME/course.yaml; say where the content is, as `drydock author lint DIR`");
    }
    let mut found = Vec::new();
    for track in &tracks {
        match Course::load(source, track) {
            Ok(course) => found.extend(course.diagnostics),
            Err(problems) => found.extend(problems),
        }
    }
    for diagnostic in &found {
        println!("{diagnostic}");
    }
    let errors = found.iter().any(|diagnostic| diagnostic.severity == drydock_course::diagnostic::Severity::Error);
    Ok(if errors { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
