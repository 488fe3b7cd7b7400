//! Next baskets: each order of a customer is asked for before it is learnt.

use crate::graph::{CAP, Question, Step, clean, steps, users};
use rustc_hash::FxHashMap;
use shop_input::{GUESTS, Lines};
use std::collections::{BTreeMap, BTreeSet};
use tidemill::{Config, Events, Memory, Result, Timing, execute};
use tidemill_events::{AsOf, Asked, Index};
use tidemill_recommend::{BasketIndex, Baskets, Scores, TifuKnn};
use tidemill_shop::{Kind, Line};

/// The models, in the order of their lists:
///
/// - `tifu`: TIFU-kNN as in the paper;
/// - `g-top`: the items in most baskets of all users;
/// - `p-top`: those in most of the user's own;
/// - `gp-top`: the user's own, then those of all.
///
/// All see the same baskets. Of items in as many baskets the one that was sold first comes first.
pub const MODELS: [&str; 4] = ["tifu", "g-top", "p-top", "gp-top"];

/// How long lists are.
const LISTED: usize = 20;

/// What became of the orders.
#[derive(Default)]
pub struct Judged {
    /// Of each order that was asked for, what was in it, up to [`CAP`] items.
    pub baskets: Vec<BTreeSet<u64>>,
    /// And the list of each of [`MODELS`], the best item first.
    pub lists: Vec<Vec<Vec<u64>>>,
}

/// Asks for each order of a customer with a basket that holds, and learns it then.
///
/// # Errors
///
/// What stops the job.
pub fn judge(lines: &Lines, workers: usize) -> Result<Judged> {
    let customers: Vec<Line> =
        lines.lines.iter().filter(|line| line.user.is_some_and(|user| user < GUESTS)).copied().collect();
    let orders = orders(&customers);
    let questions = orders.iter().map(|(place, order)| (*place, vec![Question::Next { user: order.user, n: LISTED }]));
    let steps = steps(&customers, &lines.rules, &questions.collect());
    let (input, answers, rules) = (Events::new(steps), Memory::new(), lines.rules.clone());
    let to_answers = answers.clone();
    execute(Config { epoch_records: 1, ..Config::workers(workers) }, move |job| {
        let steps = job.source("steps", input.clone(), Timing::by(|step: &Step| step.time))?;
        let questions = steps.clone().flat_map(|step| step.questions);
        let (held, _dropped) = clean(steps, &rules)?;
        questions.ask("models", users(held)?, AsOf::Before, Models::default())?.sink("answers", to_answers.clone())
    })?;
    let mut judged = Judged::default();
    for (order, (_, lists)) in orders.into_values().zip(answers.values()) {
        if let Some(lists) = lists {
            judged.baskets.push(order.items);
            judged.lists.push(lists);
        }
    }
    Ok(judged)
}

/// What a user bought at once.
pub struct Order {
    /// Who.
    pub user: u64,
    /// What, up to [`CAP`] items.
    pub items: BTreeSet<u64>,
}

/// The orders, by the place of their first line.
pub fn orders(lines: &[Line]) -> BTreeMap<usize, Order> {
    let mut firsts: FxHashMap<(u64, u64), usize> = FxHashMap::default();
    let mut orders: BTreeMap<usize, Order> = BTreeMap::new();
    for (place, line) in lines.iter().enumerate().filter(|(_, line)| line.kind == Kind::Purchase) {
        if let (Some(user), Some(order), Some(item)) = (line.user, line.order, line.item) {
            let first = *firsts.entry((user, order)).or_insert(place);
            let items = &mut orders.entry(first).or_insert(Order { user, items: BTreeSet::new() }).items;
            if items.len() < CAP {
                items.insert(item);
            }
        }
    }
    orders
}

/// All models, from the rows of users' last baskets.
struct Models {
    tifu: BasketIndex<u64, u64>,
    own: FxHashMap<u64, FxHashMap<u64, i64>>,
    all: FxHashMap<u64, i64>,
}

impl Default for Models {
    fn default() -> Self {
        Models { tifu: BasketIndex::new(TifuKnn::default()), own: FxHashMap::default(), all: FxHashMap::default() }
    }
}

impl Index for Models {
    type Row = Baskets<u64, u64>;
    type Question = Question;
    type Answer = Option<Vec<Vec<u64>>>;

    fn change(&mut self, row: Baskets<u64, u64>, diff: isize) {
        self.tifu.change(&row, diff > 0);
        let own = self.own.entry(row.user).or_default();
        for item in row.baskets.iter().flatten() {
            for counts in [&mut *own, &mut self.all] {
                let count = counts.entry(*item).or_default();
                *count += diff as i64;
                if *count == 0 {
                    counts.remove(item);
                }
            }
        }
        if own.is_empty() {
            self.own.remove(&row.user);
        }
    }

    fn answer(&mut self, question: &Question) -> Option<Vec<Vec<u64>>> {
        let Question::Next { user, n } = *question else { return None };
        let own = self.own.get(&user)?;
        let items = |scores: Scores<u64>| -> Vec<u64> { scores.top(n).into_iter().map(|(item, _)| item).collect() };
        let most = |counts: &FxHashMap<u64, i64>| {
            items(Scores::new(counts.iter().map(|(item, count)| (*item, *count as f64)).collect()))
        };
        let (tifu, all, own) = (items(self.tifu.next(&user)), most(&self.all), most(own));
        let mut both = own.clone();
        both.extend(all.iter().filter(|item| !own.contains(item)).take(n - own.len()));
        Some(vec![tifu, all, own, both])
    }
}
