//! The filter in force. At most one process holds it.

use std::{os::fd::OwnedFd, path::Path};

use super::{
    Error,
    detach::detach_all,
    link::{self, link_info},
    lock::Lock,
    object,
    pins::{self, Pins},
    state::State,
};

/// What to do where a version with another ABI left its filter and counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherVersions {
    /// Refuse to go on.
    Refuse,
    /// Put this one's filter in the place of its.
    TakeOver,
}

/// The right and the means to change what is in force.
pub struct Filter {
    pub(super) pins: Pins,
    pub(super) state: State,
    /// Open as long as the filter is held, so that others can find who holds it.
    pub(super) links: Vec<OwnedFd>,
    /// Nothing was pinned before, and nothing was in force yet.
    pub(super) fresh: bool,
    _lock: Lock,
}

impl Filter {
    /// Takes the pin directory, and makes the counters where there are none.
    pub fn open(pin_dir: &Path, others: OtherVersions) -> Result<Self, Error> {
        pins::check_directory(pin_dir)?;
        let pins = Pins::new(pin_dir);
        pins::create_directory(pins.root())?;
        for directory in [pins.root(), &pins.links(), &pins.state()] {
            pins::check_directory(directory)?;
        }
        let lock = Lock::acquire(&pins)?;
        if others == OtherVersions::Refuse && !pins.other_versions()?.is_empty() {
            return Err(Error::OtherVersion {
                path: pins.root().to_owned(),
            });
        }
        pins.remove_discarded()?;
        let fresh = !State::is_whole(&pins.state());
        let state = open_state(&pins, fresh);
        if state.is_err() && fresh {
            leave_nothing(&pins);
        }
        let state = state?;
        Ok(Self {
            pins,
            state,
            links: Vec::new(),
            fresh,
            _lock: lock,
        })
    }

    /// The pin directory that is held, without symbolic links.
    #[must_use]
    pub fn pin_dir(&self) -> &Path {
        self.pins.root()
    }

    /// The program that a link runs: pinned, else by its id, which only root may.
    pub(super) fn program_of(&self, interface: &str, link: &OwnedFd) -> Result<OwnedFd, Error> {
        let id = link_info(interface, link)?.program;
        if let Some(generation) = self.pins.generation_of(interface, id)? {
            return pins::open(&self.pins.program(generation, interface));
        }
        if let Some(program) = self.pins.other_program(interface, id)? {
            return pins::open(&program);
        }
        object::program_by_id(id)
    }

    pub(super) fn remove_link(&mut self, interface: &str, link: &OwnedFd) -> Result<(), Error> {
        let mut errors = Vec::new();
        errors.extend(link::remove_link(&self.pins, interface, link).err());
        let slot = self.state.interfaces.assign(interface)?;
        errors.extend(self.state.interfaces.record(slot, interface, None).err());
        Error::collect(errors)
    }

    /// Detaches everything and removes every pin. Errors do not stop it; after
    /// one it can be asked again.
    pub fn detach(&mut self) -> Result<Vec<String>, Error> {
        self.links.clear();
        detach_all(&self.pins)
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        if self.fresh {
            leave_nothing(&self.pins);
        }
    }
}

/// Leaves nothing of this version where nothing of it was, and nothing is in
/// force. The error that led here is the one to tell.
fn leave_nothing(pins: &Pins) {
    let others = pins.other_versions();
    let _ = match others.as_deref() {
        Ok([]) => pins.remove_all(),
        _ => pins.discard_state(),
    };
}

fn open_state(pins: &Pins, fresh: bool) -> Result<State, Error> {
    if fresh {
        // Part of it is what an interrupted start left; no filter ran on it.
        pins.discard_state()?;
    }
    pins::create_directory(&pins.state())?;
    pins::create_directory(&pins.links())?;
    State::take(&mut object::load_state(&pins.state())?)
}
