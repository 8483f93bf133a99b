//! Policy and list files → a signal that one of them changed.

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

/// Editors write, rename and remove within this time; the last one counts.
const SETTLE: Duration = Duration::from_millis(200);

/// The longest that changes upon changes put off a reload.
const MAX_SETTLE: Duration = Duration::from_secs(2);

/// Waits for changes of files.
pub(super) struct FileWatch {
    directories: WatchedDirectories,
    changes: Arc<Notify>,
    /// Changes that the caller was not told of yet.
    pending: Option<Pending>,
}

/// The directories of the files, because editors replace files by renaming. Clones
/// share them.
#[derive(Clone)]
pub(super) struct WatchedDirectories {
    watched: Arc<Mutex<Watched>>,
    places: Arc<Mutex<Places>>,
    changes: Arc<Notify>,
}

struct Watched {
    watcher: RecommendedWatcher,
    /// `None`: the directory is missing.
    directories: BTreeMap<PathBuf, Option<Identity>>,
}

/// When the first and the last change was seen.
#[derive(Clone, Copy)]
struct Pending {
    first: Instant,
    last: Instant,
}

/// Device, inode and birth of a directory: the kernel watches these and not a
/// path, and uses the numbers of inodes again.
type Identity = (u64, u64, Option<SystemTime>);

impl FileWatch {
    pub(super) fn new() -> notify::Result<Self> {
        let changes = Arc::new(Notify::new());
        let places = Arc::new(Mutex::new(Places::default()));
        let (known, tell) = (Arc::clone(&places), Arc::clone(&changes));
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            // An error may hide a change.
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

    /// The directories, to be set on a thread that may block.
    pub(super) fn directories(&self) -> WatchedDirectories {
        self.directories.clone()
    }

    /// Waits for a change, and until no more follow at once. Where this is
    /// cancelled, the next call goes on.
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
    /// Watches these files and directories, and nothing else; what was not
    /// watched until now counts as changed. Returns what could not be watched.
    /// Blocks where a file system does not answer.
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
                // It may be gone already.
                let _ = watcher.unwatch(directory);
            }
        }
        for (directory, identity) in &wanted {
            let is_new = directories.get(directory) != Some(identity);
            // Also where it is not new: the watcher gives up what was moved, even moved back.
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

    /// Fails a test that would wait for ever; nothing is measured by it.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A watch of a file that exists, with nothing pending.
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
        cancelled.await.expect("the change is told in the end");
    }

    #[tokio::test]
    async fn changes_upon_changes_are_told_all_the_same() {
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
        told.expect("the change is told while others follow");
    }

    #[tokio::test]
    async fn what_is_newly_watched_counts_as_changed_once() {
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
