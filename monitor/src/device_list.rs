//! Which devices a period had: from the store, from the kernel's tables that the store does
//! not hold yet, and from a book of what is known about devices.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use jiff::Timestamp;
use monitor_common::Count;

use crate::{
    datapath::{FlowTables, TakenFlows},
    device_book::DeviceBook,
    evidence::{
        DeviceCounts, DeviceHead, DeviceView, DevicesView, Flow,
        identity::{Device, Fact, FactSource, Identities, Limits, Period},
        latest_name,
    },
    flows::{FlowFilter, FlowsError},
    policy::{Direction, MacAddress, PolicyName},
    store::{DeviceFact, DeviceSum, StoreError, StoreReader, StoredDevice},
};

/// The most that is shown of one device. Older addresses, names and models are left out.
const SHOWN: Limits = Limits {
    devices: 1,
    addresses: 64,
    names: 16,
};

/// The most that is known of one device: what the store and the memory hold together.
const KNOWN: Limits = Limits {
    devices: 1,
    addresses: 1_024,
    names: 1_024,
};

/// What the store and the kernel have about devices.
#[derive(Debug, Default)]
pub struct FoundDevices {
    sums: BTreeMap<Option<MacAddress>, Sum>,
    facts: BTreeMap<MacAddress, Vec<StoredFact>>,
    filter: FlowFilter,
    more: bool,
}

type StoredFact = (Fact, FactSource, Period);

/// Counts of a device, and when it was seen.
#[derive(Clone, Debug)]
struct Sum {
    passed: Count,
    dropped: Count,
    policies: BTreeSet<PolicyName>,
    seen: Period,
}

/// Reads the devices whose flows `filter` selects. Needs the privileges to open pinned maps,
/// unless nothing is pinned.
///
/// # Errors
///
/// Returns an error if the tables or the store cannot be read.
pub fn read(
    pin_dir: &Path,
    state_dir: &Path,
    filter: &FlowFilter,
) -> Result<FoundDevices, FlowsError> {
    let mut reader = match state_dir.try_exists() {
        Ok(false) => None,
        _ => StoreReader::open(state_dir)?,
    };
    let mut found = FoundDevices::default();
    let Some(tables) = FlowTables::open(pin_dir)? else {
        if let Some(reader) = &mut reader {
            (found, _) = FoundDevices::stored(reader, None, filter)?;
        }
        found.filter = filter.clone();
        return Ok(found);
    };
    let live = tables.live(|| {
        let mut drained = 0;
        if let Some(reader) = &mut reader {
            (found, drained) = FoundDevices::stored(reader, Some(tables.instance()), filter)?;
        }
        Ok::<_, FlowsError>(drained)
    })?;
    found.filter = filter.clone();
    found.add_live(&live);
    Ok(found)
}

impl FoundDevices {
    /// Reads the store. Returns also the last drained epoch.
    fn stored(
        reader: &mut StoreReader,
        instance: Option<u64>,
        filter: &FlowFilter,
    ) -> Result<(Self, u64), StoreError> {
        let view = reader.view()?;
        let mut found = Self::default();
        for query in filter.queries() {
            let sums = view.device_sums(&query)?;
            found.more |= sums.more;
            for sum in sums.devices {
                found.add(sum.device, Sum::of(sum));
            }
        }
        let macs: Vec<_> = found.sums.keys().copied().flatten().collect();
        let asked = filter.devices.iter().copied();
        for mac in macs.into_iter().chain(asked) {
            if let Some(device) = view.device(mac)? {
                let facts = device.facts.iter().filter_map(fact).collect();
                found.facts.insert(mac, facts);
                if let (None, Some(sum)) = (filter.since, found.sums.get_mut(&Some(mac))) {
                    sum.seen = sum.seen.with(Period {
                        first: device.first,
                        last: device.last,
                    });
                }
            }
        }
        let drained = instance
            .map(|instance| view.drained(instance))
            .transpose()?;
        Ok((found, drained.flatten().unwrap_or(0)))
    }

    /// Adds the flows that the store does not hold yet.
    fn add_live(&mut self, live: &TakenFlows) {
        let filter = self.filter.clone();
        // A sum of a device is what it sent.
        let sent = |flow: &&Flow| flow.key.direction == Direction::Out && filter.shows(flow);
        for flow in live.flows.iter().filter(sent) {
            let sum = Sum {
                passed: flow.passed,
                dropped: flow.dropped,
                policies: flow.policies.iter().cloned().collect(),
                seen: Period {
                    first: flow.first,
                    last: flow.last,
                },
            };
            self.add(Some(flow.key.device), sum);
        }
        for seen in &live.addresses {
            if self.sums.contains_key(&Some(seen.device)) {
                let fact = Fact::Address(seen.address);
                let facts = self.facts.entry(seen.device).or_default();
                facts.push((fact, FactSource::Frame, Period::at(seen.at)));
            }
        }
    }

    fn add(&mut self, device: Option<MacAddress>, sum: Sum) {
        match self.sums.get_mut(&device) {
            Some(known) => {
                known.passed += sum.passed;
                known.dropped += sum.dropped;
                known.policies.extend(sum.policies);
                known.seen = known.seen.with(sum.seen);
            }
            None => drop(self.sums.insert(device, sum)),
        }
    }

    /// The view of these devices, and of those that only the book knows. `names` are the
    /// names of the policies.
    #[must_use]
    pub fn view(&self, book: &DeviceBook, names: &BTreeMap<MacAddress, String>) -> DevicesView {
        let mut devices: BTreeSet<_> = self.sums.keys().copied().collect();
        devices.extend(self.only_known(book).map(Some));
        let views = devices.into_iter().filter_map(|device| {
            let view = self.device(device, book, names);
            let is_asked = self
                .filter
                .since
                .is_none_or(|since| view.seen >= Some(since));
            is_asked.then_some(view)
        });
        let mut views: Vec<_> = views.collect();
        views.sort_by_key(|dated| (std::cmp::Reverse(dated.seen), dated.view.head.device));
        let more = self.more || views.len() > self.filter.limit;
        views.truncate(self.filter.limit);
        DevicesView {
            devices: views.into_iter().map(|dated| dated.view).collect(),
            more,
        }
    }

    /// Devices without stored flows. A question about policies, destinations or the past leaves
    /// them out.
    fn only_known(&self, book: &DeviceBook) -> impl Iterator<Item = MacAddress> {
        let filter = &self.filter;
        let has_flows_only =
            filter.policy.is_some() || filter.destination.is_some() || filter.until.is_some();
        let known = book.identities.iter().map(|(mac, _)| mac);
        known.filter(move |mac| {
            let is_asked = filter.devices.is_empty() || filter.devices.contains(mac);
            !has_flows_only && is_asked
        })
    }

    fn device(
        &self,
        device: Option<MacAddress>,
        book: &DeviceBook,
        names: &BTreeMap<MacAddress, String>,
    ) -> DatedView {
        let sum = self.sums.get(&device);
        let counts = sum.map(Sum::counts).unwrap_or_default();
        let seen = sum.map(|sum| sum.seen);
        let Some(mac) = device else {
            return DatedView {
                seen: seen.map(|seen| seen.last),
                view: DeviceView::new(DeviceHead::default(), counts, seen),
            };
        };
        let stored = self.facts.get(&mac).into_iter().flatten().cloned();
        let identities = merged(mac, stored, book);
        let mut known = identities.get(mac).cloned().unwrap_or_default();
        let seen = match (seen, known.seen()) {
            (Some(seen), Some(known)) => Some(seen.with(known)),
            (seen, known) => seen.or(known),
        };
        let left_out = known.shorten(SHOWN);
        let name = names.get(&mac).map(String::as_str);
        let latest = latest_name(&known);
        let latest = latest.map(|latest| (latest.name, latest.source.word()));
        let head = book.head(mac, name, latest);
        DatedView {
            seen: seen.map(|seen| seen.last),
            view: DeviceView::new(head, counts, seen)
                .with_facts(&known, left_out)
                .with_names(name, book.name(mac)),
        }
    }
}

/// A view with the time at which the device was last seen.
struct DatedView {
    seen: Option<Timestamp>,
    view: DeviceView,
}

/// What the store and the book say about one device.
fn merged(
    mac: MacAddress,
    stored: impl Iterator<Item = StoredFact>,
    book: &DeviceBook,
) -> Identities {
    let mut identities = Identities::new(KNOWN);
    let known = book.identities.get(mac);
    let known = known.into_iter().flat_map(Device::facts);
    for (fact, source, period) in stored.chain(known) {
        identities.restore(mac, fact, source, period);
    }
    identities
}

/// What the store and the operator's files say about one device, without its packets.
pub(crate) fn stored_view(
    stored: &StoredDevice,
    book: &DeviceBook,
    names: &BTreeMap<MacAddress, String>,
) -> DeviceView {
    let mac = stored.mac;
    let mut identities = Identities::new(KNOWN);
    for (fact, source, period) in stored.facts.iter().filter_map(fact) {
        identities.restore(mac, fact, source, period);
    }
    let mut known = identities.get(mac).cloned().unwrap_or_default();
    let left_out = known.shorten(SHOWN);
    let name = names.get(&mac).map(String::as_str);
    let latest = latest_name(&known);
    let latest = latest.map(|latest| (latest.name, latest.source.word()));
    let head = book.head(mac, name, latest);
    DeviceView::new(head, DeviceCounts::default(), None)
        .with_facts(&known, left_out)
        .with_names(name, book.name(mac))
}

/// What the store, the book and the operator's files say about one device, without its packets.
pub(crate) fn known_view(
    mac: MacAddress,
    stored: Option<&StoredDevice>,
    book: &DeviceBook,
    names: &BTreeMap<MacAddress, String>,
) -> DeviceView {
    let facts = stored.map_or(&[][..], |stored| &stored.facts);
    let identities = merged(mac, facts.iter().filter_map(fact), book);
    let mut known = identities.get(mac).cloned().unwrap_or_default();
    let of_store = stored.map(|stored| Period {
        first: stored.first,
        last: stored.last,
    });
    let seen = match (of_store, known.seen()) {
        (Some(stored), Some(known)) => Some(stored.with(known)),
        (stored, known) => stored.or(known),
    };
    let left_out = known.shorten(SHOWN);
    let name = names.get(&mac).map(String::as_str);
    let latest = latest_name(&known).map(|latest| (latest.name, latest.source.word()));
    let head = book.head(mac, name, latest);
    DeviceView::new(head, DeviceCounts::default(), seen)
        .with_facts(&known, left_out)
        .with_names(name, book.name(mac))
}

/// Reads a stored fact. `None` if a later version wrote it.
#[must_use]
pub fn fact(stored: &DeviceFact) -> Option<StoredFact> {
    let fact = Fact::from_words(&stored.kind, &stored.value)?;
    let source = FactSource::from_word(&stored.source)?;
    let period = Period {
        first: stored.first,
        last: stored.last,
    };
    Some((fact, source, period))
}

impl Sum {
    fn of(sum: DeviceSum) -> Self {
        Self {
            passed: sum.passed,
            dropped: sum.dropped,
            policies: sum.policies,
            seen: Period {
                first: sum.first,
                last: sum.last,
            },
        }
    }

    fn counts(&self) -> DeviceCounts {
        DeviceCounts {
            passed: self.passed,
            dropped: self.dropped,
            policies: self.policies.iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests;
