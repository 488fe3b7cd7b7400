//! The lists that users see: what is suggested, less what must not be shown now.

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::hash::Hash;
use tidemill::differential_dataflow::consolidation::consolidate;
use tidemill::differential_dataflow::{ExchangeData, VecCollection};
use tidemill::hash::stable_hash;
use tidemill::timely::container::CapacityContainerBuilder;
use tidemill::timely::dataflow::channels::pact::{Exchange, Pipeline};
use tidemill::timely::dataflow::operators::Capability;
use tidemill::timely::dataflow::operators::generic::OutputBuilder;
use tidemill::timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use tidemill::{Collection, Epoch, Key, Millis, Result, everywhere};

use crate::hidden::Hidden;
use crate::suggest::{Entry, Ranked};

/// What is known of an item that may keep it off lists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fact<I, C> {
    /// Which.
    pub item: I,
    /// What it is one of.
    pub category: C,
    /// Whether it can be bought now.
    pub in_stock: bool,
}

/// How long lists are, and how mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListRules {
    /// Items of a list.
    pub length: usize,
    /// Of one category at most so many of them.
    pub per_category: usize,
}

impl Default for ListRules {
    fn default() -> Self {
        ListRules { length: 10, per_category: 4 }
    }
}

/// The lists that users see: of each user the first of what is `ranked` for the user that are in stock, not `hidden` from the
/// user, and not too many of a category; what nothing is known of is taken for in stock, and of no category.
///
/// A list is at every epoch a function of the rows that are true then. Where a fact or what is hidden changes, only the lists
/// are made again that have the item among what is ranked for them, in the same epoch; nothing is suggested anew.
///
/// State: what is ranked for each user, which lists each item may be in, and the rows of `facts` on every worker. It
/// needs no checkpoint: collections say their rows again after a restart.
///
/// # Errors
///
/// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
pub fn lists<'s, U, I, C>(
    name: &str,
    ranked: Collection<'s, Ranked<U, I>>,
    facts: Collection<'s, Fact<I, C>>,
    hidden: Collection<'s, Hidden<U, I, C>>,
    rules: ListRules,
) -> Result<Collection<'s, Ranked<U, I>>>
where
    U: Key + ExchangeData,
    I: Key + ExchangeData,
    C: Key + ExchangeData,
{
    let job = ranked.job().clone();
    let mut builder = OperatorBuilder::new(name.to_owned(), job.scope());
    let id = builder.operator_info().global_id;
    let by_user = Exchange::new(|(row, _, _): &(Ranked<U, I>, Epoch, isize)| stable_hash(&row.user));
    let mut to_rank = builder.new_input(ranked.inner().inner.clone(), by_user);
    let by_user = Exchange::new(|(row, _, _): &(Hidden<U, I, C>, Epoch, isize)| stable_hash(row.user()));
    let mut to_hide = builder.new_input(hidden.inner().inner.clone(), by_user);
    let mut of_items = builder.new_input(everywhere(facts.inner().inner), Pipeline);
    let (output, made) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<_>>>::from(output);
    builder.build(move |capabilities| {
        drop(capabilities);
        let mut shelves = Shelves::new(rules);
        let mut waiting: BTreeMap<Epoch, (Capability<Epoch>, Changes<U, I, C>)> = BTreeMap::new();
        move |frontiers| {
            // Differential's triples have epochs of their own, at or after that of their capability.
            macro_rules! take {
                ($input:ident, $field:ident) => {
                    $input.for_each_stamp(|cap, batches| {
                        for (row, epoch, diff) in batches.flat_map(|batch| batch.drain(..)) {
                            let slot =
                                waiting.entry(epoch).or_insert_with(|| (cap.delayed(&epoch, 0), Changes::default()));
                            slot.1.$field.push((row, diff));
                        }
                    });
                };
            }
            take!(to_rank, ranked);
            take!(to_hide, hidden);
            take!(of_items, facts);
            let over = |epoch: &Epoch| !frontiers.iter().any(|frontier| frontier.less_equal(epoch));
            let mut output = output.activate();
            while let Some(first) = waiting.first_entry().filter(|first| over(first.key())) {
                let (epoch, (cap, changes)) = first.remove_entry();
                let said = shelves.update(changes);
                output.session(&cap).give_iterator(said.into_iter().map(|(row, diff)| (row, epoch, diff)));
            }
        }
    });
    job.name_operator(name, id)?;
    Ok(ranked
        .clone()
        .then(|_| VecCollection::new(made))
        .named(name, "lists")
        .also_of_rows(&facts)
        .also_of_rows(&hidden))
}

/// What changes in an epoch.
struct Changes<U, I, C> {
    ranked: Vec<(Ranked<U, I>, isize)>,
    hidden: Vec<(Hidden<U, I, C>, isize)>,
    facts: Vec<(Fact<I, C>, isize)>,
}

impl<U, I, C> Default for Changes<U, I, C> {
    fn default() -> Self {
        Changes { ranked: Vec::new(), hidden: Vec::new(), facts: Vec::new() }
    }
}

/// One user.
struct Shelf<I, C> {
    ranked: Option<(Millis, Vec<Entry<I>>)>,
    list: Option<(Millis, Vec<Entry<I>>)>,
    items: FxHashSet<I>,
    categories: FxHashSet<C>,
}

impl<I, C> Default for Shelf<I, C> {
    fn default() -> Self {
        Shelf { ranked: None, list: None, items: FxHashSet::default(), categories: FxHashSet::default() }
    }
}

/// One worker's users.
struct Shelves<U, I, C> {
    rules: ListRules,
    users: FxHashMap<U, Shelf<I, C>>,
    facts: FxHashMap<I, (C, bool)>,
    /// Whose lists an item may be in.
    ranked_for: FxHashMap<I, FxHashSet<U>>,
}

/// Those that go before those that come, so that a row of the same key takes the other's place.
fn in_order<R: Ord>(changes: &mut Vec<(R, isize)>) -> impl Iterator<Item = (R, bool)> + '_ {
    consolidate(changes);
    changes.sort_by_key(|(_, diff)| *diff > 0);
    changes.drain(..).map(|(row, diff)| (row, diff > 0))
}

impl<U: Key, I: Key, C: Key> Shelves<U, I, C> {
    fn new(rules: ListRules) -> Self {
        let (users, facts, ranked_for) = (FxHashMap::default(), FxHashMap::default(), FxHashMap::default());
        Shelves { rules, users, facts, ranked_for }
    }

    /// Other items are ranked for a user than before.
    fn ranked_now(&mut self, user: &U, before: &[Entry<I>], now: &[Entry<I>]) {
        let only = |some: &[Entry<I>], others: &[Entry<I>]| -> Vec<I> {
            let items = some.iter().map(|entry| &entry.item);
            items.filter(|item| others.iter().all(|other| other.item != **item)).cloned().collect()
        };
        for item in only(before, now) {
            if let Some(users) = self.ranked_for.get_mut(&item) {
                users.remove(user);
                if users.is_empty() {
                    self.ranked_for.remove(&item);
                }
            }
        }
        for item in only(now, before) {
            self.ranked_for.entry(item).or_default().insert(user.clone());
        }
    }

    /// Makes an epoch's changes; gives those of lists.
    fn update(&mut self, mut changes: Changes<U, I, C>) -> Vec<(Ranked<U, I>, isize)> {
        let mut touched: FxHashSet<U> = FxHashSet::default();
        let mut went: FxHashMap<U, Vec<Entry<I>>> = FxHashMap::default();
        for (Ranked { user, as_of, entries }, comes) in in_order(&mut changes.ranked) {
            touched.insert(user.clone());
            if comes {
                let before = went.remove(&user).unwrap_or_default();
                self.ranked_now(&user, &before, &entries);
                self.users.entry(user).or_default().ranked = Some((as_of, entries));
            } else {
                self.users.entry(user.clone()).or_default().ranked = None;
                went.insert(user, entries);
            }
        }
        went.iter().for_each(|(user, before)| self.ranked_now(user, before, &[]));
        for (row, comes) in in_order(&mut changes.hidden) {
            let shelf = self.users.entry(row.user().clone()).or_default();
            touched.insert(row.user().clone());
            match (row, comes) {
                (Hidden::Item { item, .. }, true) => _ = shelf.items.insert(item),
                (Hidden::Item { item, .. }, false) => _ = shelf.items.remove(&item),
                (Hidden::Category { category, .. }, true) => _ = shelf.categories.insert(category),
                (Hidden::Category { category, .. }, false) => _ = shelf.categories.remove(&category),
            }
        }
        for (Fact { item, category, in_stock }, comes) in in_order(&mut changes.facts) {
            touched.extend(self.ranked_for.get(&item).into_iter().flatten().cloned());
            match comes {
                true => _ = self.facts.insert(item, (category, in_stock)),
                false => _ = self.facts.remove(&item),
            }
        }
        let mut said = Vec::new();
        for user in touched {
            let Some(shelf) = self.users.get_mut(&user) else { continue };
            let list = list(shelf, &self.facts, self.rules);
            if shelf.list != list {
                let row = |(as_of, entries)| Ranked { user: user.clone(), as_of, entries };
                said.extend(shelf.list.take().map(|list| (row(list), -1)));
                said.extend(list.clone().map(|list| (row(list), 1)));
                shelf.list = list;
            }
            if shelf.ranked.is_none() && shelf.items.is_empty() && shelf.categories.is_empty() {
                self.users.remove(&user);
            }
        }
        said
    }
}

/// A user's list; none if nothing is left to show.
fn list<I: Hash + Eq + Clone, C: Hash + Eq>(
    shelf: &Shelf<I, C>,
    facts: &FxHashMap<I, (C, bool)>,
    rules: ListRules,
) -> Option<(Millis, Vec<Entry<I>>)> {
    let (as_of, ranked) = shelf.ranked.as_ref()?;
    let mut categories: FxHashMap<&C, usize> = FxHashMap::default();
    let mut list = Vec::new();
    for entry in ranked {
        if list.len() == rules.length {
            break;
        }
        if shelf.items.contains(&entry.item) {
            continue;
        }
        if let Some((category, in_stock)) = facts.get(&entry.item) {
            let there = categories.entry(category).or_default();
            if !in_stock || shelf.categories.contains(category) || *there == rules.per_category {
                continue;
            }
            *there += 1;
        }
        list.push(entry.clone());
    }
    (!list.is_empty()).then_some((*as_of, list))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hidden::Hiding;
    use crate::standing::{Standing, Suggested};
    use proptest::prelude::*;
    use tidemill::{Config, Events, Maintain, Memory, Record, Timing, Update, execute};

    const RULES: ListRules = ListRules { length: 3, per_category: 2 };

    /// What happens: something is suggested to a user (nothing: the user goes), a fact changes, something is hidden or no
    /// longer.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    enum Event {
        Ranked(u8, Vec<u8>),
        Fact(u8, u8, bool),
        Hidden(Hidden<u8, u8, u8>, bool),
    }

    /// The lists by the definition, and how many of them each epoch may touch.
    #[derive(Default)]
    struct Oracle {
        ranked: BTreeMap<u8, Vec<u8>>,
        facts: BTreeMap<u8, (u8, bool)>,
        hidden: BTreeMap<Hidden<u8, u8, u8>, i64>,
    }

    impl Oracle {
        fn take(&mut self, event: &Event) {
            match event.clone() {
                Event::Ranked(user, items) if items.is_empty() => _ = self.ranked.remove(&user),
                Event::Ranked(user, items) => _ = self.ranked.insert(user, items),
                Event::Fact(item, category, in_stock) => _ = self.facts.insert(item, (category, in_stock)),
                Event::Hidden(row, comes) => *self.hidden.entry(row).or_default() += if comes { 1 } else { -1 },
            }
        }

        fn lists(&self) -> BTreeMap<u8, Vec<u8>> {
            let hides = |row: Hidden<u8, u8, u8>| self.hidden.get(&row).is_some_and(|times| *times > 0);
            let mut lists = BTreeMap::new();
            for (user, items) in &self.ranked {
                let mut list: Vec<u8> = vec![];
                for item in items {
                    let category = |item: &u8| self.facts.get(item).map(|fact| fact.0);
                    let of_it =
                        list.iter().filter(|other| category(item).is_some() && category(other) == category(item));
                    let full = of_it.count() == RULES.per_category;
                    let out = self.facts.get(item).is_some_and(|fact| !fact.1);
                    let blocked =
                        category(item).is_some_and(|category| hides(Hidden::Category { user: *user, category }));
                    let not_wanted = hides(Hidden::Item { user: *user, item: *item });
                    if !full && !out && !blocked && !not_wanted && list.len() < RULES.length {
                        list.push(*item);
                    }
                }
                if !list.is_empty() {
                    lists.insert(*user, list);
                }
            }
            lists
        }
    }

    /// The facts as they were said last.
    struct Facts;

    impl Maintain for Facts {
        type Key = u8;
        type In = (u8, u8, bool);
        type State = Option<(u8, bool)>;
        type Row = Fact<u8, u8>;

        fn update(&self, _: &u8, fact: &mut Self::State, events: &mut Vec<Record<Self::In>>) {
            *fact = events.pop().map(|event| (event.value.1, event.value.2));
        }

        fn rows(&self, item: &u8, fact: &Self::State, rows: &mut Vec<Self::Row>) {
            rows.extend(fact.map(|(category, in_stock)| Fact { item: *item, category, in_stock }));
        }
    }

    fn run(events: Vec<(i64, Event)>, workers: usize) -> Memory<Update<Ranked<u8, u8>>> {
        let (input, out) = (Events::new(events), Memory::new());
        let to_out = out.clone();
        execute(Config { epoch_records: 1, ..Config::workers(workers) }, move |job| {
            let events = job.source("events", input.clone(), Timing::by(|event: &(i64, Event)| event.0))?;
            let ranked = events.clone().filter_map(|(_, event)| match event {
                Event::Ranked(user, items) => {
                    let entry = |item| Entry { item, source: 0, because: None };
                    let entries: Vec<_> = items.into_iter().map(entry).collect();
                    Some(match entries.is_empty() {
                        true => Suggested::Gone(user),
                        false => Suggested::To(Ranked { user, as_of: 0, entries }),
                    })
                }
                _ => None,
            });
            let facts = events.clone().filter_map(|(_, event)| match event {
                Event::Fact(item, category, in_stock) => Some((item, category, in_stock)),
                _ => None,
            });
            let hidden = events.filter_map(|(_, event)| match event {
                Event::Hidden(row, comes) => Some(Update { row, diff: if comes { 1 } else { -1 } }),
                _ => None,
            });
            let ranked = ranked.key_by(|of| *of.user()).maintain("ranked", Standing::new())?;
            let facts = facts.key_by(|fact| fact.0).maintain("facts", Facts)?;
            let hidden = hidden.key_by(|change| *change.row.user()).maintain("hidden", Hiding::new())?;
            lists("lists", ranked, facts, hidden, RULES)?.sink("out", to_out.clone())
        })
        .unwrap();
        out
    }

    fn event() -> impl Strategy<Value = Event> {
        let (user, item, category) = (0u8..4, 0u8..8, 0u8..3);
        let some = prop::collection::vec(item.clone(), 0..7).prop_map(|items| {
            let mut once = vec![];
            items.into_iter().for_each(|item| {
                if !once.contains(&item) {
                    once.push(item)
                }
            });
            once
        });
        let hidden = prop_oneof![
            (user.clone(), item.clone()).prop_map(|(user, item)| Hidden::Item { user, item }),
            (user.clone(), category.clone()).prop_map(|(user, category)| Hidden::Category { user, category }),
        ];
        prop_oneof![
            3 => (user, some).prop_map(|(user, items)| Event::Ranked(user, items)),
            3 => (item, category, any::<bool>()).prop_map(|(item, category, in_stock)| Event::Fact(item, category, in_stock)),
            2 => (hidden, any::<bool>()).prop_map(|(row, comes)| Event::Hidden(row, comes)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn lists_are_what_may_be_shown_after_each_event(
            events in prop::collection::vec(event(), 1..40), workers in 1usize..4,
        ) {
            let timed: Vec<_> = (0i64..).zip(events.clone()).collect();
            let (mut oracle, mut lists) = (Oracle::default(), BTreeMap::<u8, Vec<u8>>::new());
            let mut by_epoch: BTreeMap<Epoch, Vec<Update<Ranked<u8, u8>>>> = BTreeMap::new();
            for (epoch, update) in run(timed, workers).take() {
                by_epoch.entry(epoch).or_default().push(update);
            }
            let (mut told, mut first) = (by_epoch.into_iter(), None);
            for (nth, event) in (0..).zip(&events) {
                oracle.take(event);
                let expected = oracle.lists();
                if expected == lists {
                    continue;
                }
                let (epoch, changes) = told.next().unwrap();
                prop_assert_eq!(epoch - nth, *first.get_or_insert(epoch - nth), "not in the epoch of the event");
                // Only lists that have changed are touched, and the old one goes before the new one comes.
                for Update { row, diff } in changes {
                    let items: Vec<u8> = row.entries.into_iter().map(|entry| entry.item).collect();
                    if diff < 0 {
                        prop_assert_eq!(lists.remove(&row.user), Some(items));
                    } else {
                        prop_assert!(expected.get(&row.user) == Some(&items) && lists.insert(row.user, items).is_none());
                    }
                }
                prop_assert_eq!(&lists, &expected);
            }
            prop_assert!(told.next().is_none(), "a list was touched that did not change");
        }
    }
}
