//! Sets of prefixes, real and random, and destinations for them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::iter;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use aya::Pod;
use flate2::read::GzDecoder;
use monitor::address::{Address, Network};
use monitor::compile::Prefix;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Number of destinations of a set, a power of two.
pub(crate) const DESTINATIONS: usize = 1 << 16;

/// Numbers of random prefixes.
pub(crate) const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// A set of prefixes of one family, and destinations.
pub(crate) struct Set<A> {
    pub(crate) name: String,
    pub(crate) prefixes: Vec<Prefix<A>>,
    /// Random addresses in random prefixes of the set; empty if the set has no prefixes.
    pub(crate) hits: Vec<A>,
    /// Random public addresses.
    pub(crate) anywhere: Vec<A>,
}

impl<A: Address> Set<A> {
    fn new(name: &str, networks: BTreeMap<(A, u8), u32>) -> Self {
        let prefixes: Vec<_> = networks
            .into_iter()
            .map(|((address, length), match_set)| Prefix {
                address,
                length,
                match_set,
            })
            .collect();
        let mut random = StdRng::seed_from_u64(prefixes.len() as u64);
        let count = if prefixes.is_empty() { 0 } else { DESTINATIONS };
        let hits = inside(&prefixes, &mut random).take(count).collect();
        let anywhere = anywhere(&mut random).take(DESTINATIONS).collect();
        Self {
            name: format!("{name} ({})", prefixes.len()),
            anywhere,
            hits,
            prefixes,
        }
    }

    /// Takes [`DESTINATIONS`] addresses outside the prefixes from `candidates`, which may be
    /// endless.
    pub(crate) fn outside(&self, candidates: impl Iterator<Item = A>) -> Result<Vec<A>> {
        let prefixes = self.prefixes.iter();
        let networks: HashSet<_> = prefixes
            .map(|prefix| Network::around(prefix.address, prefix.length))
            .collect();
        let lengths: BTreeSet<_> = networks.iter().map(|network| network.length()).collect();
        let is_inside = |address: &A| {
            let mut around = lengths
                .iter()
                .map(|&length| Network::around(*address, length));
            around.any(|network| networks.contains(&network))
        };
        let outside: Vec<A> = candidates
            .take(64 * DESTINATIONS)
            .filter(|address| !is_inside(address))
            .take(DESTINATIONS)
            .collect();
        ensure!(
            outside.len() == DESTINATIONS,
            "{}: only {} destinations lie outside",
            self.name,
            outside.len()
        );
        Ok(outside)
    }
}

/// Endless random public unicast addresses. IPv6 addresses are from `2000::/3` (RFC 4291,
/// section 2.4).
pub(crate) fn anywhere<A: Address>(random: &mut StdRng) -> impl Iterator<Item = A> {
    iter::repeat_with(|| {
        A::from_number(if u32::from(A::BITS) == u32::BITS {
            public(random).into()
        } else {
            1 << 125 | random.random::<u128>() >> 3
        })
    })
}

/// A random unicast address outside the reserved ranges.
pub(crate) fn public(random: &mut StdRng) -> u32 {
    loop {
        let address: u32 = random.random_range(0x0100_0000..0xe000_0000);
        let [a, b, ..] = address.to_be_bytes();
        let reserved = matches!(
            (a, b),
            (10 | 127, _)
                | (100, 64..=127)
                | (169, 254)
                | (172, 16..=31)
                | (192, 0 | 88 | 168)
                | (198, 18 | 19 | 51)
                | (203, 0)
        );
        if !reserved {
            return address;
        }
    }
}

/// Endless random addresses, each in a random prefix.
pub(crate) fn inside<A: Address>(
    prefixes: &[Prefix<A>],
    random: &mut StdRng,
) -> impl Iterator<Item = A> {
    iter::repeat_with(|| {
        let prefix = prefixes[random.random_range(0..prefixes.len())];
        let host = u32::from(A::BITS - prefix.length);
        let low = u128::MAX.checked_shr(128 - host).unwrap_or(0);
        A::from_number(prefix.address.to_number() | random.random::<u128>() & low)
    })
}

/// Distinct random /24 with one match set.
pub(crate) fn random(count: usize) -> Set<Ipv4Addr> {
    let mut random = StdRng::seed_from_u64(42);
    let mut networks = BTreeMap::new();
    while networks.len() < count {
        let address = Network::around(Ipv4Addr::from_bits(random.random()), 24).address();
        networks.insert((address, 24), 1);
    }
    Set::new("random /24", networks)
}

/// Reads a file with a prefix on each line. The text behind a tab selects one of
/// `match_sets` match sets.
pub(crate) fn file<A>(name: &str, path: &Path, match_sets: u32) -> Result<Set<A>>
where
    A: Address + std::str::FromStr,
{
    let mut networks = BTreeMap::new();
    for line in text(path)?.lines() {
        let mut columns = line.split(['\t', ' ']);
        let prefix = columns.next().unwrap_or_default();
        let (address, length) = prefix.split_once('/').unwrap_or((prefix, ""));
        let Ok(address) = address.parse::<A>() else {
            continue;
        };
        let length = if length.is_empty() {
            A::BITS
        } else {
            length
                .parse()
                .with_context(|| format!("{}: {line}", path.display()))?
        };
        let column = columns.next().and_then(|column| column.parse().ok());
        let match_set = 1 + column.unwrap_or(0_u32) % match_sets;
        networks.insert((address, length), match_set);
    }
    let sets: BTreeSet<_> = networks.values().collect();
    ensure!(
        sets.len() == match_sets as usize,
        "{}: {} match sets in place of {match_sets}",
        path.display(),
        sets.len()
    );
    Ok(Set::new(name, networks))
}

/// Reads the prefixes of a table.
pub(crate) fn lines(path: &Path) -> Result<Vec<String>> {
    let text = text(path)?;
    let columns = text.lines().filter_map(|line| line.split('\t').next());
    let prefixes = columns.filter(|prefix| prefix.contains('/'));
    Ok(prefixes.map(str::to_owned).collect())
}

fn text(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let mut text = String::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        GzDecoder::new(file).read_to_string(&mut text)
    } else {
        file.read_to_string(&mut text)
    }
    .with_context(|| path.display().to_string())?;
    Ok(text)
}

/// The folder of range files that the tests use.
pub(crate) fn ranges(root: &Path) -> PathBuf {
    let default = root.join("../shared/data");
    let data = std::env::var_os("MONITOR_TEST_DATA").map_or(default, PathBuf::from);
    data.join("ranges")
}

/// An address family, and how the programs of the benchmarks name and store it.
pub(crate) trait Family: Address {
    const IPV6: bool;

    /// End of the names of its maps and constants.
    const SUFFIX: &str;

    /// Element of the map of destinations.
    type Element: Pod;

    fn element(self) -> Self::Element;

    /// Name of its map or constant.
    fn name(stem: &str) -> String {
        format!("{stem}{}", Self::SUFFIX)
    }
}

impl Family for Ipv4Addr {
    const IPV6: bool = false;
    const SUFFIX: &str = "V4";
    type Element = u32;

    fn element(self) -> u32 {
        self.to_bits()
    }
}

impl Family for Ipv6Addr {
    const IPV6: bool = true;
    const SUFFIX: &str = "V6";
    type Element = [u64; 2];

    fn element(self) -> [u64; 2] {
        let half = |shift: u32| u64::try_from(self.to_bits() << (64 - shift) >> 64);
        [64, 0].map(|shift| half(shift).expect("64 bits are left"))
    }
}
