//! The real filter on kernels and a WiFi stack that this machine may not have,
//! in an emulated machine. Nothing is installed here, and no network touched.

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

/// The suite whose programs run the machine, whatever its kernel.
const TOOLS_FROM: &str = Version::V6_12.suite();
/// An emulated machine starts in about half a minute.
const START: Duration = Duration::from_secs(120);
/// One of them waits half a minute for a time that must pass.
const EACH: Duration = Duration::from_secs(180);

/// What to run, and on which kernel.
#[derive(clap::Args)]
pub(crate) struct VmArguments {
    /// Debian's kernel of this line.
    #[arg(long, value_enum, default_value = "6.12")]
    kernel: Version,
    #[arg(long, value_enum, default_value = "all")]
    scenario: Choice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// Every one of them.
    All,
    /// The verifier takes the program; it drops, counts, replays and goes.
    Load,
    /// An access point and a phone on it.
    Wifi,
    /// Tagged frames, and the filter on a VLAN device.
    Vlan,
    /// The clock is set across edges of schedules.
    Clock,
    /// The machine sleeps across them.
    Sleep,
}

/// One scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Verifier, counters, replay, detach.
    Load,
    /// Access point and phone.
    Wifi,
    /// Tags.
    Vlan,
    /// Time that jumps.
    Clock,
    /// Time slept; the last one, because the host's files are gone after it.
    Sleep,
}

impl Scenario {
    const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Wifi => "wifi",
            Self::Vlan => "vlan",
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
            Self::Clock => vec![Scenario::Clock],
            Self::Sleep => vec![Scenario::Sleep],
        }
    }
}

/// Runs the scenarios and shows what was seen; an error where one failed.
pub(crate) fn run(tree: &Tree, arguments: &VmArguments) -> Result<()> {
    let scenarios = arguments.scenario.scenarios();
    let directory = env::current_exe()
        .context("where xtask lies")?
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
    println!("All as it must be.");
    Ok(())
}

/// This program, in the machine.
fn guest_command(
    tree: &Tree,
    tools: &Tools,
    kernel: &Kernel,
    scenarios: &[Scenario],
) -> Result<String> {
    let program = env::current_exe().context("where xtask lies")?;
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

/// A path in a script; where /run is, the machine has a file system of its own.
fn word(path: &Path) -> Result<String> {
    let path = fs::canonicalize(path).with_context(|| path.display().to_string())?;
    ensure!(
        ["/run", "/dev", "/proc", "/sys"]
            .iter()
            .all(|taken| !path.starts_with(taken)),
        "{}: the machine cannot see what lies there",
        path.display()
    );
    let text = path.to_str().context("a path that is not UTF-8")?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// Shows what the machine says until it is done; the scenarios that failed.
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
    ensure!(
        silent.is_empty(),
        "nothing was said of {}",
        silent.join(", ")
    );
    Ok(failed)
}

/// Where the packages and the kernel are, inside the machine.
#[derive(clap::Args)]
pub(crate) struct GuestArguments {
    #[arg(long)]
    tools: PathBuf,
    #[arg(long)]
    kernel: PathBuf,
    #[arg(long = "scenario", value_enum)]
    scenarios: Vec<Scenario>,
}
