//! Sampling by a hash.

use serde::Serialize;
use tidemill::hash::stable_hash;

/// Whether a key is among the `fraction` of keys that are chosen.
pub(crate) fn chooser<K: Serialize>(fraction: f64) -> impl Fn(&K) -> bool + Copy {
    // From one fraction to a greater one, keys are only added.
    let bound = (fraction.clamp(0.0, 1.0) * 2f64.powi(64)) as u128;
    // Hashed twice: by the first hash keys go to workers, so that the least ones are all on the first workers.
    move |key| u128::from(stable_hash(&stable_hash(key))) < bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill::hash::{group_of, owner_of};

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

    #[test]
    fn every_worker_has_its_share_of_the_keys_that_are_chosen() {
        for fraction in [0.05, 0.25, 0.5] {
            let mut shares = [0; 4];
            let chosen = (0u64..100_000).filter(chooser(fraction));
            chosen.for_each(|key| shares[owner_of(group_of(stable_hash(&key)), 4)] += 1);
            let fair = fraction * 25_000.0;
            let near = |share: &i32| (f64::from(*share) - fair).abs() < 0.1 * fair;
            assert!(shares.iter().all(near), "{shares:?} of {fraction}");
        }
    }
}
