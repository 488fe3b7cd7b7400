//! When shoppers come, and in which season for what.

use std::f64::consts::TAU;
use tidemill::Millis;
use tidemill::time::{days, hours};

/// How many shoppers come in each hour of the day (UTC), beside each other.
const HOURS: [f64; 24] =
    [2., 1., 1., 1., 1., 2., 3., 5., 6., 7., 7., 8., 9., 8., 7., 7., 8., 9., 11., 13., 14., 12., 8., 4.];

/// How many come on a Saturday or Sunday, and on another day, beside an average day.
const WEEKEND: (f64, f64) = (1.3, 0.88);

/// How many shoppers come in the hour of `time`, beside an average hour.
pub(crate) fn busy(time: Millis) -> f64 {
    let hour = time.div_euclid(hours(1)).rem_euclid(24) as usize;
    let day = if is_weekend(time) { WEEKEND.0 } else { WEEKEND.1 };
    HOURS[hour] * 24.0 / HOURS.iter().sum::<f64>() * day
}

fn is_weekend(time: Millis) -> bool {
    // 1970-01-01 was a Thursday.
    matches!(time.div_euclid(days(1)).rem_euclid(7), 2 | 3)
}

/// The most that [`season`] is.
pub(crate) const PEAK: f64 = 1.6;

/// How much a category is asked for at a time, beside its average: each rises and falls within four weeks, another one
/// earlier or later.
pub(crate) fn season(category: u64, categories: u64, time: Millis) -> f64 {
    let phase = category as f64 / categories as f64 + time as f64 / days(28) as f64;
    1.0 + (PEAK - 1.0) * (TAU * phase).sin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_has_its_weekend_and_its_average_is_one() {
        // 2018-04-01 was a Sunday.
        let sunday = 1_522_540_800_000;
        assert!(is_weekend(sunday) && !is_weekend(sunday + days(1)) && is_weekend(sunday - 1));
        let mean = (0..7 * 24).map(|hour| busy(sunday + hours(hour))).sum::<f64>() / (7.0 * 24.0);
        assert!((mean - 1.0).abs() < 1e-9, "{mean}");
        assert!(busy(sunday + hours(20)) > 10.0 * busy(sunday + hours(3)));
    }

    #[test]
    fn a_season_comes_again_after_four_weeks() {
        let seasons: Vec<f64> = (0..28).map(|day| season(3, 10, days(day))).collect();
        assert!((seasons.iter().sum::<f64>() / 28.0 - 1.0).abs() < 1e-9);
        assert!((season(3, 10, days(31)) - seasons[3]).abs() < 1e-9);
        assert!(seasons.iter().all(|season| (2.0 - PEAK..=PEAK).contains(season)));
    }
}
