//! The policies in force, judged again when addresses change.

use std::sync::Arc;

use super::{Core, lock, state::PoliciesInForce};
use crate::{
    control::RiskInForce,
    datapath,
    guard::guard,
    policy::{Diagnostic, Texts},
};

/// What another look at the policies in force has found.
#[derive(Debug, Default)]
pub(in crate::daemon) struct RiskChanges {
    /// Risks that were not there before.
    pub(in crate::daemon) new: Vec<RiskInForce>,
    /// How many are gone.
    pub(in crate::daemon) gone: usize,
}

impl Core {
    /// Judges the policies in force for the gateway as it is now. Nothing is
    /// changed of what is in force.
    pub(in crate::daemon) fn recheck(&self) -> Result<RiskChanges, datapath::Error> {
        let gateway = self.settings.gateway()?;
        let state = self.state();
        let Some(policies) = state.stage.policies() else {
            return Ok(RiskChanges::default());
        };
        // The texts of the files may have changed: places without lines are enough.
        let found = guard(&policies.policies, &gateway, &Texts::default());
        let risks: Vec<RiskInForce> = found.errors().map(in_force).collect();
        let mut held = lock(&self.risks);
        let is_in_force = |now: &PoliciesInForce| Arc::ptr_eq(&now.policies, &policies.policies);
        if !self.state().stage.policies().is_some_and(is_in_force) {
            // Other policies came into force meanwhile, judged by their own load.
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

    /// What the policies in force were found to cut off.
    pub(super) fn risks(&self) -> Vec<RiskInForce> {
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
