use tidemill::time::minutes;
use tidemill::{Events, Job, Result, Timing};
use tidemill_window::{IntoWindows, Windows};

struct Totals;

pub fn graph(job: &Job<'_>) -> Result<()> {
    let events = job.source("events", Events::new(vec![(1i64, 2u32)]), Timing::by(|event: &(i64, u32)| event.0))?;
    events.key_by(|event| event.1).window(Windows::tumbling(minutes(1)), Totals);
    Ok(())
}

fn main() {}
