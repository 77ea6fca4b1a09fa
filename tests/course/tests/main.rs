//! Every fence of every lesson runs, every output fits, every check turns green; solutions pass and wrong answers fail for their reason.

use std::process::Stdio;

use drydock_kit::{Drydock, repository};

#[test]
fn lessons_and_labs_hold() {
    let content = repository();
    let drydock = Drydock::idle();
    // PostgreSQL is the real one: made from the distribution's packages, once.
    drydock.run(&["image", "prefetch", "lunches"]).ok();
    let mut test = drydock.command(&["author", "test", &content.to_string_lossy()]);
    // The report is long and tells its progress; it belongs on the terminal.
    let status = test.stdin(Stdio::null()).status().expect("drydock runs");
    assert!(status.success(), "a lesson or lab does not hold; the report is above");
}
