//! Frame → outcome and verdict.

use monitor_common::{
    MatchSet, NEEDS_SEGMENT, NEEDS_SERVICE, Reason, capture::CAPTURE_OFF, evidence::PORT_NONE,
};

use crate::{
    frame::Frame,
    hook::Hook,
    lookup::lookup,
    maps::{CAPTURE, FLOW_BUCKETS, HAS_DROPS, HAS_REJECTS, NEEDS},
    parse::{Destination, Packet, parse},
    scope::applying,
    segment,
    service::Service,
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
    /// [`Service::to_bits`], one number on the stack. Read only if the set needs it, if flows are
    /// recorded, for a capture, or for an answer.
    pub(crate) service: u64,
}

/// The decision about a packet. The numbers are arguments of global functions.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Verdict {
    Passed = 0,
    Dropped = 1,
}

#[inline(always)]
pub(crate) fn decide(ctx: &impl Hook, frame: &Frame) -> Outcome {
    let packet = match parse(frame) {
        Ok(packet) => packet,
        Err(reason) => return Outcome::Unparsed(reason, unparsed(reason)),
    };
    match lookup(&packet.destination) {
        Some((set_id, set)) => {
            let is_needed = set.needs & NEEDS.load() & NEEDS_SERVICE != 0;
            let is_recorded = FLOW_BUCKETS.load() != 0 || CAPTURE.load() != CAPTURE_OFF;
            let is_rejected = HAS_REJECTS.load() != 0 && set.rejects != 0;
            let service = if is_needed || is_recorded || is_rejected {
                service_of(ctx, &packet)
            } else {
                NO_SERVICE
            };
            let mask = applying(frame, &packet, set, service);
            let matched = Matched {
                set_id,
                set,
                mask,
                service,
            };
            let verdict = verdict(ctx, &packet, &matched);
            Outcome::Matched(packet, matched, verdict)
        }
        None => Outcome::Unmatched(packet),
    }
}

/// [`Service::to_bits`] of a packet whose service is not read.
const NO_SERVICE: u64 = Service {
    protocol: 0,
    kind: PORT_NONE,
    port: 0,
    offset: 0,
    is_fragmented: false,
}
.to_bits();

/// [`Service::to_bits`] of a packet.
#[inline(always)]
pub(crate) fn service_of(ctx: &impl Hook, packet: &Packet) -> u64 {
    ctx.read_service(packet.network as u64, is_ipv6(packet))
}

/// 1 for a packet of IPv6, 0 for IPv4: an argument of global functions.
#[inline(always)]
fn is_ipv6(packet: &Packet) -> u32 {
    match packet.destination {
        Destination::Ipv4(_) => 0,
        Destination::Ipv6(_) => 1,
    }
}

/// Reads the service of the packet whose IP header begins `network` bytes from the start of
/// the frame, at most 255. `is_ipv6` is 0 or 1. Returns [`Service::to_bits`].
///
/// This is a global function for the verifier, see `hook::Functions`.
#[inline(always)]
pub(crate) fn read_service(ctx: &impl Hook, network: u64, is_ipv6: u32) -> u64 {
    let frame = ctx.frame();
    #[expect(clippy::cast_possible_truncation, reason = "at most 255")]
    let network = network as usize & 255;
    Service::read(&frame, network, is_ipv6 != 0).to_bits()
}

/// Verdict of a frame that the parser rejected. A ruleset that drops anything drops the frames
/// that the kernel could still deliver, because each may hide a dropped destination.
#[inline(always)]
fn unparsed(reason: Reason) -> Verdict {
    if HAS_DROPS.load() != 0 && reason.deliverable() {
        Verdict::Dropped
    } else {
        Verdict::Passed
    }
}

/// Verdict of a packet. A packet passes if an `allow` applies, or if neither a
/// `drop` nor a `reject` applies. Otherwise the packet is dropped, with one exception: if each of
/// these that applies allows the handshake, a TCP segment without data passes.
#[inline(always)]
fn verdict(ctx: &impl Hook, packet: &Packet, matched: &Matched) -> Verdict {
    let Matched { set, mask, .. } = matched;
    let drops = mask & set.drops;
    if mask & set.allows != 0 || drops == 0 {
        return Verdict::Passed;
    }
    let may_open = NEEDS.load() & NEEDS_SEGMENT != 0 && drops & !set.handshakes == 0;
    if may_open && ctx.holds_no_data(packet.network as u64, is_ipv6(packet)) != 0 {
        return Verdict::Passed;
    }
    Verdict::Dropped
}

/// 1 if the packet is a TCP segment without data. The arguments are those of
/// [`read_service`], and it is a global function for the same reason.
#[inline(always)]
pub(crate) fn holds_no_data(ctx: &impl Hook, network: u64, is_ipv6: u32) -> u32 {
    let frame = ctx.frame();
    #[expect(clippy::cast_possible_truncation, reason = "at most 255")]
    let network = network as usize & 255;
    segment::holds_no_data(&frame, ctx.length(&frame), network, is_ipv6 != 0).into()
}
