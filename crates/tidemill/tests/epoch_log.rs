//! A live job that is cut down at any point and begun again forms the epochs that it has committed as they were, although
//! what its sources bring in an epoch is luck.

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tidemill::harness::Ledger;
use tidemill::{
    Batch, Checkpointing, Config, Epoch, Error, Maintain, Millis, ReadStatus, Reader, Record, Sink, SinkError, Source,
    SourceError, Start, Timing, Update, execute,
};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Sale {
    at: Millis,
    user: u8,
    id: u32,
}

/// Where sales come from: one list of each partition.
struct Shop {
    partitions: Vec<Vec<Sale>>,
    /// Reading fails once so many reads were made.
    fuse: AtomicUsize,
    /// Decides how much a read brings.
    luck: Mutex<u64>,
    /// Of partitions that cannot be read again: how many sales nobody need give again.
    safe: Vec<AtomicUsize>,
    seekable: bool,
}

impl Shop {
    fn luck(&self, below: u64) -> u64 {
        let mut luck = self.luck.lock().unwrap();
        *luck = luck.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*luck >> 33) % below
    }
}

struct Sales(Arc<Shop>);

struct SalesReader {
    shop: Arc<Shop>,
    partition: usize,
    began: usize,
    next: usize,
}

impl Source for Sales {
    type Item = Sale;
    type Reader = SalesReader;

    fn partitions(&self) -> Result<usize, SourceError> {
        Ok(self.0.partitions.len())
    }

    fn open(&self, partition: usize, offset: u64) -> Result<SalesReader, SourceError> {
        let shop = Arc::clone(&self.0);
        // Whoever sends sales sends those again that were not said to be safe, and here it numbers them.
        assert!(shop.safe[partition].load(Ordering::SeqCst) <= offset as usize, "what is safe is known");
        let began = offset as usize;
        Ok(SalesReader { shop, partition, began, next: began })
    }

    fn bounded(&self) -> bool {
        false
    }

    fn seekable(&self, _: usize) -> bool {
        self.0.seekable
    }
}

impl Reader for SalesReader {
    type Item = Sale;

    fn read(&mut self, limit: usize, batch: &mut Batch<Sale>) -> Result<ReadStatus, SourceError> {
        let shop = &self.shop;
        if shop.fuse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            return Err(SourceError::new("the fuse has blown"));
        }
        let sales = &shop.partitions[self.partition];
        let some = limit.min(shop.luck(4) as usize);
        for sale in sales.iter().skip(self.next).take(some) {
            match sale.user {
                0 => batch.reject(format!("sale {}", sale.id), "of nobody", format!("{sale:?}")),
                _ => batch.push(sale.clone()),
            }
            self.next += 1;
        }
        Ok(match self.next == sales.len() {
            true => ReadStatus::Done,
            false if shop.luck(2) == 0 => ReadStatus::Waiting,
            false => ReadStatus::Ready,
        })
    }

    fn offset(&self) -> u64 {
        self.next as u64
    }

    fn safe(&mut self, records: u64) {
        self.shop.safe[self.partition].store(self.began + records as usize, Ordering::SeqCst);
    }
}

/// How many sales each user has made.
struct Bought;

impl Maintain for Bought {
    type Key = u8;
    type In = Sale;
    type State = i64;
    type Row = (u8, i64);

    fn update(&self, _: &u8, bought: &mut i64, sales: &mut Vec<Record<Sale>>) {
        *bought += sales.len() as i64;
    }

    fn rows(&self, user: &u8, bought: &i64, rows: &mut Vec<(u8, i64)>) {
        rows.push((*user, *bought));
    }
}

struct Ledgers {
    sales: Ledger<Record<Sale>>,
    bought: Ledger<Update<(u8, i64)>>,
    walls: Ledger<Record<Sale>>,
}

fn run(
    shop: &Arc<Shop>,
    workers: usize,
    tables: &Ledgers,
    folder: &tempfile::TempDir,
    interval_ms: i64,
) -> Result<(), Error> {
    let checkpoints = Checkpointing { interval_ms, ..Checkpointing::to(folder.path().to_str().unwrap()) };
    let config = Config { epoch_ms: Some(1), checkpoints: Some(checkpoints), ..Config::workers(workers) };
    let shop = Arc::clone(shop);
    let (to_sales, to_bought, to_walls) = (tables.sales.clone(), tables.bought.clone(), tables.walls.clone());
    execute(config, move |job| {
        let sales = job.source("sales", Sales(Arc::clone(&shop)), Timing::by(|sale: &Sale| sale.at).ahead(10))?;
        sales.clone().sink("sales out", to_sales.clone())?;
        sales.clone().in_processing_time().sink("walls out", to_walls.clone())?;
        sales.key_by(|sale| sale.user).maintain("bought", Bought)?.sink("bought out", to_bought.clone())
    })
    .map(|_| ())
}

fn partitions() -> impl Strategy<Value = Vec<Vec<Sale>>> {
    let sale = (0i64..8, 0u8..6);
    let partition = prop::collection::vec(sale, 0..60);
    prop::collection::vec(partition, 1..4).prop_map(|partitions| {
        let mut id = 0;
        let sales = |partition: Vec<(i64, u8)>| {
            let mut now = 0;
            let mut sale = |(step, user)| {
                (now, id) = (now + step, id + 1);
                Sale { at: now, user, id }
            };
            partition.into_iter().map(&mut sale).collect()
        };
        partitions.into_iter().map(sales).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_was_committed_comes_again_as_it_was(
        partitions in partitions(), seekable in any::<bool>(), luck in any::<u64>(),
        falls in prop::collection::vec((0usize..80, 1usize..5), 0..5), last in 1usize..5,
    ) {
        let good: Vec<Sale> = partitions.iter().flatten().filter(|sale| sale.user != 0).cloned().collect();
        let safe = partitions.iter().map(|_| AtomicUsize::new(0)).collect();
        let shop = Shop { partitions, fuse: AtomicUsize::new(0), luck: Mutex::new(luck), safe, seekable };
        let (shop, folder) = (Arc::new(shop), tempfile::tempdir().unwrap());
        let tables = Ledgers { sales: Ledger::new(), bought: Ledger::new(), walls: Ledger::new() };
        for (fuse, workers) in falls {
            shop.fuse.store(fuse, Ordering::SeqCst);
            match run(&shop, workers, &tables, &folder, 7) {
                Err(Error::Source { reason, .. }) => prop_assert!(reason.contains("the fuse has blown"), "{}", reason),
                other => other.unwrap(),
            }
        }
        shop.fuse.store(usize::MAX, Ordering::SeqCst);
        run(&shop, last, &tables, &folder, 7).unwrap();

        let mut sold: Vec<Sale> = tables.sales.items().into_iter().map(|record| record.value).collect();
        sold.sort_by_key(|sale| sale.id);
        prop_assert_eq!(&sold, &good);
        let mut bought = std::collections::BTreeMap::new();
        for Update { row, diff } in tables.bought.items() {
            *bought.entry(row).or_insert(0) += diff;
        }
        bought.retain(|_, count| *count != 0);
        let expected = (1..6).filter_map(|user| {
            let sales = good.iter().filter(|sale| sale.user == user).count() as i64;
            (sales > 0).then_some(((user, sales), 1))
        });
        prop_assert_eq!(bought, expected.collect());
        prop_assert_eq!(tables.walls.items().len(), good.len());
    }
}

#[test]
fn a_job_without_a_checkpoint_yet_is_the_same_job_when_it_begins_again() {
    let partitions = vec![(1..40).map(|id| Sale { at: i64::from(id), user: 1, id }).collect()];
    let shop = Shop {
        partitions,
        fuse: AtomicUsize::new(12),
        luck: Mutex::new(5),
        safe: vec![AtomicUsize::new(0)],
        seekable: false,
    };
    let (shop, folder) = (Arc::new(shop), tempfile::tempdir().unwrap());
    let lineages = Arc::new(Mutex::new(Vec::new()));
    let run = || {
        let checkpoints = Checkpointing::to(folder.path().to_str().unwrap());
        let config = Config { epoch_ms: Some(1), checkpoints: Some(checkpoints), ..Config::workers(2) };
        let (shop, out) = (Arc::clone(&shop), Lineages(Arc::clone(&lineages)));
        execute(config, move |job| {
            let sales = job.source("sales", Sales(Arc::clone(&shop)), Timing::by(|sale: &Sale| sale.at))?;
            sales.sink("out", out.clone())
        })
    };
    assert!(run().is_err());
    shop.fuse.store(usize::MAX, Ordering::SeqCst);
    run().unwrap();
    let starts = lineages.lock().unwrap();
    let [first, second] = &starts[..] else { panic!("{starts:?}") };
    assert_eq!((first.epoch, first.exact_through, second.epoch), (0, 0, 0));
    assert!(first.lineage == second.lineage && second.exact_through > 3, "{second:?}");
}

/// Remembers where its jobs began.
#[derive(Clone)]
struct Lineages(Arc<Mutex<Vec<Start>>>);

impl Sink for Lineages {
    type Item = Record<Sale>;

    fn open(&mut self, start: &Start) -> Result<(), SinkError> {
        self.0.lock().unwrap().push(start.clone());
        Ok(())
    }

    fn write(&mut self, _: Epoch, _: &mut Vec<Self::Item>) -> Result<(), SinkError> {
        Ok(())
    }
}

#[test]
fn a_source_that_gives_less_than_before_is_refused() {
    let sales = |last| (1..last).map(|id| Sale { at: i64::from(id), user: 1, id }).collect::<Vec<_>>();
    let shop = |last, fuse| {
        Arc::new(Shop {
            partitions: vec![sales(last)],
            fuse: AtomicUsize::new(fuse),
            luck: Mutex::new(5),
            safe: vec![AtomicUsize::new(0)],
            seekable: true,
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let tables = Ledgers { sales: Ledger::new(), bought: Ledger::new(), walls: Ledger::new() };
    // Without a checkpoint all of it has to be given again.
    assert!(run(&shop(100, 20), 1, &tables, &folder, 3_600_000).is_err());
    let refused = run(&shop(3, usize::MAX), 1, &tables, &folder, 3_600_000).unwrap_err().to_string();
    assert!(refused.contains("and had more before"), "{refused}");
}
