//! Programs that are killed, stopped, cut off, robbed of their disk or given damaged checkpoints write in the end what they
//! write when left alone; or they stop with the code and the words that are documented, and go on once the fault is gone.
//!
//! `make chaos KILLS=100 SEED=1` does all of it at length, and prints what was done as a table.

mod aimed;
mod damage;
mod disk;
mod kill;
mod link;
mod live;
mod namespaces;
mod scoring;
mod silence;
mod support;
