//! What goes to every worker.

use crate::kernel::chunk;
use crate::time::Epoch;
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

/// Gives every worker all records of a timely stream, for raw operators.
///
/// Whole batches travel, where timely's own `broadcast` sends each record by itself; and where there is one worker only,
/// nothing does.
///
/// ```
/// use tidemill::{Config, Events, Memory, Stream, Timing, everywhere, execute};
///
/// let heard = Memory::new();
/// let to_heard = heard.clone();
/// execute(Config::workers(3), move |job| {
///     let numbers = job.source("numbers", Events::new(vec![7, 8]), Timing::by(|number: &i64| *number))?;
///     Stream::from_inner(everywhere(numbers.inner()), &numbers).sink("heard", to_heard.clone())
/// })?;
/// assert_eq!(heard.values(), [7, 7, 7, 8, 8, 8]);
/// # Ok::<(), tidemill::Error>(())
/// ```
pub fn everywhere<'s, D: ExchangeData + Clone>(stream: StreamVec<'s, Epoch, D>) -> StreamVec<'s, Epoch, D> {
    let scope = stream.scope();
    let peers = scope.peers() as u64;
    if peers == 1 {
        return stream;
    }
    let mut builder = OperatorBuilder::new("to every worker".to_owned(), scope);
    let mut input = builder.new_input(stream, Pipeline);
    builder.set_notify_for(0, FrontierInterest::Never);
    let (output, copies) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<(u64, Vec<D>)>>>::from(output);
    builder.build(move |capabilities| {
        drop(capabilities);
        move |_| {
            let mut output = output.activate();
            input.for_each_stamp(|cap, batches| {
                let mut copies = Vec::new();
                for batch in batches {
                    // Not too much for one message between processes.
                    let mut rest = batch.drain(..);
                    while rest.len() > 0 {
                        let piece: Vec<D> = rest.by_ref().take(chunk::<D>()).collect();
                        copies.extend((1..peers).map(|peer| (peer, piece.clone())));
                        copies.push((0, piece));
                    }
                }
                output.session(&cap).give_container(&mut copies);
            });
        }
    });

    let mut builder = OperatorBuilder::new("from every worker".to_owned(), scope);
    let mut input = builder.new_input(copies, Exchange::new(|(peer, _): &(u64, Vec<D>)| *peer));
    builder.set_notify_for(0, FrontierInterest::Never);
    let (output, all) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<D>>>::from(output);
    builder.build(move |capabilities| {
        drop(capabilities);
        move |_| {
            let mut output = output.activate();
            input.for_each_stamp(|cap, batches| {
                let mut session = output.session(&cap);
                for (_, mut batch) in batches.flat_map(|batch| batch.drain(..)) {
                    session.give_container(&mut batch);
                }
            });
        }
    });
    all
}
