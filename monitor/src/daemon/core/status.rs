//! Builds the answer to `status`.

use jiff::{SignedDuration, Timestamp};

use super::{Core, Resting, clock};
use crate::{
    control::{Check, CheckStatus, DaemonIdentity, DaemonStatus, Endpoint, Status},
    daemon::endpoints::Endpoints,
    datapath, events,
    snapshot::{Snapshot, Working},
};

impl Core {
    /// Returns the snapshot, the state of the daemon, and the list of things that do not
    /// work.
    pub(in crate::daemon) fn status(&self) -> Result<Status, datapath::Error> {
        let mut snapshot = self.snapshot()?;
        if let Some(evidence) = &mut snapshot.evidence {
            let day_ago = Timestamp::now() - SignedDuration::from_hours(24);
            // If the store cannot be read, `failure` says so.
            let counted = events::first_contacts(&self.settings.state_dir, day_ago);
            evidence.first_contacts = counted.ok().flatten();
        }
        let endpoints = self.endpoints.now();
        let listen = endpoints.first().map(|first| first.address.clone());
        Ok(Status {
            checks: checks(&snapshot, &endpoints),
            daemon: Some(DaemonStatus {
                pid: std::process::id(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                started: self.started,
                listen: listen.unwrap_or_default(),
                endpoints,
                pin_dir: self.settings.pin_dir.clone(),
                state_dir: self.settings.state_dir.clone(),
                policies: self.settings.policies.clone(),
                resting: self.resting(),
                risks: self.risks(),
                changes: self.standing(),
                capture: self.captures.running(),
                waiting: self.waiting_interfaces(),
                left_out: self.left_out_interfaces(),
            }),
            missed_edges: Vec::new(),
            snapshot,
        })
    }

    /// Returns the identity of this daemon. Does not read the kernel's state.
    pub(in crate::daemon) fn who(&self) -> DaemonIdentity {
        DaemonIdentity {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pin_dir: self.settings.pin_dir.clone(),
            state_dir: self.settings.state_dir.clone(),
            policies: self.settings.policies.clone(),
            interfaces: self
                .settings
                .real_interfaces()
                .unwrap_or_else(|_| self.settings.interfaces.clone()),
        }
    }

    /// Returns the endpoints of metrics and page, with their state.
    pub(in crate::daemon) fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Returns the enabled policies that are off now, because of a schedule, an end or a
    /// pause.
    fn resting(&self) -> Vec<Resting> {
        let state = self.state();
        let policies = state.stage.policies();
        let policies = policies.map_or(&[][..], |policies| &policies.policies);
        let each = policies.iter().filter_map(|policy| {
            Some(Resting {
                policy: policy.name().to_string(),
                reason: policy.rest()?.reason().to_owned(),
                until: policy.rests_until().map(clock::to_the_second),
            })
        });
        each.collect()
    }
}

fn checks(snapshot: &Snapshot, endpoints: &[Endpoint]) -> Vec<Check> {
    let hanging = snapshot.working.iter().filter(|working| working.hangs());
    let http = endpoints.iter().filter_map(|endpoint| {
        Some(Check {
            id: "http".to_owned(),
            status: CheckStatus::Degraded,
            what: format!("metrics and page are not served at {}", endpoint.address),
            why: endpoint.error.clone()?,
            fix: "free the address, or choose another with `listen` or --listen".to_owned(),
        })
    });
    hanging.map(hang).chain(http).collect()
}

fn hang(working: &Working) -> Check {
    Check {
        id: "daemon".to_owned(),
        status: CheckStatus::Degraded,
        what: "the daemon hangs; the filter keeps working, but changes have no effect".to_owned(),
        why: working.to_string(),
        fix: "look at the log, and check the file systems of the policy files and lists, because one may not answer; then restart the daemon".to_owned(),
    }
}
