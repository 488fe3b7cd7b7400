//! q12 under a clock that moves.

use nexmark::answer::{Answer, Rows};
use nexmark::generator::Generator;
use nexmark::queries::q12::{self, BidsByTheClock};
use nexmark::source::Nexmark;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use tidemill::{Clock, Config, ManualClock};

/// Every event takes a millisecond by the clock; which bids share a window depends on when the engine took them in, so
/// the times it gave them are read beside the query.
#[test]
fn windows_go_by_the_time_at_which_bids_are_taken_in() {
    for workers in [1, 2, 4] {
        let clock = ManualClock::at(1_436_918_400_000);
        let config = Config { clock: Clock::Manual(clock.clone()), epoch_records: 500, ..Config::workers(workers) };
        let source =
            Nexmark { partitions: NonZeroUsize::new(workers).unwrap(), ..Nexmark::new(Generator::default(), 100_000) };
        let (answered, taken) = (Rows::default(), Rows::default());
        let (to_answered, to_taken) = (answered.clone(), taken.clone());
        tidemill::execute(config, move |job| {
            let (clock, taken) = (clock.clone(), to_taken.clone());
            let events = source.read(job)?.inspect(move |_| clock.advance(1));
            events.clone().in_processing_time().for_each(move |event| {
                event.value.bid().into_iter().for_each(|bid| taken.add(&(bid.bidder, event.time), 1));
            });
            q12::query(events)?.keep(&to_answered);
            Ok(())
        })
        .unwrap();
        let mut expected: BTreeMap<BidsByTheClock, isize> = BTreeMap::new();
        let mut counts: BTreeMap<(u64, i64), u64> = BTreeMap::new();
        for ((bidder, time), bids) in taken.take() {
            *counts.entry((bidder, time / 10_000 * 10_000)).or_default() += bids as u64;
        }
        for ((bidder, start), bids) in counts {
            expected.insert(BidsByTheClock { bidder, bids, start, end: start + 10_000 }, 1);
        }
        let answered = answered.take();
        let windows: BTreeSet<i64> = answered.keys().map(|row| row.start).collect();
        assert!(windows.len() >= 9, "the clock moved by 100 seconds, and bids are in {} windows", windows.len());
        assert_eq!(answered, expected, "{workers} workers");
    }
}
