//! Recommendations from a shop's stream: the data sets they are judged on, the graph that answers, and the judging.

pub mod batch;
pub mod data;
pub mod days;
pub mod forget;
pub mod graph;
pub mod live;
pub mod metrics;
pub mod protocol;
pub mod published;
pub mod taste;
pub mod transformer;
