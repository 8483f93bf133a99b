//! Runs the checks of `monitor doctor` with what the daemon knows.

use std::{
    collections::BTreeSet,
    sync::Mutex,
    time::{Duration, Instant},
};

use jiff::tz::Offset;
use tracing::{info, warn};

use super::{Core, clock, lock};
use crate::{
    data::{Data, Listing},
    doctor::{
        self, Diagnosis, Finding, Known, diagnose,
        facts::{DaemonFact, Facts, PolicyFacts},
    },
};

/// Clients that may not change the filter share a diagnosis of this age.
const SHARED: Duration = Duration::from_secs(2);

/// After this time without a look, the last one says nothing about now: a look hangs.
const STALE: Duration = Duration::from_secs(180);

/// The last diagnosis.
#[derive(Default)]
pub(super) struct Doctor {
    /// Locked while the checks run, so that many clients do not run them at once.
    looking: Mutex<()>,
    last: Mutex<Option<Look>>,
    /// Names and indices of the interfaces to which a default route led.
    far_sides: Mutex<BTreeSet<(String, u32)>>,
}

/// A diagnosis, and when the checks began.
#[derive(Clone)]
struct Look {
    diagnosis: Diagnosis,
    began: Instant,
}

/// How old the answer to a client may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon) enum Freshness {
    /// The checks begin after the client asked.
    New,
    /// A diagnosis of the last two seconds is enough.
    Shared,
}

impl Core {
    /// Looks for what the gateway does not see. Keeps the answer for the metrics, logs what is
    /// new in it, and stores what changed.
    pub(in crate::daemon) fn diagnose(&self, freshness: Freshness) -> Diagnosis {
        let asked = Instant::now();
        let _one_at_a_time = lock(&self.doctor.looking);
        let not_before = match freshness {
            Freshness::New => Some(asked),
            Freshness::Shared => asked.checked_sub(SHARED),
        };
        let last = lock(&self.doctor.last).clone();
        // Another client may have asked meanwhile, or just before.
        if let Some(last) = &last
            && not_before.is_some_and(|not_before| last.began >= not_before)
        {
            return last.diagnosis.clone();
        }
        let began = Instant::now();
        let facts = self.facts();
        self.remember_far_sides(&facts);
        let diagnosis = diagnose(&facts).accepted_by(&self.settings.accepted);
        *lock(&self.doctor.last) = Some(Look {
            diagnosis: diagnosis.clone(),
            began,
        });
        let before = last.map(|last| last.diagnosis).unwrap_or_default();
        tell(&before, &diagnosis);
        self.evidence().findings(diagnosis.notes());
        diagnosis
    }

    fn facts(&self) -> Facts {
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
            far_sides: lock(&self.doctor.far_sides).clone(),
        };
        doctor::read(&self.settings, known)
    }

    /// Remembers the far sides that exist. An uplink loses its default route now and then.
    fn remember_far_sides(&self, facts: &Facts) {
        let Ok(links) = &facts.links else {
            return;
        };
        let far = links
            .iter()
            .filter(|link| facts.far_sides.contains(&link.index));
        let far = far.map(|link| (link.name.clone(), link.index));
        *lock(&self.doctor.far_sides) = far.collect();
    }

    /// The last diagnosis, for the metrics and for alerts. `None` before the first look, and if a
    /// look hangs.
    pub(in crate::daemon) fn last_diagnosis(&self) -> Option<Diagnosis> {
        let last = lock(&self.doctor.last).clone()?;
        (last.began.elapsed() < STALE).then_some(last.diagnosis)
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
    let blind = own.checks.iter().filter(|finding| finding.is_blind());
    blind.filter(move |finding| !is_known(finding))
}
