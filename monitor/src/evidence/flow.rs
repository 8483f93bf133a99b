//! Flows: what one device sent to one destination, with packets, bytes and times.

use std::net::IpAddr;

use jiff::Timestamp;
use monitor_common::Count;

use super::FlowEnd;
pub use crate::policy::Direction;
use crate::policy::{MacAddress, PolicyName};

/// What makes a flow: all packets with the same key belong to the same flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// MAC of the device: the source of packets `out`, the destination of packets `in`. All
    /// zero for packets that arrive from the internet, where NAT is not undone yet.
    pub device: MacAddress,
    /// Interface on which the packets were seen.
    pub interface: String,
    /// Direction of the packets, seen from the device.
    pub direction: Direction,
    /// Address of the policy's destination: the destination of packets `out`, the source of
    /// packets `in`. An IPv4-mapped IPv6 address stays IPv6.
    pub destination: IpAddr,
    /// Protocol number (IANA) of the header behind the IP header and its extension
    /// headers.
    pub protocol: u8,
    /// Port of that destination, or why there is none.
    pub port: Port,
}

/// Destination port of a packet, or why it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// The port.
    Number(u16),
    /// The protocol has no ports.
    None,
    /// A fragment after the first one does not hold the port.
    LaterFragment,
    /// The packet ends before the port.
    Truncated,
    /// ESP, AH or IPComp hides the port (RFC 4303, RFC 4302, RFC 3173).
    Hidden,
    /// The packet has more IPv6 extension headers than the program reads.
    TooManyExtensions,
}

/// What is known about a flow in one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// What makes the flow.
    pub key: FlowKey,
    /// Every policy that matched, in the order of the decision: the effective policy is
    /// the first.
    pub policies: Vec<PolicyName>,
    /// Packets that passed.
    pub passed: Count,
    /// Packets that were dropped.
    pub dropped: Count,
    /// Time of the first packet, to about one second.
    pub first: Timestamp,
    /// Time of the last packet, to about one second.
    pub last: Timestamp,
}

/// A source address that a device used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenAddress {
    /// Source MAC of the packet.
    pub device: MacAddress,
    /// Its source address.
    pub address: IpAddr,
    /// Time of the packet, to about one second.
    pub at: Timestamp,
}

impl Flow {
    /// Adds packets of the same flow from another period.
    pub fn join(&mut self, other: &Self) {
        self.passed += other.passed;
        self.dropped += other.dropped;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

impl FlowKey {
    /// The end of the flow to which names belong. Without a readable port it has port 0.
    #[must_use]
    pub fn end(&self) -> FlowEnd {
        FlowEnd {
            device: self.device,
            destination: self.destination,
            protocol: self.protocol,
            port: self.port.number().unwrap_or(0),
        }
    }
}

impl Port {
    /// The port; `None` if there is none to read.
    #[must_use]
    pub const fn number(self) -> Option<u16> {
        match self {
            Self::Number(port) => Some(port),
            _ => None,
        }
    }

    /// Why a port that may exist cannot be read.
    #[must_use]
    pub const fn why_unreadable(self) -> Option<&'static str> {
        match self {
            Self::Number(_) | Self::None => None,
            Self::LaterFragment => Some("a fragment after the first one"),
            Self::Truncated => Some("the packet ends before the port"),
            Self::Hidden => Some("hidden by ESP, AH or IPComp"),
            Self::TooManyExtensions => Some("too many IPv6 extension headers"),
        }
    }
}

/// The word for a protocol number, or the number.
#[must_use]
pub fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        other => other.to_string(),
    }
}
