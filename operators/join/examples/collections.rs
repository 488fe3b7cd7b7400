//! Differential dataflow's own joins, on Tidemill's collections: which sold items are in stock, which are not, and for how
//! much they sell now. Every row is corrected when what it came from is.
//!
//! `cargo run --release -p tidemill-join --example collections`

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Debug;
use tidemill::{Config, Epoch, Events, Maintain, Memory, Record, Result, Timing, Update, execute};

/// Something that is known of an item from some time on.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Fact {
    time: i64,
    item: u32,
    number: i64,
}

/// The latest number of each item, for as long as it is above zero.
struct Latest;

impl Maintain for Latest {
    type Key = u32;
    type In = Fact;
    type State = i64;
    type Row = (u32, i64);

    fn update(&self, _: &u32, latest: &mut i64, facts: &mut Vec<Record<Fact>>) {
        if let Some(fact) = facts.last() {
            *latest = fact.value.number;
        }
    }

    fn rows(&self, item: &u32, latest: &i64, rows: &mut Vec<(u32, i64)>) {
        rows.extend((*latest > 0).then_some((*item, *latest)));
    }
}

fn main() -> Result<()> {
    let facts = |facts: &[(i64, u32, i64)]| -> Vec<Fact> {
        facts.iter().map(|&(time, item, number)| Fact { time, item, number }).collect()
    };
    // Time, item, and a price in cents, or how many are in stock. Item 2 sells out.
    let prices = facts(&[(1, 1, 250), (2, 2, 990), (3, 3, 1_500), (7, 1, 200)]);
    let stock = facts(&[(1, 1, 10), (2, 2, 1), (9, 2, 0)]);

    let (offers, missing) = (Memory::new(), Memory::new());
    let (to_offers, to_missing) = (offers.clone(), missing.clone());
    execute(Config { epoch_records: 1, ..Config::workers(2) }, move |job| {
        let timing = || Timing::by(|fact: &Fact| fact.time);
        let latest = |name: &str, facts: &[Fact]| {
            let facts = job.source(name, Events::new(facts.to_vec()), timing())?;
            facts.key_by(|fact| fact.item).maintain(&format!("latest {name}"), Latest)
        };
        let (prices, stock) = (latest("prices", &prices)?, latest("stock", &stock)?);

        // A collection of pairs is keyed by the first of each: join, semijoin and antijoin are at hand.
        let offer = |item: &u32, cents: &i64, pieces: &i64| (*item, *cents, *pieces);
        let in_stock = stock.inner();
        let offers = prices.clone().then(|prices| prices.join_map(in_stock.clone(), offer));
        let missing = prices.then(|prices| prices.antijoin(in_stock.map(|(item, _)| item)));
        offers.sink("offers", to_offers.clone())?;
        missing.sink("missing", to_missing.clone())
    })?;

    let offers = show("offer (item, cents, pieces)", offers.take());
    let missing = show("not in stock (item, cents)", missing.take());
    assert_eq!(offers, [(1, 200, 10)]);
    assert_eq!(missing, [(2, 990), (3, 1_500)]);
    Ok(())
}

/// Prints every change of rows by epoch, and returns the rows that are true in the end.
fn show<R: Ord + Copy + Debug>(name: &str, changes: Vec<(Epoch, Update<R>)>) -> Vec<R> {
    let mut rows: BTreeMap<R, isize> = BTreeMap::new();
    for (epoch, Update { row, diff }) in changes {
        println!("epoch {epoch}: {diff:+} {name} {row:?}");
        *rows.entry(row).or_default() += diff;
    }
    rows.into_iter().filter(|(_, count)| *count > 0).map(|(row, _)| row).collect()
}
