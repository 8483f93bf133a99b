//! The log of matched packets, which `run --log-packets` switches on.

use core::net::{Ipv4Addr, Ipv6Addr};

use aya_ebpf::{bindings::BPF_RB_AVAIL_DATA, helpers::generated::bpf_ktime_get_ns};
use aya_log_ebpf::{debug, macro_support::AYA_LOGS};
use monitor_common::MAX_COVERING_POLICIES;

use crate::{
    account,
    decide::{Matched, Verdict},
    direction::is_in,
    flow::device_mac,
    frame::Frame,
    hook::Hook,
    maps::{LOG_BUDGET, LOG_PACKETS},
    parse::{Destination, Packet},
    verifier::read_here,
};

/// A record is written only if at most so many bytes of the log are unread. The log
/// has 128 KiB and a record less than 512 bytes, so 32 CPUs can write at the same time.
const LOG_BYTES: u64 = (128 - 16) << 10;

/// The most lines that one CPU writes in a period. The limit keeps a device that sends
/// fast from filling the disk.
const LINES: u64 = 1000;

/// A period has 2^30 ns (1.07 s).
const PERIOD_BITS: u32 = 30;

/// Writes a matched packet to the log if the log is switched on.
#[inline(always)]
pub(crate) fn matched(
    ctx: &impl Hook,
    frame: &Frame,
    packet: &Packet,
    matched: &Matched,
    verdict: Verdict,
) {
    if LOG_PACKETS.load() == 0 {
        return;
    }
    let [high, low] = halves(packet);
    let Some(slot) = strongest(matched) else {
        return;
    };
    // The macro below reports no error if the log is full, so check for room first.
    if !take_line() || AYA_LOGS.query(u64::from(BPF_RB_AVAIL_DATA)) > LOG_BYTES {
        account::lost_log();
        return;
    }
    let [device @ .., _, _] = device_mac(frame).to_ne_bytes();
    // The arrow leads from the device to the policy's destination in both directions: a text of its
    // own would stay on the stack, which has 512 bytes.
    let verdict = match (verdict, is_in()) {
        (Verdict::Passed, false) => "passed",
        (Verdict::Dropped, false) => "dropped",
        (Verdict::Passed, true) => "passed in",
        (Verdict::Dropped, true) => "dropped in",
    };
    match packet.destination {
        Destination::Ipv4(_) => debug!(
            ctx,
            "{} {:mac} -> {:i} policy slot {}",
            verdict,
            device,
            Ipv4Addr::from_bits((high & 0xffff_ffff) as u32),
            slot
        ),
        Destination::Ipv6(_) => debug!(
            ctx,
            "{} {:mac} -> {:i} policy slot {}",
            verdict,
            device,
            Ipv6Addr::from_bits(u128::from(high) << u64::BITS | u128::from(low)),
            slot
        ),
    }
}

/// The halves of an IPv6 destination, or an IPv4 destination and zero.
///
/// The compiler may load parts of a destination before it looks at the family. Of the other
/// family, nothing has written their place on the stack. Linux before 6.3 (commit
/// 6715df8d5d24) refuses such a load.
#[inline(always)]
fn halves(packet: &Packet) -> [u64; 2] {
    match packet.destination {
        Destination::Ipv4(address) => [read_here(address.into()), 0],
        Destination::Ipv6(halves) => halves.map(read_here),
    }
}

/// Takes a line from the budget of this CPU; false if no line is left in this period.
#[inline(always)]
fn take_line() -> bool {
    let Some(budget) = LOG_BUDGET.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: only this CPU uses the cell, and no other program run interrupts this one.
    let budget = unsafe { &mut *budget };
    // SAFETY: the helper takes no arguments and only reads the clock.
    let period = unsafe { bpf_ktime_get_ns() } >> PERIOD_BITS;
    if budget.period != period {
        budget.period = period;
        budget.lines = 0;
    }
    let has_room = budget.lines < LINES;
    if has_room {
        budget.lines += 1;
    }
    has_room
}

/// The slot of the effective policy: that of the first entry that applies.
#[inline(always)]
fn strongest(matched: &Matched) -> Option<u16> {
    for index in 0..MAX_COVERING_POLICIES {
        if matched.mask >> index & 1 != 0 {
            return Some(matched.set.entries[index].policy);
        }
    }
    None
}
