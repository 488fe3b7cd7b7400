//! Entries per second of CPU time, and what they take: writing, reading, merging and compacting a large state.
//!
//! CPU time and not the clock, so that what else the machine does matters little.

use rustix::time::{ClockId, clock_gettime};
use tidemill_checkpoint::{Error, Manifest, PartKind, PartRef, Store};

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

/// The best of three runs.
fn measure(what: &str, entries: u64, mut run: impl FnMut()) {
    let seconds = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let mut best = f64::MAX;
    for _ in 0..3 {
        let start = seconds();
        run();
        best = best.min(seconds() - start);
    }
    println!("{what:32} {:6.2} M entries per CPU second, peak memory so far {}", entries as f64 / best / 1e6, peak());
}

fn main() {
    // `cargo test --benches` only asks whether it starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().to_str().unwrap()).unwrap();
    measure("write", KEYS, || {
        let folder = tempfile::tempdir().unwrap();
        write(&Store::open(folder.path().to_str().unwrap()).unwrap(), 1, PartKind::Base, 0..KEYS);
    });
    let base = write(&store, 1, PartKind::Base, 0..KEYS);
    println!("{KEYS} entries of 50 bytes take {:.1} each", base.bytes as f64 / KEYS as f64);
    let alone = Manifest { id: 1, parts: vec![base.clone()], ..Manifest::default() };
    measure("read", KEYS, || assert_eq!(read(&store, &alone, 0..256), KEYS));
    measure("read a quarter of the groups", KEYS / 4, || _ = read(&store, &alone, 64..128));
    let delta = write(&store, 2, PartKind::Delta, (0..KEYS).step_by((KEYS / CHANGED) as usize));
    let chain = Manifest { id: 2, parts: vec![base, delta], ..Manifest::default() };
    measure("read, a quarter of it changed", KEYS + CHANGED, || assert_eq!(read(&store, &chain, 0..256), KEYS));
    measure("compact, a quarter of it changed", KEYS + CHANGED, || {
        let compacted = store.compact(&chain, 1).unwrap();
        std::fs::remove_file(folder.path().join(&compacted.parts[0].path)).unwrap();
    });
}
