//! Services: protocols and their ports.

use std::{fmt, str::FromStr};

use crate::quoted::quoted;

/// A protocol with its destination ports, or a protocol without ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// ICMP and `ICMPv6`.
    Icmp,
    /// TCP to one of these ports.
    Tcp(Ports),
    /// UDP, including QUIC, to one of these ports.
    Udp(Ports),
}

/// Ports from `first` to `last`, both included; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    /// The ports; `None` if `last` comes before `first`.
    #[must_use]
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// A range of a single port.
    #[must_use]
    pub const fn only(port: u16) -> Self {
        Self {
            first: port,
            last: port,
        }
    }

    /// The lowest port.
    #[must_use]
    pub fn first(self) -> u16 {
        self.first
    }

    /// The highest port.
    #[must_use]
    pub fn last(self) -> u16 {
        self.last
    }

    fn contains(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }
}

impl Service {
    /// True if this service covers all packets of `other`.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        match (self, other) {
            (Self::Icmp, Self::Icmp) => true,
            (Self::Tcp(own), Self::Tcp(ports)) | (Self::Udp(own), Self::Udp(ports)) => {
                own.contains(ports)
            }
            (Self::Icmp | Self::Tcp(_) | Self::Udp(_), _) => false,
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return write!(f, "{}", self.first);
        }
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Icmp => f.write_str("icmp"),
            Self::Tcp(ports) => write!(f, "tcp/{ports}"),
            Self::Udp(ports) => write!(f, "udp/{ports}"),
        }
    }
}

/// Why a text is not a valid service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidService {
    /// A protocol that is not supported.
    #[error("`{0}` is not a supported protocol: the protocols are tcp, udp and icmp")]
    Protocol(String),
    /// Ports without a protocol.
    #[error("`{0}` is a port without a protocol")]
    NoProtocol(String),
    /// A protocol that needs ports, without ports.
    #[error("`{0}` has no port")]
    NoPort(String),
    /// ICMP with a port; it has none.
    #[error("icmp has no ports")]
    PortOfIcmp,
    /// The port is not a number from 0 to 65535.
    #[error("`{0}` is not a port: ports are 0 to 65535")]
    Port(String),
    /// A port range whose end is before its beginning.
    #[error("the ports `{0}` end before they begin")]
    Backwards(String),
}

impl FromStr for Service {
    type Err = InvalidService;

    /// Parses `tcp/443`, `udp/8000-9000` or `icmp`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (protocol, ports) = match text.split_once('/') {
            Some((protocol, ports)) => (protocol, Some(ports)),
            None => (text, None),
        };
        let with_ports = |service: fn(Ports) -> Self| match ports {
            Some(ports) if !ports.is_empty() => parse_ports(ports).map(service),
            Some(_) | None => Err(InvalidService::NoPort(quoted(protocol))),
        };
        match protocol {
            "tcp" => with_ports(Self::Tcp),
            "udp" => with_ports(Self::Udp),
            "icmp" if ports.is_none() => Ok(Self::Icmp),
            "icmp" => Err(InvalidService::PortOfIcmp),
            _ if parse_ports(text).is_ok() => Err(InvalidService::NoProtocol(quoted(text))),
            other => Err(InvalidService::Protocol(quoted(other))),
        }
    }
}

fn parse_ports(text: &str) -> Result<Ports, InvalidService> {
    let port = |part: &str| {
        let digits = part.bytes().all(|byte| byte.is_ascii_digit());
        let number = part.parse().ok().filter(|_| digits);
        let wrong = if part.is_empty() { text } else { part };
        number.ok_or_else(|| InvalidService::Port(quoted(wrong)))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Ports::new(port(first)?, port(last)?).ok_or_else(|| InvalidService::Backwards(quoted(text)))
}

/// Sorts `services`, and merges those that overlap or are adjacent.
#[must_use]
pub(super) fn join(mut services: Vec<Service>) -> Vec<Service> {
    services.sort_unstable();
    let mut joined: Vec<Service> = Vec::new();
    for service in services {
        match (joined.last_mut(), service) {
            (Some(Service::Icmp), Service::Icmp) => {}
            (Some(Service::Tcp(before)), Service::Tcp(ports))
            | (Some(Service::Udp(before)), Service::Udp(ports))
                if ports.first <= before.last.saturating_add(1) =>
            {
                before.last = before.last.max(ports.last);
            }
            (_, service) => joined.push(service),
        }
    }
    joined
}
