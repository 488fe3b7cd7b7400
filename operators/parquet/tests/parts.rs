//! Parquet parts: what readers see, over restarts, and what is in them.

#[path = "../../files/tests/falls/mod.rs"]
mod falls;

use arrow_array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use tidemill::{Epoch, Record, Seq, Sink, Start, Update};
use tidemill_files::Parts;
use tidemill_parquet::ParquetRows;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Shop,
    Web,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    lat: f64,
    name: Option<String>,
}

/// One field of every kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    id: u64,
    small: i8,
    sure: bool,
    score: f32,
    text: String,
    #[serde(with = "serde_bytes")]
    raw: Vec<u8>,
    maybe: Option<i64>,
    kind: Kind,
    place: Place,
    far: Option<Place>,
    list: Vec<u32>,
    lists: Vec<Vec<Option<String>>>,
    places: Vec<Place>,
    pair: (i32, String),
    by_name: BTreeMap<String, i64>,
}

fn row(id: u64) -> Row {
    let place = |n: u64| Place { lat: n as f64 / 3.0, name: n.is_multiple_of(2).then(|| format!("place {n}")) };
    Row {
        id: u64::MAX - id,
        small: id as i8,
        sure: id.is_multiple_of(3),
        score: id as f32 / 7.0,
        text: format!("row {}", id % 100),
        raw: id.to_le_bytes()[..(id % 9) as usize].to_vec(),
        maybe: id.is_multiple_of(5).then_some(-(id as i64)),
        kind: if id.is_multiple_of(2) { Kind::Shop } else { Kind::Web },
        place: place(id),
        far: id.is_multiple_of(4).then(|| place(id + 1)),
        list: (0..id as u32 % 4).collect(),
        lists: (0..id % 3).map(|n| (0..n).map(|n| (n > 0).then(|| n.to_string())).collect()).collect(),
        places: (0..id % 3).map(place).collect(),
        pair: (id as i32, "x".into()),
        by_name: (0..id % 3).map(|n| (n.to_string(), n as i64)).collect(),
    }
}

fn records<T>(rows: impl IntoIterator<Item = T>) -> Vec<Record<T>> {
    rows.into_iter().map(|value| Record { time: 0, seq: Seq::default(), value }).collect()
}

fn start(epoch: Epoch, saved: Option<&[u8]>) -> Start {
    Start { lineage: "a".into(), checkpoints: true, epoch, exact_through: u64::MAX, saved: saved.map(<[u8]>::to_vec) }
}

/// Parts that are seen, sorted.
fn seen(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    paths.retain(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'));
    paths.sort();
    paths
}

fn batches(folder: &Path) -> Vec<RecordBatch> {
    let reader = |path| ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    seen(folder).into_iter().flat_map(reader).map(Result::unwrap).collect()
}

fn read<T: DeserializeOwned>(folder: &Path) -> Vec<T> {
    batches(folder).iter().flat_map(|batch| serde_arrow::from_record_batch::<Vec<T>>(batch).unwrap()).collect()
}

/// An open sink of rows, a thousand in a part.
fn open(folder: &Path, start: &Start) -> Parts<Record<Row>, ParquetRows<Row>> {
    let mut sink = Parts::records(folder, ParquetRows::new().unwrap()).unwrap().max_rows(1000);
    sink.open(start).unwrap();
    sink
}

/// 300 rows an epoch.
fn write(sink: &mut impl Sink<Item = Record<Row>>, epochs: std::ops::RangeInclusive<u64>) {
    for epoch in epochs {
        sink.write(epoch, &mut records((0..300).map(|n| row(epoch * 1000 + n)))).unwrap();
        sink.commit(epoch).unwrap();
    }
}

fn expected(epochs: std::ops::RangeInclusive<u64>) -> Vec<Row> {
    epochs.flat_map(|epoch| (0..300).map(move |n| row(epoch * 1000 + n))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn killed_at_any_point_the_folder_is_that_of_an_unbroken_run(
        sizes in prop::collection::vec(0usize..80, 1..4),
        falls in prop::collection::vec((0usize..120, 1usize..4), 0..4),
        last in 1usize..4
    ) {
        falls::falls(&sizes, &falls, last, || ParquetRows::new().unwrap(), || ParquetRows::new().unwrap());
    }

    /// Where checkpoints are has no say in the bytes of a part, though blocks end there.
    #[test]
    fn saves_leave_no_trace(saves in prop::collection::btree_set(1u64..60, 0..8)) {
        let bytes = |saves: &std::collections::BTreeSet<u64>| {
            let folder = tempfile::tempdir().unwrap();
            let mut sink = Parts::records(folder.path(), ParquetRows::new().unwrap()).unwrap();
            sink.open(&start(0, None)).unwrap();
            for epoch in 1..=60 {
                write(&mut sink, epoch..=epoch);
                if saves.contains(&epoch) {
                    sink.save().unwrap();
                }
            }
            sink.close().unwrap();
            fs::read(&seen(folder.path())[0]).unwrap()
        };
        prop_assert!(bytes(&saves) == bytes(&Default::default()));
    }
}

#[test]
fn every_kind_of_field_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open(folder.path(), &start(0, None));
    write(&mut sink, 1..=40);
    sink.close().unwrap();
    assert_eq!(seen(folder.path()).len(), 10);
    assert!(read::<Row>(folder.path()) == expected(1..=40));
}

#[test]
fn changes_have_columns_of_their_own() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Change {
        epoch: u64,
        diff: i64,
        user: u8,
        spent: i64,
    }
    let folder = tempfile::tempdir().unwrap();
    let mut sink = Parts::updates(folder.path(), ParquetRows::new().unwrap()).unwrap();
    sink.open(&start(0, None)).unwrap();
    let update = |user, diff| Update { row: falls::Total { user, spent: 5 }, diff };
    sink.write(1, &mut vec![update(1, 1)]).unwrap();
    sink.write(2, &mut vec![update(1, -1), update(2, 1)]).unwrap();
    sink.close().unwrap();
    let change = |epoch, diff, user| Change { epoch, diff, user, spent: 5 };
    assert_eq!(read::<Change>(folder.path()), [change(1, 1, 1), change(2, -1, 1), change(2, 1, 2)]);
}

/// Also from a checkpoint in the middle of a part that readers see, which is then taken back.
#[test]
fn a_restart_goes_on_from_any_checkpoint() {
    let unbroken = tempfile::tempdir().unwrap();
    let mut sink = open(unbroken.path(), &start(0, None));
    write(&mut sink, 1..=10);
    sink.close().unwrap();
    let bytes = |folder: &Path| seen(folder).iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>();
    for back_to in 1..=7 {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = open(folder.path(), &start(0, None));
        let mut saved = vec![];
        for epoch in 1..=8 {
            write(&mut sink, epoch..=epoch);
            saved.push(sink.save().unwrap());
        }
        drop(sink);
        let from = start(back_to, Some(&saved[back_to as usize - 1]));
        drop(open(folder.path(), &from));
        let mut sink = open(folder.path(), &from);
        write(&mut sink, back_to + 1..=10);
        sink.close().unwrap();
        assert!(read::<Row>(folder.path()) == expected(1..=10), "{back_to}");
        assert!(bytes(folder.path()) == bytes(unbroken.path()), "{back_to}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing is left over");
    }
}

#[test]
fn torn_temporaries_are_cut_and_other_columns_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open(folder.path(), &start(0, None));
    write(&mut sink, 1..=1);
    let saved = sink.save().unwrap();
    assert!(saved.len() < 200, "a checkpoint has no rows");
    write(&mut sink, 2..=2);
    drop(sink.save().unwrap());
    drop(sink);
    let hidden = folder.path().join(".part-0000000000000001.parquet.tmp");
    let whole = fs::read(&hidden).unwrap();
    fs::write(&hidden, &whole[..whole.len() - 10]).unwrap();
    let from = start(1, Some(&saved));
    let mut sink = open(folder.path(), &from);
    write(&mut sink, 2..=2);
    sink.close().unwrap();
    assert!(read::<Row>(folder.path()) == expected(1..=2));

    fs::remove_file(&seen(folder.path())[0]).unwrap();
    drop(sink);
    fs::write(&hidden, &whole[..100]).unwrap();
    let open = |folder| {
        let mut sink = Parts::<Record<Place>, _>::records(folder, ParquetRows::new().unwrap()).unwrap();
        sink.open(&from).unwrap_err().to_string()
    };
    let error = open(folder.path());
    assert!(error.contains("does not have the 300 rows") && error.contains("--restore none"), "{error}");
    fs::write(&hidden, &whole).unwrap();
    let error = open(folder.path());
    assert!(
        error.contains("its columns are `id UInt64") && error.contains("to be `lat Float64, name Utf8`"),
        "{error}"
    );
}

#[test]
fn types_without_columns_are_refused_with_the_field_or_its_type() {
    #[derive(Serialize, Deserialize)]
    struct Wide {
        cents: i128,
    }
    #[derive(Serialize, Deserialize)]
    enum Either {
        Number(i64),
        Text(String),
    }
    #[derive(Serialize, Deserialize)]
    struct Mixed {
        inner: Vec<Option<Either>>,
    }
    let error = |error: Option<tidemill::SinkError>| error.unwrap().to_string();
    let wide = error(ParquetRows::<Wide>::new().err());
    assert!(wide.contains("Wide` has no columns") && wide.contains("i128 is not supported"), "{wide}");
    let mixed = error(ParquetRows::<Mixed>::new().err());
    assert!(mixed.contains("inner") && mixed.contains("or write JSON lines"), "{mixed}");
    assert!(error(ParquetRows::<u32>::new().err()).contains("make it a struct"));
}

#[test]
fn rows_unlike_their_type_are_refused_with_the_field() {
    #[derive(Serialize, Deserialize)]
    struct Sometimes {
        id: u32,
        #[serde(serialize_with = "as_text")]
        cents: i64,
    }
    fn as_text<S: serde::Serializer>(cents: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format!("{cents} cents"))
    }
    let folder = tempfile::tempdir().unwrap();
    let mut sink = Parts::records(folder.path(), ParquetRows::new().unwrap()).unwrap();
    sink.open(&start(0, None)).unwrap();
    let error = sink.write(1, &mut records([Sometimes { id: 1, cents: 5 }])).unwrap_err().to_string();
    assert!(
        error.starts_with("a row for `") && error.contains("cents") && error.contains("written and read"),
        "{error}"
    );

    #[derive(Serialize, Deserialize)]
    struct Named {
        epoch: u32,
    }
    let folder = tempfile::tempdir().unwrap();
    let mut sink = Parts::updates(folder.path(), ParquetRows::new().unwrap()).unwrap();
    sink.open(&start(0, None)).unwrap();
    let error = sink.write(1, &mut vec![Update { row: Named { epoch: 1 }, diff: 1 }]).unwrap_err().to_string();
    assert!(error.contains("a field `epoch`") && error.contains("rename"), "{error}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_names_the_part() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open(folder.path(), &start(0, None));
    write(&mut sink, 1..=1);
    let converted = ".part-0000000000000001-0000000000000001.parquet.tmp";
    std::os::unix::fs::symlink("/dev/full", folder.path().join(converted)).unwrap();
    let error = sink.close().unwrap_err().to_string();
    assert!(error.contains("0001.parquet` cannot be written, for the disk is full"), "{error}");
}
