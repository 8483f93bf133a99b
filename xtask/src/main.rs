//! What `make` calls once Rust is there: the lab, and the daemon on a real
//! interface. Both are for trying monitor from its source tree. And the
//! emulated machine, for kernels and radios that this machine has not.

mod bench;
mod fuzz;
mod lab;
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
    /// The daemon's binary, instead of building target/release/monitor.
    #[arg(long, global = true, value_name = "FILE")]
    monitor: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Verb {
    /// A phone, the gateway and the internet as network namespaces of this
    /// machine, with the real daemon on the gateway.
    Lab,
    /// What packets, look-ups and the control plane cost, beside what one would
    /// use instead; in network namespaces of its own.
    Bench(bench::Plan),
    /// Bytes of others for everything that reads them, from libFuzzer; damaged
    /// frames for the kernel program.
    Fuzz(fuzz::FuzzArguments),
    /// The daemon on a real interface, with the policies that ship.
    Run {
        /// The interface that the devices are on; may be given again.
        #[arg(long, value_name = "NAME", required = true)]
        interface: Vec<String>,
    },
    /// A filter in use for a while: traffic, reloads, links that come and go,
    /// scrapes, blocks; then memory, descriptors, maps and counters added up.
    Soak {
        /// How long.
        #[arg(long, value_name = "N", default_value_t = 10)]
        minutes: u64,
    },
    /// The real filter on another kernel and its WiFi stack, in an emulated
    /// machine; takes packages from Debian, installs none, needs no root.
    Vm(vm::VmArguments),
    /// Inside that machine.
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
        Verb::Lab => {
            system::become_root()?;
            lab::run(&tree)
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
        Verb::InVm(arguments) => vm::guest::run(&tree, arguments),
    }
}
