//! What the author of a policy states about its destinations.

use super::{diagnostic::SourcePlace, observed::Observed};

/// The author's statement about the holder of a policy's destinations. It is the author's
/// word only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    pub(super) holder: String,
    pub(super) as_of: Option<Observed>,
    pub(super) source: Option<String>,
    pub(super) place: SourcePlace,
}

impl About {
    /// Maximum length of each text in bytes.
    pub const MAX_LEN: usize = 500;

    /// The holder, as the author names it.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// The date of the author's knowledge.
    #[must_use]
    pub fn as_of(&self) -> Option<&Observed> {
        self.as_of.as_ref()
    }

    /// The source of the author's knowledge.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// Where the statement is written.
    #[must_use]
    pub fn place(&self) -> &SourcePlace {
        &self.place
    }
}
