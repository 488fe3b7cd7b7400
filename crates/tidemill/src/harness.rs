//! Tests an operator without a cluster: push events, move the watermark, close epochs, snapshot
//! and restore in the middle, and look at what came out.
//!
//! [`Harness`] tests what is written against the engine's traits, [`Derived`] what differential's operators derive from a
//! collection.

mod derived;
mod ledger;

pub use derived::Derived;
pub use ledger::Ledger;

use crate::hash::{group_of, owner_of, stable_hash};
use crate::kernel::{Emit, Kernel, Machine, Saving, StateError};
use crate::maintain::{Maintain, MaintainKernel};
use crate::process::{Process, ProcessKernel};
use crate::record::{DeadLetter, Record, Seq};
use crate::save::{Change, Save, Saved};
use crate::stream::Key;
use crate::time::{Epoch, Millis};
use std::collections::BTreeMap;
use std::rc::Rc;

/// One operator under test, on as many pretended workers as wanted.
///
/// ```
/// use tidemill::harness::Harness;
/// # use tidemill::{Context, Process, Reject};
/// # struct Count;
/// # impl Process for Count {
/// #     type Key = u32; type In = u32; type Out = (u32, u64); type State = u64;
/// #     fn process(&self, key: &u32, _: u32, n: &mut u64, ctx: &mut Context<'_, Self::Out>) -> Result<(), Reject> {
/// #         *n += 1;
/// #         Ok(ctx.emit((*key, *n)))
/// #     }
/// # }
/// let mut harness = Harness::process(2, |event: &u32| *event, || Count);
/// harness.push(1_000, 7);
/// harness.push(500, 7);
/// harness.watermark(2_000);
/// assert_eq!(harness.out(), [(7, 1), (7, 2)]);
/// harness.restore(3).unwrap(); // on three workers now
/// harness.push(3_000, 7);
/// harness.watermark(4_000);
/// assert_eq!(harness.out(), [(7, 3)]);
/// ```
pub struct Harness<N: Kernel> {
    make: Rc<dyn Fn() -> N>,
    group: Rc<dyn Fn(&N::In) -> u8>,
    machines: Vec<Machine<N>>,
    pushed: Vec<Record<N::In>>,
    number: u64,
    epoch: Epoch,
    watermark: Millis,
    emitted: Emit<N::In, N::Out>,
    written: Written,
    /// The same again, written down whole at the end of each epoch: what slices that come later are compared with.
    twins: Vec<Machine<N>>,
    whole: Written,
}

/// What an operator has written down, by group and place.
#[derive(Default, PartialEq)]
struct Written {
    state: BTreeMap<(u8, Vec<u8>), Vec<u8>>,
    waiting: BTreeMap<(u8, Vec<u8>), Vec<u8>>,
}

impl Written {
    fn add(&mut self, saved: Saving) {
        let waiting = (&mut self.waiting, vec![saved.waiting]);
        for (written, saves) in [(&mut self.state, saved.state), waiting] {
            for Change { group, key, value } in saves.iter().flat_map(Save::entries) {
                match value {
                    Some(value) => _ = written.insert((group, key.to_vec()), value.to_vec()),
                    None => _ = written.remove(&(group, key.to_vec())),
                }
            }
        }
    }

    /// What has changed, in one go.
    fn write<N: Kernel>(&mut self, machine: &mut Machine<N>) -> Result<(), StateError> {
        let saved = machine.begin_save(|_| Save::new(false))?;
        saved.into_iter().for_each(|saved| self.add(saved));
        Ok(())
    }

    /// All that a machine has begun to write.
    fn finish<N: Kernel>(&mut self, machine: &mut Machine<N>) -> Result<(), StateError> {
        if let Some(saved) = machine.save_more(|goes_on| Save::slice(goes_on, None, Save::default()))? {
            self.add(saved);
        }
        Ok(())
    }
}

impl<N: Kernel> Harness<N> {
    /// Tests a kernel, keyed by `key`, on `workers`. `make` makes it, also after a restore, and each time twice: one of the
    /// two is written down in slices while it goes on, the other whole, to compare them.
    pub fn kernel<K: Key>(workers: usize, key: impl Fn(&N::In) -> K + 'static, make: impl Fn() -> N + 'static) -> Self {
        let group: Rc<dyn Fn(&N::In) -> u8> = Rc::new(move |event| group_of(stable_hash(&key(event))));
        let mut harness = Harness {
            make: Rc::new(make),
            group,
            machines: Vec::new(),
            pushed: Vec::new(),
            number: 0,
            epoch: 0,
            watermark: crate::time::BEGINNING,
            emitted: Emit::default(),
            written: Written::default(),
            twins: Vec::new(),
            whole: Written::default(),
        };
        (harness.machines, harness.twins) = (harness.machines(workers), harness.machines(workers));
        harness
    }

    fn machines(&self, workers: usize) -> Vec<Machine<N>> {
        let machine = |_| {
            let group = Rc::clone(&self.group);
            Machine::new((self.make)(), move |event| group(event))
        };
        (0..workers.max(1)).map(machine).collect()
    }

    /// An event at `time` arrives in the epoch that is open.
    pub fn push(&mut self, time: Millis, value: N::In) {
        let seq = Seq::new(0, self.number);
        self.number += 1;
        self.pushed.push(Record { time, seq, value });
    }

    /// The same for an event whose place is known: one that takes back another has the place of that one.
    pub fn push_at(&mut self, time: Millis, seq: Seq, value: N::In) {
        self.pushed.push(Record { time, seq, value });
    }

    /// Closes the epoch with the watermark where it was.
    pub fn close_epoch(&mut self) {
        self.watermark(self.watermark);
    }

    /// Closes the epoch with the watermark at `watermark` (never back).
    pub fn watermark(&mut self, watermark: Millis) {
        self.watermark = self.watermark.max(watermark);
        self.epoch += 1;
        let workers = self.machines.len();
        let mut batches: Vec<Vec<Record<N::In>>> = (0..workers).map(|_| Vec::new()).collect();
        for record in self.pushed.drain(..) {
            batches[owner_of((self.group)(&record.value), workers)].push(record);
        }
        let written = self.advance(batches);
        if let Err(error) = written {
            panic!("{error}");
        }
    }

    /// Closes an epoch, and has it written down: in the smallest slices, of which the first comes now and the others when
    /// another epoch has been closed.
    fn advance(&mut self, batches: Vec<Vec<Record<N::In>>>) -> Result<(), StateError> {
        let (epoch, after) = (self.epoch, Some(self.watermark));
        let twice = batches.clone();
        for (machine, batch) in self.machines.iter_mut().zip(batches) {
            machine.close(epoch, after, vec![batch], &mut self.emitted);
            self.written.finish(machine)?;
        }
        self.compare();
        for (twin, batch) in self.twins.iter_mut().zip(twice) {
            twin.close(epoch, after, vec![batch], &mut Emit::default());
            self.whole.write(twin)?;
        }
        for machine in &mut self.machines {
            machine.begin_save(Save::sliver)?.into_iter().for_each(|saved| self.written.add(saved));
        }
        Ok(())
    }

    /// Writes down the rest of the last epoch.
    fn write_down(&mut self) -> Result<(), StateError> {
        for machine in &mut self.machines {
            self.written.finish(machine)?;
        }
        self.compare();
        Ok(())
    }

    fn compare(&self) {
        assert!(
            self.written == self.whole,
            "what was written in slices is not the state as it was when the first was written: keep state in `Keys`, or              write it where `Save::begins` says so"
        );
    }

    /// Throws the operator away and makes it again on `workers` from what it has written down, epoch by epoch, which must
    /// be all it has. A maintained operator says its rows again; they are taken out here and returned.
    ///
    /// Panics if what it wrote of changes does not make what it writes of everything: a change went unnoticed.
    pub fn restore(&mut self, workers: usize) -> Result<Vec<N::Out>, StateError> {
        self.write_down()?;
        let mut all = Written::default();
        for machine in &mut self.machines {
            all.add(machine.save_all()?);
        }
        let mut said = Emit::default();
        let (machines, again) = self.read_back(&self.written, workers, &mut said)?;
        // Part of what was written may not be needed any more, and be dropped when it is read.
        assert!(
            all == self.written || again == self.read_back(&all, workers, &mut Emit::default())?.1,
            "changes of state were not written down: use `Keys`, and change it by its methods"
        );
        (self.twins, self.whole) = self.read_back(&self.written, workers, &mut Emit::default())?;
        (self.machines, self.written) = (machines, again);
        Ok(said.out)
    }

    /// Makes the operator of what was written down. What is read back may be written in other bytes: a hash map in another
    /// order.
    fn read_back(
        &self,
        written: &Written,
        workers: usize,
        said: &mut Emit<N::In, N::Out>,
    ) -> Result<(Vec<Machine<N>>, Written), StateError> {
        let mut machines = self.machines(workers);
        for machine in &mut machines {
            machine.resume(self.watermark);
        }
        for ((group, key), value) in &written.state {
            let machine = &mut machines[owner_of(*group, workers)];
            let version = machine.kernel.version();
            machine.load(self.epoch, Saved { version, key, value }, said)?;
        }
        for ((group, _), value) in &written.waiting {
            machines[owner_of(*group, workers)].load_waiting(*group, value)?;
        }
        let mut again = Written::default();
        for machine in &mut machines {
            machine.loaded(self.epoch, said)?;
            again.add(machine.save_all()?);
        }
        Ok((machines, again))
    }

    /// Whether the operator holds no state of any key.
    ///
    /// Panics if its state cannot be encoded.
    pub fn is_empty(&mut self) -> bool {
        if let Err(error) = self.write_down() {
            panic!("{error}");
        }
        self.written == Written::default()
    }

    #[cfg(test)]
    pub(crate) fn kernels(&self) -> impl Iterator<Item = &N> {
        self.machines.iter().map(|machine| &machine.kernel)
    }

    /// Takes out everything emitted so far, as the operator gave it.
    pub fn emitted(&mut self) -> Vec<N::Out> {
        std::mem::take(&mut self.emitted.out)
    }

    /// Takes out the events that came too late.
    pub fn late(&mut self) -> Vec<N::In> {
        std::mem::take(&mut self.emitted.late).into_iter().map(|record| record.value).collect()
    }

    /// Takes out the events that were refused.
    pub fn dead(&mut self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.emitted.dead).into_iter().map(|record| record.value).collect()
    }
}

impl<U, N: Kernel<Out = Record<U>>> Harness<N> {
    /// Takes out the events emitted so far, in order of event time.
    pub fn out(&mut self) -> Vec<U> {
        let mut out = std::mem::take(&mut self.emitted.out);
        out.sort_by_key(|record| (record.time, record.seq));
        out.into_iter().map(|record| record.value).collect()
    }
}

impl<R: Ord, N: Kernel<Out = (R, Epoch, isize)>> Harness<N> {
    /// Takes out the changes of rows so far as `(epoch, row, diff)`, sorted.
    pub fn changes(&mut self) -> Vec<(Epoch, R, isize)> {
        let changes = std::mem::take(&mut self.emitted.out).into_iter();
        let mut changes: Vec<_> = changes.map(|(row, epoch, diff)| (epoch, row, diff)).collect();
        changes.sort();
        changes
    }
}

impl<P: Process, F: Fn(&P::In) -> P::Key + Clone + 'static> Harness<ProcessKernel<P, F>> {
    /// Tests a [`Process`].
    pub fn process(workers: usize, key: F, make: impl Fn() -> P + 'static) -> Self {
        let keyed = key.clone();
        Self::kernel(workers, key, move || ProcessKernel::new("operator under test", keyed.clone(), make()))
    }
}

impl<M: Maintain, F: Fn(&M::In) -> M::Key + Clone + 'static> Harness<MaintainKernel<M, F>> {
    /// Tests a [`Maintain`].
    pub fn maintain(workers: usize, key: F, make: impl Fn() -> M + 'static) -> Self {
        let keyed = key.clone();
        Self::kernel(workers, key, move || MaintainKernel::new(keyed.clone(), make()))
    }
}
