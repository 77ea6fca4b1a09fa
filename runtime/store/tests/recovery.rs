//! What survives: torn tails, sudden ends, wrong formats; and what the API may still ask.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drydock_primitives::clock::ManualClock;
use drydock_store::{Entry, EventKind, Expect, Op, OpenError, Options, Revision, Snapshot, Store, Txn};

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

/// Names and contents of all segments.
fn segments(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"));
    let journal = entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "journal"));
    journal.map(|entry| (entry.file_name().into_string().expect("a name"), fs::read(entry.path()).expect("a segment"))).collect()
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
    let options = Options { segment_bytes: 200, ..Options::default() };
    let store = Store::open_with(directory.path(), Arc::new(ManualClock::default()), options).expect("a store");
    for index in 0..10 {
        store.commit(put(&format!("/{index}"), &"x".repeat(60))).expect("committed");
    }
    drop(store);
    let first = segments(directory.path()).keys().next().expect("a base").clone();
    assert_ne!(directory.path().join(&first), last_segment(directory.path()));
    let first = directory.path().join(first);
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

fn small(directory: &Path, clock: &ManualClock) -> Store {
    let options = Options { segment_bytes: 2000, history_bytes: 4000, ..Options::default() };
    Store::open_with(directory, Arc::new(clock.clone()), options).expect("a store")
}

fn contents(snapshot: &Snapshot) -> Vec<(Arc<str>, Entry)> {
    snapshot.range("").map(|(key, entry)| (Arc::clone(key), entry.clone())).collect()
}

#[test]
fn disk_and_memory_are_bounded_and_pins_and_state_stay() {
    let directory = tempfile::tempdir().expect("a directory");
    let clock = ManualClock::default();
    let store = small(directory.path(), &clock);
    store.commit(put("/first", "here")).expect("committed");
    store.pin("pristine", "after boot").expect("pinned");
    store.commit(delete("/first")).expect("committed");
    for index in 0..2000 {
        store.commit(put(&format!("/{}", index % 7), &format!("{index}{}", "x".repeat(50)))).expect("committed");
    }
    assert!(store.history("", Revision(0)).len() < 30, "{}", store.history("", Revision(0)).len());
    assert_eq!(store.watch_evidence("", Revision(1)).map(drop).expect_err("forgotten").oldest, store.forgotten());
    let before = contents(&store.snapshot());
    drop(store);
    let size: usize = segments(directory.path()).values().map(Vec::len).sum();
    assert!(size < 12_000, "{size} bytes");
    for _ in 0..2 {
        let store = small(directory.path(), &clock);
        assert_eq!(contents(&store.snapshot()), before);
        assert_eq!(store.revision(), Revision(2002));
        let pins = store.pins();
        assert_eq!((&*pins[0].name, &*pins[0].note, pins[0].state.revision()), ("pristine", &b"after boot"[..], Revision(1)));
        assert_eq!(pins[0].state.get("/first").expect("kept").bytes, "here");
    }
    let store = small(directory.path(), &clock);
    store.forget(store.revision());
    assert_eq!(store.history("", Revision(0)).len(), 1);
    store.unpin("pristine").expect("unpinned");
    drop(store);
    assert!(small(directory.path(), &clock).pins().is_empty());
}

#[test]
fn a_compaction_that_was_killed_at_any_step_loses_nothing() {
    let (directory, clock) = (tempfile::tempdir().expect("a directory"), ManualClock::default());
    let mut before: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut compactions = 0;
    for index in 0..150 {
        let store = small(directory.path(), &clock);
        if index % 40 == 3 {
            store.pin(&format!("pin-{index}"), "").expect("pinned");
        }
        store.commit(put(&format!("/{}", index % 5), &"x".repeat(100))).expect("committed");
        let (wanted, pins) = (contents(&store.snapshot()), store.pins().len());
        drop(store);
        let after = segments(directory.path());
        let gone = before.keys().filter(|name| !after.contains_key(*name)).count();
        let replaced = before.keys().any(|name| after.get(name).is_some_and(|new: &Vec<u8>| !new.starts_with(&before[name])));
        compactions += usize::from(gone > 0 || replaced);
        // Renamed, but the old segments are still there; and a base that was not written to its end.
        let copy = tempfile::tempdir().expect("a directory");
        for (name, bytes) in before.iter().chain(&after) {
            fs::write(copy.path().join(name), bytes).expect("written");
            fs::write(copy.path().join(name).with_extension("new"), &bytes[..bytes.len() / 2]).expect("written");
        }
        let store = small(copy.path(), &clock);
        assert_eq!((contents(&store.snapshot()), store.pins().len()), (wanted, pins), "at {index}");
        before = after;
    }
    assert!(compactions > 5, "{compactions}");
}

#[test]
fn leases_do_not_push_the_evidence_out() {
    let (directory, clock) = (tempfile::tempdir().expect("a directory"), ManualClock::default());
    let options = Options { segment_bytes: 50_000, history_bytes: 2 << 20, ..Options::default() };
    let store = Store::open_with(directory.path(), Arc::new(clock.clone()), options.clone()).expect("a store");
    store.commit(put("/pods/a", "1")).expect("committed");
    let early = store.revision();
    for _ in 0..5000 {
        clock.advance(Duration::from_secs(10));
        store.commit(Txn { sync: false, ..put("/leases/node-1", &"x".repeat(600)) }).expect("committed");
    }
    assert_eq!(store.history("/pods/", Revision(0)).len(), 1, "the evidence is there");
    assert!(store.history("/leases/", Revision(0)).len() < 2000, "{}", store.history("/leases/", Revision(0)).len());
    assert!(store.watch("/leases/", early).is_err(), "a watch must not miss what was swept");
    assert!(store.evidence_at(early).is_ok());
    let (last, lease) = (store.revision(), store.get("/leases/node-1"));
    drop(store);
    let size: usize = segments(directory.path()).values().map(Vec::len).sum();
    assert!(size < 1_500_000, "{size} bytes");
    let store = Store::open_with(directory.path(), Arc::new(clock.clone()), options).expect("a store");
    assert_eq!((store.revision(), store.get("/leases/node-1")), (last, lease));
    assert_eq!(store.history("/pods/", Revision(0)).len(), 1);
    assert!(store.watch("/leases/", early).is_err());
}

#[tokio::test]
async fn held_writes_wait_and_a_reader_that_is_too_slow_is_let_go() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).expect("a store");
    let writing = store.writing().await;
    let mut hold = std::pin::pin!(store.hold());
    assert!(futures_now(hold.as_mut()).is_none(), "a write has begun");
    drop(writing);
    let held = hold.await;
    let mut next = std::pin::pin!(store.writing());
    assert!(futures_now(next.as_mut()).is_none(), "writes are held");
    drop(held);
    drop(next.await);

    let mut watch = store.watch("", Revision(0)).expect("a watch");
    for index in 0..20_000 {
        store.commit(Txn { sync: false, ..put("/a", &index.to_string()) }).expect("committed");
    }
    let told = std::iter::from_fn(|| watch.try_next()).count();
    assert_eq!(told, 16_384);
    assert_eq!(watch.progress(), None, "it does not claim to have told all");
    assert!(watch.next().await.is_none());
}

fn futures_now<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

#[test]
fn a_journal_of_the_first_format_is_rewritten_and_kept_beside() {
    // As the first release wrote it: a snapshot opens the second segment, records of the kinds 1 to 3 only.
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).expect("a store");
    store.commit(put("/a", "1")).expect("committed");
    store.commit(put("/b", "2")).expect("committed");
    drop(store);
    let path = last_segment(directory.path());
    let mut bytes = fs::read(&path).expect("a segment");
    bytes[8] = 1;
    fs::write(&path, &bytes).expect("written");
    let store = open(directory.path()).expect("a store");
    assert_eq!((store.revision(), store.history("", Revision(0)).len()), (Revision(2), 2));
    store.pin("p", "").expect("pinned");
    drop(store);
    assert!(segments(directory.path()).values().all(|segment| segment[8] == 2));
    assert_eq!(segments(&directory.path().join("format-1")).into_values().collect::<Vec<_>>(), [bytes]);
    assert_eq!(open(directory.path()).expect("a store").pins().len(), 1);
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
