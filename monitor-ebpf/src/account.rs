//! Counting. A packet adds to one cell of its interface, to one cell of each policy
//! that applies to it, and to one cell of each (device, policy).

use monitor_common::{
    Count, DeviceKey, InterfaceCounters, MAX_COVERING_POLICIES, MAX_POLICIES, PolicyCounters,
    Reason,
};

use crate::{
    decide::{Matched, Verdict},
    device, direction,
    flow::Recorded,
    frame::Frame,
    hook::Hook,
    maps::{EFFECTIVE, INTERFACE_SLOT, INTERFACES, LONGEST_SET, MATCH_SETS, POLICIES},
    parse::Family,
    replay::wire_length,
};

/// Bits of the fourth number of [`add_to_policies`] below the [`Recorded`].
const RECORDED_SHIFT: u32 = 8;

/// Counts a frame that the parser rejected.
#[inline(always)]
pub(crate) fn unparsed(ctx: &impl Hook, frame: &Frame, reason: Reason, verdict: Verdict) {
    let Some(interface) = interface_counters() else {
        return;
    };
    let cells = match verdict {
        Verdict::Passed => &mut interface.unparsed_passed,
        Verdict::Dropped => &mut interface.unparsed_dropped,
    };
    if let Some(cell) = cells.get_mut(reason as usize) {
        cell.add_packet(wire_length(ctx, frame));
    }
}

/// Counts a frame that passes because this generation was not confirmed in time.
#[inline(always)]
pub(crate) fn not_confirmed(ctx: &impl Hook, frame: &Frame) {
    if let Some(interface) = interface_counters() {
        interface.not_confirmed.add_packet(wire_length(ctx, frame));
    }
}

/// Counts a parsed packet for its interface.
#[inline(always)]
pub(crate) fn interface(ctx: &impl Hook, frame: &Frame, family: Family, verdict: Verdict) {
    let Some(interface) = interface_counters() else {
        return;
    };
    let cell = match (verdict, family) {
        (Verdict::Passed, Family::Ipv4) => &mut interface.passed_ipv4,
        (Verdict::Passed, Family::Ipv6) => &mut interface.passed_ipv6,
        (Verdict::Dropped, Family::Ipv4) => &mut interface.dropped_ipv4,
        (Verdict::Dropped, Family::Ipv6) => &mut interface.dropped_ipv6,
    };
    cell.add_packet(wire_length(ctx, frame));
}

/// Counts a matched packet that is not written to the log because it has no room.
#[inline(always)]
pub(crate) fn lost_log() {
    if let Some(interface) = interface_counters() {
        interface.lost_log = interface.lost_log.wrapping_add(1);
    }
}

/// Counts the packet for every policy that applies to it.
#[inline(always)]
pub(crate) fn policies(
    ctx: &impl Hook,
    frame: &Frame,
    matched: &Matched,
    verdict: Verdict,
    recorded: Recorded,
) {
    add_to_policies(
        matched.set_id,
        matched.mask,
        frame.source_mac(),
        wire_length(ctx, frame),
        verdict as u32 | (recorded as u32) << RECORDED_SHIFT,
    );
}

/// Counts a packet of `bytes` bytes for the entries in `mask` of a match set. `mac` is
/// in network order, followed by two zero bytes. `fate` holds the verdict in bit 0 and a
/// [`Recorded`] above [`RECORDED_SHIFT`]. Returns 0.
///
/// This is a global function for the verifier (kernel commit 51c39bb1d5d1): not
/// inlined, with numbers as arguments. The verifier examines it once, instead of once
/// for each path to a verdict.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn add_to_policies(set_id: u32, mask: u32, mac: u64, bytes: u64, fate: u32) -> u32 {
    let Some(set) = MATCH_SETS.get(set_id) else {
        return 0;
    };
    let [mac @ .., _, _] = mac.to_ne_bytes();
    let verdict = if fate & 1 == 0 {
        Verdict::Passed
    } else {
        Verdict::Dropped
    };
    let mut recorded = fate >> RECORDED_SHIFT;
    for index in 0..MAX_COVERING_POLICIES {
        if index >= LONGEST_SET.load() as usize || mask >> index == 0 {
            break;
        }
        if mask >> index & 1 == 0 {
            continue;
        }
        let slot = set.entries[index].policy;
        if recorded != Recorded::Off as u32 {
            // The first entry that applies is that of the effective policy.
            effective(slot, verdict, recorded, bytes);
            recorded = Recorded::Off as u32;
        }
        let Some(policy) = policy_counters(slot) else {
            continue;
        };
        match verdict {
            Verdict::Passed => policy.passed.add_packet(bytes),
            Verdict::Dropped => policy.dropped.add_packet(bytes),
        }
        let device = DeviceKey { mac, policy: slot };
        device_cell(device, verdict, policy).add_packet(bytes);
    }
    0
}

/// Counts the packet for its effective policy.
#[inline(always)]
fn effective(slot: u16, verdict: Verdict, recorded: u32, bytes: u64) {
    let Some(cells) = EFFECTIVE.get_ptr_mut(policy_cell(slot)) else {
        return;
    };
    // SAFETY: see `interface_counters`.
    let cells = unsafe { &mut *cells };
    let (all, full, setting) = match verdict {
        Verdict::Passed => (
            &mut cells.passed,
            &mut cells.full_passed,
            &mut cells.setting_passed,
        ),
        Verdict::Dropped => (
            &mut cells.dropped,
            &mut cells.full_dropped,
            &mut cells.setting_dropped,
        ),
    };
    all.add_packet(bytes);
    if recorded == Recorded::Full as u32 {
        full.add_packet(bytes);
    } else if recorded == Recorded::Setting as u32 {
        setting.add_packet(bytes);
    }
}

/// The cell of a device, or the `other` cell of the policy if the device has no place.
/// Packets `in` have no device cells.
#[inline(always)]
fn device_cell(key: DeviceKey, verdict: Verdict, policy: &mut PolicyCounters) -> &mut Count {
    let device = if direction::is_in() {
        None
    } else {
        device::counters(key)
    };
    match (device, verdict) {
        (Some(device), Verdict::Passed) => &mut device.passed,
        (Some(device), Verdict::Dropped) => &mut device.dropped,
        (None, Verdict::Passed) => &mut policy.other_passed,
        (None, Verdict::Dropped) => &mut policy.other_dropped,
    }
}

/// Index of the cells of a policy slot in this direction.
#[inline(always)]
fn policy_cell(slot: u16) -> u32 {
    if direction::is_in() {
        MAX_POLICIES + u32::from(slot)
    } else {
        u32::from(slot)
    }
}

#[inline(always)]
fn policy_counters(slot: u16) -> Option<&'static mut PolicyCounters> {
    let cell = POLICIES.get_ptr_mut(policy_cell(slot))?;
    // SAFETY: see `interface_counters`.
    Some(unsafe { &mut *cell })
}

#[inline(always)]
fn interface_counters() -> Option<&'static mut InterfaceCounters> {
    let cell = INTERFACES.get_ptr_mut(INTERFACE_SLOT.load())?;
    // SAFETY: only this CPU writes the cell, and XDP runs with bottom halves off, so
    // no other run of the program interrupts this one. Each caller drops its reference
    // before the next reference to the same cell is made.
    Some(unsafe { &mut *cell })
}
