//! What runs inside the emulated machine, as its first process. The machine is
//! the gateway; devices are network namespaces of it.

mod clock;
mod gateway;
mod load;
mod phone;
mod sleep;
mod time;
mod vlan;
mod wifi;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{self, Command};
use std::time::{Duration, Instant};
use std::{env, fs, io, panic, thread};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sys::reboot::{RebootMode, reboot};

use crate::system::{self, Tree, call, output};
use crate::vm::console::Line;
use crate::vm::tools::Tools;
use crate::vm::{GuestArguments, Scenario};

const POLL: Duration = Duration::from_millis(50);
/// Much longer than anything takes: an emulated machine is slow, and shares its processors.
const PATIENCE: Duration = Duration::from_secs(60);

/// The machine, from inside.
pub(crate) struct Guest {
    monitor: PathBuf,
    tools: Tools,
    kernel: PathBuf,
}

/// Runs the scenarios, says how each went, and turns the machine off.
pub(crate) fn run(tree: &Tree, arguments: GuestArguments) -> Result<()> {
    ensure!(
        process::id() == 1,
        "this is for inside the emulated machine"
    );
    let guest = Guest {
        monitor: tree.monitor.clone(),
        tools: Tools::at(arguments.tools),
        kernel: arguments.kernel,
    };
    prepare()?;
    for scenario in arguments.scenarios {
        say(&Line::Began(scenario.to_string()));
        let ended = panic::catch_unwind(|| guest.play(scenario));
        let ended = ended.unwrap_or_else(|_| Err(anyhow!("it panicked, see the console")));
        say(&match ended {
            Ok(()) => Line::Passed(scenario.to_string()),
            Err(error) => Line::Failed(scenario.to_string(), format!("{error:#}")),
        });
    }
    say(&Line::Done);
    match reboot(RebootMode::RB_POWER_OFF).context("turn the machine off")? {}
}

/// What a system does at its start, as far as it is needed.
fn prepare() -> Result<()> {
    // SAFETY: no other thread runs yet.
    unsafe {
        env::set_var(
            "PATH",
            "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
        );
        env::set_var("TMPDIR", "/run");
    }
    system::mount_bpffs()?;
    call("ip", ["link", "set", "lo", "up"])
}

impl Guest {
    fn play(&self, scenario: Scenario) -> Result<()> {
        match scenario {
            Scenario::Load => load::play(self),
            Scenario::Wifi => wifi::play(self),
            Scenario::Vlan => vlan::play(self),
            Scenario::Clock => clock::play(self),
            Scenario::Sleep => sleep::play(self),
        }
    }

    /// Loads kernel modules with what they need.
    fn load_modules(&self, names: &[&str]) -> Result<()> {
        let mut command = self.tools.command("sbin/modprobe");
        command
            .arg("--dirname")
            .arg(&self.kernel)
            .arg("--all")
            .args(names);
        output(&mut command).map(drop)
    }

    fn monitor(&self) -> Command {
        Command::new(&self.monitor)
    }
}

/// Tells what was seen to be as it must be.
fn seen(what: impl Into<String>) {
    say(&Line::Seen(what.into()));
}

/// The console is all there is: where it fails, nobody can be told.
fn say(line: &Line) {
    let mut console = io::stdout().lock();
    let _said = writeln!(console, "{line}").and_then(|()| console.flush());
}

/// `ip …`, the words separated by spaces.
fn ip(words: &str) -> Result<()> {
    call("ip", words.split_whitespace())
}

/// Asks until there is an answer; how long that took.
fn wait_for(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<Duration> {
    let began = Instant::now();
    while !is_so()? {
        if began.elapsed() > PATIENCE {
            bail!("still not after {PATIENCE:?}: {what}");
        }
        thread::sleep(POLL);
    }
    Ok(began.elapsed())
}

/// Checks that two things are the same, and says both where they are not.
fn must_be<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<()> {
    ensure!(found == expected, "{what}: {found:?}, must be {expected:?}");
    Ok(())
}

fn write(file: &std::path::Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| file.display().to_string())
}
