//! CPU time of the whole process as what Criterion measures: other programs on the machine then hardly matter, and
//! threads that work beside the worker count.

use criterion::Throughput;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// CPU time, in nanoseconds.
pub struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let spent = clock_gettime(ClockId::ProcessCPUTime);
        Duration::new(spent.tv_sec.unsigned_abs(), spent.tv_nsec as u32)
    }

    fn end(&self, start: Duration) -> Duration {
        self.start().saturating_sub(start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, spent: &Duration) -> f64 {
        spent.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &PerCpuSecond
    }
}

struct PerCpuSecond;

impl ValueFormatter for PerCpuSecond {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_values(typical, values)
    }

    fn scale_throughputs(&self, _: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        let (Throughput::Elements(each) | Throughput::ElementsAndBytes { elements: each, .. }) = *throughput else {
            return "(unknown)";
        };
        values.iter_mut().for_each(|ns| *ns = each as f64 * 1e3 / *ns);
        "million events/CPU s"
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "ns"
    }
}
