//! Two filters on two paths through the gateway, flooded in turns. Their ratio does not depend on the
//! speed of the machine, which changes from second to second.

use anyhow::Result;

use super::filters::{Chain, Evidence, FilterKind, Hook, Reads};
use super::network::Lan;
use super::{Bench, FEW, MANY, nearly_all, none, with_count};

/// Cache lines of the first level of a large trie: 256 KiB.
const LINES: u32 = 4_096;

/// Destinations of a flood.
#[derive(Clone, Copy)]
enum Destinations {
    Blocked,
    /// Outside so many prefixes.
    Innocent(usize),
}

/// Two filters that are compared in turns.
#[derive(Clone, Copy)]
struct Pair {
    ours: FilterKind,
    other: FilterKind,
    destinations: Destinations,
    /// True if the filters exchange their paths for half of the floods. Then a path that is
    /// faster than the other favours neither.
    exchanges: bool,
}

impl Bench<'_> {
    /// Compares this filter on one interface with another filter on the other interface.
    /// The floods alternate between both.
    pub(super) fn paired(&mut self) -> Result<()> {
        use Hook::{Generic, Native};
        let reads = |count, lines| FilterKind::Reads(Native, Reads { count, lines });
        for (ours, count) in [
            (FilterKind::PassAll(Native), 0),
            (reads(1, 1), 0),
            (reads(1, LINES), 0),
            (reads(2, LINES), 0),
            (FilterKind::Ours(Native), 0),
            (FilterKind::Ours(Native), FEW),
            (FilterKind::Ours(Native), MANY),
            (FilterKind::Ours(Native), usize::MAX),
        ] {
            let name = with_count(ours, count);
            let pair = Pair {
                ours,
                other: FilterKind::PassAll(Native),
                destinations: Destinations::Innocent(count),
                exchanges: false,
            };
            self.pairs("forward, paired", &name, pair)?;
        }
        for (ours, other) in [
            (FilterKind::DropAll(Native), FilterKind::DropAll(Native)),
            (FilterKind::Ours(Native), FilterKind::DropAll(Native)),
            (FilterKind::Ours(Generic), FilterKind::DropAll(Generic)),
            (FilterKind::Ours(Native), FilterKind::LpmTrie(Native)),
            (FilterKind::Ours(Generic), FilterKind::LpmTrie(Generic)),
            (FilterKind::Ours(Native), FilterKind::Ipset),
            (FilterKind::Ours(Generic), FilterKind::Ipset),
            (
                FilterKind::Ours(Native),
                FilterKind::Nftables(Chain::Prerouting),
            ),
            (
                FilterKind::Ours(Generic),
                FilterKind::Nftables(Chain::Prerouting),
            ),
            (
                FilterKind::Ours(Native),
                FilterKind::Nftables(Chain::Ingress),
            ),
            (
                FilterKind::Ours(Generic),
                FilterKind::Nftables(Chain::Ingress),
            ),
        ] {
            let pair = Pair {
                ours,
                other,
                destinations: Destinations::Blocked,
                exchanges: false,
            };
            self.pairs("drop, paired", &ours.name(), pair)?;
        }
        Ok(())
    }

    /// Compares this filter on both interfaces of one path with no filter on the other path.
    /// The flood goes from the LAN to the WAN, so each packet passes two hooks.
    pub(super) fn both(&mut self) -> Result<()> {
        use Hook::{Generic, Native};
        let both = FilterKind::OursBoth(Native, Evidence::Counters);
        let with_names = FilterKind::OursBoth(Native, Evidence::Names);
        // What the hooks cost with programs that do nothing.
        let limit = FilterKind::PassBoth(Native);
        // As many reads as a look-up in a large trie.
        let two_reads = FilterKind::ReadsBoth(
            Native,
            Reads {
                count: 2,
                lines: LINES,
            },
        );
        for (ours, other, count) in [
            (FilterKind::Nothing, FilterKind::Nothing, 0),
            (limit, FilterKind::Nothing, 0),
            (two_reads, FilterKind::Nothing, 0),
            (both, FilterKind::Nothing, MANY),
            (with_names, FilterKind::Nothing, MANY),
            (both, limit, MANY),
            (both, limit, usize::MAX),
            (
                FilterKind::OursBoth(Generic, Evidence::Counters),
                FilterKind::Nothing,
                MANY,
            ),
        ] {
            let name = with_count(ours, count);
            let pair = Pair {
                ours,
                other,
                destinations: Destinations::Innocent(count),
                exchanges: true,
            };
            self.pairs("both attached, paired", &name, pair)?;
        }
        Ok(())
    }

    /// Adds the ratios of each pair of floods to the report, or the error that prevented
    /// them.
    fn pairs(&mut self, part: &'static str, name: &str, pair: Pair) -> Result<()> {
        self.go_on()?;
        let other = pair.other.name();
        let quantities = ["rate", "CPU per packet"].map(|it| format!("{it}, of that of {other}"));
        let quantities = quantities.each_ref().map(|it| (&**it, "ratio"));
        match self.ratios(pair) {
            Ok(ratios) => {
                for ratio in ratios {
                    self.report.add(part, name, quantities, Ok(ratio));
                }
                eprintln!("{part}: {name}: {}", quantities[0].0);
            }
            Err(error) => self.add(part, name, quantities, Err(error)),
        }
        Ok(())
    }

    fn ratios(&self, pair: Pair) -> Result<Vec<[f64; 2]>> {
        let on_first = self.ratios_on(Lan::First, pair)?;
        if !pair.exchanges {
            return Ok(on_first);
        }
        let on_second = self.ratios_on(Lan::Second, pair)?;
        // In the geometric mean, a factor of the path cancels itself out.
        let both = on_first.iter().zip(&on_second);
        Ok(both
            .map(|(one, other)| [0, 1].map(|it| (one[it] * other[it]).sqrt()))
            .collect())
    }

    /// The ratios of `pair.ours`, installed on `path`, to `pair.other`, installed on the other path.
    fn ratios_on(&self, path: Lan, pair: Pair) -> Result<Vec<[f64; 2]>> {
        let blocked = match pair.destinations {
            Destinations::Blocked => self.random(),
            Destinations::Innocent(count) => self.prefixes(count)?,
        };
        self.with(pair.other, self.random(), path.other(), || {
            self.with(pair.ours, blocked, path, || {
                self.prove(path, pair)?;
                (0..self.plan.pairs)
                    .map(|round| self.in_turn(path, round, |lan| self.one_of(pair, lan)))
                    .collect()
            })
        })
    }

    /// Checks that both filters drop and pass as they should.
    fn prove(&self, path: Lan, pair: Pair) -> Result<()> {
        match pair.destinations {
            Destinations::Blocked => {
                self.prove_innocent_pass(pair.ours, path)?;
                self.prove_innocent_pass(pair.other, path.other())
            }
            Destinations::Innocent(count) => {
                self.prove_blocked(path, count)?;
                self.prove_blocked(path.other(), 0)
            }
        }
    }

    /// Packets per second, and nanoseconds per packet.
    fn one_of(&self, pair: Pair, lan: Lan) -> Result<[f64; 2]> {
        let flood = |generator| self.receiver.flood(generator, lan, self.plan.time());
        match pair.destinations {
            Destinations::Blocked => {
                none(flood(&self.blocked)?).map(|flood| [flood.taken, flood.nanoseconds])
            }
            Destinations::Innocent(count) => nearly_all(flood(self.innocent(count))?)
                .map(|flood| [flood.forwarded, flood.nanoseconds]),
        }
    }

    /// Swaps the order of the two floods in every second pair, so that a drift of the
    /// machine's speed favours neither.
    fn in_turn(
        &self,
        path: Lan,
        round: u32,
        once: impl Fn(Lan) -> Result<[f64; 2]>,
    ) -> Result<[f64; 2]> {
        self.go_on()?;
        let (ours, other) = if round.is_multiple_of(2) {
            let ours = once(path)?;
            (ours, once(path.other())?)
        } else {
            let other = once(path.other())?;
            (once(path)?, other)
        };
        Ok([ours[0] / other[0], ours[1] / other[1]])
    }
}
