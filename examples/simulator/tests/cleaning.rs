//! The shop as a job's source, and its noise as the cleaning stage sees it.

use shop_simulator::{Dirt, RATES, Settings, SimulatedShop, Simulation};
use tidemill::time::minutes;
use tidemill::{Config, Memory, Timing, execute};
use tidemill_shop::{Cleaning, CountReasons, Currency, Line, Rates, Reason, Rules};

#[test]
fn the_cleaning_stage_finds_the_noise() {
    let settings = Settings { users: 1_000, items: 500, days: 20, views: 80, seed: 3, ..Settings::default() };
    let with = |rates: Rates, (code, rate): (&str, f64)| rates.with(Currency::new(code).unwrap(), rate).unwrap();
    let rules = Rules::new(RATES.into_iter().fold(Rates::new(Currency::new("EUR").unwrap()), with));
    let (reasons, shop) = (Memory::new(), SimulatedShop::new(settings.clone()));
    let to_reasons = reasons.clone();
    execute(Config::workers(2), move |job| {
        let timing = rules.clone();
        let timing = Timing::by(move |line: &Line| timing.event_time(line)).disorder(minutes(1));
        let (_, dropped) = job.source("lines", shop.clone(), timing)?.clean("cleaning", rules.clone())?;
        dropped.map(|line| line.reason).count_reasons("reasons")?.sink("reasons out", to_reasons.clone())
    })
    .unwrap();

    let mut simulation = Simulation::new(settings);
    simulation.by_ref().for_each(drop);
    let Dirt { impossible, repeated, bots, .. } = simulation.dirt();
    for ((reason, count), _) in reasons.rows() {
        match reason {
            Reason::Duplicate => assert_eq!(count, *repeated),
            // The first 120 lines of a bot in a minute could be a person's.
            Reason::Bot => assert!(count >= bots / 4 && count < *bots, "{count} of {bots}"),
            reason => assert_eq!(Some(&count), impossible.get(&reason)),
        }
    }
    assert_eq!(reasons.rows().len(), impossible.len() + 2);
}
