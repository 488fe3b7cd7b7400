//! Where transactions come from: a file, or the generator.

use std::path::Path;

use tidemill::{Events, Job, Millis, Reject, Result, Stream, Timing};
use tidemill_files::{Line, Lines, ParseLine};

use crate::generate;
use crate::graph::Label;
use crate::transaction::Transaction;

/// Transactions to stream, read or generated; clones share them.
#[derive(Clone)]
pub enum Payments {
    /// A file in the canonical form of `fraud generate`.
    File(Lines<Canonical>),
    /// Payments in memory.
    InMemory(Events<Transaction>),
}

/// The transactions in `file`, or the benchmark's.
pub fn payments(file: Option<&Path>) -> Payments {
    match file {
        Some(file) => Payments::File(Lines::new(file, Canonical)),
        None => Payments::of(generate::transactions()),
    }
}

/// Reads `sec,customer,terminal,cents,fraud,scenario`.
#[derive(Clone, Copy, Debug)]
pub struct Canonical;

impl ParseLine for Canonical {
    type Item = Transaction;

    #[inline]
    fn parse(&mut self, line: &mut Line<'_>) -> std::result::Result<Transaction, Reject> {
        Ok(Transaction {
            sec: line.number()?,
            customer: line.number()?,
            terminal: line.number()?,
            cents: line.number()?,
            fraud: match line.number::<u8>()? {
                0 => false,
                1 => true,
                _ => return Err(line.reject("it is neither a fraud (1) nor none (0)")),
            },
            scenario: line.number()?,
        })
    }
}

impl Payments {
    /// These payments, in order of time.
    pub fn of(payments: Vec<Transaction>) -> Self {
        Payments::InMemory(Events::new(payments))
    }

    /// The payments as a stream, out of order by at most `disorder` ms.
    pub fn stream<'s>(&self, job: &Job<'s>, name: &str, disorder: Millis) -> Result<Stream<'s, Transaction>> {
        let timing = Timing::by(Transaction::time_ms).disorder(disorder);
        self.read(job, name, timing)
    }

    /// Their labels as a stream, out of order like them: each becomes known `delay` ms after its payment, and at least 1,
    /// for no payment knows its own.
    pub fn labels<'s>(&self, job: &Job<'s>, name: &str, delay: Millis, disorder: Millis) -> Result<Stream<'s, Label>> {
        let known_at = move |payment: &Transaction| payment.time_ms() + delay.max(1);
        let labels = self.read(job, name, Timing::by(known_at).disorder(disorder))?;
        Ok(labels.map(move |payment| Label { payment, known_at: known_at(&payment) }))
    }

    fn read<'s, F>(&self, job: &Job<'s>, name: &str, timing: Timing<Transaction, F>) -> Result<Stream<'s, Transaction>>
    where
        F: Fn(&Transaction) -> Millis + 'static,
    {
        match self {
            Payments::File(lines) => job.source(name, lines.clone(), timing),
            Payments::InMemory(events) => job.source(name, events.clone(), timing),
        }
    }
}
