//! Out of force, and out of the way.

use std::{os::fd::OwnedFd, path::Path};

use super::{
    Error,
    pins::{self, Lock, Pins},
    sys,
};

/// Detaches what is pinned, of whatever version, and removes every pin.
/// Returns the interfaces that were detached.
pub fn detach(pin_dir: &Path) -> Result<Vec<String>, Error> {
    let pins = Pins::new(pin_dir);
    let _lock = Lock::acquire(&pins)?;
    if !pins.holds_anything()? {
        return Err(Error::NotAttached {
            path: pins.root().to_owned(),
        });
    }
    detach_all(&pins)
}

/// The same, by whoever holds the lock. Errors do not stop it.
pub(super) fn detach_all(pins: &Pins) -> Result<Vec<String>, Error> {
    let interfaces = pins.linked_interfaces()?;
    let mut errors = Vec::new();
    for interface in &interfaces {
        let removed =
            pins::open(&pins.link(interface)).and_then(|link| remove_link(pins, interface, &link));
        errors.extend(removed.err());
    }
    if errors.is_empty() {
        errors.extend(pins.remove_all().err());
    }
    Error::collect(errors).map(|()| interfaces)
}

/// Detaches one link and removes its pin.
pub(super) fn remove_link(pins: &Pins, interface: &str, link: &OwnedFd) -> Result<(), Error> {
    match sys::link_detach(link) {
        // The interface was deleted, and the kernel detached by itself.
        Err(source) if source.raw_os_error() != Some(libc::ENOLINK) => {
            return Err(Error::system(
                format!("detach XDP from {interface}"),
                source,
            ));
        }
        _ => {}
    }
    pins::remove(&pins.link(interface))
}
