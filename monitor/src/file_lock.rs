//! Locks files and directories by `flock(2)`, and finds the process that holds a
//! lock.
//!
//! The kernel releases a lock when its process ends, even if the process is killed.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::{fd::OwnedFd, unix::fs::MetadataExt as _},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use crate::{printable, regular_file};

/// A lock that at most one process holds. Dropping the value releases it.
#[derive(Debug)]
pub struct FileLock(
    #[expect(dead_code, reason = "dropping this releases the lock")] Flock<OwnedFd>,
);

/// Reasons why a lock is not acquired.
#[derive(Debug, thiserror::Error)]
pub enum FileLockError {
    /// Another process holds it.
    #[error("{holder} holds it")]
    Held {
        /// Description of the process.
        holder: String,
    },
    /// The file to lock cannot be opened.
    #[error("open: {0}")]
    Open(#[source] io::Error),
    /// The system refused the lock.
    #[error("lock: {0}")]
    Lock(#[source] io::Error),
}

impl FileLock {
    /// Locks the file at `path`, which `open` opens. Does not wait for the lock.
    ///
    /// The last holder may have removed the file between opening and locking, and
    /// another process may have created a new file. Then no other process can find
    /// the locked file, so the function opens the path again.
    ///
    /// # Errors
    ///
    /// See [`FileLockError`].
    pub fn acquire(
        path: &Path,
        open: impl Fn() -> io::Result<OwnedFd>,
    ) -> Result<Self, FileLockError> {
        loop {
            let file = open().map_err(FileLockError::Open)?;
            let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
                .map_err(|(file, errno)| not_locked(&file, errno))?;
            if is_same(&lock, path) {
                return Ok(Self(lock));
            }
        }
    }
}

fn not_locked(file: &OwnedFd, errno: Errno) -> FileLockError {
    if errno != Errno::EWOULDBLOCK {
        return FileLockError::Lock(errno.into());
    }
    FileLockError::Held {
        holder: holder(file).unwrap_or_else(|| "another process".to_owned()),
    }
}

fn is_same(file: &OwnedFd, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    metadata(file).ok().map(identity) == fs::metadata(path).ok().map(identity)
}

fn metadata(file: &OwnedFd) -> io::Result<fs::Metadata> {
    File::from(file.try_clone()?).metadata()
}

/// Describes the process that holds the lock of an open file or directory, as
/// listed in `/proc/locks` (proc(5)). `None` if no process holds it, or if this
/// user may not see the process.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the kernel's file does not block and has an end"
)]
pub fn holder(file: &OwnedFd) -> Option<String> {
    let metadata = metadata(file).ok()?;
    let device = metadata.dev();
    let id = format!(
        "{:02x}:{:02x}:{}",
        nix::sys::stat::major(device),
        nix::sys::stat::minor(device),
        metadata.ino()
    );
    // A second `read` continues at a position in a list that may have changed, and
    // could skip the entry. So the buffer is large enough for one `read`.
    let mut locks = String::with_capacity(1 << 16);
    let mut file = File::open("/proc/locks").ok()?;
    file.read_to_string(&mut locks).ok()?;
    let pid = locks.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let held = *fields.get(1)? == "FLOCK";
        (held && *fields.get(5)? == id).then(|| fields[4].to_owned())
    })?;
    Some(describe_process(&pid))
}

/// Description of a process, such as `process 4711 (monitor)`.
#[must_use]
pub fn describe_process(pid: &str) -> String {
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
    fn the_holder_of_a_lock_is_found_while_others_come_and_go() {
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
            let found = (0..1_000).filter_map(|_| holder(&held)).count();
            done.store(true, Ordering::Relaxed);
            found
        });
        assert_eq!(found, 1_000);
        let own = format!("process {} ", process::id());
        assert!(holder(&held).unwrap().starts_with(&own));
    }

    /// A process opens the file, and then the last holder removes it. The next
    /// process finds another file at the path.
    #[test]
    fn a_file_that_was_removed_before_it_was_locked_is_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let opened = std::cell::Cell::new(0);
        let open = || {
            let file = File::create(&path)?;
            opened.set(opened.get() + 1);
            if opened.get() == 1 {
                fs::remove_file(&path)?;
            }
            Ok(OwnedFd::from(file))
        };
        let _lock = FileLock::acquire(&path, open).unwrap();
        assert_eq!(opened.get(), 2);
        let again = FileLock::acquire(&path, || Ok(File::create(&path)?.into()));
        assert!(matches!(again, Err(FileLockError::Held { .. })));
    }
}
