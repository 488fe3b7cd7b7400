//! The least, the greatest, the several greatest, and the events they come from.

use crate::Aggregate;
use std::cmp::Ordering;
use std::marker::PhantomData;
use tidemill::Data;

macro_rules! extreme {
    ($(#[$doc:meta])* $name:ident, $adjective:literal, $better:tt) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name<T, F>(F, PhantomData<fn(&T)>);

        impl<T, V, F: Fn(&T) -> V> $name<T, F> {
            #[doc = concat!("The ", $adjective, " of what `value` says of each event.")]
            pub fn of(value: F) -> Self {
                $name(value, PhantomData)
            }
        }

        impl<T: Data, V: Data + Ord + Default, F: Fn(&T) -> V + 'static> Aggregate for $name<T, F> {
            type In = T;
            type Acc = Option<V>;
            type Out = V;

            #[inline]
            fn add(&self, best: &mut Option<V>, event: &T) {
                let value = (self.0)(event);
                if best.as_ref().is_none_or(|best| value $better *best) {
                    *best = Some(value);
                }
            }

            #[inline]
            fn merge(&self, best: &mut Option<V>, other: &Option<V>) {
                if let Some(value) = other && best.as_ref().is_none_or(|best| value $better best) {
                    *best = Some(value.clone());
                }
            }

            #[inline]
            fn result(&self, best: &Option<V>) -> V {
                best.clone().unwrap_or_default()
            }
        }
    };
}

extreme!(
    /// The least of something of each event.
    Min, "least", <
);
extreme!(
    /// The greatest of something of each event.
    Max, "greatest", >
);

/// The `k` greatest of something of each event, greatest first; equal ones count each.
#[derive(Clone, Copy, Debug)]
pub struct TopK<T, F> {
    k: usize,
    value: F,
    events: PhantomData<fn(&T)>,
}

impl<T, V, F: Fn(&T) -> V> TopK<T, F> {
    /// The `k` greatest of what `value` says of each event. Make it a tuple to keep more of the event:
    /// `TopK::of(3, |e| (e.cents, e.item))`.
    pub fn of(k: usize, value: F) -> Self {
        TopK { k, value, events: PhantomData }
    }

    fn insert(&self, top: &mut Vec<V>, value: V)
    where
        V: Ord,
    {
        let at = top.partition_point(|other| *other >= value);
        if at < self.k {
            top.truncate(self.k - 1);
            top.insert(at, value);
        }
    }
}

impl<T: Data, V: Data + Ord, F: Fn(&T) -> V + 'static> Aggregate for TopK<T, F> {
    type In = T;
    type Acc = Vec<V>;
    type Out = Vec<V>;

    #[inline]
    fn add(&self, top: &mut Vec<V>, event: &T) {
        self.insert(top, (self.value)(event));
    }

    fn merge(&self, top: &mut Vec<V>, other: &Vec<V>) {
        other.iter().for_each(|value| self.insert(top, value.clone()));
    }

    fn result(&self, top: &Vec<V>) -> Vec<V> {
        top.clone()
    }
}

/// The events for which something is greatest: all of them where several are level, sorted.
#[derive(Clone, Copy, Debug)]
pub struct Leaders<T, F>(F, PhantomData<fn(&T)>);

impl<T, V, F: Fn(&T) -> V> Leaders<T, F> {
    /// The events for which what `value` says of them is greatest.
    pub fn of(value: F) -> Self {
        Leaders(value, PhantomData)
    }
}

impl<T: Data + Ord, V: Ord, F: Fn(&T) -> V + 'static> Aggregate for Leaders<T, F> {
    type In = T;
    type Acc = Vec<T>;
    type Out = Vec<T>;

    #[inline]
    fn add(&self, leaders: &mut Vec<T>, event: &T) {
        let ahead = leaders.first().map(|leader| (self.0)(event).cmp(&(self.0)(leader)));
        match ahead {
            Some(Ordering::Less) => return,
            Some(Ordering::Greater) => leaders.clear(),
            Some(Ordering::Equal) | None => (),
        }
        leaders.push(event.clone());
    }

    fn merge(&self, leaders: &mut Vec<T>, other: &Vec<T>) {
        other.iter().for_each(|event| self.add(leaders, event));
    }

    fn result(&self, leaders: &Vec<T>) -> Vec<T> {
        let mut leaders = leaders.clone();
        leaders.sort();
        leaders
    }
}
