//! What a shop's systems say, before anybody has looked whether it can be true.

use serde::{Deserialize, Serialize};
use tidemill::Millis;

/// One message of a shop's trackers and tills, as a line of JSON or CSV: the fields of all kinds. Which of them a kind needs,
/// and what they may be, is for the cleaning stage to say.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The same for a message that is sent twice.
    pub id: u64,
    /// When it happened, in ms since 1970 UTC.
    pub time: Millis,
    /// What happened.
    pub kind: Kind,
    /// Who did it; none where an item changes.
    #[serde(default)]
    pub user: Option<u64>,
    /// Which item.
    #[serde(default)]
    pub item: Option<u64>,
    /// Which order.
    #[serde(default)]
    pub order: Option<u64>,
    /// Which category.
    #[serde(default)]
    pub category: Option<u64>,
    /// How many pieces, stars, or the place in a list.
    #[serde(default)]
    pub number: Option<i64>,
    /// The price of one, in the currency's own unit: 12.50.
    #[serde(default)]
    pub amount: Option<f64>,
    /// In which currency, as ISO 4217 calls it; the shop's own if there is none.
    #[serde(default)]
    pub currency: Option<Currency>,
}

/// What a [`Line`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A user looked at an item.
    View,
    /// A user put an item into the cart.
    Cart,
    /// A user bought `number` of an item for `amount` each, as a line of an order.
    Purchase,
    /// A user cancelled `number` of an item, of an order if it is said.
    Cancellation,
    /// A user gave an item `number` stars.
    Rating,
    /// A user was shown an item as the `number`-th of a list.
    Shown,
    /// A user does not want to be shown an item.
    NotInterested,
    /// A user does not want to be shown a category.
    Block,
    /// A user's payment for an item of an order was a fraud.
    Chargeback,
    /// A user wants to be forgotten.
    Forget,
    /// An item of a category is sold from now on.
    Listed,
    /// Of an item `number` are left.
    Stock,
    /// An item costs `amount` from now on.
    Price,
    /// Something that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A currency's code of three capital letters, after ISO 4217.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The currency of a code; `None` if it is not three capital letters.
    pub fn new(code: &str) -> Option<Self> {
        let code: [u8; 3] = code.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_uppercase).then_some(Currency(code))
    }

    /// Its code.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let code = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        Currency::new(&code).ok_or_else(|| serde::de::Error::custom(format!("`{code}` is no currency: say one as EUR")))
    }
}
