//! A [`Process`]: events in, events out. Which carts were left alone for so long that a reminder is due?

use serde::{Deserialize, Serialize};
use tidemill::{Context, Millis, Process, Reject};

/// What a customer did with the cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartEvent {
    /// When, in milliseconds since 1970 UTC.
    pub time: Millis,
    /// Who.
    pub customer: u32,
    /// What.
    pub action: Action,
}

/// What can be done with a cart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Something was put into it, for so many cents.
    Add(i64),
    /// All of it was bought.
    Buy,
}

/// A cart that was left alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reminder {
    /// Whose it is.
    pub customer: u32,
    /// What is in it, in cents.
    pub cents: i64,
    /// When something was put into it last, in milliseconds since 1970 UTC.
    pub since: Millis,
}

/// Gives a [`Reminder`] for each cart into which nothing has been put for `patience` ms and which has not been bought. Its
/// time is the moment at which patience ran out, and the cart begins anew. An amount of nothing or less is refused.
///
/// State: the carts that wait, nothing of a customer without one.
#[derive(Clone, Copy, Debug)]
pub struct AbandonedCarts {
    /// In ms.
    pub patience: Millis,
}

/// A cart. Like every state it begins as its `default()` and can be written down.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cart {
    cents: i64,
    since: Millis,
}

impl Process for AbandonedCarts {
    type Key = u32;
    type In = CartEvent;
    type Out = Reminder;
    type State = Cart;

    fn process(
        &self,
        _: &u32,
        event: CartEvent,
        cart: &mut Cart,
        ctx: &mut Context<'_, Reminder>,
    ) -> Result<(), Reject> {
        match event.action {
            Action::Add(cents @ 1..) => {
                ctx.cancel_timer(cart.since + self.patience);
                ctx.set_timer(event.time + self.patience);
                cart.since = event.time;
                cart.cents =
                    cart.cents.checked_add(cents).ok_or_else(|| Reject::new("the cart's total does not fit"))?;
                Ok(())
            }
            Action::Add(cents) => Err(Reject::new(format!("{cents} cents: what is put into a cart costs something"))),
            Action::Buy => {
                ctx.forget();
                Ok(())
            }
        }
    }

    fn on_timer(&self, customer: &u32, cart: &mut Cart, ctx: &mut Context<'_, Reminder>) -> Result<(), Reject> {
        ctx.emit(Reminder { customer: *customer, cents: cart.cents, since: cart.since });
        ctx.forget();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tidemill::harness::Harness;

    const PATIENCE: Millis = 100;

    fn harness(workers: usize) -> Harness<impl tidemill::Kernel<In = CartEvent, Out = tidemill::Record<Reminder>>> {
        Harness::process(workers, |event: &CartEvent| event.customer, || AbandonedCarts { patience: PATIENCE })
    }

    fn event(time: Millis, customer: u32, action: Action) -> CartEvent {
        CartEvent { time, customer, action }
    }

    #[test]
    fn a_reminder_comes_when_patience_has_run_out_and_not_for_what_was_bought() {
        let mut harness = harness(1);
        harness.push(0, event(0, 1, Action::Add(500)));
        harness.push(0, event(0, 2, Action::Add(900)));
        harness.push(80, event(80, 1, Action::Add(250)));
        harness.push(90, event(90, 2, Action::Buy));
        harness.watermark(179);
        assert_eq!(harness.out(), []);
        harness.watermark(180);
        assert_eq!(harness.out(), [Reminder { customer: 1, cents: 750, since: 80 }]);
        assert!(harness.is_empty(), "nothing is kept of a customer without a cart");
    }

    #[test]
    fn what_costs_nothing_is_a_dead_letter_and_changes_nothing() {
        let mut harness = harness(1);
        harness.push(0, event(0, 1, Action::Add(500)));
        harness.push(50, event(50, 1, Action::Add(0)));
        harness.watermark(1_000);
        assert_eq!(harness.out(), [Reminder { customer: 1, cents: 500, since: 0 }]);
        let dead = harness.dead();
        assert_eq!(dead[0].reason, "0 cents: what is put into a cart costs something");
        assert_eq!(dead[0].record, r#"{"time":50,"customer":1,"action":{"Add":0}}"#);
    }

    /// By the definition: go through each customer's events in order of time.
    fn oracle(events: &[CartEvent]) -> Vec<Reminder> {
        let mut carts: BTreeMap<u32, Vec<&CartEvent>> = BTreeMap::new();
        events.iter().for_each(|event| carts.entry(event.customer).or_default().push(event));
        let mut reminders = vec![];
        for (customer, mut events) in carts {
            events.sort_by_key(|event| event.time); // ties stay in order of arrival
            let (mut cents, mut since) = (0, 0);
            for (event, next) in events.iter().zip(events.iter().skip(1).map(Some).chain([None])) {
                match event.action {
                    Action::Add(more) => (cents, since) = (cents + more, event.time),
                    Action::Buy => cents = 0,
                }
                if cents > 0 && next.is_none_or(|next| next.time >= since + PATIENCE) {
                    reminders.push(Reminder { customer, cents, since });
                    cents = 0;
                }
            }
        }
        reminders.sort();
        reminders
    }

    proptest! {
        #[test]
        fn reminders_are_what_the_definition_says(
            epochs in prop::collection::vec((prop::collection::vec((0i64..150, 0u32..4, 0i64..5), 0..10), 0i64..120), 1..10),
            workers in 1usize..5, cut in 0usize..10, after in 1usize..5,
        ) {
            let (mut harness, mut events, mut watermark) = (harness(workers), vec![], 0);
            for (number, (batch, step)) in epochs.into_iter().enumerate() {
                for (offset, customer, cents) in batch {
                    // Out of order, but never behind the watermark.
                    let action = if cents == 0 { Action::Buy } else { Action::Add(cents) };
                    let event = event(watermark + offset, customer, action);
                    harness.push(event.time, event.clone());
                    events.push(event);
                }
                watermark += step;
                harness.watermark(watermark);
                if number == cut {
                    // As after a crash, from the checkpoint, on another number of workers.
                    harness.restore(after).unwrap();
                }
            }
            harness.watermark(watermark + 10 * PATIENCE);
            let mut reminders = harness.out();
            reminders.sort();
            prop_assert_eq!(reminders, oracle(&events));
            prop_assert!(harness.is_empty());
        }
    }
}
