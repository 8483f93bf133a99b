//! A generation that is not confirmed in time leaves the packet to the one
//! before it, whoever runs in user space by then.

use aya_ebpf::{helpers::generated::bpf_ktime_get_boot_ns, programs::XdpContext};

use crate::maps::{CONFIRMED, DEADLINE, INTERFACE_SLOT, PREVIOUS};

/// Whether this generation decides. Where it has no deadline, the verifier
/// knows the answer, and nothing is left of the question.
#[inline(always)]
pub(crate) fn decides() -> bool {
    let deadline = DEADLINE.load();
    // The clock costs more than a look-up, and is not read once it is confirmed.
    deadline == 0 || is_confirmed() || now() < deadline
}

#[inline(always)]
fn is_confirmed() -> bool {
    CONFIRMED.get(0).is_some_and(|confirmed| *confirmed != 0)
}

/// Nanoseconds since boot, suspend included (Linux 5.8, commit 71d19214776e).
#[inline(always)]
fn now() -> u64 {
    // SAFETY: takes nothing, and only reads the clock.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Runs the program before this one in its place. Returns where there is none.
#[inline(always)]
pub(crate) fn leave_to_previous(ctx: &XdpContext) {
    // SAFETY: nothing in this frame of the stack has a destructor.
    unsafe { PREVIOUS.tail_call(ctx, INTERFACE_SLOT.load()) }
}
