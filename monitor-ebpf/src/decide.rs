//! Match set → verdict.

use monitor_common::{MatchSet, Reason};

use crate::{
    frame::Frame,
    lookup::lookup,
    maps::HAS_DROPS,
    parse::{Packet, parse},
    scope::applying,
};

/// What the program knows of a frame when it has looked at all of it.
pub(crate) enum Outcome {
    /// Neither this generation nor one before it decides.
    Undecided,
    Unparsed(Reason, Verdict),
    Unmatched(Packet),
    Matched(Packet, Matched, Verdict),
}

/// The policies that apply to a packet; there may be none.
pub(crate) struct Matched {
    pub(crate) set_id: u32,
    pub(crate) set: &'static MatchSet,
    /// Bit `n` stands for entry `n` of the set.
    pub(crate) mask: u32,
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

/// A ruleset that drops anything also drops the unparsed frames that the kernel
/// could still deliver: any of them may hide a destination that is to be dropped.
#[inline(always)]
fn unparsed(reason: Reason) -> Verdict {
    if HAS_DROPS.load() != 0 && reason.deliverable() {
        Verdict::Dropped
    } else {
        Verdict::Passed
    }
}

/// An `allow` wins, else any `drop` drops, else the packet passes.
#[inline(always)]
fn verdict(matched: &Matched) -> Verdict {
    let Matched { set, mask, .. } = matched;
    if mask & set.allows == 0 && mask & set.drops != 0 {
        Verdict::Dropped
    } else {
        Verdict::Passed
    }
}
