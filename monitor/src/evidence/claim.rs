//! Claims: names of a destination, each with how and when it was learnt. Claims never
//! replace each other.

use std::net::IpAddr;

use jiff::Timestamp;

use crate::policy::MacAddress;

/// The end of a flow to which a name belongs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowEnd {
    /// Source MAC of the packets.
    pub device: MacAddress,
    /// Destination address of the packets.
    pub destination: IpAddr,
    /// Protocol number (IANA).
    pub protocol: u8,
    /// Destination port.
    pub port: u16,
}

/// A name of a destination, as one source states it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// The name in lower case without a final dot, or an address where a request states
    /// an address. At most 255 bytes. Bytes of the network that are not printable ASCII
    /// are written as `\xNN`.
    pub name: String,
    /// How the name was learnt.
    pub source: NameSource,
    /// Address of the DNS server that answered. `None` for other sources.
    pub server: Option<IpAddr>,
    /// Names from the asked name to the owner of the address record (CNAME chain). Empty
    /// if the asked name owns the record.
    pub chain: Vec<String>,
    /// What is known about Encrypted Client Hello. `None` where the hello has no such
    /// extension, and for other sources.
    pub ech: Option<Ech>,
    /// Time at which the source was first seen.
    pub first: Timestamp,
    /// Time at which the source was last seen.
    pub last: Timestamp,
}

/// How a name was learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameSource {
    /// A DNS answer that this device got.
    Dns,
    /// A DNS answer that another device got.
    DnsOther,
    /// An address hint of an HTTPS or SVCB record (RFC 9460, section 7.3).
    DnsHint,
    /// The server name of a TLS ClientHello (RFC 6066, section 3).
    Sni,
    /// The public name in the outer ClientHello of Encrypted Client Hello (RFC 9849). It
    /// hides the server name.
    SniOuter,
    /// The server name of the ClientHello in QUIC Initial packets (RFC 9001).
    Quic,
    /// The Host of an HTTP request.
    HttpHost,
    /// A name inside a request to another server. It is never the destination's name.
    Asked,
}

impl NameSource {
    /// The sources of a destination's name, by how much they say: what the device itself sent,
    /// then DNS answers. A name that was only asked for is no name of the destination.
    pub const BEST_FIRST: [Self; 7] = [
        Self::Sni,
        Self::Quic,
        Self::HttpHost,
        Self::Dns,
        Self::DnsHint,
        Self::SniOuter,
        Self::DnsOther,
    ];

    /// The word of JSON and of the store.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::DnsOther => "dns-other",
            Self::DnsHint => "dns-hint",
            Self::Sni => "sni",
            Self::SniOuter => "sni-outer",
            Self::Quic => "quic",
            Self::HttpHost => "http-host",
            Self::Asked => "asked",
        }
    }
}

/// What is known about the Encrypted Client Hello extension of a ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ech {
    /// The extension uses a configuration that a DNS answer gave for its public name.
    Real,
    /// A DNS answer for the server name was seen, and it gives no such configuration. The
    /// extension is a dummy (GREASE, RFC 9849, section 6.2).
    Grease,
    /// No DNS answer for the server name was seen: ECH or GREASE.
    Unknown,
}

impl Ech {
    /// The word of JSON and of the store.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Grease => "grease",
            Self::Unknown => "unknown",
        }
    }
}
