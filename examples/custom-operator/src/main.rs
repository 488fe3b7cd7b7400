//! Runs the three operators over a few events, shows what they say, and checks it.

use clap::Parser;
use custom_operator::abandoned::{AbandonedCarts, Action, CartEvent, Reminder};
use custom_operator::cards::{CardEvent, CardsInUse};
use custom_operator::rings::rings;
use tidemill::time::minutes;
use tidemill::{Config, Events, Flags, Memory, Result, Timing, Update, execute};

/// Three operators of one's own: abandoned carts, cards in use, and rings of accounts.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    engine: Flags,
}

fn main() -> std::process::ExitCode {
    tidemill::exit(run(&Arguments::parse()).map_err(anyhow::Error::from))
}

fn run(arguments: &Arguments) -> Result<()> {
    let config = Config::from_flags(&arguments.engine)?;
    abandoned_carts(config.clone())?;
    rings_of_accounts(config)
}

fn abandoned_carts(config: Config) -> Result<()> {
    let event = |minute, customer, action| CartEvent { time: minutes(minute), customer, action };
    let events = vec![
        event(0, 1, Action::Add(4_990)),
        event(1, 2, Action::Add(1_500)),
        event(4, 1, Action::Add(1_000)),
        event(9, 2, Action::Buy),
        event(90, 3, Action::Add(700)),
        event(91, 3, Action::Buy),
    ];
    let out = Memory::new();
    let to_out = out.clone();
    execute(config, move |job| {
        let carts = job.source("carts", Events::new(events.clone()), Timing::by(|event: &CartEvent| event.time))?;
        let abandoned = AbandonedCarts { patience: minutes(30) };
        carts.key_by(|event| event.customer).process("abandoned carts", abandoned)?.sink("reminders", to_out.clone())
    })?;
    let reminders = out.values();
    for Reminder { customer, cents, since } in &reminders {
        println!("customer {customer} left {cents} cents in the cart at minute {}", since / minutes(1));
    }
    assert_eq!(reminders, [Reminder { customer: 1, cents: 5_990, since: minutes(4) }]);
    Ok(())
}

fn rings_of_accounts(config: Config) -> Result<()> {
    let event = |time, account, card, added| CardEvent { time, account, card, added };
    let events = vec![
        event(1, 1, 70, true),
        event(2, 2, 71, true),
        event(3, 3, 71, true),
        event(4, 2, 70, true),
        event(5, 2, 70, false),
    ];
    let out = Memory::new();
    let to_out = out.clone();
    // One event an epoch, to see what each changes.
    execute(Config { epoch_records: 1, ..config }, move |job| {
        let cards = job.source("cards", Events::new(events.clone()), Timing::by(|event: &CardEvent| event.time))?;
        let in_use = cards.key_by(|event| event.account).maintain("cards in use", CardsInUse)?;
        rings(in_use).sink("rings", to_out.clone())
    })?;
    let rows = out.rows();
    for (epoch, Update { row: (account, ring), diff }) in out.take() {
        println!("epoch {epoch}: {diff:+} account {account} is in ring {ring}");
    }
    assert_eq!(rows, [((1, 1), 1), ((2, 2), 1), ((3, 2), 1)]);
    Ok(())
}
