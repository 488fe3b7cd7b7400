//! `shop run`: a stream, answered.

use super::input::{Given, Input};
use super::{by_reason, options, print_list};
use anyhow::ensure;
use rustc_hash::FxHashMap;
use shop::forgotten;
use shop::graph::{Options, answers};
use shop::to_read::List;
use shop_input::{Files, Names};
use shop_simulator::Flags;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tidemill::time::minutes;
use tidemill::{Config, DeadLetter, Events, Millis, Report, SinkError, Table, Timing, execute};
use tidemill_files::JsonLinesSink;
use tidemill_inference::Score;
use tidemill_recommend::{BundleIndex, BundleRow, Fact, Measure, Ranked, Strongest};
use tidemill_shop::{Forgotten, Funnel, Line, Reason, Segment, Stage, Trend};

use fraud::features::Features;
use fraud::transaction::Transaction;

/// The flags of `shop run`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    shop: Flags,
    #[command(flatten)]
    files: Files,
    /// A file to which each change of each list is written: the list that goes, with a `diff` of -1, and the one that comes.
    #[arg(long, value_name = "FILE.jsonl")]
    lists: Option<PathBuf>,
    /// A file to which a report is written of each user who is forgotten: what went from where.
    #[arg(long, value_name = "FILE.jsonl")]
    forgotten: Option<PathBuf>,
    /// A file to which each line that is dropped is written, and what could not be read, with the reason.
    #[arg(long, value_name = "FILE.jsonl")]
    dropped: Option<PathBuf>,
    /// A folder with models: to tell frauds, and with the Transformer.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Lists are made of each user's last state only, when all has been read; so is the Transformer asked.
    #[arg(long)]
    last_state: bool,
    /// Lines an epoch.
    #[arg(long, value_name = "N", default_value_t = 4_096)]
    epoch_lines: usize,
    #[command(flatten)]
    engine: tidemill::Flags,
}

/// The four answers, for any thread to read.
#[derive(Clone)]
pub struct Screen {
    /// What each user should see next.
    pub lists: Table<u64, Ranked<u64, u64>>,
    /// What is bought together.
    pub bundles: Table<BundleRow<u64>, BundleRow<u64>>,
    /// What users do.
    pub funnel: Table<Funnel, Funnel>,
    /// What is trending.
    pub trends: Table<Trend<Option<u64>>, Trend<Option<u64>>>,
    /// What kinds of customers there are.
    pub segments: Table<u64, (u64, Segment)>,
    /// What is known of items.
    pub facts: Table<u64, Fact<u64, u64>>,
    /// Lines that were dropped.
    pub dropped: Table<Reason, (Reason, u64)>,
    /// The scores of payments.
    pub scored: Arc<Mutex<Scored>>,
    /// Where to write lists.
    pub to_lists: Option<PathBuf>,
    /// Where to report who was forgotten.
    pub to_forgotten: Option<PathBuf>,
    /// Where to write lines that were dropped.
    pub to_dropped: Option<PathBuf>,
    /// What could not be read before, to be written there too.
    pub left_out: Vec<DeadLetter>,
}

/// The score of each payment when it was made, and by what: of all, for them to be judged in the end, but of users who were
/// forgotten.
#[derive(Default)]
pub struct Scored {
    /// The payments.
    pub payments: FxHashMap<Transaction, (Score, Features)>,
    /// Who was forgotten, and when.
    forgotten: FxHashMap<u64, Millis>,
}

impl Scored {
    fn score(&mut self, features: Features, score: Score) {
        let payment = paid(&features);
        let forgotten = self.forgotten.get(&payment.customer.into());
        if forgotten.is_none_or(|wish| payment.time_ms() > *wish) {
            self.payments.entry(payment).or_insert((score, features));
        }
    }

    fn forget(&mut self, Forgotten { user, time, .. }: Forgotten) {
        self.forgotten.insert(user, time);
        self.payments.retain(|payment, _| u64::from(payment.customer) != user || payment.time_ms() > time);
    }
}

impl Default for Screen {
    fn default() -> Self {
        Screen {
            lists: Table::new(|row: &Ranked<u64, u64>| row.user),
            bundles: Table::new(|row: &BundleRow<u64>| row.clone()),
            funnel: Table::new(|row: &Funnel| *row),
            trends: Table::new(|row: &Trend<Option<u64>>| *row),
            segments: Table::new(|row: &(u64, Segment)| row.0),
            facts: Table::new(|row: &Fact<u64, u64>| row.item),
            dropped: Table::new(|row: &(Reason, u64)| row.0),
            scored: Arc::default(),
            to_lists: None,
            to_forgotten: None,
            to_dropped: None,
            left_out: Vec::new(),
        }
    }
}

/// Answers a stream.
pub fn answer(input: &Input, options: &Options, screen: &Screen, config: Config) -> tidemill::Result<Report> {
    let (input, options, screen) = (input.clone(), options.clone(), screen.clone());
    execute(config, move |job| {
        let rules = options.rules.clone();
        let timing = Timing::by(move |line: &Line| rules.event_time(line)).disorder(minutes(1));
        let lines = match &input {
            Input::File(lines) => job.source("lines", lines.clone(), timing)?,
            Input::Lines(lines) => job.source("lines", lines.clone(), timing)?,
            Input::Simulated(shop) => job.source("lines", shop.clone(), timing)?,
        };
        let answers = answers(lines, &options)?;
        let failed = |error: SinkError| tidemill::Error::Usage(error.to_string());
        if let Some(file) = &screen.to_forgotten {
            let to_file = JsonLinesSink::records(file).map_err(failed)?;
            forgotten::report(&answers)?.sink("forgotten", to_file)?;
        }
        if let Some(file) = &screen.to_lists {
            let to_file = JsonLinesSink::updates(file).map_err(failed)?;
            answers.kept.lists.clone().map(List::from).sink("changes of lists", to_file)?;
        }
        if let Some(file) = &screen.to_dropped {
            let to_file = JsonLinesSink::records(file).map_err(failed)?;
            let left_out = Events::new(screen.left_out.clone());
            let left_out = job.source("left out", left_out, Timing::by(|_: &DeadLetter| 0).control())?;
            let dropped = answers.lost.letters().union(left_out);
            job.dead_letters(move |letters| letters.union(dropped).sink("dropped lines", to_file));
        }
        answers.kept.lists.sink("lists out", screen.lists.clone())?;
        answers.bundles.sink("bundles out", screen.bundles.clone())?;
        answers.doings.funnel.sink("funnel out", screen.funnel.clone())?;
        answers.doings.trends.sink("trends out", screen.trends.clone())?;
        answers.doings.segments.sink("segments out", screen.segments.clone())?;
        answers.facts.sink("items out", screen.facts.clone())?;
        answers.dropped.sink("dropped out", screen.dropped.clone())?;
        if let Some(scores) = answers.scores {
            let scored = Arc::clone(&screen.scored);
            scores.changes(|_| 0).for_each(move |change| {
                let (features, score) = change.value.row;
                if change.value.diff > 0 {
                    scored.lock().unwrap_or_else(PoisonError::into_inner).score(features, score);
                }
            });
            let scored = Arc::clone(&screen.scored);
            answers.forgotten.for_each(move |wish| {
                scored.lock().unwrap_or_else(PoisonError::into_inner).forget(wish.value);
            });
        }
        Ok(())
    })
}

/// The payment that features are of.
pub fn paid(features: &Features) -> Transaction {
    let Features { sec, customer, terminal, cents, .. } = *features;
    Transaction { sec, customer, terminal, cents, fraud: false, scenario: 0 }
}

/// Answers, and says what it took.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let written =
        [("--lists", &arguments.lists), ("--forgotten", &arguments.forgotten), ("--dropped", &arguments.dropped)];
    for (flag, written) in written.into_iter().filter_map(|(flag, file)| Some((flag, file.as_ref()?))) {
        let is_same = |read: &Path| {
            read.canonicalize().is_ok_and(|read| written.canonicalize().is_ok_and(|written| read == written))
        };
        let read = arguments.files.own_lines().filter(|read| is_same(read));
        ensure!(read.is_none(), "{flag} would write over {}, which is read: name another file", written.display());
    }
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        let ((flag, file), (too, same)) = (written[one], written[other]);
        ensure!(file.is_none() || file != same, "{flag} and {too} would write over each other: name two files");
    }
    let Given { input, rules, names, end, left_out } = Given::of(&arguments.files, &arguments.shop)?;
    let mut options = Options { rules, ..options(arguments.models.as_deref())? };
    if arguments.last_state {
        options.refresh = Some(end);
        options.lists.from = end;
        options.lists.there = Millis::MAX / 4;
        options.lists.anew = 0;
    }
    let screen = Screen {
        to_lists: arguments.lists.clone(),
        to_forgotten: arguments.forgotten.clone(),
        to_dropped: arguments.dropped.clone(),
        left_out,
        ..Screen::default()
    };
    let config = Config { epoch_records: arguments.epoch_lines, ..Config::from_flags(&arguments.engine)? };
    let report = answer(&input, &options, &screen, config)?.finished()?;
    let refused = report.dead();
    // A job that goes on from its end reads nothing, and refuses nothing.
    ensure!(
        report.records > 0 || refused == 0,
        "nothing could be read of the input, and {refused} lines were refused: a shop's own lines look as `shop generate` writes \
         them, and other formats have flags of their own, as --online-retail"
    );
    let dropped = screen.dropped.rows();
    let all_dropped = report.records > 0 && dropped.iter().map(|(_, count)| count).sum::<u64>() == report.records;
    ensure!(
        !all_dropped || !screen.funnel.is_empty(),
        "all {} lines were dropped: {}; times are milliseconds since 1970, and the README says what each kind needs",
        report.records,
        by_reason(dropped)
    );
    print(&screen, &names);
    let asked = report.operator("suggest by taste").map_or(0, |operator| operator.records_in);
    println!(
        "\n{} lines in {:.1} s on {} workers: {:.0} lines/s, {:.0} CPU s, peak memory {} MiB",
        report.records,
        report.wall_s,
        report.workers,
        report.records as f64 / report.wall_s,
        report.cpu_s,
        report.peak_kb / 1024
    );
    if refused > 0 {
        let file = arguments.dropped.as_ref().map(|file| file.display().to_string());
        let said = file.unwrap_or_else(|| "the warnings above; --dropped FILE.jsonl has all".to_owned());
        println!("{refused} records were refused, as lines that cannot be read; why, see {said}");
    }
    println!(
        "inferences: {asked} histories by the Transformer, {} payments by the fraud model",
        screen.scored.lock().unwrap_or_else(PoisonError::into_inner).payments.len()
    );
    println!("an epoch: {:.1} ms median, {:.1} ms p99", report.epoch_latency.p50_ms, report.epoch_latency.p99_ms);
    Ok(())
}

/// The four answers.
pub fn print(screen: &Screen, names: &Names) {
    println!("what should this shopper see next?     ({} shoppers have a list)", screen.lists.len());
    let mut lists = screen.lists.rows();
    lists.sort_by_key(|list| std::cmp::Reverse(list.as_of));
    if let Some(list) = lists.first() {
        println!("  user {}", list.user);
        print_list(list, |item| screen.facts.get(&item).map(|fact| fact.category), names);
    }
    let mut index = BundleIndex::new();
    screen.bundles.rows().into_iter().for_each(|row| index.change(row, true));
    println!("\nwhat is bought together?               ({} orders)", index.baskets());
    println!(
        "    {:>8} {:>8} {:>7} {:>9} {:>11} {:>7} {:>7}",
        "item", "with", "both", "support", "confidence", "lift", "cosine"
    );
    for bundle in index.strongest(Strongest { by: Measure::Cosine, least: 5, n: 6 }) {
        println!(
            "    {:>8} {:>8} {:>7} {:>8.3}% {:>10.1}% {:>7.1} {:>7.3}",
            names.show(bundle.item),
            names.show(bundle.with),
            bundle.both,
            bundle.support() * 100.0,
            bundle.confidence() * 100.0,
            bundle.lift(),
            bundle.cosine()
        );
    }
    println!("\nwhat do shoppers do?");
    let sum =
        |stage: Stage| -> i64 { screen.funnel.rows().iter().filter(|row| row.item == stage).map(|row| row.sum).sum() };
    let (views, carts, purchases) = (sum(Stage::View), sum(Stage::Cart), sum(Stage::Purchase));
    println!("    {views} views, {carts} in carts, {purchases} bought and kept");
    let mut trends: Vec<_> = screen.trends.rows().into_iter().filter(|row| row.key.is_none()).collect();
    trends.sort_by_key(|row| std::cmp::Reverse(row.sum));
    let named: Vec<String> = trends.iter().take(6).map(|row| names.show(row.item)).collect();
    println!("    trending: items {}", named.join(", "));
    let mut sizes: FxHashMap<Segment, usize> = FxHashMap::default();
    screen.segments.rows().iter().for_each(|row| *sizes.entry(row.1).or_default() += 1);
    let mut sizes: Vec<_> = sizes.into_iter().collect();
    sizes.sort();
    let sizes: Vec<String> = sizes.iter().map(|(segment, size)| format!("{size} {}", segment.describe())).collect();
    println!(
        "    customers: {}",
        if sizes.is_empty() { "nobody has bought anything".to_owned() } else { sizes.join(", ") }
    );
    println!("    lines dropped: {}", by_reason(screen.dropped.rows()));
    let scored = &screen.scored.lock().unwrap_or_else(PoisonError::into_inner).payments;
    println!("\nwhich payments are frauds?             ({} scored; the likeliest)", scored.len());
    if scored.is_empty() {
        println!(
            "    there was no payment, or no fraud model (--models DIR gives one, `shop train` makes one), or it takes none of \
             these: payments from 2018-04-01 on, of users and items below 2^32"
        );
    }
    let mut worst: Vec<(Score, Features)> = scored.values().copied().collect();
    worst.sort_by_key(|(score, features)| (std::cmp::Reverse(*score), *features));
    for (score, features) in worst.into_iter().take(5) {
        println!(
            "    {score}   user {:<6} item {:<6} {:>9.2}   {} payments a day, {} in 30 days, for {:.2}",
            features.customer,
            features.terminal,
            f64::from(features.cents) / 100.0,
            features.c_n1,
            features.c_n30,
            features.c_s30 as f64 / 100.0
        );
    }
}
