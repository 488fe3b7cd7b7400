//! `infer` on a stream: each event is scored once.

use crate::infer::{Infer, Out, ScoreOf, give};
use crate::lane::{Lane, waker};
use crate::model::Model;
use crate::pool::Pool;
use crate::score::{Answer, Quantised};
use std::collections::{BTreeMap, VecDeque};
use tidemill::timely::dataflow::channels::pact::Pipeline;
use tidemill::timely::dataflow::operators::Capability;
use tidemill::timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use tidemill::{Data, DeadLetter, Epoch, Record, Result, Stream, count};

/// An epoch's events, and the capabilities for their scores and for dead letters.
struct Events<T> {
    caps: [Capability<Epoch>; 2],
    records: Vec<Record<T>>,
}

impl<'s, T: Data> Infer<'s> for Stream<'s, T> {
    type Item = T;
    type Scored<S: Quantised> = Stream<'s, (T, S)>;

    fn infer<M: Model>(
        self,
        name: &str,
        pool: &Pool<M>,
        features: impl Fn(&T) -> M::In + 'static,
    ) -> Result<Stream<'s, (T, ScoreOf<M>)>> {
        let job = self.job().clone();
        let threads = pool.start(&job, name)?;

        let mut builder = OperatorBuilder::new(name.to_owned(), job.scope());
        let info = builder.operator_info();
        let mut lane = Lane::new(pool, threads, waker(&job, &info.address), job.stopper(name));
        let mut input = builder.new_input(self.inner(), Pipeline);
        let (scored_out, scored) = builder.new_output();
        let (dead_out, dead) = builder.new_output();
        let mut scored_out: Out<Record<(T, ScoreOf<M>)>> = Out::from(scored_out);
        let mut dead_out: Out<Record<DeadLetter>> = Out::from(dead_out);
        let operator = name.to_owned();
        let metrics = job.metrics(name);

        builder.build(move |capabilities| {
            drop(capabilities);
            let mut open: BTreeMap<Epoch, Events<T>> = BTreeMap::new();
            let mut asked: VecDeque<Events<T>> = VecDeque::new();
            let (mut good, mut bad) = (Vec::new(), Vec::new());
            move |frontiers| {
                input.for_each_stamp(|cap, batches| {
                    let Some(&epoch) = cap.least() else { return };
                    let slot = open.entry(epoch).or_insert_with(|| Events {
                        caps: [cap.delayed(&epoch, 0), cap.delayed(&epoch, 1)],
                        records: Vec::new(),
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
                    lane.push(epoch.records.iter().map(|record| features(&record.value)));
                    asked.push_back(epoch);
                }
                lane.turn();
                while let Some(epoch) = asked.front_mut() {
                    let Some(answers) = lane.take(epoch.records.len()) else {
                        break;
                    };
                    for (record, answer) in epoch.records.drain(..).zip(answers) {
                        let Record { time, seq, value } = record;
                        match answer.quantise() {
                            Ok(score) => good.push(Record { time, seq, value: (value, score) }),
                            Err(wrong) => {
                                let value = DeadLetter::of(&operator, &value, wrong.to_string());
                                bad.push(Record { time, seq, value });
                            }
                        }
                    }
                    count(&metrics.given, good.len());
                    count(&metrics.dead, bad.len());
                    give(&mut scored_out, &epoch.caps[0], &mut good);
                    give(&mut dead_out, &epoch.caps[1], &mut bad);
                    asked.pop_front();
                }
                metrics.holds(asked.front().map(|epoch| *epoch.caps[0].time()));
            }
        });
        // Only now: an operator that is begun and not built leaves a scope that cannot be.
        job.name_operator(name, info.global_id)?;
        job.add_dead_letters(dead);
        Ok(Stream::from_inner(job.wait_for(scored), &self).named(name, "infer"))
    }
}
