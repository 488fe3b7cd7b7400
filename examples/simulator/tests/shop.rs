//! What the shop's lines are promised to be.

use rustc_hash::{FxHashMap, FxHashSet};
use shop_simulator::{Dirt, OUTSIZED, RATES, Scenario, Settings, Simulation, Truth};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use tidemill::Millis;
use tidemill::time::{days, hours, minutes};
use tidemill_shop::{Currency, Kind, Line, Rates, Reason, Rules};

struct Shop {
    /// As they come.
    lines: Vec<Line>,
    /// Those that are true, in the order in which they happened.
    happened: Vec<Line>,
    truth: Truth,
    dirt: Dirt,
}

fn rules() -> Rules {
    let with = |rates: Rates, (code, rate): (&str, f64)| rates.with(Currency::new(code).unwrap(), rate).unwrap();
    Rules::new(RATES.into_iter().fold(Rates::new(Currency::new("EUR").unwrap()), with))
}

fn shop() -> &'static Shop {
    static SHOP: OnceLock<Shop> = OnceLock::new();
    SHOP.get_or_init(|| {
        let mut simulation = Simulation::new(Settings::default());
        let lines: Vec<Line> = simulation.by_ref().collect();
        let (truth, dirt, rules) = (simulation.truth().clone(), simulation.dirt().clone(), rules());
        let true_ones = lines.iter().filter(|line| rules.check(line).is_ok() && !is_bot(line));
        // Ids count up with what happens.
        let happened: BTreeMap<u64, Line> = true_ones.map(|line| (line.id, *line)).collect();
        Shop { lines, happened: happened.into_values().collect(), truth, dirt }
    })
}

fn is_bot(line: &Line) -> bool {
    line.user.is_some_and(|user| user > Settings::default().users)
}

fn of(kind: Kind) -> impl Iterator<Item = &'static Line> {
    shop().happened.iter().filter(move |line| line.kind == kind)
}

fn end() -> Millis {
    let Settings { start, days: span, .. } = Settings::default();
    start + days(i64::from(span))
}

/// What a line of an order costs in all, in cents.
fn cents(line: &Line) -> f64 {
    let rate = RATES.iter().find(|(code, _)| line.currency.is_some_and(|currency| currency.code() == *code));
    line.amount.unwrap() * rate.map_or(1.0, |(_, rate)| *rate) * 100.0 * line.number.unwrap() as f64
}

fn is_fraud(line: &Line) -> bool {
    line.order.is_some_and(|order| shop().truth.fraud(order).is_some())
}

fn assert_near(what: &str, found: f64, range: std::ops::Range<f64>) {
    assert!(range.contains(&found), "{what}: {found} is not in {range:?}");
}

#[test]
fn the_same_settings_give_the_same_shop() {
    let small = |seed| Settings { users: 200, items: 300, seed, ..Settings::default() };
    let all: Vec<Line> = Simulation::new(small(1)).collect();
    assert_eq!(all, Simulation::new(small(1)).collect::<Vec<_>>());
    assert_ne!(all, Simulation::new(small(2)).collect::<Vec<_>>());
    // Its first days are the same, but for what was on its way when they ended.
    let first: Vec<Line> = Simulation::new(small(1)).first_days(20).collect();
    let until = small(1).start + days(20) - minutes(1);
    let same = all.iter().position(|line| (until..end()).contains(&line.time)).unwrap();
    assert!(same > all.len() / 3);
    assert_eq!(first[..same], all[..same]);
}

#[test]
fn odd_shops_are_shops() {
    let tiny = Settings { users: 1, items: 1, categories: 1, days: 3, views: 100, ..Settings::default() };
    assert!(Simulation::new(tiny.clone()).count() > 100);
    assert!(Simulation::new(Settings { items: 3, categories: 9, ..tiny.clone() }).count() > 100);
    assert!(Simulation::new(Settings { users: 0, items: 0, categories: 0, ..tiny.clone() }).count() > 100);
    assert_eq!(Simulation::new(Settings { days: 0, ..tiny }).count(), 0);
}

#[test]
fn there_is_as_much_noise_as_it_says() {
    let Shop { lines, happened, dirt, .. } = shop();
    let (rules, mut ids) = (rules(), FxHashSet::default());
    let (mut found, mut latest) = (Dirt::default(), Millis::MIN);
    for line in lines {
        let fault = rules.check(line).err();
        if let Some(fault) = fault {
            *found.impossible.entry(fault).or_default() += 1;
        }
        found.bots += u64::from(is_bot(line));
        let again = !ids.insert(line.id);
        found.repeated += u64::from(again);
        if fault != Some(Reason::ImpossibleTime) {
            found.late += u64::from(!again && line.time < latest);
            assert!(latest == Millis::MIN || line.time > latest - minutes(1));
            latest = latest.max(line.time);
        }
    }
    assert_eq!(&found, dirt);
    assert_eq!(found.impossible.len(), 7, "{:?}", found.impossible);
    let share = |count: u64| count as f64 / lines.len() as f64;
    assert_near("late", share(dirt.late), 0.005..0.011);
    assert_near("repeated", share(dirt.repeated), 0.002..0.004);
    assert_near("impossible", share(dirt.impossible.values().sum()), 0.001..0.003);
    assert_near("bots", share(dirt.bots), 0.002..0.03);
    assert!(happened.is_sorted_by_key(|line| line.time));
}

#[test]
fn views_become_carts_become_purchases() {
    let count = |kind| of(kind).count() as f64;
    assert_near("views of a user", count(Kind::View) / Settings::default().users as f64, 56.0..64.0);
    assert_near("carts of views", count(Kind::Cart) / count(Kind::View), 0.09..0.11);
    assert_near("purchases of carts", count(Kind::Purchase) / count(Kind::Cart), 0.37..0.43);
    assert_near("cancellations", of(Kind::Cancellation).count() as f64 / count(Kind::Purchase), 0.03..0.08);
    assert_near("ratings", count(Kind::Rating) / count(Kind::Purchase), 0.07..0.16);
    let few = [Kind::NotInterested, Kind::Block, Kind::Forget];
    few.into_iter().for_each(|kind| assert_near("wishes", count(kind) / count(Kind::View), 1e-6..0.01));

    let (mut seen, mut orders) = (FxHashSet::default(), FxHashMap::<u64, Vec<u64>>::default());
    for line in &shop().happened {
        let touch = |kind| (kind, line.user, line.item);
        match line.kind {
            Kind::Cart => assert!(seen.contains(&touch(Kind::View))),
            Kind::Purchase => {
                assert!(seen.contains(&touch(Kind::Cart)));
                orders.entry(line.order.unwrap()).or_default().push(line.item.unwrap());
            }
            Kind::Cancellation => {
                assert!(orders[&line.order.unwrap()].contains(&line.item.unwrap()) && !is_fraud(line));
            }
            Kind::Rating => assert!(seen.contains(&touch(Kind::Purchase))),
            _ => {}
        }
        seen.insert(touch(line.kind));
    }
    let several = orders.values().filter(|items| items.len() > 1).count() as f64 / orders.len() as f64;
    assert_near("orders of several lines", several, 0.2..0.6);
    for mut items in orders.into_values() {
        items.sort_unstable();
        assert!(items.len() <= 6 && items.windows(2).all(|two| two[0] != two[1]));
    }
}

#[test]
fn what_is_sold_has_been_launched_is_there_and_costs_what_it_costs() {
    let truth = &shop().truth;
    let (mut prices, mut left) = (FxHashMap::default(), FxHashMap::default());
    let (mut outs, mut changes) = (0, 0);
    for line in &shop().happened {
        let Some(item) = line.item else { continue };
        match line.kind {
            Kind::Listed => {
                assert_eq!((line.category, Some(line.time)), (Some(truth.category(item)), truth.launched(item)));
            }
            Kind::Price => {
                let base = truth.cents(item).unwrap() as f64 / 100.0;
                assert_near("price", line.amount.unwrap() / base, 0.79..1.21);
                changes += u32::from(prices.insert(item, line.amount.unwrap()).is_some());
            }
            Kind::Stock => {
                let (before, now) = (left.insert(item, line.number.unwrap()), line.number.unwrap());
                assert!(before.is_none_or(|before| (before == 0) != (now == 0)));
                outs += u32::from(line.number == Some(0));
            }
            Kind::Purchase => {
                assert!(left[&item] > 0);
                if !is_fraud(line) && line.currency.is_none_or(|currency| currency.code() == "EUR") {
                    assert_eq!(line.amount, Some(prices[&item]));
                }
            }
            _ => assert!(prices.contains_key(&item), "{line:?} is of an item that is not sold"),
        }
    }
    let launched = |range: std::ops::Range<Millis>| {
        of(Kind::Listed).filter(|line| range.contains(&line.time)).count() as f64 / Settings::default().items as f64
    };
    let start = Settings::default().start;
    assert_near("items from the start", launched(start..start + 1), 0.75..0.85);
    assert_near("launches", launched(start + 1..end()), 0.15..0.25);
    assert!(outs > 400 && changes > 200, "{outs} stock-outs, {changes} new prices");
}

#[test]
fn one_payment_of_a_hundred_is_a_fraud_and_charged_back_within_six_days() {
    let charged: FxHashMap<(Option<u64>, Option<u64>), Millis> =
        of(Kind::Chargeback).map(|line| ((line.order, line.item), line.time)).collect();
    let (mut scenarios, mut frauds) = (BTreeMap::<Scenario, u32>::new(), 0);
    for line in of(Kind::Purchase) {
        let charged_at = charged.get(&(line.order, line.item));
        assert!(charged_at.is_none_or(|at| is_fraud(line) && (days(1)..days(6)).contains(&(at - line.time))));
        assert!(charged_at.is_some() || !is_fraud(line) || line.time > end() - days(6));
        frauds += u32::from(is_fraud(line));
        if let Some(scenario) = shop().truth.fraud(line.order.unwrap()) {
            *scenarios.entry(scenario).or_default() += 1;
        }
    }
    let payments = of(Kind::Purchase).count() as f64;
    assert_near("frauds", f64::from(frauds) / payments, 0.006..0.014);
    assert_eq!(scenarios.len(), 3);
    for (scenario, count) in scenarios {
        let range = if scenario == Scenario::Outsized { 0.0008..0.0045 } else { 0.0015..0.008 };
        assert_near(&format!("{scenario:?}"), f64::from(count) / payments, range);
    }
}

#[test]
fn frauds_are_what_their_scenarios_say() {
    let truth = &shop().truth;
    let base = |line: &Line| truth.cents(line.item.unwrap()).unwrap() as f64;
    let (mut of_attacked, mut resold) = (0, 0);
    for line in of(Kind::Purchase) {
        let (user, item) = (line.user.unwrap(), line.item.unwrap());
        let attacked = truth.under_attack(line.time).any(|other| other == item);
        let scenario = truth.fraud(line.order.unwrap());
        assert_eq!(scenario == Some(Scenario::Outsized), cents(line) > OUTSIZED as f64);
        match scenario {
            Some(Scenario::Stolen) => {
                assert!(truth.is_stolen(user, line.time));
                assert_near("a thief's price", cents(line) / line.number.unwrap() as f64 / base(line), 3.9..6.1);
            }
            Some(Scenario::Resold) => assert!(attacked && truth.resellable().contains(&item)),
            _ => {}
        }
        of_attacked += u32::from(attacked);
        resold += u32::from(scenario == Some(Scenario::Resold));
    }
    assert_near("frauds of what is under attack", f64::from(resold) / f64::from(of_attacked), 0.5..1.0);
}

#[test]
fn complements_are_bought_together() {
    let mut orders = FxHashMap::<u64, Vec<u64>>::default();
    of(Kind::Purchase).for_each(|line| orders.entry(line.order.unwrap()).or_default().push(line.item.unwrap()));
    let mut in_orders = FxHashMap::<u64, f64>::default();
    orders.values().flatten().for_each(|item| *in_orders.entry(*item).or_default() += 1.0);
    let (mut both, mut by_chance) = (0.0, 0.0);
    for (item, count) in &in_orders {
        for with in shop().truth.complements(*item) {
            by_chance += count * in_orders.get(with).copied().unwrap_or(0.0) / orders.len() as f64;
            both += orders.values().filter(|items| items.contains(item) && items.contains(with)).count() as f64;
        }
    }
    assert_near("lift of complements", both / by_chance, 10.0..1e9);
    assert!(both > 500.0, "{both}");
}

#[test]
fn users_look_at_what_they_like() {
    let truth = &shop().truth;
    let (mut liked, mut all) = ([0.0; 2], [0.0; 2]);
    let mut places = FxHashMap::<(u64, Millis), Vec<i64>>::default();
    for line in &shop().happened {
        let (Kind::View | Kind::Shown, Some(user), Some(item)) = (line.kind, line.user, line.item) else { continue };
        let which = usize::from(line.kind == Kind::Shown);
        let likes = truth.taste(user).iter().any(|(category, _)| *category == truth.category(item));
        liked[which] += f64::from(u8::from(likes));
        all[which] += 1.0;
        if line.kind == Kind::Shown {
            places.entry((user, line.time)).or_default().push(line.number.unwrap());
        }
    }
    // By chance it would be one in thirteen.
    assert_near("liked ones of views", liked[0] / all[0], 0.4..0.8);
    assert_near("liked ones of what is shown", liked[1] / all[1], 0.3..0.6);
    for places in places.values() {
        let expected: Vec<i64> = (1..).take(places.len()).collect();
        assert!(*places == expected && (3..6).contains(&places.len()), "{places:?}");
    }
    let popularity: f64 =
        (1..=truth.settings().items).filter(|item| truth.category(*item) == 7).map(|item| truth.popularity(item)).sum();
    assert!((popularity - 1.0).abs() < 1e-9);
}

#[test]
fn shoppers_come_by_hour_day_and_season() {
    let start = Settings::default().start;
    let (mut by_hour, mut by_weekday) = ([0.0; 24], [0.0; 7]);
    let (mut high, mut low) = (0.0, 0.0);
    for line in of(Kind::View) {
        let since = line.time - start;
        by_hour[(since / hours(1) % 24) as usize] += 1.0;
        by_weekday[(since / days(1) % 7) as usize] += 1.0;
        match shop().truth.season(shop().truth.category(line.item.unwrap()), line.time) {
            1.3.. => high += 1.0,
            ..0.7 => low += 1.0,
            _ => {}
        }
    }
    assert_near("evening beside night", by_hour[20] / by_hour[3], 5.0..30.0);
    // It begins on a Sunday.
    let weekend = (by_weekday[0] + by_weekday[6]) / 2.0;
    assert_near("weekend beside week", weekend / by_weekday[1..6].iter().sum::<f64>() * 5.0, 1.3..1.65);
    assert_near("high season beside low season", high / low, 1.4..4.0);
}
