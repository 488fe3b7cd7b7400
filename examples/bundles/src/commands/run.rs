//! `bundles run`: what goes together, and what some users were thought to buy next.

use anyhow::{Context, bail};
use bundles::graph::{Answer, Question, Told, replay, steps};
use bundles::next_basket::{Order, orders};
use shop_input::{Files, GUESTS, Lines, Names, simulated, warn};
use shop_simulator::{Flags, Truth};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use tidemill_recommend::{Bundle, Measure, Strongest};
use tidemill_shop::{Kind, Line};

/// The flags of `bundles run`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    files: Files,
    /// What Online Retail's products are, as CSV with StockCode and Description.
    #[arg(long, value_name = "FILE", requires = "online_retail")]
    products: Option<PathBuf>,
    #[command(flatten)]
    simulated: Flags,
    /// The item whose bundles to show: its code or number. By default the one that was bought most often.
    #[arg(long, value_name = "I")]
    item: Option<String>,
    /// A user whose last order is to be foretold; may be given several times. By default the last three with five orders before.
    #[arg(long, value_name = "U")]
    user: Vec<u64>,
    /// How strong a bundle is: support, confidence, lift or cosine.
    #[arg(long, value_name = "MEASURE", default_value = "cosine", value_parser = measure)]
    by: Measure,
    /// Bundles are in at least so many baskets: by default one in a thousand, and at least 3.
    #[arg(long, value_name = "N")]
    least: Option<i64>,
    /// How long lists are.
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// Worker threads of the graph.
    #[arg(long, value_name = "N", default_value_t = 1)]
    workers: usize,
}

fn measure(name: &str) -> Result<Measure, String> {
    match name {
        "support" => Ok(Measure::Support),
        "confidence" => Ok(Measure::Confidence),
        "lift" => Ok(Measure::Lift),
        "cosine" => Ok(Measure::Cosine),
        _ => Err("choose support, confidence, lift or cosine".to_owned()),
    }
}

/// Replays the lines, and prints what is answered.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let all = read(arguments)?;
    let item = match &arguments.item {
        Some(code) => all.names.find(code).with_context(|| format!("--item {code}: no line has it"))?,
        None => most_bought(&all.lines).context("no line is a purchase")?,
    };
    let orders = orders(&all.lines);
    let least = arguments.least.unwrap_or((orders.len() as i64 / 1_000).max(3));
    let foretold = foretold(orders, &arguments.user)?;
    let (by, n) = (arguments.by, arguments.top);
    let which = Strongest { by, least, n };
    let mut questions: BTreeMap<usize, Vec<Question>> = BTreeMap::new();
    for (place, order) in &foretold {
        questions.insert(*place, vec![Question::Next { user: order.user, n }]);
    }
    questions
        .insert(all.lines.len(), vec![Question::Baskets, Question::Strongest(which), Question::Of { item, which }]);
    let told = replay(steps(&all.lines, &all.rules, &questions), &all.rules, arguments.workers)?;
    print_input(&all, &told);
    let mut orders = foretold.values();
    // Those of the end come last.
    for (question, answer) in told.answers.iter().rev().take(3).rev().chain(&told.answers[..foretold.len()]) {
        match (question, answer) {
            (Question::Baskets, Answer::Count(baskets)) => println!("{baskets} baskets hold in the end"),
            (Question::Strongest(_), Answer::Bundles(bundles)) => {
                let by = format!("{by:?}").to_lowercase();
                println!("\nthe strongest bundles by {by} of those in {least} baskets or more");
                print_bundles(bundles, &all.names);
                if !arguments.files.are_given() {
                    print_truth(bundles, &Truth::new(arguments.simulated.settings()));
                }
            }
            (Question::Of { .. }, Answer::Bundles(bundles)) => {
                println!("\nthe strongest with {}", all.names.show(item));
                print_bundles(bundles, &all.names);
            }
            (Question::Next { .. }, Answer::Items(items)) => {
                if let Some(order) = orders.next() {
                    print_next(order, items, &all.names);
                }
            }
            _ => bail!("{question:?} was answered by {answer:?}"),
        }
    }
    Ok(())
}

/// The lines. Where a data set tells of no orders, what was had in a session, or by a user, is taken for one.
fn read(arguments: &Arguments) -> anyhow::Result<Lines> {
    let Some(mut all) = arguments.files.read(&arguments.simulated)? else {
        return Ok(simulated(&arguments.simulated.settings(), arguments.files.money().rules()?));
    };
    if let Some(file) = &arguments.products {
        all.names.read_products(file)?;
    }
    if arguments.files.have_views_only() {
        for line in &mut all.lines {
            *line = Line { kind: Kind::Purchase, order: line.user, number: Some(1), amount: Some(1.0), ..*line };
        }
    }
    Ok(all)
}

/// The item that is in most purchases, of several the least.
fn most_bought(lines: &[Line]) -> Option<u64> {
    let mut counts: BTreeMap<u64, i64> = BTreeMap::new();
    let bought = lines.iter().filter(|line| line.kind == Kind::Purchase);
    bought.filter_map(|line| line.item).for_each(|item| *counts.entry(item).or_default() += 1);
    counts.into_iter().min_by_key(|(item, count)| (-count, *item)).map(|(item, _)| item)
}

/// How many orders a user must have had to be shown without being asked for.
const KNOWN: usize = 5;

/// The last orders of some users, by the place of their first line.
fn foretold(orders: BTreeMap<usize, Order>, users: &[u64]) -> anyhow::Result<BTreeMap<usize, Order>> {
    let mut of_users: BTreeMap<u64, Vec<(usize, Order)>> = BTreeMap::new();
    for (place, order) in orders {
        of_users.entry(order.user).or_default().push((place, order));
    }
    let chosen: BTreeSet<u64> = if users.is_empty() {
        let known = of_users.iter().filter(|(user, orders)| **user < GUESTS && orders.len() > KNOWN);
        let mut last: Vec<(usize, u64)> = known.filter_map(|(user, orders)| Some((orders.last()?.0, *user))).collect();
        last.sort_unstable();
        last.into_iter().rev().take(3).map(|(_, user)| user).collect()
    } else {
        users.iter().copied().collect()
    };
    let last = |user: u64| {
        let orders = of_users.get_mut(&user).filter(|orders| orders.len() > 1).and_then(Vec::pop);
        orders.with_context(|| format!("--user {user}: choose one with two orders or more"))
    };
    chosen.into_iter().map(last).collect()
}

fn print_input(all: &Lines, told: &Told) {
    println!("{} lines in {:.1} s", all.lines.len(), told.report.wall_s);
    warn(&all.left_out);
    for (reason, count) in &told.dropped {
        println!("{count} lines were dropped: {}", reason.describe());
    }
}

fn print_bundles(bundles: &[Bundle<u64>], names: &Names) {
    if bundles.is_empty() {
        println!("   none: --least N asks for those in fewer baskets");
        return;
    }
    println!("   both  support  confidence   lift  cosine  items");
    for bundle in bundles {
        println!(
            "{:7} {:7.2}% {:10.1}% {:6.1}  {:6.3}  {} → {}",
            bundle.both,
            bundle.support() * 100.0,
            bundle.confidence() * 100.0,
            bundle.lift(),
            bundle.cosine(),
            names.show(bundle.item),
            names.show(bundle.with),
        );
    }
}

/// How many of a simulated shop's bundles are of items that it was made to sell together.
fn print_truth(bundles: &[Bundle<u64>], truth: &Truth) {
    let go_with = |item: u64, with: u64| truth.complements(item).contains(&with);
    let made = |bundle: &&Bundle<u64>| go_with(bundle.item, bundle.with) || go_with(bundle.with, bundle.item);
    println!("{} of these {} are made to go together", bundles.iter().filter(made).count(), bundles.len());
}

fn print_next(order: &Order, items: &[(u64, f64)], names: &Names) {
    let hits = items.iter().filter(|(item, _)| order.items.contains(item)).count();
    println!(
        "\nuser {}: the last order had {} items, {hits} of them among the {} foretold",
        order.user,
        order.items.len(),
        items.len()
    );
    for (item, score) in items {
        let bought = if order.items.contains(item) { "bought" } else { "" };
        println!("  {score:.4}  {bought:6}  {}", names.show(*item));
    }
}
