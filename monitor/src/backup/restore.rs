//! Restores a backup. Nothing is lost: what a file replaces is renamed.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, lchown},
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use jiff::{Timestamp, tz::TimeZone};
use nix::unistd::{Group, User};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{
    error::{BackupError, on},
    manifest::{Entry, FORMAT, Manifest, NAME, Part},
};
use crate::{
    new_file, printable,
    regular_file::{Purpose, RegularFile},
};

/// Size of a manifest, in bytes, that is read.
const MANIFEST: u64 = 64 << 20;

/// A backup whose hashes are right, unpacked beside the state directory.
#[derive(Debug)]
pub struct Plan {
    /// Contents of the backup.
    pub manifest: Manifest,
    /// Holds the unpacked files. Dropping it removes them.
    unpacked: TempDir,
}

/// What restoring does to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The path has the same content.
    Same,
    /// There is nothing at the path.
    New,
    /// The path has other content, which is renamed.
    Replaced,
}

/// What was restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Number of files that were written.
    pub written: usize,
    /// What was renamed: the path, and its new name.
    pub aside: Vec<(PathBuf, PathBuf)>,
}

/// Unpacks a backup, and checks every hash. Changes nothing else.
///
/// # Errors
///
/// The file is no whole backup, a later version wrote it, or the disk is full.
pub fn plan(backup: &Path) -> Result<Plan, BackupError> {
    let damaged = |why: String| BackupError::Damaged {
        path: backup.to_owned(),
        why,
    };
    let manifest = read_manifest(backup)?;
    if manifest.format > FORMAT {
        return Err(BackupError::Later {
            path: backup.to_owned(),
            found: manifest.format,
            known: FORMAT,
            program: manifest.program,
        });
    }
    if let Some(fault) = manifest.fault() {
        return Err(damaged(fault));
    }
    let beside = existing_ancestor(&manifest.state_dir);
    let unpacked = TempDir::with_prefix_in(".unfinished-", beside).map_err(on("write", beside))?;
    let mut missing: BTreeMap<String, &Entry> = manifest
        .entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.part != Part::Directory)
        .map(|(number, entry)| (Manifest::name(number), entry))
        .collect();
    let mut archive = open(backup)?;
    let read = |error: io::Error| damaged(error.to_string());
    for file in archive.entries().map_err(read)? {
        let mut file = file.map_err(read)?;
        let name = String::from_utf8_lossy(&file.path_bytes()).into_owned();
        let Some(entry) = missing.remove(&name) else {
            continue;
        };
        let target = unpacked.path().join(file_name(&name));
        // One more byte, so that the hash of a longer file differs.
        let mut source = file.by_ref().take(entry.size.saturating_add(1));
        let mut unpack = || copy(&mut source, &mut new_file::create_growing(&target)?);
        let sha256 = unpack().map_err(on("write", &target))?;
        if sha256 != entry.sha256 {
            let path = printable::path(&entry.path);
            return Err(damaged(format!("{path} in it has another SHA-256")));
        }
    }
    match missing.values().next() {
        Some(entry) => Err(damaged(format!(
            "{} is missing in it",
            printable::path(&entry.path)
        ))),
        None => Ok(Plan { manifest, unpacked }),
    }
}

impl Plan {
    /// What restoring does to each file of the config and the policies, and to the state
    /// directory as a whole.
    ///
    /// # Errors
    ///
    /// A file that is there cannot be read.
    pub fn changes(&self) -> Result<Vec<(&Path, Change)>, BackupError> {
        let mut changes = Vec::new();
        for (_, entry) in self.outside() {
            changes.push((entry.path.as_path(), change(entry)?));
        }
        if self.has_state() {
            let state = self.manifest.state_dir.as_path();
            let filled = fs::read_dir(state).is_ok_and(|mut entries| entries.next().is_some());
            let change = if filled {
                Change::Replaced
            } else {
                Change::New
            };
            changes.push((state, change));
        }
        Ok(changes)
    }

    /// Restores everything. The state directory is replaced as a whole, because a database and
    /// the log beside it belong together.
    ///
    /// # Errors
    ///
    /// The system refuses something. What was renamed before keeps its new name, which the error
    /// does not repeat: it ends in `.before-restore-` and the time.
    pub fn restore(&self, now: Timestamp) -> Result<Restored, BackupError> {
        let aside = Aside::new(now);
        let mut restored = Restored::default();
        for (number, entry) in self.outside() {
            if change(entry)? == Change::Same {
                continue;
            }
            make_parents(&entry.path)?;
            aside.put(&entry.path, &mut restored)?;
            self.put(number, entry, &entry.path)?;
            restored.written += 1;
        }
        if self.has_state() {
            let state = &self.manifest.state_dir;
            make_parents(state)?;
            let whole = self.unpacked.path().join("state");
            restored.written += self.assemble_state(&whole)?;
            aside.put(state, &mut restored)?;
            fs::rename(&whole, state).map_err(on("write", state))?;
        }
        Ok(restored)
    }

    fn has_state(&self) -> bool {
        self.numbered()
            .any(|(_, entry)| entry.part == Part::Directory)
    }

    fn numbered(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.manifest.entries.iter().enumerate()
    }

    /// The files of the config and of the policies.
    fn outside(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.numbered()
            .filter(|(_, entry)| matches!(entry.part, Part::Config | Part::Policies))
    }

    /// Makes the state directory at another place, and returns its number of files. A directory
    /// comes before its files, because the entries are sorted.
    fn assemble_state(&self, whole: &Path) -> Result<usize, BackupError> {
        let mut files = 0;
        let state = &self.manifest.state_dir;
        for (number, entry) in self.numbered() {
            let Ok(inside) = entry.path.strip_prefix(state) else {
                continue;
            };
            // Without a part, `join` would add a slash.
            let target = if inside.as_os_str().is_empty() {
                whole.to_owned()
            } else {
                whole.join(inside)
            };
            if entry.part == Part::Directory {
                DirBuilder::new()
                    .mode(0o700)
                    .create(&target)
                    .map_err(on("make", &target))?;
                belong(&target, entry)?;
            } else {
                self.put(number, entry, &target)?;
                files += 1;
            }
        }
        Ok(files)
    }

    /// Copies an unpacked file to a new place, with its owner and mode.
    fn put(&self, number: usize, entry: &Entry, target: &Path) -> Result<(), BackupError> {
        let unpacked = self
            .unpacked
            .path()
            .join(file_name(&Manifest::name(number)));
        let written = || -> io::Result<()> {
            let directory = target.parent().unwrap_or(Path::new("/"));
            let mut file = new_file::begin(directory)?;
            let mut source = RegularFile::open(&unpacked, Purpose::Capture)?.into_file();
            io::copy(&mut source, &mut file)?;
            belong(file.path(), entry).map_err(io::Error::other)?;
            new_file::put_new(file, target)
        };
        written().map_err(on("write", target))
    }
}

/// Renames what is in the way.
struct Aside {
    end: String,
}

impl Aside {
    fn new(now: Timestamp) -> Self {
        let at = now.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ");
        Self {
            end: format!(".before-restore-{at}"),
        }
    }

    fn put(&self, path: &Path, restored: &mut Restored) -> Result<(), BackupError> {
        let mut name = path.as_os_str().to_owned();
        name.push(&self.end);
        let name = PathBuf::from(name);
        match fs::rename(path, &name) {
            Ok(()) => restored.aside.push((path.to_owned(), name)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(on("rename", path)(error)),
        }
        Ok(())
    }
}

fn change(entry: &Entry) -> Result<Change, BackupError> {
    let mut file = match RegularFile::open(&entry.path, Purpose::Capture) {
        Ok(file) => file.into_file(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Change::New),
        Err(error) => return Err(on("read", &entry.path)(error)),
    };
    let sha256 = copy(&mut file, &mut io::sink()).map_err(on("read", &entry.path))?;
    Ok(if sha256 == entry.sha256 {
        Change::Same
    } else {
        Change::Replaced
    })
}

fn make_parents(path: &Path) -> Result<(), BackupError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
        .map_err(on("make", directory))
}

/// Gives a file the owner and the mode of its entry. A user or group whose name this machine does
/// not know is left out: the file then belongs to the user that restores.
fn belong(path: &Path, entry: &Entry) -> Result<(), BackupError> {
    let user = User::from_name(&entry.owner).ok().flatten();
    let user = user.map(|user| user.uid.as_raw());
    let user = user.or_else(|| entry.owner.parse().ok());
    let group = Group::from_name(&entry.group).ok().flatten();
    let group = group.map(|group| group.gid.as_raw());
    let group = group.or_else(|| entry.group.parse().ok());
    lchown(path, user, group).map_err(on("change the owner of", path))?;
    fs::set_permissions(path, Permissions::from_mode(entry.mode & 0o7777))
        .map_err(on("change the mode of", path))
}

fn open(backup: &Path) -> Result<tar::Archive<GzDecoder<File>>, BackupError> {
    let file = RegularFile::open(backup, Purpose::Capture).map_err(on("read", backup))?;
    Ok(tar::Archive::new(GzDecoder::new(file.into_file())))
}

fn read_manifest(backup: &Path) -> Result<Manifest, BackupError> {
    let damaged = |why: String| BackupError::Damaged {
        path: backup.to_owned(),
        why,
    };
    let found = || -> io::Result<Option<Vec<u8>>> {
        let mut archive = open(backup).map_err(io::Error::other)?;
        for file in archive.entries()? {
            let file = file?;
            if *file.path_bytes() == *NAME.as_bytes() {
                let mut text = Vec::new();
                file.take(MANIFEST).read_to_end(&mut text)?;
                return Ok(Some(text));
            }
        }
        Ok(None)
    };
    // The system's error for a file that is not there names it.
    RegularFile::open(backup, Purpose::Capture).map_err(on("read", backup))?;
    let text = found().map_err(|error| damaged(error.to_string()))?;
    let text = text.ok_or_else(|| damaged("it has no manifest".to_owned()))?;
    serde_json::from_slice(&text).map_err(|error| damaged(format!("its manifest: {error}")))
}

/// Copies bytes to their end. Returns their SHA-256.
fn copy(source: &mut impl io::Read, target: &mut impl io::Write) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex::encode(hash.finalize()));
        }
        hash.update(&buffer[..read]);
        target.write_all(&buffer[..read])?;
    }
}

fn file_name(name: &str) -> String {
    name.replace('/', "-")
}

/// The nearest directory above that exists. It is on the file system that the path will be on.
fn existing_ancestor(path: &Path) -> &Path {
    path.ancestors()
        .skip(1)
        .find(|directory| directory.is_dir())
        .unwrap_or(Path::new("/"))
}
