//! Runs the filter in an emulated machine, with kernels and a WiFi stack that this machine
//! may not have. Nothing is installed, and the network stays untouched.

mod accelerator;
mod boot;
mod console;
pub(crate) mod guest;
mod initramfs;
mod kernel;
pub(crate) mod kernels;
mod machine;
mod packages;
mod programs;
mod tools;
pub(crate) mod wifi;

use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::system::Tree;
use crate::vm::boot::{Outcome, Plan};
use crate::vm::kernel::Version;

/// The options of `cargo xtask vm`.
#[derive(clap::Args)]
pub(crate) struct VmArguments {
    /// Kernel version (a Debian package).
    #[arg(long, value_enum, default_value = "6.12")]
    kernel: Version,
    /// Scenario (repeatable) [default: all, without the programs of tests].
    #[arg(long = "scenario", value_enum, value_name = "NAME")]
    scenarios: Vec<Scenario>,
}

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Load the program, drop, count, replay and detach.
    Load,
    /// An access point with WPA2 and two stations; the filter is on wlan0.
    Wifi,
    /// The same with WPA3.
    WifiWpa3,
    /// WPA2; the filter is on a bridge with wlan0.
    WifiBridge,
    /// WPA3; the filter is on a bridge with wlan0.
    WifiBridgeWpa3,
    /// Tagged frames, and the filter on a VLAN device.
    Vlan,
    /// What `monitor doctor` says: flowtable, tunnel, clock.
    Doctor,
    /// Programs with tests of this project, which `make test-kernels` builds.
    Tests,
    /// Set the clock across edges of schedules.
    Clock,
    /// Sleep across edges of schedules. It is the last one, because the host's files cannot
    /// be read after it.
    Sleep,
}

impl Scenario {
    const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Wifi => "wifi",
            Self::WifiWpa3 => "wifi-wpa3",
            Self::WifiBridge => "wifi-bridge",
            Self::WifiBridgeWpa3 => "wifi-bridge-wpa3",
            Self::Vlan => "vlan",
            Self::Doctor => "doctor",
            Self::Tests => "tests",
            Self::Clock => "clock",
            Self::Sleep => "sleep",
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Runs the scenarios and shows their checks. Fails if a scenario failed.
pub(crate) fn run(tree: &Tree, arguments: &VmArguments) -> Result<()> {
    ensure!(
        !arguments.scenarios.contains(&Scenario::Tests),
        "`make test-kernels` builds the programs of this scenario, and runs it"
    );
    let mut scenarios = arguments.scenarios.clone();
    if scenarios.is_empty() {
        scenarios = Scenario::value_variants().to_vec();
        scenarios.retain(|scenario| *scenario != Scenario::Tests);
    }
    let outcomes = boot::run(
        tree,
        arguments.kernel,
        &Plan {
            scenarios: &scenarios,
            programs: &[],
        },
    )?;
    must_have_passed(&outcomes.scenarios)?;
    println!("All as expected.");
    Ok(())
}

/// Fails with the names of the scenarios that failed.
fn must_have_passed(outcomes: &[Outcome]) -> Result<()> {
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some());
    let failed: Vec<&str> = failed.map(|outcome| outcome.scenario.name()).collect();
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// The options of the process inside the machine: paths of the packages, the kernel and
/// programs of tests.
#[derive(clap::Args)]
pub(crate) struct GuestArguments {
    #[arg(long)]
    tools: PathBuf,
    /// Without it, the process is not in the emulated machine, but in namespaces of its own
    /// on the running kernel.
    #[arg(long)]
    kernel: Option<PathBuf>,
    #[arg(long = "scenario", value_enum)]
    scenarios: Vec<Scenario>,
    #[arg(long = "program")]
    programs: Vec<PathBuf>,
}
