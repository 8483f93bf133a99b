//! The errors of parsing a destination, each with a fix.

use std::net::{AddrParseError, IpAddr};

/// The reason why a text is not a destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDestination {
    /// The text is empty.
    #[error("a destination is empty")]
    Empty,
    /// Bits after the prefix length are set, so the author may mean the network or
    /// the address.
    #[error(
        "`{text}` has bits set after its first {length}: it could mean the network or the address"
    )]
    HostBits {
        /// The text as written.
        text: String,
        /// The network of `length` bits that contains `address`.
        network: String,
        /// The address before the slash.
        address: IpAddr,
        /// The prefix length after the slash, in bits.
        length: u8,
    },
    /// A number has a leading zero. Some programs read such a number as octal.
    #[error("`{text}` has a number with a leading zero, which some programs read as octal")]
    LeadingZero {
        /// The text as written.
        text: String,
        /// The address with the numbers in decimal.
        decimal: String,
    },
    /// The address is IPv4-mapped. Packets to it are IPv4 packets.
    #[error("`{text}` is an IPv4 address written as IPv6: the packets to it are IPv4 packets")]
    Mapped {
        /// The text as written.
        text: String,
        /// The IPv4 address or network.
        ipv4: String,
    },
    /// The address has a zone, which names an interface of one machine.
    #[error("`{text}` has a zone (`%…`), which has a meaning on one machine only")]
    Zone {
        /// The text as written.
        text: String,
        /// The address without the zone.
        address: String,
    },
    /// The prefix length is larger than the number of bits of an address.
    #[error("`/{length}` is longer than an {family} address, which has {bits} bits")]
    TooLong {
        /// The prefix length after the slash, in bits.
        length: u8,
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// Number of bits of an address.
        bits: u8,
    },
    /// The text after the slash is not a number.
    #[error("`/{text}` is not a prefix length")]
    Length {
        /// The text after the slash.
        text: String,
        /// The prefix length, if the text is a netmask.
        netmask: Option<u8>,
        /// Number of bits of an address.
        bits: u8,
    },
    /// The first address of a range is larger than the last one.
    #[error("the range `{text}` ends before it starts")]
    Backwards {
        /// The text as written.
        text: String,
        /// The range with both ends swapped.
        swapped: String,
    },
    /// One end of a range is an IPv4 address, and the other an IPv6 address.
    #[error("the range `{text}` starts in one family and ends in the other")]
    MixedFamilies {
        /// The text as written.
        text: String,
    },
    /// One end of a range is a CIDR.
    #[error("the range `{text}` has a CIDR at one end, but both ends must be addresses")]
    CidrInRange {
        /// The text as written.
        text: String,
    },
    /// The text is a host name.
    #[error("`{text}` is a name, not an address")]
    Name {
        /// The text as written.
        text: String,
    },
    /// The text is not an address, and none of the more specific reasons applies.
    #[error("`{text}` is not an IPv4 or IPv6 address")]
    Address {
        /// The text as written.
        text: String,
        /// The error of the parser.
        source: AddrParseError,
    },
}

impl InvalidDestination {
    /// Returns the fix: what to write instead.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Empty | Self::Address { .. } => {
                "write a CIDR (192.0.2.0/24, 2001:db8::/32), an address (192.0.2.7) or a range \
                 (192.0.2.10-192.0.2.20)"
                    .to_owned()
            }
            Self::HostBits {
                network, address, ..
            } => format!("write `{network}` for the network or `{address}` for the address"),
            Self::LeadingZero { decimal, .. } => format!("write `{decimal}` if it is decimal"),
            Self::Mapped { ipv4, .. } => format!("write `{ipv4}`"),
            Self::Zone { address, .. } => {
                format!("write `{address}`: a policy applies on every filtered interface")
            }
            Self::Length {
                netmask: Some(length),
                ..
            } => format!("write the netmask as a length: `/{length}`"),
            Self::TooLong { bits, .. } | Self::Length { bits, .. } => {
                format!("write a length from /0 to /{bits}")
            }
            Self::Backwards { swapped, .. } => format!("write `{swapped}`"),
            Self::MixedFamilies { .. } => "write one range for IPv4 and one for IPv6".to_owned(),
            Self::CidrInRange { .. } => {
                "write the first and the last address, or each CIDR as its own destination"
                    .to_owned()
            }
            Self::Name { .. } => {
                "write its addresses: the filter sees only addresses, and the addresses of a name \
                 can change"
                    .to_owned()
            }
        }
    }
}
