//! Generations that are to be confirmed: the kernel goes back to the one before
//! by itself, and what is done here makes that, or the new one, permanent.

use std::{collections::BTreeMap, os::fd::OwnedFd, path::Path};

use aya::maps::{Array, MapData, ProgramArray};
use monitor_common::MAX_INTERFACES;

use super::{
    Error, Filter,
    deadline::Deadline,
    generation,
    in_force::{CONFIRMED, in_force, is_confirmed},
    link::link_info,
    lock::Lock,
    maps::{self, write},
    object::ruleset,
    pins::{self, Pins},
    retire::{remove_unused_generations, wait_for_running_programs},
    sys,
};

/// Generations that wait, by number, with the interfaces that run them.
fn waiting(pins: &Pins) -> Result<BTreeMap<u64, (Deadline, Vec<String>)>, Error> {
    let mut waiting = BTreeMap::new();
    for interface in pins.linked_interfaces()? {
        let link = pins::open(&pins.link(&interface))?;
        let found = in_force(pins, &interface, link_info(&interface, &link)?.program)?;
        if let (Some(generation), Some(deadline)) = (found.generation, found.deadline) {
            let (_, interfaces) = waiting.entry(generation).or_insert((deadline, Vec::new()));
            interfaces.push(interface);
        }
    }
    Ok(waiting)
}

/// Confirms what waits, for whoever holds the lock. Returns the newest number,
/// and what an operator should know.
fn confirm_all(pins: &Pins) -> Result<(u64, Vec<String>), Error> {
    let waiting = waiting(pins)?;
    let Some((newest, (deadline, _))) = waiting.last_key_value() else {
        return Err(Error::NothingToConfirm);
    };
    if deadline.has_passed() {
        return Err(Error::NotConfirmedInTime {
            generation: *newest,
            within: deadline.within().as_secs(),
        });
    }
    for number in waiting.keys() {
        let mut cell: Array<MapData, u32> =
            maps::open(&pins.generation(*number), ruleset::CONFIRMED)?;
        cell.set(0, &CONFIRMED, 0)
            .map_err(write(ruleset::CONFIRMED))?;
    }
    // From here on it is confirmed, whatever else fails.
    let mut notes = Vec::new();
    for (number, (_, interfaces)) in &waiting {
        notes.extend(
            forget_previous(pins, *number, interfaces)
                .err()
                .map(|error| error.to_string()),
        );
    }
    Ok((*newest, notes))
}

/// Lets go of the programs that a confirmed generation no longer needs.
fn forget_previous(pins: &Pins, number: u64, interfaces: &[String]) -> Result<(), Error> {
    let mut programs: ProgramArray<MapData> =
        maps::open(&pins.generation(number), ruleset::PREVIOUS)?;
    let mut errors = Vec::new();
    for slot in 0..MAX_INTERFACES {
        // Most were never set.
        let _ = programs.clear_index(&slot);
    }
    for interface in interfaces {
        errors.extend(pins::remove(&pins.previous(number, interface)).err());
    }
    Error::collect(errors)
}

/// The deadline of what is in force, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnconfirmedGeneration {
    /// It may have passed.
    pub deadline: Deadline,
    /// Whether it is in force for good.
    pub confirmed: bool,
}

/// What is in force under `pin_dir` and was or is to be confirmed, whoever put
/// it there.
pub fn unconfirmed_generation(pin_dir: &Path) -> Result<Option<UnconfirmedGeneration>, Error> {
    let pins = Pins::new(pin_dir);
    let mut newest = None;
    for interface in pins.linked_interfaces()? {
        let link = pins::open(&pins.link(&interface))?;
        let program = link_info(&interface, &link)?.program;
        newest = newest.max(pins.generation_of(&interface, program)?);
    }
    // Pins that are lost in part must not keep a daemon from starting.
    Ok(newest.and_then(|number| {
        let record = generation::record(&pins, number).ok()?;
        Some(UnconfirmedGeneration {
            deadline: Deadline::of(record)?,
            confirmed: is_confirmed(&pins, number).ok()?,
        })
    }))
}

/// Confirms what waits under `pin_dir`, where no daemon holds it. Returns its
/// number, and what an operator should know.
pub fn confirm(pin_dir: &Path) -> Result<(u64, Vec<String>), Error> {
    let pins = Pins::new(pin_dir);
    let _lock = Lock::acquire(&pins)?;
    let (number, mut notes) = confirm_all(&pins)?;
    let removed = remove_unused_generations(&pins);
    notes.extend(removed.err().map(|error| error.to_string()));
    Ok((number, notes))
}

impl Filter {
    /// What decides on each interface where a new generation is not confirmed:
    /// what does now, or what would where that is not confirmed either.
    pub(super) fn previous_programs<'a>(
        &self,
        names: impl Iterator<Item = &'a String>,
    ) -> Result<BTreeMap<String, OwnedFd>, Error> {
        let linked = self.pins.linked_interfaces()?;
        let mut programs = BTreeMap::new();
        for name in names.filter(|name| linked.contains(name)) {
            let link = pins::open(&self.pins.link(name))?;
            let found = in_force(&self.pins, name, link_info(name, &link)?.program)?;
            let program = match (found.generation, found.deadline) {
                (Some(generation), Some(_)) => {
                    let previous = self.pins.previous(generation, name);
                    previous
                        .exists()
                        .then(|| pins::open(&previous))
                        .transpose()?
                }
                _ => Some(self.program_of(name, &link)?),
            };
            programs.extend(program.map(|program| (name.clone(), program)));
        }
        Ok(programs)
    }

    /// Confirms what waits, and then detaches what is not `wanted`. Returns its
    /// number, and what an operator should know.
    pub fn confirm(&mut self, wanted: &[String]) -> Result<(u64, Vec<String>), Error> {
        let (number, mut notes) = confirm_all(&self.pins)?;
        let errors = self.retire(wanted, None, &mut notes);
        notes.extend(errors.iter().map(ToString::to_string));
        Ok((number, notes))
    }

    /// Puts what decides already in the place of generations whose time is over.
    /// Where there was nothing before them they stay, and let every packet pass.
    pub fn roll_back(&mut self) -> Result<(), Error> {
        let mut errors = Vec::new();
        for (number, (deadline, interfaces)) in waiting(&self.pins)? {
            if deadline.has_passed() {
                let each = interfaces.iter();
                errors.extend(each.filter_map(|name| self.roll_back_one(number, name).err()));
            }
        }
        if errors.is_empty() {
            let _ = wait_for_running_programs();
            errors.extend(remove_unused_generations(&self.pins).err());
        }
        Error::collect(errors)
    }

    fn roll_back_one(&self, generation: u64, interface: &str) -> Result<(), Error> {
        let previous = self.pins.previous(generation, interface);
        if !previous.exists() {
            return Ok(());
        }
        let link = pins::open(&self.pins.link(interface))?;
        let old = self.program_of(interface, &link)?;
        sys::link_update(&link, pins::open(&previous)?, old).map_err(|source| Error::Replace {
            interface: interface.to_owned(),
            source,
        })
    }

    /// Hash of the ruleset that all of these interfaces run that are filtered;
    /// `None` where they differ, or where it cannot be told.
    pub fn ruleset_hash(&self, names: &[String]) -> Result<Option<u64>, Error> {
        let mut hash = None;
        for name in self.pins.linked_interfaces()? {
            if !names.contains(&name) {
                continue;
            }
            let link = pins::open(&self.pins.link(&name))?;
            let found = in_force(&self.pins, &name, link_info(&name, &link)?.program)?;
            let Some(number) = found.deciding() else {
                return Ok(None);
            };
            let found = generation::record(&self.pins, number)?.ruleset_hash;
            if hash.is_some_and(|hash| hash != found) {
                return Ok(None);
            }
            hash = Some(found);
        }
        Ok(hash)
    }
}
