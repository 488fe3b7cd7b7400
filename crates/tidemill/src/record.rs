//! What travels on a stream: a value with its event time and its place.

use crate::time::Millis;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// What a stream can carry: anything that can be copied, sent to another worker and shown in a
/// dead letter. Implemented for every type with these bounds; derive them and you are done.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel on a stream",
    note = "derive `Clone, Debug, Serialize, Deserialize`; the type must own its data (`String`, not `&str`)",
    note = "more in `tidemill::guide`, \"When the compiler complains\""
)]
pub trait Data: Clone + Debug + Send + Serialize + DeserializeOwned + 'static {}
#[diagnostic::do_not_recommend]
impl<T: Clone + Debug + Send + Serialize + DeserializeOwned + 'static> Data for T {}

/// Where a record came from, which orders it among all records of a job in the same way on any
/// number of workers: partition, then position in it, then position among what one record became.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Seq {
    /// The partition in the upper 16 bits, the record's number within it in the lower 48.
    place: u64,
    /// The path through `flat_map`s and other operators that make several records of one.
    ordinal: u64,
}

impl Seq {
    /// The `number`th record of `partition`.
    pub fn new(partition: u16, number: u64) -> Self {
        Seq { place: (partition as u64) << 48 | (number & ((1 << 48) - 1)), ordinal: 0 }
    }

    /// The place of the `index`th record made from this one. Order is kept through four such
    /// steps, or three and three of [`Seq::input`], each with up to 65,535 records.
    #[inline]
    pub fn child(self, index: usize) -> Self {
        Seq { place: self.place, ordinal: self.ordinal << 16 | (index as u64 + 1).min(0xffff) }
    }

    /// The place of what is taken back at this one. [`Collection::changes`](crate::Collection::changes) gives a row that goes a
    /// place of its own, before all that comes; everywhere else what is taken back has the place at which it was said.
    #[inline]
    pub fn said(self) -> Self {
        match self.place >> 48 == u64::from(RETRACTED) {
            true => Seq { place: self.place | u64::from(ADDED) << 48, ..self },
            false => self,
        }
    }

    /// The place of this record as one of input `index`, of at most 3, where several inputs become one stream: what they
    /// have from the same record keeps an order that does not hang on which came first.
    #[inline]
    pub fn input(self, index: usize) -> Self {
        Seq { place: self.place, ordinal: self.ordinal << 2 | (index as u64 + 1).min(3) }
    }
}

/// The partition numbers of what goes from a collection, and of what comes: past any real partition's.
pub(crate) const RETRACTED: u16 = u16::MAX - 1;
pub(crate) const ADDED: u16 = u16::MAX;

/// A value on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<T> {
    /// Event time, in milliseconds since 1970 UTC.
    pub time: Millis,
    /// Breaks ties of event time, and orders arrival.
    pub seq: Seq,
    /// The event itself.
    pub value: T,
}

impl<T> Record<T> {
    /// The same time and place with another value.
    #[inline]
    pub fn with<U>(&self, value: U) -> Record<U> {
        Record { time: self.time, seq: self.seq, value }
    }
}

/// A record that could not be processed, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The source or operator that refused it.
    pub operator: String,
    /// Where it came from, as `file:line` where that is known, else empty.
    pub place: String,
    /// Why it was refused.
    pub reason: String,
    /// The record: the line as read, or the event as JSON.
    pub record: String,
}

impl DeadLetter {
    /// The dead letter of an event that `operator` refused.
    pub fn of<T: Serialize>(operator: &str, value: &T, reason: impl Into<String>) -> Self {
        DeadLetter {
            operator: operator.to_owned(),
            place: String::new(),
            reason: reason.into(),
            record: serde_json::to_string(value).unwrap_or_else(|error| format!("(not representable: {error})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_order_by_partition_then_number_then_path() {
        let a = Seq::new(0, 5);
        assert!(a < a.child(0) && a.child(0) < a.child(1));
        assert!(a.child(1) < Seq::new(0, 6), "all that one record became comes before the next record");
        assert!(a.child(0).child(7) < a.child(1).child(0));
        assert!(a < a.input(0) && a.input(0) < a.input(1) && a.input(1) < a.input(2));
        assert!(a.input(0).child(65_000) < a.input(1).child(0) && a.child(0).input(2) < a.child(1).input(0));
        assert!(Seq::new(0, u64::MAX >> 16) < Seq::new(1, 0));
    }
}
