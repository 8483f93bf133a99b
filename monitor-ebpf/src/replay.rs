//! Time and length of a packet. A replay states those of its capture.

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{bpf_jiffies64, bpf_xdp_get_buff_len},
    programs::XdpContext,
};
use monitor_common::evidence::EvidenceControl;

use crate::{
    frame::Frame,
    maps::{EVIDENCE, FRAGS, REPLAY},
};

/// Length of the whole frame, bytes, with the buffers that the program cannot read directly.
#[inline(always)]
pub(crate) fn frame_length(ctx: &XdpContext, frame: &Frame) -> u64 {
    if FRAGS.load() == 0 {
        return frame.captured();
    }
    // SAFETY: the context is that of this run. The helper only reads it (Linux 5.18, commit
    // 0165cc817075).
    unsafe { bpf_xdp_get_buff_len(ctx.as_ptr().cast()) }
}

/// Length of the packet on the wire, layer 2 included, bytes. A captured frame may hold less.
#[inline(always)]
pub(crate) fn wire_length(ctx: &XdpContext, frame: &Frame) -> u64 {
    if REPLAY.load() == 0 {
        return frame_length(ctx, frame);
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
