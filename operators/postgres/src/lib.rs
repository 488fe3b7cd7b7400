//! TODO

mod encode;
mod error;
mod events;
mod fields;
mod link;
mod mark;
mod rows;
mod sink;
mod table;
mod writer;

pub use sink::Postgres;
