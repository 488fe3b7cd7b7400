//! The screen as tables to read.

use crate::screen::Screen;
use crate::sessions::Measure;
use shop_input::Names;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use tidemill::Millis;
use tidemill::time::{days, hours, seconds};
use tidemill_shop::{FRESH, Funnel, NO_CATEGORY, Stage, Trend};

/// A category for reading.
pub fn show_category(category: Option<u64>) -> String {
    category.filter(|known| *known != NO_CATEGORY).map_or_else(|| "-".to_owned(), |known| known.to_string())
}

/// Prints a screen.
pub struct Printer<'a> {
    /// What is true.
    pub screen: &'a Screen,
    /// How items are called.
    pub names: &'a Names,
    /// The user to tell of, if one was named.
    pub user: Option<u64>,
}

/// Categories that are shown.
const SHOWN: usize = 4;

/// Days of sessions that are shown.
const DAYS: usize = 7;

/// Views, carts and purchases.
#[derive(Clone, Copy, Default)]
struct Steps([i64; 3]);

impl Steps {
    fn add(&mut self, row: &Funnel) {
        let place = match row.item {
            Stage::View => 0,
            Stage::Cart => 1,
            Stage::Purchase => 2,
        };
        self.0[place] += row.sum;
    }

    fn all(self) -> i64 {
        self.0.iter().sum()
    }
}

fn percent(part: i64, whole: i64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

impl Printer<'_> {
    /// Adds everything to a text.
    ///
    /// # Errors
    ///
    /// None: a text takes all that is written.
    pub fn print(&self, to: &mut String) -> fmt::Result {
        self.funnel(to)?;
        self.sessions(to)?;
        self.trends(to)?;
        self.user(to)?;
        self.segments(to)?;
        self.dropped(to)
    }

    fn funnel(&self, to: &mut String) -> fmt::Result {
        let mut categories: BTreeMap<u64, Steps> = BTreeMap::new();
        let mut by_hour: BTreeMap<(i64, u64), Steps> = BTreeMap::new();
        for row in self.screen.funnel.rows() {
            let (category, time) = row.key;
            let hour = time.div_euclid(hours(1)).rem_euclid(24);
            categories.entry(category).or_default().add(&row);
            by_hour.entry((hour / 3, category)).or_default().add(&row);
        }
        let mut top: Vec<(u64, Steps)> = categories.into_iter().collect();
        top.sort_by_key(|(category, steps)| (Reverse(steps.all()), *category));
        top.truncate(SHOWN);
        writeln!(to, "funnel: views > carts > purchases that were kept, by hour of the day (UTC)")?;
        write!(to, "  hour ")?;
        top.iter().try_for_each(|(category, _)| {
            write!(to, "{:>25}", format!("category {}", show_category(Some(*category))))
        })?;
        for block in 0..8 {
            write!(to, "\n  {:02}-{:02}", block * 3, block * 3 + 3)?;
            for (category, _) in &top {
                let Steps([views, carts, bought]) = by_hour.get(&(block, *category)).copied().unwrap_or_default();
                write!(to, "{:>25}", format!("{views} > {carts} > {bought}"))?;
            }
        }
        write!(to, "\n  all  ")?;
        for (_, Steps([views, carts, bought])) in &top {
            write!(to, "{:>25}", format!("{views} > {carts} > {bought}"))?;
        }
        write!(to, "\n  of views")?;
        for (nth, (_, Steps([views, carts, bought]))) in top.iter().enumerate() {
            let rates = format!("{:.1}% > {:.1}%", percent(*carts, *views), percent(*bought, *views));
            let rates = if *views > 0 { rates } else { "-".to_owned() };
            write!(to, "{rates:>width$}", width = if nth == 0 { 22 } else { 25 })?;
        }
        writeln!(to, "\n")
    }

    fn sessions(&self, to: &mut String) -> fmt::Result {
        let mut by_day: BTreeMap<Millis, BTreeMap<Measure, i64>> = BTreeMap::new();
        for row in self.screen.session_sums.rows() {
            by_day.entry(row.key).or_default().insert(row.item, row.sum);
        }
        writeln!(to, "sessions of the last days")?;
        writeln!(to, "  {:<12}{:>9}{:>9}{:>9}{:>9}", "day", "sessions", "events", "minutes", "bought")?;
        let last = by_day.keys().next_back().copied().unwrap_or(0);
        for (day, sums) in by_day.range(last - days(DAYS as i64 - 1)..) {
            let of = |measure| sums.get(&measure).copied().unwrap_or(0);
            let sessions = of(Measure::Sessions);
            let mean = |sum: i64| sum as f64 / sessions.max(1) as f64;
            let minutes = mean(of(Measure::Length)) / seconds(60) as f64;
            let events = mean(of(Measure::Events));
            let bought = percent(of(Measure::Bought), sessions);
            writeln!(to, "  {:<12}{sessions:>9}{events:>9.1}{minutes:>9.1}{bought:>8.1}%", date(*day))?;
        }
        writeln!(to)
    }

    fn trends(&self, to: &mut String) -> fmt::Result {
        let mut trends: Vec<Trend<Option<u64>>> = self.screen.trends.rows();
        trends.retain(|trend| trend.key.is_none());
        trends.sort_by_key(|trend| (Reverse(trend.sum), trend.item));
        writeln!(to, "trending now, in views of this moment")?;
        for trend in trends {
            let weight = trend.sum as f64 / FRESH as f64;
            write!(to, "  {weight:>8.1}  item {}", self.names.show(trend.item))?;
            if let Some(fact) = self.screen.facts.get(&trend.item) {
                write!(to, ", category {}", show_category(Some(fact.category)))?;
                fact.cents.map_or(Ok(()), |cents| write!(to, ", {:.2}", cents as f64 / 100.0))?;
                fact.left.map_or(Ok(()), |left| write!(to, ", {left} left"))?;
            }
            writeln!(to)?;
        }
        writeln!(to)
    }

    fn user(&self, to: &mut String) -> fmt::Result {
        let interests = self.screen.interests.rows();
        let greatest = interests.iter().max_by_key(|row| (row.sum, Reverse(row.key))).map(|row| row.key);
        let Some(user) = self.user.or(greatest) else { return Ok(()) };
        let mut of_user: Vec<_> = interests.into_iter().filter(|row| row.key == user).collect();
        of_user.sort_by_key(|row| (Reverse(row.sum), row.item));
        let of_user: Vec<String> =
            of_user.iter().map(|row| format!("category {} ({})", show_category(Some(row.item)), row.sum)).collect();
        let interested = if of_user.is_empty() { "nothing".to_owned() } else { of_user.join(", ") };
        writeln!(to, "user {user} is interested in {interested}")?;
        if let Some(rfm) = self.screen.rfm.get(&user) {
            let segment = self.screen.segments.get(&user).map_or("", |row| row.1.describe());
            let (spent, last) = (rfm.cents as f64 / 100.0, date(rfm.last));
            writeln!(to, "  {segment}: {} orders for {spent:.2}, the last on {last}", rfm.orders)?;
        }
        writeln!(to)
    }

    fn segments(&self, to: &mut String) -> fmt::Result {
        let mut sizes = self.screen.segment_sizes.rows();
        sizes.sort();
        writeln!(to, "customers")?;
        let all = sizes.iter().map(|row| row.1 as i64).sum();
        for (segment, size) in sizes {
            writeln!(to, "  {:<12}{size:>9}{:>8.1}%", segment.describe(), percent(size as i64, all))?;
        }
        writeln!(to)
    }

    fn dropped(&self, to: &mut String) -> fmt::Result {
        let mut reasons = self.screen.dropped.rows();
        reasons.sort_by_key(|(reason, count)| (Reverse(*count), *reason));
        writeln!(to, "lines that were dropped")?;
        for (reason, count) in reasons {
            writeln!(to, "  {:<20}{count:>9}", reason.describe())?;
        }
        Ok(())
    }
}

/// The UTC day of a time, after Howard Hinnant's `civil_from_days`.
fn date(time: Millis) -> String {
    let from_march_0 = time.div_euclid(days(1)) + 719_468;
    let (era, day) = (from_march_0.div_euclid(146_097), from_march_0.rem_euclid(146_097));
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * from_march + 2) / 5 + 1, (from_march + 2) % 12 + 1);
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let dates = [0, -1, 1_522_540_800_000, 951_782_400_000, 951_868_800_000, 1_735_689_599_999].map(date);
        assert_eq!(dates, ["1970-01-01", "1969-12-31", "2018-04-01", "2000-02-29", "2000-03-01", "2024-12-31"]);
    }
}
