//! The flows of a running filter: reads and drains the pinned tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use aya::maps::{Array, MapData, RingBuf};
use monitor_common::{
    Count, MatchSet,
    evidence::{EffectiveCounters, EvidenceLosses},
};

use super::{Decoder, EvidenceMaps, RawFlows, Ticks, decode::address, samples, tables::RawSource};
use crate::{
    datapath::{
        Error,
        devices::PolicySlot,
        maps::{self, read},
        object::{evidence, ruleset},
        pins::Pins,
        state::{InterfaceMaps, PolicyMaps},
    },
    evidence::{Flow, Sample, SeenAddress},
    policy::{Direction, MacAddress, PolicyName},
};

/// The pinned tables of flows. At most one process drains them; others only read.
pub struct FlowTables {
    pins: Pins,
    maps: EvidenceMaps,
}

/// The flows of a table, or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenFlows {
    /// Sorted by their key in the kernel.
    pub flows: Vec<Flow>,
    /// For each flow: true if a policy asks for the names of its destination.
    pub has_names: Vec<bool>,
    /// Source addresses that devices used.
    pub addresses: Vec<SeenAddress>,
    /// Packets of flows whose generation is not pinned any more, so that their policies are
    /// not known.
    pub lost: Count,
}

/// The ring buffers of samples and of new flows.
pub struct FlowRings {
    samples: RingBuf<MapData>,
    events: RingBuf<MapData>,
}

impl FlowRings {
    /// Reads the samples since the last call.
    pub fn samples(&mut self, each: impl FnMut(Sample<'_>)) {
        samples::read(&mut self.samples, Ticks::now(), each);
    }

    /// Reads the events of new flows since the last call, and returns their number.
    pub fn new_flows(&mut self) -> usize {
        let mut number = 0;
        while self.events.next().is_some() {
            number += 1;
        }
        number
    }
}

/// Counters of a policy as the effective policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectivePolicy {
    /// Name of the policy.
    pub name: PolicyName,
    /// Direction of the packets.
    pub direction: Direction,
    /// Its counters.
    pub counters: EffectiveCounters,
}

impl FlowTables {
    /// Opens the pinned tables; `None` if no generation has recorded flows since the state
    /// was created.
    pub fn open(pin_dir: &Path) -> Result<Option<Self>, Error> {
        let pins = Pins::new(pin_dir);
        let maps = EvidenceMaps::open(&pins.evidence())?;
        Ok(maps.map(|maps| Self { pins, maps }))
    }

    /// Random number that names these tables in the store.
    #[must_use]
    pub fn instance(&self) -> u64 {
        self.maps.control.instance()
    }

    /// Drains the current table, and one that an interrupted drain left. `drained` is the
    /// last epoch in the store. `keep` stores the flows of an epoch together with its number.
    ///
    /// # Errors
    ///
    /// Returns the error of `keep`, or of the kernel. Then the flows stay in their table.
    pub fn drain<E: From<Error>>(
        &self,
        drained: u64,
        mut keep: impl FnMut(u64, TakenFlows) -> Result<(), E>,
    ) -> Result<(), E> {
        self.maps.drain(drained, |epoch, flows| {
            let taken = self.decoded(&flows)?;
            keep(epoch, taken)
        })
    }

    /// The flows that the store does not hold. `drained` returns the last epoch in the
    /// store, and begins the reading of the store; it is called again if a drain passed
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// Returns the error of `drained`, or of the kernel.
    pub fn live<E: From<Error>>(
        &self,
        mut drained: impl FnMut() -> Result<u64, E>,
    ) -> Result<TakenFlows, E> {
        let control = &self.maps.control;
        loop {
            let before = (control.epoch(), control.cleared());
            let stored = drained()?;
            let mut raw = RawFlows::default();
            for epoch in before.1 + 1..=before.0 {
                if epoch > stored {
                    let RawFlows { flows, sources } = self.maps.flows(epoch)?;
                    raw.flows.extend(flows);
                    raw.sources.extend(sources);
                }
            }
            if (control.epoch(), control.cleared()) == before {
                return Ok(self.decoded(&raw)?);
            }
        }
    }

    /// Counters of each policy as the effective policy.
    pub fn effective(&self) -> Result<Vec<EffectivePolicy>, Error> {
        let policies = self.policies()?.into_iter();
        let each = policies.flat_map(|(slot, name)| {
            Direction::ALL.map(|direction| {
                Ok(EffectivePolicy {
                    name: name.clone(),
                    direction,
                    counters: self.maps.effective(slot, direction)?,
                })
            })
        });
        each.collect()
    }

    /// Events and samples that found no room, over all CPUs.
    pub fn losses(&self) -> Result<EvidenceLosses, Error> {
        self.maps.losses()
    }

    /// Opens the ring buffers of samples and of new flows. At most one process reads them.
    pub fn rings(&self) -> Result<FlowRings, Error> {
        let directory = self.pins.evidence();
        Ok(FlowRings {
            samples: maps::open(&directory, evidence::SAMPLES)?,
            events: maps::open(&directory, evidence::EVENTS)?,
        })
    }

    fn policies(&self) -> Result<BTreeMap<PolicySlot, PolicyName>, Error> {
        let slots = PolicyMaps::new(&mut self.pins.state().as_path())?.slots()?;
        let slots = slots.into_iter();
        Ok(slots
            .filter_map(|(slot, name)| Some((slot, name.parse().ok()?)))
            .collect())
    }

    fn decoded(&self, raw: &RawFlows) -> Result<TakenFlows, Error> {
        let interfaces = InterfaceMaps::new(&mut self.pins.state().as_path())?.slots()?;
        let interfaces = interfaces.into_iter();
        let interfaces = interfaces.map(|slot| (slot.slot, slot.name)).collect();
        let policies = self.policies()?;
        let decoder = Decoder {
            interfaces: &interfaces,
            policies: &policies,
            ticks: Ticks::now(),
        };
        let mut sets = Sets::new(&self.pins)?;
        let mut taken = TakenFlows::default();
        // Frames from the internet do not show the device.
        for source in raw.sources.iter().filter(|source| source.mac != [0; 6]) {
            taken.addresses.extend(seen(source, decoder.ticks));
        }
        for flow in &raw.flows {
            let set = sets.get(flow.key.generation, flow.key.set)?;
            if let Some((flow, has_names)) = set.and_then(|set| decoder.flow(flow, &set)) {
                taken.flows.push(flow);
                taken.has_names.push(has_names);
            } else {
                taken.lost += flow.passed;
                taken.lost += flow.dropped;
            }
        }
        Ok(taken)
    }
}

/// The first and the last time that a device used an address.
fn seen(source: &RawSource, ticks: Ticks) -> [SeenAddress; 2] {
    [source.first, source.last].map(|tick| SeenAddress {
        device: MacAddress(source.mac),
        address: address(source.address, source.is_ipv6),
        at: ticks.time(tick),
    })
}

/// The match sets of the pinned generations, read when they are needed.
struct Sets<'a> {
    pins: &'a Pins,
    /// Pinned generations by number modulo 2^32.
    numbers: BTreeMap<u32, u64>,
    open: BTreeMap<u32, Array<MapData, MatchSet>>,
    known: BTreeMap<(u32, u16), MatchSet>,
}

impl<'a> Sets<'a> {
    fn new(pins: &'a Pins) -> Result<Self, Error> {
        Ok(Self {
            pins,
            numbers: pins
                .generations()?
                .into_iter()
                .map(|number| (truncated(number), number))
                .collect(),
            open: BTreeMap::new(),
            known: BTreeMap::new(),
        })
    }

    /// A match set; `None` if its generation is not pinned.
    fn get(&mut self, generation: u32, set: u16) -> Result<Option<MatchSet>, Error> {
        if let Some(known) = self.known.get(&(generation, set)) {
            return Ok(Some(*known));
        }
        let Some(number) = self.numbers.get(&generation) else {
            return Ok(None);
        };
        if !self.open.contains_key(&generation) {
            let directory = self.pins.generation(*number);
            let sets = maps::open(&directory, ruleset::MATCH_SETS)?;
            self.open.insert(generation, sets);
        }
        let found = self.open[&generation].get(&u32::from(set), 0);
        let found = found.map_err(read(ruleset::MATCH_SETS))?;
        self.known.insert((generation, set), found);
        Ok(Some(found))
    }
}

/// Pinned generations that flows in the tables name. Their match sets tell the policies of
/// these flows, so their pins must stay.
pub(in crate::datapath) fn generations_of_flows(pins: &Pins) -> Result<BTreeSet<u64>, Error> {
    let Some(maps) = EvidenceMaps::open(&pins.evidence())? else {
        return Ok(BTreeSet::new());
    };
    let mut named = BTreeSet::new();
    for epoch in 0..2 {
        let flows = maps.flows(epoch)?;
        named.extend(flows.flows.iter().map(|flow| flow.key.generation));
    }
    let pinned = pins.generations()?.into_iter();
    Ok(pinned
        .filter(|number| named.contains(&truncated(*number)))
        .collect())
}

/// A generation's number as the keys of flows hold it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "modulo 2^32, as the ABI says"
)]
fn truncated(number: u64) -> u32 {
    number as u32
}
