//! Public data sets as protocols.

pub mod amazon;
pub mod diginetica;
pub mod online_retail;
pub mod serenade;

use crate::protocol::Protocol;
use shop_input::Histories;

/// Reads each data set that was given, one when the one before is done with, with a fixed split into what is learnt and
/// what is asked.
pub fn fixed_splits(of: &Histories) -> impl Iterator<Item = anyhow::Result<Protocol>> {
    let serenade = of.serenade.iter().map(|folder| serenade::sessions(folder));
    let diginetica = of.diginetica.iter().map(|folder| diginetica::sessions(folder));
    let beauty = of.beauty.iter().map(|file| amazon::beauty(file));
    serenade.chain(diginetica).chain(beauty).chain(of.video.iter().map(|file| amazon::video(file)))
}

/// Reads each of which every step is asked about before it is learnt.
pub fn prequential(of: &Histories) -> impl Iterator<Item = anyhow::Result<Protocol>> {
    of.serenade.iter().map(|folder| serenade::prequential(folder))
}
