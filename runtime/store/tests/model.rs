//! The store against a map: whatever is done to both, they agree, also after a reopen, and every watch tells the same story.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use drydock_primitives::clock::ManualClock;
use drydock_store::{CommitError, Expect, Op, Options, Revision, Store, Txn, Watch};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

type Model = BTreeMap<String, (Revision, Revision, Bytes)>;

fn open(directory: &Path) -> Store {
    let options = Options { segment_bytes: 4096, segments: 1000, ..Options::default() };
    Store::open_with(directory, Arc::new(ManualClock::default()), options).expect("a store")
}

fn random_op(random: &mut StdRng, model: &Model) -> Op {
    let prefix = ["/pods/", "/nodes/"][random.random_range(0..2)];
    let key = format!("{prefix}{}", random.random_range(0..12));
    let expect = match random.random_range(0..4) {
        0 => Expect::Absent,
        1 => model.get(&key).map_or(Expect::Absent, |(revision, _, _)| Expect::Revision(*revision)),
        _ => Expect::Any,
    };
    if random.random_bool(0.3) {
        return Op::Delete { key, expect };
    }
    let length = random.random_range(0..200);
    let bytes = (0..length).map(|_| random.random::<u8>()).collect::<Vec<_>>().into();
    Op::Put { key, bytes, expect }
}

/// Applies the operations as the contract says; none when they conflict.
fn apply(model: &Model, ops: &[Op], next: Revision) -> Option<Model> {
    let mut after = model.clone();
    let mut keys = Vec::new();
    for op in ops {
        let (Op::Put { key, expect, .. } | Op::Delete { key, expect }) = op;
        let found = model.get(key).map(|(revision, _, _)| *revision);
        let fits = match expect {
            Expect::Absent => found.is_none(),
            Expect::Revision(revision) => found == Some(*revision),
            Expect::Any => true,
        };
        if !fits || keys.contains(&key) {
            return None;
        }
        keys.push(key);
        match op {
            Op::Put { bytes, .. } => {
                let created = model.get(key).map_or(next, |(_, created, _)| *created);
                after.insert(key.clone(), (next, created, bytes.clone()));
            }
            Op::Delete { .. } => {
                after.remove(key);
            }
        }
    }
    Some(after)
}

fn state(snapshot: &drydock_store::Snapshot) -> Model {
    snapshot.range("").map(|(key, entry)| (key.to_string(), (entry.revision, entry.create_revision, entry.bytes.clone()))).collect()
}

/// What the watch says the state is, starting from nothing.
fn follow(watch: &mut Watch, told: &mut BTreeMap<String, Bytes>, last: &mut Revision) {
    while let Some(event) = watch.try_next() {
        assert!(event.revision >= *last, "revisions never go back");
        *last = event.revision;
        assert_eq!(told.get(&*event.key), event.old.as_ref(), "{}", event.key);
        match &event.new {
            Some(bytes) => told.insert(event.key.to_string(), bytes.clone()),
            None => told.remove(&*event.key),
        };
    }
}

#[test]
fn store_agrees_with_a_map() {
    for seed in 0..20 {
        let mut random = StdRng::seed_from_u64(seed);
        let directory = tempfile::tempdir().expect("a directory");
        let mut store = open(directory.path());
        let mut model = Model::new();
        let mut revision = Revision(0);
        let mut past: Vec<(Revision, Model)> = vec![(revision, model.clone())];
        let mut watch = store.watch("", Revision(0)).expect("a watch");
        let (mut told, mut last) = (BTreeMap::new(), Revision(0));
        for _ in 0..300 {
            let count = random.random_range(1..4);
            let ops: Vec<Op> = (0..count).map(|_| random_op(&mut random, &model)).collect();
            let next = Revision(revision.0 + 1);
            let expected = apply(&model, &ops, next);
            let result = store.commit(Txn { ops, actor: "test".into(), cause: "c".into(), sync: false });
            match (expected, result) {
                (Some(after), Ok(found)) => {
                    if found == next {
                        revision = next;
                        model = after;
                        past.push((revision, model.clone()));
                    } else {
                        assert_eq!((found, &after), (revision, &model), "a transaction that changes nothing");
                    }
                }
                (None, Err(CommitError::Conflict(_) | CommitError::Duplicate(_))) => {}
                (expected, result) => panic!("seed {seed}: expected {expected:?}, got {result:?}"),
            }
            follow(&mut watch, &mut told, &mut last);
            assert_eq!(watch.progress(), Some(revision));
            if random.random_bool(0.02) {
                drop((watch, store));
                store = open(directory.path());
                watch = store.watch("", last).expect("a watch");
            }
        }
        assert_eq!(state(&store.snapshot()), model);
        assert_eq!(told, model.iter().map(|(key, (_, _, bytes))| (key.clone(), bytes.clone())).collect());
        let (then, wanted) = &past[random.random_range(0..past.len())];
        assert_eq!(state(&store.snapshot_at(*then).expect("known")), *wanted, "seed {seed} at {then}");
        let restored = store.restore(*then, "test", "undo", |_| false).expect("restored");
        assert!(restored >= revision);
        let values = |model: &Model| model.iter().map(|(key, (_, _, bytes))| (key.clone(), bytes.clone())).collect::<Vec<_>>();
        assert_eq!(values(&state(&store.snapshot())), values(wanted), "seed {seed} restored to {then}");
    }
}
