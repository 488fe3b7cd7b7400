//! Entries per second and core, and what a key takes: writing, reading, merging and compacting a large state.

use criterion::{BatchSize, Criterion, Throughput};
use std::time::Duration;
use tidemill_checkpoint::{Error, Manifest, PartKind, PartRef, PartWriter, Store};

const KEYS: u64 = 10_000_000;
const CHANGED: u64 = KEYS / 4;

/// 16 bytes of key and, as an operator's state has them, 34 of counters, sums and times that resemble one another.
fn entry(key: u64, round: u64) -> (u8, [u8; 16], [u8; 34]) {
    let hash = (key + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mut id = [0; 16];
    id[..8].copy_from_slice(b"customer");
    id[8..].copy_from_slice(&hash.to_be_bytes());
    let mut value = [0; 34];
    value[..4].copy_from_slice(&((hash >> 50) as u32).to_le_bytes());
    value[4..12].copy_from_slice(&((hash >> 40) as f64 / 100.0).to_le_bytes());
    value[12..20].copy_from_slice(&(1_700_000_000_000 + (hash >> 35)).to_le_bytes());
    value[20..28].copy_from_slice(&(1_700_000_000_000 + (hash >> 36) + round).to_le_bytes());
    ((hash >> 56) as u8, id, value)
}

fn write(store: &Store, id: u64, kind: PartKind, keys: impl Iterator<Item = u64>) -> PartRef {
    let mut writer = store.stream_part(id, "all", kind);
    for key in keys {
        let (group, key, value) = entry(key, id);
        writer.put("totals", group, &key, Some(&value)).unwrap();
    }
    store.finish_part(writer).unwrap()
}

fn read(store: &Store, manifest: &Manifest, groups: std::ops::Range<u16>) -> u64 {
    let mut keys = 0;
    let count = |_: &str, _, _: &[u8], _: &[u8]| {
        keys += 1;
        Ok::<_, Error>(())
    };
    store.read(manifest, groups, count).unwrap();
    keys
}

/// The most memory the process has had, in MiB, where the system says.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    peak.map_or("unknown".to_owned(), |kib| format!("{} MiB", kib / 1024))
}

fn main() {
    let mut criterion =
        Criterion::default().sample_size(10).measurement_time(Duration::from_secs(20)).configure_from_args();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().to_str().unwrap()).unwrap();
    let base = write(&store, 1, PartKind::Base, 0..KEYS);
    let delta = write(&store, 2, PartKind::Delta, (0..KEYS).step_by((KEYS / CHANGED) as usize));
    println!("a base of {KEYS} keys: {:.1} bytes each of 50; peak memory {}", base.bytes as f64 / KEYS as f64, peak());
    let alone = Manifest { id: 1, parts: vec![base.clone()], ..Manifest::default() };
    let chain = Manifest { id: 2, parts: vec![base, delta], ..Manifest::default() };

    let mut group = criterion.benchmark_group("checkpoint");
    group.throughput(Throughput::Elements(KEYS));
    group.bench_function("write", |b| {
        let write = |folder: tempfile::TempDir| {
            write(&Store::open(folder.path().to_str().unwrap()).unwrap(), 1, PartKind::Base, 0..KEYS);
            folder
        };
        b.iter_batched(|| tempfile::tempdir().unwrap(), write, BatchSize::PerIteration)
    });
    group.bench_function("read", |b| b.iter(|| read(&store, &alone, 0..256)));
    println!("peak memory {}", peak());
    group.bench_function("merge a quarter changed", |b| b.iter(|| read(&store, &chain, 0..256)));
    println!("peak memory {}", peak());
    group.throughput(Throughput::Elements(KEYS / 4));
    group.bench_function("read a quarter of the groups", |b| b.iter(|| read(&store, &alone, 64..128)));
    group.finish();
    criterion.final_summary();
}
