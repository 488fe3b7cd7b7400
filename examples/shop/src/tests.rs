//! A small simulated shop through the whole graph.

use crate::before_after::{EPOCH, fill, filler, with_events, without};
use crate::ends::compare as compare_ends;
use crate::graph::{Options, answers};
use crate::record::{Recorder, compare};
use crate::replay::{Ran, replay};
use crate::training::{FRAUD, Past, TASTE};
use fraud::serving::{Padding, Scorer};
use recommend::graph::Rows;
use recommend::taste::Taste;
use recommend::transformer;
use shop_simulator::{Settings, Simulation};
use std::collections::BTreeSet;
use tidemill::time::{days, hours, minutes};
use tidemill::{Config, DeadLetter, Events, Memory, Millis, Timing, execute};
use tidemill_inference::{Pool, PoolConfig};
use tidemill_shop::{Kind, Line, Reason};

fn settings() -> Settings {
    Settings { users: 120, items: 150, categories: 10, days: 10, views: 40, ..Settings::default() }
}

fn options() -> Options {
    Options {
        keep: days(365),
        half_life: hours(24),
        rules: shop_simulator::rules().unwrap(),
        lists: recommend::live::Settings::default(),
        refresh: None,
        taste: None,
        scorer: None,
    }
}

#[test]
fn all_that_is_kept_is_the_same_on_any_number_of_workers() {
    let options = options();
    let mut lines: Vec<Line> = Simulation::new(settings()).collect();
    for (nth, place) in (0..).zip([lines.len() / 2, lines.len() * 3 / 4]) {
        let Line { time, .. } = lines[place];
        let user = lines[..place].iter().rev().find(|line| line.kind == Kind::View).and_then(|line| line.user);
        lines.insert(place, Line { user, kind: Kind::Forget, ..filler(u64::MAX / 2 + nth, time) });
    }
    let run = |workers| replay(lines.clone(), &options, Config::workers(workers), Recorder::default()).unwrap();
    let one = run(1);
    assert!(one.lists.len() > 50 && one.recorded.rows.len() > 5_000, "{} {}", one.lists.len(), one.recorded.rows.len());
    let went = |ran: &Ran| {
        let mut went = ran.went.clone();
        went.sort();
        went
    };
    assert!(one.went.len() >= 2, "{:?}", one.went);
    for workers in [2, 4] {
        let other = run(workers);
        assert_eq!(compare(&one.recorded, &other.recorded).1, 0, "{workers} workers");
        assert_eq!(went(&one), went(&other), "{workers} workers");
    }
}

#[test]
fn lists_of_the_last_state_only_are_made_once_all_has_been_read() {
    let end = settings().start + days(12);
    let lists = recommend::live::Settings { from: end, there: Millis::MAX / 4, anew: 0, ..options().lists };
    let options = Options { refresh: Some(end), lists, ..options() };
    let mut lines: Vec<Line> = Simulation::new(settings()).collect();
    lines.retain(|line| line.time < end);
    let ran = replay(lines, &options, Config::workers(2), Recorder::default()).unwrap();
    let rows = |name: &str| ran.recorded.rows.keys().filter(|row| row.collection == name).count();
    assert!(rows("histories") > 80, "{}", rows("histories"));
    assert_eq!((rows("suggestions"), ran.lists.len()), (rows("histories"), rows("histories")));
}

/// When a user who wants to be forgotten is there again.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Back {
    Never,
    Later,
    /// So many ms, and what is done then comes before the wish.
    BeforeTheWish(Millis),
}

#[test]
fn nothing_is_left_of_a_user_who_is_forgotten() {
    let mut lines: Vec<Line> = Simulation::new(settings()).collect();
    lines.retain(|line| line.kind != Kind::Forget);
    let views = |user: u64| lines.iter().filter(|line| line.user == Some(user) && line.kind == Kind::View).count();
    let user = (1..=settings().users).max_by_key(|user| views(*user)).unwrap();
    // The shop goes on after the wish, without the user or with one who comes back.
    let wish = settings().start + days(4);
    let place = lines.partition_point(|line| line.time < wish);
    let forget = Line { user: Some(user), kind: Kind::Forget, ..filler(u64::MAX / 2, wish) };
    let seen: Vec<u64> =
        lines[place..].iter().filter(|line| line.kind == Kind::View).filter_map(|line| line.item).collect();
    let view = |nth: usize, time| Line {
        user: Some(user),
        item: Some(seen[nth]),
        kind: Kind::View,
        ..filler(u64::MAX / 4 + nth as u64, time)
    };
    let views = |places: std::ops::Range<usize>, from, step| {
        places.map(move |nth| view(nth, from + nth as Millis * step)).collect::<Vec<Line>>()
    };
    // Epochs of their own.
    let filled = |mut lines: Vec<Line>, time| {
        fill(&mut lines, time);
        lines
    };
    // Before and after the watermark has passed the time of the wish.
    let cases = [Back::Never, Back::Later, Back::BeforeTheWish(1_000), Back::BeforeTheWish(minutes(2))];
    // At once, and one after the other.
    for (anew, back) in cases.into_iter().flat_map(|back| [(0, back), (minutes(1), back)]) {
        let options = Options { lists: recommend::live::Settings { anew, ..options().lists }, ..options() };
        let mut before = [&lines[..place], &views(0..9, wish - 9_000, 1_000)].concat();
        let (mut told, mut after) = (vec![forget], lines[place..].to_vec());
        match back {
            Back::Never => after = without(&after, user),
            Back::Later => after.splice(..0, views(20..40, wish, 1_000)).for_each(drop),
            Back::BeforeTheWish(late) => {
                let now = wish + late;
                before = filled(before, wish);
                told = [filled(views(20..30, now - 10, 1), now), filled(told, now)].concat();
                after.splice(..0, views(30..50, now, 1_000)).for_each(drop);
            }
        }
        let run = |before: Vec<Line>| {
            let lines = [before, told.clone(), after.clone()].concat();
            replay(lines, &options, Config::workers(2), Recorder::default()).unwrap()
        };
        let (forgotten, never) = (run(before.clone()), run(without(&before, user)));
        let (rows, differ) = compare(&forgotten.recorded, &never.recorded);
        assert!(rows > 5_000 && differ == 0, "{differ} of {rows} differ: {anew} {back:?}");
        assert!(forgotten.held.keys().all(|held| held.event.user != user || back != Back::Never && held.time > wish));
        let [went] = &forgotten.went[..] else { panic!("{:?}", forgotten.went) };
        assert_eq!((went.user, went.time, never.went.len()), (user, wish, 0));
        let one = ["habits", "histories", "lists", "segments", "suggestions"];
        let weights = never.recorded.rows.keys().filter(|row| row.collection == "weights");
        assert!(weights.count() == 1 && went.shared["weights"] == [1, 0], "{went:?}");
        assert!(went.events > 20 && one.iter().all(|name| went.rows.get(*name) == Some(&1)), "{went:?}");
        assert!(went.rows["sessions"] > 2 && went.shared["what follows"][0] > 20, "{went:?}");
    }
}

#[test]
fn at_each_days_end_all_is_as_if_what_was_cancelled_had_never_been_bought() {
    let settings = Settings { days: 16, ..settings() };
    let (end, mut ids) = (settings.start + days(16), BTreeSet::new());
    let mut lines: Vec<Line> = Simulation::new(settings).collect();
    lines.retain(|line| line.kind != Kind::Forget && line.time < end && ids.insert(line.id));
    // More is cancelled than would be by itself.
    let bought = lines.iter().filter(|line| line.kind == Kind::Purchase && line.time < end - days(3)).step_by(4);
    let cancelled = bought.map(|line| Line {
        id: u64::MAX / 4 + line.id,
        time: line.time + days(2),
        kind: Kind::Cancellation,
        order: line.order.filter(|order| order % 2 == 0),
        number: Some(1),
        ..*line
    });
    lines.extend(cancelled.collect::<Vec<_>>());
    lines.sort_by_key(|line| line.time);
    let cancellations = lines.iter().filter(|line| line.kind == Kind::Cancellation).count();
    assert!(cancellations > 20, "{cancellations}");
    let mut options = options();
    options.rules.most_lines = u32::MAX;
    let (mut ends, mut rows, mut last) = (0, 0, 0);
    compare_ends(
        &lines,
        &options,
        2,
        || Ok(Config::workers(2)),
        |of| {
            (ends, rows) = (ends + 1, rows + of.rows);
            assert_eq!(of.differ, 0, "{of:?}");
            // All but weights, which are not learnt here, and fraud scores, of which there is no model.
            last = of.collections;
        },
    )
    .unwrap();
    assert!(ends > 4 && rows > 20_000, "{ends} {rows}");
    assert_eq!(last, 16, "collections that have rows");
}

#[test]
fn what_is_too_old_to_be_kept_is_counted_too() {
    let view = |id, time| Line { user: Some(1), item: Some(2), kind: Kind::View, ..filler(id, time) };
    let start = settings().start;
    // The last one is believed, but nothing that old is kept when it comes.
    let lines =
        vec![view(1, start), view(2, start), view(2, start), view(3, start + days(2)), view(4, start - days(700))];
    let (dropped, letters, options) = (Rows::default(), Memory::new(), options());
    let (to_dropped, to_letters) = (dropped.clone(), letters.clone());
    execute(Config { epoch_records: 1, ..Config::workers(2) }, move |job| {
        let rules = options.rules.clone();
        let timing = Timing::by(move |line: &Line| rules.event_time(line));
        let answers = answers(job.source("lines", Events::new(lines.clone()), timing)?, &options)?;
        answers.lost.letters().sink("letters", to_letters.clone())?;
        answers.dropped.sink("dropped out", to_dropped.clone())
    })
    .unwrap();
    let letters: Vec<(String, String)> =
        letters.values().into_iter().map(|letter: DeadLetter| (letter.reason, letter.record)).collect();
    let late = format!(r#"{{"user":1,"time":{},"action":{{"View":{{"item":2}}}}}}"#, start - days(700));
    let twice = format!(r#"{{"id":2,"time":{start}}}"#);
    assert_eq!(letters, [("sent twice".to_owned(), twice), ("too late".to_owned(), late)]);
    let dropped: Vec<(Reason, u64)> = dropped.take().into_keys().collect();
    assert_eq!(dropped, [(Reason::Duplicate, 1), (Reason::TooLate, 1)]);
}

#[test]
fn nobody_learns_from_the_payments_of_who_was_forgotten_months_later() {
    let start = settings().start;
    let line = |id, user, kind, time| Line { user: Some(user), kind, ..filler(id, time) };
    let bought = |id, user, time| Line {
        item: Some(7),
        order: Some(id),
        number: Some(1),
        amount: Some(2.5),
        ..line(id, user, Kind::Purchase, time)
    };
    let lines = vec![
        bought(1, 1, start),
        bought(2, 2, start),
        line(3, 1, Kind::Forget, start + days(100)),
        bought(4, 2, start + days(120)),
    ];
    let rules = shop_simulator::rules().unwrap();
    let past = Past::of(Events::new(lines), &rules, days(365), 50, Config::workers(1)).unwrap();
    let users: Vec<u32> = past.payments.iter().map(|payment| payment.customer).collect();
    assert_eq!(users, [2], "of the last one nobody knows yet whether it was a fraud");
}

/// Users 1 to 20 look at item 1 and then at one of 2 to 5, and user 90 at item 1 and at item 99, which nobody has seen before.
#[test]
fn a_new_item_is_suggested_from_its_first_co_occurrence_on() {
    let view = |id: u64, user, item| Line {
        user: Some(user),
        item: Some(item),
        kind: Kind::View,
        ..filler(id, settings().start + id as i64 * 1_000)
    };
    let mut lines: Vec<Line> = (0..20)
        .flat_map(|user| [view(user * 2, user + 1, 1), view(user * 2 + 1, user + 1, 2 + user % 4)])
        .chain([view(100, 90, 1), view(101, 90, 99)])
        .collect();
    let list = |lines: Vec<Line>, user: u64| {
        let ran = replay(lines, &options(), Config::workers(1), Recorder::default()).unwrap();
        let list = ran.lists.into_keys().find(|list| list.user == user).unwrap();
        list.entries.into_iter().map(|entry| entry.item).collect::<Vec<u64>>()
    };
    lines.push(view(102, 91, 1));
    assert!(list(lines.clone(), 91).contains(&99), "{:?}", list(lines, 91));
}

#[test]
fn what_was_trained_on_history_answers_what_comes_after() {
    let settings = Settings { users: 300, days: 20, ..settings() };
    let (mut lines, until): (Vec<Line>, _) = (Simulation::new(settings.clone()).collect(), settings.start + days(17));
    let place = lines.partition_point(|line| line.time < until);
    let rules = shop_simulator::rules().unwrap();
    let past = Events::new(lines[..place].to_vec());
    let past = Past::of(past, &rules, days(365), 50, Config::workers(1)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sizes = transformer::Settings { epochs: 1, width: 8, heads: 1, blocks: 1, ..Default::default() };
    past.train_taste(&sizes, folder.path()).unwrap();
    let frauds = past.train_frauds(folder.path(), Config::workers(1)).unwrap();
    assert!(frauds > 0 && past.payments.len() > 10 * frauds, "{frauds} of {}", past.payments.len());

    lines.truncate(place + 4 * EPOCH);
    let path = folder.path().join(FRAUD);
    let scorer = Some(Pool::new(PoolConfig::default(), move || Scorer::load(&path, Padding::Full)));
    let lists = recommend::live::Settings { from: until, ..options().lists };
    let options = Options { scorer, lists, ..options() };
    let run = |workers| {
        let options = Options { taste: Some(Taste::pool(folder.path(), TASTE, 20)), ..options.clone() };
        replay(lines.clone(), &options, Config::workers(workers), Recorder::default()).unwrap()
    };
    let (one, two) = (run(1), run(2));
    let by_taste =
        |ran: &Ran| ran.lists.keys().flat_map(|list| &list.entries).filter(|entry| entry.source == 0).count();
    assert!(by_taste(&one) > 20, "{}", by_taste(&one));
    assert!(one.scores.len() > 20 && one.scores == two.scores, "{} {}", one.scores.len(), two.scores.len());
    assert_eq!(
        one.lists.keys().map(|list| list.user).collect::<Vec<_>>(),
        two.lists.keys().map(|list| list.user).collect::<Vec<_>>()
    );

    // A payment of somebody who is forgotten counts for nobody's score any more, nor does what became known of it.
    let user = u64::from(one.scores.keys().next_back().unwrap().0.customer);
    let wish = Line { user: Some(user), kind: Kind::Forget, ..filler(u64::MAX / 2, lines[lines.len() - 1].time) };
    let run = |lines| replay(with_events(lines, &[wish]), &options, Config::workers(2), Recorder::default()).unwrap();
    let (forgotten, never) = (run(lines.clone()), run(without(&lines, user)));
    assert_eq!(compare(&forgotten.recorded, &never.recorded).1, 0);
    assert!(forgotten.scores.len() > 20 && forgotten.scores.keys().all(|(of, _)| u64::from(of.customer) != user));
    assert!(forgotten.went[0].rows["fraud scores"] > 0, "{:?}", forgotten.went);
}

#[test]
fn without_frauds_there_is_no_fraud_model_nor_an_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let older = folder.path().join(format!("{}.json", crate::training::FRAUD));
    std::fs::write(&older, "of another shop").unwrap();
    let past = crate::training::Past { histories: Vec::new(), left_out: 0, payments: Vec::new(), dropped: Vec::new() };
    assert_eq!(past.train_frauds(folder.path(), Config::workers(1)).unwrap(), 0);
    assert!(!older.exists());
}
