//! Counters of devices: the device tables, the near cells, and the past. The past
//! holds the counts of devices whose places were taken back.

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

/// Index of the first 8-byte word of each field of [`Moves`] and [`PastCounters`].
pub(super) const SEQUENCE: usize = offset_of!(Moves, sequence) / 8;
pub(super) const LEAVING: usize = offset_of!(Moves, leaving) / 8;
pub(super) const EVEN: usize = offset_of!(PastCounters, even) / 8;
pub(super) const ODD: usize = offset_of!(PastCounters, odd) / 8;

/// Number of attempts to read the counters during which no counts are moved. The
/// daemon moves counts in bursts of less than 1 s.
const ATTEMPTS: usize = 200;

/// Policy slot, in the type that [`DeviceKey`] has for it.
pub(super) type PolicySlot = u16;

/// Reason for which the kernel reserves places for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownKind {
    /// The operator gave it a name, or wrote its MAC in a policy.
    Named,
    /// It is in the kernel's neighbour table.
    Neighbour,
}

/// Counters of all devices, read between two steps of a move. So each packet is
/// counted either for its device or in the past.
#[derive(Clone, Debug, Default)]
pub struct DeviceCounts {
    /// Counters by device and policy slot, summed over all CPUs. Zero counters are
    /// left out.
    pub devices: BTreeMap<DeviceKey, DeviceCounters>,
    /// Counters of devices whose places were taken back, by policy slot. Zero
    /// counters are left out.
    pub past: HashMap<u16, DeviceCounters>,
    /// Places of each device table.
    pub places: Vec<Places>,
}

/// The places of one device table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Kind of device that may use the table: `any`, `named` or `neighbour`.
    pub kept_for: &'static str,
    /// Number of entries in use.
    pub used: usize,
    /// Number of entries in total.
    pub size: usize,
}

impl DeviceCounts {
    /// True if at most a tenth of the places that every device may use is free.
    #[must_use]
    pub fn is_nearly_full(&self) -> bool {
        let any = self.places.first();
        any.is_some_and(|places| places.used * 10 >= places.size * 9)
    }
}

/// The maps that hold the counters of devices.
pub(super) struct DeviceTables {
    pub(super) tables: [PerCpuHashMap<MapData, DeviceKey, DeviceCounters>; 3],
    pub(super) near: NearDevices,
    pub(super) leaving: HashMapOf<MapData, DeviceKey, u32>,
    pub(super) moves: ArrayOf<Moves>,
    pub(super) past: ArrayOf<PastCounters>,
    known: HashMapOf<MapData, [u8; 6], u32>,
}

/// Kind of device that may use each table, in the order of the tables.
const KEPT_FOR: [&str; 3] = ["any", "named", "neighbour"];
const SIZES: [u32; 3] = [MAX_DEVICE_CELLS, MAX_NAMED_CELLS, MAX_NEIGHBOUR_CELLS];
/// Names of the maps, in the order of the tables.
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

    /// Reads all counters of devices. For each policy, `devices + other + past` is
    /// the number of packets that it matched, except for packets that arrive during
    /// the call.
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
        let source = std::io::Error::other("counts were moved during every attempt; try again");
        Err(not_mapped("read", state::MOVES)(source))
    }

    /// Reads the counters for this value of [`Moves::sequence`]. If the value is
    /// odd, the counts of the leaving devices are already in the past, so skips
    /// these devices.
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

    /// Reads the past of every policy slot, from the half that starts with word
    /// `first`. Zero counters are left out.
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

    /// Reserves places for the devices in `known`: writes them to the map `KNOWN`,
    /// and removes all others from it.
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

/// Reads the entries of a table. If an entry is deleted meanwhile, the kernel
/// starts again with the first entry. Each entry still counts once, because the
/// result is a map.
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
