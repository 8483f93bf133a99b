//! A report: evidence of a period in a form that another person can check.
//!
//! ```text
//! store ─► Facts ─► Report ─► html, md, csv, json, eve, case ─► file with its proof
//!                     └─ redact ─┘                                  └─ verify
//! ```
//!
//! [`Report`] has everything that a format shows. The modules are pure: time and input come in
//! as arguments, and equal input gives equal bytes.

mod build;
mod captures;
mod case;
mod claims;
mod compare;
mod compare_text;
mod coverage;
mod csv_text;
mod eve;
mod facts;
mod findings;
mod form;
mod html;
mod limits_text;
mod losses;
mod markdown;
mod model;
mod policies;
mod policy_text;
mod proven;
mod rates;
mod redact;
mod restated;
mod sentences;
mod shown;
mod stamped;
mod svg;
mod verify;
mod window;
mod words;

pub use build::build;
pub use captures::Capture;
pub use case::case;
pub use compare::{Compared, Comparison, Ending, Ends, Window};
pub use csv_text::{CsvError, csv};
pub use eve::eve;
pub use facts::{CaptureFact, Facts, MarkFact};
pub use form::{Form, NoProof, RenderError, digest, proof_file};
pub use html::html;
pub use markdown::markdown;
pub use model::*;
pub use policies::{MOST_NETWORKS, StatedPolicy, to_json as policies_to_json};
pub use proven::captures_in_log;
pub use redact::{InvalidKey, KEY_BYTES, Redactor};
pub use restated::Sentences;
pub use stamped::StampFile;
pub use verify::{Statement, Status, Verification, verify};

use crate::printable;

/// Version of the report as JSON.
pub const VERSION: u32 = 1;

/// The most devices in a report.
pub const MOST_DEVICES: usize = 200;

/// The most flows in a report.
pub const MOST_FLOWS: usize = 10_000;

/// The most marks in a report. The latest stay.
pub const MOST_MARKS: usize = 100;

/// The most captures in a report. The latest stay.
pub const MOST_CAPTURES: usize = 100;

/// The most slots of a timeline.
pub const SLOTS: u32 = 60;

impl Report {
    /// The report as one JSON document.
    ///
    /// # Errors
    ///
    /// Returns an error if a number is not finite.
    pub fn to_json(&self) -> serde_json::Result<String> {
        let text = serde_json::to_string_pretty(self)?;
        Ok(format!("{}\n", printable::json(&text)))
    }
}

#[cfg(test)]
mod tests;
