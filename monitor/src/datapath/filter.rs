//! The filter of a pin directory. At most one process holds it.

use std::{collections::BTreeSet, os::fd::OwnedFd, path::Path};

use super::{
    Error,
    detach::detach_all,
    hook::HookPoint,
    link::Link,
    lock::Lock,
    object,
    pins::{self, Pins},
    state::State,
    tries::Shape,
};

/// Reaction to the filter and counters of a version with another ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherVersions {
    /// Return an error.
    Refuse,
    /// Replace the filter of that version by the filter of this version.
    TakeOver,
}

/// Exclusive right to change the filter of a pin directory, and the methods that do
/// it.
pub struct Filter {
    pub(super) pins: Pins,
    pub(super) state: State,
    /// Open links. They stay open while this process holds the filter, so that
    /// other processes can find it through `/proc/PID/fdinfo`.
    pub(super) links: Vec<OwnedFd>,
    /// True if this process created the state maps and no filter is in force yet.
    /// Then dropping the value removes the maps.
    pub(super) fresh: bool,
    /// Unused generations that stay pinned until the flows that name them are drained.
    pub(super) kept_for_flows: BTreeSet<u64>,
    /// Shape of the tries of the last generation that this process built.
    pub(super) shape: Option<Shape>,
    _lock: Lock,
}

impl Filter {
    /// Locks the pin directory and opens the state maps. Creates them if they are
    /// missing or incomplete.
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
            kept_for_flows: BTreeSet::new(),
            shape: None,
            _lock: lock,
        })
    }

    /// Path of the pin directory, with symbolic links resolved.
    #[must_use]
    pub fn pin_dir(&self) -> &Path {
        self.pins.root()
    }

    /// Opens the program that a link runs: by its pin, else by its id. The second
    /// way requires `CAP_SYS_ADMIN`.
    pub(super) fn program_of(&self, at: &HookPoint, link: &Link) -> Result<OwnedFd, Error> {
        let id = link.info(at)?.program;
        if let Some(generation) = self.pins.generation_of(at, id)? {
            return pins::open(&self.pins.program(generation, at));
        }
        if let Some(program) = self.pins.other_program(at, id)? {
            return pins::open(&program);
        }
        object::program_by_id(id)
    }

    pub(super) fn remove_link(&mut self, at: &HookPoint, link: &Link) -> Result<(), Error> {
        let mut errors = Vec::new();
        errors.extend(link.remove(&self.pins, at).err());
        errors.extend(self.state.interfaces.forget_attachment(at).err());
        Error::collect(errors)
    }

    /// Detaches all interfaces, removes every pin, and returns the names of the
    /// interfaces. Goes on after an error. The caller may call it again after an
    /// error.
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

/// Removes the state maps that this process created while no filter is in force.
/// Ignores errors, because the caller reports the error that led here.
fn leave_nothing(pins: &Pins) {
    let others = pins.other_versions();
    let _ = match others.as_deref() {
        Ok([]) => pins.remove_all(),
        _ => pins.discard_state(),
    };
}

fn open_state(pins: &Pins, fresh: bool) -> Result<State, Error> {
    if fresh {
        // An interrupted start left the state incomplete. No filter used it.
        pins.discard_state()?;
    }
    pins::create_directory(&pins.state())?;
    pins::create_directory(&pins.links())?;
    State::take(&mut object::load_state(&pins.state())?)
}
