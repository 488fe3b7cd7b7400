//! Brings a source's records into the graph, epoch by epoch.

use crate::alignment::LAG;
use crate::checkpoint::epoch_log::{Take, Took};
use crate::checkpoint::{Participant, encode};
use crate::error::Error;
use crate::job::Job;
use crate::kernel::chunk;
use crate::partition::{Partition, Position};
use crate::plan::Node;
use crate::record::{Data, Record, Seq};
use crate::runtime::{Metrics, Runtime, count};
use crate::source::{ReadStatus, Reader, Source, SourceError, Timing};
use crate::stream::Stream;
use crate::ticker::Tick;
use crate::tide::{Mark, MarkState, tide};
use crate::time::{BEGINNING, END, Epoch, Millis};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// One epoch's tick, with the capabilities for records, marks and dead letters.
struct Waiting {
    epoch: Epoch,
    tick: Tick,
    caps: [Capability<Epoch>; 3],
}

pub(crate) fn ingest<'s, S, F>(
    job: &Job<'s>,
    name: &str,
    source: S,
    timing: Timing<S::Item, F>,
) -> Result<Stream<'s, S::Item>, Error>
where
    S: Source,
    F: Fn(&S::Item) -> Millis + 'static,
{
    let failed = |error: SourceError| Error::Source { source_name: name.to_owned(), reason: error.0 };
    let partitions = source.partitions().map_err(failed)?;
    if partitions == 0 {
        return Err(failed(SourceError::new("it has no partitions: there is nothing to read")));
    }
    let ids = job.take_partitions(name, partitions)?;
    let runtime = job.runtime();
    job.note_source(source.bounded());
    let restored = runtime.restored();
    if let Some(before) =
        restored.map(|restored| restored.partitions(name)).filter(|before| ![0, partitions].contains(before))
    {
        return Err(failed(SourceError::new(format!(
            "it has {partitions} partitions now, and had {before} when the checkpoint was made: give it the same ones, or \
             begin anew with `--restore none`"
        ))));
    }
    let mut participant = Participant::join(runtime.checkpoints.as_ref());
    let mut mine = Vec::new();
    for (index, &id) in ids.iter().enumerate() {
        if index % runtime.peers == runtime.worker {
            let mut position: Option<Position<S::Item>> =
                restored.map(|restored| restored.position(name, index)).transpose()?.flatten();
            let mut offset = position.as_ref().map_or(0, |position| position.offset);
            let mut ahead = VecDeque::new();
            if let Some(log) = runtime.log.as_ref().filter(|_| !source.seekable(index)) {
                ahead = position.as_mut().map_or_else(VecDeque::new, |position| std::mem::take(&mut position.ahead));
                ahead.extend(log.past().records(name, index, offset + ahead.len() as u64)?);
                offset += ahead.len() as u64;
            }
            let reader = source.open(index, offset).map_err(failed)?;
            let mut partition = Partition::new(index, id, source.seekable(index), reader);
            if let Some(position) = position {
                partition.recall(position);
            }
            partition.ahead = ahead;
            partition.again = runtime.log.as_ref().map_or_else(BTreeMap::new, |log| log.past().takes(name, index));
            mine.push(partition);
        }
    }
    if runtime.worker == 0 {
        runtime.shared.size.fetch_add(source.size().unwrap_or(0), Ordering::Relaxed);
    }
    if let Some(log) = runtime.log.as_ref().filter(|_| !(0..partitions).all(|index| source.seekable(index))) {
        if !log.possible() {
            return Err(failed(SourceError::new(
                "what it gives cannot be read again, so it goes into the epoch log, which needs a folder: give one as \
                 `--checkpoint-dir`",
            )));
        }
        log.unseekable.set(true);
    }
    let holds = timing.holds;
    let index = runtime.alignment.borrow_mut().add(holds);
    let metrics = runtime.metrics(name);

    let mut builder = OperatorBuilder::new(name.to_owned(), job.scope());
    let info = builder.operator_info();
    runtime.name_operator(info.global_id, name);
    let again = job.scope().activator_for(Rc::clone(&info.address));
    if let Some(log) = &runtime.log {
        log.join(job.scope().worker().sync_activator_for(info.address.to_vec()));
    }
    runtime.add_sleeper(job.scope().activator_for(info.address));
    let mut ticks = builder.new_input(job.ticks(), Pipeline);
    let (records_out, records) = builder.new_output();
    let (marks_out, marks) = builder.new_output();
    let (dead_out, dead) = builder.new_output();
    let mut records_out = OutputBuilder::<_, CapacityContainerBuilder<Vec<Record<S::Item>>>>::from(records_out);
    let mut marks_out = OutputBuilder::<_, CapacityContainerBuilder<Vec<Mark>>>::from(marks_out);
    let mut dead_out = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(dead_out);

    let (at_work, counted) = (Rc::clone(runtime), Rc::clone(&metrics));
    let mut reading = Reading { name: name.to_owned(), partitions: mine, timing, metrics, runtime: Rc::clone(runtime) };
    builder.build(move |capabilities| {
        drop(capabilities);
        let mut waiting: VecDeque<Waiting> = VecDeque::new();
        let mut unsafe_yet: VecDeque<Waiting> = VecDeque::new();
        move |_| {
            ticks.for_each_stamp(|cap, batches| {
                let retained = (cap.retain_least(0), cap.retain_least(1), cap.retain_least(2));
                if let (Some(a), Some(b), Some(c)) = retained {
                    for tick in batches.flat_map(|batch| batch.drain(..)) {
                        at_work.log.iter().for_each(|log| log.identify(tick));
                        at_work.shared.epochs.fetch_max(*a.time(), Ordering::Relaxed);
                        waiting.push_back(Waiting { epoch: *a.time(), tick, caps: [a.clone(), b.clone(), c.clone()] });
                    }
                }
            });
            let (mut records_out, mut marks_out, mut dead_out) =
                (records_out.activate(), marks_out.activate(), dead_out.activate());
            while let Some(epoch) = waiting.front().map(|waiting| waiting.epoch)
                && at_work.alignment.borrow().ready(epoch)
            {
                if !at_work.shared.failed() {
                    match at_work.inside(&counted, || reading.gather(epoch)) {
                        Ok(true) => {}
                        Ok(false) => {
                            again.activate_after(Duration::from_millis(1));
                            break;
                        }
                        Err(error) => {
                            at_work.shared.fail(Error::Source { source_name: reading.name.clone(), reason: error.0 })
                        }
                    }
                }
                let Some(Waiting { epoch, tick, caps }) = waiting.pop_front() else { break };
                if at_work.shared.failed() {
                    continue;
                }
                let mut records = records_out.session(&caps[0]);
                let mut marks = marks_out.session(&caps[1]);
                let mut dead = dead_out.session(&caps[2]);
                let (now, bound) = reading.runtime.alignment.borrow().bound(epoch, reading.timing.ahead);
                for at in 0..reading.partitions.len() {
                    let taken = at_work.inside(&counted, || {
                        reading.take(at, epoch, tick.wall, now, bound, |mut chunk| records.give_container(&mut chunk))
                    });
                    match taken {
                        Ok(mark) => {
                            for letter in reading.dead(at) {
                                dead.give(letter);
                            }
                            if let Some(mark) = mark {
                                marks.give(mark);
                            }
                        }
                        Err(error) => reading
                            .runtime
                            .shared
                            .fail(Error::Source { source_name: reading.name.clone(), reason: error.0 }),
                    }
                }
                if let Some(participant) = participant.as_mut().filter(|_| tick.checkpoint.is_some()) {
                    participant.announce(epoch);
                    participant.write(|written| written.facts.sources.extend(reading.positions()));
                }
                if let Some(log) = at_work.log.as_ref().filter(|log| log.on.get() && log.past().through < epoch) {
                    log.account(epoch, tick, reading.took());
                    drop((records, marks, dead));
                    unsafe_yet.push_back(Waiting { epoch, tick, caps });
                }
            }
            let safe = at_work.log.as_ref().map_or(0, |log| log.safe());
            if at_work.shared.failed() {
                unsafe_yet.clear();
            }
            while let Some(Waiting { epoch, .. }) = unsafe_yet.pop_front_if(|waiting| waiting.epoch <= safe) {
                reading.told_safe(epoch);
            }
            let held = unsafe_yet.front().or(waiting.front());
            reading.metrics.holding.set(held.map(|held| held.epoch));
        }
    });
    job.add_dead_letters(dead);
    let tides = tide(marks, ids, holds, index, name, runtime)?;
    let node = job.note(Node::new("source", Some(name), &[]));
    if !holds {
        job.note_control(node);
    }
    Ok(Stream::new(records, tides, job.clone(), node))
}

struct Reading<R: Reader, F> {
    name: String,
    partitions: Vec<Partition<R>>,
    timing: Timing<R::Item, F>,
    metrics: Rc<Metrics>,
    runtime: Rc<Runtime>,
}

impl<R: Reader<Item: Data>, F: Fn(&R::Item) -> Millis> Reading<R, F> {
    /// What a checkpoint must have of each partition.
    fn positions(&self) -> impl Iterator<Item = (String, u32, Vec<u8>, u64)> {
        self.partitions.iter().map(|partition| {
            let position = partition.position();
            (self.name.clone(), partition.index as u32, encode(&position), position.offset)
        })
    }

    /// Reads what the partitions took in `epoch` before, if it is formed again. Says whether all is there.
    fn gather(&mut self, epoch: Epoch) -> Result<bool, SourceError> {
        let mut there = true;
        for partition in &mut self.partitions {
            there &= partition.gather(epoch)?;
        }
        Ok(there)
    }

    /// What the partitions have taken in the epoch that was formed last, where that is anything.
    fn took(&mut self) -> Took {
        let mut took = Took::default();
        for partition in &mut self.partitions {
            let done = partition.status == ReadStatus::Done;
            let take = Take { read: partition.taken, done };
            if take.read > 0 || done != partition.ended {
                took.takes.push((self.name.clone(), partition.index as u32, take));
            }
            for chunk in partition.chunks.drain(..) {
                took.chunks.push((self.name.clone(), partition.index as u32, chunk));
            }
            partition.ended = done;
        }
        took
    }

    /// Everything through `epoch` is in the log.
    fn told_safe(&mut self, epoch: Epoch) {
        for partition in self.partitions.iter_mut().filter(|partition| !partition.seekable) {
            while let Some((_, given)) = partition.given.pop_front_if(|(of, _)| *of <= epoch) {
                partition.reader.safe(given);
            }
        }
    }

    /// Gives one partition's records of one epoch; returns its mark if that changed.
    fn take(
        &mut self,
        at: usize,
        epoch: Epoch,
        wall: Millis,
        slowest: Millis,
        bound: Millis,
        mut give: impl FnMut(Vec<Record<R::Item>>),
    ) -> Result<Option<Mark>, SourceError> {
        let limit = self.runtime.config.epoch_records;
        let partition = &mut self.partitions[at];
        partition.taken = 0;
        let log = self.runtime.log.as_ref();
        // What is taken in an epoch that is formed again has been gathered.
        if log.is_none_or(|log| log.past().through < epoch) {
            let logged = log.is_some_and(|log| log.on.get());
            partition.fill(limit, logged)?;
            if logged && !partition.seekable {
                partition.given.push_back((epoch, partition.by_reader));
            }
        }
        // The slowest partition is never held, or nothing would ever move.
        let free = !self.timing.holds || partition.watermark_at(epoch.saturating_sub(LAG)) <= slowest;
        let (items, time_of) = (&mut partition.batch.items, &self.timing.time);
        let held = if free { None } else { items.iter().position(|item| time_of(item) > bound) };
        if let Some(first) = held {
            partition.high = partition.high.max(time_of(&items[first]));
        }
        let given = held.unwrap_or(items.len());
        if let Some(punctuation) = &self.timing.punctuation {
            let promised = items[..given].iter().filter_map(|item| punctuation(item)).max();
            partition.promised = partition.promised.max(promised.unwrap_or(BEGINNING));
        }
        let mut records = items.drain(..given).map(|value| {
            let (time, seq) = (time_of(&value), Seq::new(partition.id, partition.number));
            partition.high = partition.high.max(time);
            partition.number += 1;
            Record { time, seq, value }
        });
        while records.len() > 0 {
            give(records.by_ref().take(chunk::<Record<R::Item>>()).collect());
        }
        drop(records);
        count(&self.metrics.given, given);
        self.runtime.shared.records.fetch_add(given as u64, Ordering::Relaxed);
        let progress = partition.reader.progress();
        self.runtime.shared.bytes.fetch_add(progress.saturating_sub(partition.progress), Ordering::Relaxed);
        partition.progress = progress;

        let empty = partition.batch.items.is_empty();
        if given > 0 || !empty || partition.active_at == BEGINNING {
            partition.active_at = wall;
        }
        let state = match self.timing.idle {
            _ if partition.status == ReadStatus::Done && empty => MarkState::Done,
            Some(idle) if wall.saturating_sub(partition.active_at) >= idle => MarkState::Idle,
            _ => MarkState::Active,
        };
        let watermark = match partition.high {
            _ if self.timing.punctuation.is_some() => partition.promised.min(END - 1),
            BEGINNING => BEGINNING,
            high => high.saturating_sub(self.timing.disorder).min(END - 1),
        };
        if partition.past.back().is_none_or(|(_, last)| *last != watermark) {
            partition.past.push_back((epoch, watermark));
        }
        let told = Some((watermark, state));
        Ok((told != partition.told).then(|| {
            partition.told = told;
            Mark { partition: partition.id, watermark, state }
        }))
    }

    /// The bad records of a partition read since the last call.
    fn dead(&mut self, at: usize) -> Vec<Record<crate::record::DeadLetter>> {
        let partition = &mut self.partitions[at];
        count(&self.metrics.dead, partition.batch.dead.len());
        let (id, number, high, name) = (partition.id, partition.number, partition.high, &self.name);
        let letters = partition.batch.dead.drain(..).enumerate().map(|(i, mut letter)| {
            letter.operator.clone_from(name);
            Record { time: high, seq: Seq::new(id, number).child(i), value: letter }
        });
        letters.collect()
    }
}
