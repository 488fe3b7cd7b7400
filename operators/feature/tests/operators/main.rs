//! The operators against the definition: on any number of workers, on input out of order, over restarts.

#[path = "../oracle/mod.rs"]
mod oracle;

mod ask;
mod at_once;
mod events;
mod finals;

use tidemill::{Kernel, Save};

/// Whether a kernel holds no state of any key.
fn is_empty(kernel: &mut impl Kernel) -> bool {
    let mut save = Save::new(true);
    kernel.save(&mut save);
    save.is_empty()
}
