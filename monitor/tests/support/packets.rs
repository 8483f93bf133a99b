//! Builds frames layer by layer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{
    IpFragOffset, IpNumber, Ipv4Header, Ipv4Options, Ipv6FlowLabel, Ipv6Header, TcpHeader,
    UdpHeader,
};

pub(crate) const PHONE: [u8; 6] = [0x64, 0xcc, 0x2e, 0x11, 0x22, 0x33];
pub(crate) const GATEWAY: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];

/// Length of two addresses and a type, in bytes.
pub(crate) const ETHERNET_HEADER: usize = 14;

pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const ARP: u16 = 0x0806;
pub(crate) const IPV6: u16 = 0x86dd;
pub(crate) const PPPOE_SESSION: u16 = 0x8864;
/// All tag protocol identifiers that the program knows.
pub(crate) const TPIDS: [u16; 4] = [0x8100, 0x88a8, 0x9100, 0x9200];

const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;

/// The protocol behind the IP header, with the ports or type of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp(u16),
    Udp(u16),
    /// ICMP or `ICMPv6`.
    EchoRequest,
    /// A protocol without ports, by number.
    Other(u8),
}

/// Position of the packet in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fragment {
    Whole,
    First,
    /// Offset in units of eight bytes.
    Later(u16),
}

/// IPv6 extension headers by number: 0 hop-by-hop, 43 routing, 51
/// authentication, 60 destination options, 135 mobility. A fragment header comes with [`Fragment`].
pub(crate) const EXTENSIONS: [u8; 5] = [0, 43, 51, 60, 135];

/// A frame under construction. By default it is an unfragmented UDP packet of
/// the phone with four bytes of payload.
#[derive(Clone, Debug)]
pub(crate) struct Builder {
    source: [u8; 6],
    destination: IpAddr,
    tags: Vec<u16>,
    pppoe: Option<[u8; 2]>,
    options: usize,
    extensions: Vec<u8>,
    fragment: Fragment,
    transport: Transport,
    payload: Vec<u8>,
    host: u8,
}

/// Starts a packet to `destination`, which also selects the address family.
pub(crate) fn to(destination: &str) -> Builder {
    Builder::new(destination.parse().unwrap())
}

/// Any frame: an Ethernet header followed by `rest`.
pub(crate) fn ethernet(source: [u8; 6], ether_type: u16, rest: &[u8]) -> Vec<u8> {
    [&GATEWAY, &source, &ether_type.to_be_bytes()[..], rest].concat()
}

impl Builder {
    pub(crate) fn new(destination: IpAddr) -> Self {
        Self {
            source: PHONE,
            destination,
            tags: Vec::new(),
            pppoe: None,
            options: 0,
            extensions: Vec::new(),
            fragment: Fragment::Whole,
            transport: Transport::Udp(53),
            payload: vec![0xa5; 4],
            host: 10,
        }
    }

    pub(crate) fn source(mut self, mac: [u8; 6]) -> Self {
        self.source = mac;
        self
    }

    /// Sets the last byte of the source address.
    pub(crate) fn host(mut self, host: u8) -> Self {
        self.host = host;
        self
    }

    /// Adds tags with these protocol identifiers, the outermost first.
    pub(crate) fn tags(mut self, tpids: &[u16]) -> Self {
        self.tags = tpids.to_vec();
        self
    }

    /// Puts the packet into a PPPoE session.
    pub(crate) fn pppoe(self) -> Self {
        self.pppoe_with(0x11, 0)
    }

    /// Puts the packet into a PPPoE session with this version-and-type byte and
    /// code.
    pub(crate) fn pppoe_with(mut self, version_type: u8, code: u8) -> Self {
        self.pppoe = Some([version_type, code]);
        self
    }

    /// Adds `words` 32-bit words of IPv4 options, at most ten.
    pub(crate) fn options(mut self, words: usize) -> Self {
        self.options = words;
        self
    }

    /// Adds IPv6 extension headers; the first follows the fixed header.
    pub(crate) fn extensions(mut self, numbers: &[u8]) -> Self {
        self.extensions = numbers.to_vec();
        self
    }

    pub(crate) fn fragment(mut self, fragment: Fragment) -> Self {
        self.fragment = fragment;
        self
    }

    pub(crate) fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    pub(crate) fn payload(mut self, bytes: &[u8]) -> Self {
        self.payload = bytes.to_vec();
        self
    }

    /// The first `length` bytes of the frame.
    pub(crate) fn truncated(self, length: usize) -> Vec<u8> {
        let mut frame = self.build();
        frame.truncate(length);
        frame
    }

    pub(crate) fn build(self) -> Vec<u8> {
        let (ether_type, ppp_protocol, mut packet) = match self.destination {
            IpAddr::V4(destination) => (IPV4, PPP_IPV4, self.ipv4(destination)),
            IpAddr::V6(destination) => (IPV6, PPP_IPV6, self.ipv6(destination)),
        };
        let mut inner_type = ether_type;
        if let Some([version_type, code]) = self.pppoe {
            inner_type = PPPOE_SESSION;
            packet = pppoe_session(version_type, code, ppp_protocol, &packet);
        }
        let mut types = self.tags.clone();
        types.push(inner_type);
        let (outer_type, inner_types) = types.split_first().unwrap();
        let mut rest = Vec::new();
        for (vlan, following) in (1_u16..).zip(inner_types) {
            rest.extend(vlan.to_be_bytes());
            rest.extend(following.to_be_bytes());
        }
        rest.extend(packet);
        ethernet(self.source, *outer_type, &rest)
    }

    fn ipv4(&self, destination: Ipv4Addr) -> Vec<u8> {
        let body = self.body(IpAddr::V4(destination));
        let mut header = Ipv4Header::new(
            0,
            64,
            self.protocol(true),
            self.source_ipv4(),
            destination.octets(),
        )
        .unwrap();
        header.options = Ipv4Options::try_from(&vec![1; self.options * 4][..]).unwrap();
        let (more, offset) = self.fragment_bits();
        header.more_fragments = more;
        header.fragment_offset = IpFragOffset::try_new(offset).unwrap();
        header.set_payload_len(body.len()).unwrap();
        header.header_checksum = header.calc_header_checksum();
        [header.to_bytes().to_vec(), body].concat()
    }

    fn ipv6(&self, destination: Ipv6Addr) -> Vec<u8> {
        let mut numbers = self.extensions.clone();
        if self.fragment != Fragment::Whole {
            numbers.push(44);
        }
        numbers.push(self.protocol(false).0);
        let mut body = Vec::new();
        for pair in numbers.windows(2) {
            body.extend(self.extension(pair[0], pair[1]));
        }
        body.extend(self.body(IpAddr::V6(destination)));
        let header = Ipv6Header {
            traffic_class: 0,
            flow_label: Ipv6FlowLabel::ZERO,
            payload_length: u16::try_from(body.len()).unwrap(),
            next_header: IpNumber(numbers[0]),
            hop_limit: 64,
            source: self.source_ipv6(),
            destination: destination.octets(),
        };
        [header.to_bytes().to_vec(), body].concat()
    }

    /// An extension header of eight bytes. Options are one `PadN`; a routing
    /// header has no segments left.
    fn extension(&self, number: u8, next: u8) -> [u8; 8] {
        match number {
            44 => {
                let (more, offset) = self.fragment_bits();
                let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
                [next, 0, high, low, 0, 0, 0, 7]
            }
            43 => [next, 0, 0, 0, 0, 0, 0, 0],
            _ => [next, 0, 1, 4, 0, 0, 0, 0],
        }
    }

    fn fragment_bits(&self) -> (bool, u16) {
        match self.fragment {
            Fragment::Whole => (false, 0),
            Fragment::First => (true, 0),
            Fragment::Later(offset) => (false, offset),
        }
    }

    fn source_ipv4(&self) -> [u8; 4] {
        [192, 168, 50, self.host]
    }

    fn source_ipv6(&self) -> [u8; 16] {
        let prefix = [0x20, 0x01, 0x0d, 0xb8, 0, 0x50, 0, 0];
        let mut address = [0; 16];
        address[..8].copy_from_slice(&prefix);
        address[15] = self.host;
        address
    }

    fn protocol(&self, ipv4: bool) -> IpNumber {
        match self.transport {
            Transport::Tcp(_) => IpNumber::TCP,
            Transport::Udp(_) => IpNumber::UDP,
            Transport::EchoRequest if ipv4 => IpNumber::ICMP,
            Transport::EchoRequest => IpNumber::IPV6_ICMP,
            Transport::Other(number) => IpNumber(number),
        }
    }

    /// Transport header and payload. A later fragment has only payload.
    fn body(&self, destination: IpAddr) -> Vec<u8> {
        let header = match self.transport {
            _ if matches!(self.fragment, Fragment::Later(_)) => Vec::new(),
            Transport::Tcp(port) => self.tcp(port, destination),
            Transport::Udp(port) => self.udp(port, destination),
            Transport::EchoRequest if destination.is_ipv4() => vec![8, 0, 0, 0, 0, 1, 0, 1],
            Transport::EchoRequest => vec![128, 0, 0, 0, 0, 1, 0, 1],
            Transport::Other(_) => Vec::new(),
        };
        [header, self.payload.clone()].concat()
    }

    fn tcp(&self, port: u16, destination: IpAddr) -> Vec<u8> {
        let mut header = TcpHeader::new(40_000, port, 1, 64_240);
        header.syn = true;
        header.checksum = match destination {
            IpAddr::V4(to) => {
                header.calc_checksum_ipv4_raw(self.source_ipv4(), to.octets(), &self.payload)
            }
            IpAddr::V6(to) => {
                header.calc_checksum_ipv6_raw(self.source_ipv6(), to.octets(), &self.payload)
            }
        }
        .unwrap();
        header.to_bytes().to_vec()
    }

    fn udp(&self, port: u16, destination: IpAddr) -> Vec<u8> {
        let length = u16::try_from(UdpHeader::LEN + self.payload.len()).unwrap();
        let mut header = UdpHeader {
            source_port: 40_000,
            destination_port: port,
            length,
            checksum: 0,
        };
        header.checksum = match destination {
            IpAddr::V4(to) => {
                header.calc_checksum_ipv4_raw(self.source_ipv4(), to.octets(), &self.payload)
            }
            IpAddr::V6(to) => {
                header.calc_checksum_ipv6_raw(self.source_ipv6(), to.octets(), &self.payload)
            }
        }
        .unwrap();
        header.to_bytes().to_vec()
    }
}

fn pppoe_session(version_type: u8, code: u8, protocol: u16, packet: &[u8]) -> Vec<u8> {
    let length = u16::try_from(packet.len() + 2).unwrap();
    let mut session = vec![version_type, code, 0, 1];
    session.extend(length.to_be_bytes());
    session.extend(protocol.to_be_bytes());
    session.extend(packet);
    session
}

/// The answer to a packet: its addresses and ports are swapped, so its checksums stay right. A
/// frame without a whole IP header stays as it is.
pub(crate) fn answer(mut frame: Vec<u8>) -> Vec<u8> {
    if let Some((is_ipv4, start)) = network(&frame) {
        swap_ends(&mut frame[start..], is_ipv4);
    }
    frame
}

/// True for IPv4, and the offset of the IP header behind tags and a PPPoE session.
fn network(frame: &[u8]) -> Option<(bool, usize)> {
    const PPPOE_HEADER: usize = 6;
    let number = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
    let mut at = ETHERNET_HEADER - 2;
    while TPIDS.contains(&number(at)?) {
        at += 4;
    }
    let (kind, start) = match number(at)? {
        PPPOE_SESSION => {
            let protocol = at + 2 + PPPOE_HEADER;
            // An odd first byte is the whole number (RFC 1661, section 6.5).
            match *frame.get(protocol)? {
                first if first % 2 == 1 => (first.into(), protocol + 1),
                _ => (number(protocol)?, protocol + 2),
            }
        }
        ether_type => (ether_type, at + 2),
    };
    match kind {
        IPV4 | PPP_IPV4 => Some((true, start)),
        IPV6 | PPP_IPV6 => Some((false, start)),
        _ => None,
    }
}

/// Swaps the addresses of a packet, and the ports of TCP or UDP directly behind the IP header.
fn swap_ends(packet: &mut [u8], is_ipv4: bool) {
    let (addresses, length) = if is_ipv4 { (12, 4) } else { (8, 16) };
    let Some(both) = packet.get_mut(addresses..addresses + 2 * length) else {
        return;
    };
    let (source, destination) = both.split_at_mut(length);
    source.swap_with_slice(destination);
    let (protocol, ports) = if is_ipv4 {
        (packet[9], usize::from(packet[0] & 0x0f) * 4)
    } else {
        (packet[6], 40)
    };
    let is_later_fragment = is_ipv4 && (packet[6] & 0x1f, packet[7]) != (0, 0);
    let has_ports = [IpNumber::TCP.0, IpNumber::UDP.0].contains(&protocol) && !is_later_fragment;
    if let Some(both) = packet.get_mut(ports..ports + 4).filter(|_| has_ports) {
        let (source, destination) = both.split_at_mut(2);
        source.swap_with_slice(destination);
    }
}
