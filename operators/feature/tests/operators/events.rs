//! Random events, and how the engine read them.

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use tidemill::time::BEGINNING;
use tidemill::timely::dataflow::operators::Inspect;
use tidemill::{Epoch, Memory, Millis, Record, Result, Stream, Update};
use tidemill_feature::{Answer, Role, Sliding, Span, Ties, Windows};

use crate::oracle::{All, N, Reading, Shape, W};

/// By how much events may be out of order before they are late.
pub const DISORDER: Millis = 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Event {
    pub time: Millis,
    pub key: u8,
    pub values: [i64; N],
    pub fact: bool,
    pub asks: bool,
}

pub type Row = (Event, Answer<N, W, Reading>);

/// Some partitions of events on a few keys: most within the disorder, some beyond, many at the same time, and some the
/// same in all.
pub fn partitions() -> impl Strategy<Value = Vec<Vec<Event>>> {
    let back = prop_oneof![4 => 0..=DISORDER, 1 => 0..120i64];
    let event = (0..8i64, back, 0..4u8, [-2..3i64, -2..3i64], 0..4u8);
    let parts = prop::collection::vec(prop::collection::vec(event, 0..60), 1..4);
    parts.prop_map(|parts| {
        let in_time = |part: Vec<_>| {
            let step = |now: &mut Millis, (gap, back, key, values, kind)| {
                *now += gap;
                Some(Event { time: *now - back, key, values, fact: kind != 1, asks: kind != 2 })
            };
            part.into_iter().scan(1_000, step).collect()
        };
        parts.into_iter().map(in_time).collect()
    })
}

pub fn windows(shape: &Shape, ties: Ties, lateness: u64) -> Windows<W> {
    Windows::new(shape.map(|(width, delay)| Span::last(width).delayed(delay))).ties(ties).lateness(lateness)
}

pub fn sliding(windows: Windows<W>) -> Sliding<fn(&Event) -> Role<N>, N, W, All> {
    let role: fn(&Event) -> Role<N> = |event| match event {
        Event { fact: true, asks: true, values, .. } => Role::Both(*values),
        Event { fact: true, values, .. } => Role::Fact(*values),
        _ => Role::Question,
    };
    Sliding::new(windows, role).keeping()
}

/// How a stream was read: which record in which epoch, and where the watermark moved.
#[derive(Clone, Default)]
pub struct Log {
    records: Memory<Record<Event>>,
    tides: Arc<Mutex<BTreeMap<Epoch, Millis>>>,
}

impl Log {
    pub fn of(&self, name: &str, events: &Stream<'_, Event>) -> Result<()> {
        self.tides_of(events);
        events.clone().sink(name, self.records.clone())
    }

    /// Notes the watermark alone.
    pub fn tides_of<T: Clone + 'static>(&self, stream: &Stream<'_, T>) {
        let tides = Arc::clone(&self.tides);
        stream.tide().inspect_core(move |event| {
            let Ok((stamp, moves)) = event else { return };
            let mut tides = tides.lock().unwrap_or_else(PoisonError::into_inner);
            tides.extend(stamp.least().zip(moves.last()).map(|(epoch, tide)| (*epoch, tide.watermark)));
        });
    }

    pub fn read(&self) -> Read {
        let tides = self.tides.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Read { records: self.records.take(), tides }
    }
}

/// A [`Log`] when the job is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// By epoch, then by time and place.
    pub records: Vec<(Epoch, Record<Event>)>,
    /// By the epoch at whose end they hold.
    pub tides: BTreeMap<Epoch, Millis>,
}

impl Read {
    /// The watermark at the start of an epoch.
    pub fn before(&self, epoch: Epoch) -> Millis {
        self.tides.range(..epoch).next_back().map_or(BEGINNING, |(_, watermark)| *watermark)
    }

    /// The epochs in which anything happened.
    pub fn epochs(&self) -> BTreeSet<Epoch> {
        self.records.iter().map(|(epoch, _)| *epoch).chain(self.tides.keys().copied()).collect()
    }
}

/// Rows with how often each is true.
pub type Rows<R> = BTreeMap<R, isize>;

pub fn counted<R: Ord>(rows: impl IntoIterator<Item = R>) -> Rows<R> {
    let mut counted = Rows::new();
    rows.into_iter().for_each(|row| *counted.entry(row).or_default() += 1);
    counted
}

/// What a sink must get to see in an epoch that begins with `before` and ends with `after`: retractions, then additions.
pub fn updates<R: Ord + Clone>(epoch: Epoch, before: &Rows<R>, after: &Rows<R>) -> Vec<(Epoch, Update<R>)> {
    let all: BTreeSet<&R> = before.keys().chain(after.keys()).collect();
    let count = |rows: &Rows<R>, row| rows.get(row).copied().unwrap_or(0);
    let diffs = all.into_iter().map(|row| (row.clone(), count(after, row) - count(before, row)));
    let (less, more): (Vec<_>, Vec<_>) = diffs.filter(|(_, diff)| *diff != 0).partition(|(_, diff)| *diff < 0);
    less.into_iter().chain(more).map(|(row, diff)| (epoch, Update { row, diff })).collect()
}
