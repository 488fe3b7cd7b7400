//! `Process`: events in, events out, with state and timers per key.

use crate::error::Reject;
use crate::hash::stable_hash;
use crate::kernel::{Closing, Emit, Kernel, Order, StateError};
use crate::keys::Keys;
use crate::plan::type_name;
use crate::record::{Data, DeadLetter, Record, Seq};
use crate::save::{Old, Save, Saved};
use crate::shape::shape_of;
use crate::state::State;
use crate::stream::Key;
use crate::time::Millis;
use crate::timers::Timers;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// An operator with state and timers per key, written for one key at a time.
///
/// It must be deterministic: no clocks, no randomness, no iteration over hash maps that shows.
/// What it reads of time it reads from its [`Context`].
///
/// ```
/// use tidemill::{Context, Order, Process, Reject};
///
/// /// Emits a customer's running total, at most once a minute of event time.
/// struct Totals;
///
/// impl Process for Totals {
///     type Key = u32;
///     type In = (u32, i64);
///     type Out = (u32, i64);
///     type State = i64;
///
///     fn process(&self, _: &u32, (_, cents): (u32, i64), total: &mut i64, ctx: &mut Context<'_, Self::Out>) -> Result<(), Reject> {
///         *total = total.checked_add(cents).ok_or_else(|| Reject::new("the total does not fit"))?;
///         ctx.set_timer(ctx.time() / 60_000 * 60_000 + 60_000);
///         Ok(())
///     }
///
///     fn on_timer(&self, customer: &u32, total: &mut i64, ctx: &mut Context<'_, Self::Out>) -> Result<(), Reject> {
///         ctx.emit((*customer, *total));
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Process`",
    label = "no `Process`",
    note = "how to write one: see `tidemill::guide`"
)]
pub trait Process: 'static {
    // The compiler shows the lines below, with their comments, where a type does not fit.

    /// What state is found by.
    type Key: Key; // what to derive: see `tidemill::guide`
    /// What comes in.
    type In: Data; // what to derive: see `tidemill::guide`
    /// What goes out.
    type Out: Data; // what to derive: see `tidemill::guide`
    /// What is kept per key. It begins as `State::default()`.
    type State: State; // what to derive: see `tidemill::guide`

    /// The order in which events are needed.
    const ORDER: Order = Order::EventTime;

    /// Whether a refused event's changes of the state must be undone, which costs a copy of the
    /// state per event. Say `false` where nothing is changed before a refusal.
    const UNDO: bool = true;

    /// The version of `State`: to be raised when that type changes, so that checkpoints with the old one can be read.
    const VERSION: u32 = 0;

    /// Makes a state of what `version`, an earlier one, wrote: `old.read::<OldState>()?`, or field by field. Without it a
    /// job with such a checkpoint does not begin.
    fn migrate(&self, version: u32, _old: &mut Old<'_>) -> Result<Self::State, StateError> {
        Err(StateError(format!("it is of version {version}, and `migrate` is not written for that")))
    }

    /// The time-to-live of a key's state: once the watermark, or an event of the key, is more than this many ms of event
    /// time past the key's last event, its state is dropped, with whatever timers it has left. `None`, the default, keeps
    /// it for ever or until [`Context::forget`].
    fn ttl(&self) -> Option<Millis> {
        None
    }

    /// Takes one event. If it is refused, everything it did is undone and it becomes a dead letter.
    fn process(
        &self,
        key: &Self::Key,
        event: Self::In,
        state: &mut Self::State,
        ctx: &mut Context<'_, Self::Out>,
    ) -> Result<(), Reject>;

    /// A timer of this key has come: the watermark has reached it, or an event at or after it is
    /// about to be processed. `ctx.time()` is the timer's time.
    fn on_timer(
        &self,
        _key: &Self::Key,
        _state: &mut Self::State,
        _ctx: &mut Context<'_, Self::Out>,
    ) -> Result<(), Reject> {
        Ok(())
    }
}

/// What an operator can do while it processes an event or a timer.
pub struct Context<'a, Out> {
    time: Millis,
    watermark: Millis,
    seq: Seq,
    out: &'a mut Vec<Record<Out>>,
    first: usize,
    timers: &'a mut BTreeSet<Millis>,
    forget: bool,
}

impl<Out> Context<'_, Out> {
    /// The event time of the event, or the time of the timer.
    pub fn time(&self) -> Millis {
        self.time
    }

    /// The watermark at the start of the epoch.
    pub fn watermark(&self) -> Millis {
        self.watermark
    }

    /// Emits an event with the time of the one being processed, or of the watermark if that is later.
    pub fn emit(&mut self, value: Out) {
        let seq = self.seq.child(self.out.len() - self.first);
        self.out.push(Record { time: self.time.max(self.watermark), seq, value });
    }

    /// Has `on_timer` called for this key at event time `at`. A timer that has passed comes at once, and at the end of the
    /// input all have passed: an `on_timer` that always sets the next one would never end, so have it stop when nothing
    /// has come for a while.
    pub fn set_timer(&mut self, at: Millis) {
        self.timers.insert(at);
    }

    /// Takes a timer back.
    pub fn cancel_timer(&mut self, at: Millis) {
        self.timers.remove(&at);
    }

    /// Drops this key's state and timers when the call returns.
    pub fn forget(&mut self) {
        self.forget = true;
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(bound = "S: State")]
struct Kept<S> {
    state: S,
    timers: BTreeSet<Millis>,
    /// The time of the last event, where there is a time-to-live.
    touched: Option<Millis>,
}

/// Runs a [`Process`].
pub struct ProcessKernel<P: Process, F> {
    name: String,
    process: P,
    key: F,
    keys: Keys<P::Key, Kept<P::State>>,
    timers: Timers<P::Key>,
    /// After how long an idle key is dropped, and when to look at which.
    ttl: Option<Millis>,
    expiry: Timers<P::Key>,
}

impl<P: Process, F: Fn(&P::In) -> P::Key> ProcessKernel<P, F> {
    pub fn new(name: &str, key: F, process: P) -> Self {
        let ttl = process.ttl();
        ProcessKernel {
            name: name.to_owned(),
            process,
            key,
            keys: Keys::new(),
            timers: Timers::default(),
            ttl,
            expiry: Timers::default(),
        }
    }

    /// The last moment of a key's state.
    fn last(&self, key: &P::Key) -> Option<Millis> {
        Some(self.keys.get(key)?.touched?.saturating_add(self.ttl?))
    }

    /// Drops the key's state if its time was over before `now`, after firing the timers it lived to see.
    fn expire(&mut self, key: &P::Key, now: Millis, before: Millis, emit: &mut Emit<P::In, Record<P::Out>>) {
        if let Some(last) = self.last(key).filter(|last| *last < now) {
            self.fire(key, last, before, emit);
            self.drop_key(key);
        }
    }

    fn drop_key(&mut self, key: &P::Key) {
        self.keys.remove(key);
        self.timers.cancel(key);
        self.expiry.cancel(key);
    }

    /// The key has an event at `time`.
    fn touch(&mut self, key: &P::Key, time: Millis) {
        let Some(ttl) = self.ttl else { return };
        let Some(kept) = self.keys.get_mut(key) else { return };
        if kept.touched.is_none() {
            self.expiry.set(time.saturating_add(ttl), key.clone());
        }
        kept.touched = kept.touched.max(Some(time));
    }

    /// Runs one call of the user's code for `key`, and keeps or undoes what it did.
    fn call(
        &mut self,
        key: &P::Key,
        (time, watermark, seq): (Millis, Millis, Seq),
        emit: &mut Emit<P::In, Record<P::Out>>,
        call: impl FnOnce(&P, &mut P::State, &mut Context<'_, P::Out>) -> Result<(), Reject>,
    ) -> Result<(), Reject> {
        let mut new = false;
        let kept = self.keys.get_or_insert_with(key.clone(), |_| {
            new = true;
            Kept::default()
        });
        let before = P::UNDO.then(|| kept.clone());
        let next = kept.timers.first().copied();
        let first = emit.out.len();
        let Kept { state, timers, .. } = kept;
        let mut ctx = Context { time, watermark, seq, out: &mut emit.out, first, timers, forget: false };
        let outcome = call(&self.process, state, &mut ctx);
        let forget = ctx.forget && outcome.is_ok();
        if outcome.is_err() {
            emit.out.truncate(first);
            if let Some(before) = before {
                *kept = before;
            }
        }
        if forget || new && outcome.is_err() {
            self.drop_key(key);
        } else if let Some(&at) = kept.timers.first().filter(|at| next.is_none_or(|next| **at < next)) {
            self.timers.set(at, key.clone());
        }
        outcome
    }

    /// Fires this key's timers up to `through`, in order.
    fn fire(&mut self, key: &P::Key, through: Millis, before: Millis, emit: &mut Emit<P::In, Record<P::Out>>) {
        let mut fired = 0;
        while let Some(kept) = self.keys.get_mut(key) {
            let Some(at) = kept.timers.first().copied().filter(|at| *at <= through) else { break };
            kept.timers.remove(&at);
            let seq = Seq::new(TIMER, stable_hash(key)).child(fired);
            fired += 1;
            let outcome = self.call(key, (at, before, seq), emit, |p, state, ctx| p.on_timer(key, state, ctx));
            if let Err(Reject(reason)) = outcome {
                let value = DeadLetter::of(&self.name, key, format!("its timer at {at} failed: {reason}"));
                emit.dead.push(Record { time: at, seq, value });
            }
        }
    }
}

/// The partition number of what timers emit: after everything that was read.
const TIMER: u16 = u16::MAX - 2;

impl<P: Process, F: Fn(&P::In) -> P::Key + 'static> Kernel for ProcessKernel<P, F> {
    type In = P::In;
    type Out = Record<P::Out>;

    fn kind(&self) -> String {
        format!("process {}", type_name::<P>())
    }

    fn state(&self) -> String {
        type_name::<P::State>()
    }

    fn version(&self) -> u32 {
        P::VERSION
    }

    fn shape(&self) -> String {
        shape_of::<P::State>()
    }

    fn order(&self) -> Order {
        P::ORDER
    }

    fn records(&mut self, at: Closing, records: &mut Vec<Record<P::In>>, emit: &mut Emit<P::In, Self::Out>) {
        for Record { time, seq, value } in records.drain(..) {
            let key = (self.key)(&value);
            self.expire(&key, time, at.before, emit);
            self.fire(&key, time.min(at.after), at.before, emit);
            // A refused event is needed again, for its dead letter.
            let copy = value.clone();
            let outcome =
                self.call(&key, (time, at.before, seq), emit, |p, state, ctx| p.process(&key, value, state, ctx));
            self.touch(&key, time);
            if let Err(Reject(reason)) = outcome {
                emit.dead.push(Record { time, seq, value: DeadLetter::of(&self.name, &copy, reason) });
            }
        }
    }

    fn settle(&mut self, at: Closing, emit: &mut Emit<P::In, Self::Out>) {
        for key in self.timers.due(at.after) {
            self.expire(&key, at.after, at.before, emit);
            self.fire(&key, at.after, at.before, emit);
            if let Some(&next) = self.keys.get(&key).and_then(|kept| kept.timers.first()) {
                self.timers.set(next, key);
            }
        }
        for key in self.expiry.due(at.after.saturating_sub(1)) {
            self.expire(&key, at.after, at.before, emit);
            if let Some(last) = self.last(&key) {
                self.expiry.set(last, key);
            }
        }
    }

    fn save(&mut self, save: &mut Save) {
        self.keys.save(save);
    }

    fn load(&mut self, _: Closing, entry: Saved<'_>, _: &mut Emit<P::In, Self::Out>) -> Result<(), StateError> {
        let process = &self.process;
        let (key, kept) = self.keys.load_by(entry, P::VERSION, |old| {
            let state = if entry.version == P::VERSION { old.read() } else { process.migrate(entry.version, old) };
            Ok(Kept { state: state?, timers: old.read()?, touched: old.read()? })
        })?;
        if let Some(&at) = kept.timers.first() {
            self.timers.set(at, key.clone());
        }
        if let (Some(_), Some(last)) = (kept.touched, self.last(&key)) {
            self.expiry.set(last, key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::Harness;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Refuses negative numbers, and has done with a key at zero.
    struct Refusing;

    impl Process for Refusing {
        type Key = i64;
        type In = (i64, i64);
        type Out = i64;
        type State = i64;

        fn process(
            &self,
            _: &i64,
            (_, n): (i64, i64),
            sum: &mut i64,
            ctx: &mut Context<'_, i64>,
        ) -> Result<(), Reject> {
            *sum += n;
            ctx.set_timer(ctx.time() + 1_000_000);
            match n {
                0 => ctx.forget(),
                n if n < 0 => return Err(Reject::new("negative")),
                _ => ctx.emit(*sum),
            }
            Ok(())
        }
    }

    #[test]
    fn refused_and_forgotten_keys_leave_nothing() {
        let mut harness = Harness::process(2, |event: &(i64, i64)| event.0, || Refusing);
        for key in 0..100 {
            harness.push(0, (key, -1));
            harness.push(0, (key + 1_000, 5));
            harness.push(0, (key + 1_000, -7));
            harness.push(0, (key + 1_000, 2));
            harness.push(0, (key + 1_000, 0));
        }
        harness.watermark(10);
        assert_eq!(harness.dead().len(), 200);
        assert_eq!(harness.out(), [[5, 7]; 100].as_flattened());
        assert!(harness.is_empty());
        assert!(harness.kernels().all(|kernel| kernel.timers.is_empty() && kernel.keys.is_empty()));
    }

    const TTL: Millis = 100;

    /// Counts a key's events since its state was last new, and says so again 60 and 160 ms after each.
    struct Counting;

    impl Process for Counting {
        type Key = u8;
        type In = (Millis, u8);
        type Out = (Millis, u8, u32);
        type State = u32;

        fn ttl(&self) -> Option<Millis> {
            Some(TTL)
        }

        fn process(
            &self,
            key: &u8,
            (time, _): (Millis, u8),
            count: &mut u32,
            ctx: &mut Context<'_, Self::Out>,
        ) -> Result<(), Reject> {
            *count += 1;
            ctx.emit((time, *key, *count));
            ctx.set_timer(time + 60);
            ctx.set_timer(time + 160);
            Ok(())
        }

        fn on_timer(&self, key: &u8, count: &mut u32, ctx: &mut Context<'_, Self::Out>) -> Result<(), Reject> {
            ctx.emit((ctx.time(), *key, *count));
            Ok(())
        }
    }

    /// By the definition: a key's event more than the time-to-live after its last one begins anew, and no timer beyond
    /// its state's last moment comes.
    fn oracle(events: &[(Millis, u8)]) -> Vec<(Millis, u8, u32)> {
        let mut keys: BTreeMap<u8, Vec<Millis>> = BTreeMap::new();
        events.iter().for_each(|(time, key)| keys.entry(*key).or_default().push(*time));
        let mut out = Vec::new();
        for (key, mut times) in keys {
            times.sort();
            for life in times.chunk_by(|a, b| b - a <= TTL) {
                let last = life[life.len() - 1] + TTL;
                let timers: std::collections::BTreeSet<Millis> =
                    life.iter().flat_map(|at| [at + 60, at + 160]).filter(|at| *at <= last).collect();
                // A timer comes before the events of its own time.
                out.extend(timers.iter().map(|at| (*at, key, life.partition_point(|time| time < at) as u32)));
                out.extend((1..).zip(life).map(|(count, time)| (*time, key, count)));
            }
        }
        out.sort();
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn state_ends_with_its_time_to_live_wherever_epochs_are_cut(
            epochs in prop::collection::vec((prop::collection::vec((0i64..120, 0u8..4), 0..6), 0i64..150), 1..12),
            workers in 1usize..5, cut in 0usize..12, after in 1usize..5
        ) {
            let mut harness = Harness::process(workers, |event: &(Millis, u8)| event.1, || Counting);
            let (mut events, mut watermark) = (vec![], 0);
            for (number, (batch, step)) in epochs.into_iter().enumerate() {
                for (offset, key) in batch {
                    let event = (watermark + offset, key);
                    events.push(event);
                    harness.push(event.0, event);
                }
                watermark += step;
                harness.watermark(watermark);
                if number == cut {
                    harness.restore(after).unwrap();
                }
            }
            harness.watermark(watermark + 1_000);
            let mut out = harness.out();
            out.sort();
            prop_assert_eq!(out, oracle(&events));
            prop_assert!(harness.is_empty(), "nothing is left of idle keys");
        }
    }
}
