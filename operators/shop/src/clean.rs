//! Which of a shop's lines can be believed, and what they say.

mod bots;
mod money;
mod repeats;
mod rules;

pub use money::Rates;
pub use rules::Rules;

use serde::{Deserialize, Serialize};
use tidemill::{Collection, Result, Stream};
use tidemill_rank::Ranks;

use crate::event::{ItemEvent, ShopEvent};
use crate::line::Line;
use bots::Bots;
use repeats::Repeats;

/// What a line that is believed says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Clean {
    /// A user did something.
    Shopper(ShopEvent),
    /// An item changed.
    Item(ItemEvent),
}

/// Why a line was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// It is of a kind that this version does not know.
    UnknownKind,
    /// It happened before [`Rules::earliest`] or after [`Rules::latest`].
    ImpossibleTime,
    /// Its kind needs a field that is not there.
    MissingField,
    /// So many pieces nobody buys or cancels: 0, fewer, or more than [`Rules::most_pieces`]. Or fewer than 0 are left
    /// in stock, or the place in a list is not from 1 to 65,535.
    ImpossibleQuantity,
    /// Stars that are not from 1 to 5.
    ImpossibleStars,
    /// A currency for which there is no rate.
    UnknownCurrency,
    /// An amount that is not a number, less than a cent, or more than [`Rules::most_cents`].
    ImpossibleAmount,
    /// A line of the same id has come already.
    Duplicate,
    /// Its user has more lines than a person can make.
    Bot,
    /// It is believed, but came when nothing as old is kept any more, or nothing as old of its user, who wanted to be forgotten:
    /// see [`Ledger::late`](crate::Ledger::late).
    TooLate,
}

impl Reason {
    /// In a few words.
    pub fn describe(&self) -> &'static str {
        match self {
            Reason::UnknownKind => "unknown kind",
            Reason::ImpossibleTime => "impossible time",
            Reason::MissingField => "missing field",
            Reason::ImpossibleQuantity => "impossible quantity",
            Reason::ImpossibleStars => "impossible stars",
            Reason::UnknownCurrency => "unknown currency",
            Reason::ImpossibleAmount => "impossible amount",
            Reason::Duplicate => "sent twice",
            Reason::Bot => "by a bot",
            Reason::TooLate => "too late",
        }
    }
}

/// A line that was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dropped {
    /// The line's id.
    pub id: u64,
    /// Why.
    pub reason: Reason,
}

/// Streams of lines.
pub trait Cleaning<'s> {
    /// Says what each line that can be believed says, and which lines cannot, and why. Nothing waits for the watermark,
    /// and late lines are believed like others, at their own time.
    ///
    /// A line is looked at by itself ([`Rules::check`]), then dropped if one of the same id has come before it, then if
    /// its user has had more than [`Rules::most_lines`] lines in a minute by the clock: what follows is noise until a
    /// minute without lines. Of lines that are alike the first one counts in the order in which they arrive, so the
    /// result is the same for any number of workers. Have the source's [`Timing`](tidemill::Timing) go by
    /// [`Rules::event_time`], lest an impossible time drive the watermark.
    ///
    /// State: ids, and for each user how many lines were in which minute, until the watermark is [`Rules::remember`]
    /// past them.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn clean(self, name: &str, rules: Rules) -> Result<(Stream<'s, Clean>, Stream<'s, Dropped>)>;
}

/// Streams of reasons why lines were dropped.
pub trait CountReasons<'s> {
    /// How many lines were dropped for each reason.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn count_reasons(self, name: &str) -> Result<Collection<'s, (Reason, u64)>>;
}

impl<'s> Cleaning<'s> for Stream<'s, Line> {
    fn clean(self, name: &str, rules: Rules) -> Result<(Stream<'s, Clean>, Stream<'s, Dropped>)> {
        let (remember, most) = (rules.remember, rules.most_lines);
        let (checked, faulty) = self.split_map(move |line| match rules.check(&line) {
            Ok(event) => (Some(Checked { id: line.id, event }), None),
            Err(reason) => (None, Some(Dropped { id: line.id, reason })),
        });
        let first = checked.key_by(|line| line.id).kernel(&format!("{name}: repeats"), Repeats::new(remember))?.0;
        let (first, repeated) = first.split_map(|line| parted(line, |line| line));
        let people = first.key_by(Checked::subject).kernel(&format!("{name}: bots"), Bots::new(most, remember))?.0;
        let (people, bots) = people.split_map(|line| parted(line, |line| line.event));
        Ok((people, faulty.union(repeated).union(bots)))
    }
}

impl<'s> CountReasons<'s> for Stream<'s, Reason> {
    fn count_reasons(self, name: &str) -> Result<Collection<'s, (Reason, u64)>> {
        let counts = self.key_by(|reason| *reason).top_counts(name, 1, |_| ())?;
        Ok(counts.map(|counted| (counted.key, counted.count)))
    }
}

/// A line that can be believed by itself.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Checked {
    id: u64,
    event: Clean,
}

impl Checked {
    /// Whom, or which item, it is about.
    fn subject(&self) -> u64 {
        match self.event {
            Clean::Shopper(event) => event.user,
            Clean::Item(event) => event.item,
        }
    }
}

/// What has become of a line so far.
type Verdict = std::result::Result<Checked, Dropped>;

/// What has passed, or what has not.
fn parted<T>(line: Verdict, passed: impl Fn(Checked) -> T) -> (Option<T>, Option<Dropped>) {
    match line {
        Ok(line) => (Some(passed(line)), None),
        Err(dropped) => (None, Some(dropped)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Action;
    use crate::line::{Currency, Kind};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};
    use tidemill::time::minutes;
    use tidemill::{Config, Events, Memory, Millis, Timing, execute};

    const START: Millis = 1_700_000_000_000;

    fn rules() -> Rules {
        Rules::new(Rates::new(Currency::new("EUR").unwrap()))
    }

    fn view(id: u64, time: Millis, user: u64) -> Line {
        let (order, category, number, amount, currency) = (None, None, None, None, None);
        Line { id, time, kind: Kind::View, user: Some(user), item: Some(1), order, category, number, amount, currency }
    }

    /// The ids of lines that passed, with their times, and those of the others; and how many there were for each
    /// reason.
    fn run(
        lines: Vec<Line>,
        rules: &Rules,
        workers: usize,
    ) -> (Vec<(Millis, Clean)>, Vec<Dropped>, Vec<(Reason, u64)>) {
        let (passed, dropped, reasons) = (Memory::new(), Memory::new(), Memory::new());
        let (to_passed, to_dropped, to_reasons) = (passed.clone(), dropped.clone(), reasons.clone());
        let rules = rules.clone();
        execute(Config { epoch_records: 7, ..Config::workers(workers) }, move |job| {
            let timing = rules.clone();
            let timing = Timing::by(move |line: &Line| timing.event_time(line)).disorder(minutes(3));
            let lines = job.source("lines", Events::new(lines.clone()), timing)?;
            let (passed, dropped) = lines.clean("cleaning", rules.clone())?;
            passed.sink("passed", to_passed.clone())?;
            dropped.clone().sink("dropped", to_dropped.clone())?;
            dropped.map(|line| line.reason).count_reasons("reasons")?.sink("reasons out", to_reasons.clone())
        })
        .unwrap();
        let reasons = reasons.rows().into_iter().map(|(row, count)| (row, assert_eq!(count, 1)).0).collect();
        let passed = passed.take().into_iter().map(|(_, record)| (record.time, record.value)).collect();
        let mut dropped = dropped.values();
        dropped.sort();
        (passed, dropped, reasons)
    }

    #[test]
    fn lines_are_dropped_for_their_first_fault() {
        let rules = Rules { most_lines: 3, ..rules() };
        let mut lines = vec![view(1, START, 1), view(1, START, 1), view(2, Millis::MAX, 1), view(3, START + 1, 2)];
        lines.extend((10..15).map(|id| view(id, START + 2, 1)));
        lines.push(Line { user: None, ..view(20, START, 0) });
        lines.push(view(3, START + 1, 2));
        for workers in [1, 2, 4] {
            let (passed, dropped, reasons) = run(lines.clone(), &rules, workers);
            let event = |user| Clean::Shopper(ShopEvent::new(user, Action::View { item: 1 }));
            let expected = [(START, 1), (START + 1, 2), (START + 2, 1), (START + 2, 1)];
            assert_eq!(passed, expected.map(|(time, user)| (time, event(user))));
            let gone = |id, reason| Dropped { id, reason };
            let expected = [
                gone(1, Reason::Duplicate),
                gone(2, Reason::ImpossibleTime),
                gone(3, Reason::Duplicate),
                gone(12, Reason::Bot),
                gone(13, Reason::Bot),
                gone(14, Reason::Bot),
                gone(20, Reason::MissingField),
            ];
            assert_eq!(dropped, expected);
            let expected =
                [(Reason::ImpossibleTime, 1), (Reason::MissingField, 1), (Reason::Duplicate, 2), (Reason::Bot, 3)];
            assert_eq!(reasons, expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn what_passes_is_what_going_through_the_lines_gives(
            lines in prop::collection::vec((0u64..40, 0i64..20_000, 0u64..3, 0u8..9), 0..120), workers in 1usize..5,
        ) {
            let rules = Rules { most_lines: 4, ..rules() };
            let mut now = START;
            let lines: Vec<Line> = lines.into_iter().map(|(id, step, user, fault)| {
                now += step;
                let line = view(id, now - step / 2, user);
                match fault {
                    0 => Line { time: step - 20_000, ..line },
                    1 => Line { kind: Kind::Unknown, ..line },
                    _ => line,
                }
            }).collect();
            let (mut passed, mut dropped) = (vec![], vec![]);
            let (mut ids, mut minutes) = (BTreeSet::new(), BTreeMap::<(u64, i64), (u32, bool)>::new());
            // All of it is within an hour, so nothing is forgotten.
            for line in &lines {
                let (user, minute) = (line.user.unwrap(), line.time / 60_000);
                let reason = match rules.check(line) {
                    Err(reason) => Some(reason),
                    Ok(_) if !ids.insert(line.id) => Some(Reason::Duplicate),
                    Ok(_) => {
                        let goes_on = minutes.get(&(user, minute - 1)).is_some_and(|before| before.1);
                        let (count, noisy) = minutes.entry((user, minute)).or_insert((0, goes_on));
                        *count += 1;
                        *noisy |= *count > 4;
                        noisy.then_some(Reason::Bot)
                    }
                };
                match reason {
                    Some(reason) => dropped.push(Dropped { id: line.id, reason }),
                    None => passed.push((line.time, rules.check(line).unwrap())),
                }
            }
            passed.sort();
            dropped.sort();
            let (mut told, told_dropped, reasons) = run(lines, &rules, workers);
            told.sort();
            prop_assert_eq!(told, passed);
            let mut expected = BTreeMap::new();
            told_dropped.iter().for_each(|line| *expected.entry(line.reason).or_insert(0) += 1);
            prop_assert_eq!(reasons, expected.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(told_dropped, dropped);
        }
    }
}
