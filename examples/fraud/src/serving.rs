//! Trained networks as models of the graph: one that scores, and one that says why.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tidemill_inference::{Model, ModelError};
use tidemill_torch::{Network, one_thread_each};

use crate::features::{Features, INPUT_NAMES, WINDOW_INPUT_NAMES, inputs, window_inputs};
use crate::transaction::DAY;

/// What a network sees of a payment: chosen by the names of its inputs.
type Inputs = fn(&Features, &mut Vec<f32>);

fn inputs_of(network: &Network) -> Result<Inputs, ModelError> {
    let description = network.description();
    if description.architecture.sequence != 1 {
        return Err(ModelError::new("it wants a sequence of payments; `fraud run` serves models of one payment"));
    }
    if description.inputs == INPUT_NAMES {
        return Ok(|features, row| row.extend(inputs(features)));
    }
    if description.inputs == WINDOW_INPUT_NAMES {
        return Ok(|features, row| row.extend(window_inputs(features)));
    }
    Err(ModelError::new("its inputs are none that this version knows: train it again with `fraud train`"))
}

fn load(path: &Path) -> Result<(Network, Inputs), ModelError> {
    one_thread_each();
    let network = Network::load(path).map_err(ModelError::new)?;
    let inputs = inputs_of(&network)?;
    Ok((network, inputs))
}

/// Rows that libtorch's kernels take at once. A row's score depends in its last bits on how many rows are scored with
/// it, unless their number is a multiple of this (measured, with libtorch 2.13 on x86-64).
const BLOCK: usize = 32;

/// Whether a batch is filled up to a multiple of 32 rows, so that a score does not depend on the batch it was in: for
/// audits and tests, since a single payment then costs as much as 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Batches as they are.
    No,
    /// Batches filled up.
    Full,
}

/// The scores of `rows`, each `width` numbers.
fn score(network: &Network, rows: &mut Vec<f32>, width: usize, padding: Padding) -> Result<Vec<f32>, ModelError> {
    let count = rows.len() / width.max(1);
    if padding == Padding::Full {
        rows.resize(count.next_multiple_of(BLOCK) * width, 0.0);
    }
    let mut scores = network.score(rows).map_err(ModelError::new)?;
    scores.truncate(count);
    Ok(scores)
}

/// Scores payments, from 0 to 1.
pub struct Scorer {
    padding: Padding,
    network: Network,
    inputs: Inputs,
    rows: Vec<f32>,
}

impl Scorer {
    /// Loads the network saved under `path` (without extension). One intra-op thread per thread.
    pub fn load(path: &Path, padding: Padding) -> Result<Self, ModelError> {
        let (network, inputs) = load(path)?;
        Ok(Scorer { padding, network, inputs, rows: Vec::new() })
    }
}

impl Model for Scorer {
    type In = Features;
    type Out = f32;

    fn predict(&mut self, payments: &[Features]) -> Result<Vec<f32>, ModelError> {
        self.rows.clear();
        payments.iter().for_each(|payment| (self.inputs)(payment, &mut self.rows));
        let width = self.network.padding().len();
        score(&self.network, &mut self.rows, width, self.padding)
    }
}

/// What may move a score, as reason codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// How much was paid, for this customer.
    Amount,
    /// How often the customer has paid lately.
    Pace,
    /// How many frauds the terminal has seen.
    TerminalRisk,
    /// How busy the terminal is.
    TerminalTraffic,
    /// The time of day and week.
    Time,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 5] =
        [Reason::Amount, Reason::Pace, Reason::TerminalRisk, Reason::TerminalTraffic, Reason::Time];

    /// The reason that an input of this name belongs to.
    fn of(input: &str) -> Self {
        match input {
            "weekend" | "night" => Reason::Time,
            _ if input.starts_with("terminal_count") => Reason::TerminalTraffic,
            _ if input.starts_with("terminal") => Reason::TerminalRisk,
            _ if input.starts_with("customer_count") => Reason::Pace,
            _ => Reason::Amount,
        }
    }

    /// What it looks like in a payment.
    pub fn describe(self, payment: &Features) -> String {
        let Features { c_n1, c_n7, c_n30, t_n7, t_f7, t_n30, t_f30, .. } = *payment;
        match self {
            Reason::Amount => {
                let mean = payment.customer_mean_30d();
                format!("{:.2}, where the customer's mean of 30 days is {mean:.2}", payment.amount())
            }
            Reason::Pace => format!("{c_n1} payments in a day, {c_n7} in 7, {c_n30} in 30"),
            Reason::TerminalRisk => {
                format!("{t_f7} of {t_n7} payments there in a week were frauds, {t_f30} of {t_n30} in 30 days")
            }
            Reason::TerminalTraffic => format!("{t_n7} payments there in a week, {t_n30} in 30 days"),
            Reason::Time => {
                let (day, hour) = (payment.sec / DAY % 7, payment.sec % DAY / 3600);
                let day = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"][day as usize];
                format!("{day}, {hour} o'clock")
            }
        }
    }
}

/// Says what moved a payment's score: for each [`Reason`], in the order of [`Reason::ALL`], by
/// how much the score falls when the inputs behind it are set to their means over the training
/// rows, which is what an ordinary payment would have.
pub struct Explainer {
    padding: Padding,
    network: Network,
    inputs: Inputs,
    reasons: Vec<Reason>,
}

impl Explainer {
    /// Loads the network saved under `path` (without extension).
    pub fn load(path: &Path, padding: Padding) -> Result<Self, ModelError> {
        let (network, inputs) = load(path)?;
        let reasons = network.description().inputs.iter().map(|input| Reason::of(input)).collect();
        Ok(Explainer { padding, network, inputs, reasons })
    }
}

impl Model for Explainer {
    type In = Features;
    type Out = Vec<f32>;

    fn predict(&mut self, payments: &[Features]) -> Result<Vec<Vec<f32>>, ModelError> {
        let usual = self.network.padding();
        let mut rows = Vec::new();
        for payment in payments {
            let mut row = Vec::new();
            (self.inputs)(payment, &mut row);
            rows.extend_from_slice(&row);
            for reason in Reason::ALL {
                let without = row.iter().zip(usual).zip(&self.reasons);
                rows.extend(without.map(|((own, usual), of)| if *of == reason { *usual } else { *own }));
            }
        }
        let scores = score(&self.network, &mut rows, usual.len(), self.padding)?;
        let answers = scores.chunks(Reason::ALL.len() + 1);
        Ok(answers.map(|scores| scores[1..].iter().map(|without| scores[0] - without).collect()).collect())
    }
}
