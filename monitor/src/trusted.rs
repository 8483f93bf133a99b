//! Checks that no other user can replace a directory or write to it.
//!
//! The daemon keeps its pins, its state and its sockets in directories. If another
//! user can write to such a directory, or rename a directory above it, that user could
//! remove the filter's links or answer in place of the daemon.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
};

use nix::unistd::{Uid, User, geteuid};

/// Maximum number of symbolic links on the path to a directory, as in
/// `path_resolution(7)`.
const MAX_LINKS: usize = 40;

/// The bits of write permission for group and others.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The sticky bit of a directory. If it is set, only the owner of an entry or of the
/// directory can rename or remove the entry.
const STICKY: u32 = 0o1000;

/// A directory that other users may change.
#[derive(Debug, thiserror::Error)]
#[error(
    "the {purpose} {} is not safe: {problem}; or choose another directory with {option}",
    crate::printable::path(path)
)]
pub struct UntrustedError {
    /// The purpose of the directory, such as `pin directory`.
    purpose: &'static str,
    /// The command-line option that sets the directory, such as `--pin-dir`.
    option: &'static str,
    /// The path as given.
    path: PathBuf,
    /// The reason. Boxed, because many functions return this error in their result.
    problem: Box<Problem>,
}

impl UntrustedError {
    /// Returns true if this user has no right to examine a part of the path.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(&*self.problem, Problem::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// The reason why a directory is not safe. `part` is the directory or symbolic link on
/// the path that causes it.
#[derive(Debug, thiserror::Error)]
enum Problem {
    /// The part belongs to another user.
    #[error(
        "{} belongs to {owner} (mode {mode:04o}), but this program runs as {me}; change its owner with `chown -h {me} {}`",
        crate::printable::path(part),
        crate::printable::path(part)
    )]
    Owner {
        part: PathBuf,
        owner: String,
        mode: u32,
        me: String,
    },
    /// Group or others may write to the part.
    #[error(
        "other users may write to {} (owner {owner}, mode {mode:04o}); remove that permission with `chmod go-w {}`",
        crate::printable::path(part),
        crate::printable::path(part)
    )]
    Writable {
        part: PathBuf,
        owner: String,
        mode: u32,
    },
    /// The part cannot be examined.
    #[error("examine {}: {source}", crate::printable::path(part))]
    Io { part: PathBuf, source: io::Error },
}

/// A directory that must be safe.
#[derive(Clone, Copy, Debug)]
pub struct Directory<'a> {
    /// The absolute path. The directory need not exist.
    pub path: &'a Path,
    /// The purpose of the directory for error messages, such as `pin directory`.
    pub purpose: &'static str,
    /// The command-line option that sets the directory, for error messages, such as
    /// `--pin-dir`.
    pub option: &'static str,
}

impl Directory<'_> {
    /// Checks every directory and symbolic link from `/` down to this directory, as
    /// `sshd` does for a user's files.
    ///
    /// - The owner must be root, or the user as which this program runs.
    /// - Neither group nor others may have write permission. A directory *above* this one
    ///   may be writable if it is sticky, as `/tmp` is, because there only the owner of
    ///   an entry can rename it. If an access control list lets others write, the bits of
    ///   the group show it (`acl(5)`).
    ///
    /// The check ends at the first part that does not exist, because this program
    /// creates it. Call the check again after that, because another user may have
    /// created it first.
    pub fn check(&self) -> Result<(), UntrustedError> {
        let mut ahead: VecDeque<OsString> = parts(self.path).collect();
        let mut here = PathBuf::from("/");
        let mut links = 0;
        loop {
            let Some(found) = self.look(&here)? else {
                return Ok(());
            };
            self.check_owner(&here, &found)?;
            if found.is_symlink() {
                links += 1;
                if links > MAX_LINKS {
                    return Err(self.io(&here, io::Error::from_raw_os_error(libc::ELOOP)));
                }
                let target = fs::read_link(&here).map_err(|source| self.io(&here, source))?;
                for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                    ahead.push_front(part);
                }
                here.pop();
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                // Checks `here` before going on. If the link leads to `.` or `/`, `here` may
                // already be the last directory of the path.
                continue;
            }
            self.check_mode(&here, &found, ahead.is_empty())?;
            match ahead.pop_front() {
                None => return Ok(()),
                Some(part) if part == *".." => drop(here.pop()),
                Some(part) => here.push(part),
            }
        }
    }

    fn look(&self, part: &Path) -> Result<Option<fs::Metadata>, UntrustedError> {
        match fs::symlink_metadata(part) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.io(part, source)),
        }
    }

    fn check_owner(&self, part: &Path, found: &fs::Metadata) -> Result<(), UntrustedError> {
        if found.uid() == 0 || found.uid() == geteuid().as_raw() {
            return Ok(());
        }
        Err(self.unsafe_because(Problem::Owner {
            part: part.to_owned(),
            owner: user(found.uid()),
            mode: found.mode() & 0o7777,
            me: user(geteuid().as_raw()),
        }))
    }

    fn check_mode(
        &self,
        part: &Path,
        found: &fs::Metadata,
        is_last: bool,
    ) -> Result<(), UntrustedError> {
        let mode = found.mode() & 0o7777;
        let is_safe = mode & WRITABLE_BY_OTHERS == 0 || (mode & STICKY != 0 && !is_last);
        if is_safe {
            return Ok(());
        }
        Err(self.unsafe_because(Problem::Writable {
            part: part.to_owned(),
            owner: user(found.uid()),
            mode,
        }))
    }

    fn io(&self, part: &Path, source: io::Error) -> UntrustedError {
        self.unsafe_because(Problem::Io {
            part: part.to_owned(),
            source,
        })
    }

    fn unsafe_because(&self, problem: Problem) -> UntrustedError {
        UntrustedError {
            purpose: self.purpose,
            option: self.option,
            path: self.path.to_owned(),
            problem: Box::new(problem),
        }
    }
}

/// Returns the names in a path, including `..`.
fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    let name = |part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    };
    path.components().filter_map(name)
}

/// Returns the name of a user, or the user ID if there is no name.
fn user(id: u32) -> String {
    let known = User::from_uid(Uid::from_raw(id)).ok().flatten();
    known.map_or_else(|| id.to_string(), |user| user.name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn check(path: &Path) -> Result<(), String> {
        let directory = Directory {
            path,
            purpose: "pin directory",
            option: "--pin-dir",
        };
        directory.check().map_err(|error| error.to_string())
    }

    fn make(path: &Path, mode: u32) {
        fs::create_dir_all(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn own_directories_are_safe_below_a_sticky_one_and_before_they_exist() {
        let root = tempfile::tempdir().unwrap();
        let below = root.path().join("sticky/own");
        make(&below, 0o755);
        make(below.parent().unwrap(), 0o1777);
        assert_eq!(check(&below), Ok(()));
        assert_eq!(check(&below.join("not/there")), Ok(()));
    }

    #[test]
    fn the_error_names_the_writable_directory_its_mode_and_the_fix() {
        let root = tempfile::tempdir().unwrap();
        for (mode, below) in [
            (0o777, ""),
            (0o770, ""),
            (0o1777, ""),
            (0o775, "a/b"),
            (0o703, "a"),
        ] {
            let open = root.path().join(format!("{mode:o}"));
            make(&open.join(below), 0o700);
            make(&open, mode);
            let error = check(&open.join(below)).unwrap_err();
            for part in [
                format!("mode {mode:04o}"),
                format!("chmod go-w {}", crate::printable::path(&open)),
                "--pin-dir".to_owned(),
            ] {
                assert!(error.contains(&part), "{part} is not in {error}");
            }
        }
    }

    #[test]
    fn the_target_of_a_symbolic_link_is_checked_too() {
        let root = tempfile::tempdir().unwrap();
        let (open, own) = (root.path().join("open"), root.path().join("own"));
        make(&open.join("inner"), 0o700);
        make(&own, 0o700);
        symlink(&own, open.join("link")).unwrap();
        symlink("../open/link", own.join("to-link")).unwrap();
        symlink("loop", own.join("loop")).unwrap();
        assert_eq!(check(&own.join("to-link")), Ok(()));
        make(&open, 0o777);
        let error = check(&own.join("to-link")).unwrap_err();
        assert!(
            error.contains(&format!("may write to {}", crate::printable::path(&open))),
            "{error}"
        );
        let error = check(&own.join("loop/x")).unwrap_err();
        assert!(error.contains("symbolic links"), "{error}");
    }
}
