//! Paths of the pinned links, maps and programs.
//!
//! ```text
//! PIN_DIR/links/<interface>                the link that attaches the filter at XDP
//! PIN_DIR/links/<interface>_egress         the link of the classifier
//! PIN_DIR/v<ABI hash>/<STATE MAP>          counters and names
//! PIN_DIR/v<ABI hash>/evidence-<hash>/<EVIDENCE MAP>   flows
//! PIN_DIR/v<ABI hash>/gen-<N>/<RULESET MAP>, prog_<interface>, prev_<interface>
//! ```
//!
//! bpffs refuses dots in names, so interfaces are written in hexadecimal. The
//! links lie outside the versioned directory, so that a daemon with another ABI
//! still finds that a filter is in force.

use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt as _},
    path::{Path, PathBuf},
};

use aya::programs::ProgramInfo;
use monitor_common::{ABI_HASH, evidence::EVIDENCE_HASH};
use nix::sys::statfs::BPF_FS_MAGIC;

use super::{
    Error,
    clsact_mark::ClsactMark,
    decode::{generation_number, is_state, linked_interface},
    hook::{Hook, HookPoint},
    sys,
};
use crate::{printable, trusted::Directory};

/// Prefix of the name of a state directory that is being removed.
const DISCARDED: &str = "discarded_";

/// Default of `--pin-dir`.
pub const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/monitor";

/// A pin directory. Computes paths, lists pins and removes them; creates nothing.
#[derive(Clone, Debug)]
pub(super) struct Pins {
    root: PathBuf,
}

impl Pins {
    /// Resolves symbolic links in `root` now, so that later removals change the
    /// directory that they lead to now. `root` need not exist.
    pub(super) fn new(root: &Path) -> Self {
        let absolute = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        let existing = nearest_existing(&absolute);
        let root = fs::canonicalize(existing)
            .ok()
            .zip(absolute.strip_prefix(existing).ok())
            .map_or_else(|| absolute.clone(), |(real, rest)| real.join(rest));
        Self { root }
    }

    /// True if the pin directory exists. Returns an error if that cannot be
    /// determined.
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

    pub(super) fn link(&self, at: &HookPoint) -> PathBuf {
        self.links().join(pin_name(at))
    }

    pub(super) fn state(&self) -> PathBuf {
        self.root.join(format!("v{ABI_HASH:016x}"))
    }

    /// Directory of the evidence maps.
    pub(super) fn evidence(&self) -> PathBuf {
        self.state().join(format!("evidence-{EVIDENCE_HASH:016x}"))
    }

    pub(super) fn generation(&self, number: u64) -> PathBuf {
        self.state().join(format!("gen-{number}"))
    }

    pub(super) fn program(&self, generation: u64, at: &HookPoint) -> PathBuf {
        self.generation(generation)
            .join(format!("prog_{}", pin_name(at)))
    }

    /// Path of the program that decides at a hook if the generation is not confirmed in
    /// time.
    pub(super) fn previous(&self, generation: u64, at: &HookPoint) -> PathBuf {
        self.generation(generation)
            .join(format!("prev_{}", pin_name(at)))
    }

    /// Hooks with a kept link, sorted. Skips file names that do not encode an interface
    /// name.
    pub(super) fn linked(&self) -> Result<Vec<HookPoint>, Error> {
        let mut linked: Vec<_> = names(&self.links())?
            .iter()
            .filter_map(|name| {
                let marked = ClsactMark::of(name).map(|mark| mark.at);
                marked.or_else(|| hook_point(name))
            })
            .collect();
        linked.sort();
        linked.dedup();
        Ok(linked)
    }

    /// Names of the interfaces with a pinned link at ingress, sorted.
    pub(super) fn linked_interfaces(&self) -> Result<Vec<String>, Error> {
        let linked = self.linked()?.into_iter();
        let ingress = linked.filter(|at| at.hook == Hook::Ingress);
        Ok(ingress.map(|at| at.interface).collect())
    }

    /// Numbers of the pinned generations, ascending.
    pub(super) fn generations(&self) -> Result<Vec<u64>, Error> {
        let mut numbers: Vec<_> = names(&self.state())?
            .iter()
            .filter_map(|name| generation_number(name))
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// State directories of versions with another ABI, sorted.
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

    /// Path at which another version pinned the program at a hook with this id. `None` if there is none, or if that version uses other names for its
    /// pins.
    pub(super) fn other_program(&self, at: &HookPoint, id: u32) -> Result<Option<PathBuf>, Error> {
        let program = format!("prog_{}", pin_name(at));
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

    /// Ids of all pinned programs, of every version.
    pub(super) fn program_ids(&self) -> Result<Vec<u32>, Error> {
        let mut ids = Vec::new();
        for version in names(&self.root)?.iter().filter(|name| is_state(name)) {
            let version = self.root.join(version);
            for generation in names(&version)? {
                let generation = version.join(generation);
                // The state maps lie beside the directories of the generations.
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

    /// Renames the state directory of this version, then removes it. The rename is
    /// one step, so an interrupted process leaves all of the counters or none.
    pub(super) fn discard_state(&self) -> Result<(), Error> {
        self.discard(&self.state())?;
        self.remove_discarded()
    }

    /// Removes the state directories of other versions in the same way.
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

    /// Removes the state of every version. Then removes the directory of the links
    /// and the pin directory, unless they are still in use.
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

    /// Number of the newest generation whose program at a hook has this id.
    pub(super) fn generation_of(&self, at: &HookPoint, id: u32) -> Result<Option<u64>, Error> {
        let generations = self.generations()?;
        Ok(generations.into_iter().rev().find(|number| {
            // A swap may remove the directory meanwhile.
            ProgramInfo::from_pin(self.program(*number, at)).is_ok_and(|program| program.id() == id)
        }))
    }

    /// True if a filter or counters of any version are pinned here.
    pub(super) fn holds_anything(&self) -> Result<bool, Error> {
        let ours = |name: &String| is_state(name) || name == "links" || name.starts_with(DISCARDED);
        Ok(names(&self.root)?.iter().any(ours))
    }

    pub(super) fn remove_generation(&self, number: u64) -> Result<(), Error> {
        remove_tree(&self.generation(number))
    }
}

/// Mark behind the interface's name in pins of the egress hook.
const EGRESS: &str = "_egress";

/// Name of a hook in pins.
pub(super) fn pin_name(at: &HookPoint) -> String {
    let interface = hex::encode(&at.interface);
    match at.hook {
        Hook::Ingress => interface,
        Hook::Egress => interface + EGRESS,
    }
}

/// The inverse of [`pin_name`].
pub(super) fn hook_point(pin: &str) -> Option<HookPoint> {
    let (interface, hook) = match pin.strip_suffix(EGRESS) {
        Some(interface) => (interface, Hook::Egress),
        None => (pin, Hook::Ingress),
    };
    let interface = linked_interface(interface)?;
    Some(HookPoint { interface, hook })
}

/// Refuses a directory in which another user could remove or replace pins.
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

/// Creates a directory and its missing parents with mode 0700. Returns an error if
/// the path is not on a BPF file system.
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

/// Removes `path` and everything under it. A missing `path` is no error.
pub(super) fn remove_tree(path: &Path) -> Result<(), Error> {
    removed(path, fs::remove_dir_all(path))
}

/// Removes one pin. A missing pin is no error.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    removed(path, fs::remove_file(path))
}

pub(super) fn removed(path: &Path, result: io::Result<()>) -> Result<(), Error> {
    match result {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", path)(source))
        }
        _ => Ok(()),
    }
}

/// True if a directory cannot be removed for a harmless reason: it is not empty, it
/// is a mount point, or it does not exist.
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

/// Names in a directory; empty if the directory does not exist.
pub(super) fn names(path: &Path) -> Result<Vec<String>, Error> {
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

pub(super) fn failed(operation: &'static str, path: &Path) -> impl Fn(io::Error) -> Error {
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
