//! Handles interfaces that appear and disappear.

use std::collections::BTreeMap;

use super::{Core, LoadError, lock};
use crate::{
    control::WaitingInterface,
    datapath::{Filter, InterfaceState},
    error_text::error_text,
};

/// What is said about an interface that is there and not filtered.
const UNFILTERED: &str = "is NOT filtered";

/// The configured interfaces that are not filtered, each with the reason.
pub(super) type Waiting = BTreeMap<String, String>;

impl Core {
    /// Attaches the filter with the ruleset in force to interfaces that appeared. Returns a
    /// text for each change.
    pub(in crate::daemon) fn look_at_interfaces(&self) -> Result<Vec<String>, LoadError> {
        let mut filter = self.work_on_filter("a check of the interfaces");
        let Some(filter) = filter.as_mut() else {
            return Ok(Vec::new());
        };
        let states = filter.states(&self.settings.real_interfaces()?)?;
        let mut refused = None;
        if states.contains(&InterfaceState::Unfiltered) {
            let state = self.state();
            let policies = state.stage.policies();
            match policies.map(|policies| self.apply(filter, &policies.ruleset)) {
                Some(Ok(applied)) => self.hand_out(applied.loggers),
                Some(Err(error)) => refused = Some(error_text(&error)),
                None => refused = Some("no policies are in force".to_owned()),
            }
        }
        let now = self.waiting(filter, refused.as_deref())?;
        let before = std::mem::replace(&mut *lock(&self.waiting), now.clone());
        let came = before.keys().filter(|name| !now.contains_key(*name));
        let came = came.map(|name| format!("{name}: is there, and filtered"));
        let differs = |(name, why): &(&String, &String)| before.get(*name) != Some(*why);
        let others = now.iter().filter(differs).map(|(_, why)| why.clone());
        Ok(came.chain(others).collect())
    }

    /// Returns the interfaces that are not filtered. `refused` is the kernel's reason for not
    /// attaching the filter to existing interfaces.
    pub(super) fn waiting(
        &self,
        filter: &Filter,
        refused: Option<&str>,
    ) -> Result<Waiting, LoadError> {
        let names = self.settings.real_interfaces()?;
        let states = filter.states(&names)?;
        let each = names.iter().zip(states).filter_map(|(name, state)| {
            let why = match state {
                InterfaceState::Filtered => return None,
                InterfaceState::Absent(why) => why,
                InterfaceState::Unfiltered => match refused {
                    Some(why) => format!("{name}: {UNFILTERED}: {why}"),
                    None => format!("{name}: {UNFILTERED}"),
                },
            };
            Some((name.clone(), why))
        });
        Ok(each.collect())
    }

    /// True if an interface is there and not filtered, such as one with another program.
    pub(in crate::daemon) fn has_unfiltered(&self) -> bool {
        let waiting = lock(&self.waiting);
        waiting.values().any(|why| why.contains(UNFILTERED))
    }

    /// Returns the interfaces that are not filtered, for `status`.
    pub(super) fn waiting_interfaces(&self) -> Vec<WaitingInterface> {
        let waiting = lock(&self.waiting);
        let each = waiting.iter().map(|(name, why)| WaitingInterface {
            interface: name.clone(),
            why: why.clone(),
        });
        each.collect()
    }
}
