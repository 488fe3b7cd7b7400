//! A job that is cut down at any point and begun again, on other numbers of workers, gives what an unbroken one gives.

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};
use tidemill::{
    Checkpointing, Config, Context, Data, Epoch, Error, Events, Maintain, Millis, Old, Process, Record, Reject,
    Restore, Sink, SinkError, Start, StateError, Timing, Update, execute,
};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Sale {
    at: Millis,
    user: u8,
    cents: i64,
}

/// Adds up a user's sales until there was none for 50 ms.
struct Sessions;

impl Process for Sessions {
    type Key = u8;
    type In = Sale;
    type Out = (u8, i64, Millis);
    type State = (i64, Millis);

    fn process(
        &self,
        _: &u8,
        sale: Sale,
        (sum, last): &mut (i64, Millis),
        ctx: &mut Context<'_, Self::Out>,
    ) -> Result<(), Reject> {
        (*sum, *last) = (*sum + sale.cents, sale.at);
        ctx.set_timer(sale.at + 50);
        Ok(())
    }

    fn on_timer(
        &self,
        user: &u8,
        (sum, last): &mut (i64, Millis),
        ctx: &mut Context<'_, Self::Out>,
    ) -> Result<(), Reject> {
        if ctx.time() >= *last + 50 {
            ctx.emit((*user, *sum, *last));
            ctx.forget();
        }
        Ok(())
    }
}

/// What each user has spent.
#[derive(Clone, Copy)]
struct Spent;

impl Maintain for Spent {
    type Key = u8;
    type In = Sale;
    type State = i64;
    type Row = (u8, i64);

    fn update(&self, _: &u8, spent: &mut i64, sales: &mut Vec<Record<Sale>>) {
        *spent += sales.drain(..).map(|sale| sale.value.cents).sum::<i64>();
    }

    fn rows(&self, user: &u8, spent: &i64, rows: &mut Vec<(u8, i64)>) {
        rows.push((*user, *spent));
    }
}

/// Remembers what it wrote, over restarts, and goes back to where each of them begins.
struct Book<T> {
    lines: Arc<Mutex<Vec<(Epoch, T)>>>,
}

impl<T> Clone for Book<T> {
    fn clone(&self) -> Self {
        Book { lines: Arc::clone(&self.lines) }
    }
}

impl<T> Book<T> {
    fn new() -> Self {
        Book { lines: Arc::default() }
    }
}

impl<T: Clone + 'static> Sink for Book<T> {
    type Item = T;

    fn open(&mut self, start: &Start) -> Result<(), SinkError> {
        let mut lines = self.lines.lock().unwrap();
        let kept: usize = start.saved.as_ref().map_or(0, |saved| serde_json::from_slice(saved).unwrap());
        assert!(
            start.exact_through == Epoch::MAX && lines.len() >= kept,
            "nothing is lost that a checkpoint counts on"
        );
        lines.truncate(kept);
        Ok(())
    }

    fn write(&mut self, epoch: Epoch, items: &mut Vec<T>) -> Result<(), SinkError> {
        self.lines.lock().unwrap().extend(items.drain(..).map(|item| (epoch, item)));
        Ok(())
    }

    fn save(&mut self) -> Result<Vec<u8>, SinkError> {
        Ok(serde_json::to_vec(&self.lines.lock().unwrap().len()).unwrap())
    }
}

#[derive(Clone)]
struct Books {
    sessions: Book<Record<(u8, i64, Millis)>>,
    spent: Book<Update<(u8, i64)>>,
    users_by_sum: Book<Update<(i64, isize)>>,
    changes: Book<Record<Update<(u8, i64)>>>,
}

impl Books {
    fn new() -> Self {
        Books { sessions: Book::new(), spent: Book::new(), users_by_sum: Book::new(), changes: Book::new() }
    }

    fn text(&self) -> String {
        fn of<T: Data>(book: &Book<T>) -> String {
            serde_json::to_string(&*book.lines.lock().unwrap()).unwrap()
        }
        [of(&self.sessions), of(&self.spent), of(&self.users_by_sum), of(&self.changes)].join("\n")
    }
}

fn run(
    sales: &[Vec<Sale>],
    workers: usize,
    fuse: usize,
    books: &Books,
    settings: Option<Checkpointing>,
) -> Result<(), Error> {
    let source = Events::partitioned(sales.to_vec()).fails_after(fuse);
    let books = books.clone();
    let config = Config { epoch_records: 5, checkpoints: settings, ..Config::workers(workers) };
    execute(config, move |job| {
        let timing = Timing::by(|sale: &Sale| sale.at).disorder(20);
        let sales = job.source("sales", source.clone(), timing)?;
        let by_user = sales.key_by(|sale| sale.user);
        by_user.clone().process("sessions", Sessions)?.sink("sessions out", books.sessions.clone())?;
        let spent = by_user.maintain("spent", Spent)?;
        spent.clone().sink("spent out", books.spent.clone())?;
        spent.clone().changes(|_| 0).sink("changes out", books.changes.clone())?;
        let by_sum = spent.then(|rows| rows.map(|(_, cents)| cents % 7).count());
        by_sum.sink("users by sum out", books.users_by_sum.clone())
    })
    .map(|_| ())
}

fn every_epoch(folder: &tempfile::TempDir) -> Checkpointing {
    Checkpointing { interval_ms: 0, ..Checkpointing::to(folder.path().to_str().unwrap()) }
}

fn sales() -> impl Strategy<Value = Vec<Vec<Sale>>> {
    let sale = (0i64..8, 0i64..20, 0u8..6, 1i64..100);
    let partition = prop::collection::vec(sale, 0..80).prop_map(|sales| {
        let mut now = 0;
        let at = |(step, back, user, cents)| {
            now += step;
            Sale { at: 100 + now - back, user, cents }
        };
        sales.into_iter().map(at).collect::<Vec<_>>()
    });
    prop::collection::vec(partition, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn killed_at_any_point_it_gives_the_same(
        sales in sales(), falls in prop::collection::vec((0usize..200, 1usize..5), 0..5), last in 1usize..5
    ) {
        let unbroken = Books::new();
        run(&sales, 1, usize::MAX, &unbroken, None).unwrap();
        let (folder, books) = (tempfile::tempdir().unwrap(), Books::new());
        for (fuse, workers) in falls {
            match run(&sales, workers, fuse, &books, Some(every_epoch(&folder))) {
                Err(Error::Source { reason, .. }) => prop_assert!(reason.contains("as it was told to")),
                other => other.unwrap(),
            }
        }
        run(&sales, last, usize::MAX, &books, Some(every_epoch(&folder))).unwrap();
        prop_assert_eq!(books.text(), unbroken.text());
    }
}

#[test]
fn an_operator_without_input_holds_no_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let letters = tidemill::Memory::new();
    let config = Config { checkpoints: Some(every_epoch(&folder)), ..Config::workers(2) };
    execute(config, move |job| {
        job.dead_letters_to(letters.clone());
        job.source("numbers", tidemill::Events::new(vec![1, 2, 3]), Timing::by(|n: &i64| *n))?.for_each(|_| ());
        Ok(())
    })
    .unwrap();
    assert!(std::fs::read_dir(folder.path()).unwrap().flatten().any(|file| {
        let name = file.file_name();
        name.to_string_lossy().starts_with("manifest-")
    }));
}

#[test]
fn a_finished_job_begun_again_does_nothing_and_its_checkpoint_must_be_there() {
    let sales = vec![vec![Sale { at: 1, user: 1, cents: 5 }, Sale { at: 2, user: 2, cents: 7 }]];
    let (folder, books) = (tempfile::tempdir().unwrap(), Books::new());
    let latest = Checkpointing { restore: Restore::Latest, ..every_epoch(&folder) };
    let refused = run(&sales, 1, usize::MAX, &books, Some(latest.clone())).unwrap_err();
    assert!(
        refused.to_string().contains("there is no checkpoint to restore") && refused.exit_code() == 74,
        "{refused}"
    );
    run(&sales, 1, usize::MAX, &books, Some(every_epoch(&folder))).unwrap();
    let text = books.text();
    run(&sales, 2, 0, &books, Some(latest)).unwrap();
    assert_eq!(books.text(), text);
}

/// What each user has spent, and how often: what [`Spent`] has become.
#[derive(Clone, Copy)]
struct Habits;

impl Maintain for Habits {
    type Key = u8;
    type In = Sale;
    type State = (i64, u32);
    type Row = (u8, i64, u32);

    const VERSION: u32 = 1;

    fn migrate(&self, version: u32, old: &mut Old<'_>) -> Result<(i64, u32), StateError> {
        assert_eq!(version, 0);
        Ok((old.read()?, 0))
    }

    fn update(&self, _: &u8, (spent, times): &mut (i64, u32), sales: &mut Vec<Record<Sale>>) {
        *times += sales.len() as u32;
        *spent += sales.drain(..).map(|sale| sale.value.cents).sum::<i64>();
    }

    fn rows(&self, user: &u8, (spent, times): &(i64, u32), rows: &mut Vec<Self::Row>) {
        rows.push((*user, *spent, *times));
    }
}

/// Runs `maintain` over sales, up to a fuse, and gives the rows it has written.
fn run_one<M: Maintain<Key = u8, In = Sale> + Copy + Send + Sync>(
    maintain: M,
    sales: &[Sale],
    (workers, fuse): (usize, usize),
    settings: Checkpointing,
) -> (Result<(), Error>, Vec<Update<M::Row>>)
where
    M::Row: Send + std::hash::Hash,
{
    let source = Events::new(sales.to_vec()).fails_after(fuse);
    let rows = tidemill::Memory::new();
    let to_rows = rows.clone();
    let config = Config { epoch_records: 5, checkpoints: Some(settings), ..Config::workers(workers) };
    let done = execute(config, move |job| {
        let sales = job.source("sales", source.clone(), Timing::by(|sale: &Sale| sale.at))?;
        sales.key_by(|sale| sale.user).maintain("spent", maintain)?.sink("rows", to_rows.clone())
    });
    (done.map(|_| ()), rows.take().into_iter().map(|(_, update)| update).collect())
}

#[test]
fn state_of_an_earlier_version_is_migrated_once() {
    let sales: Vec<_> = (0..6_000).map(|n| Sale { at: n, user: (n % 3) as u8, cents: 10 }).collect();
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = || {
        let files = std::fs::read_dir(folder.path()).unwrap().flatten();
        files.filter_map(|file| file.file_name().into_string().ok()).filter(|name| name.starts_with("manifest-")).max()
    };
    // Cut down until there is a checkpoint, which depends on the disk.
    let until_another = |run: &dyn Fn() -> Result<(), Error>| {
        let before = checkpoints();
        (0..1_000).any(|_| run().is_err() && checkpoints() > before)
    };
    assert!(until_another(&|| run_one(Spent, &sales, (2, 3_000), every_epoch(&folder)).0));
    // Nobody has said what becomes of the old state.
    let refused = run_one(Unsaid, &sales, (1, 0), every_epoch(&folder)).0.unwrap_err();
    assert!(refused.to_string().contains("`migrate` is not written"), "{refused}");
    // Over two runs, since what was migrated must be written down as it is now.
    assert!(until_another(&|| run_one(Habits, &sales, (1, 1_000), every_epoch(&folder)).0));
    let (done, rows) = run_one(Habits, &sales, (3, usize::MAX), every_epoch(&folder));
    done.unwrap();
    let last = rows.iter().filter(|update| update.diff > 0).map(|update| update.row).max_by_key(|row| row.1).unwrap();
    assert!(last.1 == 20_000 && last.2 > 0 && last.2 < 2_000, "{last:?}");
    // And there is no way back.
    let refused = run_one(Spent, &sales, (1, 0), every_epoch(&folder)).0.unwrap_err().to_string();
    assert!(refused.contains("raise its version"), "{refused}");
}

/// Keeps what [`Spent`] keeps, and means something else by it.
#[derive(Clone, Copy)]
struct Earned;

impl Maintain for Earned {
    type Key = u8;
    type In = Sale;
    type State = i64;
    type Row = (u8, i64);

    fn update(&self, _: &u8, earned: &mut i64, sales: &mut Vec<Record<Sale>>) {
        *earned -= sales.drain(..).map(|sale| sale.value.cents).sum::<i64>();
    }

    fn rows(&self, user: &u8, earned: &i64, rows: &mut Vec<(u8, i64)>) {
        rows.push((*user, *earned));
    }
}

#[test]
fn state_is_not_given_to_an_operator_of_another_kind() {
    let (folder, sales) = (tempfile::tempdir().unwrap(), [Sale { at: 1, user: 1, cents: 5 }]);
    run_one(Spent, &sales, (1, usize::MAX), every_epoch(&folder)).0.unwrap();
    let refused = run_one(Earned, &sales, (1, usize::MAX), every_epoch(&folder)).0.unwrap_err();
    assert!(refused.to_string().contains("is `maintain Earned`, and was `maintain Spent`"), "{refused}");
    assert_eq!(refused.exit_code(), 74);
    let allowed = Checkpointing { allow: vec!["spent".to_owned()], ..every_epoch(&folder) };
    run_one(Earned, &sales, (1, usize::MAX), allowed).0.unwrap();
}

/// Whoever goes back to an older checkpoint and is cut down at once has gone back all the same.
#[test]
fn a_job_that_went_back_goes_on_from_there() {
    let sales = vec![(0..400).map(|n| Sale { at: n, user: (n % 3) as u8, cents: n }).collect::<Vec<_>>()];
    let unbroken = Books::new();
    run(&sales, 1, usize::MAX, &unbroken, None).unwrap();
    let (folder, books) = (tempfile::tempdir().unwrap(), Books::new());
    run(&sales, 1, usize::MAX, &books, Some(every_epoch(&folder))).unwrap();
    let store = tidemill_checkpoint::Store::open(folder.path().to_str().unwrap()).unwrap();
    let ids = || store.list().unwrap().into_iter().map(|listed| listed.id).collect::<Vec<_>>();
    let (newest, oldest) = (*ids().iter().max().unwrap(), *ids().iter().min().unwrap());
    let epoch = store.load(oldest).unwrap().epoch;
    assert!(epoch < store.load(newest).unwrap().epoch, "{:?}", ids());
    let back = Checkpointing { restore: Restore::Id(oldest), interval_ms: 3_600_000, ..every_epoch(&folder) };
    run(&sales, 1, 0, &books, Some(back)).unwrap_err();
    let next = *ids().iter().max().unwrap();
    assert_eq!((next > newest, store.load(next).unwrap().epoch), (true, epoch));
    run(&sales, 2, usize::MAX, &books, Some(every_epoch(&folder))).unwrap();
    assert_eq!(books.text(), unbroken.text());
}

/// A whole job with its checkpoints in the bucket that `TIDEMILL_S3` gives: it falls over, and goes on.
#[cfg(feature = "s3")]
#[test]
#[ignore = "needs a server: scripts/test-s3.sh"]
fn a_job_that_falls_goes_on_from_a_bucket() {
    let address = std::env::var("TIDEMILL_S3").expect("TIDEMILL_S3=s3://bucket/path, and AWS_ENDPOINT") + "/job";
    let sales = vec![(0..60_000).map(|n| Sale { at: n, user: (n % 3) as u8, cents: n }).collect::<Vec<_>>()];
    let (unbroken, books) = (Books::new(), Books::new());
    run(&sales, 1, usize::MAX, &unbroken, None).unwrap();
    let settings = || Checkpointing { interval_ms: 0, ..Checkpointing::to(&address) };
    let store = tidemill_checkpoint::Store::open(&address).unwrap();
    let mut falls = 0;
    while store.latest().unwrap().manifest.is_none() {
        run(&sales, 1 + falls % 3, 30_000, &books, Some(settings())).unwrap_err();
        falls += 1;
        assert!(falls < 100, "it comes to no checkpoint");
    }
    run(&sales, 2, usize::MAX, &books, Some(Checkpointing { restore: Restore::Latest, ..settings() })).unwrap();
    assert_eq!(books.text(), unbroken.text());
}

/// Like [`Habits`], but does not say what becomes of the old state.
#[derive(Clone, Copy)]
struct Unsaid;

impl Maintain for Unsaid {
    type Key = u8;
    type In = Sale;
    type State = (i64, u32);
    type Row = u8;

    const VERSION: u32 = 1;

    fn update(&self, _: &u8, _: &mut (i64, u32), _: &mut Vec<Record<Sale>>) {}

    fn rows(&self, _: &u8, _: &(i64, u32), _: &mut Vec<u8>) {}
}
