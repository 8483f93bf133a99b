//! Flows → one row for each device and destination.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use jiff::Timestamp;

use crate::{
    evidence::{DeviceHead, FlowView, NameSource, NameView},
    policy::{Direction, MacAddress, PolicyName},
    printable,
};

use super::Facts;

/// A device, and a destination that it contacted.
pub(super) type Key = (Option<MacAddress>, Option<IpAddr>);

/// What the flows of one device to one destination add up to. All texts are escaped.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) key: Key,
    /// The device as the operator or the device calls it, or else its MAC.
    pub(super) device: String,
    pub(super) address: String,
    /// The best name of the destination.
    pub(super) name: Option<String>,
    /// Protocols and ports, sorted.
    pub(super) services: BTreeSet<String>,
    /// Every policy that matched; the effective ones first.
    pub(super) policies: Vec<PolicyName>,
    /// What is stated about the range of the destination.
    pub(super) range: Option<String>,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) dropped: u64,
    /// Packets in each second since the last reading; `None` without one.
    pub(super) rate: Option<f64>,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    /// The flows, for the details.
    pub(super) flows: Vec<FlowView>,
}

/// The order of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Packets in each second; equal ones by the time of the last packet.
    #[default]
    Rate,
    /// Packets.
    Packets,
    /// Bytes.
    Bytes,
    /// Dropped packets.
    Dropped,
    /// The time of the last packet.
    Last,
    /// Name of the device, then the destination.
    Device,
    /// Name or address of the destination.
    Destination,
}

impl Sort {
    /// All orders, in the order in which a key goes through them.
    const ALL: [Self; 7] = [
        Self::Rate,
        Self::Packets,
        Self::Bytes,
        Self::Dropped,
        Self::Last,
        Self::Device,
        Self::Destination,
    ];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Packets => "packets",
            Self::Bytes => "bytes",
            Self::Dropped => "dropped",
            Self::Last => "last",
            Self::Device => "device",
            Self::Destination => "destination",
        }
    }

    pub(super) fn next(self) -> Self {
        let place = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Self::ALL[(place + 1) % Self::ALL.len()]
    }

    /// Compares two rows: what the operator wants to see first is less.
    pub(super) fn compare(self, a: &Row, b: &Row) -> Ordering {
        let by_key = a.key.cmp(&b.key);
        let descending = |a: u64, b: u64| b.cmp(&a);
        let by_last = || b.last.cmp(&a.last);
        let order = match self {
            Self::Rate => {
                let rate = |row: &Row| row.rate.unwrap_or(0.0);
                rate(b).total_cmp(&rate(a)).then_with(by_last)
            }
            Self::Packets => descending(a.packets, b.packets),
            Self::Bytes => descending(a.bytes, b.bytes),
            Self::Dropped => descending(a.dropped, b.dropped),
            Self::Last => by_last(),
            Self::Device => a.device.cmp(&b.device),
            Self::Destination => a.shown_destination().cmp(b.shown_destination()),
        };
        order.then(by_key)
    }
}

impl Row {
    /// The name of the destination, or else its address.
    pub(super) fn shown_destination(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.address)
    }

    /// The services in few characters.
    pub(super) fn shown_services(&self) -> String {
        let first = self.services.first().map_or("", String::as_str);
        match self.services.len() {
            0 | 1 => first.to_owned(),
            more => format!("{first} +{}", more - 1),
        }
    }

    /// True if a text of the row contains `part`, in lower case.
    pub(super) fn contains(&self, part: &str) -> bool {
        let mac = self.key.0.map(|mac| mac.to_string());
        let own = [Some(&self.device), Some(&self.address), mac.as_ref()];
        let names = self.flows.iter().flat_map(|flow| &flow.names);
        let policies = self.policies.iter().map(ToString::to_string);
        let has = |text: &str| text.to_lowercase().contains(part);
        own.into_iter().flatten().any(|text| has(text))
            || names.into_iter().any(|name| has(&name.name))
            || self.services.iter().any(|text| has(text))
            || self.range.as_deref().is_some_and(has)
            || policies.into_iter().any(|policy| has(&policy))
    }

    fn new(key: Key, flows: Vec<FlowView>, head: Option<&DeviceHead>) -> Self {
        let sum = |part: fn(&FlowView) -> u64| flows.iter().map(part).sum();
        let times = |part: fn(&FlowView) -> &str| {
            let times = flows.iter().map(part);
            times.filter_map(|text| text.parse::<Timestamp>().ok())
        };
        let mut policies = Vec::new();
        // The effective policies come first.
        let deepest = flows.iter().map(|flow| flow.policies.len()).max();
        for place in 0..deepest.unwrap_or(0) {
            for policy in flows.iter().filter_map(|flow| flow.policies.get(place)) {
                if !policies.contains(policy) {
                    policies.push(policy.clone());
                }
            }
        }
        let (device, destination) = key;
        let called = head.and_then(DeviceHead::called);
        let mac = || device.map_or_else(|| "other devices".to_owned(), |mac| mac.to_string());
        let mut ranges = flows.iter().filter_map(FlowView::range_line);
        Self {
            key,
            device: called.unwrap_or_else(mac),
            address: destination
                .map_or_else(|| "other destinations".to_owned(), |to| to.to_string()),
            name: best_name(&flows).map(|name| printable::escape(&name.name, &[]).into_owned()),
            services: flows.iter().map(FlowView::service).collect(),
            policies,
            range: ranges
                .next()
                .map(|text| printable::escape(&text, &[]).into_owned()),
            packets: sum(|flow| flow.packets),
            bytes: sum(|flow| flow.bytes),
            dropped: sum(|flow| flow.dropped),
            rate: None,
            first: times(|flow| &flow.first).min().unwrap_or_default(),
            last: times(|flow| &flow.last).max().unwrap_or_default(),
            flows,
        }
    }
}

/// The rows of a reading, in no order. `before` has the time and the packets of the last one.
pub(super) fn rows(facts: &Facts, before: Option<&(Timestamp, BTreeMap<Key, u64>)>) -> Vec<Row> {
    let mut flows: BTreeMap<Key, Vec<FlowView>> = BTreeMap::new();
    // A row shows what a device sent. Answers are other flows.
    let sent = facts.flows.flows.iter();
    for flow in sent.filter(|flow| flow.direction == Direction::Out.word()) {
        let of_key = flows.entry((flow.device, flow.destination)).or_default();
        of_key.push(flow.clone());
    }
    let heads: BTreeMap<_, _> = facts
        .flows
        .devices
        .iter()
        .map(|head| (head.device, head))
        .collect();
    let rows = flows.into_iter().map(|(key, flows)| {
        let mut row = Row::new(key, flows, heads.get(&key.0).copied());
        row.rate = before.and_then(|(at, packets)| {
            let seconds = facts.at.duration_since(*at).as_secs_f64();
            let known = packets.get(&key).copied().unwrap_or(0);
            (seconds > 0.0).then(|| per_second(row.packets.saturating_sub(known), seconds))
        });
        row
    });
    rows.collect()
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(packets: u64, seconds: f64) -> f64 {
    packets as f64 / seconds
}

/// The name that says most about the destination: one that the device itself sent to it, then
/// one of a DNS answer to the device. A name that was only asked for is not one.
fn best_name(flows: &[FlowView]) -> Option<&NameView> {
    let names = || flows.iter().flat_map(|flow| &flow.names);
    NameSource::BEST_FIRST
        .into_iter()
        .find_map(|source| names().find(|name| name.how == source.word()))
}
