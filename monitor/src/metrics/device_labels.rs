//! Which label a device has outside: its name, a pseudonym or its MAC.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::device_key::DeviceKey;
use crate::{
    policy::MacAddress,
    snapshot::{DeviceSnapshot, PolicySnapshot, Snapshot, Verdicts},
};

/// Label of all devices that have none of their own; no device is called so.
pub const OTHER_DEVICES: &str = "other";

/// How a device is labelled that the operator gave no name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceLabel {
    /// Keyed, so that nobody without the key can find the MAC by trying all.
    #[default]
    Pseudonym,
    /// In clear, such as `64:cc:2e:11:22:33`.
    Mac,
}

/// Gives labels to the devices that came first, and never takes one back: a
/// count that moved from a label to [`OTHER_DEVICES`] or back would make a
/// series fall, which a reader of counters takes for a restart. For the same
/// reason a label that was shown stays with its MAC, also when the operator
/// gives the name to another one: that has its pseudonym meanwhile.
///
/// A device that gets a name, or another one, has a new series: it begins with
/// the whole count, and the old series ends.
///
/// All of this lives as long as this value. A new one may choose other devices
/// where there are more than labels, and lets a name move.
#[derive(Debug)]
pub struct DeviceLabels {
    form: DeviceLabel,
    key: DeviceKey,
    capacity: usize,
    admitted: BTreeSet<MacAddress>,
    /// Of admitted devices, the operator's names for them now.
    names: BTreeMap<MacAddress, String>,
    /// Every name that was a label, with the only MAC that it is a label of.
    bound: BTreeMap<String, MacAddress>,
}

/// The packets that one policy matched, by device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceCounts {
    /// By label, which no two devices share.
    pub labelled: BTreeMap<String, Verdicts>,
    /// Devices without a label, and those that found no room in the device table.
    pub other: Verdicts,
}

impl DeviceLabels {
    /// Labels that are enough for a household and bearable for a time series database.
    pub const DEFAULT_CAPACITY: usize = 1000;

    /// Labels at most `capacity` devices.
    #[must_use]
    pub fn new(form: DeviceLabel, key: DeviceKey, capacity: usize) -> Self {
        Self {
            form,
            key,
            capacity,
            admitted: BTreeSet::new(),
            names: BTreeMap::new(),
            bound: BTreeMap::new(),
        }
    }

    /// Gives labels to the devices of `snapshot` that have none, as long as
    /// there are any: named devices first, then by MAC. Takes their names.
    pub fn admit(&mut self, snapshot: &Snapshot) {
        let devices = snapshot.policies.iter().flat_map(|policy| &policy.devices);
        let new: BTreeSet<_> = devices
            .clone()
            .filter(|device| !self.admitted.contains(&device.mac))
            .map(|device| (usable(device).is_none(), device.mac))
            .collect();
        let room = self.capacity.saturating_sub(self.admitted.len());
        self.admitted
            .extend(new.into_iter().take(room).map(|(_, mac)| mac));
        self.names.clear();
        let admitted = devices.filter(|device| self.admitted.contains(&device.mac));
        for device in admitted {
            let Some(name) = usable(device) else { continue };
            let bound = self.bound.entry(name.to_owned()).or_insert(device.mac);
            if *bound == device.mac {
                self.names.insert(device.mac, name.to_owned());
            }
        }
    }

    /// The label of an admitted device, else nothing.
    #[must_use]
    pub fn label(&self, mac: MacAddress) -> Option<String> {
        if !self.admitted.contains(&mac) {
            return None;
        }
        let name = self.names.get(&mac).cloned();
        Some(name.unwrap_or_else(|| match self.form {
            DeviceLabel::Pseudonym => self.key.pseudonym(mac),
            DeviceLabel::Mac => mac.to_string(),
        }))
    }

    /// The MAC to show beside a name that is a label; none where MACs are not shown.
    #[must_use]
    pub fn mac_beside(&self, label: &str) -> Option<MacAddress> {
        let mac = *self.bound.get(label)?;
        (self.form == DeviceLabel::Mac).then_some(mac)
    }

    /// Splits the devices of `policy` by label: `labelled + other` are the
    /// devices and the `other` of the policy, for each verdict.
    #[must_use]
    pub fn counts(&self, policy: &PolicySnapshot) -> DeviceCounts {
        let mut counts = DeviceCounts {
            other: policy.other,
            ..DeviceCounts::default()
        };
        for device in &policy.devices {
            let verdicts = match self.label(device.mac) {
                Some(label) => counts.labelled.entry(label).or_default(),
                None => &mut counts.other,
            };
            verdicts.passed += device.matched.passed;
            verdicts.dropped += device.matched.dropped;
        }
        counts
    }
}

/// The operator's name, unless it would be taken for [`OTHER_DEVICES`], for no
/// label at all, or for what a device without a name has.
fn usable(device: &DeviceSnapshot) -> Option<&str> {
    let name = device.name.as_deref()?;
    let reserved = name == OTHER_DEVICES || name.is_empty() || name.parse::<MacAddress>().is_ok();
    (!reserved && !DeviceKey::is_pseudonym(name)).then_some(name)
}
