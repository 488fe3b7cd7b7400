//! What a command reads: a simulated shop, or a file of a real one.

use shop_input::{Files, Lines, Names, warn};
use shop_simulator::{Flags, SimulatedShop, rules};
use std::path::Path;
use tidemill::time::days;
use tidemill::{DeadLetter, Events, Millis};
use tidemill_files::JsonLines;
use tidemill_shop::{Line, Rules};

/// Where lines come from.
#[derive(Clone)]
pub enum Input {
    /// A file of a shop's own lines.
    File(JsonLines<Line>),
    /// Lines that were read from another.
    Lines(Events<Line>),
    /// A shop that is simulated.
    Simulated(SimulatedShop),
}

/// Lines, and what has to be known of their shop.
pub struct Given {
    /// The lines.
    pub input: Input,
    /// What is believed of them.
    pub rules: Rules,
    /// Names of items.
    pub names: Names,
    /// A time after the last of them, in ms since 1970 UTC.
    pub end: Millis,
    /// What could not be read, where that was done before.
    pub left_out: Vec<DeadLetter>,
}

impl Given {
    /// What is given: one of the files, or else a simulated shop.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, there is more than one, or flags of a simulated shop beside it.
    pub fn of(files: &Files, shop: &Flags) -> anyhow::Result<Self> {
        let Some(Lines { lines, rules, names, left_out }) = files.read(shop)? else {
            let settings = shop.settings();
            return Ok(Given {
                input: Input::Simulated(SimulatedShop::new(settings.clone())),
                rules: rules()?,
                names: Names::default(),
                end: settings.start + days(i64::from(settings.days) + 2),
                left_out: Vec::new(),
            });
        };
        let (input, left_out) = match files.own_lines() {
            // Standard input has been read, and is not there a second time.
            Some(file) if file != Path::new("-") => (Input::File(JsonLines::new(file.to_owned())), Vec::new()),
            _ => {
                warn(&left_out);
                (Input::Lines(Events::new(lines)), left_out)
            }
        };
        let letter =
            |reason| DeadLetter { operator: "lines".to_owned(), place: String::new(), reason, record: String::new() };
        let left_out = left_out.into_iter().map(letter).collect();
        Ok(Given { input, rules, names, end: Millis::MAX / 4, left_out })
    }
}
