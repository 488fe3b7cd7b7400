//! The models of the graph, trained on what the graph itself makes of history.

use anyhow::Context;
use fraud::graph::Label;
use fraud::history::History;
use fraud::models::{self, Table, specs};
use fraud::transaction::{DAY, Transaction};
use recommend::graph::Rows;
use recommend::transformer::{Settings, train_on};
use std::path::Path;
use tidemill::differential_dataflow::consolidation::consolidate;
use tidemill::time::days;
use tidemill::{Config, Memory, Millis, Source, Timing, Update, execute};
use tidemill_recommend::{LastItems, Session, Touch};
use tidemill_shop::{Action, Clean, Cleaning, CountReasons, Ledger, Ledgers, Line, Reason, Rules};

use crate::payments::{LABEL_DELAY, payments};

/// What the networks are called in their folder.
pub const TASTE: &str = "shop";
/// The same for frauds.
pub const FRAUD: &str = "shop-fraud";

/// What a job made of history.
pub struct Past {
    /// The last items of each user, in order.
    pub histories: Vec<Vec<u32>>,
    /// How many items are not among them because their numbers are above 4,294,967,295, the greatest that a Transformer knows.
    pub left_out: usize,
    /// Payments of which it is known whether they were frauds, in order.
    pub payments: Vec<Transaction>,
    /// Lines that were dropped, by reason.
    pub dropped: Vec<(Reason, u64)>,
}

impl Past {
    /// Reads lines that have an end, and keeps the last `length` items of each user.
    ///
    /// # Errors
    ///
    /// What stops the job.
    pub fn of<S>(lines: S, rules: &Rules, keep: Millis, length: usize, config: Config) -> anyhow::Result<Self>
    where
        S: Source<Item = Line> + Clone + Send + Sync + 'static,
    {
        let (histories, labels, dropped) = (Rows::default(), Memory::new(), Rows::default());
        let (to_histories, to_labels, to_dropped, rules) =
            (histories.clone(), labels.clone(), dropped.clone(), rules.clone());
        execute(config, move |job| {
            let (bounds, rules) = (rules.clone(), rules.clone());
            let lines = job.source(
                "lines",
                lines.clone(),
                Timing::by(move |line: &Line| bounds.event_time(line)).disorder(tidemill::time::minutes(1)),
            )?;
            let (clean, dropped) = lines.clean("cleaning", rules)?;
            let events = clean.filter_map(|clean| if let Clean::Shopper(event) = clean { Some(event) } else { None });
            payments(&events, keep)?.verdicts.sink("labels", to_labels.clone())?;
            let Ledger { held, late, .. } = events.key_by(|event| event.user).ledger("what holds", keep)?;
            let reasons = dropped.map(|line| line.reason).union(late.map(|_| Reason::TooLate));
            reasons.count_reasons("dropped")?.sink("dropped out", to_dropped.clone())?;
            let touches = held.filter_map(|Update { row, diff }| match row.event.action {
                Action::View { item } | Action::Purchase { item, .. } => {
                    Some(Update { row: Touch { owner: row.event.user, time: row.time, seq: row.seq, item }, diff })
                }
                _ => None,
            });
            let histories = touches.key_by(|touch| touch.row.owner).maintain("histories", LastItems::new(length))?;
            histories.sink("histories out", to_histories.clone())
        })?
        .finished()?;
        let (mut kept, mut left_out) = (Vec::new(), 0);
        for Session { items, .. } in histories.take().into_keys() {
            let touched = items.len();
            let items: Vec<u32> = items.into_iter().filter_map(|item| u32::try_from(item).ok()).collect();
            left_out += touched - items.len();
            kept.push(items);
        }
        // At the end of the input all timers have come: what had not waited for so long is not known yet.
        // Those of users who were forgotten have been taken back.
        let mut labels: Vec<_> = labels.values().into_iter().map(|Update { row, diff }| (row, diff)).collect();
        consolidate(&mut labels);
        let times = |(label, count): (Label, isize)| std::iter::repeat_n(label, count.max(0) as usize);
        let mut labels: Vec<Label> = labels.into_iter().flat_map(times).collect();
        let last = labels.iter().map(|label| label.payment.time_ms()).max().unwrap_or(0) - days(LABEL_DELAY as i64);
        labels.retain(|label| label.payment.time_ms() <= last);
        let mut payments: Vec<Transaction> = labels.into_iter().map(|label| label.payment).collect();
        payments.sort_unstable();
        Ok(Past { histories: kept, left_out, payments, dropped: dropped.take().into_keys().collect() })
    }

    /// Trains the Transformer, and writes it to a folder.
    ///
    /// # Errors
    ///
    /// If nothing can be learnt from the histories, or nothing be written.
    pub fn train_taste(&self, settings: &Settings, folder: &Path) -> anyhow::Result<()> {
        train_on(TASTE, self.histories.clone(), settings, folder)
    }

    /// Trains the network that tells frauds, on the same windows that serve, and writes it to a folder. Gives how many of the
    /// payments were frauds; where none was, there is nothing to tell and no network, nor an older one of another history.
    ///
    /// # Errors
    ///
    /// What stops the job that makes the windows, or if nothing can be written.
    pub fn train_frauds(&self, folder: &Path, config: Config) -> anyhow::Result<usize> {
        let frauds = self.payments.iter().filter(|payment| payment.fraud).count();
        if frauds == 0 {
            let older = folder.join(format!("{FRAUD}.json"));
            if older.exists() {
                std::fs::remove_file(&older).with_context(|| format!("cannot remove {}", older.display()))?;
            }
            return Ok(0);
        }
        let history = History::of(self.payments.clone(), LABEL_DELAY, config)?;
        let table = Table::new(&history.payments, &history.features)?;
        let spec = specs().into_iter().find(|spec| spec.name == "mlp").context("there is no model `mlp`")?;
        let last = history.payments.last().map_or(0, |payment| payment.sec / DAY + 1);
        let network = models::train(&table, &spec, 0..last, 1)?;
        network.save(folder.join(FRAUD))?;
        Ok(frauds)
    }
}
