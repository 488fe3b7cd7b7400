//! The customers and terminals that the simulator draws first.

use super::numpy::RandomState;

/// The side of the square that everybody lives on.
const SIDE: f64 = 100.0;
/// How many customers there are.
const CUSTOMERS: usize = 5_000;
/// How many terminals there are.
const TERMINALS: usize = 10_000;
/// A customer pays only at terminals closer than this.
const RADIUS: f64 = 5.0;

/// A card holder's place and habits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Customer {
    /// The first coordinate, in [0, 100).
    pub x: f64,
    /// The second coordinate, in [0, 100).
    pub y: f64,
    /// The mean amount of a payment in currency units, in [5, 100).
    pub mean: f64,
    /// The mean number of payments a day, in [0, 4).
    pub rate: f64,
}

/// A payment terminal's place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terminal {
    /// The first coordinate, in [0, 100).
    pub x: f64,
    /// The second coordinate, in [0, 100).
    pub y: f64,
}

impl Customer {
    /// The standard deviation of an amount in currency units: half the mean.
    pub fn deviation(&self) -> f64 {
        self.mean / 2.0
    }

    /// The numbers, ascending, of the `terminals` where this customer pays.
    pub fn reachable(&self, terminals: &[Terminal]) -> Vec<u32> {
        (0..)
            .zip(terminals)
            .filter(|(_, terminal)| {
                let (dx, dy) = (self.x - terminal.x, self.y - terminal.y);
                (dx * dx + dy * dy).sqrt() < RADIUS
            })
            .map(|(number, _)| number)
            .collect()
    }
}

/// The benchmark's customers; a customer's number is its index.
pub fn customers() -> Vec<Customer> {
    let mut random = RandomState::new(0);
    (0..CUSTOMERS)
        .map(|_| Customer {
            x: random.uniform(0.0, SIDE),
            y: random.uniform(0.0, SIDE),
            mean: random.uniform(5.0, 100.0),
            rate: random.uniform(0.0, 4.0),
        })
        .collect()
}

/// The benchmark's terminals; a terminal's number is its index.
pub fn terminals() -> Vec<Terminal> {
    let mut random = RandomState::new(1);
    (0..TERMINALS).map(|_| Terminal { x: random.uniform(0.0, SIDE), y: random.uniform(0.0, SIDE) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_profiles() {
        let customer =
            Customer { x: 54.88135039273247, y: 71.51893663724195, mean: 62.262520726806166, rate: 2.1795327319875875 };
        assert_eq!(customers()[0], customer);
        assert_eq!(terminals()[0], Terminal { x: 41.7022004702574, y: 72.0324493442158 });
    }

    #[test]
    fn reachable_terminals() {
        let terminals = terminals();
        let counts: Vec<_> = customers().iter().map(|c| c.reachable(&terminals).len()).collect();
        assert_eq!(counts.iter().min(), Some(&22));
        assert_eq!(counts.iter().max(), Some(&106));
        let mean = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
        assert!((mean - 75.2).abs() < 0.05, "{mean}");
    }
}
