//! Finds the generation that decides on an interface, by comparing the link's
//! program with the pinned programs.

use aya::{
    maps::{Array, MapData},
    programs::ProgramInfo,
};

use super::{
    Error,
    deadline::Deadline,
    generation,
    hook::HookPoint,
    maps::{self, read},
    object::ruleset,
    pins::Pins,
};

/// Value in the map `CONFIRMED` of a confirmed generation.
pub(super) const CONFIRMED: u32 = 1;

/// Program and generation that a link runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InForce {
    /// Id of the program.
    pub(super) program: u32,
    /// Generation of the program; `None` if it is not pinned.
    pub(super) generation: Option<u64>,
    /// Time by which `generation` must be confirmed; `None` if it is confirmed or
    /// needs no confirmation.
    pub(super) deadline: Option<Deadline>,
    /// Generation that decides if `generation` is not confirmed in time.
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

/// Finds what the link of a hook runs. `program` is the id of its program.
pub(super) fn in_force(pins: &Pins, at: &HookPoint, program: u32) -> Result<InForce, Error> {
    let mut found = InForce {
        program,
        generation: pins.generation_of(at, program)?,
        deadline: None,
        previous: None,
    };
    let Some(generation) = found.generation else {
        return Ok(found);
    };
    found.deadline = deadline_of(pins, generation)?;
    if found.deadline.is_some()
        && let Ok(previous) = ProgramInfo::from_pin(pins.previous(generation, at))
    {
        found.previous = pins.generation_of(at, previous.id())?;
    }
    Ok(found)
}

/// Time by which a pinned generation must be confirmed; `None` if it is confirmed
/// or needs no confirmation.
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
