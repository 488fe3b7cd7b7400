//! The clicks that come with Serenade: a month of sessions, with times.

use crate::protocol::{Events, Owners, Protocol, Question, Step};
use shop_input::serenade::clicks as read;
use std::collections::BTreeMap;
use std::path::Path;
use tidemill::Millis;

/// Reads `train.txt` and `test.txt`. Each prefix of a test session asks for its next item; nothing is learnt from them.
pub fn sessions(folder: &Path) -> anyhow::Result<Protocol> {
    let mut steps = clicks(folder, &["train.txt"], false)?;
    let after = steps.last().map_or(0, |step| step.time);
    for (number, (session, clicks)) in (0..).zip(read(folder, "test.txt")?) {
        let items: Vec<u32> = clicks.into_iter().map(|click| click.1).collect();
        let questions = super::diginetica::prefixes(session, &items);
        steps.push(Step { time: after + number, questions, ..Step::default() });
    }
    Ok(Protocol {
        data: "serenade",
        name: "sessions",
        steps,
        test_then_learn: false,
        owners: Owners::Sessions,
        repeats: true,
    })
}

/// All clicks in order of time; each asks before it is learnt from.
pub fn prequential(folder: &Path) -> anyhow::Result<Protocol> {
    let steps = clicks(folder, &["train.txt", "valid.txt", "test.txt"], true)?;
    Ok(Protocol {
        data: "serenade",
        name: "prequential",
        steps,
        test_then_learn: true,
        owners: Owners::Sessions,
        repeats: true,
    })
}

/// A step for each click; with `ask`, what comes next in its session is asked before it comes.
fn clicks(folder: &Path, files: &[&str], ask: bool) -> anyhow::Result<Vec<Step>> {
    let mut all = Vec::new();
    for file in files {
        for (session, clicks) in read(folder, file)? {
            all.extend(clicks.into_iter().enumerate().map(|(place, (time, item))| (time, session, place, item)));
        }
    }
    all.sort_unstable();
    let (mut events, mut histories) = (Events::default(), BTreeMap::<u32, Vec<u32>>::new());
    let step = |(time, owner, _, target): (Millis, u32, usize, u32)| {
        let history = histories.entry(owner).or_default();
        let asked = (ask && !history.is_empty()).then(|| Question {
            owner,
            history: history.clone(),
            target,
            among: vec![],
            teaches: false,
        });
        history.push(target);
        Step { time, questions: asked.into_iter().collect(), events: vec![events.next(owner, time, target)] }
    };
    Ok(all.into_iter().map(step).collect())
}
