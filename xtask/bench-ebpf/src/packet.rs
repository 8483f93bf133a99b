//! Runs the filter's modules on frames to many destinations in one run, and stops after
//! a chosen stage.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

#[path = "../../../monitor-ebpf/src/account.rs"]
#[expect(dead_code, reason = "the log is not measured")]
mod account;
#[path = "../../../monitor-ebpf/src/confirm.rs"]
#[expect(dead_code, reason = "there is no previous program")]
mod confirm;
#[path = "../../../monitor-ebpf/src/decide.rs"]
mod decide;
mod destinations;
#[path = "../../../monitor-ebpf/src/device.rs"]
mod device;
#[path = "../../../monitor-ebpf/src/flow.rs"]
mod flow;
#[path = "../../../monitor-ebpf/src/frame.rs"]
mod frame;
#[path = "../../../monitor-ebpf/src/lookup.rs"]
mod lookup;
#[path = "../../../monitor-ebpf/src/maps.rs"]
#[expect(dead_code, reason = "the log is not measured")]
mod maps;
#[path = "../../../monitor-ebpf/src/parse.rs"]
mod parse;
#[path = "../../../monitor-ebpf/src/replay.rs"]
mod replay;
#[path = "../../../monitor-ebpf/src/runtime.rs"]
mod runtime;
#[path = "../../../monitor-ebpf/src/sample.rs"]
mod sample;
#[path = "../../../monitor-ebpf/src/scope.rs"]
mod scope;
#[path = "../../../monitor-ebpf/src/service.rs"]
mod service;
#[path = "../../../monitor-ebpf/src/trie.rs"]
mod trie;
#[path = "../../../monitor-ebpf/src/verifier.rs"]
mod verifier;

use core::ffi::c_void;

use aya_ebpf::{EbpfContext as _, Global, bindings::xdp_action, macros::xdp, programs::XdpContext};
use decide::{Outcome, Verdict, decide};
use destinations::{Cursor, DESTINATIONS_V4, DESTINATIONS_V6, IPV6};
use frame::Frame;
use parse::Destination;

/// Offset of the last byte of the source MAC.
const DEVICE: usize = 11;
/// Offsets of the destination address in the frame.
const DESTINATION_V4: usize = 30;
const DESTINATION_V6: usize = 38;
/// Bytes that hold all fields that `write` changes, for both families.
const HEADERS: usize = DESTINATION_V6 + 16;

/// The last stage that runs.
#[unsafe(no_mangle)]
static STAGE: Global<u32> = Global::new(0);

/// Only write the frame.
const WRITE: u32 = 0;
const PARSE: u32 = 1;
const DECIDE: u32 = 2;
const INTERFACE: u32 = 3;

struct State {
    context: *mut c_void,
    cursor: Cursor,
}

#[xdp]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the `xdp` macro passes it by value"
)]
fn packet(ctx: XdpContext) -> u32 {
    let Some(cursor) = Cursor::begin() else {
        return xdp_action::XDP_ABORTED;
    };
    let mut state = State {
        context: ctx.as_ptr(),
        cursor,
    };
    destinations::each(one, &mut state);
    state.cursor.end()
}

extern "C" fn one(_index: u32, state: *mut c_void) -> i64 {
    // SAFETY: `packet` passes its own state.
    let state = unsafe { &mut *state.cast::<State>() };
    let at = state.cursor.index();
    let ctx = XdpContext::new(state.context.cast());
    if !write(&ctx, at) {
        return 1;
    }
    state
        .cursor
        .advance(stages(&ctx, &Frame::new(ctx.data(), ctx.data_end())));
    0
}

/// Writes one of 32 source MACs and the destination with index `at` into the frame.
#[inline(always)]
fn write(ctx: &XdpContext, at: u32) -> bool {
    let start = ctx.data();
    if start + HEADERS > ctx.data_end() {
        return false;
    }
    // SAFETY: `start..start + HEADERS` was just checked to lie inside the frame.
    unsafe { *((start + DEVICE) as *mut u8) = (at % 32) as u8 };
    if IPV6.load() == 0 {
        let Some(destination) = DESTINATIONS_V4.get(at) else {
            return false;
        };
        let place = (start + DESTINATION_V4) as *mut u32;
        // SAFETY: as above.
        unsafe { place.write_unaligned(destination.to_be()) };
    } else {
        let Some(destination) = DESTINATIONS_V6.get(at) else {
            return false;
        };
        let place = (start + DESTINATION_V6) as *mut [u64; 2];
        // SAFETY: as above.
        unsafe { place.write_unaligned(destination.map(u64::to_be)) };
    }
    true
}

/// Runs the stages. Returns 1 for a packet without a match, 2 for a match that passed,
/// and 3 for a match that was dropped.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "any bits are enough")]
fn stages(ctx: &XdpContext, frame: &Frame) -> u32 {
    let stage = STAGE.load();
    if stage == WRITE {
        return 0;
    }
    if stage == PARSE {
        return parse::parse(frame).map_or(0, |packet| match packet.destination {
            Destination::Ipv4(address) => address,
            Destination::Ipv6([_, low]) => low as u32,
        });
    }
    let outcome = if confirm::is_in_force() {
        decide(ctx, frame)
    } else {
        Outcome::NotConfirmed
    };
    match outcome {
        Outcome::NotConfirmed => {
            account::not_confirmed(frame);
            0
        }
        Outcome::Unparsed(reason, verdict) => {
            if stage > DECIDE {
                account::unparsed(frame, reason, verdict);
            }
            0
        }
        Outcome::Unmatched(packet) => {
            if stage > DECIDE {
                account::interface(frame, packet.family(), Verdict::Passed);
            }
            1
        }
        Outcome::Matched(packet, matched, verdict) => {
            if stage > DECIDE {
                account::interface(frame, packet.family(), verdict);
            }
            if stage > INTERFACE {
                let recorded = flow::record(ctx, &packet, &matched, verdict);
                account::policies(frame, &matched, verdict, recorded);
                sample::take(ctx, &packet, &matched, verdict);
            }
            2 + verdict as u32
        }
    }
}
