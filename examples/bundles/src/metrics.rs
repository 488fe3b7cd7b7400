//! How good lists for next baskets are.

use std::collections::{BTreeMap, BTreeSet};

/// Of lists, best item first, and the baskets that were bought then: the means of these, each at 10 and 20, and how many there
/// were. As the TIFU-kNN paper (see [`TifuKnn`](tidemill_recommend::TifuKnn)) computes them:
///
/// - `recall`: the share of the basket that is in the list;
/// - `ndcg`: normalised discounted cumulative gain, where the ideal is the whole basket, also if it is longer than the list;
/// - `phr`: personal hit ratio, 1 if any item of the basket is in the list.
pub fn metrics<'a>(lists: impl IntoIterator<Item = (&'a [u64], &'a BTreeSet<u64>)>) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    let mut n = 0.0;
    let discount = |place: usize| 1.0 / (place as f64 + 2.0).log2();
    for (list, basket) in lists {
        n += 1.0;
        let ideal: f64 = (0..basket.len()).map(discount).sum();
        for cut in [10, 20] {
            let hits = || list.iter().take(cut).enumerate().filter(|(_, item)| basket.contains(item));
            let mut add = |name: &str, value: f64| *sums.entry(format!("{name}@{cut}")).or_default() += value;
            add("recall", hits().count() as f64 / basket.len() as f64);
            add("ndcg", hits().map(|(place, _)| discount(place)).sum::<f64>() / ideal);
            add("phr", f64::from(u8::from(hits().next().is_some())));
        }
    }
    let mut means: BTreeMap<_, _> = sums.into_iter().map(|(name, sum)| (name, sum / n)).collect();
    means.insert("n".to_owned(), n);
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_as_defined() {
        let long: Vec<u64> = (0..20).collect();
        let (one, two) = (BTreeSet::from([1, 15, 30, 31]), BTreeSet::from([40]));
        let metrics = metrics([(long.as_slice(), &one), (long.as_slice(), &two)]);
        assert_eq!((metrics["recall@10"], metrics["recall@20"]), (0.25 / 2.0, 0.5 / 2.0));
        assert_eq!((metrics["phr@10"], metrics["n"]), (0.5, 2.0));
        let ideal = 1.0 + 1.0 / 3f64.log2() + 0.5 + 1.0 / 5f64.log2();
        assert_eq!(metrics["ndcg@10"], (1.0 / 3f64.log2()) / ideal / 2.0);
    }
}
