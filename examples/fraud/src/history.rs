//! History through the graph: what training and evaluation learn from.

use std::path::Path;

use anyhow::Context;
use tidemill::{Config, Memory};

use crate::features::Features;
use crate::transaction::{Transaction, read_csv};
use crate::{generate, graph, input};

/// A data set with the features of each payment, in the canonical order.
pub struct History {
    /// The payments.
    pub payments: Vec<Transaction>,
    /// Their final features.
    pub features: Vec<Features>,
}

impl History {
    /// Streams `payments` through the same graph that serves, and keeps what comes out.
    ///
    /// # Errors
    ///
    /// What stops the graph.
    pub fn of(payments: Vec<Transaction>, label_delay_days: u64, config: Config) -> anyhow::Result<Self> {
        let kept = Memory::new();
        let (source, sink) = (input::Payments::of(payments.clone()), kept.clone());
        tidemill::execute(config, move |job| {
            let payments = source.stream(job, "payments", 0)?;
            graph::final_features(payments, label_delay_days)?.sink("features", sink.clone())
        })?
        .finished()?;
        Ok(History { payments, features: kept.values() })
    }
}

/// The transactions of `file`, or the generated ones.
pub fn transactions(file: Option<&Path>) -> anyhow::Result<Vec<Transaction>> {
    let Some(path) = file else { return Ok(generate::transactions()) };
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut payments =
        read_csv(file).with_context(|| format!("{} is not what `fraud generate` writes", path.display()))?;
    payments.sort_unstable();
    Ok(payments)
}
