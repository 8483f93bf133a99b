//! Known ways to evade the filter and variants of them, each with a name.

use crate::{
    case::{Case, Envelope, Family, Length, Place, PppProtocol, Session, Tag, Target},
    known_ports,
    support::{
        packets::{IPV4, IPV6},
        release::kernel_is_at_least,
    },
};

/// What Linux does with the case where no filter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linux {
    Delivers,
    Refuses,
    /// Its bridges refuse the case where they hand packets to netfilter.
    DeliversWithoutBridge,
    /// Linux 6.18 limits neither VLAN tags nor extension headers. Linux 7.3 delivers 6 tags and
    /// 10 headers, and refuses 28 tags and 16 headers.
    DeliversWithoutLimit,
}

impl Linux {
    /// True where this is what an unfiltered gateway showed.
    pub(crate) fn agrees(self, delivered: bool) -> bool {
        match self {
            Self::Delivers => delivered,
            Self::Refuses => !delivered,
            Self::DeliversWithoutBridge => true,
            Self::DeliversWithoutLimit => delivered || kernel_is_at_least([6, 19]),
        }
    }
}

pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) linux: Linux,
    pub(crate) case: Case,
}

pub(crate) fn all() -> Vec<Known> {
    let mut all = Vec::new();
    for place in [Place::Internet, Place::Gateway] {
        for family in [Family::Ipv4, Family::Ipv6] {
            let mut add = |name: String, linux, case: Case| {
                let name = format!("{name}, {family:?}, {place:?}");
                all.push(Known { name, linux, case });
            };
            tags(place, family, &mut add);
            sessions(place, family, &mut add);
            ethernet(place, family, &mut add);
            addresses(place, family, &mut add);
        }
        let mut add = |name: String, linux, case: Case| {
            let name = format!("{name}, {place:?}");
            all.push(Known { name, linux, case });
        };
        known_ports::add_all(place, &mut add);
    }
    all
}

/// The more tags, the longer a parser must walk.
fn tags(place: Place, family: Family, add: &mut impl FnMut(String, Linux, Case)) {
    for protocol in [0x8100, 0x88a8] {
        for depth in [1, 4, 5, 6, 28, 29, 30, 350] {
            let mut case = Case::plain(Target::Dropped, place, family);
            let control = if depth % 2 == 0 { 0xf000 } else { 0 };
            case.tags = vec![Tag { protocol, control }; depth];
            let linux = if depth > 6 {
                Linux::DeliversWithoutLimit
            } else {
                Linux::Delivers
            };
            add(
                format!("{depth} tags {protocol:04x}:{control:04x}"),
                linux,
                case,
            );
        }
    }
    for (protocol, control) in [(0x8100, 5), (0x88a8, 1), (0x9100, 0), (0x9200, 0)] {
        for depth in [1, 5, 29] {
            let mut case = Case::plain(Target::Dropped, place, family);
            case.tags = vec![Tag { protocol, control }; depth];
            add(
                format!("{depth} tags {protocol:04x}:{control:04x}"),
                Linux::Refuses,
                case,
            );
        }
    }
}

fn sessions(place: Place, family: Family, add: &mut impl FnMut(String, Linux, Case)) {
    let good = Session {
        version_type: 0x11,
        code: 0,
        id: 1,
        length: Length::Right,
        protocol: PppProtocol::Full,
    };
    let short = PppProtocol::Short;
    let numbers = [0x2d, 0x2f, 0x3d, 0xfb, 0xfd];
    let mut each = vec![
        ("as it should be", good),
        (
            "version 2",
            Session {
                version_type: 0x21,
                ..good
            },
        ),
        (
            "type 0",
            Session {
                version_type: 0x10,
                ..good
            },
        ),
        ("code 9", Session { code: 9, ..good }),
        (
            "a protocol of one byte",
            Session {
                protocol: short,
                ..good
            },
        ),
        (
            "a protocol of one byte and version 0",
            Session {
                protocol: short,
                version_type: 0,
                ..good
            },
        ),
    ];
    for number in numbers {
        each.push((
            "a hidden packet",
            Session {
                protocol: PppProtocol::Number(number.into()),
                ..good
            },
        ));
        each.push((
            "a hidden packet, short",
            Session {
                protocol: PppProtocol::ShortNumber(number),
                ..good
            },
        ));
    }
    for (name, session) in each {
        for depth in [0, 5] {
            let mut case = Case::plain(Target::Dropped, place, family);
            case.envelope = Envelope::Session(session);
            case.tags = vec![
                Tag {
                    protocol: 0x8100,
                    control: 0
                };
                depth
            ];
            add(
                format!(
                    "session behind {depth} tags with {name} {:?}",
                    session.protocol
                ),
                Linux::Delivers,
                case,
            );
        }
    }
}

/// No IP stack of Linux registers a SNAP or LLC protocol.
fn ethernet(place: Place, family: Family, add: &mut impl FnMut(String, Linux, Case)) {
    let kind = if family == Family::Ipv4 { IPV4 } else { IPV6 };
    let other = if family == Family::Ipv4 { IPV6 } else { IPV4 };
    for (name, envelope) in [
        ("SNAP", Envelope::Snap([0; 3], kind)),
        ("bridge-tunnel SNAP", Envelope::Snap([0, 0, 0xf8], kind)),
        ("LLC for IP", Envelope::Llc([6, 6, 3])),
        ("a length for a type", Envelope::Length),
        ("the type of the other family", Envelope::Type(other)),
    ] {
        let mut case = Case::plain(Target::Dropped, place, family);
        case.envelope = envelope;
        add(name.to_owned(), Linux::Refuses, case);
    }
}

fn addresses(place: Place, family: Family, add: &mut impl FnMut(String, Linux, Case)) {
    // Linux delivers these on the gateway itself, and forwards none of them.
    let delivers = match place {
        Place::Gateway => Linux::Delivers,
        Place::Internet => Linux::Refuses,
    };
    for (name, to) in [
        ("broadcast", [0xff; 6]),
        ("multicast", [1, 0, 0x5e, 0, 0, 1]),
    ] {
        let mut case = Case::plain(Target::Dropped, place, family);
        case.to = to;
        add(format!("to a {name} MAC"), delivers, case);
    }
    // Off unless `accept_source_route`, `seg6_enabled` or `rpl_seg_enabled` is set
    // for `all` and the interface; turning forwarding on changes none of them.
    let kinds: &[u8] = if family == Family::Ipv4 {
        &[131, 137]
    } else {
        &[0, 2, 3, 4]
    };
    for kind in kinds {
        let mut case = Case::plain(Target::Dropped, place, family);
        case.ip.source_route = Some(*kind);
        add(format!("source route of type {kind}"), Linux::Refuses, case);
    }
}
