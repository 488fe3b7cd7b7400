//! `until_idle`: drops a key of a `Maintain` that has had no event for a while.

use crate::kernel::StateError;
use crate::maintain::Maintain;
use crate::record::Record;
use crate::save::Old;
use crate::time::{BEGINNING, Millis};
use serde::{Deserialize, Serialize};

/// A [`Maintain`] whose keys have a time-to-live: see [`Maintain::until_idle`].
pub struct UntilIdle<M> {
    pub(crate) maintain: M,
    pub(crate) ttl: Millis,
}

/// A key's state, and the time of its latest event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Touched<S> {
    state: S,
    latest: Millis,
}

impl<S: Default> Default for Touched<S> {
    fn default() -> Self {
        Touched { state: S::default(), latest: BEGINNING }
    }
}

impl<M: Maintain> Maintain for UntilIdle<M> {
    type Key = M::Key;
    type In = M::In;
    type State = Touched<M::State>;
    type Row = M::Row;

    const ORDER: crate::Order = M::ORDER;
    const VERSION: u32 = M::VERSION;

    fn migrate(&self, version: u32, old: &mut Old<'_>) -> Result<Self::State, StateError> {
        Ok(Touched { state: self.maintain.migrate(version, old)?, latest: old.read()? })
    }

    fn update(&self, key: &M::Key, touched: &mut Self::State, events: &mut Vec<Record<M::In>>) {
        touched.latest = events.iter().map(|event| event.time).fold(touched.latest, Millis::max);
        self.maintain.update(key, &mut touched.state, events);
    }

    fn rows(&self, key: &M::Key, touched: &Self::State, rows: &mut Vec<M::Row>) {
        self.maintain.rows(key, &touched.state, rows);
    }

    fn expires(&self, key: &M::Key, touched: &Self::State) -> Option<Millis> {
        let idle = touched.latest.saturating_add(self.ttl);
        Some(self.maintain.expires(key, &touched.state).map_or(idle, |expires| expires.min(idle)))
    }
}
