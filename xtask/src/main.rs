//! Commands for developers: the demonstration, the daemon on a real interface, benchmarks, fuzzing,
//! the soak test, and an emulated machine for other kernels and WiFi. `make` calls some of
//! them.

mod bench;
mod fuzz;
mod netns;
mod soak;
mod system;
mod vm;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::system::Tree;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Try monitor from its source tree")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    /// Binary of the daemon (default: build target/release/monitor).
    #[arg(long, global = true, value_name = "FILE")]
    monitor: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Verb {
    /// Builds the program and runs `monitor demo`: phones, a gateway with the real daemon, and
    /// the internet, in network namespaces, and a report of what the phones did.
    Demo {
        /// Directory of the report [default: that of cargo, `target`].
        #[arg(long, value_name = "DIR")]
        report_dir: Option<PathBuf>,
    },
    /// Measures packets, look-ups and the control plane, and compares them with alternatives.
    Bench(bench::Plan),
    /// Fuzzes every reader of untrusted bytes, and the kernel program.
    Fuzz(fuzz::FuzzArguments),
    /// Runs the daemon on a real interface, with the shipped policies.
    Run {
        /// Interface on the devices' side (repeatable).
        #[arg(long, value_name = "NAME", required = true)]
        interface: Vec<String>,
    },
    /// Runs a soak test: traffic, reloads, flapping links, scrapes and commands. Then checks
    /// memory, descriptors, maps and counters.
    Soak {
        /// Duration in minutes.
        #[arg(long, value_name = "N", default_value_t = 10)]
        minutes: u64,
    },
    /// Runs the filter on another kernel and its WiFi stack, in an emulated machine. Fetches
    /// Debian packages without installing them, and needs no root.
    Vm(vm::VmArguments),
    /// Runs access points with WPA2 and WPA3 in an emulated machine: two stations, DHCP and
    /// DNS, restarts, and frames that try to get past the filter. Prints a table.
    Wifi(vm::wifi::WifiArguments),
    /// Runs the filter and tests of this project on Debian's kernels and on this machine's,
    /// and writes the table in docs/kernels.md.
    Kernels(vm::kernels::KernelsArguments),
    /// Runs inside the emulated machine.
    #[command(hide = true)]
    InVm(vm::GuestArguments),
}

fn main() -> ExitCode {
    match perform(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(arguments: Arguments) -> anyhow::Result<()> {
    let tree = Tree::with_monitor(arguments.monitor)?;
    match arguments.verb {
        Verb::Fuzz(plan) => fuzz::run(&tree.root, &plan),
        Verb::Demo { report_dir } => {
            system::become_root()?;
            let reports = report_dir.unwrap_or_else(|| fuzz::target_directory(&tree.root));
            system::exec_demo(&tree, &reports)
        }
        Verb::Bench(plan) => bench::run(&tree, &plan),
        Verb::Soak { minutes } => {
            system::become_root()?;
            soak::run(&tree, minutes)
        }
        Verb::Run { interface } => {
            system::become_root()?;
            system::exec_daemon(&tree, &interface)
        }
        Verb::Vm(arguments) => vm::run(&tree, &arguments),
        Verb::Wifi(arguments) => vm::wifi::run(&tree, &arguments),
        Verb::Kernels(arguments) => vm::kernels::run(&tree, &arguments),
        Verb::InVm(arguments) => vm::guest::run(&tree, arguments),
    }
}
