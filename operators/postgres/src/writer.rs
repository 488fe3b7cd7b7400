//! Opens a table, writes lines to it with its mark in one transaction, and finds the row that the table refuses.

use crate::encode::{Column, Encoder};
use crate::error::{Error, shorten};
use crate::link::{Link, Session};
use crate::mark::{self, Mark, Stand};
use crate::table::{EPOCH, Field, Table};
use postgres::Transaction;
use serde::Serialize;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use tidemill::{Epoch, Start};

/// What becomes of rows that an earlier run has committed and this one forms otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    Refuse,
    Rewind,
    Append,
}

/// What is written where.
pub(crate) struct Writer {
    pub link: Link,
    pub name: String,
    /// The key columns of a collection; none for a stream.
    pub keys: Vec<String>,
    pub restart: Restart,
    pub take_over: bool,
    /// The fields of the example row, where the table may be created.
    pub example: Option<Vec<Field>>,
    pub times: Vec<String>,
    /// Tells this writer from all others.
    id: String,
    open: Option<Open>,
}

/// The table, once it was looked at.
pub(crate) struct Open {
    pub table: Table,
    pub start: Start,
    /// As the database has it.
    pub mark: Mark,
    /// Whether the table is yet to be made equal to the rows that are true at the start.
    pub reconcile: bool,
    /// Known from the first row on.
    encoder: Option<Encoder>,
}

/// Lines, and the statements around them.
pub(crate) struct Batch<'a> {
    pub lines: &'a [u8],
    pub columns: &'a [Column],
    /// Makes the staging table, if there is one.
    pub stage: Option<String>,
    /// Copies lines, where they are not in the statements.
    pub copy: Option<String>,
    /// The statements for lines: brings what is staged into the table.
    pub merge: &'a dyn Fn(&[u8]) -> String,
}

impl Writer {
    pub fn new(url: &str, name: &str, keys: Vec<String>) -> Result<Self, Error> {
        Ok(Writer {
            link: Link::new(url)?,
            name: name.to_owned(),
            keys,
            restart: Restart::Refuse,
            take_over: false,
            example: None,
            times: Vec::new(),
            id: random(),
            open: None,
        })
    }

    /// Finds or creates the table, and decides what is to be done about what it holds.
    pub fn open(&mut self, start: &Start) -> Result<(), Error> {
        let saved = start.saved.as_deref().filter(|saved| !saved.is_empty());
        let saved: Option<Mark> = saved
            .map(serde_json::from_slice)
            .transpose()
            .map_err(|error| Error::Saved { table: self.name.clone(), reason: error.to_string() })?;
        let (name, keys, id) = (&self.name, &self.keys, &self.id);
        let (restart, take_over) = (self.restart, self.take_over);
        let server = self.link.server.clone();
        let epochs = restart == Restart::Rewind;
        let create = self.example.as_ref().map(|fields| Field::create(fields, name, keys, &self.times, epochs));
        let create = create.transpose()?;

        let open = self.link.run(|session| {
            let mut tx = session.client.transaction()?;
            // Two sinks of a job may make the table of marks at once.
            tx.execute("SELECT pg_advisory_xact_lock(hashtext('tidemill'))", &[])?;
            let mut table = Table::find(&mut tx, name)?;
            if let (None, Some(create)) = (&table, &create) {
                tx.batch_execute(create)?;
                table = Table::find(&mut tx, name)?;
            }
            let Some(table) = table else {
                return Err(Error::NoTable { table: name.clone(), server: server.clone() });
            };
            table.check(&mut tx, keys, epochs)?;
            mark::create(&mut tx, &table)?;
            let there = mark::lock(&mut tx, &table)?.map(|(mark, _)| mark);
            let stand = Stand::of(start, saved.as_ref(), there.as_ref());
            let written = there.as_ref().map_or(0, |mark| mark.epoch);
            let (mark, reconcile) = if keys.is_empty() {
                let epoch = settle(&mut tx, &table, start, stand, written, restart)?;
                (Mark { lineage: start.lineage.clone(), epoch }, false)
            } else {
                let empty = table.is_empty(&mut tx)?;
                if there.is_none() && !empty && !take_over {
                    return Err(Error::NotOurs { table: name.clone() });
                }
                match stand {
                    Stand::Even => (Mark { lineage: start.lineage.clone(), epoch: written }, false),
                    Stand::Fresh if start.epoch == 0 && empty => {
                        (Mark { lineage: start.lineage.clone(), epoch: 0 }, false)
                    }
                    // Of no lineage until it was done, so that a crash before that does not forget it.
                    _ => (Mark { lineage: String::new(), epoch: written }, true),
                }
            };
            mark::set(&mut tx, &table, &mark, id)?;
            tx.commit()?;
            Ok(Open { table, start: start.clone(), mark, reconcile, encoder: None })
        })?;
        self.open = Some(open);
        Ok(())
    }

    /// The open table. An engine that does not say where its job begins starts a lineage.
    pub fn opened(&mut self) -> Result<&mut Open, Error> {
        if self.open.is_none() {
            self.open(&Start { lineage: random(), checkpoints: true, epoch: 0, exact_through: 0, saved: None })?;
        }
        self.is_open().ok_or(Error::Address)
    }

    /// The table, if it is open.
    pub fn is_open(&mut self) -> Option<&mut Open> {
        self.open.as_mut()
    }

    /// Writes the lines and the mark of `epoch`, all or nothing, once.
    pub fn commit(&mut self, batch: &Batch<'_>, epoch: Epoch) -> Result<(), Error> {
        let id = self.id.clone();
        let Open { table, start, .. } = &*self.opened()?;
        let (table, mark) = (table.clone(), Mark { lineage: start.lineage.clone(), epoch });
        let done = self.link.run(|session| {
            batch.stage(session)?;
            let mut tx = session.client.transaction()?;
            match mark::lock(&mut tx, &table)? {
                Some((there, writer)) if writer == id => {
                    if there == mark {
                        return Ok(()); // It had come through when the connection was lost.
                    }
                }
                _ => return Err(Error::Fenced { table: table.name.clone() }),
            }
            batch.apply(&mut tx, batch.lines)?;
            mark::set(&mut tx, &table, &mark, &id)?;
            Ok(tx.commit()?)
        });
        match done {
            Err(error) if error.blames_rows() => return Err(self.blame(batch, &table, error)),
            done => done?,
        }
        let open = self.opened()?;
        open.mark = mark;
        open.reconcile = false;
        Ok(())
    }

    /// Finds the first row that makes `batch` fail: the last of the shortest beginning that does.
    fn blame(&mut self, batch: &Batch<'_>, table: &Table, mut error: Error) -> Error {
        let ends: Vec<usize> = memchr::memchr_iter(b'\n', batch.lines).map(|end| end + 1).collect();
        let (mut good, mut bad) = (0, ends.len());
        while good + 1 < bad {
            let middle = good.midpoint(bad);
            let tried = self.link.run(|session| {
                batch.stage(session)?;
                let mut tx = session.client.transaction()?;
                batch.apply(&mut tx, &batch.lines[..ends[middle - 1]])?;
                Ok(tx.batch_execute("SET CONSTRAINTS ALL IMMEDIATE")?)
            });
            match tried {
                Ok(()) => good = middle,
                Err(found) if found.blames_rows() => (bad, error) = (middle, found),
                Err(_) => return error,
            }
        }
        let Error::Server(reason) = &error else { return error };
        let start = if good == 0 { 0 } else { ends[good - 1] };
        let row = batch.lines.get(start..).unwrap_or_default();
        let row = row.split(|byte| *byte == b'\n').next().unwrap_or_default();
        Error::Row { table: table.name.clone(), reason: crate::error::words(reason), row: batch.show(row) }
    }

    /// What [`Writer::open`] must know to go on after what was committed last.
    pub fn save(&mut self) -> Result<Vec<u8>, Error> {
        let mark = &self.opened()?.mark;
        serde_json::to_vec(mark).map_err(|error| Error::Saved { table: self.name.clone(), reason: error.to_string() })
    }

    /// The open table and what encodes rows for it, whose columns are found by the first `row`.
    pub fn encoder<T: Serialize>(&mut self, row: &T) -> Result<(&Table, &mut Encoder), Error> {
        self.opened()?;
        let Writer { open: Some(open), keys, .. } = self else { return Err(Error::Address) };
        let encoder = match &mut open.encoder {
            Some(encoder) => encoder,
            none => none.insert(Encoder::new(open.table.columns_for(row, keys)?)),
        };
        Ok((&open.table, encoder))
    }

    /// The columns that are written, where a row has told them.
    pub fn columns(&self) -> Vec<Column> {
        let encoder = self.open.as_ref().and_then(|open| open.encoder.as_ref());
        encoder.map(|encoder| encoder.columns().to_vec()).unwrap_or_default()
    }
}

/// What is done about a stream's table: gives the epoch that it is written through afterwards.
fn settle(
    tx: &mut Transaction<'_>,
    table: &Table,
    start: &Start,
    stand: Stand,
    written: Epoch,
    restart: Restart,
) -> Result<Epoch, Error> {
    let (name, marks) = (table.name.clone(), table.marks.clone());
    let error = match stand {
        Stand::Fresh => return Ok(start.epoch),
        Stand::Even => return Ok(written),
        Stand::Ahead(has) => Error::Ahead { table: name, marks, has, start: start.epoch },
        Stand::Foreign => Error::Foreign { table: name, marks },
        Stand::Lost(wants) => Error::Lost { table: name, wants },
    };
    match (restart, stand) {
        (Restart::Append, _) => {}
        (Restart::Rewind, Stand::Ahead(_) | Stand::Foreign) => {
            let keep = if stand == Stand::Foreign { 0 } else { start.epoch };
            let sql = format!("DELETE FROM {} WHERE {EPOCH} > $1", table.sql);
            let rows = tx.execute(&sql, &[&keep.cast_signed()])?;
            tracing::info!(table = table.name, rows, "rewound to epoch {keep}");
        }
        _ => return Err(error),
    }
    Ok(start.epoch)
}

impl Batch<'_> {
    fn stage(&self, session: &mut Session) -> Result<(), Error> {
        if let Some(stage) = self.stage.as_ref().filter(|_| !session.staged) {
            session.client.batch_execute(stage)?;
            session.staged = true;
        }
        Ok(())
    }

    fn apply(&self, tx: &mut Transaction<'_>, lines: &[u8]) -> Result<(), Error> {
        if let Some(copy) = &self.copy {
            let mut copy = tx.copy_in(copy)?;
            copy.write_all(lines).map_err(lost)?;
            copy.finish()?;
        }
        let merge = (self.merge)(lines);
        if !merge.is_empty() {
            tx.batch_execute(&merge)?;
        }
        Ok(())
    }

    /// A line in words.
    fn show(&self, line: &[u8]) -> String {
        let line = String::from_utf8_lossy(line);
        let cells = self.columns.iter().zip(line.split('\t'));
        shorten(cells.map(|(column, cell)| format!("{}={cell}", column.name)).collect::<Vec<_>>().join(", "))
    }
}

/// The server's error, which the client wraps.
fn lost(error: io::Error) -> Error {
    let text = error.to_string();
    match error.into_inner().map(|inner| inner.downcast::<postgres::Error>()) {
        Some(Ok(error)) => Error::Server(*error),
        _ => Error::Refused { server: "the connection".to_owned(), reason: text },
    }
}

/// A name that nothing else has.
fn random() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}-{}", half(), half(), std::process::id())
}
