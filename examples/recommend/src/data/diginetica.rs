//! Diginetica as SR-GNN and its successors split it: sessions in order of time, a line each.

use crate::protocol::{Events, Owners, Protocol, Question, STEPS_AT_ONCE, Step};
use shop_input::diginetica::{test, train};
use std::path::Path;
use tidemill::Millis;

/// About so many sessions of those to learn from teach how lists are blended, before they are learnt from.
const TEACHING: usize = 10_000;

/// One of so many of the last sessions is such a one: what no Transformer may be trained on should not be all that is new.
const EVERY: usize = 4;

/// Reads `diginetica.train.sessions.txt` and `diginetica.test.sessions.txt`. Each prefix of a test session asks for its next
/// item; nothing is learnt from them.
pub fn sessions(folder: &Path) -> anyhow::Result<Protocol> {
    Ok(protocol(&train(folder)?, &test(folder)?))
}

fn protocol(train: &[Vec<u32>], test: &[Vec<u32>]) -> Protocol {
    let (mut events, mut steps) = (Events::default(), Vec::with_capacity(train.len() + test.len()));
    // Steps of a kind fill whole epochs, so that nothing is answered from what it asks for.
    let whole = |steps: &mut Vec<Step>, time: Millis| {
        steps.resize_with(steps.len().next_multiple_of(STEPS_AT_ONCE), || Step { time, ..Step::default() });
    };
    let sessions: Vec<(u32, &Vec<u32>)> = (0u32..).zip(train).collect();
    let teaching = train.len().saturating_sub(TEACHING * EVERY);
    for (block, sessions) in sessions.chunks(STEPS_AT_ONCE).enumerate() {
        let begin = Millis::from(sessions[0].0) * 1_000;
        if block * STEPS_AT_ONCE >= teaching {
            steps.extend(sessions.iter().step_by(EVERY).map(|(owner, items)| {
                let teaches = |question| Question { teaches: true, ..question };
                let questions = prefixes(*owner, items).into_iter().map(teaches).collect();
                Step { time: begin, questions, ..Step::default() }
            }));
            whole(&mut steps, begin);
        }
        steps.extend(sessions.iter().map(|(owner, items)| {
            let begin = Millis::from(*owner) * 1_000;
            let events = (begin..).zip(items.iter()).map(|(time, item)| events.next(*owner, time, *item)).collect();
            Step { time: begin, events, ..Step::default() }
        }));
        whole(&mut steps, begin + sessions.len() as Millis * 1_000 - 1);
    }
    let after = train.len() as Millis * 1_000;
    steps.extend((0u32..).zip(test).map(|(number, items)| Step {
        time: after + Millis::from(number),
        questions: prefixes(train.len() as u32 + number, items),
        ..Step::default()
    }));
    Protocol {
        data: "diginetica",
        name: "sessions",
        steps,
        test_then_learn: false,
        owners: Owners::Sessions,
        repeats: true,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn nothing_is_asked_that_has_been_learnt() {
        let sessions = |count: u32| (0..count).map(|n| vec![n % 7, n % 5, n % 3]).collect::<Vec<_>>();
        let train = sessions(2_500);
        let protocol = protocol(&train, &sessions(3));
        let (mut learnt, mut taught, mut asked) = (BTreeSet::new(), 0, 0);
        for epoch in protocol.steps.chunks(STEPS_AT_ONCE) {
            // What happens in an epoch is known to its questions.
            learnt.extend(epoch.iter().flat_map(|step| &step.events).map(|event| event.owner));
            for question in epoch.iter().flat_map(|step| &step.questions) {
                assert!(!learnt.contains(&question.owner), "{question:?}");
                if question.teaches { taught += 1 } else { asked += 1 }
            }
        }
        assert_eq!((learnt.len(), taught, asked), (2_500, 2 * 2_500 / EVERY, 6));
        assert!(protocol.steps.is_sorted_by_key(|step| step.time));
    }

    #[test]
    fn what_teaches_is_shown_only_to_a_network_that_is_shown_all() {
        let train: Vec<Vec<u32>> = (0..2_500).map(|n| vec![n % 7, n % 5, n % 3]).collect();
        let protocol = protocol(&train, &[vec![8, 9]]);
        let [some, all] = [false, true].map(|all| crate::transformer::histories(&protocol, all).unwrap());
        assert_eq!(all.into_values().collect::<Vec<_>>(), train);
        let left_out: Vec<u32> = (0..2_500).filter(|owner| !some.contains_key(owner)).collect();
        assert_eq!(left_out, (0..2_500).step_by(EVERY).collect::<Vec<_>>());
    }
}
