//! What the graph keeps is what a recompute gives, on any number of workers.

use bundles::graph::{Answer, CAP, KEEP, LAST, Question, Row, Step, clean, keep, replay, steps};
use proptest::prelude::*;
use shop_simulator::{RATES, Settings, Simulation};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use tidemill::{Config, Events, Memory, Millis, Timing, execute};
use tidemill_recommend::{BasketIndex, Baskets, BundleIndex, BundleRow, ItemRow, Measure, Strongest, TifuKnn};
use tidemill_shop::{Currency, Kind, Line, Rates, Rules};

/// A purchase line of which something is left.
struct Bought {
    user: u64,
    order: u64,
    item: u64,
    left: i64,
}

/// What is true of lines, by plain loops over them in order of time.
fn recompute(lines: &[Line]) -> BTreeSet<Row> {
    let mut sorted = lines.to_vec();
    sorted.sort_by_key(|line| line.time);
    let mut bought: Vec<Bought> = vec![];
    for line in sorted {
        let user = line.user.unwrap_or_default();
        match (line.kind, line.order, line.item, line.number) {
            (Kind::Purchase, Some(order), Some(item), Some(left)) => bought.push(Bought { user, order, item, left }),
            (Kind::Cancellation, order, Some(item), Some(mut number)) => {
                for line in bought.iter_mut().rev().filter(|line| line.user == user && line.item == item) {
                    if order.is_none_or(|order| order == line.order) {
                        let taken = number.min(line.left);
                        (number, line.left) = (number - taken, line.left - taken);
                    }
                }
            }
            (Kind::Forget, ..) => bought.retain(|line| line.user != user),
            _ => {}
        }
    }
    bought.retain(|line| line.left > 0);
    rows(&bought)
}

/// What is true of purchases.
fn rows(bought: &[Bought]) -> BTreeSet<Row> {
    let (mut rows, mut users) = (BTreeSet::new(), BTreeMap::<u64, Vec<(u64, Vec<u64>)>>::new());
    for line in bought {
        let orders = users.entry(line.user).or_default();
        let place = orders.iter().position(|order| order.0 == line.order).unwrap_or(orders.len());
        if place == orders.len() {
            orders.push((line.order, vec![]));
        }
        let items = &mut orders[place].1;
        if !items.contains(&line.item) && items.len() < CAP {
            items.push(line.item);
        }
    }
    let mut both: BTreeMap<u64, BTreeMap<u64, i64>> = BTreeMap::new();
    for items in users.values().flatten().map(|order| &order.1) {
        for one in items {
            items.iter().for_each(|other| *both.entry(*one).or_default().entry(*other).or_default() += 1);
        }
    }
    for (item, with) in both {
        rows.insert(Row::Bundle(BundleRow::Item(ItemRow::Counted { item, count: with[&item] })));
        let mut with: Vec<(Reverse<i64>, u64)> =
            with.into_iter().filter(|with| with.0 != item).map(|(with, both)| (Reverse(both), with)).collect();
        with.sort_unstable();
        rows.extend(
            with.into_iter()
                .take(KEEP)
                .map(|(Reverse(weight), to)| Row::Bundle(BundleRow::Item(ItemRow::Linked { from: item, to, weight }))),
        );
    }
    let count = users.values().map(|orders| orders.len() as i64).sum();
    if count > 0 {
        rows.insert(Row::Bundle(BundleRow::Baskets { count }));
    }
    for (user, orders) in users {
        let mut baskets: Vec<Vec<u64>> = orders.into_iter().rev().take(LAST).map(|order| order.1).collect();
        baskets.reverse();
        baskets.iter_mut().for_each(|items| items.sort_unstable());
        rows.insert(Row::User(Baskets { user, baskets }));
    }
    rows
}

fn rules() -> Rules {
    let with = |rates: Rates, (code, rate): (&str, f64)| rates.with(Currency::new(code).unwrap(), rate).unwrap();
    let rates = RATES.into_iter().fold(Rates::new(Currency::new("EUR").unwrap()), with);
    Rules { earliest: 0, most_lines: u32::MAX, ..Rules::new(rates) }
}

fn asked(lines: &[Line], a_step: usize) -> BTreeMap<usize, Vec<Question>> {
    (0..lines.len()).step_by(a_step).map(|place| (place, QUESTIONS.to_vec())).collect()
}

/// What the graph keeps in the end, where so many lines come at once.
fn kept(lines: &[Line], a_step: usize, workers: usize) -> BTreeSet<Row> {
    let rules = rules();
    let (input, out) = (Events::new(steps(lines, &rules, &asked(lines, a_step))), Memory::new());
    let to_out = out.clone();
    execute(Config { epoch_records: 1, ..Config::workers(workers) }, move |job| {
        let steps = job.source("steps", input.clone(), Timing::by(|step: &Step| step.time))?;
        let (held, _) = clean(steps, &rules)?;
        keep(held)?.sink("out", to_out.clone())
    })
    .unwrap();
    let rows = out.rows();
    assert!(rows.iter().all(|(_, count)| *count == 1), "{rows:?}");
    rows.into_iter().map(|(row, _)| row).collect()
}

/// Asked every so many lines.
const QUESTIONS: [Question; 4] = [
    Question::Baskets,
    Question::Strongest(Strongest { by: Measure::Lift, least: 1, n: 9 }),
    Question::Of { item: 3, which: Strongest { by: Measure::Confidence, least: 2, n: 3 } },
    Question::Next { user: 1, n: 5 },
];

/// What indices answer that are made anew of a recompute's rows.
fn recomputed(lines: &[Line]) -> Vec<Answer> {
    let (mut bundles, mut users) = (BundleIndex::new(), BasketIndex::new(TifuKnn::default()));
    for row in recompute(lines) {
        match row {
            Row::Bundle(row) => bundles.change(row, true),
            Row::User(row) => users.change(&row, true),
        }
    }
    let answer = |question: Question| match question {
        Question::Baskets => Answer::Count(bundles.baskets()),
        Question::Strongest(which) => Answer::Bundles(bundles.strongest(which)),
        Question::Of { item, which } => Answer::Bundles(bundles.of(&item, which)),
        Question::Next { user, n } => Answer::Items(users.next(&user).top(n)),
    };
    QUESTIONS.into_iter().map(answer).collect()
}

fn line(id: u64, time: Millis, user: u64, kind: Kind) -> Line {
    let (item, order, category, number, amount, currency) = (None, None, None, None, None, None);
    Line { id, time, kind, user: Some(user), item, order, category, number, amount, currency }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn rows_and_answers_are_those_of_a_recompute(
        lines in prop::collection::vec((0u64..4, 0u64..5, 0u64..8, 1i64..4, 0u8..20, 0i64..40), 1..150), a_step in 1usize..20,
    ) {
        // Each at a time of its own, some later than lines that come after them.
        let mut lines: Vec<Line> = (0..).zip(lines).map(|(id, (user, order, item, number, kind, late))| {
            let time = (id as i64 - late) * 1_000 + 100_000 + id as i64;
            let order = user * 10 + order;
            match kind {
                0 => line(id, time, user, Kind::Forget),
                1..6 => Line {
                    item: Some(item), order: (kind < 3).then_some(order), number: Some(number),
                    ..line(id, time, user, Kind::Cancellation)
                },
                6 => Line { item: Some(item), ..line(id, time, user, Kind::View) },
                _ => Line {
                    item: Some(item), order: Some(order), number: Some(number), amount: Some(1.5),
                    ..line(id, time, user, Kind::Purchase)
                },
            }
        }).collect();
        // One is sent twice.
        lines.push(lines[lines.len() / 2]);
        let expected = recompute(&lines[..lines.len() - 1]);
        let answered: Vec<Answer> =
            asked(&lines, a_step).into_keys().flat_map(|place| recomputed(&lines[..place])).collect();
        for workers in [1, 2, 4] {
            prop_assert_eq!(kept(&lines, a_step, workers), expected.clone(), "{} workers", workers);
            let told = replay(steps(&lines, &rules(), &asked(&lines, a_step)), &rules(), workers).unwrap();
            let answers: Vec<Answer> = told.answers.into_iter().map(|(_, answer)| answer).collect();
            prop_assert_eq!(&answers, &answered, "{} workers", workers);
        }
    }
}

#[test]
fn rows_of_a_simulated_shop_are_those_of_a_recompute() {
    let settings =
        Settings { users: 300, items: 80, categories: 5, days: 12, views: 80, seed: 5, ..Settings::default() };
    // More users want to be forgotten than so few lines have.
    let mut said: Vec<Line> = vec![];
    for (place, said_by) in (0..).zip(Simulation::new(settings)) {
        said.push(said_by);
        said.extend(
            said_by
                .user
                .filter(|_| place % 1_000 == 0)
                .map(|user| line(u64::MAX - place, said_by.time + 1, user, Kind::Forget)),
        );
    }
    let (rules, mut ids) = (rules(), BTreeSet::new());
    let lines: Vec<Line> =
        said.iter().filter(|line| rules.check(line).is_ok() && ids.insert(line.id)).copied().collect();
    let of = |kind: Kind| lines.iter().filter(|line| line.kind == kind).count();
    let (bought, cancelled, forgotten) = (of(Kind::Purchase), of(Kind::Cancellation), of(Kind::Forget));
    assert!(bought > 500 && cancelled > 20 && forgotten > 10, "{bought} {cancelled} {forgotten}");
    assert!(lines.len() < said.len());
    let expected = recompute(&lines);
    for workers in [1, 2, 4] {
        assert!(kept(&said, 50, workers) == expected, "{workers} workers");
    }
}
