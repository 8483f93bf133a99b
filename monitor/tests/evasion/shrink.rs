//! A case that shows a fault → the smallest that still shows the same one.

use crate::{
    case::{Case, Envelope, Extension, Ip, Tag, Trailer, Upper, BLOCKED_PORT},
    support::packets::{GATEWAY, PHONE},
};

/// Takes parts away for as long as `still` says that the fault is there.
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
    with(&|case| case.payload = 8);
    with(&|case| case.upper = Upper::Udp(BLOCKED_PORT));
    with(&|case| case.before_fragment = 0);
    for index in 0..case.tags.len() {
        with(&|case| drop(case.tags.remove(index)));
    }
    for index in 0..case.chain.len() {
        with(&|case| drop(case.chain.remove(index)));
    }
    for index in 0..case.pieces.len() {
        with(&|case| drop(case.pieces.remove(index)));
    }
    for index in 0..case.chain.len() {
        with(&|case| case.chain[index] = Extension::padding(60));
    }
    for index in 0..case.tags.len() {
        with(&|case| case.tags[index] = Tag { protocol: 0x8100, control: 0 });
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
    with(&|case| {
        if let Envelope::Session(session) = &mut case.envelope {
            session.code = 0;
        }
    });
    with(&|case| {
        if let Envelope::Session(session) = &mut case.envelope {
            session.version_type = 0x11;
        }
    });
    with(&|case| {
        if let Envelope::Session(session) = &mut case.envelope {
            session.id = 0;
        }
    });
}
