//! Starts the emulated machine with a list of scenarios, shows its messages, and returns how
//! each scenario ended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum as _;

use crate::system::Tree;
use crate::vm::accelerator::Accelerator;
use crate::vm::console::Line;
use crate::vm::kernel::{Kernel, Version};
use crate::vm::machine::Machine;
use crate::vm::packages::Suite;
use crate::vm::tools::Tools;
use crate::vm::{Scenario, initramfs};

/// The Debian suite of qemu and the other programs, for every kernel.
const TOOLS_FROM: &str = Version::V6_12.suite();
/// What the machine runs.
pub(crate) struct Plan<'a> {
    pub(crate) scenarios: &'a [Scenario],
    /// Programs of the scenario `tests`.
    pub(crate) programs: &'a [PathBuf],
}

/// How a scenario ended, and what it reported.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) scenario: Scenario,
    pub(crate) failure: Option<String>,
    pub(crate) facts: BTreeMap<String, String>,
}

/// The outcomes of all scenarios on a kernel.
#[derive(Debug)]
pub(crate) struct Outcomes {
    /// The output of `uname -r`.
    pub(crate) release: String,
    pub(crate) scenarios: Vec<Outcome>,
    pub(crate) took: Duration,
}

/// Directory of packages, kernels and logs of the console.
pub(crate) fn directory() -> Result<PathBuf> {
    let program = env::current_exe().context("path of xtask")?;
    let target = program.ancestors().nth(2);
    Ok(target
        .context("xtask lies in no target directory")?
        .join("vm"))
}

/// Fetches what is missing, starts the machine and waits for its scenarios.
pub(crate) fn run(tree: &Tree, version: Version, plan: &Plan<'_>) -> Result<Outcomes> {
    let directory = directory()?;
    let suite = |name: &'static str| Suite::open(name, directory.join(name));
    let tools = Tools::fetch(&suite(TOOLS_FROM)?)?;
    let kernel = Kernel::fetch(&suite(version.suite())?, &tools)?;
    let guest = guest_command(tree, &tools, &kernel, plan)?;
    let initramfs = directory.join(format!("initramfs-{}", kernel.release));
    fs::write(&initramfs, initramfs::make(&kernel, &tools, &guest)?)
        .with_context(|| initramfs.display().to_string())?;
    let log = directory.join(format!("console-{}.log", kernel.release));
    println!(
        "Linux {}; its console is in {}",
        kernel.release,
        log.display()
    );
    let began = Instant::now();
    let accelerator = Accelerator::choose();
    let mut machine = Machine::start(&tools, &kernel, &initramfs, &log, accelerator)?;
    let scenarios = watch(plan.scenarios, || machine.next_line())
        .with_context(|| format!("Linux {}, see {}", kernel.release, log.display()))?;
    Ok(Outcomes {
        release: kernel.release,
        scenarios,
        took: began.elapsed(),
    })
}

/// Command line of this program inside the machine.
fn guest_command(tree: &Tree, tools: &Tools, kernel: &Kernel, plan: &Plan<'_>) -> Result<String> {
    let program = env::current_exe().context("path of xtask")?;
    let mut command = format!(
        "{} --monitor {} in-vm --tools {} --kernel {}",
        word(&program)?,
        word(&tree.monitor)?,
        word(tools.root())?,
        word(&kernel.root)?
    );
    for scenario in plan.scenarios {
        command.extend([" --scenario ", scenario.name()]);
    }
    for program in plan.programs {
        command.extend([" --program ", &word(program)?]);
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

/// Shows the messages of the scenarios until all are done. Returns how each ended.
pub(crate) fn watch(
    scenarios: &[Scenario],
    mut next_line: impl FnMut() -> Result<Option<String>>,
) -> Result<Vec<Outcome>> {
    let began = Instant::now();
    let mut facts = BTreeMap::new();
    let mut outcomes: Vec<Outcome> = Vec::new();
    loop {
        let Some(text) = next_line()? else {
            bail!("the machine ended before its scenarios did");
        };
        let seconds = began.elapsed().as_secs();
        let mut ended = |name: &str, failure| -> Result<()> {
            outcomes.push(Outcome {
                scenario: named(name)?,
                failure,
                facts: std::mem::take(&mut facts),
            });
            Ok(())
        };
        match Line::read(&text) {
            None => {}
            Some(Line::Began(scenario)) => println!("{seconds:>4} s  {scenario}"),
            Some(Line::Seen(what)) => println!("{seconds:>4} s    {what}"),
            Some(Line::Fact(key, value)) => {
                facts.insert(key, value);
            }
            Some(Line::Passed(scenario)) => ended(&scenario, None)?,
            Some(Line::Failed(scenario, why)) => {
                println!(
                    "{seconds:>4} s    FAILED: {}",
                    why.replace(" | ", "\n            ")
                );
                ended(&scenario, Some(why))?;
            }
            Some(Line::Done) => break,
        }
    }
    let silent = scenarios.iter().filter(|scenario| {
        let mut ended = outcomes.iter();
        !ended.any(|outcome| outcome.scenario == **scenario)
    });
    let silent: Vec<&str> = silent.map(|scenario| scenario.name()).collect();
    ensure!(silent.is_empty(), "no result of {}", silent.join(", "));
    Ok(outcomes)
}

fn named(name: &str) -> Result<Scenario> {
    let mut all = Scenario::value_variants().iter().copied();
    all.find(|scenario| scenario.name() == name)
        .with_context(|| format!("no scenario {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(scenarios: &[Scenario], lines: &[Line]) -> Result<Vec<Outcome>> {
        let mut lines = lines.iter().map(Line::to_string);
        watch(scenarios, || Ok(lines.next()))
    }

    fn fact(value: &str) -> Line {
        Line::Fact("dns".to_owned(), value.to_owned())
    }

    #[test]
    fn each_scenario_has_its_own_facts_and_its_end() {
        let lines = [
            Line::Began("load".to_owned()),
            fact("TCX"),
            Line::Passed("load".to_owned()),
            Line::Began("wifi-wpa3".to_owned()),
            Line::Failed("wifi-wpa3".to_owned(), "no".to_owned()),
            Line::Done,
        ];
        let ended = watched(&[Scenario::Load, Scenario::WifiWpa3], &lines).unwrap();
        assert_eq!(ended[0].facts["dns"], "TCX");
        assert_eq!((&ended[0].failure, ended[1].facts.len()), (&None, 0));
        assert_eq!(ended[1].failure.as_deref(), Some("no"));
    }

    #[test]
    fn a_machine_that_ends_early_or_says_nothing_of_a_scenario_is_a_failure() {
        let passed = Line::Passed("load".to_owned());
        let early = watched(&[Scenario::Load], std::slice::from_ref(&passed)).unwrap_err();
        assert!(format!("{early:#}").contains("ended before"), "{early:#}");
        let both = [Scenario::Load, Scenario::Vlan];
        let silent = watched(&both, &[passed, Line::Done]).unwrap_err();
        assert!(format!("{silent:#}").contains("no result of vlan"));
    }
}
