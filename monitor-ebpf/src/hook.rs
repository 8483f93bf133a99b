//! The hooks that run the program: XDP, and a classifier (TCX or clsact) at egress.
//!
//! Parser, matching and accounting know a hook only by the trait [`Hook`]. The verifier
//! wants global functions with the context type of their hook, so a macro makes one set of
//! them for each hook.

use core::{ffi::c_void, ptr::NonNull};

use aya_ebpf::{
    EbpfContext, Global,
    bindings::{__sk_buff, xdp_md},
    helpers::generated::{bpf_skb_load_bytes, bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
    programs::{TcContext, XdpContext},
};
use monitor_common::ROLE_WAN;

use crate::{
    capture,
    decide::{self, Matched, Verdict},
    direction, flow,
    frame::Frame,
    maps::FRAGS,
    parse::Packet,
    reject::{self, Ending},
    sample,
};

/// `monitor_common::global::ROLE`.
#[unsafe(no_mangle)]
static ROLE: Global<u32> = Global::new(0);

/// Bytes that are made linear at egress. They hold every header that the parser reads, and
/// the extension headers of real packets.
const HEADERS: u32 = 512;

/// True if the program runs on an interface towards the internet.
#[inline(always)]
pub(crate) fn is_wan() -> bool {
    ROLE.load() == ROLE_WAN
}

/// True if the frame shows the device. At the ingress of the WAN, NAT is not undone yet.
#[inline(always)]
pub(crate) fn shows_device() -> bool {
    !(is_wan() && direction::is_in())
}

/// The packet that a hook hands to the program.
pub(crate) trait Hook: EbpfContext + Functions {
    /// The readable bytes of the frame.
    fn frame(&self) -> Frame;

    /// Length of the whole frame, bytes, with those that the program cannot read directly. It is
    /// not a field of [`Frame`]: a number that stays on the stack is too much for its 512 bytes.
    fn length(&self, frame: &Frame) -> u64;

    /// Copies `length` bytes of the frame, from `offset` on. False if the frame is shorter.
    ///
    /// # Safety
    ///
    /// `to` must have room for `length` bytes.
    unsafe fn load_bytes(&self, offset: u32, to: *mut c_void, length: u32) -> bool;

    /// Makes the answer to a rejected packet, where the hook can send one. No other code reads
    /// the frame afterwards.
    fn answer(&self, packet: &Packet, matched: &Matched, verdict: Verdict) -> Ending;
}

impl Hook for XdpContext {
    #[inline(always)]
    fn frame(&self) -> Frame {
        Frame::new(self.data(), self.data_end())
    }

    #[inline(always)]
    fn length(&self, frame: &Frame) -> u64 {
        if FRAGS.load() == 0 {
            return frame.captured();
        }
        // SAFETY: the context is that of this run. The helper only reads it (Linux 5.18, commit
        // 0165cc817075).
        unsafe { bpf_xdp_get_buff_len(self.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn load_bytes(&self, offset: u32, to: *mut c_void, length: u32) -> bool {
        // SAFETY: the caller has room. The helper checks the range in the frame.
        unsafe { bpf_xdp_load_bytes(self.as_ptr().cast(), offset, to, length) == 0 }
    }

    #[inline(always)]
    fn answer(&self, packet: &Packet, matched: &Matched, verdict: Verdict) -> Ending {
        reject::answer(self, packet, matched, verdict)
    }
}

impl Hook for TcContext {
    #[inline(always)]
    fn frame(&self) -> Frame {
        Frame::new(self.data(), self.data_end())
    }

    #[inline(always)]
    fn length(&self, _frame: &Frame) -> u64 {
        self.len().into()
    }

    #[inline(always)]
    unsafe fn load_bytes(&self, offset: u32, to: *mut c_void, length: u32) -> bool {
        // SAFETY: the caller has room. The helper checks the range in the frame.
        unsafe { bpf_skb_load_bytes(self.as_ptr(), offset, to, length) == 0 }
    }

    /// Packets that leave the gateway get no answers.
    #[inline(always)]
    fn answer(&self, _packet: &Packet, _matched: &Matched, verdict: Verdict) -> Ending {
        Ending::silent(verdict)
    }
}

/// True if the gateway itself sends the packet. A forwarded packet keeps the index of the
/// interface on which it came in (`skb_iif`, set by `__netif_receive_skb_core`). A tunnel
/// clears it (`skb_scrub_packet`), and the gateway sends the outer packet.
#[inline(always)]
pub(crate) fn is_own(ctx: &TcContext) -> bool {
    let skb: *const __sk_buff = ctx.as_ptr().cast();
    // SAFETY: the context is valid while the program runs.
    unsafe { (*skb).ingress_ifindex == 0 }
}

/// Makes the headers linear. If the kernel has no memory for that, the program sees a frame
/// that is cut short.
#[inline(always)]
pub(crate) fn pull_headers(ctx: &TcContext) {
    let linear = ctx.frame().captured();
    if linear < u64::from(HEADERS) && linear < u64::from(ctx.len()) {
        let _ = ctx.pull_data(ctx.len().min(HEADERS));
    }
}

/// Functions that the verifier examines once for each hook (kernel commit 51c39bb1d5d1),
/// instead of once for each path that leads to a call. Each is described at its body.
pub(crate) trait Functions {
    /// [`decide::read_service`].
    fn read_service(&self, network: u64, is_ipv6: u32) -> u64;
    /// [`decide::holds_no_data`].
    fn holds_no_data(&self, network: u64, is_ipv6: u32) -> u32;
    /// [`flow::add_to_flow`].
    fn add_to_flow(&self, packet: u64, service: u64, set_id: u32, mask: u32) -> u32;
    /// [`sample::take_sample`].
    fn take_sample(&self, packet: u64, service: u64) -> u32;
    /// [`capture::copy_packet`].
    fn copy_packet(&self, packet: u64, service: u64, set_id: u32, mask: u32) -> u32;
}

/// Defines the functions of one hook as global functions of the program: not inlined, with
/// the hook's context and numbers as arguments.
macro_rules! global_functions {
    (
        $context:ident, $raw:ident, $new:path,
        $service:ident, $no_data:ident, $flow:ident, $sample:ident, $copy:ident
    ) => {
        #[inline(never)]
        #[unsafe(no_mangle)]
        extern "C" fn $service(ctx: *mut $raw, network: u64, is_ipv6: u32) -> u64 {
            decide::read_service(&$new(ctx), network, is_ipv6)
        }

        #[inline(never)]
        #[unsafe(no_mangle)]
        extern "C" fn $no_data(ctx: *mut $raw, network: u64, is_ipv6: u32) -> u32 {
            decide::holds_no_data(&$new(ctx), network, is_ipv6)
        }

        #[inline(never)]
        #[unsafe(no_mangle)]
        extern "C" fn $flow(
            ctx: *mut $raw,
            packet: u64,
            service: u64,
            set_id: u32,
            mask: u32,
        ) -> u32 {
            flow::add_to_flow(&$new(ctx), packet, service, set_id, mask)
        }

        #[inline(never)]
        #[unsafe(no_mangle)]
        extern "C" fn $sample(ctx: *mut $raw, packet: u64, service: u64) -> u32 {
            sample::take_sample(&$new(ctx), packet, service)
        }

        #[inline(never)]
        #[unsafe(no_mangle)]
        extern "C" fn $copy(
            ctx: *mut $raw,
            packet: u64,
            service: u64,
            set_id: u32,
            mask: u32,
        ) -> u32 {
            capture::copy_packet(&$new(ctx), packet, service, set_id, mask)
        }

        impl Functions for $context {
            #[inline(always)]
            fn read_service(&self, network: u64, is_ipv6: u32) -> u64 {
                $service(self.as_ptr().cast(), network, is_ipv6)
            }

            #[inline(always)]
            fn holds_no_data(&self, network: u64, is_ipv6: u32) -> u32 {
                $no_data(self.as_ptr().cast(), network, is_ipv6)
            }

            #[inline(always)]
            fn add_to_flow(&self, packet: u64, service: u64, set_id: u32, mask: u32) -> u32 {
                $flow(self.as_ptr().cast(), packet, service, set_id, mask)
            }

            #[inline(always)]
            fn take_sample(&self, packet: u64, service: u64) -> u32 {
                $sample(self.as_ptr().cast(), packet, service)
            }

            #[inline(always)]
            fn copy_packet(&self, packet: u64, service: u64, set_id: u32, mask: u32) -> u32 {
                $copy(self.as_ptr().cast(), packet, service, set_id, mask)
            }
        }
    };
}

global_functions!(
    XdpContext,
    xdp_md,
    XdpContext::new,
    read_service,
    holds_no_data,
    add_to_flow,
    take_sample,
    copy_packet
);

global_functions!(
    TcContext,
    __sk_buff,
    egress_context,
    read_service_egress,
    holds_no_data_egress,
    add_to_flow_egress,
    take_sample_egress,
    copy_packet_egress
);

/// The context of a classifier.
#[inline(always)]
fn egress_context(skb: *mut __sk_buff) -> TcContext {
    // SAFETY: the kernel hands each program and each of its functions a valid context.
    TcContext::new(unsafe { NonNull::new_unchecked(skb) })
}
