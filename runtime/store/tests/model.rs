//! The store against a map: whatever is done to both, they agree, also after a reopen and however little history there is room for; every
//! watch tells the same story, and what was pinned stays.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use drydock_primitives::clock::ManualClock;
use drydock_store::{CommitError, Expect, Op, Options, Revision, Store, Txn, Watch};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

type Model = BTreeMap<String, (Revision, Revision, Bytes)>;

fn open(directory: &Path, history_bytes: u64) -> Store {
    let options = Options { segment_bytes: 4096, history_bytes, ..Options::default() };
    Store::open_with(directory, Arc::new(ManualClock::default()), options).expect("a store")
}

fn random_op(random: &mut StdRng, model: &Model) -> Op {
    let prefix = ["/pods/", "/nodes/", "/leases/"][random.random_range(0..3)];
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

/// Leases are written without sync, and their past is not remembered.
fn is_volatile(key: &str) -> bool {
    key.starts_with("/leases/")
}

fn lasting(model: &Model) -> Model {
    model.iter().filter(|(key, _)| !is_volatile(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn pins(store: &Store) -> BTreeMap<String, (Revision, Model)> {
    store.pins().iter().map(|pin| (pin.name.to_string(), (pin.state.revision(), state(&pin.state)))).collect()
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
    for seed in 0..30 {
        agrees(seed, [24 << 20, 20_000, 0][seed as usize % 3]);
    }
}

fn agrees(seed: u64, history_bytes: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let directory = tempfile::tempdir().expect("a directory");
    let mut store = open(directory.path(), history_bytes);
    let mut model = Model::new();
    let mut revision = Revision(0);
    let mut past: Vec<(Revision, Model)> = vec![(revision, model.clone())];
    let mut pinned = BTreeMap::new();
    let mut watch = store.watch("", Revision(0)).expect("a watch");
    let (mut told, mut last) = (BTreeMap::new(), Revision(0));
    for _ in 0..300 {
        let count = random.random_range(1..4);
        let ops: Vec<Op> = (0..count).map(|_| random_op(&mut random, &model)).collect();
        let next = Revision(revision.0 + 1);
        let expected = apply(&model, &ops, next);
        let sync = !ops.iter().all(|op| matches!(op, Op::Put { key, .. } | Op::Delete { key, .. } if is_volatile(key)));
        let result = store.commit(Txn { ops, actor: "test".into(), cause: "c".into(), sync });
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
        let name = format!("pin-{}", random.random_range(0..5));
        if random.random_bool(0.05) {
            store.pin(&name, "a note").expect("pinned");
            pinned.insert(name, (revision, model.clone()));
        } else if random.random_bool(0.02) {
            store.unpin(&name).expect("unpinned");
            pinned.remove(&name);
        }
        if random.random_bool(0.03) {
            drop((watch, store));
            store = open(directory.path(), history_bytes);
            watch = store.watch("", last).expect("a watch");
            assert_eq!(state(&store.snapshot()), model, "seed {seed} reopened");
        }
        assert_eq!(pins(&store), pinned, "seed {seed}");
    }
    assert_eq!(state(&store.snapshot()), model);
    assert_eq!(told, model.iter().map(|(key, (_, _, bytes))| (key.clone(), bytes.clone())).collect());
    // A segment may go between the list and the look at it: it is compacted beside.
    let size: u64 = std::fs::read_dir(directory.path()).expect("a directory").filter_map(|entry| entry.ok()?.metadata().ok()).map(|metadata| metadata.len()).sum();
    assert!(history_bytes > 1 << 20 || size < 200_000, "seed {seed}: {size} bytes on the disk");
    let known: Vec<_> = past.iter().filter(|(revision, _)| *revision >= store.forgotten()).collect();
    assert!(history_bytes > 1 << 20 || known.len() < past.len());
    let (then, wanted) = known[random.random_range(0..known.len())];
    assert_eq!(lasting(&state(&store.evidence_at(*then).expect("known"))), lasting(wanted), "seed {seed} at {then}");
    let restored = store.restore(*then, "test", "undo", is_volatile).expect("restored");
    assert!(restored >= revision);
    let values = |model: &Model| lasting(model).into_iter().map(|(key, (_, _, bytes))| (key, bytes)).collect::<Vec<_>>();
    assert_eq!(values(&state(&store.snapshot())), values(wanted), "seed {seed} restored to {then}");
}
