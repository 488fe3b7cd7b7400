//! The operators against the definition: on any number of workers, on input out of order, over restarts.

#[path = "../oracle/mod.rs"]
mod oracle;

mod ask;
mod at_once;
mod events;
mod finals;
