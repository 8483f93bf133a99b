//! Judges the policies in force again when addresses change.

use std::sync::Arc;

use super::{Core, lock, state::PoliciesInForce};
use crate::{
    control::RiskInForce,
    datapath,
    guard::guard,
    policy::{Diagnostic, Texts},
};

/// The differences between two judgements of the policies in force.
#[derive(Debug, Default)]
pub(in crate::daemon) struct RiskChanges {
    /// The new risks.
    pub(in crate::daemon) new: Vec<RiskInForce>,
    /// Number of risks that are gone.
    pub(in crate::daemon) gone: usize,
}

impl Core {
    /// Judges the policies in force with the gateway's current addresses. Does not change
    /// the policies in force.
    pub(in crate::daemon) fn recheck(&self) -> Result<RiskChanges, datapath::Error> {
        let gateway = self.settings.gateway()?;
        let state = self.state();
        let Some(policies) = state.stage.policies() else {
            return Ok(RiskChanges::default());
        };
        // The files may have changed since they were loaded, so their texts are not used.
        // The messages then quote no lines.
        let found = guard(&policies.policies, &gateway, &Texts::default());
        let risks: Vec<RiskInForce> = found.errors().map(in_force).collect();
        let mut held = lock(&self.risks);
        let is_in_force = |now: &PoliciesInForce| Arc::ptr_eq(&now.policies, &policies.policies);
        if !self.state().stage.policies().is_some_and(is_in_force) {
            // Other policies came into force meanwhile. Their own load judged them.
            return Ok(RiskChanges::default());
        }
        let before = std::mem::replace(&mut *held, risks.clone());
        drop(held);
        let gone = before.iter().filter(|risk| !risks.contains(risk)).count();
        let is_new = |risk: &RiskInForce| !before.contains(risk);
        Ok(RiskChanges {
            new: risks.into_iter().filter(is_new).collect(),
            gone,
        })
    }

    /// Returns why the guard refused the files at the last load.
    pub(in crate::daemon) fn locked_out(&self) -> Option<String> {
        lock(&self.locked_out).clone()
    }

    /// Returns the risks of the policies in force.
    pub(in crate::daemon) fn risks(&self) -> Vec<RiskInForce> {
        lock(&self.risks).clone()
    }
}

fn in_force(error: &Diagnostic) -> RiskInForce {
    let place = error.place();
    let file = crate::printable::path(place.file());
    RiskInForce {
        message: error.message().to_owned(),
        source: match place.line() {
            Some(line) => format!("{file}:{line}"),
            None => file.to_string(),
        },
        help: error.help().to_owned(),
    }
}
