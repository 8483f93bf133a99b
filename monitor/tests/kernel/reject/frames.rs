//! Packets and frames for the tests of answers, built independently of the kernel program.

use etherparse::{
    IpFragOffset, IpNumber, Ipv4Header, Ipv4Options, Ipv6FlowLabel, Ipv6Header, TcpHeader,
    UdpHeader,
};

pub(super) const DEVICE: [u8; 6] = [0x64, 0xcc, 0x2e, 0x11, 0x22, 0x33];
pub(super) const SERVER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];

/// Addresses and form of the IP headers of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ip {
    addresses: Addresses,
    /// Words of IPv4 options, or IPv6 extension headers.
    headers: usize,
    /// More fragments, and offset in units of eight bytes.
    fragment: Option<(bool, u16)>,
    is_answer: bool,
}

#[derive(Clone, Copy, Debug)]
enum Addresses {
    V4([u8; 4], [u8; 4]),
    V6([u8; 16], [u8; 16]),
}

pub(super) const V4: Ip = Ip {
    addresses: Addresses::V4([192, 168, 50, 10], [10, 2, 3, 4]),
    headers: 0,
    fragment: None,
    is_answer: false,
};

pub(super) const V6: Ip = Ip {
    addresses: Addresses::V6(
        [
            0x20, 0x01, 0x0d, 0xb8, 0, 0x50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ],
        [0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4],
    ),
    headers: 0,
    fragment: None,
    is_answer: false,
};

impl Ip {
    pub(super) const fn is_v4(self) -> bool {
        matches!(self.addresses, Addresses::V4(..))
    }

    pub(super) const fn with_headers(self, headers: usize) -> Self {
        Self { headers, ..self }
    }

    pub(super) const fn with_fragment(self, more: bool, offset: u16) -> Self {
        let fragment = Some((more, offset));
        Self { fragment, ..self }
    }

    pub(super) const fn to_v4(self, destination: [u8; 4]) -> Self {
        let addresses = Addresses::V4([192, 168, 50, 10], destination);
        Self { addresses, ..self }
    }

    /// A packet from its own destination.
    pub(super) const fn between_same(self) -> Self {
        let addresses = match self.addresses {
            Addresses::V4(_, to) => Addresses::V4(to, to),
            Addresses::V6(_, to) => Addresses::V6(to, to),
        };
        Self { addresses, ..self }
    }

    /// Packets of which one address belongs to no single host.
    pub(super) fn with_addresses_of_no_host(self) -> Vec<Self> {
        let mut all = Vec::new();
        match self.addresses {
            Addresses::V4(from, to) => {
                for no_host in [
                    [0, 0, 0, 0],
                    [0, 1, 2, 3],
                    [127, 0, 0, 1],
                    [224, 0, 0, 1],
                    [239, 1, 2, 3],
                    [240, 0, 0, 1],
                    [255, 255, 255, 255],
                ] {
                    all.push(Addresses::V4(no_host, to));
                    all.push(Addresses::V4(from, no_host));
                }
            }
            Addresses::V6(from, to) => {
                let mut loopback = [0; 16];
                loopback[15] = 1;
                let mut multicast = to;
                multicast[..2].copy_from_slice(&[0xff, 0x02]);
                for no_host in [[0; 16], loopback, multicast] {
                    all.push(Addresses::V6(no_host, to));
                    all.push(Addresses::V6(from, no_host));
                }
            }
        }
        let with = |addresses| Self { addresses, ..self };
        all.into_iter().map(with).collect()
    }

    /// The headers of an answer: the other direction, without options.
    pub(super) const fn answer(self) -> Self {
        let addresses = match self.addresses {
            Addresses::V4(from, to) => Addresses::V4(to, from),
            Addresses::V6(from, to) => Addresses::V6(to, from),
        };
        Self {
            addresses,
            headers: 0,
            fragment: None,
            is_answer: true,
        }
    }

    pub(super) fn addresses_v6(self) -> ([u8; 16], [u8; 16]) {
        match self.addresses {
            Addresses::V6(from, to) => (from, to),
            Addresses::V4(..) => panic!("{self:?}"),
        }
    }

    /// The segment with its checksum.
    pub(super) fn with_tcp(self, mut header: TcpHeader, data: &[u8]) -> Vec<u8> {
        header.checksum = match self.addresses {
            Addresses::V4(from, to) => header.calc_checksum_ipv4_raw(from, to, data),
            Addresses::V6(from, to) => header.calc_checksum_ipv6_raw(from, to, data),
        }
        .unwrap();
        [&header.to_bytes()[..], data].concat()
    }

    #[expect(clippy::unused_self, reason = "called beside `with_tcp`")]
    pub(super) fn with_udp(self, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(UdpHeader::LEN + data.len()).unwrap();
        let header = UdpHeader {
            source_port: 40_000,
            destination_port: 443,
            length,
            checksum: 0,
        };
        [&header.to_bytes()[..], data].concat()
    }

    /// The whole packet. `service` is the type of service, which IPv6 leaves zero.
    pub(super) fn packet(self, protocol: IpNumber, service: u8, body: &[u8]) -> Vec<u8> {
        match self.addresses {
            Addresses::V4(from, to) => self.packet_v4((from, to), protocol, service, body),
            Addresses::V6(from, to) => self.packet_v6((from, to), protocol, body),
        }
    }

    fn packet_v4(
        self,
        (from, to): ([u8; 4], [u8; 4]),
        protocol: IpNumber,
        service: u8,
        body: &[u8],
    ) -> Vec<u8> {
        let mut header = Ipv4Header::new(0, 64, protocol, from, to).unwrap();
        header.dscp = (service >> 2).try_into().unwrap();
        header.ecn = (service & 3).try_into().unwrap();
        header.options = Ipv4Options::try_from(&vec![1; self.headers * 4][..]).unwrap();
        header.dont_fragment = self.is_answer;
        let (more, offset) = self.fragment.unwrap_or_default();
        header.more_fragments = more;
        header.fragment_offset = IpFragOffset::try_new(offset).unwrap();
        header.identification = if self.is_answer { 0 } else { 0xbeef };
        header.set_payload_len(body.len()).unwrap();
        header.header_checksum = header.calc_header_checksum();
        [&header.to_bytes()[..], body].concat()
    }

    fn packet_v6(
        self,
        (source, destination): ([u8; 16], [u8; 16]),
        protocol: IpNumber,
        body: &[u8],
    ) -> Vec<u8> {
        const DESTINATION_OPTIONS: u8 = 60;
        const FRAGMENT: u8 = 44;
        let mut numbers = vec![DESTINATION_OPTIONS; self.headers];
        numbers.extend(self.fragment.map(|_| FRAGMENT));
        numbers.push(protocol.0);
        let mut payload = Vec::new();
        for pair in numbers.windows(2) {
            let next = pair[1];
            payload.extend(match (pair[0], self.fragment) {
                (FRAGMENT, Some((more, offset))) => {
                    let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
                    [next, 0, high, low, 0, 0, 0, 7]
                }
                _ => [next, 0, 1, 4, 0, 0, 0, 0],
            });
        }
        payload.extend(body);
        let header = Ipv6Header {
            traffic_class: 0,
            flow_label: Ipv6FlowLabel::ZERO,
            payload_length: u16::try_from(payload.len()).unwrap(),
            next_header: IpNumber(numbers[0]),
            hop_limit: 64,
            source,
            destination,
        };
        [header.to_bytes().to_vec(), payload].concat()
    }
}

/// The headers between the MACs and the packet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Around {
    Nothing,
    Tag,
    QinQ,
    /// As many tags as the program skips.
    Tags28,
    Pppoe,
    /// With a PPP protocol of one byte.
    PppoeShort,
    PppoeInTag,
    PppoeShortInTags28,
}

impl Around {
    pub(super) const ALL: [Self; 8] = [
        Self::Nothing,
        Self::Tag,
        Self::QinQ,
        Self::Tags28,
        Self::Pppoe,
        Self::PppoeShort,
        Self::PppoeInTag,
        Self::PppoeShortInTags28,
    ];

    pub(super) fn frame(self, from: [u8; 6], to: [u8; 6], ip: Ip, packet: &[u8]) -> Vec<u8> {
        let (tags, protocol_bytes): (&[u16], _) = match self {
            Self::Nothing => (&[], None),
            Self::Tag => (&[0x8100], None),
            Self::QinQ => (&[0x88a8, 0x8100], None),
            Self::Tags28 => (&[0x9100; 28], None),
            Self::Pppoe => (&[], Some(2)),
            Self::PppoeShort => (&[], Some(1)),
            Self::PppoeInTag => (&[0x8100], Some(2)),
            Self::PppoeShortInTags28 => (&[0x8100; 28], Some(1)),
        };
        let mut frame = [to, from].concat();
        for (number, tag) in (0x2005_u16..).zip(tags) {
            frame.extend(tag.to_be_bytes());
            frame.extend(number.to_be_bytes());
        }
        let (ether_type, protocol) = if ip.is_v4() {
            (0x0800_u16, 0x21)
        } else {
            (0x86dd, 0x57)
        };
        match protocol_bytes {
            None => frame.extend(ether_type.to_be_bytes()),
            Some(bytes) => {
                frame.extend([0x88, 0x64, 0x11, 0, 0x12, 0x34]);
                let length = u16::try_from(bytes + packet.len()).unwrap();
                frame.extend(length.to_be_bytes());
                frame.extend(&[0, protocol][2 - bytes..]);
            }
        }
        [&frame[..], packet].concat()
    }
}
