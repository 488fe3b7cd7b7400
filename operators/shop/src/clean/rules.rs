//! What a line must be to be believed.

use tidemill::Millis;
use tidemill::time::hours;

use crate::clean::money::Rates;
use crate::clean::{Clean, Reason};
use crate::event::{Action, ItemChange, ItemEvent, ShopEvent};
use crate::line::{Kind, Line};

/// What a shop's lines may say.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Nothing has happened before this, in ms since 1970 UTC: 2000-01-01 by default.
    pub earliest: Millis,
    /// Nor after this: 2100-01-01 by default. Where the input's end is known, say it: until then a clock that is ahead
    /// is believed, and drives the watermark.
    pub latest: Millis,
    /// How many pieces may be bought or cancelled at once: 10,000.
    pub most_pieces: u32,
    /// What one piece may cost, in cents: 1,000,000.00.
    pub most_cents: i64,
    /// What money is worth.
    pub rates: Rates,
    /// For how many ms of event time an id is remembered, and how many lines a user had: an hour.
    pub remember: Millis,
    /// How many lines a user may have in a minute: 120. Who has more is a bot until a minute without lines.
    /// Cancellations, chargebacks and wishes to be forgotten are no part of that.
    pub most_lines: u32,
}

const YEAR_2000: Millis = 946_684_800_000;
const YEAR_2100: Millis = 4_102_444_800_000;

impl Rules {
    /// The defaults, with what money is worth.
    pub fn new(rates: Rates) -> Self {
        Rules {
            earliest: YEAR_2000,
            latest: YEAR_2100,
            most_pieces: 10_000,
            most_cents: 100_000_000,
            rates,
            remember: hours(1),
            most_lines: 120,
        }
    }

    /// The event time of a line for a source's [`Timing`](tidemill::Timing): its own if that lies between the bounds,
    /// else `earliest`, which moves no watermark.
    pub fn event_time(&self, line: &Line) -> Millis {
        if self.is_possible(line.time) { line.time } else { self.earliest }
    }

    fn is_possible(&self, time: Millis) -> bool {
        (self.earliest..=self.latest).contains(&time)
    }

    /// What a line says, as far as it can be judged alone; or what is wrong with it, of several faults the first in the
    /// order of [`Reason`].
    ///
    /// # Errors
    ///
    /// The reason why it cannot be believed.
    pub fn check(&self, line: &Line) -> Result<Clean, Reason> {
        if line.kind == Kind::Unknown {
            return Err(Reason::UnknownKind);
        }
        if !self.is_possible(line.time) {
            return Err(Reason::ImpossibleTime);
        }
        let item = || line.item.ok_or(Reason::MissingField);
        let order = || line.order.ok_or(Reason::MissingField);
        let category = || line.category.ok_or(Reason::MissingField);
        let number = || line.number.ok_or(Reason::MissingField);
        let amount = || line.amount.ok_or(Reason::MissingField);
        let action = match line.kind {
            Kind::Listed => return item_event(item()?, ItemChange::Listed { category: category()? }),
            Kind::Stock => {
                let (item, left) = (item()?, number()?);
                let left = u32::try_from(left).map_err(|_| Reason::ImpossibleQuantity)?;
                return item_event(item, ItemChange::Stock { left });
            }
            Kind::Price => {
                let (item, amount) = (item()?, amount()?);
                return item_event(item, ItemChange::Price { cents: self.cents(amount, line)? });
            }
            Kind::View => Action::View { item: item()? },
            Kind::Cart => Action::Cart { item: item()? },
            Kind::Purchase => {
                let (order, item, number, amount, _) = (order()?, item()?, number()?, amount()?, user(line)?);
                let quantity = self.pieces(number)?;
                Action::Purchase { order, item, quantity, cents: self.cents(amount, line)? }
            }
            Kind::Cancellation => {
                let (item, number, _) = (item()?, number()?, user(line)?);
                Action::Cancellation { order: line.order, item, quantity: self.pieces(number)? }
            }
            Kind::Rating => {
                let (item, number, _) = (item()?, number()?, user(line)?);
                let stars = u8::try_from(number).ok().filter(|stars| (1..=5).contains(stars));
                Action::Rating { item, stars: stars.ok_or(Reason::ImpossibleStars)? }
            }
            Kind::Shown => {
                let (item, number, _) = (item()?, number()?, user(line)?);
                let place = u16::try_from(number).ok().filter(|place| *place > 0);
                Action::Shown { item, place: place.ok_or(Reason::ImpossibleQuantity)? }
            }
            Kind::NotInterested => Action::NotInterested { item: item()? },
            Kind::Block => Action::Block { category: category()? },
            Kind::Chargeback => Action::Chargeback { order: order()?, item: item()? },
            Kind::Forget => Action::Forget,
            Kind::Unknown => return Err(Reason::UnknownKind),
        };
        Ok(Clean::Shopper(ShopEvent::new(user(line)?, action)))
    }

    fn pieces(&self, number: i64) -> Result<u32, Reason> {
        let pieces = u32::try_from(number).ok().filter(|pieces| (1..=self.most_pieces).contains(pieces));
        pieces.ok_or(Reason::ImpossibleQuantity)
    }

    fn cents(&self, amount: f64, line: &Line) -> Result<i64, Reason> {
        let cents = self.rates.cents(amount, line.currency)?;
        if (1..=self.most_cents).contains(&cents) { Ok(cents) } else { Err(Reason::ImpossibleAmount) }
    }
}

fn user(line: &Line) -> Result<u64, Reason> {
    line.user.ok_or(Reason::MissingField)
}

fn item_event(item: u64, change: ItemChange) -> Result<Clean, Reason> {
    Ok(Clean::Item(ItemEvent { item, change }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Currency;

    const NOON: Millis = 1_700_000_000_000;

    fn rules() -> Rules {
        Rules::new(Rates::new(Currency::new("EUR").unwrap()))
    }

    fn line(kind: Kind) -> Line {
        let (user, item, order, category) = (Some(1), Some(2), Some(3), Some(4));
        let (number, amount) = (Some(5), Some(6.5));
        Line { id: 9, time: NOON, kind, user, item, order, category, number, amount, currency: None }
    }

    #[test]
    fn a_line_with_all_fields_is_believed() {
        let action = |kind| match rules().check(&line(kind)) {
            Ok(Clean::Shopper(ShopEvent { user: 1, action, .. })) => action,
            other => panic!("{kind:?} is {other:?}"),
        };
        let change = |kind| match rules().check(&line(kind)) {
            Ok(Clean::Item(ItemEvent { item: 2, change })) => change,
            other => panic!("{kind:?} is {other:?}"),
        };
        assert_eq!(action(Kind::View), Action::View { item: 2 });
        assert_eq!(action(Kind::Cart), Action::Cart { item: 2 });
        assert_eq!(action(Kind::Purchase), Action::Purchase { order: 3, item: 2, quantity: 5, cents: 650 });
        assert_eq!(action(Kind::Cancellation), Action::Cancellation { order: Some(3), item: 2, quantity: 5 });
        assert_eq!(action(Kind::Rating), Action::Rating { item: 2, stars: 5 });
        assert_eq!(action(Kind::Shown), Action::Shown { item: 2, place: 5 });
        assert_eq!(action(Kind::NotInterested), Action::NotInterested { item: 2 });
        assert_eq!(action(Kind::Block), Action::Block { category: 4 });
        assert_eq!(action(Kind::Chargeback), Action::Chargeback { order: 3, item: 2 });
        assert_eq!(action(Kind::Forget), Action::Forget);
        assert_eq!(change(Kind::Listed), ItemChange::Listed { category: 4 });
        assert_eq!(change(Kind::Stock), ItemChange::Stock { left: 5 });
        assert_eq!(change(Kind::Price), ItemChange::Price { cents: 650 });
    }

    #[test]
    fn a_line_without_a_field_it_needs_is_not() {
        use Kind::*;
        let without: [(fn(&mut Line), &[Kind]); 6] = [
            (
                |line| line.user = None,
                &[View, Cart, Purchase, Cancellation, Rating, Shown, NotInterested, Block, Chargeback, Forget],
            ),
            (
                |line| line.item = None,
                &[View, Cart, Purchase, Cancellation, Rating, Shown, NotInterested, Chargeback, Listed, Stock, Price],
            ),
            (|line| line.order = None, &[Purchase, Chargeback]),
            (|line| line.category = None, &[Block, Listed]),
            (|line| line.number = None, &[Purchase, Cancellation, Rating, Shown, Stock]),
            (|line| line.amount = None, &[Purchase, Price]),
        ];
        let all = [
            View,
            Cart,
            Purchase,
            Cancellation,
            Rating,
            Shown,
            NotInterested,
            Block,
            Chargeback,
            Forget,
            Listed,
            Stock,
            Price,
        ];
        for (take, needs) in without {
            for kind in all {
                let mut line = line(kind);
                take(&mut line);
                let checked = rules().check(&line);
                assert_eq!(checked.is_err(), needs.contains(&kind), "{line:?}");
                assert!(checked.is_ok() || checked == Err(Reason::MissingField), "{line:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_is_told_apart() {
        let rules = rules();
        let reason = |kind, change: fn(&mut Line)| {
            let mut line = line(kind);
            change(&mut line);
            rules.check(&line).unwrap_err()
        };
        assert_eq!(reason(Kind::Unknown, |line| line.time = 0), Reason::UnknownKind);
        assert_eq!(reason(Kind::View, |line| line.time = YEAR_2000 - 1), Reason::ImpossibleTime);
        assert_eq!(reason(Kind::View, |line| line.time = YEAR_2100 + 1), Reason::ImpossibleTime);
        for number in [0, -1, 10_001, i64::MAX, i64::MIN] {
            let mut line = line(Kind::Purchase);
            line.number = Some(number);
            assert_eq!(rules.check(&line), Err(Reason::ImpossibleQuantity));
            line.kind = Kind::Cancellation;
            assert_eq!(rules.check(&line), Err(Reason::ImpossibleQuantity));
            line.kind = Kind::Rating;
            assert_eq!(rules.check(&line), Err(Reason::ImpossibleStars));
        }
        assert_eq!(reason(Kind::Rating, |line| line.number = Some(6)), Reason::ImpossibleStars);
        assert_eq!(reason(Kind::Stock, |line| line.number = Some(-1)), Reason::ImpossibleQuantity);
        assert_eq!(reason(Kind::Shown, |line| line.number = Some(0)), Reason::ImpossibleQuantity);
        assert_eq!(reason(Kind::Price, |line| line.amount = Some(1_000_000.01)), Reason::ImpossibleAmount);
        assert_eq!(reason(Kind::Purchase, |line| line.amount = Some(f64::NAN)), Reason::ImpossibleAmount);
        assert_eq!(reason(Kind::Price, |line| line.currency = Currency::new("XXX")), Reason::UnknownCurrency);
        let sold_out = Line { number: Some(0), ..line(Kind::Stock) };
        assert_eq!(rules.check(&sold_out), item_event(2, ItemChange::Stock { left: 0 }));
    }

    #[test]
    fn an_impossible_time_moves_nothing() {
        let rules = Rules { earliest: 100, latest: 200, ..rules() };
        let times = [Millis::MIN, 99, 100, 150, 200, 201, Millis::MAX];
        let event_times = times.map(|time| rules.event_time(&Line { time, ..line(Kind::View) }));
        assert_eq!(event_times, [100, 100, 100, 150, 200, 100, 100]);
    }
}
