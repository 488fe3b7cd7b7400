//! Doing something again for everybody, a few at a time.

use serde::{Deserialize, Serialize};
use tidemill::{Context, Millis, Order, Process, Reject};

/// Says whose turn it is when something must be done again for all keys: a part of them at a time, so that nobody waits for all
/// the others. From an event on it takes `within` ms of event time until all parts have had their turn, a ms for each at least; an event
/// that comes meanwhile begins another round where this one is, so that no part has its turn more often than once in that time. With 0
/// ms all have theirs at once, in the epoch of the event.
///
/// State: which parts are left.
#[derive(Clone, Copy, Debug)]
pub struct Anew {
    within: Millis,
    parts: u64,
}

impl Anew {
    /// Comes around to each of so many parts within `within` ms.
    pub fn new(within: Millis, parts: u64) -> Self {
        Anew { within, parts: parts.max(1) }
    }

    fn step(&self) -> Millis {
        (self.within / self.parts as Millis).max(1)
    }
}

/// The turn of some keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Turn {
    /// When, in ms since 1970 UTC; never before the watermark.
    pub time: Millis,
    /// Which part, from 0 on; none if it is everybody's.
    pub part: Option<u64>,
}

/// Where it is.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Round {
    next: u64,
    left: u64,
}

impl Process for Anew {
    type Key = ();
    type In = Millis;
    type Out = Turn;
    type State = Round;

    const ORDER: Order = Order::Arrival;
    const UNDO: bool = false;

    fn process(&self, (): &(), time: Millis, round: &mut Round, ctx: &mut Context<'_, Turn>) -> Result<(), Reject> {
        if self.within == 0 {
            ctx.emit(Turn { time: time.max(ctx.watermark()), part: None });
            return Ok(());
        }
        if round.left == 0 {
            ctx.set_timer(ctx.watermark().saturating_add(self.step()));
        }
        round.left = self.parts;
        Ok(())
    }

    fn on_timer(&self, (): &(), round: &mut Round, ctx: &mut Context<'_, Turn>) -> Result<(), Reject> {
        ctx.emit(Turn { time: ctx.time(), part: Some(round.next) });
        *round = Round { next: (round.next + 1) % self.parts, left: round.left - 1 };
        if round.left > 0 {
            ctx.set_timer(ctx.time().saturating_add(self.step()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill::harness::Harness;

    #[test]
    fn every_part_has_its_turn_within_the_time_and_none_twice_in_it() {
        let mut harness = Harness::process(2, |_: &Millis| (), || Anew::new(100, 4));
        let parts = |turns: Vec<Turn>| -> Vec<u64> { turns.into_iter().filter_map(|turn| turn.part).collect() };
        harness.watermark(1_000);
        harness.push(5_000, 5_000);
        harness.watermark(1_050);
        assert_eq!(parts(harness.out()), [0, 1], "from the watermark on, whatever time the event says");
        harness.push(1_050, 1_050);
        harness.watermark(1_100);
        assert_eq!(parts(harness.out()), [2, 3]);
        harness.watermark(2_000);
        assert_eq!(parts(harness.out()), [0, 1], "and those again that had theirs before the second event");
        harness.watermark(3_000);
        assert_eq!(harness.out(), []);
    }

    #[test]
    fn at_once_means_in_the_same_epoch() {
        let mut harness = Harness::process(1, |_: &Millis| (), || Anew::new(0, 4));
        harness.push(7, 7);
        harness.close_epoch();
        let turns = harness.out();
        assert_eq!(turns, [Turn { time: 7, part: None }]);
        harness.watermark(50);
        harness.push(20, 20);
        harness.close_epoch();
        assert_eq!(
            harness.out(),
            [Turn { time: 50, part: None }],
            "one that comes late is no earlier than the watermark"
        );
    }
}
