//! Lines that come late, twice, from bots, or make no sense.

use std::collections::BTreeMap;
use tidemill::Millis;
use tidemill::time::{days, seconds};
use tidemill_shop::{Currency, Kind, Line, Reason};

use crate::line::{line, touch};
use crate::random::{Draw, Random};
use crate::settings::Settings;

/// How much noise there is among the lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dirt {
    /// Lines that cannot be, by what is wrong with them.
    pub impossible: BTreeMap<Reason, u64>,
    /// Lines that were sent before: the same line again, within 10 s.
    pub repeated: u64,
    /// Views by bots, which have numbers above all users'. Each makes [`Dirt::BURST`] within 40 s, once.
    pub bots: u64,
    /// Lines that come after a later one, by less than a minute. Those that were sent before do not count.
    pub late: u64,
}

impl Dirt {
    /// Views of each bot.
    pub const BURST: u64 = 400;
}

/// Of the lines, those that are held up on their way, and so come late where others follow within a minute.
const HELD_UP: f64 = 0.01;

/// Those that are sent twice.
const REPEATED: f64 = 0.003;

/// Those after which comes one that cannot be.
const IMPOSSIBLE: f64 = 0.002;

/// Those after which a bot begins.
const BOTS: f64 = 1.0 / 40_000.0;

/// A clock that is ahead is so by a century, in ms. No true line is as late as this after 1970.
const FAR: Millis = days(36_525);

/// Makes true lines dirty, and gives all their ids.
pub(crate) struct Muddle {
    random: Random,
    users: u64,
    items: u64,
    id: u64,
    /// What comes yet, by when.
    held: BTreeMap<(Millis, u64), Sent>,
    /// The greatest time of a line that has come, impossible ones aside.
    latest: Millis,
    dirt: Dirt,
}

#[derive(Clone, Copy)]
struct Sent {
    line: Line,
    again: bool,
}

impl Muddle {
    pub fn new(settings: &Settings) -> Self {
        Muddle {
            random: Random::of(settings.seed, Draw::Dirt, 0),
            users: settings.users,
            items: settings.items,
            id: 0,
            held: BTreeMap::new(),
            latest: Millis::MIN,
            dirt: Dirt::default(),
        }
    }

    pub fn dirt(&self) -> &Dirt {
        &self.dirt
    }

    /// The next line that comes before the true one of time `before`, or before the end.
    pub fn due(&mut self, before: Option<Millis>) -> Option<Line> {
        let first = self.held.first_entry()?;
        if before.is_some_and(|before| before < first.key().0) {
            return None;
        }
        let Sent { line, again } = first.remove();
        if (1..FAR).contains(&line.time) {
            self.dirt.late += u64::from(!again && line.time < self.latest);
            self.latest = self.latest.max(line.time);
        }
        Some(line)
    }

    /// Sends a true line, of which the times never go back. `None` if it is held up.
    pub fn send(&mut self, line: Line) -> Option<Line> {
        self.id += 1;
        let line = Line { id: self.id, ..line };
        let mut at = self.random.share();
        let mut of = |share: f64| {
            at -= share;
            at < 0.0
        };
        if of(HELD_UP) {
            let arrives = line.time + self.random.between(seconds(1), seconds(60));
            self.hold(arrives, Sent { line, again: false });
            return None;
        }
        if of(REPEATED) {
            let arrives = line.time + self.random.between(1, seconds(10));
            self.hold(arrives, Sent { line, again: true });
            self.dirt.repeated += 1;
        } else if of(IMPOSSIBLE) {
            let (line, arrives) = (self.impossible(&line), line.time);
            self.hold(arrives, Sent { line, again: false });
        } else if of(BOTS) {
            self.bot(line.time);
        }
        self.latest = self.latest.max(line.time);
        Some(line)
    }

    /// There is one line for an id that comes first and one that comes again, so that no two are held under one key.
    fn hold(&mut self, arrives: Millis, sent: Sent) {
        self.held.insert((arrives, sent.line.id), sent);
    }

    /// A line that cannot be, at the time of another one and by its user.
    fn impossible(&mut self, of: &Line) -> Line {
        self.id += 1;
        let (time, user, item) = (of.time, of.user.unwrap_or(1), of.item.unwrap_or(1));
        let purchase = Line {
            order: Some(of.order.unwrap_or(1)),
            number: Some(1),
            amount: Some(1.0),
            ..touch(Kind::Purchase, time, user, item)
        };
        let (line, reason) = match self.random.below(9) {
            0 => (Line { number: Some(0), ..purchase }, Reason::ImpossibleQuantity),
            1 => (Line { number: Some(-3), ..purchase }, Reason::ImpossibleQuantity),
            2 => (Line { amount: Some(-4.0), ..purchase }, Reason::ImpossibleAmount),
            3 => (Line { amount: Some(1e12), ..purchase }, Reason::ImpossibleAmount),
            // ISO 4217's code for no currency, for which no shop has a rate.
            4 => (Line { currency: Currency::new("XXX"), ..purchase }, Reason::UnknownCurrency),
            5 => (Line { number: Some(9), ..touch(Kind::Rating, time, user, item) }, Reason::ImpossibleStars),
            6 => (Line { item: None, ..touch(Kind::View, time, user, item) }, Reason::MissingField),
            7 => (line(Kind::Unknown, time), Reason::UnknownKind),
            _ => {
                let time = if self.random.chance(0.5) { 0 } else { FAR + time };
                (touch(Kind::View, time, user, item), Reason::ImpossibleTime)
            }
        };
        *self.dirt.impossible.entry(reason).or_default() += 1;
        Line { id: self.id, ..line }
    }

    /// A bot looks at whatever there is, ten items a second.
    fn bot(&mut self, from: Millis) {
        let user = self.users + 1 + self.dirt.bots / Dirt::BURST;
        for step in 1..=Dirt::BURST {
            self.id += 1;
            let (time, item) = (from + step as i64 * 100, self.random.below(self.items) + 1);
            let line = Line { id: self.id, ..touch(Kind::View, time, user, item) };
            self.hold(time, Sent { line, again: false });
        }
        self.dirt.bots += Dirt::BURST;
    }
}
