//! Records the answers that devices get, on their way out to the devices. There NAT is undone,
//! and the destination MAC is the device. Nothing is decided and no packet is counted for an
//! interface or a policy: answers were counted where they came in.
//!
//! For each CPU and in sum: answers = flows + answers without room.

use aya_ebpf::maps::ProgramArray;

use crate::{
    confirm,
    decide::{Matched, Verdict, service_of},
    flow::{self, Recorded},
    hook::Hook,
    lookup::lookup,
    maps::EVIDENCE_LOSSES,
    parse::parse,
    replay::wire_length,
    scope::applying,
};

/// Adds the packet to its flow, if it comes from a destination whose flows are recorded.
#[inline(always)]
pub(crate) fn record(ctx: &impl Hook, previous: &ProgramArray) {
    if !confirm::is_in_force() {
        confirm::tail_call(ctx, previous);
        return;
    }
    let frame = ctx.frame();
    let Ok(packet) = parse(&frame) else {
        return;
    };
    let Some((set_id, set)) = lookup(&packet.destination) else {
        return;
    };
    let service = service_of(ctx, &packet);
    let mask = applying(&frame, &packet, set, service);
    let matched = Matched {
        set_id,
        set,
        mask,
        service,
    };
    let is_full = match flow::record(ctx, &packet, &matched, Verdict::Passed) {
        Recorded::Off | Recorded::Setting => return,
        Recorded::Flow => false,
        Recorded::Full => true,
    };
    let Some(losses) = EVIDENCE_LOSSES.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: only this CPU uses the cell, and no other program run interrupts this one: both
    // hooks run with bottom halves off.
    let losses = unsafe { &mut *losses };
    losses.answers.add_packet(wire_length(ctx, &frame));
    if is_full {
        losses.answers_full.add_packet(wire_length(ctx, &frame));
    }
}
