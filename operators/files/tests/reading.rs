//! What must not depend on how a file is read: limits, offsets, compression, block ends.

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};
use tidemill::{Batch, DeadLetter, ReadStatus, Reader, Source};
use tidemill_files::{Csv, JsonLines, Line, Lines};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    id: u32,
    text: String,
}

#[derive(Clone, Copy, Debug)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
}

const PACKINGS: [Packing; 3] = [Packing::Plain, Packing::Gzip, Packing::Zstd];

impl Packing {
    fn pack(self, text: &[u8]) -> Vec<u8> {
        match self {
            Packing::Plain => text.to_vec(),
            Packing::Gzip => {
                let mut pack = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                pack.write_all(text).unwrap();
                pack.finish().unwrap()
            }
            Packing::Zstd => {
                let mut pack = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
                pack.include_checksum(true).unwrap();
                pack.write_all(text).unwrap();
                pack.finish().unwrap()
            }
        }
    }
}

fn file(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("input");
    std::fs::write(&path, bytes).unwrap();
    path
}

type Found<T> = (Vec<T>, Vec<DeadLetter>);

fn rest<R: Reader<Item: Clone>>(mut reader: R, limit: usize) -> Found<R::Item> {
    let mut batch = Batch::new();
    while reader.read(limit, &mut batch).unwrap() == ReadStatus::Ready {}
    (batch.items().to_vec(), batch.rejected().to_vec())
}

/// Reads with every limit, and from the offset after every record.
fn check<S: Source<Item: PartialEq>>(source: &S, limit: usize) -> Found<S::Item> {
    let all = rest(source.open(0, 0).unwrap(), 1_000_000);
    assert!(all == rest(source.open(0, 0).unwrap(), limit), "limit {limit}");
    let mut reader = source.open(0, 0).unwrap();
    let mut batch = Batch::new();
    loop {
        let offset = reader.offset();
        let (items, bad) = rest(source.open(0, offset).unwrap(), limit);
        assert!(items == all.0[batch.items().len()..], "items from offset {offset}");
        assert!(bad == all.1[batch.rejected().len()..], "bad lines from offset {offset}: {bad:?}");
        if reader.read(1, &mut batch).unwrap() == ReadStatus::Done {
            return all;
        }
    }
}

/// Lines that are good, bad, quoted over two lines, empty, or a stray quote.
fn csv_line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (any::<u32>(), "[a-z ]{0,12}").prop_map(|(id, text)| format!("{id},{text}")),
        1 => (any::<u32>(), "[a-z]{0,3}").prop_map(|(id, text)| format!("{id},\"{text}\n\"\"{text}\"")),
        1 => "[a-z,\"\r]{0,8}",
        1 => "[0-9]{1,3},\"[a-z]{0,3}",
    ]
}

proptest! {
    #[test]
    fn csv_reads_the_same_in_any_way(
        lines in prop::collection::vec((csv_line(), any::<bool>()), 0..20),
        bom in any::<bool>(),
        torn in any::<bool>(),
        limit in 1..9_usize,
        max in prop_oneof![Just(16_usize), Just(40), Just(1000)],
    ) {
        let mut text = format!("{}text,id\n", if bom { "\u{feff}" } else { "" }).replace("text,id", "id,text");
        for (line, crlf) in &lines {
            text.push_str(line);
            text.push_str(if *crlf { "\r\n" } else { "\n" });
        }
        if torn && !lines.is_empty() {
            text.pop();
        }
        let folder = tempfile::tempdir().unwrap();
        let mut seen = Vec::new();
        for packing in PACKINGS {
            let path = file(folder.path(), &packing.pack(text.as_bytes()));
            seen.push(check(&Csv::<Row>::new(path).max_record(max), limit));
        }
        prop_assert!(seen[0] == seen[1] && seen[0] == seen[2]);
    }

    #[test]
    fn lines_read_the_same_in_any_way(
        lines in prop::collection::vec("([0-9]{1,4}|[0-9]{1,3},|[a-z]{0,60})\r?", 0..20),
        limit in 1..9_usize,
        max in prop_oneof![Just(16_usize), Just(1000)],
    ) {
        let folder = tempfile::tempdir().unwrap();
        for packing in PACKINGS {
            let path = file(folder.path(), &packing.pack(lines.join("\n").as_bytes()));
            check(&Lines::new(path, |line: &mut Line| line.number::<u32>()).max_record(max), limit);
        }
    }
}

#[test]
fn every_format_in_every_packing() {
    let rows: Vec<Row> = (0..20_000).map(|id| Row { id, text: format!("row, \"{id}\"") }).collect();
    let csv: String = rows.iter().map(|row| format!("{},\"row, \"\"{}\"\"\"\n", row.id, row.id)).collect();
    let json: String = rows.iter().map(|row| serde_json::to_string(row).unwrap() + "\n").collect();
    let folder = tempfile::tempdir().unwrap();
    for packing in PACKINGS {
        let path = file(folder.path(), &packing.pack(csv.as_bytes()));
        assert!(rest(Csv::<Row>::new(&path).headers(false).open(0, 0).unwrap(), 999) == (rows.clone(), vec![]));
        let by_hand = |line: &mut Line| {
            let id = line.number()?;
            Ok(Row { id, text: String::from_utf8_lossy(line.rest()).into_owned() })
        };
        let (items, _) = rest(Lines::new(&path, by_hand).open(0, 0).unwrap(), 999);
        assert_eq!(items[19_999].text, ",\"row, \"\"19999\"\"\"");
        let path = file(folder.path(), &packing.pack(json.as_bytes()));
        assert!(rest(JsonLines::<Row>::new(&path).open(0, 0).unwrap(), 999) == (rows.clone(), vec![]));
    }
}

#[test]
fn lines_longer_than_a_block() {
    let long = "y".repeat(400_000);
    let text = format!("1,a\n2,{long}\n3,\"{long}\n{long}\"\n4,b\nx,{long}\n5,c");
    let folder = tempfile::tempdir().unwrap();
    for packing in PACKINGS {
        let path = file(folder.path(), &packing.pack(text.as_bytes()));
        let (items, bad) = check(&Csv::<Row>::new(path).headers(false), 2);
        assert_eq!(
            items.iter().map(|row| (row.id, row.text.len())).collect::<Vec<_>>(),
            [(1, 1), (2, 400_000), (3, 800_001), (4, 1), (5, 1)]
        );
        assert!(bad[0].place.ends_with(":6"), "{}", bad[0].place);
        assert!(bad[0].record.ends_with("… (400002 bytes)"));
    }
}

#[test]
fn line_numbers_after_a_seek() {
    let mut text: String = (0..50_000).map(|id| format!("{id},x\n")).collect();
    text.push_str("bad,x\n");
    let folder = tempfile::tempdir().unwrap();
    for packing in PACKINGS {
        let source = Csv::<Row>::new(file(folder.path(), &packing.pack(text.as_bytes()))).headers(false);
        let mut reader = source.open(0, 0).unwrap();
        let mut batch = Batch::new();
        reader.read(40_000, &mut batch).unwrap();
        let (items, bad) = rest(source.open(0, reader.offset()).unwrap(), 7);
        assert_eq!(items.len(), 10_000);
        assert!(bad[0].place.ends_with(":50001"), "{}", bad[0].place);
    }
}

#[test]
fn empty_files_have_no_rows() {
    let folder = tempfile::tempdir().unwrap();
    for packing in PACKINGS {
        for text in ["", "\n", "\r\n\n", "\u{feff}", "id,text", "id,text\n"] {
            let path = file(folder.path(), &packing.pack(text.as_bytes()));
            assert_eq!(check(&Csv::<Row>::new(path), 1), (vec![], vec![]), "{text:?}");
        }
    }
}

#[test]
fn progress_ends_at_size() {
    let text: String = (0..100_000).map(|id| format!("{id},x\n")).collect();
    let folder = tempfile::tempdir().unwrap();
    for packing in PACKINGS {
        let source = Csv::<Row>::new(file(folder.path(), &packing.pack(text.as_bytes()))).headers(false);
        let mut reader = source.open(0, 0).unwrap();
        let mut last = 0;
        while reader.read(10_000, &mut Batch::new()).unwrap() == ReadStatus::Ready {
            assert!(reader.progress() >= last);
            last = reader.progress();
        }
        assert_eq!(Some(reader.progress()), source.size());
    }
}

#[test]
fn torn_and_foreign_files_are_errors() {
    let text: Vec<u8> = (0..100_000).flat_map(|id| format!("{id},{}\n", id * 7919 % 1_000_003).into_bytes()).collect();
    let folder = tempfile::tempdir().unwrap();
    let error = |bytes: &[u8]| {
        let source = Csv::<Row>::new(file(folder.path(), bytes)).headers(false);
        let read = || -> Result<(), tidemill::SourceError> {
            let mut reader = source.open(0, 0)?;
            while reader.read(1000, &mut Batch::new())? == ReadStatus::Ready {}
            Ok(())
        };
        read().unwrap_err().to_string()
    };
    for packing in [Packing::Gzip, Packing::Zstd] {
        let packed = packing.pack(&text);
        for cut in [6, 20, packed.len() / 2, packed.len() - 1] {
            let error = error(&packed[..cut]);
            assert!(error.contains("is cut off") && error.contains("copy it again"), "{packing:?} {cut}: {error}");
        }
        let mut broken = packed.clone();
        broken[packed.len() / 2..][..40].fill(0x5a);
        let error = error(&broken);
        assert!(error.contains("copy it again"), "{packing:?}: {error}");
    }
    assert!(error(b"PK\x03\x04rest").ends_with("is a zip archive: unpack it"));
    assert!(error(b"\xff\xfei\0").contains("iconv"));
}

#[test]
fn a_file_shorter_than_its_offset_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for packing in PACKINGS {
        let source = Csv::<Row>::new(file(folder.path(), &packing.pack(b"1,a\n2,b\n"))).headers(false);
        assert!(source.open(0, 8).is_ok());
        let error = source.open(0, 9).err().unwrap().to_string();
        assert!(error.contains("is shorter than the 9 bytes"), "{error}");
        assert!(source.open(1, 0).err().unwrap().to_string().contains("no file number 1"));
    }
}

#[test]
fn chosen_columns_are_read_under_the_names_of_fields() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), b"id,Number,text,Words\n9,1,x,one\n9,two,x,y\n");
    let source = Csv::<Row>::new(&path).columns([("id", "Number"), ("text", "Words")]);
    let (rows, bad) = check(&source, 1);
    assert_eq!(rows, [Row { id: 1, text: "one".into() }]);
    assert!(bad[0].place.ends_with(":3") && bad[0].reason.contains("field `id`: `two`"), "{bad:?}");
    let missing = Csv::<Row>::new(&path).columns([("id", "Nr"), ("text", "Words")]);
    let error = missing.open(0, 0).unwrap().read(1, &mut Batch::new()).unwrap_err().to_string();
    assert!(error.contains("no column is named `Nr`, only `id`, `Number`, `text`, `Words`"), "{error}");
}
