//! Everything again, started by an ordinary user: with subordinate ids, and with one id only.
//!
//! Started as root, these tests borrow other users (see [`drydock_kit::ordinary_users`]); else they run as whoever runs them.

use std::path::Path;
use std::process::Command;

use drydock_kit::{Drydock, Ran, User, ordinary_users, repository};

use crate::{cluster, crash, mischief, nodes, services};

#[test]
fn a_pod_can_be_looked_into() {
    for user in ordinary_users() {
        cluster::looked_into(&Drydock::cluster_of(user, 1));
    }
}

#[test]
fn pods_spread_and_talk_across_nodes() {
    for user in ordinary_users() {
        nodes::spread(&Drydock::cluster_of(user, 3));
    }
}

#[test]
fn a_killed_drydock_leaves_nothing_and_loses_nothing() {
    for user in ordinary_users() {
        crash::killed(Drydock::cluster_of(user, 1));
    }
}

#[test]
fn the_end_leaves_nothing() {
    for user in ordinary_users() {
        crash::ended(&Drydock::cluster_of(user, 1));
    }
}

#[test]
fn mischief_ends_where_it_began() {
    for user in ordinary_users() {
        let drydock = Drydock::cluster_of(user, 1);
        mischief::everything_killed(&drydock);
        drydock.run(&["cluster", "reset"]).ok();
        mischief::everything_removed(&drydock);
    }
}

#[test]
fn services_are_reached_as_the_book_reaches_them() {
    for user in ordinary_users() {
        services::reached(&Drydock::cluster_of(user, 1));
    }
}

/// The book's content where any user can read it.
fn content(drydock: &Drydock) -> String {
    let content = drydock.state().join("content");
    for directory in ["chapters", "labs"] {
        let target = content.join(directory);
        std::fs::create_dir_all(&content).unwrap();
        Ran::of(Command::new("cp").arg("-R").arg(repository().join(directory)).arg(&target)).ok();
        Ran::of(Command::new("chmod").arg("-R").arg("a+rX").arg(&target)).ok();
    }
    content.to_string_lossy().into_owned()
}

#[test]
fn a_chapter_works() {
    for user in ordinary_users() {
        let drydock = Drydock::idle_of(user);
        let content = content(&drydock);
        let said = drydock.run(&["author", "test", &content, "--only", "ch02"]).ok();
        assert!(said.contains(" passed, 0 failed"), "{said}");
    }
}

#[test]
fn the_page_is_served() {
    for user in ordinary_users() {
        let mut drydock = Drydock::idle_of(user);
        let content = content(&drydock);
        drydock.start(&["serve", "--listen", "127.0.0.1:0", "--api-port", "0", "--no-open", "--content", &content]);
        let url = drydock.line.split(' ').next().unwrap();
        let page = Ran::of(Command::new("curl").args(["-s", "-L", url])).ok();
        assert!(page.contains("Pods and Deployments"), "{user:?}: {page}");
    }
}

#[test]
fn with_one_id_only_what_is_missing_is_said() {
    let nobody = ordinary_users().into_iter().find(|user| *user != User::Me);
    let Some(user) = nobody else {
        return eprintln!("not started as root, so no user with one id only can be borrowed");
    };
    let findings = Drydock::idle_of(user).run(&["doctor"]);
    assert!(findings.stdout.contains("containers cannot run as other users"), "{}{}", findings.stdout, findings.stderr);
    assert!(Path::new("/etc/subuid").exists() || findings.stdout.contains("/etc/subuid"));
}
