//! Final answers against the definition.

mod oracle;

use oracle::{All, Event, N, Tie, W};
use proptest::prelude::*;
use tidemill_feature::{History, Refused, Span, Ties, Windows};

type State = History<N, W, Tie, All>;

fn restored(state: &State) -> State {
    let bytes = postcard::to_allocvec(state).expect("a state is serialisable");
    postcard::from_bytes(&bytes).expect("a state reads back")
}

fn windows(shape: &oracle::Shape, ties: Ties, lateness: u64) -> Windows<W> {
    Windows::new(shape.map(|(width, delay)| Span::last(width).delayed(delay))).ties(ties).lateness(lateness)
}

/// The widest reach of a shape.
fn reach(shape: &oracle::Shape) -> u64 {
    shape.iter().map(|(width, delay)| width + delay).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn events_in_order(
        shape in oracle::shape(),
        ties in oracle::ties(),
        events in prop::collection::vec(oracle::event(), 0..80),
        restore in 0..80usize,
    ) {
        let mut events = events;
        events.sort_by_key(|event| event.at);
        let windows = windows(&shape, ties, 0);
        let mut state = State::default();
        let mut known = Vec::new();
        for (i, same_time) in events.chunk_by(|a, b| a.at.0 == b.at.0).enumerate() {
            if i == restore {
                state = restored(&state);
            }
            if ties == Ties::All {
                for event in same_time.iter().filter(|event| event.fact) {
                    known.push((event.at, event.values));
                    state.insert(&windows, event.at, event.values)?;
                }
            }
            for Event { at, values, fact, question } in same_time.iter().copied() {
                let insert = fact && ties == Ties::Before;
                if insert {
                    known.push((at, values));
                }
                let answer = match (insert, question) {
                    (true, true) => state.push(&windows, at, values)?,
                    (false, true) => state.ask(&windows, at)?,
                    (true, false) => {
                        state.insert(&windows, at, values)?;
                        continue;
                    }
                    (false, false) => continue,
                };
                prop_assert_eq!(answer, oracle::answer(&shape, ties, &known, at));
            }
            let now = same_time[0].at.0;
            let kept = known.iter().filter(|(at, _)| now - at.0 < reach(&shape) as i64).count();
            prop_assert_eq!(state.len(), kept, "a history follows its widest window");
        }
    }

    /// Facts in any order, and questions up to the lateness behind: each exact on what is known.
    #[test]
    fn events_out_of_order(
        shape in oracle::shape(),
        ties in oracle::ties(),
        lateness in 0..30u64,
        events in prop::collection::vec(oracle::event(), 0..80),
        restore in 0..80usize,
    ) {
        let windows = windows(&shape, ties, lateness);
        let mut state = State::default();
        let mut known = Vec::new();
        let mut latest = i64::MIN;
        for (i, Event { at, values, fact, question }) in events.into_iter().enumerate() {
            if i == restore {
                state = restored(&state);
            }
            let too_late = |limit| latest > at.0 && latest.abs_diff(at.0) >= limit;
            if fact {
                let expected = if too_late(windows.keep()) {
                    Err(Refused::TooLate { behind: latest.abs_diff(at.0) })
                } else {
                    known.push((at, values));
                    latest = latest.max(at.0);
                    Ok(())
                };
                prop_assert_eq!(state.insert(&windows, at, values), expected);
            }
            if question {
                let expected = if latest > at.0 && latest.abs_diff(at.0) > lateness {
                    Err(Refused::TooLate { behind: latest.abs_diff(at.0) })
                } else {
                    latest = latest.max(at.0);
                    Ok(oracle::answer(&shape, ties, &known, at))
                };
                prop_assert_eq!(state.ask(&windows, at), expected);
            }
        }
    }
}

const ONE: Windows<1> = Windows::new([Span::last(10)]);

#[test]
fn events_of_one_position_count_in_the_order_of_calls() -> Result<(), Refused> {
    let mut state = History::<0, 1, ()>::default();
    let counts = [(); 3].map(|()| state.push(&ONE, (5, ()), []).map(|[last]| last.count));
    assert_eq!(counts, [Ok(1), Ok(2), Ok(3)]);
    Ok(())
}

#[test]
fn a_sum_that_might_overflow_is_refused_until_there_is_room() {
    let mut state = History::<1, 1>::default();
    assert!(state.insert(&ONE, (0, 0), [i64::MAX]).is_ok());
    assert_eq!(state.insert(&ONE, (9, 0), [-1]), Err(Refused::TooLarge));
    assert_eq!(state.insert(&ONE, (8, 0), [1]), Err(Refused::TooLarge));
    assert_eq!(state.insert(&ONE, (10, 0), [i64::MIN]), Err(Refused::TooLarge));
    assert!(state.insert(&ONE, (11, 0), [i64::MIN + 1]).is_ok());
    assert_eq!(state.ask(&ONE, (11, 0)).map(|[last]| last.sums), Ok([i64::MIN + 1]));
}

#[test]
fn a_key_that_went_quiet_expires() -> Result<(), Refused> {
    let windows = ONE.lateness(5);
    let mut state = History::<1, 1>::default();
    assert_eq!(state.expires(&windows), None);
    state.insert(&windows, (100, 0), [1])?;
    assert_eq!(state.expires(&windows), Some(115));
    state.forget(&windows, 114);
    assert_eq!(state.len(), 1);
    state.forget(&windows, 115);
    assert!(state.is_empty());
    Ok(())
}

#[test]
fn windows_may_change_at_a_restore() -> Result<(), Refused> {
    let wide = Windows::new([Span::last(100)]);
    let mut state = History::<1, 1>::default();
    for time in 0..50 {
        state.insert(&wide, (time, 0), [time])?;
    }
    let bytes = postcard::to_allocvec(&state).expect("a state is serialisable");
    let mut state: History<1, 2> = postcard::from_bytes(&bytes).expect("a state reads back");
    let two = Windows::new([Span::last(3), Span::last(10).delayed(20)]);
    let [near, far] = state.ask(&two, (50, 0))?;
    assert_eq!((near.count, near.sums), (2, [48 + 49]));
    assert_eq!((far.count, far.sums), (10, [(21..=30).sum()]));
    Ok(())
}

#[test]
fn a_damaged_state_is_an_error() {
    let damaged = |facts: Vec<((i64, u64), (i64,))>| {
        let bytes = postcard::to_allocvec(&((50i64, 0u64), facts)).expect("serialisable");
        postcard::from_bytes::<History<1, 1>>(&bytes).is_err()
    };
    assert!(!damaged(vec![((1, 0), (7,)), ((2, 0), (7,))]));
    assert!(damaged(vec![((2, 0), (7,)), ((1, 0), (7,))]));
    assert!(damaged(vec![((51, 0), (7,))]));
    assert!(damaged(vec![((1, 0), (i64::MAX,)), ((2, 0), (1,))]));
}
