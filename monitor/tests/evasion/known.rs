//! Ways around the filter that were found, and neighbours of them, each by name.

use crate::{
    case::{
        ALLOWED_PORT, BLOCKED_PORT, Case, Envelope, Extension, Family, Length, OPTION_TO_SKIP,
        Piece, Place, PppProtocol, Session, Tag, Target, Trailer, Upper,
    },
    support::packets::{IPV4, IPV6},
};

/// What Linux does with the case where no filter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linux {
    Delivers,
    Refuses,
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
        extensions(place, &mut add);
        fragments(place, &mut add);
        lengths(place, &mut add);
    }
    all
}

/// The more tags, the longer a parser must walk; Linux has no limit.
fn tags(place: Place, family: Family, add: &mut impl FnMut(String, Linux, Case)) {
    for protocol in [0x8100, 0x88a8] {
        for depth in [1, 4, 5, 6, 28, 29, 30, 350] {
            let mut case = Case::plain(Target::Dropped, place, family);
            let control = if depth % 2 == 0 { 0xf000 } else { 0 };
            case.tags = vec![Tag { protocol, control }; depth];
            add(
                format!("{depth} tags {protocol:04x}:{control:04x}"),
                Linux::Delivers,
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

fn service(place: Place) -> Case {
    Case::plain(Target::Service, place, Family::Ipv6)
}

/// Extension headers before a blocked port; Linux walks any number.
fn extensions(place: Place, add: &mut impl FnMut(String, Linux, Case)) {
    for number in [60, 43] {
        for length in [0, 1, 8, 9, 10, 16, 17, 18, 40, 150] {
            for target in [Target::Service, Target::AllowedService] {
                let mut case = service(place);
                case.target = target;
                let mut header = Extension::padding(number);
                header.body[..2].copy_from_slice(if number == 43 { &[0, 0] } else { &[1, 4] });
                case.chain = vec![header; length];
                add(
                    format!("{target:?} behind {length} headers {number}"),
                    Linux::Delivers,
                    case,
                );
            }
        }
    }
}

fn piece(from: u16, to: u16, more: bool) -> Piece {
    Piece { from, to, more }
}

/// A first fragment that ends before the port is there, and decoys behind its end.
fn fragments(place: Place, add: &mut impl FnMut(String, Linux, Case)) {
    let whole = piece(0, u16::MAX, false);
    let last = |from| piece(from, u16::MAX, false);
    for target in [Target::Service, Target::AllowedService] {
        let mut with = |name: &str, linux, change: &dyn Fn(&mut Case)| {
            let mut case = service(place);
            case.target = target;
            case.payload = 32;
            change(&mut case);
            add(format!("{target:?} in {name}"), linux, case);
        };
        with("an atomic fragment", Linux::Delivers, &|case| {
            case.pieces = vec![whole]
        });
        with("nested atomic fragments", Linux::Delivers, &|case| {
            case.chain = vec![atomic(), atomic()];
            case.pieces = vec![whole];
        });
        with("two fragments", Linux::Delivers, &|case| {
            case.pieces = vec![piece(0, 1, true), last(1)]
        });
        with("fragments, the last one first", Linux::Delivers, &|case| {
            case.pieces = vec![last(1), piece(0, 1, true)]
        });
        with("overlapping fragments", Linux::Refuses, &|case| {
            case.pieces = vec![piece(0, 2, true), last(1)]
        });
        for trailer in [
            Trailer::None,
            Trailer::Udp,
            Trailer::Chain(1),
            Trailer::Chain(2),
        ] {
            for (name, pieces) in [
                ("forth", vec![piece(0, 1, true), last(1)]),
                ("back", vec![last(1), piece(0, 1, true)]),
            ] {
                // The end of the first fragment is the end of the first header.
                with(
                    &format!("a chain that is cut by a fragment, {name}, {trailer:?}"),
                    Linux::Delivers,
                    &|case| {
                        case.chain = vec![Extension::padding(60); 2];
                        case.pieces.clone_from(&pieces);
                        case.trailer = trailer;
                    },
                );
            }
        }
        with(
            "a header that is cut by a fragment",
            Linux::Delivers,
            &|case| {
                let mut long = Extension::padding(60);
                long.body.resize(14, 0);
                long.body[..2].copy_from_slice(&[OPTION_TO_SKIP, 12]);
                case.chain = vec![long, Extension::padding(60)];
                case.pieces = vec![piece(0, 1, true), last(1)];
                case.trailer = Trailer::Chain(2);
            },
        );
    }
    let mut four = Case::plain(Target::Service, place, Family::Ipv4);
    four.pieces = vec![piece(0, 1, true), last(1)];
    add(
        "IPv4 in two fragments".to_owned(),
        Linux::Delivers,
        four.clone(),
    );
    four.trailer = Trailer::Udp;
    add(
        "IPv4 in two fragments with trailers".to_owned(),
        Linux::Delivers,
        four.clone(),
    );
    four.pieces.push(piece(0, 1, true));
    add(
        "IPv4 with a fragment twice".to_owned(),
        Linux::Delivers,
        four.clone(),
    );
    four.pieces = vec![piece(0, 2, true), last(1)];
    add(
        "IPv4 in overlapping fragments".to_owned(),
        Linux::Refuses,
        four,
    );
}

/// A fragment header of a packet that is whole.
fn atomic() -> Extension {
    Extension {
        number: 44,
        body: vec![0, 0, 0, 0, 0, 7],
        claimed: Some(0),
    }
}

/// Linux takes a payload length of zero behind a hop-by-hop header for "to the end".
fn lengths(place: Place, add: &mut impl FnMut(String, Linux, Case)) {
    for target in [Target::Dropped, Target::Service, Target::AllowedService] {
        let mut case = service(place);
        case.target = target;
        case.chain = vec![Extension::padding(0)];
        case.ip.length = Length::Zero;
        add(
            format!("{target:?} with a payload length of zero"),
            Linux::Delivers,
            case.clone(),
        );
        case.chain = vec![Extension::padding(60)];
        // Linux forwards the fixed header alone.
        let linux = if target == Target::Dropped && place == Place::Internet {
            Linux::Delivers
        } else {
            Linux::Refuses
        };
        add(
            format!("{target:?} with a payload length of zero, no hop-by-hop"),
            linux,
            case,
        );
        let mut case = service(place);
        case.target = target;
        case.trailer = Trailer::Udp;
        add(format!("{target:?} with a trailer"), Linux::Delivers, case);
    }
    let mut options = Case::plain(Target::Service, place, Family::Ipv4);
    options.ip.options = vec![1; 40];
    options.upper = Upper::Udp(BLOCKED_PORT);
    add(
        "ten words of IPv4 options".to_owned(),
        Linux::Delivers,
        options,
    );
    let mut innocent = Case::plain(Target::AllowedService, place, Family::Ipv4);
    innocent.upper = Upper::Udp(ALLOWED_PORT);
    add("an allowed port".to_owned(), Linux::Delivers, innocent);
}
