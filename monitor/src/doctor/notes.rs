//! Findings as the store keeps them.

use super::finding::{CheckName, Diagnosis, Finding, FindingStatus};
use crate::evidence::noted::Noted;

impl Diagnosis {
    /// The findings that are not `ok`, and a line that says that the checks ran. A text may hold
    /// numbers that change every minute. So only the findings of checks about paths, whose texts
    /// name objects, are told apart by their texts.
    #[must_use]
    pub fn notes(&self) -> Vec<Noted> {
        let blind = self.blind;
        let looked = format!("{} findings, {blind} of them blind", self.checks.len());
        let mut notes = vec![Noted::new(Noted::LOOKED, "", Noted::OK, &looked)];
        for check in CheckName::ALL {
            for status in [
                FindingStatus::Blind,
                FindingStatus::Degraded,
                FindingStatus::Unknown,
            ] {
                notes.extend(self.of(check, status));
            }
        }
        notes
    }

    fn of(&self, check: CheckName, status: FindingStatus) -> Vec<Noted> {
        let has_it = |finding: &&Finding| finding.check == check && finding.remark.status == status;
        let noted = |finding: &Finding, object: &str| Noted {
            accepted: finding.remark.accepted.clone(),
            ..Noted::new(check.name(), object, status.word(), &finding.remark.what)
        };
        let mut found = self.checks.iter().filter(has_it);
        if status == FindingStatus::Blind && names_objects(check) {
            return found
                .map(|finding| noted(finding, &finding.remark.what))
                .collect();
        }
        let Some(first) = found.next() else {
            return Vec::new();
        };
        // One finding that the operator did not accept is enough.
        let open = std::iter::once(first)
            .chain(found)
            .find(|finding| finding.remark.accepted.is_none());
        vec![noted(open.unwrap_or(first), status.word())]
    }
}

/// True for a check whose texts name objects, and hold no numbers that change.
const fn names_objects(check: CheckName) -> bool {
    match check {
        CheckName::Interface
        | CheckName::Program
        | CheckName::Offload
        | CheckName::Station
        | CheckName::Tunnel => true,
        CheckName::Mode
        | CheckName::Ipv6
        | CheckName::Policy
        | CheckName::Feed
        | CheckName::Data
        | CheckName::Daemon
        | CheckName::Http
        | CheckName::Kernel
        | CheckName::Capability
        | CheckName::Clock
        | CheckName::Disk
        | CheckName::Evidence
        | CheckName::Canary => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Accepted, finding::Remark};

    #[test]
    fn each_blind_path_is_noted_and_other_checks_once() {
        let finding = |check, what: &str| Finding {
            check,
            remark: Remark::blind(what, "why", "fix"),
        };
        let diagnosis = Diagnosis::new(vec![
            finding(CheckName::Interface, "lan1 has no filter"),
            finding(CheckName::Interface, "lan2 has no filter"),
            finding(CheckName::Evidence, "5 samples were lost"),
            finding(CheckName::Evidence, "7 answers were lost"),
            Finding {
                check: CheckName::Clock,
                remark: Remark::ok("fine"),
            },
        ]);
        let accepted = Accepted {
            check: CheckName::Interface,
            about: Some("lan2".to_owned()),
            reason: "a test machine".to_owned(),
        };
        let notes = diagnosis.accepted_by(&[accepted]).notes();
        let said: Vec<_> = notes
            .iter()
            .map(|noted| (&*noted.check, &*noted.object, noted.accepted.as_deref()))
            .collect();
        assert_eq!(
            said,
            [
                ("doctor", "", None),
                ("interface", "lan1 has no filter", None),
                ("interface", "lan2 has no filter", Some("a test machine")),
                ("evidence", "blind", None),
            ]
        );
    }
}
