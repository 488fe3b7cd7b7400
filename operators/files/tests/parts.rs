//! Folders of parts: what readers see, over restarts.

mod falls;

use proptest::prelude::*;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use tidemill::{
    Batch, Config, Epoch, Live, ReadStatus, Reader, Record, Seq, Sink, Source, Start, Timing, Update, execute,
};
use tidemill_files::{Csv, CsvRows, JsonLines, JsonRows, Parts};

fn records<T>(rows: impl IntoIterator<Item = T>) -> Vec<Record<T>> {
    rows.into_iter().map(|value| Record { time: 0, seq: Seq::default(), value }).collect()
}

fn anew(checkpoints: bool) -> Start {
    Start { lineage: "a".into(), checkpoints, epoch: 0, exact_through: u64::MAX, saved: None }
}

fn from(epoch: Epoch, saved: &[u8]) -> Start {
    Start { lineage: "a".into(), checkpoints: true, epoch, exact_through: u64::MAX, saved: Some(saved.to_vec()) }
}

fn numbers(folder: &Path) -> Parts<Record<u32>, JsonRows> {
    Parts::records(folder, JsonRows).unwrap().max_rows(4)
}

/// A sink of parts of two rows or more in `folder`, open.
fn open(folder: &Path, start: &Start) -> Parts<Record<u32>, JsonRows> {
    let mut sink = numbers(folder);
    sink.open(start).unwrap();
    sink
}

/// Writes two rows an epoch, as every run does.
fn write(sink: &mut impl Sink<Item = Record<u32>>, epochs: std::ops::RangeInclusive<u64>) {
    for epoch in epochs {
        sink.write(epoch, &mut records([epoch as u32, 100 + epoch as u32])).unwrap();
        sink.commit(epoch).unwrap();
    }
}

fn seen(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

fn part(first: Epoch, last: Epoch) -> String {
    format!("part-{first:016}-{last:016}.jsonl")
}

fn read<S: Source>(source: S) -> Vec<S::Item> {
    let mut batch = Batch::new();
    for partition in 0..source.partitions().unwrap() {
        let mut reader = source.open(partition, 0).unwrap();
        while reader.read(100, &mut batch).unwrap() == ReadStatus::Ready {}
    }
    assert!(batch.rejected().is_empty(), "{:?}", batch.rejected());
    batch.items().to_vec()
}

/// All rows that a reader of the folder gets.
fn rows(folder: &Path) -> Vec<u32> {
    read(JsonLines::new(folder))
}

fn expected(epochs: std::ops::RangeInclusive<u64>) -> Vec<u32> {
    epochs.flat_map(|epoch| [epoch as u32, 100 + epoch as u32]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(25))]
    #[test]
    fn killed_at_any_point_the_folder_is_that_of_an_unbroken_run(
        sizes in prop::collection::vec(0usize..80, 1..4),
        falls in prop::collection::vec((0usize..120, 1usize..4), 0..4),
        last in 1usize..4,
        csv in any::<bool>()
    ) {
        if csv {
            falls::falls(&sizes, &falls, last, CsvRows::new, CsvRows::new);
        } else {
            falls::falls(&sizes, &falls, last, || JsonRows, || JsonRows);
        }
    }

    /// Whatever comes in an epoch, parts are whole epochs, in order, and no larger than they must be.
    #[test]
    fn parts_end_where_the_rule_says(
        epochs in prop::collection::vec((1u64..9, 1usize..9), 0..30), max_rows in 1u64..12, block in 1u64..12
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = Parts::records(folder.path(), JsonRows).unwrap().max_rows(max_rows).max_epochs(block);
        sink.open(&anew(false)).unwrap();
        let (mut epoch, mut all) = (0, vec![]);
        for (step, count) in epochs {
            epoch += step;
            all.extend(vec![epoch; count]);
            sink.write(epoch, &mut records(vec![epoch; count])).unwrap();
            sink.commit(epoch).unwrap();
        }
        sink.close().unwrap();
        let mut expected: Vec<(u64, u64, u64)> = vec![];
        for epochs in all.chunk_by(|a, b| a == b) {
            match expected.last_mut() {
                Some((first, last, rows)) if *rows < max_rows && *first / block == epochs[0] / block => {
                    (*last, *rows) = (epochs[0], *rows + epochs.len() as u64);
                }
                _ => expected.push((epochs[0], epochs[0], epochs.len() as u64)),
            }
        }
        let names: Vec<_> = expected.iter().map(|(first, last, _)| part(*first, *last)).collect();
        prop_assert_eq!(seen(folder.path()), names);
        if !all.is_empty() {
            prop_assert_eq!(read(JsonLines::<u64>::new(folder.path())), all);
        }
    }
}

#[test]
fn parts_come_back_as_csv_with_a_header_each_and_changes_with_their_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let all: Vec<_> = falls::sales(&[5000]).remove(0);
    let mut sink = Parts::records(folder.path(), CsvRows::new()).unwrap().max_bytes(20_000);
    sink.open(&anew(false)).unwrap();
    for (epoch, sales) in all.chunks(100).enumerate() {
        sink.write(epoch as u64 + 1, &mut records(sales.to_vec())).unwrap();
        sink.commit(epoch as u64 + 1).unwrap();
    }
    sink.close().unwrap();
    assert!(seen(folder.path()).len() > 5);
    assert!(read(Csv::<falls::Sale>::new(folder.path())) == all);

    let changes = tempfile::tempdir().unwrap();
    let update = |user, diff| Update { row: falls::Total { user, spent: 5 }, diff };
    let mut sink = Parts::updates(changes.path(), CsvRows::new().delimiter(b';')).unwrap();
    sink.open(&anew(false)).unwrap();
    sink.write(1, &mut vec![update(1, 1)]).unwrap();
    sink.write(2, &mut vec![update(1, -1), update(2, 1)]).unwrap();
    sink.close().unwrap();
    let text = fs::read_to_string(changes.path().join("part-0000000000000001-0000000000000002.csv")).unwrap();
    assert_eq!(text, "epoch;diff;user;spent\n1;1;1;5\n2;-1;1;5\n2;1;2;5\n");
}

#[test]
fn a_part_is_seen_when_the_checkpoint_after_its_own_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open(folder.path(), &anew(true));
    write(&mut sink, 1..=5);
    assert!(seen(folder.path()).is_empty());
    sink.save().unwrap();
    assert!(seen(folder.path()).is_empty(), "that checkpoint may never be complete");
    write(&mut sink, 6..=6);
    sink.save().unwrap();
    assert_eq!(seen(folder.path()), [part(1, 2), part(3, 4)]);
    sink.save().unwrap();
    assert_eq!(seen(folder.path()), [part(1, 2), part(3, 4), part(5, 6)]);
    write(&mut sink, 7..=7);
    sink.close().unwrap();
    assert_eq!(seen(folder.path()), [part(1, 2), part(3, 4), part(5, 6), part(7, 7)]);
    assert_eq!(rows(folder.path()), expected(1..=7));
}

#[test]
fn without_checkpoints_a_part_is_seen_when_it_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open(&folder.path().join("made"), &anew(false));
    write(&mut sink, 1..=3);
    assert_eq!(seen(&folder.path().join("made")), [part(1, 2)]);
}

/// Goes back to each checkpoint of a run, also of one that has ended, and on from there.
#[test]
fn a_restart_goes_on_from_any_checkpoint() {
    for ended in [false, true] {
        for back_to in 1..=7 {
            let folder = tempfile::tempdir().unwrap();
            let mut sink = open(folder.path(), &anew(true));
            let mut saved = vec![];
            for epoch in 1..=7 {
                write(&mut sink, epoch..=epoch);
                saved.push(sink.save().unwrap());
            }
            if ended {
                sink.close().unwrap();
            }
            drop(sink);
            // Twice, for the first time it may be killed at once.
            drop(open(folder.path(), &from(back_to, &saved[back_to as usize - 1])));
            let mut sink = open(folder.path(), &from(back_to, &saved[back_to as usize - 1]));
            for name in seen(folder.path()) {
                assert!(name <= part(back_to, back_to), "{name} is of later epochs than {back_to}");
            }
            write(&mut sink, back_to + 1..=9);
            sink.close().unwrap();
            let kept = if ended && back_to == 7 { vec![part(7, 7), part(8, 9)] } else { vec![part(7, 8), part(9, 9)] };
            let names = [vec![part(1, 2), part(3, 4), part(5, 6)], kept].concat();
            assert_eq!((seen(folder.path()), back_to), (names, back_to));
            assert_eq!(rows(folder.path()), expected(1..=9));
        }
    }
}

#[test]
fn torn_temporaries_are_cut_and_lost_ones_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open(folder.path(), &anew(true));
    write(&mut sink, 1..=3);
    let saved = sink.save().unwrap();
    drop(sink);
    let hidden = folder.path().join(".part-0000000000000003.jsonl.tmp");
    let whole = fs::read(&hidden).unwrap();
    fs::write(&hidden, [&whole[..], b"17\n1"].concat()).unwrap();
    fs::write(folder.path().join(".part-0000000000000009.jsonl.tmp"), "9").unwrap();
    let mut sink = open(folder.path(), &from(3, &saved));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "one seen, one open");
    write(&mut sink, 4..=4);
    sink.close().unwrap();
    assert_eq!(rows(folder.path()), expected(1..=4));

    fs::remove_file(folder.path().join(part(3, 4))).unwrap();
    let error = numbers(folder.path()).open(&from(3, &saved)).unwrap_err().to_string();
    assert!(
        error.contains(".part-0000000000000003.jsonl.tmp` does not have the 2 rows")
            && error.contains("--restore none"),
        "{error}"
    );
    fs::write(&hidden, &whole[..3]).unwrap();
    let error = numbers(folder.path()).open(&from(3, &saved)).unwrap_err().to_string();
    assert!(error.contains("does not have the 2 rows") && error.contains("(3 bytes of "), "{error}");
    let error = numbers(folder.path()).open(&from(3, b"\x01")).unwrap_err().to_string();
    assert!(error.contains("of another sink"), "{error}");
}

#[test]
fn readers_may_take_parts_away_and_files_of_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let others = ["part-1-2.jsonl", "part-0000000000000001-0000000000000002.csv", ".part-x.jsonl.tmp", "_SUCCESS"];
    others.iter().for_each(|name| fs::write(folder.path().join(name), "x").unwrap());
    let mut sink = open(folder.path(), &anew(true));
    write(&mut sink, 1..=2);
    let saved = sink.save().unwrap();
    drop(sink);
    let mut sink = open(folder.path(), &from(2, &saved));
    fs::remove_file(folder.path().join(part(1, 2))).unwrap();
    drop(sink);
    sink = open(folder.path(), &from(2, &saved));
    sink.close().unwrap();
    for name in others {
        assert_eq!(fs::read(folder.path().join(name)).unwrap(), b"x");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), others.len());
}

#[test]
fn a_folder_has_one_sink() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path(), &anew(false));
    let error = numbers(folder.path()).open(&anew(false)).unwrap_err().to_string();
    assert!(error.contains("another sink, or another job") && error.contains("a folder of its own"), "{error}");
    drop(first);
    open(folder.path(), &anew(false));
}

#[test]
fn parts_of_an_earlier_run_are_not_removed_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open(folder.path(), &anew(false));
    write(&mut sink, 1..=5);
    sink.close().unwrap();
    let error = numbers(folder.path()).open(&anew(false)).unwrap_err().to_string();
    assert!(error.contains(&part(1, 2)) && error.contains("or use `Parts::replace`"), "{error}");
    let mut sink = numbers(folder.path()).replace();
    sink.open(&anew(true)).unwrap();
    assert!(seen(folder.path()).is_empty());
    write(&mut sink, 1..=1);
    sink.close().unwrap();
    assert_eq!(seen(folder.path()), [part(1, 1)]);
}

#[test]
fn what_cannot_be_a_folder_is_said_at_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = |path: &Path| Parts::<Record<u32>, _>::records(path, JsonRows).err().unwrap().to_string();
    assert!(error(file.path()).contains("is no folder"));
    assert!(error(Path::new("")).contains("has no name"));
}

#[test]
fn rows_that_do_not_fit_name_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let bad = || records([std::collections::BTreeMap::from([((1, 2), 3)])]);
    let mut sink = Parts::records(folder.path(), JsonRows).unwrap();
    sink.open(&anew(false)).unwrap();
    let error = sink.write(1, &mut bad()).unwrap_err().to_string();
    assert!(error.starts_with("a row for `") && error.contains("cannot be JSON"), "{error}");
    drop(sink);
    let mut sink = Parts::records(folder.path(), CsvRows::new()).unwrap();
    sink.open(&anew(false)).unwrap();
    let error = sink.write(1, &mut bad()).unwrap_err().to_string();
    assert!(error.contains("cannot be CSV") && error.contains("`JsonRows`"), "{error}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_names_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = open(folder.path(), &anew(false));
    // Not there when the job begins, or it would be removed.
    std::os::unix::fs::symlink("/dev/full", folder.path().join(".part-0000000000000001.jsonl.tmp")).unwrap();
    sink.write(1, &mut records([1, 2, 3, 4])).unwrap();
    let error = sink.commit(1).unwrap_err().to_string();
    assert!(error.contains("cannot be written, for the disk is full") && error.ends_with("run again"), "{error}");
    assert!(error.starts_with(&format!("`{}`", folder.path().display())), "{error}");
}

#[test]
fn without_checkpoints_a_part_is_seen_when_it_is_done_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let (source, feeds) = Live::new(1, 10);
    let to_lake = lake.clone();
    let job = std::thread::spawn(move || {
        execute(Config::default(), move |job| {
            let numbers = job.source("numbers", source.clone(), Timing::by(|n: &u32| i64::from(*n)))?;
            numbers.sink("lake", Parts::records(&to_lake, JsonRows)?.max_rows(1))
        })
    });
    feeds[0].send(7).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !lake.is_dir() || seen(&lake).is_empty() {
        assert!(Instant::now() < deadline && !job.is_finished(), "no part is seen while the job runs");
        std::thread::yield_now();
    }
    drop(feeds);
    job.join().unwrap().unwrap();
    assert_eq!(seen(&lake).len(), 1);
}
