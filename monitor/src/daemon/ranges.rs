//! Reads the data about ranges on a thread of its own, again after each change.

use std::{
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use tracing::error;

use super::core::Core;

/// Time between two looks at the data files.
const LOOK: Duration = Duration::from_secs(30);

/// Begins to read, if the settings name data. The thread ends with the daemon.
pub(super) fn start(core: &Arc<Core>) {
    if core.settings().data.is_empty() {
        return;
    }
    let core = Arc::downgrade(core);
    let thread = thread::Builder::new().name("ranges".to_owned());
    if let Err(error) = thread.spawn(move || read(&core)) {
        error!("the data about ranges is not read: start a thread: {error}");
    }
}

fn read(core: &Weak<Core>) {
    while let Some(core) = core.upgrade() {
        core.read_ranges();
        drop(core);
        thread::sleep(LOOK);
    }
}
