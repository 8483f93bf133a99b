//! End to end: what a gateway drops and forwards under a flood of small packets
//! to random destinations, with ours and with what a user would pick instead.

mod daemon;
mod filters;
mod generator;
mod network;
mod object;
mod ping;
mod receiver;
mod rows;
mod sets;

use std::env;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};
use nix::unistd::Pid;

use self::daemon::Daemon;
use self::filters::{Blocked, Filter, Hook, Kind};
use self::generator::Generator;
use self::network::{Lan, Network};
use self::object::Object;
use self::receiver::{Flood, Receiver};
pub(crate) use self::rows::Row;
use self::rows::Rows;
use self::sets::{Prefix, Sets};
use crate::system::{self, Tree};

/// Prefixes of the sets that most of it is about.
const MANY: usize = 100_000;
const FEW: usize = 1_000;
/// xdp-filter takes one address per call; its map holds 10,000.
const EXACT: usize = 2_048;
/// Frames that show what a filter does, before it is measured.
const PROOF: u32 = 1_024;
/// Of what the gateway took in, the part that must reach the sink.
const FORWARDED: f64 = 0.99;

/// What to measure, and how long.
#[derive(Args, Clone, Debug)]
pub(crate) struct Plan {
    /// A part of the benchmark (repeatable; without it, all of them).
    #[arg(long, value_enum)]
    part: Vec<Part>,
    /// How often each filter is set up and measured.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Rounds of the comparison in pairs.
    #[arg(long, default_value_t = 24)]
    pairs: u32,
    /// Milliseconds of one measurement.
    #[arg(long, default_value_t = 400)]
    milliseconds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Packets to blocked destinations.
    Drop,
    /// Packets to innocent destinations.
    Forward,
    /// The same, ours against a program that passes everything, in turns.
    Paired,
    /// An innocent ping during a flood to blocked destinations.
    Latency,
}

impl Plan {
    fn has(&self, part: Part) -> bool {
        self.part.is_empty() || self.part.contains(&part)
    }

    fn time(&self) -> Duration {
        Duration::from_millis(self.milliseconds)
    }
}

/// Makes the network, measures, and takes all of it down whatever happens. What
/// a filter did not do as claimed is an error in its row.
pub(crate) fn measure(tree: &Tree, plan: &Plan, stop: &AtomicBool) -> Result<Vec<Row>> {
    system::mount_bpffs()?;
    generator::prefer(Pid::this())?;
    let object = Object::build(tree)?;
    let sets = Sets::make(MANY, table(tree).as_deref())?;
    let network = Network::make(tree)?;
    let mut bench = Bench {
        plan,
        stop,
        network: &network,
        receiver: Receiver::new(&network, &object)?,
        blocked: Generator::new(&object, &sets.blocked)?,
        innocent: Generator::new(&object, &sets.innocent)?,
        exact: Generator::new(&object, &sets.blocked[..EXACT])?,
        sets: &sets,
        object: &object,
        rows: Rows::default(),
    };
    if plan.has(Part::Drop) {
        bench.dropped()?;
    }
    if plan.has(Part::Forward) {
        bench.forwarded()?;
    }
    if plan.has(Part::Paired) {
        bench.paired()?;
    }
    if plan.has(Part::Latency) {
        bench.latency()?;
    }
    Ok(bench.rows.into_rows())
}

/// The whole IPv4 table, where the data lies that the tests use.
fn table(tree: &Tree) -> Option<PathBuf> {
    let data =
        env::var_os("MONITOR_TEST_DATA").map_or(tree.root.join("../shared/data"), PathBuf::from);
    Some(data.join("ranges/asn-v4-cidr.txt.gz")).filter(|file| file.exists())
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
    exact: Generator,
    rows: Rows,
}

impl<'a> Bench<'a> {
    fn dropped(&mut self) -> Result<()> {
        use Hook::{Generic, Native};
        let kinds = [
            Kind::DropAll(Native),
            Kind::Ours(Native),
            Kind::LpmTrie(Native),
            Kind::XdpFilter(Native),
            Kind::DropAll(Generic),
            Kind::Ours(Generic),
            Kind::LpmTrie(Generic),
            Kind::XdpFilter(Generic),
            Kind::Tc,
            Kind::Ipset,
            Kind::Nftables,
        ];
        for _ in 0..self.plan.rounds {
            for kind in kinds {
                self.go_on()?;
                let name = kind.name();
                let names = [
                    (format!("drop, {name}"), "Mpps"),
                    (format!("drop, CPU per packet, {name}"), "ns"),
                ];
                let values = self
                    .drop_once(kind)
                    .map(|flood| [flood.taken / 1e6, flood.nanoseconds]);
                self.add(names, values);
            }
        }
        Ok(())
    }

    fn drop_once(&self, kind: Kind) -> Result<Flood> {
        let random = self.random();
        self.with(kind, random, Lan::First, || {
            self.prove_innocent_pass(kind)?;
            let generator = match kind {
                Kind::XdpFilter(_) => &self.exact,
                _ => &self.blocked,
            };
            let counted = || match kind {
                Kind::Ours(_) => Daemon::dropped(self.network).map(Some),
                _ => Ok(None),
            };
            let before = counted()?;
            let flood = self
                .receiver
                .flood(generator, Lan::First, self.plan.time())?;
            let through = flood.total.forwarded;
            ensure!(through == 0, "{through} blocked packets reached the sink");
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

    fn prove_innocent_pass(&self, kind: Kind) -> Result<()> {
        let total = self.receiver.trickle(&self.innocent, Lan::First, PROOF)?;
        let expected = match kind {
            Kind::DropAll(_) => 0,
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
        let native = Hook::Native;
        for _ in 0..self.plan.rounds {
            for (kind, count) in [
                (Kind::Nothing, 0),
                (Kind::PassAll(native), 0),
                (Kind::PassAll(Hook::Generic), 0),
                (Kind::Ours(native), 0),
                (Kind::Ours(native), FEW),
                (Kind::Ours(native), MANY),
                (Kind::Ours(native), usize::MAX),
                (Kind::Ours(Hook::Generic), MANY),
                (Kind::LpmTrie(native), MANY),
                (Kind::Ipset, MANY),
                (Kind::Nftables, MANY),
            ] {
                self.go_on()?;
                let name = with_count(kind, count);
                let names = [
                    (format!("forward, {name}"), "Mpps"),
                    (format!("forward, CPU per packet, {name}"), "ns"),
                ];
                let values = self.forward_once(kind, count);
                let values = values.map(|flood| [flood.forwarded / 1e6, flood.nanoseconds]);
                self.add(names, values);
            }
        }
        Ok(())
    }

    fn forward_once(&self, kind: Kind, count: usize) -> Result<Flood> {
        let blocked = self.prefixes(count)?;
        self.with(kind, blocked, Lan::First, || {
            self.prove_blocked(Lan::First, count)?;
            let flood = self
                .receiver
                .flood(&self.innocent, Lan::First, self.plan.time())?;
            nearly_all(flood)
        })
    }

    /// A filter with prefixes for the destinations must drop them, any other must not.
    fn prove_blocked(&self, lan: Lan, count: usize) -> Result<()> {
        let total = self.receiver.trickle(&self.blocked, lan, PROOF)?;
        match count {
            0 => ensure!(
                total.forwarded == total.taken,
                "packets were lost: {total:?}"
            ),
            // All of those 100,000, or what the others happen to hold of them.
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

    /// Ours on one interface, a program that passes everything on another, the
    /// flood now on this one, now on that.
    fn paired(&mut self) -> Result<()> {
        for (kind, count) in [
            (Kind::PassAll(Hook::Native), 0),
            (Kind::Ours(Hook::Native), 0),
            (Kind::Ours(Hook::Native), FEW),
            (Kind::Ours(Hook::Native), MANY),
            (Kind::Ours(Hook::Native), usize::MAX),
        ] {
            self.go_on()?;
            let name = format!(
                "forward, pairs with a program that passes, {}",
                with_count(kind, count)
            );
            match self.pairs(kind, count) {
                Ok(ratios) => ratios.into_iter().for_each(|ratio| {
                    self.rows.add([(name.clone(), "ratio")], Ok([ratio]));
                }),
                Err(error) => self.rows.add([(name, "ratio")], Err(error)),
            }
        }
        Ok(())
    }

    fn pairs(&self, kind: Kind, count: usize) -> Result<Vec<f64>> {
        let blocked = self.prefixes(count)?;
        let pass = Kind::PassAll(Hook::Native);
        self.with(pass, self.random(), Lan::Second, || {
            self.with(kind, blocked, Lan::First, || {
                self.prove_blocked(Lan::First, count)?;
                self.prove_blocked(Lan::Second, 0)?;
                (0..self.plan.pairs).map(|round| self.pair(round)).collect()
            })
        })
    }

    /// First one first, then the other, so that a drift favours neither.
    fn pair(&self, round: u32) -> Result<f64> {
        self.go_on()?;
        let once = |lan| {
            let flood = self.receiver.flood(&self.innocent, lan, self.plan.time())?;
            nearly_all(flood).map(|flood| flood.forwarded)
        };
        if round.is_multiple_of(2) {
            let ours = once(Lan::First)?;
            Ok(ours / once(Lan::Second)?)
        } else {
            let pass = once(Lan::Second)?;
            Ok(once(Lan::First)? / pass)
        }
    }

    fn latency(&mut self) -> Result<()> {
        for _ in 0..self.plan.rounds {
            for (kind, flooded) in [
                (Kind::Nothing, false),
                (Kind::Nothing, true),
                (Kind::Ours(Hook::Native), true),
                (Kind::LpmTrie(Hook::Native), true),
                (Kind::Ipset, true),
                (Kind::Nftables, true),
            ] {
                self.go_on()?;
                let when = if flooded { "flood" } else { "no flood" };
                let name = |what: &str| format!("ping, {when}, {}, {what}", kind.name());
                let names = [
                    (name("half below"), "µs"),
                    (name("99 % below"), "µs"),
                    (name("lost"), "%"),
                ];
                let values = self.with(kind, self.random(), Lan::First, || {
                    ping::measure(self.network, flooded.then_some(&self.blocked))
                });
                self.add(
                    names,
                    values.map(|pings| [pings.half, pings.nearly_all, pings.lost]),
                );
            }
        }
        Ok(())
    }

    /// Does `work` with a filter in force.
    fn with<T>(
        &self,
        kind: Kind,
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

    /// Notes a round, and says so.
    fn add<const N: usize>(
        &mut self,
        names: [(String, &'static str); N],
        values: Result<[f64; N]>,
    ) {
        let (name, unit) = &names[0];
        match &values {
            Ok(values) => eprintln!("{name}: {:.3} {unit}", values[0]),
            Err(error) => eprintln!("{name}: {error:#}"),
        }
        self.rows.add(names, values);
    }

    fn go_on(&self) -> Result<()> {
        ensure!(!self.stop.load(Ordering::Relaxed), "interrupted");
        Ok(())
    }
}

fn with_count(kind: Kind, count: usize) -> String {
    let name = kind.name();
    match (kind, count) {
        (Kind::Nothing | Kind::PassAll(_), _) => name,
        (_, usize::MAX) => format!("{name}, the whole table"),
        (_, count) => format!("{name}, {count} prefixes"),
    }
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

/// Measures and prints.
pub(crate) fn run(tree: &Tree, plan: &Plan) -> Result<()> {
    let stop = crate::lab::stop_flag().context("Ctrl-C")?;
    let rows = measure(tree, plan, &stop)?;
    for row in &rows {
        println!("{row}");
    }
    Ok(())
}
