//! Runs the filter's modules on frames to many destinations in one run, and stops after
//! a chosen stage.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

#[path = "../../../monitor-ebpf/src/account.rs"]
#[expect(dead_code, reason = "the log is not measured")]
mod account;
#[path = "../../../monitor-ebpf/src/capture.rs"]
#[expect(dead_code, reason = "no capture is measured")]
mod capture;
#[path = "../../../monitor-ebpf/src/checksum.rs"]
#[expect(dead_code, reason = "no answer is measured")]
mod checksum;
#[path = "../../../monitor-ebpf/src/confirm.rs"]
#[expect(dead_code, reason = "there is no previous program")]
mod confirm;
#[path = "../../../monitor-ebpf/src/decide.rs"]
mod decide;
mod destinations;
#[path = "../../../monitor-ebpf/src/device.rs"]
mod device;
#[path = "../../../monitor-ebpf/src/direction.rs"]
mod direction;
#[path = "../../../monitor-ebpf/src/flow.rs"]
mod flow;
#[expect(dead_code, reason = "the XDP program uses all of it")]
#[path = "../../../monitor-ebpf/src/frame.rs"]
mod frame;
#[path = "../../../monitor-ebpf/src/hook.rs"]
#[expect(
    dead_code,
    reason = "the egress and previous programs are not measured"
)]
mod hook;
#[path = "../../../monitor-ebpf/src/lookup.rs"]
mod lookup;
#[path = "../../../monitor-ebpf/src/maps.rs"]
#[expect(dead_code, reason = "the log is not measured")]
mod maps;
#[path = "../../../monitor-ebpf/src/parse.rs"]
mod parse;
#[path = "../../../monitor-ebpf/src/reject.rs"]
#[expect(dead_code, reason = "no answer is measured")]
mod reject;
#[path = "../../../monitor-ebpf/src/reject_error.rs"]
#[expect(dead_code, reason = "no answer is measured")]
mod reject_error;
#[path = "../../../monitor-ebpf/src/reject_frame.rs"]
#[expect(dead_code, reason = "no answer is measured")]
mod reject_frame;
#[path = "../../../monitor-ebpf/src/reject_kind.rs"]
#[expect(dead_code, reason = "no answer is measured")]
mod reject_kind;
#[path = "../../../monitor-ebpf/src/reject_rate.rs"]
#[expect(dead_code, reason = "no answer is measured")]
mod reject_rate;
#[path = "../../../monitor-ebpf/src/reject_reset.rs"]
#[expect(dead_code, reason = "no answer is measured")]
mod reject_reset;
#[path = "../../../monitor-ebpf/src/replay.rs"]
mod replay;
#[path = "../../../monitor-ebpf/src/runtime.rs"]
mod runtime;
#[path = "../../../monitor-ebpf/src/sample.rs"]
mod sample;
#[path = "../../../monitor-ebpf/src/scope.rs"]
mod scope;
#[path = "../../../monitor-ebpf/src/segment.rs"]
mod segment;
#[path = "../../../monitor-ebpf/src/service.rs"]
mod service;
#[path = "../../../monitor-ebpf/src/trie.rs"]
mod trie;
#[path = "../../../monitor-ebpf/src/verifier.rs"]
#[expect(dead_code, reason = "the log is not measured")]
mod verifier;

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext as _, Global,
    bindings::{BPF_NOEXIST, xdp_action},
    macros::{map, xdp},
    maps::{Array, LruPerCpuHashMap, PerCpuHashMap},
    programs::XdpContext,
};
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
/// Count in [`HASH`].
const HASH_MAP: u32 = 6;
/// Count in [`LRU`].
const LRU_MAP: u32 = 7;

/// Bits of an index of [`CELLS`].
const CELL_BITS: u32 = 17;

/// A key as long as that of a flow.
type Key = [u64; 5];

/// What a flow holds: packets, bytes, first and last time, and two source addresses.
type Value = [u64; 8];

/// Flows in a hash map of the kernel. User space sets the number of entries.
#[map]
static HASH: PerCpuHashMap<Key, Value> = PerCpuHashMap::with_max_entries(1, 0);

/// Cells as large as that of a flow, without keys: as much memory as any table must touch.
#[map]
static CELLS: Array<[u64; 8]> = Array::with_max_entries(1, 0);

/// Flows in a hash map of the kernel that replaces old entries.
#[map]
static LRU: LruPerCpuHashMap<Key, Value> = LruPerCpuHashMap::with_max_entries(1, 0);

struct State {
    context: *mut c_void,
    cursor: Cursor,
}

/// Records flows as the filter does.
#[xdp]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the `xdp` macro passes it by value"
)]
fn packet(ctx: XdpContext) -> u32 {
    run::<false>(&ctx)
}

/// Counts flows in other maps.
#[xdp]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the `xdp` macro passes it by value"
)]
fn elsewhere(ctx: XdpContext) -> u32 {
    run::<true>(&ctx)
}

#[inline(always)]
fn run<const ELSEWHERE: bool>(ctx: &XdpContext) -> u32 {
    let Some(cursor) = Cursor::begin() else {
        return xdp_action::XDP_ABORTED;
    };
    let mut state = State {
        context: ctx.as_ptr(),
        cursor,
    };
    destinations::each(one::<ELSEWHERE>, &mut state);
    state.cursor.end()
}

extern "C" fn one<const ELSEWHERE: bool>(_index: u32, state: *mut c_void) -> i64 {
    // SAFETY: `packet` passes its own state.
    let state = unsafe { &mut *state.cast::<State>() };
    let at = state.cursor.index();
    let ctx = XdpContext::new(state.context.cast());
    if !write(&ctx, at) {
        return 1;
    }
    state.cursor.advance(stages::<ELSEWHERE>(
        &ctx,
        &Frame::new(ctx.data(), ctx.data_end()),
    ));
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
fn stages<const ELSEWHERE: bool>(ctx: &XdpContext, frame: &Frame) -> u32 {
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
            account::not_confirmed(ctx, frame);
            0
        }
        Outcome::Unparsed(reason, verdict) => {
            if stage > DECIDE {
                account::unparsed(ctx, frame, reason, verdict);
            }
            0
        }
        Outcome::Unmatched(packet) => {
            if stage > DECIDE {
                account::interface(ctx, frame, packet.family(), Verdict::Passed);
            }
            1
        }
        Outcome::Matched(packet, matched, verdict) => {
            if stage > DECIDE {
                account::interface(ctx, frame, packet.family(), verdict);
            }
            if stage > INTERFACE && ELSEWHERE {
                account::policies(ctx, frame, &matched, verdict, flow::Recorded::Off);
                count_elsewhere(match packet.destination {
                    Destination::Ipv4(address) => address.into(),
                    Destination::Ipv6([high, low]) => high ^ low,
                });
            } else if stage > INTERFACE {
                let recorded = flow::record(ctx, &packet, &matched, verdict);
                account::policies(ctx, frame, &matched, verdict, recorded);
                sample::take(ctx, &packet, &matched, verdict);
            }
            2 + verdict as u32
        }
    }
}

/// Counts the packet to `destination` in a map of the kernel. Each destination has one
/// device, so the key needs no MAC. This is a function of its own, because the stack of its
/// caller has no room for a key and a value.
#[inline(never)]
fn count_elsewhere(destination: u64) {
    let stage = STAGE.load();
    if stage > LRU_MAP {
        count_in_cell(destination);
        return;
    }
    let key = [destination, 0, 0, 0, 0];
    let get = |key| match stage {
        HASH_MAP => HASH.get_ptr_mut(key),
        _ => LRU.get_ptr_mut(key),
    };
    if let Some(value) = get(&key) {
        // SAFETY: the map made room for a value, and only this CPU uses it.
        let value = unsafe { &mut *value };
        value[0] += 1;
        value[1] += 60;
        value[3] = replay::now();
        value[7] = destination;
        return;
    }
    let value = [1, 60, replay::now(), 0, 0, 0, destination, destination];
    let flags = BPF_NOEXIST.into();
    let _ = match stage {
        HASH_MAP => HASH.insert(&key, &value, flags),
        _ => LRU.insert(&key, &value, flags),
    };
}

/// Adds the packet to a cell that the destination selects, whatever other destinations do.
#[inline(always)]
fn count_in_cell(destination: u64) {
    /// 2^64 divided by the golden ratio, for Fibonacci hashing.
    const FIBONACCI: u64 = 0x9e37_79b9_7f4a_7c15;
    let index = destination.wrapping_mul(FIBONACCI) >> (u64::BITS - CELL_BITS);
    if let Some(cell) = CELLS.get_ptr_mut(index as u32) {
        // SAFETY: the element exists. One program runs at a time.
        let cell = unsafe { &mut *cell };
        cell[0] += 1;
        cell[7] = replay::now();
    }
}
