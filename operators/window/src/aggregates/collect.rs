//! The events themselves.

use crate::Aggregate;
use std::marker::PhantomData;
use tidemill::Data;

/// All events of the window, sorted. What it keeps grows with them: count, sum or take the top few where that will do.
#[derive(Clone, Copy, Debug)]
pub struct Collect<T>(PhantomData<fn(&T)>);

impl<T> Collect<T> {
    /// Collects events.
    pub fn new() -> Self {
        Collect(PhantomData)
    }
}

impl<T> Default for Collect<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Data + Ord> Aggregate for Collect<T> {
    type In = T;
    type Acc = Vec<T>;
    type Out = Vec<T>;

    fn add(&self, events: &mut Vec<T>, event: &T) {
        events.push(event.clone());
    }

    fn merge(&self, events: &mut Vec<T>, other: &Vec<T>) {
        events.extend_from_slice(other);
    }

    fn result(&self, events: &Vec<T>) -> Vec<T> {
        let mut events = events.clone();
        events.sort();
        events
    }
}
