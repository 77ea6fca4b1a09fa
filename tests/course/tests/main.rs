//! Every fence of every lesson runs, every output fits, every check turns green; solutions pass and wrong answers fail for their reason.

use std::process::Stdio;

use drydock_kit::{Drydock, User, ordinary_users, repository};

#[test]
fn lessons_and_labs_hold() {
    let content = repository();
    let drydock = Drydock::idle();
    let mut test = drydock.command(&["author", "test", &content.to_string_lossy()]);
    // PostgreSQL is the real one: made from the distribution's packages, once. It runs as a user of its own.
    let fetched = drydock.run(&["image", "prefetch", "lunches"]);
    let root = !ordinary_users().contains(&User::Me);
    match (fetched.status.success(), root) {
        (true, true) => drop(test.arg("--complete")),
        (true, false) => eprintln!("an ordinary user may lack the ids that real software needs: what does not run here is skipped"),
        (false, _) => eprintln!("nothing can be fetched, so what needs an image that is not here is skipped: {}", fetched.stderr),
    }
    // The report is long and tells its progress; it belongs on the terminal.
    let status = test.stdin(Stdio::null()).status().expect("drydock runs");
    assert!(status.success(), "a lesson or lab does not hold; the report is above");
}
