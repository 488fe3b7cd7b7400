//! What a shop says, in a file: its own lines, or a public data set as if they were some.

use crate::{Histories, Lines, Money, Names, amazon, diginetica, json_lines, online_retail, serenade};
use anyhow::ensure;
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
    /// Whether one is given.
    pub fn are_given(&self) -> bool {
        self.lines.is_some() || self.online_retail.is_some() || self.have_views_only()
    }

    /// Whether one of those is given that tell what users had, and nothing of orders.
    pub fn have_views_only(&self) -> bool {
        let Histories { serenade, diginetica, beauty, video } = &self.histories;
        [serenade, diginetica, beauty, video].into_iter().any(Option::is_some)
    }

    /// What money is worth in the shop's own lines.
    pub fn money(&self) -> &Money {
        &self.money
    }

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
            return Ok(Some(online_retail(file)?));
        }
        let numbered = |owners: Vec<(u32, Vec<u32>)>| {
            let touches =
                owners.into_iter().flat_map(|(owner, items)| items.into_iter().map(move |item| (owner, item)));
            (0..).zip(touches).map(|(number, (owner, item))| (SINCE + number * 1_000, owner, item)).collect()
        };
        let touches: Vec<(Millis, u32, u32)> = match (serenade, diginetica, beauty, video) {
            (Some(folder), ..) => {
                let mut clicks = Vec::new();
                for name in ["train.txt", "valid.txt", "test.txt"] {
                    let of_sessions = serenade::clicks(folder, name)?.into_iter();
                    clicks.extend(of_sessions.flat_map(|(session, clicks)| {
                        clicks.into_iter().map(move |(time, item)| (time, session, item))
                    }));
                }
                // A session's clicks of the same time stay as they are.
                clicks.sort_by_key(|(time, session, _)| (*time, *session));
                clicks
            }
            (_, Some(folder), ..) => {
                let sessions = diginetica::train(folder)?.into_iter().chain(diginetica::test(folder)?);
                numbered((0..).zip(sessions).collect())
            }
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
