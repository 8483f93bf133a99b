//! What an operator may switch on to watch single packets.

use core::net::{Ipv4Addr, Ipv6Addr};

use aya_ebpf::{
    bindings::BPF_RB_AVAIL_DATA, helpers::generated::bpf_ktime_get_ns, programs::XdpContext,
};
use aya_log_ebpf::{debug, macro_support::AYA_LOGS};
use monitor_common::MAX_COVERING_POLICIES;

use crate::{
    account,
    decide::{Matched, Verdict},
    frame::Frame,
    maps::{LOG_BUDGET, LOG_PACKETS},
    parse::{Destination, Packet},
};

/// Most that the log may hold unread. It has 128 KiB, and a record takes less
/// than 512 bytes: whoever finds room here has it, also where 32 CPUs write at once.
const LOG_BYTES: u64 = (128 - 16) << 10;

/// Most lines that one CPU writes in a period, so that a device that sends fast
/// does not fill the disk.
const LINES: u64 = 1000;

/// A period is 2^30 ns, which is 1.07 s.
const PERIOD_BITS: u32 = 30;

/// Writes a matched packet to the log where `run --log-packets` asks for it.
#[inline(always)]
pub(crate) fn matched(
    ctx: &XdpContext,
    frame: &Frame,
    packet: &Packet,
    matched: &Matched,
    verdict: Verdict,
) {
    if LOG_PACKETS.load() == 0 {
        return;
    }
    let Some(slot) = strongest(matched) else {
        return;
    };
    // The macro below loses a record without a word.
    if !take_line() || AYA_LOGS.query(u64::from(BPF_RB_AVAIL_DATA)) > LOG_BYTES {
        account::unlogged();
        return;
    }
    let [source_mac @ .., _, _] = frame.source_mac().to_ne_bytes();
    let verdict = match verdict {
        Verdict::Passed => "passed",
        Verdict::Dropped => "dropped",
    };
    match packet.destination {
        Destination::Ipv4(address) => debug!(
            ctx,
            "{} {:mac} -> {:i} policy slot {}",
            verdict,
            source_mac,
            Ipv4Addr::from_bits(address),
            slot
        ),
        Destination::Ipv6([high, low]) => debug!(
            ctx,
            "{} {:mac} -> {:i} policy slot {}",
            verdict,
            source_mac,
            Ipv6Addr::from_bits(u128::from(high) << u64::BITS | u128::from(low)),
            slot
        ),
    }
}

/// Takes a line from the budget of this CPU; false where the period has none left.
#[inline(always)]
fn take_line() -> bool {
    let Some(budget) = LOG_BUDGET.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: the cell is this CPU's own, and no other program run interrupts this one.
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

/// The policy slot of the first entry that applies: the effective one.
#[inline(always)]
fn strongest(matched: &Matched) -> Option<u16> {
    for index in 0..MAX_COVERING_POLICIES {
        if matched.mask >> index & 1 != 0 {
            return Some(matched.set.entries[index].policy);
        }
    }
    None
}
