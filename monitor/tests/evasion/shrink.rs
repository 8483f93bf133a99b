//! Reduces a case to the smallest case with the same fault.

use crate::{
    case::{BLOCKED_PORT, Case, Envelope, Extension, Ip, Place, Session, Tag, Trailer, Upper},
    support::packets::{GATEWAY, PHONE},
};

/// Removes parts of the case as long as `still` reports the fault.
pub(crate) fn shrink(case: &Case, mut still: impl FnMut(&Case) -> bool) -> Case {
    let mut smallest = case.clone();
    while let Some(smaller) = simpler(&smallest).into_iter().find(|case| still(case)) {
        smallest = smaller;
    }
    smallest
}

/// Every case with one part less, the largest steps first; none equals `case`.
fn simpler(case: &Case) -> Vec<Case> {
    let mut found = Vec::new();
    let mut with = |change: &dyn Fn(&mut Case)| {
        let mut simpler = case.clone();
        change(&mut simpler);
        if simpler != *case {
            found.push(simpler);
        }
    };
    with(&|case| case.tags.clear());
    with(&|case| case.tags.truncate(case.tags.len() / 2));
    with(&|case| case.chain.clear());
    with(&|case| case.chain.truncate(case.chain.len() / 2));
    with(&|case| case.pieces.clear());
    with(&|case| case.envelope = Envelope::Bare);
    with(&|case| case.ip = Ip::default());
    with(&|case| case.trailer = Trailer::None);
    with(&|case| case.cut = None);
    with(&|case| case.to = GATEWAY);
    with(&|case| case.from = PHONE);
    with(&|case| case.place = Place::Gateway);
    with(&|case| case.payload = 8);
    with(&|case| case.upper = Upper::Udp(BLOCKED_PORT));
    with(&|case| case.before_fragment = 0);
    for index in 0..case.tags.len() {
        with(&|case| without(&mut case.tags, index));
    }
    for index in 0..case.chain.len() {
        with(&|case| without(&mut case.chain, index));
    }
    for index in 0..case.pieces.len() {
        with(&|case| without(&mut case.pieces, index));
    }
    for index in 0..case.chain.len() {
        with(&|case| case.chain[index] = Extension::padding(60));
    }
    for index in 0..case.tags.len() {
        with(&|case| {
            case.tags[index] = Tag {
                protocol: 0x8100,
                control: 0,
            }
        });
    }
    fields(&mut with);
    found
}

fn fields(with: &mut impl FnMut(&dyn Fn(&mut Case))) {
    let plain = Ip::default;
    with(&|case| case.ip.version = plain().version);
    with(&|case| case.ip.words = plain().words);
    with(&|case| case.ip.length = plain().length);
    with(&|case| case.ip.options = plain().options);
    with(&|case| case.ip.flags = plain().flags);
    with(&|case| case.ip.hops = plain().hops);
    with(&|case| case.ip.bad_checksum = plain().bad_checksum);
    with(&|case| {
        if let Trailer::Chain(length @ 2..) = case.trailer {
            case.trailer = Trailer::Chain(length - 1);
        }
    });
    let mut in_session = |change: &dyn Fn(&mut Session)| {
        with(&|case| {
            if let Envelope::Session(session) = &mut case.envelope {
                change(session);
            }
        });
    };
    in_session(&|session| session.code = 0);
    in_session(&|session| session.version_type = 0x11);
    in_session(&|session| {
        if session.version_type != 0x11 {
            session.version_type = 0x21;
        }
    });
    in_session(&|session| session.id = 0);
}

fn without<T>(parts: &mut Vec<T>, index: usize) {
    parts.remove(index);
}
