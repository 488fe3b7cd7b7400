//! Every query against plain loops over the same events.

use nexmark::answer::{Answer, Rows};
use nexmark::check::{Check, Trial};
use nexmark::event::Event;
use nexmark::generator::Generator;
use nexmark::queries::{ALL, q2};
use std::num::{NonZeroU64, NonZeroUsize};
use tidemill::Stream;
use tidemill::time::{minutes, seconds};

fn check_all(check: &Check) {
    let wrong = ALL.iter().filter_map(|query| match (query.check)(check) {
        Ok(0) => Some(format!("{}: no rows", query.name)),
        Ok(_) => None,
        Err(error) => Some(format!("{}: {error:#}", query.name)),
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Events at another rate than the standard check's.
fn at(rate: u64, events: u64, trials: &[(i64, usize)]) -> Check {
    let generator = Generator { rate: NonZeroU64::new(rate).unwrap(), ..Generator::default() };
    let trial = |&(disorder, workers)| Trial { disorder, workers: NonZeroUsize::new(workers).unwrap() };
    Check::new(generator, events, trials.iter().map(trial).collect())
}

#[test]
fn answers_are_those_of_plain_loops_in_order_and_shuffled_on_any_number_of_workers() {
    check_all(&Check::standard());
}

/// Ten events share each millisecond, so that much depends on how ties are broken.
#[test]
fn answers_are_those_of_plain_loops_where_much_happens_at_once() {
    check_all(&at(10_000, 50_000, &[(0, 2), (seconds(1), 3)]));
}

/// All hours of the day, thousands of windows, few events in each.
#[test]
fn answers_are_those_of_plain_loops_where_little_happens_in_a_day() {
    check_all(&at(1, 100_000, &[(0, 1), (minutes(10), 2)]));
}

#[test]
fn a_wrong_row_is_found_whether_it_is_missing_too_many_or_another() {
    let check = at(1_000, 5_000, &[(0, 1)]);
    let answer = |events: Stream<'_, Event>, rows: &Rows<q2::Price>| {
        q2::query(events)?.keep(rows);
        Ok(())
    };
    let one_less = |events: &[Event]| q2::brute_force(events).split_off(1);
    let one_more = |events: &[Event]| {
        let mut rows = q2::brute_force(events);
        rows.extend_from_within(..1);
        rows
    };
    let another = |events: &[Event]| {
        let mut rows = q2::brute_force(events);
        rows[0].price += 1;
        rows
    };
    for wrong in [one_less as fn(&[Event]) -> Vec<q2::Price>, one_more, another] {
        let error = format!("{:#}", check.rows(answer, wrong).unwrap_err());
        assert!(error.starts_with("in order, workers: 1: of ") && error.contains("such as Some("), "{error}");
    }
    assert!(check.rows(answer, q2::brute_force).unwrap() > 0);
}
