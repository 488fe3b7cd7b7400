//! A job that falls over at any point and is begun again, for each format of parts.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use tidemill::{Checkpointing, Config, Error, Events, Maintain, Record, Timing, Update, execute};
use tidemill_files::{PartFormat, Parts};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sale {
    pub at: i64,
    pub user: u8,
    pub cents: Option<i64>,
    pub note: String,
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
    let (source, lake) = (Events::partitioned(sales.to_vec()).fails_after(fuse), lake.to_owned());
    let checkpoints = checkpoints
        .map(|folder| Checkpointing { interval_ms: 0, ..Checkpointing::to(folder.to_string_lossy().into_owned()) });
    let config = Config { epoch_records: 5, checkpoints, ..Config::workers(workers) };
    execute(config, move |job| {
        let sales = job.source("sales", source.clone(), Timing::by(|sale: &Sale| sale.at).disorder(20))?;
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
            Err(Error::Source { reason, .. }) => assert!(reason.contains("as it was told to")),
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
