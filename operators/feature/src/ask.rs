//! Sliding windows asked by the rows of a collection.

use serde::{Deserialize, Serialize};
use tidemill::{Collection, Data, DeadLetter, Key, Keyed, Millis, Result, Stream, Update, differential_dataflow};

use crate::corrected::{AtOnceKernel, Meaning};
use crate::{Answer, Windows};

/// What a key's windows see when the questions are rows of a collection.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Seen<E, Q> {
    Fact(E),
    Row(Update<Q>),
}

/// Sliding windows asked by the rows of a collection.
pub trait AskAtOnce<'s, Q: Clone + 'static> {
    /// Adds to each row what the windows hold at its time, over `facts`: as the rows change, and
    /// as facts come in, late ones too, exactly the rows they touch are corrected.
    ///
    /// Rows and facts meet by key: `row` tells a row's key and its time in ms. To facts of its own
    /// time a row comes last, so they count for it. A row goes when it is retracted, or else as in
    /// [`crate::SlidingWindows::at_once`], by the lesser of the two watermarks; one that is added
    /// behind the horizon gets no answer. The stream holds the facts that came too late.
    fn at_once<E, K, G, V, const N: usize, const W: usize>(
        self,
        name: &str,
        row: impl Fn(&Q) -> (K, Millis) + Clone + 'static,
        facts: Keyed<'s, E, G>,
        values: V,
        windows: Windows<W>,
    ) -> Result<(Collection<'s, (Q, Answer<N, W>)>, Stream<'s, E>)>
    where
        E: Data,
        K: Key,
        G: Fn(&E) -> K + Clone + 'static,
        V: Fn(&E) -> [i64; N] + Clone + 'static;
}

impl<'s, Q: Data + differential_dataflow::Data> AskAtOnce<'s, Q> for Collection<'s, Q> {
    fn at_once<E, K, G, V, const N: usize, const W: usize>(
        self,
        name: &str,
        row: impl Fn(&Q) -> (K, Millis) + Clone + 'static,
        facts: Keyed<'s, E, G>,
        values: V,
        windows: Windows<W>,
    ) -> Result<(Collection<'s, (Q, Answer<N, W>)>, Stream<'s, E>)>
    where
        E: Data,
        K: Key,
        G: Fn(&E) -> K + Clone + 'static,
        V: Fn(&E) -> [i64; N] + Clone + 'static,
    {
        let (time, of_row, of_fact) = (row.clone(), row, facts.key());
        let key = move |seen: &Seen<E, Q>| match seen {
            Seen::Fact(fact) => of_fact(fact),
            Seen::Row(update) => of_row(&update.row).0,
        };
        let meaning = move |seen: &Seen<E, Q>| match seen {
            Seen::Fact(fact) => Meaning { fact: Some(values(fact)), question: None },
            Seen::Row(Update { row, diff }) => Meaning { fact: None, question: Some((row.clone(), *diff)) },
        };
        let letter = |name: &str, seen: &Seen<E, Q>, reason| match seen {
            Seen::Fact(fact) => DeadLetter::of(name, fact, reason),
            Seen::Row(update) => DeadLetter::of(name, &update.row, reason),
        };
        let rows = self.changes(move |row| time(row).1).map(Seen::Row);
        let both = facts.stream().clone().map(Seen::Fact).union(rows);
        let kernel = AtOnceKernel::<_, _, _, _, _, N, W, ()>::new(name, key.clone(), windows, meaning, letter);
        let (rows, late) = both.key_by(key).kernel_rows(name, kernel)?;
        let late = late.flat_map(|seen| match seen {
            Seen::Fact(fact) => Some(fact),
            Seen::Row(_) => None,
        });
        Ok((rows, late))
    }
}
