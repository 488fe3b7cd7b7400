//! `recommend run`: the lists of a shop, of a file or simulated.

use behaviour::print::show_category;
use recommend::graph::Rows;
use recommend::live::{Given, SOURCES, Settings, recommend};
use recommend::taste::Taste;
use shop_input::{Files, Lines, Names, warn};
use shop_simulator::{Flags, SimulatedShop, Truth, rules};
use std::path::PathBuf;
use tidemill::time::{days, hours, minutes};
use tidemill::{Config, Events, Table, Timing, Update, execute};
use tidemill_recommend::{Fact, Ranked, Touch, WithItems};
use tidemill_shop::{Action, Categorised, Clean, Cleaning, Facts, ItemFact, Ledger, Ledgers, Line, Trending};

/// The flags of `recommend run`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    simulated: Flags,
    /// A folder with a Transformer called `shop`, as `shop train` writes it, to ask it too.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    #[command(flatten)]
    engine: tidemill::Flags,
}

/// Keeps the lists of all shoppers, and prints some.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = arguments.simulated.settings();
    let (lines, rules, names) = match arguments.files.read(&arguments.simulated)? {
        Some(Lines { lines, rules, names, left_out }) => {
            warn(&left_out);
            (Some(lines), rules, names)
        }
        None => (None, rules()?, Names::default()),
    };
    let truth = lines.is_none().then(|| Truth::new(settings.clone()));
    let taste = arguments.models.as_deref().map(|folder| Taste::pool(folder, "shop", 20));
    let (lists, facts) = (Rows::default(), Table::new(|fact: &ItemFact| fact.item));
    let (to_lists, to_facts, input) = (lists.clone(), facts.clone(), lines.map(Events::new));
    let report = execute(Config::from_flags(&arguments.engine)?, move |job| {
        let bounds = rules.clone();
        let timing = Timing::by(move |line: &Line| bounds.event_time(line)).disorder(minutes(1));
        let lines = match &input {
            Some(lines) => job.source("lines", lines.clone(), timing)?,
            None => job.source("lines", SimulatedShop::new(settings.clone()), timing)?,
        };
        let (clean, _dropped) = lines.clean("cleaning", rules.clone())?;
        let (events, items) = clean.split_map(|clean| match clean {
            Clean::Shopper(event) => (Some(event), None),
            Clean::Item(event) => (None, Some(event)),
        });
        let facts = items.facts("items")?;
        facts.clone().sink("items out", to_facts.clone())?;
        let events = events.categorised("categories", facts.clone())?;
        let facts = facts.map(|fact| Fact { item: fact.item, category: fact.category, in_stock: fact.left != Some(0) });
        let forgets = events.clone().with_times().filter_map(|(time, event)| match event.action {
            Action::Forget => Some(time),
            _ => None,
        });
        let Ledger { held, forgotten, .. } = events.key_by(|event| event.user).ledger("what holds", days(365))?;
        let groups = |category| [None, Some(category)];
        let trends = held.clone().trending("trends", 40, hours(24), groups)?;
        let lines = held.clone().filter_map(|Update { row, diff }| match row.event.action {
            Action::Purchase { order, item, .. } => {
                Some(Update { row: Touch { owner: order, time: row.time, seq: row.seq, item }, diff })
            }
            _ => None,
        });
        let together = lines.key_by(|line| line.row.owner).companions("what goes together", 100, 50)?;
        let forgotten = forgotten.map(|forgotten| forgotten.user);
        let given = Given { facts, trends, together, again: forgets, forgotten };
        let kept = recommend(held, given, taste.as_ref(), Settings::default())?;
        kept.lists.sink("lists out", to_lists.clone())
    })?
    .finished()?;
    let mut lists: Vec<Ranked<u64, u64>> = lists.take().into_keys().collect();
    println!("{} lines, {} lists; some of the latest:", report.records, lists.len());
    lists.sort_by_key(|list| std::cmp::Reverse(list.as_of));
    for list in lists.iter().take(3) {
        match &truth {
            Some(truth) => {
                let liked = truth.taste(list.user).map(|(category, _)| category);
                println!("\nuser {}, who likes categories {liked:?}", list.user);
            }
            None => println!("\nuser {}", list.user),
        }
        for (place, entry) in (1..).zip(&list.entries) {
            let source = SOURCES.get(usize::from(entry.source)).copied().unwrap_or("suggested");
            let because = entry.because.map_or_else(String::new, |item| format!(" item {}", names.show(item)));
            println!(
                "  {place:>2}. item {:<5} category {:<3} {source}{because}",
                names.show(entry.item),
                show_category(facts.get(&entry.item).map(|fact| fact.category))
            );
        }
    }
    Ok(())
}
