//! The generator against its model, and the source against the generator.

use nexmark::event::{Auction, Bid, Event, Person};
use nexmark::generator::Generator;
use nexmark::source::Nexmark;
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use tidemill::{Batch, ReadStatus, Reader, Source};

const EVENTS: u64 = 200_000;

fn events() -> Vec<Event> {
    (0..EVENTS).map(|number| Generator::default().event(number)).collect()
}

/// Whether `part` of `all` is `share`, give or take a hundredth.
fn about(part: usize, all: usize, share: f64) -> bool {
    (part as f64 / all as f64 - share).abs() < 0.01
}

#[test]
fn kinds_come_in_their_proportions_and_are_counted_up() {
    let events = events();
    let people: Vec<&Person> = events.iter().filter_map(Event::person).collect();
    let auctions: Vec<&Auction> = events.iter().filter_map(Event::auction).collect();
    let bids = events.iter().filter_map(Event::bid).count();
    assert_eq!([people.len(), auctions.len(), bids], [4_000, 12_000, 184_000]);
    assert!((1_000..).zip(&people).all(|(id, person)| person.id == id));
    assert!((1_000..).zip(&auctions).all(|(id, auction)| auction.id == id));
    assert!(events.is_sorted_by_key(Event::time));
    let (first, last) = (events[0].time(), events[events.len() - 1].time());
    assert_eq!(last - first, EVENTS as i64 / 10 - 1, "10,000 events a second");
}

#[test]
fn what_is_hot_is_chosen_as_often_as_it_should_be() {
    let events = events();
    let auctions: Vec<&Auction> = events.iter().filter_map(Event::auction).collect();
    let bids: Vec<&Bid> = events.iter().filter_map(Event::bid).collect();
    // What is chosen otherwise is a hot one too, by chance, one time in a hundred.
    let hot_auction = bids.iter().filter(|bid| bid.auction % 100 == 0).count();
    assert!(about(hot_auction, bids.len(), 0.5 + 0.5 / 100.0), "{hot_auction}");
    let hot_bidder = bids.iter().filter(|bid| bid.bidder % 100 == 1).count();
    assert!(about(hot_bidder, bids.len(), 0.75 + 0.25 / 100.0), "{hot_bidder}");
    let hot_seller = auctions.iter().filter(|auction| auction.seller % 100 == 0).count();
    assert!(about(hot_seller, auctions.len(), 0.75 + 0.25 / 100.0), "{hot_seller}");
    let hot_channel = bids.iter().filter(|bid| !bid.channel.starts_with("channel-")).count();
    assert!(about(hot_channel, bids.len(), 0.5), "{hot_channel}");
    let numbered = bids.iter().filter(|bid| bid.url.contains("&channel_id=")).count();
    assert!(about(numbered, bids.len(), 0.5 * 0.9), "{numbered}");
    let category = auctions.iter().filter(|auction| auction.category == 10).count();
    assert!(about(category, auctions.len(), 0.2), "{category}");
}

#[test]
fn ids_are_those_of_what_was_there_lately_or_soon_will_be() {
    let (mut people, mut auctions, mut ahead) = (999, 999, 0);
    for event in events() {
        let person = match &event {
            Event::Person(person) => {
                people = person.id;
                person.id
            }
            Event::Auction(auction) => {
                auctions = auction.id;
                assert!(auction.time < auction.expires && auction.initial_bid < auction.reserve);
                auction.seller
            }
            Event::Bid(bid) => {
                assert!(bid.auction <= auctions + 10 && bid.auction + 100 >= auctions, "{bid:?} after {auctions}");
                ahead += u32::from(bid.auction > auctions);
                bid.bidder
            }
        };
        assert!(person <= people + 10 && person + 1_000 >= people, "{event:?} after {people}");
    }
    assert!(ahead > 1_000, "some bids come before their auction: {ahead}");
}

#[test]
fn prices_are_spread_over_powers_of_ten_and_sizes_are_what_they_should_be_on_average() {
    let events = events();
    let bids: Vec<&Bid> = events.iter().filter_map(Event::bid).collect();
    for power in 2..8 {
        let span = 10u64.pow(power)..10u64.pow(power + 1);
        let within = bids.iter().filter(|bid| span.contains(&bid.price)).count();
        assert!(about(within, bids.len(), 1.0 / 6.0), "{within} in {span:?}");
    }
    let mean = |sizes: Vec<usize>| sizes.iter().sum::<usize>() / sizes.len();
    let bid = mean(bids.iter().map(|bid| 32 + bid.extra.len()).collect());
    let texts = |a: &Auction| a.item_name.len() + a.description.len() + a.extra.len();
    let auction = mean(events.iter().filter_map(Event::auction).map(|a| 56 + texts(a)).collect());
    let texts = |p: &Person| [&p.name, &p.email, &p.credit_card, &p.city, &p.state, &p.extra].map(String::len);
    let person = mean(events.iter().filter_map(Event::person).map(|p| 16 + texts(p).iter().sum::<usize>()).collect());
    for (size, expected) in [(bid, 100), (auction, 500), (person, 200)] {
        assert!(size.abs_diff(expected) <= expected / 100, "{size} instead of {expected}");
    }
}

#[test]
fn another_seed_makes_other_events() {
    let of_seed = |seed| (0..1_000).map(|n| Generator { seed, ..Generator::default() }.event(n)).collect::<Vec<_>>();
    assert_eq!(of_seed(1), of_seed(1));
    assert_ne!(of_seed(1), of_seed(2));
}

/// Reads a partition from `offset` on, a few events at a time.
fn read(source: Nexmark, partition: usize, offset: u64) -> Vec<Event> {
    let (mut reader, mut batch) = (source.open(partition, offset).unwrap(), Batch::new());
    while reader.read(7, &mut batch).unwrap() != ReadStatus::Done {}
    assert_eq!(reader.offset() - offset, batch.items().len() as u64);
    batch.items().to_vec()
}

#[test]
fn partitions_and_shuffling_change_nothing_but_the_order() {
    let generator = Generator::default();
    let expected: BTreeSet<Event> = (0..5_003).map(|number| generator.event(number)).collect();
    for partitions in [1, 2, 7].map(|n| NonZeroUsize::new(n).unwrap()) {
        for disorder in [0, 1, 50] {
            let source = Nexmark { partitions, disorder, ..Nexmark::new(generator, 5_003) };
            let mut all = vec![];
            for partition in 0..partitions.get() {
                let events = read(source, partition, 0);
                let mut latest = i64::MIN;
                let behind = |event: &Event| {
                    latest = latest.max(event.time());
                    latest - event.time()
                };
                let most = events.iter().map(behind).max().unwrap();
                assert!(most <= disorder && most >= disorder / 2, "{most} ms of {disorder}");
                assert_eq!(read(source, partition, 300), events[300..], "reading goes on from an offset");
                all.extend(events);
            }
            assert_eq!(all.len(), expected.len());
            assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), expected);
        }
    }
}
