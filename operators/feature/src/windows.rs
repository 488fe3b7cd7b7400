//! Which windows: their widths and delays, the rule for ties, and how late events may be.

use tidemill::time::show;

/// Milliseconds in a second.
pub const SECOND: u64 = 1_000;
/// Milliseconds in a minute.
pub const MINUTE: u64 = 60 * SECOND;
/// Milliseconds in an hour.
pub const HOUR: u64 = 60 * MINUTE;
/// Milliseconds in a day.
pub const DAY: u64 = 24 * HOUR;

/// A position in a key's history: the event's time in ms, and its tie, which orders events of the same time.
///
/// Give each event of a key its own tie, and the answers depend on the events alone. Events that share a position are
/// taken in the order of calls by [`History`](crate::History) and count for each other in [`AtOnce`](crate::AtOnce).
pub type At<T> = (i64, T);

/// One window: `(t-d-w, t-d]` for a question at `t`, with width `w` and delay `d` in ms.
///
/// A window is open on the left and closed on the right. In integers the closed one, `[t-d-w, t-d]`, is a window one
/// millisecond wider: `Span::last(w + 1)`. A window of width zero is always empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub(crate) delay: u64,
    /// Width and delay: the age at which a fact has left.
    pub(crate) reach: u64,
}

impl Span {
    /// The last `width` ms up to the question: `(t-w, t]`. `u64::MAX` is all time, and its facts are kept for ever.
    pub const fn last(width: u64) -> Self {
        Span { delay: 0, reach: width }
    }

    /// The same window, `delay` ms earlier (added to the delay it has).
    pub const fn delayed(self, delay: u64) -> Self {
        Span { delay: self.delay.saturating_add(delay), reach: self.reach.saturating_add(delay) }
    }

    /// Whether a fact of time `fact` is too old for a question at time `at`.
    #[inline]
    pub(crate) fn left(&self, fact: i64, at: i64) -> bool {
        fact <= at && at.abs_diff(fact) >= self.reach
    }
}

/// Whether facts of the question's own time count, in windows without a delay.
///
/// With a delay all facts of time `t-d` count, whatever the rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ties {
    /// Only those up to the question's position in the order (time, tie), the event itself included.
    #[default]
    Before,
    /// All of them: events of the same time count for each other.
    ///
    /// For final answers this means: insert all facts of a time, then ask.
    All,
}

/// The windows that every key keeps, and for how long a key must be able to look back.
///
/// All methods are `const`: a constant lets the compiler specialise the windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows<const W: usize> {
    pub(crate) spans: [Span; W],
    pub(crate) ties: Ties,
    pub(crate) lateness: u64,
    /// The widest reach.
    pub(crate) reach: u64,
}

impl<const W: usize> Windows<W> {
    /// These windows, answered in this order, with [`Ties::Before`] and no lateness.
    pub const fn new(spans: [Span; W]) -> Self {
        let mut reach = 0;
        let mut i = 0;
        while i < W {
            if spans[i].reach > reach {
                reach = spans[i].reach;
            }
            i += 1;
        }
        Windows { spans, ties: Ties::Before, lateness: 0, reach }
    }

    /// All windows `delay` ms earlier (added to the delays they have).
    pub const fn delayed(mut self, delay: u64) -> Self {
        let mut i = 0;
        while i < W {
            self.spans[i] = self.spans[i].delayed(delay);
            i += 1;
        }
        let mut windows = Windows::new(self.spans);
        windows.ties = self.ties;
        windows.lateness = self.lateness;
        windows
    }

    /// In words, for [`Job::explain`](tidemill::Job::explain).
    pub(crate) fn describe(&self) -> String {
        let time = |ms: u64| show(ms.try_into().unwrap_or(i64::MAX));
        let span = |span: &Span| {
            // No fact is ever so old that it leaves.
            let width = if span.reach == u64::MAX { "all time".to_owned() } else { time(span.reach - span.delay) };
            if span.delay == 0 { width } else { format!("{width}, {} ago", time(span.delay)) }
        };
        let spans: Vec<String> = self.spans.iter().map(span).collect();
        format!("sliding windows of {}", spans.join("; "))
    }

    /// How facts of the question's own time are treated.
    pub const fn ties(mut self, ties: Ties) -> Self {
        self.ties = ties;
        self
    }

    /// How many ms behind a question may be, and still be answered exactly, and corrected. Facts are kept for this much
    /// longer.
    ///
    /// For [`SlidingWindows::at_once`](crate::SlidingWindows::at_once) that is behind the watermark: with zero, the
    /// default, whatever is on time counts. [`SlidingWindows::finals`](crate::SlidingWindows::finals) has no use for it.
    /// For [`History`](crate::History) and [`AtOnce`](crate::AtOnce), which know of no watermark, it is behind the latest
    /// event of the key, and should be the disorder of the input at least.
    pub const fn lateness(mut self, lateness: u64) -> Self {
        self.lateness = lateness;
        self
    }

    /// The age in ms at which a fact is of no use to any question that may still come.
    pub const fn keep(&self) -> u64 {
        self.reach.saturating_add(self.lateness)
    }

    /// Whether a fact is old enough to count for a question at `at`; so far, until it has [`left`](Span::left).
    #[inline]
    pub(crate) fn entered<T: Ord>(&self, span: &Span, fact: &At<T>, at: &At<T>) -> bool {
        if span.delay == 0 && self.ties == Ties::Before {
            fact <= at
        } else {
            fact.0 <= at.0 && at.0.abs_diff(fact.0) >= span.delay
        }
    }

    /// Whether a fact counts in this window of a question at `at`.
    pub(crate) fn holds<T: Ord>(&self, span: &Span, fact: &At<T>, at: &At<T>) -> bool {
        self.entered(span, fact, at) && !span.left(fact.0, at.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_open_on_the_left_and_closed_on_the_right() {
        let windows = Windows::new([Span::last(10).delayed(5)]);
        let held: Vec<i64> =
            (0..=40).filter(|&time| windows.holds(&windows.spans[0], &(time, ()), &(30, ()))).collect();
        assert_eq!(held, (16..=25).collect::<Vec<_>>());
    }

    #[test]
    fn ties_matter_only_without_a_delay() {
        for (ties, later_tie_counts) in [(Ties::Before, false), (Ties::All, true)] {
            let windows = Windows::new([Span::last(10), Span::last(10).delayed(5)]).ties(ties);
            let [now, delayed] = &windows.spans;
            assert!(windows.holds(now, &(30, 1), &(30, 1)));
            assert_eq!(windows.holds(now, &(30, 2), &(30, 1)), later_tie_counts);
            assert!(windows.holds(delayed, &(25, 2), &(30, 1)));
        }
    }

    #[test]
    fn the_ends_of_time_are_ordinary_times() {
        let windows = Windows::new([Span::last(10)]);
        let [span] = &windows.spans;
        assert!(windows.holds(span, &(i64::MIN, ()), &(i64::MIN + 9, ())));
        assert!(!windows.holds(span, &(i64::MIN, ()), &(i64::MIN + 10, ())));
        assert!(windows.holds(span, &(i64::MAX - 9, ()), &(i64::MAX, ())));
        assert!(!windows.holds(span, &(i64::MIN, ()), &(i64::MAX, ())));
    }

    #[test]
    fn windows_are_described_whatever_their_widths() {
        let spans =
            [Span::last(60_000), Span::last(0).delayed(500), Span::last(u64::MAX), Span::last(u64::MAX).delayed(1)];
        assert_eq!(
            Windows::new(spans).describe(),
            "sliding windows of 1 min; 0 ms, 500 ms ago; all time; all time, 1 ms ago"
        );
        let far = Windows::new([Span::last(u64::MAX - 1), Span::last(1).delayed(u64::MAX - 2)]).describe();
        assert_eq!(far, format!("sliding windows of {}; 1 ms, {} ago", show(i64::MAX), show(i64::MAX)));
    }

    #[test]
    fn delaying_all_windows_is_delaying_each() {
        let spans = [Span::last(10), Span::last(20).delayed(1)];
        let windows = Windows::new(spans).lateness(3);
        assert_eq!(windows.delayed(5), Windows::new(spans.map(|span| span.delayed(5))).lateness(3));
        assert_eq!(windows.delayed(5).keep(), 29);
    }
}
