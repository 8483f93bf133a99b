//! The cells of a (device, policy): a near cell of this CPU, else a place in one
//! of the device tables.

use aya_ebpf::{
    bindings::BPF_NOEXIST, helpers::generated::bpf_get_smp_processor_id, maps::PerCpuHashMap,
};
use monitor_common::{DeviceCounters, DeviceKey, KNOWN_NAMED, NEAR_CELLS, NEAR_PROBES, NearDevice};

use crate::maps::{DEVICES, KNOWN, LEAVING, MOVES, NAMED_DEVICES, NEAR_DEVICES, NEIGHBOURS};

type Table = PerCpuHashMap<DeviceKey, DeviceCounters>;

/// The cells of a device; `None` where the tables have no room for it, or its
/// place is being taken back.
#[inline(always)]
pub(crate) fn counters(key: DeviceKey) -> Option<&'static mut DeviceCounters> {
    let bits = key.to_bits();
    let Some(near) = near(bits) else {
        return registered(&key);
    };
    if near.key != bits {
        // The cell is free. A device gets a near cell only if it has an entry in
        // a device table. So devices that were entered early keep their cells on
        // every CPU, even under a flood of new MACs.
        registered(&key)?;
        near.key = bits;
    }
    Some(&mut near.counters)
}

/// The near cell of a device, or a free one that it may take.
#[inline(always)]
fn near(bits: u64) -> Option<&'static mut NearDevice> {
    // SAFETY: takes nothing, and only reads a number.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    for probe in 0..NEAR_PROBES {
        let index = (DeviceKey::near(bits) + probe) & (NEAR_CELLS - 1);
        let cell = NEAR_DEVICES.get_ptr_mut(cpu * NEAR_CELLS + index)?;
        // SAFETY: no other program run uses this CPU's cells, see
        // `account::interface_counters`. User space writes nothing but the key of
        // a cell, until no program uses the cell.
        let cell = unsafe { &mut *cell };
        if cell.key == bits || cell.key == 0 {
            return Some(cell);
        }
    }
    None
}

/// The cells of a device in a device table, where it has a place or gets one.
///
/// Every device may use `DEVICES`. A known one may also use the table that is
/// kept for its kind, which made-up MACs cannot fill.
#[inline(always)]
fn registered(key: &DeviceKey) -> Option<&'static mut DeviceCounters> {
    if is_leaving(key) {
        return None;
    }
    if let Some(cells) = place(&DEVICES, key) {
        return Some(cells);
    }
    // SAFETY: the value is one number, which user space replaces as a whole.
    let kept = match unsafe { KNOWN.get(&key.mac) } {
        None => return insert(&DEVICES, key),
        Some(&KNOWN_NAMED) => &NAMED_DEVICES,
        Some(_) => &NEIGHBOURS,
    };
    place(kept, key)
        .or_else(|| insert(&DEVICES, key))
        .or_else(|| insert(kept, key))
}

/// Tells whether user space takes this device's place back. Then the packet
/// must not be counted there, and the device must get no other place.
#[inline(always)]
fn is_leaving(key: &DeviceKey) -> bool {
    let Some(moves) = MOVES.get_ptr(0) else {
        return false;
    };
    // SAFETY: the element exists, and user space writes the number as a whole.
    let any = unsafe { core::ptr::addr_of!((*moves).leaving).read_volatile() };
    any != 0 && LEAVING.get_ptr(key).is_some()
}

#[inline(always)]
fn place(table: &Table, key: &DeviceKey) -> Option<&'static mut DeviceCounters> {
    // SAFETY: the cells are this CPU's own, see `account::interface_counters`.
    // User space deletes the entry only after it kept programs from finding it
    // and waited until those that had found it were done.
    table.get_ptr_mut(key).map(|cells| unsafe { &mut *cells })
}

#[inline(always)]
fn insert(table: &Table, key: &DeviceKey) -> Option<&'static mut DeviceCounters> {
    // Another CPU may insert the same key first: then this insert fails and the
    // look-up finds it. A full table fails both.
    let _ = table.insert(key, &DeviceCounters::default(), u64::from(BPF_NOEXIST));
    place(table, key)
}
