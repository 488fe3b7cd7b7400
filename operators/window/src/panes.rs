//! What one key's windows hold, for every kind of window.

use crate::aggregate::Aggregate;
use crate::numbered::Numbered;
use crate::windows::{Grid, Kind, Windows, after, closed_through};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tidemill::Millis;
use tidemill::time::{BEGINNING, END};

/// The smallest spans whose events are added up together: the panes of aligned windows, and otherwise the windows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Panes<Acc> {
    /// By number: of the pane for aligned windows, of the first millisecond for sessions, counting for windows by count.
    panes: Numbered<Pane<Acc>>,
    /// How many windows by count there have been.
    counted: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pane<Acc> {
    start: Millis,
    end: Millis,
    events: u64,
    acc: Acc,
}

impl<Acc> Default for Panes<Acc> {
    fn default() -> Self {
        Panes { panes: Numbered::default(), counted: 0 }
    }
}

/// The kind of windows, and how late events may be.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    kind: Kind,
    grid: Grid,
    pub lateness: Millis,
    idle: Millis,
}

/// Where an event went.
pub(crate) enum Added {
    /// Every window of it was closed when its epoch began.
    Late,
    /// Into the windows with these numbers, and these sessions are no more, for it joined them to another.
    In { windows: Range<i64>, joined: Vec<i64> },
}

impl Shape {
    pub fn new(windows: Windows, lateness: Millis) -> Self {
        Shape { kind: windows.kind, grid: windows.grid(), lateness, idle: windows.idle }
    }

    /// Whether a window that ends at `end` takes no more events.
    pub fn closed(&self, end: Millis, watermark: Millis) -> bool {
        end <= closed_through(watermark, self.lateness)
    }

    /// When a window that ends at `end` closes.
    pub fn closes(&self, end: Millis) -> Millis {
        end.saturating_add(self.lateness)
    }
}

impl<Acc: Clone + Default> Panes<Acc> {
    pub fn is_empty(&self) -> bool {
        self.panes.is_empty()
    }

    /// Adds an event that came in an epoch that began at watermark `before`. An epoch's events come with the latest first
    /// for sessions, and in order of time for windows by count.
    pub fn add<A>(&mut self, shape: &Shape, before: Millis, time: Millis, event: &A::In, aggregate: &A) -> Added
    where
        A: Aggregate<Acc = Acc>,
    {
        // The last millisecond there is has none after it, and so would be in no window.
        let time = time.min(END - 1);
        let (number, span) = match shape.kind {
            Kind::Hopping { .. } => {
                let pane = shape.grid.pane(time);
                let closed = shape.grid.ended(closed_through(before, shape.lateness));
                let (first, last) = (shape.grid.first_with(pane), shape.grid.last_with(pane));
                if last <= closed {
                    return Added::Late;
                }
                self.add_to(pane, 0..shape.grid.span(last).end, event, aggregate);
                return Added::In {
                    windows: first.max(closed.saturating_add(1))..last.saturating_add(1),
                    joined: vec![],
                };
            }
            Kind::Session { gap } => {
                return self.add_session(shape, before, time..time.saturating_add(gap), event, aggregate);
            }
            Kind::Global => (0, BEGINNING..END),
            Kind::Count { size } => {
                let filled = time + 1;
                let of = |events| if events == size { filled } else { after(time, shape.idle) };
                match self.panes.last() {
                    Some((number, last)) if last.events < size && time < last.end => {
                        (number, last.start..of(last.events + 1))
                    }
                    _ => {
                        self.counted += 1;
                        (self.counted, time..of(1))
                    }
                }
            }
        };
        self.add_to(number, span, event, aggregate);
        Added::In { windows: number..number + 1, joined: vec![] }
    }

    fn add_to<A: Aggregate<Acc = Acc>>(&mut self, number: i64, span: Range<Millis>, event: &A::In, aggregate: &A) {
        let Range { start, end } = span;
        let pane = self.panes.get_or_insert_with(number, || Pane { start, end, events: 0, acc: Acc::default() });
        (pane.end, pane.events) = (end, pane.events + 1);
        aggregate.add(&mut pane.acc, event);
    }

    /// Joins all sessions that the event's own span meets.
    fn add_session<A>(
        &mut self,
        shape: &Shape,
        before: Millis,
        span: Range<Millis>,
        event: &A::In,
        aggregate: &A,
    ) -> Added
    where
        A: Aggregate<Acc = Acc>,
    {
        let met = |(_, pane): &(i64, &Pane<Acc>)| pane.end > span.start;
        let begun = self.panes.range(i64::MIN..span.end);
        let mut met: Vec<i64> = begun.rev().take_while(met).map(|(number, _)| number).collect();
        if met.is_empty() && shape.closed(span.end, before) {
            return Added::Late;
        }
        let mut all = Pane { start: span.start, end: span.end, events: 1, acc: Acc::default() };
        aggregate.add(&mut all.acc, event);
        for pane in met.iter().filter_map(|number| self.panes.remove(*number)) {
            (all.start, all.end) = (all.start.min(pane.start), all.end.max(pane.end));
            all.events += pane.events;
            let event = std::mem::replace(&mut all.acc, pane.acc);
            aggregate.merge(&mut all.acc, &event);
        }
        let start = all.start;
        self.panes.insert(start, all);
        met.retain(|number| *number != start);
        Added::In { windows: start..start.saturating_add(1), joined: met }
    }

    /// When a window begins and ends.
    pub fn span(&self, shape: &Shape, window: i64) -> Option<Range<Millis>> {
        match shape.kind {
            Kind::Hopping { .. } => Some(shape.grid.span(window)),
            _ => self.panes.get(window).map(|pane| pane.start..pane.end),
        }
    }

    /// How many events a window has.
    pub fn events(&self, shape: &Shape, window: i64) -> u64 {
        self.panes.range(self.of(shape, window)).map(|(_, pane)| pane.events).sum()
    }

    /// What a window's events amount to.
    pub fn result<A: Aggregate<Acc = Acc>>(&self, shape: &Shape, window: i64, aggregate: &A) -> Option<A::Out> {
        let mut panes = self.panes.range(self.of(shape, window)).map(|(_, pane)| &pane.acc);
        let first = panes.next()?;
        let Some(second) = panes.next() else { return Some(aggregate.result(first)) };
        let mut all = first.clone();
        std::iter::once(second).chain(panes).for_each(|acc| aggregate.merge(&mut all, acc));
        Some(aggregate.result(&all))
    }

    fn of(&self, shape: &Shape, window: i64) -> Range<i64> {
        match shape.kind {
            Kind::Hopping { .. } => shape.grid.panes(window),
            _ => window..window.saturating_add(1),
        }
    }

    /// When the first pane is no longer needed.
    pub fn closes(&self, shape: &Shape) -> Option<Millis> {
        self.panes.first().map(|pane| shape.closes(pane.end))
    }

    /// Takes out the first pane if all its windows are closed: where panes are windows, its span and its result.
    pub fn close<A: Aggregate<Acc = Acc>>(
        &mut self,
        shape: &Shape,
        watermark: Millis,
        aggregate: &A,
    ) -> Option<(Range<Millis>, A::Out)> {
        let first = self.panes.pop_first_if(|_, first| shape.closed(first.end, watermark))?;
        let Pane { start, end, acc, .. } = first;
        Some((start..end, aggregate.result(&acc)))
    }
}
