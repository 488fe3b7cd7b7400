//! The graph that keeps the list of each shopper.
//!
//! ```text
//! what holds ─┬─ histories ─┬─ nearest histories ────┐
//!             ├─ views ─────┼─ what follows ─────────┤
//!             │             │    what goes together ─┤     wishes to be forgotten ─┐
//!             │             │                trends ─┤                 feedback ── weights
//!             │             └─ each new history: suggestions by all of these, and the Transformer ── ranked ─┐
//!             ├─ bought, not wanted, blocked ────────────────────────────────────────────────────────── lists
//! items ──────┴─ categories, stock ──────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Suggestions are made for a user when the user acts, from what all others have taught by then; lists are made of them
//! whenever something changes that decides what may be shown. When a user is forgotten, the suggestions of all users who were
//! there lately are made anew, one after the other, and those of others dropped until they come again; and the ranker begins
//! anew, for it learns from suggestions. So nothing of the forgotten one is left.

use tidemill::hash::stable_hash;
use tidemill::time::{hours, minutes};
use tidemill::{Collection, Millis, Result, Stream, Update};
use tidemill_events::{AsOf, Asked, AskedOfSeveral, Respondent, WithEachRow};
use tidemill_inference::{Infer, Pool, Score};
use tidemill_recommend::{
    Anew, ByLinks, Fact, Feedback, Hidden, Hiding, ItemRow, LastItems, Learned, Lessons, ListRules, Nearest,
    Neighbours, Ranked, Ranker, Ranking, Session, Standing, Suggested, Suggestion, Suggestions, Teaching, Touch,
    Trends, TrendsRow, WeightsRow, Wishes, WithItems, lists,
};
use tidemill_shop::{Action, Held, Trend};

use crate::taste::Taste;

/// How much is kept and looked at.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Two items of a history are linked if they are at most so many places apart, up to 10.
    pub reach: usize,
    /// Of each item so many are kept that follow it.
    pub keep: usize,
    /// The last items of a history, which the Transformer sees.
    pub history: usize,
    /// The last of these, by which all others suggest.
    pub last: usize,
    /// How nearest histories are found.
    pub nearest: Nearest,
    /// Items that each source suggests at most.
    pub suggested: usize,
    /// Items of these that are kept for each user: what may come into the list when others go.
    pub ranked: usize,
    /// How lists are made of them.
    pub list: ListRules,
    /// What was suggested to a user waits for so many ms for what the user chooses: longer than events may come out of order.
    pub waits: Millis,
    /// When a user was forgotten, lists are made anew of those who have done something in so many ms before that. What there is of
    /// others goes.
    pub there: Millis,
    /// When a user was forgotten, the suggestions of all others have been made anew after so many ms of event time; with 0, at
    /// once.
    pub anew: Millis,
    /// Suggestions are made from this time on, in ms since 1970 UTC: not for each step of a history that is read in.
    pub from: Millis,
    /// Whether feedback teaches the ranker.
    pub learns: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            reach: 4,
            keep: 50,
            history: 50,
            last: 8,
            nearest: Nearest { recent: 100, neighbours: 40, length: 5 },
            suggested: 20,
            ranked: 40,
            list: ListRules::default(),
            waits: hours(1),
            there: hours(1),
            anew: minutes(1),
            from: Millis::MIN,
            learns: true,
        }
    }
}

/// The sources, in the order in which a ranker knows them.
pub const SOURCES: [&str; 5] =
    ["to your taste", "looked at after", "bought with", "liked by people like you", "trending"];

/// What the graph is given beside the events that hold.
pub struct Given<'s> {
    /// Items' categories, and whether they are in stock.
    pub facts: Collection<'s, Fact<u64, u64>>,
    /// What is trending in each category, and of all (`None`).
    pub trends: Collection<'s, Trend<Option<u64>>>,
    /// What is bought with what.
    pub together: Collection<'s, ItemRow<u64>>,
    /// Times from which on all lists are made anew, and the ranker learns anew: an event for each wish to be forgotten, in its epoch,
    /// and when a history has been read in.
    pub again: Stream<'s, Millis>,
    /// Users who are forgotten, because something was known of them.
    pub forgotten: Stream<'s, u64>,
}

/// What it keeps.
pub struct Kept<'s> {
    /// What each user may be shown now.
    pub lists: Collection<'s, Ranked<u64, u64>>,
    /// What is suggested to each user.
    pub ranked: Collection<'s, Ranked<u64, u64>>,
    /// What is looked at after what.
    pub after: Collection<'s, ItemRow<u64>>,
    /// The last items of each user.
    pub histories: Collection<'s, Session<u64, u64>>,
    /// What is hidden from each user.
    pub hidden: Collection<'s, Hidden<u64, u64, u64>>,
    /// What the sources weigh.
    pub weights: Collection<'s, WeightsRow>,
}

/// Builds the graph.
pub fn recommend<'s>(
    held: Stream<'s, Update<Held>>,
    given: Given<'s>,
    taste: Option<&Pool<Taste>>,
    settings: Settings,
) -> Result<Kept<'s>> {
    let touches = held.clone().filter_map(|Update { row: Held { time, seq, event }, diff }| match event.action {
        Action::View { item } | Action::Purchase { item, .. } => {
            Some(Update { row: Touch { owner: event.user, time, seq, item }, diff })
        }
        _ => None,
    });
    let touches = touches.key_by(|touch| touch.row.owner);
    let histories = touches.clone().maintain("histories", LastItems::new(settings.history))?;
    let after = touches.followers("what follows", settings.reach, settings.keep)?;
    let hidden =
        held.clone().filter_map(hides).key_by(|change| *change.row.user()).maintain("hidden", Hiding::new())?;

    // A history of whom suggestions are made, or whose are there no more.
    let has_taste = taste.is_some();
    let suggest = move |Session { session, time, items }: Session<u64, u64>| {
        let of = Suggestions::new(session, time, items);
        if has_taste { of } else { of.with(Vec::new()) }
    };
    let (new, gone) =
        histories.clone().changes(|session| session.time).split_map(move |Update { row, diff }| match diff > 0 {
            true => ((row.time >= settings.from).then(|| suggest(row)), None),
            false => (None, Some(Suggested::Gone(row.session))),
        });
    let turns = given.again.clone().key_by(|_| ()).process("turns", Anew::new(settings.anew, PARTS))?;
    let turns = turns.filter(move |turn| turn.time >= settings.from.saturating_sub(BEHIND));
    let part = |session: &Session<u64, u64>| stable_hash(&session.session) % PARTS;
    let again = turns.with_each_row("lists made anew", histories.clone(), |turn| turn.part, part)?;
    let (again, left) = again.split_map(move |(turn, session)| match session.time {
        // Nothing was suggested yet.
        time if time.max(turn.time) < settings.from => (None, None),
        time if time >= turn.time.saturating_sub(settings.there) => (Some(suggest(session)), None),
        _ => (None, Some(session.session)),
    });

    let Settings { last, suggested, nearest, .. } = settings;
    let mut asked = new.union(again);
    if let Some(pool) = taste {
        asked = asked.infer("suggest by taste", pool, |of| of.history.clone())?.map(|(of, likely)| {
            let list = tasty(likely);
            of.with(list)
        });
    }
    let short = histories.clone().map(move |session| {
        let items = session.items[session.items.len().saturating_sub(last)..].to_vec();
        Session { items, ..session }
    });
    let categories = given.facts.clone().map(|fact| TrendsRow::Of(fact.item, Some(fact.category)));
    let trends = given.trends.map(TrendsRow::In).union(categories);
    let sources = vec![
        given.again.clone().noted("wishes so far")?,
        Respondent::new(after.clone(), ByLinks::after(last, suggested)),
        Respondent::new(given.together, ByLinks::together(last, suggested)),
        Respondent::new(short, Neighbours::new(nearest, suggested)),
        Respondent::new(trends, Trends::new(suggested, None)),
    ];
    // What is suggested is both ranked and learnt from.
    let asked = asked.ask_several("suggest", AsOf::Now, sources)?;
    let (asked, learnt) = asked.split_map(move |(mut of, lists)| {
        of.lists.extend(lists);
        let candidates = of.candidates();
        let Suggestions { user, as_of, wishes_before: wishes, .. } = of;
        let learnt = || Feedback::Suggested { user, as_of, candidates: candidates.clone(), wishes };
        let learnt = settings.learns.then(learnt);
        (Some((of, candidates)), learnt)
    });
    let ranker = Ranker::new(SOURCES.len());
    let no_more = given.forgotten.union(left.clone()).map(|user| Feedback::Gone { user });
    let feedback = held.flat_map(move |change| feedback(change, settings.learns)).union(learnt).union(no_more);
    let lessons = feedback.key_by(|feedback| *feedback.user()).process("lessons", Lessons::new(settings.waits))?;
    let teachings = lessons.map(Teaching::Lesson).union(given.again.map(|_| Teaching::Wish));
    let weights = teachings.key_by(|_| ()).maintain("weights", Learned::new(ranker.clone()))?;
    let ranking = Ranking::new(ranker, settings.ranked);
    // By what was learnt before this epoch: it teaches the ranker itself.
    let ranked = asked.ask_map("rank", weights.clone(), AsOf::Before, ranking, |(of, _), entries| {
        Suggested::To(Ranked { user: of.user, as_of: of.as_of, entries })
    })?;
    let ranked = ranked
        .union(gone.union(left.map(Suggested::Gone)))
        .key_by(|of| *of.user())
        .maintain("ranked", Standing::new())?;
    let lists = lists("lists", ranked.clone(), given.facts, hidden.clone(), settings.list)?;
    Ok(Kept { lists, ranked, after, histories, hidden, weights })
}

/// Suggestions may be made of what is later than the watermark, by less than this in ms: lists may be there that have to be made
/// anew while that is so much before [`Settings::from`].
const BEHIND: Millis = hours(1);

/// Users whose lists are made anew together are so small a part of all that nobody else waits for them.
const PARTS: u64 = 1_024;

/// What the Transformer suggests; of each item how likely it is beside the likeliest.
fn tasty(likely: Vec<(u64, Score)>) -> Vec<Suggestion<u64>> {
    let suggestion = |(item, score): (u64, Score)| Suggestion { item, score: score.to_f64().exp(), because: None };
    likely.into_iter().map(suggestion).collect()
}

/// What an event hides from its user.
fn hides(Update { row: Held { event, .. }, diff }: Update<Held>) -> Option<Update<Hidden<u64, u64, u64>>> {
    let user = event.user;
    let row = match event.action {
        Action::Purchase { item, .. } | Action::NotInterested { item } => Hidden::Item { user, item },
        Action::Block { category } => Hidden::Category { user, category },
        _ => return None,
    };
    Some(Update { row, diff })
}

/// What an event says of how suggestions do.
fn feedback(Update { row: Held { event, .. }, diff }: Update<Held>, learns: bool) -> Option<Feedback<u64, u64>> {
    let user = event.user;
    match event.action {
        Action::Shown { item, .. } if learns && diff > 0 => Some(Feedback::Shown { user, item }),
        Action::View { item } if learns && diff > 0 => Some(Feedback::Chosen { user, item }),
        _ => None,
    }
}
