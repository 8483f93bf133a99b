//! Known ways to hide a port from a `drop` by service.

use crate::{
    case::{
        ALLOWED_PORT, BLOCKED_PORT, Case, Extension, Family, Length, OPTION_TO_SKIP, Piece, Place,
        Target, Trailer, Upper,
    },
    known::Linux,
};

pub(crate) fn add_all(place: Place, add: &mut impl FnMut(String, Linux, Case)) {
    extensions(place, add);
    fragments(place, add);
    hidden_ports(place, add);
    lengths(place, add);
}

fn service(place: Place) -> Case {
    Case::plain(Target::Service, place, Family::Ipv6)
}

/// Extension headers before a blocked port.
fn extensions(place: Place, add: &mut impl FnMut(String, Linux, Case)) {
    for number in [60, 43] {
        for length in [0, 1, 8, 9, 10, 16, 17, 18, 40, 150] {
            for target in [Target::Service, Target::AllowedService] {
                let mut case = service(place);
                case.target = target;
                let mut header = Extension::padding(number);
                header.body[..2].copy_from_slice(if number == 43 { &[0, 0] } else { &[1, 4] });
                case.chain = vec![header; length];
                let linux = if length > 10 {
                    Linux::DeliversWithoutLimit
                } else {
                    Linux::Delivers
                };
                add(
                    format!("{target:?} behind {length} headers {number}"),
                    linux,
                    case,
                );
            }
        }
    }
}

/// From this unit of eight bytes to that one, exclusive; more follow.
fn first(to: u16) -> Piece {
    Piece {
        from: 0,
        to,
        more: true,
    }
}

/// From this unit of eight bytes to the end.
fn last(from: u16) -> Piece {
    Piece {
        from,
        to: u16::MAX,
        more: false,
    }
}

/// Datagrams in fragments; the first one has the port.
fn fragments(place: Place, add: &mut impl FnMut(String, Linux, Case)) {
    let header = || Extension::padding(60);
    let each = [
        ("an atomic fragment", Linux::Delivers, vec![], vec![last(0)]),
        (
            "an atomic fragment between headers",
            Linux::Delivers,
            vec![header(), atomic(), header()],
            vec![],
        ),
        // `ipv6_frag_rcv` refuses a second fragment header.
        (
            "two atomic fragments",
            Linux::Refuses,
            vec![atomic(), atomic()],
            vec![],
        ),
        (
            "two fragments",
            Linux::Delivers,
            vec![],
            vec![first(1), last(1)],
        ),
        (
            "two fragments, the last one first",
            Linux::Delivers,
            vec![],
            vec![last(1), first(1)],
        ),
        (
            "overlapping fragments",
            Linux::Refuses,
            vec![],
            vec![first(2), last(1)],
        ),
    ];
    for (name, linux, chain, pieces) in each {
        let mut case = service(place);
        case.payload = 32;
        case.chain = chain;
        case.pieces = pieces;
        add(name.to_owned(), linux, case.clone());
        if case.chain.is_empty() && name != "an atomic fragment" {
            case.family = Family::Ipv4;
            case.trailer = Trailer::Udp;
            add(format!("{name}, IPv4 with a trailer"), linux, case);
        }
    }
}

/// First fragments without the port, before and behind which another one stands
/// where the packet has ended. Linux requires that a first fragment holds the port
/// (`ipv6frag_thdr_truncated`), but not where a chain of headers goes on behind it.
fn hidden_ports(place: Place, add: &mut impl FnMut(String, Linux, Case)) {
    let mut long = Extension::padding(60);
    long.body.resize(14, 0);
    long.body[..2].copy_from_slice(&[OPTION_TO_SKIP, 12]);
    let chains = [
        ("between two headers", vec![Extension::padding(60); 2]),
        ("within a header", vec![long, Extension::padding(60)]),
    ];
    let trailers = [
        Trailer::None,
        Trailer::Zeros(40),
        Trailer::Udp,
        Trailer::Chain(1),
        Trailer::Chain(2),
    ];
    for (name, chain) in &chains {
        for trailer in trailers {
            for pieces in [vec![first(1), last(1)], vec![last(1), first(1)]] {
                for target in [Target::Service, Target::AllowedService] {
                    let mut case = service(place);
                    case.target = target;
                    case.chain.clone_from(chain);
                    case.pieces.clone_from(&pieces);
                    case.trailer = trailer;
                    let from = pieces[0].from;
                    let name = format!(
                        "{target:?}, a first fragment that ends {name}, {trailer:?}, from {from}"
                    );
                    add(name, Linux::Delivers, case);
                }
            }
        }
    }
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
            Linux::DeliversWithoutBridge,
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
