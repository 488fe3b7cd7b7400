//! What the graph keeps is what plain loops over the lines give, on any number of workers.

use behaviour::graph::{GAP, INTERESTS, Options, TRENDS};
use behaviour::screen::{Input, Screen, run};
use behaviour::sessions::{Measure, SessionSum};
use shop_simulator::{RATES, Settings, Simulation};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use tidemill::time::{days, hours, minutes};
use tidemill::{Config, Events, Millis, Table};
use tidemill_rank::Summed;
use tidemill_shop::{
    Action, Clean, Currency, FRESH, Funnel, Interest, ItemChange, ItemEvent, ItemFact, Kind, Line, Rates, Reason, Rfm,
    Rules, Segment, ShopEvent, Stage, Thresholds, Trend,
};

/// Lines an epoch.
const EPOCH: usize = 500;

/// An eighth of it is a span.
const HALF_LIFE: Millis = hours(8);

/// What is true in the end.
#[derive(Debug, Default, PartialEq)]
struct Rows {
    funnel: Vec<Funnel>,
    session_sums: Vec<SessionSum>,
    trends: Vec<Trend<Option<u64>>>,
    interests: Vec<Interest>,
    rfm: Vec<Rfm>,
    segments: Vec<(u64, Segment)>,
    segment_sizes: Vec<(Segment, isize)>,
    facts: Vec<ItemFact>,
    dropped: Vec<(Reason, u64)>,
}

fn rows<K: tidemill::Key + Sync, R: Ord + Clone>(table: &Table<K, R>) -> Vec<R> {
    let mut rows = table.rows();
    rows.sort();
    rows
}

impl Rows {
    fn of(screen: &Screen) -> Self {
        Rows {
            funnel: rows(&screen.funnel),
            session_sums: rows(&screen.session_sums),
            trends: rows(&screen.trends),
            interests: rows(&screen.interests),
            rfm: rows(&screen.rfm),
            segments: rows(&screen.segments),
            segment_sizes: rows(&screen.segment_sizes),
            facts: rows(&screen.facts),
            dropped: rows(&screen.dropped),
        }
    }
}

/// An event of a user that holds.
#[derive(Clone, Copy)]
struct Event {
    user: u64,
    time: Millis,
    action: Action,
    category: u64,
}

/// What can be believed, in the order in which it came, and how many lines were dropped. Within a month no id is used
/// twice.
fn clean(lines: &[Line], rules: &Rules) -> (Vec<(Millis, Clean)>, BTreeMap<Reason, u64>) {
    let (mut clean, mut dropped): (Vec<(usize, Millis, Clean)>, _) = (vec![], BTreeMap::new());
    let (mut ids, mut noise) = (BTreeSet::new(), BTreeMap::<(u64, i64), (u32, bool)>::new());
    let mut wishes = BTreeMap::<u64, (usize, Millis)>::new();
    for (epoch, line) in lines.iter().enumerate().map(|(place, line)| (place / EPOCH, line)) {
        let reason = match rules.check(line) {
            Err(reason) => reason,
            Ok(_) if !ids.insert(line.id) => Reason::Duplicate,
            Ok(event) => {
                let undoes = |action: &Action| {
                    matches!(action, Action::Forget | Action::Cancellation { .. } | Action::Chargeback { .. })
                };
                if let Clean::Shopper(event) = event
                    && !undoes(&event.action)
                {
                    let minute = line.time / minutes(1);
                    let goes_on = noise.get(&(event.user, minute - 1)).is_some_and(|before| before.1);
                    let (count, noisy) = noise.entry((event.user, minute)).or_insert((0, goes_on));
                    *count += 1;
                    *noisy |= *count > rules.most_lines;
                    if *noisy {
                        *dropped.entry(Reason::Bot).or_default() += 1;
                        continue;
                    }
                }
                clean.push((epoch, line.time, event));
                // Within an epoch events are in order of time.
                if let Clean::Shopper(ShopEvent { user, action, .. }) = event {
                    if wishes
                        .get(&user)
                        .is_some_and(|(of, wish)| line.time <= *wish && (*of < epoch || line.time == *wish))
                    {
                        *dropped.entry(Reason::TooLate).or_default() += 1;
                    } else if action == Action::Forget {
                        wishes.insert(user, (epoch, line.time));
                    }
                }
                continue;
            }
        };
        *dropped.entry(reason).or_default() += 1;
    }
    categorise(&mut clean);
    (clean.into_iter().map(|(_, time, event)| (time, event)).collect(), dropped)
}

/// An event has the category that its item has at the end of its epoch.
fn categorise(clean: &mut [(usize, Millis, Clean)]) {
    let mut listed = BTreeMap::<u64, (Millis, u64)>::new();
    for of_epoch in clean.chunk_by_mut(|a, b| a.0 == b.0) {
        for (_, time, event) in of_epoch.iter() {
            if let Clean::Item(ItemEvent { item, change: ItemChange::Listed { category } }) = event
                && listed.get(item).is_none_or(|(last, _)| last <= time)
            {
                listed.insert(*item, (*time, *category));
            }
        }
        for (_, _, event) in of_epoch {
            if let Clean::Shopper(event) = event
                && let Some((_, category)) = event.action.item().and_then(|item| listed.get(&item))
            {
                event.category = *category;
            }
        }
    }
}

/// What holds of clean events, by going through them in order of time.
fn held(clean: &[(Millis, Clean)]) -> Vec<Event> {
    let mut held: Vec<Event> = vec![];
    let mut wishes = BTreeMap::<u64, Millis>::new();
    for (time, event) in clean {
        let Clean::Shopper(event) = event else { continue };
        if wishes.get(&event.user).is_some_and(|wish| time <= wish) {
            continue;
        }
        match event.action {
            Action::Forget => {
                wishes.insert(event.user, *time);
                held.retain(|held| held.user != event.user);
            }
            Action::Cancellation { order, item, quantity: mut left } => {
                for held in held.iter_mut().rev().filter(|held| held.user == event.user) {
                    if let Action::Purchase { order: of, item: what, quantity, .. } = &mut held.action
                        && (*what == item && order.is_none_or(|order| order == *of))
                    {
                        let taken = left.min(*quantity);
                        (left, *quantity) = (left - taken, *quantity - taken);
                    }
                }
            }
            action => held.push(Event { user: event.user, time: *time, action, category: event.category }),
        }
    }
    held.retain(|held| !matches!(held.action, Action::Purchase { quantity: 0, .. }));
    held
}

/// The `n` greatest sums of each key, above 0.
fn top<K: Ord + Copy, I: Ord + Copy + Debug>(sums: BTreeMap<(K, I), i64>, n: usize) -> Vec<Summed<K, I>> {
    let mut all: Vec<_> = sums.into_iter().filter(|(_, sum)| *sum > 0).collect();
    all.sort_by_key(|((key, item), sum)| (*key, Reverse(*sum), *item));
    let of_keys = all.chunk_by(|a, b| a.0.0 == b.0.0).flat_map(|of_key| of_key.iter().take(n));
    let mut top: Vec<_> = of_keys.map(|((key, item), sum)| Summed { key: *key, item: *item, sum: *sum }).collect();
    top.sort();
    top
}

fn sums(held: &[Event]) -> Vec<SessionSum> {
    let mut users: BTreeMap<u64, Vec<(Millis, bool)>> = BTreeMap::new();
    for event in held {
        if matches!(event.action, Action::View { .. } | Action::Cart { .. } | Action::Purchase { .. }) {
            let bought = matches!(event.action, Action::Purchase { .. });
            users.entry(event.user).or_default().push((event.time, bought));
        }
    }
    let mut sums = BTreeMap::new();
    for session in users.values().flat_map(|acts| acts.chunk_by(|a, b| b.0 - a.0 < GAP)) {
        let (begin, end) = (session[0].0, session[session.len() - 1].0);
        let bought = i64::from(session.iter().any(|act| act.1));
        let measures = [
            (Measure::Sessions, 1),
            (Measure::Events, session.len() as i64),
            (Measure::Length, end - begin),
            (Measure::Bought, bought),
        ];
        for (measure, sum) in measures {
            *sums.entry((begin / days(1) * days(1), measure)).or_default() += sum;
        }
    }
    top(sums, 4)
}

/// As the operator says, from its definition.
fn weight(age: i64) -> i64 {
    let eighth = (FRESH as f64 * (-((age % 8) as f64) / 8.0).exp2()).round() as i64;
    if age < 64 { eighth >> (age / 8) } else { 0 }
}

fn recompute(lines: &[Line], rules: &Rules, watermark: Millis) -> Rows {
    let (mut clean, dropped) = clean(lines, rules);
    clean.sort_by_key(|(time, _)| *time);
    let held = held(&clean);
    let (mut funnel, mut trends, mut interests) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut bought = BTreeMap::<u64, (Millis, BTreeSet<u64>, i64)>::new();
    for Event { user, time, action, category } in &held {
        let Some(item) = action.item() else { continue };
        let (stage, steps, interest) = match action {
            Action::View { .. } => (Some(Stage::View), 1, 1),
            Action::Cart { .. } => (Some(Stage::Cart), 3, 3),
            Action::Purchase { .. } => (Some(Stage::Purchase), 5, 5),
            Action::Rating { stars: 4.., .. } => (None, 0, 2),
            Action::Rating { stars: ..=2, .. } | Action::NotInterested { .. } => (None, 0, -5),
            _ => (None, 0, 0),
        };
        *interests.entry((*user, *category)).or_default() += interest;
        if let Some(stage) = stage {
            *funnel.entry(((*category, time / hours(1) * hours(1)), stage)).or_default() += 1;
            let age = (watermark / hours(1) - time / hours(1)).max(0);
            for group in [None, Some(*category)] {
                *trends.entry((group, item)).or_default() += steps * weight(age);
            }
        }
        if let Action::Purchase { order, quantity, cents, .. } = action {
            let (last, orders, sum) = bought.entry(*user).or_default();
            *last = *time.max(last);
            orders.insert(*order);
            *sum += cents * i64::from(*quantity);
        }
    }
    let rfm: Vec<Rfm> = bought
        .into_iter()
        .map(|(user, (last, orders, cents))| Rfm { user, last, orders: orders.len() as u32, cents })
        .collect();
    let segments: Vec<_> = rfm.iter().map(|rfm| (rfm.user, Thresholds::default().segment(rfm, watermark))).collect();
    let mut sizes = BTreeMap::new();
    segments.iter().for_each(|(_, segment)| *sizes.entry(*segment).or_default() += 1);
    Rows {
        funnel: top(funnel, 3),
        session_sums: sums(&held),
        trends: top(trends, TRENDS),
        interests: top(interests, INTERESTS),
        rfm,
        segments,
        segment_sizes: sizes.into_iter().collect(),
        facts: facts(&clean),
        dropped: dropped.into_iter().collect(),
    }
}

fn facts(clean: &[(Millis, Clean)]) -> Vec<ItemFact> {
    let mut facts = BTreeMap::<u64, (Option<Millis>, ItemFact)>::new();
    for (time, event) in clean {
        let Clean::Item(event) = event else { continue };
        let new = ItemFact { item: event.item, category: 0, cents: None, left: None, since: 0 };
        let (since, fact) = facts.entry(event.item).or_insert((None, new));
        match event.change {
            ItemChange::Listed { category } => (*since, fact.category) = (since.or(Some(*time)), category),
            ItemChange::Stock { left } => fact.left = Some(left),
            ItemChange::Price { cents } => fact.cents = Some(cents),
        }
    }
    facts.into_values().filter_map(|(since, fact)| Some(ItemFact { since: since?, ..fact })).collect()
}

#[test]
fn it_is_what_plain_loops_give() {
    let settings =
        Settings { users: 200, items: 90, categories: 7, days: 40, views: 70, seed: 5, ..Settings::default() };
    let start = settings.start;
    let with = |rates: Rates, (code, rate): (&str, f64)| rates.with(Currency::new(code).unwrap(), rate).unwrap();
    let rates = RATES.into_iter().fold(Rates::new(Currency::new("EUR").unwrap()), with);
    // So few that some shoppers are taken for bots too.
    let rules = Rules { most_lines: 6, ..Rules::new(rates) };
    let mut lines: Vec<Line> = Simulation::new(settings).collect();
    // More users want to be forgotten than would by themselves.
    let wishes = lines.iter().filter(|line| line.user.is_some() && line.time > start).step_by(409);
    let wishes: Vec<u64> = wishes.map(|line| line.id).collect();
    for (nth, id) in wishes.into_iter().enumerate() {
        let place = lines.iter().position(|line| line.id == id).unwrap();
        let line = Line { id: u64::MAX - nth as u64, kind: Kind::Forget, ..lines[place] };
        lines.insert(place + nth % 5, line);
    }
    // One moves to another category.
    let moves = lines.len() / 2;
    let moved = lines[..moves].iter().rev().find(|line| line.kind == Kind::View).unwrap().item;
    lines.insert(
        moves,
        Line { id: u64::MAX / 2, kind: Kind::Listed, user: None, item: moved, category: Some(3), ..lines[moves] },
    );
    // The watermark before the last epoch, which ends the input.
    let read = &lines[..(lines.len() - 1) / EPOCH * EPOCH];
    let watermark = read.iter().map(|line| rules.event_time(line)).max().unwrap() - minutes(1);
    let expected = recompute(&lines, &rules, watermark);
    assert!(expected.dropped.len() > 8 && expected.segment_sizes.len() > 4, "{expected:?}");
    for workers in [1, 2, 4] {
        let screen = Screen::default();
        let options = Options { rules: rules.clone(), keep: days(365), half_life: HALF_LIFE };
        let config = Config { epoch_records: EPOCH, ..Config::workers(workers) };
        run(Input::Lines(Events::new(lines.clone())), options, config, screen.clone()).unwrap();
        let rows = Rows::of(&screen);
        assert_eq!(rows.dropped, expected.dropped);
        assert_eq!(rows.facts, expected.facts);
        assert_eq!(rows.rfm, expected.rfm);
        assert_eq!(rows.segments, expected.segments);
        assert_eq!(rows.segment_sizes, expected.segment_sizes);
        assert_eq!(rows.interests, expected.interests);
        assert_eq!(rows.session_sums, expected.session_sums);
        assert_eq!(rows.funnel, expected.funnel);
        assert_eq!(rows.trends, expected.trends);
    }
}
