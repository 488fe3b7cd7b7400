//! Which windows there are, and how they are read.

use crate::aggregate::Aggregate;
use crate::finals::FinalsKernel;
use crate::hopping::HoppingKernel;
use crate::rolling::RollingKernel;
use crate::rows::{Early, RowsKernel};
use crate::tumbling::TumblingKernel;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tidemill::hash::stable_hash;
use tidemill::time::{BEGINNING, END, show};
use tidemill::{Collection, Data, Error, Key, Keyed, Millis, Result, Seq, Stream};

/// What one key's events of one window amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window<K, V> {
    /// The key.
    pub key: K,
    /// When the window begins, in milliseconds since 1970 UTC.
    pub start: Millis,
    /// When it has ended: the first millisecond that is not in it.
    pub end: Millis,
    /// The aggregate's result.
    pub value: V,
}

/// Which windows a key's events are put into. All times are in milliseconds of event time; for windows by the clock see
/// [`Stream::in_processing_time`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    pub(crate) kind: Kind,
    /// Where aligned windows begin, from 1970 UTC.
    pub(crate) offset: Millis,
    /// How long after its latest event a window by count ends as it is.
    pub(crate) idle: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Hopping { width: Millis, slide: Millis },
    Session { gap: Millis },
    Count { size: u64 },
    Global,
}

impl Windows {
    /// Windows of `width` ms, each beginning where the one before it ends: at every multiple of the width since 1970 UTC.
    pub fn tumbling(width: Millis) -> Self {
        Self::hopping(width, width)
    }

    /// Windows of `width` ms, one beginning every `slide` ms, so that each event is in `width / slide` of them. They share
    /// panes: each event is added once.
    pub fn hopping(width: Millis, slide: Millis) -> Self {
        Self::of(Kind::Hopping { width, slide })
    }

    /// A window for each run of events less than `gap` ms apart. It begins at the first and ends `gap` ms after the last;
    /// an event that closes the distance between two merges them.
    pub fn session(gap: Millis) -> Self {
        Self::of(Kind::Session { gap })
    }

    /// Every `size` events of a key, in order of event time. The window ends 1 ms after its last event. One that never
    /// fills up is given when the input ends, or see [`Windows::idle`]. Several windows of a key may have the same span; if they
    /// have the same value too, they are one row that is there as many times.
    pub fn count(size: u64) -> Self {
        Self::of(Kind::Count { size })
    }

    /// One window for all time, which ends when the input does: read it by [`Windowed::rows`] with an early firing.
    pub fn global() -> Self {
        Self::of(Kind::Global)
    }

    fn of(kind: Kind) -> Self {
        Windows { kind, offset: 0, idle: Millis::MAX }
    }

    /// Has tumbling and hopping windows begin `offset` ms after the multiples of their slide, such as days at -2 hours for
    /// days that begin at 22:00 UTC. Other windows begin with their events, and none of these may be told an offset.
    pub fn offset(self, offset: Millis) -> Self {
        Windows { offset, ..self }
    }

    /// Ends a window by count as it is `idle` ms after its latest event, so that keys that fall silent leave nothing
    /// behind. Other windows end by time, and none of these may be told this.
    pub fn idle(self, idle: Millis) -> Self {
        Windows { idle, ..self }
    }

    /// The grid of tumbling and hopping windows; others have none of use.
    pub(crate) fn grid(&self) -> Grid {
        match self.kind {
            Kind::Hopping { width, slide } => Grid::new(width, slide, self.offset),
            _ => Grid::new(1, 1, 0),
        }
    }

    /// In words, for [`Job::explain`](tidemill::Job::explain).
    pub(crate) fn describe(&self, lateness: Millis) -> String {
        let offset = if self.offset == 0 { String::new() } else { format!(" at {}", show(self.offset)) };
        let late = if lateness == 0 { String::new() } else { format!(", events up to {} late", show(lateness)) };
        let windows = match self.kind {
            Kind::Hopping { width, slide } if width == slide => format!("tumbling windows of {}", show(width)),
            Kind::Hopping { width, slide } => format!("hopping windows of {} by {}", show(width), show(slide)),
            Kind::Session { gap } => format!("session windows with a gap of {}", show(gap)),
            Kind::Count { size } => format!("windows of {size} events"),
            Kind::Global => "one window".to_owned(),
        };
        windows + &offset + &late
    }

    fn check(&self, name: &str, lateness: Millis, early: Option<Early>) -> Result<()> {
        let fault = match (self.kind, early) {
            (Kind::Hopping { width, slide }, _) if width <= 0 || slide <= 0 => {
                format!("of {width} ms every {slide} ms hold nothing: choose at least 1")
            }
            (Kind::Hopping { width, slide }, _) if slide > width => {
                format!(
                    "of {width} ms every {slide} ms leave events out: choose a slide of at most the width, or filter"
                )
            }
            (Kind::Session { gap }, _) if gap <= 0 => format!("with a gap of {gap} ms hold nothing: choose at least 1"),
            (Kind::Session { .. } | Kind::Count { .. } | Kind::Global, _) if self.offset != 0 => {
                "begin with their events: only tumbling and hopping windows have an offset, leave it out".into()
            }
            (Kind::Hopping { .. } | Kind::Session { .. } | Kind::Global, _) if self.idle != Millis::MAX => {
                "end by time: only windows by count can be idle, leave it out".into()
            }
            (Kind::Count { size: 0 }, _) => "of 0 events hold nothing: choose at least 1".into(),
            (Kind::Count { .. }, _) if self.idle <= 0 => {
                format!("that end {} ms after an event: choose at least 1", self.idle)
            }
            (Kind::Count { .. }, _) if lateness > 0 => {
                "by count take events in order of time, so none can come later: leave out the allowed lateness".into()
            }
            (_, Some(Early::Events(0) | Early::Millis(..=0))) => "fire early every 0: choose at least 1".into(),
            _ if lateness < 0 => format!("with an allowed lateness of {lateness} ms: choose 0 or more"),
            _ => return Ok(()),
        };
        Err(Error::Graph(format!("windows `{name}` {fault}")))
    }
}

/// Streams whose events can be put into windows: those grouped by a key, and whole streams, which are one key (all of its
/// windows are kept by one worker).
pub trait IntoWindows<'s, T: Data, K: Key>: Sized {
    /// The key of an event.
    type KeyOf: Fn(&T) -> K + Clone + 'static;

    /// Puts each key's events into `windows` and keeps `aggregate` of each.
    fn window<A: Aggregate<In = T>>(self, windows: Windows, aggregate: A) -> Windowed<'s, T, Self::KeyOf, A>;
}

impl<'s, T: Data, K: Key, F: Fn(&T) -> K + Clone + 'static> IntoWindows<'s, T, K> for Keyed<'s, T, F> {
    type KeyOf = F;

    fn window<A: Aggregate<In = T>>(self, windows: Windows, aggregate: A) -> Windowed<'s, T, F, A> {
        Windowed { keyed: self, windows, aggregate, lateness: 0, early: None }
    }
}

impl<'s, T: Data> IntoWindows<'s, T, ()> for Stream<'s, T> {
    type KeyOf = fn(&T);

    fn window<A: Aggregate<In = T>>(self, windows: Windows, aggregate: A) -> Windowed<'s, T, fn(&T), A> {
        let one: fn(&T) = |_| ();
        Windowed { keyed: self.key_by(one), windows, aggregate, lateness: 0, early: None }
    }
}

/// Windows over a stream, yet to be read: as [`Windowed::finals`], each once, or as [`Windowed::rows`], which are corrected.
pub struct Windowed<'s, T: 'static, F, A> {
    keyed: Keyed<'s, T, F>,
    windows: Windows,
    aggregate: A,
    lateness: Millis,
    early: Option<Early>,
}

impl<'s, T, K, F, A> Windowed<'s, T, F, A>
where
    T: Data,
    K: Key,
    F: Fn(&T) -> K + Clone + 'static,
    A: Aggregate<In = T>,
{
    /// How long after its end a window takes events that are behind the watermark; 0 unless told otherwise. Finals wait
    /// for so long, rows are corrected for so long.
    pub fn allowed_lateness(self, lateness: Millis) -> Self {
        Windowed { lateness, ..self }
    }

    /// Has rows appear before their window ends, whenever another `events` of its events have come.
    pub fn early_every_events(self, events: u64) -> Self {
        Windowed { early: Some(Early::Events(events)), ..self }
    }

    /// Has rows appear before their window ends, whenever the watermark passes a multiple of `interval` ms.
    pub fn early_every_ms(self, interval: Millis) -> Self {
        Windowed { early: Some(Early::Millis(interval)), ..self }
    }

    /// Each window once: when the watermark reaches its end plus the allowed lateness, as an event at the window's last
    /// millisecond. The watermark beside the windows is held back by the allowed lateness.
    ///
    /// The second stream holds the late events: those whose every window had been given before their epoch began. Read it
    /// as a side output, or leave it and they are dropped and counted in the job's report. An event behind the watermark
    /// that still finds a window open counts in that one.
    ///
    /// State: the open windows; nothing of a key outlives the last of its windows.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`] if the name is taken, windows make no sense or are to fire early, or windows by count read control
    /// sources only.
    pub fn finals(self, name: &str) -> Result<(Stream<'s, Window<K, A::Out>>, Stream<'s, T>)> {
        let Windowed { keyed, windows, aggregate, lateness, early } = self;
        windows.check(name, lateness, early)?;
        if early.is_some() {
            let message = format!("windows `{name}` fire early, but finals are given once: read them by rows()");
            return Err(Error::Graph(message));
        }
        let key = keyed.key();
        let (finals, late) = match windows.kind {
            Kind::Hopping { width, slide } if width > slide => {
                if A::INVERTIBLE {
                    keyed.kernel(name, RollingKernel::new(key, windows, lateness, aggregate))?
                } else {
                    keyed.kernel(name, HoppingKernel::new(key, windows, lateness, aggregate))?
                }
            }
            Kind::Hopping { .. } | Kind::Global => {
                keyed.kernel(name, TumblingKernel::new(key, windows, lateness, aggregate))?
            }
            _ => keyed.kernel(name, FinalsKernel::new(key, windows, lateness, aggregate))?,
        };
        Ok((if lateness > 0 { finals.hold_back(lateness) } else { finals }, late))
    }

    /// The windows as rows that are true now. A row appears in the epoch in which the watermark reaches its window's end,
    /// or earlier as the early firing says; events that come later than that but within the allowed lateness correct it,
    /// in their own epoch. It is retracted once the watermark is `keep` ms past the end of its corrections
    /// (`Millis::MAX`: never); the end of the input retracts nothing.
    ///
    /// An early row waits for the next firing to be corrected, but no longer than until the watermark reaches the end that
    /// it gives. A late event may extend a session that is over, or join it to others: in the same epoch the row of the
    /// session as it is now, with its later end, takes the place of theirs.
    ///
    /// The stream holds the events that came too late to correct anything: a side output, or else dropped and counted.
    ///
    /// State: the open windows' accumulators, and every row that has not been retracted.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`] if the name is taken, windows make no sense or `keep` is less than 0 ms, or windows by count read
    /// control sources only.
    pub fn rows(self, name: &str, keep: Millis) -> Result<(Collection<'s, Window<K, A::Out>>, Stream<'s, T>)>
    where
        A::Out: Ord,
    {
        let Windowed { keyed, windows, aggregate, lateness, early } = self;
        windows.check(name, lateness, early)?;
        if keep < 0 {
            return Err(Error::Graph(format!("windows `{name}` keep their rows for {keep} ms: choose 0 or more")));
        }
        let key = keyed.key();
        keyed.kernel_rows(name, RowsKernel::new(key, windows, lateness, keep, early, aggregate))
    }
}

/// Aligned windows by number, and the panes they share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    width: Millis,
    slide: Millis,
    offset: Millis,
    pane: Millis,
}

impl Grid {
    pub fn new(width: Millis, slide: Millis, offset: Millis) -> Self {
        let (mut pane, mut rest) = (width, slide);
        while rest != 0 {
            (pane, rest) = (rest, pane % rest);
        }
        Grid { width, slide, offset, pane }
    }

    /// The pane of an event. There is a number after every pane's.
    pub fn pane(&self, time: Millis) -> i64 {
        let number = (i128::from(time) - i128::from(self.offset)).div_euclid(i128::from(self.pane));
        saturate(number).min(i64::MAX - 1)
    }

    /// When a pane begins and has ended.
    pub fn pane_span(&self, pane: i64) -> Range<Millis> {
        let start = i128::from(pane) * i128::from(self.pane) + i128::from(self.offset);
        saturate(start)..saturate(start + i128::from(self.pane))
    }

    /// The last window with events of `pane`.
    pub fn last_with(&self, pane: i64) -> i64 {
        saturate((i128::from(pane) * i128::from(self.pane)).div_euclid(i128::from(self.slide)))
    }

    /// The first window with events of `pane`.
    pub fn first_with(&self, pane: i64) -> i64 {
        let after = (i128::from(pane) + 1) * i128::from(self.pane) - i128::from(self.width);
        saturate(after.div_euclid(i128::from(self.slide)) + i128::from(after.rem_euclid(i128::from(self.slide)) > 0))
    }

    /// The panes of a window.
    pub fn panes(&self, window: i64) -> Range<i64> {
        let first = i128::from(window) * i128::from(self.slide) / i128::from(self.pane);
        saturate(first)..saturate(first + i128::from(self.width / self.pane))
    }

    /// When a window begins and has ended.
    pub fn span(&self, window: i64) -> Range<Millis> {
        let start = i128::from(window) * i128::from(self.slide) + i128::from(self.offset);
        saturate(start)..saturate(start + i128::from(self.width))
    }

    /// The last window that has ended when the watermark is at `watermark`; all have when the input ends.
    pub fn ended(&self, watermark: Millis) -> i64 {
        match watermark {
            END => i64::MAX,
            BEGINNING => i64::MIN,
            _ => {
                let start = i128::from(watermark) - i128::from(self.width) - i128::from(self.offset);
                saturate(start.div_euclid(i128::from(self.slide)))
            }
        }
    }
}

fn saturate(number: i128) -> i64 {
    number.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

/// The partition number of what windows emit: after everything that was read.
const WINDOW: u16 = u16::MAX - 3;

/// The place of a key's result among those of its window: by its hash, all 64 bits of it.
pub(crate) fn place<K: Key>(key: &K) -> Seq {
    let hash = stable_hash(key);
    Seq::new(WINDOW, hash).child((hash >> 48) as usize)
}

/// The time `span` after `time`; never, if the span is `Millis::MAX`.
pub(crate) fn after(time: Millis, span: Millis) -> Millis {
    if span == Millis::MAX { END } else { time.saturating_add(span) }
}

/// The watermark less the allowed lateness: what has ended by then is closed.
pub(crate) fn closed_through(watermark: Millis, lateness: Millis) -> Millis {
    if watermark == END { END } else { watermark.saturating_sub(lateness) }
}
