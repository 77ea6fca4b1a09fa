//! What survives: torn tails, sudden ends, wrong formats; and what the API may still ask.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drydock_primitives::clock::ManualClock;
use drydock_store::{EventKind, Expect, Op, OpenError, Options, Revision, Store, Txn};

fn put(key: &str, value: &str) -> Txn {
    let op = Op::Put { key: key.into(), bytes: Bytes::copy_from_slice(value.as_bytes()), expect: Expect::Any };
    Txn { ops: vec![op], actor: "learner".into(), cause: "c1".into(), sync: true }
}

fn delete(key: &str) -> Txn {
    Txn { ops: vec![Op::Delete { key: key.into(), expect: Expect::Any }], actor: "learner".into(), cause: "c2".into(), sync: true }
}

fn open(directory: &Path) -> Result<Store, OpenError> {
    Store::open(directory, Arc::new(ManualClock::default()))
}

fn last_segment(directory: &Path) -> PathBuf {
    let names = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    names.filter(|path| path.extension().is_some_and(|extension| extension == "journal")).max().expect("a segment")
}

#[test]
fn a_record_torn_at_any_byte_is_dropped_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).expect("a store");
    store.commit(put("/a", "1")).expect("committed");
    store.commit(put("/b", "2")).expect("committed");
    let segment = last_segment(directory.path());
    let before = fs::metadata(&segment).expect("a segment").len() as usize;
    store.commit(put("/a", "3")).expect("committed");
    drop(store);
    let whole = fs::read(&segment).expect("a segment");
    for cut in before..whole.len() {
        fs::write(&segment, &whole[..cut]).expect("torn");
        let store = open(directory.path()).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        assert_eq!(store.revision(), Revision(2), "cut at {cut}");
        assert_eq!(store.get("/a").expect("there").bytes, "1");
        assert_eq!(store.commit(put("/c", "4")).expect("goes on"), Revision(3));
        drop(store);
        let store = open(directory.path()).expect("a store");
        assert_eq!(store.get("/c").expect("there").bytes, "4", "cut at {cut}");
    }
}

#[test]
fn a_segment_torn_in_its_header_opens_empty() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(open(directory.path()).expect("a store"));
    let segment = last_segment(directory.path());
    for length in 0..20 {
        fs::write(&segment, &fs::read(&segment).expect("a segment")[..length]).expect("torn");
        let store = open(directory.path()).expect("a store");
        assert_eq!(store.commit(put("/a", "1")).expect("committed"), Revision(1));
        drop(store);
        assert_eq!(open(directory.path()).expect("a store").revision(), Revision(1));
        drop(fs::remove_file(&segment));
        drop(open(directory.path()).expect("a store"));
    }
}

#[test]
fn what_was_committed_is_in_the_file_before_commit_returns() {
    // As kill -9 leaves it: the files are copied while the store lives, no destructor has run.
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).expect("a store");
    for index in 0..50 {
        store.commit(put(&format!("/{index}"), "x")).expect("committed");
        let copy = tempfile::tempdir().expect("a directory");
        let segment = last_segment(directory.path());
        fs::copy(&segment, copy.path().join(segment.file_name().expect("a name"))).expect("copied");
        assert_eq!(open(copy.path()).expect("a store").revision(), Revision(index + 1));
    }
}

#[test]
fn damage_before_the_end_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options { segment_bytes: 200, segments: 1000, ..Options::default() };
    let store = Store::open_with(directory.path(), Arc::new(ManualClock::default()), options).expect("a store");
    let first = last_segment(directory.path());
    for index in 0..10 {
        store.commit(put(&format!("/{index}"), &"x".repeat(60))).expect("committed");
    }
    drop(store);
    let mut bytes = fs::read(&first).expect("a segment");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&first, bytes).expect("damaged");
    assert!(matches!(open(directory.path()), Err(OpenError::Corrupt { .. })));
}

#[test]
fn damage_before_whole_records_is_no_tear() {
    // In the last segment, which is most often the only one: what stands behind the damage must not be dropped in silence.
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).expect("a store");
    store.commit(put("/a", &"x".repeat(60))).expect("committed");
    let segment = last_segment(directory.path());
    let first = fs::metadata(&segment).expect("a segment").len() as usize;
    store.commit(put("/b", &"x".repeat(60))).expect("committed");
    drop(store);
    let whole = fs::read(&segment).expect("a segment");
    // The payload of the first record: what follows its length and checksum.
    for at in 28..first {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&segment, &damaged).expect("damaged");
        assert!(matches!(open(directory.path()), Err(OpenError::Corrupt { offset: 20, .. })), "flipped at {at}");
        assert_eq!(fs::read(&segment).expect("a segment"), damaged, "the evidence stays as it was");
    }
}

#[test]
fn newer_formats_and_second_owners_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).expect("a store");
    assert!(matches!(open(directory.path()), Err(OpenError::InUse(_))));
    drop(store);
    let segment = last_segment(directory.path());
    let mut bytes = fs::read(&segment).expect("a segment");
    bytes[8] = 99;
    fs::write(&segment, bytes).expect("written");
    assert!(matches!(open(directory.path()), Err(OpenError::Newer { found: 99, .. })));
}

#[test]
fn old_segments_go_with_their_history_and_the_state_stays() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options { segment_bytes: 500, segments: 3, ..Options::default() };
    let reopen = || Store::open_with(directory.path(), Arc::new(ManualClock::default()), options.clone()).expect("a store");
    let store = reopen();
    for index in 0..100 {
        store.commit(put(&format!("/{}", index % 7), &format!("{index}{}", "x".repeat(50)))).expect("committed");
    }
    let files = fs::read_dir(directory.path()).expect("a directory").count();
    assert!(files <= 4, "three segments and the lock, found {files}");
    assert!(store.watch("", Revision(1)).is_err());
    let before: Vec<_> = store.snapshot().range("").map(|(key, entry)| (key.clone(), entry.clone())).collect();
    drop(store);
    let store = reopen();
    let after: Vec<_> = store.snapshot().range("").map(|(key, entry)| (key.clone(), entry.clone())).collect();
    assert_eq!(before, after);
    assert_eq!(store.revision(), Revision(100));
    store.forget(Revision(100)).expect("forgotten");
    assert_eq!(store.history("", Revision(0)).len(), 1);
    drop(store);
    assert_eq!(reopen().revision(), Revision(100));
}

#[tokio::test]
async fn the_api_forgets_after_five_minutes_and_the_evidence_does_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let clock = ManualClock::default();
    let store = Store::open(directory.path(), Arc::new(clock.clone())).expect("a store");
    store.commit(put("/a", "1")).expect("committed");
    store.commit(put("/a", "2")).expect("committed");
    clock.advance(Duration::from_secs(299));
    assert!(store.watch("/", Revision(0)).is_ok());
    clock.advance(Duration::from_secs(2));
    let error = store.watch("/", Revision(1)).map(drop).expect_err("compacted");
    assert_eq!((error.asked, error.oldest), (Revision(1), Revision(2)));
    assert!(store.snapshot_at(Revision(1)).is_err());
    assert_eq!(store.evidence_at(Revision(1)).expect("known").get("/a").expect("there").bytes, "1");
    let mut watch = store.watch("/", Revision(2)).expect("nothing is missing");
    store.commit(delete("/a")).expect("committed");
    let event = watch.next().await.expect("an event");
    assert_eq!((event.kind, event.revision, event.old.as_deref()), (EventKind::Delete, Revision(3), Some(&b"2"[..])));
    let history = store.history("/a", Revision(0));
    let story: Vec<_> = history.iter().map(|event| (event.kind, &*event.actor, &*event.cause)).collect();
    assert_eq!(story, [(EventKind::Create, "learner", "c1"), (EventKind::Update, "learner", "c1"), (EventKind::Delete, "learner", "c2")]);
    store.close_watches();
    assert!(watch.next().await.is_none());
}

#[test]
fn restore_goes_forward_and_keeps_what_it_is_told_to() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).expect("a store");
    store.commit(put("/pods/a", "1")).expect("committed");
    let then = store.commit(put("/leases/n", "1")).expect("committed");
    store.commit(put("/leases/n", "2")).expect("committed");
    store.commit(delete("/pods/a")).expect("committed");
    store.commit(put("/pods/b", "1")).expect("committed");
    let mut watch = store.watch("", store.revision()).expect("a watch");
    let revision = store.restore(then, "undo", "u1", |key| key.starts_with("/leases/")).expect("restored");
    assert_eq!(revision, Revision(6));
    assert_eq!(store.get("/pods/a").expect("back").bytes, "1");
    assert!(store.get("/pods/b").is_none());
    assert_eq!(store.get("/leases/n").expect("kept").bytes, "2");
    let told: Vec<_> = std::iter::from_fn(|| watch.try_next()).map(|event| (event.kind, event.revision)).collect();
    assert_eq!(told, [(EventKind::Create, revision), (EventKind::Delete, revision)]);
    assert_eq!(store.restore(revision, "undo", "u2", |_| false).expect("nothing to do"), revision);
}
