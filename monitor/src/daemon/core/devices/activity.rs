//! Records when each device was last seen. This is kept only in memory, so after a start
//! every device counts as just seen.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::{datapath::DeviceCounts, policy::MacAddress};

/// The packet count of each device, and the time of its last change.
#[derive(Debug, Default)]
pub(super) struct Activity(HashMap<MacAddress, DeviceActivity>);

#[derive(Clone, Copy, Debug)]
struct DeviceActivity {
    /// Sum of the device's packets over all policies.
    packets: u64,
    /// Time at which this sum was first read.
    since: Instant,
}

impl Activity {
    /// Compares the counts with those of the last call. Removes devices that no longer have
    /// counts.
    pub(super) fn look(&mut self, counts: &DeviceCounts, now: Instant) {
        let mut packets: HashMap<MacAddress, u64> = HashMap::new();
        for (key, counters) in &counts.devices {
            let counted = packets.entry(MacAddress(key.mac)).or_default();
            for count in [counters.passed, counters.dropped] {
                *counted = counted.wrapping_add(count.packets);
            }
        }
        self.0 = packets
            .into_iter()
            .map(|(mac, packets)| {
                let before = self.0.get(&mac).filter(|seen| seen.packets == packets);
                let since = before.map_or(now, |seen| seen.since);
                (mac, DeviceActivity { packets, since })
            })
            .collect();
    }

    /// Returns the time since a device was last seen.
    pub(super) fn unseen(&self, mac: MacAddress, now: Instant) -> Duration {
        let seen = self.0.get(&mac);
        seen.map_or(Duration::ZERO, |seen| now.duration_since(seen.since))
    }
}
