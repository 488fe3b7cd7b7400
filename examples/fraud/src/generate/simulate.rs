//! The simulation of the handbook's chapter 3, "Transaction data simulator": payments first, then
//! three fraud scenarios over them.

use super::{
    numpy::RandomState,
    profiles::{Customer, customers, terminals},
    python::Random,
};
use crate::transaction::{DAY, DAYS, Transaction};

/// Scenario 1: every payment of more cents than this is fraudulent.
const LARGE: u32 = 22_000;
/// Scenario 2: so many terminals are taken over on each day ...
const TAKEN_TERMINALS: usize = 2;
/// ... and for so many days.
const TAKEN_TERMINAL_DAYS: u32 = 28;
/// Scenario 3: so many customers' card numbers leak on each day ...
const LEAKED_CUSTOMERS: usize = 3;
/// ... for so many days ...
const LEAKED_CUSTOMER_DAYS: u32 = 14;
/// ... in which one of so many payments is the thief's ...
const LEAKED_SHARE: usize = 3;
/// ... and its amount is multiplied by this.
const LEAKED_FACTOR: u32 = 5;

/// Simulates the benchmark's 1,754,155 transactions, in canonical order.
///
/// The scenarios run one after the other, a later one's label replacing an earlier one's:
///
/// 1. Payments of more than 220 units are fraudulent.
/// 2. Each day two terminals are taken over; for 28 days all their payments are fraudulent.
/// 3. Each day three customers' card numbers leak; of their payments of the next 14 days a third
///    gets its amount multiplied by five and is fraudulent.
pub fn transactions() -> Vec<Transaction> {
    let (customers, terminals) = (customers(), terminals());
    let mut rows = Vec::with_capacity(1_800_000);
    for (number, customer) in (0..).zip(&customers) {
        pay(number, customer, &customer.reachable(&terminals), &mut rows);
    }
    // Stable: payments of one second keep the order they were simulated in.
    rows.sort_by_key(|row| row.sec);
    for row in &mut rows {
        if row.cents > LARGE {
            mark(row, 1);
        }
    }
    take_over_terminals(&mut rows, terminals.len() as u32);
    leak_cards(&mut rows, customers.len() as u32);
    rows.sort_unstable();
    rows
}

/// Appends one customer's payments, day by day.
fn pay(number: u32, customer: &Customer, terminals: &[u32], rows: &mut Vec<Transaction>) {
    let mut draws = RandomState::new(number);
    let mut places = Random::new(number);
    for day in 0..DAYS {
        for _ in 0..draws.poisson(customer.rate) {
            // Around noon; a time on another day cancels the payment.
            let time = draws.normal(f64::from(DAY / 2), 20_000.0).trunc();
            if time <= 0.0 || time >= f64::from(DAY) {
                continue;
            }
            let mut amount = draws.normal(customer.mean, customer.deviation());
            if amount < 0.0 {
                amount = draws.uniform(0.0, 2.0 * customer.mean);
            }
            rows.push(Transaction {
                sec: day * DAY + time as u32,
                customer: number,
                terminal: places.choice(terminals),
                cents: (amount * 100.0).round_ties_even() as u32,
                fraud: false,
                scenario: 0,
            });
        }
    }
}

/// Scenario 2, over rows in time order.
fn take_over_terminals(rows: &mut [Transaction], terminals: u32) {
    let by_terminal = places_by(rows, terminals, |row| row.terminal);
    for day in 0..DAYS - 1 {
        for terminal in taken_terminals(day, terminals) {
            let places = &by_terminal[terminal as usize];
            for &place in within(places, rows, day, TAKEN_TERMINAL_DAYS) {
                mark(&mut rows[place], 2);
            }
        }
    }
}

/// Scenario 3, over rows in time order.
fn leak_cards(rows: &mut [Transaction], customers: u32) {
    let by_customer = places_by(rows, customers, |row| row.customer);
    for day in 0..DAYS - 1 {
        let mut candidates = Vec::new();
        for customer in leaked_customers(day, customers) {
            let places = &by_customer[customer as usize];
            candidates.extend_from_slice(within(places, rows, day, LEAKED_CUSTOMER_DAYS));
        }
        candidates.sort_unstable();
        for place in Random::new(day).sample(&candidates, candidates.len() / LEAKED_SHARE) {
            rows[place].cents *= LEAKED_FACTOR;
            mark(&mut rows[place], 3);
        }
    }
}

/// The terminals that are taken over on `day`.
fn taken_terminals(day: u32, terminals: u32) -> Vec<u32> {
    RandomState::new(day).choice(terminals, TAKEN_TERMINALS)
}

/// The customers whose card numbers leak on `day`.
fn leaked_customers(day: u32, customers: u32) -> Vec<u32> {
    RandomState::new(day).choice(customers, LEAKED_CUSTOMERS)
}

fn mark(row: &mut Transaction, scenario: u8) {
    row.fraud = true;
    row.scenario = scenario;
}

/// The places in `rows` of each key's rows, ascending.
fn places_by(rows: &[Transaction], keys: u32, key: fn(&Transaction) -> u32) -> Vec<Vec<usize>> {
    let mut places = vec![Vec::new(); keys as usize];
    for (place, row) in rows.iter().enumerate() {
        places[key(row) as usize].push(place);
    }
    places
}

/// Those of `places` whose rows fall on the `days` days from `day` on; `places` are in time order.
fn within<'a>(places: &'a [usize], rows: &[Transaction], day: u32, days: u32) -> &'a [usize] {
    let start = places.partition_point(|&place| rows[place].day() < day);
    let end = places.partition_point(|&place| rows[place].day() < day + days);
    &places[start..end]
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::{generate::BENCHMARK, transaction::write_csv};

    #[test]
    fn draws_of_the_first_day() {
        assert_eq!(taken_terminals(0, 10_000), [9394, 898]);
        assert_eq!(leaked_customers(0, 5_000), [398, 3833, 4836]);
    }

    #[test]
    fn first_rows() {
        let mut text = Vec::new();
        write_csv(&BENCHMARK[..3], &mut text).unwrap();
        assert_eq!(text, b"31,596,3156,5716,0,0\n130,4961,3412,8151,0,0\n476,2,1365,14600,0,0\n");
    }

    #[test]
    fn totals() {
        assert_eq!(BENCHMARK.len(), 1_754_155);
        assert_eq!(BENCHMARK.iter().filter(|row| row.fraud).count(), 14_681);
        let labelled = |scenario| BENCHMARK.iter().filter(|row| row.scenario == scenario).count();
        assert_eq!([1, 2, 3].map(labelled), [973, 9_077, 4_631]);
        assert_eq!(BENCHMARK.iter().map(|row| u64::from(row.cents)).sum::<u64>(), 9_407_937_008);
    }

    /// The hash of the canonical CSV of the handbook's published data files.
    #[test]
    fn every_bit() {
        let mut hash = Sha256::new();
        write_csv(&BENCHMARK, &mut hash).unwrap();
        let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, "3b14a0dbc8a3a7fdccc2e5e528df29a5bb9c1422231faf42a7a700c53e2c6c73");
    }
}
