//! Match set → verdict.

use monitor_common::{ACTION_DROP, MatchSet, Reason};

use crate::{
    frame::Frame,
    lookup::lookup,
    parse::{Packet, parse},
};

/// What the program knows of a frame when it has looked at all of it.
pub(crate) enum Outcome {
    Unparsed(Reason),
    Unmatched(Packet),
    Matched(Packet, &'static MatchSet, Verdict),
}

/// What becomes of a packet.
#[derive(Clone, Copy)]
pub(crate) enum Verdict {
    Passed,
    Dropped,
}

#[inline(always)]
pub(crate) fn decide(frame: &Frame) -> Outcome {
    let packet = match parse(frame) {
        Ok(packet) => packet,
        Err(reason) => return Outcome::Unparsed(reason),
    };
    match lookup(&packet.destination) {
        Some(set) => Outcome::Matched(packet, set, verdict(set)),
        None => Outcome::Unmatched(packet),
    }
}

/// An `allow` wins, else any `drop` drops, else the packet passes. The entries
/// are sorted that way, so the first one decides.
#[inline(always)]
fn verdict(set: &MatchSet) -> Verdict {
    if set.entries[0].action == ACTION_DROP {
        Verdict::Dropped
    } else {
        Verdict::Passed
    }
}
