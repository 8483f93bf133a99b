//! Reads and writes the near cells of all CPUs in shared memory, without a system
//! call for each cell.

use std::{collections::HashSet, mem::offset_of};

use monitor_common::{Count, DeviceCounters, DeviceKey, NearDevice};

use super::{
    Error,
    maps::not_mapped,
    object::state::NEAR_DEVICES,
    shared_array::{ArrayOf, SharedArray, WritableArray},
};

/// Index of the first 8-byte word of each field of a cell.
const KEY: usize = offset_of!(NearDevice, key) / 8;
const COUNTERS: usize = offset_of!(NearDevice, counters) / 8;

/// Array of near cells, [`NEAR_CELLS`](monitor_common::NEAR_CELLS) for each
/// possible CPU.
pub(super) type NearDevices = ArrayOf<NearDevice>;

/// Content of a near cell that belongs to a device.
#[derive(Clone, Copy, Debug)]
pub(super) struct NearCell {
    pub(super) key: DeviceKey,
    /// True while the place of the device is taken back.
    pub(super) leaving: bool,
    pub(super) counters: DeviceCounters,
}

impl NearDevices {
    /// Reads every cell that belongs to a device, CPU by CPU.
    pub(super) fn taken(&self) -> Result<Vec<NearCell>, Error> {
        let cells = self.read().map_err(not_mapped("read", NEAR_DEVICES))?;
        Ok((0..cells.len())
            .filter_map(|cell| taken(&cells, cell))
            .collect())
    }

    /// Marks the cells of these devices. Programs that start after this call count
    /// no packet there. Programs that run during the call still may.
    pub(super) fn mark(&self, devices: &HashSet<DeviceKey>) -> Result<(), Error> {
        self.change(|cells, cell, bits| {
            let device = DeviceKey::from_bits(bits & !DeviceKey::LEAVING);
            if device.is_some_and(|device| devices.contains(&device)) {
                cells.store(cell, KEY, bits | DeviceKey::LEAVING);
            }
        })
    }

    /// Sets the counters of marked cells to zero.
    pub(super) fn clear_marked(&self) -> Result<(), Error> {
        self.change(|cells, cell, bits| {
            if bits & DeviceKey::LEAVING != 0 {
                set_counters(cells, cell, COUNTERS, &DeviceCounters::default());
            }
        })
    }

    /// Frees marked cells for other devices. The counters of the cells must be
    /// zero.
    pub(super) fn free_marked(&self) -> Result<(), Error> {
        self.change(|cells, cell, bits| {
            if bits & DeviceKey::LEAVING != 0 {
                cells.store(cell, KEY, 0);
            }
        })
    }

    fn change(&self, change: impl Fn(&WritableArray, usize, u64)) -> Result<(), Error> {
        let cells = self.write().map_err(not_mapped("write", NEAR_DEVICES))?;
        for cell in 0..cells.len() {
            change(&cells, cell, cells.load(cell, KEY));
        }
        Ok(())
    }
}

fn taken(cells: &SharedArray, cell: usize) -> Option<NearCell> {
    loop {
        let bits = cells.load(cell, KEY);
        let key = DeviceKey::from_bits(bits & !DeviceKey::LEAVING)?;
        let counters = counters(|word| cells.load(cell, word), COUNTERS);
        // Another device may have taken the cell meanwhile.
        if cells.load(cell, KEY) == bits {
            return Some(NearCell {
                key,
                leaving: bits & DeviceKey::LEAVING != 0,
                counters,
            });
        }
    }
}

/// Reads counters from consecutive words, starting with word `first`.
pub(super) fn counters(load: impl Fn(usize) -> u64, first: usize) -> DeviceCounters {
    let count = |first| Count {
        packets: load(first),
        bytes: load(first + 1),
    };
    DeviceCounters {
        passed: count(first),
        dropped: count(first + 2),
    }
}

/// Writes counters to consecutive words of an element, starting with word `first`.
pub(super) fn set_counters(
    array: &WritableArray,
    element: usize,
    first: usize,
    counters: &DeviceCounters,
) {
    let DeviceCounters { passed, dropped } = counters;
    let words = [passed.packets, passed.bytes, dropped.packets, dropped.bytes];
    for (word, value) in (first..).zip(words) {
        array.store(element, word, value);
    }
}
