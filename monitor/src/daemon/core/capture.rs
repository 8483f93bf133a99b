//! Begins and ends captures. One capture runs at a time.

mod session;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tracing::{error, warn};

use self::session::Copying;
pub(in crate::daemon) use self::session::{CaptureSession, CaptureShared};
use super::{Core, lock};
use crate::{
    clock::{boot_time, from_the_second, to_the_second},
    control::{
        AskedCapture, RunningCapture,
        capture::{CAPTURE_SIZES, CaptureProgress, LONGEST_CAPTURE},
    },
    datapath::{self, CaptureNames, CaptureReader, CaptureRequest, Filter},
    evidence::captured::CaptureEnd,
    policy::{PolicyName, Rest, closest_policy},
};

/// Why a capture does not begin.
#[derive(Debug, thiserror::Error)]
pub(in crate::daemon) enum CaptureError {
    #[error("the filter is detached")]
    Detached,
    #[error("no interface is filtered now, so there is nothing to capture")]
    NotAttached,
    #[error(
        "the daemon does not know the policies in force, because the files were not confirmed: first load them with `monitor reload`"
    )]
    Unknown,
    #[error("there is no policy `{name}`{}", suggestion(near.as_ref()))]
    NoPolicy {
        name: PolicyName,
        near: Option<PolicyName>,
    },
    #[error("`{0}` is disabled in its file, so it matches no packet")]
    Disabled(PolicyName),
    #[error(
        "a capture of `{policy}` runs until {ends}, and one runs at a time: end it, or wait for its end"
    )]
    Busy { policy: PolicyName, ends: String },
    #[error(
        "the policies wait for a confirmation, and a roll-back would end the capture: first run `monitor confirm`, or wait for the roll-back"
    )]
    Trial,
    #[error("the daemon ends")]
    Ending,
    #[error(
        "a capture takes 1 s to {} h, and its file {} to {} bytes",
        LONGEST_CAPTURE.as_secs() / 3600,
        CAPTURE_SIZES.start(),
        CAPTURE_SIZES.end()
    )]
    Limits,
    #[error(transparent)]
    Datapath(#[from] datapath::Error),
}

fn suggestion(near: Option<&PolicyName>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// The capture that runs, and the clients of captures.
#[derive(Default)]
pub(super) struct Captures {
    slot: Mutex<Slot>,
    /// Clients whose capture runs, or whose end is not stored yet.
    served: AtomicUsize,
    /// Wakes the tasks that wait until captures are closed.
    closing: Notify,
}

#[derive(Default)]
struct Slot {
    running: Option<Running>,
    /// True if no capture may begin any more.
    closed: bool,
}

struct Running {
    request: CaptureRequest,
    /// `None`: its first generation is not in force yet.
    since: Option<Timestamp>,
    ends: Timestamp,
    shared: Arc<CaptureShared>,
}

impl Captures {
    /// The capture that generations serve, if one runs.
    pub(super) fn request(&self) -> Option<CaptureRequest> {
        let slot = lock(&self.slot);
        slot.running.as_ref().map(|running| running.request.clone())
    }

    /// The capture that runs, for `status`.
    pub(super) fn running(&self) -> Option<RunningCapture> {
        lock(&self.slot).running.as_ref().and_then(Running::view)
    }

    /// Asks the capture that runs to end, if one runs.
    pub(super) fn stop(&self, end: CaptureEnd) {
        let mut slot = lock(&self.slot);
        slot.closed |= end == CaptureEnd::DaemonEnded;
        if let Some(running) = &slot.running {
            running.shared.stop(end);
        }
        if slot.closed {
            self.closing.notify_waiters();
        }
    }

    fn begin(&self, running: Running) -> Result<(), CaptureError> {
        let mut slot = lock(&self.slot);
        if slot.closed {
            return Err(CaptureError::Ending);
        }
        if let Some(other) = &slot.running {
            return Err(CaptureError::Busy {
                policy: other.request.policy.clone(),
                ends: to_the_second(other.ends),
            });
        }
        slot.running = Some(running);
        Ok(())
    }
}

impl Captures {
    /// Notes that the first generation of the capture is in force.
    fn begun(&self, since: Timestamp, ends: Timestamp) {
        if let Some(running) = &mut lock(&self.slot).running {
            running.since = Some(since);
            running.ends = ends;
        }
    }
}

impl Running {
    /// `None` if its first generation is not in force yet.
    fn view(&self) -> Option<RunningCapture> {
        Some(RunningCapture {
            policy: self.request.policy.clone(),
            payload: self.request.payload,
            since: from_the_second(self.since?),
            ends: to_the_second(self.ends),
            progress: self.shared.progress(),
            notes: Vec::new(),
        })
    }
}

impl Core {
    /// Puts a generation in force that copies the packets of a policy.
    pub(in crate::daemon) fn begin_capture(
        self: &Arc<Self>,
        asked: &AskedCapture,
    ) -> Result<(CaptureSession, RunningCapture), CaptureError> {
        let length = Duration::from_secs(asked.seconds);
        if asked.seconds == 0 || length > LONGEST_CAPTURE || !CAPTURE_SIZES.contains(&asked.max) {
            return Err(CaptureError::Limits);
        }
        let mut filter = self.work_on_filter("the begin of a capture");
        let filter = filter.as_mut().ok_or(CaptureError::Detached)?;
        self.can_be_captured(&asked.policy)?;
        if !filter.is_attached()? {
            return Err(CaptureError::NotAttached);
        }
        let shared = Arc::<CaptureShared>::default();
        let signed = SignedDuration::try_from(length).unwrap_or_default();
        self.captures.begin(Running {
            request: CaptureRequest::new(asked.policy.clone(), asked.payload)?,
            since: None,
            ends: Timestamp::now() + signed,
            shared: Arc::clone(&shared),
        })?;
        // The first packets are copied as soon as the generation is in force.
        let since = Timestamp::now();
        let opened = self.open_capture(filter);
        let (reader, names) = opened.inspect_err(|_| self.give_up_capture(filter))?;
        let ends = since + signed;
        self.captures.begun(since, ends);
        let session = CaptureSession {
            id: format!("{:x}", since.as_nanosecond()),
            policy: asked.policy.clone(),
            payload: asked.payload,
            max: asked.max,
            since,
            ends,
            deadline: boot_time() + length,
            reader,
            names,
            shared: Arc::clone(&shared),
            copying: Copying::begun(self),
        };
        let view = RunningCapture {
            policy: asked.policy.clone(),
            payload: asked.payload,
            since: from_the_second(since),
            ends: to_the_second(ends),
            progress: CaptureProgress::default(),
            notes: Vec::new(),
        };
        Ok((session, view))
    }

    /// Makes the first generation of a capture, and opens its maps.
    fn open_capture(
        &self,
        filter: &mut Filter,
    ) -> Result<(CaptureReader, CaptureNames), CaptureError> {
        let state = self.state();
        let policies = state.stage.policies().ok_or(CaptureError::Unknown)?;
        let applied = self.apply(filter, &policies.ruleset)?;
        for note in &applied.notes {
            warn!("{note}");
        }
        self.hand_out(applied.loggers);
        let mut slot = lock(&self.captures.slot);
        let running = slot.running.as_mut().ok_or(CaptureError::Detached)?;
        Ok(filter.open_capture(applied.generation, &mut running.request)?)
    }

    /// Undoes a begin that failed.
    fn give_up_capture(&self, filter: &mut Filter) {
        lock(&self.captures.slot).running = None;
        // The generation that copies may be in force.
        if filter.captures().unwrap_or(true)
            && let Err(error) = self.stop_copying(filter)
        {
            error!("the filter still copies packets, the daemon tries again: {error}");
        }
    }

    /// Ends the capture that runs, as [`CaptureSession::end_copying`].
    fn end_capture(&self) -> Result<(), datapath::Error> {
        let mut filter = self.work_on_filter("the end of a capture");
        lock(&self.captures.slot).running = None;
        filter
            .as_mut()
            .map_or(Ok(()), |filter| self.stop_copying(filter))
    }

    fn stop_copying(&self, filter: &mut Filter) -> Result<(), datapath::Error> {
        let state = self.state();
        let Some(policies) = state.stage.policies() else {
            return Ok(());
        };
        match self.apply(filter, &policies.ruleset) {
            Ok(applied) => {
                self.hand_out(applied.loggers);
                Ok(())
            }
            Err(error) => {
                self.set_kernel_behind();
                Err(error)
            }
        }
    }

    /// Notes that the kernel has another generation than it should have.
    fn set_kernel_behind(&self) {
        if let Some(policies) = self.state().stage.policies() {
            let behind = super::state::PoliciesInForce {
                kernel_is_behind: true,
                ..policies.clone()
            };
            self.update(|state| state.stage.set_policies(behind));
        }
    }

    /// Counts a client of a capture, until the returned value is dropped.
    pub(in crate::daemon) fn serves_capture(self: &Arc<Self>) -> ServesCapture {
        self.captures.served.fetch_add(1, Ordering::Relaxed);
        ServesCapture(Arc::clone(self))
    }

    /// True if the end of a capture is not stored yet.
    pub(in crate::daemon) fn is_serving_captures(&self) -> bool {
        self.captures.served.load(Ordering::Relaxed) > 0
    }

    /// Ends the capture that runs, and refuses others, because the daemon ends.
    pub(in crate::daemon) fn close_captures(&self) {
        self.captures.stop(CaptureEnd::DaemonEnded);
    }

    /// Waits until [`close_captures`](Self::close_captures) was called.
    pub(in crate::daemon) async fn captures_closed(&self) {
        // Made before the look, so that it misses no call in between.
        let closing = self.captures.closing.notified();
        if !lock(&self.captures.slot).closed {
            closing.await;
        }
    }

    /// True if the policies in force hold this policy.
    fn holds(&self, name: &PolicyName) -> bool {
        let state = self.state();
        let policies = state.stage.policies();
        policies.is_some_and(|policies| {
            let mut each = policies.policies.iter();
            each.any(|policy| policy.name() == name)
        })
    }

    /// Why this policy matches no packet now; `None` if it is in force or unknown.
    fn rest_of(&self, name: &PolicyName) -> Option<&'static str> {
        let state = self.state();
        let mut policies = state.stage.policies()?.policies.iter();
        let policy = policies.find(|policy| policy.name() == name)?;
        policy.rest().map(Rest::reason)
    }

    fn can_be_captured(&self, name: &PolicyName) -> Result<(), CaptureError> {
        let state = self.state();
        let policies = state.stage.policies().ok_or(CaptureError::Unknown)?;
        // After a roll-back, the kernel would run a program that knows no capture.
        if state.stage.deadline().is_some() {
            return Err(CaptureError::Trial);
        }
        let policies = &policies.policies;
        match policies.iter().find(|policy| policy.name() == name) {
            Some(policy) if !policy.enabled() => Err(CaptureError::Disabled(name.clone())),
            Some(_) => Ok(()),
            None => Err(CaptureError::NoPolicy {
                name: name.clone(),
                near: closest_policy(name, policies),
            }),
        }
    }
}

/// A client of a capture that is served.
pub(in crate::daemon) struct ServesCapture(Arc<Core>);

impl Drop for ServesCapture {
    fn drop(&mut self) {
        self.0.captures.served.fetch_sub(1, Ordering::Relaxed);
    }
}
