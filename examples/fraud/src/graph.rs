//! The graph from payments to features, in its two modes.
//!
//! ```text
//! payments ── by customer: 1, 7, 30 days ── by terminal: 1, 7, 30 days of labels ── features
//!                                                │
//! labels, known days later ──────────────────────┘
//! ```
//!
//! [`final_features`] gives each payment's features once, as they will for ever be: the training
//! set. [`current_features`] gives them in the payment's own epoch and corrects them as late
//! payments and labels come in, or are taken back: what serving needs. Where nothing comes late, both are the same.

use serde::{Deserialize, Serialize};
use tidemill::{Collection, Data, Key, Millis, Result, Stream, Update, differential_dataflow};
use tidemill_feature::{
    Answer, AskAtOnce, DAY, Role, Sliding, SlidingWindows, SlidingWindowsOfUpdates, Span, Ties, Windows,
};

use crate::features::Features;
use crate::transaction::Transaction;

/// A customer's windows, the current payment included, of the same second only those before it.
pub const CUSTOMER: Windows<3> = WIDTHS;

/// A day, a week, and 30 days.
pub const WIDTHS: Windows<3> = Windows::new([Span::last(DAY), Span::last(7 * DAY), Span::last(30 * DAY)]);

/// A terminal's windows over labels that become known `delay` days after the payment. Without a
/// delay they end just before the payment, for its own label is what is to be foretold.
fn terminal(delay_days: u64) -> Windows<3> {
    if delay_days > 0 {
        return WIDTHS.delayed(delay_days * DAY);
    }
    let before = |width| Span::last(width - 1).delayed(1);
    Windows::new([before(DAY), before(7 * DAY), before(30 * DAY)])
}

/// The same windows over labels as events, at the times they become known. A label that is known at once is so a
/// millisecond after its payment: see [`Payments::labels`](crate::input::Payments::labels).
fn known(delay_days: u64) -> Windows<3> {
    if delay_days > 0 {
        return WIDTHS;
    }
    let within = |width| Span::last(width - 1);
    Windows::new([within(DAY), within(7 * DAY), within(30 * DAY)])
}

/// That a payment was a fraud, or was not: an event of its own, at the time it becomes known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Label {
    /// The payment.
    pub payment: Transaction,
    /// When the label became known, in ms since 1970 UTC.
    pub known_at: i64,
}

/// What the graph must know of a payment to keep its windows.
pub trait Payment: Data + differential_dataflow::Data {
    /// Names where, or what for.
    type Terminal: Key;

    /// When, in ms since 1970 UTC.
    fn time_ms(&self) -> Millis;
    /// Where, or what for.
    fn terminal(&self) -> Self::Terminal;
}

/// What becomes known of a terminal: an event of its own, at the time it becomes known.
pub trait Verdict: Data {
    /// Names where.
    type Terminal: Key;

    /// What it is about.
    fn terminal(&self) -> Self::Terminal;
    /// Whether it is a bad one.
    fn bad(&self) -> bool;
    /// How many times more it is said than before: below 0 if it is taken back.
    fn diff(&self) -> isize {
        1
    }
}

impl<V: Verdict> Verdict for Update<V> {
    type Terminal = V::Terminal;

    fn terminal(&self) -> V::Terminal {
        self.row.terminal()
    }

    fn bad(&self) -> bool {
        self.row.bad()
    }

    fn diff(&self) -> isize {
        self.diff
    }
}

impl Payment for Transaction {
    type Terminal = u32;

    fn time_ms(&self) -> Millis {
        Transaction::time_ms(self)
    }

    fn terminal(&self) -> u32 {
        self.terminal
    }
}

impl Verdict for Label {
    type Terminal = u32;

    fn terminal(&self) -> u32 {
        self.payment.terminal
    }

    fn bad(&self) -> bool {
        self.payment.fraud
    }
}

/// Each payment's features, once, when the watermark has passed it. A payment's label counts for
/// its terminal `label_delay_days` later.
pub fn final_features(payments: Stream<'_, Transaction>, label_delay_days: u64) -> Result<Stream<'_, Features>> {
    let cents = |payment: &Transaction| Role::Both([i64::from(payment.cents)]);
    let frauds = |(payment, _): &(Transaction, _)| Role::Both([i64::from(payment.fraud)]);
    let customers =
        payments.key_by(|payment| payment.customer).finals("customer windows", Sliding::new(CUSTOMER, cents))?;
    let terminals = (customers.0)
        .key_by(|(payment, _)| payment.terminal)
        .finals("terminal windows", Sliding::new(terminal(label_delay_days), frauds))?;
    Ok(terminals.0.map(|((payment, customer), terminal)| features(&payment, &customer, &terminal)))
}

/// Each payment's features as they are known now: a row from the payment's own epoch on, until
/// `keep_days` of event time later, corrected by late payments and by labels as they come, which become known
/// `label_delay_days` after their payments. A payment or a label that is taken back was never there.
pub fn current_features<'s>(
    payments: Stream<'s, Update<Transaction>>,
    labels: Stream<'s, Update<Label>>,
    label_delay_days: u64,
    keep_days: u64,
) -> Result<Collection<'s, Features>> {
    let customers = CUSTOMER.lateness(keep_days * DAY);
    let cents = |payment: &Transaction| Role::Both([i64::from(payment.cents)]);
    let by_customer = payments.key_by(|payment| payment.row.customer);
    let (rows, _late) = by_customer.updates_at_once("customer windows", Sliding::new(customers, cents))?;
    let rows = terminal_windows(rows, labels, known(label_delay_days).lateness(keep_days * DAY))?;
    Ok(rows.map(|((payment, customer), terminal)| features(&payment, &customer, &terminal)))
}

/// Payments, each with something of its own, and the windows of its terminal: 1, 7 and 30 days of verdicts and of bad ones.
pub type WithTerminal<P, A> = ((P, A), Answer<1, 3>);

/// The terminal's part of [`current_features`], for payments and verdicts of any kind. A verdict that becomes known in
/// the very millisecond of a payment is known to it.
pub fn terminal_windows<'s, P, A, V>(
    rows: Collection<'s, (P, A)>,
    verdicts: Stream<'s, V>,
    windows: Windows<3>,
) -> Result<Collection<'s, WithTerminal<P, A>>>
where
    P: Payment,
    A: Data + differential_dataflow::Data,
    V: Verdict<Terminal = P::Terminal>,
{
    let (rows, _late) = rows.at_once(
        "terminal windows",
        |(payment, _)| (payment.terminal(), payment.time_ms()),
        verdicts.key_by(V::terminal),
        |verdict| ([i64::from(verdict.bad())], verdict.diff()),
        windows.ties(Ties::All),
    )?;
    Ok(rows)
}

fn features(payment: &Transaction, customer: &Answer<1, 3>, terminal: &Answer<1, 3>) -> Features {
    let Transaction { sec, customer: who, terminal: place, cents, .. } = *payment;
    let bare = Features { sec, customer: who, terminal: place, cents, ..Features::default() };
    let customer = customer.map(|window| (window.count as u32, window.sums[0] as u64));
    with_windows(bare, customer, terminal)
}

/// The features of a payment whose own fields are those of `bare`: its customer's payments and their cents in 1, 7 and 30
/// days, and its terminal's verdicts.
pub fn with_windows(bare: Features, customer: [(u32, u64); 3], terminal: &Answer<1, 3>) -> Features {
    let [c1, c7, c30] = customer;
    let [t1, t7, t30] = terminal.map(|window| (window.count as u32, window.sums[0] as u32));
    Features {
        c_n1: c1.0,
        c_s1: c1.1,
        c_n7: c7.0,
        c_s7: c7.1,
        c_n30: c30.0,
        c_s30: c30.1,
        t_n1: t1.0,
        t_f1: t1.1,
        t_n7: t7.0,
        t_f7: t7.1,
        t_n30: t30.0,
        t_f30: t30.1,
        ..bare
    }
}
