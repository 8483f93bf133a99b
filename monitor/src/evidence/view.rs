//! Flows as `monitor flows --json` and `monitor replay --evidence --json` print them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use jiff::Timestamp;
use monitor_common::{Count, evidence::EffectiveCounters};
use serde::{Deserialize, Serialize};

use super::{
    Claim, Direction, Flow, NameSource, Port,
    absence::{Absence, AbsenceView},
    flow::protocol,
    learner::join,
};
use crate::{
    clock::to_the_second,
    policy::{MacAddress, PolicyName},
};

/// Flows, and what no flow records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowsView {
    /// Sorted by device, then by time of the first packet.
    pub flows: Vec<FlowView>,
    /// True if there are more flows than were asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// Models that the devices of these flows stated, sorted by device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelsView>,
    /// Why destinations in these flows have no name, sorted by device. Empty without a daemon.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_names: Vec<AbsenceView>,
    /// Matched packets that are in no flow.
    pub not_recorded: NotRecorded,
}

/// Phone models that the packets of one device name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelsView {
    /// Source MAC of the packets.
    pub device: MacAddress,
    /// Each model with the message that stated it, sorted.
    pub models: Vec<ModelView>,
    /// True if the models differ: several devices may share the MAC, such as those behind a
    /// router.
    pub several: bool,
}

/// A model that a device stated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelView {
    /// The model.
    pub model: String,
    /// The message that stated it: a word of [`super::sampler::ModelSource`].
    pub how: String,
}

/// One flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowView {
    /// Source MAC of the packets. `None` for all devices beyond the limits of the store.
    pub device: Option<MacAddress>,
    /// Interface on which the packets arrived.
    pub interface: String,
    /// `out`: the device sent the packets. `in`: it got them.
    pub direction: String,
    /// Destination address. `None` for all destinations beyond the limits of the store.
    pub destination: Option<IpAddr>,
    /// `tcp`, `udp`, `icmp`, `icmpv6` or the protocol number (IANA).
    pub protocol: String,
    /// Destination port; `None` if there is none to read.
    pub port: Option<u16>,
    /// Why the port cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// Every policy that matched; the effective policy is the first.
    pub policies: Vec<PolicyName>,
    /// Packets, dropped ones included.
    pub packets: u64,
    /// Bytes of these packets on the wire, layer 2 included.
    pub bytes: u64,
    /// Packets among them that were dropped.
    pub dropped: u64,
    /// Time of the first packet (RFC 3339).
    pub first: String,
    /// Time of the last packet (RFC 3339).
    pub last: String,
    /// Claims about the name of the destination, earliest first.
    pub names: Vec<NameView>,
    /// Number of further names that are not shown.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_names: u32,
    /// The holder of the destination's range; `None` if no data names it.
    pub holder: Option<()>,
}

/// A claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameView {
    /// The name.
    pub name: String,
    /// How the name was learnt: a word of [`super::NameSource`].
    pub how: String,
    /// When the name was first learnt (RFC 3339).
    pub at: String,
    /// Address of the DNS server that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// CNAME chain from the asked name to the owner of the address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// What is known about Encrypted Client Hello: `real`, `grease` or `unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ech: Option<String>,
}

/// Matched packets that are in no flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotRecorded {
    /// Number of packets.
    pub packets: u64,
    /// Number of packets by reason, if it is not zero: `full`, `setting`, `lost`, …
    pub reasons: BTreeMap<String, u64>,
}

/// A flow of the kernel or of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRow {
    /// The device; `None` for all devices beyond the limits of the store.
    pub device: Option<MacAddress>,
    /// Interface on which the packets arrived.
    pub interface: String,
    /// Direction of the packets, seen from the device.
    pub direction: Direction,
    /// Destination; `None` for all destinations beyond the limits of the store.
    pub destination: Option<IpAddr>,
    /// Protocol number (IANA).
    pub protocol: u8,
    /// Destination port, or why there is none.
    pub port: Port,
    /// Every policy that matched, the effective one first.
    pub policies: Vec<PolicyName>,
    /// Packets that passed.
    pub passed: Count,
    /// Packets that were dropped.
    pub dropped: Count,
    /// Time of the first packet.
    pub first: Timestamp,
    /// Time of the last packet.
    pub last: Timestamp,
    /// Names of the destination.
    pub claims: Vec<Claim>,
    /// Number of claims that were left out.
    pub more_claims: u32,
}

impl FlowRow {
    /// The row of a flow of the kernel.
    #[must_use]
    pub fn new(flow: Flow, claims: Vec<Claim>) -> Self {
        Self {
            device: Some(flow.key.device),
            interface: flow.key.interface,
            direction: flow.key.direction,
            destination: Some(flow.key.destination),
            protocol: flow.key.protocol,
            port: flow.key.port,
            policies: flow.policies,
            passed: flow.passed,
            dropped: flow.dropped,
            first: flow.first,
            last: flow.last,
            claims,
            more_claims: 0,
        }
    }

    fn join(&mut self, other: Self) {
        self.passed += other.passed;
        self.dropped += other.dropped;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.more_claims += other.more_claims;
        for claim in other.claims {
            self.more_claims += u32::from(!join(&mut self.claims, claim));
        }
    }
}

impl FlowsView {
    /// Adds the models that devices stated, as (device, model, message).
    #[must_use]
    pub fn with_models(
        mut self,
        stated: impl IntoIterator<Item = (MacAddress, String, String)>,
    ) -> Self {
        let mut models: BTreeMap<MacAddress, BTreeSet<ModelView>> = BTreeMap::new();
        for (device, model, how) in stated {
            models
                .entry(device)
                .or_default()
                .insert(ModelView { model, how });
        }
        let shown = |device: &MacAddress| {
            let mut flows = self.flows.iter();
            flows.any(|flow| flow.device == Some(*device))
        };
        models.retain(|device, _| shown(device));
        let models = models.into_iter().map(|(device, models)| ModelsView {
            device,
            several: models
                .iter()
                .any(|one| models.first().is_some_and(|first| first.model != one.model)),
            models: models.into_iter().collect(),
        });
        self.models = models.collect();
        self
    }

    /// The devices that have a flow to a destination without a name, sorted.
    #[must_use]
    pub fn devices_without_names(&self) -> BTreeSet<MacAddress> {
        let flows = self.flows.iter().filter(|flow| flow.has_no_name());
        flows.filter_map(|flow| flow.device).collect()
    }

    /// Adds why destinations of devices have no name.
    #[must_use]
    pub fn with_absences(
        mut self,
        absences: impl IntoIterator<Item = (MacAddress, Absence)>,
    ) -> Self {
        let views = absences
            .into_iter()
            .map(|(device, absence)| AbsenceView::new(device, &absence));
        self.no_names = views.collect();
        self
    }

    /// The view of rows. Rows that differ only in counts, times and names become one. At
    /// most `limit` rows stay, those with the latest packets.
    #[must_use]
    pub fn new(
        rows: impl IntoIterator<Item = FlowRow>,
        not_recorded: NotRecorded,
        limit: usize,
    ) -> Self {
        let mut joined: BTreeMap<_, FlowRow> = BTreeMap::new();
        for row in rows {
            let key = (
                (row.device, row.interface.clone(), row.direction),
                (row.destination, row.protocol, row.port),
                row.policies.clone(),
            );
            match joined.get_mut(&key) {
                Some(known) => known.join(row),
                None => drop(joined.insert(key, row)),
            }
        }
        let mut rows: Vec<_> = joined.into_values().collect();
        let more = rows.len() > limit;
        if more {
            rows.sort_by_key(|row| std::cmp::Reverse(row.last));
            rows.truncate(limit);
        }
        rows.sort_by(|a, b| {
            let key = |row: &FlowRow| {
                let end = (row.destination, row.protocol, row.port);
                (row.device, row.first, end)
            };
            let (a_key, b_key) = (key(a), key(b));
            a_key.cmp(&b_key).then_with(|| a.policies.cmp(&b.policies))
        });
        Self {
            flows: rows.into_iter().map(FlowView::new).collect(),
            more,
            models: Vec::new(),
            no_names: Vec::new(),
            not_recorded,
        }
    }
}

impl FlowView {
    fn new(mut row: FlowRow) -> Self {
        let order = |claim: &Claim| (claim.first, claim.source);
        row.claims
            .sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.name.cmp(&b.name)));
        let Count { packets, bytes } = sum(row.passed, row.dropped);
        Self {
            device: row.device,
            interface: row.interface,
            direction: row.direction.word().to_owned(),
            destination: row.destination,
            protocol: protocol(row.protocol),
            port: row.port.number(),
            unreadable: row.port.why_unreadable().map(str::to_owned),
            policies: row.policies,
            packets,
            bytes,
            dropped: row.dropped.packets,
            first: to_the_second(row.first),
            last: to_the_second(row.last),
            names: row.claims.iter().map(NameView::new).collect(),
            more_names: row.more_claims,
            holder: None,
        }
    }
}

impl FlowView {
    /// True if no claim states a name of the destination, and it is an address that DNS
    /// answers give. A name that was asked for is not one.
    #[must_use]
    pub fn has_no_name(&self) -> bool {
        let mut names = self.names.iter();
        self.destination.is_some_and(is_public)
            && names.all(|name| name.how == NameSource::Asked.word())
    }
}

impl NameView {
    /// The view of a claim.
    #[must_use]
    pub fn new(claim: &Claim) -> Self {
        Self {
            name: claim.name.clone(),
            how: claim.source.word().to_owned(),
            at: to_the_second(claim.first),
            from: claim.server,
            chain: claim.chain.clone(),
            ech: claim.ech.map(|ech| ech.word().to_owned()),
        }
    }
}

impl NotRecorded {
    /// Adds packets for a reason. The reason does not appear if there are none.
    pub fn add(&mut self, reason: &str, packets: u64) {
        if packets > 0 {
            self.packets += packets;
            *self.reasons.entry(reason.to_owned()).or_default() += packets;
        }
    }

    /// Adds what the kernel counted for a policy.
    pub fn add_effective(&mut self, counters: &EffectiveCounters) {
        let packets = |passed: Count, dropped: Count| passed.packets + dropped.packets;
        self.add("full", packets(counters.full_passed, counters.full_dropped));
        let setting = packets(counters.setting_passed, counters.setting_dropped);
        self.add("setting", setting);
    }
}

/// True for an address outside the local network.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !(address.is_multicast()
                || address.is_broadcast()
                || address.is_private()
                || address.is_link_local()
                || address.is_loopback()
                || address.is_unspecified())
        }
        IpAddr::V6(address) => {
            !(address.is_multicast()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                || address.is_loopback()
                || address.is_unspecified())
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn sum(mut one: Count, other: Count) -> Count {
    one += other;
    one
}
