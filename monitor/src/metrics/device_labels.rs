//! The label of each device in metrics and on the page: its name, a pseudonym or
//! its MAC.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::device_key::DeviceKey;
use crate::{
    policy::MacAddress,
    snapshot::{Count, DeviceSnapshot, PolicySnapshot, Snapshot, Verdicts},
};

/// The label that all devices without their own label share. A device that the
/// operator calls so is labelled as if it had no name.
pub const OTHER_DEVICES: &str = "other";

/// The label of the counts of forgotten devices, whose places were taken back. A
/// device that the operator calls so is labelled as if it had no name.
pub const PAST_DEVICES: &str = "past";

/// The form of the label of a device without a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceLabel {
    /// A keyed hash. Without the key, a reader cannot find the MAC by trying all of
    /// them.
    #[default]
    Pseudonym,
    /// The MAC itself, such as `64:cc:2e:11:22:33`.
    Mac,
}

/// Gives each device its label.
///
/// A device that has a name when it is first seen always gets a label. So made-up
/// MACs cannot use up the labels of named devices. A device without a name gets a
/// label only while fewer devices than the capacity have one. All others share
/// [`OTHER_DEVICES`].
///
/// A device keeps its label, or stays without one, as long as it is in the
/// snapshots. If its count moved between a label and [`OTHER_DEVICES`], a series
/// would fall, and a reader of counters takes a fall for a restart. For the same
/// reason, a name that was shown stays the label of its MAC. If the operator gives
/// the name to another MAC, that MAC is labelled as if it had no name.
///
/// When the place of a device is taken back, its count moves to the policy's past,
/// its series ends, and its label is free again. The count of a device without a
/// label stays under [`OTHER_DEVICES`], so that this series does not fall either.
///
/// A device that gets a name, or another name, starts a new series with its whole
/// count, and the old series ends.
///
/// This state is kept only in memory. After a restart of the daemon, other devices
/// may get the labels if there are too few, and a name can belong to another MAC.
#[derive(Debug)]
pub struct DeviceLabels {
    form: DeviceLabel,
    key: DeviceKey,
    capacity: usize,
    admitted: BTreeSet<MacAddress>,
    /// The devices of the last snapshot that have no label.
    unlabelled: BTreeSet<MacAddress>,
    /// For each policy, the last counts shown under [`OTHER_DEVICES`].
    shown_other: BTreeMap<String, Verdicts>,
    /// The current names that admitted devices have as labels.
    names: BTreeMap<MacAddress, String>,
    /// Every name that ever was a label, with the MAC that it belongs to.
    bound: BTreeMap<String, MacAddress>,
}

/// The packets that one policy matched, for each device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceCounts {
    /// The counts of each device with its own label.
    pub labelled: BTreeMap<String, Verdicts>,
    /// The sum of the devices without a label or without a place.
    pub other: Verdicts,
    /// The sum of the forgotten devices that had a label.
    pub past: Verdicts,
}

impl DeviceLabels {
    /// The default number of labels: enough for a household, and few enough for a
    /// time series database.
    pub const DEFAULT_CAPACITY: usize = 1000;

    /// Creates the labels, without any device. A device without a name gets a label
    /// only while fewer than `capacity` devices have one.
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

    /// Gives labels to the new devices of `snapshot`: first to those with a name,
    /// then to the others in the order of their MACs, as long as labels are free.
    /// Updates the names. Frees the labels of devices that are not in `snapshot`.
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

    /// Returns the label of a device, or `None` if it has none of its own.
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

    /// Splits the counts of `policy` by label. For each verdict, the sum of
    /// `labelled`, `other` and `past` equals the sum of the policy's devices, its
    /// `other` and its `past`.
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

    /// Returns the counts of `policy` under [`OTHER_DEVICES`] and under
    /// [`PAST_DEVICES`].
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

/// Moves counts from `past` to `other` until `other` is no less than `shown`, its
/// last shown value. These are the counts of forgotten devices that had no label.
fn keep_up(other: &mut Count, past: &mut Count, shown: Count) {
    let lift = |other: &mut u64, past: &mut u64, shown: u64| {
        let missing = shown.saturating_sub(*other).min(*past);
        *other += missing;
        *past -= missing;
    };
    lift(&mut other.packets, &mut past.packets, shown.packets);
    lift(&mut other.bytes, &mut past.bytes, shown.bytes);
}

/// Returns the operator's name for the device if it can be a label. It cannot if it
/// is [`OTHER_DEVICES`], [`PAST_DEVICES`] or empty, or looks like a MAC or a
/// pseudonym.
fn usable(device: &DeviceSnapshot) -> Option<&str> {
    let name = device.name.as_deref()?;
    let reserved = [OTHER_DEVICES, PAST_DEVICES, ""].contains(&name);
    let reserved = reserved || name.parse::<MacAddress>().is_ok();
    (!reserved && !DeviceKey::is_pseudonym(name)).then_some(name)
}
