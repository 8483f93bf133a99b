//! Finds the targets that a `drop` cuts off, after exceptions and `allow` policies.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use super::{
    gateway::Gateway,
    parts::{EntryId, all_parts, near},
    reach::Reach,
    target::{Family, Target, TargetKind, targets},
};
use crate::{
    address::{Derivation, DerivedFrom, Destination, Interval, IntervalSet, Network},
    policy::{Device, Policy, Risk, Role, Service, SourcePlace},
};

/// A network that one entry of a `drop` cuts off, although devices need it.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    /// The kind of the target.
    pub(super) what: TargetKind,
    /// The side of the gateway on which it is cut off.
    pub(super) side: Role,
    /// The network or address of the target.
    pub(super) target: String,
    /// The widest network of the target that is cut off. For a prefix that is too
    /// short, this is the network of the entry.
    pub(super) network: String,
    /// The interfaces on which it is cut off. Empty if neither the gateway nor the
    /// policy names one.
    pub(super) on: BTreeSet<String>,
    /// The services of the target that are cut off. Empty if the target is not
    /// limited to services.
    pub(super) services: BTreeSet<Service>,
    /// The entry of the `drop`.
    pub(super) entry: WrittenEntry,
    /// The origin of the network, if it is derived from an IPv4 destination.
    pub(super) derived: Option<DerivedFrom>,
    /// An `allow` that exempts some of these packets, but not all.
    pub(super) narrower: Option<SourcePlace>,
    /// Number of earlier cuts of the same target.
    pub(super) rank: usize,
}

/// An entry of a policy, with its position in a file.
#[derive(Clone, Debug)]
pub(super) struct WrittenEntry {
    /// The policy file or the list.
    pub(super) file: PathBuf,
    /// The line, counted from 1, if the file has lines.
    pub(super) line: Option<u32>,
    /// The network of the entry, as text.
    pub(super) network: String,
    /// The network of the entry.
    pub(super) destination: Destination,
    /// The exceptions that the entry already has.
    pub(super) except: Vec<String>,
    /// True if the entry is a CIDR or an address in the policy file itself.
    pub(super) is_cidr: bool,
    /// True if the entry is in a list.
    pub(super) in_list: bool,
    /// True if the target contains the whole entry.
    pub(super) inside: bool,
}

impl WrittenEntry {
    /// Describes the entry of `policy` with this index. It must overlap `target`.
    fn new<A: Family>(policy: &Policy, index: usize, target: Network<A>) -> Self {
        let destinations = A::destinations(policy);
        let entry = destinations.entry(index);
        let holes = destinations.holes().iter();
        let own = holes.filter(|hole| hole.entry == index);
        Self {
            file: policy.file_of(&entry).to_owned(),
            line: entry.line(),
            network: text(entry.network()),
            destination: A::destination(entry.network().interval()),
            except: own.map(|hole| text(hole.network)).collect(),
            is_cidr: !entry.is_in_list() && !entry.is_part_of_range(),
            in_list: entry.is_in_list(),
            inside: target.contains_network(entry.network()),
        }
    }
}

impl Cut {
    /// Returns the risk that a policy must accept to make this cut.
    pub(super) fn risk(&self) -> Risk {
        match (self.side, self.what.risk()) {
            (Role::Wan, Risk::Lan) => Risk::Wan,
            (_, risk) => risk,
        }
    }
}

/// Returns everything that `drop` cuts off from the gateway itself on its interfaces towards
/// the internet. `internet` is [`Gateway::of_internet`]. Private and very wide networks are
/// judged on the devices' side.
pub(super) fn cuts_of_internet(drop: &Policy, allows: &[&Policy], internet: &Gateway) -> Vec<Cut> {
    // A drop for some devices does not apply where devices are not known.
    let mut interfaces = internet.interfaces.iter();
    if !interfaces.any(|one| drop.scope().holds_for_every_device(Some(&one.name))) {
        return Vec::new();
    }
    let mut cuts = cuts(drop, allows, internet);
    for cut in &mut cuts {
        cut.side = Role::Wan;
    }
    cuts.retain(|cut| cut.risk() == Risk::Wan);
    cuts
}

/// Returns everything that `drop` cuts off from the devices of `gateway`, although
/// `allows` exempt packets. Includes the risks that `drop` accepts.
pub(super) fn cuts(drop: &Policy, allows: &[&Policy], gateway: &Gateway) -> Vec<Cut> {
    let on = interfaces(drop, gateway);
    let mut cuts = of_family::<Ipv4Addr>(drop, allows, gateway, &on);
    cuts.extend(of_family::<Ipv6Addr>(drop, allows, gateway, &on));
    cuts.sort_by_key(|cut| (cut.rank, cut.what));
    cuts
}

/// Returns the interfaces on which to judge `drop`: those of the gateway. If they are
/// not known, returns those that `drop` names, and `None` for all others.
fn interfaces<'a>(drop: &'a Policy, gateway: &'a Gateway) -> Vec<Option<&'a str>> {
    let known = gateway.interfaces.iter().map(|interface| &interface.name);
    let known: BTreeSet<&str> = known.map(String::as_str).collect();
    if !known.is_empty() {
        return known.into_iter().map(Some).collect();
    }
    let groups = drop
        .scope()
        .devices
        .iter()
        .filter_map(|device| match device {
            Device::Interface(name) => Some(name),
            Device::Mac(_) | Device::Ipv4(_) | Device::Ipv6(_) => None,
        });
    let named: BTreeSet<&String> = drop.scope().interfaces.iter().chain(groups).collect();
    let named = named.into_iter().map(|name| Some(name.as_str()));
    named.chain([None]).collect()
}

fn of_family<A: Family>(
    drop: &Policy,
    allows: &[&Policy],
    gateway: &Gateway,
    on: &[Option<&str>],
) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let targets = targets::<A>(gateway, on);
    let near = near(drop, &targets);
    for target in targets {
        let entries = near.iter().copied();
        let mut parts = all_parts(drop, entries, &target, &gateway.derivation);
        if target.what == TargetKind::Internet {
            parts.retain(|(entry, _)| {
                let written = entry.written::<A>(drop);
                written.is_some_and(|network| network.length() < A::SHORTEST)
            });
        }
        if !parts.is_empty() {
            let judgement = Judgement::new(drop, allows, &target, parts, &gateway.derivation);
            cuts.extend(judgement.cuts());
        }
    }
    cuts
}

/// The inputs to judge one `drop` against one target.
struct Judgement<'a, A> {
    drop: &'a Policy,
    target: &'a Target<'a, A>,
    /// The parts of the target that the entries of the `drop` cover.
    parts: Vec<(EntryId, Vec<Interval<A>>)>,
    /// The `allow` policies that cover a part of the target, each with that part.
    allows: Vec<(&'a Policy, IntervalSet<A>)>,
}

/// The interfaces on which, and the services for which, a network is cut off.
#[derive(Default)]
struct Extent {
    on: BTreeSet<String>,
    services: BTreeSet<Service>,
}

impl<'a, A: Family> Judgement<'a, A> {
    fn new(
        drop: &'a Policy,
        allows: &[&'a Policy],
        target: &'a Target<'a, A>,
        parts: Vec<(EntryId, Vec<Interval<A>>)>,
        derivation: &Derivation,
    ) -> Self {
        let allows = allows.iter().filter_map(|allow| {
            let entries = A::destinations(allow).networks().enumerate();
            let region = all_parts(allow, entries, target, derivation);
            let region: IntervalSet<A> = region.into_iter().flat_map(|(_, part)| part).collect();
            (!region.is_empty()).then_some((*allow, region))
        });
        Self {
            drop,
            target,
            parts,
            allows: allows.collect(),
        }
    }

    fn cuts(&self) -> Vec<Cut> {
        let mut extents: BTreeMap<(EntryId, Network<A>), Extent> = BTreeMap::new();
        let mut regions = BTreeMap::new();
        for on in &self.target.on {
            let Some(reach) = Reach::new(self.drop.scope(), *on) else {
                continue;
            };
            let allows = self.allows.iter();
            let allows: Vec<Option<Reach<'_, A>>> = allows
                .map(|(allow, _)| Reach::new(allow.scope(), *on).filter(|_| allow.is_permanent()))
                .collect();
            for packets in reach.packets(&self.target.services, &allows) {
                let covers = |allow: &Option<Reach<'_, A>>| {
                    allow
                        .as_ref()
                        .is_some_and(|allow| allow.covers(packets, &reach))
                };
                let covering: Vec<bool> = allows.iter().map(covers).collect();
                let left = regions
                    .entry(covering)
                    .or_insert_with_key(|covering| self.left(covering));
                for key in left.iter() {
                    let extent = extents.entry(*key).or_default();
                    extent.on.extend(on.map(str::to_owned));
                    if !self.target.services.is_empty() {
                        extent.services.extend(packets.service);
                    }
                }
            }
        }
        let ranked = extents.into_iter().enumerate();
        ranked
            .map(|(rank, (key, extent))| self.cut(rank, key, extent))
            .collect()
    }

    /// Returns, for each entry, the widest network that remains cut off. The `allow`
    /// policies marked in `covering` exempt their parts.
    fn left(&self, covering: &[bool]) -> Vec<(EntryId, Network<A>)> {
        let allows = self.allows.iter().zip(covering);
        let saved = allows.filter(|(_, covers)| **covers);
        let saved = saved.flat_map(|((_, region), _)| region.intervals());
        let saved: IntervalSet<A> = saved.copied().collect();
        let each = self.parts.iter().filter_map(|(entry, parts)| {
            let left = parts.iter().flat_map(|part| part.without(&saved));
            let network = if self.target.what == TargetKind::Internet {
                let wide = is_wide(left);
                wide.then(|| entry.written::<A>(self.drop)).flatten()
            } else {
                let networks = left.flat_map(Interval::networks);
                networks.min_by_key(|network| network.length())
            };
            Some((*entry, network?))
        });
        each.collect()
    }

    fn cut(&self, rank: usize, (entry, network): (EntryId, Network<A>), extent: Extent) -> Cut {
        let mut allows = self.allows.iter();
        let narrower = allows.find(|(_, region)| region.touches(network.interval()));
        Cut {
            what: self.target.what,
            side: Role::Lan,
            target: match entry {
                EntryId::WrittenEntry(_) => text(self.target.network),
                EntryId::Derived { address, .. } => address.to_string(),
            },
            network: text(network),
            on: extent.on,
            services: extent.services,
            entry: match entry {
                EntryId::WrittenEntry(index) => {
                    WrittenEntry::new(self.drop, index, self.target.network)
                }
                EntryId::Derived { entry, address, .. } => {
                    WrittenEntry::new(self.drop, entry, Network::around(address, 32))
                }
            },
            derived: entry.derived(self.drop),
            narrower: narrower.map(|(allow, _)| allow.place().clone()),
            rank,
        }
    }
}

/// Returns true if `parts` have more addresses than the widest network that a `drop`
/// may contain without accepting the risk.
fn is_wide<A: Family>(parts: impl Iterator<Item = Interval<A>>) -> bool {
    let sizes = parts.map(Interval::size);
    sizes.fold(0, u128::saturating_add) > 1 << (A::BITS - A::SHORTEST)
}

/// Writes a network as a CIDR, or as an address if it has only one.
fn text<A: Family>(network: Network<A>) -> String {
    if network.length() == A::BITS {
        network.address().to_string()
    } else {
        network.to_string()
    }
}
