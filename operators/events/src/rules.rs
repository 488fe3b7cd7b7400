//! Rules that change while the job runs, at one epoch for all workers (broadcast state).

use crate::AsOf;
use crate::follow::{Everywhere, Follower, follow};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::marker::PhantomData;
use tidemill::differential_dataflow::ExchangeData;
use tidemill::{Collection, Data, Record, Result, Stream};

/// Streams whose events can be judged by rules.
pub trait WithRules<'s, T: Data>: Sized {
    /// Applies rules that change while the job runs to each event: whatever `apply` makes of it, at its own time.
    ///
    /// The rules are a collection, kept for instance by a [`Maintain`](tidemill::Maintain) from a control source
    /// ([`Timing::control`](tidemill::Timing::control)), which does not hold the watermark. Every worker has all of them.
    /// A change takes effect with the epoch it comes in, for all of that epoch's events and on all workers. `index` makes of
    /// the rules what `apply` needs, each once and in order: at the start, and for the first event behind a change.
    ///
    /// State: the rules, and their changes in epochs under way. It needs no checkpoint: after a restore a collection says its
    /// rows again, at the checkpoint's epoch, and as events of later epochs wait for it, the rules are whole when they come.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken. A panic in `index` or `apply` stops the job.
    fn with_rules<R, I, U, O>(
        self,
        name: &str,
        rules: Collection<'s, R>,
        index: impl Fn(&[&R]) -> I + 'static,
        apply: impl Fn(&I, T) -> O + 'static,
    ) -> Result<Stream<'s, U>>
    where
        R: ExchangeData,
        I: 'static,
        U: Data,
        O: IntoIterator<Item = U>;
}

/// The rules as one worker knows them.
struct Rules<R, I, F, G, T, U> {
    /// How often each is said.
    rules: BTreeMap<R, isize>,
    made: I,
    /// They have changed since the index was made.
    stale: bool,
    index: F,
    apply: G,
    events: PhantomData<fn(T) -> U>,
}

impl<R, I, F, G, T, U, O> Follower for Rules<R, I, F, G, T, U>
where
    R: ExchangeData,
    I: 'static,
    F: Fn(&[&R]) -> I + 'static,
    G: Fn(&I, T) -> O + 'static,
    T: Data,
    U: Data,
    O: IntoIterator<Item = U>,
{
    type Row = R;
    type In = T;
    type Out = U;

    fn change(&mut self, changes: Vec<(R, isize)>) {
        for (rule, diff) in changes {
            match self.rules.entry(rule) {
                Entry::Vacant(rule) => _ = rule.insert(diff),
                Entry::Occupied(rule) if *rule.get() == -diff => _ = rule.remove(),
                Entry::Occupied(mut rule) => *rule.get_mut() += diff,
            }
        }
        self.stale = true;
    }

    fn take(&mut self, Record { time, seq, value }: Record<T>, made: &mut Vec<Record<U>>) {
        if std::mem::take(&mut self.stale) {
            let true_now = self.rules.iter().filter(|(_, count)| **count > 0).map(|(rule, _)| rule);
            self.made = (self.index)(&true_now.collect::<Vec<_>>());
        }
        let of = (self.apply)(&self.made, value).into_iter().enumerate();
        made.extend(of.map(|(nth, value)| Record { time, seq: seq.child(nth), value }));
    }
}

impl<'s, T: Data> WithRules<'s, T> for Stream<'s, T> {
    fn with_rules<R, I, U, O>(
        self,
        name: &str,
        rules: Collection<'s, R>,
        index: impl Fn(&[&R]) -> I + 'static,
        apply: impl Fn(&I, T) -> O + 'static,
    ) -> Result<Stream<'s, U>>
    where
        R: ExchangeData,
        I: 'static,
        U: Data,
        O: IntoIterator<Item = U>,
    {
        let made = index(&[]);
        let none = Rules { rules: BTreeMap::new(), made, stale: false, index, apply, events: PhantomData };
        follow(self, (name, "rules"), (rules, Everywhere::Rows), AsOf::Now, none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicIsize, Ordering};
    use tidemill::{Config, Events, Maintain, Memory, Timing, execute};

    /// The limit with this number changes, or is no more.
    type Change = (u8, Option<i64>);

    /// Amounts that are paid in one epoch, at a time; some are late.
    type Paid = (i64, Vec<i64>);

    /// An event with the epoch it came in, and a limit it is above, or -1 once for each event.
    type Judged = (usize, i64, i64);

    /// Keeps the limits: those of several numbers may be the same row.
    struct Limits;

    impl Maintain for Limits {
        type Key = u8;
        type In = Change;
        type State = Option<i64>;
        type Row = i64;

        fn update(&self, _: &u8, limit: &mut Option<i64>, changes: &mut Vec<Record<Change>>) {
            *limit = changes.last().and_then(|change| change.value.1);
        }

        fn rows(&self, _: &u8, limit: &Option<i64>, rows: &mut Vec<i64>) {
            rows.extend(*limit);
        }
    }

    /// By the definition, epoch by epoch: all changes up to then, then the events.
    fn oracle(payments: &[Vec<Paid>], changes: &[Vec<Change>]) -> Vec<Judged> {
        let mut judged = vec![];
        for (epoch, paid) in payments.iter().enumerate() {
            let limits: BTreeMap<u8, Option<i64>> = changes.iter().take(epoch + 1).flatten().copied().collect();
            let limits: BTreeSet<i64> = limits.into_values().flatten().chain([-1]).collect();
            for amount in paid.iter().flat_map(|(_, amounts)| amounts) {
                judged.extend(limits.iter().filter(|limit| amount > limit).map(|limit| (epoch, *amount, *limit)));
            }
        }
        judged.sort();
        judged
    }

    /// What a job makes of it: an epoch takes one item of each of the payments' partitions, and one of the changes.
    fn run(workers: usize, payments: &[Vec<Paid>], changes: &[Vec<Change>]) -> Vec<Judged> {
        let partition = |at: usize| (0..).zip(payments).map(|(epoch, paid)| (epoch, paid[at].clone())).collect();
        let payments = Events::partitioned((0..PARTITIONS).map(partition).collect::<Vec<Vec<(usize, Paid)>>>());
        let changes = Events::new((0i64..).zip(changes.iter().cloned()).collect());
        let out = Memory::new();
        let to_out = out.clone();
        execute(Config { epoch_records: 1, ..Config::workers(workers) }, move |job| {
            let timing = Timing::by(|(_, (time, _)): &(usize, Paid)| *time);
            let payments = job.source("payments", payments.clone(), timing)?;
            let payments = payments.flat_map(|(epoch, (_, paid))| paid.into_iter().map(move |amount| (epoch, amount)));
            let timing = Timing::by(|(time, _): &(i64, Vec<Change>)| *time).control();
            let limits = job.source("changes", changes.clone(), timing)?.flat_map(|(_, changes)| changes);
            let limits = limits.key_by(|change| change.0).maintain("limits", Limits)?;
            let index = |limits: &[&i64]| limits.iter().map(|limit| **limit).chain([-1]).collect::<Vec<i64>>();
            let over = |limits: &Vec<i64>, (epoch, amount): (usize, i64)| {
                let over = limits.iter().filter(|limit| amount > **limit);
                over.map(|limit| (epoch, amount, *limit)).collect::<Vec<_>>()
            };
            payments.with_rules("over limits", limits, index, over)?.sink("out", to_out.clone())
        })
        .unwrap();
        let mut out = out.values();
        out.sort();
        out
    }

    const PARTITIONS: usize = 3;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn each_event_is_judged_by_the_rules_of_its_own_epoch(
            payments in prop::collection::vec(
                prop::collection::vec((0i64..2_000, prop::collection::vec(0i64..12, 0..4)), PARTITIONS), 0..30),
            changes in prop::collection::vec(
                prop::collection::vec((0u8..4, prop::option::of(0i64..12)), 0..4), 0..40),
            cut in 0usize..30,
        ) {
            let expected = oracle(&payments, &changes);
            for workers in [1, 2, 4] {
                prop_assert_eq!(&run(workers, &payments, &changes), &expected, "{} workers", workers);
            }
            // After a restore: no events before, and the collection says what is true.
            let (cut, said) = (cut.min(payments.len()), changes.iter().take(cut.min(payments.len())).flatten());
            let said: BTreeMap<u8, Option<i64>> = said.copied().collect();
            let later = changes.iter().skip(cut).cloned();
            let changes: Vec<Vec<Change>> = std::iter::once(said.into_iter().collect()).chain(later).collect();
            let nothing = vec![(0, vec![]); PARTITIONS];
            let payments: Vec<Vec<Paid>> = std::iter::once(nothing).chain(payments[cut..].iter().cloned()).collect();
            let expected = expected.into_iter().filter(|judged| judged.0 >= cut);
            let expected: Vec<Judged> = expected.map(|(epoch, amount, limit)| (epoch - cut + 1, amount, limit)).collect();
            prop_assert_eq!(run(2, &payments, &changes), expected);
        }
    }

    /// A rule of which it is known how many there are, and how many there have been at once.
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(from = "i64", into = "i64")]
    struct Counted(i64);

    static ALIVE: AtomicIsize = AtomicIsize::new(0);
    static MOST: AtomicIsize = AtomicIsize::new(0);

    impl From<i64> for Counted {
        fn from(limit: i64) -> Self {
            MOST.fetch_max(ALIVE.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            Counted(limit)
        }
    }

    impl From<Counted> for i64 {
        fn from(rule: Counted) -> Self {
            rule.0
        }
    }

    impl Clone for Counted {
        fn clone(&self) -> Self {
            Counted::from(self.0)
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            ALIVE.fetch_sub(1, Ordering::SeqCst);
        }
    }

    struct Latest;

    impl Maintain for Latest {
        type Key = u8;
        type In = i64;
        type State = i64;
        type Row = Counted;

        fn update(&self, _: &u8, latest: &mut i64, changes: &mut Vec<Record<i64>>) {
            *latest = changes.last().map_or(*latest, |change| change.value);
        }

        fn rows(&self, _: &u8, latest: &i64, rows: &mut Vec<Counted>) {
            rows.push(Counted::from(*latest));
        }
    }

    #[test]
    fn changes_do_not_pile_up_while_no_events_come() {
        execute(Config { epoch_records: 1, ..Config::workers(1) }, |job| {
            let events = job.source("events", Events::new(Vec::<i64>::new()), Timing::by(|time| *time))?;
            let rules = job.source("rules", Events::new((0..5_000).collect()), Timing::by(|time| *time).control())?;
            let rules = rules.key_by(|_| 0u8).maintain("latest", Latest)?;
            events.with_rules("rules of none", rules, |rules| rules.len(), |_, event| Some(event))?.for_each(drop);
            Ok(())
        })
        .unwrap();
        let most = MOST.load(Ordering::SeqCst);
        assert!((1..500).contains(&most), "{most} at once, of 5,000 changes");
    }

    #[test]
    fn a_name_that_is_taken_is_refused() {
        let outcome = execute(Config::workers(1), |job| {
            let events = job.source("events", Events::new(vec![1]), Timing::by(|time: &i64| *time))?;
            let rules = events.clone().key_by(|_| 0u8).maintain("rules", Latest)?;
            events.with_rules("rules", rules, |rules| rules.len(), |_, event| Some(event))?.sink("out", Memory::new())
        });
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains("two operators are named `rules`"), "{error}");
    }
}
