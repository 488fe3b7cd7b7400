//! The operator that asks a model about the records of a stream.

use crate::infer::ScoreOf;
use crate::lane::{Lane, waker};
use crate::model::Model;
use crate::pool::Pool;
use crate::score::{Answer, NotAScore};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use tidemill::timely::Container;
use tidemill::timely::container::CapacityContainerBuilder;
use tidemill::timely::dataflow::channels::pact::Pipeline;
use tidemill::timely::dataflow::operators::Capability;
use tidemill::timely::dataflow::operators::generic::OutputBuilder;
use tidemill::timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use tidemill::{Answers, Data, DeadLetter, Epoch, Record, Result, Stream, count};

/// Why a record has no score.
#[derive(Clone, Debug, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Unscored {
    #[error("the model was not asked")]
    NotAsked,
    #[error("{0}")]
    Wrong(NotAScore),
}

/// An epoch's records, and the capabilities for what becomes of them and for dead letters.
struct Open<T, S> {
    caps: [Capability<Epoch>; 2],
    records: Vec<Record<T>>,
    /// Of those that are scored, in their order, the scores that are known; nothing where none can be.
    known: Vec<Option<Scored<S>>>,
    /// About how many of them the model is asked.
    about: usize,
}

/// A score, or why an answer is none.
type Scored<S> = std::result::Result<S, NotAScore>;

/// Asks the model of `pool` about the `features` of the records of `stream` that it `asks` about, on the worker where they
/// are, and gives all of them on in the same epoch, at the same time and place: as what `outcome` makes of them, or as
/// dead letters.
pub(crate) fn ask<'s, T: Data, U: Clone + 'static, M: Model>(
    stream: &Stream<'s, T>,
    name: &str,
    pool: &Pool<M>,
    asks: impl Fn(&T) -> bool + 'static,
    features: impl Fn(&T) -> M::In + 'static,
    outcome: impl Fn(T, Result<ScoreOf<M>, Unscored>) -> Result<U, DeadLetter> + 'static,
) -> Result<Stream<'s, U>> {
    let job = stream.job().clone();
    let threads = pool.start(&job, name)?;
    let mut log: Answers<Scored<ScoreOf<M>>> = job.answers(name)?;

    let mut builder = OperatorBuilder::new(name.to_owned(), job.scope());
    let info = builder.operator_info();
    let mut lane = Lane::new(pool, threads, waker(&job, &info.address), job.stopper(name));
    log.wake_by(waker(&job, &info.address));
    let mut input = builder.new_input(stream.inner(), Pipeline);
    let (out, given) = builder.new_output();
    let (dead_out, dead) = builder.new_output();
    let mut out: Out<Record<U>> = Out::from(out);
    let mut dead_out: Out<Record<DeadLetter>> = Out::from(dead_out);
    let metrics = job.metrics(name);

    builder.build(move |capabilities| {
        drop(capabilities);
        let mut open: BTreeMap<Epoch, Open<T, ScoreOf<M>>> = BTreeMap::new();
        let mut asked: VecDeque<Open<T, ScoreOf<M>>> = VecDeque::new();
        let mut unsafe_yet: VecDeque<(u64, [Capability<Epoch>; 2])> = VecDeque::new();
        let (mut good, mut bad, mut new) = (Vec::new(), Vec::new(), Vec::new());
        move |frontiers| {
            input.for_each_stamp(|cap, batches| {
                let Some(&epoch) = cap.least() else { return };
                let slot = open.entry(epoch).or_insert_with(|| Open {
                    caps: [cap.delayed(&epoch, 0), cap.delayed(&epoch, 1)],
                    records: Vec::new(),
                    known: Vec::new(),
                    about: 0,
                });
                for batch in batches {
                    slot.records.append(batch);
                }
            });
            while let Some(entry) = open.first_entry() {
                if frontiers[0].less_equal(entry.key()) {
                    break;
                }
                let mut epoch = entry.remove();
                epoch.records.sort_by_key(|record| (record.time, record.seq));
                count(&metrics.taken, epoch.records.len());
                let number = *epoch.caps[0].time();
                let scored = || epoch.records.iter().map(|record| &record.value).filter(|value| asks(value));
                if log.on() {
                    epoch.known = scored().map(|value| log.known(number, value)).collect();
                    epoch.about = epoch.known.iter().filter(|known| known.is_none()).count();
                    let unknown = scored().zip(&epoch.known).filter(|(_, known)| known.is_none());
                    lane.push(epoch.about, unknown.map(|(value, _)| features(value)));
                } else {
                    epoch.about = scored().count();
                    lane.push(epoch.about, scored().map(&features));
                }
                asked.push_back(epoch);
            }
            lane.turn();
            while let Some(epoch) = asked.front_mut() {
                let Some(mut answers) = lane.take(epoch.about) else { break };
                let mut known = epoch.known.drain(..);
                for Record { time, seq, value } in epoch.records.drain(..) {
                    let score = match asks(&value).then(|| known.next().flatten()) {
                        None => Err(Unscored::NotAsked),
                        Some(Some(known)) => known.map_err(Unscored::Wrong),
                        Some(None) => match answers.next().map(Answer::quantise) {
                            None => Err(Unscored::NotAsked),
                            Some(score) => {
                                if log.on() {
                                    new.push((log.name_of(&value), score.clone()));
                                }
                                score.map_err(Unscored::Wrong)
                            }
                        },
                    };
                    match outcome(value, score) {
                        Ok(value) => good.push(Record { time, seq, value }),
                        Err(value) => bad.push(Record { time, seq, value }),
                    }
                }
                drop((answers, known));
                count(&metrics.given, good.len());
                count(&metrics.dead, bad.len());
                give(&mut out, &epoch.caps[0], &mut good);
                give(&mut dead_out, &epoch.caps[1], &mut bad);
                if log.on() {
                    let kept = log.keep(*epoch.caps[0].time(), std::mem::take(&mut new));
                    unsafe_yet.push_back((kept, epoch.caps.clone()));
                }
                asked.pop_front();
            }
            let safe = log.safe();
            while unsafe_yet.pop_front_if(|(kept, _)| *kept <= safe).is_some() {}
            metrics.holds(asked.front().map(|epoch| *epoch.caps[0].time()));
        }
    });
    // Only now: an operator that is begun and not built leaves a scope that cannot be.
    job.name_operator(name, info.global_id)?;
    job.add_dead_letters(dead);
    Ok(Stream::from_inner(job.wait_for(given), stream).named(name, "infer"))
}

/// An output of containers of `D`.
type Out<D> = OutputBuilder<Epoch, CapacityContainerBuilder<Vec<D>>>;

/// Sends everything in `items`, and keeps the allocation if the channel gives it back.
fn give<D: Clone + 'static>(out: &mut Out<D>, cap: &Capability<Epoch>, items: &mut Vec<D>)
where
    Vec<D>: Container,
{
    if !items.is_empty() {
        out.activate().session(cap).give_container(items);
        items.clear();
    }
}
