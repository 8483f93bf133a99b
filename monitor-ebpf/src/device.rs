//! The cells of a (device, policy): a near cell of this CPU, or else an entry of a
//! device table.

use aya_ebpf::{
    bindings::BPF_NOEXIST, helpers::generated::bpf_get_smp_processor_id, maps::PerCpuHashMap,
};
use monitor_common::{DeviceCounters, DeviceKey, KNOWN_NAMED, NEAR_CELLS, NEAR_PROBES, NearDevice};

use crate::maps::{DEVICES, KNOWN, LEAVING, MOVES, NAMED_DEVICES, NEAR_DEVICES, NEIGHBOURS};

type DeviceTable = PerCpuHashMap<DeviceKey, DeviceCounters>;

/// The cells of a device; `None` if the tables have no room for it, or if user space is
/// taking its place back.
#[inline(always)]
pub(crate) fn counters(key: DeviceKey) -> Option<&'static mut DeviceCounters> {
    let bits = key.to_bits();
    let Some(near) = near(bits) else {
        return registered(&key);
    };
    if near.key != bits {
        // The cell is free. A device gets a near cell only if it has an entry in a
        // device table. So devices with early entries keep their near cells on every
        // CPU, even under a flood of new MACs.
        registered(&key)?;
        near.key = bits;
    }
    Some(&mut near.counters)
}

/// The near cell of a device, or a free near cell; `None` if all cells that may be
/// searched belong to other devices.
#[inline(always)]
fn near(bits: u64) -> Option<&'static mut NearDevice> {
    // SAFETY: the helper takes no arguments and only reads a number.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    for probe in 0..NEAR_PROBES {
        let index = (DeviceKey::near(bits) + probe) & (NEAR_CELLS - 1);
        let cell = NEAR_DEVICES.get_ptr_mut(cpu * NEAR_CELLS + index)?;
        // SAFETY: no other program run uses this CPU's cells, see
        // `account::interface_counters`. While programs use a cell, user space writes
        // its key only.
        let cell = unsafe { &mut *cell };
        if cell.key == bits || cell.key == 0 {
            return Some(cell);
        }
    }
    None
}

/// The entry of a device in a device table. A new entry is made if there is room.
///
/// Every device may use `DEVICES`. A known device may also use the table that is
/// reserved for its kind, which a flood of made-up MACs cannot fill.
#[inline(always)]
fn registered(key: &DeviceKey) -> Option<&'static mut DeviceCounters> {
    if is_leaving(key) {
        return None;
    }
    if let Some(cells) = place(&DEVICES, key) {
        return Some(cells);
    }
    // SAFETY: the value is one number, and user space replaces it in one store.
    let reserved = match unsafe { KNOWN.get(&key.mac) } {
        None => return insert(&DEVICES, key),
        Some(&KNOWN_NAMED) => &NAMED_DEVICES,
        Some(_) => &NEIGHBOURS,
    };
    place(reserved, key)
        .or_else(|| insert(&DEVICES, key))
        .or_else(|| insert(reserved, key))
}

/// True if user space is taking this device's place back. Then the packet must not be
/// counted there, and the device must not get another place.
#[inline(always)]
fn is_leaving(key: &DeviceKey) -> bool {
    let Some(moves) = MOVES.get_ptr(0) else {
        return false;
    };
    // SAFETY: the element exists, and user space writes the number in one store.
    let any = unsafe { core::ptr::addr_of!((*moves).leaving).read_volatile() };
    any != 0 && LEAVING.get_ptr(key).is_some()
}

/// The entry of a device in `table`.
#[inline(always)]
fn place(table: &DeviceTable, key: &DeviceKey) -> Option<&'static mut DeviceCounters> {
    // SAFETY: only this CPU uses the cells, see `account::interface_counters`. User
    // space deletes an entry only when no program can find it any more and a grace
    // period has passed since.
    table.get_ptr_mut(key).map(|cells| unsafe { &mut *cells })
}

/// Makes an entry for a device; `None` if `table` is full.
#[inline(always)]
fn insert(table: &DeviceTable, key: &DeviceKey) -> Option<&'static mut DeviceCounters> {
    // Another CPU may insert the same key first. Then this insert fails, and the
    // look-up finds the entry. If the table is full, both fail.
    let _ = table.insert(key, &DeviceCounters::default(), u64::from(BPF_NOEXIST));
    place(table, key)
}
