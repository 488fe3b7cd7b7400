use tidemill::{Console, Events, Job, Result, Timing, Update};

pub fn graph(job: &Job<'_>) -> Result<()> {
    let events = job.source("events", Events::new(vec![1i64]), Timing::by(|event: &i64| *event))?;
    events.sink("out", Console::<Update<i64>>::new())
}

fn main() {}
