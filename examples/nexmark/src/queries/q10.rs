//! q10, log to file system: every bid as a line of a file, one file a minute, one folder a day.

use crate::event::{Bid, Event, Kinds};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tidemill::time::{days, minutes};
use tidemill::{Epoch, Millis, Record, Result, Sink, SinkError, Stream};

/// A line, and the file it is in: `YYYY-MM-DD/HH-MM.csv`, in UTC.
pub type Logged = (String, String);

/// Bids are written to `folder` as they come, as `auction,bidder,price,time,extra`; the sink is one of our own.
pub fn query(events: Stream<'_, Event>, folder: &Path) -> Result<()> {
    events.bids().sink("log", MinuteFiles::new(folder))
}

/// Writes each bid to the file of its minute.
///
/// A folder with something in it is refused, for that might be taken for a part of this log. Others can read what is
/// written as soon as its epoch is over.
struct MinuteFiles {
    folder: PathBuf,
    /// Whether the folder has been looked at. It is not before the first bid, for every worker makes a sink, and one
    /// writes.
    begun: bool,
    /// By minute.
    open: BTreeMap<i64, BufWriter<File>>,
}

/// More files than this are not kept open from one epoch to the next: bids that come later open theirs again.
const MOST_OPEN: usize = 16;

impl MinuteFiles {
    fn new(folder: &Path) -> Self {
        MinuteFiles { folder: folder.to_owned(), begun: false, open: BTreeMap::new() }
    }

    fn begin(&mut self) -> Result<(), SinkError> {
        fs::create_dir_all(&self.folder).map_err(|error| self.failed(&error))?;
        if fs::read_dir(&self.folder).map_err(|error| self.failed(&error))?.next().is_some() {
            let folder = self.folder.display();
            return Err(SinkError::new(format!("there is something in `{folder}` already: name an empty folder")));
        }
        self.begun = true;
        Ok(())
    }

    fn log(&mut self, bid: &Bid) -> io::Result<()> {
        let file = match self.open.entry(bid.time.div_euclid(minutes(1))) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(minute) => {
                let path = self.folder.join(file_of(bid.time));
                fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
                minute.insert(BufWriter::new(File::options().create(true).append(true).open(path)?))
            }
        };
        writeln!(file, "{},{},{},{},{}", bid.auction, bid.bidder, bid.price, bid.time, bid.extra)
    }

    /// Hands everything to the operating system, and closes all files but the last few.
    fn flush(&mut self) -> io::Result<()> {
        self.open.values_mut().try_for_each(BufWriter::flush)?;
        while self.open.len() > MOST_OPEN {
            self.open.pop_first();
        }
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> SinkError {
        let folder = self.folder.display();
        SinkError::new(format!("`{folder}` cannot be written ({error}): check the path and the disk, and run again"))
    }
}

impl Sink for MinuteFiles {
    type Item = Record<Bid>;

    fn write(&mut self, _: Epoch, bids: &mut Vec<Record<Bid>>) -> Result<(), SinkError> {
        if !self.begun {
            self.begin()?;
        }
        bids.drain(..).try_for_each(|bid| self.log(&bid.value)).map_err(|error| self.failed(&error))
    }

    fn commit(&mut self, _: Epoch) -> Result<(), SinkError> {
        self.flush().map_err(|error| self.failed(&error))
    }
}

/// The file of a time.
fn file_of(time: Millis) -> String {
    let (year, month, day) = date(time.div_euclid(days(1)));
    let minute = time.rem_euclid(days(1)) / minutes(1);
    format!("{year:04}-{month:02}-{day:02}/{:02}-{:02}.csv", minute / 60, minute % 60)
}

/// Year, month and day of so many days after 1970-01-01. Years are taken to begin in March, so that the leap day is
/// their last and months follow a regular pattern of 153 days in five.
fn date(days: i64) -> (i64, i64, i64) {
    const ERA: i64 = 400 * 365 + 97;
    let days = days + 719_468; // from 0000-03-01 to 1970-01-01
    let (era, day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (day - day / 1_460 + day / 36_524 - day / (ERA - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (era * 400 + year, month + 3);
    if month > 12 { (year + 1, month - 12, day_of_month) } else { (year, month, day_of_month) }
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<Logged> {
    let leap = |year: i64| year % 4 == 0 && year % 100 != 0 || year % 400 == 0;
    let mut rows = vec![];
    for bid in events.iter().filter_map(Event::bid) {
        let (mut days, mut year, mut month) = (bid.time / 86_400_000, 1970, 0);
        while days >= 365 + i64::from(leap(year)) {
            days -= 365 + i64::from(leap(year));
            year += 1;
        }
        let months = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        while days >= months[month] {
            days -= months[month];
            month += 1;
        }
        let (hour, minute) = (bid.time / 3_600_000 % 24, bid.time / 60_000 % 60);
        let file = format!("{year}-{:02}-{:02}/{hour:02}-{minute:02}.csv", month + 1, days + 1);
        let Bid { auction, bidder, price, time, extra, .. } = bid;
        rows.push((file, format!("{auction},{bidder},{price},{time},{extra}")));
    }
    rows
}

/// What is in a log: every line with its file.
pub fn read(folder: &Path) -> io::Result<Vec<Logged>> {
    let mut rows = vec![];
    for day in fs::read_dir(folder)? {
        let day = day?;
        for minute in fs::read_dir(day.path())? {
            let minute = minute?;
            let file = format!("{}/{}", day.file_name().display(), minute.file_name().display());
            rows.extend(fs::read_to_string(minute.path())?.lines().map(|line| (file.clone(), line.to_owned())));
        }
    }
    Ok(rows)
}
