//! What devices counted: the device tables, the near cells, and the past.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    mem::offset_of,
};

use aya::maps::{HashMap as HashMapOf, MapData, PerCpuHashMap};
use monitor_common::{
    DeviceCounters, DeviceKey, KNOWN_NAMED, KNOWN_NEIGHBOUR, MAX_DEVICE_CELLS, MAX_NAMED_CELLS,
    MAX_NEIGHBOUR_CELLS, Moves, PastCounters,
};

use super::{
    Error,
    maps::{Maps, not_mapped, read, sum, write},
    near::{NearDevices, counters},
    object::state,
    shared_array::ArrayOf,
};
use crate::policy::MacAddress;

/// Words of [`Moves`] and [`PastCounters`], by what they hold.
pub(super) const SEQUENCE: usize = offset_of!(Moves, sequence) / 8;
pub(super) const LEAVING: usize = offset_of!(Moves, leaving) / 8;
pub(super) const EVEN: usize = offset_of!(PastCounters, even) / 8;
pub(super) const ODD: usize = offset_of!(PastCounters, odd) / 8;

/// How often a reading is begun again because counts were moved meanwhile. The
/// daemon moves counts in bursts of less than a second.
const ATTEMPTS: usize = 200;

/// Slot of a policy in the counters, as [`DeviceKey`] holds it.
pub(super) type PolicySlot = u16;

/// Why the kernel keeps places for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownKind {
    /// The operator gave it a name, or wrote its MAC in a policy.
    Named,
    /// It is in the kernel's neighbour table.
    Neighbour,
}

/// What devices counted, at one moment of every move.
#[derive(Clone, Debug, Default)]
pub struct DeviceCounts {
    /// By device and policy slot, summed over all CPUs; none is zero.
    pub devices: BTreeMap<DeviceKey, DeviceCounters>,
    /// By policy slot, of devices whose places were taken back; none is zero.
    pub past: HashMap<u16, DeviceCounters>,
    /// Places of each device table.
    pub places: Vec<Places>,
}

/// The places of one device table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// For which devices the table is: `any`, `named` or `neighbour`.
    pub kept_for: &'static str,
    /// Entries that a device has.
    pub used: usize,
    /// Entries that there are.
    pub size: usize,
}

impl DeviceCounts {
    /// Whether less than a tenth of the places that every device may use is free.
    #[must_use]
    pub fn is_nearly_full(&self) -> bool {
        let any = self.places.first();
        any.is_some_and(|places| places.used * 10 >= places.size * 9)
    }
}

/// The maps of all of it.
pub(super) struct DeviceTables {
    pub(super) tables: [PerCpuHashMap<MapData, DeviceKey, DeviceCounters>; 3],
    pub(super) near: NearDevices,
    pub(super) leaving: HashMapOf<MapData, DeviceKey, u32>,
    pub(super) moves: ArrayOf<Moves>,
    pub(super) past: ArrayOf<PastCounters>,
    known: HashMapOf<MapData, [u8; 6], u32>,
}

/// For which devices each table is, in their order.
const KEPT_FOR: [&str; 3] = ["any", "named", "neighbour"];
const SIZES: [u32; 3] = [MAX_DEVICE_CELLS, MAX_NAMED_CELLS, MAX_NEIGHBOUR_CELLS];
/// The names of their maps.
pub(super) const TABLES: [&str; 3] = [state::DEVICES, state::NAMED_DEVICES, state::NEIGHBOURS];

impl DeviceTables {
    pub(super) fn new(maps: &mut impl Maps) -> Result<Self, Error> {
        let [any, named, neighbours] = TABLES;
        Ok(Self {
            tables: [maps.map(any)?, maps.map(named)?, maps.map(neighbours)?],
            near: maps.map(state::NEAR_DEVICES)?,
            leaving: maps.map(state::LEAVING)?,
            moves: maps.map(state::MOVES)?,
            past: maps.map(state::PAST)?,
            known: maps.map(state::KNOWN)?,
        })
    }

    /// Everything, so that for each policy `devices + other + past` is what it
    /// matched, but for packets that come meanwhile.
    pub(super) fn counts(&self) -> Result<DeviceCounts, Error> {
        let moves = self.moves.read();
        let moves = moves.map_err(not_mapped("read", state::MOVES))?;
        for _ in 0..ATTEMPTS {
            let before = moves.load(0, SEQUENCE);
            let counts = self.counts_at(before)?;
            if moves.load(0, SEQUENCE) == before {
                return Ok(counts);
            }
        }
        let source = std::io::Error::other("counts are moved all the time; try again");
        Err(not_mapped("read", state::MOVES)(source))
    }

    /// The counts of a moment when that many steps of moves were taken: what
    /// readers skip is in [`Moves`].
    fn counts_at(&self, sequence: u64) -> Result<DeviceCounts, Error> {
        let is_moved = sequence % 2 == 1;
        let skipped = if is_moved {
            self.leaving()?
        } else {
            HashSet::new()
        };
        let mut counts = DeviceCounts::default();
        for (index, table) in self.tables.iter().enumerate() {
            let found = entries(table, TABLES[index])?;
            counts.places.push(Places {
                kept_for: KEPT_FOR[index],
                used: found.len(),
                size: SIZES[index] as usize,
            });
            for (key, counted) in found {
                if !skipped.contains(&key) {
                    add_device(counts.devices.entry(key).or_default(), &counted);
                }
            }
        }
        for cell in self.near.taken()? {
            if !(is_moved && cell.leaving) {
                add_device(counts.devices.entry(cell.key).or_default(), &cell.counters);
            }
        }
        let nothing = DeviceCounters::default();
        counts.devices.retain(|_, counted| *counted != nothing);
        counts.past = self.past(if is_moved { ODD } else { EVEN })?;
        Ok(counts)
    }

    /// The past of every slot, from the half that begins with word `first`.
    pub(super) fn past(&self, first: usize) -> Result<HashMap<PolicySlot, DeviceCounters>, Error> {
        let past = self.past.read();
        let past = past.map_err(not_mapped("read", state::PAST))?;
        let each = (0..past.len()).filter_map(|slot| {
            let counted = counters(|word| past.load(slot, word), first);
            let slot = PolicySlot::try_from(slot).ok()?;
            (counted != DeviceCounters::default()).then_some((slot, counted))
        });
        Ok(each.collect())
    }

    /// The devices whose places are being taken back.
    pub(super) fn leaving(&self) -> Result<HashSet<DeviceKey>, Error> {
        let keys = self.leaving.keys();
        keys.map(|key| key.map_err(read(state::LEAVING))).collect()
    }

    /// Tells the kernel for which devices it keeps places, and which devices are
    /// not known any more.
    pub(super) fn set_known(
        &mut self,
        known: &BTreeMap<MacAddress, KnownKind>,
    ) -> Result<(), Error> {
        let mut told = HashMap::new();
        for entry in &self.known {
            let (mac, kind) = entry.map_err(read(state::KNOWN))?;
            told.insert(MacAddress(mac), kind);
        }
        for mac in told.keys().filter(|mac| !known.contains_key(mac)) {
            let removed = self.known.remove(&mac.0);
            removed.map_err(write(state::KNOWN))?;
        }
        for (mac, known) in known {
            let kind = match known {
                KnownKind::Named => KNOWN_NAMED,
                KnownKind::Neighbour => KNOWN_NEIGHBOUR,
            };
            if told.get(mac) != Some(&kind) {
                let inserted = self.known.insert(&mac.0, &kind, 0);
                inserted.map_err(write(state::KNOWN))?;
            }
        }
        Ok(())
    }
}

/// A table's entries. Where one is deleted meanwhile, the kernel begins with the
/// first one again: each counts once.
fn entries(
    table: &PerCpuHashMap<MapData, DeviceKey, DeviceCounters>,
    name: &'static str,
) -> Result<HashMap<DeviceKey, DeviceCounters>, Error> {
    let each = table.iter().map(|entry| {
        let (key, values) = entry.map_err(read(name))?;
        Ok((key, sum(&values, add_device)))
    });
    each.collect()
}

pub(super) fn add_device(total: &mut DeviceCounters, cpu: &DeviceCounters) {
    total.passed += cpu.passed;
    total.dropped += cpu.dropped;
}
