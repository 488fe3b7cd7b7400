use tidemill::{Events, Job, Result, Timing};

#[derive(Clone)]
struct Click {
    time: i64,
}

pub fn graph(job: &Job<'_>) -> Result<()> {
    let clicks = vec![Click { time: 1 }];
    job.source("clicks", Events::new(clicks), Timing::by(|click: &Click| click.time))?.for_each(|_| ());
    Ok(())
}

fn main() {}
