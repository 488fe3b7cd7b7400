//! The reference queries, written as a shop's user would write them.
//!
//! | | query | a row of the answer |
//! |---|---|---|
//! | q1 | carts and purchases of 20.00 or more | event, time, user, item, amount |
//! | q2 | per item and minute of event time: how many events, for how much | start of the minute, item, count, sum |
//! | q3 | per event: how many events of its user in the day and in the week up to it, for how much | event, user, count and sum of each |
//! | q4 | the ten items of each category with the most events, as rows that are corrected | category, item, count |
//!
//! `hopping` is q2 over windows of a day every hour: what a row of each costs can be compared. `read` only reads.
//!
//! Their input is one deterministic file of events ([`generate`]), their answer a [`checksum`] that depends on the rows
//! and not on their order, so that engines can be compared.

pub mod checksum;
pub mod event;
pub mod generate;
pub mod query;
