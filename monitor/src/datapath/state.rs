//! The state maps: counters, and the names of their interfaces and policies. They
//! are pinned, so they outlive generations and daemons.

use std::{collections::HashMap, path::Path};

use aya::maps::{Array, MapData, PerCpuArray};
use monitor_common::{
    AnswerCounters, InterfaceCounters, InterfaceRecord, MAX_POLICIES, NAME_BYTES, PolicyCounters,
    PolicyRecord,
};

use super::{
    Error,
    attach::Attachment,
    decode::{attach_mode, direction, padded_name, reads_frags},
    devices::{DeviceTables, PolicySlot},
    hook::{Hook, HookPoint, direction_number},
    maps::{Maps, read, sum, write},
    object::state,
    pins::Pins,
};
use crate::{
    policy::{Direction, PolicyName},
    snapshot::Mode,
};

/// All state maps.
pub(super) struct State {
    pub(super) interfaces: InterfaceMaps,
    pub(super) policies: PolicyMaps,
    pub(super) devices: DeviceTables,
}

/// Counters of interfaces, and their names by slot.
pub(super) struct InterfaceMaps {
    counters: PerCpuArray<MapData, InterfaceCounters>,
    /// `None` in the state of a version without answers.
    answers: Option<PerCpuArray<MapData, AnswerCounters>>,
    names: Array<MapData, InterfaceRecord>,
}

/// Counters of policies, and their names by slot.
pub(super) struct PolicyMaps {
    counters: PerCpuArray<MapData, PolicyCounters>,
    names: Array<MapData, PolicyRecord>,
}

/// A used slot of an interface and a direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InterfaceSlot {
    pub(super) slot: u32,
    pub(super) name: String,
    pub(super) direction: Direction,
    /// How its program is attached; `None` if none is.
    pub(super) attachment: Option<Attachment>,
}

impl InterfaceSlot {
    /// True if its program is attached at this hook.
    pub(super) fn is_at(&self, at: Hook) -> bool {
        self.attachment
            .is_some_and(|attachment| hook(attachment.mode) == at)
    }
}

impl State {
    /// Takes the maps out of a loaded object.
    pub(super) fn take(mut object: &mut aya::Ebpf) -> Result<Self, Error> {
        Self::from_maps(&mut object)
    }

    /// True if every state map is pinned in `directory`.
    pub(super) fn is_whole(directory: &Path) -> bool {
        state::ALL.iter().all(|map| directory.join(map).exists())
    }

    /// Opens the state maps that are pinned in `directory`.
    pub(super) fn open(mut directory: &Path) -> Result<Self, Error> {
        Self::from_maps(&mut directory)
    }

    fn from_maps(maps: &mut impl Maps) -> Result<Self, Error> {
        Ok(Self {
            interfaces: InterfaceMaps::new(maps)?,
            policies: PolicyMaps::new(maps)?,
            devices: DeviceTables::new(maps)?,
        })
    }
}

/// Names of the interfaces that have a slot in the pinned state; empty if there is none.
pub(super) fn interface_names(pins: &Pins) -> Vec<String> {
    let opened = InterfaceMaps::new(&mut pins.state().as_path());
    let slots = opened.and_then(|maps| maps.slots()).unwrap_or_default();
    slots.into_iter().map(|slot| slot.name).collect()
}

impl PolicyMaps {
    pub(super) fn new(maps: &mut impl Maps) -> Result<Self, Error> {
        Ok(Self {
            counters: maps.map(state::POLICIES)?,
            names: maps.map(state::POLICY_NAMES)?,
        })
    }

    /// Returns a slot for each name, in the same order. A known name keeps its
    /// slot, and a new name gets a free slot.
    pub(super) fn assign<'a>(
        &mut self,
        names: impl Iterator<Item = &'a PolicyName>,
    ) -> Result<Vec<PolicySlot>, Error> {
        let mut used: HashMap<String, PolicySlot> = self
            .slots()?
            .into_iter()
            .map(|(slot, name)| (name, slot))
            .collect();
        let names: Vec<_> = names.collect();
        let new = names
            .iter()
            .filter(|name| !used.contains_key(name.as_str()));
        let capacity = self.names.len();
        if used.len() + new.count() > capacity as usize {
            // Check before a slot is taken. Slots are never freed, so a failed call
            // must leave them to a later call with fewer names.
            return Err(Error::NoSlot {
                kind: "policy",
                capacity,
            });
        }
        // Slots are taken in order, so the used slots are always the first slots.
        let mut slots = Vec::new();
        for name in names {
            let next = used.len();
            if let Some(slot) = used.get(name.as_str()) {
                slots.push(*slot);
                continue;
            }
            let slot = self.take_slot(next, name)?;
            used.insert(name.as_str().to_owned(), slot);
            slots.push(slot);
        }
        Ok(slots)
    }

    fn take_slot(&mut self, slot: usize, name: &PolicyName) -> Result<PolicySlot, Error> {
        let slot = PolicySlot::try_from(slot).expect("as many slots as its type has values");
        let record = PolicyRecord {
            name: padded(name.as_str()),
        };
        self.names
            .set(u32::from(slot), &record, 0)
            .map_err(write(state::POLICY_NAMES))?;
        Ok(slot)
    }

    /// Used policy slots and their names, sorted by slot.
    pub(super) fn slots(&self) -> Result<Vec<(PolicySlot, String)>, Error> {
        let mut slots = Vec::new();
        for (slot, record) in self.names.iter().enumerate() {
            let record = record.map_err(read(state::POLICY_NAMES))?;
            let name = padded_name(&record.name);
            let (false, Ok(slot)) = (name.is_empty(), PolicySlot::try_from(slot)) else {
                break;
            };
            slots.push((slot, name));
        }
        Ok(slots)
    }

    /// Counters of a policy slot in one direction, summed over all CPUs.
    pub(super) fn counters(
        &self,
        slot: PolicySlot,
        direction: Direction,
    ) -> Result<PolicyCounters, Error> {
        let values = self
            .counters
            .get(&policy_cell(slot, direction), 0)
            .map_err(read(state::POLICIES))?;
        Ok(sum(&values, |total: &mut PolicyCounters, cpu| {
            total.passed += cpu.passed;
            total.dropped += cpu.dropped;
            total.other_passed += cpu.other_passed;
            total.other_dropped += cpu.other_dropped;
        }))
    }
}

/// Index of the cells of a policy slot in one direction.
pub(super) const fn policy_cell(slot: PolicySlot, direction: Direction) -> u32 {
    match direction {
        Direction::Out => slot as u32,
        Direction::In => MAX_POLICIES + slot as u32,
    }
}

impl InterfaceMaps {
    pub(super) fn new(maps: &mut impl Maps) -> Result<Self, Error> {
        Ok(Self {
            counters: maps.map(state::INTERFACES)?,
            answers: Some(maps.map(state::ANSWERS)?),
            names: maps.map(state::INTERFACE_NAMES)?,
        })
    }

    /// As [`new`](Self::new), of a version that may have no answers. They are not read.
    pub(super) fn without_answers(maps: &mut impl Maps) -> Result<Self, Error> {
        Ok(Self {
            counters: maps.map(state::INTERFACES)?,
            answers: None,
            names: maps.map(state::INTERFACE_NAMES)?,
        })
    }

    /// Returns the slot of an interface and a direction. A known pair keeps its slot, and a
    /// new one gets a free slot.
    pub(super) fn assign(&mut self, name: &str, direction: Direction) -> Result<u32, Error> {
        let slots = self.slots()?;
        let mut found = slots.iter();
        if let Some(found) = found.find(|slot| slot.name == name && slot.direction == direction) {
            return Ok(found.slot);
        }
        let capacity = self.names.len();
        let slot = u32::try_from(slots.len())
            .ok()
            .filter(|slot| *slot < capacity)
            .ok_or(Error::NoSlot {
                kind: "interface",
                capacity,
            })?;
        self.record(slot, name, direction, None)?;
        Ok(slot)
    }

    /// Records that an interface runs no program at a hook.
    pub(super) fn forget_attachment(&mut self, at: &HookPoint) -> Result<(), Error> {
        for slot in self.slots()? {
            if slot.name == at.interface && slot.is_at(at.hook) {
                self.record(slot.slot, &slot.name, slot.direction, None)?;
            }
        }
        Ok(())
    }

    /// Stores the names of a slot, and how its program is attached; `None` if none is.
    pub(super) fn record(
        &mut self,
        slot: u32,
        name: &str,
        direction: Direction,
        attachment: Option<Attachment>,
    ) -> Result<(), Error> {
        let record = InterfaceRecord {
            name: padded(name),
            mode: attachment.map_or(0, Attachment::code),
            direction: direction_number(direction),
        };
        self.names
            .set(slot, &record, 0)
            .map_err(write(state::INTERFACE_NAMES))
    }

    /// Used interface slots, sorted by slot.
    pub(super) fn slots(&self) -> Result<Vec<InterfaceSlot>, Error> {
        let mut slots = Vec::new();
        for (slot, record) in (0..).zip(self.names.iter()) {
            let record = record.map_err(read(state::INTERFACE_NAMES))?;
            let name = padded_name(&record.name);
            if name.is_empty() {
                break;
            }
            let attachment = attach_mode(&record).map(|mode| Attachment {
                mode,
                frags: reads_frags(&record),
            });
            slots.push(InterfaceSlot {
                slot,
                name,
                direction: direction(&record),
                attachment,
            });
        }
        Ok(slots)
    }

    /// Counters of an interface slot, summed over all CPUs.
    pub(super) fn counters(&self, slot: u32) -> Result<InterfaceCounters, Error> {
        let values = self
            .counters
            .get(&slot, 0)
            .map_err(read(state::INTERFACES))?;
        Ok(sum(&values, |total: &mut InterfaceCounters, cpu| {
            total.passed_ipv4 += cpu.passed_ipv4;
            total.passed_ipv6 += cpu.passed_ipv6;
            total.dropped_ipv4 += cpu.dropped_ipv4;
            total.dropped_ipv6 += cpu.dropped_ipv6;
            let passed = total.unparsed_passed.iter_mut().zip(cpu.unparsed_passed);
            let dropped = total.unparsed_dropped.iter_mut().zip(cpu.unparsed_dropped);
            for (total, cpu) in passed.chain(dropped) {
                *total += cpu;
            }
            total.not_confirmed += cpu.not_confirmed;
            total.lost_log += cpu.lost_log;
        }))
    }

    /// Answers of an interface slot, summed over all CPUs.
    pub(super) fn answers(&self, slot: u32) -> Result<AnswerCounters, Error> {
        let Some(answers) = &self.answers else {
            return Ok(AnswerCounters::default());
        };
        let values = answers.get(&slot, 0).map_err(read(state::ANSWERS))?;
        Ok(sum(&values, |total: &mut AnswerCounters, cpu| {
            total.resets += cpu.resets;
            total.errors += cpu.errors;
            for (total, cpu) in total.unanswered.iter_mut().zip(cpu.unanswered) {
                *total += cpu;
            }
        }))
    }
}

/// The hook of a program with this mode.
pub(super) const fn hook(mode: Mode) -> Hook {
    if mode.is_egress() {
        Hook::Egress
    } else {
        Hook::Ingress
    }
}

/// Pads `text` with zero bytes. At least one zero byte marks the end.
fn padded<const N: usize>(text: &str) -> [u8; N] {
    const { assert!(N <= NAME_BYTES) };
    assert!(text.len() < N, "{text:?} is longer than {} bytes", N - 1);
    let mut bytes = [0; N];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    bytes
}
