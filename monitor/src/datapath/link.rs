//! Links that attach the program to interfaces.

use std::os::fd::OwnedFd;

use super::{
    Error,
    pins::{self, Pins},
    sys,
};

/// Reads the program id and the interface index of a link.
pub(super) fn link_info(interface: &str, link: &OwnedFd) -> Result<sys::LinkInfo, Error> {
    sys::link_info(link)
        .map_err(|source| Error::system(format!("examine the link of {interface}"), source))
}

/// Detaches a link and removes its pin.
pub(super) fn remove_link(pins: &Pins, interface: &str, link: &OwnedFd) -> Result<(), Error> {
    match sys::link_detach(link) {
        // `ENOLINK`: the interface was deleted, so the kernel has already detached
        // the link.
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
