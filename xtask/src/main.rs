//! What `make` calls once Rust is there: the lab, and the daemon on a real
//! interface. Both are for trying monitor from its source tree.

mod bench;
mod lab;
mod system;

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
    /// The daemon on a real interface, with the policies that ship.
    Run {
        /// The interface that the devices are on; may be given again.
        #[arg(long, value_name = "NAME", required = true)]
        interface: Vec<String>,
    },
    /// What a gateway drops and forwards under a flood, with monitor and with
    /// what one would use instead, in network namespaces of this machine.
    BenchFlood(bench::flood::Plan),
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
    system::become_root()?;
    match arguments.verb {
        Verb::Lab => lab::run(&tree),
        Verb::BenchFlood(plan) => bench::flood::run(&tree, &plan),
        Verb::Run { interface } => system::exec_daemon(&tree, &interface),
    }
}
