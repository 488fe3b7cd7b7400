//! The Mersenne Twister MT19937 of Matsumoto and Nishimura, "Mersenne Twister: a
//! 623-dimensionally equidistributed uniform pseudo-random number generator", ACM TOMACS 8(1),
//! 1998, with the two seedings of the authors' 2002 revision.

/// Words of state.
const N: usize = 624;
/// Distance between the words that the recurrence combines.
const M: usize = 397;
/// The coefficients of the recurrence's twist matrix.
const MATRIX: u32 = 0x9908_b0df;
/// The bit of the older word that enters the recurrence.
const UPPER: u32 = 0x8000_0000;

/// The generator's state.
#[derive(Clone, Debug)]
pub struct Mt19937 {
    words: [u32; N],
    /// The next word to hand out; `N` when a new block is due.
    next: usize,
}

impl Mt19937 {
    /// Seeds with one word (the authors' `init_genrand`).
    pub fn from_word(seed: u32) -> Self {
        let mut words = [seed; N];
        for i in 1..N {
            words[i] = scramble(words[i - 1]).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        Self { words, next: N }
    }

    /// Seeds with a key of any length but zero (the authors' `init_by_array`).
    ///
    /// # Panics
    ///
    /// If `key` is empty.
    pub fn from_key(key: &[u32]) -> Self {
        assert!(!key.is_empty(), "the key must have at least one word");
        let Self { mut words, .. } = Self::from_word(19_650_218);
        let mut i = 1;
        for j in 0..N.max(key.len()) {
            let j = j % key.len();
            words[i] =
                (words[i] ^ scramble(words[i - 1]).wrapping_mul(1_664_525)).wrapping_add(key[j]).wrapping_add(j as u32);
            i = advance(i, &mut words);
        }
        for _ in 1..N {
            words[i] = (words[i] ^ scramble(words[i - 1]).wrapping_mul(1_566_083_941)).wrapping_sub(i as u32);
            i = advance(i, &mut words);
        }
        words[0] = UPPER;
        Self { words, next: N }
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.next == N {
            self.refill();
        }
        let mut word = self.words[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// The next number of [0, 1) with 53 random bits, from two words: 27 bits, then 26.
    pub fn next_f64(&mut self) -> f64 {
        let high = f64::from(self.next_u32() >> 5);
        let low = f64::from(self.next_u32() >> 6);
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }

    /// Replaces the state by the next `N` words of the recurrence.
    fn refill(&mut self) {
        for i in 0..N {
            let mixed = (self.words[i] & UPPER) | (self.words[(i + 1) % N] & !UPPER);
            let twisted = (mixed >> 1) ^ if mixed & 1 == 1 { MATRIX } else { 0 };
            self.words[i] = self.words[(i + M) % N] ^ twisted;
        }
        self.next = 0;
    }
}

/// Folds a word's two uppermost bits into its lowest ones, as both seedings do.
fn scramble(word: u32) -> u32 {
    word ^ (word >> 30)
}

/// The index after `i`, among 1..N; on wrapping around, word 0 takes the last one's value.
fn advance(i: usize, words: &mut [u32; N]) -> usize {
    if i + 1 < N {
        i + 1
    } else {
        words[0] = words[N - 1];
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first words of the authors' published `mt19937ar.out`.
    #[test]
    fn key_of_the_reference_output() {
        let mut generator = Mt19937::from_key(&[0x123, 0x234, 0x345, 0x456]);
        let words: Vec<_> = (0..5).map(|_| generator.next_u32()).collect();
        assert_eq!(words, [1_067_595_299, 955_945_823, 477_289_528, 4_107_218_783, 4_228_976_476]);
    }

    /// The C++ standard requires this of `std::mt19937`, which is seeded with the word 5489.
    #[test]
    fn ten_thousandth_word_of_the_default_seed() {
        let mut generator = Mt19937::from_word(5489);
        assert_eq!((0..10_000).map(|_| generator.next_u32()).last(), Some(4_123_659_995));
    }
}
