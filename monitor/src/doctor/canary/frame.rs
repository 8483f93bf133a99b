//! The canary's frames.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Source addresses of the frames: of networks for documentation (RFC 5737, RFC 3849).
const SOURCE_IPV4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
const SOURCE_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe);

/// The discard port (RFC 863).
const DISCARD: u16 = 9;

/// The source port of the first path. The ports of the others follow.
const FIRST_PORT: u16 = 40_000;

const PAYLOAD: &[u8] = b"monitor doctor --canary";

pub(super) const ETH_P_IP: u16 = 0x0800;
pub(super) const ETH_P_IPV6: u16 = 0x86dd;
const ETH_P_8021Q: u16 = 0x8100;
const UDP: u8 = 17;

/// Length of the header of a frame without a tag.
const ETHERNET: usize = 14;

/// The addresses that only one run uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// IPv4.
    pub ipv4: Ipv4Addr,
    /// IPv6.
    pub ipv6: Ipv6Addr,
}

/// Address family of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    pub(super) const BOTH: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }
}

/// The address of every station.
pub(super) const EVERYONE: [u8; 6] = [0xff; 6];

/// What one path's frames have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) destination: [u8; 6],
    pub(super) source: [u8; 6],
    pub(super) tag: Option<u16>,
    pub(super) family: Family,
    /// Number of the path.
    pub(super) number: u16,
}

impl Frame {
    /// The frame as it is sent, with one hop to live.
    pub(super) fn bytes(&self, target: &Target) -> Vec<u8> {
        let mut bytes = self.destination.to_vec();
        bytes.extend(self.source);
        if let Some(tag) = self.tag {
            bytes.extend(ETH_P_8021Q.to_be_bytes());
            bytes.extend((tag & 0x0fff).to_be_bytes());
        }
        let port = FIRST_PORT.saturating_add(self.number);
        match self.family {
            Family::Ipv4 => {
                let (source, destination) = (SOURCE_IPV4.octets(), target.ipv4.octets());
                let datagram = datagram(port, &source, &destination);
                bytes.extend(ETH_P_IP.to_be_bytes());
                bytes.extend(ipv4_header(datagram.len(), source, destination));
                bytes.extend(datagram);
            }
            Family::Ipv6 => {
                let (source, destination) = (SOURCE_IPV6.octets(), target.ipv6.octets());
                let datagram = datagram(port, &source, &destination);
                bytes.extend(ETH_P_IPV6.to_be_bytes());
                bytes.extend([0x60, 0, 0, 0]);
                bytes.extend(length(datagram.len()).to_be_bytes());
                bytes.extend([UDP, 1]);
                bytes.extend(source);
                bytes.extend(destination);
                bytes.extend(datagram);
            }
        }
        bytes
    }

    /// Family of a frame to the target, and number of its path if it is one of ours. The kernel
    /// has removed its tag.
    pub(super) fn read(bytes: &[u8], target: &Target) -> Option<(Family, Option<u16>)> {
        let kind = u16::from_be_bytes(*bytes.get(12..)?.first_chunk()?);
        let (family, port) = match kind {
            ETH_P_IP
                if *bytes.get(ETHERNET + 16..)?.first_chunk::<4>()? == target.ipv4.octets() =>
            {
                (Family::Ipv4, ETHERNET + 20)
            }
            ETH_P_IPV6
                if *bytes.get(ETHERNET + 24..)?.first_chunk::<16>()? == target.ipv6.octets() =>
            {
                (Family::Ipv6, ETHERNET + 40)
            }
            _ => return None,
        };
        let port = bytes.get(port..).and_then(|port| port.first_chunk::<2>());
        let number = port.and_then(|port| u16::from_be_bytes(*port).checked_sub(FIRST_PORT));
        Some((family, number))
    }
}

fn ipv4_header(payload: usize, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend(length(20 + payload).to_be_bytes());
    header.extend([0, 0, 0, 0, 1, UDP, 0, 0]);
    header.extend(source);
    header.extend(destination);
    let checksum = checksum(&header);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    header
}

fn datagram(port: u16, source: &[u8], destination: &[u8]) -> Vec<u8> {
    let size = length(8 + PAYLOAD.len());
    let mut datagram = Vec::new();
    for field in [port, DISCARD, size, 0] {
        datagram.extend(field.to_be_bytes());
    }
    datagram.extend(PAYLOAD);
    let pseudo = [
        source,
        destination,
        &[0, UDP],
        &size.to_be_bytes(),
        &datagram,
    ]
    .concat();
    // Zero stands for "no checksum".
    let checksum = match checksum(&pseudo) {
        0 => u16::MAX,
        checksum => checksum,
    };
    datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
    datagram
}

fn length(bytes: usize) -> u16 {
    u16::try_from(bytes).unwrap_or(u16::MAX)
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        u32::from(u16::from_be_bytes([pair[0], low]))
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    use super::*;

    const TARGET: Target = Target {
        ipv4: Ipv4Addr::new(198, 19, 3, 4),
        ipv6: Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, 6),
    };

    #[test]
    fn the_frames_are_right_and_are_known_again() {
        for family in Family::BOTH {
            for tag in [None, Some(7)] {
                let frame = Frame {
                    destination: EVERYONE,
                    source: [2, 0, 0, 0, 0, 1],
                    tag,
                    family,
                    number: 11,
                };
                let whole = frame.bytes(&TARGET);
                assert_eq!(whole[..12], [[0xff; 6], frame.source].concat());
                let packet = SlicedPacket::from_ethernet(&whole).unwrap();
                let Some(TransportSlice::Udp(udp)) = packet.transport else {
                    panic!("{family:?}: no UDP");
                };
                assert_eq!(udp.destination_port(), 9);
                let header = udp.to_header();
                let payload = udp.payload();
                match packet.net.unwrap() {
                    NetSlice::Ipv4(net) => {
                        let ip = net.header().to_header();
                        assert_eq!(ip.calc_header_checksum(), ip.header_checksum);
                        let right = header.calc_checksum_ipv4(&ip, payload).unwrap();
                        assert_eq!(header.checksum, right);
                        assert_eq!(ip.destination, TARGET.ipv4.octets());
                    }
                    NetSlice::Ipv6(net) => {
                        let ip = net.header().to_header();
                        let right = header.calc_checksum_ipv6(&ip, payload).unwrap();
                        assert_eq!(header.checksum, right);
                        assert_eq!(ip.destination, TARGET.ipv6.octets());
                    }
                    NetSlice::Arp(_) => panic!("{family:?}: ARP"),
                }
                let mut bytes = whole.clone();
                if tag.is_some() {
                    bytes.drain(12..16);
                }
                assert_eq!(Frame::read(&bytes, &TARGET), Some((family, Some(11))));
                bytes[ETHERNET + 17] ^= 1;
                bytes[ETHERNET + 25] ^= 1;
                assert_eq!(Frame::read(&bytes, &TARGET), None);
                assert_eq!(Frame::read(&bytes[..20], &TARGET), None);
            }
        }
    }
}
