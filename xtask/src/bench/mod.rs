//! Benchmarks: the cost of a packet, a look-up and the control plane, beside the
//! alternatives. A run prints one table and writes one file.

mod control;
mod flood;
mod lookup;
mod machine;
mod object;
mod packet;
mod page;
mod plot;
mod report;
mod sets;
mod statistics;
mod store;
mod trie;

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use nix::unistd::Pid;

use self::report::Report;
use crate::system::{self, Tree};

/// What to measure, and for how long.
#[derive(Args, Clone, Debug)]
pub(crate) struct Plan {
    /// A part of the benchmark (repeatable; without it, all of them).
    #[arg(long, value_enum)]
    part: Vec<Part>,
    /// Rounds: how often each value is measured. The values of a round are measured in turns.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// Rounds of the comparison in pairs.
    #[arg(long, default_value_t = 24)]
    pairs: u32,
    /// Duration of one flood, in milliseconds.
    #[arg(long, default_value_t = 300)]
    milliseconds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A look-up, beside the kernel's `LPM_TRIE`.
    LookUp,
    /// A packet, by the stages of the program.
    Packet,
    /// A flood to blocked destinations, beside other filters.
    Drop,
    /// A flood to innocent destinations, beside other filters.
    Forward,
    /// This filter and each other one in turns: forwarding, then dropping.
    Paired,
    /// This filter at LAN and WAN, and no filter, in turns: forwarding.
    Both,
    /// An innocent ping during a flood to blocked destinations.
    Ping,
    /// Time to check, start and reload, and memory.
    Control,
    /// The evidence store with a million rows.
    Store,
    /// The pages with 100,000 contacts.
    Page,
}

impl Plan {
    fn has(&self, part: Part) -> bool {
        self.part.is_empty() || self.part.contains(&part)
    }

    fn time(&self) -> Duration {
        Duration::from_millis(self.milliseconds)
    }
}

/// Measures the parts of `plan`, prints the table and writes `bench/results/`.
pub(crate) fn run(tree: &Tree, plan: &Plan) -> Result<()> {
    object::build(tree)?;
    system::become_root()?;
    system::mount_bpffs()?;
    let stop = monitor::demo::stop_flag().context("Ctrl-C")?;
    system::prefer(Pid::this())?;
    let mut report = Report::default();
    let rounds = plan.rounds.into();
    if plan.has(Part::LookUp) {
        lookup::measure(tree, rounds, &mut report)?;
    }
    if plan.has(Part::Packet) {
        packet::measure(tree, rounds, &mut report)?;
    }
    let floods = [
        Part::Drop,
        Part::Forward,
        Part::Paired,
        Part::Both,
        Part::Ping,
    ];
    if floods.into_iter().any(|part| plan.has(part)) {
        flood::measure(tree, plan, &stop, &mut report)?;
    }
    if plan.has(Part::Control) {
        control::measure(tree, rounds, &stop, &mut report)?;
    }
    if plan.has(Part::Store) {
        store::measure(rounds, &mut report)?;
    }
    if plan.has(Part::Page) {
        page::measure(tree, rounds, &mut report)?;
    }
    report.print();
    let folder = tree.root.join("bench/results");
    fs::create_dir_all(&folder)?;
    report.write(&folder.join("bench.json"))?;
    plot::draw(report.rows(), &folder)?;
    println!("\nwritten to {}", folder.display());
    ensure!(
        report.failed() == 0,
        "{} rows have values that cannot be trusted",
        report.failed()
    );
    Ok(())
}
