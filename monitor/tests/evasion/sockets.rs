//! The frames that the sockets of a lab receive.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6},
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, bind,
    recvfrom, setsockopt, socket, sockopt,
};

use crate::{
    case::{ALLOWED_PORT, BLOCKED_PORT, Family, OTHER_PORT, Place, Target, address},
    ground::Observer,
    support::{
        lab::{Lab, Namespace},
        packets::{IPV4, IPV6, PHONE, ethernet},
    },
    wire::{MAGIC, checksum},
};

const PORTS: [u16; 3] = [BLOCKED_PORT, ALLOWED_PORT, OTHER_PORT];

/// Size of the receive buffer, in bytes: it holds all packets of a batch.
const RECEIVE_BUFFER: usize = 16 << 20;

/// Sockets on the gateway and the internet that show what an IP stack delivered.
pub(crate) fn datagram_sockets(
    lab: &Lab,
    internet: &Namespace,
) -> Vec<(Observer, Family, OwnedFd)> {
    let mut sockets = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        let icmp = match family {
            Family::Ipv4 => SockProtocol::Icmp,
            Family::Ipv6 => SockProtocol::IcmpV6,
        };
        for protocol in [SockProtocol::Udp, SockProtocol::Tcp, icmp] {
            let raw = open(&lab.gateway, family, SockType::Raw, Some(protocol), 0);
            sockets.push((Observer::Gateway, family, raw));
        }
        for port in PORTS {
            for namespace in [&lab.gateway, internet] {
                let udp = open(namespace, family, SockType::Datagram, None, port);
                sockets.push((Observer::Socket(port), family, udp));
            }
        }
    }
    sockets
}

fn open(
    namespace: &Namespace,
    family: Family,
    kind: SockType,
    protocol: Option<SockProtocol>,
    port: u16,
) -> OwnedFd {
    let number = match family {
        Family::Ipv4 => AddressFamily::Inet,
        Family::Ipv6 => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let opened = namespace.run(|| socket(number, kind, flags, protocol).expect("open a socket"));
    setsockopt(&opened, sockopt::RcvBufForce, &RECEIVE_BUFFER).unwrap();
    match family {
        _ if kind == SockType::Raw => {}
        Family::Ipv4 => bind(opened.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, port)).unwrap(),
        Family::Ipv6 => {
            setsockopt(&opened, sockopt::Ipv6V6Only, &true).unwrap();
            let any = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0);
            bind(opened.as_raw_fd(), &SockaddrIn6::from(any)).unwrap();
        }
    }
    opened
}

/// The sender of the next datagram that has come.
pub(crate) fn sender(socket: &OwnedFd, family: Family) -> Option<IpAddr> {
    match family {
        Family::Ipv4 => receive::<SockaddrIn>(socket).map(|from| from.ip().into()),
        Family::Ipv6 => receive::<SockaddrIn6>(socket).map(|from| from.ip().into()),
    }
}

fn receive<T: SockaddrLike>(socket: &OwnedFd) -> Option<T> {
    let mut buffer = [0; 2048];
    loop {
        match recvfrom::<T>(socket.as_raw_fd(), &mut buffer) {
            Ok((_, from)) => return from,
            Err(nix::Error::EAGAIN) => return None,
            // A router on the way sent an ICMP error.
            Err(nix::Error::EHOSTUNREACH | nix::Error::ECONNREFUSED) => {}
            Err(error) => panic!("receive a datagram: {error}"),
        }
    }
}

/// The marker behind the magic, wherever it is.
pub(crate) fn find_magic(frame: &[u8]) -> Option<u32> {
    let at = frame
        .windows(MAGIC.len())
        .position(|bytes| bytes == MAGIC)?;
    let marker = frame.get(at + MAGIC.len()..)?.first_chunk()?;
    Some(u32::from_be_bytes(*marker))
}

/// Source and destination of a frame that an IP stack sent.
pub(crate) fn ip_addresses(frame: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let ether_type = u16::from_be_bytes(*frame.get(12..)?.first_chunk()?);
    let v4 = |at: usize| Some(Ipv4Addr::from(*frame.get(at..)?.first_chunk::<4>()?).into());
    let v6 = |at: usize| Some(Ipv6Addr::from(*frame.get(at..)?.first_chunk::<16>()?).into());
    match ether_type {
        IPV4 => Some((v4(26)?, v4(30)?)),
        IPV6 => Some((v6(22)?, v6(38)?)),
        _ => None,
    }
}

/// An echo request with this sequence number, from an address that no case
/// uses.
pub(crate) fn echo_request(sequence: u16) -> Vec<u8> {
    let mut icmp = [&[8, 0, 0, 0, 0x45, 0x56], &sequence.to_be_bytes()[..]].concat();
    let sum = checksum(&[&icmp]);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut ip = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 10, 77, 0, 2];
    let IpAddr::V4(to) = address(Target::Innocent, Place::Internet, Family::Ipv4) else {
        unreachable!("an IPv4 address was asked for")
    };
    ip.extend(to.octets());
    let sum = checksum(&[&ip]);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    ethernet(PHONE, IPV4, &[ip, icmp].concat())
}

pub(crate) fn is_reply(frame: &[u8], sequence: u16) -> bool {
    const ICMP: usize = 14 + 20;
    let [high, low] = sequence.to_be_bytes();
    frame.get(23) == Some(&1)
        && frame.get(ICMP) == Some(&0)
        && frame.get(ICMP + 4..ICMP + 8) == Some(&[0x45, 0x56, high, low])
}
