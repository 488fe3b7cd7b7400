//! Quantiles, from a sketch of bounded size.

use crate::Aggregate;
use ordered_float::OrderedFloat;
use sketches_ddsketch::DDSketch;
use std::marker::PhantomData;
use tidemill::Data;

/// Quantiles of a number of each event, each within 1 % of a true one: a DDSketch (Masson, Rim and Lee, VLDB 2019) of at
/// most 2,048 counters for each sign. Numbers that are not finite are left out; where there are no others, quantiles are NaN.
///
/// The counters reach 17 orders of magnitude down from the greatest number of their sign: smaller ones count as the smallest
/// that there is a counter for. Numbers up to 1e-9 on either side of 0 count as 0.
#[derive(Clone, Debug)]
pub struct Quantiles<T, F> {
    levels: Vec<f64>,
    number: F,
    events: PhantomData<fn(&T)>,
}

impl<T, F: Fn(&T) -> f64> Quantiles<T, F> {
    /// The quantiles at `levels` (0.5 is the median; what is outside 0 to 1 is taken to the nearer end) of what `number`
    /// says of each event.
    pub fn of(levels: &[f64], number: F) -> Self {
        Quantiles { levels: levels.iter().map(|level| level.clamp(0.0, 1.0)).collect(), number, events: PhantomData }
    }
}

impl<T: Data, F: Fn(&T) -> f64 + 'static> Aggregate for Quantiles<T, F> {
    type In = T;
    type Acc = DDSketch;
    type Out = Vec<OrderedFloat<f64>>;

    #[inline]
    fn add(&self, sketch: &mut DDSketch, event: &T) {
        let number = (self.number)(event);
        if number.is_finite() {
            sketch.add(number);
        }
    }

    fn merge(&self, sketch: &mut DDSketch, other: &DDSketch) {
        // It refuses sketches of another accuracy only, and all of ours have one.
        let _ = sketch.merge(other);
    }

    fn result(&self, sketch: &DDSketch) -> Vec<OrderedFloat<f64>> {
        let quantile = |level: &f64| OrderedFloat(sketch.quantile(*level).ok().flatten().unwrap_or(f64::NAN));
        self.levels.iter().map(quantile).collect()
    }
}
