//! Lists that are fetched: what is stored of them, whether an update is taken,
//! and fetching.
//!
//! ```text
//! policy (what is asked for) → fetch → gate → store → policy (what is in force)
//! ```

mod attempt;
mod fetch;
mod files;
mod gate;
mod inside;
mod labels;
mod meta;
mod names;
mod redirect;
mod shown;
mod store;

pub use attempt::Attempted;
pub use fetch::{Answer, FetchError, Fetched, Fetcher, Limits, TrustError};
pub use files::{DiskAndFeeds, WithUpdate};
pub use gate::{Difference, Refusal, Sizes, SizesText, difference, judge};
pub use inside::{LeadsInside, Own};
pub use labels::labels;
pub use names::{UnknownFeed, find};
pub use redirect::BadRedirect;
pub use shown::{shown, shown_feeds};
pub use store::{Attempt, Candidate, Entry, Good, Outcome, Store, StoreError};
