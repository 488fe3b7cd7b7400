//! Rules that change while the job runs, at one epoch for all workers (broadcast state).

use std::collections::BTreeMap;
use tidemill::differential_dataflow::ExchangeData;
use tidemill::timely::container::CapacityContainerBuilder;
use tidemill::timely::dataflow::channels::pact::Pipeline;
use tidemill::timely::dataflow::operators::Capability;
use tidemill::timely::dataflow::operators::generic::OutputBuilder;
use tidemill::timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use tidemill::timely::dataflow::operators::vec::Broadcast;
use tidemill::{Collection, Data, Epoch, Record, Result, Stream};

/// Streams whose events can be judged by rules.
pub trait WithRules<'s, T: Data>: Sized {
    /// Applies rules that change while the job runs to each event: whatever `apply` makes of it, at its own time.
    ///
    /// The rules are a collection, kept for instance by a [`Maintain`](tidemill::Maintain) from a control source
    /// ([`Timing::control`](tidemill::Timing::control)), which does not hold the watermark. Every worker has all of them.
    /// A change takes effect with the epoch it comes in, for all of that epoch's events and on all workers. `index` makes of
    /// the rules what `apply` needs, once whenever they have changed.
    ///
    /// State: the rules. It needs no checkpoint, for a collection says its rows again after a restart.
    fn with_rules<R, I, U, O>(
        self,
        name: &str,
        rules: Collection<'s, R>,
        index: impl Fn(&[&R]) -> I + 'static,
        apply: impl Fn(&I, T) -> O + 'static,
    ) -> Result<Stream<'s, U>>
    where
        R: ExchangeData,
        I: 'static,
        U: Data,
        O: IntoIterator<Item = U>;
}

/// The rules as one worker knows them.
struct Rules<R, I> {
    rules: BTreeMap<R, isize>,
    /// Changes of epochs that are not over.
    coming: BTreeMap<Epoch, Vec<(R, isize)>>,
    index: I,
}

impl<R: Ord, I> Rules<R, I> {
    /// Makes the changes up to `epoch`.
    fn advance(&mut self, epoch: Epoch, index: &impl Fn(&[&R]) -> I) {
        let mut changed = false;
        while let Some(changes) = self.coming.first_entry().filter(|first| *first.key() <= epoch) {
            for (rule, diff) in changes.remove() {
                *self.rules.entry(rule).or_default() += diff;
            }
            changed = true;
        }
        if changed {
            self.rules.retain(|_, count| *count != 0);
            let true_now = self.rules.iter().filter(|(_, count)| **count > 0).map(|(rule, _)| rule);
            self.index = index(&true_now.collect::<Vec<_>>());
        }
    }
}

impl<'s, T: Data> WithRules<'s, T> for Stream<'s, T> {
    fn with_rules<R, I, U, O>(
        self,
        name: &str,
        rules: Collection<'s, R>,
        index: impl Fn(&[&R]) -> I + 'static,
        apply: impl Fn(&I, T) -> O + 'static,
    ) -> Result<Stream<'s, U>>
    where
        R: ExchangeData,
        I: 'static,
        U: Data,
        O: IntoIterator<Item = U>,
    {
        let job = self.job().clone();
        let mut builder = OperatorBuilder::new(name.to_owned(), job.scope());
        job.name_operator(name, builder.operator_info().global_id)?;
        let mut events = builder.new_input(self.inner(), Pipeline);
        let mut changes = builder.new_input(rules.inner().inner.clone().broadcast(), Pipeline);
        let (output, judged) = builder.new_output();
        let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Record<U>>>>::from(output);
        builder.build(move |capabilities| {
            drop(capabilities);
            let mut waiting: BTreeMap<Epoch, (Capability<Epoch>, Vec<Record<T>>)> = BTreeMap::new();
            let mut known = Rules { rules: BTreeMap::new(), coming: BTreeMap::new(), index: index(&[]) };
            move |frontiers| {
                changes.for_each_stamp(|_, batches| {
                    for (rule, epoch, diff) in batches.flat_map(|batch| batch.drain(..)) {
                        known.coming.entry(epoch).or_default().push((rule, diff));
                    }
                });
                events.for_each_stamp(|cap, batches| {
                    let Some(cap) = cap.retain_least(0) else { return };
                    let slot = waiting.entry(*cap.time()).or_insert_with(|| (cap, Vec::new()));
                    batches.for_each(|batch| slot.1.append(batch));
                });
                let mut output = output.activate();
                // Epoch by epoch, so that no event is judged by rules of a later one.
                while let Some(first) = waiting.first_entry() {
                    if frontiers.iter().any(|frontier| frontier.less_equal(first.key())) {
                        break;
                    }
                    let (epoch, (cap, records)) = first.remove_entry();
                    known.advance(epoch, &index);
                    output.session(&cap).give_iterator(records.into_iter().flat_map(|record| {
                        let Record { time, seq, value } = record;
                        let made = apply(&known.index, value).into_iter().enumerate();
                        made.map(move |(nth, value)| Record { time, seq: seq.child(nth), value }).collect::<Vec<_>>()
                    }));
                }
                // While no events come, changes do not pile up.
                let open = frontiers.iter().filter_map(|frontier| frontier.frontier().first().copied());
                let open = open.chain(waiting.keys().next().copied()).min();
                if let Some(last) = open.unwrap_or(Epoch::MAX).checked_sub(1) {
                    known.advance(last, &index);
                }
            }
        });
        Ok(Stream::from_inner(judged, &self).named(name, "rules").also_of_rows(&rules))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};
    use tidemill::{Config, Events, Maintain, Memory, Timing, execute};

    /// A rule: of this number, up to how much is allowed from now on.
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    struct Rule(i64, u32, i64);

    struct Latest;

    impl Maintain for Latest {
        type Key = u32;
        type In = Rule;
        type State = Option<Rule>;
        type Row = Rule;

        fn update(&self, _: &u32, latest: &mut Option<Rule>, rules: &mut Vec<Record<Rule>>) {
            *latest = rules.pop().map(|record| record.value);
        }

        fn rows(&self, _: &u32, latest: &Option<Rule>, rows: &mut Vec<Rule>) {
            rows.extend(latest.clone());
        }
    }

    /// One event and one rule an epoch: an event is judged by the rules of its own epoch, on every number of workers.
    #[test]
    fn a_rule_takes_effect_for_all_workers_with_its_epoch() {
        let payments: Vec<(i64, i64)> = (1..200).map(|n| (n, n * 37 % 100)).collect();
        let rules: Vec<Rule> = (1..150).map(|n| Rule(n, (n % 3) as u32, n * 53 % 100)).collect();
        let mut expected = vec![];
        for (n, amount) in &payments {
            let mut limits = BTreeMap::new();
            limits.extend(rules.iter().take(*n as usize).map(|rule| (rule.1, rule.2)));
            expected.extend(limits.values().filter(|limit| amount > limit).map(|limit| (*n, *amount, *limit)));
        }
        expected.sort();
        for workers in [1, 2, 4] {
            let out = Memory::new();
            let (to_out, payments, rules) = (out.clone(), payments.clone(), rules.clone());
            execute(Config { epoch_records: 1, ..Config::workers(workers) }, move |job| {
                let payments =
                    job.source("payments", Events::new(payments.clone()), Timing::by(|p: &(i64, i64)| p.0))?;
                let rules =
                    job.source("rules", Events::new(rules.clone()), Timing::by(|rule: &Rule| rule.0).control())?;
                let rules = rules.key_by(|rule| rule.1).maintain("latest rules", Latest)?;
                let limits = |rules: &[&Rule]| rules.iter().map(|rule| rule.2).collect::<Vec<i64>>();
                let over = |limits: &Vec<i64>, (n, amount): (i64, i64)| {
                    let over = limits.iter().filter(|limit| amount > **limit);
                    over.map(|limit| (n, amount, *limit)).collect::<Vec<_>>()
                };
                payments.with_rules("limits", rules, limits, over)?.sink("out", to_out.clone())
            })
            .unwrap();
            let mut out = out.values();
            out.sort();
            assert_eq!(out, expected, "{workers} workers");
        }
    }
}
