//! Sliding windows answered at once and corrected later, as an operator.

use std::marker::PhantomData;

use tidemill::differential_dataflow::{self, consolidation::consolidate};
use tidemill::{
    Closing, Data, DeadLetter, Emit, Epoch, Kernel, Key, Keys, Millis, Order, Record, Save, Saved, Seq, StateError,
    Timers, type_name,
};

use crate::{Aggregate, Answer, AtOnce, Refused, Windows};

type Row<Q, const N: usize, const W: usize, X> = (Q, Answer<N, W, <X as Aggregate<N>>::Reading>);

/// What an event means to its key's windows: perhaps a fact, perhaps a question with its id. Of each, how many times more it
/// is there than before, or fewer if negative.
pub(crate) struct Meaning<Q, const N: usize> {
    pub fact: Option<([i64; N], isize)>,
    pub question: Option<(Q, isize)>,
}

/// How a refused event is written down: by operator, event and reason.
pub(crate) type Letter<T> = fn(&str, &T, String) -> DeadLetter;

/// The watermark at which something of a key has had its time; `None` if it is empty.
fn next<Q: Clone + PartialEq, const N: usize, const W: usize, X: Aggregate<N>>(
    past: &AtOnce<Q, N, W, Seq, X>,
    windows: &Windows<W>,
) -> Option<Millis> {
    match past.oldest() {
        Some(oldest) => Some(oldest.saturating_add_unsigned(windows.lateness).saturating_add(1)),
        None => past.history().expires(windows),
    }
}

/// Runs [`crate::SlidingWindows::at_once`], [`crate::SlidingWindowsOfUpdates::updates_at_once`] and
/// [`crate::AskAtOnce::at_once`].
///
/// An epoch goes by the watermark at its start, so a row outlives the epoch that asked. And a key is looked at only when
/// it has an event or the watermark moves, which all workers see, so it does not matter which keys share a worker.
pub(crate) struct AtOnceKernel<T, K, Q, G, M, const N: usize, const W: usize, X: Aggregate<N>> {
    name: String,
    key: G,
    meaning: M,
    letter: Letter<T>,
    windows: Windows<W>,
    /// The same to a key's past, which goes by the horizon it is told and not by its latest event: an event may be
    /// far ahead of another that is on time.
    unbounded: Windows<W>,
    keys: Keys<K, AtOnce<Q, N, W, Seq, X>>,
    /// When to look for rows and facts that have had their time.
    expiry: Timers<K>,
    /// The changes of the epoch.
    changes: Vec<(Row<Q, N, W, X>, isize)>,
    events: PhantomData<fn(T)>,
}

impl<T, K, Q, G, M, const N: usize, const W: usize, X> AtOnceKernel<T, K, Q, G, M, N, W, X>
where
    K: Key,
    T: Data,
    Q: Data + Ord,
    G: Fn(&T) -> K,
    M: Fn(&T) -> Meaning<Q, N>,
    X: Aggregate<N>,
{
    pub fn new(name: &str, key: G, windows: Windows<W>, meaning: M, letter: Letter<T>) -> Self {
        AtOnceKernel {
            name: name.to_owned(),
            key,
            meaning,
            letter,
            windows,
            unbounded: windows.lateness(u64::MAX),
            keys: Keys::new(),
            expiry: Timers::default(),
            changes: Vec::new(),
            events: PhantomData,
        }
    }

    /// The time before which rows have had their time.
    fn horizon(&self, watermark: Millis) -> Millis {
        watermark.saturating_sub_unsigned(self.windows.lateness)
    }

    /// Takes an event that is a fact or question, unless it is too late.
    fn take(&mut self, horizon: Millis, record: &Record<T>) -> Result<(), Refused> {
        let Record { time, seq, value } = record;
        let (time, at) = (*time, (*time, *seq));
        let Meaning { fact, question } = (self.meaning)(value);
        let asks = question.as_ref().is_some_and(|(_, times)| *times > 0);
        let behind = horizon.abs_diff(time);
        if time < horizon && (asks || fact.is_some() && behind >= self.windows.reach) {
            return Err(Refused::TooLate { behind });
        }
        let key = (self.key)(value);
        let (past, changes) = (self.keys.get_or_default(key.clone()), &mut self.changes);
        let taken = change(past, &self.unbounded, horizon, at, fact, question, changes);
        match next(past, &self.windows) {
            None => {
                self.keys.remove(&key);
                self.expiry.cancel(&key);
            }
            Some(next) => self.expiry.set(next, key),
        }
        taken
    }

    /// Looks at the keys of which something has had its time.
    fn expire(&mut self, watermark: Millis) {
        let horizon = self.horizon(watermark);
        for key in self.expiry.due(watermark) {
            let Some(past) = self.keys.get_mut(&key) else { continue };
            if next(past, &self.windows).is_none_or(|next| next <= watermark) {
                past.expire(&self.unbounded, horizon, |id, answer| self.changes.push(((id, answer), -1)));
            }
            match next(past, &self.windows) {
                Some(next) => self.expiry.set(next, key),
                None => _ = self.keys.remove(&key),
            }
        }
    }
}

/// Does to a key's past what an event means, and says which rows that changed.
fn change<Q: Clone + PartialEq, const N: usize, const W: usize, X: Aggregate<N>>(
    past: &mut AtOnce<Q, N, W, Seq, X>,
    windows: &Windows<W>,
    horizon: Millis,
    at: (Millis, Seq),
    fact: Option<([i64; N], isize)>,
    question: Option<(Q, isize)>,
    changes: &mut Vec<(Row<Q, N, W, X>, isize)>,
) -> Result<(), Refused> {
    past.expire(windows, horizon, |id, answer| changes.push(((id, answer), -1)));
    let said = (at.0, at.1.said());
    // All of them are taken back, or none.
    if let Some((values, times @ ..0)) = fact
        && past.history().count_of(said, &values) < times.unsigned_abs()
    {
        return Err(Refused::Unknown);
    }
    if let Some((id, times)) = &question {
        for _ in *times..0 {
            // One that has had its time is retracted already.
            let Some(answer) = past.withdraw(said, id) else { break };
            changes.push(((id.clone(), answer), -1));
        }
    }
    if let Some((values, times)) = fact {
        let mut changed = |id: &Q, old: &_, new: &_| {
            changes.push(((id.clone(), *old), -1));
            changes.push(((id.clone(), *new), 1));
        };
        for _ in times..0 {
            past.remove(windows, said, values, &mut changed)?;
        }
        for already in 0..times {
            if let Err(refused) = past.insert(windows, at, values, &mut changed) {
                for _ in 0..already {
                    past.remove(windows, at, values, &mut changed)?;
                }
                return Err(refused);
            }
        }
    }
    let Some((id, times)) = question else { return Ok(()) };
    for _ in 0..times {
        changes.push(((id.clone(), past.ask(windows, at, id.clone())?), 1));
    }
    Ok(())
}

impl<T, K, Q, G, M, const N: usize, const W: usize, X> Kernel for AtOnceKernel<T, K, Q, G, M, N, W, X>
where
    K: Key,
    T: Data,
    Q: Data + differential_dataflow::Data,
    G: Fn(&T) -> K + 'static,
    M: Fn(&T) -> Meaning<Q, N> + 'static,
    X: Aggregate<N>,
    X::Reading: Data + differential_dataflow::Data,
{
    type In = T;
    type Out = (Row<Q, N, W, X>, Epoch, isize);

    fn kind(&self) -> String {
        format!("{}, corrected", self.windows.describe())
    }

    fn state(&self) -> String {
        type_name::<AtOnce<Q, N, W, Seq, X>>()
    }

    fn order(&self) -> Order {
        Order::Arrival
    }

    fn records(&mut self, at: Closing, records: &mut Vec<Record<T>>, emit: &mut Emit<T, Self::Out>) {
        let horizon = self.horizon(at.before);
        for record in records.drain(..) {
            match self.take(horizon, &record) {
                Ok(()) => {}
                Err(Refused::TooLate { .. }) => emit.late.push(record),
                Err(refused) => {
                    let letter = (self.letter)(&self.name, &record.value, refused.to_string());
                    emit.dead.push(record.with(letter));
                }
            }
        }
    }

    fn settle(&mut self, at: Closing, emit: &mut Emit<T, Self::Out>) {
        // Only where the watermark moves do all workers see the epoch.
        if at.after > at.before {
            self.expire(at.before);
        }
        consolidate(&mut self.changes);
        let changes = self.changes.drain(..);
        emit.out.extend(changes.map(|(row, diff)| (row, at.epoch, diff)));
    }

    fn save(&mut self, save: &mut Save) {
        self.keys.save(save);
    }

    fn load(&mut self, at: Closing, entry: Saved<'_>, emit: &mut Emit<T, Self::Out>) -> Result<(), StateError> {
        let (key, past) = self.keys.load(entry)?;
        let rows = past.remembered().map(|(id, answer)| (id.clone(), *answer));
        emit.out.extend(rows.map(|row| (row, at.epoch, 1)));
        match next(past, &self.windows) {
            Some(next) => self.expiry.set(next, key),
            None => _ = self.keys.remove(&key),
        }
        Ok(())
    }
}
