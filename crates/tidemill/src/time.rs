//! The two times of the engine: epochs order arrival, milliseconds order events.

/// Event time or wall time: milliseconds since 1970-01-01 00:00 UTC.
pub type Millis = i64;

/// The engine's logical clock: counts up by one and orders *arrival*. Data starts at epoch 1.
pub type Epoch = u64;

/// The watermark before anything is known: no event is late.
pub const BEGINNING: Millis = Millis::MIN;

/// The watermark of a finished input: every event has been seen.
pub const END: Millis = Millis::MAX;

/// `n` seconds in milliseconds.
pub const fn seconds(n: i64) -> Millis {
    n * 1_000
}

/// `n` minutes in milliseconds.
pub const fn minutes(n: i64) -> Millis {
    seconds(n * 60)
}

/// `n` hours in milliseconds.
pub const fn hours(n: i64) -> Millis {
    minutes(n * 60)
}

/// `n` days of 24 hours in milliseconds.
pub const fn days(n: i64) -> Millis {
    hours(n * 24)
}

/// A duration as people say it, in the largest unit that divides it: `90 s`, `1 min`, `36 h`, `7 d`.
pub fn show(ms: Millis) -> String {
    let units = [(days(1), "d"), (hours(1), "h"), (minutes(1), "min"), (seconds(1), "s")];
    match units.into_iter().find(|(unit, _)| ms != 0 && ms % unit == 0) {
        Some((unit, name)) => format!("{} {name}", ms / unit),
        None => format!("{ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_in_the_largest_unit_that_divides_them() {
        let shown = [0, 999, 1_000, 90_000, 60_000, hours(36), days(7), days(7) + 1, -hours(2)].map(show);
        assert_eq!(shown, ["0 ms", "999 ms", "1 s", "90 s", "1 min", "36 h", "7 d", "604800001 ms", "-2 h"]);
    }
}
