//! The features of a whole data set at once: the plain computation that the streaming one is
//! tested against.

use std::collections::HashMap;

use crate::{
    features::{Features, LABEL_DELAY, WIDTHS},
    transaction::Transaction,
};

/// The features of `transactions`, which may be in any order; the answer is in the same one.
pub fn features(transactions: &[Transaction]) -> Vec<Features> {
    features_delayed(transactions, LABEL_DELAY)
}

/// As [`features`], with labels that become known `delay` seconds after their payment.
///
/// A terminal's window never reaches the payment itself nor those after it in the order of (sec,
/// customer, terminal, cents), whatever the delay; this matters only if it is 0.
pub fn features_delayed(transactions: &[Transaction], delay: u32) -> Vec<Features> {
    let mut order: Vec<usize> = (0..transactions.len()).collect();
    order.sort_unstable_by_key(|&place| transactions[place]);

    let mut rows: Vec<Features> = transactions.iter().map(bare).collect();
    for places in by_key(&order, transactions, |row| row.customer) {
        let series = Series::new(&places, transactions, |row| u64::from(row.cents));
        for (width, set) in WIDTHS.into_iter().zip([set_c1, set_c7, set_c30]) {
            series.windows(width, Reach::Current, |i, count, sum| {
                set(&mut rows[places[i]], count, sum);
            });
        }
    }
    for places in by_key(&order, transactions, |row| row.terminal) {
        let series = Series::new(&places, transactions, |row| u64::from(row.fraud));
        for (width, set) in WIDTHS.into_iter().zip([set_t1, set_t7, set_t30]) {
            series.windows(width, Reach::Before(delay), |i, count, sum| {
                set(&mut rows[places[i]], count, sum as u32);
            });
        }
    }
    rows
}

/// The payment's own fields, with empty windows.
fn bare(row: &Transaction) -> Features {
    let Transaction { sec, customer, terminal, cents, .. } = *row;
    Features { sec, customer, terminal, cents, ..Features::default() }
}

fn set_c1(row: &mut Features, count: u32, sum: u64) {
    (row.c_n1, row.c_s1) = (count, sum);
}

fn set_c7(row: &mut Features, count: u32, sum: u64) {
    (row.c_n7, row.c_s7) = (count, sum);
}

fn set_c30(row: &mut Features, count: u32, sum: u64) {
    (row.c_n30, row.c_s30) = (count, sum);
}

fn set_t1(row: &mut Features, count: u32, frauds: u32) {
    (row.t_n1, row.t_f1) = (count, frauds);
}

fn set_t7(row: &mut Features, count: u32, frauds: u32) {
    (row.t_n7, row.t_f7) = (count, frauds);
}

fn set_t30(row: &mut Features, count: u32, frauds: u32) {
    (row.t_n30, row.t_f30) = (count, frauds);
}

/// The places of each key's rows, keeping their `order`.
fn by_key(
    order: &[usize],
    transactions: &[Transaction],
    key: fn(&Transaction) -> u32,
) -> impl Iterator<Item = Vec<usize>> {
    let mut places: HashMap<u32, Vec<usize>> = HashMap::new();
    for &place in order {
        places.entry(key(&transactions[place])).or_default().push(place);
    }
    places.into_values()
}

/// Where a window over a [`Series`] ends.
#[derive(Clone, Copy)]
enum Reach {
    /// With the row it belongs to.
    Current,
    /// So many seconds before the row it belongs to, and before that row.
    Before(u32),
}

/// One key's rows in order: their times, and the running sum of a value of theirs.
struct Series {
    secs: Vec<u64>,
    /// `sums[i]` is the sum over the rows before row `i`.
    sums: Vec<u64>,
}

impl Series {
    fn new(places: &[usize], rows: &[Transaction], value: fn(&Transaction) -> u64) -> Self {
        let mut sums = vec![0; places.len() + 1];
        for (i, &place) in places.iter().enumerate() {
            sums[i + 1] = sums[i] + value(&rows[place]);
        }
        let secs = places.iter().map(|&place| u64::from(rows[place].sec)).collect();
        Self { secs, sums }
    }

    /// Calls `emit` with each row's index and the count and sum over its window of `width`.
    fn windows(&self, width: u32, reach: Reach, mut emit: impl FnMut(usize, u32, u64)) {
        let (mut start, mut end) = (0, 0);
        for (i, &now) in self.secs.iter().enumerate() {
            let lag = match reach {
                Reach::Current => {
                    end = i + 1;
                    0
                }
                Reach::Before(delay) => {
                    while end < i && self.secs[end] + u64::from(delay) <= now {
                        end += 1;
                    }
                    u64::from(delay)
                }
            };
            while start < end && self.secs[start] + lag + u64::from(width) <= now {
                start += 1;
            }
            emit(i, (end - start) as u32, self.sums[end] - self.sums[start]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transaction::DAY;

    /// One window as the documentation of [`Features`] words it, by looking at every row.
    fn window(rows: &[Transaction], now: &Transaction, delay: Option<u32>, width: u32) -> (u32, u64, u32) {
        let t = i64::from(now.sec);
        let end = t - i64::from(delay.unwrap_or(0));
        let inside = rows.iter().filter(|row| {
            let sec = i64::from(row.sec);
            let key = match delay {
                None => row.customer == now.customer,
                Some(_) => row.terminal == now.terminal,
            };
            let before = if delay.is_none() { *row <= now } else { *row < now };
            key && before && end - i64::from(width) < sec && sec <= end
        });
        inside.fold((0, 0, 0), |(count, cents, frauds), row| {
            (count + 1, cents + u64::from(row.cents), frauds + u32::from(row.fraud))
        })
    }

    fn by_definition(rows: &[Transaction], now: &Transaction, delay: u32) -> Features {
        let customer = |width| window(rows, now, None, width);
        let terminal = |width| window(rows, now, Some(delay), width);
        let [(c_n1, c_s1, _), (c_n7, c_s7, _), (c_n30, c_s30, _)] = WIDTHS.map(customer);
        let [(t_n1, _, t_f1), (t_n7, _, t_f7), (t_n30, _, t_f30)] = WIDTHS.map(terminal);
        Features { c_n1, c_s1, c_n7, c_s7, c_n30, c_s30, t_n1, t_f1, t_n7, t_f7, t_n30, t_f30, ..bare(now) }
    }

    prop_compose! {
        /// Few keys and times around the windows' edges, so that ties and edges are common.
        fn row()(
            day in 0..60u32,
            second in prop::sample::select(vec![0, 1, 2, DAY - 1]),
            customer in 0..3u32,
            terminal in 0..3u32,
            cents in 0..500u32,
            fraud: bool,
        ) -> Transaction {
            let sec = day * DAY + second;
            Transaction { sec, customer, terminal, cents, fraud, scenario: 0 }
        }
    }

    proptest! {
        #[test]
        fn equals_the_definition(
            rows in prop::collection::btree_set(row(), 0..80).prop_map(Vec::from_iter).prop_shuffle(),
            delay in prop::sample::select(vec![0, DAY, 3 * DAY, LABEL_DELAY]),
        ) {
            let expected: Vec<_> =
                rows.iter().map(|now| by_definition(&rows, now, delay)).collect();
            prop_assert_eq!(features_delayed(&rows, delay), expected);
        }
    }
}
