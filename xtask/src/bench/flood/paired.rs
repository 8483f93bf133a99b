//! Two filters on two interfaces, flooded in turns: ratios that can be trusted where
//! the machine's speed changes.

use anyhow::Result;

use super::filters::{Chain, Hook, Kind, Reads};
use super::network::Lan;
use super::{Bench, FEW, MANY, nearly_all, none, with_count};

/// Cache lines of what is first in the trie of a large ruleset: 256 KiB.
const LINES: u32 = 4_096;

/// Destinations of a flood.
#[derive(Clone, Copy)]
enum Sent {
    Blocked,
    /// Beside so many prefixes.
    Innocent(usize),
}

/// Two filters that are compared in turns.
#[derive(Clone, Copy)]
struct Pair {
    ours: Kind,
    other: Kind,
    sent: Sent,
}

impl Bench<'_> {
    /// Ours on one interface, something else on another, the flood now on this
    /// one, now on that: the machine's speed changes more from one second to the
    /// next than some of these differ.
    pub(super) fn paired(&mut self) -> Result<()> {
        use Hook::{Generic, Native};
        let reads = |count, lines| Kind::Reads(Native, Reads { count, lines });
        for (ours, count) in [
            (Kind::PassAll(Native), 0),
            (reads(1, 1), 0),
            (reads(1, LINES), 0),
            (reads(2, LINES), 0),
            (Kind::Ours(Native), 0),
            (Kind::Ours(Native), FEW),
            (Kind::Ours(Native), MANY),
            (Kind::Ours(Native), usize::MAX),
        ] {
            let name = with_count(ours, count);
            let pair = Pair {
                ours,
                other: Kind::PassAll(Native),
                sent: Sent::Innocent(count),
            };
            self.pairs("forward, paired", &name, pair)?;
        }
        for (ours, other) in [
            (Kind::DropAll(Native), Kind::DropAll(Native)),
            (Kind::Ours(Native), Kind::DropAll(Native)),
            (Kind::Ours(Generic), Kind::DropAll(Generic)),
            (Kind::Ours(Native), Kind::LpmTrie(Native)),
            (Kind::Ours(Generic), Kind::LpmTrie(Generic)),
            (Kind::Ours(Native), Kind::Ipset),
            (Kind::Ours(Generic), Kind::Ipset),
            (Kind::Ours(Native), Kind::Nftables(Chain::Prerouting)),
            (Kind::Ours(Generic), Kind::Nftables(Chain::Prerouting)),
            (Kind::Ours(Native), Kind::Nftables(Chain::Ingress)),
            (Kind::Ours(Generic), Kind::Nftables(Chain::Ingress)),
        ] {
            let pair = Pair {
                ours,
                other,
                sent: Sent::Blocked,
            };
            self.pairs("drop, paired", &ours.name(), pair)?;
        }
        Ok(())
    }

    /// Notes the ratios for each pair of floods, or the reason why there are none.
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
        let blocked = match pair.sent {
            Sent::Blocked => self.random(),
            Sent::Innocent(count) => self.prefixes(count)?,
        };
        self.with(pair.other, self.random(), Lan::Second, || {
            self.with(pair.ours, blocked, Lan::First, || {
                self.prove(pair)?;
                (0..self.plan.pairs)
                    .map(|round| self.in_turn(round, |lan| self.one_of(pair, lan)))
                    .collect()
            })
        })
    }

    /// Both do what they should.
    fn prove(&self, pair: Pair) -> Result<()> {
        match pair.sent {
            Sent::Blocked => {
                self.prove_innocent_pass(pair.ours, Lan::First)?;
                self.prove_innocent_pass(pair.other, Lan::Second)
            }
            Sent::Innocent(count) => {
                self.prove_blocked(Lan::First, count)?;
                self.prove_blocked(Lan::Second, 0)
            }
        }
    }

    /// Packets a second, and nanoseconds for each.
    fn one_of(&self, pair: Pair, lan: Lan) -> Result<[f64; 2]> {
        let flood = |generator| self.receiver.flood(generator, lan, self.plan.time());
        match pair.sent {
            Sent::Blocked => {
                none(flood(&self.blocked)?).map(|flood| [flood.taken, flood.nanoseconds])
            }
            Sent::Innocent(count) => nearly_all(flood(self.innocent(count))?)
                .map(|flood| [flood.forwarded, flood.nanoseconds]),
        }
    }

    /// First one first, then the other, so that a drift favours neither.
    fn in_turn(&self, round: u32, once: impl Fn(Lan) -> Result<[f64; 2]>) -> Result<[f64; 2]> {
        self.go_on()?;
        let (ours, other) = if round.is_multiple_of(2) {
            let ours = once(Lan::First)?;
            (ours, once(Lan::Second)?)
        } else {
            let other = once(Lan::Second)?;
            (once(Lan::First)?, other)
        };
        Ok([ours[0] / other[0], ours[1] / other[1]])
    }
}
