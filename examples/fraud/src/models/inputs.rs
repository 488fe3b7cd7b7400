//! What a network sees of a payment.

use serde::{Deserialize, Serialize};

use crate::features::{Features, INPUT_NAMES, WINDOW_INPUT_NAMES, WINDOW_INPUTS, window_inputs};

/// How many inputs there are in all: those from the windows, and two from the customer's earlier payments.
pub const ALL_INPUTS: usize = WINDOW_INPUTS + 2;

/// The names of all inputs, in order: first those of the windows, of which the first 15 are the handbook's.
pub const ALL_INPUT_NAMES: [&str; ALL_INPUTS] = {
    let mut names = [""; ALL_INPUTS];
    let (windows, ours) = names.split_at_mut(WINDOW_INPUTS);
    windows.copy_from_slice(&WINDOW_INPUT_NAMES);
    ours.copy_from_slice(&["amount_deviations", "largest_ratio_14d_log"]);
    names
};

/// Which inputs a model sees; each is a prefix of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inputs {
    /// The handbook's 15 ([`inputs`](crate::features::inputs)).
    Handbook,
    /// Nine more from the same windows ([`window_inputs`]).
    Windows,
    /// Two more from the customer's last 32 payments ([`History`](super::History)).
    All,
}

impl Inputs {
    /// The inputs' names, in order.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Handbook => &INPUT_NAMES,
            Self::Windows => &WINDOW_INPUT_NAMES,
            Self::All => &ALL_INPUT_NAMES,
        }
    }

    /// How many they are.
    pub fn count(self) -> usize {
        self.names().len()
    }

    /// Those with these names.
    pub fn named(names: &[String]) -> Option<Self> {
        [Self::Handbook, Self::Windows, Self::All].into_iter().find(|inputs| inputs.names() == names)
    }
}

/// What a customer's earlier payments say about one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usual {
    /// How many of their deviations the amount is above what they usually are.
    pub deviations: f64,
    /// The largest of the last two weeks' amounts to what they usually are, before this payment.
    pub largest_ratio: f64,
}

/// All inputs of a payment.
pub(super) fn all(features: &Features, usual: Usual) -> [f32; ALL_INPUTS] {
    let mut all = [0.0; ALL_INPUTS];
    all[..WINDOW_INPUTS].copy_from_slice(&window_inputs(features));
    all[WINDOW_INPUTS] = usual.deviations as f32;
    all[WINDOW_INPUTS + 1] = usual.largest_ratio.max(1.0).ln() as f32;
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::INPUTS;

    #[test]
    fn each_set_begins_with_the_one_before() {
        assert_eq!(Inputs::Windows.names()[..INPUTS], INPUT_NAMES);
        assert_eq!(Inputs::All.names()[..WINDOW_INPUTS], WINDOW_INPUT_NAMES);
        let names: Vec<String> = ALL_INPUT_NAMES.map(String::from).to_vec();
        assert_eq!(Inputs::named(&names), Some(Inputs::All));
        assert_eq!(Inputs::named(&names[..INPUTS]), Some(Inputs::Handbook));
        assert_eq!(Inputs::named(&names[1..]), None);
    }
}
