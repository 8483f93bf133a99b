//! Counts of facts that were not kept.

/// What found no room, or was no fact about a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Devices that were removed for a new one.
    pub devices_removed: u64,
    /// Facts about new devices that found no room.
    pub devices_refused: u64,
    /// Addresses that were removed for a new one, or found no room.
    pub addresses: u64,
    /// Host names that were removed for a new one, or found no room.
    pub host_names: u64,
    /// Models that were removed for a new one, or found no room.
    pub models: u64,
    /// Facts about a group MAC or a MAC of zeros.
    pub not_a_device: u64,
    /// Addresses that no device has: unspecified, loopback, multicast, broadcast.
    pub not_an_address: u64,
    /// Leases without a MAC whose address no device used lately, or more than one.
    pub leases_without_device: u64,
}
