//! Whose range an address is, from data that the operator has: delegated files of the
//! registries, MMDB databases, and tables of prefixes.
//!
//! ```text
//! file or feed → rows → look-up table (temporary file) → statements about an address
//! ```

mod facts;
mod file;
mod gate;
mod input;
mod list;
mod load;
mod mapped;
mod mmdb;
mod prefixes;
pub mod rdap;
mod rir;
mod source;
mod statement;
mod table;

pub use file::{Contents, DataError, DataFile};
pub use gate::{Refusal, judge};
pub use list::{Listed, Listing};
pub use load::{Data, DataSources, StoredFeed, carried};
pub use source::{AsOf, DatedBy, Source, SourceKind};
pub use statement::{
    Author, CountryMeaning, FailedSource, Holder, HolderField, OriginAs, RangeCountry,
    Registration, Statement, Statements, Status,
};
