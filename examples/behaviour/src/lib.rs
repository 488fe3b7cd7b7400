//! What a shop's users do, from its lines: funnels, sessions, trends, interests and segments.

pub mod graph;
pub mod print;
pub mod screen;
pub mod sessions;
