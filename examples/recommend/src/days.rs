//! A year of purchases with its cancellations, compared with a recompute at the end of each day.

use crate::data::online_retail::{CAP, Day};
use crate::graph::KEEP;
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use tidemill::time::days;
use tidemill::{Config, Epoch, Events, Millis, Result, Sink, SinkError, Stream, Timing, Update, execute};
use tidemill_recommend::{ItemRow, LastItems, Session, Touch, WithItems};
use tidemill_shop::{Action, Held, Ledgers, ShopEvent};

/// What is kept true of baskets and of customers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Row {
    /// What goes together.
    Item(ItemRow<u64>),
    /// What a customer bought last.
    Customer(Session<u64, u64>),
}

/// A customer's last purchases that are kept.
const LAST: usize = 20;

/// What became of the days.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Compared {
    /// Days.
    pub days: usize,
    /// Lines that cancel something.
    pub cancellations: usize,
    /// Rows of the recomputes, all days together.
    pub rows: usize,
    /// Rows that only the graph had, or only the recompute.
    pub rows_that_differ: usize,
}

/// Replays the days, each as an epoch, and compares.
pub fn compare(days: &[Day], workers: usize) -> Result<Compared> {
    let changes = replay(days, workers)?;
    let mut compared = Compared { days: days.len(), ..Compared::default() };
    let mut rows: BTreeSet<Row> = BTreeSet::new();
    let mut changes = changes.into_iter();
    let mut shop = Shop::default();
    for day in days {
        for Update { row, diff } in changes.next().unwrap_or_default() {
            if diff > 0 {
                rows.insert(row)
            } else {
                rows.remove(&row)
            };
        }
        for (_, event) in &day.lines {
            compared.cancellations += usize::from(matches!(event.action, Action::Cancellation { .. }));
            shop.happens(day.time, *event);
        }
        let expected = shop.rows();
        compared.rows += expected.len();
        compared.rows_that_differ += rows.symmetric_difference(&expected).count();
    }
    Ok(compared)
}

/// The changes of each day.
fn replay(days: &[Day], workers: usize) -> Result<Vec<Vec<Update<Row>>>> {
    let (input, changes) = (Events::new(days.to_vec()), ByEpoch::default());
    let to_changes = changes.clone();
    let config = Config { epoch_records: 1, ..Config::workers(workers) };
    execute(config, move |job| {
        let days = job.source("days", input.clone(), Timing::by(|day: &Day| day.time))?;
        let lines = days.flat_map(|day| day.lines);
        let events = lines.map(|(_, event)| event);
        let held = events.key_by(|event| event.user).ledger("what holds", FOR_EVER)?.held;
        let baskets = touches(held.clone(), |order, _| order).key_by(|touch| touch.row.owner);
        let items = baskets.companions("what goes together", CAP, KEEP)?.map(Row::Item);
        let customers = touches(held, |_, user| user).key_by(|touch| touch.row.owner);
        let customers = customers.maintain("customers", LastItems::new(LAST))?.map(Row::Customer);
        items.union(customers).sink("rows", to_changes.clone())
    })?;
    Ok(changes.take(days.len()))
}

/// Longer than the data goes.
const FOR_EVER: i64 = days(36_500);

/// Purchases that hold, as touches of what `owner` makes of the order and the user.
fn touches<'s>(
    held: Stream<'s, Update<Held>>,
    owner: impl Fn(u64, u64) -> u64 + 'static,
) -> Stream<'s, Update<Touch<u64, u64>>> {
    held.flat_map(move |Update { row: Held { time, seq, event }, diff }| match event.action {
        Action::Purchase { order, item, .. } => {
            Some(Update { row: Touch { owner: owner(order, event.user), time, seq, item }, diff })
        }
        _ => None,
    })
}

/// Updates by the epoch they came in.
#[derive(Clone, Default)]
struct ByEpoch(Arc<Mutex<BTreeMap<Epoch, Vec<Update<Row>>>>>);

impl ByEpoch {
    /// Those of the first so many epochs.
    fn take(&self, epochs: usize) -> Vec<Vec<Update<Row>>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (1..=epochs as Epoch).map(|epoch| all.remove(&epoch).unwrap_or_default()).collect()
    }
}

impl Sink for ByEpoch {
    type Item = Update<Row>;

    fn write(&mut self, epoch: Epoch, updates: &mut Vec<Update<Row>>) -> std::result::Result<(), SinkError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(epoch).or_default().append(updates);
        Ok(())
    }
}

/// The shop by plain loops.
#[derive(Default)]
struct Shop {
    /// In order of time.
    lines: Vec<Bought>,
    of: FxHashMap<(u64, u64), Vec<usize>>,
}

struct Bought {
    day: Millis,
    user: u64,
    order: u64,
    item: u64,
    /// How many have not been cancelled.
    left: u32,
}

impl Shop {
    fn happens(&mut self, day: Millis, event: ShopEvent) {
        match event.action {
            Action::Purchase { order, item, quantity, .. } => {
                self.of.entry((event.user, item)).or_default().push(self.lines.len());
                self.lines.push(Bought { day, user: event.user, order, item, left: quantity });
            }
            Action::Cancellation { item, mut quantity, .. } => {
                for line in self.of.get(&(event.user, item)).into_iter().flatten().rev() {
                    let taken = quantity.min(self.lines[*line].left);
                    self.lines[*line].left -= taken;
                    quantity -= taken;
                }
            }
            _ => {}
        }
    }

    /// What is true of the lines that are left.
    fn rows(&self) -> BTreeSet<Row> {
        let mut baskets: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let mut customers: BTreeMap<u64, (Millis, Vec<u64>)> = BTreeMap::new();
        for Bought { day, user, order, item, .. } in self.lines.iter().filter(|line| line.left > 0) {
            let basket = baskets.entry(*order).or_default();
            if basket.len() < CAP && !basket.contains(item) {
                basket.push(*item);
            }
            let (time, items) = customers.entry(*user).or_default();
            *time = *day;
            items.push(*item);
        }
        let mut both: FxHashMap<u64, FxHashMap<u64, i64>> = FxHashMap::default();
        for basket in baskets.values() {
            for one in basket {
                let with = both.entry(*one).or_default();
                basket.iter().for_each(|other| *with.entry(*other).or_default() += 1);
            }
        }
        let last = |items: Vec<u64>| items[items.len().saturating_sub(LAST)..].to_vec();
        let customer = |(session, (time, items))| Row::Customer(Session { session, time, items: last(items) });
        let mut rows: BTreeSet<Row> = customers.into_iter().map(customer).collect();
        for (item, with) in both {
            rows.insert(Row::Item(ItemRow::Counted { item, count: with[&item] }));
            let mut with: Vec<(Reverse<i64>, u64)> = with
                .into_iter()
                .filter(|(other, _)| *other != item)
                .map(|(other, count)| (Reverse(count), other))
                .collect();
            with.sort_unstable();
            let kept = with.into_iter().take(KEEP);
            rows.extend(kept.map(|(Reverse(weight), to)| Row::Item(ItemRow::Linked { from: item, to, weight })));
        }
        rows
    }
}
