//! Detaches a filter and removes its pins.

use std::path::Path;

use super::{
    Error, holder,
    interfaces::{self, Interface},
    link::Link,
    lock::Lock,
    object,
    pins::Pins,
    sys,
};

/// Detaches every pinned filter, of any version, and removes every pin. Returns the
/// names of the detached interfaces.
pub fn detach(pin_dir: &Path) -> Result<Vec<String>, Error> {
    let pins = Pins::new(pin_dir);
    let _lock = Lock::acquire(&pins).map_err(|error| pinned_elsewhere(&pins, error))?;
    if !pins.holds_anything()? {
        let error = Error::NotAttached {
            path: pins.root().to_owned(),
        };
        return Err(pinned_elsewhere(&pins, error));
    }
    detach_all(&pins)
}

/// Does the same as [`detach`], for a caller that holds the lock. Goes on after an
/// error, and returns all errors at the end. If an interface still runs one of the
/// programs, the pins stay, because the next call identifies the programs by them.
pub(super) fn detach_all(pins: &Pins) -> Result<Vec<String>, Error> {
    let linked = pins.linked()?;
    let mut ours = pins.program_ids()?;
    let mut errors = Vec::new();
    for at in &linked {
        let removed = Link::open(pins, at).and_then(|link| {
            ours.push(link.info(at)?.program);
            link.remove(pins, at)
        });
        errors.extend(removed.err());
    }
    if errors.is_empty() {
        errors.extend(still_runs(pins, &ours).err());
    }
    if errors.is_empty() {
        errors.extend(pins.remove_all().err());
    }
    let mut interfaces: Vec<_> = linked.into_iter().map(|at| at.interface).collect();
    interfaces.dedup();
    Error::collect(errors).map(|()| interfaces)
}

/// Returns an error for each interface of this network namespace that still runs
/// one of these programs. Its link is pinned elsewhere, or another process holds
/// it.
fn still_runs(pins: &Pins, ours: &[u32]) -> Result<(), Error> {
    let errors = listed()?.into_iter().filter_map(|interface| {
        let program = interface.program.filter(|program| ours.contains(program))?;
        Some(Error::StillRuns {
            way: way_out(program),
            interface: interface.name,
            program,
            path: pins.links(),
        })
    });
    Error::collect(errors.collect())
}

/// Replaces the error `NotAttached` if an interface runs a filter of this program
/// nevertheless. The new error names that interface. Returns `error` unchanged if
/// this user may not list programs.
fn pinned_elsewhere(pins: &Pins, error: Error) -> Error {
    if !matches!(error, Error::NotAttached { .. }) {
        return error;
    }
    let interfaces = listed().unwrap_or_default();
    let found = interfaces.into_iter().find_map(|interface| {
        let program = interface.program?;
        let found = holder::program_name(program);
        let is_ours = found.as_deref().is_some_and(object::is_own_name);
        is_ours.then_some((interface.name, program))
    });
    match found {
        None => error,
        Some((interface, program)) => Error::PinnedElsewhere {
            path: pins.root().to_owned(),
            way: way_out(program),
            interface,
            program,
        },
    }
}

fn listed() -> Result<Vec<Interface>, Error> {
    interfaces::list().map_err(|source| Error::system("list network interfaces", source))
}

/// Tells the operator how to detach a program whose pin is unknown.
fn way_out(program: u32) -> String {
    let process = holder::process_with_program(program)
        .map_or_else(String::new, |process| format!("It is held by {process}. "));
    match sys::link_of_program(program) {
        Ok(Some(link)) => {
            format!(
                "{process}End it with `bpftool link detach id {link}` (Debian package bpftool)."
            )
        }
        // Listing links requires CAP_SYS_ADMIN.
        Ok(None) | Err(_) => format!(
            "{process}As root, `bpftool link` shows its link by the program id, and `bpftool link detach id …` ends it."
        ),
    }
}
