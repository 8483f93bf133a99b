//! Runs the checks of `monitor doctor` with what the daemon knows.

use std::sync::Mutex;

use jiff::tz::Offset;
use tracing::{info, warn};

use super::{Core, clock, lock};
use crate::{
    data::{Data, Listing},
    doctor::{
        self, Diagnosis, Finding, FindingStatus, Known, diagnose,
        facts::{DaemonFact, PolicyFacts},
    },
};

/// The last diagnosis.
#[derive(Default)]
pub(super) struct Doctor {
    /// Locked while the checks run, so that many clients do not run them at once.
    looking: Mutex<()>,
    last: Mutex<Diagnosis>,
}

impl Core {
    /// Looks for what the gateway does not see. Keeps the answer for the metrics, and logs what
    /// is new in it.
    pub(in crate::daemon) fn diagnose(&self) -> Diagnosis {
        let _one_at_a_time = lock(&self.doctor.looking);
        let moment = clock::now();
        let state = self.state();
        let policies = state.stage.policies().map_or_else(
            || Err("the daemon does not know them".to_owned()),
            |policies| Ok(PolicyFacts::of(&policies.policies, policies.feeds.len())),
        );
        let known = Known {
            // Without a snapshot, the check of the interfaces says why.
            snapshot: self.snapshot().ok(),
            policies,
            daemon: DaemonFact::Answers {
                endpoints: self.endpoints.now(),
                waiting: self.waiting_interfaces(),
            },
            data: self.data_listing(),
            clock_synchronised: moment.clock_synchronised,
        };
        let diagnosis = diagnose(&doctor::read(&self.settings, known));
        let before = std::mem::replace(&mut *lock(&self.doctor.last), diagnosis.clone());
        tell(&before, &diagnosis);
        diagnosis
    }

    /// The last diagnosis, for the metrics.
    pub(super) fn last_diagnosis(&self) -> Diagnosis {
        lock(&self.doctor.last).clone()
    }

    /// The data about ranges, without waiting for its first reading.
    fn data_listing(&self) -> Listing {
        let today = Offset::UTC.to_datetime(clock::now().at).date();
        match self.range_data_now() {
            Some(data) => data.listing(today),
            None => Data::unread(&self.settings.data).listing(today),
        }
    }
}

/// Logs what is not seen, once.
fn tell(before: &Diagnosis, now: &Diagnosis) {
    for Finding { check, remark } in blind_only_in(now, before) {
        warn!(
            "not seen ({}): {}; `monitor doctor` says why, and how to fix it",
            check.name(),
            remark.what
        );
    }
    for Finding { check, remark } in blind_only_in(before, now) {
        info!("no longer so ({}): {}", check.name(), remark.what);
    }
}

fn blind_only_in<'a>(
    own: &'a Diagnosis,
    other: &'a Diagnosis,
) -> impl Iterator<Item = &'a Finding> {
    let is_known = |finding: &Finding| {
        let mut others = other.checks.iter();
        others.any(|other| other.check == finding.check && other.remark.what == finding.remark.what)
    };
    let blind = own
        .checks
        .iter()
        .filter(|finding| finding.remark.status == FindingStatus::Blind);
    blind.filter(move |finding| !is_known(finding))
}
