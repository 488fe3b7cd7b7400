//! Why a CSV record does not fit its type.

use serde::de::Expected;
use std::fmt::Display;

/// Why a record does not fit its type.
#[derive(Debug)]
pub(crate) enum Misfit {
    /// The type wants a field of this name.
    Missing(&'static str),
    /// Anything else.
    Other(String),
}

impl std::error::Error for Misfit {}

impl Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Misfit::Missing(name) => write!(f, "there is no field `{name}`"),
            Misfit::Other(text) => f.write_str(text),
        }
    }
}

impl serde::de::Error for Misfit {
    fn custom<T: Display>(text: T) -> Self {
        Misfit::Other(text.to_string())
    }

    fn missing_field(name: &'static str) -> Self {
        Misfit::Missing(name)
    }

    fn invalid_length(len: usize, expected: &dyn Expected) -> Self {
        Misfit::Other(format!("the line has too few fields, {len}: expected {expected}"))
    }
}
