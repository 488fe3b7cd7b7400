//! Diginetica as SR-GNN and its successors split it: sessions in order of time, a line each.

use crate::protocol::{Events, Owners, Protocol, Question, STEPS_AT_ONCE, Step};
use std::path::Path;
use tidemill::Millis;

/// The last so many sessions of those to learn from teach how lists are blended, before they are learnt from.
const TEACHING: usize = 10_000;

/// Reads `diginetica.train.sessions.txt` and `diginetica.test.sessions.txt`. Each prefix of a test session asks for its next
/// item; nothing is learnt from them.
pub fn sessions(folder: &Path) -> anyhow::Result<Protocol> {
    let train = super::numbers(&super::within(folder, "diginetica.train.sessions.txt"))?;
    let test = super::numbers(&super::within(folder, "diginetica.test.sessions.txt"))?;
    let (mut events, mut steps) = (Events::default(), Vec::with_capacity(train.len() + test.len()));
    let teaching = train.len().saturating_sub(TEACHING);
    for (owner, items) in (0u32..).zip(&train) {
        let begin = Millis::from(owner) * 1_000;
        if owner as usize == teaching {
            // Filled up to whole epochs, so that few are answered from what they ask for.
            let whole = |steps: &mut Vec<Step>| {
                steps.resize_with(steps.len().next_multiple_of(STEPS_AT_ONCE), || Step {
                    time: begin,
                    ..Step::default()
                });
            };
            whole(&mut steps);
            steps.extend((owner..).zip(&train[teaching..]).map(|(owner, items)| {
                let questions =
                    prefixes(owner, items).into_iter().map(|question| Question { teaches: true, ..question });
                Step { time: begin, questions: questions.collect(), ..Step::default() }
            }));
            whole(&mut steps);
        }
        let events = (begin..).zip(items).map(|(time, item)| events.next(owner, time, *item)).collect();
        steps.push(Step { time: begin, events, ..Step::default() });
    }
    let after = train.len() as Millis * 1_000;
    steps.extend((0u32..).zip(&test).map(|(number, items)| Step {
        time: after + Millis::from(number),
        questions: prefixes(train.len() as u32 + number, items),
        ..Step::default()
    }));
    Ok(Protocol {
        data: "diginetica",
        name: "sessions",
        steps,
        test_then_learn: false,
        owners: Owners::Sessions,
        repeats: true,
    })
}

/// All sessions in order of time, those to learn from and those that ask.
pub fn all_sessions(folder: &Path) -> anyhow::Result<Vec<Vec<u32>>> {
    let mut all = super::numbers(&super::within(folder, "diginetica.train.sessions.txt"))?;
    all.extend(super::numbers(&super::within(folder, "diginetica.test.sessions.txt"))?);
    Ok(all)
}

/// What each item of a session after the first asks for.
pub(super) fn prefixes(owner: u32, items: &[u32]) -> Vec<Question> {
    let ask = |at: usize| Question {
        owner,
        history: items[..at].to_vec(),
        target: items[at],
        among: Vec::new(),
        teaches: false,
    };
    (1..items.len()).map(ask).collect()
}
