//! One function for each kind of input. It returns if a reader rejects the input, and
//! panics if the result of a reader is impossible.

#![expect(
    clippy::missing_panics_doc,
    reason = "the functions report violated properties by a panic"
)]

mod capture;
mod daemon;
mod devices;
mod kernel;
mod lists;
mod names;
mod policy;
mod report;
mod stamp;

use jiff::Timestamp;

pub use capture::capture;
pub use daemon::{archive, config, control, state};
pub use devices::devices;
pub use kernel::kernel;
pub(crate) use lists::feed_with;
pub use lists::{database, feed, list};
pub use names::names;
pub use policy::policy;
pub(crate) use policy::{GATEWAY, diagnostics_with};
pub use report::report;
pub use stamp::stamp;

/// The time of every run: 2026-07-01, a Wednesday.
const NOW: Timestamp = Timestamp::constant(1_782_907_200, 0);
