//! What is bought, and what follows from that.

use tidemill::time::{days, hours, seconds};
use tidemill_shop::{Kind, Line};

use crate::fraud::{self, Scenario};
use crate::line::touch;
use crate::random::Random;
use crate::shelf::Shelf;
use crate::shopper;
use crate::truth::Truth;
use crate::visit::Basket;

/// Of the lines of honest orders, those that are cancelled, at least in part.
const CANCELLED: f64 = 0.06;

/// Of the lines of honest orders that are kept, those that are rated.
const RATED: f64 = 0.15;

/// Where orders are made. It counts them.
#[derive(Default)]
pub(crate) struct Till {
    orders: u64,
}

impl Till {
    /// Sells a basket to whoever has filled it, or to who has that user's card.
    pub fn sell(
        &mut self,
        basket: Basket,
        truth: &mut Truth,
        shelf: &Shelf,
        random: &mut Random,
        lines: &mut Vec<Line>,
    ) {
        let stolen = truth.is_stolen(basket.user, basket.time) && random.chance(fraud::THIEFS);
        let scenario = match () {
            () if random.chance(fraud::OUTSIZED_ORDERS) => Some(Scenario::Outsized),
            () if stolen => Some(Scenario::Stolen),
            () => None,
        };
        self.order(basket, scenario, truth, shelf, random, lines);
    }

    /// Sells an item to a thief, who knows what to buy and pays with somebody's card.
    pub fn sell_to_thief(
        &mut self,
        mut basket: Basket,
        truth: &mut Truth,
        shelf: &Shelf,
        random: &mut Random,
        lines: &mut Vec<Line>,
    ) {
        for kind in [Kind::View, Kind::Cart] {
            lines.extend(basket.items.iter().map(|item| touch(kind, basket.time, basket.user, *item)));
            basket.time += random.between(seconds(2), seconds(20));
        }
        self.order(basket, Some(Scenario::Resold), truth, shelf, random, lines);
    }

    fn order(
        &mut self,
        Basket { user, time, items }: Basket,
        scenario: Option<Scenario>,
        truth: &mut Truth,
        shelf: &Shelf,
        random: &mut Random,
        lines: &mut Vec<Line>,
    ) {
        self.orders += 1;
        let order = self.orders;
        if let Some(scenario) = scenario {
            truth.defraud(order, scenario);
        }
        for item in items {
            let price = shelf.cents(item, time);
            let (pieces, cents) = match scenario {
                Some(Scenario::Outsized) => (1, random.between(fraud::OUTSIZED * 5 / 4, fraud::OUTSIZED * 3)),
                Some(Scenario::Stolen) => (random.between(1, 3), price * fraud::THIEFS_FACTOR),
                Some(Scenario::Resold) => (random.between(1, 3), price),
                None if random.chance(0.85) => (1, price),
                None => (random.between(2, 5), price),
            };
            let (amount, currency) = shopper::pays(truth.settings(), user, cents, random);
            let of_order = |kind, time| Line { order: Some(order), ..touch(kind, time, user, item) };
            let bought = of_order(Kind::Purchase, time);
            lines.push(Line { number: Some(pieces), amount: Some(amount), currency, ..bought });
            if scenario.is_some() {
                lines.push(of_order(Kind::Chargeback, time + random.between(days(1), days(6))));
            } else if random.chance(CANCELLED) {
                let number = Some(random.between(1, pieces + 1));
                let time = time + random.between(hours(1), days(10));
                lines.push(Line { number, ..of_order(Kind::Cancellation, time) });
            } else if random.chance(RATED) {
                let stars = random.between(if truth.likes(user, item) { 3 } else { 1 }, 6);
                let time = time + random.between(days(2), days(12));
                lines.push(Line { number: Some(stars), ..touch(Kind::Rating, time, user, item) });
            }
        }
    }
}
