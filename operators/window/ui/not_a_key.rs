use tidemill::{Events, Job, Result, Timing};

pub fn graph(job: &Job<'_>) -> Result<()> {
    let events = job.source("events", Events::new(vec![(1i64, 2.5f64)]), Timing::by(|event: &(i64, f64)| event.0))?;
    let _by_price = events.key_by(|event| event.1);
    Ok(())
}

fn main() {}
