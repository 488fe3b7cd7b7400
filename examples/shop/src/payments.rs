//! Purchases as payments, and what becomes known of them.

use serde::{Deserialize, Serialize};
use tidemill::{Context, Millis, Process, Reject};
use tidemill_shop::{Action, ShopEvent};

use fraud::graph::Label;
use fraud::transaction::{START, Transaction};

/// Which item of which order.
pub type Place = (u64, u64);

/// What happens to a payment.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Of {
    /// It is made.
    Made(Transaction),
    /// It was a fraud.
    ChargedBack,
}

/// Whether an event is about a payment.
pub fn is_of_payments(action: &Action) -> bool {
    matches!(action, Action::Purchase { .. } | Action::Chargeback { .. })
}

/// What an event says of which payment. The payment for a line of an order has the user for its customer and the item for its
/// terminal.
///
/// # Errors
///
/// It is not about a payment, or does not fit the fraud example's numbers: seconds since 2018-04-01, and 32 bits.
pub fn of(time: Millis, event: &ShopEvent) -> Result<(Place, Of), Reject> {
    match event.action {
        Action::Chargeback { order, item } => Ok(((order, item), Of::ChargedBack)),
        Action::Purchase { order, item, quantity, cents } => {
            let payment = payment(time, event.user, item, cents.checked_mul(quantity.into()));
            let unfit = || {
                Reject::new("fraud scores are for payments from 2018-04-01 on, of users, items and cents below 2^32")
            };
            Ok(((order, item), Of::Made(payment.ok_or_else(unfit)?)))
        }
        _ => Err(Reject::new("it is not about a payment")),
    }
}

fn payment(time: Millis, user: u64, item: u64, cents: Option<i64>) -> Option<Transaction> {
    let sec = u32::try_from((time - START) / 1000).ok()?;
    let (customer, terminal) = (u32::try_from(user).ok()?, u32::try_from(item).ok()?);
    Some(Transaction { sec, customer, terminal, cents: u32::try_from(cents?).ok()?, fraud: false, scenario: 0 })
}

/// Says of each payment, `delay` ms after it, whether it was a fraud: whether it has been charged back by then.
///
/// State: the payments of the last `delay` ms.
pub struct Verdicts {
    /// How long one waits for a chargeback, in ms.
    pub delay: Millis,
}

impl Process for Verdicts {
    type Key = Place;
    type In = (Place, Of);
    type Out = Label;
    /// Several where an order has an item in more than one line.
    type State = Vec<Transaction>;

    const UNDO: bool = false;

    fn process(
        &self,
        _: &Place,
        (_, of): (Place, Of),
        made: &mut Vec<Transaction>,
        ctx: &mut Context<'_, Label>,
    ) -> Result<(), Reject> {
        match of {
            Of::Made(payment) => {
                ctx.set_timer(payment.time_ms() + self.delay);
                made.push(payment);
            }
            // One that comes for nothing, or after the verdict, changes none.
            Of::ChargedBack if made.is_empty() => ctx.forget(),
            Of::ChargedBack => made.iter_mut().for_each(|payment| payment.fraud = true),
        }
        Ok(())
    }

    fn on_timer(&self, _: &Place, made: &mut Vec<Transaction>, ctx: &mut Context<'_, Label>) -> Result<(), Reject> {
        let known_at = ctx.time();
        for payment in made.extract_if(.., |payment| payment.time_ms() + self.delay <= known_at) {
            ctx.emit(Label { payment, known_at });
        }
        if made.is_empty() {
            ctx.forget();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill::harness::Harness;

    #[test]
    fn a_payment_is_a_fraud_if_it_was_charged_back_within_the_delay() {
        let mut harness = Harness::process(2, |(place, _): &(Place, Of)| *place, || Verdicts { delay: 1_000 });
        let payment = |customer| Transaction { sec: 10, customer, terminal: 5, cents: 100, fraud: false, scenario: 0 };
        let at = payment(1).time_ms();
        for (order, charged_at) in [(1, None), (2, Some(at + 999)), (3, Some(at + 1_001))] {
            harness.push(at, ((order, 5), Of::Made(payment(order as u32))));
            if let Some(time) = charged_at {
                harness.push(time, ((order, 5), Of::ChargedBack));
            }
        }
        harness.watermark(at + 5_000);
        let mut verdicts: Vec<(u32, bool)> =
            harness.out().into_iter().map(|label| (label.payment.customer, label.payment.fraud)).collect();
        verdicts.sort();
        assert_eq!(verdicts, [(1, false), (2, true), (3, false)]);
        assert!(harness.is_empty());
    }

    #[test]
    fn each_line_of_an_order_has_its_verdict() {
        let mut harness = Harness::process(1, |(place, _): &(Place, Of)| *place, || Verdicts { delay: 1_000 });
        let payment = |sec, cents| Transaction { sec, customer: 1, terminal: 5, cents, fraud: false, scenario: 0 };
        for (sec, cents) in [(10, 100), (10, 200), (11, 300)] {
            harness.push(payment(sec, 0).time_ms(), ((1, 5), Of::Made(payment(sec, cents))));
        }
        harness.push(payment(10, 0).time_ms() + 900, ((1, 5), Of::ChargedBack));
        harness.watermark(payment(99, 0).time_ms());
        let mut verdicts: Vec<(u32, bool)> =
            harness.out().into_iter().map(|label| (label.payment.cents, label.payment.fraud)).collect();
        verdicts.sort();
        assert_eq!(verdicts, [(100, true), (200, true), (300, false)], "the last was made after the chargeback");
        assert!(harness.is_empty());
    }
}
