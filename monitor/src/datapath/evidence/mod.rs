//! The evidence maps: flows, and what is not recorded in a flow.
//!
//! `monitor_common::evidence` describes the tables and their epochs.

mod control;
mod decode;
mod dns_copies;
mod drain;
mod pinned;
pub(super) mod samples;
mod tables;
mod ticks;

use std::path::Path;

use aya::maps::{MapData, PerCpuArray};
use monitor_common::evidence::{EffectiveCounters, EvidenceLosses, FlowBucket};

pub use self::dns_copies::{DnsCopies, classifier_sha256};
pub use self::pinned::{EffectivePolicy, FlowRings, FlowTables, TakenFlows};
pub(super) use self::{
    control::Control,
    decode::Decoder,
    pinned::generations_of_flows,
    tables::{RawFlow, RawFlows},
    ticks::Ticks,
};
use super::{
    Error,
    maps::{Maps, read, sum},
    object::{self, evidence},
    pins::{self, Pins},
    shared_array::ArrayOf,
    state::policy_cell,
};
use crate::policy::Direction;

/// All evidence maps that user space reads.
pub(super) struct EvidenceMaps {
    pub(super) control: Control,
    flows: ArrayOf<FlowBucket>,
    effective: PerCpuArray<MapData, EffectiveCounters>,
    losses: PerCpuArray<MapData, EvidenceLosses>,
}

impl EvidenceMaps {
    /// Takes the maps out of a loaded object.
    pub(super) fn take(mut object: &mut aya::Ebpf) -> Result<Self, Error> {
        Self::from_maps(&mut object)
    }

    /// Opens the pinned maps. Creates and pins the missing ones.
    pub(super) fn create(pins: &Pins) -> Result<Self, Error> {
        let directory = pins.evidence();
        pins::create_directory(&directory)?;
        // Loading the object takes longer than all else that a reload of few policies does.
        let maps = match Self::open(&directory)? {
            Some(maps) => maps,
            None => Self::take(&mut object::load_evidence(&directory)?)?,
        };
        maps.control.initialise()?;
        Ok(maps)
    }

    /// Opens the maps that are pinned in `directory`; `None` if they are not all there.
    pub(super) fn open(mut directory: &Path) -> Result<Option<Self>, Error> {
        if !evidence::ALL.iter().all(|map| directory.join(map).exists()) {
            return Ok(None);
        }
        Self::from_maps(&mut directory).map(Some)
    }

    fn from_maps(maps: &mut impl Maps) -> Result<Self, Error> {
        Ok(Self {
            control: Control::new(maps)?,
            flows: maps.map(evidence::FLOWS)?,
            effective: maps.map(evidence::EFFECTIVE)?,
            losses: maps.map(evidence::LOSSES)?,
        })
    }

    /// Counters of a policy slot in one direction, summed over all CPUs.
    pub(super) fn effective(
        &self,
        slot: u16,
        direction: Direction,
    ) -> Result<EffectiveCounters, Error> {
        let values = self.effective.get(&policy_cell(slot, direction), 0);
        let values = values.map_err(read(evidence::EFFECTIVE))?;
        Ok(sum(&values, |total: &mut EffectiveCounters, cpu| {
            total.passed += cpu.passed;
            total.dropped += cpu.dropped;
            total.full_passed += cpu.full_passed;
            total.full_dropped += cpu.full_dropped;
            total.setting_passed += cpu.setting_passed;
            total.setting_dropped += cpu.setting_dropped;
        }))
    }

    /// Events and samples that found no room, over all CPUs.
    pub(super) fn losses(&self) -> Result<EvidenceLosses, Error> {
        let values = self.losses.get(&0, 0).map_err(read(evidence::LOSSES))?;
        Ok(sum(&values, |total: &mut EvidenceLosses, cpu| {
            total.events += cpu.events;
            total.samples_full += cpu.samples_full;
            total.samples_rate += cpu.samples_rate;
            total.samples_cut += cpu.samples_cut;
            total.answers += cpu.answers;
            total.answers_full += cpu.answers_full;
        }))
    }
}
