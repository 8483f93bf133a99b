//! Cleans up after a swap: removes unused links and generations, and waits for the
//! last runs of old programs.

use std::collections::BTreeSet;

use super::{
    Error, Filter,
    deadline::Deadline,
    evidence::generations_of_flows,
    grace::wait_for_running_programs,
    hook::{Hook, HookPoint},
    in_force::in_force,
    link::Link,
    pins::Pins,
};

impl Filter {
    /// Detaches interfaces that were deleted or are not `wanted`, waits until no
    /// packet runs an old program, and removes unused generations. If there is a
    /// `deadline`, interfaces that are not `wanted` stay attached until the
    /// generation is confirmed. Adds messages for the operator to `notes`, and
    /// returns all errors.
    pub(super) fn retire(
        &mut self,
        wanted: &[HookPoint],
        deadline: Option<Deadline>,
        notes: &mut Vec<String>,
    ) -> Vec<Error> {
        let mut errors = Vec::new();
        let linked = self.pins.linked().unwrap_or_else(|error| {
            errors.push(error);
            Vec::new()
        });
        for at in &linked {
            let (name, is_wanted) = (&at.interface, wanted.contains(at));
            if deadline.is_some() && !is_wanted {
                notes.push(format!(
                    "{name}: is no longer configured; it is detached when the new generation is confirmed"
                ));
                continue;
            }
            match self.retire_link(at, is_wanted) {
                Ok(Some(note)) => notes.push(note),
                Ok(None) => {}
                Err(error) => errors.push(error),
            }
        }
        notes.extend(wait_for_running_programs());
        errors.extend(self.remove_unused_generations().err());
        errors
    }

    /// Detaches the interfaces that are not `wanted` and for which `may_leave` is true.
    /// Needs no new generation. Returns messages for the operator.
    pub fn let_go(
        &mut self,
        wanted: &[String],
        may_leave: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>, Error> {
        let mut notes = Vec::new();
        for at in self.pins.linked()? {
            let name = &at.interface;
            if wanted.contains(name) || !may_leave(name) {
                continue;
            }
            let link = Link::open(&self.pins, &at)?;
            let is_there = link.info(&at)?.ifindex != 0;
            self.remove_link(&at, &link)?;
            if at.hook == Hook::Egress {
                continue;
            }
            notes.push(if is_there {
                format!("{name}: detached, no pattern takes it any more")
            } else {
                format!("{name}: is gone")
            });
        }
        Ok(notes)
    }

    /// Removes the generations that are unused. Those that flows in the tables name stay, and
    /// are removed when the flows are drained.
    pub(super) fn remove_unused_generations(&mut self) -> Result<(), Error> {
        self.kept_for_flows = remove_unused_generations(&self.pins)?;
        Ok(())
    }

    /// Removes the generations that were kept only because of flows that are drained now.
    ///
    /// # Errors
    ///
    /// Returns the errors of all removals.
    pub fn remove_drained_generations(&mut self) -> Result<(), Error> {
        if self.kept_for_flows.is_empty() {
            return Ok(());
        }
        let named = generations_of_flows(&self.pins)?;
        let (kept, drained): (BTreeSet<_>, BTreeSet<_>) = self
            .kept_for_flows
            .iter()
            .copied()
            .partition(|number| named.contains(number));
        self.kept_for_flows = kept;
        let errors = drained
            .into_iter()
            .filter_map(|number| self.pins.remove_generation(number).err());
        Error::collect(errors.collect())
    }

    /// Removes the link of an interface that is not wanted or was deleted. Returns
    /// a message for the operator if the interface is not wanted.
    fn retire_link(&mut self, at: &HookPoint, wanted: bool) -> Result<Option<String>, Error> {
        let link = Link::open(&self.pins, at)?;
        if wanted && link.info(at)?.ifindex != 0 {
            return Ok(None);
        }
        self.remove_link(at, &link)?;
        // An interface without its hook at egress is still filtered.
        let is_gone = !wanted && at.hook == Hook::Ingress;
        Ok(is_gone.then(|| format!("{}: detached, no longer configured", at.interface)))
    }
}

/// Removes the generations that no link runs, that no link can fall back to, and that no
/// flow in the tables names. Keeps the unused generations that flows in the tables name, and
/// returns their numbers.
pub(super) fn remove_unused_generations(pins: &Pins) -> Result<BTreeSet<u64>, Error> {
    let mut used = Vec::new();
    for at in pins.linked()? {
        let link = Link::open(pins, &at)?;
        let found = in_force(pins, &at, link.info(&at)?.program)?;
        used.extend(found.generation);
        used.extend(found.previous);
    }
    let all = pins.generations()?.into_iter();
    let unused: BTreeSet<_> = all.filter(|number| !used.contains(number)).collect();
    let mut kept = generations_of_flows(pins)?;
    kept.retain(|number| unused.contains(number));
    let drained = unused.difference(&kept);
    let errors = drained.filter_map(|number| pins.remove_generation(*number).err());
    Error::collect(errors.collect())?;
    Ok(kept)
}
