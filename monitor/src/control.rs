//! What the verbs say to a running daemon: over a Unix socket one line of JSON
//! there, one line of JSON back.

mod ask;

use std::{fmt, path::PathBuf, time::Duration};

pub use ask::{ControlError, ask, ask_within};

use serde::{Deserialize, Serialize};

use crate::{
    clock::to_the_second,
    policy::{Effect, Moment, RuntimeChange},
    printable,
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

/// How long a client may take to say what it wants, and again to read the answer.
pub const CLIENT_TIME: Duration = Duration::from_secs(10);

/// The longest that something may wait to be confirmed: as long it takes the
/// memory of two rulesets.
pub const LONGEST_CONFIRM: Duration = Duration::from_hours(24);

/// A request. The variants have braces because serde refuses unknown keys of
/// these and ignores those of unit variants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// Who are you, and what have you seen?
    Status {},
    /// Which daemon are you? Answered without a look at the kernel.
    Who {},
    /// Read the policies again and make a new generation.
    Reload {
        /// How long it waits to be confirmed, in seconds; `None`: it need not be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confirm: Option<u64>,
    },
    /// Keep what waits to be confirmed.
    Confirm {},
    /// Remove the filter and all pins, and end.
    Detach {},
    /// Pause a policy, block or allow a destination, or undo that.
    Change(ChangeRequest),
    /// The feeds of the policies in force, as they are now.
    #[serde(rename = "feed-list")]
    FeedList {},
    /// Move the counts of a device to the past of their policies.
    Forget {
        /// A MAC, the first bits of one, or a name of the policy files.
        device: String,
    },
    /// Fetch a feed now, or all.
    #[serde(rename = "feed-fetch")]
    FeedFetch {
        /// Name of a policy, label or URL.
        feed: Option<String>,
    },
    /// Take an update that was refused.
    #[serde(rename = "feed-accept")]
    FeedAccept {
        /// Name of a policy, label or URL.
        feed: String,
        /// Of the update that was looked at, hexadecimal.
        sha256: String,
    },
}

impl Request {
    /// What a client sent, with the end of its line: without it the line was too
    /// long or cut short, and what arrived may look like a request that nobody
    /// made. The error says why it is none.
    pub fn from_line(line: &str) -> Result<Self, String> {
        let Some(line) = line.strip_suffix('\n') else {
            return Err(format!("not one line of at most {MAX_REQUEST} bytes"));
        };
        // Serde takes `["detach"]` for one as well.
        if !line.trim_start().starts_with('{') {
            return Err("not an object of JSON".to_owned());
        }
        serde_json::from_str(line).map_err(|error| error.to_string())
    }
}

/// A change that a command asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeRequest {
    /// What it does.
    pub effect: Effect,
    /// For whom: a MAC, the first bits of one, an address, a CIDR, or a name
    /// of the policy files; `None`: for every device.
    pub device: Option<String>,
    /// How long; `None`: until it is undone.
    pub seconds: Option<u64>,
    /// Undo it, and not make it.
    pub undo: bool,
    /// Why, in the operator's words.
    pub reason: Option<String>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Who`].
    Who(Box<Who>),
    /// To [`Request::Reload`].
    Reload(Reloaded),
    /// To [`Request::Confirm`].
    Confirmed(Confirmed),
    /// To [`Request::Detach`]: the interfaces that were detached.
    Detached(Vec<String>),
    /// To [`Request::Change`].
    Changed(Box<Changed>),
    /// To [`Request::Forget`].
    Forgotten(Forgotten),
    /// To [`Request::FeedList`], [`Request::FeedFetch`] and [`Request::FeedAccept`]: all feeds as they are after it.
    Feeds(Vec<FeedSnapshot>),
    /// The request was not carried out.
    Refused(String),
}

/// The daemon that answers, in a few hundred bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// Process id.
    pub pid: u32,
    /// Version of the program.
    pub version: String,
    /// Pin directory that it holds.
    pub pin_dir: PathBuf,
    /// State directory, with what is stored of feeds.
    pub state_dir: PathBuf,
    /// Policy files and directories that it was given.
    pub policies: Vec<PathBuf>,
    /// Interfaces that it was asked to filter.
    pub interfaces: Vec<String>,
}

/// What is happening.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `None`: no daemon answers, and this was read from the pins.
    pub daemon: Option<DaemonStatus>,
    /// What does not work as it should; empty where nothing is known.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// What time would have changed, had a daemon been there; sorted by time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missed_edges: Vec<Edge>,
    /// What the filter has seen and done.
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
    /// Where metrics and the page are, as a URL; the first place of `endpoints`.
    pub listen: String,
    /// Every place where metrics and the page should be served.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// Pin directory that it holds.
    pub pin_dir: PathBuf,
    /// State directory, with what is stored of feeds.
    #[serde(default)]
    pub state_dir: PathBuf,
    /// Policy files and directories that it was given.
    pub policies: Vec<PathBuf>,
    /// Enabled policies that do nothing now, sorted by name.
    #[serde(default)]
    pub resting: Vec<Resting>,
    /// What the policies in force cut off since addresses changed, and a
    /// reload would refuse.
    #[serde(default)]
    pub risks: Vec<RiskInForce>,
    /// What commands changed, in the order in which they asked.
    #[serde(default)]
    pub changes: Vec<StandingChange>,
    /// Interfaces that were asked for and are not filtered, sorted by name.
    #[serde(default)]
    pub waiting: Vec<WaitingInterface>,
}

/// A place where metrics and the page should be served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `http://127.0.0.1:9641/` or `unix:/run/monitor/http.sock`.
    pub address: String,
    /// Whether they are served there.
    pub serving: bool,
    /// Why they are not; the daemon tries again.
    pub error: Option<String>,
}

/// Something that does not work as it should, in the form that `doctor` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// `daemon` or `http`.
    pub id: String,
    /// How bad it is.
    pub status: CheckStatus,
    /// What does not work.
    pub what: String,
    /// Why.
    pub why: String,
    /// What to do.
    pub fix: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// Packets are filtered; something beside that does not work.
    Degraded,
}

/// An interface that was asked for and is not filtered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingInterface {
    /// Its name.
    pub interface: String,
    /// Why, in words that begin with the name.
    pub why: String,
}

/// A change that a command made, and that stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingChange {
    /// The verb and its object: `block 198.51.100.7`.
    pub command: String,
    /// The policy that it pauses or makes.
    pub policy: String,
    /// For whom, as the operator named them; `None`: for every device.
    pub device: Option<String>,
    /// When it was asked for (RFC 3339).
    pub since: String,
    /// When it ends by itself (RFC 3339).
    pub until: Option<String>,
    /// It waits for a synchronised clock: when it ends is not known well enough.
    pub waits_for_clock: bool,
    /// Why, in the operator's words.
    pub reason: Option<String>,
}

impl StandingChange {
    /// `change`, as it stands at `moment`.
    #[must_use]
    pub fn new(change: &RuntimeChange, moment: &Moment) -> Self {
        let opens = !matches!(change.effect, Effect::Block(_));
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

/// How a change went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The change.
    #[serde(flatten)]
    pub change: StandingChange,
    /// It was undone, and stands no more.
    pub undone: bool,
    /// The generation that every interface runs after it; `None` where they
    /// differ or could not be read.
    pub generation: Option<u64>,
    /// Things an operator should know.
    pub notes: Vec<String>,
}

/// What was moved to the past of the policies that counted it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// As it was asked for.
    pub device: String,
    /// MACs that had counts.
    pub devices: usize,
    /// Places that are free now: one for each policy that counted a MAC.
    pub places: usize,
    /// Packets that had passed, once for each policy that matched them.
    pub passed: Count,
    /// Packets that were dropped, once for each policy that matched them.
    pub dropped: Count,
}

/// A risk that a policy in force runs and does not accept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskInForce {
    /// What is cut off.
    pub message: String,
    /// `file:line` of what does it.
    pub source: String,
    /// How to mend it.
    pub help: String,
}

/// A policy that is enabled and does nothing now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resting {
    /// Its name.
    pub policy: String,
    /// Why, in words.
    pub reason: String,
    /// When that changes by itself (RFC 3339).
    pub until: Option<String>,
}

/// How a reload went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The generation that every interface runs after it; `None` where they
    /// differ or could not be read.
    pub generation: Option<u64>,
    /// Whether the files are in force, and why not.
    pub reload: ReloadSnapshot,
    /// What waits to be confirmed after it.
    #[serde(default)]
    pub unconfirmed: Option<Unconfirmed>,
    /// Things an operator should know.
    pub notes: Vec<String>,
}

impl Reloaded {
    /// What is in force after it, as the middle of a sentence.
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

/// What was confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// The generation that is in force for good now.
    pub generation: u64,
    /// Things an operator should know.
    pub notes: Vec<String>,
}
