//! The sink of a stream: rows are appended.

use crate::encode::Column;
use crate::error::Error;
use crate::sink::Postgres;
use crate::table::{EPOCH, names};
use crate::writer::{Batch, Restart};
use serde::Serialize;
use std::io::Write;
use tidemill::{Epoch, Record, Sink, SinkError, Start};

impl<T: Serialize + 'static> Postgres<Record<T>> {
    fn add(&mut self, epoch: Epoch, items: &mut Vec<Record<T>>) -> Result<(), Error> {
        let Some(first) = items.first() else { return Ok(()) };
        if epoch <= self.writer.opened()?.mark.epoch {
            items.clear(); // An earlier run has committed it.
            return Ok(());
        }
        let epochs = self.writer.restart == Restart::Rewind;
        let (table, encoder) = self.writer.encoder(&first.value)?;
        for Record { value, .. } in items.drain(..) {
            encoder.encode(&value, 0, &mut self.lines).map_err(|misfit| Error::misfit(&table.name, &misfit, &value))?;
            if epochs {
                let _ = write!(self.lines, "\t{epoch}"); // Writing to memory does not fail.
            }
            self.lines.push(b'\n');
        }
        Ok(())
    }

    fn flush(&mut self, epoch: Epoch) -> Result<(), Error> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let columns = self.writer.columns();
        let mut named: Vec<String> = columns.iter().map(|Column { name, .. }| name.clone()).collect();
        if self.writer.restart == Restart::Rewind {
            named.push(EPOCH.to_owned());
        }
        let table = &self.writer.opened()?.table.sql;
        let copy = Some(format!("COPY {table} ({}) FROM STDIN", names(&named)));
        let batch = Batch { lines: &self.lines, columns: &columns, stage: None, copy, merge: &|_| String::new() };
        self.writer.commit(&batch, epoch)?;
        self.lines.clear();
        Ok(())
    }
}

impl<T: Serialize + 'static> Sink for Postgres<Record<T>> {
    type Item = Record<T>;

    fn open(&mut self, start: &Start) -> Result<(), SinkError> {
        Ok(self.writer.open(start)?)
    }

    fn write(&mut self, epoch: Epoch, items: &mut Vec<Record<T>>) -> Result<(), SinkError> {
        Ok(self.add(epoch, items)?)
    }

    fn commit(&mut self, epoch: Epoch) -> Result<(), SinkError> {
        Ok(self.flush(epoch)?)
    }

    fn save(&mut self) -> Result<Vec<u8>, SinkError> {
        Ok(self.writer.save()?)
    }

    fn close(&mut self) -> Result<(), SinkError> {
        self.writer.link.close();
        Ok(())
    }
}
