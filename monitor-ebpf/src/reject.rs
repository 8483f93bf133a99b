//! Answers to packets that a `reject` drops: the frame itself becomes the answer, and goes back to
//! its sender. A TCP segment gets a reset, any other packet an ICMP or `ICMPv6` error.

use aya_ebpf::{EbpfContext as _, bindings::xdp_md, programs::XdpContext};
use monitor_common::Unanswered;

use crate::{
    decide::{Matched, Verdict},
    flow::packet_bits,
    frame::Frame,
    maps::{ANSWERS, HAS_REJECTS, INTERFACE_SLOT},
    parse::Packet,
    reject_error::make_error,
    reject_kind::{NO_ANSWER, RESET, answer_kind},
    reject_rate::take_answer,
    reject_reset::make_reset,
    verifier::masked,
};

/// What happens to a frame.
#[derive(Clone, Copy)]
pub(crate) enum Ending {
    /// The frame goes on to the kernel.
    Passes,
    /// The frame ends here.
    Vanishes,
    /// The frame is an answer now, and leaves through the interface on which it came.
    Returns,
}

impl Ending {
    /// The ending of a frame that gets no answer.
    #[inline(always)]
    pub(crate) const fn silent(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Passed => Self::Passes,
            Verdict::Dropped => Self::Vanishes,
        }
    }
}

/// Makes the answer if the packet is dropped and its effective policy is a `reject`. No other
/// code reads the frame afterwards.
#[inline(always)]
pub(crate) fn answer(
    ctx: &XdpContext,
    packet: &Packet,
    matched: &Matched,
    verdict: Verdict,
) -> Ending {
    if HAS_REJECTS.load() == 0 || !is_rejected(matched, verdict) {
        return Ending::silent(verdict);
    }
    let is_answered = answer_packet(
        ctx.as_ptr().cast(),
        packet_bits(packet, verdict),
        matched.service,
    );
    match is_answered {
        0 => Ending::Vanishes,
        _ => Ending::Returns,
    }
}

/// True if the packet is dropped, and the strongest entry that applies is a `reject`.
#[inline(always)]
fn is_rejected(matched: &Matched, verdict: Verdict) -> bool {
    let stops = matched.mask & matched.set.drops;
    // Entries are sorted, so the lowest bit is that of the effective policy.
    let effective = stops.isolate_lowest_one();
    match verdict {
        Verdict::Passed => false,
        Verdict::Dropped => effective & matched.set.rejects != 0,
    }
}

/// Answers a packet and counts that. `packet` is `flow::packet_bits`, `service`
/// `Service::to_bits`. Returns 1 if the frame is the answer now, else 0.
///
/// This is a global function for the verifier, as `decide::read_service`. The verifier checks it
/// whether or not it is called, so it has its own look at [`HAS_REJECTS`].
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn answer_packet(ctx: *mut xdp_md, packet: u64, service: u64) -> u32 {
    if HAS_REJECTS.load() == 0 {
        return 0;
    }
    let xdp = XdpContext::new(ctx);
    let mac = Frame::new(xdp.data(), xdp.data_end()).source_mac();
    let kind = answer_kind(ctx, packet, service);
    if kind == NO_ANSWER {
        return unanswered(Unanswered::NotAnswerable as u32);
    }
    let refused = take_answer(mac);
    if refused != 0 {
        return unanswered(refused);
    }
    let is_made = if kind == RESET {
        make_reset(ctx, packet, service)
    } else {
        make_error(ctx, packet, kind)
    };
    if is_made == 0 {
        return unanswered(Unanswered::NoRoom as u32);
    }
    if let Some(cells) = ANSWERS.get_ptr_mut(INTERFACE_SLOT.load()) {
        // SAFETY: see `account::interface_counters`.
        let cells = unsafe { &mut *cells };
        let cell = if kind == RESET {
            &mut cells.resets
        } else {
            &mut cells.errors
        };
        *cell = cell.wrapping_add(1);
    }
    1
}

/// Counts a packet without an answer by the number of its [`Unanswered`]. Returns 0.
#[inline(always)]
fn unanswered(reason: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "there are few")]
    const MASK: u32 = Unanswered::ALL.len() as u32 - 1;
    const { assert!(Unanswered::ALL.len().is_power_of_two()) };
    // The compiler knows what `take_answer` returns and removes the check of the index. The
    // verifier does not know it.
    #[expect(clippy::cast_possible_truncation, reason = "at most the mask")]
    let reason = masked::<MASK>(reason.into()) as usize;
    if let Some(cells) = ANSWERS.get_ptr_mut(INTERFACE_SLOT.load()) {
        // SAFETY: see `account::interface_counters`.
        let cells = unsafe { &mut *cells };
        if let Some(cell) = cells.unanswered.get_mut(reason) {
            *cell = cell.wrapping_add(1);
        }
    }
    0
}
