//! The draws of Python's `random` module, as of Python 3.2 and later.

use super::mt19937::Mt19937;

/// The state behind `random.seed`.
#[derive(Clone, Debug)]
pub struct Random(Mt19937);

impl Random {
    /// As `random.seed(seed)`.
    pub fn new(seed: u32) -> Self {
        Self(Mt19937::from_key(&[seed]))
    }

    /// As `choice(items)`.
    ///
    /// # Panics
    ///
    /// If `items` is empty.
    pub fn choice<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// As `sample(items, count)`: `count` of `items` at different places.
    ///
    /// Python keeps a pool of the items left, or, where that would take more memory, a set of the
    /// places taken; the two consume different words.
    ///
    /// # Panics
    ///
    /// If `count` is more than `items.len()`.
    pub fn sample<T: Copy>(&mut self, items: &[T], count: usize) -> Vec<T> {
        assert!(count <= items.len(), "cannot sample {count} of {} items", items.len());
        if items.len() <= pool_limit(count) {
            let mut pool = items.to_vec();
            (0..count).map(|_| pool.swap_remove(self.below(pool.len()))).collect()
        } else {
            let mut taken = vec![false; items.len()];
            let mut free = || loop {
                let place = self.below(items.len());
                if !std::mem::replace(&mut taken[place], true) {
                    return items[place];
                }
            };
            (0..count).map(|_| free()).collect()
        }
    }

    /// A number of 0..end: as many high bits of a word as `end` has, drawn again while not below.
    ///
    /// # Panics
    ///
    /// If `end` is 0 or does not fit 31 bits.
    fn below(&mut self, end: usize) -> usize {
        assert!(0 < end && end < 1 << 31, "cannot draw a number below {end}");
        let shift = (end as u32).leading_zeros();
        loop {
            let value = (self.0.next_u32() >> shift) as usize;
            if value < end {
                return value;
            }
        }
    }
}

/// The largest population that Python samples by pool: its estimate, in machine words, of the
/// size of a set of `count` places.
fn pool_limit(count: usize) -> usize {
    const SMALL_SET: usize = 21;
    if count <= 5 {
        return SMALL_SET;
    }
    let mut table = 1;
    while table < 3 * count {
        table *= 4;
    }
    SMALL_SET + table
}

/// The expected numbers come from CPython 3.11.
#[cfg(test)]
mod tests {
    use super::*;

    fn sample(population: usize, count: usize) -> Vec<usize> {
        let items: Vec<_> = (0..population).collect();
        Random::new(7).sample(&items, count)
    }

    #[test]
    fn choices() {
        let items: Vec<_> = (0..100).collect();
        let mut random = Random::new(7);
        let chosen: Vec<_> = (0..8).map(|_| random.choice(&items)).collect();
        assert_eq!(chosen, [41, 19, 50, 83, 6, 9, 68, 12]);
    }

    #[test]
    fn samples_on_both_sides_of_the_pool_limit() {
        assert_eq!(sample(21, 5), [10, 4, 12, 1, 2]);
        assert_eq!(sample(22, 5), [10, 4, 12, 20, 1]);
        assert_eq!(sample(85, 6), [41, 19, 50, 6, 9, 68]);
        assert_eq!(sample(86, 6), [41, 19, 50, 83, 6, 9]);
    }
}
