//! The model's own parser: from a frame to the parts that policies look at.

use std::net::IpAddr;

use monitor::policy::MacAddress;
use monitor_common::Reason;

use super::{super::scope, Packet};

/// Parses a frame from the outermost layer inwards. The error is the first
/// problem.
pub(crate) fn parse(frame: &[u8]) -> Result<Packet, Reason> {
    if frame.len() < 14 {
        return Err(Reason::TruncatedEthernet);
    }
    let source = MacAddress(frame[6..12].try_into().unwrap());
    let mut ether_type = number_at(frame, 12);
    let mut rest = &frame[14..];
    let mut tags = 0;
    while matches!(ether_type, 0x8100 | 0x88a8 | 0x9100 | 0x9200) {
        tags += 1;
        if tags > 28 {
            return Err(Reason::VlanDepth);
        }
        if rest.len() < 4 {
            return Err(Reason::TruncatedVlan);
        }
        ether_type = number_at(rest, 2);
        rest = &rest[4..];
    }
    let (destination, packet) = match ether_type {
        0x0800 => (ipv4_destination(rest)?, rest),
        0x86dd => (ipv6_destination(rest)?, rest),
        0x8864 => pppoe(rest)?,
        _ => return Err(Reason::NonIp),
    };
    Ok(Packet {
        source,
        sender: scope::sender(packet),
        destination,
        service: scope::service(packet),
        unreadable: scope::unreadable(packet),
        no_data: has_no_data(frame.len(), packet),
    })
}

/// Skips version and type, code, session and length without a check. Then reads
/// the PPP protocol, whose leading zero byte may be omitted.
fn pppoe(session: &[u8]) -> Result<(IpAddr, &[u8]), Reason> {
    if session.len() < 8 {
        return Err(Reason::BadPppoe);
    }
    let (protocol, packet) = match session[6] {
        odd if odd % 2 == 1 => (u16::from(odd), &session[7..]),
        _ => (number_at(session, 6), &session[8..]),
    };
    match protocol {
        0x0021 => Ok((ipv4_destination(packet)?, packet)),
        0x0057 => Ok((ipv6_destination(packet)?, packet)),
        0x002d | 0x002f | 0x003d | 0x00fb | 0x00fd => Err(Reason::BadPppoe),
        _ => Err(Reason::NonIp),
    }
}

fn ipv4_destination(header: &[u8]) -> Result<IpAddr, Reason> {
    if header.len() < 20 {
        return Err(Reason::TruncatedIpv4);
    }
    let (version, words) = (header[0] / 16, header[0] % 16);
    if version != 4 || words < 5 {
        return Err(Reason::BadIpv4);
    }
    let destination: [u8; 4] = header[16..20].try_into().unwrap();
    Ok(destination.into())
}

fn ipv6_destination(header: &[u8]) -> Result<IpAddr, Reason> {
    if header.len() < 40 {
        return Err(Reason::TruncatedIpv6);
    }
    if header[0] / 16 != 6 {
        return Err(Reason::BadIpv6);
    }
    let destination: [u8; 16] = header[24..40].try_into().unwrap();
    Ok(destination.into())
}

/// True if all bytes behind the link layer are a plain IP header and a TCP header, or
/// padding of a frame that would be too short for Ethernet.
fn has_no_data(frame: usize, packet: &[u8]) -> bool {
    let (ip, total, plain) = if packet[0] / 16 == 4 {
        let whole = number_at(packet, 6).trailing_zeros() >= 14;
        let total = usize::from(number_at(packet, 2));
        (20, total, whole && packet[0] % 16 == 5 && packet[9] == 6)
    } else {
        let total = 40 + usize::from(number_at(packet, 4));
        (40, total, packet[6] == 6)
    };
    let Some(&offset) = packet.get(ip + 12) else {
        return false;
    };
    let tcp = usize::from(offset / 16) * 4;
    let link = frame - packet.len();
    let padded = packet.len() > total && packet.len() + 14 <= 60 && link >= 14;
    plain && tcp >= 20 && total == ip + tcp && (packet.len() == total || padded)
}

fn number_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_be_bytes([bytes[offset], bytes[offset + 1]])
}
