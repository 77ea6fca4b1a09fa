//! Says what is wrong with the courses below a directory: `cargo run -p drydock-course --example check [DIR]`.

use std::process::ExitCode;

use drydock_course::Course;
use drydock_course::source::Directory;

fn main() -> ExitCode {
    let root = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let source = Directory::new(root);
    let tracks = match Course::tracks(&source) {
        Ok(tracks) => tracks,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut failed = tracks.is_empty();
    for track in tracks {
        match Course::load(&source, &track) {
            Ok(course) => {
                course.diagnostics.iter().for_each(|diagnostic| println!("{diagnostic}"));
                failed |= course.has_errors();
                for chapter in course.chapters() {
                    println!("{}: {} sections, {} checks, {} labs", chapter.id, chapter.sections.len(), chapter.checks().count(), chapter.labs.len());
                }
            }
            Err(found) => {
                found.iter().for_each(|diagnostic| println!("{diagnostic}"));
                failed = true;
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
