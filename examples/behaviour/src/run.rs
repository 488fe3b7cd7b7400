//! `behaviour run`: a shop's lines, and what is true in the end.

use behaviour::graph::Options;
use behaviour::print::Printer;
use behaviour::screen::{Input, Screen, run as answer};
use shop_input::{Files, Lines, Names, warn};
use shop_simulator::{Flags, SimulatedShop};
use tidemill::time::{days, hours};
use tidemill::{Config, Events};
use tidemill_shop::Rules;

/// The flags of `behaviour run`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    simulated: Flags,
    /// For trends an event counts half after so many hours.
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=87_600))]
    half_life: u32,
    /// For how many days events hold.
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    keep: u32,
    /// The user to tell of. By default the one with the greatest interest.
    #[arg(long, value_name = "U")]
    user: Option<u64>,
    #[command(flatten)]
    engine: tidemill::Flags,
}

/// Reads, and prints.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (input, rules, names) = input(arguments)?;
    let (keep, half_life) = (days(arguments.keep.into()), hours(arguments.half_life.into()));
    let options = Options { rules, keep, half_life };
    let (screen, config) = (Screen::default(), Config::from_flags(&arguments.engine)?);
    let report = answer(input, options, config, screen.clone())?.finished()?;
    let mut text = String::new();
    Printer { screen: &screen, names: &names, user: arguments.user }.print(&mut text)?;
    println!("{text}");
    let (lines, seconds) = (report.records, report.wall_s);
    println!("{lines} lines in {seconds:.1} s on {} workers: {:.0} lines/s", report.workers, lines as f64 / seconds);
    Ok(())
}

/// What was asked to be read, what may be believed of it, and how its items are called.
fn input(arguments: &Arguments) -> anyhow::Result<(Input, Rules, Names)> {
    if let Some(Lines { lines, rules, names, left_out }) = arguments.files.read(&arguments.simulated)? {
        warn(&left_out);
        return Ok((Input::Lines(Events::new(lines)), rules, names));
    }
    let rules = arguments.files.money().rules()?;
    let settings = arguments.simulated.settings();
    Ok((Input::Simulated(SimulatedShop::new(settings)), rules, Names::default()))
}
