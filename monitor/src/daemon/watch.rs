//! Policy and list files → a signal that one of them changed.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::{sync::mpsc, time};

/// Editors write, rename and remove within this time; the last one counts.
const SETTLE: Duration = Duration::from_millis(200);

/// Watches the directories of files, because editors replace files by renaming.
pub(super) struct FileWatch {
    watcher: RecommendedWatcher,
    directories: BTreeSet<PathBuf>,
    paths: Arc<Mutex<BTreeSet<PathBuf>>>,
    changes: mpsc::UnboundedReceiver<()>,
}

impl FileWatch {
    pub(super) fn new() -> notify::Result<Self> {
        let (sender, changes) = mpsc::unbounded_channel();
        let paths = Arc::new(Mutex::new(BTreeSet::new()));
        let known = Arc::clone(&paths);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            // An error may hide a change.
            let relevant = event.map_or(true, |event| is_relevant(&event, &known));
            if relevant {
                // Nobody listens any more only when the daemon ends.
                let _ = sender.send(());
            }
        })?;
        Ok(Self {
            watcher,
            directories: BTreeSet::new(),
            paths,
            changes,
        })
    }

    /// Watches these files and directories, and nothing else. Returns what could
    /// not be watched.
    pub(super) fn set(&mut self, paths: &BTreeSet<PathBuf>) -> Vec<notify::Error> {
        let paths: BTreeSet<_> = paths
            .iter()
            .filter_map(|path| std::path::absolute(path).ok())
            .collect();
        let wanted: BTreeSet<_> = paths
            .iter()
            .flat_map(|path| {
                [
                    nearest_directory(Some(path)),
                    nearest_directory(path.parent()),
                ]
            })
            .flatten()
            .collect();
        *self.paths.lock().unwrap_or_else(PoisonError::into_inner) = paths;
        let mut errors = Vec::new();
        for directory in self.directories.difference(&wanted) {
            // It may be gone already.
            let _ = self.watcher.unwatch(directory);
        }
        let mut watched: BTreeSet<_> = self.directories.intersection(&wanted).cloned().collect();
        for directory in wanted.difference(&self.directories) {
            match self.watcher.watch(directory, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    watched.insert(directory.clone());
                }
                Err(error) => errors.push(error),
            }
        }
        self.directories = watched;
        errors
    }

    /// Waits for a change, and until no more follow at once.
    pub(super) async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            // The watcher lives as long as this value, so this cannot end; never return early.
            std::future::pending::<()>().await;
        }
        while let Ok(Some(())) = time::timeout(SETTLE, self.changes.recv()).await {}
    }
}

/// Reading is no change, though the kernel reports it.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

/// The path itself where it is a directory, or the nearest one above that exists.
fn nearest_directory(path: Option<&Path>) -> Option<PathBuf> {
    path?
        .ancestors()
        .find(|ancestor| ancestor.is_dir())
        .map(Path::to_owned)
}

/// A watched path, a file in a watched directory, or a directory above one that
/// came or went.
fn is_relevant(event: &notify::Event, watched: &BTreeSet<PathBuf>) -> bool {
    let concerns = |changed: &Path| {
        watched
            .iter()
            .any(|path| path.starts_with(changed) || changed.parent() == Some(path))
    };
    is_change(event.kind) && event.paths.iter().any(|changed| concerns(changed))
}
