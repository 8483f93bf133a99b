//! Attaches a program to an interface by a link.

use std::{io, os::fd::OwnedFd};

use super::{
    Error, holder,
    interfaces::{self, Interface},
    sys,
};
use crate::snapshot::Mode;

// Values of the kernel's uapi header if_link.h.
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// Requested mode of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModeChoice {
    /// Native mode if the driver supports it, else generic mode.
    #[default]
    Auto,
    /// This mode, or else an error.
    Only(Mode),
}

/// Creates a link, and returns it with its mode. The link is not pinned, so closing
/// it detaches the program.
pub(super) fn attach(
    interface: &Interface,
    mode: ModeChoice,
    program: &OwnedFd,
) -> Result<(OwnedFd, Mode), Error> {
    let create = |mode| {
        let flags = match mode {
            Mode::Native => XDP_FLAGS_DRV_MODE,
            Mode::Generic => XDP_FLAGS_SKB_MODE,
        };
        sys::link_create(program, interface.index, flags).map(|link| (link, mode))
    };
    let (result, mode) = match mode {
        ModeChoice::Only(mode) => (create(mode), mode),
        ModeChoice::Auto => match create(Mode::Native) {
            // Drivers refuse with many error codes, also because of the MTU or the
            // number of queues.
            Err(error) if !is_final(&error) => (create(Mode::Generic), Mode::Generic),
            result => (result, Mode::Native),
        },
    };
    result.map_err(|source| attach_error(interface, mode, source))
}

/// True if the kernel would refuse the other mode too.
fn is_final(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EBUSY | libc::EEXIST | libc::EPERM | libc::EACCES | libc::ENODEV)
    )
}

fn attach_error(interface: &Interface, mode: Mode, source: io::Error) -> Error {
    let name = interface.name.clone();
    match source.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => holder::occupied(interface),
        Some(libc::EOPNOTSUPP) if mode == Mode::Native => Error::NoNativeMode {
            interface: name,
            source,
        },
        Some(libc::EPERM | libc::EACCES) => Error::Permission {
            operation: format!("attach XDP to {name}"),
        },
        _ => Error::Attach {
            interface: name,
            mode: mode.name(),
            source,
        },
    }
}

/// Result of looking up interfaces by name.
#[derive(Clone, Debug)]
pub(super) struct AttachedProgram {
    /// Interfaces that exist, in the order of the names.
    pub(super) present: Vec<Interface>,
    /// Names without an interface.
    pub(super) absent: Vec<String>,
    /// Every interface of this network namespace.
    pub(super) all: Vec<Interface>,
}

/// Looks up every name. Returns an error if a bridge and one of its ports are both
/// named.
pub(super) fn find_interfaces(names: &[String]) -> Result<AttachedProgram, Error> {
    let all =
        interfaces::list().map_err(|source| Error::system("list network interfaces", source))?;
    let mut found = AttachedProgram {
        present: Vec::new(),
        absent: Vec::new(),
        all,
    };
    for name in names {
        match found.all.iter().find(|interface| interface.name == *name) {
            Some(interface) => found.present.push(interface.clone()),
            None => found.absent.push(name.clone()),
        }
    }
    refuse_bridge_and_port(&found.present)?;
    Ok(found)
}

fn refuse_bridge_and_port(interfaces: &[Interface]) -> Result<(), Error> {
    for port in interfaces {
        let bridge = interfaces
            .iter()
            .find(|bridge| port.controller == Some(bridge.index));
        if let Some(bridge) = bridge {
            return Err(Error::BridgeAndPort {
                port: port.name.clone(),
                bridge: bridge.name.clone(),
            });
        }
    }
    Ok(())
}
