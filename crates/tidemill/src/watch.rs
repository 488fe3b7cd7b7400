//! Measures how long epochs take, from tick to results.

use crate::report::Latency;
use crate::time::Epoch;
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::time::Instant;
use timely::dataflow::ProbeHandle;

/// The epochs under way, and how long those before took.
pub(crate) struct Watch {
    began: VecDeque<(Epoch, Instant)>,
    /// In microseconds, to three digits. `None` if there is no memory for it.
    took: Option<Histogram<u64>>,
}

impl Default for Watch {
    fn default() -> Self {
        Watch { began: VecDeque::new(), took: Histogram::new(3).ok() }
    }
}

impl Watch {
    /// An epoch begins.
    pub fn began(&mut self, epoch: Epoch) {
        self.began.push_back((epoch, Instant::now()));
    }

    /// Takes the time of the epochs that `probe` has passed.
    pub fn observe(&mut self, probe: &ProbeHandle<Epoch>) {
        while let Some((_, began)) = self.began.pop_front_if(|(epoch, _)| !probe.less_equal(epoch)) {
            if let Some(took) = &mut self.took {
                // It grows as needed; only memory could end that.
                let _ = took.record(began.elapsed().as_micros() as u64);
            }
        }
    }

    /// The percentiles of all epochs so far.
    pub fn latency(&self) -> Latency {
        let ms = |us: u64| us as f64 / 1000.0;
        self.took.as_ref().map_or(Latency::default(), |took| Latency {
            count: took.len(),
            p50_ms: ms(took.value_at_quantile(0.5)),
            p99_ms: ms(took.value_at_quantile(0.99)),
            p999_ms: ms(took.value_at_quantile(0.999)),
            max_ms: ms(took.max()),
        })
    }
}
