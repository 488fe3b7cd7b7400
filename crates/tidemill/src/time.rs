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
