//! The queries, one file each: what it asks, the graph that answers it, and the same by plain loops.

pub mod q0;
pub mod q1;
pub mod q10;
pub mod q11;
pub mod q12;
pub mod q13;
pub mod q14;
pub mod q15;
pub mod q16;
pub mod q17;
pub mod q18;
pub mod q19;
pub mod q2;
pub mod q20;
pub mod q21;
pub mod q22;
pub mod q3;
pub mod q4;
pub mod q5;
pub mod q6;
pub mod q7;
pub mod q8;
pub mod q9;
pub mod statistics;
pub mod winning;

use crate::answer::{Answer, Counter};
use crate::check::Check;
use crate::event::Event;
use std::path::Path;
use tidemill::{Result, Stream};

/// A query, and what can be done with it.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// q0 to q22.
    pub name: &'static str,
    /// What it asks, in a few words.
    pub title: &'static str,
    /// Answers it in a graph, and counts the rows that come out. The folder is for q10, which writes them there.
    pub answer: for<'s> fn(Stream<'s, Event>, &Counter, &Path) -> Result<()>,
    /// Compares its answers with those of plain loops. Gives the number of rows compared.
    pub check: fn(&Check) -> anyhow::Result<u64>,
}

macro_rules! query {
    ($query:ident, $title:literal) => {
        Query {
            name: stringify!($query),
            title: $title,
            answer: |events, rows, _| Ok($query::query(events)?.count(rows)),
            check: |check| check.rows(|events, rows| Ok($query::query(events)?.keep(rows)), $query::brute_force),
        }
    };
}

/// All of them.
pub const ALL: [Query; 23] = [
    query!(q0, "pass through"),
    query!(q1, "currency conversion"),
    query!(q2, "selection"),
    query!(q3, "local item suggestion"),
    query!(q4, "average price per category"),
    query!(q5, "hot items"),
    query!(q6, "average selling price by seller"),
    query!(q7, "highest bid"),
    query!(q8, "monitor new users"),
    query!(q9, "winning bids"),
    Query {
        name: "q10",
        title: "log to file system",
        answer: |events, rows, folder| {
            let mut lines = rows.worker();
            q10::query(events.inspect(move |event| lines.add(event.value.bid().is_some().into())), folder)
        },
        check: |check| check.files(q10::query, q10::read, q10::brute_force),
    },
    query!(q11, "user sessions"),
    query!(q12, "processing-time windows"),
    query!(q13, "bounded side input join"),
    query!(q14, "calculation"),
    query!(q15, "bidding statistics"),
    query!(q16, "channel statistics"),
    query!(q17, "auction statistics"),
    query!(q18, "last bid"),
    query!(q19, "top ten bids by auction"),
    query!(q20, "expand bid with auction"),
    query!(q21, "channel id"),
    query!(q22, "folders of the address"),
];
