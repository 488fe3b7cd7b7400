//! A bucket, served on loopback: `scripts/test-s3.sh` starts a server and runs this.
#![cfg(feature = "s3")]

use tidemill_checkpoint::{Error, Manifest, PartKind, PartWriter, Store};

/// Base, delta, compaction, pruning and a second job, in the bucket that `TIDEMILL_S3` gives.
#[test]
#[ignore = "needs a server: scripts/test-s3.sh"]
fn a_bucket_is_a_store() {
    let address = std::env::var("TIDEMILL_S3").expect("TIDEMILL_S3=s3://bucket/path, and AWS_ENDPOINT");
    let store = Store::open(&address).unwrap();
    assert_eq!((store.latest().unwrap().manifest, store.next_id().unwrap()), (None, 1));
    let noise = |key: u32| (0..16u64).map(move |i| (u64::from(key) ^ (i << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    // More than one piece of an upload, so several requests.
    let mut base = store.stream_part(1, "worker-0", PartKind::Base);
    for key in 0..150_000 {
        let value: Vec<u8> = noise(key).flat_map(|word| word.rotate_left(29).wrapping_mul(3).to_le_bytes()).collect();
        base.put("totals", key as u8, &key.to_be_bytes(), Some(&value)).unwrap();
    }
    let base = store.finish_part(base).unwrap();
    assert!(base.bytes > 8 << 20);
    store.commit(&Manifest { id: 1, parts: vec![base.clone()], ..Manifest::default() }).unwrap();

    let mut delta = PartWriter::new(PartKind::Delta);
    for key in (0..150_000u32).step_by(3) {
        delta.put("totals", key as u8, &key.to_be_bytes(), (key % 2 == 0).then_some(b"new".as_slice())).unwrap();
    }
    let delta = store.put_part(2, "worker-0", delta.finish().unwrap()).unwrap();
    let second = Manifest { id: 2, parts: vec![base, delta], ..Manifest::default() };
    store.commit(&second).unwrap();
    // A retry is fine, another job's checkpoint is not.
    store.commit(&second).unwrap();
    assert!(matches!(store.commit(&Manifest { epoch: 9, ..second.clone() }), Err(Error::Exists(_))));

    let compacted = store.compact(&second, 2).unwrap();
    let third = Manifest { id: 3, parts: compacted.parts.clone(), ..Manifest::default() };
    store.commit(&third).unwrap();
    for manifest in [&second, &third] {
        assert!(store.verify(manifest).unwrap().is_empty());
        let (mut keys, mut new) = (0, 0);
        store
            .read(manifest, 0..256, |_, _, _, value| {
                keys += 1;
                new += i32::from(value == b"new");
                Ok::<_, Error>(())
            })
            .unwrap();
        assert_eq!((keys, new), (125_000, 25_000));
    }
    let pruned = store.prune(1).unwrap();
    assert_eq!((&pruned.checkpoints[..], pruned.parts.len()), (&[2, 1][..], 2));
    assert_eq!(store.latest().unwrap().manifest, Some(third));
    assert!(matches!(store.load(1), Err(Error::NotFound(_))));
}
