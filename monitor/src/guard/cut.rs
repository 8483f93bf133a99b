//! What a `drop` cuts off in effect.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use super::{
    gateway::Gateway,
    parts::{EntryId, all_parts},
    reach::Reach,
    target::{Family, Target, TargetKind, targets},
};
use crate::{
    address::{Derivation, DerivedFrom, Destination, Interval, IntervalSet, Network},
    policy::{Device, Policy, Service, SourcePlace},
};

/// A part of the address space that one entry of a `drop` cuts off.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    pub(super) what: TargetKind,
    /// What must not be cut off.
    pub(super) target: String,
    /// The widest network of it that is cut off; of what is too wide the entry.
    pub(super) network: String,
    /// Interfaces; none where no policy and nobody names one.
    pub(super) on: BTreeSet<String>,
    /// Services of the target that are cut off; none: packets of any service.
    pub(super) services: BTreeSet<Service>,
    pub(super) entry: WrittenEntry,
    /// What the part is derived from, where it is not written.
    pub(super) derived: Option<DerivedFrom>,
    /// An `allow` of some of these packets.
    pub(super) narrower: Option<SourcePlace>,
    /// How many cuts of the same target come before.
    pub(super) rank: usize,
}

/// The entry of a policy, and where it is written.
#[derive(Clone, Debug)]
pub(super) struct WrittenEntry {
    pub(super) file: PathBuf,
    /// From 1, where the file has lines.
    pub(super) line: Option<u32>,
    pub(super) network: String,
    pub(super) destination: Destination,
    /// What it leaves out already.
    pub(super) except: Vec<String>,
    /// A CIDR or an address in the policy file itself.
    pub(super) is_cidr: bool,
    /// Whether it lies in a list.
    pub(super) in_list: bool,
    /// Whether nothing of it lies outside the target.
    pub(super) inside: bool,
}

impl WrittenEntry {
    /// The entry of `policy` with this index, in which something lies in `target`.
    fn new<A: Family>(policy: &Policy, index: usize, target: Network<A>) -> Self {
        let destinations = A::destinations(policy);
        let entry = &destinations.entries()[index];
        let holes = destinations.holes().iter();
        let own = holes.filter(|hole| hole.entry == index);
        Self {
            file: policy.file_of(entry).to_owned(),
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

/// What `drop` cuts `gateway` off from, whatever it accepts, in spite of `allows`.
pub(super) fn cuts(drop: &Policy, allows: &[&Policy], gateway: &Gateway) -> Vec<Cut> {
    let on = interfaces(drop, gateway);
    let mut cuts = of_family::<Ipv4Addr>(drop, allows, gateway, &on);
    cuts.extend(of_family::<Ipv6Addr>(drop, allows, gateway, &on));
    cuts.sort_by_key(|cut| (cut.rank, cut.what));
    cuts
}

/// Where to judge `drop`: at the gateway's interfaces, or where those are not
/// known at those that it names and at any other.
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
    for target in targets::<A>(gateway, on) {
        let mut parts = all_parts(drop, &target, &gateway.derivation);
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

/// One `drop` and one target.
struct Judgement<'a, A> {
    drop: &'a Policy,
    target: &'a Target<'a, A>,
    parts: Vec<(EntryId, Vec<Interval<A>>)>,
    /// Each `allow` of a part of the target, and of which.
    allows: Vec<(&'a Policy, IntervalSet<A>)>,
}

/// Where and for what a network is cut off.
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
            let region = all_parts(allow, target, derivation);
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

    /// The widest network that these of the `allow`s leave of each entry.
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

/// Whether `parts` hold more addresses than one network that is not too wide.
fn is_wide<A: Family>(parts: impl Iterator<Item = Interval<A>>) -> bool {
    let sizes = parts.map(Interval::size);
    sizes.fold(0, u128::saturating_add) > 1 << (A::BITS - A::SHORTEST)
}

/// A network of one address is written as the address.
fn text<A: Family>(network: Network<A>) -> String {
    if network.length() == A::BITS {
        network.address().to_string()
    } else {
        network.to_string()
    }
}
