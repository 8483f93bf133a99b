//! Runs the filter in an emulated machine, with kernels and a WiFi stack that this machine
//! may not have. Nothing is installed, and the network stays untouched.

mod console;
pub(crate) mod guest;
mod initramfs;
mod kernel;
mod machine;
mod packages;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fmt};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;

use crate::system::Tree;
use crate::vm::console::Line;
use crate::vm::kernel::{Kernel, Version};
use crate::vm::machine::Machine;
use crate::vm::packages::Suite;
use crate::vm::tools::Tools;

/// The Debian suite of qemu and the other programs, for every kernel.
const TOOLS_FROM: &str = Version::V6_12.suite();
/// The longest time for the machine to start. It takes about half a minute.
const START: Duration = Duration::from_secs(120);
/// The longest time for a scenario. One of them waits for half a minute.
const EACH: Duration = Duration::from_secs(180);

/// The options of `cargo xtask vm`.
#[derive(clap::Args)]
pub(crate) struct VmArguments {
    /// Kernel version (a Debian package).
    #[arg(long, value_enum, default_value = "6.12")]
    kernel: Version,
    #[arg(long, value_enum, default_value = "all")]
    scenario: Choice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// All scenarios.
    All,
    /// Load the program, drop, count, replay and detach.
    Load,
    /// An access point and a phone on it.
    Wifi,
    /// Tagged frames, and the filter on a VLAN device.
    Vlan,
    /// What `monitor doctor` says: flowtable, tunnel, clock.
    Doctor,
    /// Set the clock across edges of schedules.
    Clock,
    /// Sleep across edges of schedules.
    Sleep,
}

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Verifier, counters, replay, detach.
    Load,
    /// Access point and phone.
    Wifi,
    /// Tagged frames.
    Vlan,
    /// Flowtable, tunnel, clock.
    Doctor,
    /// Steps of the clock.
    Clock,
    /// Sleep. It is the last one, because the host's files cannot be read after it.
    Sleep,
}

impl Scenario {
    const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Wifi => "wifi",
            Self::Vlan => "vlan",
            Self::Doctor => "doctor",
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

impl Choice {
    fn scenarios(self) -> Vec<Scenario> {
        match self {
            Self::All => Scenario::value_variants().to_vec(),
            Self::Load => vec![Scenario::Load],
            Self::Wifi => vec![Scenario::Wifi],
            Self::Vlan => vec![Scenario::Vlan],
            Self::Doctor => vec![Scenario::Doctor],
            Self::Clock => vec![Scenario::Clock],
            Self::Sleep => vec![Scenario::Sleep],
        }
    }
}

/// Runs the scenarios and shows their checks. Fails if a scenario failed.
pub(crate) fn run(tree: &Tree, arguments: &VmArguments) -> Result<()> {
    let scenarios = arguments.scenario.scenarios();
    let directory = env::current_exe()
        .context("path of xtask")?
        .ancestors()
        .nth(2)
        .context("xtask lies in no target directory")?
        .join("vm");
    let suite = |name: &'static str| Suite::open(name, directory.join(name));
    let tools = Tools::fetch(&suite(TOOLS_FROM)?)?;
    let kernel = Kernel::fetch(&suite(arguments.kernel.suite())?, &tools)?;
    let guest = guest_command(tree, &tools, &kernel, &scenarios)?;
    let initramfs = directory.join(format!("initramfs-{}", kernel.release));
    fs::write(&initramfs, initramfs::make(&kernel, &tools, &guest)?)
        .with_context(|| initramfs.display().to_string())?;
    let log = directory.join(format!("console-{}.log", kernel.release));
    println!(
        "Linux {}; its console is in {}",
        kernel.release,
        log.display()
    );
    let within = START + EACH * u32::try_from(scenarios.len()).unwrap_or(u32::MAX);
    let mut machine = Machine::start(&tools, &kernel, &initramfs, &log, within)?;
    let failed = watch(&mut machine, &scenarios)
        .with_context(|| format!("Linux {}, see {}", kernel.release, log.display()))?;
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    println!("All as expected.");
    Ok(())
}

/// Command line of this program inside the machine.
fn guest_command(
    tree: &Tree,
    tools: &Tools,
    kernel: &Kernel,
    scenarios: &[Scenario],
) -> Result<String> {
    let program = env::current_exe().context("path of xtask")?;
    let mut command = format!(
        "{} --monitor {} in-vm --tools {} --kernel {}",
        word(&program)?,
        word(&tree.monitor)?,
        word(tools.root())?,
        word(&kernel.root)?
    );
    for scenario in scenarios {
        command.extend([" --scenario ", scenario.name()]);
    }
    Ok(command)
}

/// Quotes a path for a script. Paths below /run are not available: the machine mounts its
/// own /run.
fn word(path: &Path) -> Result<String> {
    let path = fs::canonicalize(path).with_context(|| path.display().to_string())?;
    ensure!(
        ["/run", "/dev", "/proc", "/sys"]
            .iter()
            .all(|taken| !path.starts_with(taken)),
        "{}: the emulated machine has its own file system there",
        path.display()
    );
    let text = path.to_str().context("a path that is not UTF-8")?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// Shows the messages of the machine until it is done. Returns the failed scenarios.
fn watch(machine: &mut Machine, scenarios: &[Scenario]) -> Result<Vec<String>> {
    let mut failed: Vec<String> = Vec::new();
    let mut passed: Vec<String> = Vec::new();
    loop {
        let Some(text) = machine.next_line()? else {
            bail!("the machine ended before its scenarios did");
        };
        match Line::read(&text) {
            None => {}
            Some(Line::Began(scenario)) => println!("{scenario}"),
            Some(Line::Seen(what)) => println!("  {what}"),
            Some(Line::Passed(scenario)) => passed.push(scenario),
            Some(Line::Failed(scenario, why)) => {
                println!("  FAILED: {}", why.replace(" | ", "\n    "));
                failed.push(scenario);
            }
            Some(Line::Done) => break,
        }
    }
    let silent = scenarios
        .iter()
        .map(|scenario| scenario.name().to_owned())
        .filter(|name| !passed.contains(name) && !failed.contains(name));
    let silent: Vec<String> = silent.collect();
    ensure!(silent.is_empty(), "no result of {}", silent.join(", "));
    Ok(failed)
}

/// The options of the process inside the machine: paths of the packages and the kernel.
#[derive(clap::Args)]
pub(crate) struct GuestArguments {
    #[arg(long)]
    tools: PathBuf,
    #[arg(long)]
    kernel: PathBuf,
    #[arg(long = "scenario", value_enum)]
    scenarios: Vec<Scenario>,
}
