//! Our models: what they see of a payment, which they are, how they are trained and judged.
//!
//! [`History`] turns a customer's payments, one after the other, into the inputs of each, by the same code for
//! training and for scoring. A [`Table`] holds those of a whole data set, and a [`Spec`] is a model with all its
//! settings: [`train`] trains it on a fold's training week, and [`evaluate()`] a list of them on several folds.

mod catalogue;
mod evaluate;
mod history;
mod inputs;
mod table;
mod trained;

pub use catalogue::{ENSEMBLE, Spec, specs};
pub use evaluate::{Ensemble, Outcome, evaluate};
pub use history::{History, LONGEST};
pub use inputs::{ALL_INPUT_NAMES, ALL_INPUTS, Inputs};
pub use table::Table;
pub use trained::{logits, train};
