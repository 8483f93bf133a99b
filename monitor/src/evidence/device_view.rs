//! Devices as `monitor devices --json` prints them.

use jiff::Timestamp;
use monitor_common::Count;
use serde::{Deserialize, Serialize};

use super::identity::{Device, Fact, FactSource, Period, Several, StatedSame};
use crate::{
    clock::to_the_second,
    devices::{
        mac,
        names::{Name, NamesFormat},
        oui::{Owner, Vendor},
    },
    policy::{MacAddress, PolicyName},
};

/// Source of the names of the policies.
pub const POLICIES: &str = "devices";

/// Devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicesView {
    /// The device that was seen last comes first. Then sorted by MAC.
    pub devices: Vec<DeviceView>,
    /// True if there are more devices than were asked for.
    pub more: bool,
}

/// Name and vendor of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceHead {
    /// The MAC. `None` for all devices beyond the limits of the store.
    pub device: Option<MacAddress>,
    /// The operator's name, or else the latest host name.
    pub name: Option<String>,
    /// Where the name is from: `devices`, `names` or `ethers` for one of the operator, else
    /// the source of the host name. The device can choose its host name.
    #[serde(default)]
    pub name_source: Option<String>,
    /// The vendor to which the registry assigned the MAC. `None` if no source names one.
    pub vendor: Option<String>,
    /// Where the vendor is from: `file` or `built-in`.
    pub vendor_source: Option<String>,
    /// Date of that source.
    pub vendor_as_of: Option<String>,
    /// True if the MAC is locally administered: no vendor assigned it.
    pub randomised: bool,
    /// MACs that the operator states to be the same device.
    pub stated_same: Vec<StatedView>,
}

/// What is known about a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceView {
    /// Name and vendor.
    #[serde(flatten)]
    pub head: DeviceHead,
    /// Time at which it was first seen (RFC 3339). `None` if only a lease names it.
    pub first: Option<String>,
    /// Time at which it was last seen (RFC 3339). `None` if only a lease names it.
    pub last: Option<String>,
    /// Packets that a policy matched, dropped ones included.
    pub packets: u64,
    /// Bytes of these packets on the wire, layer 2 included.
    pub bytes: u64,
    /// Packets among them that were dropped.
    pub dropped: u64,
    /// Every policy that matched, sorted.
    pub policies: Vec<PolicyName>,
    /// Addresses, one entry for each address and source.
    pub addresses: Vec<FactView>,
    /// Host names and the operator's names, one entry for each name and source.
    pub host_names: Vec<FactView>,
    /// Models that the device stated, one entry for each model and source.
    pub models: Vec<FactView>,
    /// Why several devices possibly share the MAC. Empty if nothing says so.
    pub possibly_several: Vec<ReasonView>,
    /// Number of older addresses, names and models that are left out.
    pub left_out: u64,
}

/// A statement of one source about a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactView {
    /// The address, name or model.
    pub value: String,
    /// The source: `frame`, `neighbour-table`, a DHCP server, `devices`, `names`, …
    pub source: String,
    /// When the source first stated it (RFC 3339). `None` for the operator's names.
    pub first: Option<String>,
    /// When the source last stated it (RFC 3339). `None` for the operator's names.
    pub last: Option<String>,
}

/// Why several devices possibly share a MAC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonView {
    /// A word of [`Several`].
    pub reason: String,
    /// The reason as sentences.
    pub text: String,
}

/// A MAC that the operator states to be the same device. No packet shows this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatedView {
    /// The other MAC.
    pub device: MacAddress,
    /// The day of the change.
    pub since: String,
    /// `before`: the device had the other MAC before that day. `after`: from that day on.
    pub had: String,
    /// Always `stated`: the operator says so, and no packet shows it.
    pub how: String,
}

/// What was counted of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceCounts {
    /// Packets that passed.
    pub passed: Count,
    /// Packets that were dropped.
    pub dropped: Count,
    /// Every policy that matched, sorted.
    pub policies: Vec<PolicyName>,
}

impl DeviceHead {
    /// The head of a device. `name` has its source.
    #[must_use]
    pub fn new(
        mac: MacAddress,
        owner: Owner<'_>,
        name: Option<(&str, &'static str)>,
        stated: &[StatedSame],
    ) -> Self {
        let vendor = match owner {
            Owner::Vendor(vendor) => Some(vendor),
            Owner::Unknown | Owner::Randomised | Owner::NotADevice => None,
        };
        Self {
            device: Some(mac),
            name: name.map(|(name, _)| name.to_owned()),
            name_source: name.map(|(_, source)| source.to_owned()),
            vendor: vendor.map(|Vendor { name, .. }| name.to_owned()),
            vendor_source: vendor.map(|Vendor { source, .. }| source.word().to_owned()),
            vendor_as_of: vendor.map(|Vendor { as_of, .. }| as_of.to_string()),
            randomised: mac::is_randomised(mac),
            stated_same: stated.iter().map(StatedView::new).collect(),
        }
    }
}

impl DeviceView {
    /// The view of a device that is known by its counts only.
    #[must_use]
    pub fn new(head: DeviceHead, counts: DeviceCounts, seen: Option<Period>) -> Self {
        let DeviceCounts {
            passed,
            dropped,
            policies,
        } = counts;
        Self {
            head,
            first: seen.map(|seen| to_the_second(seen.first)),
            last: seen.map(|seen| to_the_second(seen.last)),
            packets: passed.packets + dropped.packets,
            bytes: passed.bytes + dropped.bytes,
            dropped: dropped.packets,
            policies,
            ..Self::default()
        }
    }

    /// Adds what sources state about the device.
    #[must_use]
    pub fn with_facts(mut self, device: &Device, left_out: u64) -> Self {
        for (fact, source, period) in device.facts() {
            let (list, value) = match fact {
                Fact::Address(address) => (&mut self.addresses, address.to_string()),
                Fact::HostName(name) => (&mut self.host_names, name),
                Fact::Model(model) => (&mut self.models, model),
                Fact::AtOnce { .. } => continue,
            };
            list.push(FactView::new(value, source.word(), Some(period)));
        }
        self.possibly_several = device.several().iter().map(ReasonView::new).collect();
        self.left_out = left_out;
        self
    }

    /// Adds the operator's names: those of the policies, and of a file.
    #[must_use]
    pub fn with_names(mut self, policy_name: Option<&str>, file_name: Option<&Name>) -> Self {
        let of_policy = policy_name.map(|name| FactView::new(name.to_owned(), POLICIES, None));
        let of_file =
            file_name.map(|name| FactView::new(name.text.clone(), name.source.word(), None));
        let own = of_policy.into_iter().chain(of_file);
        self.host_names.splice(0..0, own);
        self
    }
}

impl FactView {
    fn new(value: String, source: &str, period: Option<Period>) -> Self {
        Self {
            value,
            source: source.to_owned(),
            first: period.map(|period| to_the_second(period.first)),
            last: period.map(|period| to_the_second(period.last)),
        }
    }
}

impl ReasonView {
    fn new(several: &Several) -> Self {
        Self {
            reason: several.word().to_owned(),
            text: several.to_string(),
        }
    }
}

impl StatedView {
    fn new(stated: &StatedSame) -> Self {
        Self {
            device: stated.mac,
            since: stated.since.to_string(),
            had: if stated.is_earlier { "before" } else { "after" }.to_owned(),
            how: "stated".to_owned(),
        }
    }
}

/// True for the source of a name that the operator gave. All other names and models were
/// possibly chosen by the device.
#[must_use]
pub(super) fn is_of_operator(source: &str) -> bool {
    source == POLICIES
        || [NamesFormat::Names, NamesFormat::Ethers]
            .iter()
            .any(|format| format.word() == source)
}

/// Returns the host name of a device that a source stated last, with the source.
#[must_use]
pub fn latest_name(device: &Device) -> Option<HostName<'_>> {
    let names = device.host_names().iter();
    let names = names.flat_map(|(name, known)| {
        let sources = known.sources().iter();
        sources.map(|(source, period)| HostName {
            last: period.last,
            name,
            source: *source,
        })
    });
    names.max()
}

/// A host name, by the time at which a source stated it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostName<'a> {
    /// When the source last stated it.
    pub last: Timestamp,
    /// The name, which the device can choose.
    pub name: &'a str,
    /// The source.
    pub source: FactSource,
}
