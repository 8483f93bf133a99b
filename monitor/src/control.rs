//! Requests of the verbs to a running daemon, and its answers: one line of JSON in
//! each direction, over a Unix socket.

mod ask;
pub mod capture;
mod request;
pub mod typed;

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    time::Duration,
};

pub use ask::{ControlError, ask, ask_and_follow, ask_to_detach, ask_within};
pub use capture::{AskedCapture, RunningCapture};
pub use request::{AskedFlows, AskedReport, ChangeRequest, MarkRequest, Request};

use serde::{Deserialize, Serialize};

use crate::{
    clock::to_the_second,
    data::Listing,
    doctor::Diagnosis,
    evidence::{DevicesView, FlowsView, event::EventsView, mark::Mark},
    merkle::Proven,
    policy::{Effect, MacAddress, Moment, RuntimeChange},
    printable,
    report::Report,
    snapshot::{Count, FeedSnapshot, ReloadSnapshot, Snapshot, Unconfirmed},
    state_dir::Edge,
};

/// The longest request that a daemon reads, in bytes.
pub const MAX_REQUEST: usize = 4096;

/// Clients whose requests a daemon reads at the same time; more wait in the
/// socket's queue. Each takes a descriptor and [`MAX_REQUEST`] bytes.
pub const MAX_CLIENTS: usize = 256;

/// Clients that a daemon answers at the same time: an answer may be large.
pub const MAX_ANSWERS: usize = 16;

/// The most flows in one answer.
pub const MAX_FLOWS: usize = 10_000;

/// The most devices in one answer.
pub const MAX_DEVICES: usize = 1_000;

/// How long a client may take to send its request, and again to read the answer.
pub const CLIENT_TIME: Duration = Duration::from_secs(10);

/// The longest time of a trial (`--confirm`). During a trial, the old and the new
/// ruleset are both in memory.
pub const LONGEST_CONFIRM: Duration = Duration::from_hours(24);

/// An answer of the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Who`].
    Who(Box<DaemonIdentity>),
    /// To [`Request::Reload`].
    Reload(Reloaded),
    /// To [`Request::Confirm`].
    Confirmed(Confirmed),
    /// To [`Request::Detach`]: the interfaces that were detached.
    Detached(Vec<String>),
    /// To [`Request::Change`].
    Changed(Box<Changed>),
    /// To [`Request::Flows`].
    Flows(Box<FlowsView>),
    /// To [`Request::Events`].
    Events(Box<EventsView>),
    /// To [`Request::Devices`].
    Devices(Box<DevicesView>),
    /// To [`Request::Report`].
    Report(Box<Report>),
    /// To [`Request::Prove`].
    Proven(Box<Proven>),
    /// To [`Request::Mark`].
    Marked(Box<Marked>),
    /// To [`Request::Published`]: the event is stored.
    Published {},
    /// To [`Request::Capture`]: the capture has begun, and its messages follow.
    Capturing(Box<RunningCapture>),
    /// To [`Request::Data`].
    Data(Box<Listing>),
    /// To [`Request::Doctor`].
    Diagnosis(Box<Diagnosis>),
    /// The policy that counts the frames of `doctor --canary`.
    Canary(CanaryPolicy),
    /// That policy is removed.
    #[serde(rename = "canary-ended")]
    CanaryEnded {},
    /// To [`Request::Forget`].
    Forgotten(Forgotten),
    /// To [`Request::FeedList`], [`Request::FeedFetch`] and [`Request::FeedAccept`]: the state of all feeds afterwards.
    Feeds(Vec<FeedSnapshot>),
    /// To [`Request::NotifyTest`]: what became of each test.
    Notified(Vec<Notified>),
    /// To [`Request::PageLogin`]: the link.
    PageLink(PageLink),
    /// To [`Request::PageLogout`]: the number of sessions that were ended.
    PageEnded(usize),
    /// The daemon refused the request, with the reason.
    Refused(String),
}

/// Identity of the daemon that answers, in a few hundred bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonIdentity {
    /// Process id.
    pub pid: u32,
    /// Version of the program.
    pub version: String,
    /// Pin directory that the daemon holds.
    pub pin_dir: PathBuf,
    /// State directory, which contains the stored feeds.
    pub state_dir: PathBuf,
    /// Policy files and directories in the daemon's settings.
    pub policies: Vec<PathBuf>,
    /// Interfaces in the daemon's settings.
    pub interfaces: Vec<String>,
}

/// The answer to `monitor status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `None`: no daemon answered, and the rest was read from the pins.
    pub daemon: Option<DaemonStatus>,
    /// Problems; empty if none is known.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// Changes by schedule that were missed because no daemon ran; sorted by time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missed_edges: Vec<Edge>,
    /// What the filter saw and did.
    #[serde(flatten)]
    pub snapshot: Snapshot,
}

/// The daemon that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Process id.
    pub pid: u32,
    /// Version of the program.
    pub version: String,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub started: u64,
    /// URL of metrics and page; the first place of `endpoints`.
    pub listen: String,
    /// Every place at which the daemon should serve metrics and the page.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// Pin directory that the daemon holds.
    pub pin_dir: PathBuf,
    /// State directory, which contains the stored feeds.
    #[serde(default)]
    pub state_dir: PathBuf,
    /// Policy files and directories in the daemon's settings.
    pub policies: Vec<PathBuf>,
    /// Enabled policies that have no effect now, sorted by name.
    #[serde(default)]
    pub resting: Vec<Resting>,
    /// Lock-out risks of the policies in force that appeared when addresses changed;
    /// a reload would refuse them.
    #[serde(default)]
    pub risks: Vec<RiskInForce>,
    /// Temporary changes in force, in the order of the commands.
    #[serde(default)]
    pub changes: Vec<StandingChange>,
    /// The capture that runs, if one runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<RunningCapture>,
    /// Interfaces in the settings that are not filtered, sorted by name.
    #[serde(default)]
    pub waiting: Vec<WaitingInterface>,
    /// Interfaces that match a pattern in the settings, and that the pattern does not take;
    /// sorted by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<WaitingInterface>,
}

/// A place at which the daemon should serve metrics and the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `http://127.0.0.1:9641/` or `unix:/run/monitor/http.sock`.
    pub address: String,
    /// True if the daemon serves them there.
    pub serving: bool,
    /// The reason why it does not; the daemon tries again.
    pub error: Option<String>,
}

/// A problem, with its reason and its fix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// `daemon` or `http`.
    pub id: String,
    /// Severity.
    pub status: CheckStatus,
    /// What does not work.
    pub what: String,
    /// The reason.
    pub why: String,
    /// What the operator can do.
    pub fix: String,
}

/// Severity of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// Packets are filtered, but something else does not work.
    Degraded,
}

/// An interface in the settings that is not filtered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingInterface {
    /// Name of the interface.
    pub interface: String,
    /// The reason, a text that begins with the name.
    pub why: String,
}

/// A temporary change by a command, while it is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingChange {
    /// The verb and its object: `block 198.51.100.7`.
    pub command: String,
    /// The policy that the command pauses or creates.
    pub policy: String,
    /// Device that the change is for, as the operator wrote it; `None`: every device.
    pub device: Option<String>,
    /// Time of the command (RFC 3339).
    pub since: String,
    /// Time at which the change ends by itself (RFC 3339).
    pub until: Option<String>,
    /// True if the change is off until the clock is synchronised.
    pub waits_for_clock: bool,
    /// The operator's reason.
    pub reason: Option<String>,
}

/// The policy that counts the frames of `doctor --canary`. It ends by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryPolicy {
    /// Name of the policy.
    pub policy: String,
    /// The IPv4 address that only this run uses.
    pub ipv4: Ipv4Addr,
    /// The IPv6 address that only this run uses.
    pub ipv6: Ipv6Addr,
}

impl StandingChange {
    /// Describes `change` at the time `moment`.
    #[must_use]
    pub fn new(change: &RuntimeChange, moment: &Moment) -> Self {
        let opens = !matches!(
            change.effect,
            Effect::Block(_) | Effect::Reject(_) | Effect::Canary { .. }
        );
        Self {
            command: change.effect.command(),
            policy: change.policy().to_string(),
            device: change.device.clone(),
            since: to_the_second(change.since),
            until: change.ends.map(|end| to_the_second(end.by_clock(moment))),
            waits_for_clock: opens && !change.end_is_known(moment),
            reason: change.reason.clone(),
        }
    }
}

impl fmt::Display for StandingChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.command)?;
        if let Some(device) = &self.device {
            write!(f, " for {device}")?;
        }
        match &self.until {
            Some(until) => write!(f, ", until {until}")?,
            None => f.write_str(", until it is undone")?,
        }
        if self.waits_for_clock {
            f.write_str(", off until the clock is synchronised")?;
        }
        if !self.command.ends_with(&self.policy) {
            write!(f, ", policy {}", self.policy)?;
        }
        match &self.reason {
            Some(reason) => write!(f, ": {}", printable::value(reason)),
            None => Ok(()),
        }
    }
}

/// Result of a temporary change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The change.
    #[serde(flatten)]
    pub change: StandingChange,
    /// True if the change was undone.
    pub undone: bool,
    /// Generation in force on every interface afterwards; `None` if the interfaces
    /// differ or could not be read.
    pub generation: Option<u64>,
    /// Notes for the operator.
    pub notes: Vec<String>,
}

/// Result of `monitor mark`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marked {
    /// Time of the mark (RFC 3339).
    pub at: String,
    /// The devices, one event for each; empty for a mark about all devices.
    pub devices: Vec<MacAddress>,
    /// What the operator states.
    pub mark: Mark,
}

impl fmt::Display for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.at, self.mark)?;
        for device in &self.devices {
            write!(f, ", {device}")?;
        }
        Ok(())
    }
}

/// Counters that `monitor forget` moved to the past of their policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// The device, as the operator wrote it.
    pub device: String,
    /// Number of MACs that had counters.
    pub devices: usize,
    /// Number of places that became free: one for each MAC and policy.
    pub places: usize,
    /// Packets of the device that passed. A packet that two policies matched counts twice.
    pub passed: Count,
    /// Packets of the device that were dropped, counted in the same way.
    pub dropped: Count,
}

/// A link for the login of the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageLink {
    /// The link, once for each address of the page.
    pub links: Vec<String>,
    /// When it ends (RFC 3339).
    pub until: String,
    /// SHA-256 of the certificate, if the page speaks TLS.
    pub fingerprint: Option<String>,
}

/// What became of the test of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notified {
    /// Name of the target.
    pub target: String,
    /// Why it was not sent; `None`: it was.
    pub error: Option<String>,
}

/// A lock-out risk of a policy in force that the policy does not accept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskInForce {
    /// What is cut off.
    pub message: String,
    /// `file:line` of the entry that causes the risk.
    pub source: String,
    /// How to fix it.
    pub help: String,
}

/// An enabled policy that has no effect now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resting {
    /// Name of the policy.
    pub policy: String,
    /// The reason.
    pub reason: String,
    /// Time at which the policy has an effect again (RFC 3339).
    pub until: Option<String>,
}

/// Result of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Generation in force on every interface afterwards; `None` if the interfaces
    /// differ or could not be read.
    pub generation: Option<u64>,
    /// Says whether the files are in force, with the error if not.
    pub reload: ReloadSnapshot,
    /// The trial that runs after the reload.
    #[serde(default)]
    pub unconfirmed: Option<Unconfirmed>,
    /// Notes for the operator.
    pub notes: Vec<String>,
}

impl Reloaded {
    /// Says what is in force afterwards, as a part of a sentence.
    #[must_use]
    pub fn in_force(&self) -> String {
        let in_force = match (self.generation, self.reload.success) {
            (Some(generation), true) => format!("generation {generation} is in force"),
            (Some(generation), false) => format!("generation {generation} stays in force"),
            (None, _) => "`monitor status` shows what each interface has in force".to_owned(),
        };
        match &self.unconfirmed {
            Some(unconfirmed) => format!("{in_force}; {unconfirmed}"),
            None => in_force,
        }
    }
}

/// Result of `monitor confirm`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// The generation that was confirmed.
    pub generation: u64,
    /// Notes for the operator.
    pub notes: Vec<String>,
}
