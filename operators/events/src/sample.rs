//! Sampling by a hash.

use serde::Serialize;
use tidemill::hash::stable_hash;

/// Whether a key is among the `fraction` of keys that are chosen.
pub(crate) fn chooser<K: Serialize>(fraction: f64) -> impl Fn(&K) -> bool + Copy {
    // From one fraction to a greater one, keys are only added.
    let bound = (fraction.clamp(0.0, 1.0) * 2f64.powi(64)) as u128;
    // Hashed twice, for the hash itself says which worker has the key.
    move |key| u128::from(stable_hash(&stable_hash(key))) < bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_the_fraction_is_chosen_and_greater_fractions_hold_smaller_ones() {
        let keys = 0u64..100_000;
        let tenth: Vec<u64> = keys.clone().filter(chooser(0.1)).collect();
        assert!((9_700..10_300).contains(&tenth.len()), "{}", tenth.len());
        assert!(tenth.iter().all(chooser(0.3)));
        assert_eq!(keys.clone().filter(chooser(0.0)).count(), 0);
        assert_eq!(keys.clone().filter(chooser(f64::NAN)).count(), 0);
        assert_eq!(keys.filter(chooser(1.0)).count(), 100_000);
    }
}
