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

/// Requested support of frames in several buffers (Linux 5.18). Drivers need it in native
/// mode if a frame is larger than a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FragsChoice {
    /// Only where the driver refuses native mode without it.
    #[default]
    Auto,
    /// For every interface, or for none.
    Only(bool),
}

/// How a program is attached. Both parts stay as they are for the life of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attachment {
    pub(super) mode: Mode,
    /// True if the program reads frames in several buffers.
    pub(super) frags: bool,
}

impl Attachment {
    /// `InterfaceRecord::mode`.
    pub(super) const fn code(self) -> u32 {
        match (self.mode, self.frags) {
            (Mode::Native, false) => 1,
            (Mode::Generic, false) => 2,
            (Mode::Native, true) => 3,
            (Mode::Generic, true) => 4,
            (Mode::Tcx, _) => 5,
            (Mode::Clsact, _) => 6,
        }
    }
}

/// The loaded program of one interface.
pub(super) struct Program {
    pub(super) fd: OwnedFd,
    /// True if it reads frames in several buffers.
    pub(super) frags: bool,
    /// The same program with `frags`, in case the driver refuses it without.
    pub(super) with_frags: Option<OwnedFd>,
}

/// Creates a link, and returns it with the way in which it is attached. The link is not
/// pinned, so closing it detaches the program.
pub(super) fn attach(
    interface: &Interface,
    mode: ModeChoice,
    program: &Program,
) -> Result<(OwnedFd, Attachment), Error> {
    let plain = |mode| (mode, &program.fd, program.frags);
    let with_frags = program.with_frags.as_ref();
    let with_frags = with_frags.map(|fd| (Mode::Native, fd, true));
    let attempts = match mode {
        ModeChoice::Only(Mode::Native) => [Some(plain(Mode::Native)), with_frags, None],
        ModeChoice::Only(_) => [Some(plain(Mode::Generic)), None, None],
        ModeChoice::Auto => [
            Some(plain(Mode::Native)),
            with_frags,
            Some(plain(Mode::Generic)),
        ],
    };
    let mut refused = None;
    for (mode, fd, frags) in attempts.into_iter().flatten() {
        let flags = match mode {
            Mode::Native => XDP_FLAGS_DRV_MODE,
            _ => XDP_FLAGS_SKB_MODE,
        };
        match sys::link_create(fd, interface.index, flags) {
            Ok(link) => return Ok((link, Attachment { mode, frags })),
            // Drivers refuse native mode with many error codes, also because of the MTU or
            // the number of queues.
            Err(error) => {
                let is_last = is_final(&error);
                refused = Some(attach_error(interface, mode, error));
                if is_last {
                    break;
                }
            }
        }
    }
    Err(refused.expect("there is at least one attempt"))
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
        Some(libc::ERANGE | libc::EINVAL) if mode == Mode::Native && interface.mtu > 1500 => {
            Error::LargeMtu {
                interface: name,
                mtu: interface.mtu,
                source,
            }
        }
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
