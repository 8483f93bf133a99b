//! The state and the counters of the filter at one moment. Metrics, page, status and
//! reports receive only this. Counts are totals since the counters were created, over
//! all generations.

mod answers;
mod evidence;
mod working;

use std::{collections::BTreeMap, fmt};

pub use answers::Answers;
pub use evidence::{EffectiveSnapshot, EvidenceFailure, EvidenceSnapshot};
pub use working::Working;

use serde::{Deserialize, Serialize};

use crate::policy::{Action, Direction, MacAddress};

/// A number of packets and their bytes on the wire, with the layer 2 header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Number of runs of the filter program. In generic mode, a GRO aggregate is one
    /// packet.
    pub packets: u64,
    /// Number of bytes of these packets.
    pub bytes: u64,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

impl From<monitor_common::Count> for Count {
    fn from(count: monitor_common::Count) -> Self {
        Self {
            packets: count.packets,
            bytes: count.bytes,
        }
    }
}

/// A count for each verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdicts {
    /// Packets that the filter let pass.
    pub passed: Count,
    /// Packets that the filter dropped.
    pub dropped: Count,
}

impl Verdicts {
    /// Returns the number of packets of both verdicts.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.passed.packets + self.dropped.packets
    }
}

impl std::ops::AddAssign for Verdicts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.dropped += other.dropped;
    }
}

/// The state of the whole filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// All interfaces with counters, sorted by name.
    pub interfaces: Vec<InterfaceSnapshot>,
    /// All policies with counters, sorted by name. Includes policies that are no longer
    /// in force.
    pub policies: Vec<PolicySnapshot>,
    /// Used and total places of each device table.
    #[serde(default)]
    pub places: Vec<PlacesSnapshot>,
    /// Hash of the newest ruleset in force, in hexadecimal. It is the same on every
    /// gateway with the same policies.
    pub ruleset: Option<String>,
    /// The last load of the policies. `None` if there was none or no daemon runs.
    pub reload: Option<ReloadSnapshot>,
    /// The trial that waits to be confirmed, or that was not confirmed in time.
    #[serde(default)]
    pub unconfirmed: Option<Unconfirmed>,
    /// The feeds of the policies in force, sorted by URL. Empty if no daemon runs.
    #[serde(default)]
    pub feeds: Vec<FeedSnapshot>,
    /// What is recorded in flows. `None` if nothing was recorded since the counters were
    /// created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceSnapshot>,
    /// The daemon's task in progress, if there is one. The other fields may show the
    /// state before this task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working: Option<Working>,
    /// For each check of `monitor doctor`, true if it found something that the gateway does
    /// not see. Without the checks that could not look. Empty before the daemon ran them, and
    /// if no daemon runs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub blind: BTreeMap<String, bool>,
}

impl Snapshot {
    /// Sets the names of all devices. `names` holds the operator's name for each MAC.
    pub fn name_devices(&mut self, names: &BTreeMap<MacAddress, String>) {
        let policies = self.policies.iter_mut();
        for device in policies.flat_map(|policy| &mut policy.devices) {
            device.name = names.get(&device.mac).cloned();
        }
    }
}

/// The way in which the filter is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The filter runs in the driver, before the kernel allocates a socket buffer.
    Native,
    /// The filter runs in the network stack, after the kernel allocated a socket
    /// buffer. Every interface supports this mode.
    Generic,
    /// The filter is a classifier, attached by a link, and sees the packets that leave.
    Tcx,
    /// The same without a link, on kernels before 6.6.
    Clsact,
}

impl Mode {
    /// Returns `native`, `generic`, `tcx` or `clsact`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }

    /// True if the filter sees the packets that leave, and not those that arrive.
    #[must_use]
    pub const fn is_egress(self) -> bool {
        matches!(self, Self::Tcx | Self::Clsact)
    }
}

/// The state and the counters of one interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceSnapshot {
    /// The kernel's name for it.
    pub name: String,
    /// Direction of the packets that are counted here. An interface towards the internet
    /// has one entry for each direction.
    #[serde(default)]
    pub direction: Direction,
    /// The mode of the attached filter. `None` if no filter is attached now.
    pub mode: Option<Mode>,
    /// True if its program reads frames in several buffers, which native mode needs for
    /// large MTUs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frags: bool,
    /// Number of the generation in force, if there is one.
    pub generation: Option<u64>,
    /// IPv4 packets by verdict.
    pub ipv4: Verdicts,
    /// IPv6 packets by verdict.
    pub ipv6: Verdicts,
    /// Frames that the parser could not read, for each reason in a fixed order. Has an
    /// entry for every reason, even if the count is zero.
    #[serde(with = "by_reason")]
    pub unparsed: Vec<(String, Verdicts)>,
    /// Frames that passed without being parsed, because the generation was not
    /// confirmed in time and there was no generation before it. Older daemons call
    /// this field `undecided`.
    #[serde(alias = "undecided")]
    pub not_confirmed: Count,
    /// Matched packets that `run --log-packets` did not write, because the log had no
    /// room. They are counted like other packets. Older daemons call this field
    /// `unlogged`.
    #[serde(default, alias = "unlogged")]
    pub lost_log: u64,
    /// Packets that a `reject` dropped, by what came back.
    #[serde(default)]
    pub answers: Answers,
}

impl InterfaceSnapshot {
    /// Returns the sum of the unparsed frames over all reasons.
    #[must_use]
    pub fn unparsed_sum(&self) -> Verdicts {
        let mut sum = Verdicts::default();
        for (_, verdicts) in &self.unparsed {
            sum += *verdicts;
        }
        sum
    }
}

/// The state and the counters of one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySnapshot {
    /// The name in the policy file.
    pub name: String,
    /// The action. `None` if the policy is no longer in force; its counters remain.
    pub action: Option<Action>,
    /// Number of its prefixes in the ruleset in force.
    pub prefixes: Prefixes,
    /// Packets `out` that it matched, by verdict.
    pub matched: Verdicts,
    /// Packets `in` that it matched, by verdict. No device is known for them.
    #[serde(default, rename = "in")]
    pub incoming: Verdicts,
    /// The part of `matched` from devices that got no place in the device tables.
    pub other: Verdicts,
    /// The part of `matched` from devices whose places were taken back. They were not
    /// seen for a long time, or the operator told the daemon to forget them.
    #[serde(default)]
    pub past: Verdicts,
    /// The rest of `matched`, for each device, sorted by MAC.
    pub devices: Vec<DeviceSnapshot>,
}

/// The places of one device table. Each place is for one device and one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacesSnapshot {
    /// The devices that may use the table: `any`, `named` or `neighbour`.
    pub kept_for: String,
    /// Number of used places.
    pub used: usize,
    /// Number of all places.
    pub size: usize,
}

/// A number of prefixes for each family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Prefixes {
    /// IPv4.
    pub v4: usize,
    /// IPv6.
    pub v6: usize,
}

/// Counts of the packets that one device sent and one policy matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSnapshot {
    /// The source MAC: the last hop, which may forward packets of several devices.
    pub mac: MacAddress,
    /// The operator's name for it. `None` if it has none or no daemon runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its packets that the policy matched, by verdict.
    pub matched: Verdicts,
}

/// The result of the last load of the policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadSnapshot {
    /// True if the files are in force as the daemon read them.
    pub success: bool,
    /// Time at which the load ended, in seconds since 1970-01-01T00:00:00Z.
    pub timestamp: u64,
    /// The reason why the files are not in force: the diagnostics as text, or the
    /// error of the kernel.
    pub error: Option<String>,
}

/// A trial: a generation that waits to be confirmed, or that was not confirmed in
/// time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unconfirmed {
    /// Number of the generation. `None` if it no longer exists.
    pub generation: Option<u64>,
    /// Number of the generation that decides if this one is not confirmed. `None` if
    /// there is none; then packets pass, and count as `not_confirmed`.
    pub previous: Option<u64>,
    /// Length of the trial, in seconds.
    pub within_seconds: u64,
    /// Time left to confirm it, in seconds.
    pub seconds_left: u64,
    /// True if the trial ended without confirmation, so this generation no longer
    /// decides.
    pub rolled_back: bool,
}

/// Writes the meaning and what to do, as the second part of a sentence.
impl fmt::Display for Unconfirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = self.within_seconds;
        match (self.rolled_back, self.generation) {
            (true, Some(generation)) => write!(
                f,
                "rolled back: generation {generation} was not confirmed within {within} s"
            )?,
            (true, None) => write!(f, "rolled back: not confirmed within {within} s")?,
            (false, _) => write!(
                f,
                "it is NOT CONFIRMED: keep it with `monitor confirm`, otherwise in {} s",
                self.seconds_left
            )?,
        }
        match (self.rolled_back, self.previous) {
            (true, None) if self.generation.is_none() => Ok(()),
            (true, Some(previous)) => write!(f, ", generation {previous} decides again"),
            (true, None) => f.write_str(", and every packet passes: there was nothing before it"),
            (false, Some(previous)) => write!(f, " generation {previous} decides again"),
            (false, None) => f.write_str(" every packet passes: there is nothing before it"),
        }
    }
}

/// The state of one feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedSnapshot {
    /// Host and path of its URL, with a number if several feeds have the same.
    pub feed: String,
    /// The enabled policies that use it, sorted.
    pub policies: Vec<String>,
    /// Result of the last attempt to fetch it.
    pub state: FeedState,
    /// If the update was refused or the attempt failed: the reason, and what to do.
    pub reason: Option<String>,
    /// Seconds since the daemon last found the list in force equal to the content of the
    /// URL. `None` if no version of it is in force.
    pub age: Option<u64>,
    /// Time at which the list in force was fetched. All times of this struct are in
    /// seconds since 1970-01-01T00:00:00Z.
    pub fetched_at: Option<u64>,
    /// Time at which the daemon last found it equal to the content of the URL.
    pub checked_at: Option<u64>,
    /// Time of the last attempt to fetch it.
    pub last_attempt: Option<u64>,
    /// Time of the next attempt. `None` if no daemon runs.
    pub next_attempt: Option<u64>,
    /// Number of lines whose destinations are in force, wholly or partly.
    pub destinations: usize,
    /// Number of destinations that are cut out wholly or partly, because they are
    /// reserved.
    pub cut: usize,
    /// The reserved networks that overlap them.
    pub cut_networks: Vec<String>,
    /// SHA-256 of the refused update that can be accepted, if there is one.
    pub candidate: Option<String>,
}

/// The result of the last attempt to fetch a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedState {
    /// The list in force is the content of the URL.
    Current,
    /// The content of the URL was refused. The last good list stays in force.
    Refused,
    /// The fetch failed. The last good list stays in force.
    Failed,
    /// There was no attempt yet, or no usable content is stored.
    NeverFetched,
}

impl FeedState {
    /// Returns the state in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::NeverFetched => "never fetched",
        }
    }
}

/// Serialises pairs of reason and counts as a map in the same order, and back.
mod by_reason {
    use std::fmt;

    use serde::{
        Deserializer, Serializer,
        de::{MapAccess, Visitor},
    };

    use super::Verdicts;

    pub(super) fn serialize<S: Serializer>(
        counts: &[(String, Verdicts)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(counts.iter().map(|(reason, count)| (reason, count)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(String, Verdicts)>, D::Error> {
        deserializer.deserialize_map(Pairs)
    }

    struct Pairs;

    impl<'de> Visitor<'de> for Pairs {
        type Value = Vec<(String, Verdicts)>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a map of counts by reason")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            std::iter::from_fn(|| map.next_entry().transpose()).collect()
        }
    }
}
