//! What happens in the shop, hour by hour.

use std::collections::BTreeMap;
use tidemill::Millis;
use tidemill::time::{days, hours};
use tidemill_shop::Line;

use crate::calendar;
use crate::dirt::{Dirt, Muddle};
use crate::fraud;
use crate::random::{Draw, Random};
use crate::settings::Settings;
use crate::shelf::Shelf;
use crate::shopper::Crowd;
use crate::till::Till;
use crate::truth::Truth;
use crate::visit::{Basket, VIEWS, Visit};

/// The lines of a shop, in the order in which they arrive: by time, but for the few that [`Dirt`] counts.
///
/// It holds an hour of lines at a time, and those that are certain for later: what becomes of orders within twelve
/// days.
pub struct Simulation {
    truth: Truth,
    shelf: Shelf,
    crowd: Crowd,
    till: Till,
    muddle: Muddle,
    random: Random,
    /// The next hour, of [`Settings::start`] on.
    hour: i64,
    /// What is not simulated any more.
    end: i64,
    /// Of the hour before, what has not been sent.
    lines: std::vec::IntoIter<Line>,
    /// What is certain to happen, by hour.
    later: BTreeMap<i64, Vec<Line>>,
}

/// Of what is looked at, the part that is bought: a tenth is put into carts, two fifths of that are paid.
const SOLD: f64 = 0.04;

impl Simulation {
    /// The shop from its first day on.
    pub fn new(settings: Settings) -> Self {
        let truth = Truth::new(settings);
        let settings = truth.settings();
        Simulation {
            shelf: Shelf::new(truth.catalogue(), settings.seed),
            crowd: Crowd::new(settings),
            till: Till::default(),
            muddle: Muddle::new(settings),
            random: Random::of(settings.seed, Draw::Visits, 0),
            hour: 0,
            end: i64::from(settings.days) * 24,
            lines: Vec::new().into_iter(),
            later: BTreeMap::new(),
            truth,
        }
    }

    /// The same shop, of which only the first days are seen.
    pub fn first_days(mut self, days: u32) -> Self {
        self.end = self.end.min(i64::from(days) * 24);
        self
    }

    /// What is true of it; frauds as far as the simulation has come.
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// How much noise there was so far, and what is on its way.
    pub fn dirt(&self) -> &Dirt {
        self.muddle.dirt()
    }

    /// Simulates the next hour.
    fn next_hour(&mut self) {
        let Settings { users, views, days: span, start, .. } = *self.truth.settings();
        let (hour, begin) = (self.hour, start + hours(self.hour));
        self.hour += 1;
        let mut lines = Vec::new();
        if hour == 0 {
            self.shelf.plan(self.truth.catalogue(), begin, &mut lines);
        }
        if hour % 24 == 0 {
            self.shelf.plan(self.truth.catalogue(), begin + days(1), &mut lines);
        }
        let visits = users as f64 * f64::from(views) / (f64::from(span) * 24.0 * VIEWS as f64);
        for _ in 0..self.random.whole(visits * calendar::busy(begin)) {
            let time = begin + self.random.between(0, hours(1));
            self.visit(time, &mut lines);
        }
        for _ in 0..self.random.whole(visits * VIEWS as f64 * SOLD * fraud::RESOLD) {
            let time = begin + self.random.between(0, hours(1));
            self.thief(time, &mut lines);
        }
        let mut now = self.later.remove(&hour).unwrap_or_default();
        for line in lines {
            match (line.time - start).div_euclid(hours(1)) {
                of if of <= hour => now.push(line),
                of if of < self.end => self.later.entry(of).or_default().push(line),
                _ => {}
            }
        }
        now.sort_by_key(|line| line.time);
        self.lines = now.into_iter();
    }

    fn visit(&mut self, time: Millis, lines: &mut Vec<Line>) {
        let (truth, shelf, random) = (&self.truth, &self.shelf, &mut self.random);
        let user = self.crowd.one(truth.settings(), time, random);
        let basket = Visit { truth, shelf, user, time, random: &mut *random, lines: &mut *lines }.look_around();
        if let Some(basket) = basket {
            self.till.sell(basket, &mut self.truth, shelf, random, lines);
        }
    }

    /// A thief buys what is easily sold on, with anybody's card.
    fn thief(&mut self, time: Millis, lines: &mut Vec<Line>) {
        let (shelf, random) = (&self.shelf, &mut self.random);
        let attacked: Vec<u64> = self.truth.under_attack(time).filter(|item| shelf.in_stock(*item, time)).collect();
        if let Some(item) = random.one_of(&attacked) {
            let user = random.below(self.truth.settings().users) + 1;
            let basket = Basket { user, time, items: vec![item] };
            self.till.sell_to_thief(basket, &mut self.truth, shelf, random, lines);
        }
    }
}

impl Iterator for Simulation {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        loop {
            while self.lines.as_slice().is_empty() && self.hour < self.end {
                self.next_hour();
            }
            let next = self.lines.as_slice().first();
            if let Some(line) = self.muddle.due(next.map(|line| line.time)) {
                return Some(line);
            }
            if let Some(line) = self.muddle.send(self.lines.next()?) {
                return Some(line);
            }
        }
    }
}
