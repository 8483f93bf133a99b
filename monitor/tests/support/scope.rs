//! Conditions of a policy, slow and simple; part of the reference model.

use std::{fmt, net::IpAddr};

use monitor::policy::MacAddress;

use super::reference::{Block, Packet};

/// The conditions of a policy. An empty condition holds for every packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) devices: Vec<Device>,
    pub(crate) except_devices: Vec<Device>,
    pub(crate) interfaces: Vec<String>,
    pub(crate) services: Vec<Service>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    /// MACs that have the same first bits as this one; the number is that of
    /// the bits.
    Mac(MacAddress, u32),
    Address(Block),
    Interface(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Icmp,
    Tcp(u16, u16),
    Udp(u16, u16),
}

impl Scope {
    /// True if the packet meets the conditions. With `any_service`, the
    /// condition on services is ignored.
    pub(crate) fn holds(&self, packet: &Packet, interface: &str, any_service: bool) -> bool {
        let from =
            |devices: &[Device]| devices.iter().any(|device| device.holds(packet, interface));
        let devices = self.devices.is_empty() || from(&self.devices);
        let interfaces =
            self.interfaces.is_empty() || self.interfaces.iter().any(|name| name == interface);
        let asked = |service: &Service| packet.service.is_some_and(|of| service.holds(of));
        let services = any_service || self.services.is_empty() || self.services.iter().any(asked);
        devices && !from(&self.except_devices) && interfaces && services
    }
}

impl Device {
    pub(super) fn holds(&self, packet: &Packet, interface: &str) -> bool {
        match self {
            Self::Mac(mac, length) => {
                bits(*mac)[..*length as usize] == bits(packet.source)[..*length as usize]
            }
            Self::Address(block) => block.contains(packet.sender),
            Self::Interface(name) => name == interface,
        }
    }
}

fn bits(mac: MacAddress) -> Vec<bool> {
    let of_byte = |byte: u8| (0..8).rev().map(move |bit| byte >> bit & 1 == 1);
    mac.0.into_iter().flat_map(of_byte).collect()
}

impl Service {
    fn holds(self, (protocol, port): (u8, u16)) -> bool {
        match self {
            Self::Icmp => protocol == 1 || protocol == 58,
            Self::Tcp(first, last) => protocol == 6 && (first..=last).contains(&port),
            Self::Udp(first, last) => protocol == 17 && (first..=last).contains(&port),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac, length) => write!(f, "{mac}/{length}"),
            Self::Address(block) => write!(f, "{block}"),
            Self::Interface(name) => write!(f, "on-{name}"),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Icmp => write!(f, "icmp"),
            Self::Tcp(first, last) => write!(f, "tcp/{first}-{last}"),
            Self::Udp(first, last) => write!(f, "udp/{first}-{last}"),
        }
    }
}

/// The source address of a packet that begins with its IP header.
pub(crate) fn sender(packet: &[u8]) -> IpAddr {
    if packet[0] / 16 == 4 {
        let sender: [u8; 4] = packet[12..16].try_into().unwrap();
        sender.into()
    } else {
        let sender: [u8; 16] = packet[8..24].try_into().unwrap();
        sender.into()
    }
}

/// Protocol and destination port (0 for ICMP) of a packet that begins with its
/// IP header.
pub(crate) fn service(packet: &[u8]) -> Option<(u8, u16)> {
    match upper(packet) {
        Upper::Protocol(protocol @ (1 | 58), _) => Some((protocol, 0)),
        Upper::Protocol(protocol @ (6 | 17), [_, _, high, low, ..]) => {
            Some((protocol, u16::from_be_bytes([*high, *low])))
        }
        _ => None,
    }
}

/// True if the packet may have a port that cannot be read: the packet is
/// truncated or encrypted, or has too many headers.
pub(crate) fn unreadable(packet: &[u8]) -> bool {
    match upper(packet) {
        Upper::Protocol(6 | 17, rest) => rest.len() < 4,
        Upper::Protocol(protocol, _) => [50, 51, 108].contains(&protocol),
        Upper::LaterFragment => false,
        Upper::OutOfReach => true,
    }
}

/// The content behind the IP headers.
enum Upper<'a> {
    Protocol(u8, &'a [u8]),
    LaterFragment,
    OutOfReach,
}

fn upper(packet: &[u8]) -> Upper<'_> {
    if packet[0] / 16 != 4 {
        let length = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
        let mut payload = &packet[40..];
        // Length 0 means a jumbogram.
        if length != 0 {
            payload = payload.get(..length).unwrap_or(payload);
        }
        return ipv6(packet[6], payload, 16);
    }
    let later = packet[6] & 0x1f != 0 || packet[7] != 0;
    let header = usize::from(packet[0] % 16) * 4;
    if later {
        return Upper::LaterFragment;
    }
    Upper::Protocol(packet[9], packet.get(header..).unwrap_or_default())
}

/// Reads at most `left` extension headers.
fn ipv6(next: u8, packet: &[u8], left: usize) -> Upper<'_> {
    if !matches!(next, 0 | 43 | 44 | 51 | 60 | 135 | 139 | 140) {
        return Upper::Protocol(next, packet);
    }
    if left == 0 || packet.len() < 4 {
        return Upper::OutOfReach;
    }
    let length = match next {
        44 if packet[2] != 0 || packet[3] >= 8 => return Upper::LaterFragment,
        44 => 8,
        51 => (usize::from(packet[1]) + 2) * 4,
        _ => (usize::from(packet[1]) + 1) * 8,
    };
    ipv6(
        packet[0],
        packet.get(length..).unwrap_or_default(),
        left - 1,
    )
}
