//! Requests of a client.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{MAX_REQUEST, capture::AskedCapture};
use crate::{
    evidence::{mark::Mark, published::Published},
    policy::Effect,
    report_facts::Since,
    store::AskedProof,
};

/// A request. All variants have braces, because serde refuses unknown keys in such
/// variants, but ignores them in unit variants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// Ask for the identity of the daemon and the counters of its filter.
    Status {},
    /// Ask for the identity of the daemon. The daemon answers without reading the kernel.
    Who {},
    /// Read the policies again and make a new generation.
    Reload {
        /// Time of the trial in seconds; `None`: no trial.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confirm: Option<u64>,
    },
    /// Confirm the trial.
    Confirm {},
    /// Remove the filter and all pins, and end the daemon.
    Detach {},
    /// Pause a policy, block or allow a destination, or undo such a change.
    Change(ChangeRequest),
    /// Ask for the state of all feeds of the policies in force.
    #[serde(rename = "feed-list")]
    FeedList {},
    /// Ask for flows.
    Flows(AskedFlows),
    /// Ask for events.
    Events {
        /// Only events after the one with this number; `None`: the latest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<i64>,
        /// Which events.
        about: AskedFlows,
    },
    /// Ask for the devices of flows, and for those that are known otherwise.
    Devices(AskedFlows),
    /// Ask for a report.
    Report(AskedReport),
    /// Prove that a report and its evidence are in the log.
    Prove(AskedProof),
    /// Put a mark on the time line.
    Mark(MarkRequest),
    /// Note that an authority stamped a head of the log.
    Published(Published),
    /// Capture the packets of a policy.
    Capture(AskedCapture),
    /// Ask for the sources of data about ranges.
    Data {},
    /// Ask what the gateway does not see.
    Doctor {},
    /// Count the packets to two addresses that no policy names.
    Canary {
        /// Seconds after which the policy ends by itself.
        seconds: u64,
    },
    /// End the policy of [`Self::Canary`].
    #[serde(rename = "canary-end")]
    CanaryEnd {},
    /// Move the counters of a device to the past of its policies, and erase its evidence.
    Forget {
        /// A MAC, the first bits of one, or a name in `devices:`.
        device: String,
    },
    /// Download a feed now, or all feeds.
    #[serde(rename = "feed-fetch")]
    FeedFetch {
        /// Name of a policy, label or URL.
        feed: Option<String>,
    },
    /// Send a test to a target of alerts, or to all.
    #[serde(rename = "notify-test")]
    NotifyTest {
        /// Name of the target.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<String>,
    },
    /// Make a link for the login of the page.
    #[serde(rename = "page-login")]
    PageLogin {},
    /// End all sessions of the page.
    #[serde(rename = "page-logout")]
    PageLogout {},
    /// Put a refused update in force.
    #[serde(rename = "feed-accept")]
    FeedAccept {
        /// Name of a policy, label or URL.
        feed: String,
        /// SHA-256 of the update that the operator saw, hexadecimal.
        sha256: String,
    },
}

impl Request {
    /// Returns true if the daemon changes something for this request. Then only root
    /// and the user that runs the daemon may ask.
    #[must_use]
    pub const fn changes(&self) -> bool {
        match self {
            Self::Status {}
            | Self::Who {}
            | Self::FeedList {}
            | Self::Flows(_)
            | Self::Events { .. }
            | Self::Devices(_)
            | Self::Report(_)
            | Self::Data {}
            | Self::Doctor {} => false,
            Self::Reload { .. }
            | Self::Confirm {}
            | Self::Detach {}
            | Self::Change(_)
            | Self::Forget { .. }
            | Self::Mark(_)
            | Self::Prove(_)
            | Self::Published(_)
            | Self::Capture(_)
            | Self::Canary { .. }
            | Self::CanaryEnd {}
            | Self::FeedFetch { .. }
            | Self::NotifyTest { .. }
            | Self::PageLogin {}
            | Self::PageLogout {}
            | Self::FeedAccept { .. } => true,
        }
    }

    /// Parses a line from a client. The line must end with a newline: otherwise it
    /// was too long or truncated, and its beginning may look like another request.
    /// The error says why the line is not a request.
    pub fn from_line(line: &str) -> Result<Self, String> {
        let Some(line) = line.strip_suffix('\n') else {
            return Err(format!("it is not one line of at most {MAX_REQUEST} bytes"));
        };
        // Serde would accept `["detach"]` as a request too.
        if !line.trim_start().starts_with('{') {
            return Err("it is not a JSON object".to_owned());
        }
        serde_json::from_str(line).map_err(|error| error.to_string())
    }
}

/// The flows that a client asks for, or the devices of these flows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedFlows {
    /// Leave out flows whose last packet is older, in seconds since 1970-01-01T00:00:00Z.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// Leave out flows whose first packet is not older, in the same unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// Only flows of this device: a MAC, or a name in `devices:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Only flows that this policy matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Only flows to this address, CIDR or range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// The most flows, at most [`MAX_FLOWS`](super::MAX_FLOWS), or the most devices, at most
    /// [`MAX_DEVICES`](super::MAX_DEVICES).
    pub limit: usize,
}

/// The report that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedReport {
    /// Begin of the period.
    pub since: Since,
    /// End of the period; `None`: `at`, or else the last time that the store knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Time of the report, as the client states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Only this device: a MAC, or a name in `devices:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Only packets that this policy matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The most flows to list of one device and list of policies.
    pub limit: u32,
}

/// A request to put a mark on the time line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarkRequest {
    /// What the operator states.
    pub mark: Mark,
    /// The device: a MAC, or a name in `devices:`; `None`: every device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Time of the mark; `None`: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// A request to make or undo a temporary change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeRequest {
    /// The effect of the change.
    pub effect: Effect,
    /// Device that the change is for: a MAC, the first bits of one, an address, a
    /// CIDR, or a name in `devices:`; `None`: every device.
    pub device: Option<String>,
    /// Length of the change in seconds; `None`: until an operator undoes it.
    pub seconds: Option<u64>,
    /// True to undo the change, false to make it.
    pub undo: bool,
    /// The operator's reason.
    pub reason: Option<String>,
}
