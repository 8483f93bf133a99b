//! What the screen shows, as one reading of the daemon or of the store.

use jiff::Timestamp;

use crate::{
    control::Status,
    doctor::{Diagnosis, FindingStatus},
    evidence::{DeviceView, FlowsView},
};

/// The time that a screen is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Now: the facts are read again and again.
    Now,
    /// A time in the past, from the store.
    Past(Timestamp),
}

/// One reading.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Time of the reading, or the time in the past that it is about.
    pub at: Timestamp,
    /// Begin of the period that the counts are about; `None`: everything that is stored.
    pub since: Option<Timestamp>,
    /// Which device contacted which destination.
    pub flows: FlowsView,
    /// What is known about the devices.
    pub devices: Vec<DeviceView>,
    /// Interfaces, counters and changes; `None` for the past, and if they cannot be read.
    pub status: Option<Status>,
    /// What the gateway does not see; `None` if nothing looked.
    pub diagnosis: Option<Diagnosis>,
}

impl Facts {
    /// The findings about blindness, the worst first. Findings with the status `ok` are left out.
    pub(super) fn findings(&self) -> Vec<(FindingStatus, &str, &str, &str)> {
        let checks = self.diagnosis.iter().flat_map(|found| &found.checks);
        let mut findings: Vec<_> = checks
            .filter(|finding| finding.remark.status != FindingStatus::Ok)
            .map(|finding| {
                let remark = &finding.remark;
                let (what, why) = (remark.what.as_str(), remark.why.as_str());
                (remark.status, what, why, remark.fix.as_str())
            })
            .collect();
        let rank = |status: FindingStatus| match status {
            FindingStatus::Blind => 0,
            FindingStatus::Degraded => 1,
            FindingStatus::Unknown => 2,
            FindingStatus::Ok => 3,
        };
        findings.sort_by_key(|(status, ..)| rank(*status));
        findings
    }

    /// The line of blindness, and true if something is not seen.
    pub(super) fn blindness(&self) -> (String, bool) {
        let Some(diagnosis) = &self.diagnosis else {
            return (
                "blindness: not known for this moment; `monitor doctor` looks now".to_owned(),
                false,
            );
        };
        let findings = self.findings();
        let first = findings.first().map(|(_, what, ..)| *what);
        match (diagnosis.blind, first) {
            (0, None) => (
                "sees everything that `monitor doctor` checks".to_owned(),
                false,
            ),
            (0, Some(what)) => (
                format!("nothing is blind; {} to look at: {what}", findings.len()),
                false,
            ),
            (blind, what) => (format!("BLIND {blind}: {}", what.unwrap_or_default()), true),
        }
    }
}
