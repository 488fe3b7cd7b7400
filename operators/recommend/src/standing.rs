//! What is suggested to users, as rows.

use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use tidemill::time::BEGINNING;
use tidemill::{Key, Maintain, Millis, Order, Record};

use crate::suggest::{Entry, Ranked};

/// Keeps what is suggested to each user: the latest, until the user is gone.
pub struct Standing<U, I>(PhantomData<fn(U, I)>);

impl<U, I> Standing<U, I> {
    /// Suggests nothing.
    pub fn new() -> Self {
        Standing(PhantomData)
    }
}

impl<U, I> Default for Standing<U, I> {
    fn default() -> Self {
        Self::new()
    }
}

impl<U: Key, I: Key> Maintain for Standing<U, I> {
    type Key = U;
    type In = Suggested<U, I>;
    type State = Option<(Millis, Vec<Entry<I>>)>;
    type Row = Ranked<U, I>;

    const ORDER: Order = Order::Any;

    fn update(&self, _: &U, standing: &mut Self::State, events: &mut Vec<Record<Self::In>>) {
        let comes = |record: &Record<Self::In>| matches!(record.value, Suggested::To(_));
        if let Some(record) = events.drain(..).max_by_key(|record| (comes(record), record.time, record.seq)) {
            *standing = match record.value {
                Suggested::To(Ranked { as_of, entries, .. }) => Some((as_of, entries)),
                Suggested::Gone(_) => None,
            };
        }
    }

    fn rows(&self, user: &U, standing: &Self::State, rows: &mut Vec<Self::Row>) {
        rows.extend(standing.clone().map(|(as_of, entries)| Ranked { user: user.clone(), as_of, entries }));
    }

    /// Of whom nothing is left is not kept.
    fn expires(&self, _: &U, standing: &Self::State) -> Option<Millis> {
        standing.is_none().then_some(BEGINNING)
    }
}

/// What is suggested, or to whom nothing is any more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Suggested<U, I> {
    /// This, from now on.
    To(Ranked<U, I>),
    /// The user is gone. It counts unless something is suggested in the same epoch.
    Gone(U),
}

impl<U, I> Suggested<U, I> {
    /// To whom.
    pub fn user(&self) -> &U {
        match self {
            Suggested::To(ranked) => &ranked.user,
            Suggested::Gone(user) => user,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill::harness::Harness;

    #[test]
    fn the_latest_stands_until_its_user_is_gone_of_whom_nothing_is_kept() {
        let mut harness = Harness::maintain(2, |of: &Suggested<u8, u8>| *of.user(), Standing::new);
        let mut watermark = 0;
        let to = |as_of| Suggested::To(Ranked { user: 1, as_of, entries: vec![] });
        let mut said = |events: Vec<Suggested<u8, u8>>| {
            events.into_iter().for_each(|event| harness.push(0, event));
            watermark += 1;
            harness.watermark(watermark);
            let mut said: Vec<_> = harness.changes().into_iter().map(|(_, row, diff)| (diff, row.as_of)).collect();
            said.sort();
            (said, harness.is_empty())
        };
        assert_eq!(said(vec![to(1)]), (vec![(1, 1)], false));
        // What is suggested counts, whatever else is said in its epoch.
        assert_eq!(said(vec![to(2), Suggested::Gone(1)]), (vec![(-1, 1), (1, 2)], false));
        assert_eq!(said(vec![Suggested::Gone(1)]), (vec![(-1, 2)], true));
        assert_eq!(said(vec![Suggested::Gone(1)]), (vec![], true));
    }
}
