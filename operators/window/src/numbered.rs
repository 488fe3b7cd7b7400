//! A map of what has numbers: in order, and small while it holds few.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::ops::Range;

/// Values by number. Most keys have one window open, for which a tree would take the room of eleven; those of keys that have
/// many come at the end and go at the beginning.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Numbered<V>(VecDeque<(i64, V)>);

impl<V> Default for Numbered<V> {
    fn default() -> Self {
        Numbered(VecDeque::new())
    }
}

impl<V> Numbered<V> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, number: i64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&number, |(number, _)| *number)
    }

    pub fn get(&self, number: i64) -> Option<&V> {
        self.find(number).ok().and_then(|at| self.0.get(at)).map(|(_, value)| value)
    }

    /// The value of `number`; if it has none, that which `value` makes.
    pub fn get_or_insert_with(&mut self, number: i64, value: impl FnOnce() -> V) -> &mut V {
        let at = self.find(number).unwrap_or_else(|at| {
            self.insert_at(at, number, value());
            at
        });
        &mut self.0[at].1
    }

    /// Gives `number` a value, and gives back the one it had.
    pub fn insert(&mut self, number: i64, value: V) -> Option<V> {
        match self.find(number) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.insert_at(at, number, value);
                None
            }
        }
    }

    fn insert_at(&mut self, at: usize, number: i64, value: V) {
        if self.0.len() == self.0.capacity() {
            // Doubles as usual, but from one.
            self.0.reserve_exact(self.0.len().max(1));
        }
        self.0.insert(at, (number, value));
    }

    pub fn remove(&mut self, number: i64) -> Option<V> {
        self.find(number).ok().and_then(|at| self.0.remove(at)).map(|(_, value)| value)
    }

    /// The values of all numbers in `numbers`, in order.
    pub fn range(&self, numbers: Range<i64>) -> impl DoubleEndedIterator<Item = (i64, &V)> {
        let place = |number| self.find(number).unwrap_or_else(|at| at);
        let (from, to) = (place(numbers.start), place(numbers.end));
        self.0.range(from..to.max(from)).map(|(number, value)| (*number, value))
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub fn first(&self) -> Option<&V> {
        self.0.front().map(|(_, value)| value)
    }

    pub fn last(&self) -> Option<(i64, &V)> {
        self.0.back().map(|(number, value)| (*number, value))
    }

    /// Takes out the first value if `wanted` says so.
    pub fn pop_first_if(&mut self, wanted: impl FnOnce(i64, &V) -> bool) -> Option<V> {
        self.0.pop_front_if(|(number, value)| wanted(*number, value)).map(|(_, value)| value)
    }
}

impl Numbered<()> {
    pub fn add(&mut self, numbers: impl IntoIterator<Item = i64>) {
        for number in numbers {
            self.insert(number, ());
        }
    }

    /// Takes all numbers out.
    pub fn take(&mut self) -> impl Iterator<Item = i64> {
        std::mem::take(&mut self.0).into_iter().map(|(number, ())| number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn does_what_a_tree_does(steps in prop::collection::vec((0..5u8, -9..9i64, 0..9i64), 0..60)) {
            let (mut map, mut tree) = (Numbered::default(), BTreeMap::new());
            for (step, number, value) in steps {
                match step {
                    0 => prop_assert_eq!(map.insert(number, value), tree.insert(number, value)),
                    1 => prop_assert_eq!(map.remove(number), tree.remove(&number)),
                    2 => {
                        let popped = tree.first_entry().filter(|first| *first.key() < number).map(|first| first.remove());
                        prop_assert_eq!(map.pop_first_if(|first, _| first < number), popped);
                    }
                    3 => prop_assert_eq!(*map.get_or_insert_with(number, || value), *tree.entry(number).or_insert(value)),
                    _ => {
                        let range = number..number + value;
                        let ours: Vec<(i64, i64)> = map.range(range.clone()).map(|(n, v)| (n, *v)).collect();
                        let theirs: Vec<(i64, i64)> = tree.range(range).map(|(n, v)| (*n, *v)).collect();
                        prop_assert_eq!(ours, theirs);
                    }
                }
                prop_assert_eq!(map.get(number), tree.get(&number));
                prop_assert!(map.values().eq(tree.values()));
                prop_assert_eq!(map.first(), tree.values().next());
                prop_assert_eq!(map.last(), tree.last_key_value().map(|(n, v)| (*n, v)));
                prop_assert_eq!(map.is_empty(), tree.is_empty());
            }
        }
    }
}
