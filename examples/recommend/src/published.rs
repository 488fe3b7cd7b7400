//! What others have published for the same data and protocols.

/// A published result.
pub struct Published {
    data: &'static str,
    protocol: &'static str,
    /// What it is of, and where it stands.
    pub of: &'static str,
    /// Metrics and their values.
    pub figures: &'static str,
}

const fn published(data: &'static str, protocol: &'static str, of: &'static str, figures: &'static str) -> Published {
    Published { data, protocol, of, figures }
}

const ALL: [Published; 11] = [
    published("beauty", "leave-one-out-full", "SASRec as usually reported", "hr@10 .0605  ndcg@10 .0318"),
    published("beauty", "leave-one-out-full", "SASRec with cross-entropy", "hr@10 .0848  ndcg@10 .0432"),
    published("video", "leave-one-out-100", "most popular (SASRec's paper)", "hr@10 .4724  ndcg@10 .2779"),
    published("video", "leave-one-out-100", "SASRec's paper", "hr@10 .7410  ndcg@10 .5360"),
    published("video", "leave-one-out-100", "SASRec.pytorch as the paper's", "hr@10 .7318  ndcg@10 .5308"),
    published("video", "leave-one-out-100", "SASRec.pytorch, normalised before", "hr@10 .7442  ndcg@10 .5376"),
    published("serenade", "sessions-current-item-excluded", "Serenade", "mrr@20 .340"),
    published("diginetica", "sessions", "VS-kNN of session-rec", "hr@20 .5203  mrr@20 .1841"),
    published("diginetica", "sessions", "GRU4Rec of session-rec", "hr@20 .510  mrr@20 .175"),
    published("diginetica", "sessions", "SR-GNN's paper", "hr@20 .5073  mrr@20 .1759"),
    published("diginetica", "sessions", "GCE-GNN's paper", "hr@20 .5422  mrr@20 .1904"),
];

/// What there is for a data set under a protocol, as `recommend evaluate` calls both.
pub fn of(data: &str, protocol: &str) -> impl Iterator<Item = &'static Published> {
    ALL.iter().filter(move |row| (row.data, row.protocol) == (data, protocol))
}
