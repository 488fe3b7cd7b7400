//! What kind of customer each user is: by how recently, how often and for how much they have bought.

use serde::{Deserialize, Serialize};
use tidemill::time::{END, days};
use tidemill::{
    Closing, Collection, Emit, Epoch, Kernel, Keys, Millis, Order, Record, Result, Save, Saved, StateError, Timers,
    Update, type_name,
};

use crate::behaviour::Rfm;

/// A kind of customer. Recency is counted in days by the UTC calendar, from the last purchase to the watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Segment {
    /// Has bought recently, often and for much.
    Champion,
    /// Has bought recently and often.
    Loyal,
    /// Has bought recently, more than once but not often.
    Casual,
    /// Has bought recently, for the first time.
    New,
    /// Has bought often, but not recently.
    AtRisk,
    /// Has bought a few times, and not recently.
    Dormant,
    /// Has not bought for long.
    Lost,
}

impl Segment {
    /// In a word or two.
    pub fn describe(&self) -> &'static str {
        match self {
            Segment::Champion => "champion",
            Segment::Loyal => "loyal",
            Segment::Casual => "casual",
            Segment::New => "new",
            Segment::AtRisk => "at risk",
            Segment::Dormant => "dormant",
            Segment::Lost => "lost",
        }
    }
}

/// Where one kind of customer ends and the next begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Up to so many days ago is recently: 30.
    pub recent: u32,
    /// More days ago than this is for long: 90.
    pub lost: u32,
    /// From so many orders on it is often: 3.
    pub loyal_orders: u32,
    /// From so many cents on it is for much: 500.00.
    pub champion_cents: i64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds { recent: 30, lost: 90, loyal_orders: 3, champion_cents: 50_000 }
    }
}

const DAY: Millis = days(1);

impl Thresholds {
    /// The segment of a user at a time, in ms since 1970 UTC.
    pub fn segment(&self, rfm: &Rfm, now: Millis) -> Segment {
        let age = now.div_euclid(DAY) - rfm.last.div_euclid(DAY);
        let often = rfm.orders >= self.loyal_orders;
        if age > i64::from(self.lost) {
            Segment::Lost
        } else if age > i64::from(self.recent) {
            if often { Segment::AtRisk } else { Segment::Dormant }
        } else if often {
            if rfm.cents >= self.champion_cents { Segment::Champion } else { Segment::Loyal }
        } else if rfm.orders > 1 {
            Segment::Casual
        } else {
            Segment::New
        }
    }

    /// When a user's segment changes next by the days that pass alone, if ever.
    fn next(&self, rfm: &Rfm, now: Millis) -> Option<Millis> {
        let bought = rfm.last.div_euclid(DAY);
        let ends = [self.recent, self.lost].map(|most| (bought + i64::from(most) + 1).saturating_mul(DAY));
        ends.into_iter().filter(|end| *end > now).min()
    }
}

/// Collections of how recently, how often and for how much users buy.
pub trait Segments<'s> {
    /// The segment of each user who has bought, as of the watermark. It changes as users buy and cancel, and as days
    /// pass; the end of the input lets none pass.
    ///
    /// What is older than the ledger keeps is not known: have it keep more than [`Thresholds::lost`].
    ///
    /// State: the row of each user.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn segments(self, name: &str, thresholds: Thresholds) -> Result<Collection<'s, (u64, Segment)>>;
}

impl<'s> Segments<'s> for Collection<'s, Rfm> {
    fn segments(self, name: &str, thresholds: Thresholds) -> Result<Collection<'s, (u64, Segment)>> {
        let changes = self.changes(|rfm| rfm.last).key_by(|change| change.row.user);
        Ok(changes.kernel_rows(name, SegmentKernel::new(thresholds))?.0)
    }
}

/// How many users are in each segment, where there are some.
pub fn segment_sizes<'s>(segments: Collection<'s, (u64, Segment)>) -> Collection<'s, (Segment, isize)> {
    segments.map(|(_, segment)| segment).then(|segments| segments.count())
}

/// What is known of one user.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    rfm: Option<Rfm>,
    /// The row that is true.
    said: Option<Segment>,
}

/// One worker's users.
struct SegmentKernel {
    thresholds: Thresholds,
    users: Keys<u64, Known>,
    timers: Timers<u64>,
    /// Whose rows have changed in this epoch, some more than once.
    touched: Vec<u64>,
}

type Row = ((u64, Segment), Epoch, isize);

impl SegmentKernel {
    fn new(thresholds: Thresholds) -> Self {
        SegmentKernel { thresholds, users: Keys::new(), timers: Timers::bucketed(DAY), touched: Vec::new() }
    }

    /// Says what has changed of a user.
    fn say(&mut self, user: u64, now: Millis, epoch: Epoch, out: &mut Vec<Row>) {
        let Some(known) = self.users.get_mut(&user) else { return };
        let segment = known.rfm.map(|rfm| self.thresholds.segment(&rfm, now));
        let said = std::mem::replace(&mut known.said, segment);
        if said != segment {
            out.extend(said.map(|said| ((user, said), epoch, -1)));
            out.extend(segment.map(|segment| ((user, segment), epoch, 1)));
        }
        match known.rfm {
            Some(rfm) => {
                self.thresholds.next(&rfm, now).into_iter().for_each(|at| self.timers.set(at, user));
            }
            None => {
                self.users.remove(&user);
                self.timers.cancel(&user);
            }
        }
    }
}

impl Kernel for SegmentKernel {
    type In = Update<Rfm>;
    type Out = Row;

    fn kind(&self) -> String {
        let Thresholds { recent, lost, .. } = self.thresholds;
        format!("segments: recent for {recent} days, lost after {lost}")
    }

    fn state(&self) -> String {
        type_name::<Known>()
    }

    fn order(&self) -> Order {
        Order::Any
    }

    fn records(&mut self, _: Closing, records: &mut Vec<Record<Update<Rfm>>>, _: &mut Emit<Update<Rfm>, Row>) {
        for Update { row, diff } in records.drain(..).map(|record| record.value) {
            let known = self.users.get_or_insert_with(row.user, |_| Known { rfm: None, said: None });
            // Of a row that goes and one that takes its place either may be first.
            if diff > 0 {
                known.rfm = Some(row);
            } else if known.rfm == Some(row) {
                known.rfm = None;
            }
            self.touched.push(row.user);
        }
    }

    fn settle(&mut self, at: Closing, emit: &mut Emit<Update<Rfm>, Row>) {
        // The end of the input lets no day pass.
        let now = if at.after == END { at.before } else { at.after };
        for user in std::mem::take(&mut self.touched) {
            self.say(user, now, at.epoch, &mut emit.out);
        }
        for user in self.timers.due(now) {
            self.say(user, now, at.epoch, &mut emit.out);
        }
    }

    fn save(&mut self, save: &mut Save) {
        self.users.save(save);
    }

    fn load(
        &mut self,
        at: Closing,
        entry: Saved<'_>,
        emit: &mut Emit<Update<Rfm>, Row>,
    ) -> std::result::Result<(), StateError> {
        let (user, known) = self.users.load(entry)?;
        emit.out.extend(known.said.map(|said| ((user, said), at.epoch, 1)));
        let next = known.rfm.and_then(|rfm| self.thresholds.next(&rfm, at.after));
        next.into_iter().for_each(|at| self.timers.set(at, user));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, ShopEvent};
    use crate::{Behaviour, Ledgers};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tidemill::harness::Harness;
    use tidemill::{Config, Events, Memory, Timing, execute};

    #[test]
    fn a_segment_is_by_recency_first() {
        let segment = |day: i64, orders, cents| {
            let rfm = Rfm { user: 1, last: days(1_000) + 5, orders, cents };
            Thresholds::default().segment(&rfm, days(1_000 + day))
        };
        assert_eq!(
            [1, 2, 3].map(|orders| segment(30, orders, 49_999)),
            [Segment::New, Segment::Casual, Segment::Loyal]
        );
        assert_eq!(
            [1, 2, 3].map(|orders| segment(0, orders, 50_000)),
            [Segment::New, Segment::Casual, Segment::Champion]
        );
        let lapsed = [Segment::Dormant, Segment::Dormant, Segment::AtRisk];
        assert_eq!([1, 2, 3].map(|orders| segment(31, orders, 50_000)), lapsed);
        assert_eq!([1, 2, 3].map(|orders| segment(90, orders, 50_000)), lapsed);
        assert_eq!(segment(91, 9, 90_000), Segment::Lost);
        assert_eq!(segment(-4, 1, 1), Segment::New, "before the watermark has got there");
    }

    proptest! {
        #[test]
        fn segments_are_those_of_the_rows_on_the_watermarks_day(
            epochs in prop::collection::vec((prop::collection::vec((0u64..4, -9i64..3, 0u32..5, 0i64..5), 0..4), 0i64..200), 1..20),
            workers in 1usize..4, cut in 0usize..20, after in 1usize..4,
        ) {
            let thresholds = Thresholds { recent: 3, lost: 8, loyal_orders: 3, champion_cents: 3 };
            let mut harness = Harness::kernel(workers, |change: &Update<Rfm>| change.row.user, move || SegmentKernel::new(thresholds));
            let (mut now, mut users) = (days(100), BTreeMap::<u64, Rfm>::new());
            let mut rows = BTreeMap::<(u64, Segment), isize>::new();
            for (epoch, (changes, step)) in epochs.into_iter().enumerate() {
                let mut seen = std::collections::BTreeSet::new();
                for (user, day, orders, cents) in changes {
                    if !seen.insert(user) {
                        continue;
                    }
                    let rfm = Rfm { user, last: now + day * DAY + 7, orders, cents };
                    let before = if orders == 0 { users.remove(&user) } else { users.insert(user, rfm) };
                    if before == Some(rfm) {
                        continue;
                    }
                    let mut updates: Vec<_> = before.map(|row| Update { row, diff: -1 }).into_iter().collect();
                    updates.extend((orders > 0).then_some(Update { row: rfm, diff: 1 }));
                    if cents % 2 == 0 {
                        updates.reverse();
                    }
                    updates.into_iter().for_each(|update| harness.push(now, update));
                }
                now += step * DAY / 30;
                harness.watermark(now);
                for (_, row, diff) in harness.changes() {
                    *rows.entry(row).or_default() += diff;
                }
                rows.retain(|_, count| *count != 0);
                let expected: BTreeMap<_, _> =
                    users.iter().map(|(user, rfm)| ((*user, thresholds.segment(rfm, now)), 1)).collect();
                prop_assert_eq!(&rows, &expected);
                if epoch == cut {
                    let again: BTreeMap<_, _> =
                        harness.restore(after).unwrap().into_iter().map(|(row, _, diff)| (row, diff)).collect();
                    prop_assert_eq!(&again, &rows);
                }
            }
            for (_, row) in std::mem::take(&mut users) {
                harness.push(now, Update { row, diff: -1 });
            }
            harness.close_epoch();
            prop_assert!(harness.is_empty(), "users who have bought nothing are kept");
        }
    }

    #[test]
    fn users_move_between_segments_as_days_pass() {
        let bought = |user, order| (user, Action::Purchase { order, item: 1, quantity: 1, cents: 30_000 });
        let mut events: Vec<(Millis, (u64, Action))> = [bought(1, 1), bought(1, 2), bought(1, 3), bought(2, 4)]
            .into_iter()
            .map(|event| (days(10), event))
            .collect();
        let run = |events: Vec<(Millis, (u64, Action))>, workers| {
            let (segments, sizes) = (Memory::new(), Memory::new());
            let (to_segments, to_sizes) = (segments.clone(), sizes.clone());
            execute(Config { epoch_records: 1, ..Config::workers(workers) }, move |job| {
                let timing = Timing::by(|event: &(Millis, (u64, Action))| event.0);
                let events = job.source("events", Events::new(events.clone()), timing)?;
                let events = events.map(|(_, (user, action))| ShopEvent::new(user, action));
                let held = events.key_by(|event| event.user).ledger("what holds", days(365))?.held;
                let segments = held.rfm("rfm")?.segments("segments", Thresholds::default())?;
                segments.clone().sink("segments out", to_segments.clone())?;
                segment_sizes(segments).sink("sizes out", to_sizes.clone())
            })
            .unwrap();
            let once = |(row, count)| (row, assert_eq!(count, 1)).0;
            let segments: Vec<_> = segments.rows().into_iter().map(once).collect();
            let sizes: Vec<_> = sizes.rows().into_iter().map(|(row, count)| (row, assert_eq!(count, 1)).0).collect();
            (segments, sizes)
        };
        let of = |one, two| vec![(1, one), (2, two)];
        for workers in [1, 2, 4] {
            let (segments, sizes) = run(events.clone(), workers);
            assert_eq!(segments, of(Segment::Champion, Segment::New));
            assert_eq!(sizes, [(Segment::Champion, 1), (Segment::New, 1)]);
        }
        let look = (3, Action::View { item: 1 });
        for (day, one, two) in [(40, Segment::Champion, Segment::New), (41, Segment::AtRisk, Segment::Dormant)] {
            events.extend([(days(day), look); 2]);
            assert_eq!(run(events.clone(), 2).0, of(one, two));
        }
        events.extend([(days(101), look); 2]);
        let (segments, sizes) = run(events.clone(), 3);
        assert_eq!((segments, sizes), (of(Segment::Lost, Segment::Lost), vec![(Segment::Lost, 2)]));
        events.push((days(101), (1, Action::Forget)));
        assert_eq!(run(events, 2).0, [(2, Segment::Lost)]);
    }
}
