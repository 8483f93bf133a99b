//! Interface and program → link.

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

/// Which hook an interface shall use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModeChoice {
    /// The driver's where it has one, else generic.
    #[default]
    Auto,
    /// This one, or an error.
    Only(Mode),
}

/// Makes a link, and says in which mode. It is not pinned: closing it detaches.
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
            // Drivers refuse with many words, also for this MTU or these queues.
            Err(error) if !is_final(&error) => (create(Mode::Generic), Mode::Generic),
            result => (result, Mode::Native),
        },
    };
    result.map_err(|source| attach_error(interface, mode, source))
}

/// Whether the other mode would be refused as well.
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

/// The interfaces of some names.
#[derive(Clone, Debug)]
pub(super) struct AttachedProgram {
    /// Those that are there, in the order of the names.
    pub(super) present: Vec<Interface>,
    /// Names of which there is none.
    pub(super) absent: Vec<String>,
    /// Every interface of this network namespace.
    pub(super) all: Vec<Interface>,
}

/// Looks up every name, before anything is changed.
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
