//! Random numbers that are the same everywhere.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

/// What numbers are drawn for, so that no two things follow the same ones.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Draw {
    Item,
    Ranks,
    Complements,
    Resellable,
    Activity,
    Taste,
    Presence,
    Money,
    Card,
    Shelf,
    Visits,
    Dirt,
}

impl Random {
    /// Numbers that depend on the seed, on what they are for, and on which one of those it is.
    pub fn of(seed: u64, what: Draw, which: u64) -> Self {
        let mut random = Random(0x5851_f42d_4c95_7f2d);
        for part in [seed, what as u64, which] {
            random.0 ^= part;
            random.0 = random.bits();
        }
        random
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// From 0 to below 1.
    pub fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// From 0 to below `n`, which is above 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// From `low` to below `high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low).max(1) as u64) as i64
    }

    /// One of the two whole numbers next to `mean`, which it is on average.
    pub fn whole(&mut self, mean: f64) -> u64 {
        mean as u64 + u64::from(self.chance(mean.fract()))
    }

    /// One of them; `None` if there are none.
    pub fn one_of<T: Copy>(&mut self, among: &[T]) -> Option<T> {
        if among.is_empty() { None } else { Some(among[self.below(among.len() as u64) as usize]) }
    }

    /// Any order of them is as likely (Fisher and Yates).
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            all.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_splitmix64() {
        // The generator's first numbers from the state 0.
        let mut random = Random(0);
        let first = [(); 3].map(|()| random.bits());
        assert_eq!(first, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }

    #[test]
    fn numbers_are_where_they_should_be() {
        let mut random = Random::of(1, Draw::Dirt, 0);
        let mut sum = 0;
        for _ in 0..10_000 {
            assert!((3..7).contains(&random.between(3, 7)));
            assert!((0.0..1.0).contains(&random.share()));
            let whole = random.whole(2.25);
            assert!((2..=3).contains(&whole));
            sum += whole;
        }
        assert!((22_000..23_000).contains(&sum), "{sum}");
        let mut all: Vec<u32> = (0..50).collect();
        random.shuffle(&mut all);
        assert!(!all.is_sorted());
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
    }
}
