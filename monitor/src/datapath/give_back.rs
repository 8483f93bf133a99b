//! Takes places of devices back while programs count, so that every reader sees
//! exact sums at every moment, also where the process is killed between two
//! steps. `monitor_common::Moves` says which half of a move readers see.
//!
//! Programs must not add to an entry that is deleted. So a device is entered into
//! LEAVING first; then no program finds its place any more. After a grace period
//! no program that had found it is left, and its near cells can be marked; after
//! another one nothing changes its counts.
//!
//! Every step can be done twice. What a killed process left is finished by the
//! next one: LEAVING still holds the devices, and the sequence tells the half.

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

/// What was moved to the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenBack {
    /// Devices, each once for every policy that counted it.
    pub places: usize,
    /// What they had counted.
    pub counters: DeviceCounters,
}

impl Filter {
    /// What devices counted until now.
    pub fn device_counts(&self) -> Result<DeviceCounts, Error> {
        self.state.devices.counts()
    }

    /// Keeps places for these devices, and for no others.
    pub fn set_known(
        &mut self,
        known: &std::collections::BTreeMap<MacAddress, KnownKind>,
    ) -> Result<(), Error> {
        self.state.devices.set_known(known)
    }

    /// Moves the counts of these devices to the past of their policies and takes
    /// their places back. Finishes first what a killed process left.
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

    /// Finishes a move that was begun.
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
        // From here on, readers count the past and not the devices.
        step(moves);
        self.remove(&leaving)?;
        self.end(moves, &leaving)?;
        Ok(given_back)
    }

    /// What these devices counted, in all and by policy slot. Nothing adds to it
    /// any more.
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

    /// Writes the half of the past that readers do not count yet.
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

    /// Removes everything that readers skip, and makes both halves of the past
    /// equal.
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

    /// Ends a move: readers skip nothing any more, because nothing is left, and
    /// devices that left may come back.
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

/// An entry that is not there needs not be removed.
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
