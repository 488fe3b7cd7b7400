//! How good ranks are.

use std::collections::BTreeMap;

/// Of questions and the ranks of their targets, `None` for one that was not found: hit rate, mean reciprocal rank and
/// normalised discounted cumulative gain (one relevant item, so its ideal is 1), each at 10 and 20; and how many there were.
pub fn metrics(ranks: impl IntoIterator<Item = Option<u32>>) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    let mut n = 0.0;
    for rank in ranks {
        n += 1.0;
        for cut in [10, 20] {
            let found = rank.filter(|rank| *rank <= cut).map(f64::from);
            let mut add = |name: &str, gain: f64| *sums.entry(format!("{name}@{cut}")).or_default() += gain;
            add("hr", f64::from(u8::from(found.is_some())));
            add("mrr", found.map_or(0.0, |rank| 1.0 / rank));
            add("ndcg", found.map_or(0.0, |rank| 1.0 / (rank + 1.0).log2()));
        }
    }
    let mut means: BTreeMap<_, _> = sums.into_iter().map(|(name, sum)| (name, sum / f64::max(n, 1.0))).collect();
    means.insert("n".to_owned(), n);
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_as_defined() {
        let metrics = metrics([Some(1), Some(3), Some(15), None]);
        assert_eq!((metrics["hr@10"], metrics["hr@20"], metrics["n"]), (0.5, 0.75, 4.0));
        assert_eq!(metrics["mrr@10"], (1.0 + 1.0 / 3.0) / 4.0);
        assert_eq!(metrics["ndcg@10"], (1.0 + 0.5) / 4.0);
        assert_eq!(metrics["ndcg@20"], (1.0 + 0.5 + 0.25) / 4.0);
    }
}
