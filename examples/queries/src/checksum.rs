//! A checksum of rows that does not depend on their order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tidemill::differential_dataflow::Data;
use tidemill::{Collection, Stream};

/// The odd 64 bits nearest to the golden ratio.
pub const GOLD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes 64 bits (the finaliser of splitmix64).
#[inline]
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The hash of one row.
#[inline]
pub fn row_hash(fields: &[u64]) -> u64 {
    fields.iter().fold(0, |hash, field| mix(hash.wrapping_add(*field).wrapping_add(GOLD)))
}

/// How many rows all workers saw, and the wrapping sum of their hashes. Complete when the job is.
#[derive(Clone, Debug, Default)]
pub struct Answer(Arc<(AtomicU64, AtomicU64)>);

impl Answer {
    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.0.0.load(Ordering::SeqCst)
    }

    /// The checksum.
    pub fn checksum(&self) -> u64 {
        self.0.1.load(Ordering::SeqCst)
    }
}

/// One worker's part of an [`Answer`], added to it when the worker is done.
pub struct Sum {
    rows: u64,
    sum: u64,
    answer: Answer,
}

impl Sum {
    /// Nothing yet.
    pub fn new(answer: &Answer) -> Self {
        Sum { rows: 0, sum: 0, answer: answer.clone() }
    }

    /// Sums up every row of `stream`: the numbers that `fields` makes of it.
    pub fn rows<T: Clone + 'static, const N: usize>(
        mut self,
        stream: Stream<'_, T>,
        fields: impl Fn(T) -> [u64; N] + 'static,
    ) {
        stream.for_each(move |record| self.add(&fields(record.value), 1));
    }

    /// Sums up every change of `rows`; what is retracted counts minus, so that the sum is that of the rows in the end.
    pub fn changes<R: Data, const N: usize>(
        mut self,
        rows: Collection<'_, R>,
        fields: impl Fn(&R) -> [u64; N] + 'static,
    ) {
        let job = rows.job().clone();
        let seen = rows.inspect(move |(row, _, diff)| self.add(&fields(row), *diff));
        job.wait_for(seen.inner().inner);
    }

    #[inline]
    fn add(&mut self, row: &[u64], diff: isize) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(row_hash(row).wrapping_mul(diff as u64));
    }
}

impl Drop for Sum {
    fn drop(&mut self) {
        let (rows, sum) = &*self.answer.0;
        rows.fetch_add(self.rows, Ordering::SeqCst);
        sum.fetch_add(self.sum, Ordering::SeqCst);
    }
}
