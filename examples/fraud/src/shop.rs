//! A shop's own file through the same graph: its invoice lines for payments, its items for terminals, cancellations for
//! frauds that become known later, and an autoencoder for the model, since nothing is labelled.
//!
//! ```text
//! lines ── repeated? ── what kind? ── purchases ─────── by customer: 1, 7, 30 days ── by item: 1, 7, 30 days ── score ── months' top
//!                          │                             │                          │
//!                          └── sales and cancellations, known from their own time ──┘
//! ```

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tidemill::time::days;
use tidemill::{
    Batch, Collection, Config, Job, Memory, Millis, ReadStatus, Reader, Result, Source, Stream, Timing, Update,
};
use tidemill_feature::{DAY, Role, Sliding, SlidingWindows, Summary};
use tidemill_inference::{Infer, Pool};

use crate::features::Features;
use crate::graph::{self, Payment, Verdict};

pub mod anomaly;
pub mod calendar;
pub mod clean;
pub mod decimal;
pub mod inputs;
pub mod mapping;
pub mod monthly;

use anomaly::{Explainer, Scorer, Why};
use clean::{Counts, Fact, Meaning, Purchase, Repetitions, Rules};
use mapping::Line;
use monthly::Row;

/// A shop's file and how to read it.
#[derive(Clone, Debug)]
pub struct Shop {
    /// CSV with a header, plain, gzip or zstd; or a folder of such files.
    pub file: PathBuf,
    /// What separates the fields.
    pub delimiter: u8,
    /// Which column is what, and which lines count.
    pub rules: Rules,
    /// Days by which lines may be out of order, and by which late ones still correct the scores given.
    pub keep_days: u64,
}

/// In days, longer than any file: rows that never have had their time.
const ALWAYS: u64 = 1_000_000;

/// What the graph makes of a shop's lines.
pub struct Seen<'s> {
    /// Purchases with their features as they are known, each a row until it has had its time.
    pub rows: Collection<'s, Row>,
    /// What is known of items, as it becomes known.
    pub facts: Stream<'s, Fact>,
}

impl Payment for Purchase {
    type Terminal = String;

    fn time_ms(&self) -> Millis {
        self.time
    }

    fn terminal(&self) -> String {
        self.item.clone()
    }
}

/// What moves a customer's account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Movement {
    Purchase(Purchase),
    /// A customer's cancellation, and its cents (below 0): from its time on the money has not been spent.
    Cancellation(String, i64),
}

impl Movement {
    fn customer(&self) -> String {
        match self {
            Movement::Purchase(purchase) => purchase.customer.clone(),
            Movement::Cancellation(customer, _) => customer.clone(),
        }
    }

    /// Its part in the customer's sums: cents, and lines bought. A line that was cancelled has still been bought.
    fn role(&self) -> Role<2> {
        match self {
            Movement::Purchase(purchase) => Role::Both([purchase.cents.into(), 1]),
            Movement::Cancellation(_, cents) => Role::Fact([*cents, 0]),
        }
    }
}

impl Verdict for Fact {
    type Terminal = String;

    fn terminal(&self) -> String {
        self.item.clone()
    }

    fn bad(&self) -> bool {
        self.cancelled
    }
}

impl Shop {
    /// The time in ms of the file's first line that has one; of several files, the least.
    ///
    /// # Errors
    ///
    /// The file cannot be read, a mapped column is not there, or no line has a time.
    pub fn begins(&self) -> anyhow::Result<Millis> {
        let source = self.rules.mapping.lines(&self.file, self.delimiter);
        let mut first: Option<Millis> = None;
        for partition in 0..source.partitions()? {
            let mut reader = source.open(partition, 0)?;
            let mut batch = Batch::new();
            let found = loop {
                let status = reader.read(256, &mut batch)?;
                let time = batch.items().iter().find_map(|line| line.time.ms(self.rules.unit));
                if time.is_some() || status == ReadStatus::Done {
                    break time;
                }
                batch.clear();
            };
            first = first.into_iter().chain(found).min();
        }
        first.with_context(|| {
            format!("no line of {} has a time that can be: check --map and --time-unit", self.file.display())
        })
    }

    /// Reads the lines before `until` (ms since 1970), counts them by kind, and keeps their features.
    ///
    /// The features are the benchmark's, where the item stands for the terminal; their `customer` and `terminal` are 0,
    /// since the purchase beside them has both by name. The item's windows hold all its sales and cancellations that
    /// are known at the purchase's time, itself and those without a customer included. What the customer cancelled is
    /// off the sums of purchases after that; where nothing of the others is left, the purchase counts as the only one.
    ///
    /// # Errors
    ///
    /// The file cannot be opened.
    pub fn features<'s>(&self, job: &Job<'s>, counts: &Counts, keep_days: u64, until: Millis) -> Result<Seen<'s>> {
        let time = {
            let rules = self.rules.clone();
            move |line: &Line| rules.time(line)
        };
        let timing = Timing::by(time.clone()).disorder(days(self.keep_days as i64));
        let lines = job.source("lines", self.rules.mapping.lines(&self.file, self.delimiter), timing)?;
        let lines = lines
            .filter(move |line| time(line) < until)
            .key_by(Repetitions::key)
            .process("repetitions", Repetitions)?;
        let (rules, counts) = (self.rules.clone(), counts.clone());
        let meanings = lines.map(move |(line, repeated)| {
            let (kind, meaning) = rules.judge(&line);
            counts.add(kind, &line, repeated);
            if repeated { Meaning::Nothing } else { meaning }
        });
        let purchases = meanings.clone().filter_map(|meaning| match meaning {
            Meaning::Purchase(purchase, _) => Some(purchase),
            _ => None,
        });
        let facts = meanings.filter_map(|meaning| match meaning {
            Meaning::Purchase(_, fact) | Meaning::Fact(fact) => Some(fact),
            Meaning::Nothing => None,
        });
        let movements = purchases.map(Movement::Purchase).union(facts.clone().filter_map(|fact| match fact {
            Fact { cancelled: true, customer: Some(customer), cents, .. } => {
                Some(Movement::Cancellation(customer, cents))
            }
            _ => None,
        }));
        let windows = Sliding::new(graph::CUSTOMER.lateness(keep_days * DAY), Movement::role);
        let (customers, _late) = movements.key_by(Movement::customer).at_once("customer windows", windows)?;
        let purchases = customers.flat_map(|(movement, windows)| match movement {
            Movement::Purchase(purchase) => Some((purchase, windows)),
            Movement::Cancellation(..) => None,
        });
        let rows = graph::terminal_windows(purchases, facts.clone(), graph::WIDTHS.lateness(keep_days * DAY))?;
        let rows = rows.map(|((purchase, customer), item)| {
            let sec = calendar::seconds(purchase.time);
            let bare = Features { sec, cents: purchase.cents, ..Features::default() };
            let spent = customer.map(|Summary { sums: [cents, lines], .. }| match cents > purchase.cents.into() {
                true => (lines as u32, cents as u64),
                false => (1, purchase.cents.into()),
            });
            let features = graph::with_windows(bare, spent, &item);
            (purchase, features)
        });
        Ok(Seen { rows, facts })
    }

    /// The features of all purchases before `until` (ms since 1970), by time: what to train on.
    ///
    /// # Errors
    ///
    /// What stops the graph.
    pub fn history(&self, until: Millis, config: Config) -> anyhow::Result<Vec<Features>> {
        let (shop, kept) = (self.clone(), Memory::<Update<Row>>::new());
        let sink = kept.clone();
        tidemill::execute(config, move |job| {
            let seen = shop.features(job, &Counts::default(), ALWAYS, until)?;
            seen.rows.sink("features", sink.clone())
        })?
        .finished()?;
        Ok(kept.rows().into_iter().map(|((_, features), _)| features).collect())
    }
}

/// An alert, as it is written: one JSON line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The month, as `YYYY-MM`, UTC.
    pub month: String,
    /// The rank of the customer's score that month, from 1.
    pub rank: u32,
    /// How unusual the purchase is: 1 is as unusual as one in a hundred of those trained on, and there is no upper end.
    pub score: f64,
    /// When, in ms since 1970 UTC.
    pub time: Millis,
    /// The same as `YYYY-MM-DD HH:MM:SS`.
    pub date: String,
    /// The invoice, as the file names it; empty if none is mapped.
    pub invoice: String,
    /// Who bought, as the file names them.
    pub customer: String,
    /// What was bought, as the file names it.
    pub item: String,
    /// How many.
    pub quantity: decimal::Decimal,
    /// The line's amount in cents.
    pub cents: u32,
    /// What is unusual, largest share of the score first.
    pub reasons: Vec<Why<f64>>,
}

/// Scores purchases, and gives each month's `top` with reasons once the month is over.
///
/// # Errors
///
/// A model cannot be loaded.
pub fn alerts<'s>(
    rows: Collection<'s, Row>,
    scorers: &Pool<Scorer>,
    explainers: &Pool<Explainer>,
    top: usize,
) -> Result<Stream<'s, Alert>> {
    let scores = rows.infer("scores", scorers, |(_, features)| *features)?;
    let suspects = monthly::alerts(monthly::suspects(scores, top)?)?;
    let explained = suspects.infer("reasons", explainers, |suspect| suspect.row.1)?;
    Ok(explained.map(|(suspect, reasons)| {
        let (purchase, _) = suspect.row;
        let reasons = reasons.into_iter();
        Alert {
            month: suspect.month.to_string(),
            rank: suspect.rank,
            score: suspect.score.to_f64(),
            time: purchase.time,
            date: calendar::date(purchase.time),
            invoice: purchase.invoice,
            customer: purchase.customer,
            item: purchase.item,
            quantity: purchase.quantity,
            cents: purchase.cents,
            reasons: reasons.map(|why| Why { code: why.code, share: why.share.to_f64(), detail: why.detail }).collect(),
        }
    }))
}

/// Pools that load the autoencoder saved under `model` (without extension).
pub fn pools(model: &Path, config: tidemill_inference::PoolConfig) -> (Pool<Scorer>, Pool<Explainer>) {
    let (scorer, explainer) = (model.to_owned(), model.to_owned());
    let scorers = Pool::new(config, move || Scorer::load(&scorer));
    let explainers = Pool::new(tidemill_inference::PoolConfig::default(), move || Explainer::load(&explainer));
    (scorers, explainers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clean::Kind;
    use tidemill_inference::PoolConfig;
    use tidemill_torch::Random;

    const MAP: &str = "customer=Who,item=What,quantity=Number,price=Price,time=When,invoice=Paper";

    fn shop(file: &Path, map: &str) -> Shop {
        let rules = Rules {
            mapping: map.parse().unwrap(),
            unit: calendar::Unit::S,
            cancels: "C".into(),
            no_goods: Default::default(),
        };
        Shop { file: file.to_owned(), delimiter: b',', rules, keep_days: 2 }
    }

    /// The alerts of a shop's file, and the lines of each kind with those that are repeated.
    fn run(shop: &Shop, model: &Path, workers: usize) -> (Vec<Alert>, Vec<(Kind, u64, u64)>) {
        let (counts, kept) = (Counts::default(), Memory::new());
        let (scorers, explainers) = pools(model, PoolConfig::default());
        let (shop, counted, sink) = (shop.clone(), counts.clone(), kept.clone());
        let config = Config { epoch_records: 1000, ..Config::workers(workers) };
        tidemill::execute(config, move |job| {
            let seen = shop.features(job, &counted, shop.keep_days, Millis::MAX)?;
            alerts(seen.rows, &scorers, &explainers, 10)?.sink("kept", sink.clone())
        })
        .unwrap();
        let counts = counts.all().into_iter().map(|counted| (counted.kind, counted.lines, counted.repeated));
        (kept.values(), counts.filter(|(_, lines, _)| *lines > 0).collect())
    }

    fn train(shop: &Shop, to: i64, model: &Path) {
        let history = shop.history(shop.begins().unwrap() + days(to), Config::default()).unwrap();
        anomaly::train(&history, &anomaly::OPTIONS).unwrap().0.save(model).unwrap();
    }

    /// 100 days from 2011-01-03 on, 40 lines a day, then something of every kind.
    fn lines() -> Vec<String> {
        let mut random = Random::new(7);
        let mut line = |number: u32| {
            let (when, who) = (1_294_045_200 + number / 40 * 86_400 + number % 40 * 600, random.below(60));
            let (item, quantity, price) = (random.below(30), 1 + random.below(12), 100 + random.below(400));
            format!("{when},c{who},{number},i{item},{quantity},{}.{:02}", price / 100, price % 100)
        };
        let mut lines: Vec<String> = (0..4000).map(&mut line).collect();
        let at = |hour: u32| 1_294_045_200 + 80 * 86_400 + 400 * 60 + hour * 3600;
        let special = [
            format!("{},c7,9001,i3,74215,1.04", at(0)),
            format!("{},c7,C9002,i3,-74215,1.04", at(1)),
            format!("{},,9003,i3,2,1.04", at(2)),
            format!("{},,9004,i3,-2,0", at(3)),
            format!("{},c8,9005,i4,2,1.04", at(4)),
            format!("{},c8,9005,i4,2,1.04", at(4)),
            format!("{},c8,9006,i4,2,one", at(5)),
        ];
        let later = lines.split_off(81 * 40);
        lines.into_iter().chain(special).chain(later).collect()
    }

    fn write(lines: &[String], to: &Path) {
        std::fs::write(to, format!("When,Who,Paper,What,Number,Price\n{}\n", lines.join("\n"))).unwrap();
    }

    #[test]
    fn a_shop_gets_the_same_alerts_on_any_number_of_workers_and_out_of_order() {
        let folder = tempfile::tempdir().unwrap();
        let (file, shuffled, model) =
            (folder.path().join("a.csv"), folder.path().join("b.csv"), folder.path().join("model"));
        let mut lines = lines();
        write(&lines, &file);
        // Lines a few hours late; one that is repeated keeps its place behind the first.
        lines.chunks_mut(25).for_each(|some| some.reverse());
        write(&lines, &shuffled);
        let shop = |file| shop(file, MAP);
        train(&shop(&file), 40, &model);

        let (alerts, counts) = run(&shop(&file), &model, 1);
        assert_eq!(
            counts,
            [
                (Kind::Cancellation, 1, 0),
                (Kind::StockAdjustment, 1, 0),
                (Kind::NoCustomer, 1, 0),
                (Kind::Purchase, 4003, 1)
            ]
        );
        let months: Vec<&str> = alerts.iter().map(|alert| alert.month.as_str()).collect();
        assert_eq!(months, [["2011-01"; 10], ["2011-02"; 10], ["2011-03"; 10], ["2011-04"; 10]].concat());
        assert!(alerts.iter().all(|alert| !alert.reasons.is_empty() && alert.rank <= 10));
        let largest = alerts.iter().find(|alert| alert.invoice == "9001").unwrap();
        assert_eq!((largest.rank, largest.cents, largest.reasons[0].code), (1, 7_718_360, inputs::Reason::Amount));

        assert_eq!(run(&shop(&file), &model, 2), (alerts.clone(), counts.clone()));
        assert_eq!(run(&shop(&shuffled), &model, 2), (alerts, counts));
    }

    #[test]
    fn what_cannot_be_scored_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (file, model) = (folder.path().join("a.csv"), folder.path().join("model"));
        write(&["0,c1,1,i1,1,1.00".into()], &file);
        let error = |map: &str| shop(&file, map).begins().unwrap_err().to_string();
        assert!(error(MAP).contains("check --map and --time-unit"));
        let error = error(&MAP.replace("Who", "Customer"));
        assert!(error.contains("no column is named `Customer`, only `When`, `Who`"), "{error}");
        let (scorers, explainers) = pools(&model, PoolConfig::default());
        let shop = shop(&file, MAP);
        let failed = tidemill::execute(Config::default(), move |job| {
            let seen = shop.features(job, &Counts::default(), 2, Millis::MAX)?;
            alerts(seen.rows, &scorers, &explainers, 10)?.sink("kept", Memory::new())
        });
        assert!(failed.unwrap_err().to_string().contains("model.json"));
    }

    #[test]
    fn a_year_of_a_real_shop() {
        let data = std::env::var_os("TIDEMILL_DATA").map(PathBuf::from);
        let data = data.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
        let file = data.join("online_retail/online_retail_events.csv.gz");
        if !file.is_file() {
            eprintln!("skipped: the real invoices are not here; TIDEMILL_DATA names the folder that has online_retail");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("shop");
        let map =
            "customer=CustomerID,item=StockCode,quantity=Quantity,price=UnitPrice,time=InvoiceEpoch,invoice=InvoiceNo";
        let shop = shop(&file, map);
        train(&shop, 90, &model);
        let (alerts, counts) = run(&shop, &model, 2);
        assert_eq!(counts.iter().map(|(_, lines, _)| lines).sum::<u64>(), 541_909);
        assert!(counts.contains(&(Kind::Cancellation, 9288, 37)), "{counts:?}");
        assert!(counts.contains(&(Kind::StockAdjustment, 1336, 0)), "{counts:?}");
        assert!(counts.contains(&(Kind::NegativePrice, 2, 0)), "{counts:?}");
        assert_eq!(alerts.len(), 130, "ten in each of thirteen months");
        let found = |invoice: &str| alerts.iter().any(|alert| alert.invoice == invoice && alert.rank == 1);
        assert!(found("541431"), "74,215 jars, cancelled a quarter of an hour later");
        assert!(found("581483"), "80,995 paper birds, cancelled twelve minutes later");
    }
}
