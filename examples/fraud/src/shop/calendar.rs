//! Times as files write them, and the months that alerts are for.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tidemill::Millis;
use tidemill::time::days;

/// A Sunday's midnight before any shop's file, 1970-01-04T00:00:00Z, in ms since 1970: from here the seconds count that
/// tell weekends and nights.
pub const SUNDAY: Millis = 259_200_000;

/// A time as it stands in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// A number, whose unit the file does not tell.
    Number(i64),
    /// A date with a time of day, in ms since 1970 UTC.
    At(Millis),
}

/// What a number that is a time counts since 1970 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Unit {
    /// Seconds.
    #[default]
    S,
    /// Milliseconds.
    Ms,
}

impl Moment {
    /// In ms since 1970 UTC; `None` if it is not from 1970-01-04 to 2106-02-06, where days and amounts fit their types.
    pub fn ms(self, unit: Unit) -> Option<Millis> {
        let ms = match (self, unit) {
            (Moment::Number(s), Unit::S) => s.checked_mul(1000)?,
            (Moment::Number(ms), Unit::Ms) | (Moment::At(ms), _) => ms,
        };
        let seconds = ms.checked_sub(SUNDAY)?.div_euclid(1000);
        u32::try_from(seconds).is_ok().then_some(ms)
    }
}

/// The seconds from [`SUNDAY`] to a time that [`Moment::ms`] gave.
pub fn seconds(ms: Millis) -> u32 {
    ((ms - SUNDAY).max(0) / 1000) as u32
}

/// Why a text is no [`Moment`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a number nor a time like 2010-12-01 08:26 or 2010-12-01T08:26:00")]
pub struct NotAMoment(String);

impl FromStr for Moment {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        if let Ok(number) = text.parse() {
            return Ok(Moment::Number(number));
        }
        date_time(text).map(Moment::At).ok_or_else(|| NotAMoment(text.chars().take(60).collect()))
    }
}

/// `YYYY-MM-DD`, a `T` or space, `HH:MM`, perhaps `:SS`, perhaps `Z`.
fn date_time(text: &str) -> Option<Millis> {
    let number = |text: &str, digits: usize| {
        (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse::<i64>().ok())?
    };
    let (date, time) = text.split_once(['T', ' '])?;
    let mut date = date.split('-');
    let (year, month, day) = (number(date.next()?, 4)?, number(date.next()?, 2)?, number(date.next()?, 2)?);
    let mut time = time.strip_suffix('Z').unwrap_or(time).split(':');
    let (hour, minute) = (number(time.next()?, 2)?, number(time.next()?, 2)?);
    let second = time.next().map_or(Some(0), |second| number(second, 2))?;
    let there_is = (1..=12).contains(&month) && hour < 24 && minute < 60 && second < 60;
    if !there_is || day < 1 || date.next().is_some() || time.next().is_some() {
        return None;
    }
    let first = first_day(year * 12 + month - 1);
    let within = first + day - 1 < first_day(year * 12 + month);
    within.then_some(((first + day - 1) * 86_400 + hour * 3600 + minute * 60 + second) * 1000)
}

/// Days from 1970-01-01 to the first of a month, counted from January of year 0.
///
/// Years are counted from March, so that the day which leap years add is their last (Richards, "Mapping time", 1998).
fn first_day(month: i64) -> i64 {
    let march = month - 2;
    let (year, month) = (march.div_euclid(12), march.rem_euclid(12));
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * month + 2) / 5 - 719_468
}

impl Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::Number(number) => write!(f, "{number}"),
            Moment::At(ms) => write!(f, "{}", date(*ms)),
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// A month of the calendar, UTC, counted from January of year 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Month(i64);

impl Month {
    /// The month of a time in ms since 1970 UTC.
    pub fn of(ms: Millis) -> Self {
        let day = ms.div_euclid(days(1));
        // The mean month has 30.436875 days; one step up or down mends the guess.
        let guess = 1970 * 12 + day * 10_000 / 304_369;
        let months = [guess + 1, guess, guess - 1];
        Month(months.into_iter().find(|&month| first_day(month) <= day).unwrap_or(guess))
    }

    /// When it is over, in ms since 1970 UTC.
    pub fn end(self) -> Millis {
        days(first_day(self.0 + 1))
    }
}

impl Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }
}

/// A time in ms since 1970 UTC as `YYYY-MM-DD HH:MM:SS`.
pub fn date(ms: Millis) -> String {
    let month = Month::of(ms);
    let (day, second) = (ms.div_euclid(days(1)), ms.rem_euclid(days(1)) / 1000);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{month}-{:02} {hour:02}:{minute:02}:{:02}", day - first_day(month.0) + 1, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> Option<Millis> {
        text.parse::<Moment>().ok()?.ms(Unit::S)
    }

    #[test]
    fn numbers_and_dates() {
        assert_eq!(ms("1291191960"), Some(1_291_191_960_000));
        assert_eq!(ms("2010-12-01 08:26"), Some(1_291_191_960_000));
        assert_eq!(ms("2010-12-01T08:26:07Z"), Some(1_291_191_967_000));
        assert_eq!("1291191960123".parse::<Moment>().unwrap().ms(Unit::Ms), Some(1_291_191_960_123));
        assert_eq!(ms("2012-02-29 00:00"), Some(1_330_473_600_000));
        for wrong in ["", "today", "2011-02-29 00:00", "2010-13-01 00:00", "2010-12-01", "2010-12-01 24:00", "1.5"] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_that_cannot_be_are_none() {
        assert_eq!(Moment::Number(i64::MAX).ms(Unit::S), None);
        assert_eq!(Moment::Number(1_291_191_960_000).ms(Unit::S), None, "milliseconds taken for seconds");
        assert_eq!(Moment::Number(1_291_191_960).ms(Unit::Ms), Some(1_291_191_960), "January 1970: it can be");
        assert_eq!(Moment::Number(0).ms(Unit::S), None);
        assert_eq!(seconds(SUNDAY + 86_400_999), 86_400);
    }

    #[test]
    fn every_day_is_in_its_month() {
        let mut month = Month::of(0);
        assert_eq!(month.to_string(), "1970-01");
        for day in 0..60_000 {
            if days(day) == month.end() {
                month = Month(month.0 + 1);
            }
            assert_eq!((Month::of(days(day)), Month::of(days(day + 1) - 1)), (month, month));
            let text = date(days(day) + 45_296_000);
            assert_eq!(date_time(&text), Some(days(day) + 45_296_000), "{text}");
        }
        assert_eq!(month.to_string(), "2134-04");
    }
}
