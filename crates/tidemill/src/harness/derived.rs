//! Tests what is derived from a collection by differential's operators.

use crate::collection::Collection;
use crate::config::Config;
use crate::job::Job;
use crate::plan::Node;
use crate::runtime::{Asked, Runtime, Shared};
use crate::tide::Tide;
use crate::time::Epoch;
use differential_dataflow::Data;
use differential_dataflow::consolidation::consolidate;
use differential_dataflow::input::InputSession;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use timely::communication::Allocator;
use timely::communication::allocator::thread::Thread;
use timely::dataflow::ProbeHandle;
use timely::dataflow::StreamVec;
use timely::dataflow::operators::ToStream;
use timely::worker::Worker;

type Derive<D, E> = dyn for<'s> Fn(Collection<'s, D>) -> Collection<'s, E>;

/// A derived collection under test, on one worker: change the rows it derives from, close epochs, look at its own.
///
/// What derives from several collections is tested as derived from one, of an enum of their rows.
///
/// ```
/// use tidemill::harness::Derived;
///
/// let mut sizes = Derived::new(|words| words.map(|word: String| word.len()));
/// sizes.insert("tide".to_owned());
/// sizes.insert("mill".to_owned());
/// sizes.close_epoch();
/// assert_eq!(sizes.rows(), [(4, 2)]); // how often each row is there
/// sizes.remove("mill".to_owned());
/// sizes.close_epoch();
/// assert_eq!(sizes.changes(), [(1, 4, 2), (2, 4, -1)]);
/// assert_eq!(sizes.restore(), sizes.rows()); // made again from the rows that are true
/// ```
pub struct Derived<D: Data, E: Data> {
    derive: Rc<Derive<D, E>>,
    graph: Graph<D, E>,
    /// What it derives from.
    given: BTreeMap<D, isize>,
    epoch: Epoch,
    changes: Vec<(Epoch, E, isize)>,
    rows: BTreeMap<E, isize>,
}

/// A dataflow, and its two ends.
struct Graph<D: Data, E: Data> {
    worker: Worker,
    shared: Arc<Shared>,
    input: InputSession<Epoch, D, isize>,
    probe: ProbeHandle<Epoch>,
    out: Rc<RefCell<Vec<((Epoch, E), isize)>>>,
}

impl<D: Data, E: Data> Graph<D, E> {
    fn new(derive: &Derive<D, E>) -> Self {
        let mut worker = Worker::new(Default::default(), Allocator::Thread(Thread::default()), Some(Instant::now()));
        let shared = Arc::new(Shared::new(1, None, Asked::default()));
        let runtime = Runtime::new(Config::default(), 0, 1, Arc::clone(&shared));
        let (mut input, probe, out) = (InputSession::new(), ProbeHandle::new(), Rc::<RefCell<Vec<_>>>::default());
        worker.dataflow::<Epoch, _, _>(|scope| {
            let job = Job::new(scope, runtime);
            let still: StreamVec<'_, Epoch, Tide> = None::<Tide>.to_stream(scope);
            let node = job.note(Node::new("rows", None, &[]));
            let out = Rc::clone(&out);
            let rows = derive(Collection::new(input.to_collection(scope), still, job, node)).inner();
            let keep =
                move |(row, epoch, diff): &(E, Epoch, isize)| out.borrow_mut().push(((*epoch, row.clone()), *diff));
            rows.inspect(keep).probe_with(&probe);
        });
        Graph { worker, shared, input, probe, out }
    }

    /// Closes `epoch`, and returns what changed in it.
    fn close(&mut self, epoch: Epoch) -> Vec<((Epoch, E), isize)> {
        self.input.advance_to(epoch + 1);
        self.input.flush();
        while self.probe.less_equal(&epoch) {
            self.worker.step();
            if let Some(error) = self.shared.failure() {
                panic!("{error}");
            }
        }
        let mut changes = self.out.take();
        consolidate(&mut changes);
        changes
    }
}

impl<D: Data, E: Data> Derived<D, E> {
    /// Tests what `derive` makes of a collection.
    pub fn new(derive: impl for<'s> Fn(Collection<'s, D>) -> Collection<'s, E> + 'static) -> Self {
        let derive: Rc<Derive<D, E>> = Rc::new(derive);
        let mut graph = Graph::new(&*derive);
        graph.input.advance_to(1);
        Derived { derive, graph, given: BTreeMap::new(), epoch: 1, changes: Vec::new(), rows: BTreeMap::new() }
    }

    /// `row` becomes true, once more than before, in the epoch that is open.
    pub fn insert(&mut self, row: D) {
        self.update(row, 1);
    }

    /// `row` ceases to be true, once, in the epoch that is open.
    pub fn remove(&mut self, row: D) {
        self.update(row, -1);
    }

    fn update(&mut self, row: D, diff: isize) {
        self.graph.input.update(row.clone(), diff);
        *self.given.entry(row).or_default() += diff;
    }

    /// Closes the epoch.
    ///
    /// # Panics
    ///
    /// If an operator stops the job.
    pub fn close_epoch(&mut self) {
        for ((epoch, row), diff) in self.graph.close(self.epoch) {
            *self.rows.entry(row.clone()).or_default() += diff;
            self.changes.push((epoch, row, diff));
        }
        self.rows.retain(|_, count| *count != 0);
        self.epoch += 1;
    }

    /// Takes out the changes of the epochs that have closed: epoch, row, and how many times more it is true.
    pub fn changes(&mut self) -> Vec<(Epoch, E, isize)> {
        std::mem::take(&mut self.changes)
    }

    /// The rows that are true at the end of the last epoch that has closed, with how often each is.
    pub fn rows(&self) -> Vec<(E, isize)> {
        self.rows.iter().map(|(row, count)| (row.clone(), *count)).collect()
    }

    /// Closes the epoch, throws the dataflow away, and makes it again as after a restart: by saying once the rows it derives from.
    /// Returns the rows that it says again, with how often each is true.
    ///
    /// # Panics
    ///
    /// If an operator stops the job.
    pub fn restore(&mut self) -> Vec<(E, isize)> {
        self.close_epoch();
        self.given.retain(|_, count| *count != 0);
        self.graph = Graph::new(&*self.derive);
        self.graph.input.advance_to(self.epoch);
        self.given.iter().for_each(|(row, count)| self.graph.input.update(row.clone(), *count));
        let said = self.graph.close(self.epoch);
        self.epoch += 1;
        said.into_iter().map(|((_, row), count)| (row, count)).collect()
    }
}
