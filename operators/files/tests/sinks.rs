//! What sinks write, sources read back.

use serde::{Deserialize, Serialize};
use tidemill::{Batch, ReadStatus, Reader, Record, Seq, Sink, Source, Start, Update};
use tidemill_files::{Csv, CsvSink, JsonLines, JsonLinesSink};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    id: u32,
    text: String,
    score: Option<f64>,
}

fn rows(n: u32) -> Vec<Row> {
    let text = |id| format!("a \"quoted\", text\nof {id}");
    (0..n).map(|id| Row { id, text: text(id), score: id.is_multiple_of(2).then_some(id as f64 / 8.0) }).collect()
}

fn records<T>(rows: Vec<T>) -> Vec<Record<T>> {
    rows.into_iter().map(|value| Record { time: 0, seq: Seq::default(), value }).collect()
}

fn read<S: Source>(source: S) -> Vec<S::Item> {
    let mut batch = Batch::new();
    let mut reader = source.open(0, 0).unwrap();
    while reader.read(100, &mut batch).unwrap() == ReadStatus::Ready {}
    assert!(batch.rejected().is_empty(), "{:?}", batch.rejected());
    batch.items().to_vec()
}

/// Writes two epochs and closes.
fn write<T>(mut sink: impl Sink<Item = T>, first: Vec<T>, second: Vec<T>) {
    for (epoch, mut items) in [(1, first), (2, second)] {
        sink.write(epoch, &mut items).unwrap();
        assert!(items.is_empty());
        sink.commit(epoch).unwrap();
    }
    sink.close().unwrap();
}

#[test]
fn all_formats_and_packings_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let all = rows(5000);
    let (first, second) = (all[..4000].to_vec(), all[4000..].to_vec());
    for (end, magic) in [("", &b""[..]), (".gz", b"\x1f\x8b"), (".zst", b"\x28\xb5\x2f\xfd")] {
        let path = folder.path().join(format!("out.csv{end}"));
        write(CsvSink::records(&path).unwrap(), records(first.clone()), records(second.clone()));
        assert!(std::fs::read(&path).unwrap().starts_with(magic));
        assert!(read(Csv::<Row>::new(&path)) == all, "{end}");

        let path = folder.path().join(format!("out.jsonl{end}"));
        write(JsonLinesSink::records(&path).unwrap(), records(first.clone()), records(second.clone()));
        assert!(std::fs::read(&path).unwrap().starts_with(magic));
        assert!(read(JsonLines::<Row>::new(&path)) == all, "{end}");
    }
}

#[test]
fn changes_carry_epoch_and_difference() {
    let folder = tempfile::tempdir().unwrap();
    let update = |id, diff| Update { row: Row { id, text: "x;y".into(), score: None }, diff };
    let path = folder.path().join("changes.csv");
    write(CsvSink::updates(&path).unwrap().delimiter(b';'), vec![update(1, 1)], vec![update(1, -1), update(2, 1)]);
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "epoch;diff;id;text;score\n1;1;1;\"x;y\";\n2;-1;1;\"x;y\";\n2;1;2;\"x;y\";\n"
    );
    let path = folder.path().join("changes.jsonl");
    write(JsonLinesSink::updates(&path).unwrap(), vec![update(1, 1)], vec![update(1, -1)]);
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "{\"epoch\":1,\"diff\":1,\"row\":{\"id\":1,\"text\":\"x;y\",\"score\":null}}\n\
         {\"epoch\":2,\"diff\":-1,\"row\":{\"id\":1,\"text\":\"x;y\",\"score\":null}}\n"
    );
}

#[test]
fn rows_without_names_have_no_header() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    write(CsvSink::records(&path).unwrap(), records(vec![(1, "a")]), records(vec![(2, "b")]));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "1,a\n2,b\n");
    write(CsvSink::records(&path).unwrap().headers(false), records(rows(1)), vec![]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "0,\"a \"\"quoted\"\", text\nof 0\",0.0\n");
}

#[test]
fn a_commit_makes_rows_visible_and_no_rows_make_an_empty_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let mut sink = JsonLinesSink::<Record<u32>>::records(&path).unwrap();
    sink.commit(1).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    sink.write(2, &mut records(vec![7])).unwrap();
    sink.commit(2).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "7\n");
    let path = folder.path().join("none.csv.gz");
    CsvSink::<Record<u32>>::records(&path).unwrap().close().unwrap();
    assert!(read(Csv::<Row>::new(&path)).is_empty());
}

#[test]
fn rows_that_do_not_fit_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    #[derive(Serialize)]
    struct Nested {
        list: Vec<Vec<u32>>,
        by_pair: std::collections::BTreeMap<(u32, u32), u32>,
    }
    let nested = || Nested { list: vec![vec![1]], by_pair: [((1, 2), 3)].into() };
    let path = folder.path().join("out");
    let error = CsvSink::records(&path).unwrap().write(1, &mut records(vec![nested()])).unwrap_err().to_string();
    assert!(error.contains("out` cannot be CSV") && error.ends_with("or use `JsonLinesSink`"), "{error}");
    let error = JsonLinesSink::records(&path).unwrap().write(1, &mut records(vec![nested()])).unwrap_err().to_string();
    assert!(error.contains("out` cannot be JSON"), "{error}");
    assert!(CsvSink::<Record<u32>>::records(folder.path().join("no/out")).is_err());
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error() {
    let mut sink = JsonLinesSink::records("/dev/full").unwrap();
    sink.write(1, &mut records(vec![1])).unwrap();
    assert!(sink.commit(1).unwrap_err().to_string().contains("`/dev/full` cannot be written, for the disk is full"));
    let mut sink = CsvSink::records("/dev/full").unwrap();
    assert!(sink.write(1, &mut records(vec!["x".repeat(100); 10_000])).unwrap_err().to_string().contains("/dev/full"));
}

/// A run that saves after its first epoch, and dies in the third; then one that goes on from there, and ends.
fn written_in_two_runs<T: Clone, S: Sink<Item = T>>(make: impl Fn() -> S, epochs: [Vec<T>; 3]) {
    let mut first = make();
    first.open(&Start { lineage: "a".into(), checkpoints: true, epoch: 0, exact_through: 0, saved: None }).unwrap();
    let write = |sink: &mut S, epoch: usize| {
        sink.write(epoch as u64, &mut epochs[epoch - 1].clone()).unwrap();
        sink.commit(epoch as u64).unwrap();
    };
    write(&mut first, 1);
    let saved = first.save().unwrap();
    assert_eq!(first.save().unwrap(), saved, "nothing was written since");
    write(&mut first, 2);
    first.save().unwrap();
    write(&mut first, 3);
    drop(first);
    let mut second = make();
    second
        .open(&Start { lineage: "a".into(), checkpoints: true, epoch: 1, exact_through: 0, saved: Some(saved) })
        .unwrap();
    write(&mut second, 2);
    write(&mut second, 3);
    second.save().unwrap();
    second.close().unwrap();
}

#[test]
fn a_sink_that_goes_on_from_a_checkpoint_writes_everything_once() {
    let folder = tempfile::tempdir().unwrap();
    let all = rows(900);
    for empty in [0, 1] {
        let epochs = [0, 300, 600].map(|from| records(all[from..from + 300].to_vec()));
        let epochs = if empty == 1 { [vec![], records(all[..600].to_vec()), epochs[2].clone()] } else { epochs };
        for end in ["", ".gz", ".zst"] {
            let path = folder.path().join(format!("{empty}.csv{end}"));
            written_in_two_runs(|| CsvSink::records(&path).unwrap(), epochs.clone());
            assert!(read(Csv::<Row>::new(&path)) == all, "{end}");
            let path = folder.path().join(format!("{empty}.jsonl{end}"));
            written_in_two_runs(|| JsonLinesSink::records(&path).unwrap(), epochs.clone());
            assert!(read(JsonLines::<Row>::new(&path)) == all, "{end}");
        }
    }
}

#[test]
fn a_file_that_lost_what_a_checkpoint_counts_on_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let mut sink = JsonLinesSink::records(&path).unwrap();
    sink.write(1, &mut records(rows(3))).unwrap();
    let start =
        Start { lineage: "a".into(), checkpoints: true, epoch: 1, exact_through: 9, saved: Some(sink.save().unwrap()) };
    drop(sink);
    std::fs::write(&path, "short").unwrap();
    let error = JsonLinesSink::<Record<Row>>::records(&path).unwrap().open(&start).unwrap_err().to_string();
    assert!(error.contains("out.jsonl` is shorter than the ") && error.contains("--restore none"), "{error}");
}
