//! Every kind of bad line, with its place, reason and text; and the good lines around it.

use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::path::Path;
use tidemill::{Batch, ReadStatus, Reader, Source, SourceError};
use tidemill_files::{Csv, JsonLines, Line, Lines};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u32,
    item: String,
    price: Option<f64>,
}

fn order(id: u32, item: &str, price: Option<f64>) -> Order {
    Order { id, item: item.to_owned(), price }
}

/// All items, and `(line, reason, record)` of each bad line.
type Found<T> = (Vec<T>, Vec<(u64, String, String)>);

fn read<S: Source>(source: &S, path: &Path) -> Result<Found<S::Item>, SourceError> {
    let mut reader = source.open(0, 0)?;
    let mut batch = Batch::new();
    while reader.read(10, &mut batch)? == ReadStatus::Ready {}
    let bad = batch.rejected().iter().map(|letter| {
        let line = letter.place.strip_prefix(&format!("{}:", path.display())).unwrap();
        (line.parse().unwrap(), letter.reason.clone(), letter.record.clone())
    });
    Ok((batch.items().to_vec(), bad.collect()))
}

fn of<S: Source>(text: impl AsRef<[u8]>, source: impl Fn(&Path) -> S) -> Result<Found<S::Item>, SourceError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input");
    std::fs::write(&path, text).unwrap();
    read(&source(&path), &path)
}

fn csv(text: impl AsRef<[u8]>) -> Found<Order> {
    of(text, |path| Csv::new(path)).unwrap()
}

#[track_caller]
fn check<T: PartialEq + Debug>((items, bad): Found<T>, good: &[T], expected: &[(u64, &str, &str)]) {
    assert_eq!(items, good);
    let bad: Vec<_> = bad.iter().map(|(line, reason, record)| (*line, reason.as_str(), record.as_str())).collect();
    assert_eq!(bad, expected);
}

#[test]
fn csv_with_a_header() {
    let text = b"\xef\xbb\xbfprice,note,item,id\r\n\
        1.5,,a,1\r\n\
        \r\n\
        1.5,,a,x\r\n\
        cheap,,a,3\n\
        ,,\"two\nlines\",4\n\
        ,,\"two\nlines\",many\n\
        1,,b\n\
        1,,b,8,9\n\
        1,,\xff,9\n\
        1,,\"open,10\n\
        1,,\"closed\" early,11\n\
        1,,b,4294967296\n\
        2,,b,13\n\
        2,,\"open,14\n\
        2,,b,1";
    check(
        csv(text),
        &[order(1, "a", Some(1.5)), order(4, "two\nlines", None), order(13, "b", Some(2.0)), order(1, "b", Some(2.0))],
        &[
            (4, "field `id`: `x` is not a whole number from 0 to 4294967295", "1.5,,a,x"),
            (5, "field `price`: `cheap` is not a number", "cheap,,a,3"),
            (8, "field `id`: `many` is not a whole number from 0 to 4294967295", ",,\"two\nlines\",many"),
            (10, "the line has 3 fields, the header 4", "1,,b"),
            (11, "the line has 5 fields, the header 4", "1,,b,8,9"),
            (12, "field `item`: `\u{fffd}` is not valid UTF-8", "1,,\u{fffd},9"),
            (13, "field 3 goes on after its closing quote: double the quotes inside a field", "1,,\"open,10"),
            (14, "field 3 goes on after its closing quote: double the quotes inside a field", "1,,\"closed\" early,11"),
            (15, "field `id`: `4294967296` is not a whole number from 0 to 4294967295", "1,,b,4294967296"),
            (17, "field 3 begins with a quote that nothing closes: close it, or double the quote", "2,,\"open,14"),
        ],
    );
}

#[test]
fn csv_without_a_header_and_a_torn_end() {
    let text = "1;a;0.5\n2;a\n3;a;;\n4;\"b;c\";\n5;b";
    check(
        of(text, |path| Csv::new(path).headers(false).delimiter(b';')).unwrap(),
        &[order(1, "a", Some(0.5)), order(4, "b;c", None)],
        &[
            (2, "the line has too few fields, 2: expected struct Order with 3 elements", "2;a"),
            (3, "the line has 4 fields, 3 are expected", "3;a;;"),
            (
                5,
                "the line has too few fields, 2: expected struct Order with 3 elements (the last line has no line end: was the file cut off?)",
                "5;b",
            ),
        ],
    );
}

#[test]
fn csv_values_of_all_kinds() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        View,
        Cart,
    }
    type Row = (Kind, bool, char, i8, [f32; 2], (u16, Option<String>));
    check(
        of("cart,true,é,-128,1,2e3,7,\nview,false,x,127,-1,.5,8,s\nbuy,true,x,1,1,1,1,\nview,yes,x,1,1,1,1,\nview,true,xy,1,1,1,1,\n", |path| {
            Csv::<Row>::new(path).headers(false)
        })
        .unwrap(),
        &[
            (Kind::Cart, true, 'é', -128, [1.0, 2000.0], (7, None)),
            (Kind::View, false, 'x', 127, [-1.0, 0.5], (8, Some("s".into()))),
        ],
        &[
            (3, "field 1: unknown variant `buy`, expected `view` or `cart`", "buy,true,x,1,1,1,1,"),
            (4, "field 2: `yes` is not true or false", "view,yes,x,1,1,1,1,"),
            (5, "field 3: `xy` is not a single character", "view,true,xy,1,1,1,1,"),
        ],
    );
}

#[test]
fn a_header_that_does_not_fit_stops_the_job() {
    let error = |text: &str| of(text, |path| Csv::<Order>::new(path)).unwrap_err().to_string();
    assert!(
        error("nr,item,price\n1,a,2\n").ends_with("`.headers(false)`")
            && error("nr,item,price\n1,a,2\n").contains("no column is named `id`, only `nr`, `item`, `price`"),
    );
    assert!(error("\"nr,item\n1,a\n").contains("its header makes no sense: field 1 begins with a quote"));
}

#[test]
fn flattened_structs_and_maps_go_by_column() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Outer {
        id: u32,
        #[serde(flatten)]
        rest: std::collections::BTreeMap<String, i64>,
    }
    let (items, bad) = of("id,a,b\n1,2,-3\n", |path| Csv::<Outer>::new(path)).unwrap();
    assert_eq!(items, [Outer { id: 1, rest: [("a".into(), 2), ("b".into(), -3)].into() }], "{bad:?}");
}

#[test]
fn json_lines() {
    let text = b"{\"id\":1,\"item\":\"a\",\"price\":null}\r\n  \n\
        {\"id\":\"x\",\"item\":\"a\"}\n\
        {\"id\":2}\n\
        {\"id\":3,\"item\":\n\
        {\"id\":4,\"item\":\"a\"} x\n\
        {\"id\":5,\"item\":\"\xff\"}\n\
        [1]\n\
        {\"id\":6,\"item\":\"b\"}\n\
        {\"id\":7,\"it";
    check(
        of(text, |path| JsonLines::new(path)).unwrap(),
        &[order(1, "a", None), order(6, "b", None)],
        &[
            (3, "field `id`: invalid type: string \"x\", expected u32", "{\"id\":\"x\",\"item\":\"a\"}"),
            (4, "missing field `item`", "{\"id\":2}"),
            (5, "not valid JSON at column 15: EOF while parsing a value", "{\"id\":3,\"item\":"),
            (6, "not valid JSON at column 21: trailing characters", "{\"id\":4,\"item\":\"a\"} x"),
            (7, "not valid JSON at column 17: invalid unicode code point", "{\"id\":5,\"item\":\"\u{fffd}\"}"),
            (8, "invalid length 1, expected struct Order with 3 elements", "[1]"),
            (
                10,
                "not valid JSON at column 11: EOF while parsing a string (the last line has no line end: was the file cut off?)",
                "{\"id\":7,\"it",
            ),
        ],
    );
}

#[test]
fn lines_by_hand() {
    let parser = |line: &mut Line| Ok((line.number::<u32>()?, line.text()?.to_owned()));
    check(
        of("1,a\n\n2\n3,b,c\nx,d\r\n4,e\r\n5", |path| Lines::new(path, parser)).unwrap(),
        &[(1, "a".to_owned()), (4, "e".to_owned())],
        &[
            (3, "the line ends after 1 fields: more are needed", "2"),
            (4, "`,c` follows the last field", "3,b,c"),
            (5, "field 1: `x` is not a whole number from 0 to 4294967295", "x,d"),
            (
                7,
                "the line ends after 1 fields: more are needed (the last line has no line end: was the file cut off?)",
                "5",
            ),
        ],
    );
}

#[test]
fn records_beyond_the_limit() {
    let long = "x".repeat(300);
    let text = format!("1,{long}\n2,a\n3,{long}{long}{long}\n4,b\n5,\"{long}\n6,c\n7,{long}");
    let reason = "the line is longer than the 300 bytes a record may have: raise `max_record`";
    let (items, bad) = of(&text, |path| Csv::<(u32, String)>::new(path).headers(false).max_record(300)).unwrap();
    assert_eq!(items, [(2, "a".into()), (4, "b".into()), (6, "c".into())]);
    assert_eq!(bad.iter().map(|bad| bad.0).collect::<Vec<_>>(), [1, 3, 5, 7]);
    assert!(bad.iter().all(|bad| bad.1 == reason && bad.2.len() == 300), "{bad:?}");

    let (items, _) = of(&text, |path| Csv::<(u32, String)>::new(path).headers(false)).unwrap();
    assert_eq!(items.len(), 6, "only the open quote is bad");

    let many = "6,c\n".repeat(100);
    let (items, bad) =
        of(format!("5,\"open\n{many}"), |path| Csv::<(u32, String)>::new(path).headers(false).max_record(64)).unwrap();
    assert_eq!((items.len(), bad.len(), bad[0].0), (100, 1, 1));
}
