//! Loads a trie into a program of the benchmarks, as the daemon does for the filter.

use anyhow::Result;
use aya::{Ebpf, EbpfLoader};
use monitor::compile::Trie;
use monitor_common::trie::{FIRST_NODES, Line, Node};

use super::object;
use super::sets::Family;

/// A trie, and the names that the kernel program gives to the trie's constants and maps.
pub(crate) struct Loadable<'t> {
    trie: &'t Trie,
    constants: Vec<(String, u32)>,
    common: String,
    nodes: String,
    lines: String,
}

impl<'t> Loadable<'t> {
    pub(crate) fn new<A: Family>(trie: &'t Trie) -> Self {
        let mut constants = vec![
            (A::name("COMMON_BITS_"), trie.common_bits),
            (A::name("OUTSIDE_"), trie.outside),
            (A::name("FIRST_BITS_"), trie.first_bits),
            (A::name("FIRST_KIND_"), trie.first_kind),
        ];
        if A::IPV6 {
            constants.push((A::name("LOW_"), trie.low.into()));
        }
        Self {
            trie,
            constants,
            common: A::name("COMMON_"),
            nodes: A::name("NODES_"),
            lines: A::name("LINES_"),
        }
    }

    /// Sets the constants and the sizes of the maps.
    pub(crate) fn set<'a>(&'a self, loader: &mut EbpfLoader<'a>) -> Result<()> {
        for (global, value) in &self.constants {
            loader.override_global(global, value, true);
        }
        loader.override_global(&self.common, &self.trie.common, true);
        loader.map_max_entries(&self.nodes, u32::try_from(self.trie.nodes.len().max(1))?);
        loader.map_max_entries(&self.lines, u32::try_from(self.trie.lines.len().max(1))?);
        Ok(())
    }

    /// Cache lines of the first level, and of the rest of the trie; each is at least 1.
    pub(crate) fn cache_lines(&self) -> Result<[u32; 2]> {
        let element = if self.trie.first_kind == FIRST_NODES {
            size_of::<Node>()
        } else {
            size_of::<u32>()
        };
        let all = size_of_val(&*self.trie.nodes) + size_of_val(&*self.trie.lines);
        let first = element << self.trie.first_bits;
        let lines = |bytes: usize| u32::try_from(bytes.div_ceil(size_of::<Line>()).max(1));
        Ok([lines(first)?, lines(all - first)?])
    }

    /// Writes the trie into the maps.
    pub(crate) fn fill(&self, object: &Ebpf) -> Result<()> {
        object::fill_mapped(object, &self.nodes, &self.trie.nodes)?;
        object::fill_mapped(object, &self.lines, &self.trie.lines)
    }
}
