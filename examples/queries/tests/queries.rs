//! The queries against plain loops over the same events, and the input against what every engine reads.

use queries::checksum::row_hash;
use queries::event::{self, Event, EventType};
use queries::generate::Generator;
use queries::query::{Query, answer};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tempfile::TempDir;
use tidemill::Config;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// An answer as the number of its rows and their checksum.
type Sum = (u64, u64);

fn sum(rows: impl Iterator<Item = Vec<u64>>) -> Sum {
    rows.fold((0, 0), |(n, sum), row| (n + 1, sum.wrapping_add(row_hash(&row))))
}

fn q1(events: &[Event]) -> Sum {
    let kept = events.iter().filter(|e| e.event_type != EventType::View && e.amount >= 2000);
    sum(kept.map(|e| vec![e.event_id, e.ts as u64, e.user_id as u64, e.item_id as u64, e.amount as u64]))
}

fn q2(events: &[Event]) -> Sum {
    let mut minutes: BTreeMap<(i64, u32), (u64, i64)> = BTreeMap::new();
    for e in events {
        let slot = minutes.entry((e.ts / MINUTE * MINUTE, e.item_id)).or_default();
        *slot = (slot.0 + 1, slot.1 + e.amount);
    }
    sum(minutes.into_iter().map(|((start, item), (n, cents))| vec![start as u64, item as u64, n, cents as u64]))
}

fn hopping(events: &[Event]) -> Sum {
    let mut days: BTreeMap<(i64, u32), (u64, i64)> = BTreeMap::new();
    for e in events {
        let last = e.ts / HOUR * HOUR;
        for start in (0..24).map(|hours| last - hours * HOUR) {
            let slot = days.entry((start, e.item_id)).or_default();
            *slot = (slot.0 + 1, slot.1 + e.amount);
        }
    }
    sum(days.into_iter().map(|((start, item), (n, cents))| vec![start as u64, item as u64, n, cents as u64]))
}

fn q3(events: &[Event]) -> Sum {
    let mut users: BTreeMap<u32, Vec<&Event>> = BTreeMap::new();
    events.iter().for_each(|e| users.entry(e.user_id).or_default().push(e));
    let row = |e: &Event| {
        let mut row = vec![e.event_id, e.user_id as u64];
        for width in [DAY, 7 * DAY] {
            let within = users[&e.user_id].iter().filter(|past| (e.ts - width..=e.ts).contains(&past.ts));
            let (n, cents) = within.fold((0, 0), |(n, cents), past| (n + 1, cents + past.amount));
            row.extend([n, cents as u64]);
        }
        row
    };
    sum(events.iter().map(row))
}

fn q4(events: &[Event]) -> Sum {
    let mut counts: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    events.iter().for_each(|e| *counts.entry((e.category_id, e.item_id)).or_default() += 1);
    let mut items: Vec<_> = counts.into_iter().map(|((category, item), n)| (category, Reverse(n), item)).collect();
    items.sort();
    let tops = items.chunk_by(|a, b| a.0 == b.0).flat_map(|category| category.iter().take(10));
    sum(tops.map(|(category, Reverse(n), item)| vec![*category as u64, *item as u64, *n]))
}

/// The first `rows` events as one file and as two halves.
fn files(rows: u64) -> (TempDir, PathBuf, Vec<PathBuf>) {
    let mut text = Vec::new();
    Generator::default().write(rows, &mut text).unwrap();
    write(&text)
}

fn write(text: &[u8]) -> (TempDir, PathBuf, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let middle = text.len() / 2 + text[text.len() / 2..].iter().position(|b| *b == b'\n').unwrap() + 1;
    for (name, part) in [("all.csv", text), ("0.csv", &text[..middle]), ("1.csv", &text[middle..])] {
        std::fs::write(path(name), part).unwrap();
    }
    let (all, halves) = (path("all.csv"), vec![path("0.csv"), path("1.csv")]);
    (folder, all, halves)
}

/// Checks all queries on any number of workers, read either way, from one file and from two.
fn check(events: &[Event], all: &PathBuf, halves: &[PathBuf]) {
    let expected = [q1(events), q2(events), q3(events), q4(events), hopping(events)];
    let queries = [Query::Q1, Query::Q2, Query::Q3, Query::Q4, Query::Hopping];
    for (query, expected) in queries.into_iter().zip(expected) {
        for workers in [1, 2, 4] {
            let run = [
                answer(query, event::lines(all), Config::workers(workers)),
                answer(query, event::lines(halves), Config::workers(workers)),
                answer(query, event::csv(halves), Config::workers(workers)),
            ];
            for (answer, did) in run.map(Result::unwrap) {
                assert_eq!(answer.checksum(), expected.1, "{query:?}, {workers} workers");
                // What is retracted and added on the way depends on where epochs were cut.
                assert!(answer.rows() == expected.0 || query == Query::Q4, "{query:?}, {workers} workers");
                assert_eq!((did.records, did.dead()), (events.len() as u64, 0));
            }
        }
    }
}

#[test]
fn queries_answer_as_plain_loops_do() {
    let (_folder, all, halves) = files(20_000);
    let generator = Generator::default();
    let events: Vec<Event> = (0..20_000).map(|i| generator.event(i)).collect();
    check(&events, &all, &halves);
}

/// Few users over many days, several events in the same millisecond.
#[test]
fn queries_answer_as_plain_loops_do_where_much_happens_at_once() {
    let generator = Generator::default();
    let event = |i| {
        let e = generator.event(i);
        let ts = (i as i64 / 3 * 15 * MINUTE) - e.ts % MINUTE / 10_000 * 10_000;
        Event { ts: 1_704_067_200_000 + ts, user_id: e.user_id % 7, ..e }
    };
    let events: Vec<Event> = (0..4_000).map(event).collect();
    let line = |e: &Event| {
        let Event { event_id, ts, user_id, item_id, category_id, event_type, amount } = e;
        format!("{event_id},{ts},{user_id},{item_id},{category_id},{},{amount}\n", event_type.name())
    };
    let text: String = events.iter().map(line).collect();
    let (_folder, all, halves) = write(text.as_bytes());
    check(&events, &all, &halves);
}

/// The same input and the same answers as every other engine that ran these queries.
#[test]
fn a_million_rows_give_the_published_checksums() {
    let (_folder, all, _) = files(1_000_000);
    assert_eq!(std::fs::metadata(&all).unwrap().len(), 46_775_287);
    for (query, checksum) in [
        (Query::Q1, 0x5dfe1a50528f89e8),
        (Query::Q2, 0xdb07506e4f27b92e),
        (Query::Q3, 0xf5cb6c9e45a397b6),
        (Query::Q4, 0x89a7d0695c08c856),
    ] {
        let (answer, _) = answer(query, event::lines(&all), Config::workers(2)).unwrap();
        assert_eq!(answer.checksum(), checksum, "{query:?}: {:016x}", answer.checksum());
    }
}

#[test]
fn a_bad_line_is_a_dead_letter_either_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.csv");
    std::fs::write(&path, "0,1704067200000,1,2,3,cart,2500\n1,1704067200001,1,2,3,gift,2500\n2,x,1,2,3,cart,2500\n")
        .unwrap();
    for (answer, did) in [
        answer(Query::Q1, event::lines(&path), Config::workers(1)).unwrap(),
        answer(Query::Q1, event::csv(&path), Config::workers(1)).unwrap(),
    ] {
        assert_eq!((answer.rows(), did.dead()), (1, 2));
    }
}
