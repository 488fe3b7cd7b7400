//! Keyed state: what it must be able to do.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What an operator keeps per key. The engine snapshots it, so it must be possible to write down.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the state of an operator",
    note = "derive `Clone, Default, Serialize, Deserialize`",
    note = "more in `tidemill::guide`, \"When the compiler complains\""
)]
pub trait State: Clone + Default + Serialize + DeserializeOwned + 'static {}
#[diagnostic::do_not_recommend]
impl<S: Clone + Default + Serialize + DeserializeOwned + 'static> State for S {}
