//! After how many wishes to be forgotten something is suggested.

use tidemill::{Data, Key, Maintain, Millis, Order, Record, Result, Stream};
use tidemill_events::Respondent;

use crate::suggest::Suggestions;

/// Streams of wishes to be forgotten, by their times.
pub trait Wishes<'s>: Sized {
    /// Notes in suggestions that are asked for how many wishes there were before their epoch and by its end, whatever times these
    /// have: what holds in that epoch is without whoever wished it. To be asked with the sources, as of
    /// [`AsOf::Now`](tidemill_events::AsOf).
    ///
    /// State: how many.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn noted<U: Key, I: Key, A: Data>(self, name: &str) -> Result<Respondent<'s, Suggestions<U, I>, A>>;
}

impl<'s> Wishes<'s> for Stream<'s, Millis> {
    fn noted<U: Key, I: Key, A: Data>(self, name: &str) -> Result<Respondent<'s, Suggestions<U, I>, A>> {
        let count = self.key_by(|_| ()).maintain(name, Count)?;
        let so_far = |count: &[(u64, isize)]| count.first().map_or(0, |(count, _)| *count);
        Ok(Respondent::noting(count, move |of: &mut Suggestions<U, I>, before, now| {
            (of.wishes_before, of.wishes) = (so_far(before), so_far(now));
        }))
    }
}

/// Counts them.
struct Count;

impl Maintain for Count {
    type Key = ();
    type In = Millis;
    type State = u64;
    type Row = u64;

    const ORDER: Order = Order::Any;

    fn update(&self, (): &(), count: &mut u64, wishes: &mut Vec<Record<Millis>>) {
        *count += wishes.drain(..).count() as u64;
    }

    fn rows(&self, (): &(), count: &u64, rows: &mut Vec<u64>) {
        rows.push(*count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill::{Config, Events, Memory, Timing, execute};
    use tidemill_events::{AsOf, AskedOfSeveral};

    #[test]
    fn what_is_asked_in_the_epoch_of_a_wish_or_later_is_asked_after_it() {
        for workers in [1, 2, 4] {
            let counts = Memory::new();
            let to_counts = counts.clone();
            // Whose, when; user 0 wants to be forgotten. Two events an epoch, and the second wish is older than what was before.
            let events: Vec<(u64, Millis)> =
                vec![(1, 10), (2, 20), (3, 30), (0, 40), (4, 50), (5, 60), (0, 15), (6, 70)];
            execute(Config { epoch_records: 2, ..Config::workers(workers) }, move |job| {
                let timing = Timing::by(|event: &(u64, Millis)| event.1).disorder(100);
                let events = job.source("events", Events::new(events.clone()), timing)?;
                let (asked, wishes) = events.split_map(|(user, time)| match user {
                    0 => (None, Some(time)),
                    _ => (Some(Suggestions::<u64, u64>::new(user, time, Vec::new())), None),
                });
                let asked = asked.ask_several::<()>("asked", AsOf::Now, vec![wishes.noted("wishes")?])?;
                let counts = asked.map(|(of, answers)| (of.user, of.wishes_before, of.wishes, answers.len()));
                counts.sink("counts", to_counts.clone())
            })
            .unwrap();
            let mut counts: Vec<(u64, u64, u64, usize)> = counts.values();
            counts.sort();
            let expected = [(1, 0, 0), (2, 0, 0), (3, 0, 1), (4, 1, 1), (5, 1, 1), (6, 1, 2)];
            let expected = expected.map(|(user, before, now)| (user, before, now, 0));
            assert_eq!(counts, expected, "{workers} workers");
        }
    }
}
