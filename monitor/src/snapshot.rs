//! What the filter has seen and done at one moment: the only thing that
//! metrics, status and reports receive. Counts are totals since the counters
//! were created, over every generation.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::policy::{Action, MacAddress};

/// Packets and bytes on the wire, layer 2 included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Program runs; in generic mode a GRO aggregate is one packet.
    pub packets: u64,
    /// Bytes of those packets.
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
    /// Packets that went on.
    pub passed: Count,
    /// Packets that the filter dropped.
    pub dropped: Count,
}

impl Verdicts {
    /// Packets of both verdicts.
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

/// The whole state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Sorted by name.
    pub interfaces: Vec<InterfaceSnapshot>,
    /// Sorted by name; also policies that are no longer in force, while their
    /// counters live.
    pub policies: Vec<PolicySnapshot>,
    /// How full the device tables are.
    #[serde(default)]
    pub places: Vec<PlacesSnapshot>,
    /// Hash of the newest ruleset in force, hexadecimal: the same on every
    /// gateway with the same policies.
    pub ruleset: Option<String>,
    /// How the last load of the policies went; `None` where no daemon says so.
    pub reload: Option<ReloadSnapshot>,
    /// What is to be confirmed, or was not in time.
    #[serde(default)]
    pub unconfirmed: Option<Unconfirmed>,
    /// The lists that the policies in force have fetched, sorted by URL; empty
    /// where no daemon says so.
    #[serde(default)]
    pub feeds: Vec<FeedSnapshot>,
    /// Work of the daemon that has begun and not ended; what stands here may be
    /// older than it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working: Option<Working>,
}

impl Snapshot {
    /// Gives the devices the names that the operator gave their MACs.
    pub fn name_devices(&mut self, names: &BTreeMap<MacAddress, String>) {
        let policies = self.policies.iter_mut();
        for device in policies.flat_map(|policy| &mut policy.devices) {
            device.name = names.get(&device.mac).cloned();
        }
    }
}

/// Work of the daemon that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Working {
    /// A noun phrase: `a reload`.
    pub what: String,
    /// How long it has been under way, in whole seconds.
    pub seconds: u64,
}

impl Working {
    /// After this many seconds the work counts as hanging. A reload of two whole
    /// routing tables takes two seconds on a small machine.
    pub const HANGS_AFTER: u64 = 10;

    /// Whether it takes longer than any work should.
    #[must_use]
    pub const fn hangs(&self) -> bool {
        self.seconds >= Self::HANGS_AFTER
    }
}

/// As a sentence without its end.
impl fmt::Display for Working {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, seconds } = self;
        write!(f, "{what} has been under way for {seconds} s")
    }
}

/// How the filter is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In the driver, before a socket buffer is made.
    Native,
    /// In the network stack, after a socket buffer is made; every interface has it.
    Generic,
}

impl Mode {
    /// `native` or `generic`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceSnapshot {
    /// As the kernel names it.
    pub name: String,
    /// `None`: counters exist, but no filter is attached now.
    pub mode: Option<Mode>,
    /// The generation in force, where one is.
    pub generation: Option<u64>,
    /// IPv4 packets by verdict.
    pub ipv4: Verdicts,
    /// IPv6 packets by verdict.
    pub ipv6: Verdicts,
    /// Frames that the parser gave up on, by reason, in a fixed order, zeros included.
    #[serde(with = "by_reason")]
    pub unparsed: Vec<(String, Verdicts)>,
    /// Frames that passed without being parsed, because the generation was not confirmed
    /// in time and there was no generation before it. `undecided` in the answers of
    /// older daemons.
    #[serde(alias = "undecided")]
    pub not_confirmed: Count,
    /// Matched packets, counted as well, that `run --log-packets` did not write because
    /// the log had no room. `unlogged` in the answers of older daemons.
    #[serde(default, alias = "unlogged")]
    pub lost_log: u64,
}

impl InterfaceSnapshot {
    /// Frames that the parser gave up on, over all reasons.
    #[must_use]
    pub fn unparsed_sum(&self) -> Verdicts {
        let mut sum = Verdicts::default();
        for (_, verdicts) in &self.unparsed {
            sum += *verdicts;
        }
        sum
    }
}

/// One policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySnapshot {
    /// As written in the policy file.
    pub name: String,
    /// `None`: no longer in force, its counters live on.
    pub action: Option<Action>,
    /// Prefixes it has in the ruleset in force.
    pub prefixes: Prefixes,
    /// Packets it matched, by what became of them.
    pub matched: Verdicts,
    /// The part of `matched` whose device found no room in the device tables.
    pub other: Verdicts,
    /// The part of `matched` of devices whose places were taken back: they were
    /// not seen for long, or the operator forgot them.
    #[serde(default)]
    pub past: Verdicts,
    /// The rest of `matched`, by device, sorted by MAC.
    pub devices: Vec<DeviceSnapshot>,
}

/// The places of one device table: each holds one (device, policy).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacesSnapshot {
    /// For which devices the table is: `any`, `named` or `neighbour`.
    pub kept_for: String,
    /// Places that a device has.
    pub used: usize,
    /// Places that there are.
    pub size: usize,
}

/// Prefixes by family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Prefixes {
    /// IPv4.
    pub v4: usize,
    /// IPv6.
    pub v6: usize,
}

/// One device under one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSnapshot {
    /// Source MAC: the last hop, which may hide several devices.
    pub mac: MacAddress,
    /// What the operator calls it; nobody knows where no daemon runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Packets of it that the policy matched.
    pub matched: Verdicts,
}

/// The last load of the policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadSnapshot {
    /// Whether the files as they are now are in force.
    pub success: bool,
    /// When it ended, in seconds since 1970-01-01T00:00:00Z.
    pub timestamp: u64,
    /// Why the files are not in force: rendered diagnostics, or the kernel's answer.
    pub error: Option<String>,
}

/// A generation that is to be confirmed, or was not in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unconfirmed {
    /// Its number; `None` where it is gone.
    pub generation: Option<u64>,
    /// The generation that decides where it is not confirmed; `None`: packets
    /// pass, and are counted as `not_confirmed`.
    pub previous: Option<u64>,
    /// How long it could be confirmed.
    pub within_seconds: u64,
    /// How long it still can.
    pub seconds_left: u64,
    /// It was not confirmed in time, and does not decide any more.
    pub rolled_back: bool,
}

/// What it means and what to do, as the end of a sentence.
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
                "it is NOT CONFIRMED: keep it with `monitor confirm`, else in {} s",
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

/// A list that is fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedSnapshot {
    /// Host and path of its URL, and a number where that is not unique.
    pub feed: String,
    /// The enabled policies that use it, sorted.
    pub policies: Vec<String>,
    /// How the last attempt to fetch it ended.
    pub state: FeedState,
    /// Why it was refused or failed, and what to do.
    pub reason: Option<String>,
    /// Seconds since the list in force was last found to be what the URL gives;
    /// `None`: nothing of it is in force.
    pub age: Option<u64>,
    /// When the list in force was fetched, in seconds since 1970-01-01T00:00:00Z.
    pub fetched_at: Option<u64>,
    /// When it was last found to be what the URL gives.
    pub checked_at: Option<u64>,
    /// When it was last tried to fetch it.
    pub last_attempt: Option<u64>,
    /// When that is tried again; `None` where no daemon says so.
    pub next_attempt: Option<u64>,
    /// Lines whose destinations are in force, all or in part.
    pub destinations: usize,
    /// Destinations of which all or a part is cut out, because it is reserved.
    pub cut: usize,
    /// The reserved networks that were in it.
    pub cut_networks: Vec<String>,
    /// SHA-256 of the update that was refused and can be accepted.
    pub candidate: Option<String>,
}

/// How the last attempt to fetch a feed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedState {
    /// The list in force is what the URL gave.
    Current,
    /// What the URL gave was not taken; the last good list stays in force.
    Refused,
    /// The URL gave nothing; the last good list stays in force.
    Failed,
    /// It was not tried yet, or nothing that can be used is stored.
    NeverFetched,
}

impl FeedState {
    /// In words.
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

/// Pairs ⇄ a map that keeps their order.
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
            let mut counts = Vec::new();
            while let Some(count) = map.next_entry()? {
                counts.push(count);
            }
            Ok(counts)
        }
    }
}
