//! What a shop says, in a file: its own lines, or a public data set as if they were some.

use super::{Histories, amazon, diginetica, serenade};
use crate::protocol::{Event, Protocol};
use anyhow::ensure;
use bundles::input::{Lines, Names, json_lines, online_retail};
use shop_simulator::rules;
use std::path::{Path, PathBuf};
use tidemill::Millis;
use tidemill_shop::{Kind, Line, Rules};

/// A shop's lines in a file, instead of a simulated shop's.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Files {
    /// A shop's lines as JSON, one a line, packed (.gz) or not, in the order in which they arrived.
    #[arg(long, value_name = "FILE.jsonl")]
    lines: Option<PathBuf>,
    /// Online Retail: its invoice lines as CSV, packed (.gz) or not.
    #[arg(long, value_name = "FILE.csv")]
    online_retail: Option<PathBuf>,
    #[command(flatten)]
    histories: Histories,
}

/// When what has no times begins, in ms since 1970 UTC: 2018-01-01.
const SINCE: Millis = 1_514_764_800_000;

impl Files {
    /// The file with the shop's own lines.
    pub fn own_lines(&self) -> Option<&Path> {
        self.lines.as_deref()
    }

    /// Reads the file, if one is given. Of data sets of histories these are the views that [`Histories`] learns from; where
    /// they have no times, one comes a second after the other.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or more than one is given.
    pub fn read(&self) -> anyhow::Result<Option<Lines>> {
        let Files { lines, online_retail: invoices, histories } = self;
        let Histories { serenade, diginetica, beauty, video } = histories;
        let given = [lines, invoices, serenade, diginetica, beauty, video].into_iter().flatten().count();
        ensure!(given <= 1, "there are {given} inputs: name one");
        if let Some(file) = lines {
            return Ok(Some(json_lines(file, rules()?)?));
        }
        if let Some(file) = invoices {
            let read = online_retail(file)?;
            // Somebody once bought 80,995 of one, and cancelled it.
            return Ok(Some(Lines { rules: Rules { most_pieces: 100_000, ..read.rules }, ..read }));
        }
        let (protocol, has_times) = match (serenade, diginetica, beauty, video) {
            (Some(folder), ..) => (serenade::prequential(folder)?, true),
            (_, Some(folder), ..) => (diginetica::sessions(folder)?, false),
            (_, _, Some(file), _) => (amazon::beauty(file)?, false),
            (.., Some(file)) => (amazon::video(file)?, false),
            _ => return Ok(None),
        };
        views(protocol, has_times).map(Some)
    }
}

/// The events of a protocol, as views. Nobody is taken for a bot.
fn views(protocol: Protocol, has_times: bool) -> anyhow::Result<Lines> {
    let events = protocol.steps.into_iter().flat_map(|step| step.events);
    let view = |(id, event): (u64, Event)| Line {
        id,
        time: if has_times { event.time } else { SINCE + id as Millis * 1_000 },
        kind: Kind::View,
        user: Some(event.owner.into()),
        item: Some(event.item.into()),
        order: None,
        category: None,
        number: None,
        amount: None,
        currency: None,
    };
    let rules = Rules { most_lines: u32::MAX, ..rules()? };
    let lines = (0..).zip(events).map(view).collect();
    Ok(Lines { lines, rules, names: Names::default(), unreadable: Vec::new() })
}
