//! A head of the log that a time stamping authority stamped: what the store learns of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::mark::{InvalidMark, line};
use crate::printable;

/// A stamped head of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Name of the authority in its certificate.
    pub authority: String,
    /// Time of the stamp by the authority's clock (RFC 3339).
    pub stamped: String,
    /// Name of the log.
    pub log: String,
    /// Number of lines before the head.
    pub lines: u64,
    /// SHA-256 of the stamp's file, hexadecimal.
    pub sha256: String,
}

impl Published {
    /// Longest text in bytes.
    const MOST_TEXT: usize = 600;

    /// Checks the length and the characters of all texts.
    ///
    /// # Errors
    ///
    /// Returns an error if a text is empty, too long, or has control characters.
    pub fn check(&self) -> Result<(), InvalidMark> {
        let texts = [&self.authority, &self.stamped, &self.log, &self.sha256];
        texts
            .into_iter()
            .try_for_each(|text| line(text, Self::MOST_TEXT))
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            authority,
            stamped,
            lines,
            sha256,
            ..
        } = self;
        let authority = printable::value(authority);
        write!(
            f,
            "\"{authority}\" stamped the head of {lines} lines at {stamped}; SHA-256 of the stamp {sha256}"
        )
    }
}
