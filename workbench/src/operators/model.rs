//! A model that does nothing, asked on a thread of its own.

use super::{Operator, State, by_user, end, end_rows};
use tidemill_inference::{Infer, Model, ModelError, Pool, PoolConfig};
use tidemill_rank::Ranks;

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("inference", "of events", State::None, |name, events| {
        end(events.infer(name, &pool(), |event| event.cents as f32)?)
    }),
    Operator::new("inference", "of the latest", State::Stays, |name, events| {
        let latest = by_user(events).latest(&format!("{name}: rows"))?;
        end_rows(latest.infer(name, &pool(), |event| event.cents as f32)?)
    }),
];

fn pool() -> Pool<Nothing> {
    Pool::new(PoolConfig::default(), || Ok(Nothing))
}

/// Answers what it was asked.
struct Nothing;

impl Model for Nothing {
    type In = f32;
    type Out = f32;

    fn predict(&mut self, rows: &[f32]) -> Result<Vec<f32>, ModelError> {
        Ok(rows.to_vec())
    }
}
