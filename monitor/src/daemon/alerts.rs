//! Alerts: one thread watches for what the operator wants to know, and one thread for each target
//! sends it. A target that does not answer delays no other target.

mod send;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use jiff::Timestamp;
use tracing::{error, info, warn};

use self::send::{SendError, Sender};
use super::core::Core;
use crate::{
    alerts::{
        Alert, Condition, DeviceOfAlert, Lasting, conditions, first_contacts, losses, new_devices,
    },
    control::Notified,
    error_text::error_text,
    events,
    evidence::event::EventView,
    flows::FlowFilter,
    policy::MacAddress,
    quoted::quoted,
    store::{
        StoreError, StoreReader,
        alert_queue::{AfterFailure, AlertQueue, Queued},
    },
};

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(2);

/// The most events of one look. The rest waits for the next one.
const MOST_EVENTS: usize = 1_000;

/// Starts the threads, if the settings name targets.
pub(super) fn start(core: &Arc<Core>) {
    let settings = &core.settings().alerts;
    if settings.targets.is_empty() {
        return;
    }
    let watching = Arc::downgrade(core);
    spawn("alerts", move || watch(&watching));
    for name in settings.targets.keys() {
        let (sending, name) = (Arc::downgrade(core), name.clone());
        spawn("alert-target", move || deliver(&sending, &name));
    }
    info!(
        "alerts go to {}",
        settings
            .targets
            .keys()
            .cloned()
            .collect::<Vec<_>>()
            .join(", ")
    );
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().name(name.to_owned());
    if let Err(error) = thread.spawn(work) {
        error!("no alerts are sent: start a thread: {error}");
    }
}

/// Why no test is sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum TestError {
    #[error(
        "no targets are configured: write them under `notify` in the config file, and start the daemon again"
    )]
    NoTargets,
    #[error(
        "there is no target `{}`; the config file has: {known}",
        quoted(target)
    )]
    Unknown { target: String, known: String },
}

/// Sends a test to a target, or to all, and waits. Needs no queue.
pub(super) fn test(core: &Core, target: Option<&str>) -> Result<Vec<Notified>, TestError> {
    let settings = &core.settings().alerts;
    if settings.targets.is_empty() {
        return Err(TestError::NoTargets);
    }
    if let Some(unknown) = target.filter(|name| !settings.targets.contains_key(*name)) {
        let known: Vec<_> = settings.targets.keys().map(String::as_str).collect();
        return Err(TestError::Unknown {
            target: unknown.to_owned(),
            known: known.join(", "),
        });
    }
    let now = Timestamp::now();
    let message = Alert::test(now).message(&BTreeSet::new());
    let asked = settings
        .targets
        .keys()
        .filter(|name| target.is_none_or(|asked| asked == *name));
    // At the same time, so that the slowest target decides how long the answer takes.
    let sent = thread::scope(|scope| {
        let each: Vec<_> = asked
            .map(|name| {
                let queued = Queued {
                    row: 0,
                    id: format!("msg_test_{:x}", now.as_nanosecond()),
                    message: message.clone(),
                    problems: 0,
                };
                let sent = scope.spawn(move || Sender::new(core.settings(), name).send(&queued));
                (name, sent)
            })
            .collect();
        let each = each.into_iter().map(|(name, sent)| Notified {
            target: name.clone(),
            error: match sent.join() {
                Ok(sent) => sent.err().map(|error| error_text(&error)),
                Err(_) => Some("the thread that sends ended".to_owned()),
            },
        });
        each.collect()
    });
    Ok(sent)
}

/// Watches until the daemon ends.
fn watch(core: &Weak<Core>) {
    let mut watch = Watch::default();
    let mut told = None;
    while let Some(core) = core.upgrade() {
        let looked = watch.look(&core);
        let error = looked.err().map(|error| error_text(&error));
        if error != told {
            if let Some(error) = &error {
                error!("alerts are not queued: {error}");
            } else {
                info!("alerts are queued again");
            }
            told = error;
        }
        drop(core);
        thread::sleep(LOOK);
    }
}

/// What the thread remembers between two looks.
#[derive(Default)]
struct Watch {
    queue: Option<AlertQueue>,
    /// Conditions at the last look; `None` before the first one.
    before: Option<BTreeMap<String, Condition>>,
    /// Devices at the last look.
    known: BTreeSet<MacAddress>,
}

impl Watch {
    fn look(&mut self, core: &Core) -> Result<(), StoreError> {
        let settings = core.settings();
        if self.queue.is_none() {
            self.queue = Some(AlertQueue::open(&settings.state_dir)?);
        }
        let now = Timestamp::now();
        if core.evidence().has_looked() {
            self.take_events(core, now)?;
        }
        let diagnosis = core.last_diagnosis();
        let found = conditions(
            &core.waiting_interfaces(),
            &core.feed_snapshots(),
            diagnosis.as_ref(),
            &core.risks(),
            core.locked_out().as_deref(),
        );
        let Some(before) = self.before.replace(found.clone()) else {
            return Ok(());
        };
        let lasting = Lasting::new(&before, found, diagnosis.is_some());
        match &mut self.queue {
            Some(queue) => queue.compare(&lasting, &settings.alerts, now),
            None => Ok(()),
        }
    }

    /// Queues alerts about new events and devices. The first look of all only remembers what is
    /// there.
    fn take_events(&mut self, core: &Core, now: Timestamp) -> Result<(), StoreError> {
        let Some(queue) = &mut self.queue else {
            return Ok(());
        };
        let known: BTreeSet<MacAddress> = core
            .evidence()
            .with_book(|book| book.identities.iter().map(|(mac, _)| mac).collect());
        let device = |mac| describe(core, mac);
        let cursor = queue.cursor()?;
        let (events, last) = new_events(core, cursor.unwrap_or(0), cursor.is_none())?;
        let mut alerts = first_contacts(&events, device);
        let new = known.difference(&self.known).copied();
        alerts.extend(new_devices(new, device, now));
        if cursor.is_none() {
            queue.remember(&alerts, last)?;
        } else {
            alerts.extend(losses(&events));
            queue.take(&alerts, last, &core.settings().alerts, now)?;
        }
        self.known = known;
        Ok(())
    }
}

/// The events after the cursor, and the new cursor. If the store is another one, its events
/// begin again. `all`: read all at once.
fn new_events(core: &Core, cursor: i64, all: bool) -> Result<(Vec<EventView>, i64), StoreError> {
    let state_dir = &core.settings().state_dir;
    let Some(mut reader) = StoreReader::open(state_dir)? else {
        return Ok((Vec::new(), cursor));
    };
    let newest = reader.view()?.last_event()?;
    let after = if newest < cursor { 0 } else { cursor };
    if newest == after {
        return Ok((Vec::new(), after));
    }
    let filter = FlowFilter {
        limit: if all { usize::MAX } else { MOST_EVENTS },
        ..FlowFilter::default()
    };
    let found = events::read(state_dir, Some(after), &filter)?;
    Ok((found.events, found.last))
}

/// What is known about a device.
fn describe(core: &Core, mac: MacAddress) -> DeviceOfAlert {
    let names = core.device_names();
    let policy_name = names.by_mac().remove(&mac);
    core.evidence().with_book(|book| DeviceOfAlert {
        mac,
        name: policy_name.or_else(|| book.name(mac).map(|name| name.text.clone())),
        host_name: book
            .identities
            .get(mac)
            .and_then(crate::evidence::latest_name)
            .map(|name| name.name.to_owned()),
    })
}

/// Sends what is due to one target, until the daemon ends.
fn deliver(core: &Weak<Core>, target: &str) {
    let Some(settings) = core.upgrade().map(|core| core.settings().clone()) else {
        return;
    };
    let sender = Sender::new(&settings, target);
    let state_dir = &settings.state_dir;
    let mut queue = None;
    let mut failing = false;
    // A target that does not answer must not keep the daemon alive, so only the count is held.
    while core.strong_count() > 0 {
        match deliver_next(state_dir, &mut queue, target, &sender) {
            Ok(Delivered::Sent) => {
                if std::mem::take(&mut failing) {
                    info!("alerts to {target} arrive again");
                }
                continue;
            }
            Ok(Delivered::Nothing) => {}
            Ok(Delivered::Failed(error, after)) => {
                let after = match after {
                    AfterFailure::Again => "it is tried again",
                    AfterFailure::GivenUp => "IT IS GIVEN UP",
                };
                if !failing || after.starts_with("IT") {
                    warn!(
                        "an alert to {target} was not sent, {after}: {}",
                        error_text(&error)
                    );
                }
                failing = true;
            }
            Err(error) => {
                queue = None;
                warn!("alerts to {target} wait: {}", error_text(&error));
                thread::sleep(10 * LOOK);
            }
        }
        thread::sleep(LOOK);
    }
}

enum Delivered {
    Nothing,
    Sent,
    Failed(SendError, AfterFailure),
}

fn deliver_next(
    state_dir: &std::path::Path,
    queue: &mut Option<AlertQueue>,
    target: &str,
    sender: &Sender,
) -> Result<Delivered, StoreError> {
    let queue = if let Some(queue) = queue {
        queue
    } else {
        let opened = AlertQueue::open(state_dir)?;
        opened.hurry(target, Timestamp::now())?;
        queue.insert(opened)
    };
    let Some(queued) = queue.next(target, Timestamp::now())? else {
        return Ok(Delivered::Nothing);
    };
    match sender.send(&queued) {
        Ok(()) => {
            queue.done(queued.row)?;
            Ok(Delivered::Sent)
        }
        Err(error) => {
            let after = queue.failed(queued.row, Timestamp::now())?;
            Ok(Delivered::Failed(error, after))
        }
    }
}
