//! Alerts: the day's top cards with what moved their scores.

use serde::{Deserialize, Serialize};
use tidemill_inference::Score;

use crate::cards::Card;
use crate::serving::Reason;
use crate::transaction::START;

/// An alert, as it is written: one JSON line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Alert {
    /// The day, counted from the data set's first.
    pub day: u32,
    /// The rank of the card's score that day, from 1.
    pub rank: u32,
    /// The card: its customer.
    pub customer: u32,
    /// From 0 to 1.
    pub score: f64,
    /// When the payment was made, in ms since 1970 UTC.
    pub time: i64,
    /// Where it was made.
    pub terminal: u32,
    /// How much was paid, in cents.
    pub cents: u32,
    /// What moved the score, most first.
    pub reasons: Vec<Moved>,
}

/// One reason of an alert.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Moved {
    /// The reason's code.
    pub code: Reason,
    /// How much lower the score would be with this as in an ordinary payment.
    pub by: f64,
    /// What it looks like.
    pub detail: String,
}

/// Reasons an alert gives at most.
const REASONS: usize = 3;

/// A movement of the score below this is no reason.
const LEAST: f64 = 0.005;

impl Alert {
    /// An alert that has all there is: what a table of alerts is made for.
    pub fn example() -> Self {
        Alert { day: 0, rank: 1, customer: 0, score: 0.5, time: START, terminal: 0, cents: 100, reasons: Vec::new() }
    }

    /// The alert of a card, with the movements that its explainer gave.
    pub fn new(card: &Card, movements: &[Score]) -> Self {
        let payment = &card.payment;
        let mut moved: Vec<(Reason, f64)> = Reason::ALL
            .into_iter()
            .zip(movements.iter().map(|score| score.to_f64()))
            .filter(|(_, by)| *by >= LEAST)
            .collect();
        moved.sort_by(|a, b| b.1.total_cmp(&a.1));
        moved.truncate(REASONS);
        Alert {
            day: card.day,
            rank: card.rank,
            customer: payment.customer,
            score: card.score.to_f64(),
            time: START + i64::from(payment.sec) * 1000,
            terminal: payment.terminal,
            cents: payment.cents,
            reasons: moved.into_iter().map(|(code, by)| Moved { code, by, detail: code.describe(payment) }).collect(),
        }
    }
}
