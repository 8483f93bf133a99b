//! Time and length of a packet. A replay states those of its capture.

use aya_ebpf::helpers::generated::bpf_jiffies64;
use monitor_common::evidence::EvidenceControl;

use crate::{
    frame::Frame,
    hook::Hook,
    maps::{EVIDENCE, REPLAY},
};

/// Length of the packet on the wire, layer 2 included, bytes. A captured frame may hold less.
#[inline(always)]
pub(crate) fn wire_length(ctx: &impl Hook, frame: &Frame) -> u64 {
    if REPLAY.load() == 0 {
        return ctx.length(frame);
    }
    // SAFETY: the element exists, and user space writes it before it runs the program.
    control().map_or(0, |control| unsafe { (*control).replay_length })
}

/// Time of the packet, in ticks of the kernel.
#[inline(always)]
pub(crate) fn now() -> u64 {
    if REPLAY.load() == 0 {
        // SAFETY: the helper takes no arguments and only reads a number (Linux 5.6, commit
        // 5576b991e9c1).
        return unsafe { bpf_jiffies64() };
    }
    // SAFETY: as in `wire_length`.
    control().map_or(0, |control| unsafe { (*control).replay_now })
}

#[inline(always)]
fn control() -> Option<*const EvidenceControl> {
    EVIDENCE.get_ptr(0)
}
