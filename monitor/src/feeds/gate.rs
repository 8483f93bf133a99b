//! Whether an update of a feed is taken. Pure: what is in force and what came
//! are arguments.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use crate::{
    address::{Interval, IntervalSet, Network},
    lists::{Cut, FeedProblem, FeedReading, List, Reserved, Sha256, feed_text, read_feed},
    policy::{Feed, ReservedRule, Share},
};

/// More of a list than this is not cut out unseen.
const MAX_CUT: Share = Share::DEFAULT_CHANGE;

/// More addresses than this are half of a family, or half of the part of it
/// that is in use (`2000::/3`).
const HALF_IPV4: u128 = 1 << 31;
const HALF_IPV6: u128 = 1 << 124;

/// Prefixes shown of a difference.
const SHOWN: usize = 20;

/// Why an update is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is no list, or not the one that was asked for.
    #[error(transparent)]
    Problem(#[from] FeedProblem),
    /// Another content than the policy names.
    #[error("its SHA-256 is {found}, the policy takes only {wanted}")]
    Sha256 {
        /// Of what came.
        found: Sha256,
        /// Of the policy.
        wanted: Sha256,
    },
    /// Nothing would be left.
    #[error("all of its destinations are reserved ({networks})")]
    NothingLeft {
        /// What was cut out.
        networks: String,
    },
    /// `reserved: refuse`.
    #[error(
        "destinations with reserved addresses: {destinations} ({networks}), and the policy says `reserved: refuse`"
    )]
    Reserved {
        /// How many.
        destinations: usize,
        /// Which networks.
        networks: String,
    },
    /// More than half.
    #[error(
        "destinations with reserved addresses: {destinations} of {all} ({networks}), more than {MAX_CUT}"
    )]
    MuchReserved {
        /// How many.
        destinations: usize,
        /// Of how many.
        all: usize,
        /// Which networks.
        networks: String,
    },
    /// Such as `0.0.0.0/0`: an `allow` of it opens the filter, a `count` of it
    /// says nothing.
    #[error("it holds more than half of all {what}, so it names no suspects: {after}")]
    Vast {
        /// What is counted.
        what: &'static str,
        /// In the update.
        after: u128,
    },
    /// Smaller than what is in force.
    #[error("it shrinks from {before} to {after} {what}, by more than {limit}")]
    Shrinks {
        /// What is counted.
        what: &'static str,
        /// In force.
        before: u128,
        /// In the update.
        after: u128,
        /// `max_change`.
        limit: Share,
    },
    /// Larger than what is in force.
    #[error("it grows from {before} to {after} {what}, by more than {limit}")]
    Grows {
        /// What is counted.
        what: &'static str,
        /// In force.
        before: u128,
        /// In the update.
        after: u128,
        /// `max_change`.
        limit: Share,
    },
}

impl Refusal {
    /// Whether somebody who looked at it may take it all the same.
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

    /// What to do.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Problem(problem) => problem.help(),
            Self::Sha256 { .. } => {
                "look at what the URL gives, and write its hash as `sha256` if it is what is wanted"
                    .to_owned()
            }
            Self::NothingLeft { .. } => {
                "look at what the URL gives; where it stays so, name another one".to_owned()
            }
            Self::Reserved { .. } => "write `reserved: strip` to have them cut out".to_owned(),
            Self::MuchReserved { .. }
            | Self::Vast { .. }
            | Self::Shrinks { .. }
            | Self::Grows { .. } => {
                "look at it with `monitor feed diff`, take it with `monitor feed accept`".to_owned()
            }
        }
    }
}

/// How much a list holds, without what is cut out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Lines with a destination.
    pub destinations: u128,
    /// IPv4 addresses, each once.
    pub ipv4: u128,
    /// IPv6 addresses, each once; one less than all of them at most.
    pub ipv6: u128,
}

/// Judges `update` for every reading of `feed`. `before` is the content in
/// force, where there is one.
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
    // What is in force was taken once: where it cannot be read any more, there
    // is nothing to compare with.
    let before = before.and_then(|before| feed_text(before.to_vec()).ok());
    // Of all readings first what makes it useless, then what can be accepted.
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

/// Refuses what holds half of the internet, unless the list in force does so too.
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

/// Whether `part` is more than this share of `whole`; of nothing, everything is.
fn exceeds(part: u128, whole: u128, share: Share) -> bool {
    // All of IPv6 times a thousand is more than a number holds.
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

/// What an update changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// In force.
    pub before: SizesText,
    /// In the update.
    pub after: SizesText,
    /// Prefixes that the update adds, the first of them.
    pub added: Vec<String>,
    /// How many it adds.
    pub added_count: usize,
    /// Prefixes that the update takes away, the first of them.
    pub removed: Vec<String>,
    /// How many it takes away.
    pub removed_count: usize,
}

/// [`Sizes`]; addresses as decimal text, because they exceed the numbers of JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SizesText {
    /// Lines with a destination.
    pub destinations: u128,
    /// IPv4 addresses.
    pub ipv4_addresses: String,
    /// IPv6 addresses.
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

/// What `update` would change of `before`, in the first way in which `feed` is
/// read. Without what is cut out.
pub fn difference(
    update: &[u8],
    before: Option<&[u8]>,
    feed: &Feed,
    reserved: &Reserved,
) -> Result<Difference, FeedProblem> {
    let reading = feed.readings.first().cloned().unwrap_or_default();
    let after = content(update, &reading, reserved)?;
    let before = match before {
        // It may have become unreadable in the way that is asked for now.
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

/// Sorted, none twice.
fn prefixes(list: &List) -> Prefixes {
    fn of<A: crate::address::Address>(intervals: &[(Interval<A>, u32)]) -> Vec<Network<A>> {
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

/// What is in `more` and not in `less`; both sorted.
fn missing<A: crate::address::Address>(
    more: &[Network<A>],
    less: &[Network<A>],
) -> Vec<Network<A>> {
    let is_new = |network: &&Network<A>| less.binary_search(network).is_err();
    more.iter().filter(is_new).copied().collect()
}
