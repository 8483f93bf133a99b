//! Reads the flows of a [`Sandbox`](super::Sandbox).

use std::{cell::RefCell, collections::BTreeMap};

use aya::maps::{Array, MapData, RingBuf};
use jiff::Timestamp;
use monitor_common::{MatchSet, evidence::EffectiveCounters};

use super::{
    Error,
    devices::PolicySlot,
    evidence::{Decoder, EvidenceMaps, RawFlow, Ticks, samples},
    maps::{Maps as _, read},
    object::{evidence, ruleset},
};
use crate::{
    compile::Ruleset,
    evidence::{Flow, Sample},
    policy::{Direction, PolicyName},
};

/// Slot of the only interface of a sandbox.
pub(super) const INTERFACE_SLOT: u32 = 0;

/// The evidence maps of a loaded object, and the names of its numbers.
pub(super) struct SandboxFlows {
    maps: EvidenceMaps,
    sets: Array<MapData, MatchSet>,
    interfaces: BTreeMap<u32, String>,
    policies: BTreeMap<PolicySlot, PolicyName>,
    samples: RingBuf<MapData>,
}

impl SandboxFlows {
    /// Takes the maps out of a loaded object whose policy slots are the indices of the
    /// ruleset.
    pub(super) fn new(
        mut object: &mut aya::Ebpf,
        ruleset: &Ruleset,
        interface: &str,
    ) -> Result<Self, Error> {
        let maps = EvidenceMaps::take(object)?;
        maps.control.initialise()?;
        let names = ruleset.policies.iter().map(|policy| policy.name.clone());
        Ok(Self {
            maps,
            sets: object.map(ruleset::MATCH_SETS)?,
            samples: object.map(evidence::SAMPLES)?,
            interfaces: BTreeMap::from([(INTERFACE_SLOT, interface.to_owned())]),
            policies: (0..).zip(names).collect(),
        })
    }

    /// States time and length on the wire of the next packet.
    pub(super) fn state_packet(&self, at: Timestamp, length: u64) {
        let microseconds = u64::try_from(at.as_microsecond()).unwrap_or(0);
        self.maps.control.state_packet(microseconds, length);
    }

    /// The flows since the last call, sorted by key, each with whether the names of its
    /// destination are recorded.
    pub(super) fn take(&self) -> Result<Vec<(Flow, bool)>, Error> {
        let taken = RefCell::new(Vec::new());
        self.maps.drain(0, |_, flows| {
            taken.replace(flows.flows);
            Ok::<_, Error>(())
        })?;
        let decoder = Decoder {
            interfaces: &self.interfaces,
            policies: &self.policies,
            ticks: Ticks::MICROSECONDS,
        };
        let decode = |raw: &RawFlow| {
            let set = self.sets.get(&u32::from(raw.key.set), 0);
            let set = set.map_err(read(ruleset::MATCH_SETS))?;
            let flow = decoder.flow(raw, &set);
            Ok(flow.expect("the ruleset names every policy of its match sets"))
        };
        taken.into_inner().iter().map(decode).collect()
    }

    /// Reads the samples since the last call.
    pub(super) fn take_samples(&mut self, each: impl FnMut(Sample<'_>)) {
        samples::read(&mut self.samples, Ticks::MICROSECONDS, each);
    }

    pub(super) fn effective(
        &self,
        slot: PolicySlot,
        direction: Direction,
    ) -> Result<EffectiveCounters, Error> {
        self.maps.effective(slot, direction)
    }
}
