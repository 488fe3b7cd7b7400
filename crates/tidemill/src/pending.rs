//! Records that wait for the watermark.

use crate::kernel::passed;
use crate::{Millis, Record};
use std::collections::BTreeMap;

/// Records that an operator has been given before the watermark has passed them. They lie in buckets of event time, so
/// that an epoch looks at those that it releases and not at all that wait: where a watermark is a second behind, that is a
/// hundred epochs of them.
pub(crate) struct Pending<T>(BTreeMap<Millis, Vec<Record<T>>>);

/// Event time that a bucket spans, in ms: about what passes in a few epochs of a live job.
const SPAN: Millis = 32;

impl<T> Pending<T> {
    pub fn new() -> Self {
        Pending(BTreeMap::new())
    }

    pub fn add(&mut self, record: Record<T>) {
        self.0.entry(record.time.div_euclid(SPAN)).or_default().push(record);
    }

    /// Takes out what the watermark has passed, in no order.
    pub fn release(&mut self, watermark: Millis) -> Vec<Record<T>> {
        let mut ready = Vec::new();
        while let Some(mut first) = self.0.first_entry() {
            let is_over = passed((first.key() + 1).saturating_mul(SPAN) - 1, watermark);
            if is_over {
                ready.append(&mut first.remove());
                continue;
            }
            ready.extend(first.get_mut().extract_if(.., |record| passed(record.time, watermark)));
            if first.get().is_empty() {
                first.remove();
            }
            break;
        }
        ready
    }

    pub fn iter(&self) -> impl Iterator<Item = &Record<T>> {
        self.0.values().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seq;
    use crate::time::END;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_the_watermark_passes_comes_out_once(
            epochs in prop::collection::vec((prop::collection::vec(-200i64..200, 0..20), 0i64..90), 1..20),
        ) {
            let (mut pending, mut waits, mut watermark, mut number) = (Pending::new(), Vec::new(), -200, 0);
            let out = |ready: Vec<Record<()>>| {
                let mut out: Vec<(Millis, Seq)> = ready.into_iter().map(|record| (record.time, record.seq)).collect();
                out.sort();
                out
            };
            for (times, step) in epochs {
                for time in times {
                    number += 1;
                    let record = Record { time: watermark + time.abs(), seq: Seq::new(0, number), value: () };
                    waits.push((record.time, record.seq));
                    pending.add(record);
                }
                watermark += step;
                let mut due: Vec<_> = waits.extract_if(.., |(time, _)| *time < watermark).collect();
                due.sort();
                prop_assert_eq!(out(pending.release(watermark)), due);
                prop_assert_eq!(pending.iter().count(), waits.len());
            }
            pending.add(Record { time: END, seq: Seq::new(0, 0), value: () });
            pending.add(Record { time: Millis::MIN, seq: Seq::new(0, 0), value: () });
            prop_assert_eq!(pending.release(END).len(), waits.len() + 2);
            prop_assert_eq!(pending.iter().count(), 0);
        }
    }
}
