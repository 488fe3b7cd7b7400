//! Compares what the engine answers with what plain loops over the same events answer.

use crate::answer::Rows;
use crate::event::Event;
use crate::generator::Generator;
use crate::source::Nexmark;
use anyhow::{Context, ensure};
use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::io;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::Path;
use tidemill::time::seconds;
use tidemill::{Clock, Config, ManualClock, Millis, Result, Stream};

/// How many events queries are checked on.
pub const EVENTS: u64 = 100_000;

/// One way to run a query.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// How far events are out of order, in milliseconds.
    pub disorder: Millis,
    /// How many workers there are, and as many partitions.
    pub workers: NonZeroUsize,
}

impl Display for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.disorder {
            0 => write!(f, "in order, workers: {}", self.workers),
            ms => write!(f, "shuffled within {ms} ms, workers: {}", self.workers),
        }
    }
}

/// Events, and the ways to run queries over them.
#[derive(Clone, Debug)]
pub struct Check {
    generator: Generator,
    events: Vec<Event>,
    trials: Vec<Trial>,
}

impl Check {
    /// A check on the generator's first events.
    pub fn new(generator: Generator, events: u64, trials: Vec<Trial>) -> Self {
        Check { generator, events: (0..events).map(|number| generator.event(number)).collect(), trials }
    }

    /// The standard one: 100,000 events of 100 seconds around a midnight, in order and shuffled within 2 seconds, each
    /// on 1, 2 and 4 workers.
    pub fn standard() -> Self {
        let trials = [0, seconds(2)].into_iter().flat_map(|disorder| {
            [1, 2, 4].into_iter().filter_map(NonZeroUsize::new).map(move |workers| Trial { disorder, workers })
        });
        let rate = NonZeroU64::new(1_000).unwrap_or(NonZeroU64::MIN);
        let start = Generator::default().start - seconds(50);
        Check::new(Generator { rate, start, ..Generator::default() }, EVENTS, trials.collect())
    }

    /// Checks the rows that come out of a graph.
    pub fn rows<R: Ord + Clone + Debug + Send + 'static>(
        &self,
        answer: for<'s> fn(Stream<'s, Event>, &Rows<R>) -> Result<()>,
        brute_force: fn(&[Event]) -> Vec<R>,
    ) -> anyhow::Result<u64> {
        self.compare(brute_force, |trial| {
            let rows = Rows::default();
            let to_rows = rows.clone();
            self.run(trial, move |events| answer(events, &to_rows))?;
            Ok(rows.take())
        })
    }

    /// Checks the files that a graph writes to an empty folder.
    pub fn files<R: Ord + Debug>(
        &self,
        answer: for<'s> fn(Stream<'s, Event>, &Path) -> Result<()>,
        read: fn(&Path) -> io::Result<Vec<R>>,
        brute_force: fn(&[Event]) -> Vec<R>,
    ) -> anyhow::Result<u64> {
        self.compare(brute_force, |trial| {
            let folder = tempfile::tempdir().context("there is no folder for temporary files")?;
            let path = folder.path().to_owned();
            self.run(trial, move |events| answer(events, &path))?;
            let rows = read(folder.path()).context("what was written cannot be read")?;
            Ok(counted(rows))
        })
    }

    fn compare<R: Ord + Debug>(
        &self,
        brute_force: fn(&[Event]) -> Vec<R>,
        answer: impl Fn(Trial) -> anyhow::Result<BTreeMap<R, isize>>,
    ) -> anyhow::Result<u64> {
        let expected = counted(brute_force(&self.events));
        for trial in &self.trials {
            same(&expected, &answer(*trial)?).with_context(|| trial.to_string())?;
        }
        Ok(self.trials.len() as u64 * expected.values().sum::<isize>() as u64)
    }

    /// Runs a graph over the events. They are all read, and none of them is late or refused.
    fn run(
        &self,
        trial: Trial,
        graph: impl for<'s> Fn(Stream<'s, Event>) -> Result<()> + Send + Sync + 'static,
    ) -> anyhow::Result<()> {
        let Trial { disorder, workers } = trial;
        let events =
            Nexmark { generator: self.generator, events: self.events.len() as u64, partitions: workers, disorder };
        let clock = Clock::Manual(ManualClock::at(0));
        let config = Config { clock, epoch_records: 1_000, ..Config::workers(workers.get()) };
        let did = tidemill::execute(config, move |job| graph(events.read(job)?))?.finished()?;
        let (late, dead) = (did.late(), did.dead());
        ensure!(late == 0 && dead == 0, "{late} events were late and {dead} were refused ({trial})");
        Ok(())
    }
}

fn counted<R: Ord>(rows: Vec<R>) -> BTreeMap<R, isize> {
    let mut counts = BTreeMap::new();
    rows.into_iter().for_each(|row| *counts.entry(row).or_default() += 1);
    counts
}

/// Fails if the two are not the same, with an example of each difference.
fn same<R: Ord + Debug>(expected: &BTreeMap<R, isize>, answered: &BTreeMap<R, isize>) -> anyhow::Result<()> {
    let missing: Vec<_> = expected.iter().filter(|(row, count)| answered.get(row) != Some(count)).collect();
    let wrong: Vec<_> = answered.iter().filter(|(row, count)| expected.get(row) != Some(count)).collect();
    ensure!(
        missing.is_empty() && wrong.is_empty(),
        "of {} rows {} are missing, such as {:?}, and {} should not be there, such as {:?}",
        expected.len(),
        missing.len(),
        missing.first(),
        wrong.len(),
        wrong.first(),
    );
    Ok(())
}
