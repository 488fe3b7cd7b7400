//! Random numbers and words of one event.

/// The odd 64 bits nearest to the golden ratio.
const GOLD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The random numbers of one thing: the same seed and number give the same ones (splitmix64 of Steele, Lea and Flood,
/// 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Those of the thing with this number.
    pub fn of(seed: u64, number: u64) -> Self {
        Random(mix(mix(seed.wrapping_add(GOLD)).wrapping_add(number)))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLD);
        mix(self.0)
    }

    /// A number from 0 up to, not including, `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// True but for one time in `n`.
    pub fn all_but_one_in(&mut self, n: u64) -> bool {
        self.below(n) > 0
    }

    /// One of several.
    pub fn one_of(&mut self, texts: &[&'static str]) -> &'static str {
        texts[self.below(texts.len() as u64) as usize]
    }

    /// A price in cents: from 1.00 to 1,000,000.00, each power of ten as likely as the next.
    pub fn price(&mut self) -> u64 {
        let unit = (self.bits() >> 11) as f64 / (1u64 << 53) as f64;
        (10f64.powf(6.0 * unit) * 100.0).round() as u64
    }

    /// Adds from 3 letters to fewer than `most` to a text; one in 13 is a `space`.
    pub fn add_words(&mut self, text: &mut String, most: u64, space: char) {
        for _ in 0..3 + self.below(most - 3) {
            let bits = self.bits();
            text.push(if bits >> 32 < (1 << 32) / 13 { space } else { char::from(letter(bits as u8)) });
        }
    }

    /// The same as a text of its own.
    pub fn words(&mut self, most: u64) -> String {
        let mut text = String::with_capacity(most as usize);
        self.add_words(&mut text, most, ' ');
        text
    }

    /// Letters that make something of `size` bytes take `average` bytes on average, give or take a fifth of what is
    /// missing.
    pub fn padding(&mut self, size: usize, average: usize) -> String {
        let missing = average.saturating_sub(size);
        let spread = missing / 5;
        let length = missing - spread + self.below(2 * spread as u64 + 1) as usize;
        let mut letters = Vec::with_capacity(length + 8);
        while letters.len() < length {
            letters.extend(self.bits().to_le_bytes().map(letter));
        }
        letters.truncate(length);
        // They are letters, so this cannot fail.
        String::from_utf8(letters).unwrap_or_default()
    }
}

/// One of 26 letters, as evenly as 256 bytes can be shared out.
fn letter(byte: u8) -> u8 {
    b'a' + ((u16::from(byte) * 26) >> 8) as u8
}

/// Mixes 64 bits (the finaliser of splitmix64).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
