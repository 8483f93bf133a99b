//! Confirmation of a generation. After the deadline of a generation that was not
//! confirmed, its program runs the program of the previous generation. No process in
//! user space is needed for that.

use aya_ebpf::{EbpfContext, helpers::generated::bpf_ktime_get_boot_ns, maps::ProgramArray};

use crate::maps::{CONFIRMED, DEADLINE, INTERFACE_SLOT};

/// True if this generation decides about packets. A deadline of 0 is a constant for the
/// verifier, which then removes this check.
#[inline(always)]
pub(crate) fn is_in_force() -> bool {
    let deadline = DEADLINE.load();
    // Reading the clock costs more than a look-up, so it comes last.
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

/// Continues with the program of the previous generation. Returns only if there is no
/// such program.
#[inline(always)]
pub(crate) fn tail_call(ctx: &impl EbpfContext, previous: &ProgramArray) {
    // SAFETY: no value on the stack has a destructor.
    unsafe { previous.tail_call(ctx, INTERFACE_SLOT.load()) }
}
