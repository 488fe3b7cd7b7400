//! What happens in the shop, day by day.

use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use tidemill::Millis;
use tidemill::time::{days, hours, seconds};
use tidemill_shop::{Currency, Kind, Line};

use crate::random::Random;
use crate::settings::{RATES, Settings};
use crate::truth::{Scenario, Truth};

/// The lines of a shop, in the order in which they arrive: by time, but for some that come up to a minute late, and some whose
/// time makes no sense.
pub struct Simulation {
    truth: Truth,
    day: u32,
    /// Days after this are not simulated.
    last_day: u32,
    /// What is certain to happen on later days.
    later: BTreeMap<u32, Vec<Line>>,
    /// Items that are out of stock, from when to when.
    out: FxHashMap<u64, (Millis, Millis)>,
    /// Items that are bought with stolen cards, and through which day.
    attacked: FxHashMap<u64, u32>,
    /// Users whose card is stolen, and through which day.
    stolen: FxHashMap<u64, u32>,
    order: u64,
    id: u64,
    dirt: Dirt,
    /// The day's lines, the last first, each with when it arrives.
    lines: Vec<(Millis, Line)>,
}

/// How many lines are noise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dirt {
    /// Sent twice.
    pub repeated: u64,
    /// Impossible quantities, amounts, stars or times, missing fields, unknown kinds.
    pub impossible: u64,
    /// By bots, of which each has [`BURST`](Simulation::BURST) lines in a minute.
    pub bots: u64,
}

/// Shares of shoppers by the hour of their day.
const HOURS: [f64; 24] =
    [2., 1., 1., 1., 1., 2., 3., 5., 6., 7., 7., 8., 9., 8., 7., 7., 8., 9., 11., 13., 14., 12., 8., 4.];

/// Items that are looked at in a session.
const SESSION: f64 = 8.0;

impl Simulation {
    /// Lines that a bot sends within a minute.
    pub const BURST: u64 = 400;

    /// The shop from its first day on.
    pub fn new(settings: Settings) -> Self {
        let last_day = settings.days;
        Simulation {
            truth: Truth::new(settings),
            day: 0,
            last_day,
            later: BTreeMap::new(),
            out: FxHashMap::default(),
            attacked: FxHashMap::default(),
            stolen: FxHashMap::default(),
            order: 0,
            id: 0,
            dirt: Dirt::default(),
            lines: Vec::new(),
        }
    }

    /// The same shop, of which only the first days are seen.
    pub fn first_days(mut self, days: u32) -> Self {
        self.last_day = self.last_day.min(days);
        self
    }

    /// What is true of it; frauds as far as the simulation has come.
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// How much noise there was so far.
    pub fn dirt(&self) -> Dirt {
        self.dirt
    }

    fn settings(&self) -> &Settings {
        self.truth.settings()
    }

    fn begin(&self, day: u32) -> Millis {
        self.settings().start + days(i64::from(day))
    }

    /// Simulates the next day.
    fn next_day(&mut self) {
        let (day, begin, end) = (self.day, self.begin(self.day), self.begin(self.day + 1));
        let mut lines = self.later.remove(&day).unwrap_or_default();
        self.items_of_the_day(&mut lines);
        self.attacks(&mut lines);
        let Settings { users, views, days: span, seed, .. } = *self.settings();
        let sessions = f64::from(views) / f64::from(span.max(1)) / SESSION;
        for user in 1..=users {
            let mut random = Random::new([seed, u64::from(day) << 3 | 4, user]);
            let busy = if day % 7 < 2 { 1.2 } else { 0.92 };
            for _ in 0..(sessions * busy) as u64 + u64::from(random.chance((sessions * busy).fract())) {
                self.session(user, begin, &mut random, &mut lines);
            }
        }
        let mut random = Random::new([seed, 5, u64::from(day)]);
        self.dirty(&mut lines, &mut random);
        let (now, later): (Vec<Line>, Vec<Line>) = lines.into_iter().partition(|line| line.time < end);
        for line in later {
            self.later.entry(((line.time - self.settings().start) / days(1)) as u32).or_default().push(line);
        }
        self.lines = now.into_iter().map(|line| (line.time, line)).collect();
        for (arrives, line) in &mut self.lines {
            self.id += 1;
            line.id = self.id;
            if random.chance(0.01) {
                *arrives += random.between(0, seconds(55));
            }
        }
        self.noise(begin, &mut random);
        self.lines.sort_unstable_by_key(|(arrives, line)| std::cmp::Reverse((*arrives, line.id)));
        self.day += 1;
    }

    /// Launches, stock-outs and new prices.
    fn items_of_the_day(&mut self, lines: &mut Vec<Line>) {
        let (day, begin, end) = (self.day, self.begin(self.day), self.begin(self.day + 1));
        let Settings { items, seed, .. } = *self.settings();
        for item in 1..=items {
            let launched = self.truth.launched(item).unwrap_or(begin);
            let cents = self.truth.cents(item).unwrap_or(100);
            let of_item = |kind, time| Line { item: Some(item), ..line(kind, time) };
            if (begin..end).contains(&launched) {
                lines.push(Line { category: Some(self.truth.category(item)), ..of_item(Kind::Listed, launched) });
                lines.push(Line { amount: Some(cents as f64 / 100.0), ..of_item(Kind::Price, launched) });
                lines.push(Line { number: Some(1_000), ..of_item(Kind::Stock, launched) });
                continue;
            }
            let mut random = Random::new([seed, u64::from(day) << 3 | 6, item]);
            if launched < begin && random.chance(0.01) {
                let from = begin + random.between(0, hours(20));
                let to = from + random.between(hours(2), hours(30));
                self.out.insert(item, (from, to));
                lines.push(Line { number: Some(0), ..of_item(Kind::Stock, from) });
                lines.push(Line { number: Some(500), ..of_item(Kind::Stock, to) });
            }
            if launched < begin && random.chance(0.005) {
                let price = (cents as f64 * (0.8 + 0.4 * random.share())).round() / 100.0;
                lines.push(Line { amount: Some(price), ..of_item(Kind::Price, begin + random.between(0, days(1))) });
            }
        }
    }

    /// Cards are stolen, and used for what can be sold on.
    fn attacks(&mut self, lines: &mut Vec<Line>) {
        let (day, begin) = (self.day, self.begin(self.day));
        let Settings { users, items, seed, .. } = *self.settings();
        let mut random = Random::new([seed, 7, u64::from(day)]);
        let of_day = |mean: f64, random: &mut Random| mean as u64 + u64::from(random.chance(mean.fract()));
        for _ in 0..of_day(items as f64 / 2_000.0, &mut random) {
            self.attacked.insert(random.below(items) + 1, day + 3);
        }
        for _ in 0..of_day(users as f64 / 2_000.0, &mut random) {
            self.stolen.insert(random.below(users) + 1, day + 14);
        }
        self.attacked.retain(|_, last| *last >= day);
        self.stolen.retain(|_, last| *last >= day);
        let mut attacked: Vec<u64> = self.attacked.keys().copied().collect();
        attacked.sort_unstable();
        for item in attacked {
            for _ in 0..of_day(users as f64 / 750.0, &mut random) {
                let (user, time) = (random.below(users) + 1, begin + random.between(0, days(1)));
                self.order(user, time, &[item], Some(Scenario::Resold), &mut random, lines);
            }
        }
    }

    /// A user looks around, and may buy.
    fn session(&mut self, user: u64, begin: Millis, random: &mut Random, lines: &mut Vec<Line>) {
        let mut time = begin + hour(random) + random.between(0, hours(1));
        let by_user = |kind, item: u64, time| Line { user: Some(user), item: Some(item), ..line(kind, time) };
        let mut item = self.wanted(user, random);
        if random.chance(0.3) {
            let shown = [0; 4].map(|_| self.wanted(user, random));
            let rows =
                (1..).zip(shown).map(|(place, item)| Line { number: Some(place), ..by_user(Kind::Shown, item, time) });
            lines.extend(rows);
            // Of a list the first ones are chosen more often.
            item = if random.chance(0.6) { shown[(random.below(4) * random.below(4) / 3) as usize] } else { item };
            time += seconds(random.between(3, 20));
        }
        let (mut cart, views) = (Vec::new(), random.about(SESSION).max(1));
        for _ in 0..views {
            lines.push(by_user(Kind::View, item, time));
            if random.chance(0.1) && !cart.contains(&item) && self.in_stock(item, time) {
                time += seconds(random.between(2, 20));
                lines.push(by_user(Kind::Cart, item, time));
                cart.push(item);
            }
            time += seconds(random.between(10, 90));
            item = self.after(user, item, time, random);
        }
        if !cart.is_empty() && random.chance(0.4) {
            let with: Vec<u64> = cart
                .iter()
                .filter_map(|item| {
                    let goes_with = self.truth.complements(*item);
                    let one = goes_with.get(random.below(2) as usize).copied()?;
                    (random.chance(0.5) && self.in_stock(one, time)).then_some(one)
                })
                .collect();
            with.into_iter().for_each(|item| {
                if !cart.contains(&item) {
                    cart.push(item)
                }
            });
            self.order(user, time, &cart, None, random, lines);
        }
        if random.chance(0.004) {
            lines.push(by_user(Kind::NotInterested, item, time));
        }
        if random.chance(0.001) {
            let category = random.below(self.settings().categories.max(1)) + 1;
            lines.push(Line { user: Some(user), category: Some(category), ..line(Kind::Block, time) });
        }
        if random.chance(0.000_03) {
            lines.push(Line { user: Some(user), ..line(Kind::Forget, time + seconds(60)) });
        }
    }

    /// An item of a category that the user likes, and the season.
    fn wanted(&self, user: u64, random: &mut Random) -> u64 {
        let liked = self.truth.taste(user);
        for _ in 0..3 {
            let category = match random.below(10) {
                0..5 => liked[0],
                5..7 => liked[1],
                7 => liked[2],
                _ => random.below(self.settings().categories.max(1)) + 1,
            };
            let item = self.truth.popular(category, random);
            let sold = self.truth.launched(item).is_some_and(|launched| launched <= self.begin(self.day));
            if sold && random.chance(self.truth.season(category, self.day) / 1.6) {
                return item;
            }
        }
        self.truth.popular(liked[0], random)
    }

    /// What a user looks at after an item.
    fn after(&self, user: u64, item: u64, time: Millis, random: &mut Random) -> u64 {
        let next = match random.below(20) {
            0..7 => self.truth.complements(item).get(random.below(2) as usize).copied().unwrap_or(item),
            7..14 => self.truth.popular(self.truth.category(item), random),
            _ => self.wanted(user, random),
        };
        // What is not sold yet cannot be looked at.
        if self.truth.launched(next).is_some_and(|launched| launched <= time) { next } else { item }
    }

    fn in_stock(&self, item: u64, time: Millis) -> bool {
        !self.out.get(&item).is_some_and(|(from, to)| (*from..*to).contains(&time))
    }

    /// Items are bought, and what follows from that.
    fn order(
        &mut self,
        user: u64,
        time: Millis,
        items: &[u64],
        fraud: Option<Scenario>,
        random: &mut Random,
        lines: &mut Vec<Line>,
    ) {
        self.order += 1;
        let order = self.order;
        let fraud = fraud.or_else(|| {
            let stolen = self.stolen.contains_key(&user) && random.chance(0.34);
            let attacked = items.iter().any(|item| self.attacked.contains_key(item)) && random.chance(0.8);
            match () {
                () if random.chance(0.001) => Some(Scenario::Outsized),
                () if stolen => Some(Scenario::Stolen),
                () if attacked => Some(Scenario::Resold),
                () => None,
            }
        });
        if let Some(scenario) = fraud {
            self.truth.frauds.insert(order, scenario);
        }
        for item in items {
            let cents = self.truth.cents(*item).unwrap_or(100) as f64;
            let (number, cents) = match fraud {
                Some(Scenario::Outsized) => (1, 60_000.0 + 200_000.0 * random.share()),
                Some(Scenario::Stolen) => (random.between(1, 3), cents * 5.0),
                _ => (if random.chance(0.85) { 1 } else { random.between(2, 5) }, cents),
            };
            let (amount, currency) = money(user, cents, random);
            let of_order =
                |kind, time| Line { user: Some(user), item: Some(*item), order: Some(order), ..line(kind, time) };
            lines.push(Line { number: Some(number), amount: Some(amount), currency, ..of_order(Kind::Purchase, time) });
            if fraud.is_some() {
                lines.push(of_order(Kind::Chargeback, time + random.between(days(1), days(6))));
            } else if random.chance(0.06) {
                let some = random.between(1, number + 1);
                let time = time + random.between(hours(1), days(10));
                lines.push(Line { number: Some(some), ..of_order(Kind::Cancellation, time) });
            } else if random.chance(0.15) {
                let liked = self.truth.taste(user).contains(&self.truth.category(*item));
                let stars = if liked { random.between(3, 6) } else { random.between(1, 6) };
                let time = time + random.between(days(2), days(12));
                lines.push(Line {
                    number: Some(stars),
                    user: Some(user),
                    item: Some(*item),
                    ..line(Kind::Rating, time)
                });
            }
        }
    }

    /// Lines that say what cannot be.
    fn dirty(&mut self, lines: &mut Vec<Line>, random: &mut Random) {
        let fine = lines.len();
        for _ in 0..fine / 500 {
            let of = lines[random.below(fine as u64) as usize];
            let purchase = Line {
                user: Some(1),
                item: Some(1),
                order: Some(1),
                number: Some(1),
                amount: Some(1.0),
                ..line(Kind::Purchase, of.time)
            };
            lines.push(match random.below(6) {
                0 => Line { number: Some(0), ..purchase },
                1 => Line { amount: Some(-4.0), ..purchase },
                2 => Line { number: Some(9), user: Some(1), item: Some(1), ..line(Kind::Rating, of.time) },
                3 => Line { user: Some(1), ..line(Kind::View, of.time) },
                4 => line(Kind::Unknown, of.time),
                _ => Line { currency: Currency::new("XXX"), ..purchase },
            });
        }
        self.dirt.impossible += (fine / 500) as u64;
    }

    /// Lines that are sent twice, whose clock is wrong, or that bots send.
    fn noise(&mut self, begin: Millis, random: &mut Random) {
        let fine = self.lines.len() as u64;
        for _ in 0..fine / 300 {
            let (arrives, line) = self.lines[random.below(fine) as usize];
            self.lines.push((arrives + random.between(1, seconds(10)), line));
        }
        self.dirt.repeated += fine / 300;
        let bots = self.settings().users / 3_000 + u64::from(self.day % 7 == 3);
        for bot in 0..bots {
            let from = begin + random.between(0, hours(23));
            for step in 0..Self::BURST {
                self.id += 1;
                let user = self.settings().users + 1_000 + bot;
                let (time, item) = (from + step as i64 * 100, random.below(self.settings().items) + 1);
                self.lines
                    .push((time, Line { id: self.id, user: Some(user), item: Some(item), ..line(Kind::View, time) }));
            }
        }
        self.dirt.bots += bots * Self::BURST;
        for (arrives, time) in [(begin + hours(6), 0), (begin + hours(15), begin + days(40_000))] {
            self.id += 1;
            self.lines.push((arrives, Line { id: self.id, user: Some(1), item: Some(1), ..line(Kind::View, time) }));
        }
        self.dirt.impossible += 2;
    }
}

impl Iterator for Simulation {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        while self.lines.is_empty() && self.day < self.last_day {
            self.next_day();
        }
        self.lines.pop().map(|(_, line)| line)
    }
}

/// A line without a number of its own, of which nothing else is said.
fn line(kind: Kind, time: Millis) -> Line {
    let (user, item, order, category, number) = (None, None, None, None, None);
    Line { id: 0, time, kind, user, item, order, category, number, amount: None, currency: None }
}

/// When in the day a shopper comes, in whole hours as ms.
fn hour(random: &mut Random) -> Millis {
    let mut at = random.share() * HOURS.iter().sum::<f64>();
    let hour = HOURS.iter().position(|share| {
        at -= share;
        at < 0.0
    });
    hours(hour.unwrap_or(0) as i64)
}

/// Euro cents in the currency in which a user pays.
fn money(user: u64, cents: f64, random: &mut Random) -> (f64, Option<Currency>) {
    let euros = cents / 100.0;
    match user % 20 {
        0 => ((euros / RATES[0].1 * 100.0).round() / 100.0, Currency::new(RATES[0].0)),
        1 => ((euros / RATES[1].1).round(), Currency::new(RATES[1].0)),
        _ => ((euros * 100.0).round() / 100.0, if random.chance(0.5) { Currency::new("EUR") } else { None }),
    }
}
