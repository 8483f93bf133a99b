//! Handles interfaces that appear and disappear.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{Core, LoadError, lock};
use crate::{
    control::WaitingInterface,
    datapath::{Filter, InterfaceState, Resolved},
    error_text::error_text,
};

/// What is said about an interface that is there and not filtered.
const UNFILTERED: &str = "is NOT filtered";

/// Generations that interfaces may cause in quick succession.
const BURST: u32 = 10;
/// Time after which they may cause one more.
const REFILL: Duration = Duration::from_secs(10);

/// The configured interfaces that are not filtered, each with the reason.
pub(super) type Waiting = BTreeMap<String, String>;

/// Limits how often interfaces that appear make a generation. A device may be able to make
/// interfaces come and go: hostapd makes one for each station with four addresses.
#[derive(Debug)]
pub(super) struct Pace {
    left: u32,
    refilled: Option<Instant>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            left: BURST,
            refilled: None,
        }
    }
}

impl Pace {
    /// Takes a turn; false if none is left.
    fn take_turn(&mut self, now: Instant) -> bool {
        let since = *self.refilled.get_or_insert(now);
        let turns = now.duration_since(since).as_secs() / REFILL.as_secs();
        if turns > 0 {
            let turns = u32::try_from(turns).unwrap_or(BURST).min(BURST);
            self.left = (self.left + turns).min(BURST);
            self.refilled = Some(now);
        }
        let has_turn = self.left > 0;
        self.left = self.left.saturating_sub(1);
        has_turn
    }
}

impl Core {
    /// Attaches the filter with the ruleset in force to interfaces that appeared, and
    /// detaches it from those that a pattern no longer takes. Returns a text for each
    /// change.
    pub(in crate::daemon) fn look_at_interfaces(&self) -> Result<Vec<String>, LoadError> {
        let mut filter = self.work_on_filter("a check of the interfaces");
        let Some(filter) = filter.as_mut() else {
            return Ok(Vec::new());
        };
        let resolved = self.settings.resolved_interfaces()?;
        let names = resolved.names();
        let mut texts = filter.let_go(&names, |name| self.settings.is_matched(name))?;
        let states = filter.states(&names)?;
        let refused = states
            .contains(&InterfaceState::Unfiltered)
            .then(|| self.attach_to_new(filter))
            .flatten();
        let now = waiting(filter, &resolved, refused.as_deref())?;
        let before = std::mem::replace(&mut *lock(&self.waiting), now.clone());
        let came = before.keys().filter(|name| !now.contains_key(*name));
        let came = came.filter(|name| names.contains(name));
        texts.extend(came.map(|name| format!("{name}: is there, and filtered")));
        texts.extend(news(&before, &now));
        let before = std::mem::replace(&mut *lock(&self.left_out), resolved.left_out.clone());
        texts.extend(news(&before, &resolved.left_out));
        Ok(texts)
    }

    /// Makes a generation, so that it is in force on the interfaces that appeared. Returns
    /// the reason if it is not.
    fn attach_to_new(&self, filter: &mut Filter) -> Option<String> {
        let state = self.state();
        let Some(policies) = state.stage.policies() else {
            return Some("no policies are in force".to_owned());
        };
        if !lock(&self.pace).take_turn(Instant::now()) {
            return Some(format!(
                "interfaces come and go too often; the next attempt follows within {} s",
                2 * REFILL.as_secs()
            ));
        }
        match self.apply(filter, &policies.ruleset) {
            Ok(applied) => {
                self.hand_out(applied.loggers);
                None
            }
            Err(error) => Some(error_text(&error)),
        }
    }

    /// True if an interface is there and not filtered, such as one with another program.
    pub(in crate::daemon) fn has_unfiltered(&self) -> bool {
        let waiting = lock(&self.waiting);
        waiting.values().any(|why| why.contains(UNFILTERED))
    }

    /// Returns the interfaces that are not filtered, for `status` and for alerts.
    pub(in crate::daemon) fn waiting_interfaces(&self) -> Vec<WaitingInterface> {
        listed(&lock(&self.waiting))
    }

    /// Returns the interfaces that match a pattern and are left out, for `status`.
    pub(super) fn left_out_interfaces(&self) -> Vec<WaitingInterface> {
        listed(&lock(&self.left_out))
    }
}

/// Returns the interfaces that are not filtered. `refused` is the reason for not attaching
/// the filter to existing interfaces.
pub(super) fn waiting(
    filter: &Filter,
    resolved: &Resolved,
    refused: Option<&str>,
) -> Result<Waiting, LoadError> {
    let names = resolved.names();
    let states = filter.states(&names)?;
    let each = names.iter().zip(states);
    let each = each.filter_map(|(name, state)| {
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
    Ok(each.chain(resolved.without_room.clone()).collect())
}

/// The texts that are new or different.
fn news<'a>(before: &Waiting, now: &'a Waiting) -> impl Iterator<Item = String> + use<'a> {
    let differs = |(name, why): &(&String, &String)| before.get(*name) != Some(*why);
    let texts: Vec<_> = now.iter().filter(differs).collect();
    texts.into_iter().map(|(_, why)| why.clone())
}

fn listed(interfaces: &Waiting) -> Vec<WaitingInterface> {
    let each = interfaces.iter().map(|(name, why)| WaitingInterface {
        interface: name.clone(),
        why: why.clone(),
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_that_come_and_go_make_a_bounded_number_of_generations() {
        let mut pace = Pace::default();
        let start = Instant::now();
        let hour = (0..3 * 3600).map(|third| start + Duration::from_millis(third * 333));
        let made = hour.filter(|now| pace.take_turn(*now)).count();
        assert!((350..=370).contains(&made), "{made}");
        let later = start + Duration::from_hours(9);
        let burst = (0..100).filter(|_| pace.take_turn(later)).count();
        assert_eq!(burst, BURST as usize);
    }
}
