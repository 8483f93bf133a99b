//! Reads and clears the tables of flows.

use std::{collections::BTreeMap, mem::offset_of};

use monitor_common::{
    Count,
    evidence::{
        BUCKET_CELLS, FLOW_KEY_WORDS, FLOW_USED_WORD, FlowBucket, FlowCell, FlowCellKey, FlowStart,
        KIND_DROPPED,
    },
};

use super::{EvidenceMaps, decode::is_ipv6};
use crate::datapath::{
    Error,
    maps::not_mapped,
    object::evidence,
    shared_array::{SharedArray, WritableArray},
    table_size::possible_cpus,
};

const WORD: usize = size_of::<u64>();
const BUCKET_WORDS: usize = size_of::<FlowBucket>() / WORD;
const CELLS: usize = offset_of!(FlowBucket, cells) / WORD;
const CELL_WORDS: usize = size_of::<FlowCell>() / WORD;
const STARTS: usize = offset_of!(FlowBucket, starts) / WORD;
const START_WORDS: usize = size_of::<FlowStart>() / WORD;
const KEY: usize = offset_of!(FlowCell, key) / WORD;
const LAST: usize = offset_of!(FlowCell, last) / WORD;
const COUNT: usize = offset_of!(FlowCell, count) / WORD;
const FIRST: usize = offset_of!(FlowStart, first) / WORD;
const SOURCE: usize = offset_of!(FlowStart, source) / WORD;

/// Flows, and the source addresses of their packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::datapath) struct RawFlows {
    /// Sorted by key.
    pub(in crate::datapath) flows: Vec<RawFlow>,
    /// Sorted by device and address.
    pub(in crate::datapath) sources: Vec<RawSource>,
}

/// One flow of one epoch, summed over its cells and all CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::datapath) struct RawFlow {
    /// Without a source tag and without [`KIND_DROPPED`].
    pub(in crate::datapath) key: FlowCellKey,
    /// Ticks.
    pub(in crate::datapath) first: u64,
    /// Ticks.
    pub(in crate::datapath) last: u64,
    pub(in crate::datapath) passed: Count,
    pub(in crate::datapath) dropped: Count,
}

/// A source address of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::datapath) struct RawSource {
    pub(in crate::datapath) mac: [u8; 6],
    /// IPv4 as `::ffff:a.b.c.d`.
    pub(in crate::datapath) address: [u8; 16],
    pub(in crate::datapath) is_ipv6: bool,
    /// Time of the first packet, in ticks.
    pub(in crate::datapath) first: u64,
    /// Time of the last packet, in ticks.
    pub(in crate::datapath) last: u64,
}

/// A used cell.
struct Cell {
    key: FlowCellKey,
    first: u64,
    last: u64,
    count: Count,
    source: [u8; 16],
}

/// Flows and sources by key, while cells are added to them.
#[derive(Default)]
struct Sums {
    flows: BTreeMap<FlowCellKey, RawFlow>,
    sources: BTreeMap<([u8; 6], bool, [u8; 16]), RawSource>,
}

impl EvidenceMaps {
    /// The flows of the table of an epoch. A program may still write the table of the
    /// current epoch; then counts are whole numbers of different moments.
    pub(in crate::datapath) fn flows(&self, epoch: u64) -> Result<RawFlows, Error> {
        let mut sums = Sums::default();
        self.each_part(epoch, |part| {
            for bucket in 0..part.len() {
                let cells = (0..BUCKET_CELLS).filter_map(|place| Cell::read(part, bucket, place));
                cells.for_each(|cell| sums.add(&cell));
            }
        })?;
        Ok(RawFlows {
            flows: sums.flows.into_values().collect(),
            sources: sums.sources.into_values().collect(),
        })
    }

    /// Clears the table of an epoch in which no program records.
    pub(super) fn clear(&self, epoch: u64) -> Result<(), Error> {
        for first in self.parts(epoch)? {
            let part = self.flows.write_part(first, self.buckets()?);
            let part = part.map_err(not_mapped("map", evidence::FLOWS))?;
            (0..part.len()).for_each(|bucket| clear(&part, bucket));
        }
        Ok(())
    }

    fn each_part(&self, epoch: u64, mut each: impl FnMut(&SharedArray)) -> Result<(), Error> {
        for first in self.parts(epoch)? {
            // Only one part is mapped at a time, to keep the resident memory small.
            let part = self.flows.read_part(first, self.buckets()?);
            each(&part.map_err(not_mapped("map", evidence::FLOWS))?);
        }
        Ok(())
    }

    /// The first element of the table of each CPU.
    fn parts(&self, epoch: u64) -> Result<impl Iterator<Item = usize> + use<>, Error> {
        let buckets = self.buckets()?;
        let cpus = possible_cpus()? as usize;
        let table = usize::from(epoch & 1 == 1);
        Ok((0..cpus).map(move |cpu| (2 * cpu + table) * buckets))
    }

    /// Buckets of one table.
    fn buckets(&self) -> Result<usize, Error> {
        let elements = self.flows.len();
        let elements = elements.map_err(not_mapped("examine", evidence::FLOWS))?;
        Ok(elements / 2 / possible_cpus()? as usize)
    }
}

impl Cell {
    /// Reads a cell; `None` if it is free.
    fn read(part: &SharedArray, bucket: usize, place: usize) -> Option<Self> {
        let cell = |index: usize| part.load(bucket, CELLS + place * CELL_WORDS + index);
        let start = |index: usize| part.load(bucket, STARTS + place * START_WORDS + index);
        if cell(KEY + FLOW_USED_WORD) == 0 {
            return None;
        }
        let key: [u64; FLOW_KEY_WORDS] = std::array::from_fn(|index| cell(KEY + index));
        let mut source = [0; 16];
        let halves = [start(SOURCE), start(SOURCE + 1)].map(u64::to_ne_bytes);
        source.copy_from_slice(halves.as_flattened());
        Some(Self {
            key: FlowCellKey::from_words(key),
            first: start(FIRST),
            last: cell(LAST),
            count: Count {
                packets: cell(COUNT),
                bytes: cell(COUNT + 1),
            },
            source,
        })
    }
}

impl Sums {
    fn add(&mut self, cell: &Cell) {
        let mut key = cell.key;
        let is_dropped = key.kind & KIND_DROPPED != 0;
        key.kind &= !KIND_DROPPED;
        key.source_tag = 0;
        let flow = self.flows.entry(key).or_insert(RawFlow {
            key,
            first: cell.first,
            last: cell.last,
            passed: Count::default(),
            dropped: Count::default(),
        });
        flow.first = flow.first.min(cell.first);
        flow.last = flow.last.max(cell.last);
        if is_dropped {
            flow.dropped += cell.count;
        } else {
            flow.passed += cell.count;
        }

        let is_ipv6 = is_ipv6(&key);
        let place = (key.mac, is_ipv6, cell.source);
        let source = self.sources.entry(place).or_insert(RawSource {
            mac: key.mac,
            address: cell.source,
            is_ipv6,
            first: cell.first,
            last: cell.last,
        });
        source.first = source.first.min(cell.first);
        source.last = source.last.max(cell.last);
    }
}

/// Clears a bucket. The used words are cleared first, because a reader takes a cell whose
/// used word is zero for free.
fn clear(part: &WritableArray, bucket: usize) {
    let used = |place: usize| CELLS + place * CELL_WORDS + KEY + FLOW_USED_WORD;
    if (0..BUCKET_CELLS).all(|place| part.load(bucket, used(place)) == 0) {
        return;
    }
    (0..BUCKET_CELLS).for_each(|place| part.store(bucket, used(place), 0));
    (0..BUCKET_WORDS).for_each(|word| part.store(bucket, word, 0));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One flow that two CPUs counted in the same tick, from two source addresses and with
    /// both verdicts, stays one flow, and both addresses stay.
    #[test]
    fn the_cells_of_a_flow_are_summed_and_each_source_stays() {
        let cell = |source: u8, dropped: bool, packets: u64| Cell {
            key: FlowCellKey {
                kind: if dropped { KIND_DROPPED } else { 0 },
                source_tag: source.into(),
                ..FlowCellKey::default()
            },
            first: 7,
            last: 7 + packets,
            count: Count { packets, bytes: 60 },
            source: [source; 16],
        };
        let mut sums = Sums::default();
        for cell in [cell(1, false, 1), cell(2, true, 2), cell(1, true, 4)] {
            sums.add(&cell);
        }
        let [flow] = *sums.flows.into_values().collect::<Vec<_>>() else {
            panic!("one flow");
        };
        assert_eq!((flow.first, flow.last), (7, 11));
        assert_eq!((flow.passed.packets, flow.dropped.packets), (1, 6));
        let sources: Vec<_> = sums.sources.into_values().collect();
        let seen = sources.iter().map(|it| (it.address[0], it.first, it.last));
        assert_eq!(seen.collect::<Vec<_>>(), [(1, 7, 11), (2, 7, 9)]);
    }
}
