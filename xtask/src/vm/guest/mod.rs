//! The first process of the emulated machine. The machine is the gateway; devices are
//! network namespaces.

mod capture;
mod clock;
mod doctor;
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
/// The longest time to wait for an expected change. An emulated machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// The emulated machine, seen from inside.
pub(crate) struct Guest {
    monitor: PathBuf,
    tools: Tools,
    kernel: PathBuf,
}

/// Runs the scenarios, reports each result, and turns the machine off.
pub(crate) fn run(tree: &Tree, arguments: GuestArguments) -> Result<()> {
    ensure!(
        process::id() == 1,
        "this verb runs in the emulated machine only"
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

/// Sets the environment, mounts the BPF file system and sets the loopback interface up.
fn prepare() -> Result<()> {
    // SAFETY: no other thread is running yet.
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
            Scenario::Doctor => doctor::play(self),
            Scenario::Clock => clock::play(self),
            Scenario::Sleep => sleep::play(self),
        }
    }

    /// Loads kernel modules and their dependencies.
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

/// Reports a successful check.
fn seen(what: impl Into<String>) {
    say(&Line::Seen(what.into()));
}

/// Prints a message. Errors are ignored, because the console is the only output.
fn say(line: &Line) {
    let mut console = io::stdout().lock();
    let _said = writeln!(console, "{line}").and_then(|()| console.flush());
}

/// Runs `ip …`. Spaces separate the words.
fn ip(words: &str) -> Result<()> {
    call("ip", words.split_whitespace())
}

/// Calls a function until it returns a value. Returns the time that took.
fn wait_for(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<Duration> {
    let began = Instant::now();
    while !is_so()? {
        if began.elapsed() > PATIENCE {
            bail!("not within {PATIENCE:?}: {what}");
        }
        thread::sleep(POLL);
    }
    Ok(began.elapsed())
}

/// Checks that two values are equal. The error has both.
fn must_be<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<()> {
    ensure!(found == expected, "{what}: {found:?}, must be {expected:?}");
    Ok(())
}

fn write(file: &std::path::Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| file.display().to_string())
}
