//! Amazon reviews as sequences: of each user the items in order.

use crate::protocol::{Events, Owners, Protocol, Question, Step};
use anyhow::bail;
use shop_input::amazon::{users, users_by_line};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tidemill::Millis;

/// Reads S3-Rec's `Beauty.txt`: a user a line, then the items. The last item of each user is asked for, ranked among all
/// items the user has not had; the models learn from all but the last two.
pub fn beauty(file: &Path) -> anyhow::Result<Protocol> {
    Ok(leave_one_out("beauty", "leave-one-out-full", &users_by_line(file)?, |_| Vec::new()))
}

/// Reads SASRec's `Video.txt`: a user and an item a line, in order. The last item of each user is asked for, ranked among a
/// hundred others that the user has not had, drawn uniformly.
pub fn video(file: &Path) -> anyhow::Result<Protocol> {
    let users = users(file)?;
    let items: Vec<u32> = users.values().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect();
    if let Some((user, _)) = users.iter().find(|(_, had)| had.iter().collect::<BTreeSet<_>>().len() == items.len()) {
        bail!("{}: user {user} has had every item, so there are no others to rank among", file.display());
    }
    let others = |user: u32| {
        let had: BTreeSet<u32> = users[&user].iter().copied().collect();
        let mut random = u64::from(user) ^ 0x5851_f42d_4c95_7f2d;
        let mut draw = || {
            // SplitMix64 (Steele, Lea, Flood 2014), so that whoever asks gets the same hundred.
            random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = (random ^ random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            items[((mixed ^ mixed >> 31) % items.len() as u64) as usize]
        };
        std::iter::repeat_with(&mut draw).filter(|item| !had.contains(item)).take(100).collect()
    };
    Ok(leave_one_out("video", "leave-one-out-100", &users, others))
}

/// Learns from all but the last two items of users with three or more, and from all of the others; asks for the last.
fn leave_one_out(
    data: &'static str,
    name: &'static str,
    users: &BTreeMap<u32, Vec<u32>>,
    among: impl Fn(u32) -> Vec<u32>,
) -> Protocol {
    let (mut events, mut steps) = (Events::default(), Vec::new());
    let known = |items: &[u32]| if items.len() < 3 { items.len() } else { items.len() - 2 };
    for (user, items) in users {
        let time = steps.len() as Millis;
        let events = items[..known(items)].iter().map(|item| events.next(*user, time, *item)).collect();
        steps.push(Step { time, events, ..Step::default() });
    }
    let mut ask = |teaches: bool| {
        for (user, items) in users.iter().filter(|(_, items)| items.len() >= 3) {
            let known = items.len() - 1 - usize::from(teaches);
            let (history, target) = (items[..known].to_vec(), items[known]);
            let question = Question { owner: *user, history, target, among: among(*user), teaches };
            steps.push(Step { time: steps.len() as Millis, questions: vec![question], ..Step::default() });
        }
    };
    // The last item but one of each user teaches how lists are blended.
    ask(true);
    ask(false);
    Protocol { data, name, steps, test_then_learn: false, owners: Owners::Sessions, repeats: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_item_is_shown_to_no_network_and_the_last_but_one_to_that_of_all() {
        let users = BTreeMap::from([(1, vec![5, 6, 7, 8]), (2, vec![6, 7, 5]), (3, vec![7, 8])]);
        let protocol = leave_one_out("few", "few", &users, |_| Vec::new());
        let shown = |all| crate::transformer::histories(&protocol, all).unwrap();
        assert_eq!(shown(false), BTreeMap::from([(1, vec![5, 6]), (2, vec![6]), (3, vec![7, 8])]));
        assert_eq!(shown(true), BTreeMap::from([(1, vec![5, 6, 7]), (2, vec![6, 7]), (3, vec![7, 8])]));
    }
}
