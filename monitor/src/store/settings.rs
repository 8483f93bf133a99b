//! Settings and limits of the evidence store.

use std::time::Duration;

/// Settings of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// How long the store keeps rows.
    pub keep: Duration,
    /// Largest size of the database with its log, in bytes. At least
    /// [`StoreSettings::LEAST_SIZE`].
    pub size: u64,
    /// Limits on what devices can make the store write.
    pub limits: StoreLimits,
}

impl StoreSettings {
    /// The smallest size in bytes. The store takes a smaller setting as this one.
    pub const LEAST_SIZE: u64 = 4 << 20;

    /// Largest size of the database file without its log, in bytes.
    pub(super) fn database(&self) -> u64 {
        self.whole() / 10 * 7
    }

    /// Size of the log, in bytes, at which the store writes no more until a reader ends.
    /// One transaction can add as much again, and the index pages that it touches.
    pub(super) fn log(&self) -> u64 {
        self.whole() / 12
    }

    /// The most events: those that the limit allows, in at most a tenth of the size.
    pub(super) fn events(&self) -> u32 {
        const BYTES_OF_EVENT: u64 = 300;
        let fit = self.whole() / 10 / BYTES_OF_EVENT;
        u32::try_from(fit).map_or(self.limits.events, |fit| fit.min(self.limits.events))
    }

    fn whole(&self) -> u64 {
        self.size.max(Self::LEAST_SIZE)
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            keep: Duration::from_hours(30 * 24),
            size: 200 << 20,
            limits: StoreLimits::default(),
        }
    }
}

/// Limits on what devices can make the store write. What exceeds a limit is summed under
/// "other destinations" or "other devices", or it is counted as a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// New flow ends in a day.
    pub ends: u32,
    /// New flow ends in a day of one device.
    pub ends_of_device: u32,
    /// New flow ends in a day of all devices that the store did not know before this day.
    /// So a flood of new MACs leaves the rest to the known devices.
    pub ends_of_new_devices: u32,
    /// New devices in a day.
    pub devices: u32,
    /// Rows of one device in one bucket.
    pub rows_of_device: u32,
    /// Rows of all devices in one bucket.
    pub rows: u32,
    /// New claims in a day, in bytes of text.
    pub claim_bytes: u32,
    /// New claims in a day of one device, in bytes of text.
    pub claim_bytes_of_device: u32,
    /// New claims in a day of all devices that the store did not know before this day, in
    /// bytes of text.
    pub claim_bytes_of_new_devices: u32,
    /// Claims of one source for one flow end.
    pub claims_of_source: u32,
    /// Facts of one device. The fact that was seen last the longest ago goes first.
    pub facts_of_device: u32,
    /// Different lists of policies. Further lists are shortened to the effective policy.
    pub lists: u32,
    /// Stored events. The oldest goes first.
    pub events: u32,
    /// Events of one device in a day.
    pub events_of_device: u32,
    /// Reasons and policies with losses in one hour.
    pub losses: u32,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            ends: 40_000,
            ends_of_device: 10_000,
            ends_of_new_devices: 20_000,
            devices: 4_096,
            rows_of_device: 4_096,
            rows: 16_384,
            claim_bytes: 16 << 20,
            claim_bytes_of_device: 4 << 20,
            claim_bytes_of_new_devices: 8 << 20,
            claims_of_source: 16,
            facts_of_device: 256,
            lists: 10_000,
            events: 100_000,
            events_of_device: 2_000,
            losses: 1_024,
        }
    }
}
