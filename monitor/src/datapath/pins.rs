//! Where things are pinned, and who owns the place.
//!
//! ```text
//! PIN_DIR/links/<interface>                the attachments
//! PIN_DIR/v<ABI hash>/<STATE MAP>          counters and names
//! PIN_DIR/v<ABI hash>/gen-<N>/<RULESET MAP>, prog_<interface>
//! ```
//!
//! bpffs refuses dots in names, so interfaces are written in hexadecimal. The
//! links lie outside the versioned directory, so that a daemon with another ABI
//! still finds that a filter is in force.

use std::{
    fs, io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use monitor_common::ABI_HASH;
use nix::{
    fcntl::{Flock, FlockArg},
    sys::statfs::{BPF_FS_MAGIC, fstatfs},
};

use super::{Error, sys};

/// Default of `--pin-dir`.
pub const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/monitor";

/// Names of what is pinned; makes nothing.
#[derive(Clone, Debug)]
pub(super) struct Pins {
    root: PathBuf,
}

impl Pins {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn links(&self) -> PathBuf {
        self.root.join("links")
    }

    pub(super) fn link(&self, interface: &str) -> PathBuf {
        self.links().join(hex::encode(interface))
    }

    pub(super) fn state(&self) -> PathBuf {
        self.root.join(format!("v{ABI_HASH:016x}"))
    }

    pub(super) fn generation(&self, number: u64) -> PathBuf {
        self.state().join(format!("gen-{number}"))
    }

    pub(super) fn program(&self, generation: u64, interface: &str) -> PathBuf {
        self.generation(generation)
            .join(format!("prog_{}", hex::encode(interface)))
    }

    /// Interfaces with a pinned link, sorted.
    pub(super) fn linked_interfaces(&self) -> Result<Vec<String>, Error> {
        let mut interfaces: Vec<_> = names(&self.links())?
            .iter()
            .filter_map(|name| String::from_utf8(hex::decode(name).ok()?).ok())
            .collect();
        interfaces.sort();
        Ok(interfaces)
    }

    /// Numbers of the generations that are pinned, ascending.
    pub(super) fn generations(&self) -> Result<Vec<u64>, Error> {
        let mut numbers: Vec<_> = names(&self.state())?
            .iter()
            .filter_map(|name| name.strip_prefix("gen-")?.parse().ok())
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Whether a version with another ABI left its state here.
    pub(super) fn has_other_version(&self) -> Result<bool, Error> {
        let own = format!("v{ABI_HASH:016x}");
        let versions = names(&self.root)?;
        Ok(versions
            .iter()
            .any(|name| name.starts_with('v') && *name != own))
    }

    pub(super) fn remove_generation(&self, number: u64) -> Result<(), Error> {
        remove_tree(&self.generation(number))
    }
}

/// The right to change what is pinned: at most one process has it.
#[derive(Debug)]
pub(super) struct Lock(
    #[expect(dead_code, reason = "dropping it gives the lock back")] Flock<OwnedFd>,
);

impl Lock {
    /// Makes the pin directory where it is missing, and locks it.
    pub(super) fn acquire(pins: &Pins) -> Result<Self, Error> {
        create_directory(pins.root())?;
        let directory = open_directory(pins.root())?;
        Flock::lock(directory, FlockArg::LockExclusiveNonblock)
            .map(Self)
            .map_err(|(directory, _)| Error::Locked {
                path: pins.root().to_owned(),
                holder: lock_holder(&directory).unwrap_or_else(|| "another process".to_owned()),
            })
    }
}

/// Makes a directory and those above it, on a BPF file system.
pub(super) fn create_directory(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => Error::Permission {
            operation: format!("create directory {}", path.display()),
        },
        _ => Error::Pin {
            operation: "create directory",
            path: path.to_owned(),
            source,
        },
    })?;
    let directory = open_directory(path)?;
    let file_system = fstatfs(directory.as_fd()).map_err(|errno| Error::Pin {
        operation: "examine the file system of",
        path: path.to_owned(),
        source: errno.into(),
    })?;
    if file_system.filesystem_type() != BPF_FS_MAGIC {
        // Made above, and of no use: leave no trace. Fails where it was there before and is in use.
        let _ = fs::remove_dir(path);
        return Err(Error::NotBpffs {
            path: path.to_owned(),
        });
    }
    Ok(())
}

/// Unlinks everything under `path`. What is missing already is no error.
pub(super) fn remove_tree(path: &Path) -> Result<(), Error> {
    removed(path, fs::remove_dir_all(path))
}

/// Unlinks one pin. What is missing already is no error.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    removed(path, fs::remove_file(path))
}

fn removed(path: &Path, result: io::Result<()>) -> Result<(), Error> {
    match result {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Pin {
            operation: "remove",
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

pub(super) fn pin(object: impl std::os::fd::AsFd, path: &Path) -> Result<(), Error> {
    sys::object_pin(object, path).map_err(|source| Error::Pin {
        operation: "pin",
        path: path.to_owned(),
        source,
    })
}

pub(super) fn open(path: &Path) -> Result<OwnedFd, Error> {
    sys::object_get(path).map_err(|source| match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => Error::Permission {
            operation: format!("open {}", path.display()),
        },
        _ => Error::Pin {
            operation: "open",
            path: path.to_owned(),
            source,
        },
    })
}

/// Names in a directory; none where it does not exist.
fn names(path: &Path) -> Result<Vec<String>, Error> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::PermissionDenied => Error::Permission {
            operation: format!("list {}", path.display()),
        },
        _ => Error::Pin {
            operation: "list",
            path: path.to_owned(),
            source,
        },
    };
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    entries
        .map(|entry| {
            Ok(entry
                .map_err(failed)?
                .file_name()
                .to_string_lossy()
                .into_owned())
        })
        .collect()
}

fn open_directory(path: &Path) -> Result<OwnedFd, Error> {
    let directory = fs::File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => Error::Permission {
            operation: format!("open {}", path.display()),
        },
        _ => Error::Pin {
            operation: "open",
            path: path.to_owned(),
            source,
        },
    })?;
    Ok(directory.into())
}

/// Finds in `/proc/locks` (proc(5)) which process holds the lock of a directory.
fn lock_holder(directory: &OwnedFd) -> Option<String> {
    let metadata = fs::File::from(directory.try_clone().ok()?)
        .metadata()
        .ok()?;
    let device = metadata.dev();
    let id = format!(
        "{:02x}:{:02x}:{}",
        nix::sys::stat::major(device),
        nix::sys::stat::minor(device),
        metadata.ino()
    );
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let pid = locks.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let held = *fields.get(1)? == "FLOCK";
        (held && *fields.get(5)? == id).then(|| fields[4].to_owned())
    })?;
    Some(describe_process(&pid))
}

/// `process 4711 (monitor)`.
pub(super) fn describe_process(pid: &str) -> String {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("process {pid} ({})", name.trim()),
        Err(_) => format!("process {pid}"),
    }
}
