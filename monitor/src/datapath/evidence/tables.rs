//! Reads and clears the tables of flows.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    mem::offset_of,
};

use monitor_common::{
    Count,
    evidence::{BUCKET_CELLS, FLOW_KEY_WORDS, FLOW_USED_WORD, FlowCell, FlowCellKey},
};

use super::EvidenceMaps;
use crate::datapath::{
    Error,
    maps::not_mapped,
    object::evidence,
    shared_array::{SharedArray, WritableArray},
    table_size::possible_cpus,
};

const WORD: usize = size_of::<u64>();
const CELL_WORDS: usize = size_of::<FlowCell>() / WORD;
const KEY: usize = offset_of!(FlowCell, key) / WORD;
const FIRST: usize = offset_of!(FlowCell, first) / WORD;
const LAST: usize = offset_of!(FlowCell, last) / WORD;
const PASSED: usize = offset_of!(FlowCell, passed) / WORD;
const DROPPED: usize = offset_of!(FlowCell, dropped) / WORD;
const FIRST_SOURCE: usize = offset_of!(FlowCell, first_source) / WORD;
const LAST_SOURCE: usize = offset_of!(FlowCell, last_source) / WORD;

/// One flow of one epoch, summed over all CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::datapath) struct RawFlow {
    pub(in crate::datapath) key: FlowCellKey,
    /// Ticks.
    pub(in crate::datapath) first: u64,
    /// Ticks.
    pub(in crate::datapath) last: u64,
    pub(in crate::datapath) passed: Count,
    pub(in crate::datapath) dropped: Count,
    /// Source address of the first and of the last packet; IPv4 as `::ffff:a.b.c.d`.
    pub(in crate::datapath) sources: [[u8; 16]; 2],
}

type Words = [u64; FLOW_KEY_WORDS];

impl EvidenceMaps {
    /// The flows of the table of an epoch, sorted by key. A program may still write the
    /// table of the current epoch; then counts are whole numbers of different moments.
    pub(in crate::datapath) fn flows(&self, epoch: u64) -> Result<Vec<RawFlow>, Error> {
        let mut flows = BTreeMap::new();
        self.each_part(epoch, |part| {
            for bucket in 0..part.len() {
                for cell in (0..BUCKET_CELLS).map(|cell| cell * CELL_WORDS) {
                    add(&mut flows, part, bucket, cell);
                }
            }
        })?;
        Ok(flows.into_values().collect())
    }

    /// Clears the table of an epoch in which no program records.
    pub(super) fn clear(&self, epoch: u64) -> Result<(), Error> {
        for first in self.parts(epoch)? {
            let part = self.flows.write_part(first, self.buckets()?);
            let part = part.map_err(not_mapped("map", evidence::FLOWS))?;
            for bucket in 0..part.len() {
                for cell in (0..BUCKET_CELLS).map(|cell| cell * CELL_WORDS) {
                    clear(&part, bucket, cell);
                }
            }
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

/// Adds one cell to the flows.
fn add(flows: &mut BTreeMap<Words, RawFlow>, part: &SharedArray, bucket: usize, cell: usize) {
    let word = |index: usize| part.load(bucket, cell + index);
    if word(KEY + FLOW_USED_WORD) == 0 {
        return;
    }
    let key: Words = std::array::from_fn(|index| word(KEY + index));
    let count = |index| Count {
        packets: word(index),
        bytes: word(index + 1),
    };
    let source = |index| {
        let halves = [word(index), word(index + 1)].map(u64::to_ne_bytes);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(halves.as_flattened());
        bytes
    };
    let flow = RawFlow {
        key: FlowCellKey::from_words(key),
        first: word(FIRST),
        last: word(LAST),
        passed: count(PASSED),
        dropped: count(DROPPED),
        sources: [source(FIRST_SOURCE), source(LAST_SOURCE)],
    };
    match flows.entry(key) {
        Entry::Vacant(entry) => {
            entry.insert(flow);
        }
        Entry::Occupied(mut entry) => entry.get_mut().join(&flow),
    }
}

impl RawFlow {
    /// Adds what another CPU counted of the same flow.
    fn join(&mut self, other: &Self) {
        if other.first < self.first {
            (self.first, self.sources[0]) = (other.first, other.sources[0]);
        }
        if other.last > self.last {
            (self.last, self.sources[1]) = (other.last, other.sources[1]);
        }
        self.passed += other.passed;
        self.dropped += other.dropped;
    }
}

fn clear(part: &WritableArray, bucket: usize, cell: usize) {
    if part.load(bucket, cell + KEY + FLOW_USED_WORD) == 0 {
        return;
    }
    // A reader takes a cell whose used word is zero for free.
    part.store(bucket, cell + KEY + FLOW_USED_WORD, 0);
    for word in 0..CELL_WORDS {
        part.store(bucket, cell + word, 0);
    }
}
