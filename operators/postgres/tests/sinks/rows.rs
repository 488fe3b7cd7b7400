//! Collections.

use crate::server::{rows, sql, table, url};
use crate::{COLUMNS, Row, epoch, error, first, restart, row, update};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tidemill::{Epoch, Sink, Update};
use tidemill_postgres::Postgres;

fn made() -> String {
    let table = table();
    sql(&format!("CREATE TABLE {table} {COLUMNS}"));
    table
}

fn sink(table: &str) -> Postgres<Update<Row>> {
    Postgres::rows(url(), table, ["id"]).unwrap()
}

/// What is true, by key, and how it changes.
type Model = BTreeMap<i32, Row>;

fn apply(model: &mut Model, updates: &[Update<Row>]) {
    for update in updates.iter().filter(|update| update.diff < 0) {
        model.remove(&update.row.id);
    }
    for update in updates.iter().filter(|update| update.diff > 0) {
        model.insert(update.row.id, update.row.clone());
    }
}

/// The model as the server would write it.
fn shown(model: &Model) -> Vec<String> {
    let cents = |row: &Row| row.cents.map(|cents| cents.to_string()).unwrap_or_default();
    let mut rows: Vec<_> = model.values().map(|row| format!("({},{},{})", row.id, row.name, cents(row))).collect();
    rows.sort();
    rows
}

fn all(model: &Model) -> Vec<Update<Row>> {
    model.values().cloned().map(|row| update(row, 1)).collect()
}

/// Epochs of updates: each key gets a new row, or none, or stays.
fn epochs() -> impl Strategy<Value = Vec<Vec<Update<Row>>>> {
    let wishes = proptest::collection::vec(proptest::collection::vec((0..12, proptest::option::of(0..4)), 0..9), 1..7);
    wishes.prop_map(|epochs| {
        let mut model = Model::new();
        let mut turn = |wishes: Vec<(i32, Option<i32>)>| {
            let mut updates = Vec::new();
            let wishes: BTreeMap<i32, Option<i32>> = wishes.into_iter().collect();
            for (id, name) in wishes {
                if let Some(old) = model.remove(&id) {
                    updates.push(update(old, -1));
                }
                if let Some(name) = name {
                    let new = row(id, &format!("n{name}"));
                    model.insert(id, new.clone());
                    updates.push(update(new, 1));
                }
            }
            // Retractions do not always come first.
            let half = updates.len() / 2;
            updates.rotate_left(half);
            updates
        };
        epochs.into_iter().map(&mut turn).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_epoch_equals_the_model_and_so_does_every_restart(
        epochs in epochs(), crash in 0..7usize, back in 0..4usize, exact in any::<bool>(), lineage in 0..2,
    ) {
        let table = made();
        let (mut model, mut checkpoints) = (Model::new(), vec![((0, Vec::new()), Model::new())]);
        let mut first_run = sink(&table);
        first_run.open(&first("a")).unwrap();
        for (i, updates) in epochs.iter().enumerate() {
            if i == crash {
                // Written and never committed.
                first_run.write(i as Epoch + 1, &mut updates.clone()).unwrap();
                break;
            }
            let saved = epoch(&mut first_run, i as Epoch + 1, updates.clone()).unwrap();
            apply(&mut model, updates);
            prop_assert_eq!(rows(&table), shown(&model));
            checkpoints.push((saved, model.clone()));
        }
        drop(first_run);

        // From an earlier checkpoint; if the epochs are not the same again, in another way from there on.
        let (checkpoint, mut model) = checkpoints[checkpoints.len() - 1 - back.min(checkpoints.len() - 1)].clone();
        let from = checkpoint.0 as usize;
        let start = restart(if exact || lineage == 0 { "a" } else { "b" }, checkpoint, exact);
        let mut second_run = sink(&table);
        second_run.open(&start).unwrap();
        second_run.restored(start.epoch, &mut all(&model)).unwrap();
        if !exact {
            prop_assert_eq!(rows(&table), shown(&model));
        }
        for (i, updates) in epochs.iter().enumerate().skip(from) {
            let updates = if exact { updates.clone() } else { all(&model).into_iter().map(|u| update(u.row, -1)).collect() };
            epoch(&mut second_run, i as Epoch + 1, updates.clone()).unwrap();
            apply(&mut model, &updates);
        }
        second_run.close().unwrap();
        prop_assert_eq!(rows(&table), shown(&model));
        sql(&format!("DROP TABLE {table}"));
    }
}

#[test]
fn a_row_is_written_by_its_key_and_never_by_its_old_value() {
    let table = made();
    sql(&format!("ALTER TABLE {table} ADD COLUMN note text"));
    let mut sink = sink(&table);
    sink.open(&first("a")).unwrap();
    epoch(&mut sink, 1, vec![update(row(1, "a"), 1), update(row(2, "b"), 1)]).unwrap();
    // Somebody changed them by hand, and keeps a column of their own.
    sql(&format!("UPDATE {table} SET name = 'x', note = 'mine'"));
    let replaced =
        vec![update(row(1, "new"), 1), update(row(1, "a"), -1), update(row(2, "b"), -1), update(row(2, "b"), 1)];
    epoch(&mut sink, 2, replaced).unwrap();
    assert_eq!(rows(&table), ["(1,new,100,mine)", "(2,x,200,mine)"], "an epoch without change writes nothing");
    epoch(&mut sink, 3, vec![update(row(1, "new"), -1), update(row(9, "never was"), -1)]).unwrap();
    assert_eq!(rows(&table), ["(2,x,200,mine)"]);
    // Several epochs in one transaction: the last one counts.
    sink.write(4, &mut vec![update(row(2, "c"), 1), update(row(3, "d"), 1)]).unwrap();
    sink.write(5, &mut vec![update(row(2, "c"), -1), update(row(3, "d"), -1), update(row(3, "e"), 1)]).unwrap();
    sink.commit(5).unwrap();
    assert_eq!(rows(&table), ["(3,e,,)"]);
}

#[test]
fn few_changes_and_many_are_the_same() {
    let odd = ["it's", "\\", "\\'; DROP TABLE x; --", "\\N", "tab\t", "line\nend\r", "", "E'x'", "ü", "$$"];
    let text = |id: i32| odd[id as usize % odd.len()];
    let write = |table: &str, size: usize| {
        let mut sink = sink(table);
        sink.open(&first("a")).unwrap();
        let mut number = 0;
        let mut all = |items: Vec<Update<Row>>| {
            for items in items.chunks(size) {
                number += 1;
                epoch(&mut sink, number, items.to_vec()).unwrap();
            }
        };
        all((0..300).map(|id| update(row(id, text(id)), 1)).collect());
        let replaced = |id| [update(row(id, text(id)), -1), update(row(id, text(id + 1)), 1)];
        all((0..200).flat_map(replaced).collect());
        all((100..250).map(|id| update(row(id, ""), -1)).collect());
    };
    let (few, many) = (made(), made());
    write(&few, 50);
    write(&many, 1000);
    assert_eq!(rows(&few).len(), 150);
    assert_eq!(rows(&few), rows(&many));
}

#[test]
fn all_columns_may_be_the_key() {
    let table = table();
    let example = Row { cents: Some(1), ..row(1, "a") };
    let mut sink = Postgres::rows(url(), &table, ["id", "name", "cents"]).unwrap().create_like(&example).unwrap();
    sink.open(&first("a")).unwrap();
    epoch(&mut sink, 1, vec![update(row(1, "a"), 1), update(row(1, "b"), 1)]).unwrap();
    epoch(&mut sink, 2, vec![update(row(1, "a"), -1), update(row(1, "c"), 1)]).unwrap();
    assert_eq!(rows(&table), ["(1,b,100)", "(1,c,100)"]);
    let text = error(epoch(&mut sink, 3, vec![update(Row { cents: None, ..row(1, "a") }, 1)]));
    assert!(text.contains("key column `cents` has no value"), "{text}");
}

#[test]
fn a_collection_with_two_rows_a_key_is_refused() {
    let table = made();
    let mut sink = sink(&table);
    sink.open(&first("a")).unwrap();
    let text = error(epoch(&mut sink, 1, vec![update(row(1, "a"), 1), update(row(1, "b"), 1)]));
    assert!(text.contains("two rows") && text.contains("1, a, 100") && text.contains("1, b, 100"), "{text}");
    let text = error(epoch(&mut sink, 1, vec![update(row(1, "a"), 2)]));
    assert!(text.contains("two rows"), "{text}");
}

#[test]
fn tables_whose_key_names_no_row_are_refused() {
    let table = table();
    sql(&format!("CREATE TABLE {table} (id int, name text, cents bigint)"));
    let text = error(sink(&table).open(&first("a")));
    assert!(text.contains(&format!("ALTER TABLE \"public\".\"{table}\" ADD PRIMARY KEY (\"id\")")), "{text}");
    sql(&format!("CREATE UNIQUE INDEX ON {table} (id) WHERE id > 5; CREATE UNIQUE INDEX ON {table} (id, name)"));
    assert!(error(sink(&table).open(&first("a"))).contains("no unique index"));
    let both = |keys: [&str; 2]| Postgres::<Update<Row>>::rows(url(), &table, keys).unwrap().open(&first("a"));
    both(["name", "id"]).unwrap();
    assert!(error(both(["id", "no"])).contains("no column `no`"));
    assert!(error(Postgres::<Update<Row>>::rows(url(), &table, [""; 0])).contains("name the key columns"));
}

#[test]
fn a_table_that_differs_is_made_equal_at_the_start() {
    let table = made();
    sql(&format!("INSERT INTO {table} VALUES (1, 'a', 100), (2, 'old', 7), (8, 'gone', 8)"));
    let text = error(sink(&table).open(&first("a")));
    assert!(text.contains("did not write") && text.contains("take_over()"), "{text}");
    assert_eq!(rows(&table).len(), 3);

    // A sink that is new to a job that goes on, on a table it is given.
    let start = restart("a", (5, Vec::new()), true);
    let mut taken = sink(&table).take_over();
    taken.open(&start).unwrap();
    assert!(error(taken.write(6, &mut vec![update(row(1, "a"), 1)])).contains("did not say"));
    drop(taken); // Crashed before it was equal: it is still to be done.
    let mut again = sink(&table);
    again.open(&start).unwrap();
    again.restored(5, &mut vec![update(row(1, "a"), 1), update(row(2, "b"), 1), update(row(3, "c"), 1)]).unwrap();
    let five = (5, again.save().unwrap());
    assert_eq!(rows(&table), ["(1,a,100)", "(2,b,200)", "(3,c,)"]);
    epoch(&mut again, 6, vec![update(row(1, "a"), -1)]).unwrap();

    // The database was restored from an older backup, where the mark is older too.
    sql(&format!(
        "DELETE FROM {table} WHERE id = 2; UPDATE tidemill_epochs SET epoch = 4 WHERE sink = 'public.{table}'"
    ));
    let mut back = sink(&table);
    back.open(&restart("a", five, true)).unwrap();
    back.restored(5, &mut vec![update(row(1, "a"), 1), update(row(2, "b"), 1)]).unwrap();
    assert_eq!(rows(&table), ["(1,a,100)", "(2,b,200)"]);

    // A new lineage begins with nothing, also if it never writes.
    let mut new = sink(&table);
    new.open(&first("b")).unwrap();
    new.close().unwrap();
    assert!(rows(&table).is_empty());
}

#[test]
fn a_bad_row_is_named_and_nothing_of_its_epoch_is_written() {
    let table = table();
    sql(&format!("CREATE TABLE {table} (id int PRIMARY KEY, name text UNIQUE, cents smallint)"));
    let mut sink = sink(&table);
    sink.open(&first("a")).unwrap();
    epoch(&mut sink, 1, vec![update(row(1, "one"), 1)]).unwrap();
    let others = |bad: Row| (2..199).map(|id| update(row(id, &id.to_string()), 1)).chain([update(bad, 1)]).collect();
    let text = error(epoch(&mut sink, 2, others(row(0, "one"))));
    assert!(
        text.contains("(name)=(one) already exists") && text.contains("the row is id=0, name=one, cents=\\N"),
        "{text}"
    );
    let mut sink = self::sink(&table);
    sink.open(&restart("a", (1, Vec::new()), true)).unwrap();
    let text = error(epoch(&mut sink, 2, others(row(500, "x"))));
    assert!(text.contains("\"50000\" is out of range") && text.contains("the row is id=500,"), "{text}");
    assert_eq!(rows(&table), ["(1,one,100)"]);
}
