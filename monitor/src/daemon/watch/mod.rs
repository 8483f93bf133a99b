//! Watches policy files and lists, and reports when one of them changes.

mod places;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use places::Places;

/// How long the watch waits for further changes after one. Within this time an editor
/// writes, renames and removes files.
const SETTLE: Duration = Duration::from_millis(200);

/// Maximum time by which a series of changes can delay a reload.
const MAX_SETTLE: Duration = Duration::from_secs(2);

/// Waits for changes of files.
pub(super) struct FileWatch {
    directories: WatchedDirectories,
    changes: Arc<Notify>,
    /// Changes that [`FileWatch::changed`] has not reported yet.
    pending: Option<Pending>,
}

/// The watched directories. The watch covers directories and not files, because editors
/// replace files by renaming. Clones share the state.
#[derive(Clone)]
pub(super) struct WatchedDirectories {
    watched: Arc<Mutex<Watched>>,
    places: Arc<Mutex<Places>>,
    changes: Arc<Notify>,
}

struct Watched {
    watcher: RecommendedWatcher,
    /// The watched directories. The identity is `None` if the directory does not exist.
    directories: BTreeMap<PathBuf, Option<Identity>>,
}

/// The times of the first and the last change of a series.
#[derive(Clone, Copy)]
struct Pending {
    first: Instant,
    last: Instant,
}

/// Device, inode and time of birth of a directory. The kernel watches an inode, not a path.
/// It also reuses inode numbers, so the time of birth is needed.
type Identity = (u64, u64, Option<SystemTime>);

impl FileWatch {
    pub(super) fn new() -> notify::Result<Self> {
        let changes = Arc::new(Notify::new());
        let places = Arc::new(Mutex::new(Places::default()));
        let (known, tell) = (Arc::clone(&places), Arc::clone(&changes));
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            // An error may hide a change, so it counts as one.
            if event.map_or(true, |event| known.concern(&event)) {
                tell.notify_one();
            }
        })?;
        let state = Watched {
            watcher,
            directories: BTreeMap::new(),
        };
        let directories = WatchedDirectories {
            watched: Arc::new(Mutex::new(state)),
            places,
            changes: Arc::clone(&changes),
        };
        Ok(Self {
            directories,
            changes,
            pending: None,
        })
    }

    /// Returns the watched directories, so that the caller can set them on a thread that
    /// may block.
    pub(super) fn directories(&self) -> WatchedDirectories {
        self.directories.clone()
    }

    /// Waits for a change, and until no more follow within [`SETTLE`], at most
    /// [`MAX_SETTLE`]. If this future is dropped early, the next call continues.
    pub(super) async fn changed(&mut self) {
        if self.pending.is_none() {
            self.changes.notified().await;
            self.note_change();
        }
        while let Some(Pending { first, last }) = self.pending {
            let settled = (last + SETTLE).min(first + MAX_SETTLE);
            let another = timeout_at(settled, self.changes.notified()).await.is_ok();
            if another && Instant::now() < settled {
                self.note_change();
            } else {
                self.pending = None;
            }
        }
    }

    fn note_change(&mut self) {
        let last = Instant::now();
        let first = self.pending.map_or(last, |pending| pending.first);
        self.pending = Some(Pending { first, last });
    }
}

impl WatchedDirectories {
    /// Sets the files and directories to watch. A directory that was not watched before
    /// counts as changed. Returns an error for each directory that cannot be watched.
    /// Blocks if a file system does not answer.
    pub(super) fn set(&self, paths: &BTreeSet<PathBuf>) -> Vec<notify::Error> {
        let places = Places::of(paths);
        let wanted: BTreeMap<_, _> = places
            .directories
            .iter()
            .map(|path| (path.clone(), identity(path)))
            .collect();
        *self.places.lock().unwrap_or_else(PoisonError::into_inner) = places;
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let Watched {
            watcher,
            directories,
        } = &mut *watched;
        let mut errors = Vec::new();
        for (directory, identity) in directories.iter() {
            if wanted.get(directory) != Some(identity) {
                // An error means that the directory no longer exists.
                let _ = watcher.unwatch(directory);
            }
        }
        for (directory, identity) in &wanted {
            let is_new = directories.get(directory) != Some(identity);
            // Watches known directories again too: the watcher drops a directory that was
            // moved, even if it was moved back.
            let result = watcher.watch(directory, RecursiveMode::NonRecursive);
            if is_new {
                errors.extend(result.err());
                self.changes.notify_one();
            }
        }
        *directories = wanted;
        errors
    }
}

fn identity(directory: &Path) -> Option<Identity> {
    let metadata = fs::metadata(directory).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.created().ok()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::time::timeout;

    use super::*;

    /// The time after which a test that waits fails. No test measures it.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Returns a watch of an existing file, without pending changes.
    async fn watch(file: &Path) -> FileWatch {
        fs::write(file, "1").unwrap();
        let mut watch = FileWatch::new().unwrap();
        let paths = BTreeSet::from([file.to_owned()]);
        assert!(watch.directories().set(&paths).is_empty());
        timeout(PATIENCE, watch.changed()).await.unwrap();
        watch
    }

    #[tokio::test]
    async fn a_change_survives_a_wait_that_is_cancelled() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("p.yaml");
        let mut watch = watch(&file).await;
        fs::write(&file, "2").unwrap();
        let cancelled = timeout(PATIENCE, async {
            while timeout(SETTLE / 8, watch.changed()).await.is_err() {}
        });
        cancelled.await.expect("the change is reported in the end");
    }

    #[tokio::test]
    async fn a_series_of_changes_does_not_delay_the_report_forever() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("p.yaml");
        let mut watch = watch(&file).await;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let writer = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                fs::write(&file, "2").unwrap();
                std::thread::sleep(SETTLE / 40);
            }
        });
        let told = timeout(PATIENCE, watch.changed()).await;
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        told.expect("the change is reported while others follow");
    }

    #[tokio::test]
    async fn a_newly_watched_directory_counts_as_changed_once() {
        let directory = tempfile::tempdir().unwrap();
        let paths = BTreeSet::from([directory.path().to_owned()]);
        let mut watch = FileWatch::new().unwrap();
        watch.directories().set(&paths);
        timeout(PATIENCE, watch.changed()).await.unwrap();
        watch.directories().set(&paths);
        let again = timeout(SETTLE * 2, watch.changed()).await;
        again.expect_err("nothing is newly watched");
    }
}
