//! Generations that must be confirmed. After the deadline, the kernel program goes
//! back to the generation before by itself. The functions here make that, or the
//! new generation, permanent.

use std::{collections::BTreeMap, os::fd::OwnedFd, path::Path};

use aya::maps::{Array, MapData, ProgramArray};
use monitor_common::MAX_INTERFACES;

use super::{
    Error, Filter,
    deadline::Deadline,
    generation,
    grace::wait_for_running_programs,
    hook::{Filtered, HookPoint, attachments},
    in_force::{CONFIRMED, in_force, is_confirmed},
    link::Link,
    lock::Lock,
    maps::{self, write},
    object::ruleset,
    pins::{self, Pins},
    retire::remove_unused_generations,
};

/// Generations that wait for a confirmation, by number, with their deadline and the
/// interfaces that run them.
fn waiting(pins: &Pins) -> Result<BTreeMap<u64, (Deadline, Vec<HookPoint>)>, Error> {
    let mut waiting = BTreeMap::new();
    for at in pins.linked()? {
        let link = Link::open(pins, &at)?;
        let found = in_force(pins, &at, link.info(&at)?.program)?;
        if let (Some(generation), Some(deadline)) = (found.generation, found.deadline) {
            let (_, hooks) = waiting.entry(generation).or_insert((deadline, Vec::new()));
            hooks.push(at);
        }
    }
    Ok(waiting)
}

/// Confirms all generations that wait. The caller holds the lock. Returns the
/// newest number, and messages for the operator.
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
    // From here on the generations are confirmed, even if something else fails.
    let mut notes = Vec::new();
    for (number, (_, hooks)) in &waiting {
        notes.extend(
            forget_previous(pins, *number, hooks)
                .err()
                .map(|error| error.to_string()),
        );
    }
    Ok((*newest, notes))
}

/// Releases the previous programs, which a confirmed generation no longer needs.
fn forget_previous(pins: &Pins, number: u64, hooks: &[HookPoint]) -> Result<(), Error> {
    let mut errors = Vec::new();
    let directory = pins.generation(number);
    // A generation of an earlier version has the first map only.
    let maps = ruleset::PREVIOUS_BY_KIND.into_iter();
    for map in maps.filter(|map| directory.join(map).exists()) {
        let mut programs: ProgramArray<MapData> = maps::open(&directory, map)?;
        for slot in 0..MAX_INTERFACES {
            // Ignore errors, because most slots were never set.
            let _ = programs.clear_index(&slot);
        }
    }
    for at in hooks {
        errors.extend(pins::remove(&pins.previous(number, at)).err());
    }
    Error::collect(errors)
}

/// Deadline of the generation in force, and the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnconfirmedGeneration {
    /// Deadline; it may have passed.
    pub deadline: Deadline,
    /// True if the generation was confirmed.
    pub confirmed: bool,
}

/// Returns the deadline of the newest generation that a link under `pin_dir` runs.
/// `None` if that generation never needed a confirmation. Any process may have put
/// it in force.
pub fn unconfirmed_generation(pin_dir: &Path) -> Result<Option<UnconfirmedGeneration>, Error> {
    let pins = Pins::new(pin_dir);
    let mut newest = None;
    for at in pins.linked()? {
        let link = Link::open(&pins, &at)?;
        let program = link.info(&at)?.program;
        newest = newest.max(pins.generation_of(&at, program)?);
    }
    // A daemon must start even if some pins are lost.
    Ok(newest.and_then(|number| {
        let record = generation::record(&pins, number).ok()?;
        Some(UnconfirmedGeneration {
            deadline: Deadline::of(record)?,
            confirmed: is_confirmed(&pins, number).ok()?,
        })
    }))
}

/// Confirms the generations that wait under `pin_dir`. Returns an error if a daemon
/// holds the lock. Otherwise returns the newest number, and messages for the
/// operator.
pub fn confirm(pin_dir: &Path) -> Result<(u64, Vec<String>), Error> {
    let pins = Pins::new(pin_dir);
    let _lock = Lock::acquire(&pins)?;
    let (number, mut notes) = confirm_all(&pins)?;
    let removed = remove_unused_generations(&pins);
    notes.extend(removed.err().map(|error| error.to_string()));
    Ok((number, notes))
}

impl Filter {
    /// Returns the program at each hook that decides if a new generation is
    /// not confirmed in time: the program that runs now. If the generation that runs now
    /// waits to be confirmed itself, returns the program before that generation.
    pub(super) fn previous_programs<'a>(
        &self,
        hooks: impl Iterator<Item = &'a HookPoint>,
    ) -> Result<BTreeMap<HookPoint, OwnedFd>, Error> {
        let linked = self.pins.linked()?;
        let mut programs = BTreeMap::new();
        for at in hooks.filter(|at| linked.contains(at)) {
            let link = Link::open(&self.pins, at)?;
            let found = in_force(&self.pins, at, link.info(at)?.program)?;
            let program = match (found.generation, found.deadline) {
                (Some(generation), Some(_)) => {
                    let previous = self.pins.previous(generation, at);
                    previous
                        .exists()
                        .then(|| pins::open(&previous))
                        .transpose()?
                }
                _ => Some(self.program_of(at, &link)?),
            };
            programs.extend(program.map(|program| (at.clone(), program)));
        }
        Ok(programs)
    }

    /// Confirms all generations that wait, then detaches the interfaces that are
    /// not `wanted`. Returns the newest number, and messages for the operator.
    pub fn confirm(
        &mut self,
        wanted: &[Filtered],
        flows: bool,
    ) -> Result<(u64, Vec<String>), Error> {
        let (number, mut notes) = confirm_all(&self.pins)?;
        let wanted = attachments(wanted, flows).into_iter().map(|(at, _)| at);
        let errors = self.retire(&wanted.collect::<Vec<_>>(), None, &mut notes);
        notes.extend(errors.iter().map(ToString::to_string));
        Ok((number, notes))
    }

    /// Replaces each generation whose deadline has passed by the program that
    /// already decides. If there was no program before, the generation stays and
    /// lets every packet pass.
    pub fn roll_back(&mut self) -> Result<(), Error> {
        let mut errors = Vec::new();
        for (number, (deadline, hooks)) in waiting(&self.pins)? {
            if deadline.has_passed() {
                let each = hooks.iter();
                errors.extend(each.filter_map(|at| self.roll_back_one(number, at).err()));
            }
        }
        if errors.is_empty() {
            let _ = wait_for_running_programs();
            errors.extend(self.remove_unused_generations().err());
        }
        Error::collect(errors)
    }

    fn roll_back_one(&self, generation: u64, at: &HookPoint) -> Result<(), Error> {
        let previous = self.pins.previous(generation, at);
        if !previous.exists() {
            return Ok(());
        }
        let link = Link::open(&self.pins, at)?;
        let old = self.program_of(at, &link)?;
        let new = pins::open(&previous)?;
        link.update(&new, &old).map_err(|source| Error::Replace {
            interface: at.interface.clone(),
            source,
        })
    }

    /// Hash of the ruleset that all filtered interfaces in `names` run. `None` if
    /// they run different rulesets, or if the generation of one of them is unknown.
    pub fn ruleset_hash(&self, names: &[String]) -> Result<Option<u64>, Error> {
        let mut hash = None;
        for at in self.pins.linked()? {
            if !names.contains(&at.interface) {
                continue;
            }
            let link = Link::open(&self.pins, &at)?;
            let found = in_force(&self.pins, &at, link.info(&at)?.program)?;
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
