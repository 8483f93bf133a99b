//! The data about ranges that the daemon has read.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use jiff::{Timestamp, tz::Offset};
use tracing::{info, warn};

use super::{Core, lock};
use crate::{
    data::{Data, FailedSource, Listing, Statement},
    evidence::FlowsView,
};

/// How long a request waits for the first reading of the data.
const PATIENCE: Duration = Duration::from_secs(5);

/// The data, and what changes it.
#[derive(Default)]
pub(super) struct Ranges {
    /// `None` until the first reading ends.
    data: Mutex<Option<Arc<Data>>>,
    /// Notified after each reading.
    read: Condvar,
    /// Locked during a reading.
    reading: Mutex<()>,
    /// Wakes the thread that reads.
    wake: Arc<Wake>,
}

/// Wakes a thread before its waiting time ends.
#[derive(Default)]
pub(in crate::daemon) struct Wake {
    /// True if a wake-up is pending.
    asked: Mutex<bool>,
    changed: Condvar,
}

impl Wake {
    /// Waits until [`Self::wake`] is called, at most `time`. Returns at once if it was called
    /// since the last wait.
    pub(in crate::daemon) fn wait(&self, time: Duration) {
        let asked = lock(&self.asked);
        let waited = self
            .changed
            .wait_timeout_while(asked, time, |asked| !*asked);
        let (mut asked, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *asked = false;
    }

    fn wake(&self) {
        *lock(&self.asked) = true;
        self.changed.notify_one();
    }
}

impl Core {
    /// The way to wake the thread that reads the data.
    pub(in crate::daemon) fn ranges_wake(&self) -> Arc<Wake> {
        Arc::clone(&self.ranges.wake)
    }

    /// Asks the thread that reads the data to look for changes now. Does not wait for it,
    /// because reading takes seconds for large files.
    pub(in crate::daemon) fn wake_ranges(&self) {
        self.ranges.wake.wake();
    }

    /// Reads the data about ranges that changed since the last reading. Takes seconds for
    /// large files.
    pub(in crate::daemon) fn read_ranges(&self) {
        let _one_at_a_time = lock(&self.ranges.reading);
        let before = lock(&self.ranges.data).clone();
        let settings = &self.settings;
        let state_dir = &settings.state_dir;
        let data = Data::read(&settings.data, state_dir, state_dir, before.as_deref());
        tell(before.as_deref(), &data);
        *lock(&self.ranges.data) = Some(Arc::new(data));
        self.ranges.read.notify_all();
    }

    /// The data that was read last, without waiting.
    pub(super) fn range_data_now(&self) -> Option<Arc<Data>> {
        lock(&self.ranges.data).clone()
    }

    /// The data, after the first reading. `None` if that takes longer than [`PATIENCE`].
    fn range_data(&self) -> Option<Arc<Data>> {
        let data = lock(&self.ranges.data);
        let is_missing = |data: &mut Option<Arc<Data>>| data.is_none();
        let waited = self
            .ranges
            .read
            .wait_timeout_while(data, PATIENCE, is_missing);
        let (data, _) = waited.unwrap_or_else(PoisonError::into_inner);
        data.clone()
    }

    /// Every source of data about ranges, with its contents and age.
    pub(in crate::daemon) fn range_listing(&self) -> Listing {
        let today = Offset::UTC.to_datetime(Timestamp::now()).date();
        let data = self.range_data();
        let unread = || Data::unread(&self.settings.data).listing(today);
        data.map_or_else(unread, |data| data.listing(today))
    }

    /// Adds to each flow what is stated about the range of its destination.
    pub(super) fn with_holders(&self, flows: FlowsView) -> FlowsView {
        let state = self.state();
        let policies = state.stage.policies();
        let policies = policies.map_or(&[][..], |policies| &policies.policies);
        let data = if self.settings.data.is_empty() {
            Some(Arc::default())
        } else {
            self.range_data()
        };
        let data = data.unwrap_or_else(|| Arc::new(Data::unread(&self.settings.data)));
        let derivation = &self.settings.derivation;
        let authors = Statement::authors(policies, derivation);
        flows.with_holders(|address| data.about(address, derivation), authors)
    }
}

/// Logs sources that can no longer be used, and those that can be used again.
fn tell(before: Option<&Data>, data: &Data) {
    let failed = |data: &Data| data.failed();
    let known = before.map(failed).unwrap_or_default();
    let now = failed(data);
    for FailedSource { name, error } in now.iter().filter(|failed| !known.contains(failed)) {
        let name = crate::printable::value(name);
        warn!("data about ranges: {name} cannot be used: {error}");
    }
    let is_gone = |failed: &&FailedSource| !now.iter().any(|still| still.name == failed.name);
    for FailedSource { name, .. } in known.iter().filter(is_gone) {
        let name = crate::printable::value(name);
        info!("data about ranges: {name} is used again");
    }
}
