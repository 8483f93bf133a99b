//! What attaches a program at a hook: a link of the kernel, or, at the egress on kernels
//! without links for classifiers, a filter of the queueing discipline `clsact`.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use super::{
    Error,
    attach::{ModeChoice, Program},
    clsact,
    hook::HookPoint,
    interfaces::Interface,
    pins::{self, Pins},
    sys::{self, LinkInfo},
};
use crate::snapshot::Mode;

/// What attaches a program at a hook.
#[derive(Debug)]
pub(super) enum Link {
    /// A link. A pin keeps it.
    Bpf(OwnedFd),
    /// A filter of `clsact` on the interface with this index. The kernel keeps it without a
    /// process. A directory beside the pins of links says that it belongs to this filter.
    Clsact(u32),
}

impl Link {
    /// The kept link of a hook.
    pub(super) fn open(pins: &Pins, at: &HookPoint) -> Result<Self, Error> {
        match pins.clsact(at)? {
            Some(index) => Ok(Self::Clsact(index)),
            None => pins::open(&pins.link(at)).map(Self::Bpf),
        }
    }

    /// Attaches a classifier to the egress of an interface: by a link, or by `clsact` if
    /// `mode` says so or the kernel has no such links (before Linux 6.6).
    pub(super) fn create_at_egress(
        pins: &Pins,
        at: &HookPoint,
        interface: &Interface,
        program: &Program,
        mode: ModeChoice,
    ) -> Result<(Self, Mode), Error> {
        let created = if mode == ModeChoice::Only(Mode::Clsact) {
            Err(io::Error::from_raw_os_error(libc::EINVAL))
        } else {
            sys::tcx_create(&program.fd, interface.index)
        };
        let failed = |mode: Mode| {
            let name = interface.name.clone();
            move |source: io::Error| match source.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => Error::Permission {
                    operation: format!("attach a classifier to the egress of {name}"),
                },
                _ => Error::Attach {
                    interface: name,
                    mode: mode.name(),
                    source,
                },
            }
        };
        match created {
            Ok(link) => Ok((Self::Bpf(link), Mode::Tcx)),
            // The kernel does not know this kind of link.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                // The mark comes first: then a daemon that is killed meanwhile leaves no filter
                // without a mark.
                pins.mark_clsact(at, interface.index)?;
                let created = clsact::create(interface.index, program.fd.as_fd());
                let link = Self::Clsact(interface.index);
                if created.is_err() {
                    // Report the first error, and ignore errors of the removal.
                    let _ = pins.unmark_clsact(at);
                }
                created.map_err(failed(Mode::Clsact))?;
                Ok((link, Mode::Clsact))
            }
            Err(error) => Err(failed(Mode::Tcx)(error)),
        }
    }

    /// Keeps a new link without this process.
    pub(super) fn keep(&self, pins: &Pins, at: &HookPoint) -> Result<(), Error> {
        match self {
            Self::Bpf(link) => pins::pin(link, &pins.link(at)),
            Self::Clsact(_) => Ok(()),
        }
    }

    /// Reads the program id, and the interface index: 0 if the interface was deleted, or if the
    /// filter of `clsact` was removed.
    pub(super) fn info(&self, at: &HookPoint) -> Result<LinkInfo, Error> {
        let info = match self {
            Self::Bpf(link) => sys::link_info(link),
            Self::Clsact(index) => clsact::program(*index).map(|program| LinkInfo {
                program: program.unwrap_or(0),
                ifindex: program.map_or(0, |_| *index),
            }),
        };
        info.map_err(|source| {
            Error::system(format!("examine the link of {}", at.interface), source)
        })
    }

    /// Replaces the program `old` by `new` in one step. Fails with `EPERM` if another program
    /// than `old` runs.
    pub(super) fn update(&self, new: &OwnedFd, old: &OwnedFd) -> io::Result<()> {
        match self {
            Self::Bpf(link) => sys::link_update(link, new, old),
            Self::Clsact(index) => {
                // Only this daemon uses the filter, because it holds the lock of the pins. So the
                // program does not change between the check and the replacement.
                match clsact::program(*index)? {
                    None => Err(io::Error::from_raw_os_error(libc::ENOLINK)),
                    Some(program) if program == sys::program_id(old)? => {
                        clsact::replace(*index, new.as_fd())
                    }
                    Some(_) => Err(io::Error::from_raw_os_error(libc::EPERM)),
                }
            }
        }
    }

    /// Detaches the program and removes the pin.
    pub(super) fn remove(&self, pins: &Pins, at: &HookPoint) -> Result<(), Error> {
        let removed = match self {
            Self::Bpf(link) => match sys::link_detach(link) {
                // `ENOLINK`: the interface was deleted, so the kernel has already detached
                // the link.
                Err(source) if source.raw_os_error() == Some(libc::ENOLINK) => Ok(()),
                removed => removed,
            },
            Self::Clsact(index) => clsact::remove(*index),
        };
        removed.map_err(|source| {
            Error::system(format!("detach the filter from {}", at.interface), source)
        })?;
        match self {
            Self::Bpf(_) => pins::remove(&pins.link(at)),
            Self::Clsact(_) => pins.unmark_clsact(at),
        }
    }

    pub(super) fn try_clone(&self) -> Result<Self, Error> {
        match self {
            Self::Bpf(link) => {
                let link = link.try_clone();
                link.map(Self::Bpf)
                    .map_err(|source| Error::system("duplicate a descriptor", source))
            }
            Self::Clsact(index) => Ok(Self::Clsact(*index)),
        }
    }

    /// The descriptor of the link, if there is one.
    pub(super) fn into_fd(self) -> Option<OwnedFd> {
        match self {
            Self::Bpf(link) => Some(link),
            Self::Clsact(_) => None,
        }
    }
}
