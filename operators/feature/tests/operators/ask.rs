//! Answers at once to the rows of a collection.

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tidemill::{Config, Epoch, Events, Maintain, Memory, Millis, Record, Timing, Update, execute};
use tidemill_feature::{Answer, AskAtOnce, Span, Summary, Ties, Windows};

use crate::events::{DISORDER, Event, Log, Read, Rows, counted, partitions, updates, windows};
use crate::oracle::{self, N, Shape, W};

/// Sets or clears one of a few slots; the rows are what stands in them, so the same row may stand twice.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Command {
    time: Millis,
    slot: u8,
    row: Option<Row>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Row {
    key: u8,
    time: Millis,
}

struct Slots;

impl Maintain for Slots {
    type Key = u8;
    type In = Command;
    type State = Option<Row>;
    type Row = (u8, Row);

    fn update(&self, _: &u8, row: &mut Option<Row>, commands: &mut Vec<Record<Command>>) {
        commands.drain(..).for_each(|command| *row = command.value.row);
    }

    fn rows(&self, slot: &u8, row: &Option<Row>, rows: &mut Vec<(u8, Row)>) {
        rows.extend(row.map(|row| (*slot, row)));
    }
}

/// Commands of which some set rows that are late already, and some set the same.
fn commands() -> impl Strategy<Value = Vec<Command>> {
    let row = prop::option::weighted(0.8, (0..4u8, 0..120i64));
    prop::collection::vec((0..12i64, 0..6u8, row), 0..60).prop_map(|commands| {
        let step = |now: &mut Millis, (gap, slot, row): (Millis, u8, Option<(u8, Millis)>)| {
            *now += gap;
            let row = row.map(|(key, back)| Row { key, time: (*now - back) / 4 * 4 });
            Some(Command { time: *now, slot, row })
        };
        commands.into_iter().scan(1_000, step).collect()
    })
}

type Answered = (Row, Answer<N, W>);
type Changes = Vec<(Epoch, Update<Answered>)>;

#[derive(Clone, Debug, PartialEq)]
struct Ran {
    facts: Read,
    /// The watermark of the commands, as in [`Read`].
    commands: Read,
    rows: Vec<(Epoch, Update<Row>)>,
    answers: Changes,
    late: Vec<(Epoch, Event)>,
}

fn run(facts: &[Vec<Event>], commands: &[Command], windows: Windows<W>, workers: usize, records: usize) -> Ran {
    let (facts, commands) = (Events::partitioned(facts.to_vec()), Events::new(commands.to_vec()));
    let (log, command_log) = (Log::default(), Log::default());
    let (rows, answers, late) = (Memory::new(), Memory::new(), Memory::new());
    let to_logs = (log.clone(), command_log.clone());
    let (to_rows, to_answers, to_late) = (rows.clone(), answers.clone(), late.clone());
    execute(Config { epoch_records: records, ..Config::workers(workers) }, move |job| {
        let timing = Timing::by(|event: &Event| event.time).disorder(DISORDER);
        let facts = job.source("facts", facts.clone(), timing)?;
        let commands = job.source("commands", commands.clone(), Timing::by(|command: &Command| command.time))?;
        to_logs.0.of("log", &facts)?;
        to_logs.1.tides_of(&commands);
        let rows = commands.key_by(|command| command.slot).maintain("slots", Slots)?.map(|(_, row)| row);
        rows.clone().sink("rows", to_rows.clone())?;
        let (key, of) = (|fact: &Event| fact.key, |row: &Row| (row.key, row.time));
        let (answers, late) = rows.at_once("ask", of, facts.key_by(key), |fact| fact.values, windows)?;
        answers.sink("answers", to_answers.clone())?;
        late.sink("late", to_late.clone())
    })
    .expect("the job runs");
    let late = late.take().into_iter().map(|(epoch, record)| (epoch, record.value)).collect();
    Ran { facts: log.read(), commands: command_log.read(), rows: rows.take(), answers: answers.take(), late }
}

/// By the definition, as for questions of a stream; here they are also withdrawn, and the facts only count.
fn expected(ran: &Ran, shape: &Shape, ties: Ties, lateness: u64) -> (Changes, Vec<(Epoch, Event)>) {
    let reach = shape.iter().map(|(width, delay)| (width + delay) as i64).max().unwrap_or(0);
    let watermark = |epoch| ran.facts.before(epoch).min(ran.commands.before(epoch));
    let (mut facts, mut asked, mut rows) = (Vec::new(), Vec::<Row>::new(), Rows::new());
    let (mut changes, mut late) = (Vec::new(), Vec::new());
    let changed = ran.rows.iter().map(|(epoch, _)| *epoch);
    let epochs: BTreeSet<_> = ran.facts.epochs().into_iter().chain(ran.commands.epochs()).chain(changed).collect();
    for epoch in epochs {
        let horizon = watermark(epoch).saturating_sub_unsigned(lateness);
        let mut seen = BTreeSet::new();
        for (_, record) in ran.facts.records.iter().filter(|(at, _)| *at == epoch) {
            let behind = horizon.saturating_sub(record.time);
            if behind > 0 && behind >= reach {
                late.push((epoch, record.value));
            } else {
                seen.insert(record.value.key);
                facts.push((record.value.key, (record.time, 0u8), record.value.values));
            }
        }
        for (_, Update { row, diff }) in ran.rows.iter().filter(|(at, _)| *at == epoch) {
            if *diff < 0 {
                seen.insert(row.key);
                (*diff..0).for_each(|_| _ = asked.iter().position(|other| other == row).map(|at| asked.remove(at)));
            } else if row.time >= horizon {
                seen.insert(row.key);
                (0..*diff).for_each(|_| asked.push(*row));
            }
        }
        let moves = watermark(epoch + 1) > watermark(epoch);
        asked.retain(|row| row.time >= horizon || !(moves || seen.contains(&row.key)));
        let answer = |row: &Row| {
            let mine = facts.iter().filter(|(key, ..)| *key == row.key);
            let mine: Vec<_> = mine.map(|(_, at, values)| (*at, *values)).collect();
            let answer = oracle::answer(shape, ties, &mine, (row.time, 1));
            (*row, answer.map(|Summary { count, sums, .. }| Summary { count, sums, also: () }))
        };
        let after = counted(asked.iter().map(answer));
        changes.extend(updates(epoch, &rows, &after));
        rows = after;
    }
    (changes, late)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rows_are_answered_by_the_definition_on_any_number_of_workers(
        shape in oracle::shape(), ties in oracle::ties(), lateness in 0..60u64,
        facts in partitions(), commands in commands(), records in 1..40usize,
    ) {
        let windows = windows(&shape, ties, lateness);
        let first = run(&facts, &commands, windows, 1, records);
        let (answers, late) = expected(&first, &shape, ties, lateness);
        prop_assert_eq!(&first.answers, &answers);
        prop_assert_eq!(&first.late, &late);
        for workers in [2, 4] {
            prop_assert_eq!(&run(&facts, &commands, windows, workers, records), &first, "{} workers", workers);
        }
    }
}

#[test]
fn a_fact_that_cannot_be_summed_is_a_dead_letter_and_the_rows_stay_as_they_are() {
    const WINDOWS: Windows<1> = Windows::new([Span::last(100)]);
    let (answers, dead) = (Memory::new(), Memory::new());
    let (to_answers, to_dead) = (answers.clone(), dead.clone());
    execute(Config::workers(2), move |job| {
        job.dead_letters_to(to_dead.clone());
        let facts = Events::new(vec![(10i64, 2i64), (20, i64::MAX), (30, 5)]);
        let facts = job.source("facts", facts, Timing::by(|fact: &(Millis, i64)| fact.0))?;
        let set = Command { time: 40, slot: 0, row: Some(Row { key: 0, time: 40 }) };
        let commands = job.source("commands", Events::new(vec![set]), Timing::by(|command: &Command| command.time))?;
        let rows = commands.key_by(|command| command.slot).maintain("slots", Slots)?.map(|(_, row)| row);
        let facts = facts.key_by(|_| 0u8);
        rows.at_once("ask", |row| (row.key, row.time), facts, |fact| [fact.1], WINDOWS)?
            .0
            .sink("out", to_answers.clone())
    })
    .expect("the job goes on");
    let sums: Vec<_> = answers.rows().into_iter().map(|((row, [last]), diff)| (row.time, last.sums, diff)).collect();
    assert_eq!(sums, [(40, [7], 1)]);
    let dead = dead.values();
    let letters: Vec<_> = dead.iter().map(|letter| (letter.operator.as_str(), letter.record.as_str())).collect();
    assert_eq!(letters, [("ask", "[20,9223372036854775807]")], "the fact as it came");
}
