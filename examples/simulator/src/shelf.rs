//! Launches, stock-outs and new prices.

use std::ops::Range;
use tidemill::Millis;
use tidemill::time::{days, hours};
use tidemill_shop::{Kind, Line};

use crate::catalogue::Catalogue;
use crate::line::line;
use crate::random::{Draw, Random};

/// Of the items, those that go out of stock on a day.
const OUT: f64 = 0.01;

/// Of the items, those that get a new price on a day.
const REPRICED: f64 = 0.005;

/// What items cost and which are there. It is planned a day ahead, so that who looks around over midnight knows it.
pub(crate) struct Shelf {
    random: Random,
    /// By number less 1.
    items: Vec<OnShelf>,
}

struct OnShelf {
    out: Range<Millis>,
    cents: i64,
    /// The price before this one.
    earlier: i64,
    since: Millis,
}

impl Shelf {
    pub fn new(catalogue: &Catalogue, seed: u64) -> Self {
        let on_shelf = |(_, item): (u64, &crate::catalogue::Item)| OnShelf {
            out: item.launched..item.launched,
            cents: item.cents,
            earlier: item.cents,
            since: item.launched,
        };
        Shelf { random: Random::of(seed, Draw::Shelf, 0), items: catalogue.items().map(on_shelf).collect() }
    }

    /// Plans the day that begins then; days one after the other.
    pub fn plan(&mut self, catalogue: &Catalogue, begin: Millis, lines: &mut Vec<Line>) {
        let (day, random) = (begin..begin + days(1), &mut self.random);
        for ((number, item), on_shelf) in catalogue.items().zip(&mut self.items) {
            let of_item = |kind, time| Line { item: Some(number), ..line(kind, time) };
            let price = |cents, time| Line { amount: Some(cents as f64 / 100.0), ..of_item(Kind::Price, time) };
            if day.contains(&item.launched) {
                lines.push(Line { category: Some(item.category), ..of_item(Kind::Listed, item.launched) });
                lines.push(price(item.cents, item.launched));
                lines.push(Line { number: Some(random.between(100, 1_000)), ..of_item(Kind::Stock, item.launched) });
            }
            if item.launched >= begin {
                continue;
            }
            // What is planned for the day before is not over yet.
            let over = begin - days(1);
            if random.chance(OUT) && on_shelf.out.end <= over {
                let from = begin + random.between(0, days(1));
                on_shelf.out = from..from + random.between(hours(2), hours(30));
                lines.push(Line { number: Some(0), ..of_item(Kind::Stock, from) });
                let there = Some(random.between(100, 1_000));
                lines.push(Line { number: there, ..of_item(Kind::Stock, on_shelf.out.end) });
            }
            if random.chance(REPRICED) && on_shelf.since <= over {
                on_shelf.earlier = on_shelf.cents;
                on_shelf.cents = (item.cents as f64 * (0.8 + 0.4 * random.share())) as i64;
                on_shelf.since = begin + random.between(0, days(1));
                lines.push(price(on_shelf.cents, on_shelf.since));
            }
        }
    }

    fn item(&self, item: u64) -> Option<&OnShelf> {
        self.items.get(usize::try_from(item.checked_sub(1)?).ok()?)
    }

    /// Whether an item that has been launched can be bought.
    pub fn in_stock(&self, item: u64, time: Millis) -> bool {
        self.item(item).is_some_and(|item| !item.out.contains(&time))
    }

    /// What an item costs.
    pub fn cents(&self, item: u64, time: Millis) -> i64 {
        self.item(item).map_or(0, |item| if time < item.since { item.earlier } else { item.cents })
    }
}
