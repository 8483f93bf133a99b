//! What the checks found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What `doctor --json` prints.
#[derive(Debug, Serialize)]
pub struct Printed<'a> {
    checks: Vec<PrintedFinding<'a>>,
    /// Number of findings with the status `blind` that the operator did not accept.
    blind: usize,
}

/// A finding in `doctor --json`.
#[derive(Debug, Serialize)]
struct PrintedFinding<'a> {
    id: CheckName,
    /// `ok`, `blind` or `degraded`. A check that could not look is `degraded`.
    status: &'static str,
    /// False if the check could not look.
    looked: bool,
    what: &'a str,
    why: &'a str,
    fix: &'a str,
    /// The operator's reason for accepting the finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<&'a str>,
}

/// Everything that the checks found at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The findings, in the order of [`CheckName::ALL`].
    pub checks: Vec<Finding>,
    /// Number of findings with the status `blind` that the operator did not accept.
    pub blind: usize,
    /// What the operator accepts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    accepted: Vec<Accepted>,
}

impl Diagnosis {
    /// Adds up the findings.
    #[must_use]
    pub fn new(checks: Vec<Finding>) -> Self {
        let blind = checks.iter().filter(|finding| finding.is_blind()).count();
        Self {
            checks,
            blind,
            accepted: Vec::new(),
        }
    }

    /// Marks the findings that the operator accepts. A finding stays in the list.
    #[must_use]
    pub fn accepted_by(self, accepted: &[Accepted]) -> Self {
        let mut checks = self.checks;
        for finding in &mut checks {
            let mut own = accepted.iter();
            let own = own.find(|accepted| accepted.covers(finding));
            finding.remark.accepted = own.map(|accepted| accepted.reason.clone());
        }
        Self {
            accepted: accepted.to_vec(),
            ..Self::new(checks)
        }
    }

    /// Adds the findings of the canary.
    #[must_use]
    pub fn and(self, remarks: Vec<Remark>) -> Self {
        let mut checks = self.checks;
        checks.extend(remarks.into_iter().map(|remark| Finding {
            check: CheckName::Canary,
            remark,
        }));
        Self::new(checks).accepted_by(&self.accepted)
    }

    /// True if a check could not look.
    #[must_use]
    pub fn has_unknown(&self) -> bool {
        CheckName::ALL
            .into_iter()
            .any(|check| self.is_unknown(check))
    }

    fn is_unknown(&self, check: CheckName) -> bool {
        self.has(check, FindingStatus::Unknown)
    }

    fn has(&self, check: CheckName, status: FindingStatus) -> bool {
        let mut own = self.checks.iter().filter(|finding| finding.check == check);
        own.any(|finding| finding.remark.status == status)
    }

    /// Takes from `other` the findings of each check that could look only there.
    #[must_use]
    pub fn completed_by(self, other: &Self) -> Self {
        let each = CheckName::ALL.into_iter().flat_map(|check| {
            let knows_more = self.is_unknown(check) && !other.is_unknown(check);
            let source = if knows_more { other } else { &self };
            let own = source
                .checks
                .iter()
                .filter(move |finding| finding.check == check);
            own.cloned()
        });
        Self::new(each.collect()).accepted_by(&self.accepted)
    }

    /// The findings for programs.
    #[must_use]
    pub fn printed(&self) -> Printed<'_> {
        let checks = self.checks.iter().map(|Finding { check, remark }| {
            let looked = remark.status != FindingStatus::Unknown;
            let status = if looked {
                remark.status
            } else {
                FindingStatus::Degraded
            };
            PrintedFinding {
                id: *check,
                status: status.word(),
                looked,
                what: &remark.what,
                why: &remark.why,
                fix: &remark.fix,
                accepted: remark.accepted.as_deref(),
            }
        });
        Printed {
            checks: checks.collect(),
            blind: self.blind,
        }
    }

    /// Returns for each check true if it found blindness that the operator did not accept, else
    /// false. Leaves out a check that found none and could not look at everything.
    #[must_use]
    pub fn by_check(&self) -> BTreeMap<String, bool> {
        let each = CheckName::ALL.into_iter().filter_map(|check| {
            let mut own = self.checks.iter().filter(|finding| finding.check == check);
            let is_blind = own.any(Finding::is_blind);
            (is_blind || !self.is_unknown(check)).then(|| (check.name().to_owned(), is_blind))
        });
        each.collect()
    }
}

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The check that found it.
    pub check: CheckName,
    /// What it found.
    #[serde(flatten)]
    pub remark: Remark,
}

impl Finding {
    /// True if packets or evidence are not seen, and the operator did not accept that.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.remark.status == FindingStatus::Blind && self.remark.accepted.is_none()
    }
}

/// A finding that the operator accepts: `doctor.accept` in the config file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// The check.
    pub check: CheckName,
    /// Only findings whose text has this word, such as the name of an interface; `None`: every
    /// finding of the check.
    #[serde(default)]
    pub about: Option<String>,
    /// The operator's reason.
    pub reason: String,
}

impl Accepted {
    fn covers(&self, finding: &Finding) -> bool {
        let has_word = |word: &str| {
            let is_part =
                |c: char| !(c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | '@' | '/'));
            finding.remark.what.split(is_part).any(|own| own == word)
        };
        let is_bad = finding.remark.status != FindingStatus::Ok;
        is_bad && self.check == finding.check && self.about.as_deref().is_none_or(has_word)
    }
}

/// What a check says about one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// Severity.
    pub status: FindingStatus,
    /// What was found.
    pub what: String,
    /// The reason, or what follows from it. May be empty if the status is `ok`.
    pub why: String,
    /// What the operator can do. Empty if the status is `ok`.
    pub fix: String,
    /// The operator's reason for accepting the finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
}

impl Remark {
    /// Everything is seen.
    pub(super) fn ok(what: impl Into<String>) -> Self {
        Self::new(FindingStatus::Ok, what, "", "")
    }

    /// Everything is seen, but less is known, or later.
    pub(super) fn degraded(
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(FindingStatus::Degraded, what, why, fix)
    }

    /// Packets or evidence are not seen.
    pub(super) fn blind(
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(FindingStatus::Blind, what, why, fix)
    }

    /// The check could not look.
    pub(super) fn unknown(
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(FindingStatus::Unknown, what, why, fix)
    }

    fn new(
        status: FindingStatus,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            status,
            what: what.into(),
            why: why.into(),
            fix: fix.into(),
            accepted: None,
        }
    }
}

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingStatus {
    /// Nothing is wrong.
    Ok,
    /// Packets are seen, but something about them is not, or may soon not be.
    Degraded,
    /// Packets or evidence are not seen.
    Blind,
    /// The check could not look.
    Unknown,
}

impl FindingStatus {
    /// Returns the word for people and for JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Blind => "blind",
            Self::Unknown => "unknown",
        }
    }
}

/// Name of a check: the label `check` of `monitor_blind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckName {
    /// Interfaces that carry packets of devices, and have no filter.
    Interface,
    /// The mode of XDP.
    Mode,
    /// Programs of others on the way of the packets.
    Program,
    /// Hardware that forwards packets by itself.
    Offload,
    /// Packets from device to device that the gateway does not receive.
    Station,
    /// IPv6 without policies.
    Ipv6,
    /// Tunnels that end at this gateway.
    Tunnel,
    /// Policies that are not in force.
    Policy,
    /// Lists that the daemon downloads.
    Feed,
    /// Data about address ranges.
    Data,
    /// The daemon itself.
    Daemon,
    /// Metrics and page.
    Http,
    /// Features of the kernel.
    Kernel,
    /// Rights of the process.
    Capability,
    /// The clock.
    Clock,
    /// Room in the state directory.
    Disk,
    /// Evidence that was lost.
    Evidence,
    /// Frames that `doctor --canary` sent. Only the command runs this check.
    Canary,
}

impl CheckName {
    /// All checks that look without sending anything, in the order of the answer.
    pub const ALL: [Self; 17] = [
        Self::Interface,
        Self::Mode,
        Self::Program,
        Self::Offload,
        Self::Station,
        Self::Ipv6,
        Self::Tunnel,
        Self::Policy,
        Self::Feed,
        Self::Data,
        Self::Daemon,
        Self::Http,
        Self::Kernel,
        Self::Capability,
        Self::Clock,
        Self::Disk,
        Self::Evidence,
    ];

    /// Returns the word for people, JSON and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interface => "interface",
            Self::Mode => "mode",
            Self::Program => "program",
            Self::Offload => "offload",
            Self::Station => "station",
            Self::Ipv6 => "ipv6",
            Self::Tunnel => "tunnel",
            Self::Policy => "policy",
            Self::Feed => "feed",
            Self::Data => "data",
            Self::Daemon => "daemon",
            Self::Http => "http",
            Self::Kernel => "kernel",
            Self::Capability => "capability",
            Self::Clock => "clock",
            Self::Disk => "disk",
            Self::Evidence => "evidence",
            Self::Canary => "canary",
        }
    }
}
