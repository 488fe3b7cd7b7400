//! Events that wait for their answers: which is to be called next, again, or no more.

use crate::calls::Failure;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tidemill::{Epoch, Millis, Record};

/// The events of one worker that have no answer, by the number of the try that is to be made or under way. Every try has a
/// number of its own, so that a late answer of one that was given up is not taken for that of the next.
pub(crate) struct Pending<T> {
    timeout: Millis,
    retries: u32,
    backoff: Millis,
    next: u64,
    events: BTreeMap<u64, Event<T>>,
    /// To be called as soon as a thread is free.
    ready: VecDeque<u64>,
    /// Until when: calls under way, and events to be called again.
    calling: BTreeSet<(Millis, u64)>,
    resting: BTreeSet<(Millis, u64)>,
}

pub(crate) struct Event<T> {
    pub epoch: Epoch,
    pub record: Record<T>,
    /// How often it has been called about.
    pub tries: u32,
    until: Millis,
}

impl<T> Pending<T> {
    pub fn new(timeout: Millis, (retries, backoff): (u32, Millis)) -> Self {
        Pending {
            timeout,
            retries,
            backoff,
            next: 0,
            events: BTreeMap::new(),
            ready: VecDeque::new(),
            calling: BTreeSet::new(),
            resting: BTreeSet::new(),
        }
    }

    pub fn add(&mut self, epoch: Epoch, record: Record<T>) {
        let number = self.keep(Event { epoch, record, tries: 0, until: 0 });
        self.ready.push_back(number);
    }

    /// Keeps an event for another try, and numbers that.
    fn keep(&mut self, event: Event<T>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.events.insert(number, event);
        number
    }

    /// The next event to call about, from `now` on.
    pub fn call(&mut self, now: Millis) -> Option<(u64, &T)> {
        let number = self.ready.pop_front()?;
        let event = self.events.get_mut(&number)?;
        event.tries += 1;
        event.until = now.saturating_add(self.timeout);
        self.calling.insert((event.until, number));
        Some((number, &event.record.value))
    }

    /// Has events called again whose time to rest is over.
    pub fn wake(&mut self, now: Millis) {
        while let Some((until, number)) = self.resting.pop_first() {
            if until > now {
                self.resting.insert((until, number));
                return;
            }
            self.ready.push_back(number);
        }
    }

    /// A call that has run out of time.
    pub fn out_of_time(&self, now: Millis) -> Option<u64> {
        self.calling.first().filter(|(until, _)| *until <= now).map(|(_, number)| *number)
    }

    /// A call has been answered: returns its event, unless the call was given up.
    pub fn answered(&mut self, number: u64) -> Option<Event<T>> {
        let event = self.events.remove(&number)?;
        self.calling.remove(&(event.until, number));
        Some(event)
    }

    /// A call has failed: returns the event unless it is to be called again.
    pub fn failed(&mut self, number: u64, failure: &Failure, now: Millis) -> Option<Event<T>> {
        let mut event = self.answered(number)?;
        if matches!(failure, Failure::Permanent(_)) || event.tries > self.retries {
            return Some(event);
        }
        let doubled = self.backoff.saturating_mul(1i64.checked_shl(event.tries - 1).unwrap_or(i64::MAX));
        let until = now.saturating_add(doubled);
        event.until = until;
        let again = self.keep(event);
        self.resting.insert((until, again));
        None
    }

    /// When something is to be done although no answer has come.
    pub fn due(&self) -> Option<Millis> {
        let (calling, resting) = (self.calling.first(), self.resting.first());
        calling.into_iter().chain(resting).map(|(until, _)| *until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill::Seq;

    #[test]
    fn a_call_is_tried_again_after_twice_as_long_each_time() {
        let mut pending = Pending::new(50, (3, 100));
        pending.add(1, Record { time: 0, seq: Seq::new(0, 0), value: 'a' });
        let (mut now, mut rests) = (0, vec![]);
        for failure in [Failure::transient("busy"), Failure::Timeout(50), Failure::transient("busy")] {
            let number = pending.call(now).unwrap().0;
            assert_eq!(pending.out_of_time(now + 49), None);
            assert_eq!(pending.out_of_time(now + 50), Some(number));
            assert!(pending.failed(number, &failure, now).is_none());
            assert!(pending.answered(number).is_none(), "a try that was given up has no event");
            let due = pending.due().unwrap();
            rests.push(due - now);
            pending.wake(due - 1);
            assert!(pending.call(due - 1).is_none());
            pending.wake(due);
            now = due;
        }
        assert_eq!(rests, [100, 200, 400]);
        let number = pending.call(now).unwrap().0;
        let over = pending.failed(number, &Failure::transient("busy"), now);
        assert_eq!(over.map(|event| event.tries), Some(4));
        assert_eq!(pending.due(), None);
    }

    #[test]
    fn what_is_permanent_is_over_at_once() {
        let mut pending = Pending::new(50, (3, 100));
        pending.add(7, Record { time: 0, seq: Seq::new(0, 0), value: 'a' });
        let number = pending.call(0).unwrap().0;
        let over = pending.failed(number, &Failure::permanent("no such user"), 0);
        assert_eq!(over.map(|event| (event.epoch, event.tries)), Some((7, 1)));
    }
}
