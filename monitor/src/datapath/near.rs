//! The near cells of all CPUs, read and written without a call for each.

use std::{collections::HashSet, mem::offset_of};

use monitor_common::{Count, DeviceCounters, DeviceKey, NearDevice};

use super::{
    Error,
    maps::not_mapped,
    object::state::NEAR_DEVICES,
    shared_array::{ArrayOf, SharedArray, WritableArray},
};

/// Words of a cell, by what they hold.
const KEY: usize = offset_of!(NearDevice, key) / 8;
const COUNTERS: usize = offset_of!(NearDevice, counters) / 8;

/// An array with [`NEAR_CELLS`] for each possible CPU.
pub(super) type NearDevices = ArrayOf<NearDevice>;

/// A near cell that a device has.
#[derive(Clone, Copy, Debug)]
pub(super) struct NearCell {
    pub(super) key: DeviceKey,
    /// The device's place is being taken back.
    pub(super) leaving: bool,
    pub(super) counters: DeviceCounters,
}

impl NearDevices {
    /// Every cell that a device has, those of a CPU after those of another.
    pub(super) fn taken(&self) -> Result<Vec<NearCell>, Error> {
        let cells = self.read().map_err(not_mapped("read", NEAR_DEVICES))?;
        Ok((0..cells.len())
            .filter_map(|cell| taken(&cells, cell))
            .collect())
    }

    /// Marks the cells of these devices: no packet is counted there any more,
    /// once the programs have ended that run now.
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

    /// Gives marked cells, which must be clear, to whichever device comes next.
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

/// The counters whose words begin with `first`.
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

/// Writes counters to the words from `first` on.
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
