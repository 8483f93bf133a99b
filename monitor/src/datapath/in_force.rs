//! Which generation decides on an interface: found by comparing the link's program
//! with those that are pinned.

use aya::{
    maps::{Array, MapData},
    programs::ProgramInfo,
};

use super::{
    Error,
    deadline::Deadline,
    generation,
    maps::{self, read},
    object::ruleset,
    pins::Pins,
};

/// The value of a cell of the map `CONFIRMED` whose generation is confirmed.
pub(super) const CONFIRMED: u32 = 1;

/// What a link runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InForce {
    /// Id of the program.
    pub(super) program: u32,
    /// Its generation, where that is pinned.
    pub(super) generation: Option<u64>,
    /// Until when that is to be confirmed; `None`: it is, or need not be.
    pub(super) deadline: Option<Deadline>,
    /// The generation that decides where it is not confirmed.
    pub(super) previous: Option<u64>,
}

impl InForce {
    /// The generation that decides about packets now.
    pub(super) fn deciding(&self) -> Option<u64> {
        match self.deadline {
            Some(deadline) if deadline.has_passed() => self.previous,
            _ => self.generation,
        }
    }
}

/// What the link of `interface` runs, whose program has this id.
pub(super) fn in_force(pins: &Pins, interface: &str, program: u32) -> Result<InForce, Error> {
    let mut found = InForce {
        program,
        generation: pins.generation_of(interface, program)?,
        deadline: None,
        previous: None,
    };
    let Some(generation) = found.generation else {
        return Ok(found);
    };
    found.deadline = deadline_of(pins, generation)?;
    if found.deadline.is_some()
        && let Ok(previous) = ProgramInfo::from_pin(pins.previous(generation, interface))
    {
        found.previous = pins.generation_of(interface, previous.id())?;
    }
    Ok(found)
}

/// Until when a pinned generation is to be confirmed; `None`: it is, or need not be.
fn deadline_of(pins: &Pins, number: u64) -> Result<Option<Deadline>, Error> {
    let deadline = Deadline::of(generation::record(pins, number)?);
    if deadline.is_none() || is_confirmed(pins, number)? {
        return Ok(None);
    }
    Ok(deadline)
}

pub(super) fn is_confirmed(pins: &Pins, number: u64) -> Result<bool, Error> {
    let cell: Array<MapData, u32> = maps::open(&pins.generation(number), ruleset::CONFIRMED)?;
    let value = cell.get(&0, 0).map_err(read(ruleset::CONFIRMED))?;
    Ok(value == CONFIRMED)
}
