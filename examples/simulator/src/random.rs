//! Random numbers that are the same everywhere.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// One whose numbers depend on all of `parts`, and on nothing else.
    pub fn new(parts: [u64; 3]) -> Self {
        let mut random = Random(0x5851_f42d_4c95_7f2d);
        for part in parts {
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
        (u128::from(self.bits()) * u128::from(n) >> 64) as u64
    }

    /// From `low` to below `high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low).max(1) as u64) as i64
    }

    /// A whole number with this mean, most often next to it.
    pub fn about(&mut self, mean: f64) -> u64 {
        let spread = mean * (0.5 + self.share());
        spread as u64 + u64::from(self.chance(spread.fract()))
    }
}
