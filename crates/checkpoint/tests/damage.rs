//! No damage goes unseen, and none keeps the checkpoint before from being used.

use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;
use tidemill_checkpoint::{Error, Manifest, PartKind, PartRef, PartWriter, SinkPosition, Store};

struct Two {
    folder: tempfile::TempDir,
    store: Store,
}

/// A store with two checkpoints that share no part.
fn two() -> Two {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().to_str().unwrap()).unwrap();
    for id in [1, 2] {
        let mut part = PartWriter::new(PartKind::Base);
        for key in 0..200u32 {
            part.put("totals", key as u8, &key.to_be_bytes(), Some(&id.to_string().into_bytes())).unwrap();
        }
        let part = store.put_part(id, "all", part.finish().unwrap()).unwrap();
        let sinks = vec![SinkPosition { name: "alerts".to_owned(), state: vec![0, 255, 7] }];
        let extra = [("log".to_owned(), vec![1, 2, 3])].into();
        let lineage = "a \"quoted\"\nname".to_owned();
        store.commit(&Manifest { id, lineage, parts: vec![part], sinks, extra, ..Manifest::default() }).unwrap();
    }
    Two { folder, store }
}

impl Two {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Damaged as it is, the store names checkpoint 2 and uses 1, or else says that the damage is there when all of it is
    /// read.
    fn check(&self) -> Result<(), TestCaseError> {
        let latest = self.store.latest().unwrap();
        let manifest = latest.manifest.unwrap();
        if manifest.id == 1 {
            prop_assert_eq!(latest.skipped.len(), 1);
            prop_assert_eq!(latest.skipped[0].0, 2);
        } else {
            prop_assert!(latest.skipped.is_empty());
            let damage = self.store.verify(&manifest).unwrap();
            prop_assert!(matches!(&damage[..], [Error::Corrupt { .. }]), "{damage:?}");
        }
        let verified = self.store.latest_verified().unwrap();
        prop_assert_eq!(verified.manifest.unwrap().id, 1);
        prop_assert_eq!(verified.skipped[0].0, 2);
        Ok(())
    }
}

const FILES: [&str; 2] = ["manifest-00000000000000000002.json", "part-00000000000000000002-all"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_byte_is_seen(file in prop::sample::select(&FILES[..]), places in prop::collection::vec(any::<prop::sample::Index>(), 40), change in 1..=255u8) {
        let two = two();
        let whole = fs::read(two.file(file)).unwrap();
        for place in places {
            let mut bytes = whole.clone();
            bytes[place.index(whole.len())] ^= change;
            fs::write(two.file(file), bytes).unwrap();
            two.check()?;
        }
    }
}

#[test]
fn every_bit_counts() {
    let two = two();
    for file in FILES {
        let whole = fs::read(two.file(file)).unwrap();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 1 << (place % 8);
            fs::write(two.file(file), bytes).unwrap();
            two.check().unwrap();
        }
        fs::write(two.file(file), whole).unwrap();
    }
}

#[test]
fn a_torn_file_leads_to_the_checkpoint_before() {
    let two = two();
    for file in FILES {
        let whole = fs::read(two.file(file)).unwrap();
        let longer = [&whole[..], b"x"].concat();
        for bytes in (0..whole.len()).map(|length| &whole[..length]).chain([&longer[..]]) {
            fs::write(two.file(file), bytes).unwrap();
            let latest = two.store.latest().unwrap();
            assert_eq!((latest.manifest.unwrap().id, latest.skipped[0].0), (1, 2), "{file}, {} bytes", bytes.len());
        }
        fs::write(two.file(file), whole).unwrap();
    }
    fs::remove_file(two.file(FILES[1])).unwrap();
    let latest = two.store.latest().unwrap();
    assert!(latest.skipped[0].1.to_string().contains(FILES[1]), "{:?}", latest.skipped);
    assert_eq!(two.store.list().unwrap().len(), 2);
}

/// The part of checkpoint 1 in the place of that of 2 is whole in itself, and of the same size.
#[test]
fn a_part_of_another_checkpoint_is_not_taken() {
    let two = two();
    fs::copy(two.file("part-00000000000000000001-all"), two.file(FILES[1])).unwrap();
    assert_eq!(two.store.latest().unwrap().manifest.unwrap().id, 1);
    fs::copy(two.file("manifest-00000000000000000001.json"), two.file(FILES[0])).unwrap();
    assert_eq!(two.store.latest().unwrap().manifest.unwrap().id, 1);
}

/// Damage that only a full read finds names the file and the place, and nothing of the block reaches the reader.
#[test]
fn a_read_stops_at_damage() {
    let two = two();
    let path = two.file(FILES[1]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[10] ^= 1;
    fs::write(&path, bytes).unwrap();
    let manifest = two.store.latest().unwrap().manifest.unwrap();
    assert_eq!(manifest.id, 2);
    let error = two.store.read(&manifest, 0..256, |_, _, _, _| Ok::<_, Error>(())).unwrap_err().to_string();
    assert!(error.starts_with("`part-00000000000000000002-all` is damaged at 8.."), "{error}");
    // Groups that are elsewhere in the file can be read.
    two.store.read(&manifest, 9..256, |_, _, _, _| Ok::<_, Error>(())).unwrap();
}

/// To go back in time because a later version wrote the newest checkpoint would lose what came since in silence.
#[test]
fn a_later_format_is_not_passed_over() {
    let two = two();
    let text = fs::read_to_string(two.file(FILES[0])).unwrap();
    let body = text.split_once(r#""manifest":"#).unwrap().1.strip_suffix("}\n").unwrap();
    let checksum = crc32c::crc32c(format!("2{body}").as_bytes());
    let later = format!("{{\"format\":\"tidemill-checkpoint/2\",\"crc32c\":\"{checksum:08x}\",\"manifest\":{body}}}\n");
    fs::write(two.file(FILES[0]), later).unwrap();
    assert!(matches!(two.store.latest(), Err(Error::Newer { .. })));
    assert!(matches!(two.store.list().unwrap()[0].manifest, Err(Error::Newer { .. })));
    assert!(matches!(two.store.prune(1), Err(Error::Newer { .. })));
}

#[test]
fn a_manifest_comes_back_as_it_was() {
    let two = two();
    let manifest = two.store.load(2).unwrap();
    assert_eq!(manifest.lineage, "a \"quoted\"\nname");
    assert_eq!(
        (manifest.sinks[0].state.as_slice(), manifest.extra["log"].as_slice()),
        (&[0, 255, 7][..], &[1, 2, 3][..])
    );
    let PartRef { kind, groups, entries, .. } = &manifest.parts[0];
    assert_eq!((kind, groups, entries), (&PartKind::Base, &(0..200), &200));
}
