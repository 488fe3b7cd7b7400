//! What windows must hold, by the definition.

use super::{Content, Event, Given, key};
use crate::windows::Kind;
use crate::{Window, Windows};
use std::collections::{BTreeMap, BTreeSet};
use tidemill::Millis;
use tidemill::time::{BEGINNING, END};

/// All windows, by the definition, kept in the plainest way: lists of events, looked through from the first.
pub struct Oracle {
    pub windows: Windows,
    pub lateness: Millis,
    pub open: BTreeMap<(u8, Millis, Millis), Content>,
    pub late: Vec<Event>,
    /// For windows by count: what waits for the watermark.
    pub waiting: Vec<Event>,
}

impl Oracle {
    pub fn new(windows: Windows, lateness: Millis) -> Self {
        let lateness = if matches!(windows.kind, Kind::Count { .. }) { 0 } else { lateness };
        Oracle { windows, lateness, open: BTreeMap::new(), late: vec![], waiting: vec![] }
    }

    pub fn closed(&self, end: Millis, watermark: Millis) -> bool {
        watermark == END || watermark != BEGINNING && end != END && end + self.lateness <= watermark
    }

    /// Puts the events of an epoch into the windows they belong to.
    pub fn epoch(&mut self, events: &[Event], before: Millis, after: Millis) {
        match self.windows.kind {
            Kind::Hopping { width, slide } => {
                for &(time, key, number) in events {
                    let earliest = (time - width - self.windows.offset).div_euclid(slide) - 1;
                    let starts = (earliest..).map(|n| n * slide + self.windows.offset);
                    let holding = starts.skip_while(|start| start + width <= time).take_while(|start| *start <= time);
                    let holding: Vec<Millis> = holding.filter(|start| !self.closed(start + width, before)).collect();
                    for start in &holding {
                        self.open.entry((key, *start, start + width)).or_default().push((time, number));
                    }
                    if holding.is_empty() {
                        self.late.push((time, key, number));
                    }
                }
            }
            Kind::Global => {
                for &(time, key, number) in events {
                    self.open.entry((key, BEGINNING, END)).or_default().push((time, number));
                }
            }
            Kind::Session { gap } => {
                for key in events.iter().map(key).collect::<BTreeSet<_>>() {
                    let was_open: Vec<_> = self.open.keys().filter(|window| window.0 == key).copied().collect();
                    let old: Content =
                        was_open.iter().filter_map(|window| self.open.remove(window)).flatten().collect();
                    let new = events.iter().filter(|event| event.1 == key);
                    let mut all: Vec<_> = old.iter().map(|event| (*event, true)).collect();
                    all.extend(new.map(|event| ((event.0, event.2), false)));
                    all.sort();
                    for run in all.chunk_by(|a, b| b.0.0 - a.0.0 < gap) {
                        let (start, end) = (run[0].0.0, run[run.len() - 1].0.0 + gap);
                        if self.closed(end, before) && run.iter().all(|(_, old)| !old) {
                            self.late.extend(run.iter().map(|((time, number), _)| (*time, key, *number)));
                        } else {
                            self.open.insert((key, start, end), run.iter().map(|(event, _)| *event).collect());
                        }
                    }
                }
            }
            Kind::Count { size } => {
                let (late, timely): (Vec<Event>, _) = events.iter().partition(|event| event.0 < before);
                self.late.extend(late);
                self.waiting.extend(timely);
                let mut ready: Vec<Event> = self.waiting.extract_if(.., |event| event.0 < after).collect();
                ready.sort_by_key(|event| event.0);
                for (time, key, number) in ready {
                    let last = self
                        .open
                        .iter()
                        .filter(|(window, _)| window.0 == key)
                        .max_by_key(|(w, e)| (e.len() < size as usize, w.2));
                    let filling = last.filter(|((.., end), events)| events.len() < size as usize && time < *end);
                    let filling = filling.map(|(window, _)| *window);
                    let mut content = filling.and_then(|window| self.open.remove(&window)).unwrap_or_default();
                    content.push((time, number));
                    let full = content.len() == size as usize;
                    let idle = Some(self.windows.idle).filter(|idle| *idle != Millis::MAX);
                    let end = if full { time + 1 } else { idle.map_or(END, |idle| time + idle) };
                    let start = filling.map_or(time, |window| window.1);
                    // Several windows of one key may have the same span: then both contents, one behind the other.
                    self.open.entry((key, start, end)).or_default().extend(content);
                }
            }
        }
    }

    /// Takes out the windows that close.
    pub fn close(&mut self, after: Millis) -> Vec<Given> {
        let closed: Vec<_> = self.open.keys().filter(|(_, _, end)| self.closed(*end, after)).copied().collect();
        let take = |window: (u8, Millis, Millis)| Some((window, self.open.remove(&window)?));
        closed.into_iter().filter_map(take).map(given).collect()
    }
}

pub fn given(((key, start, end), mut value): ((u8, Millis, Millis), Content)) -> Given {
    value.sort();
    Window { key, start, end, value }
}

/// The contents of windows with the same key and span, put together.
pub fn together(windows: impl IntoIterator<Item = Given>) -> Vec<Given> {
    let mut all: BTreeMap<(u8, Millis, Millis), Content> = BTreeMap::new();
    for window in windows {
        all.entry((window.key, window.start, window.end)).or_default().extend(window.value);
    }
    all.into_iter().map(given).collect()
}
