//! Card fraud scoring on the public benchmark of the *Fraud Detection Handbook*
//! (Le Borgne, Siblini, Lebichot, Bontempi, 2022; "the handbook" from here on).
//!
//! `graph` is the dataflow from payments to features, `models` what is trained on them, `serving`
//! how they score inside the graph, `cards` and `alert` what is made of the scores. The rest is the
//! benchmark: its data set and generator, the features by definition (`batch`), the protocol, the
//! metrics, and what others reached.

pub mod alert;
pub mod baseline;
pub mod batch;
pub mod cards;
pub mod features;
pub mod generate;
pub mod graph;
pub mod history;
pub mod input;
pub mod metrics;
pub mod models;
pub mod protocol;
pub mod published;
pub mod scaler;
pub mod serving;
pub mod shop;
pub mod transaction;
