//! Who comes to the shop.

use std::ops::Range;
use tidemill::Millis;
use tidemill::time::days;
use tidemill_shop::Currency;

use crate::random::{Draw, Random};
use crate::settings::{RATES, Settings};

/// How much of what a user looks for is of the first, the second and the third category that they like. The rest is
/// of any.
pub(crate) const LIKED: [f64; 3] = [0.5, 0.2, 0.1];

/// The categories that a user likes, the most first.
pub(crate) fn taste(settings: &Settings, user: u64) -> [u64; 3] {
    let mut random = Random::of(settings.seed, Draw::Taste, user);
    LIKED.map(|_| random.below(settings.categories) + 1)
}

/// While a user comes at all: most do all the time, some begin or stop in between.
pub(crate) fn presence(settings: &Settings, user: u64) -> Range<Millis> {
    let span = days(i64::from(settings.days));
    let mut random = Random::of(settings.seed, Draw::Presence, user);
    let (kind, turn) = (random.below(20), (span as f64 * random.share()) as Millis);
    let range = match kind {
        0..3 => turn..span,
        3..6 => 0..turn,
        _ => 0..span,
    };
    settings.start + range.start..settings.start + range.end
}

/// Euro cents in the currency in which a user pays: one in twenty in each of the others.
pub(crate) fn pays(settings: &Settings, user: u64, cents: i64, random: &mut Random) -> (f64, Option<Currency>) {
    let euros = cents as f64 / 100.0;
    let which = Random::of(settings.seed, Draw::Money, user).below(20) as usize;
    let Some((code, rate)) = RATES.get(which) else {
        return (euros, if random.chance(0.5) { Currency::new("EUR") } else { None });
    };
    let currency = Currency::new(code);
    let minor = 10f64.powi(currency.map_or(2, |currency| currency.digits()) as i32);
    ((euros / rate * minor).round() / minor, currency)
}

/// All users, of whom some come much more often than others.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    /// By number less 1: how often users come, summed up to each.
    sums: Vec<f64>,
}

impl Crowd {
    pub fn new(settings: &Settings) -> Self {
        let mut sum = 0.0;
        let active = |user| {
            // Exponential, so that there are many who come rarely; its mean is 1.
            sum -= (1.0 - Random::of(settings.seed, Draw::Activity, user).share()).ln();
            sum
        };
        Crowd { sums: (1..=settings.users).map(active).collect() }
    }

    /// A user who comes at a time.
    pub fn one(&self, settings: &Settings, time: Millis, random: &mut Random) -> u64 {
        let draw = |random: &mut Random| {
            let at = random.share() * self.sums.last().copied().unwrap_or_default();
            self.sums.partition_point(|sum| *sum <= at).min(self.sums.len().saturating_sub(1)) as u64 + 1
        };
        let mut user = draw(random);
        // Bounded, since it could be that nobody is there.
        for _ in 0..16 {
            if presence(settings, user).contains(&time) {
                break;
            }
            user = draw(random);
        }
        user
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_come_more_often_and_nobody_outside_their_time() {
        let settings = Settings { users: 200, ..Settings::default() };
        let (crowd, mut random) = (Crowd::new(&settings), Random::of(1, Draw::Visits, 0));
        let mut counts = vec![0; 201];
        for _ in 0..40_000 {
            let time = settings.start + random.between(0, days(42));
            let user = crowd.one(&settings, time, &mut random);
            assert!(presence(&settings, user).contains(&time));
            counts[user as usize] += 1;
        }
        counts.sort_unstable();
        // Of an exponential distribution the upper tenth has a third, the lower half a seventh.
        assert!((10_000..16_000).contains(&counts[181..].iter().sum::<i32>()));
        assert!((3_000..8_500).contains(&counts[..101].iter().sum::<i32>()));
    }

    #[test]
    fn amounts_are_worth_the_same_in_any_currency() {
        let (settings, mut random) = (Settings::default(), Random::of(1, Draw::Visits, 0));
        let mut users = [0; 3];
        for user in 1..=2_000 {
            let (amount, currency) = pays(&settings, user, 12_345, &mut random);
            let rate = RATES.iter().position(|(code, _)| currency.is_some_and(|currency| currency.code() == *code));
            users[rate.map_or(2, |rate| rate)] += 1;
            assert!((amount * rate.map_or(1.0, |rate| RATES[rate].1) - 123.45).abs() < 0.01, "{amount} {currency:?}");
        }
        assert!(users[..2].iter().all(|count| (70..130).contains(count)), "{users:?}");
    }
}
