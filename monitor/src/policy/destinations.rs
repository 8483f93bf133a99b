//! The networks that a policy covers, and the holes in them.

use std::collections::BTreeSet;

use super::lines::{Lines, Sorted};
use crate::address::{Address, Interval, IntervalSet, Network, Region};

/// The destinations of one address family.
///
/// A clone is cheap: it shares the networks. So policies that use the same list, and
/// the policies of a reload that finds most of the list unchanged, hold its networks once.
#[derive(Clone, Debug)]
pub struct Destinations<A> {
    /// In the order in which they are written.
    pub(super) parts: Vec<Part<A>>,
    /// Number of entries.
    len: usize,
    /// Sorted by entry.
    pub(super) holes: Vec<Hole<A>>,
}

/// Consecutive entries of one file.
#[derive(Clone, Debug)]
pub(super) struct Part<A> {
    pub(super) file: u32,
    pub(super) lines: Lines<A>,
}

/// A network as one line of a file has it. Takes 12 bytes for IPv4 and 24 for IPv6: it is
/// kept small because lists are long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written<A> {
    pub(super) network: Network<A>,
    /// True if this is one of several networks that together make up a typed
    /// range.
    pub(super) part_of_range: bool,
    /// Line number from 1; 0 if the file has no lines (a database).
    pub(super) line: u32,
}

/// One network of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<A> {
    written: Written<A>,
    pub(super) file: u32,
}

/// A network that is left out of an entry. Another entry may still cover it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole<A> {
    /// Index into [`Destinations::entries`].
    pub entry: usize,
    /// Lies inside the network of the entry.
    pub network: Network<A>,
}

impl<A> Default for Destinations<A> {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            len: 0,
            holes: Vec::new(),
        }
    }
}

/// Equal if the entries and the holes are, however the entries are divided into parts.
impl<A: Address> PartialEq for Destinations<A> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.holes == other.holes && self.entries().eq(other.entries())
    }
}

impl<A: Address> Eq for Destinations<A> {}

impl<A: Address> Destinations<A> {
    /// The entries in the order in which they are written.
    pub fn entries(&self) -> impl Iterator<Item = Entry<A>> {
        self.parts.iter().flat_map(Part::entries)
    }

    /// The networks of the entries, in the order in which they are written.
    pub fn networks(&self) -> impl Iterator<Item = Network<A>> {
        self.parts.iter().flat_map(|part| part.lines.networks())
    }

    /// Each entry that overlaps `region`, or whose network has fewer bits than `shortest`, with
    /// its index. Does not look at lines of long lists that are elsewhere.
    pub(crate) fn near<'a>(
        &'a self,
        region: &'a Region<A>,
        shortest: u8,
    ) -> impl Iterator<Item = (usize, Entry<A>)> {
        let mut next = 0;
        let each = self.parts.iter().map(move |part| {
            next += part.lines.len();
            (next - part.lines.len(), part)
        });
        let near = each.filter(move |(_, part)| {
            let summary = part.lines.summary();
            let mut short = summary.lengths.iter().take(usize::from(shortest));
            region.overlaps(summary.span) || short.any(|count| *count > 0)
        });
        near.flat_map(move |(first, part)| {
            let entries = (first..).zip(part.entries());
            entries.filter(move |(_, entry)| {
                let network = entry.network();
                network.length() < shortest || region.touches(network)
            })
        })
    }

    /// For each prefix length, from 0: the number of distinct networks.
    pub(crate) fn lengths(&self) -> Vec<usize> {
        Sorted::new(self.parts.iter().map(|part| &part.lines)).lengths()
    }

    /// The entry with this number, counted from 0.
    ///
    /// # Panics
    ///
    /// Panics if there are not so many entries.
    #[must_use]
    pub fn entry(&self, index: usize) -> Entry<A> {
        let mut rest = index;
        for Part { file, lines } in &self.parts {
            match lines.get(rest) {
                Some(written) => {
                    return Entry {
                        written,
                        file: *file,
                    };
                }
                None => rest -= lines.len(),
            }
        }
        panic!(
            "there are {} entries, so none has the index {index}",
            self.len()
        );
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What the entries leave out, sorted by entry.
    #[must_use]
    pub fn holes(&self) -> &[Hole<A>] {
        &self.holes
    }

    /// The entry with the longest prefix that covers `address` outside its
    /// holes.
    #[must_use]
    pub fn longest_match(&self, address: A) -> Option<Entry<A>> {
        let holds = |index: usize| {
            let from = self.holes.partition_point(|hole| hole.entry < index);
            let mut own = self.holes[from..]
                .iter()
                .take_while(|hole| hole.entry == index);
            own.all(|hole| !hole.network.contains(address))
        };
        let entries = self.entries().enumerate();
        entries
            .filter(|(index, entry)| entry.network().contains(address) && holds(*index))
            // Of equally long prefixes, the entry that is written first.
            .min_by_key(|(_, entry)| std::cmp::Reverse(entry.network().length()))
            .map(|(_, entry)| entry)
    }
}

impl<A: Address> Destinations<A> {
    /// Adds the networks of `interval`, which is written in the policy file.
    pub(super) fn add(&mut self, interval: Interval<A>, line: u32) {
        for written in Written::of(interval, line) {
            self.push_entry(Entry { written, file: 0 });
        }
    }

    /// Adds all networks of a list.
    pub(super) fn add_list(&mut self, lines: &[Lines<A>], file: u32) {
        self.len += lines.iter().map(Lines::len).sum::<usize>();
        let parts = lines.iter().cloned();
        self.parts.extend(parts.map(|lines| Part { file, lines }));
    }

    /// Adds an entry.
    pub(super) fn push_entry(&mut self, Entry { written, file }: Entry<A>) {
        self.len += 1;
        if let Some(last) = self.parts.last_mut().filter(|last| last.file == file) {
            last.lines.push(written);
        } else {
            let lines = Lines::new(vec![written], 0);
            self.parts.extend(lines.map(|lines| Part { file, lines }));
        }
    }

    /// Adds `holes` to the last entry. Returns false if `holes` is `None`.
    pub(super) fn carve(&mut self, holes: Option<Vec<Interval<A>>>) -> bool {
        let Some(holes) = holes else { return false };
        let entry = self.len() - 1;
        let networks: BTreeSet<_> = holes.into_iter().flat_map(Interval::networks).collect();
        self.holes
            .extend(networks.into_iter().map(|network| Hole { entry, network }));
        true
    }

    /// Calls `found` for each repeated network with its text, the (file, line)
    /// of its first entry, and the (file, line) of the repeated entry.
    pub(super) fn duplicates(&self, found: &mut impl FnMut(String, (u32, u32), (u32, u32))) {
        let repeated = Sorted::new(self.parts.iter().map(|part| &part.lines)).repeated();
        if repeated.is_empty() {
            return;
        }
        let parts = self.parts.iter();
        let parts = parts.filter(|part| part.lines.may_have_one_of(&repeated));
        let whole = parts.flat_map(Part::entries).filter(|entry| {
            !entry.is_part_of_range() && repeated.binary_search(&entry.network()).is_ok()
        });
        let mut sorted: Vec<_> = whole
            .map(|entry| (entry.network(), entry.file, entry.written.line))
            .collect();
        sorted.sort();
        for same in sorted.chunk_by(|a, b| a.0 == b.0) {
            for later in &same[1..] {
                found(
                    later.0.to_string(),
                    (same[0].1, same[0].2),
                    (later.1, later.2),
                );
            }
        }
    }
}

impl<A: Address> Part<A> {
    fn entries(&self) -> impl Iterator<Item = Entry<A>> {
        let file = self.file;
        self.lines
            .written()
            .map(move |written| Entry { written, file })
    }
}

impl<A: Address> Written<A> {
    /// The networks of `interval`, which is written in `line`.
    pub(super) fn of(interval: Interval<A>, line: u32) -> impl Iterator<Item = Self> {
        let networks = interval.networks();
        let part_of_range = networks.len() > 1;
        networks.into_iter().map(move |network| Self {
            network,
            part_of_range,
            line,
        })
    }
}

impl<A: Address> Entry<A> {
    /// The network of the entry.
    #[must_use]
    pub fn network(&self) -> Network<A> {
        self.written.network
    }

    /// The same entry with another network.
    pub(super) fn with_network<B>(self, network: Network<B>) -> Entry<B> {
        let Written {
            part_of_range,
            line,
            ..
        } = self.written;
        Entry {
            written: Written {
                network,
                part_of_range,
                line,
            },
            file: self.file,
        }
    }

    /// True if this is one of several networks that together make up a typed
    /// range.
    #[must_use]
    pub fn is_part_of_range(&self) -> bool {
        self.written.part_of_range
    }

    /// True if the entry is written in a list, false if in the policy file
    /// itself.
    #[must_use]
    pub fn is_in_list(&self) -> bool {
        self.file > 0
    }

    /// Line in the policy file or list, from 1; `None` if the file is a
    /// database, which has no lines.
    #[must_use]
    pub fn line(&self) -> Option<u32> {
        (self.written.line > 0).then_some(self.written.line)
    }
}

impl<A: Address> Destinations<A> {
    /// True if an entry overlaps `interval`. Ignores the holes.
    pub(super) fn touches(&self, interval: Interval<A>) -> bool {
        let mut networks = self.networks().map(Network::interval);
        networks.any(|network| network.overlap(interval).is_some())
    }

    /// Splits the destinations in two. The first part has no address of `except`; the second
    /// part has only addresses of `except`.
    pub(super) fn leave_out(&self, except: &[Network<A>]) -> (Self, Self) {
        if except.is_empty() {
            return (self.clone(), Self::default());
        }
        let (mut kept, mut removed) = (Self::default(), Self::default());
        let mut holes = self.holes.as_slice();
        for (index, entry) in self.entries().enumerate() {
            let outer = entry.network();
            let own = holes.partition_point(|hole| hole.entry <= index);
            let own: Vec<Network<A>> = holes
                .split_off(..own)
                .unwrap_or_default()
                .iter()
                .map(|hole| hole.network)
                .collect();
            let inside: Vec<Network<A>> = except
                .iter()
                .copied()
                .filter(|network| outer.contains_network(*network))
                .collect();
            let all: BTreeSet<Network<A>> = own.iter().chain(&inside).copied().collect();
            let around = except.iter().any(|network| network.contains_network(outer));
            if around || (!inside.is_empty() && entry.is_covered_by(&all)) {
                removed.push(entry, own);
                continue;
            }
            for network in inside {
                removed.push(entry.with_network(network), own.clone());
            }
            kept.push(entry, all);
        }
        (kept, removed)
    }

    /// Adds `entry`, and as its holes every network of `holes` that lies inside `entry`.
    fn push(&mut self, entry: Entry<A>, holes: impl IntoIterator<Item = Network<A>>) {
        let index = self.len();
        let inside = holes
            .into_iter()
            .filter(|network| entry.network().contains_network(*network));
        self.holes.extend(inside.map(|network| Hole {
            entry: index,
            network,
        }));
        self.push_entry(entry);
    }
}

impl<A: Address> Entry<A> {
    fn is_covered_by(&self, networks: &BTreeSet<Network<A>>) -> bool {
        let parts: IntervalSet<A> = networks.iter().map(|part| part.interval()).collect();
        parts.covers(self.network().interval())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn a_list_entry_stays_small() {
        assert_eq!(size_of::<Written<Ipv4Addr>>(), 12);
        assert_eq!(size_of::<Written<Ipv6Addr>>(), 24);
    }

    fn network(text: &str) -> Network<Ipv4Addr> {
        let (address, length) = text.split_once('/').unwrap();
        Network::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
    }

    fn destinations(entries: &[(&str, &[&str])]) -> Destinations<Ipv4Addr> {
        let mut destinations = Destinations::default();
        for (text, holes) in entries {
            let written = Written {
                network: network(text),
                part_of_range: false,
                line: 1,
            };
            let entry = Entry { written, file: 0 };
            destinations.push(entry, holes.iter().map(|hole| network(hole)));
        }
        destinations
    }

    #[test]
    fn every_address_is_kept_or_removed_as_a_slow_model_says() {
        let before = destinations(&[
            ("10.0.0.0/24", &["10.0.0.16/28"]),
            ("10.0.0.0/26", &[]),
            ("10.0.1.0/25", &["10.0.1.0/26", "10.0.1.96/27"]),
            ("10.0.1.64/27", &["10.0.1.64/32"]),
        ]);
        for except in [
            &[][..],
            &["10.0.0.0/25"],
            &["10.0.0.0/8"],
            &["10.0.0.0/25", "10.0.0.128/25"],
            &["10.0.0.18/31", "10.0.1.65/32"],
            &["10.0.0.0/27", "10.0.1.64/27"],
        ] {
            let except: Vec<_> = except.iter().map(|text| network(text)).collect();
            let (kept, removed) = before.leave_out(&except);
            for number in 0..512 {
                let address = Ipv4Addr::from_bits(0x0a00_0000 + number);
                let held = before.longest_match(address).is_some();
                let excepted = except.iter().any(|network| network.contains(address));
                let found = (
                    kept.longest_match(address).is_some(),
                    removed.longest_match(address).is_some(),
                );
                let expected = (held && !excepted, held && excepted);
                assert_eq!(found, expected, "{address} {except:?}");
            }
        }
    }

    #[test]
    fn an_entry_that_is_left_out_whole_is_gone() {
        let before = destinations(&[("10.0.0.0/24", &["10.0.0.0/26"]), ("10.0.1.0/24", &[])]);
        let (kept, _) = before.leave_out(&[network("10.0.0.64/26"), network("10.0.0.128/25")]);
        assert_eq!(kept, destinations(&[("10.0.1.0/24", &[])]));
        let (kept, removed) = before.leave_out(&[]);
        assert_eq!((kept, removed), (before, Destinations::default()));
    }
}
