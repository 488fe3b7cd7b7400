//! Windows of every kind as rows that are true now, corrected by late events.

use crate::aggregate::Aggregate;
use crate::finals::{arrange, order};
use crate::numbered::Numbered;
use crate::panes::{Added, Panes, Shape};
use crate::windows::{Window, Windows, after};
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use tidemill::time::END;
use tidemill::{
    Closing, Data, Emit, Epoch, Kernel, Key, Keys, Millis, Order, Record, Save, Saved, StateError, Timers, type_name,
};

/// When rows appear before their window has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Early {
    /// With every so many events of the window.
    Events(u64),
    /// When the watermark passes a multiple of so many ms.
    Millis(Millis),
}

/// One key's windows, and what was said of them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "Acc: Serialize + serde::de::DeserializeOwned, Out: Serialize + serde::de::DeserializeOwned")]
struct Book<Acc, Out> {
    panes: Panes<Acc>,
    /// The rows of windows that are open.
    said: Numbered<Said<Out>>,
    /// The rows of windows that are closed, as they closed.
    closed: VecDeque<Said<Out>>,
    /// Windows with events that are not in what was said.
    unsaid: Numbered<()>,
    /// Those among them whose row must not wait, for it takes the place of rows that are gone.
    now: Numbered<()>,
}

/// A row that is true.
#[derive(Clone, Serialize, Deserialize)]
struct Said<Out> {
    start: Millis,
    end: Millis,
    events: u64,
    value: Out,
}

impl<Acc, Out> Default for Book<Acc, Out> {
    fn default() -> Self {
        Book {
            panes: Panes::default(),
            said: Numbered::default(),
            closed: VecDeque::new(),
            unsaid: Numbered::default(),
            now: Numbered::default(),
        }
    }
}

/// The windows of one worker's keys.
pub(crate) struct RowsKernel<K, F, A: Aggregate> {
    key: F,
    windows: Windows,
    shape: Shape,
    /// For how long rows stay after their window is closed.
    keep: Millis,
    early: Option<Early>,
    aggregate: A,
    keys: Keys<K, Book<A::Acc, A::Out>>,
    timers: Timers<K>,
    /// The keys whose events came in this epoch.
    touched: FxHashSet<K>,
    /// The keys that wait for an early firing by time.
    waiting: FxHashSet<K>,
}

type Row<K, A> = (Window<K, <A as Aggregate>::Out>, Epoch, isize);

impl<K: Key, F: Fn(&A::In) -> K, A: Aggregate> RowsKernel<K, F, A> {
    pub fn new(key: F, windows: Windows, lateness: Millis, keep: Millis, early: Option<Early>, aggregate: A) -> Self {
        let shape = Shape::new(windows, lateness);
        let (keys, timers) = (Keys::new(), Timers::default());
        let (touched, waiting) = (FxHashSet::default(), FxHashSet::default());
        RowsKernel { key, windows, shape, keep, early, aggregate, keys, timers, touched, waiting }
    }

    /// When the row of a window that ends at `end` is retracted.
    fn gone(&self, end: Millis) -> Millis {
        after(self.shape.closes(end), self.keep)
    }

    /// Says of one key what has changed.
    fn look(&mut self, key: &K, at: Closing, early: bool, out: &mut Vec<Row<K, A>>) {
        let Some(mut book) = self.keys.remove(key) else { return };
        let mut say = |said: &Said<A::Out>, diff| {
            let (start, end, value) = (said.start, said.end, said.value.clone());
            out.push((Window { key: key.clone(), start, end, value }, at.epoch, diff));
        };
        let mut still = Numbered::default();
        let mut next = END;
        for window in book.unsaid.take() {
            let Some(span) = book.panes.span(&self.shape, window) else { continue };
            let events = book.panes.events(&self.shape, window);
            let before = book.said.get(window);
            // A session may have grown past the end that its row gives.
            let end = before.map_or(span.end, |said| said.end);
            let fires = end <= at.after
                || book.now.get(window).is_some()
                || early
                || match self.early {
                    None => before.is_some(),
                    Some(Early::Events(every)) => events / every > before.map_or(0, |said| said.events) / every,
                    Some(Early::Millis(_)) => false,
                };
            if !fires {
                next = next.min(end);
                still.insert(window, ());
                continue;
            }
            let Some(value) = book.panes.result(&self.shape, window, &self.aggregate) else { continue };
            let said = Said { start: span.start, end: span.end, events, value };
            say(&said, 1);
            if let Some(before) = book.said.insert(window, said) {
                say(&before, -1);
            }
        }
        book.unsaid = still;
        book.now = Numbered::default();
        while book.panes.close(&self.shape, at.after, &self.aggregate).is_some() {}
        let (panes, shape) = (&book.panes, &self.shape);
        let over = |window, _: &_| panes.span(shape, window).is_none_or(|span| shape.closed(span.end, at.after));
        book.closed.extend(std::iter::from_fn(|| book.said.pop_first_if(over)));
        while at.after != END
            && let Some(gone) = book.closed.pop_front_if(|said| self.gone(said.end) <= at.after)
        {
            say(&gone, -1);
        }

        next = next.min(book.panes.closes(&self.shape).unwrap_or(END));
        let first = book.closed.front().or_else(|| book.said.first());
        next = next.min(first.map_or(END, |said| self.gone(said.end)));
        if book.panes.is_empty() && book.closed.is_empty() {
            self.waiting.remove(key);
            return self.timers.cancel(key);
        }
        self.timers.set(next, key.clone());
        self.keep_book(key.clone(), book);
    }

    fn keep_book(&mut self, key: K, book: Book<A::Acc, A::Out>) {
        if waits(self.early, &book) {
            self.waiting.insert(key.clone());
        }
        self.keys.get_or_insert_with(key, |_| book);
    }
}

/// Whether a key waits for an early firing by time.
fn waits<Acc, Out>(early: Option<Early>, book: &Book<Acc, Out>) -> bool {
    matches!(early, Some(Early::Millis(_))) && !book.unsaid.is_empty()
}

impl<K, F, A> Kernel for RowsKernel<K, F, A>
where
    K: Key,
    F: Fn(&A::In) -> K + 'static,
    A: Aggregate,
    A::Out: Data + Ord,
{
    type In = A::In;
    type Out = Row<K, A>;

    fn kind(&self) -> String {
        format!("{}, corrected", self.windows.describe(self.shape.lateness))
    }

    fn state(&self) -> String {
        type_name::<A::Acc>()
    }

    fn order(&self) -> Order {
        order(self.windows)
    }

    fn records(&mut self, at: Closing, records: &mut Vec<Record<A::In>>, emit: &mut Emit<A::In, Self::Out>) {
        arrange(self.windows, records);
        for record in records.drain(..) {
            let key = (self.key)(&record.value);
            let book = self.keys.get_or_default(key.clone());
            match book.panes.add(&self.shape, at.before, record.time, &record.value, &self.aggregate) {
                Added::Late => emit.late.push(record),
                Added::In { windows, joined } => {
                    for gone in joined {
                        book.unsaid.remove(gone);
                        let said = book.said.remove(gone);
                        if book.now.remove(gone).is_some() || said.is_some() {
                            book.now.add(windows.clone());
                        }
                        let rows = said.map(|said| {
                            (
                                Window { key: key.clone(), start: said.start, end: said.end, value: said.value },
                                at.epoch,
                                -1,
                            )
                        });
                        emit.out.extend(rows);
                    }
                    book.unsaid.add(windows);
                }
            }
            self.touched.insert(key);
        }
    }

    fn settle(&mut self, at: Closing, emit: &mut Emit<A::In, Self::Out>) {
        let early = match self.early {
            Some(Early::Millis(every)) => at.after.div_euclid(every) > at.before.div_euclid(every),
            _ => false,
        };
        let mut keys = std::mem::take(&mut self.touched);
        keys.extend(self.timers.due(at.after));
        if early {
            keys.extend(self.waiting.drain());
        }
        for key in keys {
            self.look(&key, at, early, &mut emit.out);
        }
    }

    fn save(&mut self, save: &mut Save) {
        self.keys.save(save);
    }

    fn load(&mut self, at: Closing, entry: Saved<'_>, emit: &mut Emit<A::In, Self::Out>) -> Result<(), StateError> {
        let (key, book) = self.keys.load(entry)?;
        for said in book.closed.iter().chain(book.said.values()) {
            let (start, end, value) = (said.start, said.end, said.value.clone());
            emit.out.push((Window { key: key.clone(), start, end, value }, at.epoch, 1));
        }
        if waits(self.early, book) {
            self.waiting.insert(key.clone());
        }
        self.timers.set(at.after, key);
        Ok(())
    }
}
