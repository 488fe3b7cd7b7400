//! How a shopper looks around.

use tidemill::Millis;
use tidemill::time::seconds;
use tidemill_shop::{Kind, Line};

use crate::line::{line, touch};
use crate::random::Random;
use crate::shelf::Shelf;
use crate::truth::Truth;

/// Items that are looked at in a visit, on average.
pub(crate) const VIEWS: u64 = 8;

/// Of the items that are looked at, those that are put into the cart: of what goes with one that is there already,
/// and of others. Together it is one in ten.
const CARTED: (f64, f64) = (0.5, 0.078);

/// How often a shopper looks at what goes with an item, once that is in the cart.
const COMPLETED: f64 = 0.6;

/// Of the carts that are filled in a visit, those that are bought.
const BOUGHT: f64 = 0.4;

/// Lines of an order, at most.
const MOST: usize = 6;

/// What a shopper decides to buy.
pub(crate) struct Basket {
    pub user: u64,
    pub time: Millis,
    /// Each once.
    pub items: Vec<u64>,
}

/// A shopper in the shop.
pub(crate) struct Visit<'a> {
    pub truth: &'a Truth,
    pub shelf: &'a Shelf,
    pub user: u64,
    /// When it is for this shopper.
    pub time: Millis,
    pub random: &'a mut Random,
    pub lines: &'a mut Vec<Line>,
}

impl Visit<'_> {
    /// Looks around from now on. What the shopper buys, if anything.
    pub fn look_around(mut self) -> Option<Basket> {
        let mut item = self.first();
        let (mut items, mut completes) = (Vec::new(), false);
        for _ in 0..self.random.between(VIEWS as i64 / 2, VIEWS as i64 * 3 / 2 + 1) {
            self.touches(Kind::View, item);
            let likely = if completes { CARTED.0 } else { CARTED.1 };
            let mut next = None;
            if self.random.chance(likely)
                && items.len() < MOST
                && !items.contains(&item)
                && self.shelf.in_stock(item, self.time)
            {
                self.pass(2, 20);
                self.touches(Kind::Cart, item);
                items.push(item);
                next = if self.random.chance(COMPLETED) { self.complement(item) } else { None };
            }
            self.pass(10, 90);
            completes = next.is_some();
            item = next.unwrap_or_else(|| self.after(item));
        }
        self.wishes(item);
        // What has gone out of stock since it was put into the cart is not sold.
        items.retain(|item| self.shelf.in_stock(*item, self.time));
        (!items.is_empty() && self.random.chance(BOUGHT)).then_some(Basket { user: self.user, time: self.time, items })
    }

    fn touches(&mut self, kind: Kind, item: u64) {
        self.lines.push(touch(kind, self.time, self.user, item));
    }

    fn pass(&mut self, least: i64, most: i64) {
        self.time += self.random.between(seconds(least), seconds(most));
    }

    /// What the shopper looks at first: something of a list, where one is shown and there is something good in it.
    fn first(&mut self) -> u64 {
        let wanted = self.truth.wanted(self.user, self.time, self.random);
        if !self.random.chance(0.3) {
            return wanted;
        }
        let mut clicked = None;
        for place in 1..=self.random.between(3, 6) {
            let item = if self.random.chance(0.5) { self.popular() } else { None };
            let item = item.unwrap_or_else(|| self.truth.wanted(self.user, self.time, self.random));
            let shown = touch(Kind::Shown, self.time, self.user, item);
            self.lines.push(Line { number: Some(place), ..shown });
            // Who has found something reads no further.
            let attractive = if self.truth.likes(self.user, item) { 0.35 } else { 0.08 };
            if clicked.is_none() && self.random.chance(attractive) {
                clicked = Some(item);
            } else if self.random.chance(0.004) && !self.truth.likes(self.user, item) {
                self.touches(Kind::NotInterested, item);
            }
        }
        self.pass(3, 20);
        clicked.unwrap_or(wanted)
    }

    /// An item that anybody likes.
    fn popular(&mut self) -> Option<u64> {
        let category = self.random.below(self.truth.settings().categories) + 1;
        let item = self.truth.catalogue().popular(category, self.random)?;
        self.truth.catalogue().is_sold(item, self.time).then_some(item)
    }

    /// What goes with an item, and is sold.
    fn complement(&mut self, item: u64) -> Option<u64> {
        let one = self.random.one_of(self.truth.complements(item))?;
        self.truth.catalogue().is_sold(one, self.time).then_some(one)
    }

    /// What the shopper looks at after an item.
    fn after(&mut self, item: u64) -> u64 {
        let next = match self.random.below(20) {
            0..7 => self.complement(item),
            7..14 => self.truth.catalogue().popular(self.truth.category(item), self.random),
            _ => None,
        };
        let next = next.filter(|next| self.truth.catalogue().is_sold(*next, self.time));
        next.unwrap_or_else(|| self.truth.wanted(self.user, self.time, self.random))
    }

    /// What the shopper does not want, after all that.
    fn wishes(&mut self, last: u64) {
        match self.random.share() {
            0.0..0.001 => {
                let category = self.truth.category(last);
                self.lines.push(Line {
                    user: Some(self.user),
                    category: Some(category),
                    ..line(Kind::Block, self.time)
                });
            }
            0.001..0.0013 => self.lines.push(Line { user: Some(self.user), ..line(Kind::Forget, self.time) }),
            _ => {}
        }
    }
}
