//! Reads the facts: over netlink, from `/proc`, from the pins and from the store.

mod dhcp;
mod features;
mod filters;
mod flowtables;
mod forwarding;
mod generic;
mod hostapd;
mod ingress;
mod ipsec;
pub(super) mod links;
mod network;
mod process;
mod wireless;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use jiff::{SignedDuration, Timestamp};

pub use filters::{Filters, filters};
pub use network::network;

use super::facts::{DaemonFact, Facts, Ingress, Link, PolicyFacts};
use crate::{
    config::Settings, data::Listing, default_routes::default_routes, error_text::error_text,
    policy::Policy, snapshot::Snapshot, store::StoreReader,
};

/// The most interfaces whose programs are read.
const MOST_INTERFACES: usize = 256;

/// Number of attempts to read the interfaces while no reload happens.
const ATTEMPTS: usize = 5;

/// Reasons of losses that are no defect: a setting, the end of the retention, or the length of
/// a copy.
const EXPECTED_LOSSES: [&str; 7] = [
    "setting",
    "expired",
    "forgotten",
    "not-stored",
    "size",
    "sample-cut",
    "dns-cut",
];

/// What the caller knows already.
pub struct Known {
    /// What the filter counted.
    pub snapshot: Option<Snapshot>,
    /// The policies.
    pub policies: Result<PolicyFacts, String>,
    /// The daemon.
    pub daemon: DaemonFact,
    /// The data about ranges.
    pub data: Listing,
    /// True if the clock is synchronised.
    pub clock_synchronised: bool,
    /// Names and indices of interfaces to which a default route led earlier.
    pub far_sides: BTreeSet<(String, u32)>,
}

impl PolicyFacts {
    /// The facts about these policies.
    #[must_use]
    pub fn of(policies: &[Policy], feeds: usize) -> Self {
        let active = || policies.iter().filter(|policy| policy.is_active());
        Self {
            active: active().count(),
            with_ipv6: active().filter(|policy| !policy.ipv6().is_empty()).count(),
            feeds,
        }
    }
}

/// Reads the facts of this network namespace, and of the filter of these settings. Blocks for
/// some milliseconds.
#[must_use]
pub fn read(settings: &Settings, known: Known) -> Facts {
    let (links, filters) = interfaces(&settings.pin_dir, known.snapshot.as_ref());
    let of_links = links.as_ref().map_or(&[][..], Vec::as_slice);
    let (filters, detached) = match filters {
        Ok(filters) => (Ok(filters.attached), filters.detached),
        Err(why) => (Err(why), Vec::new()),
    };
    Facts {
        far_sides: far_sides(&known.far_sides, of_links),
        ingress: ingress_of(of_links),
        flowtables: flowtables::flowtables().map_err(|error| error_text(&error)),
        hardware_tc: hardware_tc(of_links),
        accelerators: flowtables::accelerators().map_err(|error| error_text(&error)),
        ipsec: ipsec::ipsec().map_err(|error| error_text(&error)),
        wireless: wireless::wireless().map_err(|error| error_text(&error)),
        feeds: known
            .snapshot
            .as_ref()
            .map_or_else(Vec::new, |snapshot| snapshot.feeds.clone()),
        snapshot: known.snapshot,
        policies: known.policies,
        daemon: known.daemon,
        data: known.data,
        kernel: process::kernel(),
        missing_rights: process::missing_rights().map_err(|error| error_text(&error)),
        clock_synchronised: known.clock_synchronised,
        disk: process::disk(&settings.state_dir, settings.store.size)
            .map_err(|error| error_text(&error)),
        evidence: settings.evidence,
        losses: losses(&settings.state_dir),
        links,
        filters,
        detached,
    }
}

/// The interfaces of the machine, and the attached filters. If a reload changes the program
/// between the two readings, both are read again.
fn interfaces(
    pin_dir: &Path,
    snapshot: Option<&Snapshot>,
) -> (Result<Vec<Link>, String>, Result<Filters, String>) {
    let mut before = filters(pin_dir, snapshot);
    let mut attempts = ATTEMPTS;
    loop {
        let links = links::links().map_err(|error| error_text(&error));
        let after = filters(pin_dir, snapshot);
        if after == before || attempts == 0 {
            return (links, after);
        }
        before = after;
        attempts -= 1;
    }
}

/// The interfaces that are up.
fn up(links: &[Link]) -> impl Iterator<Item = &Link> {
    links.iter().filter(|link| link.is_up)
}

/// The interfaces to which a default route leads, and those to which one led earlier: the
/// uplink has none while it waits for an address.
fn far_sides(earlier: &BTreeSet<(String, u32)>, links: &[Link]) -> Vec<u32> {
    // Without the routes, more interfaces look like those of devices, and none fewer.
    let now = default_routes().unwrap_or_default();
    let is_far = |link: &&Link| {
        now.contains(&link.index) || earlier.contains(&(link.name.clone(), link.index))
    };
    links.iter().filter(is_far).map(|link| link.index).collect()
}

fn too_many() -> String {
    format!("more than {MOST_INTERFACES} interfaces are up, and the others are not looked at")
}

/// The interfaces whose cards may execute rules of tc.
fn hardware_tc(links: &[Link]) -> Result<Vec<u32>, String> {
    if up(links).count() > MOST_INTERFACES {
        return Err(too_many());
    }
    features::hardware_tc(up(links).map(|link| link.index)).map_err(|error| error_text(&error))
}

/// What runs at the ingress of the interfaces that are up.
fn ingress_of(links: &[Link]) -> BTreeMap<u32, Result<Ingress, String>> {
    let each = up(links).enumerate().map(|(number, link)| {
        let found = if number < MOST_INTERFACES {
            ingress::ingress(link.index).map_err(|error| error_text(&error))
        } else {
            Err(too_many())
        };
        (link.index, found)
    });
    each.collect()
}

/// Losses of the last 24 hours by reason.
fn losses(state_dir: &Path) -> Result<BTreeMap<String, u64>, String> {
    let text = |error: crate::store::StoreError| error_text(&error);
    let Some(mut reader) = StoreReader::open(state_dir).map_err(text)? else {
        return Ok(BTreeMap::new());
    };
    let since = Timestamp::now() - SignedDuration::from_hours(24);
    let stored = reader.view().map_err(text)?.losses(since).map_err(text)?;
    let mut sums = BTreeMap::new();
    for found in stored {
        if !EXPECTED_LOSSES.contains(&found.loss.reason.as_str()) {
            *sums.entry(found.loss.reason).or_default() += found.loss.packets;
        }
    }
    Ok(sums)
}
