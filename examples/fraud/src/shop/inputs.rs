//! What the autoencoder sees of a purchase: numbers of the benchmark's own features, long tails drawn in.

use serde::{Deserialize, Serialize};

use crate::features::{Features, WINDOW_INPUT_NAMES, window_inputs};
use crate::transaction::DAY;

/// How many numbers.
pub const INPUTS: usize = 18;

/// One number: its place among the [`window_inputs`], how it is drawn in, and what it speaks of.
struct Input {
    place: usize,
    scale: Scale,
    of: Reason,
}

#[derive(Clone, Copy)]
enum Scale {
    /// `ln(1 + x)`: counts and amounts, which range over orders of magnitude.
    Log,
    /// As it is: flags, and what is a logarithm already.
    Plain,
    /// `√x`: shares, most of which are 0 and few of which are large.
    Root,
}

/// In the order of [`window_inputs`], where a terminal stands for an item and a fraud for a cancellation.
const TABLE: [Input; INPUTS] = {
    use Reason::*;
    use Scale::*;
    const fn input(place: usize, scale: Scale, of: Reason) -> Input {
        Input { place, scale, of }
    }
    [
        input(0, Log, Amount),
        input(1, Plain, Time),
        input(2, Plain, Time),
        input(3, Log, Pace),
        input(4, Log, Amount),
        input(5, Log, Pace),
        input(6, Log, Amount),
        input(7, Log, Pace),
        input(8, Log, Amount),
        input(9, Log, ItemTraffic),
        input(10, Root, ItemCancellations),
        input(11, Log, ItemTraffic),
        input(12, Root, ItemCancellations),
        input(13, Log, ItemTraffic),
        input(14, Root, ItemCancellations),
        input(16, Plain, Amount),
        input(17, Plain, Amount),
        input(18, Plain, Amount),
    ]
};

/// The names of the [`inputs`], as the benchmark has them.
pub fn names() -> [&'static str; INPUTS] {
    std::array::from_fn(|at| WINDOW_INPUT_NAMES[TABLE[at].place])
}

/// What the autoencoder sees of a purchase.
pub fn inputs(features: &Features) -> [f32; INPUTS] {
    let all = window_inputs(features);
    std::array::from_fn(|at| {
        let Input { place, scale, .. } = TABLE[at];
        match scale {
            Scale::Log => all[place].ln_1p(),
            Scale::Plain => all[place],
            Scale::Root => all[place].sqrt(),
        }
    })
}

/// What is unusual about a purchase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// How much the line is, for anybody and for this customer, and how much the customer's lines are as a rule.
    Amount,
    /// How many lines the customer has bought lately.
    Pace,
    /// How often the item was cancelled.
    ItemCancellations,
    /// How often the item was sold.
    ItemTraffic,
    /// The time of day and week.
    Time,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 5] =
        [Reason::Amount, Reason::Pace, Reason::ItemCancellations, Reason::ItemTraffic, Reason::Time];

    /// The parts of this reason in the numbers of one row, which come in the order of the [`inputs`].
    pub fn parts(self, row: &[f64]) -> impl Iterator<Item = (usize, f64)> {
        let parts = row.iter().copied().enumerate();
        parts.filter(move |(at, _)| TABLE.get(*at).is_some_and(|input| input.of == self))
    }

    /// What it looks like in a purchase, beside what the autoencoder `expected` of the inputs (in their order and scale).
    pub fn describe(self, features: &Features, expected: &[f32]) -> String {
        let expected = |place: usize| {
            let found = TABLE.iter().zip(expected).find(|(input, _)| input.place == place);
            found.map_or(0.0, |(input, expected)| match input.scale {
                Scale::Log => f64::from(*expected).exp_m1().max(0.0),
                Scale::Plain => f64::from(*expected),
                Scale::Root => f64::from(expected.max(0.0)).powi(2),
            })
        };
        let Features { sec, c_n1, c_n7, c_n30, c_s30, t_n1, t_f1, t_n7, t_f7, t_n30, t_f30, .. } = *features;
        match self {
            Reason::Amount => {
                let line = format!("a line of {:.2} (about {:.2} expected)", features.amount(), expected(0));
                let mean = expected(8);
                match c_n30 {
                    0 | 1 => format!("{line}, the customer's only one in 30 days"),
                    _ => format!(
                        "{line}; with it the customer's {c_n30} lines of 30 days are {:.2} on average ({mean:.2} expected), \
                         without it {:.2}",
                        features.customer_mean_30d(),
                        (c_s30 as f64 / 100.0 - features.amount()) / f64::from(c_n30 - 1)
                    ),
                }
            }
            Reason::Pace => format!(
                "the customer's lines: {c_n1} in a day (about {:.0} expected), {c_n7} in 7 ({:.0}), {c_n30} in 30 ({:.0})",
                expected(3),
                expected(5),
                expected(7)
            ),
            Reason::ItemCancellations => format!(
                "cancellations among the item's lines: {t_f1} of {t_n1} in a day ({:.0} % expected), \
                 {t_f7} of {t_n7} in 7 ({:.0} %), {t_f30} of {t_n30} in 30 ({:.0} %)",
                100.0 * expected(10),
                100.0 * expected(12),
                100.0 * expected(14)
            ),
            Reason::ItemTraffic => format!(
                "the item's lines: {t_n1} in a day (about {:.0} expected), {t_n7} in 7 ({:.0}), {t_n30} in 30 ({:.0})",
                expected(9),
                expected(11),
                expected(13)
            ),
            Reason::Time => {
                let day = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
                let (day, hour) = (day[(sec / DAY % 7) as usize], sec % DAY / 3600);
                format!("bought on a {day} at {hour} o'clock")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::WINDOW_INPUTS;

    #[test]
    fn every_input_is_what_its_name_says() {
        let names = names();
        let scales = TABLE.map(|input| matches!(input.scale, Scale::Log));
        for (at, name) in names.iter().enumerate() {
            let counted = name.contains("_count_") || name.contains("_mean_") || *name == "amount";
            assert_eq!(scales[at], counted, "{name}");
            let reason = match name.split('_').next().unwrap_or_default() {
                "amount" => Reason::Amount,
                "weekend" | "night" => Reason::Time,
                "customer" if name.contains("count") => Reason::Pace,
                "customer" => Reason::Amount,
                _ if name.contains("count") => Reason::ItemTraffic,
                _ => Reason::ItemCancellations,
            };
            assert_eq!(TABLE[at].of, reason, "{name}");
        }
        assert!(TABLE.iter().all(|input| input.place < WINDOW_INPUTS));
        let features = Features { cents: 1250, c_n1: 1, c_s1: 1250, t_n7: 4, t_f7: 1, ..Features::default() };
        let inputs = inputs(&features);
        let close = |at: usize, value: f32| assert!((inputs[at] - value).abs() < 1e-6, "{}: {}", names[at], inputs[at]);
        close(0, 13.5f32.ln());
        close(3, 2f32.ln());
        close(11, 5f32.ln());
        close(12, 0.5);
    }

    #[test]
    fn parts_of_all_reasons_are_the_whole() {
        let row: Vec<f64> = (0..INPUTS).map(|at| at as f64).collect();
        let mut all: Vec<(usize, f64)> = Reason::ALL.iter().flat_map(|reason| reason.parts(&row)).collect();
        all.sort_by_key(|(at, _)| *at);
        assert!(all.iter().enumerate().all(|(place, (at, value))| place == *at && *value == *at as f64));
        assert_eq!(all.len(), INPUTS);
    }

    #[test]
    fn reasons_say_what_was_expected() {
        let features =
            Features { cents: 7_718_360, c_n30: 2, c_s30: 7_718_460, t_n7: 4, t_f7: 1, ..Features::default() };
        let mut expected = [0.0; INPUTS];
        expected[0] = 101.0f32.ln();
        let text = Reason::Amount.describe(&features, &expected);
        assert_eq!(
            text,
            "a line of 77183.60 (about 100.00 expected); with it the customer's 2 lines of 30 days are 38592.30 on average \
             (0.00 expected), without it 1.00"
        );
        expected[12] = 0.1;
        let text = Reason::ItemCancellations.describe(&features, &expected);
        assert!(text.contains("1 of 4 in 7 (1 %)"), "{text}");
        assert_eq!(Reason::Time.describe(&features, &expected), "bought on a Sunday at 0 o'clock");
    }
}
