//! Floods: how many small packets to random destinations a gateway drops and forwards,
//! with this filter and with its alternatives.

mod daemon;
mod filters;
mod generator;
mod network;
mod object;
mod paired;
mod ping;
mod receiver;
pub(crate) mod sets;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail, ensure};

use self::daemon::Daemon;
use self::filters::{Blocked, Chain, Filter, FilterKind, Hook};
use self::generator::Generator;
use self::network::{Lan, Network};
use self::object::Object;
use self::receiver::{Flood, Receiver};
use self::sets::{Prefix, Sets};
use super::report::Report;
use super::{Part, Plan};
use crate::system::Tree;

/// Numbers of random prefixes.
const MANY: usize = 100_000;
const FEW: usize = 1_000;
/// Addresses for xdp-filter, which takes one address per call and holds 10,000.
const EXACT: usize = 2_048;
/// Frames that check a filter before it is measured.
const PROOF: u32 = 1_024;
/// The share of received packets that must reach the sink.
const FORWARDED: f64 = 0.99;

const RATE: [(&str, &str); 2] = [("rate", "Mpps"), ("CPU per packet", "ns")];
const PINGS: [(&str, &str); 3] = [("half below", "µs"), ("99 % below", "µs"), ("lost", "%")];

/// Makes the network, measures, and removes the network also after an error. If a filter
/// does not drop or pass as it should, its row has an error.
pub(crate) fn measure(
    tree: &Tree,
    plan: &Plan,
    stop: &AtomicBool,
    report: &mut Report,
) -> Result<()> {
    let object = Object::read(tree)?;
    let sets = Sets::make(
        MANY,
        Some(&sets::table(tree))
            .filter(|file| file.exists())
            .map(PathBuf::as_path),
    )?;
    let network = Network::make(tree)?;
    let mut bench = Bench {
        plan,
        stop,
        network: &network,
        receiver: Receiver::new(&network, &object)?,
        blocked: Generator::new(&object, &sets.blocked)?,
        innocent: Generator::new(&object, &sets.innocent)?,
        unrouted: Generator::new(&object, &sets.unrouted)?,
        exact: Generator::new(&object, &sets.blocked[..EXACT])?,
        sets: &sets,
        object: &object,
        report,
    };
    bench.warm_up()?;
    if plan.has(Part::Drop) {
        bench.dropped()?;
    }
    if plan.has(Part::Forward) {
        bench.forwarded()?;
    }
    if plan.has(Part::Paired) {
        bench.paired()?;
    }
    if plan.has(Part::Both) {
        bench.both()?;
    }
    if plan.has(Part::Ping) {
        bench.latency()?;
    }
    Ok(())
}

struct Bench<'a> {
    plan: &'a Plan,
    stop: &'a AtomicBool,
    network: &'a Network<'a>,
    object: &'a Object,
    receiver: Receiver<'a>,
    sets: &'a Sets,
    blocked: Generator,
    innocent: Generator,
    unrouted: Generator,
    exact: Generator,
    report: &'a mut Report,
}

impl<'a> Bench<'a> {
    fn dropped(&mut self) -> Result<()> {
        use Hook::{Generic, Native};
        let kinds = [
            FilterKind::DropAll(Native),
            FilterKind::Ours(Native),
            FilterKind::LpmTrie(Native),
            FilterKind::XdpFilter(Native),
            FilterKind::DropAll(Generic),
            FilterKind::Ours(Generic),
            FilterKind::LpmTrie(Generic),
            FilterKind::XdpFilter(Generic),
            FilterKind::Tc,
            FilterKind::Ipset,
            FilterKind::Nftables(Chain::Prerouting),
            FilterKind::Nftables(Chain::Ingress),
        ];
        for _ in 0..self.plan.rounds {
            for kind in kinds {
                self.go_on()?;
                let values = self
                    .drop_once(kind)
                    .map(|flood| [flood.taken / 1e6, flood.nanoseconds]);
                self.add("drop", &kind.name(), RATE, values);
            }
        }
        Ok(())
    }

    fn drop_once(&self, kind: FilterKind) -> Result<Flood> {
        let random = self.random();
        self.with(kind, random, Lan::First, || {
            self.prove_innocent_pass(kind, Lan::First)?;
            let generator = match kind {
                FilterKind::XdpFilter(_) => &self.exact,
                _ => &self.blocked,
            };
            let counted = || match kind {
                FilterKind::Ours(_) => Daemon::dropped(self.network).map(Some),
                _ => Ok(None),
            };
            let before = counted()?;
            let flood = self
                .receiver
                .flood(generator, Lan::First, self.plan.time())?;
            let flood = none(flood)?;
            if let (Some(before), Some(after)) = (before, counted()?) {
                let (counted, taken) = (after - before, flood.total.taken);
                ensure!(
                    counted == taken,
                    "monitor counted {counted} packets dropped of {taken}"
                );
            }
            Ok(flood)
        })
    }

    fn prove_innocent_pass(&self, kind: FilterKind, lan: Lan) -> Result<()> {
        let total = self.receiver.trickle(&self.innocent, lan, PROOF)?;
        let expected = match kind {
            FilterKind::DropAll(_) => 0,
            _ => total.taken,
        };
        ensure!(
            total.forwarded == expected,
            "of {} innocent packets {} reached the sink, expected {expected}",
            total.taken,
            total.forwarded
        );
        Ok(())
    }

    fn forwarded(&mut self) -> Result<()> {
        use Hook::{Generic, Native};
        for _ in 0..self.plan.rounds {
            for (kind, count) in [
                (FilterKind::Nothing, 0),
                (FilterKind::PassAll(Native), 0),
                (FilterKind::PassAll(Generic), 0),
                (FilterKind::Ours(Native), 0),
                (FilterKind::Ours(Native), FEW),
                (FilterKind::Ours(Native), MANY),
                (FilterKind::Ours(Native), usize::MAX),
                (FilterKind::Ours(Generic), MANY),
                (FilterKind::LpmTrie(Native), MANY),
                (FilterKind::LpmTrie(Generic), MANY),
                (FilterKind::XdpFilter(Native), EXACT),
                (FilterKind::XdpFilter(Generic), EXACT),
                (FilterKind::Tc, MANY),
                (FilterKind::Ipset, MANY),
                (FilterKind::Nftables(Chain::Prerouting), MANY),
                (FilterKind::Nftables(Chain::Ingress), MANY),
            ] {
                self.go_on()?;
                let name = with_count(kind, count);
                let values = self.forward_once(kind, count);
                let values = values.map(|flood| [flood.forwarded / 1e6, flood.nanoseconds]);
                self.add("forward", &name, RATE, values);
            }
        }
        Ok(())
    }

    fn forward_once(&self, kind: FilterKind, count: usize) -> Result<Flood> {
        let blocked = self.prefixes(count)?;
        self.with(kind, blocked, Lan::First, || {
            self.prove_blocked(Lan::First, count)?;
            let generator = self.innocent(count);
            let flood = self
                .receiver
                .flood(generator, Lan::First, self.plan.time())?;
            nearly_all(flood)
        })
    }

    /// The generator whose destinations lie outside the first `count` prefixes.
    fn innocent(&self, count: usize) -> &Generator {
        if count <= MANY {
            &self.innocent
        } else {
            &self.unrouted
        }
    }

    /// Checks that a filter with prefixes drops the blocked destinations, and that a filter
    /// without prefixes drops none.
    fn prove_blocked(&self, lan: Lan, count: usize) -> Result<()> {
        let total = self.receiver.trickle(&self.blocked, lan, PROOF)?;
        match count {
            0 => ensure!(
                total.forwarded == total.taken,
                "packets were lost: {total:?}"
            ),
            // The destinations are in these 100,000 prefixes. Other sets of prefixes
            // hold some of them.
            MANY => ensure!(
                total.forwarded == 0,
                "blocked packets reached the sink: {total:?}"
            ),
            _ => ensure!(
                total.forwarded < total.taken,
                "nothing was blocked: {total:?}"
            ),
        }
        Ok(())
    }

    fn latency(&mut self) -> Result<()> {
        for _ in 0..self.plan.rounds {
            for (kind, flooded) in [
                (FilterKind::Nothing, false),
                (FilterKind::Nothing, true),
                (FilterKind::Ours(Hook::Native), true),
                (FilterKind::LpmTrie(Hook::Native), true),
                (FilterKind::Ipset, true),
                (FilterKind::Nftables(Chain::Prerouting), true),
            ] {
                self.go_on()?;
                let when = if flooded { "a flood" } else { "no flood" };
                let name = format!("{}, {when}", kind.name());
                let values = self.with(kind, self.random(), Lan::First, || {
                    ping::measure(self.network, flooded.then_some(&self.blocked))
                });
                let values = values.map(|pings| [pings.half, pings.nearly_all, pings.lost]);
                self.add("ping", &name, PINGS, values);
            }
        }
        Ok(())
    }

    /// Runs `work` with a filter in force.
    fn with<T>(
        &self,
        kind: FilterKind,
        blocked: Blocked<'a>,
        lan: Lan,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let filter = Filter::install(kind, blocked, lan, self.network, self.object)?;
        let done = work();
        let removed = filter.remove(self.network);
        done.and_then(|value| removed.map(|()| value))
    }

    fn random(&self) -> Blocked<'a> {
        self.of(&self.sets.random)
    }

    fn prefixes(&self, count: usize) -> Result<Blocked<'a>> {
        if count <= MANY {
            return Ok(self.of(&self.sets.random[..count]));
        }
        if self.sets.table.is_empty() {
            bail!(
                "no whole table: ../shared/data, or MONITOR_TEST_DATA, has no ranges/asn-v4-cidr.txt.gz"
            );
        }
        Ok(self.of(&self.sets.table))
    }

    fn of(&self, prefixes: &'a [Prefix]) -> Blocked<'a> {
        Blocked {
            prefixes,
            addresses: &self.sets.blocked[..EXACT],
        }
    }

    /// Sends floods that are not counted: they warm the caches and measure the generator.
    fn warm_up(&self) -> Result<()> {
        self.with(
            FilterKind::DropAll(Hook::Native),
            self.random(),
            Lan::First,
            || {
                let flood = |time| self.receiver.flood(&self.blocked, Lan::First, time);
                (0..3).try_for_each(|_| flood(self.plan.time()).map(drop))
            },
        )
    }

    /// Adds the values of a round to the report, and prints the first.
    fn add<const N: usize>(
        &mut self,
        part: &'static str,
        name: &str,
        quantities: [(&str, &'static str); N],
        values: Result<[f64; N]>,
    ) {
        match &values {
            Ok(values) => eprintln!("{part}: {name}: {:.3} {}", values[0], quantities[0].1),
            Err(error) => eprintln!("{part}: {name}: {error:#}"),
        }
        self.report.add(part, name, quantities, values);
    }

    fn go_on(&self) -> Result<()> {
        ensure!(!self.stop.load(Ordering::Relaxed), "interrupted");
        Ok(())
    }
}

fn with_count(kind: FilterKind, count: usize) -> String {
    let name = kind.name();
    match (kind, count) {
        (
            FilterKind::Nothing
            | FilterKind::PassAll(_)
            | FilterKind::Reads(..)
            | FilterKind::XdpFilter(_),
            _,
        ) => name,
        (_, usize::MAX) => format!("{name}, the whole table"),
        (_, count) => format!("{name}, {count} prefixes"),
    }
}

fn none(flood: Flood) -> Result<Flood> {
    let through = flood.total.forwarded;
    ensure!(through == 0, "{through} blocked packets reached the sink");
    Ok(flood)
}

fn nearly_all(flood: Flood) -> Result<Flood> {
    let share = flood.forwarded / flood.taken;
    ensure!(
        share >= FORWARDED,
        "only {:.1} % of what came in reached the sink",
        share * 100.0
    );
    Ok(flood)
}
