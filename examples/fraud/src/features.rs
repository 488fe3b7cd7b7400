//! What a payment's history says about it, and the numbers a model sees of that.

use serde::{Deserialize, Serialize};

use crate::transaction::DAY;

/// The seconds that a payment's label takes to become known, in the handbook.
pub const LABEL_DELAY: u32 = 7 * DAY;

/// The widths in seconds of the windows behind [`Features`], narrowest first.
pub const WIDTHS: [u32; 3] = [DAY, 7 * DAY, 30 * DAY];

/// How many numbers a model sees of a payment.
pub const INPUTS: usize = 15;

/// The names of the [`inputs`], in order.
pub const INPUT_NAMES: [&str; INPUTS] = [
    "amount",
    "weekend",
    "night",
    "customer_count_1d",
    "customer_mean_1d",
    "customer_count_7d",
    "customer_mean_7d",
    "customer_count_30d",
    "customer_mean_30d",
    "terminal_count_1d",
    "terminal_risk_1d",
    "terminal_count_7d",
    "terminal_risk_7d",
    "terminal_count_30d",
    "terminal_risk_30d",
];

/// A payment and the windows over its customer's and its terminal's payments: one line of the
/// features file, whose columns are these fields in this order.
///
/// With `t` the payment's second and `w` a width, a customer's window is `(t - w, t]`, up to the
/// payment and with it: of the same second only earlier payments count, in the order of (sec,
/// customer, terminal, cents). A terminal's is `(t - d - w, t - d]`, where `d` is the
/// [delay of labels](LABEL_DELAY).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Features {
    /// When: seconds since [`START`](crate::transaction::START).
    pub sec: u32,
    /// Who paid.
    pub customer: u32,
    /// Where the card was used.
    pub terminal: u32,
    /// How much, in hundredths of the currency unit.
    pub cents: u32,
    /// The customer's payments in one day.
    pub c_n1: u32,
    /// The cents of the customer's payments in one day.
    pub c_s1: u64,
    /// The customer's payments in 7 days.
    pub c_n7: u32,
    /// The cents of the customer's payments in 7 days.
    pub c_s7: u64,
    /// The customer's payments in 30 days.
    pub c_n30: u32,
    /// The cents of the customer's payments in 30 days.
    pub c_s30: u64,
    /// The terminal's payments in one day, delayed.
    pub t_n1: u32,
    /// The terminal's frauds in one day, delayed.
    pub t_f1: u32,
    /// The terminal's payments in 7 days, delayed.
    pub t_n7: u32,
    /// The terminal's frauds in 7 days, delayed.
    pub t_f7: u32,
    /// The terminal's payments in 30 days, delayed.
    pub t_n30: u32,
    /// The terminal's frauds in 30 days, delayed.
    pub t_f30: u32,
}

impl Features {
    /// The amount in currency units.
    pub fn amount(&self) -> f64 {
        f64::from(self.cents) / 100.0
    }

    /// The customer's mean amount of 30 days in currency units.
    pub fn customer_mean_30d(&self) -> f64 {
        mean(self.c_s30, self.c_n30) / 100.0
    }

    /// The share of frauds among the terminal's payments of 7 days, delayed; 0 if there are none.
    pub fn terminal_risk_7d(&self) -> f64 {
        mean(u64::from(self.t_f7), self.t_n7)
    }
}

/// The handbook's 15 model inputs, not standardised (chapter 3, "Baseline feature
/// transformation"): amount in currency units; weekend and night as 0 or 1; the customer's count
/// and mean amount over 1, 7 and 30 days; the terminal's count and share of frauds over the same.
///
/// Night is hour 0 to 6 inclusive, as the handbook computes it (its text says "before 6am").
pub fn inputs(features: &Features) -> [f32; INPUTS] {
    let Features { sec, c_n1, c_s1, c_n7, c_s7, c_n30, c_s30, .. } = *features;
    let Features { t_n1, t_f1, t_n7, t_f7, t_n30, t_f30, .. } = *features;
    // The data set starts on a Sunday, so its day 6 is a Saturday.
    let weekend = matches!(sec / DAY % 7, 0 | 6);
    let night = sec % DAY / 3600 <= 6;
    let exact = [
        features.amount(),
        f64::from(u8::from(weekend)),
        f64::from(u8::from(night)),
        f64::from(c_n1),
        mean(c_s1, c_n1) / 100.0,
        f64::from(c_n7),
        mean(c_s7, c_n7) / 100.0,
        f64::from(c_n30),
        mean(c_s30, c_n30) / 100.0,
        f64::from(t_n1),
        mean(u64::from(t_f1), t_n1),
        f64::from(t_n7),
        mean(u64::from(t_f7), t_n7),
        f64::from(t_n30),
        mean(u64::from(t_f30), t_n30),
    ];
    exact.map(|input| input as f32)
}

/// The names of the [`window_inputs`], in order: the handbook's, and nine more.
pub const WINDOW_INPUT_NAMES: [&str; WINDOW_INPUTS] = [
    "amount",
    "weekend",
    "night",
    "customer_count_1d",
    "customer_mean_1d",
    "customer_count_7d",
    "customer_mean_7d",
    "customer_count_30d",
    "customer_mean_30d",
    "terminal_count_1d",
    "terminal_risk_1d",
    "terminal_count_7d",
    "terminal_risk_7d",
    "terminal_count_30d",
    "terminal_risk_30d",
    "amount_log",
    "amount_to_others_30d",
    "amount_to_others_7d",
    "customer_others_30d_log",
    "terminal_frauds_1d_log",
    "terminal_frauds_7d_log",
    "terminal_frauds_30d_log",
    "terminal_risk_8d_to_30d",
    "terminal_risk_2d_to_7d",
];

/// How many [`window_inputs`] there are.
pub const WINDOW_INPUTS: usize = INPUTS + 9;

/// The handbook's inputs and nine more from the same windows: the logarithm of the amount; of its
/// ratio to the mean of the customer's *other* payments of 30 and 7 days, and of that mean; the
/// logarithms of the terminal's counts of frauds; and its share of frauds in the older part of
/// the 30 and of the 7 days. Amounts are in currency units, and 1 is added before logarithms.
pub fn window_inputs(features: &Features) -> [f32; WINDOW_INPUTS] {
    let Features { cents, c_s7, c_n7, c_s30, c_n30, t_n1, t_f1, t_n7, t_f7, t_n30, t_f30, .. } = *features;
    let amount = features.amount();
    let others = |sum: u64, count: u32| match count {
        0 | 1 => features.customer_mean_30d(),
        _ => mean(sum - u64::from(cents), count - 1) / 100.0,
    };
    let ratio = |mean: f64| ((amount + 1.0) / (mean + 1.0)).ln();
    let (others_30d, others_7d) = (others(c_s30, c_n30), others(c_s7, c_n7));
    let more = [
        amount.ln_1p(),
        ratio(others_30d),
        ratio(others_7d),
        others_30d.ln_1p(),
        f64::from(t_f1).ln_1p(),
        f64::from(t_f7).ln_1p(),
        f64::from(t_f30).ln_1p(),
        mean(u64::from(t_f30.saturating_sub(t_f7)), t_n30.saturating_sub(t_n7)),
        mean(u64::from(t_f7.saturating_sub(t_f1)), t_n7.saturating_sub(t_n1)),
    ];
    let mut all = [0.0; WINDOW_INPUTS];
    all[..INPUTS].copy_from_slice(&inputs(features));
    all[INPUTS..].copy_from_slice(&more.map(|input| input as f32));
    all
}

/// `sum / count`, or 0 of nothing.
fn mean(sum: u64, count: u32) -> f64 {
    if count == 0 { 0.0 } else { sum as f64 / f64::from(count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Features = Features {
        sec: 6 * DAY + 6 * 3600 + 3599,
        customer: 1,
        terminal: 2,
        cents: 1250,
        c_n1: 1,
        c_s1: 1250,
        c_n7: 2,
        c_s7: 2000,
        c_n30: 4,
        c_s30: 5000,
        t_n1: 0,
        t_f1: 0,
        t_n7: 4,
        t_f7: 1,
        t_n30: 8,
        t_f30: 6,
    };

    #[test]
    fn inputs_of_a_row() {
        assert_eq!(inputs(&ROW), [12.5, 1.0, 1.0, 1.0, 12.5, 2.0, 10.0, 4.0, 12.5, 0.0, 0.0, 4.0, 0.25, 8.0, 0.75]);
    }

    #[test]
    fn more_inputs_of_the_same_windows() {
        let more = window_inputs(&ROW);
        assert_eq!(more[..INPUTS], inputs(&ROW));
        let close =
            |at: usize, value: f64| assert!((f64::from(more[at]) - value).abs() < 1e-6, "input {at}: {}", more[at]);
        close(INPUTS, 13.5f64.ln());
        close(INPUTS + 1, (13.5f64 / 13.5).ln()); // the three others of 30 days: 37.50
        close(INPUTS + 2, (13.5f64 / 8.5).ln()); // the other one of 7 days: 7.50
        close(INPUTS + 7, 5.0 / 4.0); // five frauds among four payments cannot be; the sum shows the parts
        close(INPUTS + 8, 0.25);
    }

    #[test]
    fn weekends_and_nights() {
        let at = |sec| {
            let inputs = inputs(&Features { sec, ..ROW });
            (inputs[1], inputs[2])
        };
        assert_eq!(at(0), (1.0, 1.0), "Sunday, midnight");
        assert_eq!(at(DAY - 1), (1.0, 0.0), "Sunday, the last second");
        assert_eq!(at(DAY), (0.0, 1.0), "Monday, midnight");
        assert_eq!(at(6 * DAY - 1), (0.0, 0.0), "Friday, the last second");
        assert_eq!(at(6 * DAY + 7 * 3600), (1.0, 0.0), "Saturday, 7 o'clock");
    }
}
