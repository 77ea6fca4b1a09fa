//! The content of this repository is read without an error, so that a mistake in a lesson is found before a cluster is started for it.

use std::path::Path;

use drydock_author::lint;
use drydock_course::diagnostic::Severity;
use drydock_course::source::Directory;

#[test]
fn chapters_and_labs_have_no_errors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the repository");
    let found = lint::source(&Directory::new(root)).expect("readable content");
    let errors: Vec<String> = found.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).map(ToString::to_string).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    for warning in &found {
        println!("{warning}");
    }
}
