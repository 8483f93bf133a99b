//! Tells the kernel which devices are known, and takes back the places of devices that were
//! not seen for a long time.

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
    datapath::{self, DeviceCounts, Filter, GivenBack, KnownKind},
    policy::{Device, DeviceNames, MacAddress, MacPrefix, Policy, UnknownDevice},
    store::{StoreError, alert_queue::forget_alerts},
};

/// Minimum time between two checks of the neighbours and the device tables.
const LOOK: Duration = Duration::from_secs(10);

/// Minimum time between two reads of the counts of all devices.
const COUNTS: Duration = Duration::from_mins(1);

/// Time after which an unknown device loses its places if the table is nearly full.
const WHEN_FULL: Duration = Duration::from_mins(10);

/// Maximum number of named devices for which places are kept.
const MOST_NAMED: usize = MAX_KNOWN as usize - MOST_NEIGHBOURS;

/// The daemon's knowledge of devices.
#[derive(Debug, Default)]
pub(super) struct Devices {
    neighbours: Neighbours,
    activity: Activity,
    /// Time of the last read of the counts.
    read: Option<Instant>,
    /// Number of named devices beyond [`MOST_NAMED`], for which no places are kept. A new
    /// note is due only if this grows.
    too_many: usize,
}

/// The reason why a device cannot be forgotten.
#[derive(Debug, thiserror::Error)]
pub(in crate::daemon) enum ForgetError {
    /// There is no filter, so there are no counts.
    #[error("the filter is detached")]
    Detached,
    /// The device is not known.
    #[error(transparent)]
    Device(#[from] UnknownDevice),
    /// The name stands for addresses or interfaces only, but the counts are by MAC.
    #[error(
        "`{0}` names no MAC, but counts are kept by MAC: write the MAC that `monitor status` shows, or a name that stands for one"
    )]
    NoMac(String),
    /// The kernel returned an error.
    #[error(transparent)]
    Datapath(#[from] datapath::Error),
    /// The evidence store returned an error.
    #[error("the counters are forgotten, but the evidence is not: {0}")]
    Evidence(String),
    /// The queue of alerts returned an error.
    #[error("the counters and the evidence are forgotten, but the alerts are not: {0}")]
    Alerts(#[source] StoreError),
}

impl Core {
    /// Returns the time between two checks of the devices.
    pub(in crate::daemon) fn device_look(&self) -> Duration {
        LOOK.min(self.settings.forget_after / 4)
    }

    /// Waits until the policies change, because the names of devices may then change too.
    pub(in crate::daemon) async fn names_changed(&self) {
        self.names_changed.notified().await;
    }

    /// Tells the kernel which devices are known, and takes back the places of devices that
    /// were not seen for a long time. Returns notes for the log.
    pub(in crate::daemon) fn look_at_devices(&self) -> Result<Vec<String>, datapath::Error> {
        let interfaces = self.settings.real_lan();
        let neighbours = interfaces.and_then(|names| datapath::neighbours(&names));
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

    /// Takes back the places of devices that were not seen for a long time. Does nothing if
    /// the last call was too recent. Returns a note for the log.
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
                "places taken back from devices that were not seen for a long time: {given_back}; their counts are now in `past` of their policies"
            )
        }))
    }

    /// Tells the kernel which devices are known. Returns a note if the policies name too many
    /// devices.
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
                "places are kept for the first {MOST_NAMED} MACs that the policies name, but not for {too_many} others"
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

    pub(in crate::daemon) fn device_names(&self) -> Arc<DeviceNames> {
        let state = self.state();
        let policies = state.stage.policies();
        policies.map_or_else(Arc::default, |policies| Arc::clone(&policies.devices))
    }

    /// Returns every complete MAC that has a name, is in a group, or occurs in a policy.
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

    /// Moves the counts of devices to the past of their policies. `device` is a MAC, the
    /// first bits of a MAC, or a name.
    pub(in crate::daemon) fn forget(&self, device: &str) -> Result<Forgotten, ForgetError> {
        let meant = self.device_names().named(device)?;
        let prefixes: Vec<MacPrefix> = meant.iter().filter_map(mac_prefix).collect();
        if prefixes.is_empty() {
            return Err(ForgetError::NoMac(device.to_owned()));
        }
        let (macs, given_back) = self.forget_counters(&prefixes)?;
        // The filter is not locked here, because the thread that records evidence needs it.
        let evidence = Self::evidence_of(&prefixes, &macs);
        let forgotten = self.evidence().forget(evidence.clone());
        self.page.hits.erase();
        forgotten.map_err(ForgetError::Evidence)?;
        // Last, because alerts are made from evidence.
        forget_alerts(&self.settings.state_dir, &evidence).map_err(ForgetError::Alerts)?;
        Ok(Forgotten {
            device: device.to_owned(),
            devices: macs.len(),
            places: given_back.places,
            passed: given_back.counters.passed.into(),
            dropped: given_back.counters.dropped.into(),
        })
    }
}

impl Core {
    /// Moves the counts of all devices with these prefixes. Returns the MACs that had any.
    fn forget_counters(
        &self,
        prefixes: &[MacPrefix],
    ) -> Result<(BTreeSet<[u8; 6]>, GivenBack), ForgetError> {
        let mut filter = lock(&self.filter);
        let filter = filter.as_mut().ok_or(ForgetError::Detached)?;
        let counts = filter.device_counts()?;
        let is_meant = |key: &&DeviceKey| {
            let mac = MacAddress(key.mac);
            prefixes.iter().any(|prefix| prefix.contains(mac))
        };
        let keys: Vec<DeviceKey> = counts.devices.keys().filter(is_meant).copied().collect();
        let given_back = filter.give_back(&keys)?;
        Ok((keys.iter().map(|key| key.mac).collect(), given_back))
    }

    /// MACs whose evidence is forgotten: those that the operator names, and those of a named
    /// prefix that have counters.
    fn evidence_of(prefixes: &[MacPrefix], macs: &BTreeSet<[u8; 6]>) -> Vec<MacAddress> {
        let whole = prefixes
            .iter()
            .filter(|prefix| prefix.length() == MacPrefix::BITS)
            .map(|prefix| prefix.address());
        let counted = macs.iter().map(|mac| MacAddress(*mac));
        whole
            .chain(counted)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }
}

impl Devices {
    /// Returns the places to take back. The devices that were unseen for the longest time
    /// come first.
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

pub(super) fn mac_prefix(device: &Device) -> Option<MacPrefix> {
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
        // A device that is seen again stays.
        assert_eq!(leaving(90, [1, 1, 2], WHEN_FULL * 2), []);
        assert_eq!(leaving(10, [1, 1, 2], KEEP), [key(1)]);
        let later = KEEP + WHEN_FULL * 2;
        assert_eq!(leaving(10, [1, 1, 2], later), [key(1), key(2)]);
    }
}
