//! Scores in fixed point: floating-point answers made exact, so that they can be kept, compared
//! and retracted.

use serde::{Deserialize, Serialize};
use std::fmt::{self, Debug, Display};
use std::hash::Hash;

/// One number that a model answered, in whole millionths.
///
/// It is serialised as that integer. A probability keeps six digits, which is about what an `f32`
/// holds of it; what two batches or two machines make of the same row nearly always agrees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Score(i64);

impl Score {
    /// The score 1.
    pub const ONE: Score = Score(1_000_000);

    /// The score of this many millionths.
    pub const fn from_millionths(millionths: i64) -> Self {
        Score(millionths)
    }

    /// The nearest score to `value`, halves rounded away from zero.
    ///
    /// # Errors
    ///
    /// `value` is NaN, infinite, or 9.2 × 10¹² or more in size.
    pub fn new(value: f64) -> Result<Self, NotAScore> {
        let millionths = (value * 1e6).round();
        // 2^63 is exact in f64, and the first value that an i64 does not hold. NaN fails too.
        if millionths.abs() < 9_223_372_036_854_775_808.0 {
            Ok(Score(millionths as i64))
        } else {
            Err(NotAScore { value, at: None })
        }
    }

    /// The score in millionths.
    pub const fn millionths(self) -> i64 {
        self.0
    }

    /// The score as a floating-point number.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

/// As a decimal number with six places.
impl Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.unsigned_abs();
        let digits = format!("{}.{:06}", size / 1_000_000, size % 1_000_000);
        f.pad_integral(self.0 >= 0, "", &digits)
    }
}

/// A model's answer that is no score. It costs the row it is about, and no other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NotAScore {
    /// The answer, or the part of it that is wrong.
    pub value: f64,
    /// Which number of an answer of several it is, from 0.
    pub at: Option<usize>,
}

impl Display for NotAScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "number {at} of the model's answer is {}", self.value)?,
            None => write!(f, "the model's answer is {}", self.value)?,
        }
        f.write_str(", which is no score: look at the features it was given")
    }
}

impl std::error::Error for NotAScore {}

/// What scores can be: anything that travels between workers and is equal or not. Implemented for
/// every type with these bounds.
pub trait Quantised: tidemill::Data + Ord + Hash {}
impl<T: tidemill::Data + Ord + Hash> Quantised for T {}

/// What a model answers of one row, and the exact [`Score`]s it becomes.
///
/// Implemented for `f32` and `f64`, for arrays of up to 32 `f32`s, and for `Vec<f32>`, whose
/// length may differ from row to row. Implement it for an answer of your own to keep names:
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tidemill_inference::{Answer, NotAScore, Score};
///
/// struct Guess { class: u32, sure: f32 }
///
/// #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
/// struct Class { class: u32, sure: Score }
///
/// impl Answer for Guess {
///     type Score = Class;
///     fn quantise(self) -> Result<Class, NotAScore> {
///         Ok(Class { class: self.class, sure: self.sure.quantise()? })
///     }
/// }
/// ```
pub trait Answer: Send + 'static {
    /// The answer made exact.
    type Score: Quantised;

    /// Makes the answer exact.
    ///
    /// # Errors
    ///
    /// A number in it is NaN, infinite, or too large for a [`Score`].
    fn quantise(self) -> Result<Self::Score, NotAScore>;
}

impl Answer for f32 {
    type Score = Score;
    fn quantise(self) -> Result<Score, NotAScore> {
        Score::new(f64::from(self))
    }
}

impl Answer for f64 {
    type Score = Score;
    fn quantise(self) -> Result<Score, NotAScore> {
        Score::new(self)
    }
}

impl Answer for Vec<f32> {
    type Score = Vec<Score>;
    fn quantise(self) -> Result<Vec<Score>, NotAScore> {
        let part = |(at, value)| part(at, value);
        self.into_iter().enumerate().map(part).collect()
    }
}

/// The score of number `at` of an answer of several.
fn part(at: usize, value: f32) -> Result<Score, NotAScore> {
    let placed = |wrong| NotAScore { at: Some(at), ..wrong };
    value.quantise().map_err(placed)
}

/// For the sizes that serde knows.
macro_rules! arrays {
    ($($n:literal)*) => {$(
        impl Answer for [f32; $n] {
            type Score = [Score; $n];
            fn quantise(self) -> Result<[Score; $n], NotAScore> {
                let mut scores = [Score::default(); $n];
                for (at, value) in self.into_iter().enumerate() {
                    scores[at] = part(at, value)?;
                }
                Ok(scores)
            }
        }
    )*};
}
arrays!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_the_nearest_millionth() {
        let millionths = |value: f64| Score::new(value).map(Score::millionths);
        assert_eq!(millionths(0.123_456_4), Ok(123_456));
        assert_eq!(millionths(-0.123_456_6), Ok(-123_457));
        assert_eq!(millionths(-0.0), Ok(0));
        assert_eq!(millionths(9.2e12), Ok(9_200_000_000_000_000_000));
        assert_eq!(0.1f32.quantise(), Ok(Score::from_millionths(100_000)));
    }

    #[test]
    fn what_is_no_number_is_no_score() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 9.3e12, -1e300] {
            assert!(Score::new(value).is_err(), "{value}");
        }
        let wrong = [0.5, f32::NAN, 0.5].quantise().unwrap_err();
        assert_eq!(wrong.at, Some(1));
        assert!(wrong.to_string().contains("number 1"), "{wrong}");
        assert!(vec![f32::INFINITY].quantise().is_err());
    }

    #[test]
    fn scores_print_as_decimals() {
        assert_eq!(Score::from_millionths(-1_500_000).to_string(), "-1.500000");
        assert_eq!(format!("{:>10}", Score::from_millionths(7)), "  0.000007");
        assert_eq!(Score::from_millionths(i64::MIN).to_string(), "-9223372036854.775808");
    }

    #[test]
    fn answers_of_several_numbers_keep_their_order() {
        let expected = [Score::ONE, Score::default()];
        assert_eq!([1.0, 0.0].quantise(), Ok(expected));
        assert_eq!(vec![1.0, 0.0].quantise(), Ok(expected.to_vec()));
    }
}
