//! A job that falls over at any point and is begun again, for each format of parts.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tidemill::{
    Batch, Checkpointing, Config, Error, Maintain, ReadStatus, Reader, Record, Source, SourceError, Timing, Update,
    execute,
};
use tidemill_files::{PartFormat, Parts};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sale {
    pub at: i64,
    pub user: u8,
    pub cents: Option<i64>,
    pub note: String,
}

/// Sales in partitions, reading which fails once `fuse` records have been read.
struct Sales {
    partitions: Arc<Vec<Vec<Sale>>>,
    fuse: Arc<AtomicUsize>,
}

struct SalesReader {
    partitions: Arc<Vec<Vec<Sale>>>,
    fuse: Arc<AtomicUsize>,
    partition: usize,
    next: usize,
}

impl Source for Sales {
    type Item = Sale;
    type Reader = SalesReader;

    fn partitions(&self) -> Result<usize, SourceError> {
        Ok(self.partitions.len())
    }

    fn open(&self, partition: usize, offset: u64) -> Result<SalesReader, SourceError> {
        let (partitions, fuse) = (Arc::clone(&self.partitions), Arc::clone(&self.fuse));
        Ok(SalesReader { partitions, fuse, partition, next: offset as usize })
    }
}

impl Reader for SalesReader {
    type Item = Sale;

    fn read(&mut self, limit: usize, batch: &mut Batch<Sale>) -> Result<ReadStatus, SourceError> {
        let sales = &self.partitions[self.partition];
        for sale in sales.iter().skip(self.next).take(limit) {
            if self.fuse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
                return Err(SourceError::new("the fuse has blown"));
            }
            batch.push(sale.clone());
            self.next += 1;
        }
        Ok(if self.next == sales.len() { ReadStatus::Done } else { ReadStatus::Ready })
    }

    fn offset(&self) -> u64 {
        self.next as u64
    }
}

/// What each user has spent.
struct Spent;

impl Maintain for Spent {
    type Key = u8;
    type In = Sale;
    type State = i64;
    type Row = Total;

    fn update(&self, _: &u8, spent: &mut i64, sales: &mut Vec<Record<Sale>>) {
        *spent += sales.drain(..).filter_map(|sale| sale.value.cents).sum::<i64>();
    }

    fn rows(&self, user: &u8, spent: &i64, rows: &mut Vec<Total>) {
        rows.push(Total { user: *user, spent: *spent });
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Total {
    pub user: u8,
    pub spent: i64,
}

/// So many sales in each partition.
pub fn sales(sizes: &[usize]) -> Vec<Vec<Sale>> {
    let sale = |partition: usize, at: usize| Sale {
        at: at as i64,
        user: (at * 7 + partition) as u8 % 5,
        cents: (!at.is_multiple_of(3)).then_some(at as i64),
        note: format!("sale \"{at}\", of {partition}"),
    };
    sizes.iter().enumerate().map(|(partition, size)| (0..*size).map(|at| sale(partition, at)).collect()).collect()
}

/// One run of a job with two sinks, into `sales` and `totals` of `lake`.
pub fn run<F: PartFormat<Record<Sale>>, G: PartFormat<Update<Total>>>(
    sales: &[Vec<Sale>],
    workers: usize,
    fuse: usize,
    lake: &Path,
    checkpoints: Option<&Path>,
    sale_rows: fn() -> F,
    total_rows: fn() -> G,
) -> Result<(), Error> {
    let (partitions, fuse, lake) = (Arc::new(sales.to_vec()), Arc::new(AtomicUsize::new(fuse)), lake.to_owned());
    let checkpoints = checkpoints
        .map(|folder| Checkpointing { interval_ms: 0, ..Checkpointing::to(folder.to_string_lossy().into_owned()) });
    let config = Config { epoch_records: 5, checkpoints, ..Config::workers(workers) };
    execute(config, move |job| {
        let source = Sales { partitions: Arc::clone(&partitions), fuse: Arc::clone(&fuse) };
        let sales = job.source("sales", source, Timing::by(|sale: &Sale| sale.at).disorder(20))?;
        let by_user = sales.clone().key_by(|sale| sale.user);
        sales.sink("sales out", Parts::records(lake.join("sales"), sale_rows())?.max_rows(13))?;
        let totals = Parts::updates(lake.join("totals"), total_rows())?.max_rows(20).max_epochs(4);
        by_user.maintain("spent", Spent)?.sink("totals out", totals)
    })
    .map(|_| ())
}

/// All that a reader sees: names and bytes.
pub fn visible(lake: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for sink in ["sales", "totals"] {
        for file in std::fs::read_dir(lake.join(sink)).into_iter().flatten().flatten() {
            let name = file.file_name().into_string().unwrap();
            if !name.starts_with('.') {
                files.insert(format!("{sink}/{name}"), std::fs::read(file.path()).unwrap());
            }
        }
    }
    files
}

/// How many hidden files are left.
pub fn hidden(lake: &Path) -> usize {
    let files = ["sales", "totals"].into_iter().flat_map(|sink| std::fs::read_dir(lake.join(sink)).unwrap().flatten());
    files.filter(|file| file.file_name().to_string_lossy().starts_with('.')).count()
}

/// Runs that fall after so many records each, on so many workers, then one that ends: its folder is that of an unbroken run,
/// and what readers saw in between was never taken back.
pub fn falls<F: PartFormat<Record<Sale>>, G: PartFormat<Update<Total>>>(
    sizes: &[usize],
    falls: &[(usize, usize)],
    last: usize,
    sale_rows: fn() -> F,
    total_rows: fn() -> G,
) {
    let sales = sales(sizes);
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&sales, 1, usize::MAX, whole.path(), None, sale_rows, total_rows).unwrap();
    let expected = visible(whole.path());
    let (lake, checkpoints) = (broken.path().join("lake"), broken.path().join("checkpoints"));
    let mut seen = BTreeMap::new();
    let ends = falls.iter().copied().chain([(usize::MAX, last)]);
    for (fuse, workers) in ends {
        match run(&sales, workers, fuse, &lake, Some(&checkpoints), sale_rows, total_rows) {
            Err(Error::Source { reason, .. }) => assert!(reason.contains("the fuse has blown")),
            other => other.unwrap(),
        }
        let now = visible(&lake);
        assert!(seen.iter().all(|part| now.get(part.0) == Some(part.1)), "readers saw something go");
        assert!(now.iter().all(|part| expected.get(part.0) == Some(part.1)), "readers see what will not stay");
        seen = now;
    }
    assert_eq!(seen.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert_eq!(hidden(&lake), 0);
}
