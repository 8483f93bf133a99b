//! Which flows a period had: from the store, and from the kernel's tables that the store does
//! not hold yet.

use std::{collections::BTreeMap, net::IpAddr, path::Path};

use jiff::Timestamp;

use crate::{
    datapath::{self, FlowTables, TakenFlows},
    device_book::DeviceBook,
    evidence::{
        Flow, FlowRow, FlowsView, HostName, NotRecorded, identity::FactSource, latest_name,
    },
    policy::{MacAddress, PolicyName},
    store::{DestinationRange, FlowQuery, StoreError, StoreReader},
};

/// Which flows to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowFilter {
    /// Leaves out flows whose last packet is older.
    pub since: Option<Timestamp>,
    /// Leaves out flows whose first packet is not older.
    pub until: Option<Timestamp>,
    /// Only flows of these devices; empty for all.
    pub devices: Vec<MacAddress>,
    /// Only flows that this policy matched.
    pub policy: Option<PolicyName>,
    /// Only flows to destinations from the first to the last address.
    pub destination: Option<(IpAddr, IpAddr)>,
    /// The most flows to show; those with the latest packets stay.
    pub limit: usize,
}

/// Why flows cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum FlowsError {
    /// The kernel's tables cannot be read.
    #[error(transparent)]
    Datapath(#[from] datapath::Error),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads the flows of the filter with these pins, and of the store in `state_dir`. Needs the
/// privileges to open pinned maps, unless nothing is pinned.
///
/// # Errors
///
/// Returns an error if the tables or the store cannot be read.
pub fn read(
    pin_dir: &Path,
    state_dir: &Path,
    filter: &FlowFilter,
) -> Result<FoundFlows, FlowsError> {
    let mut reader = match state_dir.try_exists() {
        Ok(false) => None,
        _ => StoreReader::open(state_dir)?,
    };
    let mut stored = Stored::default();
    let tables = FlowTables::open(pin_dir)?;
    let Some(tables) = tables else {
        if let Some(reader) = &mut reader {
            stored = Stored::read(reader, None, filter)?;
        }
        return Ok(found(
            stored,
            TakenFlows::default(),
            NotRecorded::default(),
            filter,
        ));
    };
    let live = tables.live(|| {
        if let Some(reader) = &mut reader {
            stored = Stored::read(reader, Some(tables.instance()), filter)?;
        }
        Ok::<_, FlowsError>(stored.drained)
    })?;
    let mut not_recorded = NotRecorded::default();
    for policy in tables.effective()? {
        not_recorded.add_effective(&policy.counters);
    }
    not_recorded.add("lost", live.lost.packets);
    Ok(found(stored, live, not_recorded, filter))
}

/// The flows, and the host names of their devices.
#[derive(Debug)]
pub struct FoundFlows {
    view: FlowsView,
    host_names: HostNames,
}

/// The latest host name of each device: when it was last stated, the name, the source.
type HostNames = BTreeMap<MacAddress, (Timestamp, String, FactSource)>;

impl FoundFlows {
    /// The view of these flows. `names` are the names of the policies.
    #[must_use]
    pub fn view(self, book: &DeviceBook, names: &BTreeMap<MacAddress, String>) -> FlowsView {
        let host_names = self.host_names;
        self.view.with_heads(|mac| {
            let stored = host_names.get(&mac);
            let stored = stored.map(|(last, name, source)| HostName {
                last: *last,
                name,
                source: *source,
            });
            let known = book.identities.get(mac).and_then(latest_name);
            let latest = stored.max(known);
            let name = names.get(&mac).map(String::as_str);
            book.head(
                mac,
                name,
                latest.map(|name| (name.name, name.source.word())),
            )
        })
    }
}

/// What one reading of the store found.
#[derive(Default)]
struct Stored {
    flows: Vec<FlowRow>,
    more: bool,
    /// The last drained epoch.
    drained: u64,
    /// Packets of flows that the store removed, by reason.
    removed: Vec<(&'static str, u64)>,
    /// Models that devices stated: device, model, message.
    models: Vec<(MacAddress, String, String)>,
    host_names: HostNames,
}

impl Stored {
    fn read(
        reader: &mut StoreReader,
        instance: Option<u64>,
        filter: &FlowFilter,
    ) -> Result<Self, StoreError> {
        let view = reader.view()?;
        let mut stored = Self::default();
        for query in filter.queries() {
            let found = view.flows(&query)?;
            stored.more |= found.more;
            stored.flows.extend(found.flows);
        }
        for device in view.devices(None, u32::MAX)? {
            for fact in device.facts {
                match fact.kind.as_str() {
                    "model" => stored.models.push((device.mac, fact.value, fact.source)),
                    "host-name" => {
                        // A later version knows other sources.
                        let source = FactSource::from_word(&fact.source);
                        let name = source.map(|source| (fact.last, fact.value, source));
                        let known = stored.host_names.remove(&device.mac).max(name);
                        stored
                            .host_names
                            .extend(known.map(|name| (device.mac, name)));
                    }
                    _ => {}
                }
            }
        }
        if let Some(instance) = instance {
            stored.drained = view.drained(instance)?.unwrap_or(0);
            let removed = view.removed(instance)?.into_iter();
            stored.removed = removed
                .map(|removed| {
                    let packets = removed.sum.passed.packets + removed.sum.dropped.packets;
                    (removed.reason.word(), packets)
                })
                .collect();
        }
        Ok(stored)
    }
}

fn found(
    stored: Stored,
    live: TakenFlows,
    mut not_recorded: NotRecorded,
    filter: &FlowFilter,
) -> FoundFlows {
    for (reason, packets) in stored.removed {
        not_recorded.add(reason, packets);
    }
    let live = live.flows.into_iter().filter(|flow| filter.shows(flow));
    let live = live.map(|flow| FlowRow::new(flow, Vec::new()));
    let rows = stored.flows.into_iter().chain(live);
    let view = FlowsView::new(rows, not_recorded, filter.limit);
    let mut view = view.with_models(stored.models);
    view.more |= stored.more;
    FoundFlows {
        view,
        host_names: stored.host_names,
    }
}

impl FlowFilter {
    /// Returns the questions to the store: one for each device, or one for all.
    pub(crate) fn queries(&self) -> impl Iterator<Item = FlowQuery> {
        let devices = self.devices.iter().copied().map(Some);
        let every = self.devices.is_empty().then_some(None);
        devices.chain(every).map(|device| FlowQuery {
            since: self.since,
            until: self.until,
            device,
            policy: self.policy.clone(),
            destination: self
                .destination
                .map(|(first, last)| DestinationRange { first, last }),
            limit: self.limit,
        })
    }

    pub(crate) fn shows(&self, flow: &Flow) -> bool {
        let key = &flow.key;
        let policy = self.policy.as_ref();
        self.since.is_none_or(|since| flow.last >= since)
            && self.until.is_none_or(|until| flow.first < until)
            && (self.devices.is_empty() || self.devices.contains(&key.device))
            && policy.is_none_or(|policy| flow.policies.contains(policy))
            && self.destination.is_none_or(|(first, last)| {
                let is_same = first.is_ipv4() == key.destination.is_ipv4();
                is_same && (first..=last).contains(&key.destination)
            })
    }
}
