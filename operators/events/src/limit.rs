//! Rate limiting: at most so many events of a key in any span.

use std::collections::VecDeque;
use std::marker::PhantomData;
use tidemill::{Context, Data, Key, Millis, Process, Reject};

/// Says of each event whether it is within its key's limit: see [`EachEvent::rate_limit`](crate::EachEvent::rate_limit).
///
/// An event is let through if fewer than `limit` of its key were let through in the `per` ms up to it (a sliding log: exact,
/// where fixed windows would let twice as many through around their bounds).
pub struct RateLimit<K, T> {
    limit: usize,
    per: Millis,
    types: PhantomData<fn(K, T)>,
}

impl<K, T> RateLimit<K, T> {
    /// Lets `limit` events through in any `per` ms.
    pub fn new(limit: usize, per: Millis) -> Self {
        RateLimit { limit, per, types: PhantomData }
    }
}

impl<K: Key, T: Data> Process for RateLimit<K, T> {
    type Key = K;
    type In = T;
    /// Whether it was let through, and the event.
    type Out = (bool, T);
    /// When events were let through, of the last `per` ms.
    type State = VecDeque<Millis>;

    const UNDO: bool = false;

    fn ttl(&self) -> Option<Millis> {
        Some(self.per)
    }

    fn process(
        &self,
        _: &K,
        event: T,
        through: &mut VecDeque<Millis>,
        ctx: &mut Context<'_, (bool, T)>,
    ) -> Result<(), Reject> {
        let time = ctx.time();
        let over = |earlier: &mut Millis| earlier.checked_add(self.per).is_some_and(|over| over <= time);
        while through.pop_front_if(over).is_some() {}
        let within = through.len() < self.limit;
        if within {
            through.push_back(time);
        }
        ctx.emit((within, event));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Event, check, events};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_span_lets_more_through_than_its_limit(
            epochs in events(), limit in 0usize..4, per in 1i64..120, at in (1usize..5, 0usize..9, 1usize..5)
        ) {
            let oracle = |_: u8, times: &[(Millis, u32)]| {
                let mut through: Vec<Millis> = vec![];
                let mut judge = |(time, n): &(Millis, u32)| {
                    let within = through.iter().filter(|earlier| time - *earlier < per).count() < limit;
                    through.extend(within.then_some(*time));
                    (within, *time, *n)
                };
                times.iter().map(&mut judge).collect::<Vec<_>>()
            };
            let show = |(within, event): (bool, Event)| (within, event.0, event.2);
            check(&epochs, at, show, oracle, move || RateLimit::new(limit, per))?;
        }
    }
}
