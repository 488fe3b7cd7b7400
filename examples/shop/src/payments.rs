//! Purchases as payments, and what becomes known of them.

use serde::{Deserialize, Serialize};
use tidemill::{Context, Data, Millis, Process, Record, Reject, Stream};
use tidemill_shop::{Action, ShopEvent};

use fraud::graph::Label;
use fraud::transaction::{START, Transaction};

/// Which line of which order.
type Place = (u64, u64);

/// Events with their times.
pub fn timed<T: Data>(events: Stream<'_, T>) -> Stream<'_, (Millis, T)> {
    use tidemill::timely::dataflow::operators::vec::Map;
    let timed = |Record { time, seq, value }: Record<T>| Record { time, seq, value: (time, value) };
    Stream::from_inner(events.inner().map(timed), &events)
}

/// The payment for a line of an order: its customer is the user, its terminal the item. None where it does not fit the fraud
/// example's numbers: seconds since 2018-04-01 and 32 bits.
pub fn payment(time: Millis, event: &ShopEvent) -> Option<(Place, Transaction)> {
    let Action::Purchase { order, item, quantity, cents } = event.action else { return None };
    let sec = u32::try_from((time - START) / 1000).ok()?;
    let (customer, terminal) = (u32::try_from(event.user).ok()?, u32::try_from(item).ok()?);
    let cents = u32::try_from(cents.checked_mul(quantity.into())?).ok()?;
    Some(((order, item), Transaction { sec, customer, terminal, cents, fraud: false, scenario: 0 }))
}

/// What happens to a payment.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Of {
    /// It is made.
    Made(Transaction),
    /// It was a fraud.
    ChargedBack,
}

/// What an event says of which payment.
pub fn of(time: Millis, event: &ShopEvent) -> Option<(Place, Of)> {
    match event.action {
        Action::Chargeback { order, item } => Some(((order, item), Of::ChargedBack)),
        _ => payment(time, event).map(|(place, payment)| (place, Of::Made(payment))),
    }
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
    type State = Option<Transaction>;

    const UNDO: bool = false;

    fn process(
        &self,
        _: &Place,
        (_, of): (Place, Of),
        made: &mut Option<Transaction>,
        ctx: &mut Context<'_, Label>,
    ) -> Result<(), Reject> {
        match of {
            Of::Made(payment) => {
                ctx.set_timer(payment.time_ms() + self.delay);
                *made = Some(payment);
            }
            // One that comes for nothing, or after the verdict, changes none.
            Of::ChargedBack => match made {
                Some(payment) => payment.fraud = true,
                None => ctx.forget(),
            },
        }
        Ok(())
    }

    fn on_timer(&self, _: &Place, made: &mut Option<Transaction>, ctx: &mut Context<'_, Label>) -> Result<(), Reject> {
        if let Some(payment) = made.take() {
            ctx.emit(Label { payment, known_at: ctx.time() });
        }
        ctx.forget();
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
}
