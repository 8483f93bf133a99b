//! Frame → outcome and verdict.

use monitor_common::{MatchSet, Reason};

use crate::{
    frame::Frame,
    lookup::lookup,
    maps::HAS_DROPS,
    parse::{Packet, parse},
    scope::applying,
};

/// Result of examining a frame.
pub(crate) enum Outcome {
    /// This generation was not confirmed in time, and there is no previous one.
    NotConfirmed,
    /// The parser rejected the frame.
    Unparsed(Reason, Verdict),
    /// No prefix covers the destination.
    Unmatched(Packet),
    /// At least one prefix covers the destination.
    Matched(Packet, Matched, Verdict),
}

/// The policies that apply to a packet. There may be none, if the packet meets no
/// scope.
pub(crate) struct Matched {
    pub(crate) set_id: u32,
    pub(crate) set: &'static MatchSet,
    /// Bit `n` is set if entry `n` of the set applies.
    pub(crate) mask: u32,
}

/// The decision about a packet.
#[derive(Clone, Copy)]
pub(crate) enum Verdict {
    Passed,
    Dropped,
}

#[inline(always)]
pub(crate) fn decide(frame: &Frame) -> Outcome {
    let packet = match parse(frame) {
        Ok(packet) => packet,
        Err(reason) => return Outcome::Unparsed(reason, unparsed(reason)),
    };
    match lookup(&packet.destination) {
        Some((set_id, set)) => {
            let mask = applying(frame, &packet, set);
            let matched = Matched { set_id, set, mask };
            let verdict = verdict(&matched);
            Outcome::Matched(packet, matched, verdict)
        }
        None => Outcome::Unmatched(packet),
    }
}

/// Verdict of a frame that the parser rejected. A ruleset with a `drop` drops the frames
/// that the kernel could still deliver, because each may hide a dropped destination.
#[inline(always)]
fn unparsed(reason: Reason) -> Verdict {
    if HAS_DROPS.load() != 0 && reason.deliverable() {
        Verdict::Dropped
    } else {
        Verdict::Passed
    }
}

/// Verdict of a packet: an `allow` passes it, else a `drop` drops it, else it passes.
#[inline(always)]
fn verdict(matched: &Matched) -> Verdict {
    let Matched { set, mask, .. } = matched;
    if mask & set.allows == 0 && mask & set.drops != 0 {
        Verdict::Dropped
    } else {
        Verdict::Passed
    }
}
