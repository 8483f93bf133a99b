//! Which label a device has outside: its name, a pseudonym or its MAC.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::device_key::DeviceKey;
use crate::{
    policy::MacAddress,
    snapshot::{Count, DeviceSnapshot, PolicySnapshot, Snapshot, Verdicts},
};

/// Label of all devices that have none of their own; no device is called so.
pub const OTHER_DEVICES: &str = "other";

/// Label of what devices counted whose places were taken back; no device is
/// called so.
pub const PAST_DEVICES: &str = "past";

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

/// Gives labels to the devices that came first, and to every device that has a
/// name when it is first seen: made-up MACs cannot use up the labels of those.
/// A device keeps its label, or stays without, for as long as it is in the
/// snapshots: a count that moved from a label to [`OTHER_DEVICES`] or back would
/// make a series fall, which a reader of counters takes for a restart. For the
/// same reason a label that was shown stays with its MAC, also when the operator
/// gives the name to another one: that has its pseudonym meanwhile.
///
/// When the place of a device is taken back, its count is in the policy's past,
/// its series ends, and its label is free. The count of one without a label
/// stays under [`OTHER_DEVICES`], so that this series does not fall either.
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
    /// Devices of the last snapshot without a label.
    unlabelled: BTreeSet<MacAddress>,
    /// By policy, what was shown last under [`OTHER_DEVICES`].
    shown_other: BTreeMap<String, Verdicts>,
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
    /// Devices without a label, and those that found no room in the device tables.
    pub other: Verdicts,
    /// Devices whose places were taken back, and that had a label.
    pub past: Verdicts,
}

impl DeviceLabels {
    /// Labels that are enough for a household and bearable for a time series database.
    pub const DEFAULT_CAPACITY: usize = 1000;

    /// Labels at most `capacity` devices without a name.
    #[must_use]
    pub fn new(form: DeviceLabel, key: DeviceKey, capacity: usize) -> Self {
        Self {
            form,
            key,
            capacity,
            admitted: BTreeSet::new(),
            unlabelled: BTreeSet::new(),
            shown_other: BTreeMap::new(),
            names: BTreeMap::new(),
            bound: BTreeMap::new(),
        }
    }

    /// Gives labels to the devices of `snapshot` that are new, as long as there
    /// are any: named devices first, then by MAC. Takes their names. Frees the
    /// labels of devices that are not in it.
    pub fn admit(&mut self, snapshot: &Snapshot) {
        self.admit_new(snapshot);
        self.take_names(snapshot);
        let shown = snapshot.policies.iter();
        self.shown_other = shown
            .map(|policy| (policy.name.clone(), self.other_and_past(policy).0))
            .collect();
    }

    fn admit_new(&mut self, snapshot: &Snapshot) {
        let devices = snapshot.policies.iter().flat_map(|policy| &policy.devices);
        let present: BTreeSet<_> = devices.clone().map(|device| device.mac).collect();
        self.admitted.retain(|mac| present.contains(mac));
        self.unlabelled.retain(|mac| present.contains(mac));
        let new: BTreeSet<_> = devices
            .filter(|device| !self.admitted.contains(&device.mac))
            .filter(|device| !self.unlabelled.contains(&device.mac))
            .map(|device| (usable(device).is_none(), device.mac))
            .collect();
        for (nameless, mac) in new {
            if !nameless || self.admitted.len() < self.capacity {
                self.admitted.insert(mac);
            } else {
                self.unlabelled.insert(mac);
            }
        }
    }

    fn take_names(&mut self, snapshot: &Snapshot) {
        self.names.clear();
        let devices = snapshot.policies.iter().flat_map(|policy| &policy.devices);
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

    /// Splits the devices of `policy` by label: `labelled + other + past` are the
    /// devices, the `other` and the `past` of the policy, for each verdict.
    #[must_use]
    pub fn counts(&self, policy: &PolicySnapshot) -> DeviceCounts {
        let (other, past) = self.other_and_past(policy);
        let mut labelled: BTreeMap<String, Verdicts> = BTreeMap::new();
        for device in &policy.devices {
            if let Some(label) = self.label(device.mac) {
                add(labelled.entry(label).or_default(), device.matched);
            }
        }
        DeviceCounts {
            labelled,
            other,
            past,
        }
    }

    /// What of `policy` is under [`OTHER_DEVICES`] and under [`PAST_DEVICES`].
    fn other_and_past(&self, policy: &PolicySnapshot) -> (Verdicts, Verdicts) {
        let (mut other, mut past) = (policy.other, policy.past);
        for device in &policy.devices {
            if !self.admitted.contains(&device.mac) {
                add(&mut other, device.matched);
            }
        }
        if let Some(shown) = self.shown_other.get(&policy.name) {
            keep_up(&mut other.passed, &mut past.passed, shown.passed);
            keep_up(&mut other.dropped, &mut past.dropped, shown.dropped);
        }
        (other, past)
    }
}

fn add(to: &mut Verdicts, verdicts: Verdicts) {
    to.passed += verdicts.passed;
    to.dropped += verdicts.dropped;
}

/// Lifts `other` to what was shown, by what devices without a label left in the
/// past.
fn keep_up(other: &mut Count, past: &mut Count, shown: Count) {
    let lift = |other: &mut u64, past: &mut u64, shown: u64| {
        let missing = shown.saturating_sub(*other).min(*past);
        *other += missing;
        *past -= missing;
    };
    lift(&mut other.packets, &mut past.packets, shown.packets);
    lift(&mut other.bytes, &mut past.bytes, shown.bytes);
}

/// The operator's name, unless it would be taken for [`OTHER_DEVICES`], for
/// [`PAST_DEVICES`], for no label at all, or for what a device without a name has.
fn usable(device: &DeviceSnapshot) -> Option<&str> {
    let name = device.name.as_deref()?;
    let reserved = [OTHER_DEVICES, PAST_DEVICES, ""].contains(&name);
    let reserved = reserved || name.parse::<MacAddress>().is_ok();
    (!reserved && !DeviceKey::is_pseudonym(name)).then_some(name)
}
