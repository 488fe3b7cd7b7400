//! The draws of NumPy's legacy `RandomState`, which is frozen: its streams never change
//! (NumPy Enhancement Proposal 19).

use super::mt19937::Mt19937;

/// The state behind `numpy.random.seed`.
#[derive(Clone, Debug)]
pub struct RandomState {
    words: Mt19937,
    /// The second half of the last Gaussian pair, if not yet handed out.
    spare: Option<f64>,
}

impl RandomState {
    /// As `numpy.random.seed(seed)`.
    pub fn new(seed: u32) -> Self {
        Self { words: Mt19937::from_word(seed), spare: None }
    }

    /// As `uniform(low, high)`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.words.next_f64()
    }

    /// As `normal(mean, deviation)`: Marsaglia's polar method, whose second number is kept for
    /// the next call.
    pub fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        mean + deviation * self.gauss()
    }

    /// As `poisson(rate)` for rates below 10: Knuth's multiplication of uniform numbers. (NumPy
    /// uses another method from 10 on, which the data set never needs.)
    ///
    /// # Panics
    ///
    /// If `rate` is not in [0, 10).
    pub fn poisson(&mut self, rate: f64) -> u32 {
        assert!((0.0..10.0).contains(&rate), "the rate {rate} is not in [0, 10)");
        if rate == 0.0 {
            return 0;
        }
        let limit = (-rate).exp();
        let mut product = 1.0;
        let mut count = 0;
        loop {
            product *= self.words.next_f64();
            if product <= limit {
                return count;
            }
            count += 1;
        }
    }

    /// As `choice(population, count, replace=False)`: the head of a shuffle of 0..population.
    pub fn choice(&mut self, population: u32, count: usize) -> Vec<u32> {
        let mut items: Vec<u32> = (0..population).collect();
        for last in (1..population).rev() {
            items.swap(last as usize, self.at_most(last) as usize);
        }
        items.truncate(count);
        items
    }

    /// A number of 0..=max: as many low bits as `max` has, drawn again while above `max`.
    fn at_most(&mut self, max: u32) -> u32 {
        let mask = u32::MAX.checked_shr(max.leading_zeros()).unwrap_or(0);
        loop {
            let value = self.words.next_u32() & mask;
            if value <= max {
                return value;
            }
        }
    }

    fn gauss(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let x = 2.0 * self.words.next_f64() - 1.0;
            let y = 2.0 * self.words.next_f64() - 1.0;
            let square = x * x + y * y;
            if 0.0 < square && square < 1.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(factor * x);
                return factor * y;
            }
        }
    }
}

/// The expected numbers come from NumPy 2.4.6.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stream_of_poisson_normal_and_uniform() {
        let mut random = RandomState::new(7);
        let counts = [0.0, 0.5, 3.9, 9.5, 3.0, 3.0].map(|rate| random.poisson(rate));
        assert_eq!(counts, [0, 0, 6, 9, 1, 5]);
        assert_eq!(random.normal(10.0, 2.0), 13.301399382372951);
        assert_eq!(random.normal(10.0, 2.0), 10.308671070912716);
        assert_eq!(random.normal(10.0, 2.0), 9.225720113427224);
        assert_eq!(random.uniform(-1.0, 4.0), 0.02424545148897539);
    }

    #[test]
    fn choices() {
        let mut random = RandomState::new(7);
        assert_eq!(random.choice(10, 10), [8, 5, 0, 2, 1, 9, 7, 3, 6, 4]);
        assert_eq!(random.choice(1000, 4), [113, 796, 712, 510]);
    }
}
