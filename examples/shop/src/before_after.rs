//! What a single event touches: the lines of a run, with events that each have an epoch of their own at its end.

use rustc_hash::FxHashMap;
use tidemill::Millis;
use tidemill_shop::{Kind, Line, Rules};

/// Lines an epoch.
pub const EPOCH: usize = 1_024;

/// A line that says nothing and is dropped: it holds a place in the stream.
pub fn filler(id: u64, time: Millis) -> Line {
    Line {
        id,
        time,
        kind: Kind::Unknown,
        user: None,
        item: None,
        order: None,
        category: None,
        number: None,
        amount: None,
        currency: None,
    }
}

/// The lines, filled up to whole epochs, and then each of `events` at the beginning of an epoch of its own.
pub fn with_events(mut lines: Vec<Line>, events: &[Line]) -> Vec<Line> {
    let last = events.iter().map(|line| line.time).min().unwrap_or(0);
    fill(&mut lines, last);
    for event in events {
        lines.push(*event);
        fill(&mut lines, event.time);
    }
    lines
}

/// Fills the last epoch up.
pub(crate) fn fill(lines: &mut Vec<Line>, time: Millis) {
    let whole = lines.len().next_multiple_of(EPOCH);
    // Ids from the top, which no simulation uses.
    lines.extend((lines.len()..whole).map(|place| filler(u64::MAX - place as u64, time)));
}

/// The same lines without those of a user, whose places are held.
pub fn without(lines: &[Line], user: u64) -> Vec<Line> {
    let held = |line: &Line| if line.user == Some(user) { filler(line.id, line.time) } else { *line };
    lines.iter().map(held).collect()
}

/// The same lines as if what was cancelled had never been bought: a cancellation takes from the latest purchases of its item by
/// its user, of its order if it names one. Places are held.
pub fn uncancelled(lines: &[Line], rules: &Rules) -> Vec<Line> {
    let mut left = lines.to_vec();
    let mut bought: FxHashMap<(u64, u64), Vec<usize>> = FxHashMap::default();
    for (place, line) in lines.iter().enumerate() {
        let (Some(user), Some(item), Ok(_)) = (line.user, line.item, rules.check(line)) else { continue };
        match line.kind {
            Kind::Purchase => bought.entry((user, item)).or_default().push(place),
            Kind::Cancellation => {
                let mut cancelled = line.number.unwrap_or(0);
                for place in bought.get(&(user, item)).into_iter().flatten().rev() {
                    let Line { number: Some(number), order, .. } = &mut left[*place] else { continue };
                    if line.order.is_some() && line.order != *order {
                        continue;
                    }
                    let taken = cancelled.min(*number);
                    (*number, cancelled) = (*number - taken, cancelled - taken);
                }
                left[place] = filler(line.id, line.time);
            }
            _ => {}
        }
    }
    let nothing = |line: &Line| line.kind == Kind::Purchase && line.number == Some(0);
    left.into_iter().map(|line| if nothing(&line) { filler(line.id, line.time) } else { line }).collect()
}
