//! Streams.

use crate::server::{client, rows, sql, table, url};
use crate::{Row, epoch, error, events, first, restart, row};
use serde::Serialize;
use std::collections::BTreeMap;
use tidemill::{Record, Sink};
use tidemill_postgres::Postgres;

const COLUMNS: &str = "(id int, name text NOT NULL, cents bigint, tidemill_epoch bigint)";

fn made() -> String {
    let table = table();
    sql(&format!("CREATE TABLE {table} {COLUMNS}"));
    table
}

fn sink(table: &str) -> Postgres<Record<Row>> {
    Postgres::events(url(), table).unwrap()
}

#[test]
fn an_epoch_is_there_when_it_is_committed_and_not_before() {
    let table = made();
    let mut sink = sink(&table);
    sink.open(&first("a")).unwrap();
    sink.write(1, &mut events([row(1, "one"), row(2, "tab\there, \\N, \"quote\",\nline")])).unwrap();
    assert!(rows(&table).is_empty());
    sink.commit(1).unwrap();
    assert_eq!(rows(&table), ["(1,one,100,)", "(2,\"tab\there, \\\\N, \"\"quote\"\",\nline\",200,)"]);
    // Several epochs in one transaction, and an epoch without rows.
    sink.write(2, &mut events([row(3, "")])).unwrap();
    sink.write(3, &mut events([row(4, "x")])).unwrap();
    assert_eq!(rows(&table).len(), 2);
    sink.commit(3).unwrap();
    sink.commit(4).unwrap();
    assert_eq!(rows(&table)[2..], ["(3,\"\",,)", "(4,x,400,)"]);
    sink.close().unwrap();
}

#[test]
fn every_kind_of_field_has_its_column() {
    #[derive(Clone, Serialize)]
    enum Kind {
        Web,
        Shop { floor: u8 },
    }
    #[derive(Clone, Serialize)]
    struct Bytes<'a>(#[serde(serialize_with = "bytes")] &'a [u8]);
    fn bytes<S: serde::Serializer>(bytes: &&[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }
    #[derive(Clone, Serialize)]
    struct All {
        small: i8,
        int: u16,
        big: i64,
        huge: u64,
        single: f32,
        double: f64,
        yes: bool,
        text: Option<String>,
        letter: char,
        bytes: Bytes<'static>,
        at: i64,
        kind: Kind,
        place: Kind,
        list: Vec<Option<String>>,
        map: BTreeMap<u32, (bool, ())>,
    }
    let all = All {
        small: -128,
        int: 65535,
        big: i64::MIN,
        huge: u64::MAX,
        single: 0.1,
        double: -1.5e300,
        yes: true,
        text: Some("ünï\\code".into()),
        letter: '\t',
        bytes: Bytes(b"\0\xff\\"),
        at: -1,
        kind: Kind::Web,
        place: Kind::Shop { floor: 2 },
        list: vec![Some("a\n\"b\"\\".into()), None],
        map: [(7, (false, ()))].into(),
    };
    let table = table();
    let sink = || Postgres::events(url(), &table).unwrap().timestamp("at").create_like(&all).unwrap();
    let mut first_run = sink();
    first_run.open(&first("a")).unwrap();
    let types = client().query_one(
        "SELECT string_agg(format_type(atttypid, null), ' ' ORDER BY attnum) FROM pg_attribute
         WHERE attrelid = to_regclass($1) AND attnum > 0",
        &[&table],
    );
    assert_eq!(
        types.unwrap().get::<_, String>(0),
        "smallint integer bigint numeric real double precision boolean text text bytea timestamp with time zone text jsonb \
         jsonb jsonb"
    );
    let odd = All { double: f64::NAN, single: f32::NEG_INFINITY, text: None, at: 253_402_300_800_000, ..all.clone() };
    epoch(&mut first_run, 1, events([all.clone(), odd])).unwrap();
    sql("SET TimeZone = 'UTC'");
    let same = client().query_one(
        &format!(
            "SELECT count(*) FILTER (WHERE double = -1.5e300 AND single = 0.1::real AND text = 'ünï\\code' AND at =
                 '1969-12-31 23:59:59.999+00'), count(*) FILTER (WHERE double = 'NaN' AND single = '-Infinity' AND text IS NULL
                 AND at = '10000-01-01 00:00:00+00'), count(*) FILTER (WHERE small = -128 AND int = 65535 AND yes
                 AND big = -9223372036854775808 AND huge = 18446744073709551615 AND letter = E'\\t' AND bytes = '\\x00ff5c'
                 AND kind = 'Web' AND place = '{{\"Shop\": {{\"floor\": 2}}}}' AND map = '{{\"7\": [false, null]}}'
                 AND list = '[\"a\\n\\\"b\\\"\\\\\", null]') FROM {table}"
        ),
        &[],
    );
    let same = same.unwrap();
    assert_eq!([0, 1, 2].map(|i| same.get::<_, i64>(i)), [1, 1, 2]);
    // The table is there now, and stays as it is.
    let mut second_run = sink().append();
    second_run.open(&first("b")).unwrap();
    epoch(&mut second_run, 1, events([all.clone()])).unwrap();
    assert_eq!(rows(&table).len(), 3);
}

#[test]
fn columns_take_what_their_type_reads() {
    #[derive(Serialize)]
    struct Loose {
        id: &'static str,
        price: &'static str,
        day: i64,
        address: &'static str,
        doc: &'static str,
    }
    let table = table();
    sql(&format!(
        "CREATE TABLE {table} (id uuid, price numeric(9, 2), day date, address inet, doc json, no int DEFAULT 5,
             seq int NOT NULL GENERATED ALWAYS AS IDENTITY)"
    ));
    let mut sink = Postgres::events(url(), &table).unwrap();
    sink.open(&first("a")).unwrap();
    let id = "00000000-0000-0000-0000-00000000000a";
    epoch(&mut sink, 1, events([Loose { id, price: "12.345", day: 86_400_000, address: "::1", doc: "x" }])).unwrap();
    assert_eq!(rows(&table), [format!("({id},12.35,1970-01-02,::1,\"\"\"x\"\"\",5,1)")]);
}

#[test]
fn epochs_that_are_marked_are_skipped() {
    let table = made();
    let mut a = sink(&table);
    a.open(&first("a")).unwrap();
    let checkpoint = epoch(&mut a, 1, events([row(1, "a")])).unwrap();
    epoch(&mut a, 2, events([row(2, "b")])).unwrap();
    a.write(3, &mut events([row(3, "c")])).unwrap();
    drop(a);
    let mut b = sink(&table);
    b.open(&restart("a", checkpoint, true)).unwrap();
    for (e, name) in [(2, "b"), (3, "c"), (4, "d")] {
        epoch(&mut b, e, events([row(e as i32, name)])).unwrap();
    }
    assert_eq!(rows(&table), ["(1,a,100,)", "(2,b,200,)", "(3,c,,)", "(4,d,400,)"]);
}

#[test]
fn epochs_that_come_anew_are_refused_rewound_or_appended() {
    let table = made();
    let run = |mut sink: Postgres<Record<Row>>, start, name| {
        sink.open(&start)?;
        let checkpoint = epoch(&mut sink, start.epoch + 1, events([row(1, name)]))?;
        epoch(&mut sink, start.epoch + 2, events([row(2, name)])).map(|_| checkpoint)
    };
    let checkpoint = run(sink(&table).rewind(), first("a"), "a").unwrap();
    let before = rows(&table);
    assert_eq!(before, ["(1,a,100,1)", "(2,a,200,2)"]);

    let refused = error(run(sink(&table), restart("a", checkpoint.clone(), false), "b"));
    assert!(refused.contains("rows of epochs up to 2") && refused.contains("from epoch 1 "), "{refused}");
    let refused = error(run(sink(&table), first("b"), "b"));
    assert!(refused.contains("another run") && refused.contains("\"public\".tidemill_epochs"), "{refused}");
    assert_eq!(rows(&table), before);

    run(sink(&table).rewind(), restart("a", checkpoint.clone(), false), "b").unwrap();
    assert_eq!(rows(&table), ["(1,a,100,1)", "(1,b,100,2)", "(2,b,200,3)"]);
    run(sink(&table).append(), restart("a", checkpoint.clone(), false), "c").unwrap();
    assert_eq!(rows(&table).len(), 5);
    run(sink(&table).rewind(), first("b"), "d").unwrap();
    // Appended rows have no epoch, and are not deleted.
    assert_eq!(rows(&table), ["(1,c,100,)", "(1,d,100,1)", "(2,c,200,)", "(2,d,200,2)"]);

    // Another lineage's rows are where this checkpoint's should be: not even a rewind brings them back.
    let lost = error(run(sink(&table).rewind(), restart("a", checkpoint.clone(), false), "e"));
    assert!(lost.contains("lacks what this job has committed up to epoch 1"), "{lost}");
    run(sink(&table).append(), restart("a", checkpoint, false), "e").unwrap();
}

#[test]
fn the_later_of_two_writers_wins() {
    let table = made();
    let (mut a, mut b) = (sink(&table), sink(&table));
    a.open(&first("a")).unwrap();
    let checkpoint = epoch(&mut a, 1, events([row(1, "a")])).unwrap();
    b.open(&restart("a", checkpoint, true)).unwrap();
    let fenced = error(epoch(&mut a, 2, events([row(2, "a")])));
    assert!(fenced.contains("another job writes"), "{fenced}");
    epoch(&mut b, 2, events([row(2, "b")])).unwrap();
    assert_eq!(rows(&table), ["(1,a,100,)", "(2,b,200,)"]);
}

#[test]
fn tables_that_do_not_fit_are_refused() {
    let open = |sink: Postgres<Record<Row>>| {
        let mut sink = sink;
        sink.open(&first("a"))?;
        epoch(&mut sink, 1, events([row(1, "a")])).map(|_| ())
    };
    let refused = |columns: &str| {
        let table = table();
        sql(&format!("CREATE TABLE {table} ({columns})"));
        let text = error(open(sink(&table)));
        assert!(rows(&table).is_empty() && text.contains(&format!("`{table}`")), "{text}");
        text
    };
    assert!(
        refused("id int, name text")
            .contains("no column `cents`, which the rows have; its columns are \"id\", \"name\"")
    );
    assert!(refused("id int, name text, cents int, more int NOT NULL").contains("`more` must have a value"));
    assert!(refused("id bytea, name text, cents int").contains("`id` is `bytea`, and the field is an integer"));
    assert!(refused("id int, name text, cents int GENERATED ALWAYS AS (1) STORED").contains("`cents` is generated"));
    let text = error(open(sink("no_such_table")));
    assert!(text.contains("no table `no_such_table` at tidemill@127.0.0.1") && text.contains("create_like"), "{text}");
    let table = table();
    sql(&format!("CREATE TABLE {table} {}", crate::COLUMNS));
    let text = error(open(sink(&table).rewind()));
    assert!(text.contains(&format!("ALTER TABLE \"public\".\"{table}\" ADD COLUMN tidemill_epoch bigint")), "{text}");
    let none = Row { id: 1, name: "a".into(), cents: None };
    let text = error(open(sink("no_such_table").create_like(&none).unwrap()));
    assert!(text.contains("`cents` has no value in the example row"), "{text}");
}

#[test]
fn a_bad_row_is_named_and_nothing_of_its_epoch_is_written() {
    let table = table();
    sql(&format!(
        "CREATE TABLE {table} (id int CHECK (id <> 77), name varchar(5) UNIQUE, cents smallint);
         CREATE TABLE {table}_ids (id int PRIMARY KEY);
         INSERT INTO {table}_ids SELECT generate_series(0, 999);
         ALTER TABLE {table} ADD FOREIGN KEY (id) REFERENCES {table}_ids DEFERRABLE INITIALLY DEFERRED"
    ));
    let good = |id: i32| Row { id, name: format!("n{id}"), cents: None };
    let refused = |bad: Row| {
        let mut sink = sink(&table).append();
        sink.open(&first("a")).unwrap();
        let mut all: Vec<Row> = (100..200).map(good).collect();
        all.insert(60, bad);
        let text = error(epoch(&mut sink, 1, events(all)));
        assert!(rows(&table).is_empty());
        text
    };
    let text = refused(Row { cents: Some(40_000), ..good(5) });
    assert!(
        text.contains("\"40000\" is out of range") && text.ends_with("the row is id=5, name=n5, cents=40000"),
        "{text}"
    );
    let text = refused(good(77));
    assert!(text.contains("check constraint") && text.contains("the row is id=77,"), "{text}");
    let text = refused(Row { name: "n120".into(), ..good(6) });
    assert!(text.contains("(name)=(n120) already exists") && text.contains("the row is id=6,"), "{text}");
    let text = refused(good(1000));
    assert!(text.contains("foreign key") && text.contains("the row is id=1000,"), "{text}");
    let text = refused(Row { name: "too long".into(), ..good(8) });
    assert!(text.contains("too long for type") && text.contains("the row is id=8,"), "{text}");
    let text = refused(Row { name: "a\0b".into(), ..good(9) });
    assert!(text.contains("NUL") && text.contains(r#"the row is {"id":9,"name":"a\u0000b","cents":null}"#), "{text}");
}
