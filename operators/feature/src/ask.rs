//! Sliding windows asked by the rows of a collection.

use serde::{Deserialize, Serialize};
use tidemill::{
    Collection, Data, DeadLetter, Epoch, Kernel, Key, Keyed, Millis, Result, Stream, Update, differential_dataflow,
};

use crate::corrected::{AtOnceKernel, Meaning};
use crate::{Answer, Windows};

/// What a key's windows see when the questions are rows of a collection.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Seen<E, Q> {
    Fact(E),
    Row(Update<Q>),
}

/// What a fact counts for: `[i64; N]`, its values; or with how many times more the fact is there than before, where facts can
/// be taken back: `([i64; N], isize)`, as of an [`Update`].
pub trait Counts<const N: usize>: 'static {
    /// The values, and how many times they count: below 0 if a fact like it is taken back.
    fn counts(self) -> ([i64; N], isize);
}

impl<const N: usize> Counts<N> for [i64; N] {
    fn counts(self) -> ([i64; N], isize) {
        (self, 1)
    }
}

impl<const N: usize> Counts<N> for ([i64; N], isize) {
    fn counts(self) -> ([i64; N], isize) {
        self
    }
}

/// Sliding windows asked by the rows of a collection.
pub trait AskAtOnce<'s, Q: Clone + 'static> {
    /// Adds to each row what the windows hold at its time, over `facts`: as the rows change, and
    /// as facts come in, late ones too, exactly the rows they touch are corrected.
    ///
    /// Rows and facts meet by key: `row` tells a row's key and its time in ms. To facts of its own
    /// time a row comes last, so they count for it; facts that are changes of a collection too are in no such order, and want
    /// [`crate::Ties::All`]. A row goes when it is retracted, or else as in [`crate::SlidingWindows::at_once`], by the lesser of
    /// the two watermarks; one that is added behind the horizon gets no answer. The stream holds the facts that came too late.
    ///
    /// `values` tells what a fact counts for; facts that are updates ([`Counts`]) can be taken back, which corrects the same
    /// rows again: see [`crate::SlidingWindowsOfUpdates::updates_at_once`].
    ///
    /// A snapshot holds the facts and the rows with their answers, so a restore asks nothing again.
    ///
    /// # Errors
    ///
    /// If the job has an operator called `name` already.
    fn at_once<E, K, G, V, C, const N: usize, const W: usize>(
        self,
        name: &str,
        row: impl Fn(&Q) -> (K, Millis) + Clone + 'static,
        facts: Keyed<'s, E, G>,
        values: V,
        windows: Windows<W>,
    ) -> Result<(Collection<'s, (Q, Answer<N, W>)>, Stream<'s, E>)>
    where
        E: Data,
        K: Key,
        G: Fn(&E) -> K + Clone + 'static,
        V: Fn(&E) -> C + Clone + 'static,
        C: Counts<N>;
}

impl<'s, Q: Data + differential_dataflow::Data> AskAtOnce<'s, Q> for Collection<'s, Q> {
    fn at_once<E, K, G, V, C, const N: usize, const W: usize>(
        self,
        name: &str,
        row: impl Fn(&Q) -> (K, Millis) + Clone + 'static,
        facts: Keyed<'s, E, G>,
        values: V,
        windows: Windows<W>,
    ) -> Result<(Collection<'s, (Q, Answer<N, W>)>, Stream<'s, E>)>
    where
        E: Data,
        K: Key,
        G: Fn(&E) -> K + Clone + 'static,
        V: Fn(&E) -> C + Clone + 'static,
        C: Counts<N>,
    {
        let (time, of_row, of_fact) = (row.clone(), row, facts.key());
        let key = move |seen: &Seen<E, Q>| match seen {
            Seen::Fact(fact) => of_fact(fact),
            Seen::Row(update) => of_row(&update.row).0,
        };
        let rows = self.changes(move |row| time(row).1).map(Seen::Row);
        let both = facts.stream().clone().map(Seen::Fact).union(rows);
        let kernel = kernel(name, key.clone(), values, windows);
        let (rows, late) = both.key_by(key).kernel_rows(name, kernel)?;
        let late = late.flat_map(|seen| match seen {
            Seen::Fact(fact) => Some(fact),
            Seen::Row(_) => None,
        });
        Ok((rows, late))
    }
}

/// What [`AskAtOnce::at_once`] runs.
fn kernel<E, Q, K, G, V, C, const N: usize, const W: usize>(
    name: &str,
    key: G,
    values: V,
    windows: Windows<W>,
) -> impl Kernel<In = Seen<E, Q>, Out = ((Q, Answer<N, W>), Epoch, isize)> + use<E, Q, K, G, V, C, N, W>
where
    E: Data,
    Q: Data + differential_dataflow::Data,
    K: Key,
    G: Fn(&Seen<E, Q>) -> K + 'static,
    V: Fn(&E) -> C + 'static,
    C: Counts<N>,
{
    let meaning = move |seen: &Seen<E, Q>| match seen {
        Seen::Fact(fact) => Meaning { fact: Some(values(fact).counts()), question: None },
        Seen::Row(Update { row, diff }) => Meaning { fact: None, question: Some((row.clone(), *diff)) },
    };
    let letter = |name: &str, seen: &Seen<E, Q>, reason| match seen {
        Seen::Fact(fact) => DeadLetter::of(name, fact, reason),
        Seen::Row(update) => DeadLetter::of(name, &update.row, reason),
    };
    AtOnceKernel::<_, _, _, _, _, N, W, ()>::new(name, key, windows, meaning, letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Span, Ties};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tidemill::Seq;
    use tidemill::harness::Harness;
    use tidemill::time::END;

    /// Time, key, value.
    type Fact = (Millis, u8, i64);
    /// Time, key.
    type Row = (Millis, u8);
    /// Rows with how often each is true.
    type Rows<R> = BTreeMap<R, isize>;

    /// Facts, how many times more which rows are true, and the watermark at the end.
    #[derive(Clone, Debug)]
    struct Changes {
        facts: Vec<Fact>,
        rows: Rows<Row>,
        watermark: Millis,
    }

    /// Epochs with facts and rows on both sides of the watermark, many at the same time; then the end.
    fn epochs() -> impl Strategy<Value = Vec<Changes>> {
        let fact = (-40..60i64, 0..3u8, -2..3i64);
        let row = (-40..60i64, 0..3u8, -2..4isize);
        let epoch = (prop::collection::vec(fact, 0..8), prop::collection::vec(row, 0..8), 0..30i64);
        prop::collection::vec(epoch, 1..12).prop_map(|epochs| {
            let (mut watermark, mut held) = (0, Rows::new());
            let mut changes = Vec::new();
            for (facts, rows, step) in epochs {
                let at = |ahead: Millis| (watermark + ahead) / 4 * 4;
                let facts = facts.into_iter().map(|(ahead, key, value)| (at(ahead), key, value)).collect();
                let mut net = Rows::new();
                for (ahead, key, diff) in rows {
                    let row = (at(ahead), key);
                    let held = held.entry(row).or_insert(0);
                    let diff = diff.max(-*held);
                    *held += diff;
                    *net.entry(row).or_insert(0) += diff;
                }
                net.retain(|_, diff| *diff != 0);
                watermark += step;
                changes.push(Changes { facts, rows: net, watermark });
            }
            let end = |watermark| Changes { facts: vec![], rows: Rows::new(), watermark };
            changes.extend([END - 1, END].map(end));
            changes
        })
    }

    fn windows() -> impl Strategy<Value = Windows<2>> {
        let ties = prop_oneof![Just(Ties::Before), Just(Ties::All)];
        (1..50u64, 1..50u64, 0..20u64, ties, 0..40u64).prop_map(|(one, other, delay, ties, lateness)| {
            Windows::new([Span::last(one), Span::last(other).delayed(delay)]).ties(ties).lateness(lateness)
        })
    }

    /// Pushes a row's change, which has a place by the row, behind all facts.
    fn change<N: Kernel<In = Seen<E, Row>>, E>(harness: &mut Harness<N>, row: &Row, diff: isize) {
        harness.push_at(row.0, Seq::new(1, row.1.into()), Seen::Row(Update { row: *row, diff }));
    }

    /// Adds changes of rows to those that are true.
    fn add<R: Ord>(rows: &mut Rows<R>, changes: impl IntoIterator<Item = (R, Epoch, isize)>) {
        changes.into_iter().for_each(|(row, _, diff)| *rows.entry(row).or_insert(0) += diff);
        rows.retain(|_, count| *count != 0);
    }

    /// What came too late, in an order of its own.
    fn late<N: Kernel<In = Seen<Fact, Row>>>(harness: &mut Harness<N>) -> Vec<String> {
        let mut late: Vec<_> = harness.late().iter().map(|seen| format!("{seen:?}")).collect();
        late.sort();
        late
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn a_restore_says_the_same_answers_again_and_changes_nothing(
            windows in windows(), epochs in epochs(),
            cut in 0..12usize, before in 1..5usize, after in 1..5usize,
        ) {
            let key = |seen: &Seen<Fact, Row>| match seen {
                Seen::Fact(fact) => fact.1,
                Seen::Row(update) => update.row.1,
            };
            let harness = |workers| {
                Harness::kernel(workers, key, move || kernel("ask", key, |fact: &Fact| [fact.2], windows))
            };
            let (mut whole, mut broken) = (harness(1), harness(before));
            let mut answers = Rows::new();
            for (number, Changes { facts, rows, watermark }) in epochs.into_iter().enumerate() {
                if number == cut {
                    let mut said = Rows::new();
                    add(&mut said, broken.restore(after).expect("it reads back"));
                    prop_assert_eq!(&said, &answers);
                }
                for harness in [&mut whole, &mut broken] {
                    facts.iter().for_each(|fact| harness.push(fact.0, Seen::Fact(*fact)));
                    rows.iter().for_each(|(row, diff)| change(harness, row, *diff));
                    harness.watermark(watermark);
                }
                let changes = whole.changes();
                prop_assert_eq!(&broken.changes(), &changes);
                add(&mut answers, changes.into_iter().map(|(epoch, row, diff)| (row, epoch, diff)));
                prop_assert_eq!(late(&mut broken), late(&mut whole));
            }
            prop_assert!(answers.is_empty() && broken.is_empty(), "nothing is kept when the time is over");
        }

        #[test]
        fn facts_that_are_taken_back_were_never_there(
            windows in windows(), epochs in epochs(), gone in prop::collection::vec(any::<bool>(), 100), workers in 1..4usize,
        ) {
            let key = |seen: &Seen<Update<Fact>, Row>| match seen {
                Seen::Fact(fact) => fact.row.1,
                Seen::Row(update) => update.row.1,
            };
            let values = |fact: &Update<Fact>| ([fact.row.2], fact.diff);
            let harness = || Harness::kernel(workers, key, move || kernel("ask", key, values, windows));
            let (mut told, mut never) = (harness(), harness());
            let mut facts = (0..).zip(gone);
            let mut taken_back = Vec::new();
            let last = epochs.len() - 2;
            for (epoch, Changes { facts: new, rows, watermark }) in epochs.into_iter().enumerate() {
                for (row, (number, gone)) in new.into_iter().zip(&mut facts) {
                    let push = |harness: &mut Harness<_>, diff| {
                        harness.push_at(row.0, Seq::new(0, number), Seen::Fact(Update { row, diff }));
                    };
                    push(&mut told, 1);
                    if gone { taken_back.push((row, number)) } else { push(&mut never, 1) }
                }
                if epoch == last {
                    // The input is at its end, but time is not.
                    for (row, number) in &taken_back {
                        told.push_at(row.0, Seq::new(0, *number), Seen::Fact(Update { row: *row, diff: -1 }));
                    }
                    told.watermark(watermark.min(2_000));
                    never.watermark(watermark.min(2_000));
                    break;
                }
                for harness in [&mut told, &mut never] {
                    rows.iter().for_each(|(row, diff)| change(harness, row, *diff));
                    harness.watermark(watermark);
                }
            }
            let (mut answers, mut expected) = (Rows::new(), Rows::new());
            add(&mut answers, told.changes().into_iter().map(|(epoch, row, diff)| (row, epoch, diff)));
            add(&mut expected, never.changes().into_iter().map(|(epoch, row, diff)| (row, epoch, diff)));
            prop_assert_eq!(answers, expected);
            prop_assert!(told.dead().is_empty());
        }
    }
}
