use tidemill::{Events, Job, Memory, Result, Timing};

struct Totals;

pub fn graph(job: &Job<'_>) -> Result<()> {
    let events = job.source("events", Events::new(vec![(1i64, 2u32)]), Timing::by(|event: &(i64, u32)| event.0))?;
    events.key_by(|event| event.1).maintain("totals", Totals)?.sink("out", Memory::new())
}

fn main() {}
