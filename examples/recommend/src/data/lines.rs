//! What a shop says, in a file: its own lines, or a public data set as if they were some.

use super::{Histories, amazon, diginetica, serenade};
use anyhow::ensure;
use bundles::input::{Lines, Names, json_lines, online_retail};
use bundles::money::Money;
use shop_simulator::{Flags, rules};
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
    #[command(flatten)]
    money: Money,
}

/// When what has no times begins, in ms since 1970 UTC: 2018-01-01.
const SINCE: Millis = 1_514_764_800_000;

impl Files {
    /// The file with the shop's own lines.
    pub fn own_lines(&self) -> Option<&Path> {
        self.lines.as_deref()
    }

    /// Reads the file, if one is given. What data sets of histories have are views, all of them; where they have no times, one comes
    /// a second after the other.
    ///
    /// # Errors
    ///
    /// If it cannot be read, more than one is given, or flags of a simulated shop beside it.
    pub fn read(&self, simulated: &Flags) -> anyhow::Result<Option<Lines>> {
        let Files { lines, online_retail: invoices, histories, money } = self;
        let Histories { serenade, diginetica, beauty, video } = histories;
        let given = [lines, invoices, serenade, diginetica, beauty, video].into_iter().flatten().count();
        ensure!(
            given <= 1,
            "there are {given} inputs: name one of --lines, --online-retail, --serenade, --diginetica, --beauty and --video"
        );
        if given == 1 {
            simulated.none()?;
        }
        if let Some(file) = lines {
            return Ok(Some(json_lines(file, money.rules()?)?));
        }
        if let Some(file) = invoices {
            let read = online_retail(file)?;
            // Somebody once bought 80,995 of one, and cancelled it.
            return Ok(Some(Lines { rules: Rules { most_pieces: 100_000, ..read.rules }, ..read }));
        }
        let numbered = |owners: Vec<(u32, Vec<u32>)>| {
            let touches =
                owners.into_iter().flat_map(|(owner, items)| items.into_iter().map(move |item| (owner, item)));
            (0..).zip(touches).map(|(number, (owner, item))| (SINCE + number * 1_000, owner, item)).collect()
        };
        let touches: Vec<(Millis, u32, u32)> = match (serenade, diginetica, beauty, video) {
            (Some(folder), ..) => {
                let events = serenade::prequential(folder)?.steps.into_iter().flat_map(|step| step.events);
                events.map(|event| (event.time, event.owner, event.item)).collect()
            }
            (_, Some(folder), ..) => numbered((0..).zip(diginetica::all_sessions(folder)?).collect()),
            (_, _, Some(file), _) => numbered(amazon::users_by_line(file)?.into_iter().collect()),
            (.., Some(file)) => numbered(amazon::users(file)?.into_iter().collect()),
            _ => return Ok(None),
        };
        // Nobody is taken for a bot.
        let rules = Rules { most_lines: u32::MAX, ..rules()? };
        let lines = (0..).zip(touches).map(view).collect();
        Ok(Some(Lines { lines, rules, names: Names::default(), left_out: Vec::new() }))
    }
}

fn view((id, (time, owner, item)): (u64, (Millis, u32, u32))) -> Line {
    Line {
        id,
        time,
        kind: Kind::View,
        user: Some(owner.into()),
        item: Some(item.into()),
        order: None,
        category: None,
        number: None,
        amount: None,
        currency: None,
    }
}
