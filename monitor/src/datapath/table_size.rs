//! Sizes of maps that depend on the number of CPUs.

use aya::util::nr_cpus;
use monitor_common::evidence::{BUCKET_CELLS, FLOW_CELLS, FlowBucket};

use super::Error;

/// Size of the tables of flows.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableSize {
    /// Buckets of one table, a power of two.
    pub(super) buckets: u32,
}

impl TableSize {
    /// The size of the pinned tables.
    #[expect(clippy::cast_possible_truncation, reason = "a bucket has few cells")]
    pub(super) const PINNED: Self = Self {
        buckets: FLOW_CELLS / BUCKET_CELLS as u32,
    };

    /// Tables for about `flows` flows on each CPU, or for 2,048 if that is more: a table is
    /// mapped by itself, so it must have whole pages, of up to 64 KiB.
    #[expect(clippy::cast_possible_truncation, reason = "a bucket has few cells")]
    pub(super) const fn for_flows(flows: u32) -> Self {
        const LEAST: u32 = 512;
        const { assert!((LEAST as usize * size_of::<FlowBucket>()).is_multiple_of(64 << 10)) };
        let buckets = flows.next_power_of_two() / BUCKET_CELLS as u32;
        Self {
            buckets: if buckets < LEAST { LEAST } else { buckets },
        }
    }

    /// Elements of the map of flows: two tables for each possible CPU.
    pub(super) fn elements(self) -> Result<u32, Error> {
        Ok(2 * self.buckets * possible_cpus()?)
    }
}

/// Number of possible CPUs.
pub(super) fn possible_cpus() -> Result<u32, Error> {
    let cpus = nr_cpus();
    let cpus = cpus.map_err(|(path, source)| Error::system(format!("read {path}"), source))?;
    Ok(cpus.get())
}
