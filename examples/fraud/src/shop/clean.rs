//! Which lines of a shop's file are purchases, which say something else, and which say nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tidemill::time::days;
use tidemill::{Context, Millis, Order, Process, Reject};

use super::calendar::{Moment, Unit};
use super::decimal::Decimal;
use super::mapping::{Line, Mapping, Money};

/// What one line of an invoice sold to a known customer: what is scored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Purchase {
    /// When, in ms since 1970 UTC.
    pub time: Millis,
    /// What was bought, as the file names it.
    pub item: String,
    /// Who bought, as the file names them.
    pub customer: String,
    /// The invoice; empty if none is mapped.
    pub invoice: String,
    /// How many; 1 if no quantity is mapped.
    pub quantity: Decimal,
    /// The line's amount in cents, above 0.
    pub cents: u32,
}

/// What is known of an item from some time on: that it was sold, or that a sale of it was cancelled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fact {
    /// Since when, in ms since 1970 UTC.
    pub time: Millis,
    /// The item.
    pub item: String,
    /// Whether a sale was cancelled.
    pub cancelled: bool,
    /// Who cancelled or bought, if the line says.
    pub customer: Option<String>,
    /// How many were sold (above 0) or cancelled (below 0).
    pub quantity: Decimal,
    /// For how many cents, of the same sign.
    pub cents: i64,
}

/// What becomes of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It is scored, and it is a sale of its item.
    Purchase(Purchase, Fact),
    /// Nobody can be asked about it, so it is not scored; yet it says something of its item.
    Fact(Fact),
    /// It says nothing about customers.
    Nothing,
}

/// What kind of line it is, in the order in which the questions are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Its time is before 1970-01-04 or after 2106-02-06: seconds taken for milliseconds, or the reverse.
    ImpossibleTime,
    /// It names no item, or one that the shop says is none (postage, fees).
    NotGoods,
    /// It has no quantity or no money.
    NoFigures,
    /// A sale taken back: a fact about its item, and off its customer's sums, from then on.
    Cancellation,
    /// A negative quantity that cancels no invoice: breakage, stock-taking.
    StockAdjustment,
    /// An invoice that cancels, of something that was not negative: a slip that cancels nothing.
    StrangeCancellation,
    /// Money below 0 for something sold: a book-keeper's entry, as for bad debt.
    NegativePrice,
    /// Nothing to pay, or less than half a cent: gifts, samples, lost goods.
    Free,
    /// An amount that does not fit (from 42,949,672.96 on): a slip.
    AbsurdAmount,
    /// A sale without a customer: it counts for its item, but nobody can be asked about it.
    NoCustomer,
    /// A sale to a customer: scored.
    Purchase,
}

impl Kind {
    /// All of them, in order.
    pub const ALL: [Kind; 11] = [
        Kind::ImpossibleTime,
        Kind::NotGoods,
        Kind::NoFigures,
        Kind::Cancellation,
        Kind::StockAdjustment,
        Kind::StrangeCancellation,
        Kind::NegativePrice,
        Kind::Free,
        Kind::AbsurdAmount,
        Kind::NoCustomer,
        Kind::Purchase,
    ];

    /// What is done with such lines, in a few words.
    pub fn describe(self) -> &'static str {
        match self {
            Kind::ImpossibleTime => "a time that cannot be (see --time-unit): left out",
            Kind::NotGoods => "no item, or none that counts (--no-goods): left out",
            Kind::NoFigures => "no quantity or no money: left out",
            Kind::Cancellation => "cancellations: facts about their items and off their customers' sums, from then on",
            Kind::StockAdjustment => "negative quantities that cancel nothing (stock-taking): left out",
            Kind::StrangeCancellation => "cancelling invoices with nothing negative: left out",
            Kind::NegativePrice => "negative prices (book-keeping): left out",
            Kind::Free => "nothing to pay (gifts, samples): left out",
            Kind::AbsurdAmount => "amounts too large to be: left out",
            Kind::NoCustomer => "sales without a customer: count for their items, not scored",
            Kind::Purchase => "sales to customers: scored",
        }
    }
}

/// By what lines are judged.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Which columns there are.
    pub mapping: Mapping,
    /// The unit of times that are numbers.
    pub unit: Unit,
    /// How the numbers of cancelling invoices begin.
    pub cancels: String,
    /// Items that are no goods, in upper case.
    pub no_goods: BTreeSet<String>,
}

impl Rules {
    /// The time of a line in ms since 1970 UTC. One that cannot be counts as the beginning of time, so that it moves no
    /// watermark.
    pub fn time(&self, line: &Line) -> Millis {
        line.time.ms(self.unit).unwrap_or(0)
    }

    /// What a line is and means.
    pub fn judge(&self, line: &Line) -> (Kind, Meaning) {
        match self.facts(line) {
            Err(kind) => (kind, Meaning::Nothing),
            Ok((fact, _)) if fact.cancelled => (Kind::Cancellation, Meaning::Fact(fact)),
            Ok((fact, cents)) => match &fact.customer {
                None => (Kind::NoCustomer, Meaning::Fact(fact)),
                Some(customer) => {
                    let purchase = Purchase {
                        time: fact.time,
                        invoice: line.invoice.clone().unwrap_or_default(),
                        item: fact.item.clone(),
                        customer: customer.clone(),
                        quantity: fact.quantity,
                        cents,
                    };
                    (Kind::Purchase, Meaning::Purchase(purchase, fact))
                }
            },
        }
    }

    /// What a line says of its item, and its cents if it is a sale; or why it says nothing.
    fn facts(&self, line: &Line) -> Result<(Fact, u32), Kind> {
        let time = line.time.ms(self.unit).ok_or(Kind::ImpossibleTime)?;
        let item = line.item.as_deref().map(str::trim).filter(|item| !item.is_empty()).ok_or(Kind::NotGoods)?;
        if self.no_goods.contains(&item.to_uppercase()) {
            return Err(Kind::NotGoods);
        }
        let quantity = match self.mapping.quantity {
            true => line.quantity.ok_or(Kind::NoFigures)?,
            false => Decimal::ONE,
        };
        let money = match self.mapping.money {
            Money::Cents => line.cents.map(|cents| (cents < 0, Some(cents))),
            Money::Amount => line.amount.map(|it| (it.is_negative(), it.times_in_hundredths(Decimal::ONE))),
            Money::Price => line.price.map(|it| (it.is_negative(), it.times_in_hundredths(quantity))),
        };
        let (negative_money, cents) = money.ok_or(Kind::NoFigures)?;
        // Where the money is the line's, it goes down with the quantity; a price does not.
        let back = quantity.is_negative() || (self.mapping.money != Money::Price && negative_money);
        let cancels = line.invoice.as_deref().is_some_and(|invoice| invoice.starts_with(&self.cancels));
        match (self.mapping.invoice, cancels, back) {
            (true, true, false) => return Err(Kind::StrangeCancellation),
            (true, false, true) if quantity.is_negative() => return Err(Kind::StockAdjustment),
            (true, false, true) => return Err(Kind::NegativePrice),
            _ => {}
        }
        let customer = line.customer.as_deref().map(str::trim).filter(|customer| !customer.is_empty());
        let (item, customer) = (item.to_owned(), customer.map(str::to_owned));
        let fact = Fact { time, item, cancelled: back, customer, quantity, cents: cents.unwrap_or(0) };
        if back {
            return match fact.cents.unsigned_abs() <= u64::from(u32::MAX) {
                true => Ok((Fact { cents: -fact.cents.abs(), ..fact }, 0)),
                false => Err(Kind::AbsurdAmount),
            };
        }
        match cents.map(u32::try_from) {
            _ if negative_money => Err(Kind::NegativePrice),
            _ if quantity.is_zero() => Err(Kind::Free),
            Some(Ok(0)) => Err(Kind::Free),
            Some(Ok(cents)) => Ok((fact, cents)),
            Some(Err(_)) | None => Err(Kind::AbsurdAmount),
        }
    }
}

/// Tells for each line of an invoice whether the same one, field by field, was there already: entered or exported twice.
///
/// An invoice is remembered for a day after its last line.
pub struct Repetitions;

/// In ms of event time.
const REMEMBERED: Millis = days(1);

/// What an invoice is known by, also where none is mapped.
pub type Invoice = (Moment, Option<String>, Option<String>);

impl Repetitions {
    /// The invoice of a line. All its lines have one time, and one customer or none.
    pub fn key(line: &Line) -> Invoice {
        (line.time, line.invoice.clone(), line.customer.clone())
    }
}

impl Process for Repetitions {
    type Key = Invoice;
    type In = Line;
    type Out = (Line, bool);
    type State = BTreeSet<Line>;
    const ORDER: Order = Order::Arrival;
    const UNDO: bool = false;

    fn process(
        &self,
        _: &Invoice,
        line: Line,
        seen: &mut BTreeSet<Line>,
        ctx: &mut Context<'_, (Line, bool)>,
    ) -> Result<(), Reject> {
        let repeated = !seen.insert(line.clone());
        ctx.emit((line, repeated));
        ctx.set_timer(ctx.time().max(ctx.watermark()).saturating_add(REMEMBERED));
        Ok(())
    }

    fn on_timer(&self, _: &Invoice, _: &mut BTreeSet<Line>, ctx: &mut Context<'_, (Line, bool)>) -> Result<(), Reject> {
        ctx.forget();
        Ok(())
    }
}

/// Counts lines by kind, on all workers; clones share the counters.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<[[AtomicU64; 3]; Kind::ALL.len()]>);

/// How many lines of a kind there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The kind.
    pub kind: Kind,
    /// Lines of it.
    pub lines: u64,
    /// Those among them that name no customer.
    pub without_customer: u64,
    /// Those among them that were there already, field by field, and are left out.
    pub repeated: u64,
}

impl Counts {
    /// Counts a line.
    pub fn add(&self, kind: Kind, line: &Line, repeated: bool) {
        let anonymous = line.customer.as_deref().is_none_or(|customer| customer.trim().is_empty());
        for (counter, counts) in self.0[kind as usize].iter().zip([true, anonymous, repeated]) {
            counter.fetch_add(u64::from(counts), Ordering::Relaxed);
        }
    }

    /// The counts so far, of every kind.
    pub fn all(&self) -> Vec<Counted> {
        let counted = Kind::ALL.iter().zip(self.0.iter());
        let counted = counted.map(|(&kind, counters)| {
            let [lines, without_customer, repeated] =
                counters.each_ref().map(|counter| counter.load(Ordering::Relaxed));
            Counted { kind, lines, without_customer, repeated }
        });
        counted.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill::harness::Harness;

    fn rules(mapping: &str) -> Rules {
        let no_goods = BTreeSet::from(["POST".to_owned()]);
        Rules { mapping: mapping.parse().unwrap(), unit: Unit::S, cancels: "C".into(), no_goods }
    }

    fn line(customer: &str, item: &str, invoice: &str, quantity: &str, price: &str, time: &str) -> Line {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Line {
            time: time.parse().unwrap(),
            customer: text(customer),
            item: text(item),
            invoice: text(invoice),
            quantity: quantity.parse().ok(),
            price: price.parse().ok(),
            amount: None,
            cents: None,
        }
    }

    const TIME: &str = "1291191960";

    #[test]
    fn each_kind_of_line() {
        let rules = rules("customer=A,item=B,invoice=C,quantity=D,price=E,time=F");
        let kind = |line: Line| rules.judge(&line).0;
        let sold = |quantity, price| kind(line("1", "X", "7", quantity, price, TIME));
        assert_eq!(sold("2", "1.50"), Kind::Purchase);
        assert_eq!(sold("0", "1.50"), Kind::Free);
        assert_eq!(sold("2", "0.00"), Kind::Free);
        assert_eq!(sold("1", "0.004"), Kind::Free);
        assert_eq!(sold("1", "-11062.06"), Kind::NegativePrice);
        assert_eq!(sold("-5", "1.50"), Kind::StockAdjustment);
        assert_eq!(sold("-5", "0"), Kind::StockAdjustment);
        assert_eq!(sold("", "1.50"), Kind::NoFigures);
        assert_eq!(sold("2", ""), Kind::NoFigures);
        assert_eq!(sold("1", "42949672.95"), Kind::Purchase);
        assert_eq!(sold("1", "42949672.96"), Kind::AbsurdAmount);
        assert_eq!(sold("999999999999999999", "999999999999999999"), Kind::AbsurdAmount);
        assert_eq!(kind(line("", "X", "7", "2", "1.50", TIME)), Kind::NoCustomer);
        assert_eq!(kind(line("  ", "X", "7", "2", "1.50", TIME)), Kind::NoCustomer);
        assert_eq!(kind(line("", "X", "C7", "-2", "1.50", TIME)), Kind::Cancellation);
        assert_eq!(kind(line("1", "X", "C7", "2", "1.50", TIME)), Kind::StrangeCancellation);
        assert_eq!(kind(line("1", "post", "7", "1", "18", TIME)), Kind::NotGoods);
        assert_eq!(kind(line("1", " ", "7", "1", "18", TIME)), Kind::NotGoods);
        assert_eq!(kind(line("1", "X", "7", "2", "1.50", "1291191960000")), Kind::ImpossibleTime);
    }

    #[test]
    fn purchases_and_facts_hold_what_the_line_says() {
        let rules = rules("customer=A,item=B,invoice=C,quantity=D,price=E,time=F");
        let (_, meaning) = rules.judge(&line("17850", "85123A", "536365", "6", "2.55", TIME));
        let Meaning::Purchase(purchase, fact) = meaning else { panic!("{meaning:?}") };
        assert_eq!((purchase.cents, purchase.time, purchase.item.as_str()), (1530, 1_291_191_960_000, "85123A"));
        assert_eq!((fact.cancelled, fact.item.as_str()), (false, "85123A"));
        let (_, meaning) = rules.judge(&line("17850", "85123A", "C536365", "-6", "2.55", TIME));
        assert!(matches!(meaning, Meaning::Fact(Fact { cancelled: true, cents: -1530, .. })), "{meaning:?}");
    }

    #[test]
    fn without_invoices_whatever_is_negative_cancels() {
        let rules = rules("customer=A,item=B,cents=C,time=F");
        let cents = |cents| rules.judge(&Line { cents: Some(cents), ..line("1", "X", "", "", "", TIME) }).0;
        assert_eq!(cents(150), Kind::Purchase);
        assert_eq!(cents(-150), Kind::Cancellation);
        assert_eq!(cents(0), Kind::Free);
        assert_eq!(cents(i64::MAX), Kind::AbsurdAmount);
    }

    #[test]
    fn a_line_that_is_repeated_within_a_day_is_told() {
        let mut harness = Harness::process(2, Repetitions::key, || Repetitions);
        let one = line("1", "X", "7", "2", "1.5", TIME);
        let other = line("1", "X", "8", "2", "1.5", TIME);
        let time = 1_291_191_960_000;
        for line in [&one, &other, &one] {
            harness.push(time, line.clone());
        }
        harness.watermark(time);
        let mut out: Vec<(String, bool)> =
            harness.out().into_iter().map(|(line, repeated)| (line.invoice.unwrap(), repeated)).collect();
        out.sort();
        assert_eq!(out, [("7".into(), false), ("7".into(), true), ("8".into(), false)]);
        harness.watermark(time + REMEMBERED);
        harness.push(time + REMEMBERED, one);
        harness.watermark(time + REMEMBERED + 1);
        assert!(!harness.out()[0].1);
    }
}
