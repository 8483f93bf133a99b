//! Lists that are fetched: what the policies ask of them, and what of them is
//! in force.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use super::PolicyName;
use crate::lists::{Cut, FeedReading, FeedUrl, Sha256};

/// How often a list is fetched where its policy does not say.
pub(super) const DEFAULT_REFRESH: Duration = Duration::from_hours(24);
pub(super) const MIN_REFRESH: Duration = Duration::from_mins(1);
pub(super) const MAX_REFRESH: Duration = Duration::from_hours(30 * 24);

/// A part of a whole, in percent; more than a hundred for what may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// Of a change that nobody was asked about.
    pub const DEFAULT_CHANGE: Self = Self(50);

    /// In percent.
    #[must_use]
    pub const fn percent(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}%", self.0))
    }
}

/// A text that is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share is written as a whole number from 0% to 1000%")]
pub struct InvalidShare;

impl FromStr for Share {
    type Err = InvalidShare;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_suffix('%').ok_or(InvalidShare)?.trim_end();
        let percent = digits.parse().map_err(|_| InvalidShare)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        (plain && percent <= 1000)
            .then_some(Self(percent))
            .ok_or(InvalidShare)
    }
}

/// What becomes of an update with reserved ranges in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReservedRule {
    /// They are cut out.
    #[default]
    Strip,
    /// It is not taken.
    Refuse,
}

/// A list that policies ask to have fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Where from.
    pub url: FeedUrl,
    /// The enabled policies that use it, sorted; where there is none, it is not fetched.
    pub policies: BTreeSet<PolicyName>,
    /// How often; the smallest that a policy asks for.
    pub refresh: Duration,
    /// The only content that is taken.
    pub sha256: Option<Sha256>,
    /// How far an update may shrink or grow.
    pub max_change: Share,
    /// `Refuse` where one policy says so.
    pub reserved: ReservedRule,
    /// The ways in which the policies read it.
    pub readings: BTreeSet<FeedReading>,
    /// What of it is in force; `None` where nothing that can be used is stored.
    pub in_force: Option<InForce>,
}

/// What of a feed is in force: of the readings together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    /// Lines whose destinations are in force, all or in part.
    pub destinations: usize,
    /// What was taken out.
    pub cut: Cut,
}
