//! The shop as a source of a job, or a file.

use std::io::{self, Write};
use tidemill::{Batch, ReadStatus, Reader, Source, SourceError};
use tidemill_shop::Line;

use crate::settings::Settings;
use crate::simulation::Simulation;

/// A source of a shop's lines, as they are simulated: one partition, whose offsets count lines. To go on from an
/// offset it simulates the shop again up to there.
#[derive(Clone, Debug)]
pub struct SimulatedShop {
    settings: Settings,
    days: u32,
}

impl SimulatedShop {
    /// The whole shop.
    pub fn new(settings: Settings) -> Self {
        SimulatedShop { days: settings.days, settings }
    }

    /// Its first days only.
    pub fn first_days(mut self, days: u32) -> Self {
        self.days = days;
        self
    }
}

impl Source for SimulatedShop {
    type Item = Line;
    type Reader = SimulatedReader;

    fn partitions(&self) -> Result<usize, SourceError> {
        Ok(1)
    }

    fn open(&self, _: usize, offset: u64) -> Result<SimulatedReader, SourceError> {
        let mut lines = Simulation::new(self.settings.clone()).first_days(self.days);
        let skipped = lines.by_ref().take(offset as usize).count() as u64;
        Ok(SimulatedReader { lines, offset: skipped })
    }
}

/// Reads a [`SimulatedShop`].
pub struct SimulatedReader {
    lines: Simulation,
    offset: u64,
}

impl Reader for SimulatedReader {
    type Item = Line;

    fn read(&mut self, limit: usize, batch: &mut Batch<Line>) -> Result<ReadStatus, SourceError> {
        let mut read = 0;
        for line in self.lines.by_ref().take(limit) {
            batch.push(line);
            read += 1;
        }
        self.offset += read as u64;
        Ok(if read < limit { ReadStatus::Done } else { ReadStatus::Ready })
    }

    fn offset(&self) -> u64 {
        self.offset
    }

    fn progress(&self) -> u64 {
        self.offset
    }
}

/// Writes lines as JSON, one a line.
///
/// # Errors
///
/// What keeps them from being written.
pub fn write_jsonl(lines: impl IntoIterator<Item = Line>, mut to: impl Write) -> io::Result<()> {
    for line in lines {
        serde_json::to_writer(&mut to, &line)?;
        to.write_all(b"\n")?;
    }
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { users: 60, items: 80, categories: 5, days: 6, views: 20, ..Settings::default() }
    }

    fn read(shop: &SimulatedShop, offset: u64, limit: usize) -> Vec<Line> {
        let (mut reader, mut batch) = (shop.open(0, offset).unwrap(), Batch::new());
        while reader.read(limit, &mut batch).unwrap() == ReadStatus::Ready {}
        assert_eq!(reader.offset(), offset + batch.items().len() as u64);
        batch.items().to_vec()
    }

    #[test]
    fn it_goes_on_where_it_was_left() {
        let shop = SimulatedShop::new(settings());
        let all: Vec<Line> = Simulation::new(settings()).collect();
        assert!(all.len() > 1_000);
        for (offset, limit) in [(0, 7), (0, all.len()), (1, 100), (777, 64), (all.len() - 1, 5), (all.len(), 5)] {
            assert_eq!(read(&shop, offset as u64, limit), all[offset..]);
        }
    }

    #[test]
    fn it_ends_where_it_is_told() {
        let all: Vec<Line> = Simulation::new(settings()).collect();
        let two_days = read(&SimulatedShop::new(settings()).first_days(2), 0, 100);
        assert_eq!(two_days, Simulation::new(settings()).first_days(2).collect::<Vec<_>>());
        assert!(two_days.len() < all.len() / 2);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut file = Vec::new();
        write_jsonl(Simulation::new(settings()), &mut file).unwrap();
        let text = String::from_utf8(file).unwrap();
        let read: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, Simulation::new(settings()).collect::<Vec<_>>());
    }
}
