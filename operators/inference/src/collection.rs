//! `infer` on a collection: each row's score is kept while the row is true.

use crate::ask::{Unscored, ask};
use crate::infer::{Infer, ScoreOf};
use crate::model::Model;
use crate::pool::Pool;
use crate::score::Quantised;
use serde::{Deserialize, Serialize};
use std::hash::Hash;
use tidemill::differential_dataflow::VecCollection;
use tidemill::hash::{group_of, owner_of, stable_hash};
use tidemill::time::BEGINNING;
use tidemill::timely::dataflow::operators::Exchange;
use tidemill::{
    Closing, Collection, Data, DeadLetter, Emit, Epoch, Kernel, Keys, Order, Record, Result, Save, Saved, StateError,
    Update, type_name,
};

impl<'s, D: Data + Ord + Hash> Infer<'s> for Collection<'s, D> {
    type Item = D;
    type Scored<S: Quantised> = Collection<'s, (D, S)>;

    fn infer<M: Model>(
        self,
        name: &str,
        pool: &Pool<M>,
        features: impl Fn(&D) -> M::In + 'static,
    ) -> Result<Collection<'s, (D, ScoreOf<M>)>> {
        let workers = self.job().scope().peers();
        let owner = move |(row, _, _): &(D, Epoch, isize)| owner_of(group_of(stable_hash(row)), workers) as u64;
        // All changes of a row on one worker, or one epoch may have several.
        let exchanged = self.then(|rows| VecCollection::new(rows.inner.exchange(owner)));
        let changes = exchanged.changes(|_| BEGINNING);
        let comes = |change: &Update<D>| change.diff > 0;
        let features = move |change: &Update<D>| features(&change.row);
        let asked = ask(&changes, name, pool, comes, features, |change, score| Ok(Asked { change, score }))?;
        let scores = ScoresKernel::new(name);
        Ok(asked.key_by(|asked| asked.change.row.clone()).kernel_rows(&format!("{name}: scores"), scores)?.0)
    }
}

/// An epoch's change of a row, and what the model answers of the row if it comes.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Asked<D, S> {
    change: Update<D>,
    score: Result<S, Unscored>,
}

/// A row that is true now: how many times, and its score, unless that is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Held<S> {
    count: isize,
    score: Option<S>,
}

/// Keeps the score that each row was given first.
struct ScoresKernel<D, S> {
    name: String,
    rows: Keys<D, Held<S>>,
}

impl<D, S> ScoresKernel<D, S> {
    fn new(name: &str) -> Self {
        ScoresKernel { name: name.to_owned(), rows: Keys::new() }
    }
}

impl<D: Data + Ord + Hash, S: Quantised> Kernel for ScoresKernel<D, S> {
    type In = Asked<D, S>;
    type Out = ((D, S), Epoch, isize);

    fn kind(&self) -> String {
        "scores of rows".to_owned()
    }

    fn state(&self) -> String {
        type_name::<S>()
    }

    fn order(&self) -> Order {
        Order::Any
    }

    fn records(&mut self, at: Closing, records: &mut Vec<Record<Self::In>>, emit: &mut Emit<Self::In, Self::Out>) {
        for Record { time, seq, value } in records.drain(..) {
            let Asked { change: Update { row, diff }, score } = value;
            let held = self.rows.get_or_insert_with(row.clone(), |_| Held { count: 0, score: None });
            held.count += diff;
            // What the first score is said of: all there are.
            let more = if held.score.is_some() { diff } else { held.count };
            match score {
                Ok(score) => _ = held.score.get_or_insert(score),
                Err(Unscored::Wrong(wrong)) if held.score.is_none() => {
                    let value = DeadLetter::of(&self.name, &row, wrong.to_string());
                    emit.dead.push(Record { time, seq, value });
                }
                Err(_) => {}
            }
            let (score, count) = (held.score.clone(), held.count);
            if count == 0 {
                self.rows.remove(&row);
            }
            emit.out.extend(score.filter(|_| more != 0).map(|score| ((row, score), at.epoch, more)));
        }
    }

    fn settle(&mut self, _: Closing, _: &mut Emit<Self::In, Self::Out>) {}

    fn save(&mut self, save: &mut Save) {
        self.rows.save(save);
    }

    fn load(&mut self, at: Closing, entry: Saved<'_>, emit: &mut Emit<Self::In, Self::Out>) -> Result<(), StateError> {
        let (row, held) = self.rows.load(entry)?;
        emit.out.extend(held.score.clone().map(|score| ((row, score), at.epoch, held.count)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::{Answer, Score};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tidemill::harness::Harness;

    /// Epochs of changes of a few rows, each at most once an epoch, with what the model answers: never the same twice.
    fn epochs() -> impl Strategy<Value = Vec<Vec<Asked<u8, Score>>>> {
        let diff = prop_oneof![3 => Just(1), 2 => Just(-1), 1 => -3..=3_isize];
        let epoch = prop::collection::btree_map(0..6_u8, (diff, prop::bool::weighted(0.2)), 0..6);
        prop::collection::vec(epoch, 1..20).prop_map(|epochs| {
            let mut asked = 0;
            let mut score = |diff, wrong| {
                asked += 1;
                match (diff, wrong) {
                    (..=0, _) => Err(Unscored::NotAsked),
                    (_, true) => f32::NAN.quantise().map_err(Unscored::Wrong),
                    _ => Ok(Score::from_millionths(asked)),
                }
            };
            let mut change = |(row, (diff, wrong))| Asked { change: Update { row, diff }, score: score(diff, wrong) };
            epochs.into_iter().map(|epoch| epoch.into_iter().map(&mut change).collect()).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Each row that is there has the first score it was given since it was not, before and after a restore: so what
        /// is retracted is what was said.
        #[test]
        fn a_row_keeps_its_score_while_it_is_there_over_a_restore(
            epochs in epochs(), workers in 1..5_usize, cut in 0..20_usize, after in 1..5_usize,
        ) {
            let row = |asked: &Asked<u8, Score>| asked.change.row;
            let mut harness = Harness::kernel(workers, row, || ScoresKernel::<u8, Score>::new("scores"));
            let (mut expected, mut rows) = (BTreeMap::<u8, Held<Score>>::new(), BTreeMap::<(u8, Score), isize>::new());
            for (number, epoch) in epochs.into_iter().enumerate() {
                if number == cut {
                    let said = harness.restore(after).expect("it reads back");
                    let said: BTreeMap<_, _> = said.into_iter().map(|(row, _, count)| (row, count)).collect();
                    prop_assert_eq!(&said, &rows);
                }
                for Asked { change, score } in &epoch {
                    let held = expected.entry(change.row).or_insert(Held { count: 0, score: None });
                    held.count += change.diff;
                    held.score = held.score.or(score.clone().ok());
                }
                expected.retain(|_, held| held.count != 0);
                epoch.into_iter().for_each(|asked| harness.push(0, asked));
                harness.close_epoch();
                for (_, row, diff) in harness.changes() {
                    *rows.entry(row).or_default() += diff;
                }
                rows.retain(|_, count| *count != 0);
                let expected = expected.iter().filter_map(|(row, held)| Some(((*row, held.score?), held.count)));
                prop_assert_eq!(&rows, &expected.collect::<BTreeMap<_, _>>());
            }
            prop_assert_eq!(harness.is_empty(), expected.is_empty());
        }
    }
}
