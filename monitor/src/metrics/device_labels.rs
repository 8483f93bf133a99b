//! Which label a device has outside: its name, a pseudonym or its MAC.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::device_key::DeviceKey;
use crate::{
    policy::MacAddress,
    snapshot::{PolicySnapshot, Snapshot, Verdicts},
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
/// series fall, which a reader of counters takes for a restart.
///
/// The order of arrival lives as long as this value. Where there are more
/// devices than labels, a new value may choose others.
#[derive(Debug)]
pub struct DeviceLabels {
    form: DeviceLabel,
    key: DeviceKey,
    names: BTreeMap<MacAddress, String>,
    capacity: usize,
    admitted: BTreeSet<MacAddress>,
}

/// The packets that one policy matched, by device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceCounts {
    /// By label; devices with the same name are added up.
    pub labelled: BTreeMap<String, Verdicts>,
    /// Devices without a label, and those that found no room in the device table.
    pub other: Verdicts,
}

impl DeviceLabels {
    /// Labels that are enough for a household and bearable for a time series database.
    pub const DEFAULT_CAPACITY: usize = 1000;

    /// Labels at most `capacity` devices. `names` are the operator's.
    #[must_use]
    pub fn new(
        form: DeviceLabel,
        key: DeviceKey,
        names: BTreeMap<MacAddress, String>,
        capacity: usize,
    ) -> Self {
        Self {
            form,
            key,
            names,
            capacity,
            admitted: BTreeSet::new(),
        }
    }

    /// Takes the names of newly loaded policy files; who is admitted stays.
    pub fn set_names(&mut self, names: BTreeMap<MacAddress, String>) {
        self.names = names;
    }

    /// Gives labels to the devices of `snapshot` that have none, as long as
    /// there are any: named devices first, then by MAC.
    pub fn admit(&mut self, snapshot: &Snapshot) {
        let new: BTreeSet<_> = snapshot
            .policies
            .iter()
            .flat_map(|policy| &policy.devices)
            .filter(|device| !self.admitted.contains(&device.mac))
            .map(|device| (self.name(device.mac).is_none(), device.mac))
            .collect();
        let room = self.capacity.saturating_sub(self.admitted.len());
        self.admitted
            .extend(new.into_iter().take(room).map(|(_, mac)| mac));
    }

    /// The label of an admitted device, else nothing.
    #[must_use]
    pub fn label(&self, mac: MacAddress) -> Option<String> {
        if !self.admitted.contains(&mac) {
            return None;
        }
        if let Some(name) = self.name(mac) {
            return Some(name.to_owned());
        }
        Some(match self.form {
            DeviceLabel::Pseudonym => self.key.pseudonym(mac),
            DeviceLabel::Mac => mac.to_string(),
        })
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

    /// The operator's name, unless it would be taken for [`OTHER_DEVICES`] or
    /// for no label at all.
    fn name(&self, mac: MacAddress) -> Option<&str> {
        let name = self.names.get(&mac)?;
        (name != OTHER_DEVICES && !name.is_empty()).then_some(name)
    }
}
