//! Purchases as payments, and what becomes known of them.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tidemill::differential_dataflow::consolidation::consolidate;
use tidemill::time::{END, days};
use tidemill::{
    Closing, Emit, Kernel, Keys, Millis, Order, Record, Reject, Result, Save, Saved, Seq, StateError, Stream, Timers,
    Update, type_name,
};
use tidemill_shop::{Action, ShopEvent};

use fraud::graph::Label;
use fraud::transaction::{START, Transaction};

/// A payment is known to be a fraud, or not to be one, so many days later.
pub const LABEL_DELAY: u64 = 7;

/// For so many days a payment's score is kept, and corrected as labels come; one that is later is not scored.
pub const SCORED: u64 = 2;

/// What is older counts for no score any more: it is past the widest window.
pub const COUNTS: Millis = days((LABEL_DELAY + 30 + SCORED) as i64);

/// Which item of which order.
pub type Place = (u64, u64);

/// What a user did that bears on payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paid {
    /// Who.
    pub user: u64,
    /// What.
    pub of: Of,
}

/// What happens to a user's payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Of {
    /// One is made.
    Made(Place, Transaction),
    /// One was a fraud.
    ChargedBack(Place),
    /// All there were until now go.
    Forgotten,
}

/// Whether an event bears on payments.
fn is_of_payments(action: &Action) -> bool {
    matches!(action, Action::Purchase { .. } | Action::Chargeback { .. } | Action::Forget)
}

/// What an event says of payments. The payment for a line of an order has the user for its customer and the item for its
/// terminal.
///
/// # Errors
///
/// It is not about a payment, or does not fit the fraud example's numbers: seconds since 2018-04-01, and 32 bits.
pub fn of(time: Millis, event: &ShopEvent) -> std::result::Result<Paid, Reject> {
    let of = match event.action {
        Action::Forget => Of::Forgotten,
        Action::Chargeback { order, item } => Of::ChargedBack((order, item)),
        Action::Purchase { order, item, quantity, cents } => {
            let payment = payment(time, event.user, item, cents.checked_mul(quantity.into()));
            let unfit = || {
                Reject::new("fraud scores are for payments from 2018-04-01 on, of users, items and cents below 2^32")
            };
            Of::Made((order, item), payment.ok_or_else(unfit)?)
        }
        _ => return Err(Reject::new("it is not about a payment")),
    };
    Ok(Paid { user: event.user, of })
}

fn payment(time: Millis, user: u64, item: u64, cents: Option<i64>) -> Option<Transaction> {
    let sec = u32::try_from((time - START) / 1000).ok()?;
    let (customer, terminal) = (u32::try_from(user).ok()?, u32::try_from(item).ok()?);
    Some(Transaction { sec, customer, terminal, cents: u32::try_from(cents?).ok()?, fraud: false, scenario: 0 })
}

/// Payments, and verdicts: what has become known of each [`LABEL_DELAY`] days later. Both are taken back when their user is
/// forgotten, and a verdict when a chargeback comes late that changes it.
pub struct Payments<'s> {
    /// Payments, as they are made.
    pub made: Stream<'s, Update<Transaction>>,
    /// Whether each was a fraud: whether it had been charged back by then.
    pub verdicts: Stream<'s, Update<Label>>,
}

/// The payments among what users do, each of which can be taken back until it is `keep` ms old. Payments and chargebacks that come more
/// than [`SCORED`] days late count for nothing; a wish to be forgotten always does. An event that does not fit the fraud example's
/// numbers (seconds since 2018-04-01, and 32 bits) goes to the dead-letter stream.
///
/// # Errors
///
/// [`tidemill::Error::Graph`] if a name is taken.
pub fn payments<'s>(events: &Stream<'s, ShopEvent>, keep: Millis) -> Result<Payments<'s>> {
    let timed = events.clone().with_times().filter(|(_, event)| is_of_payments(&event.action));
    let paid = timed.try_map("payments", |(time, event)| of(*time, event))?;
    let delay = days(LABEL_DELAY as i64);
    let kernel = PaymentsKernel::new(delay, days(SCORED as i64), keep);
    let (said, _late) = paid.key_by(|paid| paid.user).kernel("payments and verdicts", kernel)?;
    let (made, verdicts) = said.split_map(|Update { row, diff }| match row {
        Said::Made(row) => (Some(Update { row, diff }), None),
        Said::Verdict(row) => (None, Some(Update { row, diff })),
    });
    Ok(Payments { made, verdicts })
}

/// What the operator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Said {
    Made(Transaction),
    Verdict(Label),
}

/// A payment that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Kept {
    time: Millis,
    seq: Seq,
    place: Place,
    payment: Transaction,
    /// What was said of it.
    verdict: Option<Label>,
}

impl Kept {
    /// When its verdict is known: so long after the whole second that the payment has for its time.
    fn known_at(&self, delay: Millis) -> Millis {
        self.payment.time_ms() + delay
    }
}

/// What is known of one user.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Account {
    paid: Vec<Kept>,
    charged: Vec<(Millis, Place)>,
    /// The latest wish to be forgotten.
    forgotten: Option<Millis>,
}

/// What an epoch says of a user, with its time and place: what is taken back has the same as when it was said.
type Changes = Vec<((Millis, Seq, Said), isize)>;

impl Account {
    /// Takes an event, and whether it could be.
    fn take(&mut self, time: Millis, seq: Seq, of: Of, oldest: Millis, changes: &mut Changes) -> bool {
        if time < oldest && of != Of::Forgotten || self.forgotten.is_some_and(|wish| time <= wish) {
            return false;
        }
        match of {
            Of::Made(place, payment) => {
                self.paid.push(Kept { time, seq, place, payment, verdict: None });
                changes.push(((time, seq, Said::Made(payment)), 1));
            }
            Of::ChargedBack(place) => self.charged.push((time, place)),
            Of::Forgotten => {
                self.forgotten = Some(time);
                for Kept { time, seq, payment, verdict, .. } in self.paid.extract_if(.., |kept| kept.time <= time) {
                    changes.push(((time, seq, Said::Made(payment)), -1));
                    changes.extend(verdict.map(|label| ((label.known_at, seq, Said::Verdict(label)), -1)));
                }
                self.charged.retain(|(charged, _)| *charged > time);
            }
        }
        true
    }

    /// Says what has become known by `now`, and what else if a chargeback has come late.
    fn judge(&mut self, now: Millis, delay: Millis, changes: &mut Changes) {
        let Account { paid, charged, .. } = self;
        for kept in paid.iter_mut().filter(|kept| kept.known_at(delay) <= now) {
            let known_at = kept.known_at(delay);
            let fraud =
                charged.iter().any(|(time, place)| *place == kept.place && (kept.time..known_at).contains(time));
            let label = Label { payment: Transaction { fraud, ..kept.payment }, known_at };
            if kept.verdict == Some(label) {
                continue;
            }
            if let Some(said) = kept.verdict.replace(label) {
                changes.push(((known_at, kept.seq, Said::Verdict(said)), -1));
            }
            changes.push(((known_at, kept.seq, Said::Verdict(label)), 1));
        }
    }

    /// Drops what is older than `oldest`.
    fn expire(&mut self, oldest: Millis) {
        self.paid.retain(|kept| kept.time >= oldest);
        self.charged.retain(|(time, _)| *time >= oldest);
        self.forgotten = self.forgotten.filter(|wish| *wish >= oldest);
    }

    /// When it is to be looked at next by the watermark alone; `None` if nothing is known.
    fn due(&self, delay: Millis, keep: Millis) -> Option<Millis> {
        let judged = self.paid.iter().filter(|kept| kept.verdict.is_none()).map(|kept| kept.known_at(delay));
        let times = self.paid.iter().map(|kept| kept.time).chain(self.charged.iter().map(|charged| charged.0));
        judged.chain(times.chain(self.forgotten).map(|time| time + keep + 1)).min()
    }
}

/// One worker's users. Of payments that are later than `late` ms the windows of scores would know nothing, nor does this.
struct PaymentsKernel {
    delay: Millis,
    late: Millis,
    keep: Millis,
    users: Keys<u64, Account>,
    due: Timers<u64>,
    epoch: FxHashMap<u64, Vec<Record<Paid>>>,
}

type Emitted = Emit<Paid, Record<Update<Said>>>;

impl PaymentsKernel {
    fn new(delay: Millis, late: Millis, keep: Millis) -> Self {
        PaymentsKernel { delay, late, keep, users: Keys::new(), due: Timers::default(), epoch: FxHashMap::default() }
    }

    fn update(&mut self, user: u64, mut events: Vec<Record<Paid>>, at: Closing, emit: &mut Emitted) {
        let account = self.users.get_or_default(user);
        let mut changes = Changes::new();
        events.sort_by_key(|record| (record.time, record.seq));
        let oldest = at.before.saturating_sub(self.late);
        for record in events {
            if !account.take(record.time, record.seq, record.value.of, oldest, &mut changes) {
                emit.late.push(record);
            }
        }
        account.judge(at.after, self.delay, &mut changes);
        // The end of the input makes nothing old.
        if at.after < END {
            account.expire(at.after.saturating_sub(self.keep));
        }
        match account.due(self.delay, self.keep) {
            Some(due) => self.due.set(due, user),
            None => _ = self.users.remove(&user),
        }
        consolidate(&mut changes);
        let update = |((time, seq, row), diff)| Record { time, seq, value: Update { row, diff } };
        emit.out.extend(changes.into_iter().map(update));
    }
}

impl Kernel for PaymentsKernel {
    type In = Paid;
    type Out = Record<Update<Said>>;

    fn kind(&self) -> String {
        format!("payments, and verdicts after {} ms", self.delay)
    }

    fn state(&self) -> String {
        type_name::<Account>()
    }

    fn order(&self) -> Order {
        Order::Any
    }

    fn records(&mut self, _: Closing, records: &mut Vec<Record<Paid>>, _: &mut Emitted) {
        for record in records.drain(..) {
            self.epoch.entry(record.value.user).or_default().push(record);
        }
    }

    fn settle(&mut self, at: Closing, emit: &mut Emitted) {
        for (user, events) in std::mem::take(&mut self.epoch) {
            self.update(user, events, at, emit);
        }
        for user in self.due.due(at.after) {
            if self.users.get(&user).is_some() {
                self.update(user, Vec::new(), at, emit);
            }
        }
    }

    fn save(&mut self, save: &mut Save) {
        self.users.save(save);
    }

    fn load(&mut self, _: Closing, entry: Saved<'_>, _: &mut Emitted) -> std::result::Result<(), StateError> {
        let (user, account) = self.users.load(entry)?;
        if let Some(due) = account.due(self.delay, self.keep) {
            self.due.set(due, user);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tidemill::harness::Harness;

    const DELAY: Millis = 20_000;
    const LATE: Millis = 10_000;
    const KEEP: Millis = 200_000;

    fn harness(workers: usize) -> Harness<PaymentsKernel> {
        Harness::kernel(workers, |paid: &Paid| paid.user, || PaymentsKernel::new(DELAY, LATE, KEEP))
    }

    fn made(user: u64, sec: u32, order: u64, cents: u32) -> (Millis, Paid) {
        let payment = Transaction { sec, customer: user as u32, terminal: 5, cents, fraud: false, scenario: 0 };
        (payment.time_ms(), Paid { user, of: Of::Made((order, 5), payment) })
    }

    fn verdicts(harness: &mut Harness<PaymentsKernel>) -> Vec<(u32, bool, isize)> {
        let verdict = |Update { row, diff }| match row {
            Said::Verdict(label) => Some((label.payment.cents, label.payment.fraud, diff)),
            Said::Made(_) => None,
        };
        let mut verdicts: Vec<_> = harness.out().into_iter().filter_map(verdict).collect();
        verdicts.sort();
        verdicts
    }

    #[test]
    fn a_payment_is_a_fraud_if_it_was_charged_back_within_the_delay() {
        let mut harness = harness(2);
        for (order, charged) in [(1, None), (2, Some(DELAY - 1)), (3, Some(DELAY + 1))] {
            let (at, paid) = made(order, 10, order, order as u32);
            harness.push(at, paid);
            if let Some(after) = charged {
                harness.push(at + after, Paid { user: order, of: Of::ChargedBack((order, 5)) });
            }
        }
        harness.watermark(START + 10_000 + DELAY - 1);
        assert_eq!(verdicts(&mut harness), []);
        harness.watermark(START + 10_000 + DELAY);
        assert_eq!(verdicts(&mut harness), [(1, false, 1), (2, true, 1), (3, false, 1)]);
    }

    #[test]
    fn each_line_of_an_order_has_its_verdict() {
        let mut harness = harness(1);
        for (sec, cents) in [(10, 100), (10, 200), (12, 300)] {
            let (at, paid) = made(1, sec, 1, cents);
            harness.push(at, paid);
        }
        harness.push(START + 11_000, Paid { user: 1, of: Of::ChargedBack((1, 5)) });
        harness.watermark(START + 100_000);
        let expected = [(100, true, 1), (200, true, 1), (300, false, 1)];
        assert_eq!(verdicts(&mut harness), expected, "the last was made after the chargeback");
    }

    /// What is true of all that was said in time: payments, and verdicts that are known.
    fn oracle(events: &[(Millis, Paid)], watermark: Millis) -> BTreeMap<Said, isize> {
        let mut rows = BTreeMap::new();
        for (time, Paid { user, of }) in events {
            let Of::Made(place, payment) = *of else { continue };
            let of_user = |other: &&(Millis, Paid)| other.1.user == *user;
            let known_at = time + DELAY;
            let fraud = events
                .iter()
                .filter(of_user)
                .any(|(charged, paid)| paid.of == Of::ChargedBack(place) && charged >= time && *charged < known_at);
            *rows.entry(Said::Made(payment)).or_insert(0) += 1;
            if known_at <= watermark {
                let label = Label { payment: Transaction { fraud, ..payment }, known_at };
                *rows.entry(Said::Verdict(label)).or_insert(0) += 1;
            }
        }
        rows
    }

    fn event() -> impl Strategy<Value = (i64, u64, u8, u64, u32)> {
        (-15i64..6, 1u64..4, 0u8..9, 0u64..2, 1u32..4)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn what_is_said_is_of_those_who_are_not_forgotten(
            epochs in prop::collection::vec((prop::collection::vec(event(), 0..8), 0i64..12), 1..12),
            workers in 1usize..4, cut in 0usize..12, after in 1usize..4,
        ) {
            let mut harness = harness(workers);
            let (mut events, mut rows, mut now) = (Vec::<(Millis, Paid)>::new(), BTreeMap::<Said, isize>::new(), 100);
            let mut wishes = BTreeMap::<u64, Millis>::new();
            for (epoch, (batch, step)) in epochs.into_iter().enumerate() {
                let mut batch: Vec<_> = batch.into_iter().map(|(offset, user, kind, order, cents)| {
                    let (time, paid) = made(user, (now + offset) as u32, order, cents);
                    match kind {
                        0..5 => (time, paid),
                        5..8 => (time, Paid { user, of: Of::ChargedBack((order, 5)) }),
                        _ => (time, Paid { user, of: Of::Forgotten }),
                    }
                }).collect();
                batch.iter().for_each(|(time, paid)| harness.push(*time, *paid));
                // The first epoch begins without a watermark.
                let oldest = if epoch == 0 { Millis::MIN } else { START + now * 1_000 - LATE };
                now += step;
                harness.watermark(START + now * 1_000);
                batch.sort_by_key(|event| event.0);
                for (time, paid) in batch {
                    let late = time < oldest && paid.of != Of::Forgotten;
                    if late || wishes.get(&paid.user).is_some_and(|wish| time <= *wish) {
                        continue;
                    }
                    if paid.of == Of::Forgotten {
                        wishes.insert(paid.user, time);
                        events.retain(|(at, other)| other.user != paid.user || *at > time);
                    } else {
                        events.push((time, paid));
                    }
                }
                for Update { row, diff } in harness.out() {
                    *rows.entry(row).or_insert(0) += diff;
                }
                rows.retain(|_, count| *count != 0);
                prop_assert_eq!(&rows, &oracle(&events, START + now * 1_000));
                if epoch == cut {
                    prop_assert_eq!(harness.restore(after).unwrap(), vec![]);
                }
            }
            harness.watermark(START + now * 1_000 + KEEP + 20_000);
            prop_assert!(harness.is_empty(), "users of whom nothing is known are kept");
        }
    }
}
