use tidemill::{Events, Job, Result, Timing};

struct Totals;

pub fn graph(job: &Job<'_>) -> Result<()> {
    let events = job.source("events", Events::new(vec![(1i64, 2u32)]), Timing::by(|event: &(i64, u32)| event.0))?;
    events.key_by(|event| event.1).kernel("totals", Totals)?;
    Ok(())
}

fn main() {}
