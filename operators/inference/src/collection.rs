//! `infer` on a collection: each row's score is kept while the row is true.

use crate::infer::{Infer, Out, ScoreOf, give};
use crate::lane::{Lane, waker};
use crate::model::Model;
use crate::pool::Pool;
use crate::score::{Answer, Quantised};
use rustc_hash::FxHashMap;
use std::cell::OnceCell;
use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;
use std::rc::Rc;
use tidemill::differential_dataflow::VecCollection;
use tidemill::differential_dataflow::consolidation::consolidate;
use tidemill::hash::stable_hash;
use tidemill::time::BEGINNING;
use tidemill::timely::dataflow::channels::pact::Exchange;
use tidemill::timely::dataflow::operators::Capability;
use tidemill::timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use tidemill::{Collection, Data, DeadLetter, Epoch, Record, Result, Seq, count};

/// A row's score, once it is known; `None` if the model's answer is none.
type Slot<S> = Rc<OnceCell<Option<S>>>;

/// A row that is true now: how many times, and its score.
struct Held<S> {
    count: isize,
    slot: Slot<S>,
}

/// A change of a row's count.
struct Change<D, S> {
    row: D,
    diff: isize,
    slot: Slot<S>,
    /// Whether the model is asked about the row because of this change.
    new: bool,
}

/// An epoch's changes, and the capabilities for their scores and for dead letters.
struct Changes<C> {
    caps: [Capability<Epoch>; 2],
    changes: Vec<C>,
}

/// The rows that are true after the last epoch that has closed.
struct Rows<D, S>(FxHashMap<D, Held<S>>);

impl<D: Ord + Hash + Clone, S> Rows<D, S> {
    /// Applies an epoch's changes, in the order of the rows. Epochs come in order, but may come
    /// before the answers for earlier ones: changes of a row share its slot.
    fn apply(&mut self, mut changes: Vec<(D, isize)>) -> Vec<Change<D, S>> {
        consolidate(&mut changes);
        let apply = |(row, diff)| match self.0.get_mut(&row) {
            Some(held) => {
                held.count += diff;
                let (gone, slot) = (held.count == 0, Rc::clone(&held.slot));
                if gone {
                    self.0.remove(&row);
                }
                Change { row, diff, slot, new: false }
            }
            None => {
                let slot = Slot::default();
                let held = Held { count: diff, slot: Rc::clone(&slot) };
                self.0.insert(row.clone(), held);
                Change { row, diff, slot, new: true }
            }
        };
        changes.into_iter().map(apply).collect()
    }
}

impl<'s, D: Data + Ord + Hash> Infer<'s> for Collection<'s, D> {
    type Item = D;
    type Scored<S: Quantised> = Collection<'s, (D, S)>;

    fn infer<M: Model>(
        self,
        name: &str,
        pool: &Pool<M>,
        features: impl Fn(&D) -> M::In + 'static,
    ) -> Result<Collection<'s, (D, ScoreOf<M>)>> {
        let job = self.job().clone();
        let threads = pool.start(&job, name)?;

        let mut builder = OperatorBuilder::new(name.to_owned(), job.scope());
        let info = builder.operator_info();
        let mut lane = Lane::new(pool, threads, waker(&job, &info.address), job.stopper(name));
        let route = Exchange::new(|(row, _, _): &(D, Epoch, isize)| stable_hash(row));
        let mut input = builder.new_input(self.inner().inner, route);
        let (scored_out, scored) = builder.new_output();
        let (dead_out, dead) = builder.new_output();
        let mut scored_out: Out<((D, ScoreOf<M>), Epoch, isize)> = Out::from(scored_out);
        let mut dead_out: Out<Record<DeadLetter>> = Out::from(dead_out);
        let operator = name.to_owned();
        let metrics = job.metrics(name);

        builder.build(move |capabilities| {
            drop(capabilities);
            let mut rows = Rows(FxHashMap::default());
            let mut open: BTreeMap<Epoch, Changes<(D, isize)>> = BTreeMap::new();
            let mut asked: VecDeque<Changes<Change<D, ScoreOf<M>>>> = VecDeque::new();
            let (mut good, mut bad) = (Vec::new(), Vec::new());
            move |frontiers| {
                input.for_each_stamp(|cap, batches| {
                    // A message may hold rows of later epochs than its own: each goes to its own.
                    for (row, epoch, diff) in batches.flat_map(|batch| batch.drain(..)) {
                        let slot = open.entry(epoch).or_insert_with(|| Changes {
                            caps: [cap.delayed(&epoch, 0), cap.delayed(&epoch, 1)],
                            changes: Vec::new(),
                        });
                        slot.changes.push((row, diff));
                    }
                });
                while let Some(entry) = open.first_entry() {
                    if frontiers[0].less_equal(entry.key()) {
                        break;
                    }
                    let Changes { caps, changes } = entry.remove();
                    count(&metrics.taken, changes.len());
                    let changes = rows.apply(changes);
                    let new = changes.iter().filter(|change| change.new);
                    lane.push(new.map(|change| features(&change.row)));
                    asked.push_back(Changes { caps, changes });
                }
                lane.turn();
                while let Some(Changes { caps, changes }) = asked.front_mut() {
                    let new = changes.iter().filter(|change| change.new).count();
                    let Some(mut answers) = lane.take(new) else { break };
                    let epoch = *caps[0].time();
                    for Change { row, diff, slot, new } in changes.drain(..) {
                        if new && let Some(answer) = answers.next() {
                            let score = answer.quantise();
                            if let Err(wrong) = &score {
                                let value = DeadLetter::of(&operator, &row, wrong.to_string());
                                let seq = Seq::new(u16::MAX, stable_hash(&row));
                                bad.push(Record { time: BEGINNING, seq, value });
                            }
                            // Set here only, and once: a row is new once for each slot.
                            let _ = slot.set(score.ok());
                        }
                        if let Some(Some(score)) = slot.get() {
                            good.push(((row, score.clone()), epoch, diff));
                        }
                    }
                    drop(answers);
                    count(&metrics.given, good.len());
                    count(&metrics.dead, bad.len());
                    give(&mut scored_out, &caps[0], &mut good);
                    give(&mut dead_out, &caps[1], &mut bad);
                    asked.pop_front();
                }
                metrics.holds(asked.front().map(|changes| *changes.caps[0].time()));
            }
        });
        // Only now: an operator that is begun and not built leaves a scope that cannot be.
        job.name_operator(name, info.global_id)?;
        job.add_dead_letters(dead);
        let scored = job.wait_for(scored);
        Ok(self.then(|_| VecCollection::new(scored)).named(name, "infer"))
    }
}
