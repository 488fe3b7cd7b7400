//! A year of invoices of a real shop (UCI Online Retail).

use crate::protocol::{Event, Events, Owners, Protocol, Question, Step};
use anyhow::bail;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use shop_input::{GUESTS, Invoiced};
use std::path::Path;
use tidemill::{Millis, time::days};
use tidemill_shop::{Action, ShopEvent};

/// The first days, of which nothing is asked.
const WARM_UP: Millis = days(60);

/// Items of a basket that are held out, one at a time.
const HELD_OUT: usize = 2;

/// Items of a basket that count.
pub const CAP: usize = 100;

/// Reads `online_retail_events.csv`. Of each basket of two or more items two are asked for, each from the others; then the
/// basket is learnt from. Cancellations and lines without goods are left out.
pub fn baskets(file: &Path) -> anyhow::Result<Protocol> {
    let (mut events, mut steps) = (Events::default(), Vec::<Step>::new());
    let (mut items, mut invoices) = (FxHashMap::<String, u32>::default(), FxHashMap::<String, usize>::default());
    for line in Invoiced::read(file)? {
        let line = line?;
        let (is_goods, cancelled) = (line.is_goods(), line.cancels());
        let Invoiced { invoice, code, quantity, time, .. } = line;
        if quantity <= 0 || cancelled || !is_goods {
            continue;
        }
        let new = items.len() as u32;
        let item = *items.entry(code).or_insert(new);
        let step = *invoices.entry(invoice).or_insert_with(|| {
            steps.push(Step { time: time * 1_000, ..Step::default() });
            steps.len() - 1
        });
        let time = steps[step].time;
        steps[step].events.push(events.next(step as u32, time, item));
    }
    let begin = steps.first().map_or(0, |step| step.time);
    for step in steps.iter_mut().filter(|step| step.time >= begin + WARM_UP) {
        step.questions = questions(&step.events);
    }
    Ok(Protocol {
        data: "online_retail",
        name: "basket-completion",
        steps,
        test_then_learn: true,
        owners: Owners::Baskets,
        repeats: false,
    })
}

/// What happened on one day, in order of time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Day {
    /// Its last millisecond.
    pub time: Millis,
    /// Purchases and cancellations.
    pub lines: Vec<(Millis, ShopEvent)>,
}

/// Reads all lines as a shop's events, day by day. A cancellation does not say which order it is of. Whoever bought without a
/// number of a customer is a customer of that one invoice, and items are numbered in the order they come in. Lines that neither
/// sell nor cancel, as stock that was written off, are left out.
pub fn days_of_events(file: &Path) -> anyhow::Result<Vec<Day>> {
    let (mut items, mut orders) = (FxHashMap::<String, u64>::default(), FxHashMap::<String, u64>::default());
    let mut all: Vec<Day> = Vec::new();
    for line in Invoiced::read(file)? {
        let line = line?;
        let cancelled = line.cancels();
        let Invoiced { invoice, code, quantity, time, price, customer } = line;
        let Ok(amount) = u32::try_from(if cancelled { -quantity } else { quantity }) else { continue };
        if amount == 0 {
            continue;
        }
        let (new_item, new_order) = (items.len() as u64, orders.len() as u64);
        let item = *items.entry(code).or_insert(new_item);
        let order = *orders.entry(invoice).or_insert(new_order);
        let user = customer.unwrap_or(GUESTS + order);
        let action = match cancelled {
            true => Action::Cancellation { order: None, item, quantity: amount },
            false => Action::Purchase { order, item, quantity: amount, cents: (price * 100.0).round() as i64 },
        };
        let (time, day) = (time * 1_000, days(1));
        let end = time.div_euclid(day) * day + day - 1;
        match all.last_mut() {
            Some(day) if day.time == end => day.lines.push((time, ShopEvent::new(user, action))),
            Some(day) if day.time > end => bail!("{}: its lines are not in order of time", file.display()),
            _ => all.push(Day { time: end, lines: vec![(time, ShopEvent::new(user, action))] }),
        }
    }
    Ok(all)
}

/// Two of a basket's items, chosen by a hash of the invoice's number, each asked for from the others.
fn questions(events: &[Event]) -> Vec<Question> {
    let mut basket: Vec<u32> = Vec::new();
    for event in events {
        if !basket.contains(&event.item) && basket.len() < CAP {
            basket.push(event.item);
        }
    }
    if basket.len() < 2 {
        return Vec::new();
    }
    let owner = events[0].owner;
    let hash = (u64::from(owner) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let ask = |nth: usize| {
        let at = (hash as usize + nth) % basket.len();
        let history = basket.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, item)| *item).collect();
        Question { owner, history, target: basket[at], among: Vec::new(), teaches: false }
    };
    (0..HELD_OUT).map(ask).collect()
}
