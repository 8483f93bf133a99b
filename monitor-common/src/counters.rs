//! Counters that the kernel program adds to. Each CPU has its own copy, and user space
//! sums them up. A *cell* is one such counter.

/// Packets and their length in bytes on the wire, layer 2 included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Count {
    /// Runs of the program. In generic mode a GRO aggregate is one packet.
    pub packets: u64,
    /// Bytes from the Ethernet header to the end of the frame, without FCS.
    pub bytes: u64,
}

impl Count {
    /// Adds one packet of `bytes` bytes, wrapping as the kernel does.
    #[inline(always)]
    pub fn add_packet(&mut self, bytes: u64) {
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(bytes);
    }
}

impl core::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.packets = self.packets.wrapping_add(other.packets);
        self.bytes = self.bytes.wrapping_add(other.bytes);
    }
}

/// Why the parser rejected a frame. A rejected frame has exactly one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Reason {
    /// Neither IPv4 nor IPv6 by its `EtherType`, or by the PPP protocol.
    NonIp = 0,
    /// Shorter than an Ethernet header (14 bytes).
    TruncatedEthernet = 1,
    /// More VLAN tags than the parser skips (28).
    VlanDepth = 2,
    /// The frame ends inside a VLAN tag.
    TruncatedVlan = 3,
    /// A PPPoE session header (RFC 2516) cut short, or a PPP frame that may hold a
    /// compressed or fragmented IP packet: VJ (RFC 1144), multilink (RFC 1990), CCP
    /// (RFC 1962).
    BadPppoe = 4,
    /// Fewer bytes than the fixed IPv4 header (20 bytes).
    TruncatedIpv4 = 5,
    /// IPv4 by `EtherType`, with another version or a header length below 20 bytes.
    BadIpv4 = 6,
    /// Fewer bytes than the fixed IPv6 header (40 bytes).
    TruncatedIpv6 = 7,
    /// IPv6 by `EtherType`, with another version.
    BadIpv6 = 8,
}

impl Reason {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 9] = [
        Self::NonIp,
        Self::TruncatedEthernet,
        Self::VlanDepth,
        Self::TruncatedVlan,
        Self::BadPppoe,
        Self::TruncatedIpv4,
        Self::BadIpv4,
        Self::TruncatedIpv6,
        Self::BadIpv6,
    ];

    /// True if Linux could still deliver such a frame to an IP stack. A ruleset with
    /// a `drop` drops these frames.
    #[must_use]
    #[inline(always)]
    #[expect(
        clippy::match_same_arms,
        reason = "each reason has a sentence of its own"
    )]
    pub const fn deliverable(self) -> bool {
        match self {
            // Linux strips VLAN tags one after the other without a limit
            // (`skb_vlan_untag` in `__netif_receive_skb_core`).
            Self::VlanDepth => true,
            // Linux drops a session header that is cut short (`pppoe_rcv`), but
            // `ppp_generic.c` puts multilink and compressed frames together again.
            Self::BadPppoe => true,
            // The IP stacks of Linux accept no other EtherType. Tunnels and MPLS are
            // exceptions that the operator configures, and are matched by their outer
            // header.
            Self::NonIp => false,
            // Without an EtherType no protocol handler is called (`eth_type_trans`).
            Self::TruncatedEthernet => false,
            // `skb_vlan_untag` frees a frame whose tag is cut short.
            Self::TruncatedVlan => false,
            // `ip_rcv_core` drops a packet without a whole header, with another
            // version, and with a header length below 20 bytes.
            Self::TruncatedIpv4 | Self::BadIpv4 => false,
            // `ip6_rcv_core` drops a packet without a whole header and with another
            // version.
            Self::TruncatedIpv6 | Self::BadIpv6 => false,
        }
    }

    /// The name used in metrics, JSON and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NonIp => "non_ip",
            Self::TruncatedEthernet => "truncated_ethernet",
            Self::VlanDepth => "vlan_depth",
            Self::TruncatedVlan => "truncated_vlan",
            Self::BadPppoe => "bad_pppoe",
            Self::TruncatedIpv4 => "truncated_ipv4",
            Self::BadIpv4 => "bad_ipv4",
            Self::TruncatedIpv6 => "truncated_ipv6",
            Self::BadIpv6 => "bad_ipv6",
        }
    }
}

/// All cells of one interface. Each packet adds to exactly one `Count`, so the sum of
/// all `Count`s is the number of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct InterfaceCounters {
    /// IPv4 packets that passed.
    pub passed_ipv4: Count,
    /// IPv6 packets that passed.
    pub passed_ipv6: Count,
    /// IPv4 packets that were dropped.
    pub dropped_ipv4: Count,
    /// IPv6 packets that were dropped.
    pub dropped_ipv6: Count,
    /// Frames that the parser rejected and that passed, by [`Reason`]. Their family is
    /// `other`.
    pub unparsed_passed: [Count; Reason::ALL.len()],
    /// Frames that the parser rejected and that were dropped, by [`Reason`]. Their
    /// family is `other`.
    pub unparsed_dropped: [Count; Reason::ALL.len()],
    /// Frames that passed without being parsed, because the generation was not
    /// confirmed in time and there was no generation before it. Their family is
    /// `other`.
    pub not_confirmed: Count,
    /// Matched packets, counted above as well, that were not written to the log
    /// because it had no room.
    pub lost_log: u64,
}

/// Cells of one policy slot: the packets that the policy matched, by verdict.
///
/// The `other_*` cells count the part of these packets that no device cell counts,
/// because the device tables had no room. So for each verdict
/// `devices + other + past = policy`, exactly; see
/// [`PastCounters`](crate::PastCounters).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PolicyCounters {
    /// Matched packets that passed.
    pub passed: Count,
    /// Matched packets that were dropped.
    pub dropped: Count,
    /// The part of `passed` that is in no device cell.
    pub other_passed: Count,
    /// The part of `dropped` that is in no device cell.
    pub other_dropped: Count,
}

/// Entries of the device table that every device may use. They are preallocated for
/// every possible CPU.
pub const MAX_DEVICE_CELLS: u32 = 16_384;

/// Near cells of each CPU, a power of two.
pub const NEAR_CELLS: u32 = 4096;

/// The most near cells that are searched for a device, from [`DeviceKey::near`] on.
pub const NEAR_PROBES: u32 = 8;

/// Key of the device tables: a device and a policy that matched its packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct DeviceKey {
    /// Source MAC of the frame, network order.
    pub mac: [u8; 6],
    /// Policy slot, host order.
    pub policy: u16,
}

impl DeviceKey {
    /// The whole key as one number, which is never 0.
    #[inline(always)]
    #[must_use]
    pub fn to_bits(self) -> u64 {
        let mut bytes = [0; 8];
        bytes[..6].copy_from_slice(&self.mac);
        bytes[6..].copy_from_slice(&self.policy.wrapping_add(1).to_ne_bytes());
        u64::from_ne_bytes(bytes)
    }

    /// The inverse of [`to_bits`](Self::to_bits); `None` for 0.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        if bits == 0 {
            return None;
        }
        let [mac @ .., first, second] = bits.to_ne_bytes();
        let policy = u16::from_ne_bytes([first, second]).wrapping_sub(1);
        Some(Self { mac, policy })
    }

    /// Index, among the near cells of a CPU, of the first cell to search for these
    /// bits. Multiplicative hashing spreads consecutive keys.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the shift leaves few bits")]
    pub const fn near(bits: u64) -> u32 {
        // 2^64 divided by the golden ratio, made odd.
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        (bits.wrapping_mul(FACTOR) >> (u64::BITS - NEAR_CELLS.ilog2())) as u32
    }
}

/// Cells of one (device, policy).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct DeviceCounters {
    /// Matched packets of the device that passed.
    pub passed: Count,
    /// Matched packets of the device that were dropped.
    pub dropped: Count,
}

/// A near cell: the cells of one (device, policy) on one CPU, found without a look-up
/// in a device table. A device with a near cell has an entry in a device table too. A
/// packet is counted in only one of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct NearDevice {
    /// [`DeviceKey::to_bits`]; 0 if the cell is free. User space adds
    /// [`DeviceKey::LEAVING`] while it takes back the place of the device.
    pub key: u64,
    /// Packets that this CPU counted in this cell.
    pub counters: DeviceCounters,
}

#[cfg(feature = "user")]
mod user {
    use super::{DeviceCounters, DeviceKey, InterfaceCounters, NearDevice, PolicyCounters};

    // SAFETY: `repr(C)`, integers and byte arrays only, no implicit padding
    // (checked in `tests/layout.rs`), valid for every bit pattern.
    unsafe impl aya::Pod for InterfaceCounters {}
    // SAFETY: as above.
    unsafe impl aya::Pod for PolicyCounters {}
    // SAFETY: as above.
    unsafe impl aya::Pod for DeviceKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for DeviceCounters {}
    // SAFETY: as above.
    unsafe impl aya::Pod for NearDevice {}
}
