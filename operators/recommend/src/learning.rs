//! A ranker that goes on learning from what users do with what is suggested to them.
//!
//! ```text
//! suggestions ─┬───────────────────────────────── ranked by the weights as they are ── candidates
//!              └─ lessons: what was chosen of which ── weights ─┘
//! wishes to be forgotten ───────────────────────────────┘
//! ```
//!
//! What is suggested to one user comes of what others do. So what a ranker has learnt may come, by the choices of anybody, of
//! what a user did who wants to be forgotten, and nobody can tell which part of it. With each wish it begins anew, and learns
//! from what is suggested after the wish's epoch. It has few weights, so this costs little; where wishes come more often than
//! the watermark passes what has been suggested, it never learns anything.

use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use tidemill::differential_dataflow::ExchangeData;
use tidemill::{Context, Key, Maintain, Millis, Order, Process, Record, Reject};
use tidemill_events::Index;

use crate::ranker::{Candidates, Ranker};
use crate::suggest::{Entry, Suggestions};

/// What is known of how suggestions do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "U: Key, I: Key")]
pub enum Feedback<U, I> {
    /// This is suggested from now on.
    Suggested {
        /// To whom.
        user: U,
        /// The time of the last of the user's events that it is made of: what was chosen by then was not chosen of it.
        as_of: Millis,
        /// What.
        candidates: Candidates<I>,
        /// After how many wishes to be forgotten, not counting those of its own epoch.
        wishes: u64,
    },
    /// An item was shown.
    Shown {
        /// To whom.
        user: U,
        /// Which.
        item: I,
    },
    /// An item was chosen, out of a list or in another way.
    Chosen {
        /// By whom.
        user: U,
        /// Which.
        item: I,
    },
    /// What was suggested and shown to a user by now counts no more, because the user wants to be forgotten, or was away when
    /// another did; what is made of later events does.
    Gone {
        /// Who.
        user: U,
    },
}

impl<U: Key, I: Key> Feedback<U, I> {
    /// Whose it is.
    pub fn user(&self) -> &U {
        match self {
            Feedback::Suggested { user, .. }
            | Feedback::Shown { user, .. }
            | Feedback::Chosen { user, .. }
            | Feedback::Gone { user } => user,
        }
    }
}

/// That one of several items was chosen, and what the sources said of each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "I: Key")]
pub struct Lesson<I> {
    /// Those that the user had before them.
    pub candidates: Candidates<I>,
    /// Which was chosen.
    pub chosen: I,
    /// After how many wishes to be forgotten they were suggested.
    pub wishes: u64,
}

/// Makes lessons of feedback, in order of event time: an item that is chosen and was suggested before that is a lesson among
/// the items that were shown since then and have been ignored, or among all that were suggested if nobody said what was
/// shown.
///
/// State: what was suggested to each user last and before that, and what was shown, until the user has done nothing for `keep`
/// ms, [`Feedback::Gone`] comes, or something else is suggested after anybody's wish to be forgotten.
pub struct Lessons<U, I> {
    keep: Millis,
    of: PhantomData<fn(U, I)>,
}

impl<U, I> Lessons<U, I> {
    /// Lessons of users who were there in the last `keep` ms: longer than events may come out of order.
    pub fn new(keep: Millis) -> Self {
        Lessons { keep, of: PhantomData }
    }
}

/// So many items that were shown last are remembered of each user.
const SHOWN: usize = 100;

/// What a user has before them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "I: Key")]
pub struct Before<I> {
    /// With the times since when it is suggested, the latest last; two at most, for what a choice leads to is suggested in
    /// the very millisecond of that choice.
    suggested: Vec<(Millis, Candidates<I>)>,
    /// After how many wishes to be forgotten.
    wishes: u64,
    shown: Vec<I>,
}

impl<I> Default for Before<I> {
    fn default() -> Self {
        Before { suggested: Vec::new(), wishes: 0, shown: Vec::new() }
    }
}

impl<U: Key, I: Key> Process for Lessons<U, I> {
    type Key = U;
    type In = Feedback<U, I>;
    type Out = Lesson<I>;
    type State = Before<I>;

    const UNDO: bool = false;

    fn ttl(&self) -> Option<Millis> {
        Some(self.keep)
    }

    fn process(
        &self,
        _: &U,
        feedback: Feedback<U, I>,
        before: &mut Before<I>,
        ctx: &mut Context<'_, Lesson<I>>,
    ) -> Result<(), Reject> {
        match feedback {
            Feedback::Suggested { wishes, .. } if wishes < before.wishes => {}
            Feedback::Suggested { as_of, candidates, wishes, .. } => {
                if wishes > before.wishes {
                    *before = Before { wishes, ..Before::default() };
                }
                before.suggested.push((ctx.time().max(as_of), candidates));
                let older = before.suggested.len().saturating_sub(2);
                before.suggested.drain(..older);
            }
            Feedback::Shown { item, .. } => {
                before.shown.push(item);
                let older = before.shown.len().saturating_sub(SHOWN);
                before.shown.drain(..older);
            }
            Feedback::Chosen { item, .. } => {
                let known = before.suggested.iter().rev().find(|(since, _)| *since < ctx.time());
                let shown = std::mem::take(&mut before.shown);
                let Some((_, candidates)) = known.filter(|(_, known)| known.items().contains(&item)) else {
                    return Ok(());
                };
                let candidates = if shown.contains(&item) { candidates.among(&shown) } else { candidates.clone() };
                ctx.emit(Lesson { candidates, chosen: item, wishes: before.wishes });
            }
            Feedback::Gone { .. } => {
                before.shown.clear();
                before.suggested.retain(|(since, _)| *since > ctx.time());
                if before.suggested.is_empty() {
                    ctx.forget();
                }
            }
        }
        Ok(())
    }
}

/// What makes a ranker what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "I: Key")]
pub enum Teaching<I> {
    /// It learns this.
    Lesson(Lesson<I>),
    /// Somebody wants to be forgotten: one for each that suggestions have noted ([`Wishes`](crate::Wishes)), in its epoch.
    Wish,
}

/// Keeps what a ranker has learnt since the last wish to be forgotten, from what was suggested after it, as a collection of
/// one row; of none before it has learnt anything. All lessons go to one worker: they are few.
///
/// State: the ranker.
pub struct Learned<I> {
    first: Ranker,
    items: PhantomData<fn(I)>,
}

impl<I> Learned<I> {
    /// Begins with this ranker.
    pub fn new(first: Ranker) -> Self {
        Learned { first, items: PhantomData }
    }
}

/// What the sources weigh.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WeightsRow {
    /// After how many wishes to be forgotten.
    pub wishes: u64,
    /// Of each source its score, the logarithm of that, reciprocal rank and presence, in millionths.
    pub weights: Vec<i64>,
}

/// What was learnt.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Taught {
    wishes: u64,
    ranker: Option<Ranker>,
}

impl<I: Key> Maintain for Learned<I> {
    type Key = ();
    type In = Teaching<I>;
    type State = Taught;
    type Row = WeightsRow;

    const ORDER: Order = Order::Arrival;

    fn update(&self, _: &(), taught: &mut Taught, teachings: &mut Vec<Record<Teaching<I>>>) {
        let wishes = teachings.iter().filter(|teaching| matches!(teaching.value, Teaching::Wish)).count();
        if wishes > 0 {
            *taught = Taught { wishes: taught.wishes + wishes as u64, ranker: None };
        }
        for teaching in teachings.drain(..) {
            if let Teaching::Lesson(Lesson { candidates, chosen, wishes }) = teaching.value
                && wishes == taught.wishes
            {
                taught.ranker.get_or_insert_with(|| self.first.clone()).learn(&candidates, &chosen);
            }
        }
    }

    fn rows(&self, _: &(), Taught { wishes, ranker }: &Taught, rows: &mut Vec<WeightsRow>) {
        let whole = |weight: &f64| (weight * 1e6).round() as i64;
        let weights = ranker.iter().map(|ranker| ranker.weights().iter().map(whole).collect());
        rows.extend(weights.map(|weights| WeightsRow { wishes: *wishes, weights }));
    }
}

/// Ranks what was suggested, with the candidates made of it, by the weights that [`Learned`] keeps. Weights from before a later
/// wish to be forgotten are not used: then, and before anything was learnt, it ranks by those it begins with.
pub struct Ranking<U, I> {
    first: Ranker,
    /// What was learnt, and after how many wishes.
    learnt: Option<(u64, Ranker)>,
    n: usize,
    of: PhantomData<fn(U, I)>,
}

impl<U, I> Ranking<U, I> {
    /// Gives the `n` best.
    pub fn new(first: Ranker, n: usize) -> Self {
        Ranking { first, learnt: None, n, of: PhantomData }
    }
}

impl<U: Key, I: Key + ExchangeData> Index for Ranking<U, I> {
    type Row = WeightsRow;
    type Question = (Suggestions<U, I>, Candidates<I>);
    type Answer = Vec<Entry<I>>;

    fn change(&mut self, WeightsRow { wishes, weights }: WeightsRow, diff: isize) {
        self.learnt = (diff > 0).then(|| {
            let weights: Vec<f64> = weights.into_iter().map(|weight| weight as f64 / 1e6).collect();
            let mut ranker = self.first.clone();
            ranker.set_weights(&weights);
            (wishes, ranker)
        });
    }

    fn answer(&mut self, (Suggestions { lists, wishes, .. }, candidates): &Self::Question) -> Vec<Entry<I>> {
        let entry = |(item, source): (I, usize)| {
            let because = lists.get(source).and_then(|list| list.iter().find(|of| of.item == item)?.because.clone());
            Entry { item, source: source as u8, because }
        };
        let learnt = self.learnt.as_ref().filter(|(after, _)| after == wishes);
        let ranker = learnt.map_or(&self.first, |(_, ranker)| ranker);
        ranker.best(candidates, self.n).into_iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suggest::Suggestion;
    use tidemill::harness::Harness;

    fn suggested(user: u8, items: &[u8], wishes: u64) -> Feedback<u8, u8> {
        let list = items.iter().zip([4.0, 3.0, 2.0, 1.0]);
        let list = list.map(|(item, score)| Suggestion { item: *item, score, because: None }).collect();
        let candidates = Suggestions::new(user, 0, vec![]).with(list).candidates();
        Feedback::Suggested { user, as_of: 0, candidates, wishes }
    }

    #[test]
    fn a_choice_is_a_lesson_among_what_was_before_the_user() {
        let mut harness = Harness::process(2, |feedback: &Feedback<u8, u8>| *feedback.user(), || Lessons::new(1_000));
        let chosen = |user, item| Feedback::Chosen { user, item };
        harness.push(10, suggested(1, &[5, 6, 7], 0));
        // What a choice leads to comes at the time of the choice, and may come before it.
        harness.push(20, suggested(1, &[8, 9], 0));
        harness.push(20, chosen(1, 6));
        // Only what was shown has been ignored.
        harness.push(30, Feedback::Shown { user: 1, item: 9 });
        harness.push(40, chosen(1, 9));
        // Nobody suggested it; another user's; and long after all was forgotten.
        harness.push(50, chosen(1, 77));
        harness.push(60, chosen(2, 9));
        harness.push(5_000, chosen(1, 8));
        // Nothing waits for a choice of somebody who is gone, but what is made of later events.
        harness.push(7_000, suggested(3, &[5, 6], 0));
        harness.push(7_001, Feedback::Gone { user: 3 });
        harness.push(7_002, chosen(3, 5));
        let Feedback::Suggested { user, candidates, wishes, .. } = suggested(4, &[5, 6], 1) else { panic!() };
        harness.push(7_000, Feedback::Suggested { user, as_of: 7_002, candidates, wishes });
        harness.push(7_001, Feedback::Gone { user: 4 });
        harness.push(7_003, chosen(4, 5));
        harness.watermark(9_000);
        let lessons: Vec<(Vec<u8>, u8)> =
            harness.out().into_iter().map(|lesson| (lesson.candidates.items().to_vec(), lesson.chosen)).collect();
        assert_eq!(lessons, [(vec![5, 6, 7], 6), (vec![9], 9), (vec![5, 6], 5)]);
        assert!(harness.is_empty());
    }

    #[test]
    fn a_choice_is_among_what_was_suggested_after_the_last_wish_and_before_the_choice() {
        let mut harness = Harness::process(2, |feedback: &Feedback<u8, u8>| *feedback.user(), || Lessons::new(1_000));
        harness.push(10, suggested(1, &[5, 6], 0));
        harness.push(20, suggested(1, &[6, 7], 1));
        // It was suggested before, though the time it is asked for is later.
        harness.push(30, suggested(1, &[5, 8], 0));
        harness.push(40, Feedback::Chosen { user: 1, item: 5 });
        harness.push(50, Feedback::Chosen { user: 1, item: 7 });
        // Nobody knew then what it is made of.
        let Feedback::Suggested { user, candidates, .. } = suggested(2, &[5, 6], 1) else { panic!() };
        harness.push(30, Feedback::Suggested { user, as_of: 60, candidates, wishes: 1 });
        harness.push(50, Feedback::Chosen { user: 2, item: 5 });
        harness.push(70, Feedback::Chosen { user: 2, item: 6 });
        harness.watermark(100);
        let mut lessons: Vec<(Vec<u8>, u8, u64)> = harness
            .out()
            .into_iter()
            .map(|lesson| (lesson.candidates.items().to_vec(), lesson.chosen, lesson.wishes))
            .collect();
        lessons.sort();
        assert_eq!(lessons, [(vec![5, 6], 6, 1), (vec![6, 7], 7, 1)]);
    }

    /// Two sources, each of which suggests one item.
    fn lists(good: u8, bad: u8) -> Suggestions<u8, u8> {
        let list = |item| vec![Suggestion { item, score: 1.0, because: Some(99) }];
        Suggestions::new(1, 0, vec![]).with(list(bad)).with(list(good))
    }

    fn lesson(n: u64, wishes: u64) -> Teaching<u8> {
        let (good, bad) = (n as u8 % 50, n as u8 % 50 + 100);
        Teaching::Lesson(Lesson { candidates: lists(good, bad).candidates(), chosen: good, wishes })
    }

    #[test]
    fn with_a_wish_all_is_as_if_nothing_had_been_learnt_before() {
        let mut harness = Harness::maintain(1, |_: &Teaching<u8>| (), || Learned::new(Ranker::new(2)));
        let mut changes = |teachings: Vec<Teaching<u8>>| {
            teachings.into_iter().for_each(|teaching| harness.push(0, teaching));
            harness.close_epoch();
            let changes = harness.changes().into_iter();
            changes.map(|(_, row, diff)| (row, diff)).collect::<Vec<(WeightsRow, isize)>>()
        };
        let twenty = |wishes| (0..20).map(|n| lesson(n, wishes)).collect::<Vec<_>>();
        let [(learnt, 1)] = &changes(twenty(0))[..] else { panic!("one row") };
        // Also of what was learnt in the epoch of the wish, and of choices that come later among what was suggested before it.
        assert_eq!(changes(vec![lesson(20, 0), Teaching::Wish, lesson(21, 0)]), [(learnt.clone(), -1)]);
        assert_eq!(changes(vec![lesson(22, 0)]), []);
        assert_eq!(changes(twenty(1)), [(WeightsRow { wishes: 1, ..learnt.clone() }, 1)]);
        let said_again = harness.restore(1).unwrap();
        assert_eq!(said_again.len(), 1, "{said_again:?}");
        harness.push(0, Teaching::Wish);
        twenty(2).into_iter().for_each(|teaching| harness.push(0, teaching));
        harness.close_epoch();
        let after = harness.changes().into_iter().map(|(_, row, diff)| (row.wishes, diff)).collect::<Vec<_>>();
        assert_eq!(after, [(1, -1), (2, 1)]);
    }

    #[test]
    fn what_is_learnt_ranks_what_comes_next() {
        let asked = |good, bad| {
            let of = lists(good, bad);
            let candidates = of.candidates();
            (of, candidates)
        };
        let first = Ranker::new(2);
        let mut ranking = Ranking::new(first.clone(), 2);
        let order =
            |ranking: &mut Ranking<u8, u8>| ranking.answer(&asked(2, 1)).into_iter().map(|of| of.item).collect();
        let before: Vec<u8> = order(&mut ranking);
        assert_eq!(before, [1, 2], "two that are level: the lesser item");
        let learned = Learned::new(first);
        let (mut state, mut rows) = (Taught::default(), Vec::new());
        let lesson = |n: u64| Record { time: n as i64, seq: tidemill::Seq::new(0, n), value: lesson(n, 0) };
        learned.update(&(), &mut state, &mut (0..100).map(lesson).collect());
        learned.rows(&(), &state, &mut rows);
        ranking.change(rows[0].clone(), 1);
        let entries = ranking.answer(&asked(2, 1));
        assert_eq!(entries[0], Entry { item: 2, source: 1, because: Some(99) });
        let (of, candidates) = asked(2, 1);
        let after_a_wish = ranking.answer(&(Suggestions { wishes: 1, ..of }, candidates));
        assert_eq!(after_a_wish[0].item, 1, "what was learnt before a wish ranks nothing that is suggested after it");
        ranking.change(rows[0].clone(), -1);
        let after: Vec<u8> = order(&mut ranking);
        assert_eq!(after, before);
    }
}
