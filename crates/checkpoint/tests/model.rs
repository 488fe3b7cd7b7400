//! A store gives back what a map would hold: over any parts, any groups, after compaction and pruning.

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use tidemill_checkpoint::{Error, Manifest, PartKind, PartRef, PartWriter, Store, should_compact};

type Key = (String, u8, Vec<u8>);
type Model = BTreeMap<Key, Vec<u8>>;
/// What changed between two checkpoints.
type Changes = BTreeMap<Key, Option<Vec<u8>>>;

fn changes() -> impl Strategy<Value = Changes> {
    let operator = prop::sample::select(vec!["", "totals", "session windows"]).prop_map(str::to_owned);
    let group = prop_oneof![Just(0u8), Just(255), Just(17), any::<u8>()];
    let key = (operator, group, prop::collection::vec(0..3u8, 0..3));
    let value = prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..40));
    prop::collection::btree_map(key, value, 0..60)
}

fn open(folder: &tempfile::TempDir) -> Store {
    Store::open(folder.path().to_str().unwrap()).unwrap()
}

/// A checkpoint's part as `writers` workers write it.
fn write(store: &Store, id: u64, kind: PartKind, changes: &Changes, writers: usize) -> Vec<PartRef> {
    let write = |writer: usize| {
        let mut part = PartWriter::new(kind);
        for ((operator, group, key), value) in changes {
            if usize::from(*group) * writers / 256 == writer {
                part.put(operator, *group, key, value.as_deref()).unwrap();
            }
        }
        store.put_part(id, &format!("worker-{writer}"), part.finish().unwrap()).unwrap()
    };
    (0..writers).map(write).collect()
}

fn read(store: &Store, manifest: &Manifest, groups: Range<u16>) -> Model {
    let mut found = Model::new();
    store
        .read(manifest, groups, |operator, group, key, value| {
            let twice = found.insert((operator.to_owned(), group, key.to_owned()), value.to_owned());
            assert_eq!(twice, None, "{operator} {group} {key:?}");
            Ok::<_, Error>(())
        })
        .unwrap();
    found
}

fn within(model: &Model, groups: &Range<u16>) -> Model {
    let within = |(key, value): (&Key, &Vec<u8>)| groups.contains(&key.1.into()).then(|| (key.clone(), value.clone()));
    model.iter().filter_map(within).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_is_a_map(
        checkpoints in prop::collection::vec((changes(), 1..4usize), 1..5),
        groups in (0..=256u16, 0..=256u16),
        ranges in 1..5u16,
        keep in 1..4usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder);
        let groups = groups.0.min(groups.1)..groups.0.max(groups.1);
        let (mut model, mut parts, mut models) = (Model::new(), Vec::new(), BTreeMap::new());
        let mut checkpoint = |store: &Store, id, kind, changes: &Changes, writers, parts: &mut Vec<PartRef>| {
            parts.extend(write(store, id, kind, changes, writers));
            for (key, value) in changes {
                match value {
                    Some(value) => model.insert(key.clone(), value.clone()),
                    None => model.remove(key),
                };
            }
            let manifest = Manifest { id, epoch: 10 * id, parts: parts.clone(), ..Manifest::default() };
            store.commit(&manifest).unwrap();
            models.insert(id, model.clone());
            manifest
        };
        let mut last = Manifest::default();
        for (id, (changes, writers)) in (1..).zip(&checkpoints) {
            let kind = if id == 1 { PartKind::Base } else { PartKind::Delta };
            last = checkpoint(&store, id, kind, changes, *writers, &mut parts);
        }

        // While one thread compacts, another goes on.
        let compacted = store.compact(&last, ranges).unwrap();
        prop_assert!(compacted.parts.iter().all(|part| part.kind == PartKind::Base));
        let id = store.next_id().unwrap();
        prop_assert_eq!(id, last.id + 1);
        prop_assert!(compacted.apply(&mut parts));
        store.prune(keep).unwrap();
        last = checkpoint(&store, id, PartKind::Delta, &checkpoints[0].0.clone(), 2, &mut parts);
        drop(compacted);
        store.prune(keep).unwrap();

        let store = open(&folder);
        let left: Vec<_> = store.list().unwrap().into_iter().map(|listed| listed.manifest.unwrap()).collect();
        prop_assert_eq!(left.len(), keep.min(checkpoints.len() + 1));
        prop_assert_eq!(store.latest().unwrap().manifest, Some(last));
        for manifest in &left {
            let model = &models[&manifest.id];
            prop_assert!(store.verify(manifest).unwrap().is_empty());
            prop_assert_eq!(&read(&store, manifest, 0..256), model);
            prop_assert_eq!(read(&store, manifest, groups.clone()), within(model, &groups));
        }
        // Nothing is left that no checkpoint lists.
        let listed: BTreeSet<_> = left.iter().flat_map(|m| m.parts.iter().map(|part| part.path.clone())).collect();
        let files = std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
        let files: BTreeSet<_> = files.filter(|name| name.starts_with("part-")).collect();
        prop_assert_eq!(files, listed);
    }
}

#[test]
fn blocks_are_many_and_windows_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let noise = |key: u64| (0..8).flat_map(|i| (key ^ i).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    let write = |id, kind, keys: &mut dyn Iterator<Item = (u64, Option<Vec<u8>>)>| {
        let mut writer = store.stream_part(id, "all", kind);
        for (key, value) in keys {
            writer.put("counts", (key % 5) as u8, &key.to_be_bytes(), value.as_deref()).unwrap();
        }
        store.finish_part(writer).unwrap()
    };
    // Both are larger than a piece of an upload, and the delta than what is merged at once.
    let base = write(1, PartKind::Base, &mut (0..1_000_000).map(|key| (key, Some(noise(key)))));
    let delta = write(2, PartKind::Delta, &mut (0..1_500_000).step_by(2).map(|key| (key, Some(noise(key + 1)))));
    let deleted = write(3, PartKind::Delta, &mut (0..1_500_000).step_by(3).map(|key| (key, None)));
    let manifest = Manifest { id: 3, parts: vec![base, delta, deleted], ..Manifest::default() };
    assert!(should_compact(&manifest));
    store.commit(&manifest).unwrap();
    let expected = |key: u64| match key {
        key if key % 3 == 0 => None,
        key if key % 2 == 0 => Some(noise(key + 1)),
        key => (key < 1_000_000).then(|| noise(key)),
    };
    let compacted = store.compact(&manifest, 2).unwrap();
    let base = Manifest { id: 4, parts: compacted.parts.clone(), ..Manifest::default() };
    for manifest in [&manifest, &base] {
        let mut seen = vec![false; 1_500_000];
        store
            .read(manifest, 0..256, |_, group, key, value| {
                let key = u64::from_be_bytes(key.try_into().unwrap());
                assert_eq!((key % 5, Some(value.to_owned())), (group.into(), expected(key)));
                assert!(!std::mem::replace(&mut seen[key as usize], true));
                Ok::<_, Error>(())
            })
            .unwrap();
        assert!((0..).zip(seen).all(|(key, seen)| seen == expected(key).is_some()));
    }
    assert!(!should_compact(&base));
}
