//! Lists that the daemon fetches from a URL: fetching, judging an update, storing
//! it.
//!
//! ```text
//! policy (names the URL) → fetch → gate → store → policy (reads the content)
//! ```

mod attempt;
mod fetch;
mod files;
mod gate;
mod inside;
mod labels;
mod meta;
mod names;
mod post;
mod redirect;
mod shown;
mod store;

pub use attempt::{Attempted, Judge, Objection};
pub use fetch::{Answer, FetchError, Fetched, Fetcher, Limits, TrustError};
pub use files::{DiskAndFeeds, WithUpdate};
pub use gate::{Difference, Refusal, Sizes, SizesText, difference, judge};
pub use inside::{LeadsInside, Own};
pub use labels::labels;
pub use names::{UnknownFeed, find};
pub use post::Post;
pub use redirect::BadRedirect;
pub use shown::{shown, shown_feeds};
pub use store::{Attempt, Candidate, Entry, Good, Outcome, Store, StoreError};
