//! One stream, four answers.
//!
//! ```text
//! lines ── cleaning ─┬─ users' events ─┬─ ledger ── what holds ─┬─ what should this shopper see next?   recommend::live
//!                    │                 │                        ├─ what is bought together?             bundles
//!                    │                 │                        └─ what do users do?                    behaviour
//!                    │                 └─ payments, chargebacks ── is this payment a fraud?             fraud::graph
//!                    └─ items' events ── categories, stock
//! ```

use fraud::features::Features;
use fraud::graph::current_features;
use fraud::serving::Scorer;
use recommend::live::{self, Given, Group, Kept, recommend};
use recommend::taste::Taste;
use std::sync::Arc;
use tidemill::time::days;
use tidemill::{Collection, Events, Millis, Result, Stream, Timing, Update};
use tidemill_inference::{Infer, Pool, Score};
use tidemill_recommend::{BundleRow, Fact, Touch, WithBundles};
use tidemill_shop::{
    Action, Behaviour, Clean, Cleaning, CountReasons, Facts, Funnel, Held, Interest, Ledgers, Line, Reason, Rfm, Rules,
    Segment, Segments, Thresholds, Trend, Trending,
};

use crate::catalogue::Catalogue;
use crate::payments::{Verdicts, of, payment, timed};

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
    /// The categories of items.
    pub catalogue: Arc<Catalogue>,
    /// Tells what histories lead to.
    pub taste: Option<Pool<Taste>>,
    /// Tells how likely a payment is a fraud.
    pub scorer: Option<Pool<Scorer>>,
}

/// A payment is known to be a fraud, or not to be one, so many days later.
pub const LABEL_DELAY: u64 = 7;

/// For so many days a payment's score is kept, and corrected as labels come.
const SCORED: u64 = 2;

/// Trends, and the items in a category that trend.
const TRENDS: usize = 40;

/// Lines of an order that are paired, at most; and the items that each item keeps that are bought with it.
const BASKET: (usize, usize) = (100, 50);

/// What the graph keeps.
pub struct Answers<'s> {
    /// Lists, and what they are made of.
    pub kept: Kept<'s>,
    /// What is bought together.
    pub bundles: Collection<'s, BundleRow<u64>>,
    /// What is trending.
    pub trends: Collection<'s, Trend<Group>>,
    /// Views, carts and purchases by category and hour.
    pub funnel: Collection<'s, Funnel>,
    /// The categories that interest users.
    pub interests: Collection<'s, Interest>,
    /// How recently, how often, for how much users have bought.
    pub rfm: Collection<'s, Rfm>,
    /// What kind of customer each user is.
    pub segments: Collection<'s, (u64, Segment)>,
    /// How likely payments are frauds, if there is a model.
    pub scores: Option<Collection<'s, (Features, Score)>>,
    /// How many lines were dropped, and why.
    pub dropped: Collection<'s, (Reason, u64)>,
    /// What is known of items.
    pub facts: Collection<'s, Fact<u64, u64>>,
    /// What holds.
    pub held: Stream<'s, Update<Held>>,
}

/// Builds the graph.
pub fn answers<'s>(lines: Stream<'s, Line>, options: &Options) -> Result<Answers<'s>> {
    let job = lines.job().clone();
    let (clean, dropped) = lines.clean("cleaning", options.rules.clone())?;
    let dropped = dropped.count_reasons("dropped")?;
    let events = clean.clone().filter_map(|clean| if let Clean::Shopper(event) = clean { Some(event) } else { None });
    let items = clean.filter_map(|clean| if let Clean::Item(event) = clean { Some(event) } else { None });
    let facts = items.facts("items")?.map(|fact| Fact {
        item: fact.item,
        category: fact.category,
        in_stock: fact.left != Some(0),
    });
    let (held, _late) = events.clone().key_by(|event| event.user).ledger("what holds", options.keep)?;

    let category = |catalogue: &Arc<Catalogue>| {
        let catalogue = Arc::clone(catalogue);
        move |item| catalogue.category(item)
    };
    let of_item = category(&options.catalogue);
    let groups = move |item| [Group::All, Group::Category(of_item(item))];
    let trends = held.clone().trending("trends", TRENDS, options.half_life, groups)?;
    let funnel = held.clone().funnel("funnel", tidemill::time::hours(1), category(&options.catalogue))?;
    let interests = held.clone().interests("interests", 3, category(&options.catalogue))?;
    let rfm = held.clone().rfm("habits")?;
    let segments = rfm.clone().segments("segments", Thresholds::default())?;

    let order_lines = held.clone().filter_map(|Update { row: Held { time, seq, event }, diff }| match event.action {
        Action::Purchase { order, item, .. } => Some(Update { row: Touch { owner: order, time, seq, item }, diff }),
        _ => None,
    });
    let bundles = order_lines.key_by(|line| line.row.owner).bundles("bundles", BASKET.0, BASKET.1)?;

    let timed = timed(events);
    let scores = match &options.scorer {
        None => None,
        Some(pool) => {
            let payments = timed.clone().filter_map(|(time, event)| payment(time, &event).map(|(_, payment)| payment));
            let of_payments = timed.clone().filter_map(|(time, event)| of(time, &event));
            let delay = days(LABEL_DELAY as i64);
            let labels = of_payments.key_by(|of| of.0).process("verdicts", Verdicts { delay })?;
            let features = current_features(payments, labels, LABEL_DELAY, SCORED)?;
            Some(features.infer("fraud scores", pool, |features| *features)?)
        }
    };

    let mut again = timed.filter_map(|(time, event)| (event.action == Action::Forget).then_some(time));
    if let Some(at) = options.refresh {
        again = again.union(job.source("refresh", Events::new(vec![at]), Timing::by(|at: &Millis| *at))?);
    }
    let together = bundles.clone().flat_map(|row| if let BundleRow::Item(row) = row { Some(row) } else { None });
    let given = Given { facts: facts.clone(), trends: trends.clone(), together, again };
    let kept = recommend(held.clone(), given, options.taste.as_ref(), options.lists, category(&options.catalogue))?;
    Ok(Answers { kept, bundles, trends, funnel, interests, rfm, segments, scores, dropped, facts, held })
}
