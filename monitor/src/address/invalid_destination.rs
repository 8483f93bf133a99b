//! Why a text names no destination, and what to write instead.

use std::net::{AddrParseError, IpAddr};

/// Why a text names no destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDestination {
    /// Nothing was written.
    #[error("a destination is empty")]
    Empty,
    /// A network and an address at once.
    #[error(
        "`{text}` has bits set after its first {length}: it reads as a network or as an address"
    )]
    HostBits {
        /// What was written.
        text: String,
        /// The network of that length.
        network: String,
        /// The address before the slash.
        address: IpAddr,
        /// Bits after the slash.
        length: u8,
    },
    /// Some programs read such a number as octal.
    #[error("`{text}` has a number with a leading zero, which some programs read as octal")]
    LeadingZero {
        /// What was written.
        text: String,
        /// The same in decimal.
        decimal: String,
    },
    /// Packets carry such an address as IPv4.
    #[error("`{text}` is an IPv4 address written as IPv6: on the wire its packets are IPv4")]
    Mapped {
        /// What was written.
        text: String,
        /// The same as IPv4.
        ipv4: String,
    },
    /// A zone belongs to one machine.
    #[error("`{text}` has a zone (`%…`), which means something on one machine only")]
    Zone {
        /// What was written.
        text: String,
        /// The same without.
        address: String,
    },
    /// Longer than the address.
    #[error("`/{length}` is longer than an {family} address, which has {bits} bits")]
    TooLong {
        /// Bits after the slash.
        length: u8,
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// Bits of an address.
        bits: u8,
    },
    /// No number after the slash.
    #[error("`/{text}` is not a prefix length")]
    Length {
        /// What was written after the slash.
        text: String,
        /// Length of the netmask that it is, if it is one.
        netmask: Option<u8>,
        /// Bits of an address.
        bits: u8,
    },
    /// End before start.
    #[error("the range `{text}` ends before it starts")]
    Backwards {
        /// What was written.
        text: String,
        /// The other way round.
        swapped: String,
    },
    /// One end each.
    #[error("the range `{text}` starts in one family and ends in the other")]
    MixedFamilies {
        /// What was written.
        text: String,
    },
    /// A CIDR as an end of a range.
    #[error("the range `{text}` has a CIDR at one end, where an address belongs")]
    CidrInRange {
        /// What was written.
        text: String,
    },
    /// Letters where numbers belong.
    #[error("`{text}` is a name, not an address")]
    Name {
        /// What was written.
        text: String,
    },
    /// Anything else.
    #[error("`{text}` is not an IPv4 or IPv6 address")]
    Address {
        /// What was written.
        text: String,
        /// The parser's answer.
        source: AddrParseError,
    },
}

impl InvalidDestination {
    /// How to mend it.
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
                format!("write `{address}`: a policy holds on every interface with the filter")
            }
            Self::Length {
                netmask: Some(length),
                ..
            } => format!("write `/{length}`: the netmask as a length"),
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
                "write its addresses: the filter sees addresses, and a name's change".to_owned()
            }
        }
    }
}
