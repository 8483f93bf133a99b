//! Risks of a `drop` that an operator can accept.

use std::{collections::BTreeMap, fmt};

use super::diagnostic::SourcePlace;

/// What a `drop` could cut off although a gateway or its devices need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Risk {
    /// The gateway itself, and addresses that every network needs.
    Lan,
    /// What the gateway itself needs of the internet, on an interface with the role `wan`.
    Wan,
    /// Private networks, which are not part of the internet.
    Private,
    /// A large part of the internet.
    ShortPrefix,
}

impl Risk {
    /// All risks.
    pub const ALL: [Self; 4] = [Self::Lan, Self::Wan, Self::Private, Self::ShortPrefix];

    /// The word in policy files: `lan`, `wan`, `private` or `short-prefix`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wan => "wan",
            Self::Private => "private",
            Self::ShortPrefix => "short-prefix",
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Risks that a policy's file or an overlay accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    pub(super) risks: BTreeMap<Risk, SourcePlace>,
    pub(super) reason: String,
}

impl Acceptance {
    /// Each risk, and where it is accepted.
    pub fn risks(&self) -> impl Iterator<Item = (Risk, &SourcePlace)> {
        self.risks.iter().map(|(risk, place)| (*risk, place))
    }

    /// The operator's reason.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}
