//! Network namespaces that the canary enters.

use std::{
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd},
    path::{Path, PathBuf},
    thread,
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sched::{CloneFlags, setns, unshare},
    sys::stat::Mode,
};

use crate::printable;

/// Directory of the names that `ip netns` gives.
const NAMES: &str = "/run/netns";

/// A namespace cannot be entered.
#[derive(Debug, thiserror::Error)]
#[error(
    "{what} {}: {source}; `ip netns` lists the namespaces, and root may enter them",
    printable::path(path)
)]
pub struct NamespaceError {
    what: &'static str,
    path: PathBuf,
    source: Errno,
}

/// A network namespace. It lives at least as long as this value. A namespace without a name ends
/// with this process, and its interfaces with it, also after `kill -9`.
#[derive(Debug)]
pub struct Namespace {
    descriptor: OwnedFd,
    path: PathBuf,
}

impl Namespace {
    /// The namespace of a process.
    pub fn of_process(pid: u32) -> Result<Self, NamespaceError> {
        Self::open(PathBuf::from(format!("/proc/{pid}/ns/net")))
    }

    /// The namespace with a name of `ip netns`, or with a path.
    pub fn named(name: &str) -> Result<Self, NamespaceError> {
        Self::open(Path::new(NAMES).join(name))
    }

    /// A new namespace without a name.
    pub(super) fn new() -> Result<Self, NamespaceError> {
        let path = PathBuf::from("/proc/thread-self/ns/net");
        let made = thread::scope(|scope| {
            let make = scope.spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET).map_err(|source| NamespaceError {
                    what: "make a namespace:",
                    path: path.clone(),
                    source,
                })?;
                Self::open(path.clone())
            });
            make.join()
        });
        made.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn open(path: PathBuf) -> Result<Self, NamespaceError> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        match open(&path, flags, Mode::empty()) {
            Ok(descriptor) => Ok(Self { descriptor, path }),
            Err(source) => Err(NamespaceError {
                what: "open the namespace",
                path,
                source,
            }),
        }
    }

    /// Runs `work` on a thread inside the namespace.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NamespaceError> {
        let done = thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(self.descriptor.as_fd(), CloneFlags::CLONE_NEWNET).map_err(|source| {
                    NamespaceError {
                        what: "enter the namespace",
                        path: self.path.clone(),
                        source,
                    }
                })?;
                Ok(work())
            });
            inside.join()
        });
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Number of the descriptor, for a message to the kernel.
    pub(super) fn number(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}
