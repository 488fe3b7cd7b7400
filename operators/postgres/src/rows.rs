//! The sink of a collection: a row of the table for each key, changed when the collection changes.

use crate::encode::Column;
use crate::error::{Error, shorten};
use crate::sink::Postgres;
use crate::table::{names, quote};
use crate::writer::Batch;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use tidemill::{Epoch, Sink, SinkError, Start, Update};

/// What becomes of a key's row: the line to write, or none to delete it.
pub(crate) type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Where lines go before they are brought into the table.
const STAGING: &str = "pg_temp.tidemill_staging";
/// The column there that says that the row is to be deleted.
const GONE: &str = "tidemill_gone";
/// So many changes go without it.
const FEW: usize = 128;

impl<T: Serialize + 'static> Postgres<Update<T>> {
    /// What `items`, all of one epoch, do to each key.
    fn changes(&mut self, epoch: Epoch, items: &mut Vec<Update<T>>) -> Result<Changes, Error> {
        let Some(first) = items.first() else { return Ok(Changes::new()) };
        let keys = self.writer.keys.len();
        let (table, encoder) = self.writer.encoder(&first.row)?;
        let mut net: HashMap<Vec<u8>, (usize, isize)> = HashMap::with_capacity(items.len());
        for Update { row, diff } in items.drain(..) {
            let mut line = Vec::new();
            let end =
                encoder.encode(&row, keys, &mut line).map_err(|misfit| Error::misfit(&table.name, &misfit, &row))?;
            net.entry(line).or_insert((end, 0)).1 += diff;
        }
        let mut changes = Changes::new();
        for (line, (end, diff)) in net {
            let there = changes.get(&line[..end]);
            if diff > 1 || diff == 1 && matches!(there, Some(Some(_))) {
                let other = there.and_then(Option::as_ref).unwrap_or(&line);
                let rows = [other, &line].map(|line| String::from_utf8_lossy(line).replace('\t', ", ")).join(" and ");
                return Err(Error::TwoRows { table: table.name.clone(), epoch, rows: shorten(rows) });
            }
            // A row that is replaced is retracted too, but it is the new one that counts.
            if diff == 1 {
                changes.insert(line[..end].to_vec(), Some(line));
            } else if diff < 0 {
                changes.entry(line[..end].to_vec()).or_insert(None);
            }
        }
        Ok(changes)
    }

    fn add(&mut self, epoch: Epoch, items: &mut Vec<Update<T>>) -> Result<(), Error> {
        self.settle()?;
        if epoch <= self.writer.opened()?.mark.epoch {
            items.clear(); // An earlier run has committed it.
            return Ok(());
        }
        let changes = self.changes(epoch, items)?;
        self.changes.extend(changes);
        Ok(())
    }

    fn flush(&mut self, epoch: Epoch) -> Result<(), Error> {
        self.settle()?;
        if self.changes.is_empty() {
            return Ok(());
        }
        let changes = std::mem::take(&mut self.changes);
        self.bring(&changes, epoch, false)
    }

    /// Before anything is written: a job without rows that were true at its beginning starts with an empty table.
    fn settle(&mut self) -> Result<(), Error> {
        let open = self.writer.opened()?;
        let (epoch, table) = (open.start.epoch, open.table.name.clone());
        match (open.reconcile, epoch) {
            (false, _) => Ok(()),
            (true, 0) => self.bring(&Changes::new(), 0, true),
            (true, _) => Err(Error::NotRestored { table, epoch }),
        }
    }

    /// Makes the changes; or, if they are `all` there is, makes the table equal to them.
    fn bring(&mut self, changes: &Changes, epoch: Epoch, all: bool) -> Result<(), Error> {
        let columns = self.writer.columns();
        let keys = self.writer.keys.clone();
        let table = self.writer.opened()?.table.sql.clone();
        if changes.is_empty() {
            let merge = &|_: &[u8]| format!("DELETE FROM {table}");
            return self.writer.commit(&Batch { lines: b"", columns: &[], stage: None, copy: None, merge }, epoch);
        }
        let mut lines = Vec::new();
        let nothing = "\t\\N".repeat(columns.len() - keys.len());
        for (key, line) in changes {
            match line {
                Some(line) => lines.extend_from_slice(line),
                None => {
                    lines.extend_from_slice(key);
                    lines.extend_from_slice(nothing.as_bytes());
                }
            }
            lines.extend_from_slice(if line.is_some() { b"\tf\n" } else { b"\tt\n" });
        }
        if !all && changes.len() <= FEW {
            let merge = &|lines: &[u8]| few(&table, &columns, &keys, lines);
            return self
                .writer
                .commit(&Batch { lines: &lines, columns: &columns, stage: None, copy: None, merge }, epoch);
        }
        let statements = merge(&table, &columns, &keys, changes, all);
        let all = every(&columns);
        let stage = format!(
            "CREATE TEMP TABLE tidemill_staging ON COMMIT DELETE ROWS AS
             SELECT {all}, false AS {GONE} FROM {table} WITH NO DATA"
        );
        let copy = Some(format!("COPY {STAGING} ({all}, {GONE}) FROM STDIN"));
        let merge = &|_: &[u8]| statements.clone();
        self.writer.commit(&Batch { lines: &lines, columns: &columns, stage: Some(stage), copy, merge }, epoch)
    }

    fn reconcile(&mut self, epoch: Epoch, rows: &mut Vec<Update<T>>) -> Result<(), Error> {
        if !self.writer.opened()?.reconcile {
            rows.clear();
            return Ok(());
        }
        let mut changes = self.changes(epoch, rows)?;
        changes.retain(|_, line| line.is_some());
        self.bring(&changes, epoch, true)
    }
}

/// The statements that bring what is staged into the table, or make it equal to `all` of that.
fn merge(table: &str, columns: &[Column], keys: &[String], changes: &Changes, all: bool) -> String {
    let same = keys.iter().map(|key| format!("t.{0} = s.{0}", quote(key))).collect::<Vec<_>>().join(" AND ");
    let mut sql = String::new();
    if all {
        sql += &format!("DELETE FROM {table} t WHERE NOT EXISTS (SELECT FROM {STAGING} s WHERE {same});");
    } else if changes.values().any(Option::is_none) {
        sql += &format!("DELETE FROM {table} t USING {STAGING} s WHERE s.{GONE} AND {same};");
    }
    if changes.values().all(Option::is_none) {
        return sql;
    }
    let every = every(columns);
    sql += &format!("INSERT INTO {table} AS t ({every}) SELECT {every} FROM {STAGING} WHERE NOT {GONE}");
    sql + &on_conflict(columns, keys, all)
}

/// The same for a few lines, as values: emptying the staging table costs a wait for the disk more than this.
fn few(table: &str, columns: &[Column], keys: &[String], lines: &[u8]) -> String {
    let (mut sql, mut values) = (String::new(), Vec::new());
    for line in String::from_utf8_lossy(lines).lines() {
        let mut cells: Vec<String> = line.split('\t').map(literal).collect();
        if cells.pop().as_deref() == Some("E't'") {
            let same = keys.iter().zip(&cells).map(|(key, cell)| format!("{} = {cell}", quote(key)));
            sql += &format!("DELETE FROM {table} WHERE {};", same.collect::<Vec<_>>().join(" AND "));
        } else {
            values.push(format!("({})", cells.join(", ")));
        }
    }
    if !values.is_empty() {
        sql += &format!("INSERT INTO {table} AS t ({}) VALUES {}", every(columns), values.join(", "));
        sql += &on_conflict(columns, keys, false);
    }
    sql
}

/// A cell of a line in SQL: text with escapes has those of `COPY`, and takes care of quotes.
fn literal(cell: &str) -> String {
    if cell == "\\N" { "NULL".to_owned() } else { format!("E'{}'", cell.replace('\'', "''")) }
}

fn every(columns: &[Column]) -> String {
    names(&columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>())
}

/// What is done where the key is there already; where a row may be the same, only if it differs.
fn on_conflict(columns: &[Column], keys: &[String], may_be_same: bool) -> String {
    let rest: Vec<String> = columns[keys.len()..].iter().map(|column| quote(&column.name)).collect();
    let conflict = format!(" ON CONFLICT ({})", names(keys));
    if rest.is_empty() {
        return conflict + " DO NOTHING";
    }
    let set = rest.iter().map(|name| format!("{name} = excluded.{name}")).collect::<Vec<_>>().join(", ");
    let mut sql = format!("{conflict} DO UPDATE SET {set}");
    if may_be_same {
        // By text, since not every type can be compared.
        let differs = rest.iter().map(|name| format!("t.{name}::text IS DISTINCT FROM excluded.{name}::text"));
        sql += &format!(" WHERE {}", differs.collect::<Vec<_>>().join(" OR "));
    }
    sql
}

impl<T: Serialize + 'static> Sink for Postgres<Update<T>> {
    type Item = Update<T>;

    fn open(&mut self, start: &Start) -> Result<(), SinkError> {
        Ok(self.writer.open(start)?)
    }

    fn restored(&mut self, epoch: Epoch, rows: &mut Vec<Update<T>>) -> Result<(), SinkError> {
        Ok(self.reconcile(epoch, rows)?)
    }

    fn write(&mut self, epoch: Epoch, items: &mut Vec<Update<T>>) -> Result<(), SinkError> {
        Ok(self.add(epoch, items)?)
    }

    fn commit(&mut self, epoch: Epoch) -> Result<(), SinkError> {
        Ok(self.flush(epoch)?)
    }

    fn save(&mut self) -> Result<Vec<u8>, SinkError> {
        self.settle()?;
        Ok(self.writer.save()?)
    }

    fn close(&mut self) -> Result<(), SinkError> {
        if self.writer.is_open().is_some() {
            self.settle()?;
        }
        self.writer.link.close();
        Ok(())
    }
}
