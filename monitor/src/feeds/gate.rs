//! Judges an update of a feed against the content in force. Both are arguments:
//! nothing here reads a file or a clock.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use crate::{
    address::{Address, Interval, IntervalSet, Network},
    lists::{Cut, FeedProblem, FeedReading, List, Reserved, Sha256, feed_text, read_feed},
    policy::{Feed, ReservedRule, Share},
};

/// The share of a list's destinations that may be reserved. If more would be cut
/// out, an operator must accept the update.
const MAX_CUT: Share = Share::DEFAULT_CHANGE;

/// A list with more addresses than this contains more than half of its family:
/// half of all IPv4 addresses, or half of `2000::/3`, the part of IPv6 in use.
const HALF_IPV4: u128 = 1 << 31;
const HALF_IPV6: u128 = 1 << 124;

/// The number of prefixes shown for each side of a difference.
const SHOWN: usize = 20;

/// The reason why an update is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The content is not a list in the format that the policy names.
    #[error(transparent)]
    Problem(#[from] FeedProblem),
    /// The content has another hash than the policy names.
    #[error("its SHA-256 is {found}, but the policy accepts only {wanted}")]
    Sha256 {
        /// Hash of the update.
        found: Sha256,
        /// Hash in the policy.
        wanted: Sha256,
    },
    /// All destinations are reserved, so none would be left.
    #[error("all of its destinations are reserved ({networks})")]
    NothingLeft {
        /// The networks that were cut out.
        networks: String,
    },
    /// Some destinations are reserved, and the policy says `reserved: refuse`.
    #[error(
        "destinations with reserved addresses: {destinations} ({networks}), and the policy says `reserved: refuse`"
    )]
    Reserved {
        /// Number of reserved destinations.
        destinations: usize,
        /// The reserved networks that they overlap.
        networks: String,
    },
    /// More than half of the destinations are reserved.
    #[error(
        "destinations with reserved addresses: {destinations} of {all} ({networks}), more than {MAX_CUT}"
    )]
    MuchReserved {
        /// Number of reserved destinations.
        destinations: usize,
        /// Number of all destinations.
        all: usize,
        /// The reserved networks that they overlap.
        networks: String,
    },
    /// The list contains more than half of a family, for example `0.0.0.0/0`. An
    /// `allow` of it would open the filter, and a `count` of it would tell nothing.
    #[error("it contains more than half of all {what}: {after}; such a list names no suspects")]
    Vast {
        /// The family, as "IPv4 addresses" or "IPv6 addresses".
        what: &'static str,
        /// The number in the update.
        after: u128,
    },
    /// The update is much smaller than the list in force.
    #[error("it shrinks from {before} to {after} {what}, by more than {limit}")]
    Shrinks {
        /// The counted items: destinations, or addresses of a family.
        what: &'static str,
        /// The number in the list in force.
        before: u128,
        /// The number in the update.
        after: u128,
        /// The policy's `max_change`.
        limit: Share,
    },
    /// The update is much larger than the list in force.
    #[error("it grows from {before} to {after} {what}, by more than {limit}")]
    Grows {
        /// The counted items: destinations, or addresses of a family.
        what: &'static str,
        /// The number in the list in force.
        before: u128,
        /// The number in the update.
        after: u128,
        /// The policy's `max_change`.
        limit: Share,
    },
}

impl Refusal {
    /// Returns true if an operator may accept the update in spite of this reason.
    #[must_use]
    pub fn is_acceptable(&self) -> bool {
        match self {
            Self::MuchReserved { .. }
            | Self::Vast { .. }
            | Self::Shrinks { .. }
            | Self::Grows { .. } => true,
            Self::Problem(_)
            | Self::Sha256 { .. }
            | Self::NothingLeft { .. }
            | Self::Reserved { .. } => false,
        }
    }

    /// Returns a text that says what the operator can do.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Problem(problem) => problem.help(),
            Self::Sha256 { .. } => {
                "check the content of the URL, and if it is right, write its hash as `sha256`"
                    .to_owned()
            }
            Self::NothingLeft { .. } => {
                "check the content of the URL; if it stays like this, use another URL".to_owned()
            }
            Self::Reserved { .. } => "to have them cut out, write `reserved: strip`".to_owned(),
            Self::MuchReserved { .. }
            | Self::Vast { .. }
            | Self::Shrinks { .. }
            | Self::Grows { .. } => {
                "see what changes with `monitor feed diff`, accept it with `monitor feed accept`"
                    .to_owned()
            }
        }
    }
}

/// The size of a list after the reserved networks are cut out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Number of lines with a destination.
    pub destinations: u128,
    /// Number of distinct IPv4 addresses.
    pub ipv4: u128,
    /// Number of distinct IPv6 addresses. For all of IPv6 this is 2^128 - 1, the
    /// largest number that fits.
    pub ipv6: u128,
}

/// Judges `update` for every way in which the policies read `feed`. `before` is the
/// content in force, if there is one. Returns the reason if the update is refused.
pub fn judge(
    update: &[u8],
    before: Option<&[u8]>,
    feed: &Feed,
    reserved: &Reserved,
) -> Result<(), Refusal> {
    let found = Sha256::of(update);
    if let Some(wanted) = feed.sha256.filter(|wanted| *wanted != found) {
        return Err(Refusal::Sha256 { found, wanted });
    }
    let text = feed_text(update.to_vec())?;
    // The content in force passed this check when it was taken. If it cannot be read
    // any more, the update is judged without a comparison.
    let before = before.and_then(|before| feed_text(before.to_vec()).ok());
    // First look in all readings for reasons that an operator cannot accept, then for
    // the others.
    let mut lists = Vec::new();
    for reading in &feed.readings {
        lists.push((reading, part_left(&text, reading, feed, reserved)?));
    }
    for (reading, (list, cut)) in lists {
        refuse_much_reserved(&cut)?;
        let before = before
            .as_ref()
            .and_then(|text| read_feed(text, reading).ok());
        let before = before.map(|before| sizes(&reserved.cut(before).0));
        let after = sizes(&list);
        refuse_vast(before.as_ref(), &after)?;
        if let Some(before) = before {
            refuse_changes(&before, &after, feed.max_change)?;
        }
    }
    Ok(())
}

fn part_left(
    text: &str,
    reading: &FeedReading,
    feed: &Feed,
    reserved: &Reserved,
) -> Result<(List, Cut), Refusal> {
    let (list, cut) = reserved.cut(read_feed(text, reading)?);
    if feed.reserved == ReservedRule::Refuse && cut.destinations > 0 {
        return Err(Refusal::Reserved {
            destinations: cut.destinations,
            networks: cut.networks(),
        });
    }
    if list.is_empty() {
        return Err(Refusal::NothingLeft {
            networks: cut.networks(),
        });
    }
    Ok((list, cut))
}

fn refuse_much_reserved(cut: &Cut) -> Result<(), Refusal> {
    if exceeds(cut.destinations as u128, cut.of as u128, MAX_CUT) {
        return Err(Refusal::MuchReserved {
            destinations: cut.destinations,
            all: cut.of,
            networks: cut.networks(),
        });
    }
    Ok(())
}

/// Refuses a list with more than half of a family, unless the list in force also has
/// more than half of it.
fn refuse_vast(before: Option<&Sizes>, after: &Sizes) -> Result<(), Refusal> {
    let (ipv4, ipv6) = before.map_or((0, 0), |before| (before.ipv4, before.ipv6));
    for (what, before, after, half) in [
        ("IPv4 addresses", ipv4, after.ipv4, HALF_IPV4),
        ("IPv6 addresses", ipv6, after.ipv6, HALF_IPV6),
    ] {
        if after > half && before <= half {
            return Err(Refusal::Vast { what, after });
        }
    }
    Ok(())
}

fn refuse_changes(before: &Sizes, after: &Sizes, limit: Share) -> Result<(), Refusal> {
    let each = [
        ("destinations", before.destinations, after.destinations),
        ("IPv4 addresses", before.ipv4, after.ipv4),
        ("IPv6 addresses", before.ipv6, after.ipv6),
    ];
    for (what, before, after) in each {
        if exceeds(before.saturating_sub(after), before, limit) {
            return Err(Refusal::Shrinks {
                what,
                before,
                after,
                limit,
            });
        }
        if exceeds(after.saturating_sub(before), before, limit) {
            return Err(Refusal::Grows {
                what,
                before,
                after,
                limit,
            });
        }
    }
    Ok(())
}

/// Returns true if `part` is more than `share` of `whole`. If `whole` is 0, this is
/// true for every `part` above 0.
fn exceeds(part: u128, whole: u128, share: Share) -> bool {
    // Divides before it multiplies: the number of all IPv6 addresses times the share in
    // percent, at most 1000, would overflow.
    let limit =
        whole / 100 * u128::from(share.percent()) + whole % 100 * u128::from(share.percent()) / 100;
    part > limit
}

fn sizes(list: &List) -> Sizes {
    let ipv4: IntervalSet<_> = list.ipv4.iter().map(|(interval, _)| *interval).collect();
    let ipv6: IntervalSet<_> = list.ipv6.iter().map(|(interval, _)| *interval).collect();
    Sizes {
        destinations: list.lines() as u128,
        ipv4: ipv4.size(),
        ipv6: ipv6.size(),
    }
}

/// The difference between an update and the list in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The size of the list in force.
    pub before: SizesText,
    /// The size of the update.
    pub after: SizesText,
    /// The first prefixes that the update adds.
    pub added: Vec<String>,
    /// Number of all prefixes that the update adds.
    pub added_count: usize,
    /// The first prefixes that the update removes.
    pub removed: Vec<String>,
    /// Number of all prefixes that the update removes.
    pub removed_count: usize,
}

/// [`Sizes`] for JSON. Numbers of addresses are decimal texts, because they exceed
/// the numbers that JSON readers support.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SizesText {
    /// Number of lines with a destination.
    pub destinations: u128,
    /// Number of IPv4 addresses.
    pub ipv4_addresses: String,
    /// Number of IPv6 addresses.
    pub ipv6_addresses: String,
}

impl From<Sizes> for SizesText {
    fn from(sizes: Sizes) -> Self {
        Self {
            destinations: sizes.destinations,
            ipv4_addresses: sizes.ipv4.to_string(),
            ipv6_addresses: sizes.ipv6.to_string(),
        }
    }
}

/// Compares `update` with `before`, the content in force, after the reserved networks
/// are cut out of both. If the policies read `feed` in several ways, the first way
/// counts. Fails if `update` is not a list in that format.
pub fn difference(
    update: &[u8],
    before: Option<&[u8]>,
    feed: &Feed,
    reserved: &Reserved,
) -> Result<Difference, FeedProblem> {
    let reading = feed.readings.first().cloned().unwrap_or_default();
    let after = content(update, &reading, reserved)?;
    let before = match before {
        // The policies may have changed, so that this content cannot be read any more.
        Some(before) => content(before, &reading, reserved).ok(),
        None => None,
    };
    let mut difference = Difference {
        before: before.as_ref().map(sizes).unwrap_or_default().into(),
        after: sizes(&after).into(),
        ..Difference::default()
    };
    let (before4, before6) = before.as_ref().map(prefixes).unwrap_or_default();
    let (after4, after6) = prefixes(&after);
    for (more, less, shown, count) in [
        (
            (&after4, &after6),
            (&before4, &before6),
            &mut difference.added,
            &mut difference.added_count,
        ),
        (
            (&before4, &before6),
            (&after4, &after6),
            &mut difference.removed,
            &mut difference.removed_count,
        ),
    ] {
        let ipv4 = missing(more.0, less.0);
        let ipv6 = missing(more.1, less.1);
        *count = ipv4.len() + ipv6.len();
        let ipv4 = ipv4.into_iter().map(|network| network.to_string());
        let ipv6 = ipv6.into_iter().map(|network| network.to_string());
        shown.extend(ipv4.chain(ipv6).take(SHOWN));
    }
    Ok(difference)
}

fn content(bytes: &[u8], reading: &FeedReading, reserved: &Reserved) -> Result<List, FeedProblem> {
    let text = feed_text(bytes.to_vec())?;
    let (list, _) = reserved.cut(read_feed(&text, reading)?);
    Ok(list)
}

type Prefixes = (Vec<Network<Ipv4Addr>>, Vec<Network<Ipv6Addr>>);

/// Returns the prefixes of a list, sorted and without duplicates.
fn prefixes(list: &List) -> Prefixes {
    fn of<A: Address>(intervals: &[(Interval<A>, u32)]) -> Vec<Network<A>> {
        let each = intervals
            .iter()
            .flat_map(|(interval, _)| interval.networks());
        let mut networks: Vec<_> = each.collect();
        networks.sort_unstable();
        networks.dedup();
        networks
    }
    (of(&list.ipv4), of(&list.ipv6))
}

/// Returns the prefixes of `more` that are not in `less`. Both must be sorted.
fn missing<A: Address>(more: &[Network<A>], less: &[Network<A>]) -> Vec<Network<A>> {
    let is_new = |network: &&Network<A>| less.binary_search(network).is_err();
    more.iter().filter(is_new).copied().collect()
}
