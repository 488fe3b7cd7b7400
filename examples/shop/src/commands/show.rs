//! `shop show`: what single events touch, and the audit of a forgotten user.

use super::{options, print_list, scorer};
use anyhow::Context;
use fraud::serving::Padding;
use shop::before_after::{filler, with_events, without};
use shop::forgotten::Went;
use shop::record::{Recorder, Row, compare};
use shop::replay::{Ran, replay};
use shop_input::Names;
use shop_simulator::{Flags, Simulation, Truth};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use tidemill::time::days;
use tidemill::{Config, Update};
use tidemill_recommend::Ranked;
use tidemill_shop::{Action, Kind, Line};

/// The flags of `shop show`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    shop: Flags,
    /// A folder with models, to answer with the Transformer and tell frauds too.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    #[command(flatten)]
    engine: tidemill::Flags,
}

/// Shows all three, and audits.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = arguments.shop.settings();
    let mut options = options(arguments.models.as_deref())?;
    options.lists.anew = 0;
    // So a score does not depend on what else was scored with it.
    options.scorer = scorer(arguments.models.as_deref(), Padding::Full);
    let config = || Config::from_flags(&arguments.engine);
    let truth = Truth::new(settings.clone());
    let mut lines: Vec<Line> = Simulation::new(settings).collect();
    // No earlier wish of anybody, and no list older than the last ones: then what follows is about one event each.
    lines.retain(|line| line.kind != Kind::Forget);
    let ends = options.rules.latest.min(arguments.shop.settings().start + days(i64::from(arguments.shop.days) + 7));
    let latest = |lines: &[Line]| lines.iter().map(|line| line.time).filter(|time| *time < ends).max().unwrap_or(0);
    let last = latest(&lines);

    let ran = replay(with_events(lines.clone(), &[]), &options, config()?, Recorder::default())?;
    let chosen = Chosen::of(&ran, arguments.shop.users)?;
    let line = |kind, user: Option<u64>, item: Option<u64>, step| Line {
        kind,
        user,
        item,
        ..filler(u64::MAX / 2 + step, last + step as i64)
    };
    let out = Line { number: Some(0), ..line(Kind::Stock, None, Some(chosen.item), 1) };
    let (order, item, buyer) = chosen.bought;
    let cancelled =
        Line { order: Some(order), number: Some(1), ..line(Kind::Cancellation, Some(buyer), Some(item), 2) };
    let forgotten = line(Kind::Forget, Some(chosen.leaves), None, 3);
    let events = [out, cancelled, forgotten];
    let with = replay(with_events(lines.clone(), &events), &options, config()?, Recorder::of_changes())?;
    let after = |events: &[Line]| replay(with_events(lines.clone(), events), &options, config()?, Recorder::default());
    let (only_out, and_cancelled) = (after(&events[..1])?, after(&events[..2])?);
    let first = with.recorded.changes.keys().rev().take(3).copied().collect::<BTreeSet<_>>();
    let changes: Vec<&Vec<Update<Row>>> = first.iter().map(|epoch| &with.recorded.changes[epoch]).collect();
    let [out, cancelled, gone] = changes[..] else { anyhow::bail!("an event touched nothing") };

    println!("{} lines, {} lists, {} rows in all\n", lines.len(), ran.lists.len(), ran.recorded.rows.len());
    println!("item {} is out of stock; it was in {} lists", chosen.item, chosen.in_lists);
    touched(out);
    show(&chosen.list, "before", &truth);
    if let Some(after) = list_of(&only_out, chosen.list.user) {
        show(&after, "after", &truth);
    }
    println!("\nuser {buyer} cancels one of item {item} of order {order}");
    touched(cancelled);
    let show_both = |user: u64, before: &Ran, after: &Ran| {
        for (ran, when) in [(before, "before"), (after, "after")] {
            match list_of(ran, user) {
                Some(list) => show(&list, when, &truth),
                None => println!("  user {user}, {when}: no list"),
            }
        }
    };
    show_both(buyer, &only_out, &and_cancelled);
    cancelled
        .iter()
        .filter(|change| ["habits", "hidden", "interests"].contains(&change.row.collection.as_str()))
        .for_each(print_change);
    println!("\nuser {} wants to be forgotten: {} events", chosen.leaves, chosen.events);
    touched(gone);
    show_both(chosen.leaves, &and_cancelled, &with);
    for Went { rows, .. } in with.went.iter().filter(|went| went.user == chosen.leaves) {
        let rows: Vec<String> = rows.iter().map(|(collection, rows)| format!("{rows} of {collection}")).collect();
        println!("  rows of the user that went: {}", rows.join(", "));
    }

    let never = replay(with_events(without(&lines, chosen.leaves), &events), &options, config()?, Recorder::default())?;
    let (rows, differ) = compare(&with.recorded, &never.recorded);
    println!("\naudit: beside a replay that never saw user {}: {rows} rows, {differ} differ", chosen.leaves);
    let left = with.recorded.rows.keys().filter(|row| row.user == Some(chosen.leaves)).count();
    println!("rows of the user: {left}");
    let place = lines.len() * 2 / 3;
    let wish = Line { time: latest(&lines[..place]), ..forgotten };
    let going_on = |before: Vec<Line>| {
        let lines = [before, vec![wish], without(&lines[place..], chosen.leaves)].concat();
        replay(lines, &options, config()?, Recorder::default())
    };
    // The shop goes on without the user, and its ranker learns anew.
    let (with, never) = (going_on(lines[..place].to_vec())?, going_on(without(&lines[..place], chosen.leaves))?);
    let (rows, differ_later) = compare(&with.recorded, &never.recorded);
    let weights = never.recorded.rows.keys().filter(|row| row.collection == "weights").count();
    println!(
        "the same wish after two thirds of the lines, at their end: {rows} rows, {weights} of them of what the ranker has \
         learnt since, {differ_later} differ"
    );
    println!("not undone: what a network has learnt, how many lines were dropped, and what the README lists");
    anyhow::ensure!(differ == 0 && left == 0 && differ_later == 0, "something of the user is left");
    Ok(())
}

/// What the events are about.
struct Chosen {
    /// An item that many lists have, how many, and one of these.
    item: u64,
    in_lists: usize,
    list: Ranked<u64, u64>,
    /// An order's line: order, item, user.
    bought: (u64, u64, u64),
    /// The user with the most events, and how many.
    leaves: u64,
    events: usize,
}

impl Chosen {
    /// Users above the last one are bots.
    fn of(ran: &Ran, last_user: u64) -> anyhow::Result<Self> {
        let mut lists: BTreeMap<u64, usize> = BTreeMap::new();
        ran.lists.keys().flat_map(|list| &list.entries).for_each(|entry| *lists.entry(entry.item).or_default() += 1);
        let (item, in_lists) = lists.into_iter().max_by_key(|(_, count)| *count).context("there are no lists")?;
        let list = ran.lists.keys().find(|list| list.entries.iter().any(|entry| entry.item == item));
        let mut events: BTreeMap<u64, usize> = BTreeMap::new();
        let of_users = ran.held.keys().map(|held| held.event.user).filter(|user| *user <= last_user);
        of_users.for_each(|user| *events.entry(user).or_default() += 1);
        let (leaves, events) = events.into_iter().max_by_key(|(_, count)| *count).context("nothing holds")?;
        let bought = ran.held.keys().rev().find_map(|held| match held.event.action {
            Action::Purchase { order, item, .. } if held.event.user != leaves => Some((order, item, held.event.user)),
            _ => None,
        });
        let (list, bought) =
            (list.context("there are no lists")?.clone(), bought.context("nobody has bought anything")?);
        Ok(Chosen { item, in_lists, list, bought, leaves, events })
    }
}

fn list_of(ran: &Ran, user: u64) -> Option<Ranked<u64, u64>> {
    ran.lists.keys().find(|list| list.user == user).cloned()
}

fn show(list: &Ranked<u64, u64>, when: &str, truth: &Truth) {
    println!("  user {}, {when}", list.user);
    print_list(list, |item| Some(truth.category(item)), &Names::default());
}

/// How many rows of which collection went and came.
fn touched(changes: &[Update<Row>]) {
    let mut counts: BTreeMap<&str, (isize, isize)> = BTreeMap::new();
    for Update { row, diff } in changes {
        let (gone, come) = counts.entry(&row.collection).or_default();
        if *diff < 0 { *gone -= diff } else { *come += diff }
    }
    println!("  rows touched        gone   come");
    counts.iter().for_each(|(name, (gone, come))| println!("  {name:<18} {gone:>6} {come:>6}"));
}

fn print_change(Update { row, diff }: &Update<Row>) {
    println!("  {} {}: {}", if *diff < 0 { '-' } else { '+' }, row.collection, row.text);
}
