//! For which devices places are kept, and whose places are taken back.

mod activity;
mod neighbours;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use activity::Activity;
use monitor_common::{DeviceKey, MAX_KNOWN};
use neighbours::{MOST_NEIGHBOURS, Neighbours};

use super::{Core, lock};
use crate::{
    control::Forgotten,
    datapath::{self, DeviceCounts, Filter, KnownKind},
    policy::{Device, DeviceNames, MacAddress, MacPrefix, Policy, UnknownDevice},
};

/// How often the daemon looks at neighbours and at the device tables, at most.
const LOOK: Duration = Duration::from_secs(10);

/// How often it reads the counts of all devices, at most.
const COUNTS: Duration = Duration::from_mins(1);

/// How long an unknown device keeps its places while the table is nearly full.
const WHEN_FULL: Duration = Duration::from_mins(10);

/// Named devices for which places are kept.
const MOST_NAMED: usize = MAX_KNOWN as usize - MOST_NEIGHBOURS;

/// What the daemon remembers of devices.
#[derive(Debug, Default)]
pub(super) struct Devices {
    neighbours: Neighbours,
    activity: Activity,
    /// When the counts were read last.
    read: Option<Instant>,
    /// Names for which no places are kept; told of once.
    too_many: usize,
}

/// Why a device is not forgotten.
#[derive(Debug, thiserror::Error)]
pub(in crate::daemon) enum ForgetError {
    /// There are no counts.
    #[error("the filter is detached")]
    Detached,
    /// Which device?
    #[error(transparent)]
    Device(#[from] UnknownDevice),
    /// The counts are by MAC.
    #[error(
        "`{0}` names no MAC, and counts are kept by MAC: write the MAC that `monitor status` shows, or a name that stands for one"
    )]
    NoMac(String),
    /// The kernel's answer.
    #[error(transparent)]
    Datapath(#[from] datapath::Error),
}

impl Core {
    /// How long the daemon waits between two looks at the devices.
    pub(in crate::daemon) fn device_look(&self) -> Duration {
        LOOK.min(self.settings.forget_after / 4)
    }

    /// Waits until the policies changed, and with them the names of devices.
    pub(in crate::daemon) async fn names_changed(&self) {
        self.names_changed.notified().await;
    }

    /// Tells the kernel which devices are known, and takes back the places of
    /// devices that were not seen for long. Returns what to tell, in words.
    pub(in crate::daemon) fn look_at_devices(&self) -> Result<Vec<String>, datapath::Error> {
        let neighbours = datapath::neighbours(&self.settings.interfaces);
        let now = Instant::now();
        let mut held = lock(&self.filter);
        let Some(filter) = held.as_mut() else {
            return Ok(Vec::new());
        };
        let mut devices = lock(&self.devices);
        if let Ok(neighbours) = &neighbours {
            let keep = self.settings.forget_after;
            devices.neighbours.look(neighbours, now, keep);
        }
        let mut notes = Vec::new();
        notes.extend(self.tell_known(filter, &mut devices)?);
        notes.extend(self.take_back(filter, &mut devices, now)?);
        neighbours.map(|_| notes)
    }

    /// Takes back the places of devices that were not seen for long, where it is
    /// time to look for them.
    fn take_back(
        &self,
        filter: &mut Filter,
        devices: &mut Devices,
        now: Instant,
    ) -> Result<Option<String>, datapath::Error> {
        let keep = self.settings.forget_after;
        let wait = COUNTS.min(keep / 4);
        if devices
            .read
            .is_some_and(|read| now.duration_since(read) < wait)
        {
            return Ok(None);
        }
        devices.read = Some(now);
        let counts = filter.device_counts()?;
        devices.activity.look(&counts, now);
        let idle = devices.idle(&counts, &self.known(devices), keep, now);
        let given_back = filter.give_back(&idle)?.places;
        Ok((given_back > 0).then(|| {
            format!(
                "places of devices that were not seen for long were given back: {given_back}; their counts are in the past of their policies"
            )
        }))
    }

    /// Tells the kernel which devices are known; returns what to tell the operator.
    fn tell_known(
        &self,
        filter: &mut Filter,
        devices: &mut Devices,
    ) -> Result<Option<String>, datapath::Error> {
        filter.set_known(&self.known(devices))?;
        let named = self.named_macs().len();
        let too_many = named.saturating_sub(MOST_NAMED);
        let grew = too_many > devices.too_many;
        devices.too_many = too_many;
        Ok(grew.then(|| {
            format!(
                "places are kept for the first {MOST_NAMED} MACs that the policies name, and not for {too_many} others"
            )
        }))
    }

    fn known(&self, devices: &Devices) -> BTreeMap<MacAddress, KnownKind> {
        let neighbours = devices.neighbours.macs();
        let mut known: BTreeMap<_, _> = neighbours.map(|mac| (mac, KnownKind::Neighbour)).collect();
        let named = self.named_macs();
        known.extend(
            named
                .into_iter()
                .take(MOST_NAMED)
                .map(|mac| (mac, KnownKind::Named)),
        );
        known
    }

    fn device_names(&self) -> Arc<DeviceNames> {
        let state = self.state();
        let policies = state.stage.policies();
        policies.map_or_else(Arc::default, |policies| Arc::clone(&policies.devices))
    }

    /// Every whole MAC that has a name, is in a group, or stands in a policy.
    fn named_macs(&self) -> BTreeSet<MacAddress> {
        let state = self.state();
        let Some(in_force) = state.stage.policies() else {
            return BTreeSet::new();
        };
        let names = in_force.devices.names();
        let in_names = names.flat_map(|name| in_force.devices.devices(name).unwrap_or_default());
        let scopes = in_force.policies.iter().map(Policy::scope);
        let in_policies =
            scopes.flat_map(|scope| scope.devices.iter().chain(&scope.except_devices));
        let prefixes = in_names.chain(in_policies).filter_map(mac_prefix);
        let whole = prefixes.filter(|prefix| prefix.length() == MacPrefix::BITS);
        whole.map(MacPrefix::address).collect()
    }

    /// Moves the counts of a device, or of those that a name or the first bits
    /// of a MAC stand for, to the past of their policies.
    pub(in crate::daemon) fn forget(&self, device: &str) -> Result<Forgotten, ForgetError> {
        let meant = self.device_names().named(device)?;
        let prefixes: Vec<MacPrefix> = meant.iter().filter_map(mac_prefix).collect();
        if prefixes.is_empty() {
            return Err(ForgetError::NoMac(device.to_owned()));
        }
        let mut filter = lock(&self.filter);
        let filter = filter.as_mut().ok_or(ForgetError::Detached)?;
        let counts = filter.device_counts()?;
        let is_meant = |key: &&DeviceKey| {
            let mac = MacAddress(key.mac);
            prefixes.iter().any(|prefix| prefix.contains(mac))
        };
        let keys: Vec<DeviceKey> = counts.devices.keys().filter(is_meant).copied().collect();
        let given_back = filter.give_back(&keys)?;
        let macs: BTreeSet<_> = keys.iter().map(|key| key.mac).collect();
        Ok(Forgotten {
            device: device.to_owned(),
            devices: macs.len(),
            places: given_back.places,
            passed: given_back.counters.passed.into(),
            dropped: given_back.counters.dropped.into(),
        })
    }
}

impl Devices {
    /// The places to take back, of the devices first that were idle longest.
    fn idle(
        &self,
        counts: &DeviceCounts,
        known: &BTreeMap<MacAddress, KnownKind>,
        keep: Duration,
        now: Instant,
    ) -> Vec<DeviceKey> {
        let is_nearly_full = counts.is_nearly_full();
        let limit = |mac| match known.get(&mac) {
            Some(KnownKind::Named) => None,
            None if is_nearly_full => Some(WHEN_FULL.min(keep)),
            Some(KnownKind::Neighbour) | None => Some(keep),
        };
        let mut idle: Vec<(Duration, DeviceKey)> = Vec::new();
        for key in counts.devices.keys() {
            let mac = MacAddress(key.mac);
            let unseen = self.activity.unseen(mac, now);
            if limit(mac).is_some_and(|limit| unseen >= limit) {
                idle.push((unseen, *key));
            }
        }
        idle.sort_unstable_by(|a, b| b.cmp(a));
        idle.into_iter().map(|(_, key)| key).collect()
    }
}

fn mac_prefix(device: &Device) -> Option<MacPrefix> {
    match device {
        Device::Mac(prefix) => Some(*prefix),
        Device::Ipv4(_) | Device::Ipv6(_) | Device::Interface(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use monitor_common::{Count, DeviceCounters};

    use super::*;
    use crate::datapath::Places;

    const KEEP: Duration = Duration::from_hours(24);

    fn mac(last: u8) -> MacAddress {
        MacAddress([2, 0, 0, 0, 0, last])
    }

    fn key(last: u8) -> DeviceKey {
        DeviceKey {
            mac: mac(last).0,
            policy: 0,
        }
    }

    fn counts(used: usize, packets: [u64; 3]) -> DeviceCounts {
        let each = (0..).zip(packets).map(|(last, packets)| {
            let passed = Count { packets, bytes: 60 };
            let dropped = Count::default();
            (key(last), DeviceCounters { passed, dropped })
        });
        DeviceCounts {
            devices: each.collect(),
            places: vec![Places {
                kept_for: "any",
                used,
                size: 100,
            }],
            ..DeviceCounts::default()
        }
    }

    #[test]
    fn devices_leave_after_their_time_and_unknown_ones_earlier_from_a_full_table() {
        let known = BTreeMap::from([(mac(0), KnownKind::Named), (mac(1), KnownKind::Neighbour)]);
        let start = Instant::now();
        let mut devices = Devices::default();
        let mut leaving = |used, packets, after| {
            let now = start + after;
            let counts = counts(used, packets);
            devices.activity.look(&counts, now);
            devices.idle(&counts, &known, KEEP, now)
        };
        assert_eq!(leaving(95, [1, 1, 1], Duration::ZERO), []);
        assert_eq!(leaving(95, [1, 1, 1], WHEN_FULL / 2), []);
        assert_eq!(leaving(89, [1, 1, 1], WHEN_FULL), []);
        assert_eq!(leaving(90, [1, 1, 1], WHEN_FULL), [key(2)]);
        // Seen again, it stays.
        assert_eq!(leaving(90, [1, 1, 2], WHEN_FULL * 2), []);
        assert_eq!(leaving(10, [1, 1, 2], KEEP), [key(1)]);
        let later = KEEP + WHEN_FULL * 2;
        assert_eq!(leaving(10, [1, 1, 2], later), [key(1), key(2)]);
    }
}
