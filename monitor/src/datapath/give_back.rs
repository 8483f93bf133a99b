//! Takes back places of devices while programs count. Every reader sees exact sums
//! at every moment, even if the process is killed between two steps.
//! `monitor_common::Moves` describes which half of the past readers use.
//!
//! No program may add to an entry that is deleted. So a move begins with these
//! steps:
//!
//! 1. Enter the device into `LEAVING`. Programs that start later do not find its
//!    place.
//! 2. Wait for a grace period. Then no program runs that found the place earlier.
//! 3. Mark the near cells of the device.
//! 4. Wait for a second grace period. Then no program changes its counts.
//!
//! Every step is idempotent. If a process is killed during a move, the next process
//! finishes it: `LEAVING` still holds the devices, and the sequence number says
//! which half of the past is valid.

use std::collections::{HashMap, HashSet};

use aya::maps::MapError;
use monitor_common::{DeviceCounters, DeviceKey, MAX_LEAVING};

use super::{
    Error, Filter,
    devices::{
        DeviceCounts, DeviceTables, EVEN, KnownKind, LEAVING, ODD, PolicySlot, SEQUENCE, TABLES,
        add_device,
    },
    maps::{not_mapped, read, sum, write},
    near::set_counters,
    object::state,
    shared_array::WritableArray,
    sys,
};
use crate::policy::MacAddress;

/// Result of a move to the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenBack {
    /// Number of places, one for each pair of device and policy.
    pub places: usize,
    /// Sum of the counters of these places.
    pub counters: DeviceCounters,
}

impl Filter {
    /// Reads the counters of all devices.
    pub fn device_counts(&self) -> Result<DeviceCounts, Error> {
        self.state.devices.counts()
    }

    /// Reserves places for these devices, and for no others.
    pub fn set_known(
        &mut self,
        known: &std::collections::BTreeMap<MacAddress, KnownKind>,
    ) -> Result<(), Error> {
        self.state.devices.set_known(known)
    }

    /// Moves the counts of these devices to the past of their policies, and takes
    /// their places back. First finishes a move that a killed process left.
    pub fn give_back(&mut self, devices: &[DeviceKey]) -> Result<GivenBack, Error> {
        self.state.devices.give_back(devices)
    }
}

impl DeviceTables {
    fn give_back(&mut self, devices: &[DeviceKey]) -> Result<GivenBack, Error> {
        self.finish()?;
        let mut given_back = GivenBack::default();
        for batch in devices.chunks(MAX_LEAVING as usize) {
            let moves = self.moves()?;
            moves.store(0, LEAVING, 1);
            for device in batch {
                let entered = self.leaving.insert(device, &1, 0);
                entered.map_err(write(state::LEAVING))?;
            }
            let batch = self.move_leaving(&moves)?;
            given_back.places += batch.places;
            add_device(&mut given_back.counters, &batch.counters);
        }
        Ok(given_back)
    }

    /// Finishes a move that a killed process left. Without one, does nothing.
    fn finish(&mut self) -> Result<(), Error> {
        let moves = self.moves()?;
        if moves.load(0, LEAVING) == 0 {
            return Ok(());
        }
        if moves.load(0, SEQUENCE) % 2 == 1 {
            let leaving = self.leaving()?;
            self.remove(&leaving)?;
            self.end(&moves, &leaving)
        } else {
            self.move_leaving(&moves).map(drop)
        }
    }

    /// Moves the counts of the devices in LEAVING.
    fn move_leaving(&mut self, moves: &WritableArray) -> Result<GivenBack, Error> {
        let leaving = self.leaving()?;
        grace_period()?;
        self.near.mark(&leaving)?;
        grace_period()?;
        let (given_back, amounts) = self.counted(&leaving)?;
        self.write_past_after(&amounts)?;
        // From here on, readers use the past and skip the devices.
        step(moves);
        self.remove(&leaving)?;
        self.end(moves, &leaving)?;
        Ok(given_back)
    }

    /// Sums the counters of these devices, in total and by policy slot. No program
    /// changes them any more.
    fn counted(
        &self,
        leaving: &HashSet<DeviceKey>,
    ) -> Result<(GivenBack, HashMap<PolicySlot, DeviceCounters>), Error> {
        let mut given_back = GivenBack {
            places: leaving.len(),
            ..GivenBack::default()
        };
        let mut amounts = HashMap::new();
        let mut add = |key: DeviceKey, counters: &DeviceCounters| {
            add_device(amounts.entry(key.policy).or_default(), counters);
            add_device(&mut given_back.counters, counters);
        };
        for (table, name) in self.tables.iter().zip(TABLES) {
            for key in leaving {
                match table.get(key, 0) {
                    Ok(values) => add(*key, &sum(&values, add_device)),
                    Err(MapError::KeyNotFound) => {}
                    Err(error) => return Err(read(name)(error)),
                }
            }
        }
        for cell in self.near.taken()?.iter().filter(|cell| cell.leaving) {
            add(cell.key, &cell.counters);
        }
        Ok((given_back, amounts))
    }

    /// Writes the past after the move to the half that readers do not use yet.
    fn write_past_after(&self, amounts: &HashMap<PolicySlot, DeviceCounters>) -> Result<(), Error> {
        let mut after = self.past(EVEN)?;
        for (slot, amount) in amounts {
            add_device(after.entry(*slot).or_default(), amount);
        }
        self.write_past(ODD, &after)
    }

    fn write_past(
        &self,
        first: usize,
        counted: &HashMap<PolicySlot, DeviceCounters>,
    ) -> Result<(), Error> {
        let past = self.past.write();
        let past = past.map_err(not_mapped("write", state::PAST))?;
        for slot in 0..past.len() {
            let of_slot = PolicySlot::try_from(slot).ok();
            let of_slot = of_slot.and_then(|slot| counted.get(&slot).copied());
            set_counters(&past, slot, first, &of_slot.unwrap_or_default());
        }
        Ok(())
    }

    /// Makes both halves of the past equal, then removes the entries and counts
    /// that readers skip.
    fn remove(&mut self, leaving: &HashSet<DeviceKey>) -> Result<(), Error> {
        let past = self.past(ODD)?;
        self.write_past(EVEN, &past)?;
        for (table, name) in self.tables.iter_mut().zip(TABLES) {
            for key in leaving {
                removed(table.remove(key)).map_err(write(name))?;
            }
        }
        self.near.clear_marked()
    }

    /// Ends a move. Readers skip nothing any more, because the counts of the
    /// devices are gone. The devices may get places again.
    fn end(&mut self, moves: &WritableArray, leaving: &HashSet<DeviceKey>) -> Result<(), Error> {
        step(moves);
        self.near.free_marked()?;
        for key in leaving {
            removed(self.leaving.remove(key)).map_err(write(state::LEAVING))?;
        }
        moves.store(0, LEAVING, 0);
        Ok(())
    }

    fn moves(&self) -> Result<WritableArray, Error> {
        let moves = self.moves.write();
        moves.map_err(not_mapped("write", state::MOVES))
    }
}

/// Ignores the error for an entry that does not exist.
fn removed(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
        {
            Ok(())
        }
        other => other,
    }
}

fn step(moves: &WritableArray) {
    moves.store(0, SEQUENCE, moves.load(0, SEQUENCE).wrapping_add(1));
}

fn grace_period() -> Result<(), Error> {
    sys::grace_period().map_err(|source| Error::system("wait for running programs to end", source))
}
