//! Reads the data about ranges on a thread of its own, again after each change.

use std::{
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use tracing::{error, warn};

use super::core::{Core, Wake};

/// Time between two looks at the data files.
const LOOK: Duration = Duration::from_secs(30);

/// Begins to read, if the settings name data. The thread ends with the daemon.
pub(super) fn start(core: &Arc<Core>) {
    if core.settings().data.is_empty() {
        return;
    }
    for warning in core.settings().data.warnings() {
        warn!("{warning}");
    }
    let wake = core.ranges_wake();
    let core = Arc::downgrade(core);
    let thread = thread::Builder::new().name("ranges".to_owned());
    if let Err(error) = thread.spawn(move || read(&core, &wake)) {
        error!("the data about ranges is not read: start a thread: {error}");
    }
}

fn read(core: &Weak<Core>, wake: &Wake) {
    while let Some(core) = core.upgrade() {
        core.read_ranges();
        drop(core);
        wake.wait(LOOK);
    }
}
