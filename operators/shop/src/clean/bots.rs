//! Users with more lines than a person can make.

use serde::{Deserialize, Serialize};
use tidemill::time::minutes;
use tidemill::{Closing, Emit, Kernel, Keys, Millis, Order, Record, Save, Saved, StateError, Timers, type_name};

use crate::clean::{Checked, Clean, Dropped, Reason, Verdict};
use crate::event::Action;

const MINUTE: Millis = minutes(1);

/// A minute by the clock in which a user had lines.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Minute {
    /// Its number since 1970 UTC.
    number: i64,
    lines: u32,
    /// Lines that come now are noise.
    noisy: bool,
    /// The minute of the watermark when its last line came, if that was late; else its own.
    seen: i64,
}

/// Lets a user's first `most` lines of a minute through, and whatever undoes something. What comes after that is noise, and so is every line of the
/// minutes that follow without a break. A line counts in the minute of its own time, so lines that come late are judged
/// by what was known when they came; minutes are known until the watermark is `remember` ms past their end, or past that of the
/// minute in which the last late line of theirs came.
pub(crate) struct Bots {
    most: u32,
    remember: Millis,
    users: Keys<u64, Vec<Minute>>,
    expiry: Timers<u64>,
}

impl Bots {
    pub fn new(most: u32, remember: Millis) -> Self {
        // The minute before is needed as long as there may be lines of one.
        Bots { most, remember: remember.max(MINUTE), users: Keys::new(), expiry: Timers::bucketed(MINUTE) }
    }

    /// Counts a user's line.
    fn is_noise(&mut self, user: u64, time: Millis, watermark: Millis) -> bool {
        let (number, seen) = (time.div_euclid(MINUTE), time.max(watermark).div_euclid(MINUTE));
        let minutes = self.users.get_or_default(user);
        let place = minutes.partition_point(|minute| minute.number < number);
        if minutes.get(place).is_none_or(|minute| minute.number > number) {
            let before = place.checked_sub(1).map(|before| &minutes[before]);
            let noisy = before.is_some_and(|before| before.noisy && before.number == number - 1);
            minutes.insert(place, Minute { number, lines: 0, noisy, seen });
            self.expiry.set(end(seen, self.remember), user);
        }
        let minute = &mut minutes[place];
        minute.seen = minute.seen.max(seen);
        minute.lines = minute.lines.saturating_add(1);
        minute.noisy |= minute.lines > self.most;
        minute.noisy
    }
}

/// What undoes something. It counts whoever asks for it, and however much else they sent.
fn is_request(action: &Action) -> bool {
    matches!(action, Action::Forget | Action::Cancellation { .. } | Action::Chargeback { .. })
}

/// When a minute is forgotten that was seen last in this one.
fn end(seen: i64, remember: Millis) -> Millis {
    seen.saturating_add(1).saturating_mul(MINUTE).saturating_add(remember)
}

impl Kernel for Bots {
    type In = Checked;
    type Out = Record<Verdict>;

    fn kind(&self) -> String {
        format!("at most {} lines of a user a minute", self.most)
    }

    fn state(&self) -> String {
        type_name::<Vec<Minute>>()
    }

    fn order(&self) -> Order {
        Order::Arrival
    }

    fn records(&mut self, at: Closing, records: &mut Vec<Record<Checked>>, emit: &mut Emit<Checked, Record<Verdict>>) {
        for Record { time, seq, value } in records.drain(..) {
            let is_noise = match value.event {
                Clean::Shopper(event) => !is_request(&event.action) && self.is_noise(event.user, time, at.before),
                Clean::Item(_) => false,
            };
            let value = if is_noise { Err(Dropped { id: value.id, reason: Reason::Bot }) } else { Ok(value) };
            emit.out.push(Record { time, seq, value });
        }
    }

    fn settle(&mut self, at: Closing, _: &mut Emit<Checked, Record<Verdict>>) {
        for user in self.expiry.due(at.after) {
            let Some(minutes) = self.users.get_mut(&user) else { continue };
            minutes.retain(|minute| end(minute.seen, self.remember) > at.after);
            match minutes.iter().map(|minute| minute.seen).min() {
                Some(first) => self.expiry.set(end(first, self.remember), user),
                None => _ = self.users.remove(&user),
            }
        }
    }

    fn save(&mut self, save: &mut Save) {
        self.users.save(save);
    }

    fn load(&mut self, _: Closing, entry: Saved<'_>, _: &mut Emit<Checked, Record<Verdict>>) -> Result<(), StateError> {
        let (user, minutes) = self.users.load(entry)?;
        if let Some(first) = minutes.iter().map(|minute| minute.seen).min() {
            self.expiry.set(end(first, self.remember), user);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ItemChange, ItemEvent, ShopEvent};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tidemill::harness::Harness;

    fn line(user: u64) -> Checked {
        Checked { id: 0, event: Clean::Shopper(ShopEvent::new(user, Action::View { item: 1 })) }
    }

    /// Whether each line came through, in order of arrival.
    fn told(harness: &mut Harness<Bots>) -> Vec<bool> {
        let mut told = harness.emitted();
        told.sort_by_key(|record| record.seq);
        told.into_iter().map(|record| record.value.is_ok()).collect()
    }

    #[test]
    fn a_bot_is_not_heard_until_it_was_quiet_for_a_minute() {
        let mut harness = Harness::kernel(2, Checked::subject, || Bots::new(2, minutes(5)));
        for time in [0, 1, 2, 59_999, 60_000, 120_000, 240_000] {
            harness.push(time, line(7));
        }
        harness.push(3, line(8));
        for _ in 0..9 {
            let change = ItemChange::Stock { left: 0 };
            harness.push(4, Checked { id: 1, event: Clean::Item(ItemEvent { item: 7, change }) });
        }
        harness.watermark(240_000);
        assert_eq!(told(&mut harness), [&[true, true, false, false, false, false, true][..], &[true; 10]].concat());
    }

    #[test]
    fn who_has_more_lines_than_a_person_can_still_be_forgotten() {
        let mut harness = Harness::kernel(1, Checked::subject, || Bots::new(2, minutes(5)));
        for time in 0..4 {
            harness.push(time, line(7));
        }
        harness.push(4, Checked { id: 1, event: Clean::Shopper(ShopEvent::new(7, Action::Forget)) });
        harness.watermark(5);
        assert_eq!(told(&mut harness), [true, true, false, false, true]);
    }

    proptest! {
        #[test]
        fn what_is_noise_is_what_counting_minutes_gives(
            epochs in prop::collection::vec((prop::collection::vec((-900_000i64..90_000, 0u64..3), 0..12), 0i64..150_000), 1..15),
            most in 0u32..4, remember in 0i64..400_000, workers in 1usize..4, cut in 0usize..15, after in 1usize..4,
        ) {
            let mut harness = Harness::kernel(workers, Checked::subject, move || Bots::new(most, remember));
            let (mut watermark, mut minutes) = (10_000_000, BTreeMap::<(u64, i64), (u32, bool, i64)>::new());
            harness.watermark(watermark);
            for (epoch, (lines, step)) in epochs.into_iter().enumerate() {
                let mut expected = vec![];
                for (offset, user) in lines {
                    let time = watermark + offset;
                    harness.push(time, line(user));
                    let minute = time / MINUTE;
                    let goes_on = minutes.get(&(user, minute - 1)).is_some_and(|before| before.1);
                    let (count, noisy, seen) = minutes.entry((user, minute)).or_insert((0, goes_on, minute));
                    *count += 1;
                    *seen = (*seen).max(watermark / MINUTE);
                    *noisy |= *count > most;
                    expected.push(!*noisy);
                }
                watermark += step;
                harness.watermark(watermark);
                minutes.retain(|_, (.., seen)| (*seen + 1) * MINUTE + remember.max(MINUTE) > watermark);
                prop_assert_eq!(told(&mut harness), expected);
                if epoch == cut {
                    harness.restore(after).unwrap();
                }
            }
            harness.watermark(watermark + 1_000_000);
            prop_assert!(harness.is_empty(), "users who have gone are kept");
        }
    }
}
