//! Fetched lists (feeds): the options that policies set, and the part of the
//! content that is in force.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use super::PolicyName;
use crate::lists::{Cut, FeedReading, FeedUrl, Sha256};

/// Time between two fetches of a list if its policy sets none.
pub(super) const DEFAULT_REFRESH: Duration = Duration::from_hours(24);
pub(super) const MIN_REFRESH: Duration = Duration::from_mins(1);
pub(super) const MAX_REFRESH: Duration = Duration::from_hours(30 * 24);

/// A percentage. It may exceed 100, for quantities that can grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// Largest change of a list that is accepted if its policy sets no
    /// `max_change`.
    pub const DEFAULT_CHANGE: Self = Self(50);

    /// The value in percent.
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

/// The text is not a valid percentage.
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

/// What happens to an update that contains reserved ranges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReservedRule {
    /// The reserved ranges are removed from the update.
    #[default]
    Strip,
    /// The whole update is refused.
    Refuse,
}

/// A list that the daemon fetches because policies use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// The URL to fetch.
    pub url: FeedUrl,
    /// The enabled policies that use the feed, sorted. The daemon does not
    /// fetch a feed without one.
    pub policies: BTreeSet<PolicyName>,
    /// Time between two fetches: the shortest that any of the policies sets.
    pub refresh: Duration,
    /// The required hash of the content; other content is refused.
    pub sha256: Option<Sha256>,
    /// How far an update may shrink or grow.
    pub max_change: Share,
    /// `Refuse` if at least one policy says so.
    pub reserved: ReservedRule,
    /// The formats and selections with which the policies read the feed.
    pub readings: BTreeSet<FeedReading>,
    /// The part of the feed that is in force; `None` if no usable content is
    /// stored.
    pub in_force: Option<InForce>,
}

impl Feed {
    /// A feed with data about ranges, which no policy uses. `rows` are in force.
    #[must_use]
    pub fn of_data(url: FeedUrl, rows: usize) -> Self {
        Self {
            url,
            policies: BTreeSet::new(),
            refresh: DEFAULT_REFRESH,
            sha256: None,
            max_change: Share::DEFAULT_CHANGE,
            reserved: ReservedRule::default(),
            readings: BTreeSet::new(),
            in_force: Some(InForce {
                destinations: rows,
                cut: Cut::default(),
            }),
        }
    }

    /// True if this is a feed with data about ranges.
    #[must_use]
    pub fn is_data(&self) -> bool {
        self.policies.is_empty() && self.readings.is_empty()
    }
}

/// The part of a feed that is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    /// Number of lines whose destinations are in force, completely or in part.
    pub destinations: usize,
    /// The reserved ranges that were removed.
    pub cut: Cut,
}
