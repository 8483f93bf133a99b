//! Blocked prefixes and destinations, the same in every run.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::bench::sets::{public, ranges as folder};
use crate::system::Tree;

/// Number of destinations of a generator: the size of its map.
pub(crate) const DESTINATIONS: usize = 65_536;

/// An IPv4 prefix; host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Prefix {
    pub(crate) address: Ipv4Addr,
    /// Length, 0 to 32.
    pub(crate) length: u8,
}

impl Prefix {
    fn slash_24(address: u32) -> Self {
        Self {
            address: (address & 0xffff_ff00).into(),
            length: 24,
        }
    }

    fn first(self) -> u32 {
        self.address.into()
    }

    fn last(self) -> u32 {
        self.first() | u32::MAX.checked_shr(self.length.into()).unwrap_or(0)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.length)
    }
}

/// Path of the whole IPv4 table in the test data.
pub(crate) fn table(tree: &Tree) -> PathBuf {
    folder(&tree.root).join("asn-v4-cidr.txt.gz")
}

/// Random addresses, each in a random prefix; empty without prefixes.
pub(crate) fn inside(prefixes: &[Prefix]) -> Vec<Ipv4Addr> {
    let mut random = StdRng::seed_from_u64(5);
    let mut one = || {
        let prefix = prefixes[random.random_range(0..prefixes.len())];
        Ipv4Addr::from(random.random_range(prefix.first()..=prefix.last()))
    };
    let count = if prefixes.is_empty() { 0 } else { DESTINATIONS };
    (0..count).map(|_| one()).collect()
}

/// Prefixes and destinations of one run.
pub(crate) struct Sets {
    /// Random /24 that hold no address of `innocent` and `unrouted`.
    pub(crate) random: Vec<Prefix>,
    /// The whole IPv4 table; empty if the file is missing.
    pub(crate) table: Vec<Prefix>,
    /// Destinations inside `random`.
    pub(crate) blocked: Vec<Ipv4Addr>,
    /// Destinations outside `random`.
    pub(crate) innocent: Vec<Ipv4Addr>,
    /// Destinations outside `random` and `table`.
    pub(crate) unrouted: Vec<Ipv4Addr>,
}

impl Sets {
    /// Makes `count` random /24, and reads the table of `file`: on each line a prefix, then
    /// a tab.
    pub(crate) fn make(count: usize, file: Option<&Path>) -> Result<Self> {
        let mut random = StdRng::seed_from_u64(4);
        let table = file.map_or_else(|| Ok(Vec::new()), read_table)?;
        let ranges = merged(&table);
        let mut some = |ranges: &[(u32, u32)]| -> Vec<Ipv4Addr> {
            std::iter::repeat_with(|| public(&mut random))
                .filter(|&address| !holds(ranges, address))
                .take(DESTINATIONS)
                .map(Ipv4Addr::from)
                .collect()
        };
        let (innocent, unrouted) = (some(&[]), some(&ranges));
        let mut kept: Vec<u32> = innocent
            .iter()
            .chain(&unrouted)
            .map(|&address| u32::from(address) >> 8)
            .collect();
        kept.sort_unstable();
        let prefixes = slash_24s(&mut random, count, &kept);
        Ok(Self {
            blocked: inside(&prefixes),
            random: prefixes,
            table,
            innocent,
            unrouted,
        })
    }
}

/// Distinct random /24 without those in `without`, which must be sorted.
fn slash_24s(random: &mut StdRng, count: usize, without: &[u32]) -> Vec<Prefix> {
    let mut seen = std::collections::HashSet::new();
    std::iter::repeat_with(|| public(random))
        .filter(|address| {
            without.binary_search(&(address >> 8)).is_err() && seen.insert(address >> 8)
        })
        .take(count)
        .map(Prefix::slash_24)
        .collect()
}

fn read_table(file: &Path) -> Result<Vec<Prefix>> {
    let mut text = String::new();
    let packed = File::open(file).with_context(|| file.display().to_string())?;
    flate2::read::GzDecoder::new(packed)
        .read_to_string(&mut text)
        .with_context(|| file.display().to_string())?;
    let prefixes = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| prefix(line).with_context(|| format!("{}: {line}", file.display())))
        .collect::<Result<Vec<_>>>()?;
    ensure!(!prefixes.is_empty(), "{} is empty", file.display());
    Ok(prefixes)
}

fn prefix(line: &str) -> Option<Prefix> {
    let (address, length) = line.split_whitespace().next()?.split_once('/')?;
    Some(Prefix {
        address: address.parse().ok()?,
        length: length.parse().ok()?,
    })
}

/// The prefixes as ascending ranges that do not touch.
fn merged(prefixes: &[Prefix]) -> Vec<(u32, u32)> {
    let mut sorted = prefixes.to_vec();
    sorted.sort_unstable();
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for prefix in sorted {
        match ranges.last_mut() {
            Some((_, last)) if prefix.first() <= last.saturating_add(1) => {
                *last = (*last).max(prefix.last());
            }
            _ => ranges.push((prefix.first(), prefix.last())),
        }
    }
    ranges
}

fn holds(ranges: &[(u32, u32)], address: u32) -> bool {
    let after = ranges.partition_point(|&(first, _)| first <= address);
    after > 0 && address <= ranges[after - 1].1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocked_destinations_are_inside_and_innocent_ones_outside() {
        let sets = Sets::make(1000, None).unwrap();
        let ranges = merged(&sets.random);
        assert_eq!(sets.random.len(), 1000);
        assert!(
            sets.blocked
                .iter()
                .all(|&address| holds(&ranges, address.into()))
        );
        assert!(
            !sets
                .innocent
                .iter()
                .any(|&address| holds(&ranges, address.into()))
        );
        assert_eq!(
            (sets.blocked.len(), sets.innocent.len()),
            (DESTINATIONS, DESTINATIONS)
        );
    }

    #[test]
    fn ranges_hold_their_edges() {
        let all = [
            prefix("8.0.0.0/9\t1").unwrap(),
            prefix("8.128.0.0/9").unwrap(),
            prefix("1.1.1.1/32").unwrap(),
        ];
        let ranges = merged(&all);
        assert_eq!(
            ranges,
            [(0x0101_0101, 0x0101_0101), (0x0800_0000, 0x08ff_ffff)]
        );
        for (address, inside) in [
            (0x07ff_ffff, false),
            (0x0800_0000, true),
            (0x08ff_ffff, true),
            (0x0900_0000, false),
        ] {
            assert_eq!(holds(&ranges, address), inside, "{address:x}");
        }
    }
}
