//! One stream, four answers.
//!
//! ```text
//! lines ── cleaning ─┬─ users' events ─┬─ categories ── ledger ── what holds ─┬─ what should this shopper see next?   recommend::live
//!                    │                 │       │                              ├─ what is bought together?             bundles
//!                    │                 │       │                              └─ what do users do?                    behaviour
//!                    │                 └───────┼─ payments, verdicts ──────────── is this payment a fraud?            fraud::graph
//!                    └─ items' events ─── facts: category, price, stock
//! ```

use behaviour::graph::{Doings, doings};
use bundles::graph::{bundles, users};
use fraud::features::Features;
use fraud::graph::current_features;
use fraud::serving::Scorer;
use recommend::live::{self, Given, Kept, recommend};
use recommend::taste::Taste;
use serde::Serialize;
use tidemill::{Collection, Context, DeadLetter, Events, Millis, Process, Reject, Stream, Timing, Update};
use tidemill_inference::{Infer, Pool, Score};
use tidemill_recommend::{Baskets, BundleRow, Fact};
use tidemill_shop::{
    Action, Categorised, Clean, Cleaning, CountReasons, Dropped, Facts, Forgotten, Held, Ledger, Ledgers, Line, Reason,
    Rules, ShopEvent,
};

use crate::payments::{COUNTS, LABEL_DELAY, Payments, SCORED, payments};

/// What the graph is made with.
#[derive(Clone)]
pub struct Options {
    /// Events older than this, in ms, do not hold.
    pub keep: Millis,
    /// An event counts half for trends after so many ms.
    pub half_life: Millis,
    /// What lines may say.
    pub rules: Rules,
    /// How lists are made.
    pub lists: live::Settings,
    /// All lists are made anew when this time has come, in ms since 1970 UTC: the end of a history that is read in.
    pub refresh: Option<Millis>,
    /// Tells what histories lead to.
    pub taste: Option<Pool<Taste>>,
    /// Tells how likely a payment is a fraud.
    pub scorer: Option<Pool<Scorer>>,
}

/// What the graph keeps.
pub struct Answers<'s> {
    /// Lists, and what they are made of.
    pub kept: Kept<'s>,
    /// What is bought together.
    pub bundles: Collection<'s, BundleRow<u64>>,
    /// What users bought last, order by order: what a [`BasketIndex`](tidemill_recommend::BasketIndex) tells next baskets from.
    pub baskets: Collection<'s, Baskets<u64, u64>>,
    /// What users do.
    pub doings: Doings<'s>,
    /// How likely payments are frauds, if there is a model.
    pub scores: Option<Collection<'s, (Features, Score)>>,
    /// How many lines were dropped, and why.
    pub dropped: Collection<'s, (Reason, u64)>,
    /// Which lines were dropped.
    pub lost: Lost<'s>,
    /// What is known of items.
    pub facts: Collection<'s, Fact<u64, u64>>,
    /// What holds.
    pub held: Stream<'s, Update<Held>>,
    /// Who was forgotten.
    pub forgotten: Stream<'s, Forgotten>,
}

/// Lines that were dropped.
pub struct Lost<'s> {
    /// Those that cannot be believed.
    pub faulty: Stream<'s, Dropped>,
    /// What others said, that came when nothing as old was kept any more, or nothing as old of its user, who wanted to be forgotten.
    pub late: Stream<'s, ShopEvent>,
}

impl<'s> Lost<'s> {
    /// As dead letters, each with its time and its reason in words.
    pub fn letters(self) -> Stream<'s, DeadLetter> {
        let faulty = self.faulty.with_times().map(|(time, Dropped { id, reason })| {
            // The time of a line whose time is impossible is not its own here.
            let time = (reason != Reason::ImpossibleTime).then_some(time);
            DeadLetter::of("cleaning", &Faulty { id, time }, reason.describe())
        });
        let late = self.late.with_times().map(|(time, ShopEvent { user, action, .. })| {
            DeadLetter::of("what holds", &Late { user, time, action }, Reason::TooLate.describe())
        });
        faulty.union(late)
    }
}

/// Which line was dropped.
#[derive(Serialize)]
struct Faulty {
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Millis>,
}

/// What came too late.
#[derive(Serialize)]
struct Late {
    user: u64,
    time: Millis,
    action: Action,
}

/// Builds the graph.
pub fn answers<'s>(lines: Stream<'s, Line>, options: &Options) -> tidemill::Result<Answers<'s>> {
    let job = lines.job().clone();
    let (clean, dropped) = lines.clean("cleaning", options.rules.clone())?;
    let (events, items) = clean.split_map(|clean| match clean {
        Clean::Shopper(event) => (Some(event), None),
        Clean::Item(event) => (None, Some(event)),
    });
    let facts = items.facts("items")?;
    let events = events.categorised("categories", facts.clone())?;
    let facts = facts.map(|fact| Fact { item: fact.item, category: fact.category, in_stock: fact.left != Some(0) });
    let Ledger { held, forgotten, late } =
        events.clone().key_by(|event| event.user).ledger("what holds", options.keep)?;
    let lost = Lost { faulty: dropped.clone(), late: late.clone() };
    let reasons = dropped.map(|line| line.reason).union(late.map(|_| Reason::TooLate));
    let dropped = reasons.count_reasons("dropped")?;

    let doings = doings(held.clone(), options.half_life)?;
    let (bundles, baskets) = (bundles(held.clone())?, users(held.clone())?);

    let scores = match &options.scorer {
        None => None,
        Some(pool) => {
            let Payments { made, verdicts } = payments(&events, COUNTS)?;
            let features = current_features(made, verdicts, LABEL_DELAY, SCORED)?;
            Some(features.infer("fraud scores", pool, |features| *features)?)
        }
    };

    let timed = events.with_times();
    let mut again = timed.clone().filter_map(|(time, event)| (event.action == Action::Forget).then_some(time));
    if let Some(at) = options.refresh {
        let refresh = job.source("refresh", Events::new(vec![at]), Timing::by(|at: &Millis| *at))?;
        // A stream's watermark is that of all its sources, so it has to be one with the lines to wait for them.
        let refresh = refresh.union(timed.filter_map(|_| None)).key_by(|_| ()).process("refresh in time", InTime)?;
        again = again.union(refresh);
    }
    let together = bundles.clone().flat_map(|row| if let BundleRow::Item(row) = row { Some(row) } else { None });
    let gone = forgotten.clone().map(|forgotten| forgotten.user);
    let given = Given { facts: facts.clone(), trends: doings.trends.clone(), together, again, forgotten: gone };
    let kept = recommend(held.clone(), given, options.taste.as_ref(), options.lists)?;
    Ok(Answers { kept, bundles, baskets, doings, scores, dropped, lost, facts, held, forgotten })
}

/// Passes times on when they have come.
struct InTime;

impl Process for InTime {
    type Key = ();
    type In = Millis;
    type Out = Millis;
    type State = ();

    const UNDO: bool = false;

    fn process(&self, (): &(), at: Millis, (): &mut (), ctx: &mut Context<'_, Millis>) -> Result<(), Reject> {
        ctx.emit(at);
        Ok(())
    }
}
