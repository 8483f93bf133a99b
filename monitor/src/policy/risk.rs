//! What an operator may run into with a `drop`, and accepts.

use std::{collections::BTreeMap, fmt};

use super::diagnostic::SourcePlace;

/// What a `drop` may cut off that a gateway or its devices need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Risk {
    /// The gateway itself, and what a network needs to work at all.
    Lan,
    /// Networks that are not part of the internet.
    Private,
    /// Much of the internet.
    ShortPrefix,
}

impl Risk {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Lan, Self::Private, Self::ShortPrefix];

    /// `lan`, `private` or `short-prefix`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
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
    /// Each risk, and where it is written.
    pub fn risks(&self) -> impl Iterator<Item = (Risk, &SourcePlace)> {
        self.risks.iter().map(|(risk, place)| (*risk, place))
    }

    /// Why, in the operator's words.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}
