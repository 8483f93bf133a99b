//! Where things are pinned, and who owns the place.
//!
//! ```text
//! PIN_DIR/links/<interface>                the attachments
//! PIN_DIR/v<ABI hash>/<STATE MAP>          counters and names
//! PIN_DIR/v<ABI hash>/gen-<N>/<RULESET MAP>, prog_<interface>, prev_<interface>
//! ```
//!
//! bpffs refuses dots in names, so interfaces are written in hexadecimal. The
//! links lie outside the versioned directory, so that a daemon with another ABI
//! still finds that a filter is in force.

use std::{
    fs,
    io::{self, Read as _},
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use aya::programs::ProgramInfo;
use monitor_common::ABI_HASH;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::statfs::BPF_FS_MAGIC,
};

use crate::{printable, regular_file};

use super::{
    Error,
    decode::{generation_number, is_state, linked_interface},
    sys,
};
use crate::trusted::Directory;

/// How the name of state begins that is on its way out.
const DISCARDED: &str = "discarded_";

/// Default of `--pin-dir`.
pub const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/monitor";

/// Names of what is pinned; makes nothing.
#[derive(Clone, Debug)]
pub(super) struct Pins {
    root: PathBuf,
}

impl Pins {
    /// `root` need not exist. A symbolic link on the way is followed now, so that
    /// what is removed later is what it leads to.
    pub(super) fn new(root: &Path) -> Self {
        let absolute = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        let existing = nearest_existing(&absolute);
        let root = fs::canonicalize(existing)
            .ok()
            .zip(absolute.strip_prefix(existing).ok())
            .map_or_else(|| absolute.clone(), |(real, rest)| real.join(rest));
        Self { root }
    }

    /// Whether anything is there; an error where that cannot be known.
    pub(super) fn exists(&self) -> Result<bool, Error> {
        self.root
            .try_exists()
            .map_err(failed("examine", &self.root))
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

    /// The program that decides where a generation is not confirmed.
    pub(super) fn previous(&self, generation: u64, interface: &str) -> PathBuf {
        self.generation(generation)
            .join(format!("prev_{}", hex::encode(interface)))
    }

    /// Interfaces with a pinned link, sorted. Other names are not ours.
    pub(super) fn linked_interfaces(&self) -> Result<Vec<String>, Error> {
        let mut interfaces: Vec<_> = names(&self.links())?
            .iter()
            .filter_map(|name| linked_interface(name))
            .collect();
        interfaces.sort();
        Ok(interfaces)
    }

    /// Numbers of the generations that are pinned, ascending.
    pub(super) fn generations(&self) -> Result<Vec<u64>, Error> {
        let mut numbers: Vec<_> = names(&self.state())?
            .iter()
            .filter_map(|name| generation_number(name))
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The state that versions with another ABI left here, sorted.
    pub(super) fn other_versions(&self) -> Result<Vec<PathBuf>, Error> {
        let own = self.state();
        let versions = names(&self.root)?.into_iter();
        let versions = versions.filter(|name| is_state(name));
        let mut others: Vec<_> = versions
            .map(|name| self.root.join(name))
            .filter(|version| *version != own)
            .collect();
        others.sort();
        Ok(others)
    }

    /// Where another version pinned the program of `interface` that has this id,
    /// if it does so as this one does.
    pub(super) fn other_program(&self, interface: &str, id: u32) -> Result<Option<PathBuf>, Error> {
        let program = format!("prog_{}", hex::encode(interface));
        for version in self.other_versions()? {
            for generation in names(&version)? {
                let path = version.join(generation).join(&program);
                if ProgramInfo::from_pin(&path).is_ok_and(|program| program.id() == id) {
                    return Ok(Some(path));
                }
            }
        }
        Ok(None)
    }

    /// Ids of all programs that are pinned, of every version.
    pub(super) fn program_ids(&self) -> Result<Vec<u32>, Error> {
        let mut ids = Vec::new();
        for version in names(&self.root)?.iter().filter(|name| is_state(name)) {
            let version = self.root.join(version);
            for generation in names(&version)? {
                let generation = version.join(generation);
                // Maps of the state lie beside the generations.
                if !generation.is_dir() {
                    continue;
                }
                for pin in names(&generation)? {
                    let is_program = pin.starts_with("prog_") || pin.starts_with("prev_");
                    let path = generation.join(pin);
                    ids.extend(
                        is_program
                            .then(|| ProgramInfo::from_pin(path))
                            .and_then(Result::ok)
                            .map(|program| program.id()),
                    );
                }
            }
        }
        Ok(ids)
    }

    /// Takes the state of this version out of the way in one step, then removes
    /// it: whoever is interrupted leaves all of the counters or none.
    pub(super) fn discard_state(&self) -> Result<(), Error> {
        self.discard(&self.state())?;
        self.remove_discarded()
    }

    /// The same for the state of other versions.
    pub(super) fn discard_others(&self) -> Result<(), Error> {
        for version in self.other_versions()? {
            self.discard(&version)?;
        }
        self.remove_discarded()
    }

    /// Removes what an interrupted [`Self::discard_state`] left.
    pub(super) fn remove_discarded(&self) -> Result<(), Error> {
        for name in names(&self.root)? {
            if name.starts_with(DISCARDED) {
                remove_tree(&self.root.join(name))?;
            }
        }
        Ok(())
    }

    /// Removes everything that is ours, of every version, and the directory
    /// where nothing else is in it.
    pub(super) fn remove_all(&self) -> Result<(), Error> {
        for name in names(&self.root)? {
            if is_state(&name) {
                self.discard(&self.root.join(name))?;
            }
        }
        self.remove_discarded()?;
        for directory in [self.links(), self.root.clone()] {
            match fs::remove_dir(&directory) {
                Err(source) if !is_kept(&source) => {
                    return Err(failed("remove", &directory)(source));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn discard(&self, state: &Path) -> Result<(), Error> {
        let name = state.file_name().unwrap_or_default().to_string_lossy();
        let discarded = self
            .root
            .join(format!("{DISCARDED}{name}_{}", std::process::id()));
        match fs::rename(state, discarded) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(failed("rename", state)(source))
            }
            _ => Ok(()),
        }
    }

    /// The generation whose program for `interface` has this id.
    pub(super) fn generation_of(&self, interface: &str, id: u32) -> Result<Option<u64>, Error> {
        let generations = self.generations()?;
        Ok(generations.into_iter().rev().find(|number| {
            // A swap may remove the directory meanwhile.
            ProgramInfo::from_pin(self.program(*number, interface))
                .is_ok_and(|program| program.id() == id)
        }))
    }

    /// Whether a filter or its counters are here, of whatever version.
    pub(super) fn holds_anything(&self) -> Result<bool, Error> {
        let ours = |name: &String| is_state(name) || name == "links" || name.starts_with(DISCARDED);
        Ok(names(&self.root)?.iter().any(ours))
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
    /// Locks the pin directory, which must exist.
    pub(super) fn acquire(pins: &Pins) -> Result<Self, Error> {
        loop {
            let directory = open_directory(pins.root())?;
            let lock = Flock::lock(directory, FlockArg::LockExclusiveNonblock)
                .map_err(|(directory, errno)| not_locked(pins.root(), &directory, errno))?;
            // Whoever held it may have removed the directory, and a third made it anew.
            if is_same(&lock, pins.root()) {
                return Ok(Self(lock));
            }
        }
    }
}

fn not_locked(path: &Path, directory: &OwnedFd, errno: Errno) -> Error {
    if errno != Errno::EWOULDBLOCK {
        return failed("lock", path)(errno.into());
    }
    Error::Locked {
        path: path.to_owned(),
        holder: lock_holder(directory).unwrap_or_else(|| "another process".to_owned()),
    }
}

fn is_same(directory: &OwnedFd, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let open = directory.try_clone().map(fs::File::from);
    let open = open.and_then(|directory| directory.metadata());
    open.ok().map(identity) == fs::metadata(path).ok().map(identity)
}

/// Refuses a directory whose pins another user could take away or exchange.
pub fn check_directory(path: &Path) -> Result<(), Error> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let directory = Directory {
        path: &absolute,
        purpose: "pin directory",
        option: "--pin-dir",
    };
    directory.check().map_err(|error| {
        if error.is_denied() {
            let operation = format!("examine {}", crate::printable::path(&absolute));
            return Error::Permission { operation };
        }
        error.into()
    })
}

/// Makes a directory and those above it, for root alone, on a BPF file system.
pub(super) fn create_directory(path: &Path) -> Result<(), Error> {
    let existing = nearest_existing(path);
    let file_system = nix::sys::statfs::statfs(existing)
        .map_err(|errno| failed("examine the file system of", existing)(errno.into()))?;
    if file_system.filesystem_type() != BPF_FS_MAGIC {
        return Err(Error::NotBpffs {
            path: path.to_owned(),
        });
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("create directory", path))
}

/// The path itself, or the nearest directory above it that exists.
fn nearest_existing(path: &Path) -> &Path {
    path.ancestors()
        .find(|ancestor| ancestor.exists())
        .unwrap_or(Path::new("/"))
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
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", path)(source))
        }
        _ => Ok(()),
    }
}

/// Somebody else's things are in it, it is a mount point, or it is gone already.
fn is_kept(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOTEMPTY | libc::EBUSY | libc::ENOENT)
    )
}

pub(super) fn pin(object: impl std::os::fd::AsFd, path: &Path) -> Result<(), Error> {
    sys::object_pin(object, path).map_err(failed("pin", path))
}

pub(super) fn open(path: &Path) -> Result<OwnedFd, Error> {
    sys::object_get(path).map_err(failed("open", path))
}

/// Names in a directory; none where it does not exist.
fn names(path: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed("list", path)(source)),
    };
    entries
        .map(|entry| {
            Ok(entry
                .map_err(failed("list", path))?
                .file_name()
                .to_string_lossy()
                .into_owned())
        })
        .collect()
}

fn open_directory(path: &Path) -> Result<OwnedFd, Error> {
    match regular_file::open_folder(path) {
        Ok(directory) => Ok(directory.into()),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Err(Error::NotAttached {
            path: path.to_owned(),
        }),
        Err(source) => Err(failed("open", path)(source)),
    }
}

fn failed(operation: &'static str, path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => Error::Permission {
            operation: format!("{operation} {}", printable::path(path)),
        },
        _ => Error::Pin {
            operation,
            path: path.to_owned(),
            source,
        },
    }
}

/// The process that holds the filter pinned at `pin_dir`, in words; `None` where
/// none does, or this user may not know.
#[must_use]
pub fn holder(pin_dir: &Path) -> Option<String> {
    let pins = Pins::new(pin_dir);
    lock_holder(&open_directory(pins.root()).ok()?)
}

/// Finds in `/proc/locks` (proc(5)) which process holds the lock of a directory.
#[expect(
    clippy::disallowed_methods,
    reason = "the kernel's own file neither waits nor goes on without an end"
)]
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
    // Each read goes through the list anew: what does not fit is looked for by its
    // place, and is missed where others went meanwhile. Reading begins with few
    // bytes where there is no room.
    let mut locks = String::with_capacity(1 << 16);
    let mut file = fs::File::open("/proc/locks").ok()?;
    file.read_to_string(&mut locks).ok()?;
    let pid = locks.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let held = *fields.get(1)? == "FLOCK";
        (held && *fields.get(5)? == id).then(|| fields[4].to_owned())
    })?;
    Some(describe_process(&pid))
}

/// `process 4711 (monitor)`.
pub(super) fn describe_process(pid: &str) -> String {
    match regular_file::read_kernel_text(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("process {pid} ({})", printable::value(name.trim())),
        Err(_) => format!("process {pid}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        process,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn who_holds_a_lock_is_found_while_others_come_and_go() {
        let directory = tempfile::tempdir().unwrap();
        let lock = || {
            let file = tempfile::tempfile_in(&directory).unwrap();
            Flock::lock(OwnedFd::from(file), FlockArg::LockExclusive).unwrap()
        };
        let held = lock();
        let done = AtomicBool::new(false);
        let come_and_go = || {
            while !done.load(Ordering::Relaxed) {
                let _locks = [lock(), lock(), lock()];
            }
        };
        let found = thread::scope(|scope| {
            scope.spawn(come_and_go);
            let found = (0..1_000).filter_map(|_| lock_holder(&held)).count();
            done.store(true, Ordering::Relaxed);
            found
        });
        assert_eq!(found, 1_000);
        let own = format!("process {} ", process::id());
        assert!(lock_holder(&held).unwrap().starts_with(&own));
    }
}
