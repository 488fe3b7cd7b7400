//! Answers at once, and their corrections, against the definition.

mod oracle;

use std::collections::BTreeMap;

use oracle::{All, Event, N, Reading, Tie, W};
use proptest::prelude::*;
use tidemill_feature::{Answer, AtOnce, Refused, Span, Ties, Windows};

type State = AtOnce<usize, N, W, Tie, All>;
type Answers = BTreeMap<usize, Answer<N, W, Reading>>;

fn restored(state: &State) -> State {
    let bytes = postcard::to_allocvec(state).expect("a state is serialisable");
    postcard::from_bytes(&bytes).expect("a state reads back")
}

/// What is known, by the definition.
struct Known {
    shape: oracle::Shape,
    ties: Ties,
    facts: Vec<((i64, Tie), [i64; N])>,
    questions: BTreeMap<usize, (i64, Tie)>,
}

impl Known {
    fn answers(&self) -> Answers {
        let answer = |at| oracle::answer(&self.shape, self.ties, &self.facts, at);
        self.questions.iter().map(|(id, at)| (*id, answer(*at))).collect()
    }
}

/// Changes the facts in `state` by `change`, and checks that exactly the questions with a new answer were corrected.
fn check(
    state: &mut State,
    before: &Answers,
    after: &Answers,
    change: impl FnOnce(&mut State, &mut Vec<(usize, [Answer<N, W, Reading>; 2])>),
) -> Result<(), TestCaseError> {
    let mut corrected = Vec::new();
    change(state, &mut corrected);
    corrected.sort_by_key(|(id, _)| *id);
    let expected: Vec<_> =
        after.iter().filter(|(id, new)| before[id] != **new).map(|(id, new)| (*id, [before[id], *new])).collect();
    prop_assert_eq!(corrected, expected);
    prop_assert_eq!(&remembered(state), after);
    Ok(())
}

fn remembered(state: &State) -> Answers {
    state.remembered().map(|(id, answer)| (*id, *answer)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn remembered_answers_are_those_of_what_is_known(
        shape in oracle::shape(),
        ties in oracle::ties(),
        // Sixty holds all events of `oracle::event`; less forgets.
        lateness in prop_oneof![Just(60u64), 0..60u64],
        events in prop::collection::vec((oracle::event(), any::<prop::sample::Index>(), 0..8u8), 0..50),
        restore in 0..50usize,
    ) {
        let windows = Windows::new(shape.map(|(width, delay)| Span::last(width).delayed(delay)))
            .ties(ties)
            .lateness(lateness);
        let mut known = Known { shape, ties, facts: Vec::new(), questions: BTreeMap::new() };
        let mut state = State::default();
        let mut latest = i64::MIN;
        for (id, (event, other, undo)) in events.into_iter().enumerate() {
            if id == restore {
                state = restored(&state);
            }
            let Event { at, values, fact, question } = event;
            latest = latest.max(at.0);
            let keeps = |at: &(i64, Tie), limit| latest.abs_diff(at.0) < limit;
            known.questions.retain(|_, at| keeps(at, lateness + 1));
            if fact && keeps(&at, windows.keep()) {
                let before = known.answers();
                known.facts.push((at, values));
                check(&mut state, &before, &known.answers(), |state, corrected| {
                    state
                        .insert(&windows, at, values, |id, old, new| corrected.push((*id, [*old, *new])))
                        .expect("the fact is on time");
                })?;
            }
            if question {
                let answer = state.ask(&windows, at, id);
                if keeps(&at, lateness + 1) {
                    known.questions.insert(id, at);
                    prop_assert_eq!(answer, Ok(known.answers()[&id]));
                } else {
                    let behind = latest.abs_diff(at.0);
                    prop_assert_eq!(answer, Err(Refused::TooLate { behind }));
                    prop_assert!(latest == state.history().time());
                }
            }
            // Events that are neither kept nor answered leave the key's time as it was.
            latest = state.history().time();
            if undo == 0 && !known.facts.is_empty() {
                let (at, values) = known.facts[other.index(known.facts.len())];
                if latest.abs_diff(at.0) < windows.keep() {
                    known.questions.retain(|_, at| latest.abs_diff(at.0) <= lateness);
                    let before = known.answers();
                    let first = known.facts.iter().position(|fact| *fact == (at, values));
                    known.facts.swap_remove(first.expect("it is there"));
                    check(&mut state, &before, &known.answers(), |state, corrected| {
                        state
                            .remove(&windows, at, values, |id, old, new| corrected.push((*id, [*old, *new])))
                            .expect("the fact is kept");
                    })?;
                }
            }
            if undo == 1 && !known.questions.is_empty() {
                let ids: Vec<usize> = known.questions.keys().copied().collect();
                let id = ids[other.index(ids.len())];
                let answer = known.answers()[&id];
                let at = known.questions.remove(&id).expect("it is there");
                prop_assert_eq!(state.withdraw(at, &id), Some(answer));
                prop_assert_eq!(state.withdraw(at, &id), None);
            }
        }
    }

    /// Whatever the order of arrival, the last answers are those of the sorted input.
    #[test]
    fn the_order_of_arrival_does_not_matter(
        shape in oracle::shape(),
        ties in oracle::ties(),
        events in prop::collection::vec(oracle::event(), 0..50),
    ) {
        let windows = Windows::new(shape.map(|(width, delay)| Span::last(width).delayed(delay)))
            .ties(ties)
            .lateness(60);
        let mut known = Known { shape, ties, facts: Vec::new(), questions: BTreeMap::new() };
        let mut state = State::default();
        let mut answers = Answers::new();
        for (id, event) in events.iter().enumerate() {
            if event.fact {
                known.facts.push((event.at, event.values));
                state.insert(&windows, event.at, event.values, |id, _, new| {
                    answers.insert(*id, *new);
                })?;
            }
            if event.question {
                known.questions.insert(id, event.at);
                answers.insert(id, state.ask(&windows, event.at, id)?);
            }
        }
        prop_assert_eq!(answers, known.answers());
    }
}

#[test]
fn removing_what_is_not_there_is_an_error_and_changes_nothing() -> Result<(), Refused> {
    let windows = Windows::new([Span::last(10)]).lateness(5);
    let mut state = AtOnce::<(), 1, 1>::default();
    state.insert(&windows, (100, 0), [1], |_, _, _| {})?;
    let mut remove = |at, values| state.remove(&windows, at, values, |_, _, _| {});
    assert_eq!(remove((100, 0), [2]), Err(Refused::Unknown));
    assert_eq!(remove((100, 1), [1]), Err(Refused::Unknown));
    assert_eq!(remove((85, 0), [1]), Err(Refused::TooLate { behind: 15 }));
    assert_eq!(remove((100, 0), [1]), Ok(()));
    assert!(state.history().is_empty());
    Ok(())
}

#[test]
fn forgotten_questions_are_not_corrected() -> Result<(), Refused> {
    let windows = Windows::new([Span::last(10)]).lateness(100);
    let mut state = AtOnce::<&str, 0, 1>::default();
    state.ask(&windows, (20, 0), "early")?;
    state.ask(&windows, (25, 0), "late")?;
    state.forget(&windows, 25);
    let mut corrected = Vec::new();
    state.insert(&windows, (19, 0), [], |id, _, _| corrected.push(*id))?;
    assert_eq!(corrected, ["late"]);
    state.forget(&windows, 1_000);
    assert!(state.is_empty());
    Ok(())
}
