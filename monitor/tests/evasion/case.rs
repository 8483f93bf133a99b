//! The description of one attempt to evade the filter, from which frames are
//! built.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::support::packets::{GATEWAY, PHONE};

/// The rule that the case is tried against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// No policy matches the destination.
    Innocent,
    /// A `drop` matches every packet to the destination.
    Dropped,
    /// A `drop` matches udp/443 to the destination.
    Service,
    /// A `drop` matches every packet to the destination, an `allow` matches udp/53.
    AllowedService,
}

/// The network namespace that holds the destination address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Behind the gateway, which forwards.
    Internet,
    /// The gateway itself.
    Gateway,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    Ipv4,
    Ipv6,
}

/// The port that the `drop` of [`Target::Service`] names.
pub(crate) const BLOCKED_PORT: u16 = 443;
/// The port that the `allow` of [`Target::AllowedService`] names.
pub(crate) const ALLOWED_PORT: u16 = 53;
/// A port that no policy names.
pub(crate) const OTHER_PORT: u16 = 4433;

/// A VLAN tag: protocol identifier, then priority (3 bits), drop-eligible
/// indicator (1 bit) and VLAN id (12 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) protocol: u16,
    pub(crate) control: u16,
}

/// A length field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Right,
    Zero,
    /// Right, plus this many bytes.
    Off(i16),
}

/// The protocol field of a PPP frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PppProtocol {
    /// Two bytes, of the packet's own family.
    Full,
    /// One byte (protocol field compression, RFC 1661, section 6.5).
    Short,
    /// Behind the bytes ff 03 of address and control.
    Framed,
    /// Any other number, in two bytes.
    Number(u16),
    /// Any other number, in one byte.
    ShortNumber(u8),
}

/// A PPPoE session header (RFC 2516) and the PPP protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) version_type: u8,
    pub(crate) code: u8,
    pub(crate) id: u16,
    pub(crate) length: Length,
    pub(crate) protocol: PppProtocol,
}

/// The layer between the tags and the IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Envelope {
    /// The `EtherType` of the packet's family.
    Bare,
    /// Another `EtherType`.
    Type(u16),
    /// A length instead of a type, then the packet at once.
    Length,
    /// A length, then three bytes of an LLC header.
    Llc([u8; 3]),
    /// A length, then LLC and SNAP headers with this organisation and type.
    Snap([u8; 3], u16),
    Session(Session),
    /// A frame of this `EtherType` that carries no IP packet.
    Control(u16),
}

/// Fields of the IP header that may lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ip {
    /// `None`: that of the family.
    pub(crate) version: Option<u8>,
    /// IPv4: `None`: the right header length in words.
    pub(crate) words: Option<u8>,
    /// Total length of IPv4, payload length of IPv6.
    pub(crate) length: Length,
    /// IPv4: options, padded to words; at most 40 bytes.
    pub(crate) options: Vec<u8>,
    /// IPv4: flag bits besides those of the fragments: 0x8000 reserved, 0x4000 DF.
    pub(crate) flags: u16,
    /// Time to live or hop limit.
    pub(crate) hops: u8,
    /// IPv4: the header checksum is wrong.
    pub(crate) bad_checksum: bool,
    /// The destination stands in a source route; the header names the gateway.
    pub(crate) source_route: Option<u8>,
}

impl Default for Ip {
    fn default() -> Self {
        Self {
            version: None,
            words: None,
            length: Length::Right,
            options: Vec::new(),
            flags: 0,
            hops: 64,
            bad_checksum: false,
            source_route: None,
        }
    }
}

/// An IPv6 extension header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extension {
    pub(crate) number: u8,
    /// Bytes behind the next header and the length.
    pub(crate) body: Vec<u8>,
    /// The length field; `None`: the right one.
    pub(crate) claimed: Option<u8>,
}

/// An option of a hop-by-hop or destination header that a host skips where it does
/// not know it (RFC 8200, section 4.2); Linux refuses more than seven bytes of padding.
pub(crate) const OPTION_TO_SKIP: u8 = 0x1e;

impl Extension {
    /// Eight bytes with one option that pads.
    pub(crate) fn padding(number: u8) -> Self {
        Self {
            number,
            body: vec![1, 4, 0, 0, 0, 0],
            claimed: None,
        }
    }
}

/// A part of the packet in a fragment of its own, in units of eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) from: u16,
    /// Exclusive; may lie behind the packet's end.
    pub(crate) to: u16,
    pub(crate) more: bool,
}

/// The header behind the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upper {
    Udp(u16),
    Tcp(u16),
    Echo,
    Other(u8),
}

/// Bytes behind the end that the IP header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trailer {
    None,
    Zeros(u8),
    /// A UDP header to [`ALLOWED_PORT`].
    Udp,
    /// That many extension headers that lead to such a UDP header.
    Chain(u8),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// Number in the source address and the payload, by which the packet is known again.
    pub(crate) marker: u32,
    pub(crate) target: Target,
    pub(crate) place: Place,
    pub(crate) family: Family,
    pub(crate) to: [u8; 6],
    pub(crate) from: [u8; 6],
    pub(crate) tags: Vec<Tag>,
    pub(crate) envelope: Envelope,
    pub(crate) ip: Ip,
    /// IPv6 extension headers.
    pub(crate) chain: Vec<Extension>,
    pub(crate) upper: Upper,
    /// Bytes.
    pub(crate) payload: usize,
    /// Fragments in the order in which they are sent; empty: one whole packet.
    pub(crate) pieces: Vec<Piece>,
    /// The number of extension headers before the fragment header.
    pub(crate) before_fragment: usize,
    pub(crate) trailer: Trailer,
    /// Length of the frame, where it is cut.
    pub(crate) cut: Option<usize>,
}

impl Case {
    /// A plain UDP datagram to [`BLOCKED_PORT`].
    pub(crate) fn plain(target: Target, place: Place, family: Family) -> Self {
        Self {
            marker: 0,
            target,
            place,
            family,
            to: GATEWAY,
            from: PHONE,
            tags: Vec::new(),
            envelope: Envelope::Bare,
            ip: Ip::default(),
            chain: Vec::new(),
            upper: Upper::Udp(BLOCKED_PORT),
            payload: 8,
            pieces: Vec::new(),
            before_fragment: 0,
            trailer: Trailer::None,
            cut: None,
        }
    }

    /// The address that the rule is about.
    pub(crate) fn address(&self) -> IpAddr {
        address(self.target, self.place, self.family)
    }
}

pub(crate) fn address(target: Target, place: Place, family: Family) -> IpAddr {
    let here = place == Place::Gateway;
    match family {
        Family::Ipv4 => {
            let [a, b, c] = match target {
                Target::Innocent => [198, 18, 0],
                Target::Dropped => [42, 62, 48],
                Target::Service => [198, 51, 100],
                Target::AllowedService => [203, 0, 113],
            };
            Ipv4Addr::new(a, b, c, if here { 200 } else { 20 }).into()
        }
        Family::Ipv6 => {
            let network = match target {
                Target::Innocent => 0x18,
                Target::Dropped => 0x42,
                Target::Service => 0x51,
                Target::AllowedService => 0x53,
            };
            Ipv6Addr::new(0x2001, 0xdb8, network, u16::from(here), 0, 0, 0, 0x20).into()
        }
    }
}

/// Lists the layers that are not as in a plain datagram.
impl fmt::Display for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, place, .. } = self;
        write!(out, "{target:?} {} in {place:?}", self.address())?;
        if self.to != GATEWAY {
            write!(out, " | to MAC {}", hex::encode(self.to))?;
        }
        if self.from != PHONE {
            write!(out, " | from MAC {}", hex::encode(self.from))?;
        }
        if !self.tags.is_empty() {
            write!(out, " | {} tags", self.tags.len())?;
            for Tag { protocol, control } in &self.tags {
                write!(out, " {protocol:04x}:{control:04x}")?;
            }
        }
        if self.envelope != Envelope::Bare {
            write!(out, " | {:x?}", self.envelope)?;
        }
        if self.ip != Ip::default() {
            write!(out, " | {:?}", self.ip)?;
        }
        if !self.chain.is_empty() {
            write!(out, " | {} extensions", self.chain.len())?;
        }
        for Extension {
            number,
            body,
            claimed,
        } in &self.chain
        {
            write!(out, " {number}[{}]", hex::encode(body))?;
            if let Some(claimed) = claimed {
                write!(out, "(length field {claimed})")?;
            }
        }
        if !self.pieces.is_empty() {
            write!(out, " | fragments behind {}:", self.before_fragment)?;
            for Piece { from, to, more } in &self.pieces {
                write!(out, " {from}..{to}{}", if *more { "+" } else { "" })?;
            }
        }
        write!(out, " | {:?}, {} bytes", self.upper, self.payload)?;
        if self.trailer != Trailer::None {
            write!(out, " | trailer {:?}", self.trailer)?;
        }
        if let Some(cut) = self.cut {
            write!(out, " | cut at {cut}")?;
        }
        Ok(())
    }
}
