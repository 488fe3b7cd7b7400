//! Deduplication: the first event of a key, and no other for a while.

use std::marker::PhantomData;
use tidemill::{Context, Data, Key, Millis, Process, Reject};

/// Lets through the first event of a key: see [`EachEvent::deduplicate`](crate::EachEvent::deduplicate).
pub struct Deduplicate<K, T> {
    ttl: Millis,
    types: PhantomData<fn(K, T)>,
}

impl<K, T> Deduplicate<K, T> {
    /// Takes events for duplicates for `ttl` ms after the one let through.
    pub fn new(ttl: Millis) -> Self {
        Deduplicate { ttl, types: PhantomData }
    }
}

impl<K: Key, T: Data> Process for Deduplicate<K, T> {
    type Key = K;
    type In = T;
    type Out = T;
    /// Whether one was let through.
    type State = bool;

    const UNDO: bool = false;

    fn process(&self, _: &K, event: T, seen: &mut bool, ctx: &mut Context<'_, T>) -> Result<(), Reject> {
        if !*seen {
            *seen = true;
            ctx.time().checked_add(self.ttl).into_iter().for_each(|at| ctx.set_timer(at));
            ctx.emit(event);
        }
        Ok(())
    }

    fn on_timer(&self, _: &K, _: &mut bool, ctx: &mut Context<'_, T>) -> Result<(), Reject> {
        ctx.forget();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, events};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_is_let_through_twice_in_its_time(epochs in events(), ttl in 1i64..120, at in (1usize..5, 0usize..9, 1usize..5)) {
            let oracle = |_: u8, times: &[(Millis, u32)]| {
                let mut last = None;
                let new = |(time, n): &(Millis, u32)| {
                    let new = last.is_none_or(|last| time - last >= ttl);
                    last = if new { Some(*time) } else { last };
                    new.then_some((*time, *n))
                };
                times.iter().filter_map(new).collect::<Vec<_>>()
            };
            check(&epochs, at, |event: crate::testing::Event| (event.0, event.2), oracle, move || Deduplicate::new(ttl))?;
        }
    }
}
