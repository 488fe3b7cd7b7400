//! Training a model on a fold's week, and asking it about payments.

use std::ops::Range;

use serde_json::json;
use tidemill_torch::{
    Architecture, Description, Error, Network, Standard,
    train::{self, Options},
};

use super::{Inputs, Spec, Table};
use crate::protocol::places;

/// Trains `spec` on the payments of these days, of which all labels are known: [`Fold::train_days`](crate::protocol::Fold::train_days).
///
/// Sequences reach back beyond the first day; the standardisation is that of the payments of these days.
///
/// # Errors
///
/// As [`train::fit`], which has nothing to complain of unless there are none.
pub fn train(table: &Table<'_>, spec: &Spec, days: Range<u32>, seed: u64) -> Result<Network, Error> {
    let places: Vec<usize> = places(table.payments(), days.clone()).collect();
    let names = spec.inputs.names();
    let architecture = Architecture { sequence: spec.sequence, features: names.len(), network: spec.network.clone() };
    let mut description = Description::new(architecture, names.iter().copied());
    description.standard = Standard::of(names.len(), places.iter().map(|&place| table.inputs(place, spec.inputs)));
    let mut network = Network::new(description, seed)?;
    let data = table.dataset(&places, spec.sequence, spec.inputs)?;
    let options = Options { seed, ..spec.options.clone() };
    let history = train::fit(&mut network, &data, &table.labels(&places), &options)?;
    network.note_training(json!({
        "model": spec.name,
        "days": days,
        "seed": seed,
        "options": options,
        "history": history,
    }));
    Ok(network)
}

/// What a network thinks of the payments at `places`, as logits.
///
/// # Errors
///
/// If the network was not trained on a table's inputs.
pub fn logits(table: &Table<'_>, network: &Network, places: &[usize]) -> Result<Vec<f32>, Error> {
    let names = &network.description().inputs;
    let Some(inputs) = Inputs::named(names) else {
        return Err(Error::Dataset(format!("no payment has these inputs: {}", names.join(", "))));
    };
    let sequence = network.architecture().sequence;
    train::logits(network, &table.dataset(places, sequence, inputs)?)
}

#[cfg(test)]
mod tests {
    use tidemill_torch::Kind;

    use super::*;
    use crate::{batch, generate::BENCHMARK, models::specs};

    #[test]
    fn every_model_can_be_built_trained_and_asked() {
        let rows = BENCHMARK.partition_point(|row| row.day() < 7);
        let table = Table::new(&BENCHMARK[..rows], &batch::features(&BENCHMARK[..rows])).unwrap();
        for mut spec in specs() {
            spec.options.epochs = 0;
            let network = train(&table, &spec, 0..7, 1).unwrap();
            assert_eq!(network.description().training["model"], spec.name);
            assert_eq!(logits(&table, &network, &[0, rows - 1]).unwrap().len(), 2, "{}", spec.name);
        }
    }

    #[test]
    fn a_network_of_other_inputs_is_refused() {
        let table = Table::new(&BENCHMARK[..10], &batch::features(&BENCHMARK[..10])).unwrap();
        let architecture = Architecture { sequence: 1, features: 1, network: Kind::Logistic };
        let network = Network::new(Description::new(architecture, ["weather"]), 1).unwrap();
        let error = logits(&table, &network, &[0]).unwrap_err().to_string();
        assert!(error.contains("weather"), "{error}");
    }
}
