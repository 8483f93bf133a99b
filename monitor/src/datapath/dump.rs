//! The state of another version → what a person can read: every map as bytes,
//! and what can be understood of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use aya::util::nr_cpus;
use monitor_common::DeviceKey;
use serde::Serialize;

use super::{
    Error,
    devices::TABLES,
    object::state::{
        INTERFACE_NAMES, INTERFACES, LEAVING, MOVES, NEAR_DEVICES, PAST, POLICIES, POLICY_NAMES,
    },
    pins,
    raw_map::RawMap,
};
use crate::policy::MacAddress;

/// The cells of an interface where its value has [`INTERFACE_BYTES`] or more.
const INTERFACE_CELLS: [&str; 23] = [
    "passed_ipv4",
    "passed_ipv6",
    "dropped_ipv4",
    "dropped_ipv6",
    "non_ip",
    "truncated_ethernet",
    "vlan_depth",
    "truncated_vlan",
    "bad_pppoe",
    "truncated_ipv4",
    "bad_ipv4",
    "truncated_ipv6",
    "bad_ipv6",
    "non_ip_dropped",
    "truncated_ethernet_dropped",
    "vlan_depth_dropped",
    "truncated_vlan_dropped",
    "bad_pppoe_dropped",
    "truncated_ipv4_dropped",
    "bad_ipv4_dropped",
    "truncated_ipv6_dropped",
    "bad_ipv6_dropped",
    "not_confirmed",
];
/// Bytes of that many cells, of two words each.
const INTERFACE_BYTES: usize = INTERFACE_CELLS.len() * 2 * WORD;
/// The first cells of an interface, which every version has; `not_confirmed` followed
/// before unparsed frames could be dropped.
const FIRST_INTERFACE_CELLS: usize = 13;
/// The cells of a policy and a device, in the order in which every version so far
/// has them; the first ones may be all that a version has.
const POLICY_CELLS: [&str; 4] = ["passed", "dropped", "other_passed", "other_dropped"];
const DEVICE_CELLS: [&str; 2] = ["passed", "dropped"];
const PAST_CELLS: [&str; 2] = ["past_passed", "past_dropped"];

/// A number of 8 bytes as the kernel keeps it.
const WORD: usize = 8;

/// Everything that another version counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dump {
    /// The name of its directory.
    pub version: String,
    /// By slot, as far as they are understood.
    pub interfaces: Vec<Counted>,
    /// By slot, as far as they are understood.
    pub policies: Vec<Counted>,
    /// By MAC and policy, as far as they are understood.
    pub devices: Vec<Counted>,
    /// By name, each with everything in it that is not zero.
    pub maps: Vec<MapDump>,
}

/// The cells of an interface, a policy or a device, summed over all processors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Of the interface or the policy; of a device the policy.
    pub slot: u64,
    /// Of the interface or the policy; of a device the policy.
    pub name: Option<String>,
    /// Of a device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// By name of the cell, or by its number where it has no name.
    pub cells: BTreeMap<String, Cell>,
}

/// Packets, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// How many.
    pub packets: u64,
    /// Of all of them.
    pub bytes: u64,
}

/// A map, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapDump {
    /// As it is pinned.
    pub name: String,
    /// In bytes.
    pub key_size: u32,
    /// In bytes.
    pub value_size: u32,
    /// Most entries.
    pub max_entries: u32,
    /// In the kernel's order, without those that are all zero.
    pub entries: Vec<EntryDump>,
}

/// One entry of a map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntryDump {
    /// Hexadecimal.
    #[serde(with = "hex::serde")]
    pub key: Vec<u8>,
    /// Hexadecimal; one for each processor where the map has that.
    #[serde(serialize_with = "as_hex")]
    pub values: Vec<Vec<u8>>,
}

fn as_hex<S: serde::Serializer>(values: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(hex::encode))
}

/// Reads every map that is pinned in `directory`, not those of generations.
pub(super) fn dump(directory: &Path) -> Result<Dump, Error> {
    let failed = |source| {
        Error::system(
            format!("list {}", crate::printable::path(directory)),
            source,
        )
    };
    let mut maps = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_type().map_err(failed)?.is_dir() {
            maps.push(map(&entry.path())?);
        }
    }
    maps.sort_by(|a, b| a.name.cmp(&b.name));
    let mut policies = counted(&maps, POLICIES, POLICY_NAMES, &POLICY_CELLS);
    add_past(&mut policies, &maps);
    let version = directory.file_name().unwrap_or_default();
    Ok(Dump {
        version: version.to_string_lossy().into_owned(),
        interfaces: counted(&maps, INTERFACES, INTERFACE_NAMES, &interface_cells(&maps)),
        policies,
        devices: devices(&maps),
        maps,
    })
}

fn map(path: &Path) -> Result<MapDump, Error> {
    let failed =
        |source| Error::system(format!("read map {}", crate::printable::path(path)), source);
    let map = RawMap::new(pins::open(path)?).map_err(failed)?;
    let info = map.info();
    // Only how many values are shown; the buffer has room for every processor.
    let copies = if map.is_per_cpu() {
        nr_cpus().map_err(|(_, source)| failed(source))?.get() as usize
    } else {
        1
    };
    let size = info.value_size as usize;
    let mut entries = Vec::new();
    let mut value = map.value();
    for key in map.keys().map_err(failed)? {
        // An entry may be deleted meanwhile.
        let Some(found) = map.lookup(&key, &mut value).map_err(failed)? else {
            continue;
        };
        let values = found.chunks(map.stride().max(1)).take(copies);
        let values: Vec<_> = values.map(|value| value[..size].to_vec()).collect();
        if values.iter().flatten().any(|byte| *byte != 0) {
            entries.push(EntryDump { key, values });
        }
    }
    let name = path.file_name().unwrap_or_default();
    Ok(MapDump {
        name: name.to_string_lossy().into_owned(),
        key_size: info.key_size,
        value_size: info.value_size,
        max_entries: info.max_entries,
        entries,
    })
}

fn named<'a>(maps: &'a [MapDump], name: &str) -> &'a [EntryDump] {
    let found = maps.iter().find(|map| map.name == name);
    found.map_or(&[], |map| &map.entries)
}

/// Slot → name, from a map of records that begin with a name.
fn names(maps: &[MapDump], map: &str) -> BTreeMap<u64, String> {
    let entries = named(maps, map).iter();
    let each = entries.filter_map(|entry| {
        let record = entry.values.first()?;
        let end = record.iter().position(|byte| *byte == 0)?;
        let name = String::from_utf8(record[..end].to_vec()).ok()?;
        Some((number(&entry.key), name))
    });
    each.collect()
}

/// Names of the cells, told by the size of the map's values.
fn interface_cells(maps: &[MapDump]) -> Vec<&'static str> {
    let of_interfaces = maps.iter().find(|map| map.name == INTERFACES);
    let has_all = of_interfaces.is_some_and(|map| map.value_size as usize >= INTERFACE_BYTES);
    if has_all {
        INTERFACE_CELLS.to_vec()
    } else {
        [
            &INTERFACE_CELLS[..FIRST_INTERFACE_CELLS],
            &["not_confirmed"],
        ]
        .concat()
    }
}

/// Every slot that has a name or a count.
fn counted(maps: &[MapDump], counters: &str, map: &str, cells: &[&str]) -> Vec<Counted> {
    let names = names(maps, map);
    let mut counts: BTreeMap<u64, BTreeMap<String, Cell>> =
        names.keys().map(|slot| (*slot, BTreeMap::new())).collect();
    for entry in named(maps, counters) {
        counts.insert(number(&entry.key), sums(&entry.values, cells));
    }
    let each = counts.into_iter().map(|(slot, cells)| Counted {
        slot,
        name: names.get(&slot).cloned(),
        mac: None,
        cells,
    });
    each.collect()
}

/// What is in the device tables and in near cells, which not every version has.
/// What a move has put into the past is left out.
fn devices(maps: &[MapDump]) -> Vec<Counted> {
    let is_moved = is_moved(maps);
    let leaving = named(maps, LEAVING).iter().filter(|_| is_moved);
    let moved: BTreeSet<&[u8]> = leaving.map(|entry| entry.key.as_slice()).collect();
    let mut cells: BTreeMap<DeviceKey, Vec<Vec<u8>>> = BTreeMap::new();
    let tables = TABLES.into_iter().flat_map(|table| named(maps, table));
    for entry in tables.filter(|entry| !moved.contains(entry.key.as_slice())) {
        if let Some(key) = device_key(&entry.key) {
            cells.entry(key).or_default().extend(entry.values.clone());
        }
    }
    for value in named(maps, NEAR_DEVICES).iter().flat_map(|e| &e.values) {
        if let Some((bits, counters)) = value.split_first_chunk() {
            let bits = u64::from_ne_bytes(*bits);
            let is_past = is_moved && bits & DeviceKey::LEAVING != 0;
            let key = DeviceKey::from_bits(bits & !DeviceKey::LEAVING);
            if let Some(key) = key.filter(|_| !is_past) {
                cells.entry(key).or_default().push(counters.to_vec());
            }
        }
    }
    let names = names(maps, POLICY_NAMES);
    let each = cells.into_iter().map(|(key, values)| Counted {
        slot: key.policy.into(),
        name: names.get(&key.policy.into()).cloned(),
        mac: Some(MacAddress(key.mac).to_string()),
        cells: sums(&values, &DEVICE_CELLS),
    });
    each.collect()
}

/// Whether a move to the past is half done: an odd number of steps.
fn is_moved(maps: &[MapDump]) -> bool {
    let moves = named(maps, MOVES).first();
    let values = moves.and_then(|entry| entry.values.first());
    let sequence = values.and_then(|value| value.first_chunk());
    sequence.is_some_and(|sequence| u64::from_ne_bytes(*sequence) % 2 == 1)
}

/// Adds to each policy what devices counted that left.
fn add_past(policies: &mut [Counted], maps: &[MapDump]) {
    // The first half of a value is in force after an even number of steps.
    let half = usize::from(is_moved(maps));
    for entry in named(maps, PAST) {
        let slot = number(&entry.key);
        let Some(policy) = policies.iter_mut().find(|policy| policy.slot == slot) else {
            continue;
        };
        let halves = entry.values.iter().map(|value| {
            let length = value.len() / 2;
            value[half * length..][..length].to_vec()
        });
        let halves: Vec<_> = halves.collect();
        policy.cells.extend(sums(&halves, &PAST_CELLS));
    }
}

/// A MAC, then the slot of a policy.
fn device_key(bytes: &[u8]) -> Option<DeviceKey> {
    let (mac, slot) = bytes.split_first_chunk()?;
    let policy = u16::from_ne_bytes(*slot.as_array()?);
    Some(DeviceKey { mac: *mac, policy })
}

/// Pairs of packets and bytes, summed over all processors.
fn sums(values: &[Vec<u8>], names: &[&str]) -> BTreeMap<String, Cell> {
    let mut cells = BTreeMap::new();
    for value in values {
        let (words, _) = value.as_chunks::<WORD>();
        for (index, pair) in words.chunks(2).enumerate() {
            let name = names.get(index);
            let name = name.map_or_else(|| index.to_string(), |name| (*name).to_owned());
            let cell: &mut Cell = cells.entry(name).or_default();
            let word = |index| pair.get(index).map_or(0, |word| u64::from_ne_bytes(*word));
            cell.packets = cell.packets.wrapping_add(word(0));
            cell.bytes = cell.bytes.wrapping_add(word(1));
        }
    }
    cells
}

/// Up to 8 bytes in host order.
fn number(bytes: &[u8]) -> u64 {
    let mut word = [0; WORD];
    let length = bytes.len().min(WORD);
    if cfg!(target_endian = "little") {
        word[..length].copy_from_slice(&bytes[..length]);
    } else {
        word[WORD - length..].copy_from_slice(&bytes[..length]);
    }
    u64::from_ne_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(name: &str, entries: Vec<(Vec<u8>, Vec<Vec<u8>>)>) -> MapDump {
        let entries = entries.into_iter();
        MapDump {
            name: name.to_owned(),
            key_size: 4,
            value_size: 16,
            max_entries: 9,
            entries: entries
                .map(|(key, values)| EntryDump { key, values })
                .collect(),
        }
    }

    fn words(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn cells_are_summed_and_those_without_a_name_have_a_number() {
        let names = vec![(vec![1, 0, 0, 0], vec![b"lan\0\xff".to_vec()])];
        let values = vec![words(&[1, 10, 2, 20, 3, 30]), words(&[4, 40, 0, 0, 0, 0])];
        let maps = [
            map("POLICIES", vec![(1_u32.to_ne_bytes().to_vec(), values)]),
            map("POLICY_NAMES", names),
        ];
        let counted = counted(&maps, POLICIES, POLICY_NAMES, &["passed", "dropped"]);
        assert_eq!(counted.len(), 1);
        let Counted { name, cells, .. } = &counted[0];
        assert_eq!(name.as_deref(), Some("lan"));
        let cell = |name: &str| (cells[name].packets, cells[name].bytes);
        assert_eq!(cell("passed"), (5, 50));
        assert_eq!(cell("dropped"), (2, 20));
        assert_eq!(cell("2"), (3, 30));
    }

    #[test]
    fn near_cells_are_added_to_those_of_the_device_table() {
        let [one, two] = [1, 2].map(|last| DeviceKey {
            mac: [2, 0, 0, 0, 0, last],
            policy: 3,
        });
        let in_table = [&one.mac[..], &one.policy.to_ne_bytes()].concat();
        let near = |key: DeviceKey, packets| words(&[key.to_bits(), 0, 0, packets, 60 * packets]);
        let near = [near(one, 5), near(two, 7)];
        let near = (0..).zip(near).map(|(index, value)| {
            let index: u32 = index;
            (index.to_ne_bytes().to_vec(), vec![value])
        });
        let maps = [
            map("DEVICES", vec![(in_table, vec![words(&[0, 0, 1, 60])])]),
            map("NEAR_DEVICES", near.collect()),
        ];
        let found: Vec<_> = devices(&maps).into_iter().collect();
        let cell = |counted: &Counted| (counted.mac.clone(), counted.cells["dropped"].packets);
        let expected = [("02:00:00:00:00:01", 6), ("02:00:00:00:00:02", 7)];
        let expected = expected.map(|(mac, packets)| (Some(mac.to_owned()), packets));
        assert_eq!(found.iter().map(cell).collect::<Vec<_>>(), expected);
        assert_eq!(found[1].slot, 3);
    }

    /// A version that was killed in the middle of a move: its readers had counted
    /// the past, and not the device that is still there.
    #[test]
    fn a_half_done_move_is_read_as_its_own_readers_did() {
        let key = DeviceKey {
            mac: [2, 0, 0, 0, 0, 1],
            policy: 3,
        };
        let in_table = [&key.mac[..], &key.policy.to_ne_bytes()].concat();
        let counted = |packets| vec![words(&[packets, 60 * packets, 0, 0])];
        let slot = 3_u32.to_ne_bytes().to_vec();
        let near = words(&[key.to_bits() | DeviceKey::LEAVING, 2, 120, 0, 0]);
        let maps = |sequence| {
            let past = words(&[7, 420, 0, 0, 12, 720, 0, 0]);
            [
                map("POLICIES", vec![(slot.clone(), counted(20))]),
                map("NAMED_DEVICES", vec![(in_table.clone(), counted(3))]),
                map("NEAR_DEVICES", vec![(vec![0; 4], vec![near.clone()])]),
                map("LEAVING", vec![(in_table.clone(), vec![vec![1, 0, 0, 0]])]),
                map("MOVES", vec![(vec![0; 4], vec![words(&[sequence, 1])])]),
                map("PAST", vec![(slot.clone(), vec![past])]),
            ]
        };
        let found = |sequence| {
            let maps = maps(sequence);
            let mut policies = super::counted(&maps, POLICIES, POLICY_NAMES, &POLICY_CELLS);
            add_past(&mut policies, &maps);
            let devices = devices(&maps);
            let of_devices = devices.iter().map(|device| device.cells["passed"].packets);
            let past = policies[0].cells["past_passed"].packets;
            (of_devices.sum::<u64>(), past)
        };
        assert_eq!(found(4), (5, 7));
        assert_eq!(found(5), (0, 12));
    }

    #[test]
    fn what_is_not_understood_is_left_to_the_bytes() {
        let maps = [map("DEVICES", vec![(vec![1, 2], vec![vec![9; 3]])])];
        assert_eq!(devices(&maps), []);
        assert_eq!(counted(&[], POLICIES, POLICY_NAMES, &POLICY_CELLS), []);
        let json = serde_json::to_value(&maps[0]).unwrap();
        assert_eq!(json["entries"][0]["key"], "0102");
        assert_eq!(json["entries"][0]["values"][0], "090909");
    }
}
