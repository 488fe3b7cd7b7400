//! The inputs of a whole data set, to train and to judge models on.

use std::collections::HashMap;

use tidemill_torch::{
    Error,
    train::{Dataset, PADDING, Rows},
};

use super::{
    history::History,
    inputs::{ALL_INPUTS, Inputs},
};
use crate::{features::Features, transaction::Transaction};

/// That a customer has no earlier payment.
const NONE: u32 = u32::MAX;

/// Payments with the inputs of each and the way to the one before it.
#[derive(Debug)]
pub struct Table<'a> {
    payments: &'a [Transaction],
    inputs: Vec<[f32; ALL_INPUTS]>,
    /// For each payment the place of the same customer's payment before, or [`NONE`].
    previous: Vec<u32>,
}

impl<'a> Table<'a> {
    /// Works out the inputs of all payments, which stand in the data set's order with the features of each.
    ///
    /// # Errors
    ///
    /// [`Error::Dataset`] if features and payments do not go together.
    pub fn new(payments: &'a [Transaction], features: &[Features]) -> Result<Self, Error> {
        let fits = |(features, payment): (&Features, &Transaction)| {
            let Features { sec, customer, terminal, cents, .. } = *features;
            (sec, customer, terminal, cents) == (payment.sec, payment.customer, payment.terminal, payment.cents)
        };
        if payments.len() != features.len() || !features.iter().zip(payments).all(fits) {
            let message = "features and payments are not of the same data set in the same order, by time, customer, terminal, cents";
            return Err(Error::Dataset(message.into()));
        }
        let mut customers: HashMap<u32, (History, u32)> = HashMap::new();
        let mut table =
            Self { payments, inputs: Vec::with_capacity(payments.len()), previous: Vec::with_capacity(payments.len()) };
        for (place, row) in (0..).zip(features) {
            let (history, last) = customers.entry(row.customer).or_insert((History::default(), NONE));
            table.inputs.push(history.push(row));
            table.previous.push(std::mem::replace(last, place));
        }
        Ok(table)
    }

    /// The payments, in order.
    pub fn payments(&self) -> &'a [Transaction] {
        self.payments
    }

    /// The inputs of the payment at a place.
    pub fn inputs(&self, place: usize, inputs: Inputs) -> &[f32] {
        &self.inputs[place][..inputs.count()]
    }

    /// Whether each of the payments was a fraud, as 0 or 1.
    pub fn labels(&self, places: &[usize]) -> Vec<f32> {
        places.iter().map(|&place| f32::from(u8::from(self.payments[place].fraud))).collect()
    }

    /// The payments at `places`, each at the end of its customer's last `len` payments, whenever those were.
    ///
    /// # Errors
    ///
    /// libtorch's own where memory ends.
    pub fn dataset(&self, places: &[usize], len: usize, inputs: Inputs) -> Result<Dataset, Error> {
        let mut rows = Vec::new();
        let mut numbers: HashMap<usize, i64> = HashMap::new();
        let mut index = vec![PADDING; places.len() * len];
        for (steps, &place) in index.chunks_mut(len).zip(places) {
            let mut place = Some(place);
            for step in steps.iter_mut().rev() {
                let Some(row) = place else { break };
                let next = numbers.len() as i64;
                *step = *numbers.entry(row).or_insert_with(|| {
                    rows.extend_from_slice(self.inputs(row, inputs));
                    next
                });
                place = Some(self.previous[row]).filter(|&previous| previous != NONE).map(|previous| previous as usize);
            }
        }
        Dataset::new(&Rows::new(inputs.count(), &rows)?, len, &index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{batch, generate::BENCHMARK};

    #[test]
    fn sequences_are_those_of_the_history() {
        let payments = &BENCHMARK[..30_000];
        let features = batch::features(payments);
        let table = Table::new(payments, &features).unwrap();
        let customer = payments[29_999].customer;
        let places: Vec<usize> = (0..30_000).filter(|&place| payments[place].customer == customer).collect();
        assert!(places.len() > 4);

        let mut history = History::default();
        let padding = [0.0; ALL_INPUTS];
        for (number, &place) in places.iter().enumerate() {
            let inputs = history.push(&features[place]);
            assert_eq!(table.inputs(place, Inputs::All), inputs);
            let mut row = Vec::new();
            history.sequence(4, &padding, &mut row);
            let first = number.saturating_sub(3);
            let known: Vec<f32> = places[first..=number].iter().flat_map(|&place| table.inputs[place]).collect();
            let padded = [vec![0.0; 4 * ALL_INPUTS - known.len()], known].concat();
            assert_eq!(row, padded, "payment {number}");
        }
        assert_eq!(table.dataset(&places, 4, Inputs::All).unwrap().len(), places.len());
    }

    #[test]
    fn features_of_other_payments_are_refused() {
        let features = batch::features(&BENCHMARK[..100]);
        assert!(Table::new(&BENCHMARK[1..101], &features).is_err());
        assert!(Table::new(&BENCHMARK[..99], &features).is_err());
    }
}
