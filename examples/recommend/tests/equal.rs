//! What the graph keeps true is what a recompute gives, on any number of workers.

use proptest::prelude::*;
use recommend::batch::recompute;
use recommend::data::online_retail::Day;
use recommend::days::compare;
use recommend::forget::{Kept, forget};
use recommend::graph::replay;
use recommend::metrics::metrics;
use recommend::protocol::{Events, Owners, Protocol, Question, Step};
use std::collections::BTreeMap;
use tidemill::time::days;
use tidemill_shop::{Action, ShopEvent};

/// Steps of a few owners' events; in every other step somebody asks what the event will be.
fn protocol(events: &[(u32, u32)], owners: Owners, test_then_learn: bool) -> Protocol {
    let (mut numbers, mut histories, mut steps) = (Events::default(), BTreeMap::<u32, Vec<u32>>::new(), Vec::new());
    let mut later = Vec::new();
    for (number, (owner, item)) in events.iter().enumerate() {
        let time = number as i64;
        let history = histories.entry(*owner).or_default();
        let question = (!history.is_empty() && number % 2 == 0).then(|| Question {
            owner: *owner,
            history: history.clone(),
            target: *item,
            among: Vec::new(),
            teaches: number % 4 == 0 && !test_then_learn,
        });
        let (now, then) = if test_then_learn { (question, None) } else { (None, question) };
        later.extend(then);
        steps.push(Step {
            time,
            questions: now.into_iter().collect(),
            events: vec![numbers.next(*owner, time, *item)],
        });
        history.push(*item);
    }
    let time = events.len() as i64;
    steps.push(Step { time, questions: later, events: Vec::new() });
    let repeats = owners == Owners::Sessions;
    Protocol { data: "test", name: "test", steps, test_then_learn, owners, repeats }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn rows_and_ranks_are_those_of_a_recompute(
        events in prop::collection::vec((0u32..5, 1u32..9), 1..60), baskets in any::<bool>(), test_then_learn in any::<bool>(),
    ) {
        let protocol = protocol(&events, if baskets { Owners::Baskets } else { Owners::Sessions }, test_then_learn);
        let recomputed = recompute(&protocol);
        let mut first = None;
        for workers in [1, 2, 4] {
            let replayed = replay(&protocol, workers, None).unwrap();
            prop_assert!(replayed.items.values().chain(replayed.sessions.values()).all(|count| *count == 1));
            prop_assert!(replayed.items.keys().eq(&recomputed.items), "{:?} {:?}", replayed.items, recomputed.items);
            prop_assert!(replayed.sessions.keys().eq(&recomputed.sessions));
            for (model, ranks) in &recomputed.ranks {
                prop_assert_eq!(&replayed.ranks[model], ranks, "{}", model);
            }
            let all = first.get_or_insert_with(|| replayed.ranks.clone());
            prop_assert_eq!(&*all, &replayed.ranks, "{} workers", workers);
        }
    }

    #[test]
    fn days_with_cancellations_are_those_of_a_recompute(
        lines in prop::collection::vec((0u64..4, 0u64..9, 0u64..6, 1u32..5, 0u8..4), 1..120), a_day in 1usize..40,
    ) {
        let line = |(user, order, item, quantity, kind): (u64, u64, u64, u32, u8)| {
            let action = match kind {
                0 => Action::Cancellation { order: None, item, quantity },
                _ => Action::Purchase { order: user * 10 + order, item, quantity, cents: 100 },
            };
            (0, ShopEvent::new(user, action))
        };
        let lines: Vec<_> = lines.into_iter().map(line).collect();
        let of_days: Vec<Day> =
            (1..).zip(lines.chunks(a_day)).map(|(day, lines)| Day { time: days(day), lines: lines.to_vec() }).collect();
        for workers in [1, 3] {
            let compared = compare(&of_days, workers).unwrap();
            prop_assert_eq!((compared.days, compared.rows_that_differ), (of_days.len(), 0), "{:?}", compared);
        }
    }

    #[test]
    fn nothing_is_left_of_users_who_are_forgotten(views in prop::collection::vec((0u64..5, 0u64..7), 1..80)) {
        let views: Vec<_> = (0..).zip(views).map(|(time, (user, item))| (time, ShopEvent::new(user, Action::View { item }))).collect();
        let others: Vec<_> = views.iter().copied().filter(|view| view.1.user > 1).collect();
        let forgotten = forget(&views, &[0, 1], Kept::Everything, true).unwrap();
        let never = forget(&others, &[], Kept::Everything, true).unwrap();
        prop_assert_eq!(forgotten.left, never.left);
    }
}

#[test]
fn a_blend_learns_whom_to_trust() {
    // Everybody goes from an item to the next one, so links tell what comes; what is popular does not.
    let events: Vec<(u32, u32)> = (0..400).map(|n| (n / 8, 1 + (n / 8 * 3 + n % 8) % 40)).collect();
    let replayed = replay(&protocol(&events, Owners::Sessions, false), 1, None).unwrap();
    let hits = |model: &str| metrics(replayed.ranks[model].iter().map(|ranks| ranks.all))["mrr@10"];
    assert!(hits("blend") > 0.9 && hits("blend") > 2.0 * hits("popular"), "{} {}", hits("blend"), hits("popular"));
}
