//! Sliding windows with final answers, as an operator.

use std::marker::PhantomData;

use tidemill::{
    Closing, Data, DeadLetter, Emit, Kernel, Key, Millis, Order, Record, Save, Saved, StateError, Timers, type_name,
};

use crate::pieces::{Past, Pasts};
use crate::{Aggregate, Answer, History, Refused, Role, Ties, Windows};

/// How often keys are looked at, in event time: what has become unreachable goes within a minute of it.
const MINUTE: Millis = 60_000;

type Answered<T, const N: usize, const W: usize, X> = Record<(T, Answer<N, W, <X as Aggregate<N>>::Reading>)>;

/// How many events ahead keys are looked up.
const AHEAD: usize = 64;

/// Runs [`crate::SlidingWindows::finals`].
pub(crate) struct FinalsKernel<K, T, G, F, const N: usize, const W: usize, X: Aggregate<N>> {
    name: String,
    key: G,
    windows: Windows<W>,
    role: F,
    pasts: Pasts<K, N, W, X>,
    /// Each key, once: when to look whether its past has become unreachable.
    expiry: Timers<K>,
    events: PhantomData<fn(T)>,
}

impl<K: Key, T, G, F, const N: usize, const W: usize, X: Aggregate<N>> FinalsKernel<K, T, G, F, N, W, X> {
    pub fn new(name: &str, key: G, windows: Windows<W>, role: F) -> Self {
        FinalsKernel {
            name: name.to_owned(),
            key,
            // Events are in order here: no fact need wait for a late question.
            windows: windows.lateness(0),
            role,
            pasts: Pasts::new(),
            expiry: Timers::bucketed(MINUTE),
            events: PhantomData,
        }
    }
}

impl<K, T, G, F, const N: usize, const W: usize, X> FinalsKernel<K, T, G, F, N, W, X>
where
    K: Key,
    T: Data,
    G: Fn(&T) -> K,
    F: Fn(&T) -> Role<N>,
    X: Aggregate<N>,
{
    /// The past of an event's key, which begins here if it has none.
    #[inline]
    fn past(&mut self, event: &T, time: Millis) -> &mut Past<N, W, X> {
        let key = (self.key)(event);
        self.pasts.keys.get_or_insert_with(key, |key| {
            let stays = self.windows.keep();
            self.expiry.set(time.saturating_add_unsigned(stays), key.clone());
            Past::default()
        })
    }

    /// Reads what the next events need. With many keys none of it is in the cache, and an event
    /// alone waits for memory several times in turn; read for many at once, they wait together.
    fn look_ahead(&self, records: &[Record<T>]) {
        let keys = records.iter().take(AHEAD).map(|record| (self.key)(&record.value));
        let touched = keys.filter_map(|key| self.pasts.keys.get(&key)).fold(0, |all, past| all ^ past.history.touch());
        std::hint::black_box(touched);
    }

    fn take(
        &mut self,
        record: Record<T>,
        emit: &mut Emit<T, Answered<T, N, W, X>>,
        act: impl FnOnce(&mut History<N, W, (), X>, Role<N>) -> Result<Option<Answer<N, W, X::Reading>>, Refused>,
    ) {
        let role = (self.role)(&record.value);
        let Record { time, seq, value } = record;
        match act(&mut self.past(&value, time).history, role) {
            Ok(Some(answer)) => emit.out.push(Record { time, seq, value: (value, answer) }),
            Ok(None) => {}
            Err(refused) => {
                let letter = DeadLetter::of(&self.name, &value, refused.to_string());
                emit.dead.push(Record { time, seq, value: letter });
            }
        }
    }
}

impl<K, T, G, F, const N: usize, const W: usize, X> Kernel for FinalsKernel<K, T, G, F, N, W, X>
where
    K: Key,
    T: Data,
    G: Fn(&T) -> K + 'static,
    F: Fn(&T) -> Role<N> + 'static,
    X: Aggregate<N>,
    X::Reading: Data,
{
    type In = T;
    type Out = Answered<T, N, W, X>;

    fn kind(&self) -> String {
        self.windows.describe()
    }

    fn state(&self) -> String {
        type_name::<History<N, W, (), X>>()
    }

    fn order(&self) -> Order {
        Order::EventTime
    }

    fn records(&mut self, _: Closing, records: &mut Vec<Record<T>>, emit: &mut Emit<T, Self::Out>) {
        let windows = self.windows;
        emit.out.reserve(records.len());
        let mut records = records.drain(..);
        let mut looked = records.len();
        let mut same: Vec<Record<T>> = Vec::new();
        while let Some(record) = records.next() {
            let rest = records.as_slice();
            if rest.len() < looked {
                looked = rest.len().saturating_sub(AHEAD);
                self.look_ahead(rest);
            }
            let time = record.time;
            let alone = windows.ties == Ties::Before || rest.first().is_none_or(|next| next.time != time);
            if alone {
                self.take(record, emit, |past, role| match role {
                    Role::Both(values) => past.push(&windows, (time, ()), values).map(Some),
                    Role::Fact(values) => past.insert(&windows, (time, ()), values).map(|()| None),
                    Role::Question => past.ask(&windows, (time, ())).map(Some),
                });
                continue;
            }
            // Events of the same time count for each other: all facts first, then the questions.
            same.push(record);
            let others = rest.iter().take_while(|next| next.time == time).count();
            same.extend(records.by_ref().take(others));
            same.retain(|record| {
                let (Role::Both(values) | Role::Fact(values)) = (self.role)(&record.value) else { return true };
                match self.past(&record.value, time).history.insert(&windows, (time, ()), values) {
                    Ok(()) => true,
                    Err(refused) => {
                        let letter = DeadLetter::of(&self.name, &record.value, refused.to_string());
                        emit.dead.push(record.with(letter));
                        false
                    }
                }
            });
            for record in same.drain(..) {
                self.take(record, emit, |past, role| match role {
                    Role::Fact(_) => Ok(None),
                    Role::Both(_) | Role::Question => past.ask(&windows, (time, ())).map(Some),
                });
            }
        }
    }

    fn settle(&mut self, at: Closing, _: &mut Emit<T, Self::Out>) {
        if at.after.div_euclid(MINUTE) == at.before.div_euclid(MINUTE) {
            return;
        }
        for key in self.expiry.due(at.after) {
            match self.pasts.keys.get(&key).and_then(|past| past.history.expires(&self.windows)) {
                Some(expires) if expires > at.after => self.expiry.set(expires, key),
                _ => self.pasts.remove(&key),
            }
        }
    }

    fn save(&mut self, save: &mut Save) {
        self.pasts.save(save);
    }

    fn load(&mut self, _: Closing, entry: Saved<'_>, _: &mut Emit<T, Self::Out>) -> Result<(), StateError> {
        self.pasts.load(entry)
    }

    fn loaded(&mut self, at: Closing, _: &mut Emit<T, Self::Out>) -> Result<(), StateError> {
        for key in self.pasts.loaded(&self.windows)? {
            let past = self.pasts.keys.get(&key);
            let expires = past.and_then(|past| past.history.expires(&self.windows));
            self.expiry.set(expires.unwrap_or(at.after), key);
        }
        Ok(())
    }
}
