//! Lines that were sent twice.

use std::collections::BTreeMap;
use tidemill::time::show;
use tidemill::{Closing, Emit, Kernel, Keys, Millis, Order, Record, Save, Saved, StateError, type_name};

use crate::clean::{Checked, Dropped, Reason, Verdict};

/// Lets the first line of an id through. An id is remembered until the watermark is `remember` ms past the first line's time, or
/// past where it was when a late one came, and then until the end of the span of an eighth of that, for spans are forgotten as a
/// whole.
pub(crate) struct Repeats {
    remember: Millis,
    width: Millis,
    /// In which span the first line of each id was, or came if it was late.
    ids: Keys<u64, i64>,
    spans: BTreeMap<i64, Vec<u64>>,
}

impl Repeats {
    pub fn new(remember: Millis) -> Self {
        Repeats { remember, width: (remember / 8).max(1), ids: Keys::new(), spans: BTreeMap::new() }
    }

    /// When a span is forgotten.
    fn end(&self, span: i64) -> Millis {
        span.saturating_add(1).saturating_mul(self.width).saturating_add(self.remember)
    }
}

impl Kernel for Repeats {
    type In = Checked;
    type Out = Record<Verdict>;

    fn kind(&self) -> String {
        format!("the first line of each id within {}", show(self.remember))
    }

    fn state(&self) -> String {
        type_name::<i64>()
    }

    fn order(&self) -> Order {
        Order::Arrival
    }

    fn records(&mut self, at: Closing, records: &mut Vec<Record<Checked>>, emit: &mut Emit<Checked, Record<Verdict>>) {
        for Record { time, seq, value } in records.drain(..) {
            let (id, mut is_new) = (value.id, false);
            let span = time.max(at.before).div_euclid(self.width);
            self.ids.get_or_insert_with(id, |_| {
                is_new = true;
                span
            });
            if is_new {
                self.spans.entry(span).or_default().push(id);
            }
            let value = if is_new { Ok(value) } else { Err(Dropped { id, reason: Reason::Duplicate }) };
            emit.out.push(Record { time, seq, value });
        }
    }

    fn settle(&mut self, at: Closing, _: &mut Emit<Checked, Record<Verdict>>) {
        while let Some((&span, _)) = self.spans.first_key_value()
            && self.end(span) <= at.after
        {
            for id in self.spans.remove(&span).into_iter().flatten() {
                self.ids.remove(&id);
            }
        }
    }

    fn save(&mut self, save: &mut Save) {
        self.ids.save(save);
    }

    fn load(&mut self, _: Closing, entry: Saved<'_>, _: &mut Emit<Checked, Record<Verdict>>) -> Result<(), StateError> {
        let (id, span) = self.ids.load(entry)?;
        self.spans.entry(*span).or_default().push(id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clean::Clean;
    use crate::event::{Action, ShopEvent};
    use proptest::prelude::*;
    use tidemill::harness::Harness;

    proptest! {
        #[test]
        fn an_id_comes_through_once_while_it_is_remembered(
            epochs in prop::collection::vec((prop::collection::vec((-500i64..60, 0u64..6), 0..9), 0i64..60), 1..20),
            remember in 0i64..100, workers in 1usize..4, cut in 0usize..20, after in 1usize..4,
        ) {
            let mut harness = Harness::kernel(workers, |line: &Checked| line.id, move || Repeats::new(remember));
            let (mut watermark, mut known) = (1_000, Vec::<(u64, Millis)>::new());
            harness.watermark(watermark);
            for (epoch, (lines, step)) in epochs.into_iter().enumerate() {
                let mut expected = vec![];
                for (offset, id) in lines {
                    let (time, event) = (watermark + offset, ShopEvent::new(0, Action::Forget));
                    harness.push(time, Checked { id, event: Clean::Shopper(event) });
                    let repeated = known.iter().any(|(other, _)| *other == id);
                    if !repeated {
                        known.push((id, time.max(watermark)));
                    }
                    expected.push((time, id, repeated));
                }
                watermark += step;
                harness.watermark(watermark);
                let width = (remember / 8).max(1);
                known.retain(|(_, time)| (time.div_euclid(width) + 1) * width + remember > watermark);
                let id = |value: Verdict| value.map_or_else(|gone| (gone.id, true), |line| (line.id, false));
                let mut told: Vec<_> = harness.emitted().into_iter().map(|record| (record.time, record.seq, id(record.value))).collect();
                told.sort_by_key(|record| record.1);
                prop_assert_eq!(told.into_iter().map(|(time, _, (id, gone))| (time, id, gone)).collect::<Vec<_>>(), expected);
                if epoch == cut {
                    harness.restore(after).unwrap();
                }
            }
            harness.watermark(watermark + 1_000);
            prop_assert!(harness.is_empty(), "ids are kept for ever");
        }
    }
}
